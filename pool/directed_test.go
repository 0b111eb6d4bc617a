package pool_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
)

// open opens a session of a client that says hello.
func (w *world) open(client string, graceMs int64) uint64 {
	w.t.Helper()
	return w.must(&pool.OpenSession{Client: client, Secret: "s", GraceMs: graceMs}).Session
}

func (w *world) checked() {
	w.t.Helper()
	if err := w.m.Check(); err != nil {
		w.t.Fatal(err)
	}
	w.same()
}

// answer returns the one answer there is.
func (w *world) answer() pool.Answer {
	w.t.Helper()
	answers, _ := w.m.TakeAnswers()
	if len(answers) != 1 {
		w.t.Fatalf("answers: %+v", answers)
	}
	return answers[0]
}

func (w *world) none() {
	w.t.Helper()
	if answers, _ := w.m.TakeAnswers(); len(answers) > 0 {
		w.t.Fatalf("answers: %+v", answers)
	}
}

// waits asks for count items of a pool, which are not to be had.
func (w *world) waits(session uint64, name string, count, ms int64) uint64 {
	w.t.Helper()
	a := acquire(name, count)
	a.Session, a.WaitMs = session, ms
	r := w.must(a)
	if r.Waiting == 0 {
		w.t.Fatalf("%+v", r)
	}
	return r.Waiting
}

func crossed(t *testing.T, cfg pool.Config) (w *world, a, b uint64) {
	w = newWorld(t, cfg, pool.Spec{Name: "p"}, pool.Spec{Name: "q"})
	w.fill("p", 1)
	w.fill("q", 1)
	a, b = w.open("a", 1000), w.open("b", 1000)
	hold := func(session uint64, name string) {
		c := acquire(name, 1)
		c.Session = session
		w.must(c)
	}
	hold(a, "p")
	hold(b, "q")
	return w, a, b
}

// TestWhoComesLaterWaitsBehind has a request that what is free would do for come after one for which it does not.
func TestWhoComesLaterWaitsBehind(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 3)
	held := w.must(acquire("p", 2))
	first := w.waits(0, "p", 2, 1000)
	w.fails(acquire("p", 1), pool.NoneFree)
	second := w.waits(0, "p", 1, 1000)
	w.none()
	urgent := acquire("p", 1)
	urgent.Priority = 1
	w.must(urgent)
	w.must(&pool.Release{Grant: held.Grant, Token: held.Token})
	if x := w.answer(); x.Wait != first {
		t.Fatalf("%+v, want %d before %d", x, first, second)
	}
	w.checked()
}

func TestCrossedWaitsEndByTimeOut(t *testing.T) {
	w, a, b := crossed(t, pool.Config{})
	first, second := w.waits(a, "q", 1, 1000), w.waits(b, "p", 1, 1500)
	w.tick(999)
	w.none()
	w.tick(1)
	if x := w.answer(); x.Wait != first || x.Session != a || x.Reply.Err.Code != pool.WaitTimeout {
		t.Fatalf("%+v", x)
	}
	w.tick(499)
	w.none()
	w.tick(1)
	if x := w.answer(); x.Wait != second || x.Reply.Err.Code != pool.WaitTimeout {
		t.Fatalf("%+v", x)
	}
	w.checked()
}

func TestCrossedWaitsAreRefused(t *testing.T) {
	w, a, b := crossed(t, pool.Config{RefuseHoldAndWait: true})
	for session, name := range map[uint64]string{a: "q", b: "p"} {
		c := acquire(name, 1)
		c.Session, c.WaitMs = session, 1000
		w.fails(c, pool.WouldDeadlock)
		c.WaitMs = 0
		w.fails(c, pool.NoneFree)
	}
	// For somebody else the same session may wait, and then get nothing besides.
	c := acquire("q", 1)
	c.Session, c.WaitMs, c.Owner = a, 1000, "olga"
	w.must(c)
	c.Want[0].Pool = "p"
	w.fails(c, pool.WouldDeadlock)
	w.checked()
}

