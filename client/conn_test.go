package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
)

func TestConnectionLost(t *testing.T) {
	for _, half := range []string{"", `{"type":"first","quer`} {
		t.Run("after "+half, func(t *testing.T) {
			again := make(chan struct{}, 1)
			c := dial(t, newServer(t, codec.JSON{}, func(p *peer) {
				if p.nth > 1 {
					echo(p)
					return
				}
				p.next()
				p.Write([]byte(half))
			}), client.Config{OnReconnect: func() { again <- struct{}{} }})
			err := c.Request(testContext(t), "first", 1, nil)
			if !errors.Is(err, client.ErrUnknownOutcome) || !errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrNotSent) {
				t.Errorf("first: %v", err)
			}
			if e, ok := errors.AsType[*codec.Error](err); !ok || !strings.Contains(e.Message, "outcome unknown") {
				t.Errorf("first: %v", err)
			}
			got, err := client.Call[echoed[int]](testContext(t), c, "second", 2)
			if err != nil || got.Echo != 2 {
				t.Errorf("second: %v %v", got, err)
			}
			<-again
			if s := c.Stats(); s.Reconnects != 1 || s.ConnsUp != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What has not been sent when the connection is lost goes out on the next one.
func TestNotSentIsRetried(t *testing.T) {
	first, drop := make(chan struct{}), make(chan struct{})
	c := dial(t, newServer(t, codec.JSON{}, func(p *peer) {
		if p.nth > 1 {
			echo(p)
			return
		}
		p.next()
		close(first)
		<-drop
	}), client.Config{InFlightMax: 1})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Request(testContext(t), "first", 1, nil); !errors.Is(err, client.ErrUnknownOutcome) {
			t.Errorf("first: %v", err)
		}
	})
	<-first
	for n := range 10 {
		wg.Go(func() {
			got, err := client.Call[echoed[int]](testContext(t), c, "next", n)
			if err != nil || got.Echo != n {
				t.Errorf("next: %v %v", got, err)
			}
		})
	}
	await(t, func() bool { return c.Stats().Waiting == 10 })
	close(drop)
	wg.Wait()
}

func TestServerAway(t *testing.T) {
	s := newServer(t, codec.JSON{}, echo)
	down := make(chan string, 100)
	c := dial(t, s, client.Config{Log: logTo(down)})
	s.stop()
	for !strings.Contains(<-down, "no such file") {
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := c.Request(ctx, "early", nil, nil)
	if !errors.Is(err, client.ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("early: %v", err)
	}
	ended := make(chan error)
	go func() { ended <- c.Request(testContext(t), "patient", 1, nil) }()
	go func() { ended <- c.Send(testContext(t), "patient", 1) }()
	await(t, func() bool { return c.Stats().Waiting == 2 })
	s.start()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// An answer of the wrong type is not handed out; it ends the connection.
func TestWrongType(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		for _, kind := range []codec.Kind{codec.Reply, codec.Failure} {
			c := dial(t, newServer(t, cd, func(p *peer) {
				if p.nth > 1 {
					echo(p)
					return
				}
				a, _ := p.next()
				b, _ := p.next()
				a.Index, b.Index = b.Index, a.Index
				for _, r := range []request{a, b} {
					if kind == codec.Failure {
						p.fail(r, codec.NewError(codec.QueueFull, "full"))
					} else {
						p.reply(r, "{}")
					}
				}
				p.drain()
			}), client.Config{})
			var wg sync.WaitGroup
			for _, typ := range []string{"a", "b"} {
				wg.Go(func() {
					err := c.Request(testContext(t), typ, nil, nil)
					if !errors.Is(err, client.ErrUnknownOutcome) || !strings.Contains(err.Error(), "protocol error") {
						t.Errorf("%s: %v", typ, err)
					}
				})
			}
			wg.Wait()
			if err := c.Request(testContext(t), "c", 1, nil); err != nil {
				t.Errorf("next: %v", err)
			}
		}
	})
}

// Whatever else the server must not say ends the connection too.
func TestProtocolErrors(t *testing.T) {
	request := codec.Frame{Kind: codec.Request, Type: []byte("x"), Index: 1, HasIndex: true}
	noIndex := codec.Frame{Kind: codec.Reply, Type: []byte("x"), Payload: []byte("1")}
	orphan := codec.Frame{Kind: codec.Failure, Err: codec.Error{Code: codec.Draining, Message: "going down"}}
	for _, test := range []struct {
		name  string
		codec codec.Codec
		frame codec.Frame
		raw   string
		want  string
	}{
		{name: "nonsense", codec: codec.JSON{}, raw: "HTTP/1.1 400 Bad Request\r\n", want: "HTTP"},
		{name: "nonsense", codec: codec.Binary{}, raw: "HTTP/1.1 400 Bad Request\r\n", want: "0xB5"},
		{name: "a request", codec: codec.Binary{}, frame: request, want: "request"},
		{name: "no index", codec: codec.Binary{}, frame: noIndex, want: "without the number"},
		{name: "a failure of no request", codec: codec.JSON{}, frame: orphan, want: "draining: going down"},
		{name: "a failure of no request", codec: codec.Crab{}, frame: orphan, want: "draining: going down"},
		{name: "a failure of no request", codec: codec.Binary{}, frame: orphan, want: "draining: going down"},
		{name: "an unknown index", codec: codec.JSON{}, raw: `{"type":"first","queryIndex":999,"resultJob":1}` + "\n", want: ""},
		{name: "too large", codec: codec.JSON{}, raw: strings.Repeat("x", 2000), want: "too_large"},
	} {
		t.Run(test.name+"/"+test.codec.Name(), func(t *testing.T) {
			c := dial(t, newServer(t, test.codec, func(p *peer) {
				if p.nth > 1 {
					echo(p)
					return
				}
				p.next()
				if test.raw != "" {
					p.Write([]byte(test.raw))
				} else {
					p.send(&test.frame)
				}
				if test.want != "" {
					p.drain()
				}
			}), client.Config{FrameBytesMax: 1000})
			err := c.Request(testContext(t), "first", nil, nil)
			if !errors.Is(err, client.ErrUnknownOutcome) || errors.Is(err, client.ErrDraining) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("first: %v", err)
			}
			if err := c.Request(testContext(t), "next", 1, nil); err != nil {
				t.Errorf("next: %v", err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		for _, pieces := range [][]string{
			{`{"err":"no more than 2 connections","code":"too_many_connections"}` + "\n"},
			{`{"err":"no more than 2 `, `connections","code":"too_many_connections"}`},
		} {
			s := newServer(t, cd, func(p *peer) {
				for _, piece := range pieces {
					p.Write([]byte(piece))
				}
				p.Conn.(*net.UnixConn).CloseWrite()
				p.Read(make([]byte, 1000))
			})
			_, err := client.Dial(testContext(t), client.Config{Addr: s.addr, Codec: cd})
			if !errors.Is(err, client.ErrTooManyConnections) || !strings.Contains(err.Error(), "no more than 2 connections") {
				t.Errorf("%v", err)
			}
		}
	})
}

// A connection that is refused is never used for requests, when another one is there.
func TestSomeRefused(t *testing.T) {
	down := make(chan string, 100)
	c := dial(t, newServer(t, codec.JSON{}, func(p *peer) {
		if p.nth == 1 {
			echo(p)
			return
		}
		p.Write([]byte(`{"err":"enough","code":"too_many_connections"}` + "\n"))
	}), client.Config{Conns: 3, Log: logTo(down)})
	for range 100 {
		if err := c.Request(testContext(t), "x", 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	if line := <-down; !strings.Contains(line, "too_many_connections: enough") {
		t.Error(line)
	}
}

func TestDialFails(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	silent := newServer(t, codec.JSON{}, func(p *peer) { p.Read(make([]byte, 1000)); cancel(); p.Read(make([]byte, 1000)) })
	if _, err := client.Dial(ctx, client.Config{Addr: silent.addr}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("silent server: %v", err)
	}
	if _, err := client.Dial(testContext(t), client.Config{Addr: silent.addr, ConnectTimeMax: time.Millisecond}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent server: %v", err)
	}
	if _, err := client.Dial(testContext(t), client.Config{Addr: silent.addr + "-not"}); err == nil || !strings.Contains(err.Error(), "-not") {
		t.Errorf("no server: %v", err)
	}
	hello := newServer(t, codec.JSON{}, func(p *peer) {
		f, _ := p.frame()
		p.fail(request{typ: "hello", Frame: *f}, codec.NewError(codec.Unauthenticated, "who are you?"))
	})
	if _, err := client.Dial(testContext(t), client.Config{Addr: hello.addr, OnPush: func(client.Push) {}}); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("hello refused: %v", err)
	}
}
