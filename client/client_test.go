package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
)

func TestRequest(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		c := dial(t, newServer(t, cd, echo), client.Config{})
		ctx := testContext(t)

		type order struct {
			Room string   `json:"room"`
			Days []int    `json:"days"`
			Note *string  `json:"note"`
			Cost float64  `json:"cost"`
			Tags struct{} `json:"tags"`
		}
		sent := order{Room: "🦀 \"12\"\n", Days: []int{1, 2}, Cost: 1.5}
		var got echoed[order]
		if err := c.Request(ctx, "book", sent, &got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got.Echo) != fmt.Sprint(sent) {
			t.Errorf("sent %+v, got %+v", sent, got.Echo)
		}

		number, err := client.Call[echoed[uint64]](ctx, c, "number", uint64(1<<63))
		if err != nil || number.Echo != 1<<63 {
			t.Errorf("number: %v %v", number, err)
		}
		raw, err := client.Call[echoed[json.RawMessage]](ctx, c, "raw", json.RawMessage("{\n\"a\": [1,\n2] }"))
		if err != nil || string(raw.Echo) != `{"a":[1,2]}` {
			t.Errorf("raw: %s %v", raw.Echo, err)
		}
		if err := c.Request(ctx, "nobody looks", 1, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestBytes(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		seen := make(chan request, 1)
		c := dial(t, newServer(t, cd, func(p *peer) {
			for {
				r, ok := p.next()
				if !ok {
					return
				}
				seen <- r
				p.send(&codec.Frame{Kind: codec.Reply, Type: r.Type, Index: r.Index, HasIndex: true, Payload: []byte("\x00\xff"), Opaque: true})
			}
		}), client.Config{})
		var result any
		_, isCrab := cd.(codec.Crab)
		if isCrab {
			result = &struct{ Result []byte }{}
		} else {
			result = &[]byte{}
		}
		if err := c.Request(testContext(t), "blob", []byte("\x00\xfe"), result); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(result); got != "&[0 255]" && got != "&{[0 255]}" {
			t.Errorf("result %s", got)
		}
		r := <-seen
		if _, binary := cd.(codec.Binary); binary {
			if r.payload != "\x00\xfe" || !r.Opaque {
				t.Errorf("payload %q, opaque %v", r.payload, r.Opaque)
			}
		} else if r.payload != `"AP4="` {
			t.Errorf("payload %q", r.payload)
		}
	})
	t.Run("need a []byte", func(t *testing.T) {
		c := dial(t, newServer(t, codec.Binary{}, func(p *peer) {
			for r, ok := p.next(); ok; r, ok = p.next() {
				p.send(&codec.Frame{Kind: codec.Reply, Type: r.Type, Index: r.Index, HasIndex: true, Payload: []byte("{}"), Opaque: true})
			}
		}), client.Config{})
		if err := c.Request(testContext(t), "blob", nil, new(any)); err == nil {
			t.Error("bytes were decoded as JSON")
		}
	})
}

func TestDo(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		seen := make(chan request, 1)
		c := dial(t, newServer(t, cd, func(p *peer) {
			for r, ok := p.next(); ok; r, ok = p.next() {
				seen <- r
				p.send(&codec.Frame{Kind: codec.Reply, Type: r.Type, Index: r.Index, HasIndex: true, Payload: []byte(`{"n":1}`), Rev: 9})
			}
		}), client.Config{})
		rep, err := c.Do(testContext(t), client.Request{Type: "lease.acquire", Payload: 1, Key: "k-1", MinRev: 7})
		if err != nil {
			t.Fatal(err)
		}
		var result struct{ N int }
		if err := rep.Decode(&result); err != nil || result.N != 1 {
			t.Errorf("%s: %v", rep.Payload, err)
		}
		if _, crab := cd.(codec.Crab); !crab && rep.Rev != 9 {
			t.Errorf("rev %d", rep.Rev)
		}
		if r := <-seen; string(r.Key) != "k-1" || r.MinRev != 7 {
			t.Errorf("key %q, minRev %d", r.Key, r.MinRev)
		}
	})
}

