package serve

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/when"
	"github.com/kassa-go/kassa/pool/wire"
)

// day is a Wednesday, well ahead.
var day = func() string {
	at := time.Now().AddDate(0, 2, 0)
	for at.Weekday() != time.Wednesday {
		at = at.AddDate(0, 0, 1)
	}
	return at.Format(time.DateOnly)
}()

// rooms makes a calendar with rooms 1 to n: in Berlin, open on working days, ten minutes to clean up.
func rooms(n int) Pool {
	zone, err := when.Zone("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return Pool{
		Spec: pool.Spec{Name: "rooms", Kind: pool.Calendar}, Zone: zone,
		Items: func(yield func(pool.ItemSpec) bool) {
			for i := 1; i <= n && yield(pool.ItemSpec{ID: fmt.Sprintf("room-%d", i), Labels: map[string]string{"floor": fmt.Sprint(i % 2)}}); i++ {
			}
		},
	}
}

func booking(b wire.Booking, more string) string {
	return fmt.Sprintf(`{"booking":%d,"token":%d%s}`, b.Booking, b.Token, more)
}

// slots says what is booked on a day, by the clocks of Berlin.
func (c *conn) slots(from, to string) string {
	c.t.Helper()
	page := into[wire.SlotsBooked](c.t, c.call("slot.list", fmt.Sprintf(`{"pool":"rooms","from":%q,"to":%q,"limit":1000}`, from, to)))
	zone, err := time.LoadLocation(page.Zone)
	if err != nil {
		c.t.Fatal(err)
	}
	var slots []string
	for _, s := range page.Booked {
		slots = append(slots, fmt.Sprintf("%s %s-%s", s.ID, time.UnixMilli(s.Start).In(zone).Format("01-02 15:04"), time.UnixMilli(s.End).In(zone).Format("15:04")))
	}
	return strings.Join(slots, ", ")
}

