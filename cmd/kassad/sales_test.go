package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// deed is what a buyer was told of one of its requests that has changed something.
type deed struct {
	ask          request
	grant, token uint64
	rev          uint64 // of the reply
	seen         uint64 // the highest rev that any client knew of when the request was first sent
	sent         int64  // when that was, in ns since the crowd began
	at           int64  // when the client was told, ms
	expiresAt    int64  // of askExtend
	items        []string
	was          []string // of askMove and of what is given up
	over         bool     // it was told that the hold's time is over
	again        bool     // it had asked before, and was not told
}

// sales replays the events of seats and rooms, and of all that is had together with them, and compares them with what buyers
// were told. Like the ledger that it is a part of it knows nothing of the machine.
type sales struct {
	*ledger
	deals    map[uint64]*deal
	parts    map[string][]*portion // by item
	withheld map[string]bool
	counts   map[string]int // of events, by type
	told     int
	again    int // of these: to who had asked before
}

// deal is a hold and the sale that it becomes, a booking, or a lease with such things.
type deal struct {
	id, token uint64
	expiresAt int64 // of what is only held
	parts     []*portion
	untold    []act // that nobody was told of yet
	ranOut    bool
	saidOver  bool // a client was told so
}

// portion is what a deal has of an item.
type portion struct {
	deal  *deal
	item  string
	units int64
	from  int64 // of a room: until when it is taken, with set-up and clean-up
	until int64
	start int64
	end   int64
	firm  bool // sold, or booked
}

// act is an event that a request has caused.
type act struct {
	rev        uint64
	typ        string
	expiresAt  int64
	items, was []string
}

func newSales(l *ledger) *sales {
	return &sales{
		ledger: l, deals: map[uint64]*deal{}, parts: map[string][]*portion{}, withheld: map[string]bool{}, counts: map[string]int{},
	}
}

// pools returns the names of those that it knows of.
func (s *sales) pools() []string {
	names := []string{"hall", "rooms", "kit"}
	for i := range 2 * turnPools {
		names = append(names, fmt.Sprint("stall", i), fmt.Sprint("desk", i))
	}
	return names
}

func (s *sales) sells(name string) bool    { return slices.Contains(s.pools(), name) }
func (s *sales) calendar(name string) bool { return name == "rooms" || strings.HasPrefix(name, "desk") }

// capacity is how many units of an item there are, at a time.
func capacity(item string) int64 {
	switch item {
	case "hall/floor":
		return floorUnits
	case "rooms/desks":
		return desksUnits
	}
	return 1
}

func (p *portion) line() string { return line(p.item, p.units, p.start, p.end) }

func line(item string, units, start, end int64) string {
	return fmt.Sprintf("%s*%d@%d-%d", item, units, start, end)
}

// lines returns what clients were given as the events have it.
func lines(items []wire.Item) (all []string) {
	for _, it := range items {
		all = append(all, line(ref(it.Pool, it.ID), max(it.Qty, 1), it.Start, it.End))
	}
	slices.Sort(all)
	return all
}

func linesOf(parts []*portion) (all []string) {
	for _, p := range parts {
		all = append(all, p.line())
	}
	slices.Sort(all)
	return all
}

func (d *deal) portions(refs []pool.ItemRef) (parts []*portion) {
	for _, r := range refs {
		s := r.Span
		parts = append(parts, &portion{d, ref(r.Pool, r.ID), r.Units, s.Start - s.SetupMs, s.End + s.CleanupMs, s.Start, s.End, false})
	}
	return parts
}

func (p *portion) pool() string {
	name, _, _ := strings.Cut(p.item, "/")
	return name
}

