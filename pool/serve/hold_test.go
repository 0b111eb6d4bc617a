package serve

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// hall makes a configured pool with rows A, B, … of so many seats, with an aisle in their middle, and general admission.
func hall(rows, columns int) Pool {
	return Pool{
		Spec: pool.Spec{Name: "hall", Kind: pool.Stock, FocusRow: 100, FocusCol: int64(50 * (columns + 2))},
		Items: func(yield func(pool.ItemSpec) bool) {
			for i := range rows * columns {
				row, col := i/columns, i%columns
				at := int64(col + 1)
				if col >= columns/2 {
					at++
				}
				if !yield(pool.ItemSpec{ID: fmt.Sprintf("%c%d", 'A'+row, col+1), Labels: map[string]string{"row": string(rune('A' + row))}, Row: int64(row + 1), Col: at}) {
					return
				}
			}
			yield(pool.ItemSpec{ID: "floor", Quantity: 5, Labels: map[string]string{"kind": "standing"}})
		},
	}
}

func (c *conn) hold(payload string, fields ...string) wire.Hold {
	c.t.Helper()
	return into[wire.Hold](c.t, c.call("hold.create", payload, fields...))
}

func holding(h wire.Hold, more string) string {
	return fmt.Sprintf(`{"hold":%d,"token":%d%s}`, h.Hold, h.Token, more)
}

func selling(s wire.Sale, more string) string {
	return fmt.Sprintf(`{"sale":%d,"token":%d%s}`, s.Sale, s.Token, more)
}

