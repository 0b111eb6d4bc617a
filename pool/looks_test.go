package pool_test

import (
	"fmt"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

// TestManyLooks has more to be looked at, whenever a room comes back, than there is time for at once: Tick does it, a part at
// a time, and nobody is forgotten.
func TestManyLooks(t *testing.T) {
	const rooms, waits = 400, 300
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "c", Kind: pool.Calendar})
	w.fill("c", rooms)
	early, late := slot(0, 100), slot(200, 300)
	var booked [2][]pool.Reply
	for range rooms {
		booked[0] = append(booked[0], w.must(bookAny(early)))
		booked[1] = append(booked[1], w.must(bookAny(late)))
	}
	wait := func(name string, s pool.Span) uint64 {
		want := pool.Want{Pool: "c", Count: 1, Spans: []pool.Span{s}}
		r := w.must(&pool.Acquire{Want: []pool.Want{want, want}, Owner: name, WaitMs: 300_000})
		if r.Waiting == 0 {
			t.Fatalf("%s does not wait: %+v", name, r)
		}
		return r.Waiting
	}
	first := wait("first", late)
	var others []uint64
	for i := range waits {
		others = append(others, wait(fmt.Sprint(i), early))
	}
	last := wait("last", late)
	var served []uint64
	steps := 0
	step := func() (more bool) {
		steps++
		more = w.m.Tick(w.now, 1)
		w.flush()
		answers, _ := w.m.TakeAnswers()
		for _, a := range answers {
			if a.Reply.Err != nil {
				t.Fatal(a.Reply.Err)
			}
			served = append(served, a.Wait)
		}
		return more
	}
	free := func(which, n int) {
		for range n {
			w.must(cancel(booked[which][0]))
			booked[which] = booked[which][1:]
		}
	}
	free(0, 2)
	if answers, _ := w.m.TakeAnswers(); len(answers) > 0 {
		t.Fatal("it has looked at all at once")
	}
	for range 5 {
		if !step() {
			t.Fatalf("in %d steps it has looked at all", steps)
		}
	}
	// Two rooms of which it has passed the first who wants them, and not the last: and two more.
	free(1, 4)
	for step() {
		if steps > 100 {
			t.Fatalf("after %d steps it still looks", steps)
		}
	}
	want := []uint64{others[0], last, first}
	if fmt.Sprint(served) != fmt.Sprint(want) {
		t.Fatalf("served were %d, want %d", served, want)
	}
	if due := w.m.NextDue(); due <= w.now {
		t.Errorf("something is due at %d, it is %d", due, w.now)
	}
	if err := w.m.Check(); err != nil {
		t.Fatal(err)
	}
}

// TestTooManyTimes asks for a series in any of very many rooms.
func TestTooManyTimes(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "c", Kind: pool.Calendar})
	w.fill("c", 513)
	var slots []pool.Span
	for i := range int64(512) {
		slots = append(slots, slot(1000*i, 1000*i+10))
	}
	w.fails(bookAny(slots...), pool.BadPayload)
	w.must(bookAny(slots[:511]...))
	w.must(book("i0513", slots...))
}
