package pool_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

// rooms is a world that is looked at as a whole after each step.
type rooms struct{ *world }

// newRooms returns a world with the calendar c, with so many rooms, i0001 and so on, each for one at a time.
func newRooms(t testing.TB, spec pool.Spec, n int) rooms {
	spec.Name, spec.Kind = "c", pool.Calendar
	w := rooms{newWorld(t, pool.Config{}, spec)}
	if n > 0 {
		w.fill("c", n)
	}
	return w
}

// slot is a time, in ms from 1000 s after a world begins.
func slot(start, end int64) pool.Span {
	return pool.Span{Start: 2_000_000 + start, End: 2_000_000 + end}
}

func starts(s pool.Span) *int64 { return &s.Start }

// book returns a command that books a room.
func book(room string, slots ...pool.Span) *pool.Book {
	return &pool.Book{Want: pool.Want{Pool: "c", IDs: []string{room}, Spans: slots}}
}

// bookAny returns one that books any room.
func bookAny(slots ...pool.Span) *pool.Book {
	return &pool.Book{Want: pool.Want{Pool: "c", Count: 1, Spans: slots}}
}

func cancel(r pool.Reply) *pool.Cancel { return &pool.Cancel{Grant: r.Grant, Token: r.Token} }

func move(r pool.Reply, slots ...pool.Span) *pool.Move {
	return &pool.Move{Grant: r.Grant, Token: r.Token, Spans: slots}
}

// sound checks the state, and that it comes back from the journal and from a checkpoint.
func (w rooms) sound() {
	w.t.Helper()
	for _, from := range []string{"the journal", "a checkpoint"} {
		if err := w.m.Check(); err != nil {
			w.t.Fatal(err)
		}
		x := w.replayed()
		if x.Hash() != w.m.Hash() || x.Rev() != w.m.Rev() {
			w.t.Fatalf("from %s: rev %d, hash %x; live: rev %d, hash %x", from, x.Rev(), x.Hash(), w.m.Rev(), w.m.Hash())
		}
		if err := x.Check(); err != nil {
			w.t.Fatalf("from %s: %v", from, err)
		}
		if a, b := w.booked(w.m), w.booked(x); a != b {
			w.t.Fatalf("from %s these are booked: %s; live: %s", from, b, a)
		}
		w.checkpoint(3, func() {})
	}
}

// booked tells what is booked in the calendar c, as room, times from 2,000,000, grant.
func (w rooms) booked(m *pool.Machine) string {
	w.t.Helper()
	booked, cursor, err := m.Booked(pool.TimesQuery{Pool: "c", From: 0, To: 1 << 50, Limit: 1000})
	if err != nil || cursor != "" {
		w.t.Fatal(err, cursor)
	}
	var all []string
	for _, b := range booked {
		all = append(all, fmt.Sprintf("%s %d-%d %d", b.ID, b.Span.Start-2_000_000, b.Span.End-2_000_000, b.Grant))
	}
	return strings.Join(all, ", ")
}

// are checks what is booked, told as room and times.
func (w rooms) are(want ...string) {
	w.t.Helper()
	var got []string
	if all := w.booked(w.m); all != "" {
		for b := range strings.SplitSeq(all, ", ") {
			got = append(got, b[:strings.LastIndex(b, " ")])
		}
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("booked are %q, want %q", got, want)
	}
}

func (w rooms) must(c pool.Command) pool.Reply {
	w.t.Helper()
	r := w.world.must(c)
	w.sound()
	return r
}

func (w rooms) fails(c pool.Command, code pool.Code) {
	w.t.Helper()
	w.world.fails(c, code)
	w.sound()
}

func (w rooms) tick(ms int64) {
	w.t.Helper()
	w.world.tick(ms)
	w.sound()
}

// until lets time pass up to ms after 2,000,000.
func (w rooms) until(ms int64) {
	w.t.Helper()
	w.tick(2_000_000 + ms - w.now)
}

// configured configures the calendar anew.
func (w rooms) configured(spec pool.Spec) {
	w.t.Helper()
	spec.Name, spec.Kind = "c", pool.Calendar
	w.must(&pool.Configure{Pools: []pool.Spec{spec}})
}

// events returns what happened in do.
func (w rooms) events(do func()) []pool.Event {
	w.t.Helper()
	var all []pool.Event
	before := len(w.chunks)
	do()
	for _, c := range w.chunks[before:] {
		if err := pool.Events(c.data, func(e *pool.Event) bool { all = append(all, *e); return true }); err != nil {
			w.t.Fatal(err)
		}
	}
	return all
}

