package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// server is an engine and a dispatcher, joined as users join them.
type server struct {
	*engine.Engine
	d       *dispatch.Dispatcher
	t       testing.TB
	handled *atomic.Int64 // requests that handlers of serveCommon have begun
	gates   []*gate
	once    sync.Once
}

// setup says what is special about a test's server.
type setup struct {
	engine   engine.Config   // Addrs: TCP on a free port
	dispatch dispatch.Config // Registry is made
	types    func(*dispatch.Registry)
	gates    map[string]*gate // by the type they serve
}

// start starts a server that serves the common types, and what else the setup says, until the test ends.
func start(t testing.TB, s setup) *server {
	t.Helper()
	if s.engine.Addrs == nil {
		s.engine.Addrs = []string{"tcp://127.0.0.1:0"}
	}
	quiet := slog.New(slog.DiscardHandler)
	if s.engine.Log == nil {
		s.engine.Log = quiet
	}
	if s.dispatch.Log == nil {
		s.dispatch.Log = quiet
	}
	srv := &server{t: t, handled: new(atomic.Int64)}
	reg := dispatch.NewRegistry()
	serveCommon(reg, srv.handled)
	if s.types != nil {
		s.types(reg)
	}
	for name, g := range s.gates {
		dispatch.HandleRaw(reg, name, g.serve)
		srv.gates = append(srv.gates, g)
	}
	s.dispatch.Registry = reg
	var err error
	if srv.d, err = dispatch.New(s.dispatch); err != nil {
		t.Fatal(err)
	}
	s.engine.Open = func(c *engine.Conn) engine.Peer { return srv.d.Open(c) }
	if srv.Engine, err = engine.Start(s.engine); err != nil {
		_ = srv.d.Close(context.Background())
		t.Fatal(err)
	}
	t.Cleanup(srv.stop)
	return srv
}

// stop ends the server, if the test has not done so, and looks that nothing is left of it.
func (s *server) stop() {
	s.once.Do(func() {
		for _, g := range s.gates {
			g.open()
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			s.t.Errorf("Shutdown: %v", err)
		}
		if err := s.d.Close(ctx); err != nil {
			s.t.Errorf("Close: %v", err)
		}
	})
}

// shutdown shuts the engine down within timeout, and leaves the dispatcher to stop.
func (s *server) shutdown(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.Shutdown(ctx)
}

// addr is where the server listens, first of all.
func (s *server) addr() net.Addr { return s.Addrs()[0] }

// idle waits until the server has nothing under way any more, and holds conns connections.
func (s *server) idle(conns int) {
	s.t.Helper()
	eventually(s.t, "an idle server", func() bool {
		st := s.d.Stats()
		if s.Stats().Conns != conns || st.Connections != int64(conns) || st.Ring.Len != 0 {
			return false
		}
		for _, t := range st.Types {
			if t.Queued != 0 || t.Running != 0 {
				return false
			}
		}
		return true
	}, func() any { return s.Stats() }, func() any { return s.d.Stats() })
}

// typ returns the statistics of a type.
func (s *server) typ(name string) dispatch.TypeStats { return s.d.Stats().Types[name] }

// until waits until the statistics of a type are as wanted.
func (s *server) until(name, what string, cond func(dispatch.TypeStats) bool) {
	s.t.Helper()
	eventually(s.t, name+": "+what, func() bool { return cond(s.typ(name)) }, func() any { return s.d.Stats() })
}

// serves looks that the server answers a new client.
func (s *server) serves() {
	s.t.Helper()
	c := dial(s.t, s.addr(), nil)
	defer c.Close()
	c.ask("echo", `{"alive":true}`).is(s.t, codec.Reply, `{"alive":true}`)
}

// serveCommon registers the types that every test server has.
func serveCommon(reg *dispatch.Registry, handled *atomic.Int64) {
	echo := func(j *dispatch.Job) error {
		handled.Add(1)
		if j.Opaque() {
			j.ReplyOpaque(j.Payload())
		} else {
			j.Reply(j.Payload())
		}
		return nil
	}
	for _, name := range []string{"echo", "echo2", "echo3", "echo4"} {
		dispatch.HandleRaw(reg, name, echo)
	}
	cnt := 0
	dispatch.Handle(reg, "cntResponse", func(context.Context, any) (map[string]int, error) {
		handled.Add(1)
		cnt++
		return map[string]int{"cnt": cnt - 1}, nil
	})
	dispatch.Handle(reg, "size", func(ctx context.Context, payload string) (map[string]int, error) {
		return map[string]int{"bytes": len(payload)}, nil
	})
	dispatch.Handle(reg, "fat", func(_ context.Context, bytes int) (map[string]string, error) {
		handled.Add(1)
		fat := make([]byte, bytes)
		for i := range fat {
			fat[i] = 'a' + byte(i%26)
		}
		return map[string]string{"fat": string(fat)}, nil
	})
	dispatch.Handle(reg, "fails", func(_ context.Context, code string) (any, error) {
		if code == "" {
			return nil, errors.New("it went wrong")
		}
		return nil, &codec.Error{Code: codec.CodeByName(code), Message: "as asked for", RetryAfterMs: 7, Detail: []byte(`{"n":1}`)}
	})
	dispatch.Handle(reg, "panics", func(context.Context, any) (any, error) { panic("as asked for") })
	dispatch.HandleRaw(reg, "silent", func(*dispatch.Job) error { return nil })
}

// gate is a handler that a test holds in its hand: it tells what begins, and goes on when it is let.
type gate struct {
	began chan string // payloads
	pass  chan struct{}
	once  sync.Once
}

func newGate() *gate { return &gate{began: make(chan string, 1<<17), pass: make(chan struct{})} }

func (g *gate) serve(j *dispatch.Job) error {
	g.began <- string(j.Payload())
	<-g.pass
	j.Reply(j.Payload())
	return nil
}

// let lets one request pass.
func (g *gate) let(t testing.TB) {
	t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case g.pass <- struct{}{}:
	case <-over.C:
		t.Fatal("nobody stands at the gate")
	}
}

// open lets all requests pass, those to come too.
func (g *gate) open() { g.once.Do(func() { close(g.pass) }) }

// unixAddr returns an address in a directory of the test's own.
func unixAddr(t testing.TB) string { return "unix://" + filepath.Join(t.TempDir(), "s") }
