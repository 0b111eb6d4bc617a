package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// drain begins to shut a server down, and returns when it refuses requests. What Shutdown returns comes later.
func drain(s *server, timeout time.Duration) <-chan error {
	s.t.Helper()
	ended := make(chan error, 1)
	probe := dial(s.t, s.addr(), nil)
	go func() { ended <- s.shutdown(timeout) }()
	eventually(s.t, "a drain", func() bool {
		probe.send(request("echo", 1, ""))
		r := probe.next()
		return r.Kind == codec.Failure && r.Code == codec.Draining
	})
	return ended
}

// What was accepted is answered, and the answers are sent, to clients that read slowly too; all else is refused.
func TestDrain(t *testing.T) {
	for _, c := range spoken {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(c.Name()+"/"+network, func(t *testing.T) {
				leaks := goleak.IgnoreCurrent()
				cfg := engine.Config{}
				if network == "unix" {
					cfg.Addrs = []string{unixAddr(t)}
				}
				g := newGate()
				s := start(t, setup{engine: cfg, gates: map[string]*gate{"slow": g}})
				works, reads, idles := dial(t, s.addr(), c), dial(t, s.addr(), c), dial(t, s.addr(), c)
				idles.silent()
				const queued, fat, fatBytes = 10, 15, 900_000
				works.send(numbered("slow", queued, `{"n":%d}`)...)
				receive(t, "work begins", g.began)
				reads.send(numbered("fat", fat, "900000")...)
				s.until("fat", "answered", func(st dispatch.TypeStats) bool { return st.Done == fat })
				s.until("slow", "queued", func(st dispatch.TypeStats) bool { return st.Queued == queued-1 })

				ended := drain(s, patience)
				if r := idles.ask("echo", ""); r.Code != codec.Draining || r.Type != "echo" {
					t.Errorf("a request in a drain: %+v", r)
				}
				works.send(request("slow", 77, ""))
				if r := works.fails(codec.Draining); r.Index != 77 {
					t.Errorf("%+v", r)
				}
				oneWay := request("echo", 78, "")
				oneWay.OneWay = true
				works.send(oneWay)
				wantRefused(t, s.addr(), codec.Draining, false)
				select {
				case err := <-ended:
					t.Fatalf("the drain has not waited: %v", err)
				default:
				}

				g.open()
				for i := range queued {
					if r := works.next(); r.Index != uint64(i) || r.Payload != fmt.Sprintf(`{"n":%d}`, i) {
						t.Fatalf("%d: %+v", i, r)
					}
				}
				for i := range fat {
					if r := reads.next(); r.Index != uint64(i) || len(r.Payload) != fatBytes+len(`{"fat":""}`) {
						t.Fatalf("%d: %d bytes, %+v", i, len(r.Payload), r.Code)
					}
				}
				for _, c := range []*client{works, reads, idles} {
					c.ends()
					c.Close()
				}
				if err := receive(t, "the drain ends", ended); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				s.stop()
				goleak.VerifyNone(t, leaks)
			})
		}
	}
}

// Clients that go on sending while the server ends get the answers to all that was accepted.
func TestDrainUnderFire(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			cfg := engine.Config{}
			if network == "unix" {
				cfg.Addrs = []string{unixAddr(t)}
			}
			s := start(t, setup{engine: cfg})
			const clients = 8
			began, ended := make(chan struct{}, clients), make(chan error, clients)
			var answers atomic.Int64
			for range clients {
				c := dial(t, s.addr(), nil)
				stop, inFlight := make(chan struct{}), make(chan struct{}, 64)
				text := frameOf(t, c.codec, request("echo", 1, `{}`))
				go func() {
					for {
						select {
						case <-stop:
							return
						case inFlight <- struct{}{}:
							_, _ = c.Write(text) // it fails when the connection has ended
						}
					}
				}()
				go func() {
					defer close(stop)
					for n := 0; ; n++ {
						if n == 100 {
							began <- struct{}{}
						}
						r, err := c.read()
						if err != nil {
							c.Close()
							ended <- err
							return
						}
						<-inFlight
						if r.Kind == codec.Reply {
							answers.Add(1)
						}
					}
				}()
			}
			for range clients {
				receive(t, "load", began)
			}
			if err := s.shutdown(patience); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			for range clients {
				if err := receive(t, "the end of a connection", ended); !errors.Is(err, io.EOF) && !isReset(err) {
					t.Errorf("a connection ended with %v", err)
				}
			}
			if got, done := answers.Load(), s.handled.Load(); got != done {
				t.Errorf("%d requests were done, and %d answers came", done, got)
			}
		})
	}
}