// types checks what happened in do.
func (w rooms) types(do func(), want ...string) []pool.Event {
	w.t.Helper()
	all := w.events(do)
	var got []string
	for i := range all {
		got = append(got, all[i].Type)
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("it was %q, want %q", got, want)
	}
	return all
}

// holdSlot returns a command that holds a room.
func holdSlot(room string, ttlMs, waitMs int64, slots ...pool.Span) *pool.Acquire {
	want := []pool.Want{{Pool: "c", IDs: []string{room}, Spans: slots}}
	return &pool.Acquire{Kind: pool.Calendar, TTLMs: &ttlMs, WaitMs: waitMs, Want: want}
}

// served checks that the one answer there is gives room to a wait.
func (w rooms) served(wait uint64, room string) pool.Reply {
	w.t.Helper()
	a := w.answer()
	if a.Wait != wait || a.Reply.Err != nil || len(a.Reply.Items) == 0 || a.Reply.Items[0].ID != room {
		w.t.Fatalf("%+v, want wait %d be given %s", a, wait, room)
	}
	return a.Reply
}

func TestBookOneSlot(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 1)
	s := w.open("ann", 1000)
	c := book("i0001", slot(0, 100))
	c.Session, c.Owner = s, "olga"
	var r pool.Reply
	e := w.types(func() { r = w.must(c) }, "slot.booked")[0]
	if r.Grant == 0 || r.Token != r.Grant || r.ExpiresAt != 0 || len(r.Conflicts) != 0 || len(r.Items) != 1 || r.Rev != w.m.Rev() {
		t.Fatalf("%+v", r)
	}
	if g := r.Items[0]; g.Pool != "c" || g.ID != "i0001" || g.Units != 1 || g.Span != slot(0, 100) {
		t.Fatalf("%+v", g)
	}
	if e.Kind != pool.Calendar || e.Grant != r.Grant || e.Token != r.Token || e.Pool != "c" ||
		e.Client != "ann" || e.Owner != "olga" || e.Session != s ||
		!slices.Equal(e.Items, []pool.ItemRef{{Pool: "c", ID: "i0001", Units: 1, Span: slot(0, 100)}}) {
		t.Fatalf("%+v", e)
	}
	w.are("i0001 0-100")
	if s, _ := w.m.Stats("c"); s.Grants != 1 || s.Items != 1 || s.Granted != 1 || s.Free != 0 {
		t.Fatalf("%+v", s)
	}
	page, _, _ := w.m.ListItems(nil, "c", 10, "")
	if len(page) != 1 || page[0].Bookings != 1 || page[0].State != "open" {
		t.Fatalf("%+v", page)
	}
	w.tick(10_000) // there is nothing that ends
	w.must(&pool.Disconnect{Session: s})
	w.tick(10_000)
	w.are("i0001 0-100")
}

func TestSlotsAreHalfOpen(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 1)
	w.must(book("i0001", slot(100, 200)))
	for _, s := range []pool.Span{
		slot(199, 300), slot(0, 101), slot(150, 160), slot(0, 300), slot(100, 200), slot(100, 101), slot(199, 200),
	} {
		w.fails(book("i0001", s), pool.Conflict)
		w.fails(bookAny(s), pool.Conflict)
		w.fails(holdSlot("i0001", 1000, 0, s), pool.NoneFree)
	}
	w.must(book("i0001", slot(200, 300)))
	w.must(book("i0001", slot(0, 100)))
	w.are("i0001 0-100", "i0001 100-200", "i0001 200-300")
}

