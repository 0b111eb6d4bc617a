package pool_test

import (
	"encoding/json"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

func TestAHeldSlot(t *testing.T) {
	for kind, want := range map[pool.Kind][2]string{
		pool.Calendar: {"slot.held", "slot.expired"}, pool.Lease: {"lease.granted", "lease.expired"},
	} {
		w := newRooms(t, pool.Spec{}, 1)
		c := holdSlot("i0001", 1000, 0, slot(0, 100))
		c.Kind = kind
		var r pool.Reply
		e := w.types(func() { r = w.must(c) }, want[0])[0]
		if r.ExpiresAt != w.now+1000 || e.Kind != kind || e.ExpiresAt != r.ExpiresAt || r.Items[0].Span != slot(0, 100) {
			t.Fatalf("%+v, %+v", r, e)
		}
		w.fails(book("i0001", slot(99, 200)), pool.Conflict)
		w.tick(999)
		w.are("i0001 0-100")
		e = w.types(func() { w.tick(1) }, want[1])[0]
		if e.Grant != r.Grant || e.Cause != string(pool.RanOut) {
			t.Fatalf("%+v", e)
		}
		w.are()
		w.fails(&pool.Confirm{Grant: r.Grant, Token: r.Token}, pool.Expired)
		w.must(book("i0001", slot(0, 100)))

		c = holdSlot("i0001", 1000, 0, slot(200, 300), slot(400, 500))
		c.Kind = kind
		r = w.must(c)
		w.types(func() { w.must(&pool.Confirm{Grant: r.Grant, Token: r.Token}) }, "hold.confirmed")
		w.fails(&pool.Confirm{Grant: r.Grant, Token: r.Token}, pool.AlreadyResolved)
		w.tick(10_000)
		w.are("i0001 0-100", "i0001 200-300", "i0001 400-500")
		w.must(move(r, slot(210, 310), slot(410, 510)))
		w.types(func() { w.must(cancel(r)) }, "slot.cancelled")
		w.are("i0001 0-100")

		// What is held can be moved, cancelled in part, renewed, and given back.
		c = holdSlot("i0001", 1000, 0, slot(200, 300), slot(400, 500))
		c.Kind = kind
		r = w.must(c)
		if m := w.must(move(r, slot(210, 310), slot(410, 510))); m.ExpiresAt != r.ExpiresAt {
			t.Fatalf("%+v", m)
		}
		x := cancel(r)
		x.At.Start = starts(slot(210, 0))
		w.must(x)
		w.tick(500)
		if m := w.must(&pool.Renew{Kind: kind, Grant: r.Grant, Token: r.Token}); m.ExpiresAt != w.now+1000 {
			t.Fatalf("%+v", m)
		}
		w.must(&pool.Release{Kind: kind, Grant: r.Grant, Token: r.Token})
		w.are("i0001 0-100")
	}
}

// TestAHeldSlotOfASession has what is held be told of, and go with the session if it is to; what is booked stays.
func TestAHeldSlotOfASession(t *testing.T) {
	w := newRooms(t, pool.Spec{ExpiringMs: 300, OnDisconnect: pool.ReleaseOnEnd}, 1)
	s := w.open("ann", 1000)
	by := func(c *pool.Acquire) *pool.Acquire {
		c.Session = s
		return c
	}
	r := w.must(by(holdSlot("i0001", 1000, 0, slot(0, 100))))
	for i, want := range []pool.Cause{"", pool.RanOut} {
		w.world.tick([]int64{700, 300}[i])
		_, notices := w.m.TakeAnswers()
		if len(notices) != 1 || notices[0].Grant != r.Grant || notices[0].Kind != pool.Calendar || notices[0].Lost != want {
			t.Fatalf("%+v, want %q", notices, want)
		}
	}
	firm := w.must(by(holdSlot("i0001", 10_000, 0, slot(0, 100))))
	w.must(&pool.Confirm{Grant: firm.Grant, Token: firm.Token})
	w.must(by(holdSlot("i0001", 10_000, 0, slot(200, 300))))
	c := book("i0001", slot(400, 500))
	c.Session = s
	w.must(c)
	w.must(&pool.Disconnect{Session: s})
	w.tick(999)
	w.are("i0001 0-100", "i0001 200-300", "i0001 400-500")
	e := w.types(func() { w.tick(1) }, "slot.cancelled", "session.ended")
	if e[0].Cause != string(pool.Disconnected) {
		t.Fatalf("%+v", e)
	}
	w.are("i0001 0-100", "i0001 400-500")
}

// TestPartOfAHeldSlot gives back some of the units that are held of a room: there is no such thing.
func TestPartOfAHeldSlot(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 0)
	w.must(&pool.Fill{Pool: "c", Items: []pool.ItemSpec{{ID: "r", Quantity: 3}}})
	c := holdSlot("r", 1000, 0, slot(0, 100), slot(200, 300))
	c.Want[0].Count = 2
	r := w.must(c)
	give := func(units int64, s pool.Span) *pool.Release {
		return &pool.Release{Grant: r.Grant, Token: r.Token, Items: []pool.ItemRef{{ID: "r", Units: units, Span: s}}}
	}
	w.fails(give(1, slot(0, 0)), pool.BadPayload)
	w.fails(give(3, slot(0, 0)), pool.BadPayload)
	w.fails(give(2, slot(1, 0)), pool.NotFound)
	w.must(give(2, slot(0, 0)))
	w.are("r 200-300")
	w.must(give(0, slot(200, 0)))
	w.are()
}

