package pool_test

import (
	"math"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

func TestTimesThatCanNotBe(t *testing.T) {
	w := newRooms(t, pool.Spec{SlotMaxMs: 1000, HorizonMs: 2_000_000}, 1)
	w.now += 100_000
	w.tick(0)
	r := w.must(book("i0001", slot(500, 600)))
	now := w.now - 2_000_000
	end := now + 2_000_000 // of the horizon
	for what, slots := range map[string][]pool.Span{
		"it ends before it begins":  {slot(10, 9)},
		"it has no length":          {slot(10, 10)},
		"it is too long":            {slot(0, 1001)},
		"it is too far ahead":       {slot(end+1, end+2)},
		"it is over":                {slot(now-10, now)},
		"it is out of range":        {{Start: -1, End: 10}},
		"it is far out of range":    {{Start: math.MinInt64, End: math.MaxInt64}},
		"it ends out of range":      {{Start: 2_000_000, End: math.MaxInt64}},
		"they overlap":              {slot(0, 10), slot(9, 20)},
		"they are not in order":     {slot(20, 30), slot(0, 10)},
		"it is there twice":         {slot(0, 10), slot(0, 10)},
		"the second is not allowed": {slot(0, 10), slot(20, 2000)},
	} {
		t.Log(what) // shown when it fails
		for _, on := range []pool.OnConflict{pool.FailAll, pool.Skip, pool.Report} {
			c := book("i0001", slots...)
			c.OnConflict = on
			w.fails(c, pool.InvalidInterval)
		}
		w.fails(bookAny(slots...), pool.InvalidInterval)
		w.fails(holdSlot("i0001", 1000, 1000, slots...), pool.InvalidInterval)
		w.fails(move(r, slots...), pool.InvalidInterval)
	}
	w.must(book("i0001", slot(now-10, now+1))) // it has begun
	last := w.must(book("i0001", slot(end, end+1000)))
	w.must(book("i0001", slot(1000, 2000)))
	free, _, err := w.m.Free(pool.TimesQuery{Pool: "c", From: 0, To: 1 << 50, Units: 1, LengthMs: 500, Limit: 100})
	if err != nil || free[0].Span.Start != w.now+1 || free[len(free)-1].Span.End != slot(end, 0).Start {
		t.Errorf("at %d, %v: free are %+v", w.now, err, free)
	}
	w.must(cancel(last))
	free, _, err = w.m.Free(pool.TimesQuery{Pool: "c", From: 0, To: 1 << 50, Units: 1, LengthMs: 500, Limit: 100})
	if err != nil || free[len(free)-1].Span.End != slot(end+500, 0).Start {
		t.Errorf("at %d, %v: free are %+v", w.now, err, free)
	}
}

func TestBadBookings(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 1)
	w.must(&pool.Configure{Pools: []pool.Spec{{Name: "c", Kind: pool.Calendar}, {Name: "l"}, {Name: "s", Kind: pool.Stock}}})
	w.fill("l", 1)
	w.fill("s", 1)
	w.fails(book("none", slot(0, 10)), pool.NotFound)
	w.fails(book("i0001"), pool.BadPayload)
	w.fails(&pool.Book{Want: pool.Want{Pool: "none", Count: 1, Spans: []pool.Span{slot(0, 10)}}}, pool.NotFound)
	for _, count := range []int64{0, -1} {
		c := bookAny(slot(0, 10))
		c.Want.Count = count
		w.fails(c, pool.BadPayload)
	}
	c := book("i0001", slot(0, 10))
	c.Want.Count = -1
	w.fails(c, pool.BadPayload)
	c.Want.Count = 1 << 40
	w.fails(c, pool.NoMatch)
	c = book("i0001", slot(0, 10))
	c.Session = 999
	w.fails(c, pool.SessionExpired)
	c = book("i0001", slot(0, 10))
	c.Owner = "a\n"
	w.fails(c, pool.BadPayload)
	var many []pool.Span
	for i := range int64(513) {
		many = append(many, slot(2*i, 2*i+1))
	}
	w.fails(book("i0001", many...), pool.BadPayload)
	w.must(cancel(w.must(book("i0001", many[:512]...))))
	for _, name := range []string{"l", "s"} {
		want := pool.Want{Pool: name, Count: 1, Spans: []pool.Span{slot(0, 10)}}
		w.fails(&pool.Book{Want: want}, pool.BadPayload)
		w.fails(&pool.Acquire{Want: []pool.Want{want}}, pool.BadPayload)
		want.Spans = nil
		w.fails(&pool.Book{Want: want}, pool.BadPayload)
	}
	w.fails(&pool.Acquire{Want: []pool.Want{{Pool: "c", Count: 1}}}, pool.BadPayload)
	none := pool.Want{Pool: "l", Count: 1, Spans: []pool.Span{}}
	w.must(&pool.Acquire{Want: []pool.Want{none}})
	w.must(&pool.Acquire{WaitMs: 1000, Want: []pool.Want{none}})
	w.fails(&pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "c", Count: 1, Spans: []pool.Span{slot(0, 10)}}}}, pool.BadPayload)
	w.fails(&pool.SetItem{Pool: "c", ID: "i0001", State: "free"}, pool.BadPayload)
	w.fails(&pool.Fill{Pool: "c", Items: []pool.ItemSpec{{ID: "x", Row: 1, Col: 1}}}, pool.BadPayload)
	w.are()
}