// event takes the next event, and reports whether it is one of these.
func (s *sales) event(e *pool.Event) bool {
	about := slices.ContainsFunc(e.Items, func(r pool.ItemRef) bool { return s.sells(r.Pool) })
	d := s.deals[e.Grant]
	what, _, _ := strings.Cut(e.Type, ".")
	if !about && d == nil && what != "hold" && what != "sale" && what != "slot" {
		return false
	}
	s.counts[e.Type]++
	switch e.Type {
	case "lease.granted", "hold.created", "slot.booked":
		s.begun(e)
		return true
	case "item.set":
		return true
	case "item.state":
		s.state(e)
		return true
	}
	if d == nil || len(d.parts) == 0 {
		s.fail("event %d is %s of %d, which is over, or never was", e.Rev, e.Type, e.Grant)
		return true
	}
	switch e.Type {
	case "hold.expiring", "lease.expiring":
	case "hold.extended", "lease.renewed":
		if e.At >= d.expiresAt {
			s.fail("event %d extends hold %d, which was over at %d", e.Rev, e.Grant, d.expiresAt)
		}
		d.expiresAt = e.ExpiresAt
		d.untold = append(d.untold, act{rev: e.Rev, typ: e.Type, expiresAt: e.ExpiresAt})
	case "hold.confirmed":
		s.confirmed(e, d)
	case "slot.moved":
		s.moved(e, d)
	default:
		s.back(e, d)
	}
	return true
}

func (s *sales) begun(e *pool.Event) {
	d := &deal{id: e.Grant, token: e.Token, expiresAt: e.ExpiresAt}
	if s.deals[d.id] != nil || d.token != e.Rev || len(e.Items) == 0 || (d.expiresAt <= e.At) != (e.Type == "slot.booked") {
		s.fail("event %d: %s of %d with token %d until %d, at %d", e.Rev, e.Type, d.id, d.token, d.expiresAt, e.At)
	}
	s.deals[d.id] = d
	for _, p := range d.portions(e.Items) {
		p.firm = e.Type == "slot.booked"
		s.take(e, p)
	}
	d.untold = append(d.untold, act{rev: e.Rev, typ: e.Type, expiresAt: e.ExpiresAt, items: linesOf(d.parts)})
}

// take has a deal have something, and checks that it is there to be had, at each moment.
func (s *sales) take(e *pool.Event, p *portion) {
	if p.units < 1 || s.calendar(p.pool()) != (p.start < p.end) {
		s.fail("event %d: %s of %d", e.Rev, p.line(), p.deal.id)
	}
	p.deal.parts = append(p.deal.parts, p)
	s.parts[p.item] = append(s.parts[p.item], p)
	moments := []int64{p.from}
	for _, other := range s.parts[p.item] {
		if p.from < other.from && other.from < p.until {
			moments = append(moments, other.from)
		}
	}
	for _, at := range moments {
		n := int64(0)
		var whose []uint64
		for _, other := range s.parts[p.item] {
			if other.from <= at && at < other.until || other.end == 0 {
				n += other.units
				whose = append(whose, other.deal.id)
			}
		}
		if n > capacity(p.item) || s.withheld[p.item] {
			s.fail("event %d gives out %s: %d of it at a time, to %d (withheld: %t)", e.Rev, p.line(), n, whose, s.withheld[p.item])
		}
	}
}

// lose has a deal lose what it has of an item, or some of it, and returns what that was.
func (s *sales) lose(e *pool.Event, d *deal, item string, units, start int64) *portion {
	i := slices.IndexFunc(d.parts, func(p *portion) bool { return p.item == item && p.start == start })
	if i < 0 || d.parts[i].units < units {
		s.fail("event %d: %s of %d, which has not so much of %s at %d", e.Rev, e.Type, d.id, item, start)
		return &portion{deal: d}
	}
	p := d.parts[i]
	if units == 0 || p.units == units {
		d.parts = slices.Delete(d.parts, i, i+1)
		s.parts[item] = slices.DeleteFunc(s.parts[item], func(x *portion) bool { return x == p })
		return p
	}
	p.units -= units
	lost := *p
	lost.units = units
	return &lost
}

