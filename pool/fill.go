package pool

import (
	"fmt"
)

// Fill adds items to a pool. Those that it has already get the new labels, attrs, quantity and place, and stay if they were to leave.
type Fill struct {
	Pool       string
	Items      []ItemSpec // FillMax at most
	Configured bool       // they are from the configuration: they leave when they are no longer there
	Keyed
}

func (c *Fill) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	p := m.poolOf(c.Pool, r)
	switch {
	case p == nil:
		return
	case len(c.Items) == 0:
		r.fail(BadPayload, "there are no items to fill pool %s with", p.name)
		return
	case len(c.Items) > FillMax:
		r.fail(BadPayload, "%d items are too many for one request: %d at most", len(c.Items), FillMax)
		return
	}
	seen := make(map[string]bool, len(c.Items))
	taken := make(map[[2]int64]bool)
	classes := make(map[string]bool)
	texts := make([]string, len(c.Items))
	for i := range c.Items {
		s := &c.Items[i]
		if err := s.Check(); err != nil {
			r.Err = asError(err)
			return
		}
		if r.Err = p.mayBecome(p.items[s.ID], s, m.now); r.Err != nil {
			return
		}
		if seen[s.ID] {
			r.fail(BadPayload, "item %q is named twice", s.ID)
			return
		}
		seen[s.ID] = true
		if at := [2]int64{s.Row, s.Col}; s.Row != 0 {
			if taken[at] {
				r.fail(BadPayload, "item %q is in row %d, column %d, and so is another", s.ID, s.Row, s.Col)
				return
			}
			taken[at] = true
		}
		texts[i] = labelsText(s.Labels)
		if p.byLabels[texts[i]] == nil {
			classes[texts[i]] = true
		}
	}
	if !p.roomFor(len(classes), r) {
		return
	}
	for i := range c.Items {
		s := &c.Items[i]
		// The configuration is right as a whole: who is in the way there moves, or leaves, later.
		if other := p.hall.At(int32(s.Row), int32(s.Col)); other != nil && !c.Configured && !seen[other.id] {
			r.fail(Conflict, "item %q is to be in row %d, column %d of pool %s, where item %q is", s.ID, s.Row, s.Col, p.name, other.id)
			return
		}
	}
	if rooms := len(p.items) + len(c.Items); p.spec.Kind == Calendar && rooms > RoomsMax {
		n := len(p.items)
		for i := range c.Items {
			if p.items[c.Items[i].ID] == nil {
				n++
			}
		}
		if n > RoomsMax {
			r.fail(BadPayload, "pool %s would have %d items, a calendar has %d at most: make several pools", p.name, n, RoomsMax)
			return
		}
	}
	var changed []part
	for i := range c.Items {
		s := &c.Items[i]
		it := p.items[s.ID]
		attrs := string(s.Attrs)
		switch {
		case it == nil:
			r.Count++
		case it.class.text != texts[i] || it.attrs != attrs || it.draining || it.shape() != s.shape():
			r.Other++
		case c.Configured && !it.configured:
		default:
			it.seen = true
			continue
		}
		configured := c.Configured
		var old *class
		var reshaped bool
		if it != nil {
			configured = configured || it.configured
			old, reshaped = it.class, it.shape() != s.shape()
		}
		evicted := p.hall.At(int32(s.Row), int32(s.Col))
		m.emit(&itemSet{pool: p.name, id: s.ID, labels: texts[i], attrs: attrs, configured: configured, shape: s.shape()})
		it = p.items[s.ID]
		if old != nil && old != it.class {
			m.lookAgainForClass(old)
		}
		if reshaped { // there may be fewer units, or seats may be apart
			m.lookAgainFor(it)
		}
		if evicted != nil && evicted != it {
			m.lookAgainForClass(evicted.class)
		}
		it.seen = true
		changed = append(changed, part{item: it})
	}
	// All are as they should be before somebody gets any of them: one that is to have fewer units could be given out first.
	switch {
	case len(changed) == 0:
	case p.spec.Kind == Calendar:
		m.lookAgainAside(p)
	default:
		m.serveParts(changed)
	}
	m.remember(&c.Keyed, r)
}

// mayBecome says why an item, nil while it is not there, can not be as s says.
func (p *pool) mayBecome(it *item, s *ItemSpec, now int64) *Error {
	if err := s.checkFor(p.spec.Kind); err != nil || it == nil {
		return err
	}
	quantity := int64(s.shape().quantity)
	switch {
	case quantity == int64(it.quantity):
	case it.times != nil:
		if used := it.times.Peak(now, timeMax); used > quantity {
			return &Error{Conflict, fmt.Sprintf("item %q of pool %s can not have a capacity of %d: %d are booked at once; cancel or move some first", it.id, p.name, quantity, used)}
		}
	case it.counter != nil && quantity > 1:
		if used := it.counter.held + it.counter.sold + it.counter.withheld; used > quantity {
			return &Error{Conflict, fmt.Sprintf("item %q of pool %s can not have a quantity of %d: %d are held, sold or withheld", it.id, p.name, quantity, used)}
		}
	case !it.idle() || it.state != ready || it.counter != nil && it.counter.withheld > 0:
		return &Error{Conflict, fmt.Sprintf("item %q of pool %s can not have a quantity of %d: it is held, sold or withheld", it.id, p.name, quantity)}
	}
	return nil
}

