package pool

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What follows only looks. It sees what was decided, durable or not: who answers a client with it waits as for a command.

// Stats counts what a pool has.
type Stats struct {
	Pool    string
	Kind    Kind
	Retired bool
	Items   int

	// Of units; of a lease's items each is one. A calendar has none, but by time. Held are in a lease or a hold; Draining are
	// held or sold, too.
	Free, Held, Sold, Dirty, Quarantined, Withheld, Draining int

	Grants, Waiting int    // leases, holds, sales, bookings; requests
	Granted         uint64 // units, ever
}

func (p *pool) stats() Stats {
	c := &p.counts
	return Stats{
		Pool: p.name, Kind: p.spec.Kind, Retired: p.retired,
		Items: len(p.items), Free: c.free, Held: c.held, Sold: c.sold, Dirty: c.dirty, Quarantined: c.quarantined, Withheld: c.withheld,
		Draining: c.draining, Grants: c.grants, Waiting: c.waiting, Granted: p.granted,
	}
}

// Stats returns a pool's counts.
func (m *Machine) Stats(name string) (Stats, error) {
	p := m.byName[name]
	if p == nil {
		return Stats{}, &Error{NotFound, fmt.Sprintf("there is no pool %.140q; pool.list lists those there are", name)}
	}
	return p.stats(), nil
}

// PageMax is how many entries a page of a list has at most.
const PageMax = 1000

// ListPools returns the counts of up to limit pools by name, from cursor on, and the cursor of the next page; empty: there
// is none.
func (m *Machine) ListPools(limit int, cursor string) ([]Stats, string) {
	var page []Stats
	for _, p := range m.pools {
		if p.name < cursor {
			continue
		}
		if len(page) == limit {
			return page, p.name
		}
		page = append(page, p.stats())
	}
	return page, ""
}

// ItemView is an item as a list shows it.
type ItemView struct {
	ID            string
	State         string // free, leased, dirty, quarantined; of stock: available, held, sold, withheld; of a calendar: open
	Draining      bool
	Labels, Attrs string // JSON; empty: none
	Grant         uint64 // that it is in, where there can be one only; 0: none
	ExpiresAt     int64
	Client, Owner string
	Broken        int
	Version       uint64

	Row, Col int   // of a seat; 0: it has no place
	Quantity int64 // units
	// Of a quantity above 1, in stock.
	Available, Held, Sold, Withheld int64
	Bookings                        int // of a calendar
}

// ListItems appends up to limit items of a pool to page, in its order, from cursor on, and returns the cursor of the next
// page; empty: there is none. It looks at no more than a few thousand places.
func (m *Machine) ListItems(page []ItemView, name string, limit int, cursor string) ([]ItemView, string, error) {
	p := m.byName[name]
	if p == nil {
		return page, "", &Error{NotFound, fmt.Sprintf("there is no pool %.140q; pool.list lists those there are", name)}
	}
	from, err := cursorAt(cursor)
	if err != nil {
		return page, "", err
	}
	i, full := p.place(from), len(page)+limit
	for looked := 0; i < len(p.order); i++ {
		if len(page) == full || looked == 4*PageMax {
			return page, strconv.FormatUint(p.order[i].ordinal, 10), nil
		}
		looked++
		if it := p.order[i].item; it != nil {
			page = append(page, it.view())
		}
	}
	return page, "", nil
}

func (it *item) view() ItemView {
	v := ItemView{
		ID: it.id, State: it.status(), Draining: it.draining, Labels: it.class.text, Attrs: it.attrs,
		Broken: int(it.broken), Version: it.version, Row: int(it.row), Col: int(it.col), Quantity: int64(it.quantity),
	}
	if g := it.grant; g != nil {
		v.Grant, v.Client, v.Owner = g.id, g.client, g.owner
		if !it.sold() { // else what ends is only what was leased with it
			v.ExpiresAt = g.expiresAt
		}
	}
	if c := it.counter; c != nil {
		v.Available, v.Held, v.Sold, v.Withheld = it.available(), c.held, c.sold, c.withheld
	}
	if it.times != nil {
		v.Bookings = it.times.Len()
	}
	return v
}

// Explanation says how a wait stands.
type Explanation struct {
	Wait         uint64
	Client       string
	Since, Until int64 // ms
	Position     int   // 1: the first of its line, or it is in none; 0: it is passed over, its client being away
	Priority     int64
	Blocked      []Blocked
	Text         string // all of it, for people
}

// Blocked says what a wait needs of one pool.
type Blocked struct {
	Pool              string
	Want, Match, Free int
	Grant             uint64 // whose end comes first of those in the way, as far as that is known; 0: none
	Kind              Kind   // what Grant is called
	FreeAt            int64  // when it ends, unless it is renewed
	Leaving           bool   // what it wants is leaving
}

// Explain says how a wait stands.
func (m *Machine) Explain(id uint64) (Explanation, error) {
	w := m.waits[id]
	if w == nil {
		return Explanation{}, &Error{NotFound, fmt.Sprintf("nothing waits under the number %d: it was served, or given up", id)}
	}
	x := Explanation{Wait: id, Client: w.client, Since: w.since, Until: w.until, Position: 1, Priority: w.priority}
	if w.line != nil {
		x.Position += w.line.ahead(w)
	}
	var text strings.Builder
	if w.holder.away() {
		x.Position = 0
		fmt.Fprintf(&text, "its client is away and has until %d to come back; until then it is passed over", w.holder.until)
	} else {
		fmt.Fprintf(&text, "number %d in line", x.Position)
	}
	err := m.resolveWait(w)
	for i := range w.wants {
		b := Blocked{Pool: w.wants[i].Pool, Want: cmp.Or(int(w.wants[i].Count), len(w.wants[i].IDs))}
		if err != nil {
			b.Leaving = true
			x.Blocked = append(x.Blocked, b)
			continue
		}
		r := &w.resolved[i]
		b.inTheWay(r)
		x.Blocked = append(x.Blocked, b)
		fmt.Fprintf(&text, "; pool %s: %d wanted, %d match, %d of them free", b.Pool, b.Want, b.Match, b.Free)
		if b.Grant != 0 {
			fmt.Fprintf(&text, ", %s %d ends at %d unless it is %s", b.Kind.grantName(), b.Grant, b.FreeAt, b.Kind.prolonged())
		}
	}
	if err != nil {
		text.WriteString("; " + err.Message)
	}
	fmt.Fprintf(&text, "; it gives up at %d", w.until)
	x.Text = text.String()
	return x, nil
}

func (b *Blocked) inTheWay(r *resolved) {
	note := func(g *grant) {
		if g != nil && g.expiresAt != 0 && (b.FreeAt == 0 || g.expiresAt < b.FreeAt) {
			b.Grant, b.Kind, b.FreeAt = g.id, g.kind, g.expiresAt
		}
	}
	switch {
	case r.spans != nil:
		b.Match, b.Free = r.freeRooms()
	case r.ids != nil:
		b.Match = len(r.ids)
		for _, it := range r.ids {
			if it.free {
				b.Free++
			}
			note(it.grant)
		}
	default:
		b.Match, b.Free = capacity(r.classes)
		if b.Free < b.Want || r.best != "" {
			// The next grant of the pool to end; with a selector, if it has what matches.
			if g, _ := r.pool.due.first(); g != nil && (r.text == "" || holdsOf(g, r.classes)) {
				note(g)
			}
		}
	}
}

func holdsOf(g *grant, classes []*class) bool {
	for _, p := range g.parts {
		if slices.Contains(classes, p.item.class) {
			return true
		}
	}
	return false
}