func TestARoomForTwo(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 0)
	w.must(&pool.Fill{Pool: "c", Items: []pool.ItemSpec{{ID: "r", Quantity: 2}}})
	units := func(n int64, s pool.Span) *pool.Book {
		c := book("r", s)
		c.Want.Count = n
		return c
	}
	both := w.must(units(2, slot(0, 100)))
	if both.Items[0].Units != 2 {
		t.Fatalf("%+v", both)
	}
	w.fails(units(1, slot(99, 200)), pool.Conflict)
	one := w.must(units(1, slot(100, 200)))
	w.fails(units(2, slot(199, 300)), pool.Conflict)
	w.must(units(1, slot(150, 300)))
	w.fails(units(1, slot(150, 151)), pool.Conflict)
	w.must(units(1, slot(100, 150))) // one leaves as another comes
	w.fails(units(3, slot(1000, 2000)), pool.NoMatch)
	w.must(cancel(one))
	w.must(units(1, slot(100, 200)))
	w.must(cancel(both))
	w.must(units(2, slot(0, 100)))
	w.fails(units(0, slot(0, 100)), pool.Conflict) // 0, with ids: one of each
	if r := w.must(units(0, slot(400, 500))); r.Items[0].Units != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestSetUpAndCleanUp(t *testing.T) {
	w := newRooms(t, pool.Spec{SetupMs: 10, CleanupMs: 20}, 1)
	r := w.must(book("i0001", slot(1000, 1100)))
	if s := r.Items[0].Span; s.SetupMs != 10 || s.CleanupMs != 20 {
		t.Fatalf("%+v", s)
	}
	// The clean-up of one and the set-up of the next both fit in between.
	w.fails(book("i0001", slot(1129, 1200)), pool.Conflict)
	w.fails(book("i0001", slot(900, 971)), pool.Conflict)
	w.must(book("i0001", slot(1130, 1200)))
	w.must(book("i0001", slot(900, 970)))
	// Likewise within one series.
	w.fails(book("i0001", slot(2000, 2100), slot(2129, 2200)), pool.InvalidInterval)
	w.must(book("i0001", slot(2000, 2100), slot(2130, 2200)))
	// What a client says of them does not count.
	s := slot(3000, 3100)
	s.SetupMs, s.CleanupMs = -5, 7
	if r := w.must(book("i0001", s)); r.Items[0].Span.SetupMs != 10 || r.Items[0].Span.CleanupMs != 20 {
		t.Fatalf("%+v", r)
	}
}

func TestBuffersThatChange(t *testing.T) {
	w := newRooms(t, pool.Spec{CleanupMs: 20}, 1)
	old := w.must(book("i0001", slot(0, 100)))
	w.configured(pool.Spec{})
	w.fails(book("i0001", slot(119, 200)), pool.Conflict) // the old one keeps its clean-up
	w.must(book("i0001", slot(120, 200)))
	w.must(book("i0001", slot(200, 300)))
	w.configured(pool.Spec{SetupMs: 50, CleanupMs: 50})
	w.fails(book("i0001", slot(349, 400)), pool.Conflict)
	w.must(book("i0001", slot(350, 400)))
	w.fails(move(old, slot(-10, 71)), pool.Conflict) // what is moved gets those there are now
	w.must(move(old, slot(-10, 70)))
	w.are("i0001 -10-70", "i0001 120-200", "i0001 200-300", "i0001 350-400")
}

