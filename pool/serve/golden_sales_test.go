package serve

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// goldenSales is what is in a golden store of seats and rooms, as its clients were told.
type goldenSales struct {
	Seats  map[string]string // as conn.state has them
	Slots  []wire.Slot       // of rooms
	Sale   wire.Sale         // of A1 and A2, to Ann, confirmed under the key "pay"
	Floor  wire.Sale         // of one of what were three units of the floor
	Best   wire.Sale         // of B4, Ann's, of what were two
	Hold   wire.Hold         // of A5, Ann's under the key "hold"
	Series wire.Booking      // each week, over a change of the clocks: Ann's under the key "book"
	Moved  wire.Booking
	Gone   wire.Booking // cancelled
	Held   wire.Lease   // of a seat, a room and a beamer, Bob's, not confirmed
	Mixed  wire.Sale    // of the same, confirmed
}

func goldenSalesPools() []Pool {
	seats, booked := hall(2, 6), rooms(2)
	seats.Spec.TTLMs, seats.Spec.LifetimeMaxMs, seats.Spec.QuotaMax = day24, 7*day24, 50
	booked.Spec.TTLMs, booked.Spec.CleanupMs, booked.Spec.KeepMs = day24, 600_000, 1000
	beamers := items("beamers", 2)
	beamers.Spec.TTLMs = day24
	desks := Pool{
		Spec:  pool.Spec{Name: "desks", Kind: pool.Calendar, KeepMs: 1000},
		Items: slices.Values([]pool.ItemSpec{{ID: "desk", Quantity: 3}}),
	}
	return []Pool{seats, booked, beamers, desks}
}

const (
	goldenPay    = `,"seats":["A1","A2"]`
	goldenSeat   = `{"pool":"hall","seats":["A5"],"owner":"ann"}`
	goldenSeries = `{"pool":"rooms","ids":["room-1"],"start":"2026-10-13T10:00","end":"2026-10-13T11:00","rrule":"FREQ=WEEKLY;COUNT=5","owner":"choir"}`
	goldenWait   = `{"pool":"hall","best":{"n":3},"waitMs":300000}`
	goldenFrom   = "2026-09-01T00:00"
	goldenTo     = "2026-12-01T00:00"
)

func booked(c *conn, payload string, fields ...string) wire.Booking {
	c.t.Helper()
	return into[wire.Booking](c.t, c.call("slot.book", payload, fields...))
}

func (c *conn) confirm(h wire.Hold, more string, fields ...string) wire.Sale {
	c.t.Helper()
	return into[wire.Sale](c.t, c.call("hold.confirm", holding(h, more), fields...))
}

func (c *conn) refund(s wire.Sale, more string, units int) {
	c.t.Helper()
	if n := into[wire.Refunded](c.t, c.call("sale.refund", selling(s, more))).Refunded; n != units {
		c.t.Fatalf("refunded %d of %+v, not %d", n, s, units)
	}
}

func allSlots(c *conn) []wire.Slot {
	c.t.Helper()
	all := fmt.Sprintf(`{"pool":"rooms","from":%d,"to":%d}`, goldenClock-100*day24, goldenClock+100*day24)
	return into[wire.SlotsBooked](c.t, c.call("slot.list", all)).Booked
}

// ofThree asks for a seat, a room and a beamer.
func ofThree(seat, room, on string) string {
	times := fmt.Sprintf(`{"pool":"rooms","ids":[%q],"start":"%sT12:00","end":"%[2]sT13:00"}`, room, on)
	return fmt.Sprintf(`{"want":[{"pool":"hall","ids":[%q]},%s,{"pool":"beamers"}]}`, seat, times)
}

// sell is what the first life has, and the checkpoint.
func (g *goldenSales) sell(ann, other *conn) {
	h := ann.hold(`{"pool":"hall","seats":["A1","A2","A3"]}`)
	g.Sale = ann.confirm(h, goldenPay, `"key":"pay"`)
	h = ann.hold(`{"pool":"hall","seats":["floor"],"qty":3}`)
	g.Floor = ann.confirm(h, `,"seats":[{"id":"floor","qty":2}]`)
	withheld := other.confirm(other.hold(`{"pool":"hall","seats":["B1","B2"]}`), "")
	other.refund(withheld, `,"seats":["B1"],"to":"withheld"`, 1)
	other.call("item.set", `{"pool":"hall","id":"B6","state":"withheld"}`).none(ann.t)
	other.call("item.set", `{"pool":"hall","id":"floor","withheld":1}`).none(ann.t)
	other.fails("none_free", "hold.create", `{"pool":"hall","seats":["floor"],"qty":3}`, `"key":"full"`)
	g.Hold = ann.hold(goldenSeat, `"key":"hold"`)
	g.Series = booked(ann, goldenSeries, `"key":"book"`)
	g.Moved = booked(ann, `{"pool":"rooms","start":"2026-11-02T10:00","end":"2026-11-02T12:00"}`)
	g.Gone = booked(other, `{"pool":"rooms","ids":["room-2"],"start":"2026-11-03T10:00","end":"2026-11-03T12:00"}`)
	other.call("slot.cancel", booking(g.Gone, "")).none(ann.t)
	booked(other, `{"pool":"desks","start":"2026-10-13T10:00","end":"2026-10-13T12:00","count":2}`)
}