func (s *sales) confirmed(e *pool.Event, d *deal) {
	items := linesOf(d.portions(e.Items))
	if e.At >= d.expiresAt || !slices.Equal(items, linesOf(d.parts)) {
		s.fail("event %d confirms %v of %d, which has %v until %d", e.Rev, items, d.id, linesOf(d.parts), d.expiresAt)
	}
	for _, p := range d.parts {
		if p.firm {
			s.fail("event %d confirms %s of %d a second time", e.Rev, p.line(), d.id)
		}
		p.firm = p.pool() != "kit"
	}
	d.untold = append(d.untold, act{rev: e.Rev, typ: e.Type, items: items})
}

func (s *sales) moved(e *pool.Event, d *deal) {
	var old []*portion
	to := d.portions(e.Items)
	for i, r := range e.Was {
		p := s.lose(e, d, ref(r.Pool, r.ID), 0, r.Span.Start)
		old = append(old, p)
		to[i].units, to[i].firm = p.units, p.firm
		if !p.firm {
			s.fail("event %d moves %s, which is only held", e.Rev, p.line())
		}
	}
	for _, p := range to {
		s.take(e, p)
	}
	d.untold = append(d.untold, act{rev: e.Rev, typ: e.Type, items: linesOf(to), was: linesOf(old)})
}

// back takes what ends something.
func (s *sales) back(e *pool.Event, d *deal) {
	expired := e.Cause == string(pool.RanOut)
	if !expired && e.Cause != "" {
		s.fail("event %d: %s of %d, cause %s", e.Rev, e.Type, d.id, e.Cause)
	}
	var lost []*portion
	for _, r := range e.Items {
		p := s.lose(e, d, ref(r.Pool, r.ID), r.Units, r.Span.Start)
		lost = append(lost, p)
		if p.firm && expired || !p.firm && expired != (e.At >= d.expiresAt) {
			s.fail("event %d: %s of %d at %d, cause %q, while it lasts until %d", e.Rev, e.Type, d.id, e.At, e.Cause, d.expiresAt)
		}
		if p.firm != (e.Type == "sale.refunded" || e.Type == "slot.cancelled") {
			s.fail("event %d: %s of %d, of %s, firm: %t", e.Rev, e.Type, d.id, p.line(), p.firm)
		}
		if e.Outcome == string(pool.Withheld) {
			s.withheld[p.item] = true
		}
	}
	if expired {
		d.ranOut = true
	} else {
		d.untold = append(d.untold, act{rev: e.Rev, typ: e.Type, was: linesOf(lost)})
	}
}

func (s *sales) state(e *pool.Event) {
	item := refs(e.Items)[0]
	if !s.withheld[item] || e.State == "withheld" {
		s.fail("event %d: %s is %s, and was withheld: %t", e.Rev, item, e.State, s.withheld[item])
	}
	delete(s.withheld, item)
}

// causes are the events that each request has.
var causes = map[request][]string{
	askHold: {"hold.created"}, askTake: {"lease.granted"}, askBook: {"slot.booked"}, askExtend: {"hold.extended", "lease.renewed"},
	askConfirm: {"hold.confirmed"}, askVoid: {"hold.voided", "lease.released"}, askBack: {"lease.released"},
	askRefund: {"sale.refunded"}, askMove: {"slot.moved"}, askCancel: {"slot.cancelled"},
}

// tell compares what a buyer was told with the events so far: those of a deal come in the order of its requests, each once.
func (s *sales) tell(t *deed) {
	s.told++
	if t.again {
		s.again++
	}
	if t.rev > s.rev {
		s.fail("a buyer was told of rev %d, the last event is %d: %+v", t.rev, s.rev, *t)
	}
	d := s.deals[t.grant]
	if d == nil || d.token != t.token {
		s.fail("this is in no event: %+v", *t)
		return
	}
	if t.over {
		d.saidOver = true
		if d.expiresAt > t.at+clockSlack {
			s.fail("this hold was said to be over: %+v; it lasts until %d", *t, d.expiresAt)
		}
		return
	}
	next := func() (a act, ok bool) {
		if len(d.untold) == 0 {
			return a, false
		}
		a, d.untold = d.untold[0], d.untold[1:]
		if a.rev > t.rev || a.rev <= t.seen {
			s.fail("event %d, of which somebody was told, came before event %d, whose request was sent later, and rev %d was told: %+v",
				t.seen, a.rev, t.rev, *t)
		}
		return a, true
	}
	a, ok := next()
	if ok && t.ask == askConfirm && (a.typ == "hold.voided" || a.typ == "lease.released") { // what of the hold was not wanted
		a, ok = next()
	}
	if !ok || !slices.Contains(causes[t.ask], a.typ) {
		s.fail("this is in no event, or was told twice: %+v; the next is %+v", *t, a)
		return
	}
	if !slices.Equal(a.items, t.items) || t.ask == askExtend && a.expiresAt != t.expiresAt || !slices.Equal(a.was, t.was) {
		s.fail("this is another in its event: %+v, %+v", *t, a)
	}
}