func TestWaitingForATime(t *testing.T) {
	w := newRooms(t, pool.Spec{CleanupMs: 10}, 2)
	r := w.must(book("i0001", slot(0, 100), slot(200, 300)))
	second := holdSlot("i0001", 5000, 100_000, slot(50, 60))
	urgent := holdSlot("i0001", 5000, 100_000, slot(0, 60))
	urgent.Priority = 1
	third := w.must(second).Waiting
	first := w.must(urgent).Waiting
	w.none()
	x := cancel(r)
	x.At.Start = starts(slot(200, 0))
	w.must(x) // is of no use to them
	w.none()
	w.must(cancel(r))
	held := w.served(first, "i0001")
	if held.ExpiresAt != w.now+5000 {
		t.Fatalf("%+v", held)
	}
	w.must(move(held, slot(70, 80))) // moved away
	held = w.served(third, "i0001")
	w.must(holdSlot("i0001", 1000, 0, slot(1000, 1100)))
	fourth := w.must(holdSlot("i0001", 5000, 100_000, slot(1109, 1200))).Waiting
	w.tick(999)
	w.none()
	w.tick(1) // the hold expires
	w.served(fourth, "i0001")

	// Nobody gives anything up, and the time for it is over.
	odd := holdSlot("i0001", 5000, 500, slot(50, 60))
	odd.Want[0].Spans[0].SetupMs = -5 // which does not count
	fifth := w.must(odd).Waiting
	w.tick(500)
	if a := w.answer(); a.Wait != fifth || a.Reply.Err.Code != pool.WaitTimeout {
		t.Fatalf("%+v", a)
	}
	w.tick(0)
	w.must(&pool.Confirm{Grant: held.Grant, Token: held.Token})

	// Whoever waits for any of several series gets the first that is free all through.
	w.must(book("i0002", slot(2000, 2100)))
	other := w.must(book("i0001", slot(2200, 2300)))
	want := []pool.Want{{Pool: "c", Count: 1, Spans: []pool.Span{slot(2000, 2100), slot(2200, 2300)}}}
	sixth := w.must(&pool.Acquire{WaitMs: 100_000, Want: want}).Waiting
	w.must(move(other, slot(2400, 2500)))
	w.served(sixth, "i0001")
}

