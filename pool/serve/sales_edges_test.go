package serve

import (
	"fmt"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// TestFullSells has what is held be paid for while the disk is nearly full, and all be given back, but nothing new be taken.
func TestFullSells(t *testing.T) {
	j := &troubled{Journal: journal.NewMemory()}
	s := start(t, Config{Journal: j, Pools: []Pool{hall(1, 4), rooms(1)}})
	c := dial(t, s.addr)
	c.hello("")
	paid, left := c.hold(`{"pool":"hall","seats":["A1"]}`), c.hold(`{"pool":"hall","seats":["A2"]}`, `"key":"left"`)
	room := func(from, to int) string {
		return fmt.Sprintf(`{"pool":"rooms","start":"%sT%02d:00","end":"%sT%02d:00"}`, day, from, day, to)
	}
	b := booked(c, room(10, 11))
	j.full.Store(true)
	c.fails("store_full", "hold.create", `{"pool":"hall","seats":["A3"]}`)
	c.fails("store_full", "slot.book", room(12, 13))
	c.fails("store_full", "slot.move", booking(b, fmt.Sprintf(`,"start":"%sT12:00"`, day)))
	if again := c.hold(`{"pool":"hall","seats":["A2"]}`, `"key":"left"`); again.Token != left.Token {
		t.Errorf("%+v, then %+v", left, again)
	}
	c.call("hold.extend", holding(paid, "")).none(t)
	sale := c.confirm(paid, "")
	c.call("hold.void", holding(left, "")).none(t)
	c.refund(sale, "", 1)
	c.call("slot.cancel", booking(b, "")).none(t)
	j.full.Store(false)
	c.confirm(c.hold(`{"pool":"hall","seats":["A3"]}`), "")
}

// TestMoveAcrossAChangeOfTheClocks moves a series from before it to after it: each time stays what the clocks of the pool show.
func TestMoveAcrossAChangeOfTheClocks(t *testing.T) {
	wall := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC) // the clocks of Berlin change on the 28th
	s := start(t, Config{Pools: []Pool{rooms(1)}, wall: func() time.Time { return wall }})
	c := dial(t, s.addr)
	c.hello("")
	b := booked(c, `{"pool":"rooms","start":"2027-03-27T10:00","end":"2027-03-27T11:00","rrule":"FREQ=WEEKLY;COUNT=2"}`)
	into[wire.Booking](t, c.call("slot.move", booking(b, `,"at":"2027-03-27T10:00","following":true,"start":"2027-03-28T10:00"`)))
	if got, want := c.slots("2027-03-01T00:00", "2027-06-01T00:00"), "room-1 03-28 10:00-11:00, room-1 04-04 10:00-11:00"; got != want {
		t.Errorf("booked are %s, want %s", got, want)
	}
}