// settle checks at the end that all was told.
func (s *sales) settle() {
	for _, d := range s.deals {
		if len(d.untold) > 0 {
			s.fail("of %d nobody was told: %+v", d.id, d.untold)
		}
		if d.saidOver && !d.ranOut {
			s.fail("a buyer was told that hold %d is over, and no event says so", d.id)
		}
	}
}

// compare compares what is sold and booked with what a server tells. All is as the events say when nothing can have
// happened since.
func (s *sales) compare(l listed, all bool) {
	for name, items := range l.seats {
		for _, it := range items {
			var sold, held int64
			var whose []uint64
			for _, p := range s.parts[ref(name, it.ID)] {
				whose = append(whose, p.deal.id)
				if p.firm {
					sold += p.units
				} else {
					held += p.units
				}
			}
			shown := map[string]int64{"sold": 1}[it.State]
			shownHeld := map[string]int64{"held": 1, "leased": 1}[it.State]
			if it.Quantity > 1 {
				shown, shownHeld = it.Sold, it.Held
			}
			hidden := s.withheld[ref(name, it.ID)]
			number := it.Lease + it.Hold + it.Sale // one of them at most
			if shown != sold || shownHeld > held || all && shownHeld != held || hidden != (it.State == "withheld") ||
				shown+shownHeld > 0 && it.Quantity <= 1 && !slices.Contains(whose, number) {
				s.fail("pool.list of %s has %+v; by the events up to %d it is sold %d times, held %d times, by %v",
					name, it, s.rev, sold, held, whose)
			}
		}
	}
	for name, slots := range l.booked {
		var firm, shown, others []string
		for item, parts := range s.parts {
			if !strings.HasPrefix(item, name+"/") {
				continue
			}
			for _, p := range parts {
				if what := fmt.Sprint(p.deal.id, " ", p.line()); p.firm {
					firm = append(firm, what)
				} else {
					others = append(others, what)
				}
			}
		}
		for _, b := range slots {
			what := fmt.Sprint(b.Booking, " ", line(ref(name, b.ID), max(b.Count, 1), b.Start, b.End))
			if b.ExpiresAt == 0 {
				shown = append(shown, what)
			} else if i := slices.Index(others, what); i >= 0 {
				others = slices.Delete(others, i, i+1)
			} else {
				s.fail("slot.list of %s has %s, which is in no event", name, what)
			}
		}
		slices.Sort(firm)
		slices.Sort(shown)
		if !slices.Equal(firm, shown) || all && len(others) > 0 {
			s.fail("slot.list of %s has %v, by the events up to %d there is %v, and held: %v", name, shown, s.rev, firm, others)
		}
	}
}

// enough reports whether there was some of everything.
func (s *sales) enough() bool {
	for _, typ := range []string{
		"hold.created", "hold.extended", "hold.confirmed", "hold.voided", "hold.expired", "sale.refunded",
		"slot.booked", "slot.moved", "slot.cancelled",
		"lease.granted", "lease.released", "item.state",
	} {
		if s.counts[typ] == 0 {
			return false
		}
	}
	return s.again > 0
}

