package serve

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// random returns a source of random numbers whose seed a failing test prints.
func random(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// wish is a request that waits, and what became of it.
type wish struct {
	client   string
	priority int
	lease    wire.Lease // its number is that of the wait, so they rise as the requests came; the tokens as they were served
}

// inOrder checks that wishes that all waited before the first was served, each for one item of the same pool, were served
// as PROTOCOL.md says: by priority, then in turn between clients, then first come. A client's nth wish is in turn n.
func inOrder(t *testing.T, wishes []wish) {
	t.Helper()
	slices.SortFunc(wishes, func(a, b wish) int { return cmp.Compare(a.lease.Lease, b.lease.Lease) })
	turns := make(map[string]int)
	turn := make(map[uint64]int, len(wishes))
	for _, w := range wishes {
		turns[w.client]++
		turn[w.lease.Lease] = turns[w.client]
	}
	slices.SortFunc(wishes, func(a, b wish) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(turn[a.lease.Lease], turn[b.lease.Lease]), cmp.Compare(a.lease.Lease, b.lease.Lease))
	})
	for i := 1; i < len(wishes); i++ {
		if a, b := wishes[i-1], wishes[i]; a.lease.Token >= b.lease.Token {
			t.Fatalf("%s waited with %d, turn %d, priority %d, and was served with %d;\n%s waited with %d, turn %d, priority %d, and was served with %d",
				a.client, a.lease.Lease, turn[a.lease.Lease], a.priority, a.lease.Token,
				b.client, b.lease.Lease, turn[b.lease.Lease], b.priority, b.lease.Token)
		}
	}
}

// crowd sends requests that wait for the pool p, each with a priority of -2 to 2 and a key, and returns the priorities.
func (c *conn) crowd(name string, n int, r *rand.Rand) []int {
	c.t.Helper()
	priorities := make([]int, n)
	for i := range priorities {
		priorities[i] = r.IntN(5) - 2
		c.wish(name, i, priorities[i])
	}
	return priorities
}

func (c *conn) wish(name string, i, priority int) {
	c.t.Helper()
	c.send("lease.acquire", want("p", fmt.Sprintf(`,"waitMs":300000,"ttlMs":600000,"priority":%d`, priority)), fmt.Sprintf(`"key":"%s/%d"`, name, i))
}