// Each of many goroutines gets its own answer, in whatever order they come.
func TestPipelined(t *testing.T) {
	goroutines, conns := 1000, 3
	each(t, func(t *testing.T, cd codec.Codec) {
		c := dial(t, newServer(t, cd, shuffled), client.Config{Conns: conns, InFlightMax: 100})
		ctx := testContext(t)
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				got, err := client.Call[echoed[int]](ctx, c, fmt.Sprint("type", g%7), g)
				if err != nil || got.Echo != g {
					t.Errorf("goroutine %d: got %d, %v", g, got.Echo, err)
				}
			})
		}
		wg.Wait()
		if s := c.Stats(); s.InFlight != 0 || s.Waiting != 0 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

// shuffled answers what has come in random order.
func shuffled(p *peer) {
	requests := make(chan request, 1000)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(requests)
	wg.Go(func() {
		var got []request
		for {
			r, ok := <-requests
			if !ok {
				return
			}
			got = append(got, r)
			for more := true; more; {
				select {
				case r, ok := <-requests:
					if more = ok; ok {
						got = append(got, r)
					}
				default:
					more = false
				}
			}
			rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
			for _, r := range got {
				p.reply(r, `{"echo":`+r.payload+`}`)
			}
			got = got[:0]
		}
	})
	for {
		r, ok := p.next()
		if !ok {
			return
		}
		requests <- r
	}
}

func TestCancel(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		arrived, cancelled := make(chan request), make(chan request)
		c := dial(t, newServer(t, cd, func(p *peer) {
			slow, _ := p.next()
			arrived <- slow
			cancel, _ := p.next()
			p.reply(slow, `{"echo":"late"}`)
			cancelled <- cancel
			echo(p)
		}), client.Config{})

		ctx, cancel := context.WithCancel(testContext(t))
		ended := make(chan error)
		go func() {
			var result any
			err := c.Request(ctx, "slow", 1, &result)
			if result != nil {
				t.Errorf("a cancelled request has the result %v", result)
			}
			ended <- err
		}()
		slow := <-arrived
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrNotSent) {
			t.Errorf("ended with %v", err)
		}
		r := <-cancelled
		if r.typ != "cancel" || !r.OneWay || r.payload != fmt.Sprintf(`{"queryIndex":%d}`, slow.Index) {
			t.Errorf("%s one-way %v %s, of %d", r.typ, r.OneWay, r.payload, slow.Index)
		}
		got, err := client.Call[echoed[string]](testContext(t), c, "slow", "mine")
		if err != nil || got.Echo != "mine" {
			t.Errorf("next: %q %v", got.Echo, err)
		}
		if s := c.Stats(); s.LateReplies != 1 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestCancelBeforeSent(t *testing.T) {
	arrived, release := make(chan request, 2), make(chan struct{})
	c := dial(t, newServer(t, codec.JSON{}, func(p *peer) {
		for r, ok := p.next(); ok; r, ok = p.next() {
			arrived <- r
			<-release
			p.reply(r, "1")
		}
	}), client.Config{InFlightMax: 1})
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if err := c.Request(testContext(t), "first", nil, nil); err != nil {
			t.Error(err)
		}
	})
	<-arrived
	ctx, cancel := context.WithTimeout(testContext(t), time.Millisecond)
	defer cancel()
	if err := c.Request(ctx, "second", nil, nil); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrNotSent) {
		t.Errorf("second: %v", err)
	}
	cancel()
	if err := c.Request(ctx, "third", nil, nil); !errors.Is(err, client.ErrNotSent) {
		t.Errorf("third: %v", err)
	}
	close(release)
	if err := c.Request(testContext(t), "fourth", nil, nil); err != nil {
		t.Error(err)
	}
	if r := <-arrived; r.typ != "fourth" {
		t.Errorf("%s was sent", r.typ)
	}
}