// String says what there was.
func (s *sales) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "of seats and rooms %d answers compared, %d of them to who had to ask again; events:", s.told, s.again)
	for _, typ := range slices.Sorted(maps.Keys(s.counts)) {
		fmt.Fprintf(&b, " %s %d", typ, s.counts[typ])
	}
	return b.String()
}

// TestLedgerOfSales has the ledger check histories of seats and rooms, of which each but the first is wrong.
func TestLedgerOfSales(t *testing.T) {
	seat := func(id string, units int64) pool.ItemRef { return pool.ItemRef{Pool: "hall", ID: id, Units: units} }
	room := func(id string, from, to int64) pool.ItemRef {
		return pool.ItemRef{Pool: "rooms", ID: id, Units: 1, Span: pool.Span{Start: from, End: to, CleanupMs: 5}}
	}
	items := func(refs ...pool.ItemRef) []pool.ItemRef { return refs }
	a1, floor := items(seat("A1", 1)), items(seat("A1", 1), seat("floor", 20))
	events := func() []*pool.Event {
		return []*pool.Event{
			{Rev: 1, At: 1, Type: "hold.created", Grant: 1, Token: 1, Items: floor, ExpiresAt: 10},
			{Rev: 2, At: 2, Type: "hold.voided", Grant: 1, Items: items(seat("floor", 15))},
			{Rev: 3, At: 2, Type: "hold.confirmed", Grant: 1, Items: items(seat("A1", 1), seat("floor", 5))},
			{Rev: 4, At: 3, Type: "sale.refunded", Grant: 1, Items: a1, Outcome: "withheld"},
			{Rev: 5, At: 4, Type: "item.state", Items: a1, State: "free"},
			{Rev: 6, At: 5, Type: "hold.created", Grant: 6, Token: 6, Items: a1, ExpiresAt: 10},
			{Rev: 7, At: 10, Type: "hold.expired", Grant: 6, Items: a1, Cause: "expired"},
			{Rev: 8, At: 10, Type: "slot.booked", Grant: 8, Token: 8, Items: items(room("room-1", 100, 110), room("room-1", 120, 130))},
			{Rev: 9, At: 11, Type: "slot.booked", Grant: 9, Token: 9, Items: items(room("room-1", 140, 150))},
			{Rev: 10, At: 12, Type: "slot.moved", Grant: 8, Was: items(room("room-1", 120, 0)), Items: items(room("room-1", 125, 135))},
			{Rev: 11, At: 13, Type: "slot.cancelled", Grant: 9, Items: items(room("room-1", 140, 150))},
		}
	}
	deeds := func() []*deed {
		return []*deed{
			{ask: askHold, grant: 1, token: 1, rev: 1, items: []string{"hall/A1*1@0-0", "hall/floor*20@0-0"}},
			{ask: askConfirm, grant: 1, token: 1, rev: 3, seen: 1, items: []string{"hall/A1*1@0-0", "hall/floor*5@0-0"}},
			{ask: askRefund, grant: 1, token: 1, rev: 4, seen: 3, was: []string{"hall/A1*1@0-0"}},
			{ask: askHold, grant: 6, token: 6, rev: 6, seen: 5, items: []string{"hall/A1*1@0-0"}},
			{ask: askConfirm, grant: 6, token: 6, rev: 7, seen: 7, at: 10, over: true},
			{ask: askBook, grant: 8, token: 8, rev: 8, seen: 7, items: []string{"rooms/room-1*1@100-110", "rooms/room-1*1@120-130"}},
			{ask: askBook, grant: 9, token: 9, rev: 9, seen: 8, items: []string{"rooms/room-1*1@140-150"}},
			{ask: askMove, grant: 8, token: 8, rev: 10, seen: 9, items: []string{"rooms/room-1*1@125-135"}, was: []string{"rooms/room-1*1@120-130"}},
			{ask: askCancel, grant: 9, token: 9, rev: 11, seen: 10, was: []string{"rooms/room-1*1@140-150"}},
		}
	}
	last := listed{
		map[string][]wire.ItemState{"hall": {{ID: "A1", State: "available"}, {ID: "floor", Quantity: floorUnits, Available: 25, Sold: 5}}},
		map[string][]wire.Slot{"rooms": {{ID: "room-1", Booking: 8, Start: 100, End: 110}, {ID: "room-1", Booking: 8, Start: 125, End: 135}}},
	}
	for _, c := range []struct {
		name    string
		corrupt func(e []*pool.Event, d []*deed, l *listed) ([]*pool.Event, []*deed)
		want    string // empty: nothing is wrong
	}{
		{"as it should be", nil, ""},
		{"a seat is held twice", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			e[5].At, e[5].Items = 5, items(seat("A1", 1), seat("floor", 26))
			return e, d
		}, "hall/floor*26@0-0: 31 of it at a time"},
		{"what is withheld is sold", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			e[4].Type = "item.set"
			return e, d
		}, "withheld: true"},
		{"what is sold runs out", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			e[3].Type, e[3].Cause, e[3].At, e[3].Outcome = "hold.expired", "expired", 10, "clean"
			return e[:4], d[:2]
		}, `cause "expired", while it lasts`},
		{"a hold is confirmed late", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			e[0].ExpiresAt = 2
			return e, d
		}, "event 3 confirms"},
		{"more is sold than was held", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			e[2].Items = floor
			return e, d
		}, "event 3 confirms"},
		{"a hold is confirmed twice", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			again := *e[2]
			again.Rev = 4
			return append(e[:3], &again), d[:2]
		}, "a second time"},
		{"a sale is lost", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			return e[:2], d[:2]
		}, "in no event, or was told twice"},
		{"a refund is told twice", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) { return e, append(d, d[2]) }, "told twice"},
		{"a refund is done twice", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			return append(e, &pool.Event{Rev: 12, At: 14, Type: "sale.refunded", Grant: 1, Items: items(seat("floor", 5))}), d
		}, "of 1 nobody was told"},
		{"more is refunded than was asked", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			e[3].Items = items(seat("A1", 1), seat("floor", 1))
			return e, d
		}, "another in its event"},
		{"rooms overlap", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			e[9].Items = items(room("room-1", 130, 140))
			return e, d
		}, "rooms/room-1*1@130-140: 2 of it at a time"},
		{"rooms overlap in their clean-up", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			e[8].Items = items(room("room-1", 134, 138))
			return e, d
		}, "rooms/room-1*1@134-138: 2 of it at a time"},
		{"a room is moved elsewhere", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			d[7].items = []string{"rooms/room-1*1@126-136"}
			return e, d
		}, "another in its event"},
		{"a cancellation is lost", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) { return e[:10], d }, "in no event"},
		{"the order is not that of the clock on the wall", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			d[5].seen = 8
			return e, d
		}, "was sent later"},
		{"what lasts is said to be over", func(e []*pool.Event, d []*deed, _ *listed) ([]*pool.Event, []*deed) {
			d[4].at = 9 - clockSlack
			return e, d
		}, "said to be over"},
		{"a sold seat is available", func(e []*pool.Event, d []*deed, l *listed) ([]*pool.Event, []*deed) {
			l.seats = map[string][]wire.ItemState{"hall": {{ID: "floor", Quantity: floorUnits, Available: floorUnits}}}
			return e, d
		}, "pool.list of hall"},
		{"a booking is not there", func(e []*pool.Event, d []*deed, l *listed) ([]*pool.Event, []*deed) {
			l.booked = map[string][]wire.Slot{"rooms": last.booked["rooms"][:1]}
			return e, d
		}, "slot.list of rooms"},
	} {
		l := newLedger()
		e, d, list := events(), deeds(), last
		if c.corrupt != nil {
			e, d = c.corrupt(e, d, &list)
		}
		for _, e := range e {
			l.event(e)
		}
		for _, d := range d {
			l.sales.tell(d)
		}
		l.settle(0, true)
		l.sales.compare(list, true)
		all := strings.Join(l.wrong, "\n")
		if c.want == "" && all != "" || !strings.Contains(all, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, all, c.want)
		}
	}
}
