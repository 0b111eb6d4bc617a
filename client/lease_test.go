package client_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// A lease is held for as long as it is wanted, though its TTL is short: asked for, or the pool's.
func TestLeaseRenews(t *testing.T) {
	ttl := 3 * time.Second
	for name, a := range map[string]wire.Acquire{"asked": withTTL(one(0), ttl), "pool's": one(0)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, cd codec.Codec) {
				t.Parallel()
				s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(1, pool.Spec{Name: "p", TTLMs: ttl.Milliseconds()})}})
				c, other := s.client(s.addr, client.Config{Codec: cd}), s.client(s.addr, client.Config{})
				begin := time.Now()
				l := acquire(t, c, a)
				if left := time.Until(l.ExpiresAt()); left > ttl || l.ExpiresAt().Before(begin) {
					t.Errorf("%v left", left)
				}
				if len(l.Items()) != 1 || l.Items()[0].ID != "1" || l.Token() == 0 || l.ID() == 0 {
					t.Errorf("%d %d %+v", l.ID(), l.Token(), l.Items())
				}
				tick := time.NewTicker(ttl / 50)
				defer tick.Stop()
				for ; l.ExpiresAt().Sub(begin) < 3*ttl; <-tick.C {
					if _, err := other.Acquire(context.Background(), one(0)); !errors.Is(err, client.ErrNoneFree) {
						t.Fatal(err)
					}
					if err := l.Err(); err != nil {
						t.Fatal(err)
					}
				}
				release(t, l)
				acquire(t, other, one(0))
			})
		})
	}
}

// Two clients and their goroutines: an item is in one hand at a time, and the later one has the higher token.
func TestLeaseExclusive(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(3, pool.Spec{Name: "p"})}})
	var mu sync.Mutex
	holder, token := map[string]*client.Lease{}, map[string]uint64{}
	var wg sync.WaitGroup
	for range 2 {
		c := s.client(s.addr, client.Config{})
		for range 8 {
			wg.Go(func() {
				for range 10 {
					l, err := c.Acquire(context.Background(), one(60_000))
					if err != nil {
						t.Error(err)
						return
					}
					id := l.Items()[0].ID
					mu.Lock()
					if holder[id] != nil || token[id] >= l.Token() {
						t.Errorf("item %s: token %d behind %d, holder %v", id, l.Token(), token[id], holder[id])
					}
					holder[id], token[id] = l, l.Token()
					mu.Unlock()
					runtime.Gosched()
					mu.Lock()
					delete(holder, id)
					mu.Unlock()
					if err := l.Release(context.Background(), ""); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if st := stats(t, s.client(s.addr, client.Config{})); !allFree(st) || st.Granted != 160 {
		t.Errorf("%+v", st)
	}
}

func TestLeaseRefused(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(1, pool.Spec{Name: "p"})}})
	c := s.client(s.addr, client.Config{})
	l := acquire(t, c, one(0))
	two := one(0)
	n := 2
	two.Want[0].Count = &n
	for _, refused := range []struct {
		a    wire.Acquire
		code codec.Code
	}{
		{one(0), client.ErrNoneFree}, {one(1), client.ErrWaitTimeout}, {two, client.ErrNoMatch}, {one(-1), client.ErrBadPayload},
		{wire.Acquire{Want: []wire.Want{{Pool: "q"}}}, client.ErrNotFound},
	} {
		_, err := c.Acquire(context.Background(), refused.a)
		if e, ok := errors.AsType[*codec.Error](err); !ok || e.Code != refused.code {
			t.Errorf("%+v: %v, want %v", refused.a, err, refused.code)
		}
	}
	if st := stats(t, c); st.Leases != 1 || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
	release(t, l)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Acquire(ended, one(0)); !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrNotSent) {
		t.Error(err)
	}
	plain := newServer(t, codec.JSON{}, func(p *peer) { // a server without pools
		for r, ok := p.next(); ok; r, ok = p.next() {
			p.fail(r, codec.NewError(codec.UnknownType, "nobody serves "+r.typ))
		}
	})
	if _, err := dial(t, plain, client.Config{}).Acquire(context.Background(), one(0)); !errors.Is(err, client.ErrUnknownType) {
		t.Error(err)
	}
}