// sellMore is what comes behind it.
func (g *goldenSales) sellMore(ann, bob, other *conn) {
	ann.call("hold.extend", holding(g.Hold, `,"ttlMs":86400000`)).none(ann.t)
	ann.refund(g.Floor, `,"seats":[{"id":"floor","qty":1}]`, 1)
	g.Best = ann.confirm(ann.hold(`{"pool":"hall","best":{"n":2}}`), "")
	ann.refund(g.Best, `,"seats":["B5"]`, 1)
	void := other.hold(`{"pool":"hall","seats":["A6"],"ttlMs":1000}`)
	other.call("hold.void", holding(void, "")).none(ann.t)
	short := other.hold(`{"pool":"hall","seats":["A6"],"ttlMs":1}`)
	for other.stats("hall").Leased != 1 {
	}
	other.fails("expired", "hold.confirm", holding(short, ""))
	g.Moved = into[wire.Booking](ann.t, ann.call("slot.move", booking(g.Moved, `,"start":"2026-11-04T15:00","item":"room-2"`)))
	ann.call("slot.move", booking(g.Series, `,"at":"2026-10-20T10:00","start":"2026-10-21T09:00","end":"2026-10-21T11:00"`)).none(ann.t)
	ann.call("slot.move", booking(g.Series, `,"at":"2026-10-27T10:00","following":true,"start":"2026-10-28T10:00"`)).none(ann.t)
	ann.call("slot.cancel", booking(g.Series, `,"at":"2026-11-11T10:00"`)).none(ann.t)
	g.Held = into[wire.Lease](bob.t, bob.call("lease.acquire", ofThree("B3", "room-2", "2026-10-13")))
	mixed := into[wire.Lease](ann.t, ann.call("lease.acquire", ofThree("A4", "room-1", "2026-10-14")))
	g.Mixed = into[wire.Sale](ann.t, ann.call("hold.confirm", fmt.Sprintf(`{"hold":%d,"token":%d}`, mixed.Lease, mixed.Token)))
	// Of the seats that are free no three are side by side.
	bob.send("hold.create", goldenWait, `"key":"best"`)
	other.waiting("hall", 1)
	g.Seats, g.Slots = other.state("hall"), allSlots(other)
}