// takeAll reads until all requests of a crowd are served, and gives back what each got at once. Grants come as replies, or,
// to who has not asked again, as pushes: which one was meant shows by the number of the lease.
func (c *conn) takeAll(client string, priorities []int) ([]wish, error) {
	var wishes []wish
	for released := 0; released < len(priorities); {
		f, err := c.read()
		if err != nil {
			return nil, fmt.Errorf("%s, after %d of %d: %w", client, released, len(priorities), err)
		}
		w := wish{client: client}
		switch {
		case f.Err != "":
			return nil, fmt.Errorf("%s: %s: %s", client, f.Code, f.Err)
		case f.Type == "lease.release":
			released++
			continue
		case f.Type == "lease.granted":
			err = json.Unmarshal(f.Event, &w.lease)
		case f.Type == "lease.acquire":
			err = json.Unmarshal(f.ResultJob, &w.lease)
		default:
			return nil, fmt.Errorf("%s got %+v", client, f)
		}
		if err != nil || len(w.lease.Items) != 1 || len(wishes) == len(priorities) {
			return nil, fmt.Errorf("%s, lease %d: %+v, %v", client, len(wishes), w.lease, err)
		}
		wishes = append(wishes, w)
		if _, err := fmt.Fprintf(c, `{"type":"lease.release","queryIndex":0,"payload":%s}`+"\n", held(w.lease)); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(wishes, func(a, b wish) int { return cmp.Compare(a.lease.Lease, b.lease.Lease) })
	for i := range wishes {
		wishes[i].priority = priorities[i]
	}
	return wishes, nil
}

// takeTogether has all clients that are not nil take what they wait for, once begin has been called.
func takeTogether(t *testing.T, clients []*conn, priorities [][]int, name func(i int) string, begin func()) []wish {
	t.Helper()
	all := make([][]wish, len(clients))
	var served sync.WaitGroup
	for i, c := range clients {
		if c != nil {
			served.Go(func() {
				var err error
				if all[i], err = c.takeAll(name(i), priorities[i]); err != nil {
					t.Error(err)
				}
			})
		}
	}
	begin()
	if served.Wait(); t.Failed() {
		t.FailNow()
	}
	return slices.Concat(all...)
}

// 10,000 requests over 100 connections wait for a pool of 10. Half of the connections said hello, so that each is a client
// of its own; the others are one client, that of their address. They are served in order.
func TestCrowdIsServedInOrder(t *testing.T) {
	const conns, each, pooled = 100, 100, 10
	r := random(t)
	s := start(t, Config{Pools: []Pool{items("p", pooled)}})
	holder := dial(t, s.addr)
	var first []wire.Lease
	for range pooled {
		first = append(first, holder.acquire("p", `,"ttlMs":600000`))
	}
	clients := make([]*conn, conns)
	priorities := make([][]int, conns)
	for i := range clients {
		clients[i] = dial(t, s.addr)
		clients[i].SetDeadline(time.Now().Add(3 * giveUp)) // -race takes its time with so many
		if i%2 == 0 {
			clients[i].hello("")
		}
	}
	for i, c := range clients { // one after the other, so that the greedy come first
		priorities[i] = c.crowd(fmt.Sprint(i), each, r)
	}
	holder.SetDeadline(time.Now().Add(3 * giveUp))
	holder.waiting("p", conns*each)

	wishes := takeTogether(t, clients, priorities, func(i int) string {
		if i%2 == 0 {
			return fmt.Sprint("session ", i)
		}
		return "the address"
	}, func() {
		for _, l := range first {
			holder.release(l)
		}
	})
	if len(wishes) != conns*each {
		t.Fatalf("%d were served", len(wishes))
	}
	inOrder(t, wishes)
	allFree(t, holder, "p")
}

// Half of the connections of a crowd are cut. Half of those come back, some asking again under their keys and some not, and
// all keep their places; the others are gone when the grace time is over.
func TestCrowdComesBack(t *testing.T) {
	const conns, each = 60, 20
	r := random(t)
	s := start(t, Config{Pools: []Pool{items("p", 1)}, GraceMs: 3000})
	holder := dial(t, s.addr)
	l := holder.acquire("p", `,"ttlMs":600000`)
	clients := make([]*conn, conns)
	resumes := make([]string, conns)
	priorities := make([][]int, conns)
	for i := range clients {
		clients[i] = dial(t, s.addr)
		resumes[i] = clients[i].hello("")
	}
	for i, c := range clients {
		priorities[i] = c.crowd(fmt.Sprint(i), each, r)
	}
	holder.waiting("p", conns*each)

	// Of four, one is cut and stays away, one is cut and comes back, two stay.
	back, away := 0, 0
	for i, c := range clients {
		if i%4 < 2 {
			c.Close()
		}
	}
	for i := range clients {
		switch i % 4 {
		case 0:
			away++
			clients[i] = nil
		case 1:
			back++
			c := dial(t, s.addr)
			if got := c.hello(resumes[i]); got != resumes[i] {
				t.Fatalf("resumed %s, got %s", resumes[i], got)
			}
			if back%2 == 0 { // asks again, in another order
				for _, n := range r.Perm(each) {
					c.wish(fmt.Sprint(i), n, priorities[i][n])
				}
			}
			clients[i] = c
		}
	}
	holder.waiting("p", (conns-away)*each)
	late := dial(t, s.addr)
	late.fails("session_expired", "hello", fmt.Sprintf(`{"resume":%q}`, resumes[0]))

	wishes := takeTogether(t, clients, priorities, func(i int) string { return fmt.Sprint("session ", i) }, func() { holder.release(l) })
	if want := (conns - away) * each; len(wishes) != want {
		t.Fatalf("%d were served, want %d", len(wishes), want)
	}
	inOrder(t, wishes)
	allFree(t, holder, "p")
}

// 10,000 wait for random times under a clock of the test's: each ends with the first tick at or behind its time, none before.
func TestCrowdTimesOut(t *testing.T) {
	const waiters, waitMax = 10_000, 60_000
	r := random(t)
	now := int64(1_700_000_000_000)
	m := pool.New(pool.Config{})
	do := func(c pool.Command) pool.Reply {
		var reply pool.Reply
		if m.Decide(now, c, &reply); reply.Err != nil {
			t.Fatal(reply.Err)
		}
		m.TakeChunk() // time stands still until then
		return reply
	}
	do(&pool.Configure{Pools: []pool.Spec{{Name: "p", TTLMs: 3600_000}}})
	do(&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "1"}}})
	one := []pool.Want{{Pool: "p", Count: 1}}
	do(&pool.Acquire{Want: one})
	due := make(map[uint64]int64)
	var sessions []uint64
	for i := range waiters {
		if i%200 == 0 {
			sessions = append(sessions, do(&pool.OpenSession{Secret: "s", GraceMs: 1000}).Session)
			now += r.Int64N(20)
		}
		ms := 1 + r.Int64N(waitMax)
		due[do(&pool.Acquire{Session: sessions[len(sessions)-1], Want: one, WaitMs: ms, Priority: r.Int64N(3)}).Waiting] = now + ms
	}
	m.TakeAnswers()
	before := int64(0)
	for len(due) > 0 {
		now += 1 + r.Int64N(500)
		for m.Tick(now, 100) {
			m.TakeChunk()
		}
		m.TakeChunk()
		answers, _ := m.TakeAnswers()
		for _, a := range answers {
			if at := due[a.Wait]; a.Reply.Err == nil || a.Reply.Err.Code != pool.WaitTimeout || at <= before || at > now {
				t.Fatalf("%+v was due at %d, and ended between %d and %d", a, at, before, now)
			}
			delete(due, a.Wait)
		}
		for w, at := range due {
			if at <= now {
				t.Fatalf("wait %d was due at %d, and waits at %d", w, at, now)
			}
		}
		before = now
	}
	if st, err := m.Stats("p"); err != nil || st.Waiting != 0 || st.Held != 1 {
		t.Fatalf("%+v, %v", st, err)
	}
}

