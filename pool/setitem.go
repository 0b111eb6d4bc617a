package pool

import (
	"slices"
	"strings"
)

// SetItem changes an item. What is nil or empty stays.
type SetItem struct {
	Pool, ID string
	State    string // of a lease: free, dirty, quarantined; of a seat: available, withheld
	Withheld *int64 // of stock with a quantity: units not for sale
	Labels   map[string]string
	Attrs    []byte
	Version  uint64 // the item must have this one still; 0: any
	Keyed
}

func (c *SetItem) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	it := m.itemOf(c.Pool, c.ID, r)
	if it == nil {
		return
	}
	spec := ItemSpec{ID: c.ID, Labels: c.Labels, Attrs: c.Attrs}
	states := settable(it.pool.spec.Kind)
	if err := spec.Check(); err != nil {
		r.Err = asError(err)
		return
	}
	if c.Version != 0 && c.Version != it.version {
		r.fail(VersionConflict, "item %q of pool %s has version %d, not %d: look at it again", it.id, it.pool.name, it.version, c.Version)
		return
	}
	ok := slices.Contains(states, c.State)
	switch {
	case c.State != "" && states == nil:
		r.fail(BadPayload, "item %q of pool %s has no state, only times", it.id, it.pool.name)
	case c.State != "" && !ok:
		last := len(states) - 1
		r.fail(BadPayload, "state is %q: want %s or %s", c.State, strings.Join(states[:last], ", "), states[last])
	case c.State != "" && it.counter != nil:
		r.fail(BadPayload, "item %q of pool %s has a quantity: say how many are withheld", it.id, it.pool.name)
	case c.Withheld != nil && it.counter == nil:
		r.fail(BadPayload, "withheld is for items with a quantity: item %q of pool %s has none", it.id, it.pool.name)
	case c.Withheld != nil && (*c.Withheld < 0 || *c.Withheld > it.counter.withheld+it.left(nil)):
		r.fail(Conflict, "withheld is %d: item %q of pool %s has %d that are neither held nor sold", *c.Withheld, it.id, it.pool.name, it.counter.withheld+it.left(nil))
	}
	if r.Err != nil {
		return
	}
	before := m.Rev()
	labels, attrs := it.class.text, it.attrs
	if c.Labels != nil {
		labels = labelsText(c.Labels)
		if it.pool.byLabels[labels] == nil && !it.pool.roomFor(1, r) {
			return
		}
	}
	if c.Attrs != nil {
		attrs = string(c.Attrs)
	}
	if labels != it.class.text || attrs != it.attrs {
		old := it.class
		draining := it.draining
		m.emit(&itemSet{pool: it.pool.name, id: it.id, labels: labels, attrs: attrs, configured: it.configured, shape: it.shape()})
		if draining {
			m.emit(&itemDrained{it.pool.name, it.id})
		}
		if old != it.class {
			m.lookAgainForClass(old)
		}
	}
	state := it.state
	if c.State != "" {
		state = stateOf(c.State)
	}
	if c.State != "" && state != it.state || c.Withheld != nil && *c.Withheld != it.counter.withheld {
		ev := &itemStateSet{pool: it.pool.name, id: it.id, state: state, of: it.pool.spec.Kind, counter: it.counter != nil}
		if c.Withheld != nil {
			ev.withheld = *c.Withheld
		}
		m.emit(ev)
	}
	if m.Rev() != before {
		r.Count = 1
	}
	m.serveItem(it)
	m.remember(&c.Keyed, r)
}

type itemStateSet struct {
	pool, id string
	state    itemState
	withheld int64 // of a counter
	of       Kind
	counter  bool
}

func (*itemStateSet) kind() byte { return evItemState }

func (ev *itemStateSet) put(e *enc) {
	e.string(ev.pool)
	e.string(ev.id)
	e.byte(byte(ev.state))
	if ev.of != Lease || ev.withheld != 0 {
		e.int(ev.withheld)
		e.byte(ev.of.code())
		e.bool(ev.counter)
	}
}

func (ev *itemStateSet) get(d *dec) {
	ev.pool, ev.id, ev.state, ev.withheld = d.string(), d.string(), itemState(d.byte()), d.int()
	ev.of, ev.counter = kindOf(d.byte()), d.bool()
	d.bad = d.bad || ev.state > withheld
}

func (ev *itemStateSet) apply(m *Machine) error {
	it, err := m.itemBy(ev.pool, ev.id)
	if err != nil {
		return err
	}
	p := it.pool
	m.touch(it)
	if it.free {
		it.class.remove(it)
	}
	p.count(it, -1)
	it.version = m.rev
	if it.counter != nil {
		it.counter.withheld = ev.withheld
	} else if it.state = ev.state; it.state == ready {
		it.broken = 0
	}
	p.count(it, +1)
	p.relist(it, m.rev)
	return nil
}

func (ev *itemStateSet) describe(e *Event) {
	e.Type, e.Pool, e.Kind, e.Items = "item.state", ev.pool, ev.of, []ItemRef{{Pool: ev.pool, ID: ev.id}}
	switch {
	case ev.counter:
		e.Withheld = &ev.withheld
	case ev.of == Stock && ev.state == ready:
		e.State = "available"
	default:
		e.State = ev.state.String()
	}
}
