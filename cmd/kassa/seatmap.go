package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kassa-go/kassa/pool/wire"
)

// The states of seats, in the order of the legend.
var seatSigns = []sign{
	{'o', "32", "available"},
	{'?', "33", "held"},
	{'#', "31", "sold"},
	{'x', "90", "withheld"},
}

// signOf returns which of seatSigns is a state's.
func signOf(state string) int {
	return max(0, slices.IndexFunc(seatSigns, func(s sign) bool { return s.means == state }))
}

// holdMap draws the seats of a pool on a terminal, else prints them in JSON as pool ls does.
func (o *options) holdMap(ctx context.Context, t terminal, args []string) error {
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var stats wire.PoolStats
	if err := o.get(ctx, c, "pool.stats", wire.PoolRef{Pool: args[0]}, &stats); err != nil {
		return err
	}
	if stats.Kind != "stock" {
		return fmt.Errorf("pool %s is of kind %s, and only stock has seats: kassa pool ls %[1]s shows its items", args[0], stats.Kind)
	}
	var all []wire.ItemState
	for page, err := range o.pages(ctx, c, wire.PoolList{Pool: args[0], Limit: itemsMax}) {
		if err == nil && !t.interactive() {
			err = writeLines(t.stdout, page)
		}
		if err != nil {
			return err
		}
		all = append(all, page.Items...)
	}
	if !t.interactive() {
		return nil
	}
	drawing := canvas{coloured: o.coloured(t)}
	drawSeats(&drawing, args[0], all, t.width())
	return drawing.writeTo(t.stdout)
}

// drawSeats draws a hall: a line a row, then what has no place or several units, then what the signs mean.
func drawSeats(c *canvas, pool string, all []wire.ItemState, width int) {
	counts := make([]int64, len(seatSigns))
	var placed, loose, counters []*wire.ItemState
	for i := range all {
		it := &all[i]
		switch {
		case it.Quantity > 1:
			counters = append(counters, it)
			for s, n := range []int64{it.Available, it.Held, it.Sold, it.Withheld} {
				counts[s] += n
			}
			continue
		case it.Row != 0:
			placed = append(placed, it)
		default:
			loose = append(loose, it)
		}
		counts[signOf(it.State)]++
	}
	c.printf("%s", printable(pool))
	c.end()
	if len(placed) > 0 {
		newHall(placed).draw(c, width)
	}
	if len(loose) > 0 {
		c.flow(width, func(yield func(word, colour string) bool) {
			for _, it := range loose {
				s := seatSigns[signOf(it.State)]
				if !yield(string(s.char)+" "+printable(it.ID), s.colour) {
					return
				}
			}
		})
	}
	wide := 0
	for _, it := range counters {
		wide = max(wide, utf8.RuneCountInString(printable(it.ID)))
	}
	for _, it := range counters {
		c.printf("%s  ", fit(printable(it.ID), wide))
		c.printf("%d available, %d held, %d sold, %d withheld of %d", it.Available, it.Held, it.Sold, it.Withheld, it.Quantity)
		c.end()
	}
	c.end()
	c.legend(width, seatSigns, counts)
}

// hall says where the seats are.
type hall struct {
	rows    []hallRow // of those there are, in order
	columns []int     // likewise
	at      []int     // where each of columns is drawn: an aisle is as wide as it is, up to aisleMax
}

type hallRow struct {
	row   int
	name  string
	seats []*wire.ItemState // in order of columns
	// What the IDs of the seats end with, by column, in this row and those below that have no names of their own; nil: it
	// is as in the row above.
	names map[int]string
}

const aisleMax = 3 // columns, and rows: what is further apart is drawn as far apart as this

func newHall(seats []*wire.ItemState) *hall {
	slices.SortStableFunc(seats, func(a, b *wire.ItemState) int {
		return cmp.Or(cmp.Compare(a.Row, b.Row), cmp.Compare(a.Column, b.Column))
	})
	h := &hall{}
	columns := make(map[int]bool)
	var names map[int]string
	headings := 0
	for len(seats) > 0 {
		n := 1
		for n < len(seats) && seats[n].Row == seats[0].Row {
			n++
		}
		r := hallRow{row: seats[0].Row, seats: seats[:n]}
		part := commonPart(r.seats)
		if r.name = printable(strings.TrimRight(part, "-_./: ")); r.name == "" {
			r.name = strconv.Itoa(r.row)
		}
		if names == nil || slices.ContainsFunc(r.seats, func(it *wire.ItemState) bool {
			name, ok := names[it.Column]
			return ok && name != strings.TrimPrefix(it.ID, part)
		}) {
			names = make(map[int]string)
			r.names = names
			headings++
		}
		for _, it := range r.seats {
			names[it.Column] = strings.TrimPrefix(it.ID, part)
			columns[it.Column] = true
		}
		h.rows = append(h.rows, r)
		seats = seats[n:]
	}
	if headings > (len(h.rows)+1)/2 { // the IDs are not of that kind
		for i := range h.rows {
			h.rows[i].names = nil
		}
	}
	h.columns = slices.Sorted(maps.Keys(columns))
	for i, column := range h.columns {
		at := 0
		if i > 0 {
			at = h.at[i-1] + min(column-h.columns[i-1], aisleMax+1)
		}
		h.at = append(h.at, at)
	}
	return h
}