// The same by the real clock: none is told before its time, and they end in the order of their times.
func TestCrowdTimesOutForReal(t *testing.T) {
	const waiters, waitMax = 1000, 400
	r := random(t)
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	holder, c, watcher := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	watcher.hello("")
	watcher.call("watch", `{"types":["wait.began","wait.ended"]}`).none(t)
	sent := make(map[uint64]time.Time)
	waits := make(map[uint64]time.Duration)
	for range waiters {
		ms := 1 + r.IntN(waitMax)
		began := time.Now()
		index := c.send("lease.acquire", want("p", fmt.Sprintf(`,"waitMs":%d`, ms)))
		sent[index], waits[index] = began, time.Duration(ms)*time.Millisecond
	}
	for range waiters {
		f, err := c.read()
		if err != nil || f.QueryIndex == nil {
			t.Fatalf("got %+v, %v", f, err)
		}
		f.wants(t, "wait_timeout")
		index := *f.QueryIndex
		if took := time.Since(sent[index]); took < waits[index]-time.Millisecond || waits[index] == 0 {
			t.Errorf("told after %v to wait no longer than %v", took, waits[index])
		}
		if says := fmt.Sprintf("within %d ms", waits[index].Milliseconds()); !strings.Contains(f.Err, says) {
			t.Errorf("says %q, want %q", f.Err, says)
		}
		delete(waits, index)
	}
	until := make(map[uint64]int64)
	var last int64
	for range 2 * waiters {
		e := into[wire.Event](t, watcher.push())
		if e.Type == "wait.began" {
			until[e.Wait] = e.ExpiresAt
			continue
		}
		if at := until[e.Wait]; e.At < at || at < last && e.At != last || e.Cause != "wait_timeout" {
			t.Fatalf("%+v ended %d ms after its time, the one before was due at %d", e, e.At-at, last)
		}
		last = max(last, until[e.Wait])
	}
	holder.release(l)
	allFree(t, holder, "p")
}
