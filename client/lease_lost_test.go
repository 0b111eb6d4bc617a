package client_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// Whoever takes an item away: its holder finds out. When the server tells, at once; else when it renews.
func TestLeaseLost(t *testing.T) {
	verb := serve.Verb{Name: "giveBack", Op: "lease.release", Pool: "p", Item: "payload"}
	if err := verb.Compile(); err != nil {
		t.Fatal(err)
	}
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(2, pool.Spec{Name: "p"})}, Verbs: []serve.Verb{verb}})
	pushes := make(chan client.Push, 10)
	c, other := s.client(s.addr, client.Config{OnPush: func(p client.Push) { pushes <- p }}), s.client(s.addr, client.Config{})
	lost := func(l *client.Lease, cause string) {
		t.Helper()
		within(t, "lost", l.Lost())
		within(t, "its context ends", l.Context().Done())
		err := l.Err()
		if !errors.Is(err, client.ErrLeaseLost) || !strings.Contains(err.Error(), cause) || context.Cause(l.Context()) != err {
			t.Errorf("%v, its context %v", err, context.Cause(l.Context()))
		}
		if again := l.Release(testContext(t), ""); again != err {
			t.Error(again)
		}
	}

	l := acquire(t, c, withTTL(one(0), time.Hour))
	if err := other.Request(testContext(t), "giveBack", "1", nil); err != nil {
		t.Fatal(err)
	}
	lost(l, "the server says: taken")
	if p := within(t, "the push", pushes); p.Type != "lease.lost" {
		t.Errorf("%+v", p)
	}
	l = acquire(t, c, wire.Acquire{Want: []wire.Want{{Pool: "p", IDs: []string{"1", "2"}}}})
	if err := other.Request(testContext(t), "giveBack", "1", nil); err != nil {
		t.Fatal(err)
	}
	lost(l, "the server says: taken")
	awaitStats(t, other, allFree) // the other item is given back
	l = acquire(t, c, withTTL(one(0), 3*time.Second))
	if err := other.Request(testContext(t), "lease.release", wire.Release{Lease: l.ID(), Token: l.Token()}, nil); err != nil {
		t.Fatal(err)
	}
	lost(l, "stale_token")
	if !allFree(stats(t, c)) {
		t.Errorf("%+v", stats(t, c))
	}
}

// The connection is cut behind each byte of the request, and of its answer. Whatever arrived: the request is carried out
// once, and so is the release.
func TestLeaseCut(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(1, pool.Spec{Name: "p"})}})
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	release(t, acquire(t, c, one(0)))
	granted := stats(t, admin).Granted
	lengths := map[string]int{}
	measure := func(line string) int {
		for _, typ := range []string{"lease.acquire", "lease.release"} {
			if strings.Contains(line, typ) {
				lengths[typ] = max(len(line), lengths[typ])
			}
		}
		return len(line)
	}
	step := 3
	if raceEnabled || testing.Short() {
		step = 16
	}
	for _, typ := range []string{"lease.acquire", "lease.release"} {
		for _, up := range []bool{true, false} {
			for _, a := range []wire.Acquire{one(0), one(10_000)} {
				p.set(measure, nil)
				if !up {
					p.set(nil, measure)
				}
				release(t, acquire(t, c, a))
				granted++
				p.set(nil, nil)
				length := lengths[typ]
				for n := 0; n < length; n += step {
					hook, cut := cutAt(typ, 1, n)
					p.set(hook, nil)
					if !up {
						p.set(nil, hook)
					}
					l := acquire(t, c, a)
					if st := stats(t, admin); st.Leases != 1 || st.Granted != granted+1 {
						t.Fatalf("%s up %v byte %d: %+v", typ, up, n, st)
					}
					release(t, l)
					within(t, "the cut", cut)
					p.set(nil, nil)
					if st := stats(t, admin); !allFree(st) || st.Granted != granted+1 {
						t.Fatalf("%s up %v byte %d: %+v", typ, up, n, st)
					}
					granted++
				}
				clear(lengths)
			}
		}
	}
}