// A lease may not last for longer than the pool says. Who holds it knows no later than the server.
func TestLeaseLifetimeMax(t *testing.T) {
	for name, a := range map[string]wire.Acquire{"asked": withTTL(one(0), time.Second), "pool's": one(0)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(1, pool.Spec{Name: "p", TTLMs: 1000, LifetimeMaxMs: 2000})}})
			c, other := s.client(s.addr, client.Config{}), s.client(s.addr, client.Config{})
			l := acquire(t, c, a)
			next := acquire(t, other, one(20_000))
			if left := time.Until(l.ExpiresAt()); left > 0 {
				t.Errorf("the next one has it, %v too early", left)
			}
			within(t, "it is lost", l.Lost())
			release(t, next)
		})
	}
}

// When the context ends, the lease goes back; so does what was on its way, wherever it was.
func TestLeaseContext(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(1, pool.Spec{Name: "p"})}})
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	free := func() {
		t.Helper()
		awaitStats(t, admin, allFree)
	}

	ctx, cancel := context.WithCancelCause(context.Background())
	l, err := c.Acquire(ctx, one(0))
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	cancel(enough)
	free()
	if err := l.Err(); !errors.Is(err, client.ErrLeaseReleased) || !errors.Is(err, enough) {
		t.Error(err)
	}
	if err := l.Release(testContext(t), "dirty"); err != nil { // comes too late
		t.Error(err)
	}
	if l.Context().Err() == nil {
		t.Error("its context goes on")
	}
	select {
	case <-l.Lost():
		t.Error("lost")
	default:
	}

	await := func(ctx context.Context, a wire.Acquire) <-chan error {
		got := make(chan error, 1)
		go func() {
			l, err := c.Acquire(ctx, a)
			if err == nil {
				err = fmt.Errorf("got %d", l.ID())
			}
			got <- err
		}()
		return got
	}
	cancelled := func(got <-chan error) {
		t.Helper()
		if err := within(t, "Acquire returns", got); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}

	// While it waits.
	held := acquire(t, admin, one(0))
	waiting, stopWaiting := context.WithCancel(context.Background())
	got := await(waiting, one(60_000))
	awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Waiting == 1 })
	stopWaiting()
	cancelled(got)
	release(t, held)
	free()

	// While it waits, and has lost its connection on the way: at each of its attempts.
	for nth := range 3 {
		held := acquire(t, admin, one(0))
		waiting, stopWaiting := context.WithCancel(context.Background())
		got := await(waiting, one(60_000))
		awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Waiting == 1 })
		hook, asks := cutAt("lease.acquire", 1, 1<<20)
		if nth == 2 {
			hook, asks = cutAt("lease.acquire", 1, 10)
		}
		p.set(hook, nil)
		p.cut(nth == 0)
		if nth > 0 {
			within(t, "it asks again", asks)
		}
		stopWaiting()
		cancelled(got)
		p.set(nil, nil)
		p.cut(false)
		awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Waiting == 0 })
		release(t, held)
		free()
	}

	// While the answer is on its way, or lost.
	for _, lose := range []bool{false, true} {
		granted := stats(t, admin).Granted
		leaving, stopLeaving := context.WithCancel(context.Background())
		answered, pass := make(chan struct{}), make(chan struct{})
		hold := sync.OnceFunc(func() {
			close(answered)
			<-pass
		})
		p.set(nil, func(line string) int {
			if strings.Contains(line, `"type":"lease.acquire"`) {
				hold()
				if lose {
					return 0
				}
			}
			return len(line)
		})
		got := await(leaving, one(0))
		within(t, "the answer", answered)
		stopLeaving()
		cancelled(got)
		if lose {
			p.set(nil, nil)
		}
		close(pass)
		free()
		if now := stats(t, admin).Granted; now != granted+1 {
			t.Errorf("granted %d times", now-granted)
		}
		p.set(nil, nil)
	}
}