func TestBookings(t *testing.T) {
	p := rooms(2)
	p.Spec.CleanupMs = 600_000
	hours, err := when.ParseHours(map[string]string{"mon-fri": "08:00-18:00"}, p.Zone)
	if err != nil {
		t.Fatal(err)
	}
	p.Hours = hours
	s := start(t, Config{Pools: []Pool{p}})
	c := dial(t, s.addr)
	c.hello("")
	book := func(id, from, to, more string) wire.Booking {
		t.Helper()
		return into[wire.Booking](t, c.call("slot.book", fmt.Sprintf(`{"pool":"rooms","ids":[%q],"start":"%sT%s","end":"%sT%s"%s}`, id, day, from, day, to, more)))
	}
	a := book("room-1", "10:00", "11:00", `,"owner":"ann"`)
	c.fails("conflict", "slot.book", fmt.Sprintf(`{"pool":"rooms","ids":["room-1"],"start":"%sT11:00","end":"%sT12:00"}`, day, day)) // clean-up
	b := book("room-1", "11:10", "12:00", "")
	either := into[wire.Booking](t, c.call("slot.book", fmt.Sprintf(`{"pool":"rooms","start":"%sT10:30","end":"%sT11:30"}`, day, day)))
	if either.Items[0].ID != "room-2" {
		t.Errorf("%+v", either)
	}
	d := strings.ReplaceAll(day[5:], "", "")
	if got, want := c.slots(day+"T00:00", day+"T23:59"), fmt.Sprintf("room-1 %[1]s 10:00-11:00, room-1 %[1]s 11:10-12:00, room-2 %[1]s 10:30-11:30", d); got != want {
		t.Errorf("booked are %s, want %s", got, want)
	}
	free := into[wire.SlotsFree](t, c.call("slot.find", fmt.Sprintf(`{"pool":"rooms","lengthMs":7200000,"from":"%sT00:00","to":"%sT23:59"}`, day, day)))
	var gaps []string
	for _, f := range free.Free {
		gaps = append(gaps, fmt.Sprintf("%s %s-%s", f.ID, time.UnixMilli(f.Start).In(p.Zone).Format("15:04"), time.UnixMilli(f.End).In(p.Zone).Format("15:04")))
	}
	// Before 10:00 room-1 is free for 1:50 only, as it has to be cleaned up after.
	if got, want := strings.Join(gaps, ", "), "room-1 12:10-18:00, room-2 08:00-10:20, room-2 11:40-18:00"; got != want {
		t.Errorf("free are %s, want %s", got, want)
	}

	// When it is open is told to who asks for that: from Friday noon to Monday noon.
	monday, _ := time.ParseInLocation(time.DateOnly, day, p.Zone)
	for monday.Weekday() != time.Monday {
		monday = monday.AddDate(0, 0, 1)
	}
	noon := func(days int) int64 { return monday.AddDate(0, 0, days).Add(12 * time.Hour).UnixMilli() }
	listed := into[wire.SlotsBooked](t, c.call("slot.list", fmt.Sprintf(`{"pool":"rooms","from":%d,"to":%d,"open":true}`, noon(-3), noon(0))))
	want := []wire.Opening{{Start: noon(-3), End: noon(-3) + 6*3600_000}, {Start: noon(0) - 4*3600_000, End: noon(0)}}
	if !slices.Equal(listed.Open, want) {
		t.Errorf("open are %v, want %v", listed.Open, want)
	}
	if f := c.call("slot.list", fmt.Sprintf(`{"pool":"rooms","from":%d,"to":%d}`, noon(-3), noon(0))); bytes.Contains(f.ResultJob, []byte("open")) {
		t.Errorf("got %s", f.ResultJob)
	}

	c.fails("conflict", "slot.move", booking(b, fmt.Sprintf(`,"start":"%sT10:30"`, day)))
	c.fails("invalid_interval", "slot.move", booking(b, fmt.Sprintf(`,"start":"%sT11:10"`, day)))
	c.fails("invalid_interval", "slot.move", booking(b, fmt.Sprintf(`,"start":"%sT17:30"`, day))) // closed at its end
	moved := into[wire.Booking](t, c.call("slot.move", booking(b, fmt.Sprintf(`,"start":"%sT11:30","end":"%sT12:30"`, day, day))))
	if moved.Booking != b.Booking || moved.Items[0].Start-b.Items[0].Start != 20*60_000 {
		t.Errorf("%+v of %+v", moved, b)
	}
	into[wire.Booking](t, c.call("slot.move", booking(a, fmt.Sprintf(`,"item":"room-2","start":"%sT08:00"`, day))))
	if got, want := c.slots(day+"T00:00", day+"T23:59"), fmt.Sprintf("room-1 %[1]s 11:30-12:30, room-2 %[1]s 08:00-09:00, room-2 %[1]s 10:30-11:30", d); got != want {
		t.Errorf("booked are %s, want %s", got, want)
	}
	c.call("slot.cancel", booking(a, "")).none(t)
	c.fails("already_resolved", "slot.cancel", booking(a, ""))
}

