package pool

import (
	"cmp"
	"fmt"

	"github.com/kassa-go/kassa/pool/internal/seats"
)

// Stock is held for a time and then sold, for good: a seat, or units of something of which there are many. What is held and
// not confirmed comes back as a lease does.

// counter counts the units of an item that has several. Those that are neither are available.
type counter struct{ held, sold, withheld int64 }

// of returns what units that a grant has are counted by.
func (c *counter) of(g *grant) *int64 {
	if g.firm {
		return &c.sold
	}
	return &c.held
}

// withhold takes units out of sale that nobody has.
func (it *item) withhold(units int64) {
	if it.counter != nil {
		it.counter.withheld += units
	} else {
		it.state = withheld
	}
}

// groups returns the seats that a want selects, in memory that is used again.
func (r *resolved) groups(to []*seats.Group[*item]) []*seats.Group[*item] {
	for _, c := range r.classes {
		if c.seats != nil {
			to = append(to, c.seats)
		}
	}
	return to
}

// pickBest picks the best seats that are free.
func (m *Machine) pickBest(picks []part, w *resolved) ([]part, bool) {
	hall, spec := &w.pool.hall, &w.pool.spec
	before := picks // by other wants of the request: they are not taken yet, but are not to be found
	hide := func(hidden bool) {
		for _, p := range before {
			if it := p.item; it.pool == w.pool && it.row != 0 {
				hall.SetFree(it.class.seats, it.row, it.col, !hidden)
			}
		}
	}
	hide(true)
	m.scratch.groups = w.groups(m.scratch.groups[:0])
	focus := seats.Focus{Row: cmp.Or(spec.FocusRow, 100), Col: cmp.Or(spec.FocusCol, 100)}
	found, ok := hall.Best(m.scratch.seats[:0], m.scratch.groups, w.count, focus, w.best == Split)
	hide(false)
	if m.scratch.seats = found; !ok {
		return picks, false
	}
	for _, it := range found {
		it.picked = true
		picks = append(picks, part{item: it, units: 1})
	}
	clear(found)
	return picks, true
}

// Confirm has what is held be its holder's for good: seats are sold, rooms are booked. Leases stay what they are.
type Confirm struct {
	Grant, Token uint64
	Pool, Item   string    // in the place of Grant and Token: the hold that the seat is in
	Items        []ItemRef // the seats, and the units, to be kept: what else is held of stock comes back. nil: all
	Keyed
}

func (c *Confirm) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	g := m.grantOf(Stock, c.Grant, c.Token, c.Pool, c.Item, r)
	if g == nil {
		return
	}
	if g.firm { // it has leases, which are still held for a time
		r.fail(AlreadyResolved, "hold %d was confirmed already", g.id)
		return
	}
	stock := func(p *part) bool { return p.item.pool.spec.Kind == Stock }
	kept, err := g.choose(m.scratch.chosen[:0], c.Items, "confirmed", func(p *part) bool {
		return stock(p) || c.Items == nil && p.item.pool.spec.Kind == Calendar
	})
	if m.scratch.chosen = kept; err != nil {
		r.Err = err
		return
	}
	if c.Items != nil {
		var rest []part
		for _, p := range g.parts {
			for _, k := range kept {
				if k.item == p.item {
					p.units -= k.units
				}
			}
			if p.units > 0 && stock(&p) {
				rest = append(rest, p)
			}
		}
		if len(rest) > 0 {
			m.release(g, rest, Clean, Returned)
		}
	}
	m.emit(&confirmed{grant: g.id, as: g.kind, parts: g.parts})
	r.Grant, r.Token, r.ExpiresAt = g.id, g.token, g.expiresAt
	r.Rev = m.rev
	r.Items = given(g.parts)
	m.remember(&c.Keyed, r)
}

// confirmed says that what a grant has of stock is sold, and of calendars booked.
type confirmed struct {
	grant uint64
	as    Kind
	refs  []ItemRef // in replay: all that it has
	parts []part    // live
}

func (*confirmed) kind() byte    { return evConfirmed }
func (ev *confirmed) put(e *enc) { e.uint(ev.grant); putParts(e, ev.as, true, ev.parts) }
func (ev *confirmed) get(d *dec) { ev.grant = d.uint(); ev.as, _, ev.refs = getParts(d) }

func (ev *confirmed) apply(m *Machine) error {
	g := m.grants[ev.grant]
	if g == nil || g.firm {
		return fmt.Errorf("there is no grant %d to confirm", ev.grant)
	}
	m.touch(g)
	m.unlink(g)
	keeps := false
	for i := range g.parts {
		p := &g.parts[i]
		it := p.item
		it.pool.count(it, -1)
		if it.counter != nil {
			it.counter.held -= p.units
			it.counter.sold += p.units
		}
		keeps = keeps || it.pool.spec.Kind == Lease
	}
	g.firm = true
	for i := range g.parts {
		it := g.parts[i].item
		m.touch(it)
		it.version = m.rev
		it.pool.count(it, +1)
	}
	if !keeps {
		g.expiresAt = 0
	}
	m.link(g)
	return nil
}

func (ev *confirmed) describe(e *Event) {
	e.Type, e.Kind, e.Grant, e.Items, e.Pool = "hold.confirmed", ev.as, ev.grant, ev.refs, poolOf(ev.refs)
}

// Refund takes back what was sold.
type Refund struct {
	Grant, Token uint64
	Pool, Item   string    // in the place of Grant and Token: this seat alone, whoever has bought it
	Items        []ItemRef // some of it; nil: all
	Withhold     bool      // it is not for sale again
	Keyed
}

func (c *Refund) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	if c.Pool != "" {
		it := m.itemOf(c.Pool, c.Item, r)
		switch {
		case it == nil:
			return
		case !it.sold():
			r.fail(Conflict, "seat %q of pool %s is not sold: it is %s", c.Item, c.Pool, it.status())
			return
		}
		c.Grant, c.Token, c.Items = it.grant.id, it.grant.token, []ItemRef{{Pool: c.Pool, ID: c.Item}}
	}
	g := m.firmly(Stock, c.Grant, c.Token, r)
	if g == nil {
		return
	}
	parts, err := g.choose(m.scratch.chosen[:0], c.Items, "refunded", func(p *part) bool { return p.item.pool.spec.Kind == Stock })
	if m.scratch.chosen = parts; err != nil {
		r.Err = err
		return
	}
	outcome := Clean
	if c.Withhold {
		outcome = Withheld
	}
	r.Grant, r.Token, r.Count = g.id, g.token, unitsOf(parts)
	m.release(g, parts, outcome, Returned)
	m.remember(&c.Keyed, r)
}

// firmly returns the sale, or the booking, that whoever has it names.
func (m *Machine) firmly(kind Kind, id, token uint64, r *Reply) *grant {
	name := "sale"
	if kind == Calendar {
		name = "booking"
	}
	g := m.grants[id]
	switch {
	case g == nil && (id == 0 || id > m.rev):
		r.fail(NotFound, "there is no %s %d, and never was", name, id)
	case g == nil:
		r.fail(AlreadyResolved, "%s %d is over, or never was confirmed: nothing of it is left", name, id)
	case g.token != token:
		r.fail(StaleToken, "%d is not the token of %s %d", token, name, id)
	case !g.firm && kind == Stock:
		r.fail(Conflict, "hold %d was not confirmed: void it", id)
	case !g.firm && g.expiresAt <= m.now:
		r.fail(Expired, "%s %d is over: its time ran out", name, id)
	default:
		return g
	}
	return nil
}