func TestBothInOneRequestAreServedOneAfterTheOther(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		w := newWorld(t, pool.Config{RefuseHoldAndWait: refuse}, pool.Spec{Name: "p"}, pool.Spec{Name: "q"})
		w.fill("p", 1)
		w.fill("q", 1)
		ask := func(client, first, second string) pool.Reply {
			return w.must(&pool.Acquire{Session: w.open(client, 1000), WaitMs: 1000, Want: []pool.Want{{Pool: first, Count: 1}, {Pool: second, Count: 1}}})
		}
		a, b := ask("a", "p", "q"), ask("b", "q", "p")
		if len(a.Items) != 2 || b.Waiting == 0 {
			t.Fatalf("%+v, %+v", a, b)
		}
		w.checked()
		w.must(&pool.Release{Grant: a.Grant, Token: a.Token})
		if x := w.answer(); x.Wait != b.Waiting || len(x.Reply.Items) != 2 || x.Reply.Items[0].Pool != "q" {
			t.Fatalf("%+v", x)
		}
		w.checked()
	}
}

// TestWaitersAreServedInTurn has 20 clients wait 500 times each for one of 10 items: one client after the other comes with all
// its requests, and they are served in rounds of one for each client; those with a higher priority before all.
func TestWaitersAreServedInTurn(t *testing.T) {
	const clients, each, items = 20, 500, 10
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p", TTLMs: 3600_000})
	w.fill("p", items)
	var held []pool.Reply
	for range items {
		held = append(held, w.must(acquire("p", 1)))
	}
	type request struct{ client, n int }
	waits := map[uint64]request{}
	var urgent []uint64
	for c := range clients {
		s := w.open(fmt.Sprintf("client %d", c), 1000)
		for n := range each {
			waits[w.waits(s, "p", 1, 300_000)] = request{c, n}
		}
		a := acquire("p", 1)
		a.Session, a.WaitMs, a.Priority = s, 300_000, 1
		urgent = append(urgent, w.must(a).Waiting)
	}
	if err := w.m.Check(); err != nil {
		t.Fatal(err)
	}
	for i := range clients * (each + 1) {
		w.must(&pool.Release{Grant: held[i].Grant, Token: held[i].Token})
		x := w.answer()
		held = append(held, x.Reply)
		if i < clients {
			if x.Wait != urgent[i] {
				t.Fatalf("grant %d goes to %d, want %d, which is urgent", i, x.Wait, urgent[i])
			}
			continue
		}
		if want := (request{(i - clients) % clients, (i - clients) / clients}); waits[x.Wait] != want {
			t.Fatalf("grant %d goes to %v, want %v", i, waits[x.Wait], want)
		}
	}
	w.checked()
}

// TestALateClientIsNotBehindAnEarlyGreedyOne has one client fill the line before another comes.
func TestALateClientIsNotBehindAnEarlyGreedyOne(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 1)
	held := w.must(acquire("p", 1))
	greedy, late := w.open("greedy", 0), w.open("late", 0)
	for range 1000 {
		w.waits(greedy, "p", 1, 300_000)
	}
	var order []uint64
	served := func() {
		w.must(&pool.Release{Grant: held.Grant, Token: held.Token})
		x := w.answer()
		order, held = append(order, x.Session), x.Reply
	}
	for range 100 {
		served()
	}
	w.waits(late, "p", 1, 300_000)
	w.waits(late, "p", 1, 300_000)
	order = nil
	for range 4 {
		served()
	}
	if n := slices.Index(order, late); n < 0 || n > 1 || !slices.Contains(order[n+1:], late) {
		t.Fatalf("served were %v, and the late one is %d", order, late)
	}
}