func TestLeaseReleaseTwice(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(3, pool.Spec{Name: "p", QuarantineAfter: 1})}})
	c := s.client(s.addr, client.Config{Conns: 3})
	l := acquire(t, c, one(0))
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := l.Release(testContext(t), "dirty"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := acquire(t, c, one(0)).Release(testContext(t), "broken"); err != nil {
		t.Error(err)
	}
	l = acquire(t, c, one(0))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Release(ended, ""); err != nil && err != context.Canceled {
		t.Error(err)
	}
	release(t, l) // it went on
	l = acquire(t, c, one(0))
	if err := l.Release(testContext(t), "shiny"); !errors.Is(err, client.ErrBadPayload) || !strings.Contains(err.Error(), "want clean") || l.Err() != nil {
		t.Errorf("%v, %v", err, l.Err())
	}
	if st := stats(t, c); st.Dirty != 1 || st.Quarantined != 1 || st.Leased != 1 {
		t.Errorf("%+v", st)
	}
	release(t, l) // it has gone on
}

// A program that ends its context, and closes the client then, leaves nothing taken, and nobody waiting.
func TestLeaseCloseGivesBack(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{GraceMs: 3_600_000, Pools: []serve.Pool{items(2, pool.Spec{Name: "p", TTLMs: 3_600_000})}})
	p := newProxy(t, s.addr)
	admin := s.client(s.addr, client.Config{})
	for range 20 {
		c := s.client(p.addr, client.Config{})
		ctx, cancel := context.WithCancel(context.Background())
		l, err := c.Acquire(ctx, one(0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Acquire(ctx, one(0)); err != nil { // nobody releases it
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() {
			_, err := c.Acquire(ctx, one(60_000))
			got <- err
		}()
		awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Waiting == 1 })
		cancel()
		if err := within(t, "Acquire returns", got); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := l.Release(ctx, ""); err != nil && err != context.Canceled {
			t.Error(err)
		}
		c.Close()
		if st := stats(t, admin); !allFree(st) {
			t.Fatalf("%+v", st)
		}
	}

	// Close need not come after what the end of the context has started.
	for range 50 {
		c := s.client(p.addr, client.Config{})
		ctx, cancel := context.WithCancel(context.Background())
		if _, err := c.Acquire(ctx, one(0)); err != nil {
			t.Fatal(err)
		}
		cancel()
		c.Close()
		if st := stats(t, admin); !allFree(st) {
			t.Fatalf("%+v", st)
		}
	}

	// Where no connection is up there is nothing to wait for: the 1 s is over later than that is noticed.
	c := s.client(p.addr, client.Config{})
	l := acquire(t, c, one(0))
	giving, pass := make(chan struct{}), make(chan struct{})
	p.set(func(line string) int {
		if strings.Contains(line, `"type":"lease.release"`) {
			close(giving)
			<-pass
			return 0
		}
		return len(line)
	}, nil)
	released, closed := make(chan error, 1), make(chan struct{})
	go func() { released <- l.Release(testContext(t), "") }()
	within(t, "it is given back", giving)
	p.cut(true)
	await(t, func() bool { return c.Stats().ConnsUp == 0 })
	go func() { c.Close(); close(closed) }()
	within(t, "Close returns", closed)
	if err := within(t, "the release ends", released); !errors.Is(err, client.ErrUnknownOutcome) {
		t.Error(err)
	}
	close(pass)
}

// Close waits for what the server does not answer no longer than it says, and then ends leases, and waits. The items stay
// leased.
func TestLeaseClose(t *testing.T) {
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(2, pool.Spec{Name: "p"})}})
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	l := acquire(t, c, one(0))
	released := acquire(t, c, one(0))
	release(t, released)
	unanswered := acquire(t, c, one(0))
	left, pass := make(chan struct{}), make(chan struct{})
	defer close(pass)
	p.set(nil, func(line string) int {
		if strings.Contains(line, `"type":"lease.release"`) {
			close(left)
			<-pass
		}
		return len(line)
	})
	giving := make(chan error, 1)
	go func() { giving <- unanswered.Release(testContext(t), "") }()
	within(t, "it is given back", left)
	other := acquire(t, admin, one(0))
	got := make(chan error, 1)
	go func() {
		_, err := c.Acquire(context.Background(), one(60_000))
		got <- err
	}()
	awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Waiting == 1 })
	c.Close()
	select {
	case <-l.Lost():
	default:
		t.Error("held")
	}
	if err := l.Err(); !errors.Is(err, client.ErrLeaseLost) || !errors.Is(err, client.ErrClosed) {
		t.Error(err)
	}
	if err := released.Err(); err != client.ErrLeaseReleased {
		t.Error(err)
	}
	if err := within(t, "the wait ends", got); !errors.Is(err, client.ErrUnknownOutcome) {
		t.Error(err)
	}
	if err := within(t, "the release ends", giving); !errors.Is(err, client.ErrUnknownOutcome) {
		t.Error(err)
	}
	if _, err := c.Acquire(context.Background(), one(0)); !errors.Is(err, client.ErrClosed) {
		t.Error(err)
	}
	if st := stats(t, admin); st.Leases != 2 {
		t.Errorf("%+v", st)
	}
	release(t, other)
}

