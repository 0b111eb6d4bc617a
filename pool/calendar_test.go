package pool_test

import (
	"encoding/json"
	"fmt"
	"math"
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
	w.must(book("i0001", slot(end, end+1000)))
	w.must(book("i0001", slot(1000, 2000)))
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