// TestWaitingForARoom has what waits for a time be served when there are more rooms, or more room.
func TestWaitingForARoom(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 2)
	fill := func(s pool.ItemSpec) { w.must(&pool.Fill{Pool: "c", Items: []pool.ItemSpec{s}}) }
	waits := func(floor string) uint64 {
		want := pool.Want{Pool: "c", Count: 1, Spans: []pool.Span{slot(0, 100)}}
		if floor != "" {
			want.Select = pool.Selector{{Name: "floor", Values: []string{floor}}}
		}
		return w.must(&pool.Acquire{WaitMs: 100_000, Want: []pool.Want{want}}).Waiting
	}
	w.must(book("i0001", slot(0, 100)))
	w.must(book("i0002", slot(0, 100)))
	wait := waits("")
	fill(pool.ItemSpec{ID: "new"})
	w.tick(0)
	w.served(wait, "new")
	wait = waits("")
	fill(pool.ItemSpec{ID: "i0002", Quantity: 2})
	w.tick(0)
	w.served(wait, "i0002")
	fill(pool.ItemSpec{ID: "f", Labels: map[string]string{"floor": "1"}})
	fill(pool.ItemSpec{ID: "g", Labels: map[string]string{"floor": "2"}})
	w.must(book("f", slot(0, 100)))
	wait = waits("1")
	w.none()
	w.must(&pool.SetItem{Pool: "c", ID: "g", Labels: map[string]string{"floor": "1"}})
	w.tick(0)
	w.served(wait, "g")
	w.tick(200_000)
	w.m.TakeAnswers()

	// Where the set-up or clean-up becomes shorter there is room, too.
	w.configured(pool.Spec{CleanupMs: 10, SetupMs: 20})
	w.must(book("f", slot(1000, 1100)))
	wait = w.must(holdSlot("f", 1000, 100_000, slot(1110, 1200))).Waiting
	if x, err := w.m.Explain(wait); err != nil || len(x.Blocked) != 1 || x.Blocked[0].Match != 1 || x.Blocked[0].Free != 0 {
		t.Fatalf("%+v, %v", x, err)
	}
	w.configured(pool.Spec{CleanupMs: 10, SetupMs: 5})
	if _, err := w.m.Explain(wait); err != nil {
		t.Fatal(err)
	}
	w.sound() // a look changes nothing
	w.tick(0)
	w.none()
	w.configured(pool.Spec{CleanupMs: 10})
	w.tick(0)
	r := w.served(wait, "f")
	if s := r.Items[0].Span; s.SetupMs != 0 || s.CleanupMs != 10 {
		t.Fatalf("%+v", s)
	}
}

// TestRoomsWithOtherThings acquires rooms, seats and machines at once: all or nothing, and each is what it is afterwards.
func TestRoomsWithOtherThings(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 1)
	w.must(&pool.Configure{Pools: []pool.Spec{{Name: "c", Kind: pool.Calendar}, {Name: "l"}, {Name: "s", Kind: pool.Stock}}})
	w.fill("l", 1)
	w.fill("s", 1)
	all := func(ms int64) *pool.Acquire {
		return &pool.Acquire{WaitMs: ms, Want: []pool.Want{
			{Pool: "l", Count: 1}, {Pool: "c", Count: 1, Spans: []pool.Span{slot(0, 100)}}, {Pool: "s", Count: 1},
		}}
	}
	free := func(want int) {
		t.Helper()
		for _, name := range []string{"l", "s"} {
			if s, _ := w.m.Stats(name); s.Free != want {
				t.Fatalf("%+v, want %d free", s, want)
			}
		}
	}
	b := w.must(book("i0001", slot(50, 60)))
	w.fails(all(0), pool.NoneFree)
	free(1)
	wait := w.must(all(10_000)).Waiting
	free(1)
	w.must(cancel(b))
	r := w.served(wait, "i0001")
	if len(r.Items) != 3 || r.Items[0].Pool != "l" || r.Items[1].Pool != "c" || r.Items[2].Pool != "s" {
		t.Fatalf("%+v", r)
	}
	free(0)
	w.tick(60_000)
	free(1)
	w.are()

	r = w.must(all(0))
	w.must(&pool.Confirm{Grant: r.Grant, Token: r.Token})
	w.fails(&pool.Confirm{Grant: r.Grant, Token: r.Token}, pool.AlreadyResolved)
	w.fails(&pool.Confirm{Grant: r.Grant, Token: r.Token, Items: []pool.ItemRef{{Pool: "s", ID: "i0001"}}}, pool.AlreadyResolved)
	w.world.now += 60_000 // its lease is over, but that was not done yet
	w.must(move(r, slot(10, 110)))
	w.tick(0) // the machine comes back, the seat is sold and the room is booked
	w.are("i0001 10-110")
	if s, _ := w.m.Stats("s"); s.Sold != 1 {
		t.Fatalf("%+v", s)
	}
	if s, _ := w.m.Stats("l"); s.Free != 1 {
		t.Fatalf("%+v", s)
	}
	w.must(cancel(r))
	w.must(&pool.Refund{Grant: r.Grant, Token: r.Token})
	w.fails(cancel(r), pool.AlreadyResolved)
	free(1)

	// A grant in two calendars is in both, and moved in neither as a whole.
	w.must(&pool.Configure{Pools: []pool.Spec{
		{Name: "c", Kind: pool.Calendar}, {Name: "d", Kind: pool.Calendar, KeepMs: 1}, {Name: "l"}, {Name: "s", Kind: pool.Stock},
	}})
	w.fill("d", 1)
	want := func(name string) pool.Want {
		return pool.Want{Pool: name, Count: 1, Spans: []pool.Span{slot(100_000, 100_010)}}
	}
	r = w.must(&pool.Acquire{Want: []pool.Want{want("c"), want("d")}})
	w.must(&pool.Confirm{Grant: r.Grant, Token: r.Token})
	w.fails(move(r, slot(200_000, 200_010)), pool.Conflict)
	w.until(100_011)
	w.are("i0001 100000-100010")
	if s, _ := w.m.Stats("d"); s.Grants != 0 {
		t.Fatalf("%+v", s)
	}
	w.must(cancel(r))
}

