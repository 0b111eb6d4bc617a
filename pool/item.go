package pool

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// itemState is what an item is when nobody holds it.
type itemState uint8

const (
	ready itemState = iota
	dirty
	quarantined
)

var itemStates = [...]string{ready: "free", dirty: "dirty", quarantined: "quarantined"}

func (s itemState) String() string { return itemStates[s] }

// item is something that is given out. All that it has in common with others it shares with its class.
type item struct {
	record rec
	pool   *pool
	class  *class
	id     string
	attrs  string // JSON; empty: none

	lease    *lease // that it is in; nil: none
	ordinal  uint64 // its place in the pool's order
	freedRev uint64 // the event that last made it free
	version  uint64 // the event that last changed it, but for its being given out

	// While it is free, class.dense[densePos] is the item, and prev and next link it to those freed before and after it.
	prev, next *item
	slot       int32 // in class.items
	densePos   int32

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
	if it.state > quarantined {
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
		if len(t.Values) == 0 {
			return &Error{BadPayload, "select: label " + t.Name + " has no value that would do"}
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