// TestCapacityThatChanges lowers the capacity of a room. What is past is in nobody's way, nor in that of a restart.
func TestCapacityThatChanges(t *testing.T) {
	w := newRooms(t, pool.Spec{CleanupMs: 5}, 0)
	capacity := func(n int64) *pool.Fill { return &pool.Fill{Pool: "c", Items: []pool.ItemSpec{{ID: "r", Quantity: n}}} }
	w.must(capacity(3))
	w.must(book("r", slot(0, 100), slot(200, 300)))
	w.must(book("r", slot(50, 150)))
	w.fails(capacity(1), pool.Conflict)
	w.must(capacity(2))
	w.fails(book("r", slot(99, 101)), pool.Conflict)
	w.until(104)
	w.fails(capacity(1), pool.Conflict) // the clean-up of the first is not over
	w.until(105)
	w.must(capacity(1))
	w.fails(book("r", slot(154, 160)), pool.Conflict)
	w.must(book("r", slot(155, 160)))
	w.fails(book("r", slot(299, 310)), pool.Conflict)
	w.must(capacity(2))
	w.must(book("r", slot(299, 310)))
	w.must(capacity(3))
	for _, end := range []int64{1095, 1095, 1195} {
		w.must(book("r", slot(1000, end)))
	}
	w.until(1100) // two end at once
	w.must(capacity(1))
}

func TestADrainedRoom(t *testing.T) {
	w := newRooms(t, pool.Spec{KeepMs: 50}, 2)
	a := w.must(book("i0001", slot(0, 100)))
	w.must(book("i0001", slot(200, 300)))
	c := w.must(book("i0001", slot(400, 500)))
	wait := w.must(holdSlot("i0001", 1000, 100_000, slot(0, 100))).Waiting
	r := w.must(&pool.Drain{Pool: "c", IDs: []string{"i0001", "i0002"}})
	if r.Count != 1 || r.Other != 1 {
		t.Fatalf("%+v", r)
	}
	w.tick(0)
	if x := w.answer(); x.Wait != wait || x.Reply.Err == nil || x.Reply.Err.Code != pool.NoMatch {
		t.Fatalf("%+v", x)
	}
	w.fails(book("i0001", slot(600, 700)), pool.NoMatch)
	w.fails(bookAny(slot(600, 700)), pool.NoMatch)
	w.fails(holdSlot("i0001", 1000, 0, slot(600, 700)), pool.NoMatch)
	if s, _ := w.m.Stats("c"); s.Draining != 1 || s.Items != 1 {
		t.Fatalf("%+v", s)
	}
	w.must(cancel(a))
	w.until(350) // the second is past, and let go of
	w.are("i0001 400-500")
	w.must(&pool.Fill{Pool: "c", Items: []pool.ItemSpec{{ID: "i0002"}}})
	w.must(&pool.Move{Grant: c.Grant, Token: c.Token, Item: "i0002"}) // the last one: the room goes
	if s, _ := w.m.Stats("c"); s.Draining != 0 || s.Items != 1 {
		t.Fatalf("%+v", s)
	}
	w.fails(book("i0001", slot(600, 700)), pool.NotFound)
	w.must(&pool.Drain{Pool: "c", All: true})
	// A calendar that is no longer configured goes with its last booking.
	w.must(&pool.Configure{})
	w.fails(book("i0002", slot(600, 700)), pool.NotFound)
	last := w.types(func() { w.world.tick(2_000_550 - w.now) }, "slot.past", "pool.gone")
	if last[0].Items[0].ID != "i0002" {
		t.Fatalf("%+v", last)
	}
}