func TestDeadline(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		arrived := make(chan request, 1)
		c := dial(t, newServer(t, cd, func(p *peer) {
			for r, ok := p.next(); ok; r, ok = p.next() {
				arrived <- r
				if r.typ == "answered" {
					p.fail(r, codec.NewError(codec.DeadlineExceeded, "not begun in time"))
				}
			}
		}), client.Config{})

		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		err := c.Request(ctx, "answered", nil, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrDeadlineExceeded) {
			t.Errorf("answered: %v", err)
		}
		if r := <-arrived; r.DeadlineMs > 3600_000 || r.DeadlineMs < 3500_000 {
			t.Errorf("deadline of %d ms", r.DeadlineMs)
		}

		ms := uint32(50)
		for err = client.ErrNotSent; errors.Is(err, client.ErrNotSent); ms *= 2 { // its time was over before
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
			defer cancel()
			if err = c.Request(ctx, "silent", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("silent: %v", err)
			}
		}
		if r := <-arrived; r.DeadlineMs < 1 || r.DeadlineMs > ms/2 {
			t.Errorf("deadline of %d ms", r.DeadlineMs)
		}
		if r := <-arrived; r.typ != "cancel" {
			t.Errorf("then %s", r.typ)
		}
	})
}

func TestBacklogFull(t *testing.T) {
	c := dial(t, newServer(t, codec.JSON{}, (*peer).drain), client.Config{InFlightMax: 1, WaitingMax: 1})
	ctx, cancel := context.WithCancel(testContext(t))
	var wg sync.WaitGroup
	wg.Go(func() { c.Request(ctx, "in flight", nil, nil) })
	await(t, func() bool { return c.Stats().InFlight == 1 })
	wg.Go(func() { c.Request(ctx, "waiting", nil, nil) })
	await(t, func() bool { return c.Stats().Waiting == 1 })
	if err := c.Request(ctx, "third", nil, nil); !errors.Is(err, client.ErrBacklogFull) || !errors.Is(err, client.ErrNotSent) {
		t.Error(err)
	}
	cancel()
	wg.Wait()
}

func TestClose(t *testing.T) {
	arrived := make(chan struct{})
	c := dial(t, newServer(t, codec.JSON{}, func(p *peer) {
		p.next()
		close(arrived)
		p.drain()
	}), client.Config{InFlightMax: 1, OnPush: func(client.Push) {}})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := c.Request(testContext(t), "sent", nil, nil)
		if !errors.Is(err, client.ErrUnknownOutcome) || errors.Is(err, client.ErrNotSent) {
			t.Errorf("sent: %v", err)
		}
	})
	<-arrived
	for range 3 {
		wg.Go(func() {
			err := c.Request(testContext(t), "waiting", nil, nil)
			if !errors.Is(err, client.ErrClosed) || !errors.Is(err, client.ErrNotSent) {
				t.Errorf("waiting: %v", err)
			}
		})
	}
	await(t, func() bool { return c.Stats().Waiting == 3 })
	for range 2 {
		wg.Go(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if err := c.Request(testContext(t), "after", nil, nil); !errors.Is(err, client.ErrClosed) {
				t.Errorf("after: %v", err)
			}
		})
	}
	wg.Wait()
}

// All codes, with all they carry, come over all codecs.
func TestCodes(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		c := dial(t, newServer(t, cd, func(p *peer) {
			for r, ok := p.next(); ok; r, ok = p.next() {
				code := codec.CodeByName(r.typ)
				if code == codec.BadFrame {
					r.typ = "" // it could not be read
				}
				p.fail(r, &codec.Error{Code: code, Message: "text", RetryAfterMs: 50, Detail: []byte(`{"n":1}`)})
			}
		}), client.Config{})
		for _, code := range codec.Codes() {
			err := c.Request(testContext(t), code.String(), nil, nil)
			if !errors.Is(err, code) {
				t.Errorf("%s: %v", code, err)
			}
			e, ok := errors.AsType[*codec.Error](err)
			if _, crab := cd.(codec.Crab); crab && code == codec.BadFrame {
				continue // it says what was sent, and no more
			}
			if !ok || e.RetryAfterMs != 50 || string(e.Detail) != `{"n":1}` || e.Message == "" {
				t.Errorf("%s: %+v", code, e)
			}
		}
	})
}