func ids(items []wire.Item) string {
	var ids []string
	for _, it := range items {
		id := it.ID
		if it.Qty > 0 {
			id = fmt.Sprintf("%s*%d", id, it.Qty)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// state says what pool.list shows of seats.
func (c *conn) state(name string) map[string]string {
	c.t.Helper()
	states := make(map[string]string)
	for _, it := range into[wire.PoolPage](c.t, c.call("pool.list", fmt.Sprintf(`{"pool":%q,"limit":1000}`, name))).Items {
		states[it.ID] = it.State
		if it.Quantity > 1 {
			states[it.ID] = fmt.Sprintf("%d/%d/%d/%d", it.Available, it.Held, it.Sold, it.Withheld)
		}
	}
	return states
}

func TestASeatFromHoldToRefund(t *testing.T) {
	s := start(t, Config{Pools: []Pool{hall(2, 6), items("projectors", 1)}})
	c, watcher := dial(t, s.addr), dial(t, s.addr)
	c.hello("")
	watcher.hello("")
	watcher.call("watch", `{"pools":["hall"],"types":["hold.created","hold.confirmed","hold.voided","sale.refunded"]}`).none(t)

	h := c.hold(`{"pool":"hall","seats":["A1","A2","B1"],"owner":"ann"}`)
	c.fails("none_free", "hold.create", `{"pool":"hall","seats":["B1"]}`)
	longer := into[wire.Renewed](t, c.call("hold.extend", holding(h, `,"ttlMs":1200000`)))
	if longer.ExpiresAt <= h.ExpiresAt {
		t.Errorf("extended to %d from %d", longer.ExpiresAt, h.ExpiresAt)
	}
	sale := into[wire.Sale](t, c.call("hold.confirm", holding(h, `,"seats":["A1",{"id":"A2"}]`), `"key":"pay"`))
	if sale.Sale != h.Hold || sale.Token != h.Token || ids(sale.Seats) != "A1 A2" || sale.ExpiresAt != 0 {
		t.Errorf("%+v of %+v", sale, h)
	}
	if again := into[wire.Sale](t, c.call("hold.confirm", holding(h, `,"seats":["A1",{"id":"A2"}]`), `"key":"pay"`)); ids(again.Seats) != "A1 A2" {
		t.Errorf("again: %+v", again)
	}
	c.fails("already_resolved", "hold.confirm", holding(h, ""))
	c.fails("already_resolved", "hold.void", holding(h, ""))
	if got := c.state("hall"); got["A1"] != "sold" || got["B1"] != "available" {
		t.Errorf("%v", got)
	}
	if n := into[wire.Refunded](t, c.call("sale.refund", selling(sale, `,"seats":["A1"]`))).Refunded; n != 1 {
		t.Errorf("refunded %d", n)
	}
	if n := into[wire.Refunded](t, c.call("sale.refund", selling(sale, `,"to":"withheld"`))).Refunded; n != 1 {
		t.Errorf("refunded %d", n)
	}
	c.fails("already_resolved", "sale.refund", selling(sale, ""))
	if got := c.state("hall"); got["A1"] != "available" || got["A2"] != "withheld" {
		t.Errorf("%v", got)
	}
	c.fails("none_free", "hold.create", `{"pool":"hall","seats":["A2"]}`)
	c.call("item.set", `{"pool":"hall","id":"A2","state":"available"}`).none(t)
	voided := c.hold(`{"pool":"hall","seats":["A2"]}`)
	if n := into[wire.Voided](t, c.call("hold.void", holding(voided, ""))).Voided; n != 1 {
		t.Errorf("voided %d", n)
	}
	c.fails("expired", "hold.confirm", holding(voided, ""))

	for _, want := range []string{
		"hold.created A1 A2 B1", "hold.voided B1", "hold.confirmed A1 A2", "sale.refunded A1", "sale.refunded A2", "hold.created A2", "hold.voided A2",
	} {
		ev := into[wire.Event](t, watcher.push())
		if got := ev.Type + " " + ids(ev.Items); got != want || ev.Hold+ev.Sale == 0 || ev.Lease != 0 {
			t.Errorf("event %q, want %q: %+v", got, want, ev)
		}
	}
}

func TestGeneralAdmission(t *testing.T) {
	s := start(t, Config{Pools: []Pool{hall(1, 2)}})
	c := dial(t, s.addr)
	c.hello("")
	h := c.hold(`{"pool":"hall","seats":["floor"],"qty":3}`)
	if ids(h.Seats) != "floor*3" {
		t.Errorf("%+v", h)
	}
	c.fails("none_free", "hold.create", `{"pool":"hall","seats":["floor"],"qty":3}`)
	c.fails("no_match", "hold.create", `{"pool":"hall","seats":["floor"],"qty":6}`)
	into[wire.Sale](t, c.call("hold.confirm", holding(h, `,"seats":[{"id":"floor","qty":2}]`)))
	if got := c.state("hall")["floor"]; got != "3/0/2/0" {
		t.Errorf("available, held, sold, withheld: %s", got)
	}
	c.call("watch", `{"types":["item.state"]}`).none(t)
	c.call("item.set", `{"pool":"hall","id":"floor","withheld":2}`).none(t)
	if e := into[wire.Event](t, c.push()); e.Withheld == nil || *e.Withheld != 2 || ids(e.Items) != "floor" {
		t.Errorf("%+v", e)
	}
	c.fails("conflict", "item.set", `{"pool":"hall","id":"floor","withheld":4}`)
	if h = c.hold(`{"pool":"hall","qty":3}`); ids(h.Seats) != "A1 A2 floor" {
		t.Errorf("%+v", h)
	}
	st := c.stats("hall")
	if st.Free != 0 || st.Leased != 3 || st.Sold != 2 || st.Withheld != 2 || st.Items != 3 || st.Kind != "stock" {
		t.Errorf("%+v", st)
	}
}

// TestWaitingForSeats has one wait for two seats side by side: two apart do not serve it.
func TestWaitingForSeats(t *testing.T) {
	s := start(t, Config{Pools: []Pool{hall(1, 6)}})
	c, waiter := dial(t, s.addr), dial(t, s.addr)
	c.hello("")
	waiter.hello("")
	var one []wire.Hold
	for i := range 6 {
		one = append(one, c.hold(fmt.Sprintf(`{"pool":"hall","seats":["A%d"]}`, i+1)))
	}
	index := waiter.send("hold.create", `{"pool":"hall","best":{"n":2},"waitMs":20000}`)
	c.waiting("hall", 1)
	x := into[wire.Explained](t, waiter.call("explain", fmt.Sprintf(`{"queryIndex":%d}`, index)))
	if x.Position != 1 || x.Blocked[0].Want != 2 {
		t.Errorf("%+v", x)
	}
	c.call("hold.void", holding(one[0], "")).none(t)
	c.call("hold.void", holding(one[2], "")).none(t)
	c.call("hold.void", holding(one[3], "")).none(t) // A3 and A4 have the aisle between them
	if n := c.stats("hall").Waiting; n != 1 {
		t.Fatalf("%d wait", n)
	}
	c.call("hold.void", holding(one[1], "")).none(t)
	got := into[wire.Hold](t, waiter.reply(index))
	if ids(got.Seats) != "A2 A3" {
		t.Errorf("%+v", got)
	}
}

// TestLostHold has the holder told before its time is over, and then, and that it can not pay any more.
func TestLostHold(t *testing.T) {
	j := newSlow()
	s := start(t, Config{Journal: j, Pools: []Pool{hall(1, 2), items("q", 1)}})
	c, other := dial(t, s.addr), dial(t, s.addr)
	c.hello("")
	h := c.hold(`{"pool":"hall","seats":["A1"],"ttlMs":60000}`)
	for _, typ := range []string{"hold.expiring", "hold.lost"} {
		j.later(s, other, 50_000)
		f := c.push()
		if ev := into[wire.Expiring](t, f); f.Type != typ || ev.Hold != h.Hold || ev.Lease != 0 || ev.Token != h.Token {
			t.Fatalf("%s %s, want %s", f.Type, f.Event, typ)
		}
	}
	c.fails("expired", "hold.confirm", holding(h, ""))
}

// TestARoomAProjectorAndThreeSeats takes things of three kinds, or nothing.
func TestARoomAProjectorAndThreeSeats(t *testing.T) {
	s := start(t, Config{Pools: []Pool{hall(1, 4), items("projectors", 1), rooms(2)}})
	c := dial(t, s.addr)
	c.hello("")
	all := `{"want":[{"pool":"rooms","ids":["room-1"],"start":"%s","end":"%s"},{"pool":"projectors"},{"pool":"hall","count":3}]}`
	taken := into[wire.Booking](t, c.call("slot.book", fmt.Sprintf(`{"pool":"rooms","ids":["room-1"],"start":"%s","end":"%s"}`, day+"T10:00", day+"T11:00")))
	c.fails("none_free", "lease.acquire", fmt.Sprintf(all, day+"T10:30", day+"T11:30"))
	if st := c.stats("projectors"); st.Free != 1 {
		t.Errorf("%+v", st)
	}
	l := into[wire.Lease](t, c.call("lease.acquire", fmt.Sprintf(all, day+"T11:00", day+"T12:00")))
	if len(l.Items) != 5 || l.Items[0].Start == 0 || l.Items[0].End-l.Items[0].Start != 3_600_000 {
		t.Fatalf("%+v", l)
	}
	sale := into[wire.Sale](t, c.call("hold.confirm", fmt.Sprintf(`{"hold":%d,"token":%d}`, l.Lease, l.Token)))
	if len(sale.Seats) != 5 || sale.ExpiresAt != l.ExpiresAt {
		t.Errorf("%+v", sale)
	}
	if n := into[wire.Released](t, c.call("lease.release", held(l))).Released; n != 1 { // the projector
		t.Errorf("released %d", n)
	}
	if n := into[wire.Refunded](t, c.call("sale.refund", selling(sale, ""))).Refunded; n != 3 {
		t.Errorf("refunded %d", n)
	}
	if n := into[wire.Cancelled](t, c.call("slot.cancel", fmt.Sprintf(`{"booking":%d,"token":%d}`, l.Lease, l.Token))).Cancelled; n != 1 {
		t.Errorf("cancelled %d", n)
	}
	c.fails("already_resolved", "slot.cancel", fmt.Sprintf(`{"booking":%d,"token":%d}`, l.Lease, l.Token))
	if taken.Booking == 0 {
		t.Errorf("%+v", taken)
	}
}

// TestEveryCodecSells has each codec hold, confirm and refund a seat, and book and cancel a room.
func TestEveryCodecSells(t *testing.T) {
	s := start(t, Config{Pools: []Pool{hall(1, 4), rooms(1)}})
	for name, c := range map[string]codec.Codec{"json": codec.JSON{}, "crab": codec.Crab{}, "binary": codec.Binary{}} {
		t.Run(name, func(t *testing.T) {
			sp := speak(t, s.addr, c)
			h := answered[wire.Hold](sp, `hold.create {"pool":"hall","best":{"n":2}}`)
			sale := answered[wire.Sale](sp, "hold.confirm "+holding(h, ""))
			if len(sale.Seats) != 2 {
				t.Fatalf("%+v", sale)
			}
			if n := answered[wire.Refunded](sp, "sale.refund "+selling(sale, "")).Refunded; n != 2 {
				t.Errorf("refunded %d", n)
			}
			b := answered[wire.Booking](sp, fmt.Sprintf(`slot.book {"pool":"rooms","start":"%sT10:00","end":"%sT11:00"}`, day, day))
			free := answered[wire.SlotsFree](sp, fmt.Sprintf(`slot.find {"pool":"rooms","lengthMs":3600000,"from":"%sT09:30","to":"%sT12:00"}`, day, day))
			if len(free.Free) != 1 || free.Free[0].Start != b.Items[0].End {
				t.Errorf("%+v", free)
			}
			if n := answered[wire.Cancelled](sp, fmt.Sprintf(`slot.cancel {"booking":%d,"token":%d}`, b.Booking, b.Token)).Cancelled; n != 1 {
				t.Errorf("cancelled %d", n)
			}
		})
	}
}

// answered asks, and decodes the result.
func answered[T any](s *speaker, text string) T {
	s.t.Helper()
	s.ask(text)
	f := s.read()
	var v T
	if f.Kind == codec.Failure {
		s.t.Fatalf("%s: %s: %s", text, f.Err.Code, f.Err.Message)
	}
	if err := json.Unmarshal(f.Payload, &v); err != nil {
		s.t.Fatalf("%s: %s: %v", text, f.Payload, err)
	}
	return v
}
