package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
)

// hall is where the seats of a pool are.
type hall struct {
	blocks []*block
	rows   int64 // of all blocks: the next begins below
}

// block is of rows of seats that are all alike.
type block struct {
	rows, seats *names
	row, column int64   // of the hall: those of the first seat
	across      []int64 // how many columns each seat is from the first
}

// place returns the row and the column of a seat in the hall.
func (b *block) place(row, seat int) (int64, int64) {
	return b.row + int64(row), b.column + b.across[seat]
}

// addSeats adds the seats of a list of blocks.
func (r *reader) addSeats(to *items, h *hall, n ast.Node, name string) error {
	list, err := r.elements(n, name)
	if err != nil {
		return err
	}
	for i, element := range list {
		if err := r.addBlock(to, h, element, fmt.Sprintf("%s[%d]", name, i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) addBlock(to *items, h *hall, n ast.Node, name string) error {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		return r.wrong(n, name, "rows and seats, as in {rows: A..L, seats: 1..20}")
	}
	b := &block{row: h.rows + 1, column: 1}
	var aisles, missing, zones ast.Node // read once the rows and the seats are known
	labels := make(map[string]string)
	id := idParts{"{row}", "{seat}"}
	var idAt ast.Node
	err := r.settings(n, name, []setting{
		{"rows", func(n ast.Node, name string) (err error) {
			b.rows, err = r.names(n, name, "row")
			return err
		}},
		{"seats", func(n ast.Node, name string) (err error) {
			b.seats, err = r.names(n, name, "seat")
			return err
		}},
		{"aisles", keep(&aisles)},
		{"missing", keep(&missing)},
		{"labels", r.labels(labels)},
		{"zones", keep(&zones)},
		{"id", func(n ast.Node, name string) (err error) {
			idAt = n
			id, err = r.idParts(n, name)
			return err
		}},
		{"at", func(n ast.Node, name string) error {
			return r.settings(n, name, []setting{{"row", whole(r, &b.row, 1)}, {"column", whole(r, &b.column, 1)}})
		}},
	})
	switch {
	case err != nil:
		return err
	case b.rows == nil:
		return r.errorf(n, "%s has no rows: name them, as in rows: A..L", name)
	case b.seats == nil:
		return r.errorf(n, "%s has no seats: number them, as in seats: 1..20", name)
	case len(b.rows.list)*len(b.seats.list) > itemsMax:
		return r.errorf(n, "%s has more than %d seats", name, itemsMax)
	case len(b.rows.list) > 1 && !id.has("{row}") || len(b.seats.list) > 1 && !id.has("{seat}"):
		return r.errorf(idAt, `%s.id is the same for several seats: want {row} and {seat} in it, as in "{row}-{seat}"`, name)
	}
	if err := r.aisles(b, aisles, name+".aisles"); err != nil {
		return err
	}
	b.row, b.column = min(b.row, pool.PlaceMax+1), min(b.column, pool.PlaceMax+1) // lest the sums overflow
	if row, column := b.place(len(b.rows.list)-1, len(b.seats.list)-1); row > pool.PlaceMax || column > pool.PlaceMax {
		return r.errorf(n, "%s reaches to row %d, column %d of the hall, which may have %d of each: have it begin sooner, with at",
			name, row, column, pool.PlaceMax)
	}
	p := &plan{block: b, sets: []map[string]string{labels}, set: make([]int32, len(b.rows.list)*len(b.seats.list))}
	if err := r.number(p, id, n, name); err != nil {
		return err
	}
	if err := r.missing(p, missing, name+".missing"); err != nil {
		return err
	}
	if err := r.zones(p, zones, name+".zones"); err != nil {
		return err
	}
	h.blocks = append(h.blocks, b)
	h.rows = max(h.rows, b.row+int64(len(b.rows.list))-1)
	at := r.placeOf(n)
	to.expect(len(p.ids))
	for i, id := range p.ids {
		if p.set[i] < 0 {
			continue
		}
		item := pool.ItemSpec{ID: id, Labels: p.sets[p.set[i]]}
		item.Row, item.Col = b.place(i/len(b.seats.list), i%len(b.seats.list))
		if err := to.add(item, at); err != nil {
			return err
		}
	}
	return nil
}

// plan is what becomes of the places of a block, row by row.
type plan struct {
	*block
	ids  []string
	at   map[string]int32    // where in ids each is
	set  []int32             // of sets; -1: there is no seat
	sets []map[string]string // of labels
}

// number gives each place of a block an ID.
func (r *reader) number(p *plan, id idParts, n ast.Node, name string) error {
	p.ids = make([]string, 0, len(p.set))
	p.at = make(map[string]int32, len(p.set))
	for _, row := range p.rows.list {
		for _, seat := range p.seats.list {
			id := id.of(row, seat)
			if i, twice := p.at[id]; twice {
				seats := p.seats.list
				return r.errorf(n, `%s has %q twice, as row %s, seat %s and as row %s, seat %s: have the IDs differ, as with id: "{row}-{seat}"`,
					name, id, p.rows.list[int(i)/len(seats)], seats[int(i)%len(seats)], row, seat)
			}
			p.at[id] = int32(len(p.ids))
			p.ids = append(p.ids, id)
		}
	}
	return nil
}

// aisles finds the columns of the seats of a block.
func (r *reader) aisles(b *block, n ast.Node, name string) error {
	after := make([]bool, len(b.seats.list))
	if n != nil {
		err := r.eachName(n, name, "seat", func(seat string, at ast.Node) error {
			i, ok := b.seats.find(seat)
			switch {
			case !ok:
				return r.errorf(at, "%s has %s, but there are seats %s: want the one that the aisle comes after", name, seat, b.seats.span())
			case i == len(after)-1:
				return r.errorf(at, "%s has %s, the last seat: an aisle is between two", name, seat)
			case after[i]:
				return r.errorf(at, "%s has %s twice: take one of them out", name, seat)
			}
			after[i] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.across = make([]int64, len(after))
	column := int64(0)
	for i := range after {
		b.across[i] = column
		if column++; after[i] {
			column++
		}
	}
	return nil
}

// missing takes seats that are not there out of a block.
func (r *reader) missing(p *plan, n ast.Node, name string) error {
	if n == nil {
		return nil
	}
	for _, element := range oneOrMore(n) {
		value, err := r.textOf(element, name)
		if err != nil {
			return err
		}
		s, err := parseSpan(value)
		if err != nil {
			return r.errorf(element, "%s has %s: %v", name, shortened(value), err)
		}
		for id := range s.all() { // up to one that is not there: no more than there are seats
			i, ok := p.at[id]
			switch {
			case !ok:
				return r.errorf(element, "%s has %s, but the seats are %s to %s", name, shortened(id), p.ids[0], p.ids[len(p.ids)-1])
			case p.set[i] < 0:
				return r.errorf(element, "%s has %q twice: take one of them out", name, id)
			}
			p.set[i] = -1
		}
	}
	return nil
}

// zones gives the seats of some rows and columns of a block labels of their own.
func (r *reader) zones(p *plan, n ast.Node, name string) error {
	if n == nil {
		return nil
	}
	list, err := r.elements(n, name)
	if err != nil {
		return err
	}
	for i, element := range list {
		name := fmt.Sprintf("%s[%d]", name, i)
		rows, seats := all(len(p.rows.list)), all(len(p.seats.list))
		labels := make(map[string]string)
		err := r.settings(element, name, []setting{
			{"rows", r.part(&rows, p.rows)},
			{"seats", r.part(&seats, p.seats)},
			{"labels", r.labels(labels)},
		})
		switch {
		case err != nil:
			return err
		case len(labels) == 0:
			return r.errorf(element, "%s has no labels: give it some, as in labels: {zone: vip}", name)
		case !p.label(rows, seats, labels):
			return r.errorf(element, "%s covers nothing: all its seats are missing", name)
		}
	}
	return nil
}

// label adds labels to some seats, unless all of these are missing.
func (p *plan) label(rows, seats []int, labels map[string]string) bool {
	becomes := make(map[int32]int32) // the sets
	for _, row := range rows {
		for _, seat := range seats {
			set := &p.set[row*len(p.seats.list)+seat]
			if *set < 0 {
				continue
			}
			to, ok := becomes[*set]
			if !ok {
				to = int32(len(p.sets))
				becomes[*set] = to
				more := maps.Clone(p.sets[*set])
				maps.Copy(more, labels)
				p.sets = append(p.sets, more)
			}
			*set = to
		}
	}
	return len(becomes) > 0
}

func all(n int) []int {
	indices := make([]int, n)
	for i := range indices {
		indices[i] = i
	}
	return indices
}

// part returns what reads some of the rows, or of the seats, of a block.
func (r *reader) part(to *[]int, of *names) func(ast.Node, string) error {
	return func(n ast.Node, name string) error {
		some, err := r.names(n, name, of.what)
		if err != nil {
			return err
		}
		*to = nil
		for _, value := range some.list {
			i, ok := of.find(value)
			if !ok {
				return r.errorf(n, "%s has %s, but the block has %ss %s", name, shortened(value), of.what, of.span())
			}
			*to = append(*to, i)
		}
		return nil
	}
}

// idParts is how the ID of a seat is made: texts, and {row} and {seat}.
type idParts []string

var placeholders = regexp.MustCompile(`\{[^{}]*\}|[^{}]+|.`)

func (r *reader) idParts(n ast.Node, name string) (idParts, error) {
	value, err := r.textOf(n, name)
	if err != nil {
		return nil, err
	}
	id := idParts(placeholders.FindAllString(value, -1))
	for _, part := range id {
		if strings.ContainsAny(part, "{}") && part != "{row}" && part != "{seat}" {
			return nil, r.errorf(n, `%s has %s: there are {row} and {seat}, as in "{row}-{seat}"`, name, shortened(part))
		}
	}
	return id, nil
}

func (s idParts) has(part string) bool { return slices.Contains(s, part) }

func (s idParts) of(row, seat string) string {
	var id strings.Builder
	for _, part := range s {
		switch part {
		case "{row}":
			part = row
		case "{seat}":
			part = seat
		}
		id.WriteString(part)
	}
	return id.String()
}
