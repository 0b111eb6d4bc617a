package pool

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kassa-go/kassa/pool/internal/timeline"
)

// itemState is what an item is when nobody holds it.
type itemState uint8

const (
	ready itemState = iota
	dirty
	quarantined
	withheld // of stock: not for sale
)

var itemStates = [...]string{ready: "free", dirty: "dirty", quarantined: "quarantined", withheld: "withheld"}

func (s itemState) String() string { return itemStates[s] }

// settable are the states that an operator can give an item of a kind, in the order in which errors name them.
func settable(kind Kind) []string {
	switch kind {
	case Stock:
		return []string{"available", "withheld"}
	case Calendar:
		return nil
	}
	return itemStates[:withheld]
}

func stateOf(name string) itemState {
	if name == "available" {
		return ready
	}
	return itemState(slices.Index(itemStates[:], name))
}

// item is something that is given out. All that it has in common with others it shares with its class.
type item struct {
	record rec
	pool   *pool
	class  *class
	id     string
	attrs  string // JSON; empty: none

	grant   *grant                    // that it is in; nil: none, or there may be several: a counter, or a calendar
	counter *counter                  // of stock of which there is more than one; else nil
	times   *timeline.Timeline[*span] // of a calendar's item; else nil

	ordinal  uint64 // its place in the pool's order
	freedRev uint64 // the event that last made it free
	version  uint64 // the event that last changed it, but for its being given out

	// While it is free, class.dense[densePos] is the item, and prev and next link it to those freed before and after it.
	prev, next *item
	slot       int32 // in class.items
	densePos   int32
	listed     int32 // units that its class counts as available

	quantity int32 // units; of a calendar: how many may be used at once
	row, col int32 // of a seat; 0: it has no place

	broken     uint16 // releases as broken in a row
	state      itemState
	draining   bool // it leaves when it comes back
	configured bool // it is from the configuration, not from pool.fill
	free       bool // ready, and in no lease
	picked     bool // by the command that is being decided
	seen       bool // since SyncBegin
}

func (it *item) rec() *rec { return &it.record }

func (it *item) key(e *enc) {
	e.byte(recItem)
	e.string(it.pool.name)
	*e = append(*e, it.id...)
}

func (it *item) value(e *enc) {
	e.uint(it.ordinal)
	e.string(it.class.text)
	e.string(it.attrs)
	e.byte(byte(it.state))
	e.bool(it.draining)
	e.bool(it.configured)
	e.uint(uint64(it.broken))
	e.uint(it.freedRev)
	e.uint(it.version)
	it.shape().put(e)
	if it.counter != nil {
		e.uint(uint64(it.counter.withheld))
	}
}

// shape is what an item has that leases have no need of.
type shape struct{ quantity, row, col int32 }

func (it *item) shape() shape { return shape{it.quantity, it.row, it.col} }

// put appends nothing for what is one item without a place: it is the last of what it is put to, but for what only others have.
func (s shape) put(e *enc) {
	if s != (shape{quantity: 1}) {
		e.uint(uint64(s.quantity))
		e.uint(uint64(s.row))
		e.uint(uint64(s.col))
	}
}

func (s *shape) get(d *dec) {
	quantity, row, col := d.uint(), d.uint(), d.uint()
	if d.bad = d.bad || quantity > quantityMax || row > PlaceMax || col > PlaceMax; d.bad {
		return
	}
	*s = shape{max(1, int32(quantity)), int32(row), int32(col)}
}

// setShape has a new item be of a kind, or one that nobody has any of be of another quantity.
func (it *item) setShape(s shape) {
	it.quantity, it.row, it.col = s.quantity, s.row, s.col
	switch {
	case it.pool.spec.Kind == Calendar:
		if it.times == nil {
			it.times = new(timeline.Timeline[*span])
		}
	case s.quantity == 1:
		it.counter = nil
	case it.counter == nil:
		it.counter = new(counter)
	}
}

// left returns how many units no grant has: of a calendar's item at the busiest moment of a span.
func (it *item) left(s *span) int64 {
	switch {
	case it.times != nil:
		return it.leftAt(s.Span)
	case it.counter != nil:
		return int64(it.quantity) - it.counter.held - it.counter.sold - it.counter.withheld
	case it.grant != nil:
		return 0
	}
	return 1
}

// available returns how many units can be had now, whatever the time: none of a calendar's item.
func (it *item) available() int64 {
	switch {
	case it.draining || it.times != nil || it.state != ready:
		return 0
	}
	return it.left(nil)
}

// take has g have what p says of it.
func (it *item) take(g *grant, p *part) {
	switch {
	case it.times != nil:
		p.span.grant = g
		p.span.entry = timeline.Entry[*span]{Start: p.span.begin(), End: p.span.end(), Units: p.units, ID: g.id, Value: p.span}
		it.times.Add(&p.span.entry)
	case it.counter != nil:
		*it.counter.of(g) += p.units
	default:
		it.grant = g
	}
}