// goOn has a server with the store do what comes next.
func (g *goldenSales) goOn(ann, bob *conn) {
	t := ann.t
	t.Helper()
	if got := bob.state("hall"); !maps.Equal(got, g.Seats) {
		t.Errorf("the seats are %v, want %v", got, g.Seats)
	}
	if got := allSlots(bob); !slices.Equal(got, g.Slots) {
		t.Errorf("booked are %+v, want %+v", got, g.Slots)
	}
	bob.fails("none_free", "hold.create", `{"pool":"hall","seats":["A1"]}`)
	bob.fails("conflict", "slot.book", `{"pool":"rooms","ids":["room-1"],"start":"2026-10-13T10:30","end":"2026-10-13T10:40","zone":"Europe/Berlin"}`)
	// What was done under a key is told, and not done again.
	same := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("the key %s gives %+v, want %+v", what, got, want)
		}
	}
	paid := wire.Hold{Hold: g.Sale.Sale, Token: g.Sale.Token}
	same("pay", ann.confirm(paid, goldenPay, `"key":"pay"`), g.Sale)
	same("hold", ann.hold(goldenSeat, `"key":"hold"`), g.Hold)
	same("book", booked(ann, goldenSeries, `"key":"book"`), g.Series)
	ann.fails("already_resolved", "hold.confirm", holding(paid, ""))
	ann.fails("already_resolved", "slot.cancel", booking(g.Gone, ""))
	ann.fails("stale_token", "sale.refund", fmt.Sprintf(`{"sale":%d,"token":1}`, g.Best.Sale))

	// Bob waits still, and gets what comes back.
	best := bob.send("hold.create", goldenWait, `"key":"best"`)
	ann.refund(g.Sale, "", 2)
	three := into[wire.Hold](t, bob.reply(best))
	if ids(three.Seats) != "A1 A2 A3" {
		t.Errorf("%+v", three)
	}
	bob.confirm(three, "")
	// What is held is confirmed, what is sold comes back.
	ann.confirm(g.Hold, "")
	ann.refund(g.Floor, "", 1)
	ann.refund(g.Best, "", 1)
	ann.fails("already_resolved", "sale.refund", selling(g.Best, ""))
	sold := into[wire.Sale](t, bob.call("hold.confirm", fmt.Sprintf(`{"hold":%d,"token":%d}`, g.Held.Lease, g.Held.Token)))
	if len(sold.Seats) != 3 || sold.ExpiresAt == 0 {
		t.Errorf("%+v", sold)
	}
	for _, l := range []wire.Lease{g.Held, {Lease: g.Mixed.Sale, Token: g.Mixed.Token}} {
		if n := into[wire.Released](t, bob.call("lease.release", held(l))).Released; n != 1 { // the beamer
			t.Errorf("released %d of %+v", n, l)
		}
	}
	ann.refund(g.Mixed, "", 1)
	ann.call("slot.cancel", fmt.Sprintf(`{"booking":%d,"token":%d}`, g.Mixed.Sale, g.Mixed.Token)).none(t)
	ann.call("slot.move", booking(g.Moved, `,"start":"2026-11-05T09:00","item":"room-1","zone":"Europe/Berlin"`)).none(t)
	ann.call("slot.cancel", booking(g.Series, `,"at":"2026-10-21T09:00","following":true,"zone":"Europe/Berlin"`)).none(t)
	if got, want := bob.slots(goldenFrom, goldenTo), "room-1 10-13 08:00-09:00, room-1 11-05 08:00-10:00, room-2 10-13 10:00-11:00"; got != want {
		t.Errorf("booked are %s, want %s", got, want) // in UTC: no pool is configured
	}
	want := map[string]string{
		"A1": "sold", "A2": "sold", "A3": "sold", "A4": "available", "A5": "sold", "A6": "available", "floor": "4/0/0/1",
		"B1": "withheld", "B2": "sold", "B3": "sold", "B4": "available", "B5": "available", "B6": "withheld",
	}
	if got := bob.state("hall"); !maps.Equal(got, want) {
		t.Errorf("the seats are %v, want %v", got, want)
	}
}

// TestGoldenGetsSeats opens the store of a server that knew leases alone with seats and rooms besides: what was leased stays
// that, what is sold then stays sold.
func TestGoldenGetsSeats(t *testing.T) {
	dir := copyGolden(t, goldens[0])
	life := func(fn func(s *served)) {
		t.Helper()
		s := startOnly(t, Config{
			Journal: open(t, dir), Pools: append(goldenPools(), goldenSalesPools()...),
			wall: func() time.Time { return time.UnixMilli(goldenClock) },
		}, 0)
		fn(s)
		if err := s.end(giveUp); err != nil { // this compares the state with what the journal replays to
			t.Fatal(err)
		}
	}
	leased := func(c *conn) (leases []string) {
		for _, p := range goldenPools() {
			for _, it := range into[wire.PoolPage](t, c.call("pool.list", fmt.Sprintf(`{"pool":%q}`, p.Spec.Name))).Items {
				if it.Lease != 0 {
					leases = append(leases, fmt.Sprint(p.Spec.Name, it.ID, it.Lease, it.ExpiresAt, it.Owner))
				}
			}
		}
		slices.Sort(leases)
		return leases
	}
	var g goldenSales
	var before []string
	life(func(s *served) {
		ann, bob, other := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
		ann.hello("")
		bob.hello("")
		before = leased(other)
		g.sell(ann, other)
		g.sellMore(ann, bob, other)
	})
	if len(before) != 6 {
		t.Errorf("leased are %v", before)
	}
	life(func(s *served) {
		c := dial(t, s.addr)
		if after := leased(c); !slices.Equal(before, after) {
			t.Errorf("leased are %v, they were %v", after, before)
		}
		if got := c.state("hall"); !maps.Equal(got, g.Seats) {
			t.Errorf("the seats are %v, want %v", got, g.Seats)
		}
		if got := allSlots(c); len(got) != 7 || !slices.Equal(got, g.Slots) {
			t.Errorf("booked are %+v, want %+v", got, g.Slots)
		}
		c.fails("already_resolved", "hold.confirm", fmt.Sprintf(`{"hold":%d,"token":%d}`, g.Sale.Sale, g.Sale.Token))
		c.refund(g.Sale, "", 2)
		c.call("slot.cancel", booking(g.Series, "")).none(t)
		if st := c.stats("hall"); st.Kind != string(pool.Stock) || st.Waiting != 0 && st.Leased == 0 {
			t.Errorf("%+v", st)
		}
	})
}