func TestSeries(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 1)
	w.must(book("i0001", slot(100, 200)))
	series := func(on pool.OnConflict, slots ...pool.Span) *pool.Book {
		c := book("i0001", slots...)
		c.OnConflict = on
		return c
	}
	three := []pool.Span{slot(0, 50), slot(150, 160), slot(200, 250)}
	w.fails(series("", three...), pool.Conflict)
	w.fails(series(pool.FailAll, three...), pool.Conflict)
	w.fails(series("odd", three...), pool.BadPayload)

	hash, rev := w.m.Hash(), w.m.Rev()
	r := w.must(series(pool.Report, three...))
	conflicts := []pool.Given{{Pool: "c", ID: "i0001", Span: slot(150, 160)}}
	if w.m.Hash() != hash || w.m.Rev() != rev || r.Grant != 0 || len(r.Items) != 2 || !slices.Equal(r.Conflicts, conflicts) {
		t.Fatalf("%+v", r)
	}
	w.are("i0001 100-200")
	if r := w.must(series(pool.Report, slot(300, 310))); len(r.Items) != 1 || len(r.Conflicts) != 0 || w.m.Rev() != rev {
		t.Fatalf("%+v", r)
	}
	if r := w.must(series(pool.Report, slot(120, 130))); len(r.Items) != 0 || len(r.Conflicts) != 1 {
		t.Fatalf("%+v", r)
	}

	r = w.must(series(pool.Skip, three...))
	if len(r.Items) != 2 || r.Items[0].Span != slot(0, 50) || r.Items[1].Span != slot(200, 250) ||
		!slices.Equal(r.Conflicts, conflicts) {
		t.Fatalf("%+v", r)
	}
	w.are("i0001 0-50", "i0001 100-200", "i0001 200-250")
	w.fails(series(pool.Skip, three...), pool.Conflict) // nothing is free
	if r := w.must(series(pool.Skip, slot(300, 310), slot(320, 330))); len(r.Items) != 2 || len(r.Conflicts) != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestAnyRoom(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 0)
	labels := func(v string) map[string]string { return map[string]string{"floor": v} }
	w.must(&pool.Fill{Pool: "c", Items: []pool.ItemSpec{
		{ID: "z", Labels: labels("1")}, {ID: "y", Labels: labels("2")}, {ID: "x", Labels: labels("1")},
	}})
	gets := func(c *pool.Book, room string) pool.Reply {
		t.Helper()
		r := w.must(c)
		for _, g := range r.Items {
			if g.ID != room {
				t.Fatalf("%+v, want %s", r, room)
			}
		}
		return r
	}
	floor := func(n string, slots ...pool.Span) *pool.Book {
		c := bookAny(slots...)
		c.Want.Select = pool.Selector{{Name: "floor", Values: []string{n}}}
		return c
	}
	gets(bookAny(slot(0, 100)), "z") // in the pool's order, not by name
	gets(floor("1", slot(50, 150)), "x")
	w.fails(floor("1", slot(90, 95)), pool.Conflict)
	gets(bookAny(slot(50, 150)), "y")
	w.fails(bookAny(slot(50, 60)), pool.Conflict)
	w.fails(floor("3", slot(500, 600)), pool.NoMatch)

	// A series goes where the fewest of its times are booked, the first such room.
	w.must(book("z", slot(1000, 1100), slot(1200, 1300)))
	w.must(book("y", slot(1200, 1300), slot(1400, 1500)))
	w.must(book("x", slot(1000, 1100)))
	series := bookAny(slot(1050, 1060), slot(1250, 1260), slot(1450, 1460))
	w.fails(series, pool.Conflict)
	series.OnConflict = pool.Skip
	r := gets(series, "x")
	if len(r.Items) != 2 || len(r.Conflicts) != 1 || r.Conflicts[0].ID != "x" || r.Conflicts[0].Span != slot(1050, 1060) {
		t.Fatalf("%+v", r)
	}
	series = bookAny(slot(1200, 1210), slot(1600, 1610))
	series.OnConflict = pool.Skip
	gets(series, "x")
	gets(bookAny(slot(1000, 1010), slot(1600, 1610)), "y") // y has all of it
	series = bookAny(slot(1010, 1020), slot(1410, 1420))
	series.OnConflict = pool.Skip
	if r := gets(series, "z"); len(r.Items) != 1 || len(r.Conflicts) != 1 { // each has one of them
		t.Fatalf("%+v", r)
	}
}

func TestSeveralRooms(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 3)
	w.must(book("i0002", slot(100, 200)))
	c := &pool.Book{Want: pool.Want{Pool: "c", IDs: []string{"i0003", "i0002"}, Spans: []pool.Span{slot(0, 50), slot(150, 250)}}}
	w.fails(c, pool.Conflict)
	c.OnConflict = pool.Report
	if r := w.must(c); len(r.Items) != 2 || len(r.Conflicts) != 2 {
		t.Fatalf("%+v", r)
	}
	c.OnConflict = pool.Skip // a time at which one of them is not free is skipped for all
	r := w.must(c)
	if len(r.Items) != 2 || r.Items[0].ID != "i0003" || r.Items[1].ID != "i0002" ||
		len(r.Conflicts) != 2 || r.Conflicts[1].Span != slot(150, 250) {
		t.Fatalf("%+v", r)
	}
	w.are("i0002 0-50", "i0002 100-200", "i0003 0-50")
	w.fails(&pool.Move{Grant: r.Grant, Token: r.Token, Item: "i0001"}, pool.Conflict) // two can not both be there
	w.must(move(r, slot(300, 350)))
	w.are("i0002 100-200", "i0002 300-350", "i0003 300-350")
	w.fails(move(r, slot(150, 201)), pool.Conflict)
	w.must(cancel(r))
	w.are("i0002 100-200")
	w.fails(&pool.Book{Want: pool.Want{Pool: "c", IDs: []string{"i0001", "i0001"}, Spans: []pool.Span{slot(0, 50)}}}, pool.BadPayload)
}