// A connection without credit has sent more than was accepted: the rest is refused, one by one.
func TestDrainWithoutCredit(t *testing.T) {
	g := newGate()
	s := start(t, setup{dispatch: dispatch.Config{Credit: 4}, gates: map[string]*gate{"slow": g}})
	c := dial(t, s.addr(), nil)
	c.send(numbered("slow", 100, `{"n":%d}`)...)
	receive(t, "work begins", g.began)
	s.until("slow", "the credit used up", func(st dispatch.TypeStats) bool { return st.Queued == 3 })
	ended := drain(s, patience)
	g.open()
	replies, refused := 0, 0
	for i := range 100 {
		switch r := c.next(); {
		case r.Kind == codec.Reply && r.Payload == fmt.Sprintf(`{"n":%d}`, r.Index):
			replies++
		case r.Code == codec.Draining && r.HasIndex:
			refused++
		default:
			t.Fatalf("%d: %+v", i, r)
		}
	}
	if replies != 4 {
		t.Errorf("%d replies, %d refused", replies, refused)
	}
	c.ends()
	c.Close()
	if err := receive(t, "the drain ends", ended); err != nil {
		t.Error(err)
	}
}

// A handler that never returns: the drain gives up, and tells everybody what is known of his request.
func TestDrainGivesUp(t *testing.T) {
	g := newGate()
	parked := make(chan *dispatch.Parked, 10)
	s := start(t, setup{gates: map[string]*gate{"stuck": g}, types: func(reg *dispatch.Registry) {
		dispatch.HandleRaw(reg, "park", func(j *dispatch.Job) error {
			p, err := j.Park(nil)
			if err == nil {
				parked <- p
			}
			return err
		})
		j := reg.Jobber(dispatch.JobberConfig{Name: "flaky", Retry: dispatch.Retry{Attempts: 2, Delay: time.Hour}})
		dispatch.HandleRaw(j, "flaky", func(*dispatch.Job) error { return errors.New("not yet") })
	}})
	works, queues, waits, retries := dial(t, s.addr(), nil), dial(t, s.addr(), nil), dial(t, s.addr(), nil), dial(t, s.addr(), nil)
	works.send(request("stuck", 1, `{}`))
	receive(t, "it begins", g.began)
	queues.send(numbered("stuck", 50, `{"n":%d}`)...)
	s.until("stuck", "queued", func(st dispatch.TypeStats) bool { return st.Queued == 50 })
	waits.send(request("park", 1, `{}`))
	receive(t, "it parks", parked)
	retries.send(request("flaky", 1, `{}`))
	s.until("flaky", "waits", func(st dispatch.TypeStats) bool { return st.Queued == 1 })

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(ctx) }()
	if r := waits.fails(codec.Draining); r.Index != 1 { // at once: it could wait for ever
		t.Errorf("%+v", r)
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown has not waited: %v", err)
	default:
	}
	cancel()
	if r := works.fails(codec.Unavailable); r.Index != 1 { // begun, and nobody knows what comes of it
		t.Errorf("%+v", r)
	}
	for i := range 50 {
		if r := queues.fails(codec.Draining); r.Index != uint64(i) { // not begun
			t.Errorf("%+v", r)
		}
	}
	if r := retries.fails(codec.Unavailable); r.Index != 1 { // begun once, so "nothing was done" would be a lie
		t.Errorf("%+v", r)
	}
	for _, c := range []*client{works, queues, waits, retries} {
		c.ends()
		c.Close()
	}
	if err := receive(t, "Shutdown", ended); err == nil || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "52") {
		t.Errorf("Shutdown returned %v; 52 requests were lost", err)
	}
	closing, done := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer done()
	if err := s.d.Close(closing); err == nil || !strings.Contains(err.Error(), "stuck") {
		t.Errorf("Close returned %v", err)
	}
	g.open() // so that it ends after all
	s.once.Do(func() {})
}

// Answers that a client does not read are lost when the drain can not wait any longer, and Shutdown says so.
func TestDrainLosesAnswers(t *testing.T) {
	s := start(t, setup{})
	c := dial(t, s.addr(), nil)
	const fat = 15
	c.send(numbered("fat", fat, "900000")...)
	s.until("fat", "answered", func(st dispatch.TypeStats) bool { return st.Done == fat })
	if err := s.shutdown(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown returned %v, though answers were lost", err)
	}
	if err := s.d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	s.once.Do(func() {})
}