func TestResumedWaitersKeepTheirPlace(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 1)
	held := w.must(acquire("p", 1))
	sessions := make([]uint64, 4)
	waits := make([]uint64, 4)
	for i := range sessions {
		sessions[i] = w.open(fmt.Sprint(i), 1000)
		waits[i] = w.waits(sessions[i], "p", 1, 10_000)
	}
	w.must(&pool.Disconnect{Session: sessions[0]})
	w.must(&pool.Disconnect{Session: sessions[1]})
	w.must(&pool.Disconnect{Session: sessions[3]})
	w.tick(999)
	w.must(&pool.Resume{Session: sessions[1], Secret: "s"})
	w.fails(&pool.Resume{Session: sessions[0], Secret: "not it"}, pool.SessionExpired)
	w.must(&pool.Resume{Session: sessions[0], Secret: "s"})
	w.none()
	w.tick(1)
	if x := w.answer(); x.Wait != waits[3] || x.Reply.Err.Code != pool.Cancelled {
		t.Fatalf("%+v: the last one's grace time is over", x)
	}
	w.fails(&pool.Resume{Session: sessions[3], Secret: "s"}, pool.SessionExpired)
	if x, err := w.m.Explain(waits[2]); err != nil || x.Position != 3 {
		t.Fatalf("%+v, %v", x, err)
	}
	for _, wait := range waits[:3] {
		w.must(&pool.Release{Grant: held.Grant, Token: held.Token})
		x := w.answer()
		if x.Wait != wait {
			t.Fatalf("%+v, want %d", x, wait)
		}
		held = x.Reply
	}
	w.checked()
}

// TestARestartKeepsWaiters starts again in the middle: whoever comes back within the grace time has its place still.
func TestARestartKeepsWaiters(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 1)
	held := w.must(acquire("p", 1))
	a, b := w.open("a", 1000), w.open("b", 1000)
	first, second := w.waits(a, "p", 1, 10_000), w.waits(b, "p", 1, 10_000)
	w.checkpoint(2, func() {})
	w.m = w.replayed()
	w.must(new(pool.Restarted))
	w.must(&pool.Resume{Session: b, Secret: "s"})
	w.must(&pool.Resume{Session: a, Secret: "s"})
	for _, want := range []uint64{first, second} {
		w.must(&pool.Release{Grant: held.Grant, Token: held.Token})
		x := w.answer()
		if x.Wait != want {
			t.Fatalf("%+v, want %d", x, want)
		}
		held = x.Reply
	}
	w.checked()
}

// TestManyWaiters has 100,000 requests wait at once, and all of them be served, time out, or go with their sessions.
func TestManyWaiters(t *testing.T) {
	n, perSession := 100_000, 1000
	if testing.Short() {
		n = 10_000
	}
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p", TTLMs: 3600_000})
	w.fill("p", 1)
	held := w.must(acquire("p", 1))
	start := time.Now()
	var sessions []uint64
	for i := range n {
		if i%perSession == 0 {
			sessions = append(sessions, w.open(fmt.Sprint(i), 1000))
		}
		w.waits(sessions[i/perSession], "p", 1, 200_000)
	}
	parked := time.Now()
	for range n / 2 {
		w.must(&pool.Release{Grant: held.Grant, Token: held.Token})
		held = w.answer().Reply
	}
	served := time.Now()
	for _, s := range sessions[:len(sessions)/2] {
		w.must(&pool.Disconnect{Session: s})
	}
	w.tick(1000)
	answers, _ := w.m.TakeAnswers()
	if len(answers) != n/4 {
		t.Fatalf("%d went with their sessions, want %d", len(answers), n/4)
	}
	gone := time.Now()
	w.tick(199_000)
	answers, _ = w.m.TakeAnswers()
	if s, _ := w.m.Stats("p"); s.Waiting != 0 || len(answers) != n/4 {
		t.Fatalf("%d timed out, %d wait", len(answers), s.Waiting)
	}
	each := func(d time.Duration, n int) time.Duration { return d / time.Duration(n) }
	t.Logf("each of %d: waits in %v, is served in %v, goes with its session in %v, times out in %v", n,
		each(parked.Sub(start), n), each(served.Sub(parked), n/2), each(gone.Sub(served), n/4), each(time.Since(gone), n/4))
	w.same()
}