func TestMove(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 2)
	r := w.must(book("i0001", slot(0, 100)))
	other := w.must(book("i0001", slot(200, 300)))
	to := func(room string, slots ...pool.Span) *pool.Move {
		c := move(r, slots...)
		c.Item = room
		return c
	}
	w.fails(to(""), pool.InvalidInterval) // onto itself
	w.fails(to("", slot(0, 100)), pool.InvalidInterval)
	w.fails(to("i0001"), pool.InvalidInterval)
	w.fails(to("i0001", slot(0, 100)), pool.InvalidInterval)
	w.fails(to("", slot(150, 201)), pool.Conflict) // onto what is booked
	w.fails(to("", slot(200, 300)), pool.Conflict)
	w.fails(to("", slot(10, 10)), pool.InvalidInterval)
	w.fails(to("", slot(10, 20), slot(30, 40)), pool.BadPayload)
	w.fails(to("none"), pool.NotFound)
	w.are("i0001 0-100", "i0001 200-300")
	var moved pool.Reply
	e := w.types(func() { moved = w.must(to("", slot(50, 150))) }, "slot.moved")[0] // over its own old time
	if moved.Grant != r.Grant || moved.Token != r.Token || len(moved.Items) != 1 || moved.Items[0].Span != slot(50, 150) {
		t.Fatalf("%+v", moved)
	}
	if e.Grant != r.Grant || e.Kind != pool.Calendar || e.Pool != "c" ||
		len(e.Was) != 1 || e.Was[0].ID != "i0001" || e.Was[0].Span.Start != slot(0, 100).Start ||
		len(e.Items) != 1 || e.Items[0].ID != "i0001" || e.Items[0].Span != slot(50, 150) {
		t.Fatalf("%+v", e)
	}
	w.must(book("i0001", slot(0, 50))) // the old time is free
	w.fails(book("i0001", slot(149, 200)), pool.Conflict)
	w.must(to("i0002"))
	w.must(book("i0001", slot(50, 150)))
	w.fails(to("i0001"), pool.Conflict)
	w.must(to("i0002", slot(200, 300)))
	w.must(to("", slot(300, 310)))
	w.are("i0001 0-50", "i0001 50-150", "i0001 200-300", "i0002 300-310")
	w.fails(&pool.Move{Grant: r.Grant, Token: r.Token + 1, Spans: []pool.Span{slot(0, 9)}}, pool.StaleToken)
	w.fails(&pool.Move{Grant: 999, Token: 1, Spans: []pool.Span{slot(0, 9)}}, pool.NotFound)
	w.must(cancel(r))
	w.fails(to("", slot(400, 500)), pool.AlreadyResolved)
	w.must(&pool.Drain{Pool: "c", IDs: []string{"i0001"}})
	there := w.must(book("i0002", slot(0, 10)))
	leaving := move(there, slot(600, 700))
	leaving.Item = "i0001"
	w.fails(leaving, pool.NoMatch)
	w.fails(move(other, slot(700, 800)), pool.NoMatch) // nor to another time in the room that is leaving
	w.must(&pool.Move{Grant: other.Grant, Token: other.Token, Item: "i0002"})
	w.are("i0001 0-50", "i0001 50-150", "i0002 0-10", "i0002 200-300")
}

func TestMoveASeries(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 2)
	w.must(book("i0001", slot(900, 1000)))
	r := w.must(book("i0001", slot(0, 100), slot(200, 300), slot(400, 500)))
	at := func(start *int64, following bool, room string, slots ...pool.Span) *pool.Move {
		c := move(r, slots...)
		c.At, c.Item = pool.At{Start: start, Following: following}, room
		return c
	}
	w.fails(at(starts(slot(1, 0)), false, "", slot(600, 700)), pool.NotFound)
	w.fails(at(starts(slot(200, 0)), false, "", slot(99, 150)), pool.Conflict) // the first of the same is there
	w.fails(at(starts(slot(200, 0)), false, "", slot(600, 700), slot(800, 810)), pool.BadPayload)
	w.fails(at(nil, false, "", slot(0, 100), slot(210, 310)), pool.BadPayload) // too few
	w.fails(at(nil, false, "", slot(0, 100), slot(210, 310), slot(950, 990)), pool.Conflict)
	w.fails(at(nil, false, "", slot(400, 500), slot(200, 300), slot(0, 100)), pool.InvalidInterval) // not in order
	w.fails(at(nil, false, "", slot(0, 100), slot(99, 310), slot(400, 500)), pool.InvalidInterval)
	w.are("i0001 0-100", "i0001 200-300", "i0001 400-500", "i0001 900-1000")

	w.must(at(starts(slot(200, 0)), false, "", slot(100, 200)))
	w.are("i0001 0-100", "i0001 100-200", "i0001 400-500", "i0001 900-1000")
	// Each takes the time of the next: that is done at once.
	w.must(at(nil, false, "", slot(100, 200), slot(400, 500), slot(600, 700)))
	w.are("i0001 100-200", "i0001 400-500", "i0001 600-700", "i0001 900-1000")
	w.must(at(starts(slot(400, 0)), true, "i0002"))
	w.are("i0001 100-200", "i0001 900-1000", "i0002 400-500", "i0002 600-700")
	w.must(at(starts(slot(400, 0)), true, "", slot(410, 420), slot(430, 440)))
	w.must(at(nil, true, "", slot(100, 200), slot(300, 320), slot(430, 440))) // one of them stays
	w.are("i0001 100-200", "i0001 900-1000", "i0002 300-320", "i0002 430-440")
	w.fails(at(nil, false, "i0002"), pool.Conflict)                  // they are of two rooms
	w.must(at(starts(slot(100, 0)), false, "i0002", slot(320, 430))) // in between
	w.must(at(starts(slot(300, 0)), false, "", slot(500, 510)))      // behind the others
	e := w.types(func() { w.must(at(nil, false, "i0001", slot(0, 1), slot(1, 2), slot(2, 3))) }, "slot.moved")[0]
	if len(e.Was) != 3 || e.Was[0].Span.Start != slot(320, 0).Start || e.Was[2].Span.Start != slot(500, 0).Start ||
		len(e.Items) != 3 || e.Items[2].Span != slot(2, 3) {
		t.Fatalf("%+v", e)
	}
	w.are("i0001 0-1", "i0001 1-2", "i0001 2-3", "i0001 900-1000")
}