// Shutdown can be called several times, at once and later; each returns when all has ended, or its context has.
func TestShutdownTwice(t *testing.T) {
	g := newGate()
	s := start(t, setup{gates: map[string]*gate{"slow": g}})
	c := dial(t, s.addr(), nil)
	c.send(request("slow", 1, `{}`))
	receive(t, "it begins", g.began)
	ended := make(chan error, 3)
	for range 3 {
		go func() { ended <- s.shutdown(patience) }()
	}
	impatient := make(chan error, 1)
	eventually(t, "a drain", func() bool { c.send(request("echo", 2, "")); return c.next().Code == codec.Draining })
	go func() { impatient <- s.shutdown(time.Millisecond) }()
	if err := receive(t, "the impatient returns", impatient); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the impatient: %v", err)
	}
	g.open()
	c.next().is(t, codec.Reply, `{}`)
	c.ends()
	c.Close()
	for range 3 {
		if err := receive(t, "Shutdown", ended); err != nil {
			t.Error(err)
		}
	}
	if err := s.shutdown(patience); err != nil {
		t.Error(err)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

// Run serves until its context ends.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	path := unixAddr(t)
	d, err := dispatch.New(dispatch.Config{Registry: dispatch.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
	cfg := engine.Config{Addrs: []string{path}, Open: func(c *engine.Conn) engine.Peer { return d.Open(c) }, Log: slog.New(slog.DiscardHandler)}
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx, cfg, patience) }()
	var c *client
	eventually(t, "it listens", func() bool {
		c, err = tryDial(unixOf(path), nil)
		return err == nil
	}, func() any { return err })
	c.t = t
	c.ask("ping", "").is(t, codec.Reply, `{"pong":0}`)
	if err := engine.Run(context.Background(), cfg, patience); err == nil {
		t.Error("a second server listens at the same path")
	}
	cancel()
	c.ends()
	c.Close()
	if err := receive(t, "Run returns", ended); err != nil {
		t.Error(err)
	}
}

// Under load from many clients, each of them can tell for each request: it was answered, refused, or not accepted. What
// was done was answered.
func TestShutdownUnderLoad(t *testing.T) {
	clients, window := 64, 16
	if raceEnabled {
		clients, window = 16, 4
	}
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			cfg := engine.Config{}
			if network == "unix" {
				cfg.Addrs = []string{unixAddr(t)}
			}
			var mu sync.Mutex
			done := make(map[string]int) // payloads, and how often
			s := start(t, setup{engine: cfg, types: func(reg *dispatch.Registry) {
				for _, typ := range []string{"work", "work2"} {
					dispatch.HandleRaw(reg, typ, func(j *dispatch.Job) error {
						mu.Lock()
						done[string(j.Payload())]++
						mu.Unlock()
						j.Reply(j.Payload())
						return nil
					})
				}
			}})
			answered := make([]map[string]bool, clients)
			errs := make(chan error, clients)
			half := make(chan struct{}, clients*10)
			for i := range clients {
				c, err := tryDial(s.addr(), spoken[i%len(spoken)])
				if err != nil {
					t.Fatal(err)
				}
				answered[i] = make(map[string]bool)
				go func() { errs <- loadClient(c, i, window, answered[i], half) }()
			}
			for range clients * 10 {
				receive(t, "load", half)
			}
			if err := s.shutdown(patience); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			for range clients {
				if err := receive(t, "a client ends", errs); err != nil {
					t.Error(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			replies := 0
			for _, a := range answered {
				replies += len(a)
			}
			for payload, times := range done {
				var client, n int
				if _, err := fmt.Sscanf(payload, `{"client":%d,"n":%d}`, &client, &n); err != nil {
					t.Fatal(err)
				}
				if times != 1 || !answered[client][payload] {
					t.Errorf("%s was done %d times, and answered: %t", payload, times, answered[client][payload])
				}
			}
			t.Logf("%d requests done, %d answered", len(done), replies)
			if replies != len(done) {
				t.Errorf("%d requests were done, and %d were answered", len(done), replies)
			}
		})
	}
}

// loadClient keeps window requests in flight until the server refuses one, and then reads until the connection ends. It
// tells of its first ten answers.
func loadClient(c *client, id, window int, answered map[string]bool, progress chan<- struct{}) error {
	defer c.Close()
	sent := make(map[uint64]string)
	send := func(n uint64) error {
		payload := fmt.Sprintf(`{"client":%d,"n":%d}`, id, n)
		f := request([]string{"work", "work2"}[n%2], n, payload)
		text, err := c.codec.Append(nil, &f)
		if err == nil {
			_, err = c.Write(text)
		}
		sent[n] = payload
		return err
	}
	next := uint64(0)
	for ; next < uint64(window); next++ {
		if err := send(next); err != nil {
			return err
		}
	}
	draining := false
	for {
		r, err := c.read()
		if errors.Is(err, io.EOF) {
			return nil // what is left in sent was never accepted
		}
		if err != nil {
			return fmt.Errorf("client %d: %w", id, err)
		}
		switch {
		case r.Kind == codec.Reply && r.Payload == sent[r.Index]:
			answered[r.Payload] = true
			if len(answered) <= 10 {
				progress <- struct{}{}
			}
		case r.Code == codec.Draining:
			draining = true
		default:
			return fmt.Errorf("client %d: %+v instead of %s", id, r, sent[r.Index])
		}
		if r.HasIndex {
			if _, waits := sent[r.Index]; !waits {
				return fmt.Errorf("client %d: answered twice: %+v", id, r)
			}
			delete(sent, r.Index)
		}
		if !draining {
			if err := send(next); err != nil && !isReset(err) {
				return err
			}
			next++
		}
	}
}