// giveBack is the reverse.
func (it *item) giveBack(g *grant, p *part) {
	switch {
	case it.times != nil:
		it.times.Remove(&p.span.entry)
		p.span.grant = nil
	case it.counter != nil:
		*it.counter.of(g) -= p.units
	default:
		it.grant = nil
	}
}

// idle reports whether no grant has any of it.
func (it *item) idle() bool {
	switch {
	case it.times != nil:
		return it.times.Len() == 0
	case it.counter != nil:
		return it.counter.held+it.counter.sold == 0
	}
	return it.grant == nil
}

// cameBack has a leased item be as its holder says.
func (it *item) cameBack(outcome Outcome) {
	switch outcome {
	case Dirty:
		it.state = max(it.state, dirty)
	case Broken:
		it.broken += min(1, math.MaxUint16-it.broken)
		if int64(it.broken) >= it.pool.spec.QuarantineAfter {
			it.state = quarantined
		}
	default:
		it.broken = 0
	}
}

// sold reports whether a grant has it for good.
func (it *item) sold() bool {
	return it.grant != nil && it.grant.firm && it.pool.spec.Kind == Stock
}

// status is what a list shows.
func (it *item) status() string {
	switch kind := it.pool.spec.Kind; {
	case it.sold():
		return "sold"
	case it.grant != nil && kind == Stock:
		return "held"
	case it.grant != nil:
		return "leased"
	case it.state == ready && kind == Stock:
		switch c := it.counter; {
		case c == nil || it.left(nil) > 0:
			return "available"
		case c.held > 0:
			return "held"
		case c.sold > 0:
			return "sold"
		}
		return withheld.String()
	case kind == Calendar:
		return "open"
	}
	return it.state.String()
}

func (m *Machine) loadItem(key, value *dec) (record, error) {
	p, err := m.loadedPool(key.string())
	if err != nil {
		return nil, err
	}
	it := &item{pool: p, id: string(key.p)}
	it.ordinal = value.uint()
	labels := value.string()
	it.attrs = value.string()
	it.state = itemState(value.byte())
	it.draining = value.bool()
	it.configured = value.bool()
	it.broken = uint16(value.uint())
	it.freedRev = value.uint()
	it.version = value.uint()
	var s shape
	s.get(value)
	if it.setShape(s); it.counter != nil {
		it.counter.withheld = int64(value.uint())
	}
	if it.state > withheld || it.counter != nil && it.counter.withheld > int64(it.quantity) {
		return nil, errTruncated
	}
	if p.items[it.id] != nil {
		return nil, errTwice
	}
	c, err := p.classOf(labels)
	if err != nil {
		return nil, err
	}
	it.class = c // it joins in loaded, in order
	p.items[it.id] = it
	p.order = append(p.order, place{it.ordinal, it})
	return it, nil
}

// labelsText returns labels as the text of a JSON object, names in order, which classes are known by.
func labelsText(labels map[string]string) string {
	if len(labels) == 0 {
		return ""
	}
	text, err := json.Marshal(labels)
	if err != nil {
		panic("pool: labels as JSON: " + err.Error()) // strings always can be
	}
	return string(text)
}

func parseLabels(text string) ([]label, error) {
	if text == "" {
		return nil, nil
	}
	var byName map[string]string
	if err := json.Unmarshal([]byte(text), &byName); err != nil {
		return nil, err
	}
	var labels []label
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		labels = append(labels, label{name, byName[name]})
	}
	return labels, nil
}

// Selector says which items match: those that satisfy each of its terms. The empty one matches all.
type Selector []Term

// Term is satisfied by items whose label Name has one of Values.
type Term struct {
	Name   string
	Values []string
}

// text is the same for selectors that say the same.
func (s Selector) text() string {
	if len(s) == 0 {
		return ""
	}
	terms := make([]string, len(s))
	for i, t := range s {
		values := slices.Clone(t.Values)
		slices.Sort(values)
		terms[i] = t.Name + "\x00" + strings.Join(slices.Compact(values), "\x01")
	}
	slices.Sort(terms)
	return strings.Join(slices.Compact(terms), "\x02")
}

func (s Selector) matches(labels []label) bool {
	for _, t := range s {
		if !slices.ContainsFunc(labels, func(l label) bool { return l.name == t.Name && slices.Contains(t.Values, l.value) }) {
			return false
		}
	}
	return true
}

func (s Selector) check() error {
	for _, t := range s {
		if err := checkName("the name of a label in select", t.Name, LabelBytesMax); err != nil {
			return err
		}
		switch {
		case len(t.Values) == 0:
			return &Error{BadPayload, "select: label " + t.Name + " has no value that would do"}
		case len(t.Values) > ValuesMax:
			return &Error{BadPayload, fmt.Sprintf("select: label %s has %d values, %d at most are allowed", t.Name, len(t.Values), ValuesMax)}
		}
		for _, v := range t.Values {
			if v == "" {
				continue
			}
			if err := checkName("select: a value of label "+t.Name, v, LabelBytesMax); err != nil {
				return err
			}
		}
	}
	return nil
}