// TestSeries has a meeting each week, whose local time stays over the change of the clocks, and edits one and those that follow.
func TestSeries(t *testing.T) {
	wall := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC) // the clocks of Berlin change on the 28th
	s := start(t, Config{Pools: []Pool{rooms(1)}, wall: func() time.Time { return wall }})
	c := dial(t, s.addr)
	c.hello("")
	into[wire.Booking](t, c.call("slot.book", `{"pool":"rooms","start":"2027-03-24T10:30","end":"2027-03-24T10:45"}`))
	weekly := `{"pool":"rooms","start":"2027-03-17T10:00","end":"2027-03-17T11:00","rrule":"FREQ=WEEKLY;COUNT=4"%s}`
	c.fails("conflict", "slot.book", fmt.Sprintf(weekly, ""))
	report := into[wire.Booking](t, c.call("slot.book", fmt.Sprintf(weekly, `,"onConflict":"report"`)))
	if report.Booking != 0 || len(report.Items) != 3 || len(report.Conflicts) != 1 {
		t.Errorf("%+v", report)
	}
	b := into[wire.Booking](t, c.call("slot.book", fmt.Sprintf(weekly, `,"onConflict":"skip"`)))
	if len(b.Items) != 3 || len(b.Conflicts) != 1 || b.Booking == 0 {
		t.Errorf("%+v", b)
	}
	all := func() string { return c.slots("2027-03-01T00:00", "2027-06-01T00:00") }
	if got, want := all(), "room-1 03-17 10:00-11:00, room-1 03-24 10:30-10:45, room-1 03-31 10:00-11:00, room-1 04-07 10:00-11:00"; got != want {
		t.Errorf("booked are %s, want %s", got, want)
	}
	if days := (b.Items[1].Start - b.Items[0].Start) / 3_600_000; days != 14*24-1 {
		t.Errorf("two weeks are %d hours, want one less", days)
	}
	into[wire.Booking](t, c.call("slot.move", booking(b, `,"at":"2027-03-31T10:00","start":"2027-03-31T12:00"`)))
	into[wire.Booking](t, c.call("slot.move", booking(b, `,"at":"2027-03-31T12:00","following":true,"start":"2027-03-30T09:00","end":"2027-03-30T09:30"`)))
	if got, want := all(), "room-1 03-17 10:00-11:00, room-1 03-24 10:30-10:45, room-1 03-30 09:00-09:30, room-1 04-06 07:00-07:30"; got != want {
		t.Errorf("booked are %s, want %s", got, want)
	}
	c.fails("not_found", "slot.cancel", booking(b, `,"at":"2027-03-31T12:00"`))
	if n := into[wire.Cancelled](t, c.call("slot.cancel", booking(b, `,"at":"2027-03-30T09:00","following":true`))).Cancelled; n != 2 {
		t.Errorf("cancelled %d", n)
	}
	if got, want := all(), "room-1 03-17 10:00-11:00, room-1 03-24 10:30-10:45"; got != want {
		t.Errorf("booked are %s, want %s", got, want)
	}
}

// TestSlotPages has free and booked times come in pages, without one missing or twice.
func TestSlotPages(t *testing.T) {
	s := start(t, Config{Pools: []Pool{rooms(3)}})
	c := dial(t, s.addr)
	c.hello("")
	for id := 1; id <= 3; id++ {
		into[wire.Booking](t, c.call("slot.book", fmt.Sprintf(`{"pool":"rooms","ids":["room-%d"],"start":"%sT08:0%d","end":"%sT08:30","rrule":"FREQ=DAILY;COUNT=20"}`, id, day, id, day)))
	}
	end := func() string {
		at, _ := time.Parse(time.DateOnly, day)
		return at.AddDate(0, 0, 25).Format(time.DateOnly)
	}()
	ask := func(typ, more, cursor string) frame {
		return c.call(typ, fmt.Sprintf(`{"pool":"rooms","from":"%sT00:00","to":"%sT00:00","cursor":%q%s}`, day, end, cursor, more))
	}
	for _, limit := range []int{1, 7, 19, 20, 21, 59, 60, 1000} {
		var booked, free []string
		for cursor, first := "", true; first || cursor != ""; first = false {
			page := into[wire.SlotsBooked](t, ask("slot.list", fmt.Sprintf(`,"limit":%d`, limit), cursor))
			for _, b := range page.Booked {
				booked = append(booked, fmt.Sprint(b.ID, b.Start))
			}
			cursor = page.Cursor
		}
		for cursor, first := "", true; first || cursor != ""; first = false {
			page := into[wire.SlotsFree](t, ask("slot.find", fmt.Sprintf(`,"lengthMs":60000,"limit":%d`, limit), cursor))
			for _, f := range page.Free {
				free = append(free, fmt.Sprint(f.ID, f.Start))
			}
			cursor = page.Cursor
		}
		for what, got := range map[string][]string{"booked": booked, "free": free} {
			seen := map[string]bool{}
			for _, x := range got {
				if seen[x] {
					t.Errorf("limit %d: %s %s is there twice", limit, what, x)
				}
				seen[x] = true
			}
		}
		if len(booked) != 60 || len(free) != 63 {
			t.Errorf("limit %d: %d are booked and %d free, want 60 and 63", limit, len(booked), len(free))
		}
	}
	c.fails("bad_payload", "slot.list", fmt.Sprintf(`{"pool":"rooms","from":"%sT00:00","to":"%sT00:00","cursor":"x"}`, day, end))
}