func TestCancel(t *testing.T) {
	w := newRooms(t, pool.Spec{}, 1)
	week := []pool.Span{slot(0, 10), slot(100, 110), slot(200, 210), slot(300, 310), slot(400, 410)}
	r := w.must(book("i0001", week...))
	at := func(start *int64, following bool) *pool.Cancel {
		c := cancel(r)
		c.At = pool.At{Start: start, Following: following}
		return c
	}
	w.fails(&pool.Cancel{Grant: r.Grant, Token: r.Token - 1}, pool.StaleToken)
	w.fails(&pool.Cancel{Grant: r.Grant + 1000, Token: r.Token}, pool.NotFound)
	w.fails(at(starts(slot(50, 0)), false), pool.NotFound)
	w.fails(at(starts(slot(401, 0)), true), pool.NotFound)
	e := w.types(func() {
		if x := w.must(at(starts(week[1]), false)); x.Count != 1 || x.Grant != r.Grant {
			t.Fatalf("%+v", x)
		}
	}, "slot.cancelled")[0]
	if e.Grant != r.Grant || e.Cause != "" || e.Kind != pool.Calendar ||
		!slices.Equal(e.Items, []pool.ItemRef{{Pool: "c", ID: "i0001", Units: 1, Span: week[1]}}) {
		t.Fatalf("%+v", e)
	}
	w.are("i0001 0-10", "i0001 200-210", "i0001 300-310", "i0001 400-410")
	w.fails(at(starts(week[1]), false), pool.NotFound)
	if x := w.must(at(starts(week[3]), true)); x.Count != 2 {
		t.Fatalf("%+v", x)
	}
	w.are("i0001 0-10", "i0001 200-210")
	w.must(book("i0001", slot(90, 120)))
	if x := w.must(at(nil, false)); x.Count != 2 {
		t.Fatalf("%+v", x)
	}
	w.fails(at(nil, false), pool.AlreadyResolved)
	w.fails(at(starts(week[0]), false), pool.AlreadyResolved)
	w.are("i0001 90-120")
	// The last occurrence ends the booking.
	r = w.must(book("i0001", slot(0, 10)))
	w.must(at(starts(slot(0, 0)), true))
	w.fails(at(starts(slot(0, 0)), true), pool.AlreadyResolved)
	// A sale is no booking, and a booking no lease.
	r = w.must(book("i0001", slot(0, 10)))
	w.fails(&pool.Release{Grant: r.Grant, Token: r.Token}, pool.AlreadyResolved)
	w.fails(&pool.Renew{Grant: r.Grant, Token: r.Token}, pool.AlreadyResolved)
	w.fails(&pool.Confirm{Grant: r.Grant, Token: r.Token}, pool.AlreadyResolved)
	w.fails(&pool.Refund{Grant: r.Grant, Token: r.Token}, pool.Conflict)
	w.fails(&pool.Release{Pool: "c", Item: "i0001"}, pool.Conflict)
}
