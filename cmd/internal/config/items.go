package config

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
)

// items gathers the items of a pool.
type items struct {
	kind   pool.Kind // of the pool
	list   []pool.ItemSpec
	places map[string]place             // of each ID
	seats  map[[2]int64]int32           // in list, by row and column of the hall
	labels map[string]map[string]string // the sets of labels, by their encoding

	names []string // buffers for such an encoding
	key   []byte
}

// place is where an item stands.
type place struct {
	file         string
	line, column int32 // column 0: the line is all that is known
}

func (p place) String() string {
	if p.column == 0 {
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

func (r *reader) placeOf(n ast.Node) place {
	at := first(n).Position
	return place{r.name, int32(at.Line), int32(at.Column)}
}

// itemsMax is how many items a pool may have.
const itemsMax = 10_000_000

// expect makes room for n more items.
func (s *items) expect(n int) {
	n = min(n, itemsMax-len(s.list))
	s.list = slices.Grow(s.list, n)
	if s.places == nil {
		s.places = make(map[string]place, n)
	}
}

// add adds an item that stands at p. It keeps neither the map nor what it holds, but the ID and the attrs.
func (s *items) add(item pool.ItemSpec, p place) error {
	if err := item.Check(); err != nil {
		return fmt.Errorf("%s: %s", p, message(err))
	}
	if s.places == nil {
		s.places = make(map[string]place)
	}
	if before, ok := s.places[item.ID]; ok {
		return fmt.Errorf("%s: item %q is there twice, first at %s: take one of them out", p, item.ID, before)
	}
	switch {
	case len(s.list) == itemsMax:
		return fmt.Errorf("%s: item %q is one too many: a pool has %d at most", p, item.ID, itemsMax)
	case len(s.list) == pool.RoomsMax && s.kind == pool.Calendar:
		return fmt.Errorf("%s: item %q is one too many: a calendar has %d at most, make several pools", p, item.ID, pool.RoomsMax)
	}
	if at := [2]int64{item.Row, item.Col}; item.Row != 0 {
		if i, taken := s.seats[at]; taken {
			other := s.list[i].ID
			return fmt.Errorf("%s: item %q is in row %d, column %d of the hall, and so is %q of %s: move one of them (a block of seats, with at)",
				p, item.ID, item.Row, item.Col, other, s.places[other])
		}
		if s.seats == nil {
			s.seats = make(map[[2]int64]int32, cap(s.list))
		}
		s.seats[at] = int32(len(s.list))
	}
	s.places[item.ID] = p
	if item.Labels = s.shared(item.Labels); len(s.labels) > pool.ClassesMax {
		return fmt.Errorf("%s: item %q has one set of labels too many: a pool has %d different ones at most; "+
			"what tells every item from any other belongs in its attrs", p, item.ID, pool.ClassesMax)
	}
	s.list = append(s.list, item)
	return nil
}

// shared returns the one map of all items with these labels, nil without any.
func (s *items) shared(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	names := slices.AppendSeq(s.names[:0], maps.Keys(labels))
	slices.Sort(names)
	key := s.key[:0]
	for _, name := range names {
		key = append(binary.AppendUvarint(key, uint64(len(name))), name...)
		key = append(binary.AppendUvarint(key, uint64(len(labels[name]))), labels[name]...)
	}
	s.names, s.key = names, key
	set, ok := s.labels[string(key)]
	if !ok {
		if s.labels == nil {
			s.labels = make(map[string]map[string]string)
		}
		set = make(map[string]string, len(labels))
		for name, value := range labels {
			set[strings.Clone(name)] = strings.Clone(value)
		}
		s.labels[string(key)] = set
	}
	return set
}

// addItems adds a list of items: texts, or {id, labels, attrs, …}.
func (r *reader) addItems(to *items, n ast.Node, name string) error {
	list, err := r.elements(n, name)
	if err != nil {
		return err
	}
	to.expect(len(list))
	for i, element := range list {
		item, err := r.item(element, fmt.Sprintf("%s[%d]", name, i), to.kind)
		if err != nil {
			return err
		}
		if err := to.add(item, r.placeOf(element)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) item(n ast.Node, name string, kind pool.Kind) (item pool.ItemSpec, err error) {
	if id, ok := text(n); ok {
		return pool.ItemSpec{ID: id}, nil
	}
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		return item, r.wrong(n, name, "an ID, or {id: …, labels: …, attrs: …}")
	}
	item.Labels = make(map[string]string)
	settings := []setting{
		{"id", r.text(&item.ID)},
		{"labels", r.labels(item.Labels)},
		{"attrs", func(n ast.Node, name string) (err error) {
			if _, none := n.(*ast.NullNode); !none {
				item.Attrs, err = r.json(n, name)
			}
			return err
		}},
	}
	for _, number := range numbers {
		settings = append(settings, setting{number.name, r.only(kind, whole(r, number.of(&item), 1), number.kind)})
	}
	err = r.settings(n, name, settings)
	if err == nil && item.ID == "" {
		err = r.errorf(n, "%s has no id: give it one", name)
	}
	return item, err
}

// numbers are what items of pools of some kinds may say of themselves, all of it whole numbers from 1.
var numbers = []struct {
	name string
	kind pool.Kind
	of   func(*pool.ItemSpec) *int64
}{
	{"row", pool.Stock, func(item *pool.ItemSpec) *int64 { return &item.Row }},
	{"column", pool.Stock, func(item *pool.ItemSpec) *int64 { return &item.Col }},
	{"quantity", pool.Stock, func(item *pool.ItemSpec) *int64 { return &item.Quantity }},
	{"capacity", pool.Calendar, func(item *pool.ItemSpec) *int64 { return &item.Quantity }},
}

// labels returns what reads labels.
func (r *reader) labels(to map[string]string) func(ast.Node, string) error {
	return func(n ast.Node, name string) error {
		entries, err := r.entries(n, name)
		for _, e := range entries {
			value, ok := text(e.value)
			if !ok {
				return r.wrong(e.value, name+"."+e.key, "a text, a number, true or false")
			}
			to[e.key] = value
		}
		return err
	}
}