// TestBadHoldsAndSlots has a clear code for each, and nothing changes.
func TestBadHoldsAndSlots(t *testing.T) {
	wall := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	p := rooms(1)
	hours, err := when.ParseHours(map[string]string{"daily": "00:00-24:00", "sun": "00:00-24:00"}, p.Zone)
	if err == nil {
		p.Hours = hours
	}
	s := start(t, Config{Pools: []Pool{hall(1, 4), p, items("leases", 1)}, wall: func() time.Time { return wall }})
	c := dial(t, s.addr)
	c.hello("")
	h := c.hold(`{"pool":"hall","seats":["A1"]}`)
	b := into[wire.Booking](t, c.call("slot.book", `{"pool":"rooms","start":"2027-03-10T10:00","end":"2027-03-10T11:00"}`))
	rev := c.call("pool.stats", `{"pool":"hall"}`).Rev
	room := func(from, to, more string) string {
		return fmt.Sprintf(`{"pool":"rooms","start":%s,"end":%s%s}`, from, to, more)
	}
	const ten, eleven = `"2027-03-09T10:00"`, `"2027-03-09T11:00"`
	for _, test := range []struct{ typ, payload, code, says string }{
		{"hold.create", `{"pool":"hall"}`, "bad_payload", "seats, qty or best is needed"},
		{"hold.create", `{"seats":["A1"]}`, "bad_payload", "pool is needed"},
		{"hold.create", `{"pool":"hall","seats":["A2","A2"]}`, "bad_payload", `item "A2" of pool hall is named twice`},
		{"hold.create", `{"pool":"hall","seats":["Z9"]}`, "not_found", `pool hall has no item "Z9"`},
		{"hold.create", `{"pool":"balcony","seats":["A1"]}`, "not_found", "there is no pool"},
		{"hold.create", `{"pool":"hall","qty":0}`, "bad_payload", "qty is 0: want 1 or more"},
		{"hold.create", `{"pool":"hall","qty":-1}`, "bad_payload", "qty is -1: want 1 or more"},
		{"hold.create", `{"pool":"hall","best":{"n":0}}`, "bad_payload", "best.n is 0: want 1 or more"},
		{"hold.create", `{"pool":"hall","best":{"n":3}}`, "no_match", "nowhere 3 items side by side"},
		{"hold.create", `{"pool":"hall","best":{"n":101}}`, "bad_payload", "100 at most"},
		{"hold.create", `{"pool":"hall","best":{"n":1},"seats":["A1"]}`, "bad_payload", "of seats, qty and best one is wanted"},
		{"hold.create", `{"pool":"hall","best":3}`, "bad_payload", "best is 3: want an object"},
		{"hold.create", `{"pool":"hall","seats":["A1"]}`, "none_free", `item "A1" of pool hall is held; with waitMs the request would wait`},
		{"hold.create", `{"pool":"hall","seats":["A2"],"ttlMs":3600001}`, "bad_payload", "ttlMs is 3600001, pool hall allows 3600000 at most"},
		{"hold.create", `{"pool":"hall","seats":["A2"],"onDisconnect":"dirty"}`, "bad_payload", "dirty"},
		{"hold.create", `{"pool":"leases","qty":1}`, "bad_payload", "pool leases is of kind lease"},
		{"hold.create", `{"pool":"rooms","qty":1}`, "bad_payload", "say from when to when"},
		{"hold.confirm", holding(h, `,"seats":[]`), "bad_payload", "no items are named"},
		{"hold.confirm", holding(h, `,"seats":["A2"]`), "not_found", `no item "A2"`},
		{"hold.confirm", holding(h, `,"seats":["A1","A1"]`), "bad_payload", "named twice"},
		{"hold.confirm", holding(h, `,"seats":[{"id":"A1","qty":2}]`), "bad_payload", "not 2"},
		{"hold.confirm", `{"hold":99999,"token":1}`, "not_found", "there is no hold 99999"},
		{"hold.confirm", fmt.Sprintf(`{"hold":%d,"token":1}`, h.Hold), "stale_token", "1 is not the token of hold"},
		{"hold.confirm", fmt.Sprintf(`{"hold":%d}`, h.Hold), "bad_payload", "hold and token are needed"},
		{"hold.confirm", `{"token":1}`, "bad_payload", "hold and token are needed"},
		{"sale.refund", fmt.Sprintf(`{"sale":%d,"token":%d}`, h.Hold, h.Token), "conflict", "was not confirmed: void it"},
		{"sale.refund", fmt.Sprintf(`{"sale":%d,"token":%d,"to":"bin"}`, h.Hold, h.Token), "bad_payload", `to is "bin": want available or withheld`},
		{"pool.fill", `{"pool":"hall","items":[{"id":"A9","row":1,"column":1}]}`, "conflict", `where item "A1" is`},
		{"pool.fill", `{"pool":"hall","items":[{"id":"A1","row":1,"column":1,"quantity":5}]}`, "bad_payload", "has a place and a quantity"},
		{"pool.fill", `{"pool":"hall","items":[{"id":"A1","quantity":5}]}`, "conflict", "it is held, sold or withheld"},
		{"pool.fill", `{"pool":"hall","items":[{"id":"A9","row":1}]}`, "bad_payload", "want both"},
		{"pool.fill", `{"pool":"leases","items":[{"id":"x","quantity":5}]}`, "bad_payload", "in a pool of kind lease each item is one"},
		{"item.set", `{"pool":"hall","id":"A2","state":"dirty"}`, "bad_payload", `state is "dirty": want available or withheld`},
		{"item.set", `{"pool":"rooms","id":"room-1","state":"free"}`, "bad_payload", "has no state, only times"},

		{"slot.book", room(eleven, ten, ""), "invalid_interval", "ends before it begins"},
		{"slot.book", room(ten, ten, ""), "invalid_interval", "ends when it begins"},
		{"slot.book", room(ten, eleven, `,"zone":"Europe/Atlantis"`), "bad_payload", "Europe/Atlantis"},
		{"slot.book", room(`"2027-03-28T02:30"`, `"2027-03-28T04:00"`, ""), "invalid_interval", "start: "},
		{"slot.book", room(`"2027-03-28T01:30"`, `"2027-03-28T02:15"`, ""), "invalid_interval", "end: "},
		{"slot.book", room(`"2027-10-31T02:30"`, `"2027-10-31T04:00"`, ""), "invalid_interval", "twice"},
		{"slot.book", room(`"next monday"`, eleven, ""), "bad_payload", "start: "},
		{"slot.book", room(`true`, eleven, ""), "bad_payload", "a time is milliseconds since 1970, or a text"},
		{"slot.book", `{"pool":"rooms","start":` + ten + `}`, "bad_payload", "end is needed"},
		{"slot.book", room(ten, eleven, `,"rrule":"FREQ=DAILY"`), "bad_payload", "COUNT"},
		{"slot.book", room(ten, eleven, `,"rrule":"FREQ=DAILY;COUNT=100000"`), "bad_payload", "512"},
		{"slot.book", room(ten, eleven, `,"rrule":"often"`), "bad_payload", "rule"},
		{"slot.book", room(`"2027-03-09T10:00"`, `"2027-03-10T11:00"`, `,"rrule":"FREQ=DAILY;COUNT=2"`), "invalid_interval", "overlap"},
		{"slot.book", room(ten, eleven, `,"onConflict":"shrug"`), "bad_payload", "want fail, skip or report"},
		{"slot.book", room(ten, eleven, `,"count":0`), "bad_payload", "count is 0"},
		{"slot.book", room(ten, eleven, `,"count":2`), "no_match", "room for 1"},
		{"slot.book", room(ten, eleven, `,"ids":["room-9"]`), "not_found", `no item "room-9"`},
		{"slot.book", room(ten, eleven, `,"ids":["room-1","room-1"]`), "bad_payload", "named twice"},
		{"slot.book", room(`"2027-02-09T10:00"`, `"2027-02-09T11:00"`, ""), "invalid_interval", "is over already"},
		{"slot.book", room(`"2037-02-09T10:00"`, `"2037-02-09T11:00"`, ""), "invalid_interval", "too far ahead"},
		{"slot.book", room(`"2027-04-09T10:00"`, `"2027-06-09T11:00"`, ""), "invalid_interval", "longer than pool rooms allows"},
		{"slot.book", room(`"2027-03-10T10:59:59.999"`, `"2027-03-10T12:00"`, ""), "conflict", "it is booked"},
		{"slot.book", fmt.Sprintf(`{"pool":"hall","start":%s,"end":%s}`, ten, eleven), "bad_payload", "only a calendar"},
		{"slot.move", booking(b, `,"start":"2027-03-10T10:00"`), "invalid_interval", "where it is already"},
		{"slot.move", booking(b, `,"start":"2027-03-10T12:00","end":"2027-03-10T12:00"`), "invalid_interval", "ends when it begins"},
		{"slot.move", booking(b, ""), "bad_payload", "start, end or item is needed"},
		{"slot.move", booking(b, `,"item":"room-9"`), "not_found", "room-9"},
		{"slot.move", booking(b, `,"following":true,"start":"2027-03-10T12:00"`), "bad_payload", "say at, too"},
		{"slot.move", fmt.Sprintf(`{"booking":%d,"token":1,"start":"2027-03-10T12:00"}`, b.Booking), "stale_token", "not the token"},
		{"slot.move", `{"booking":99999,"token":1,"start":"2027-03-10T12:00"}`, "not_found", "there is no booking"},
		{"slot.cancel", booking(b, `,"at":"2027-03-10T10:01"`), "not_found", "nothing that begins at"},
		{"slot.cancel", booking(b, `,"att":"2027-03-10T10:00"`), "bad_payload", "att"},
		{"hold.confirm", holding(h, `,"seat":["A1"]`), "bad_payload", "seat"},
		{"slot.cancel", `{"at":1}`, "bad_payload", "booking and token are needed"},
		{"slot.find", `{"pool":"rooms","lengthMs":0,"from":` + ten + `,"to":` + eleven + `}`, "invalid_interval", "lengthMs is 0"},
		{"slot.find", `{"pool":"rooms","lengthMs":60000,"from":` + eleven + `,"to":` + ten + `}`, "invalid_interval", "want an end after the start"},
		{"slot.find", `{"pool":"hall","lengthMs":60000,"from":` + ten + `,"to":` + eleven + `}`, "bad_payload", "only a calendar has times"},
		{"slot.list", `{"pool":"rooms","from":` + ten + `}`, "bad_payload", "to is needed"},
		{"lease.acquire", `{"want":[{"pool":"rooms"}]}`, "bad_payload", "say from when to when"},
		{"lease.acquire", `{"want":[{"pool":"leases","start":` + ten + `,"end":` + eleven + `}]}`, "bad_payload", "only a calendar"},
		{"lease.acquire", `{"want":[{"pool":"leases","best":"together"}]}`, "bad_payload", "best seats are for pools of kind stock"},
		{"lease.acquire", `{"want":[{"pool":"hall","best":"apart","count":1}]}`, "bad_payload", "want together or split"},
		{"lease.renew", fmt.Sprintf(`{"lease":%d,"token":%d}`, b.Booking, b.Token), "already_resolved", "was confirmed"},
	} {
		f := c.call(test.typ, test.payload)
		if f.Code != test.code || !strings.Contains(f.Err, test.says) {
			t.Errorf("%s %s: %s: %s; want %s: %s", test.typ, test.payload, f.Code, f.Err, test.code, test.says)
		}
		if now := c.call("pool.stats", `{"pool":"hall"}`).Rev; now != rev {
			t.Fatalf("%s %s: the rev was %d and is %d", test.typ, test.payload, rev, now)
		}
	}
}