// Leases take no goroutine each.
func TestLeaseMany(t *testing.T) {
	n := 1000
	if raceEnabled {
		n = 100
	}
	s := newPoolServer(t, "", serve.Config{Pools: []serve.Pool{items(n, pool.Spec{Name: "p"})}})
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	acquire(t, c, one(0))
	before := runtime.NumGoroutine()
	ttl := 6 * time.Second
	leases := make([]*client.Lease, 0, n)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range n - 1 {
		l, err := c.Acquire(ctx, withTTL(one(0), ttl))
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, l)
	}
	few := func(when string) {
		if now := runtime.NumGoroutine(); now > before+10 {
			t.Errorf("%s: %d goroutines, %d before", when, now, before)
		}
	}
	few("held")
	begin := time.Now()
	p.cut(true)         // renewals pile up
	away := ttl * 2 / 5 // each is to be renewed after a third, and is lost after two thirds at the earliest
	await(t, func() bool { return time.Since(begin) > away })
	few("cut off")
	p.cut(false)
	for _, l := range leases {
		await(t, func() bool { return l.ExpiresAt().Sub(begin) > ttl+away || l.Err() != nil })
		if err := l.Err(); err != nil {
			t.Fatal(err)
		}
	}
	few("renewed")
	cancel()
	awaitStats(t, admin, func(st wire.PoolStats) bool { return st.Leases == 1 })
	for _, l := range leases {
		if err := l.Release(testContext(t), ""); err != nil {
			t.Fatal(err)
		}
	}
}

// fakeLease answers hello and lease.acquire as a server does whose leases last for an hour, and leaves the rest to serve.
func fakeLease(p *peer, ttl time.Duration, serve func(r request, nth int)) {
	for nth := map[string]int{}; ; {
		r, ok := p.next()
		if !ok {
			return
		}
		nth[r.typ]++
		if r.typ == "lease.acquire" {
			p.reply(r, fmt.Sprintf(`{"lease":7,"token":9,"expiresAt":%d,"items":[{"pool":"p","id":"1"}]}`, time.Now().Add(ttl).UnixMilli()))
			continue
		}
		serve(r, nth[r.typ])
	}
}

// A renewal, and a release, that the server had no room for comes again. What it has refused for good does not.
func TestLeaseTroubles(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		t.Parallel()
		codes := []codec.Code{codec.QueueFull, codec.StoreFull, codec.Draining, codec.Unavailable, codec.DeadlineExceeded}
		s := newServer(t, cd, func(p *peer) {
			fakeLease(p, 6*time.Second, func(r request, nth int) {
				switch {
				case nth <= len(codes):
					p.fail(r, codec.NewError(codes[nth-1], "not now"))
				case r.typ == "lease.renew":
					p.reply(r, fmt.Sprintf(`{"expiresAt":%d}`, time.Now().Add(time.Hour).UnixMilli()))
				default:
					p.reply(r, `{"released":1}`)
				}
			})
		})
		c := dial(t, s, client.Config{})
		l := acquire(t, c, one(0))
		await(t, func() bool { return time.Until(l.ExpiresAt()) > time.Minute || l.Err() != nil })
		if err := l.Err(); err != nil {
			t.Fatal(err)
		}
		release(t, l)
	})
}

// A grant that is over when it arrives is nobody's.
func TestLeaseOverAtOnce(t *testing.T) {
	s := newServer(t, codec.JSON{}, func(p *peer) { fakeLease(p, -time.Second, func(request, int) {}) })
	if l, err := dial(t, s, client.Config{}).Acquire(context.Background(), one(0)); !errors.Is(err, client.ErrLeaseLost) {
		t.Errorf("%v, %v", l, err)
	}
}