// roomFor reports whether a pool may have n more sets of labels.
func (p *pool) roomFor(n int, r *Reply) bool {
	if len(p.classes)+n > ClassesMax {
		r.fail(BadPayload, "the items of pool %s would have more than %d different sets of labels: what tells every item from any other belongs in its attrs", p.name, ClassesMax)
		return false
	}
	return true
}

// poolOf returns a pool that is in use.
func (m *Machine) poolOf(name string, r *Reply) *pool {
	if p := m.byName[name]; p != nil && !p.retired {
		return p
	}
	r.fail(NotFound, "there is no pool %.140q; pool.list lists those there are", name)
	return nil
}

func (m *Machine) itemOf(poolName, id string, r *Reply) *item {
	p := m.poolOf(poolName, r)
	if p == nil {
		return nil
	}
	if it := p.items[id]; it != nil {
		return it
	}
	r.fail(NotFound, "pool %s has no item %.280q", p.name, id)
	return nil
}

// itemSet adds an item, or changes what it is selected by and described with. One that is to leave stays.
type itemSet struct {
	pool, id, labels, attrs string
	configured              bool
	shape
}

func (*itemSet) kind() byte { return evItemSet }

func (ev *itemSet) put(e *enc) {
	e.string(ev.pool)
	e.string(ev.id)
	e.string(ev.labels)
	e.string(ev.attrs)
	e.bool(ev.configured)
	ev.shape.put(e)
}

func (ev *itemSet) get(d *dec) {
	ev.pool, ev.id, ev.labels, ev.attrs, ev.configured = d.string(), d.string(), d.string(), d.string(), d.bool()
	ev.shape.get(d)
}

func (ev *itemSet) apply(m *Machine) error {
	p, err := m.loadedPool(ev.pool)
	if err != nil {
		return err
	}
	c, err := p.classOf(ev.labels)
	if err != nil {
		return err
	}
	it := p.items[ev.id]
	if other := p.hall.At(ev.row, ev.col); other != nil && other != it {
		m.touch(other)
		other.class.unseat(other)
		other.row, other.col = 0, 0
	}
	switch {
	case it == nil:
		it = &item{pool: p, id: ev.id}
		p.items[it.id] = it
		it.setShape(ev.shape)
		m.touch(it)
	case it.class == c:
		m.touch(it)
		p.setDraining(it, false, m.rev)
		if it.shape() != ev.shape {
			m.reshape(it, ev.shape)
		}
		it.attrs, it.configured, it.version = ev.attrs, ev.configured, m.rev
		return nil
	default: // it becomes the last of the pool: the items of a class are in the pool's order
		m.touch(it)
		p.exit(it)
		p.unplace(it)
		it.draining = false
		it.setShape(ev.shape)
		defer p.forget(it.class)
	}
	m.place(it)
	it.class, it.attrs, it.configured, it.version, it.freedRev = c, ev.attrs, ev.configured, m.rev, m.rev
	p.enter(it, m.rev)
	return nil
}

// reshape has an item that keeps its class have another quantity, or another place.
func (m *Machine) reshape(it *item, s shape) {
	p, c := it.pool, it.class
	if it.free {
		c.remove(it)
	}
	p.count(it, -1)
	c.units -= it.weight()
	c.unseat(it)
	it.setShape(s)
	c.seatAt(it)
	c.units += it.weight()
	p.count(it, +1)
	p.relist(it, m.rev)
}

// place puts an item at the end of its pool's order.
func (m *Machine) place(it *item) {
	p := it.pool
	m.touch(p)
	p.ordinal++
	it.ordinal = p.ordinal
	p.order = append(p.order, place{it.ordinal, it})
}

func (ev *itemSet) describe(e *Event) {
	e.Type, e.Pool, e.Labels, e.Attrs = "item.set", ev.pool, ev.labels, ev.attrs
	e.Items = []ItemRef{{Pool: ev.pool, ID: ev.id}}
}

// removeItem takes an item that no grant has any of out of its pool.
func (m *Machine) removeItem(it *item) {
	p := it.pool
	m.drop(it)
	p.exit(it)
	p.unplace(it)
	delete(p.items, it.id)
	p.forget(it.class)
}