// TestSlotsThatBeginTogether has as many as a room for many holds come in pages, too.
func TestSlotsThatBeginTogether(t *testing.T) {
	desks := Pool{Spec: pool.Spec{Name: "desks", Kind: pool.Calendar}, Items: func(yield func(pool.ItemSpec) bool) {
		yield(pool.ItemSpec{ID: "hall", Quantity: 50})
	}}
	s := start(t, Config{Pools: []Pool{desks}})
	c := dial(t, s.addr)
	c.hello("")
	for range 40 {
		into[wire.Booking](t, c.call("slot.book", fmt.Sprintf(`{"pool":"desks","start":"%sT08:00","end":"%sT09:00"}`, day, day)))
	}
	seen, pages := map[uint64]bool{}, 0
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		page := into[wire.SlotsBooked](t, c.call("slot.list", fmt.Sprintf(`{"pool":"desks","from":"%sT00:00","to":"%sT23:00","limit":7,"cursor":%q}`, day, day, cursor)))
		if len(page.Booked) > 7 {
			t.Fatalf("a page of %d", len(page.Booked))
		}
		for _, b := range page.Booked {
			if seen[b.Booking] {
				t.Fatalf("%+v is there twice", b)
			}
			seen[b.Booking] = true
		}
		cursor = page.Cursor
	}
	if len(seen) != 40 || pages != 6 {
		t.Errorf("%d bookings on %d pages", len(seen), pages)
	}
	many := strings.Repeat(`"hall",`, 2000)
	c.fails("bad_payload", "slot.list", fmt.Sprintf(`{"pool":"desks","from":"%sT00:00","to":"%sT23:00","ids":[%s"hall"]}`, day, day, many))
}