func TestPastBookings(t *testing.T) {
	w := newRooms(t, pool.Spec{KeepMs: 50, CleanupMs: 10}, 1)
	r := w.must(book("i0001", slot(0, 100), slot(200, 300)))
	w.until(149)
	w.are("i0001 0-100", "i0001 200-300")
	if due := w.m.NextDue(); due != slot(150, 0).Start {
		t.Fatalf("due at %d", due)
	}
	e := w.types(func() { w.until(150) }, "slot.past")[0]
	if e.Grant != r.Grant || e.Cause != string(pool.Past) || len(e.Items) != 1 || e.Items[0].Span.Start != slot(0, 100).Start {
		t.Fatalf("%+v", e)
	}
	w.are("i0001 200-300")
	c := cancel(r)
	c.At.Start = starts(slot(0, 0))
	w.fails(c, pool.NotFound)
	w.types(func() { w.until(350) }, "slot.past")
	w.fails(cancel(r), pool.AlreadyResolved)
	if w.m.NextDue() != 0 {
		t.Fatal("something is due")
	}
	// After a time without the server all that is past goes at once.
	w.must(book("i0001", slot(400, 500), slot(600, 700), slot(5000, 6000)))
	w.types(func() { w.until(4000) }, "slot.past")
	w.are("i0001 5000-6000")
}

// TestPastKeepsItsCleanUp has bookings be kept for less than their clean-up takes.
func TestPastKeepsItsCleanUp(t *testing.T) {
	w := newRooms(t, pool.Spec{KeepMs: 10, CleanupMs: 100}, 1)
	w.must(book("i0001", slot(0, 100)))
	w.until(110)
	w.fails(book("i0001", slot(150, 160)), pool.Conflict)
	w.until(199)
	w.fails(book("i0001", slot(199, 210)), pool.Conflict)
	w.until(200)
	w.are()
}

func TestKeepThatChanges(t *testing.T) {
	w := newRooms(t, pool.Spec{KeepMs: 1000}, 2)
	w.must(book("i0001", slot(0, 100)))
	w.must(book("i0002", slot(0, 200), slot(500, 600)))
	w.until(300)
	w.are("i0001 0-100", "i0002 0-200", "i0002 500-600")
	w.configured(pool.Spec{KeepMs: 150})
	w.tick(0)
	w.are("i0002 0-200", "i0002 500-600")
	w.configured(pool.Spec{KeepMs: 5000})
	w.until(5199)
	w.are("i0002 0-200", "i0002 500-600")
	w.until(5200)
	w.are("i0002 500-600")
}

func TestBookingQuota(t *testing.T) {
	w := newRooms(t, pool.Spec{QuotaMax: 3, KeepMs: 10}, 2)
	by := func(client string, c *pool.Book) *pool.Book {
		c.Client = client
		return c
	}
	r := w.must(by("ann", book("i0001", slot(0, 10), slot(20, 30))))
	w.fails(by("ann", book("i0002", slot(0, 10), slot(20, 30))), pool.QuotaExceeded)
	c := by("ann", book("i0001", slot(0, 10), slot(20, 30), slot(40, 50)))
	c.OnConflict = pool.Skip // what is skipped does not count
	w.must(c)
	w.fails(by("ann", bookAny(slot(60, 70))), pool.QuotaExceeded)
	hold := holdSlot("i0001", 1000, 1000, slot(60, 70))
	hold.Client = "ann"
	w.fails(hold, pool.QuotaExceeded)
	w.must(by("bob", bookAny(slot(60, 70))))
	w.must(move(r, slot(80, 90), slot(100, 110)))
	x := cancel(r)
	x.At.Start = starts(slot(80, 0))
	w.must(x)
	w.must(by("ann", bookAny(slot(0, 10))))
	w.fails(by("ann", bookAny(slot(0, 10))), pool.QuotaExceeded)
	w.until(20) // that is past
	w.must(by("ann", bookAny(slot(200, 210))))
}