func TestTooLarge(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		c := dial(t, newServer(t, cd, echo), client.Config{FrameBytesMax: 1000})
		err := c.Request(testContext(t), "large", strings.Repeat("x", 1000), nil)
		if !errors.Is(err, client.ErrFrameTooLarge) || !errors.Is(err, client.ErrNotSent) {
			t.Errorf("large: %v", err)
		}
		if err := c.Send(testContext(t), "large", strings.Repeat("x", 1000)); !errors.Is(err, client.ErrFrameTooLarge) {
			t.Errorf("large, one way: %v", err)
		}
		if err := c.Request(testContext(t), "small", 1, nil); err != nil {
			t.Errorf("small: %v", err)
		}
	})
}

func TestLargeFrames(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		c := dial(t, newServer(t, cd, echo), client.Config{})
		var wg sync.WaitGroup
		for g := range 5 {
			wg.Go(func() {
				text := strings.Repeat(fmt.Sprint(g), 200<<10)
				got, err := client.Call[echoed[string]](testContext(t), c, "large", text)
				if err != nil || got.Echo != text {
					t.Errorf("%d bytes, %v", len(got.Echo), err)
				}
			})
		}
		wg.Wait()
	})
}

func TestBadRequests(t *testing.T) {
	c := dial(t, newServer(t, codec.JSON{}, echo), client.Config{})
	for _, req := range []client.Request{
		{},
		{Type: strings.Repeat("t", 129)},
		{Type: "t", Key: strings.Repeat("k", 129)},
		{Type: "t", Payload: make(chan int)},
		{Type: "t", Payload: json.RawMessage(`1},{"type":"other"`)},
	} {
		if _, err := c.Do(testContext(t), req); !errors.Is(err, client.ErrNotSent) {
			t.Errorf("%+v: %v", req, err)
		}
	}
	var n int
	if err := c.Request(testContext(t), "t", 1, &n); err == nil {
		t.Error("an object was decoded as a number")
	}
}

func TestSend(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		seen := make(chan request, 100)
		c := dial(t, newServer(t, cd, func(p *peer) {
			for r, ok := p.next(); ok; r, ok = p.next() {
				seen <- r
			}
		}), client.Config{InFlightMax: 1})
		for n := range 100 {
			if err := c.Send(testContext(t), "tick", n); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 100 {
			if r := <-seen; !r.OneWay || r.payload != fmt.Sprint(n) {
				t.Fatalf("%dth: one-way %v, %s", n, r.OneWay, r.payload)
			}
		}
	})
}

// A Send to a server that does not read blocks until its context ends, and leaves the connection usable.
func TestSendBlocked(t *testing.T) {
	read := make(chan struct{})
	c := dial(t, newServer(t, codec.JSON{}, func(p *peer) {
		f, _ := p.frame()
		p.reply(request{typ: string(f.Type), Frame: *f}, "1")
		<-read
		echo(p)
	}), client.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	text := strings.Repeat("x", 500<<10)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := c.Send(ctx, "fill", text); err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(read)
	if err := c.Request(testContext(t), "after", 1, nil); err != nil {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	ok := client.Config{Addr: "unix:///nowhere/at/all"}
	for want, change := range map[string]func(*client.Config){
		"Addr is empty":                  func(c *client.Config) { c.Addr = "" },
		"host:port":                      func(c *client.Config) { c.Addr = "localhost" },
		"unknown network http":           func(c *client.Config) { c.Addr = "http://localhost:80" },
		"names no path":                  func(c *client.Config) { c.Addr = "unix://" },
		"choose one to speak":            func(c *client.Config) { c.Codec = codec.Auto{} },
		"Conns is -1":                    func(c *client.Config) { c.Conns = -1 },
		"InFlightMax is -1":              func(c *client.Config) { c.InFlightMax = -1 },
		"FrameBytesMax is 2147483648":    func(c *client.Config) { c.FrameBytesMax = 1 << 31 },
		"BackoffMin is -1ns":             func(c *client.Config) { c.BackoffMin = -1 },
		"BackoffMax is 1ms, below Back":  func(c *client.Config) { c.BackoffMax = time.Millisecond },
		"no such file":                   func(c *client.Config) {},
		"no such file or directory":      func(c *client.Config) { c.BackoffMin = time.Hour },
		"connect to unix:///nowhere/at/": func(c *client.Config) { c.ConnectTimeMax = time.Hour },
	} {
		cfg := ok
		change(&cfg)
		if _, err := client.Dial(testContext(t), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
