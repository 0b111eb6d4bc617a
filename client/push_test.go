package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
)

// logTo returns a logger that sends its lines to ch, as long as there is room.
func logTo(ch chan<- string) *slog.Logger { return slog.New(logHandler(ch)) }

type logHandler chan<- string

func (h logHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h logHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h logHandler) WithGroup(string) slog.Handler            { return h }
func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	select {
	case h <- line:
	default:
	}
	return nil
}

func TestPushes(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		hello := make(chan string, 1)
		s := newServer(t, cd, func(p *peer) {
			for r, ok := p.next(); ok; r, ok = p.next() {
				if r.typ == "watch" {
					hello <- p.hello
					for n := range 100 {
						p.push("event", fmt.Sprintf(`{"n":%d}`, n))
					}
				}
				p.reply(r, `{"ok":true}`)
			}
		})
		got := make(chan int, 100)
		c := make(chan *client.Client, 1)
		dialed := dial(t, s, client.Config{Name: "tester", OnPush: func(p client.Push) {
			var event struct{ N int }
			if err := p.Decode(&event); err != nil || p.Type != "event" || p.Missed != 0 {
				t.Errorf("%s %s: %v", p.Type, p.Event, err)
			}
			if event.N == 50 { // a handler may make requests
				if err := (<-c).Request(testContext(t), "other", nil, nil); err != nil {
					t.Error(err)
				}
			}
			got <- event.N
		}})
		c <- dialed
		if err := dialed.Request(testContext(t), "watch", nil, nil); err != nil {
			t.Fatal(err)
		}
		if h := <-hello; h != `{"client":"tester","version":1,"attempt":1}` && h != `{"version":1,"client":"tester"}` {
			t.Errorf("hello %s", h)
		}
		for n := range 100 {
			if event := <-got; event != n {
				t.Fatalf("event %d came as %dth", event, n)
			}
		}
	})
}

// A handler that does not return holds up pushes only. What it misses is counted.
func TestPushesMissed(t *testing.T) {
	s := newServer(t, codec.JSON{}, func(p *peer) {
		for r, ok := p.next(); ok; r, ok = p.next() {
			p.push("event", r.payload)
			p.reply(r, "null")
		}
	})
	entered, leave := make(chan client.Push, 20), make(chan struct{})
	c := dial(t, s, client.Config{PushesMax: 2, OnPush: func(p client.Push) {
		entered <- p
		<-leave
	}})
	request := func(n int) {
		if err := c.Request(testContext(t), "x", n, nil); err != nil {
			t.Fatal(err)
		}
	}
	request(0)
	<-entered
	for n := 1; n <= 10; n++ {
		request(n)
	}
	if s := c.Stats(); s.PushesDropped != 8 {
		t.Errorf("%+v", s)
	}
	close(leave)
	for _, want := range []string{"1", "2"} {
		if p := <-entered; string(p.Event) != want || p.Missed != 0 {
			t.Errorf("%s, missed %d", p.Event, p.Missed)
		}
	}
	request(11)
	if p := <-entered; string(p.Event) != "11" || p.Missed != 8 {
		t.Errorf("%s, missed %d", p.Event, p.Missed)
	}
}

func TestPushesUnwanted(t *testing.T) {
	s := newServer(t, codec.JSON{}, func(p *peer) {
		for r, ok := p.next(); ok; r, ok = p.next() {
			p.push("event", "1")
			p.reply(r, "1")
		}
	})
	c := dial(t, s, client.Config{})
	if err := c.Request(testContext(t), "x", nil, nil); err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s.PushesDropped != 1 {
		t.Errorf("%+v", s)
	}
}

// The news of a connection made anew stands between the pushes of the two.
func TestReconnectAmongPushes(t *testing.T) {
	s := newServer(t, codec.JSON{}, func(p *peer) {
		for r, ok := p.next(); ok; r, ok = p.next() {
			p.push("event", fmt.Sprint(p.nth))
			p.reply(r, "1")
			if p.nth == 1 {
				return
			}
		}
	})
	said := make(chan string, 10)
	c := dial(t, s, client.Config{
		OnPush:      func(p client.Push) { said <- string(p.Event) },
		OnReconnect: func() { said <- "again" },
	})
	for _, want := range []string{"1", "2"} {
		if err := c.Request(testContext(t), "x", nil, nil); err != nil {
			t.Fatal(err)
		}
		if got := <-said; got != want {
			t.Errorf("%s, not %s", got, want)
		}
		if want == "1" {
			if got := <-said; got != "again" {
				t.Errorf("%s, not again", got)
			}
		}
	}
}
