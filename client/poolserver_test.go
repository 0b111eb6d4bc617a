package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// poolServer is a real server with pools. It can be stopped, and started again on the same store and address.
type poolServer struct {
	t    testing.TB
	cfg  serve.Config
	dir  string // of the store; empty: it is in memory
	addr string
	stop func()
}

// items makes a pool with items 1 to n.
func items(n int, spec pool.Spec) serve.Pool {
	return serve.Pool{Spec: spec, Items: func(yield func(pool.ItemSpec) bool) {
		for i := 1; i <= n && yield(pool.ItemSpec{ID: fmt.Sprint(i)}); i++ {
		}
	}}
}

func newPoolServer(t testing.TB, dir string, cfg serve.Config) *poolServer {
	t.Helper()
	s := &poolServer{t: t, cfg: cfg, dir: dir, addr: "tcp://127.0.0.1:0"}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *poolServer) start() {
	s.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	cfg := s.cfg
	cfg.Log, cfg.Journal = quiet, journal.NewMemory()
	var err error
	if s.dir != "" {
		if cfg.Journal, err = journal.Open(journal.Config{Dir: s.dir}); err != nil {
			s.t.Fatal(err)
		}
	}
	pools, err := serve.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	reg := dispatch.NewRegistry()
	pools.Register(reg)
	d, err := dispatch.New(dispatch.Config{Registry: reg, Log: quiet})
	if err != nil {
		s.t.Fatal(err)
	}
	pools.Start()
	e, err := engine.Start(engine.Config{
		Addrs: []string{s.addr}, Log: quiet,
		Open: func(c *engine.Conn) engine.Peer { return d.Open(c) },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = "tcp://" + e.Addrs()[0].String()
	s.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(e.Shutdown(ctx), d.Close(ctx), pools.Close()); err != nil {
			s.t.Error(err)
		}
	})
}

