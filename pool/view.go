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
	Pool                                              string
	Kind                                              Kind
	Retired                                           bool
	Items, Free, Leased, Dirty, Quarantined, Draining int // Draining are leased, too
	Leases, Waiting                                   int
	Granted                                           uint64 // items, ever
}

func (p *pool) stats() Stats {
	c := &p.counts
	return Stats{
		Pool: p.name, Kind: p.spec.Kind, Retired: p.retired,
		Items: len(p.items), Free: c.free, Leased: c.leased, Dirty: c.dirty, Quarantined: c.quarantined, Draining: c.draining,
		Leases: c.leases, Waiting: c.waiting, Granted: p.granted,
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
	State         string // free, leased, dirty, quarantined
	Draining      bool
	Labels, Attrs string // JSON; empty: none
	Lease         uint64 // 0: none
	ExpiresAt     int64
	Client, Owner string
	Broken        int
	Version       uint64
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
		ID: it.id, State: it.state.String(), Draining: it.draining, Labels: it.class.text, Attrs: it.attrs,
		Broken: int(it.broken), Version: it.version,
	}
	if l := it.lease; l != nil {
		v.State = "leased"
		v.Lease, v.ExpiresAt, v.Client, v.Owner = l.id, l.expiresAt, l.client, l.owner
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
	Lease             uint64 // whose end comes first of those in the way, as far as that is known; 0: none
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
		if b.Lease != 0 {
			fmt.Fprintf(&text, ", lease %d ends at %d unless it is renewed", b.Lease, b.FreeAt)
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
	note := func(l *lease) {
		if l != nil && (b.FreeAt == 0 || l.expiresAt < b.FreeAt) {
			b.Lease, b.FreeAt = l.id, l.expiresAt
		}
	}
	if r.ids != nil {
		b.Match = len(r.ids)
		for _, it := range r.ids {
			if it.free {
				b.Free++
			}
			note(it.lease)
		}
		return
	}
	b.Match, b.Free = capacity(r.classes)
	if b.Free < b.Want {
		// The next lease of the pool to end; with a selector, if it holds what matches.
		if l, _ := r.pool.due.first(); l != nil && (r.text == "" || holdsOf(l, r.classes)) {
			note(l)
		}
	}
}

func holdsOf(l *lease, classes []*class) bool {
	for _, it := range l.items {
		if slices.Contains(classes, it.class) {
			return true
		}
	}
	return false
}
