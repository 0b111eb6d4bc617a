package pool_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

// world is a machine with a clock, a journal of what it did, and a way to start again from it.
type world struct {
	t      testing.TB
	m      *pool.Machine
	now    int64
	cfg    pool.Config
	chunks []chunk
	store  map[string]string // the records of checkpoints
	mark   pool.Mark
}

type chunk struct {
	seq  uint64
	data []byte
}

func newWorld(t testing.TB, cfg pool.Config, specs ...pool.Spec) *world {
	w := &world{t: t, m: pool.New(cfg), now: 1_000_000, cfg: cfg, store: map[string]string{}}
	w.must(&pool.Configure{Pools: specs})
	t.Cleanup(func() {
		if !t.Failed() {
			w.flush()
			w.same()
		}
	})
	return w
}

// do decides a command.
func (w *world) do(c pool.Command) pool.Reply {
	var r pool.Reply
	w.m.Decide(w.now, c, &r)
	w.flush()
	return r
}

func (w *world) flush() {
	if data := w.m.TakeChunk(); data != nil {
		w.chunks = append(w.chunks, chunk{w.m.Rev(), data})
	}
}

func (w *world) must(c pool.Command) pool.Reply {
	w.t.Helper()
	r := w.do(c)
	if r.Err != nil {
		w.t.Fatalf("%T: %v", c, r.Err)
	}
	return r
}

func (w *world) fails(c pool.Command, code pool.Code) {
	w.t.Helper()
	before, rev := w.m.Hash(), w.m.Rev()
	r := w.do(c)
	if r.Err == nil || r.Err.Code != code {
		w.t.Fatalf("%T %+v: got %+v, want %s", c, c, r, code)
	}
	if w.m.Hash() != before || w.m.Rev() != rev {
		w.t.Fatalf("%T: refused with %v, but the state has changed", c, r.Err)
	}
}

// tick lets ms pass.
func (w *world) tick(ms int64) {
	w.now += ms
	for w.m.Tick(w.now, 100) {
		w.flush()
	}
	w.flush()
}

func (w *world) fill(name string, n int) {
	w.t.Helper()
	items := make([]pool.ItemSpec, n)
	for i := range items {
		items[i].ID = fmt.Sprintf("i%04d", i+1)
	}
	w.must(&pool.Fill{Pool: name, Items: items})
}

// replayed returns a machine made of the checkpoint and the chunks after it.
func (w *world) replayed() *pool.Machine {
	w.t.Helper()
	m := pool.New(w.cfg)
	if w.mark.Rev > 0 {
		for _, key := range sortedKeys(w.store) {
			if err := m.Load([]byte(key), []byte(w.store[key])); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := m.Loaded(w.mark); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, c := range w.chunks {
		if c.seq <= w.mark.Rev {
			continue
		}
		if err := m.Replay(c.seq, c.data); err != nil {
			w.t.Fatal(err)
		}
	}
	return m
}

// same checks that replaying gives the same state.
func (w *world) same() {
	w.t.Helper()
	if m := w.replayed(); m.Hash() != w.m.Hash() || m.Rev() != w.m.Rev() {
		w.t.Fatalf("replay: rev %d, hash %x; live: rev %d, hash %x", m.Rev(), m.Hash(), w.m.Rev(), w.m.Hash())
	}
}

func (w *world) save(records []pool.Record) {
	for _, r := range records {
		if r.Value == nil {
			delete(w.store, string(r.Key))
		} else {
			w.store[string(r.Key)] = string(r.Value)
		}
	}
}

func (w *world) checkpoint(slice int, between func()) {
	w.m.Freeze()
	for {
		records, mark, done := w.m.Slice(slice)
		w.save(records)
		if done {
			w.mark = mark
			return
		}
		between()
	}
}

func acquire(name string, count int64) *pool.Acquire {
	return &pool.Acquire{Want: []pool.Want{{Pool: name, Count: count}}}
}

func TestLease(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 3)
	a := w.must(acquire("p", 2))
	if len(a.Items) != 2 || a.Items[0].ID != "i0001" || a.Items[1].ID != "i0002" {
		t.Fatalf("%+v", a)
	}
	w.fails(acquire("p", 2), pool.NoneFree)
	w.fails(acquire("p", 4), pool.NoMatch)
	b := w.must(acquire("p", 1))
	if b.Token <= a.Token {
		t.Fatalf("token %d after %d", b.Token, a.Token)
	}
	w.fails(&pool.Release{Grant: a.Grant, Token: b.Token}, pool.StaleToken)
	w.must(&pool.Release{Grant: a.Grant, Token: a.Token})
	w.fails(&pool.Release{Grant: a.Grant, Token: a.Token}, pool.StaleToken)
	w.same()
	w.tick(60_000)
	w.fails(&pool.Renew{Grant: b.Grant, Token: b.Token}, pool.StaleToken)
	if s, _ := w.m.Stats("p"); s.Free != 3 {
		t.Fatalf("%+v", s)
	}
	w.same()
	w.checkpoint(1, func() {
		w.must(acquire("p", 1))
		w.must(&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: fmt.Sprint("x", w.m.Rev())}}})
	})
	w.same()
}

func TestWaitersAreServedInOrder(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 1)
	first := w.must(acquire("p", 1))
	var waits []uint64
	for range 5 {
		a := acquire("p", 1)
		a.WaitMs = 10_000
		r := w.must(a)
		if r.Waiting == 0 {
			t.Fatalf("%+v", r)
		}
		waits = append(waits, r.Waiting)
	}
	w.must(&pool.Release{Grant: first.Grant, Token: first.Token})
	for _, id := range waits {
		answers, _ := w.m.TakeAnswers()
		if len(answers) != 1 || answers[0].Wait != id || len(answers[0].Reply.Items) != 1 {
			t.Fatalf("%+v", answers)
		}
		w.same()
		w.must(&pool.Release{Grant: answers[0].Reply.Grant, Token: answers[0].Reply.Token})
	}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