// commonPart returns what the IDs of a row's seats begin with. A number that goes on in one of them is not part of it.
func commonPart(seats []*wire.ItemState) string {
	part := seats[0].ID
	for _, it := range seats[1:] {
		n := 0
		for n < len(part) && n < len(it.ID) && part[n] == it.ID[n] {
			n++
		}
		part = part[:n]
	}
	if cut := strings.TrimRight(part, "0123456789"); cut != "" {
		return cut
	}
	if len(seats) == 1 { // it is all a number
		return ""
	}
	return strings.ToValidUTF8(part, "")
}

// How long names may be.
const (
	rowNameMax    = 24
	columnNameMax = 8
)

// draw draws the hall in parts that are no wider than the terminal, with a blank between seats if all of it is no wider so.
func (h *hall) draw(c *canvas, width int) {
	label := 0
	for _, r := range h.rows {
		label = max(label, min(utf8.RuneCountInString(r.name), rowNameMax))
	}
	room := max(width-label-2, 10)
	cell := 2
	if last := h.at[len(h.at)-1]; 2*last+1 > room {
		cell = 1
	}
	for from := 0; from < len(h.columns); {
		to := from + 1
		for to < len(h.columns) && (h.at[to]-h.at[from])*cell < room {
			to++
		}
		if from > 0 {
			c.end()
		}
		if to-from < len(h.columns) {
			c.printf("columns %d to %d", h.columns[from], h.columns[to-1])
			c.end()
		}
		h.drawPart(c, from, to, label, cell)
		from = to
	}
}

// drawPart draws the columns from … to before to.
func (h *hall) drawPart(c *canvas, from, to, label, cell int) {
	first, last := h.columns[from], h.columns[to-1]
	x := func(i int) int { return (h.at[i] - h.at[from]) * cell }
	for i, r := range h.rows {
		if i > 0 {
			for range min(r.row-h.rows[i-1].row-1, aisleMax) {
				c.end()
			}
		}
		if r.names != nil {
			c.put("", strings.Repeat(" ", label+2))
			h.drawNames(c, r.names, from, to, x)
		}
		c.printf("%s  ", fit(r.name, label))
		at := 0
		begin, _ := slices.BinarySearchFunc(r.seats, first, func(it *wire.ItemState, column int) int {
			return cmp.Compare(it.Column, column)
		})
		for _, it := range r.seats[begin:] {
			if it.Column > last {
				break
			}
			k, _ := slices.BinarySearch(h.columns[from:to], it.Column)
			c.put("", strings.Repeat(" ", max(x(from+k)-at, 0)))
			c.sign(seatSigns[signOf(it.State)], 1)
			at = x(from+k) + 1
		}
		c.end()
	}
}

// drawNames draws columns' names: all, if there is room, else the first and every fifth, as far as there is.
func (h *hall) drawNames(c *canvas, names map[int]string, from, to int, x func(int) int) {
	fits, first, end := true, -1, -1
	for i := from; i < to; i++ {
		if name := names[h.columns[i]]; name != "" {
			if first < 0 {
				first = i
			}
			fits = fits && x(i) > end
			end = x(i) + utf8.RuneCountInString(name)
		}
	}
	at := 0
	for i := from; i < to; i++ {
		name := printable(names[h.columns[i]])
		n, err := strconv.Atoi(name)
		switch {
		case name == "", utf8.RuneCountInString(name) > columnNameMax, at > 0 && x(i) <= at:
			continue
		case !fits && i != first && (err != nil || n%5 != 0):
			continue
		}
		c.put("", strings.Repeat(" ", x(i)-at)+name)
		at = x(i) + utf8.RuneCountInString(name)
	}
	c.end()
}