// TestBookingInTwoZones has what is booked in pools of two zones be cancelled by the clocks of one that is named.
func TestBookingInTwoZones(t *testing.T) {
	berlin, tokyo := rooms(1), rooms(1)
	tokyo.Spec.Name = "tokyo"
	var err error
	if tokyo.Zone, err = when.Zone("Asia/Tokyo"); err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{Pools: []Pool{berlin, tokyo}})
	c := dial(t, s.addr)
	c.hello("")
	l := into[wire.Lease](t, c.call("lease.acquire", fmt.Sprintf(
		`{"want":[{"pool":"rooms","start":"%[1]sT08:00","end":"%[1]sT09:00"},{"pool":"tokyo","start":"%[1]sT17:00","end":"%[1]sT18:00"}]}`, day)))
	c.call("hold.confirm", fmt.Sprintf(`{"hold":%d,"token":%d}`, l.Lease, l.Token)).none(t)
	b := wire.Booking{Booking: l.Lease, Token: l.Token}
	c.fails("bad_payload", "slot.cancel", booking(b, fmt.Sprintf(`,"at":"%sT08:00"`, day)))
	c.fails("bad_payload", "slot.move", booking(b, fmt.Sprintf(`,"at":"%sT08:00","start":"%sT09:00"`, day, day)))
	moved := into[wire.Booking](t, c.call("slot.move", booking(b, fmt.Sprintf(`,"at":"%sT08:00","start":"%sT09:00","zone":"Europe/Berlin"`, day, day))))
	if len(moved.Items) != 1 || moved.Items[0].Pool != "rooms" || moved.Items[0].Start != l.Items[0].Start+3_600_000 {
		t.Errorf("%+v of %+v", moved, l)
	}
}