func TestKeyedBookings(t *testing.T) {
	w := newRooms(t, pool.Spec{SetupMs: 5}, 1)
	w.must(book("i0001", slot(100, 200)))
	c := book("i0001", slot(0, 10), slot(150, 160))
	c.OnConflict = pool.Skip
	c.Keyed = pool.Keyed{Client: "ann", Key: "k", Hash: 1}
	again := func(c pool.Command, first pool.Reply) {
		t.Helper()
		rev := w.m.Rev()
		r := w.must(c)
		if !r.Repeated || w.m.Rev() != rev {
			t.Fatalf("%+v", r)
		}
		r.Repeated = false
		a, _ := json.Marshal(first)
		b, _ := json.Marshal(r)
		if string(a) != string(b) {
			t.Fatalf("again: %s, first %s", b, a)
		}
	}
	first := w.must(c)
	if len(first.Items) != 1 || len(first.Conflicts) != 1 {
		t.Fatalf("%+v", first)
	}
	again(c, first)
	w.are("i0001 0-10", "i0001 100-200")
	other := *c
	other.Hash = 2
	w.fails(&other, pool.KeyConflict)

	m := move(first, slot(20, 30))
	m.Keyed = pool.Keyed{Client: "ann", Key: "m", Hash: 3}
	w.must(m)
	w.must(move(first, slot(40, 50)))
	rev := w.m.Rev()
	if r := w.must(m); !r.Repeated || r.Items[0].Span.Start != slot(20, 30).Start || w.m.Rev() != rev {
		t.Fatalf("%+v", r)
	}
	w.are("i0001 40-50", "i0001 100-200")
	x := cancel(first)
	x.Keyed = pool.Keyed{Client: "ann", Key: "x", Hash: 4}
	w.must(x)
	if r := w.must(x); !r.Repeated || r.Count != 1 {
		t.Fatalf("%+v", r)
	}
	again(c, first) // it is still what became of it
	// What only reports, and what is refused, is not kept under a key.
	p := book("i0001", slot(0, 10))
	p.OnConflict, p.Keyed = pool.Report, pool.Keyed{Client: "ann", Key: "p", Hash: 5}
	w.must(p)
	if r := w.must(p); r.Repeated {
		t.Fatalf("%+v", r)
	}
	p = book("i0001", slot(100, 110))
	p.Keyed = pool.Keyed{Client: "ann", Key: "q", Hash: 6}
	w.fails(p, pool.Conflict)
	w.fails(p, pool.Conflict)
}
