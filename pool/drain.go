package pool

import (
	"fmt"
	"math"
	"strconv"
)

// Drain takes items out of a pool: those that are leased leave when they come back.
type Drain struct {
	Pool   string
	IDs    []string // FillMax at most
	All    bool     // in the place of IDs
	Cursor string   // with All: that of the reply before
	Keyed
}

func (c *Drain) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	p := m.poolOf(c.Pool, r)
	switch {
	case p == nil:
		return
	case c.All == (len(c.IDs) > 0):
		r.fail(BadPayload, "either ids or all is needed, to say what is to leave pool %s", p.name)
		return
	case len(c.IDs) > FillMax:
		r.fail(BadPayload, "%d items are too many for one request: %d at most", len(c.IDs), FillMax)
		return
	}
	if c.All {
		from, err := cursorAt(c.Cursor)
		if err != nil {
			r.Err = err
			return
		}
		r.Cursor = m.drainFrom(p, from, r, func(*item) bool { return true })
	} else {
		items := make([]*item, len(c.IDs))
		for i, id := range c.IDs {
			if items[i] = p.items[id]; items[i] == nil {
				r.fail(NotFound, "pool %s has no item %.280q", p.name, id)
				return
			}
		}
		for _, it := range items {
			m.drain(it, r)
		}
	}
	m.remember(&c.Keyed, r)
}

// drainFrom drains items from an ordinal on, and returns where to go on; empty: nowhere.
func (m *Machine) drainFrom(p *pool, from uint64, r *Reply, which func(*item) bool) string {
	i := p.place(from)
	batch := make([]*item, 0, 1024)
	end := min(len(p.order), i+FillMax)
	for _, at := range p.order[i:end] {
		if at.item != nil && which(at.item) {
			batch = append(batch, at.item)
		}
	}
	cursor := ""
	if end < len(p.order) {
		cursor = strconv.FormatUint(p.order[end].ordinal, 10)
	}
	for _, it := range batch { // which changes p.order
		m.drain(it, r)
	}
	return cursor
}

func (m *Machine) drain(it *item, r *Reply) {
	if it.draining || it.pool.items[it.id] != it { // named twice
		return
	}
	if !it.idle() {
		r.Other++
	} else {
		r.Count++
	}
	m.emit(&itemDrained{it.pool.name, it.id})
	m.lookAgainFor(it)
}

// cursorAt returns the ordinal that a page begins with.
func cursorAt(cursor string) (uint64, *Error) {
	if cursor == "" {
		return 0, nil
	}
	at, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil || at == math.MaxUint64 {
		return 0, &Error{BadPayload, fmt.Sprintf("cursor is %.64q, which is none that a reply gave", cursor)}
	}
	return at, nil
}

type itemDrained struct{ pool, id string }

func (*itemDrained) kind() byte    { return evItemDrained }
func (ev *itemDrained) put(e *enc) { e.string(ev.pool); e.string(ev.id) }
func (ev *itemDrained) get(d *dec) { ev.pool, ev.id = d.string(), d.string() }

func (ev *itemDrained) apply(m *Machine) error {
	it, err := m.itemBy(ev.pool, ev.id)
	if err != nil {
		return err
	}
	if it.idle() {
		m.removeItem(it)
		return nil
	}
	if it.draining {
		return fmt.Errorf("item %q of pool %q is leaving already", it.id, it.pool.name)
	}
	m.touch(it)
	it.version = m.rev
	it.pool.setDraining(it, true, m.rev)
	return nil
}

func (ev *itemDrained) describe(e *Event) {
	e.Type, e.Pool = "item.drained", ev.pool
	e.Items = []ItemRef{{Pool: ev.pool, ID: ev.id}}
}

// DrainUnseen drains, in pages, the configured items of a pool that no Fill has named since BeginFill.
type DrainUnseen struct {
	Pool   string
	Cursor string // that of the reply before
}

func (c *DrainUnseen) decide(m *Machine, r *Reply) {
	p := m.byName[c.Pool]
	if p == nil {
		return
	}
	from, err := cursorAt(c.Cursor)
	if err != nil {
		r.Err = err
		return
	}
	r.Cursor = m.drainFrom(p, from, r, func(it *item) bool { return p.retired || it.configured && !it.seen })
	if r.Cursor == "" {
		m.goneIfEmpty(p)
	}
}

// BeginFill begins the comparison of the items of all pools with the configuration, at start: Fill names those that are
// in it, then DrainUnseen drains the others.
func (m *Machine) BeginFill() {
	for _, p := range m.pools {
		for _, at := range p.order {
			if at.item != nil {
				at.item.seen = false
			}
		}
	}
}

// Pools returns the names of all pools, retired ones included.
func (m *Machine) Pools() []string {
	names := make([]string, len(m.pools))
	for i, p := range m.pools {
		names[i] = p.name
	}
	return names
}

// Items returns the Spec.Items of a pool; 0 when it is not there, or to go.
func (m *Machine) Items(name string) uint64 {
	if p := m.byName[name]; p != nil && !p.retired {
		return p.spec.Items
	}
	return 0
}
