package dispatch_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // a dependency of gnet starts two at init
}

// giveUp bounds every wait in these tests. It is far above what any of them takes, so it only ends a hang.
const giveUp = 20 * time.Second

// server is a dispatcher behind an engine on a port of its own.
type server struct {
	*dispatch.Dispatcher
	t      *testing.T
	engine *engine.Engine
	addr   string
}

func serve(t *testing.T, cfg dispatch.Config) *server {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	d, err := dispatch.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Start(engine.Config{
		Addrs: []string{"tcp://127.0.0.1:0"},
		Open:  func(c *engine.Conn) engine.Peer { return d.Open(c) },
		Log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), giveUp)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := d.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &server{d, t, e, e.Addrs()[0].String()}
}

// until waits until a condition on the server's statistics holds.
func (s *server) until(what string, cond func(dispatch.Stats) bool) {
	s.t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	over := time.After(giveUp)
	for !cond(s.Stats()) {
		select {
		case <-poll.C:
		case <-over:
			s.t.Fatalf("never happened: %s; %+v", what, s.Stats())
		}
	}
}

// conn is a client that speaks JSON lines.
type conn struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

// reply is any frame that the server sends.
type reply struct {
	Type       string          `json:"type"`
	QueryIndex *uint64         `json:"queryIndex"`
	ResultJob  json.RawMessage `json:"resultJob"`
	Err        string          `json:"err"`
	Code       string          `json:"code"`
	Event      json.RawMessage `json:"event"`
}

func (s *server) dial() *conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(giveUp))
	return &conn{c, s.t, bufio.NewReader(c)}
}

// send sends requests, one a line; %d and the like are filled in.
func (c *conn) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format+"\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *conn) receive() reply {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("no reply: %v", err)
	}
	var r reply
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		c.t.Fatalf("%q: %v", line, err)
	}
	return r
}

// ask sends a request of a type, and returns what it is answered.
func (c *conn) ask(typ, payload string) reply {
	c.t.Helper()
	c.send(`{"type":%q,"queryIndex":1,"payload":%s}`, typ, payload)
	return c.receive()
}

// want checks a reply: its index, and its result or, where that begins with '!', its code.
func (c *conn) want(index uint64, result string) reply {
	c.t.Helper()
	r := c.receive()
	if r.QueryIndex == nil || *r.QueryIndex != index {
		c.t.Fatalf("got %+v, want the reply to %d", r, index)
	}
	if code, ok := strings.CutPrefix(result, "!"); ok {
		if r.Code != code || r.Err == "" {
			c.t.Fatalf("got %+v, want %s", r, code)
		}
	} else if string(r.ResultJob) != result {
		c.t.Fatalf("got %s %+v, want %s", r.ResultJob, r, result)
	}
	return r
}