// Who waits keeps the place over a lost connection, and gets what came free meanwhile.
func TestLeaseCutWhileWaiting(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(1, pool.Spec{Name: "p"})}})
	p := newProxy(t, s.addr)
	first, second := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	held := acquire(t, second, one(0))
	order := make(chan string, 2)
	var wg sync.WaitGroup
	wait := func(name string, c *client.Client, waiting int) {
		wg.Go(func() {
			l, err := c.Acquire(context.Background(), one(60_000))
			order <- name
			if err == nil {
				err = l.Release(testContext(t), "")
			}
			if err != nil {
				t.Error(name, err)
			}
		})
		awaitStats(t, second, func(st wire.PoolStats) bool { return st.Waiting == waiting })
	}
	wait("first", first, 1)
	wait("second", second, 2)
	for range 3 {
		asked, again := cutAt("lease.acquire", 1, 1<<20)
		p.set(asked, nil)
		p.cut(false)
		within(t, "it asks again", again)
	}
	awaitStats(t, second, func(st wire.PoolStats) bool { return st.Waiting == 2 })
	if err := first.Request(testContext(t), "ping", nil, nil); err != nil { // its request is at the server, too
		t.Fatal(err)
	}
	release(t, held)
	wg.Wait()
	if name := <-order; name != "first" {
		t.Error(name)
	}
	if st := stats(t, second); !allFree(st) || st.Granted != 3 {
		t.Errorf("%+v", st)
	}
}

// A server that is stopped and started again on the same store knows leases and waits still.
func TestLeaseRestart(t *testing.T) {
	s := newPoolServer(t, t.TempDir(), serve.Config{Pools: []serve.Pool{items(2, pool.Spec{Name: "p", TTLMs: 5000})}})
	c := s.client(s.addr, client.Config{})
	a, b := acquire(t, c, one(0)), acquire(t, c, one(0))
	got := make(chan *client.Lease, 1)
	go func() {
		l, err := c.Acquire(context.Background(), one(60_000))
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	awaitStats(t, c, func(st wire.PoolStats) bool { return st.Waiting == 1 })
	for range 2 {
		s.stop()
		s.start()
		before := a.ExpiresAt()
		await(t, func() bool { return a.ExpiresAt().After(before) || a.Err() != nil })
	}
	s.stop()
	released := make(chan error, 1)
	go func() { released <- a.Release(testContext(t), "") }()
	within(t, "its context ends", a.Context().Done())
	s.start()
	if err := within(t, "the release", released); err != nil {
		t.Fatal(err)
	}
	l := within(t, "the lease that was waited for", got)
	if st := stats(t, c); st.Leases != 2 || st.Waiting != 0 || st.Granted != 3 {
		t.Errorf("%+v", st)
	}
	release(t, l)
	release(t, b)
}

// Without the server a lease is lost when its time is over, not later.
func TestLeaseServerGone(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(2, pool.Spec{Name: "p"})}})
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	l := acquire(t, c, withTTL(one(0), 2*time.Second))
	given := acquire(t, c, withTTL(one(0), time.Second))
	p.cut(true)
	before := time.Now()
	if err := given.Release(testContext(t), ""); !errors.Is(err, client.ErrLeaseLost) || !errors.Is(given.Err(), client.ErrLeaseReleased) {
		t.Error(err)
	}
	within(t, "it is lost", l.Lost())
	if err := l.Err(); !errors.Is(err, client.ErrLeaseLost) || time.Since(before) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(before))
	}
	if left := time.Until(l.ExpiresAt()); left > 0 {
		t.Errorf("lost %v too early", left)
	}
	p.cut(false)
	awaitStats(t, admin, allFree)
	release(t, acquire(t, c, one(0)))
}

// Acquire does not wait for ever for a server that is out of reach. What that has done for it is undone when it is back.
func TestLeaseOutOfReach(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(1, pool.Spec{Name: "p"})}})
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{ConnectTimeMax: time.Second}), s.client(s.addr, client.Config{})
	release(t, acquire(t, c, one(0)))
	p.cut(true)
	await(t, func() bool { return c.Stats().ConnsUp == 0 })
	if _, err := c.Acquire(context.Background(), one(1)); !errors.Is(err, client.ErrNotSent) {
		t.Error(err)
	}
	p.set(nil, func(line string) int {
		if !strings.Contains(line, `"type":"lease.acquire"`) {
			return len(line)
		}
		go p.cut(true)
		return 0
	})
	p.cut(false)
	await(t, func() bool { return c.Stats().ConnsUp == 1 })
	if _, err := c.Acquire(context.Background(), one(1)); !errors.Is(err, client.ErrUnknownOutcome) || errors.Is(err, client.ErrNotSent) {
		t.Error(err)
	}
	if st := stats(t, admin); st.Leases != 1 {
		t.Errorf("%+v", st)
	}
	p.set(nil, nil)
	p.cut(false)
	awaitStats(t, admin, allFree)
	if st := stats(t, admin); st.Granted != 2 {
		t.Errorf("%+v", st)
	}
}

