package pool_test

import (
	"slices"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

// many is a world in which there is more to be looked at, whenever something comes back, than there is time for at once: 400
// rooms that are all booked at three times.
type many struct {
	*world
	early, late, night pool.Span
	booked             map[pool.Span][]pool.Reply
	served             []uint64
	tokens             map[uint64]uint64
	steps              int
}

func newMany(t *testing.T) *many {
	w := &many{
		world: newWorld(t, pool.Config{}, pool.Spec{Name: "c", Kind: pool.Calendar}, pool.Spec{Name: "l"}),
		early: slot(0, 100), late: slot(200, 300), night: slot(600, 700),
		booked: map[pool.Span][]pool.Reply{}, tokens: map[uint64]uint64{},
	}
	w.fill("c", 400)
	w.fill("l", 1)
	for range 400 {
		for _, s := range []pool.Span{w.early, w.late, w.night} {
			w.booked[s] = append(w.booked[s], w.must(bookAny(s)))
		}
	}
	return w
}

// wait has somebody wait.
func (w *many) wait(priority int64, wants ...pool.Want) uint64 {
	w.t.Helper()
	r := w.must(&pool.Acquire{Want: wants, WaitMs: 300_000, Priority: priority})
	if r.Waiting == 0 {
		w.t.Fatalf("it does not wait: %+v", r)
	}
	return r.Waiting
}

// two wants two rooms for a time.
func two(s pool.Span) []pool.Want {
	want := pool.Want{Pool: "c", Count: 1, Spans: []pool.Span{s}}
	return []pool.Want{want, want}
}

// cancel has so many rooms be free for a time.
func (w *many) cancel(s pool.Span, n int) {
	w.t.Helper()
	for range n {
		w.must(cancel(w.booked[s][0]))
		w.booked[s] = w.booked[s][1:]
	}
	w.answers()
}

func (w *many) answers() {
	w.t.Helper()
	answers, _ := w.m.TakeAnswers()
	for _, a := range answers {
		if a.Reply.Err != nil {
			w.t.Fatal(a.Reply.Err)
		}
		w.served = append(w.served, a.Wait)
		w.tokens[a.Wait] = a.Reply.Token
	}
}

// step has Tick do as little as it can.
func (w *many) step() (more bool) {
	w.t.Helper()
	if w.steps++; w.steps > 200 {
		w.t.Fatal("it looks without end")
	}
	more = w.m.Tick(w.now, 1)
	w.flush()
	w.answers()
	return more
}

func (w *many) want(served ...uint64) {
	w.t.Helper()
	if !slices.Equal(w.served, served) {
		w.t.Fatalf("served were %d, want %d", w.served, served)
	}
	if err := w.m.Check(); err != nil {
		w.t.Fatal(err)
	}
}

// TestManyLooks has rooms come back for those whom nobody has looked at in time: Tick does, a part at a time.
func TestManyLooks(t *testing.T) {
	w := newMany(t)
	var middle uint64
	for i := range 400 {
		if i == 200 {
			middle = w.wait(0, two(w.early)...)
		}
		w.wait(0, two(w.late)...)
	}
	last := w.wait(0, two(w.night)...)
	w.cancel(w.night, 2)
	for range 15 {
		w.step()
	}
	w.want() // neither at once nor in a few steps
	w.cancel(w.early, 2)
	w.want() // it has been past the middle, which has its turn when it is through
	for w.step() {
	}
	w.want(last, middle)
	if due := w.m.NextDue(); due <= w.now {
		t.Errorf("something is due at %d, it is %d", due, w.now)
	}
}

// TestManyLooksInTurn has those who are looked at later be served before others all the same, if that is their turn.
func TestManyLooksInTurn(t *testing.T) {
	w := newMany(t)
	item := pool.Want{Pool: "l", Count: 1}
	with := func(s pool.Span) []pool.Want { return []pool.Want{item, two(s)[0]} }
	lease := w.must(&pool.Acquire{Want: []pool.Want{item}})
	for range 300 { // more than are looked at when the item comes back
		w.wait(10, with(w.late)...)
	}
	sooner := w.wait(5, with(slot(400, 500))...)
	inLine := w.wait(3, item)
	later := w.wait(1, with(slot(400, 500))...)
	for _, want := range []uint64{sooner, inLine, later} {
		w.served, w.steps = nil, 0
		w.must(&pool.Release{Grant: lease.Grant, Token: lease.Token})
		for w.step() {
		}
		w.want(want)
		lease = pool.Reply{Grant: want, Token: w.tokens[want]}
	}
}

// TestCostlyWait has somebody wait for whom alone there is more to be looked at than there is time for: he is looked at.
func TestCostlyWait(t *testing.T) {
	w := newMany(t)
	item := pool.Want{Pool: "l", Count: 1}
	rooms := pool.Want{Pool: "c", Count: 1}
	for i := range int64(300) {
		rooms.Spans = append(rooms.Spans, slot(1000*(1+i), 1000*(1+i)+10))
	}
	lease := w.must(&pool.Acquire{Want: []pool.Want{item}})
	first := w.wait(10, item, rooms)
	w.wait(0, item)
	w.must(&pool.Release{Grant: lease.Grant, Token: lease.Token})
	w.answers()
	w.want(first)
}

// TestTooManyTimes asks for a series in any of very many rooms. Who waits for one already is not refused when rooms are added.
func TestTooManyTimes(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "c", Kind: pool.Calendar})
	const rooms, times = 1024, 256 // the most
	w.fill("c", rooms)
	var slots []pool.Span
	for i := range int64(times) {
		slots = append(slots, slot(1000*i, 1000*i+10))
	}
	acquire := &pool.Acquire{Want: []pool.Want{{Pool: "c", Count: 1, Spans: slots}}, WaitMs: 300_000}
	first := w.must(bookAny(slots[0]))
	for range rooms - 1 {
		w.must(bookAny(slots[0]))
	}
	wait := w.must(acquire).Waiting
	w.fill("c", rooms+1)
	w.tick(0)
	if a := w.answer(); a.Wait != wait || a.Reply.Err != nil {
		t.Fatalf("%+v, want that wait %d is served", a, wait)
	}
	w.fails(bookAny(slots...), pool.BadPayload)
	w.fails(acquire, pool.BadPayload)
	w.must(cancel(first))
	w.must(bookAny(slots[:times-1]...))
}