// client returns a client of the server, or of what stands before it, closed when the test ends.
func (s *poolServer) client(addr string, cfg client.Config) *client.Client {
	s.t.Helper()
	cfg.Addr, cfg.BackoffMin, cfg.BackoffMax = addr, time.Millisecond, 10*time.Millisecond
	c, err := client.Dial(testContext(s.t), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func stats(t testing.TB, c *client.Client) wire.PoolStats { return statsOf(t, c, "p") }

func statsOf(t testing.TB, c *client.Client, pool string) wire.PoolStats {
	t.Helper()
	s, err := client.Call[wire.PoolStats](testContext(t), c, "pool.stats", wire.PoolRef{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitStats asks until pool p is as done says.
func awaitStats(t testing.TB, c *client.Client, done func(wire.PoolStats) bool) {
	t.Helper()
	awaitStatsOf(t, c, "p", done)
}

func awaitStatsOf(t testing.TB, c *client.Client, pool string, done func(wire.PoolStats) bool) {
	t.Helper()
	for over := time.Now().Add(20 * time.Second); ; {
		s := statsOf(t, c, pool)
		if done(s) {
			return
		}
		if time.Now().After(over) {
			t.Fatalf("it never happens: %+v", s)
		}
	}
}

func allFree(s wire.PoolStats) bool { return s.Free == s.Items && s.Waiting == 0 }

// one wants one item of pool p.
func one(waitMs int64) wire.Acquire {
	return wire.Acquire{Want: []wire.Want{{Pool: "p"}}, WaitMs: waitMs}
}

func withTTL(a wire.Acquire, ttl time.Duration) wire.Acquire {
	ms := ttl.Milliseconds()
	a.TTLMs = &ms
	return a
}

func acquire(t testing.TB, c *client.Client, a wire.Acquire) *client.Lease {
	t.Helper()
	l, err := c.Acquire(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func release(t testing.TB, l *client.Lease) {
	t.Helper()
	if err := l.Release(testContext(t), ""); err != nil {
		t.Fatal(err)
	}
	if err := l.Err(); err != client.ErrLeaseReleased {
		t.Fatal(err)
	}
}

// within waits for c.
func within[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("it never happens: %s", what)
	}
	return v
}

// proxy stands between clients that speak JSON lines and a server, and cuts connections as a test says.
type proxy struct {
	t    testing.TB
	ln   net.Listener
	addr string
	wg   sync.WaitGroup

	mu      sync.Mutex
	backend string
	conns   map[net.Conn]bool
	refuse  bool
	served  int         // connections so far
	before  func(n int) // called before connection n, from 0 on, is made to the backend
	// up and down say of each line from and to the client how much of it passes; with less than all, the connection is cut
	// behind that. Without: all passes.
	up, down func(line string) int
}

func newProxy(t testing.TB, backend string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, ln: ln, addr: "tcp://" + ln.Addr().String(), backend: backend, conns: make(map[net.Conn]bool)}
	p.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(nc) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.cut(true)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) serve(front net.Conn) {
	defer front.Close()
	p.mu.Lock()
	n, before := p.served, p.before
	p.served++
	p.mu.Unlock()
	if before != nil {
		before(n)
	}
	p.mu.Lock()
	back, err := net.Dial("tcp", strings.TrimPrefix(p.backend, "tcp://"))
	if err != nil || p.refuse {
		p.mu.Unlock()
		if err == nil {
			back.Close()
		}
		return
	}
	p.conns[front], p.conns[back] = true, true
	p.mu.Unlock()
	end := func() {
		front.Close()
		back.Close()
		p.mu.Lock()
		delete(p.conns, front)
		delete(p.conns, back)
		p.mu.Unlock()
	}
	var pumps sync.WaitGroup
	pump := func(dst, src net.Conn, hook func() func(string) int) {
		defer end()
		for r := bufio.NewReader(src); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			n := len(line)
			if f := hook(); f != nil {
				n = min(n, f(line))
			}
			if _, err := dst.Write([]byte(line[:n])); err != nil || n < len(line) {
				return
			}
		}
	}
	pumps.Go(func() { pump(back, front, func() func(string) int { p.mu.Lock(); defer p.mu.Unlock(); return p.up }) })
	pumps.Go(func() { pump(front, back, func() func(string) int { p.mu.Lock(); defer p.mu.Unlock(); return p.down }) })
	pumps.Wait()
}

// cut ends all connections; with refuse, new ones as well from now on.
func (p *proxy) cut(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) set(up, down func(string) int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up, p.down = up, down
}

// late returns a client that always comes back too late for its session, where there is no grace time: who comes back before
// the server has seen that the connection is lost has it still.
func (p *proxy) late(s *poolServer) *client.Client {
	p.t.Helper()
	ended := make(chan struct{}, 100)
	watcher := s.client(s.addr, client.Config{OnPush: func(client.Push) { ended <- struct{}{} }})
	if err := watcher.Request(testContext(p.t), "watch", wire.Watch{Types: []string{"session.ended"}}, nil); err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.before = func(n int) {
		if n == 0 {
			return
		}
		select {
		case <-ended:
		case <-p.t.Context().Done():
		}
	}
	p.mu.Unlock()
	return s.client(p.addr, client.Config{})
}

// cutAt returns a hook that cuts the nth line, from 1, which is of typ, behind its first n bytes, and what is closed then.
func cutAt(typ string, nth, n int) (func(string) int, <-chan struct{}) {
	done := make(chan struct{})
	var mu sync.Mutex
	seen := 0
	return func(line string) int {
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(line, `"type":"`+typ+`"`) {
			return len(line)
		}
		if seen++; seen != nth {
			return len(line)
		}
		close(done)
		return n
	}, done
}

// amidCuts calls work in several goroutines for each of three clients of a server, and as often as it says in each, while
// their connections are cut at random. It returns when what they have given up is given back.
func (s *poolServer) amidCuts(goroutines, times int, work func(c *client.Client, random *rand.Rand)) {
	s.t.Helper()
	seed := rand.Uint64()
	s.t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	var clients []*client.Client
	for g := range 3 {
		p := newProxy(s.t, s.addr)
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(seed, uint64(g)))
		hook := func(line string) int {
			mu.Lock()
			defer mu.Unlock()
			if random.IntN(15) == 0 {
				return random.IntN(len(line))
			}
			return len(line)
		}
		c := s.client(p.addr, client.Config{})
		clients = append(clients, c)
		p.set(hook, hook)
		for w := range goroutines {
			random := rand.New(rand.NewPCG(seed, uint64(100+10*g+w)))
			wg.Go(func() {
				for range times {
					work(c, random)
				}
			})
		}
	}
	wg.Wait()
	for _, c := range clients { // what an attempt has come to is found out by another one, which may be granted first
		await(s.t, func() bool { return c.Giving() == 0 })
	}
}