// A client that comes back too late for its session begins a new one. Its leases are its leases still.
func TestLeaseSessionGone(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{GraceMs: -1, Pools: []serve.Pool{items(2, pool.Spec{Name: "p"}), items(1, pool.Spec{Name: "q", TTLMs: 3_600_000, OnDisconnect: pool.ReleaseOnEnd})}})
	p := newProxy(t, s.addr)
	c, admin := p.late(s), s.client(s.addr, client.Config{})
	kept, ending := acquire(t, c, one(0)), acquire(t, c, wire.Acquire{Want: []wire.Want{{Pool: "q"}}})
	other := acquire(t, admin, one(0))
	got := make(chan error, 1)
	go func() {
		l, err := c.Acquire(context.Background(), one(60_000))
		if err == nil {
			err = l.Release(testContext(t), "")
		}
		got <- err
	}()
	awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Waiting == 1 })
	p.cut(false)
	within(t, "what ends with the session is lost", ending.Lost()) // long before it is renewed anyway
	awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Waiting == 1 })
	release(t, other)
	if err := within(t, "the lease that was waited for", got); err != nil {
		t.Error(err)
	}
	release(t, kept)
	if st := stats(t, admin); !allFree(st) || st.Granted != 3 {
		t.Errorf("%+v", st)
	}

	// A release whose answer was lost with the session: it may have been this one, or the lease was over before.
	l := acquire(t, c, one(0))
	hook, cut := cutAt("lease.release", 1, 0)
	p.set(nil, hook)
	if err := l.Release(testContext(t), ""); !errors.Is(err, client.ErrLeaseLost) || !errors.Is(err, client.ErrUnknownOutcome) || !errors.Is(err, client.ErrStaleToken) {
		t.Error(err)
	}
	within(t, "the cut", cut)
	p.set(nil, nil)
	p.mu.Lock()
	p.before = nil // from here on the test waits itself
	p.mu.Unlock()

	// Who has left while it was cut off asks for nothing any more.
	other = acquire(t, admin, wire.Acquire{Want: []wire.Want{{Pool: "p", IDs: []string{"1", "2"}}}})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, err := c.Acquire(ctx, one(60_000))
		got <- err
	}()
	awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Waiting == 1 })
	p.cut(true)
	awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Waiting == 0 })
	cancel()
	if err := within(t, "Acquire returns", got); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	granted := stats(t, admin).Granted
	p.cut(false)
	release(t, other)
	if err := c.Request(testContext(t), "ping", nil, nil); err != nil {
		t.Error(err)
	}
	c.Close()
	if st := stats(t, admin); !allFree(st) || st.Granted != granted {
		t.Errorf("%+v", st)
	}
}

// Connections are cut at random while many take, wait and give back. Nothing is held by two, and nothing is left over.
func TestLeaseChaos(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(4, pool.Spec{Name: "p"})}})
	admin := s.client(s.addr, client.Config{})
	var mu sync.Mutex
	holder := map[string]bool{}
	var granted uint64
	s.amidCuts(4, 15, func(c *client.Client, random *rand.Rand) {
		ctx, cancel := context.WithCancel(context.Background())
		leaves := random.IntN(3) == 0
		if leaves {
			time.AfterFunc(time.Duration(random.IntN(5))*time.Millisecond, cancel)
		}
		l, err := c.Acquire(ctx, one(int64(random.IntN(2)*60_000)))
		if err != nil {
			cancel()
			if !errors.Is(err, context.Canceled) && !errors.Is(err, client.ErrNoneFree) {
				t.Error(err)
			}
			return
		}
		id := l.Items()[0].ID
		mu.Lock()
		if granted++; !leaves {
			if holder[id] {
				t.Errorf("item %s is held twice", id)
			}
			holder[id] = true
		}
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		if !leaves {
			delete(holder, id)
		}
		mu.Unlock()
		if err := l.Release(testContext(t), ""); err != nil {
			t.Errorf("lease %d, which leaves: %v: %v", l.ID(), leaves, err)
		}
		cancel()
	})
	awaitStats(t, admin, allFree)
	t.Logf("%d leases, %+v", granted, stats(t, admin))
}
