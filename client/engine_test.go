package client_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// These tests run the client against the real server, on all codecs, over TCP and a Unix socket.

// startServer serves reg on addr until the returned function is called. cfg may say more.
func startServer(t testing.TB, addr string, reg *dispatch.Registry, cfg engine.Config) (*engine.Engine, func()) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	d, err := dispatch.New(dispatch.Config{Registry: reg, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addrs, cfg.Log = []string{addr}, quiet
	cfg.Open = func(c *engine.Conn) engine.Peer { return d.Open(c) }
	e, err := engine.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e, sync.OnceFunc(func() {
		ctx := testContext(t)
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := d.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

type sum struct {
	A, B, Sum int
}

// slow is a handler that stands still until it is told to go on.
type slow struct {
	begun chan int
	goOn  chan struct{}
}

func newSlow() slow { return slow{make(chan int, 100), make(chan struct{})} }

func (s slow) handle(_ context.Context, n int) (sum, error) {
	s.begun <- n
	<-s.goOn
	return sum{Sum: n}, nil
}

func newRegistry(s slow) *dispatch.Registry {
	reg := dispatch.NewRegistry()
	dispatch.Handle(reg, "add", func(_ context.Context, in sum) (sum, error) {
		in.Sum = in.A + in.B
		return in, nil
	})
	dispatch.Handle(reg, "slow", s.handle)
	dispatch.Handle(reg, "fail", func(context.Context, any) (any, error) {
		return nil, &codec.Error{Code: codec.NoneFree, Message: "sold out", RetryAfterMs: 7}
	})
	dispatch.Handle(reg, "panic", func(context.Context, any) (any, error) { panic("oh") })
	dispatch.HandleRaw(reg, "reverse", func(j *dispatch.Job) error {
		p := append([]byte(nil), j.Payload()...)
		for i := range len(p) / 2 {
			p[i], p[len(p)-1-i] = p[len(p)-1-i], p[i]
		}
		j.ReplyOpaque(p)
		return nil
	})
	dispatch.HandleRaw(reg, "poke", func(j *dispatch.Job) error {
		if !j.Peer().Push("poked", j.Payload()) {
			return errors.New("no pushes without hello")
		}
		j.Reply([]byte(`{}`))
		return nil
	})
	return reg
}

func TestServer(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			each(t, func(t *testing.T, cd codec.Codec) {
				addr := "tcp://127.0.0.1:0"
				if network == "unix" {
					addr = "unix://" + filepath.Join(t.TempDir(), "s")
				}
				s := newSlow()
				e, stop := startServer(t, addr, newRegistry(s), engine.Config{})
				defer stop()
				pushes := make(chan client.Push, 10)
				cfg := client.Config{
					Addr:   network + "://" + e.Addrs()[0].String(),
					Codec:  cd,
					Conns:  2,
					OnPush: func(p client.Push) { pushes <- p },
				}
				c, err := client.Dial(testContext(t), cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				testServer(t, c, cd, s, pushes)
			})
		})
	}
}

func testServer(t *testing.T, c *client.Client, cd codec.Codec, s slow, pushes <-chan client.Push) {
	ctx := testContext(t)
	_, isBinary := cd.(codec.Binary)

	t.Run("pipelined", func(t *testing.T) {
		var wg sync.WaitGroup
		for n := range 1000 {
			wg.Go(func() {
				got, err := client.Call[sum](ctx, c, "add", sum{A: n, B: n})
				if err != nil || got.Sum != 2*n {
					t.Errorf("%d: %+v, %v", n, got, err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("failures", func(t *testing.T) {
		for typ, want := range map[string]codec.Code{
			"nobody": client.ErrUnknownType,
			"fail":   client.ErrNoneFree,
			"panic":  client.ErrHandlerFailed,
			"add":    client.ErrBadPayload,
		} {
			err := c.Request(ctx, typ, "no object", nil)
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", typ, err)
			}
			if e, ok := errors.AsType[*codec.Error](err); !ok || typ == "fail" && e.RetryAfterMs != 7 {
				t.Errorf("%s: %+v", typ, e)
			}
		}
	})
	t.Run("bytes", func(t *testing.T) {
		if !isBinary {
			t.Skip("a handler sees bytes as such from binary frames only")
		}
		got, err := client.Call[[]byte](ctx, c, "reverse", []byte("\x00\x01\xff"))
		if err != nil || string(got) != "\xff\x01\x00" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("pushes", func(t *testing.T) {
		if err := c.Request(ctx, "poke", []int{1, 2}, nil); err != nil {
			t.Fatal(err)
		}
		var event []int
		if p := <-pushes; p.Type != "poked" || p.Decode(&event) != nil || len(event) != 2 {
			t.Errorf("%s %s", p.Type, p.Event)
		}
	})
	// From here on "slow" is at work on 1.
	var first sync.WaitGroup
	first.Go(func() {
		got, err := client.Call[sum](ctx, c, "slow", 1)
		if err != nil || got.Sum != 1 {
			t.Errorf("slow: %+v, %v", got, err)
		}
	})
	if n := <-s.begun; n != 1 {
		t.Fatal(n)
	}
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := c.Request(ctx, "slow", 2, nil); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		await(t, func() bool { return queued(t, c, "slow") == 10 })
		cancel()
		wg.Wait()
		await(t, func() bool { return queued(t, c, "slow") == 0 })
		await(t, func() bool { return c.Stats().InFlight == 1 })
		if s := c.Stats(); s.LateReplies != 10 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if err := c.Request(ctx, "slow", 3, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		await(t, func() bool { return queued(t, c, "slow") == 0 })
	})
	t.Run("one way", func(t *testing.T) {
		for range 5 {
			if err := c.Send(ctx, "slow", 4); err != nil {
				t.Error(err)
			}
		}
		close(s.goOn)
		first.Wait()
		for range 5 {
			if n := <-s.begun; n != 4 {
				t.Errorf("%d was begun", n)
			}
		}
	})
	if s := c.Stats(); s.Reconnects != 0 || s.InFlight != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// queued asks the server how many requests of a type wait.
func queued(t *testing.T, c *client.Client, typ string) int {
	lengths, err := client.Call[map[string]struct{ Length int }](testContext(t), c, "srvQueuePrint", nil)
	if err != nil {
		t.Fatal(err)
	}
	return lengths[typ].Length
}

func TestServerFull(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		e, stop := startServer(t, "tcp://127.0.0.1:0", newRegistry(newSlow()), engine.Config{ConnsMax: 1})
		defer stop()
		cfg := client.Config{Addr: e.Addrs()[0].String(), Codec: cd}
		c, err := client.Dial(testContext(t), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c, err := client.Dial(testContext(t), cfg); !errors.Is(err, client.ErrTooManyConnections) {
			t.Errorf("second client: %v, %v", c, err)
		}
	})
}

func TestServerFrameLimit(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		e, stop := startServer(t, "tcp://127.0.0.1:0", newRegistry(newSlow()), engine.Config{FrameBytesMax: 1000})
		defer stop()
		c, err := client.Dial(testContext(t), client.Config{Addr: e.Addrs()[0].String(), Codec: cd})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.Request(testContext(t), "add", strings.Repeat("x", 2000), nil)
		if !errors.Is(err, client.ErrUnknownOutcome) || !strings.Contains(err.Error(), "frame_too_large") {
			t.Errorf("large: %v", err)
		}
		if got, err := client.Call[sum](testContext(t), c, "add", sum{A: 1}); err != nil || got.Sum != 1 {
			t.Errorf("next: %v %v", got, err)
		}
	})
}

// The server is shut down and comes back under load: every request is answered, refused, or of unknown outcome; and the
// client is there again.
func TestServerRestart(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		addr := "unix://" + filepath.Join(t.TempDir(), "s")
		_, stop := startServer(t, addr, newRegistry(newSlow()), engine.Config{})
		c, err := client.Dial(testContext(t), client.Config{Addr: addr, Codec: cd, BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx := testContext(t)
		enough := make(chan struct{})
		var wg sync.WaitGroup
		for g := range 10 {
			wg.Go(func() {
				for n := g; ; n += 10 {
					select {
					case <-enough:
						return
					default:
					}
					got, err := client.Call[sum](ctx, c, "add", sum{A: n, B: 1})
					switch {
					case err == nil && got.Sum != n+1:
						t.Errorf("%d: %+v", n, got)
					case err != nil && !errors.Is(err, client.ErrDraining) && !errors.Is(err, client.ErrUnknownOutcome):
						t.Errorf("%d: %v", n, err)
					}
				}
			})
		}
		stop()
		_, stop = startServer(t, addr, newRegistry(newSlow()), engine.Config{})
		defer stop()
		await(t, func() bool { return c.Stats().Reconnects == 1 })
		if got, err := client.Call[sum](testContext(t), c, "add", sum{A: 2, B: 3}); err != nil || got.Sum != 5 {
			t.Errorf("%+v, %v", got, err)
		}
		close(enough)
		wg.Wait()
	})
}
