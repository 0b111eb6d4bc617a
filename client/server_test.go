package client_test

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
)

// codecs are what a client can speak.
var codecs = []codec.Codec{codec.JSON{}, codec.Crab{}, codec.Binary{}}

// server is a server that does what a test tells it to, wrong things too.
type server struct {
	t     testing.TB
	addr  string
	codec codec.Codec
	serve func(*peer)
	ln    net.Listener

	mu    sync.Mutex
	peers map[*peer]bool
	wg    sync.WaitGroup
}

// peer is one connection of a server.
type peer struct {
	net.Conn
	t     testing.TB
	codec codec.Codec
	nth   int // from 1
	buf   []byte
	scan  codec.Scan
	f     codec.Frame

	mu    sync.Mutex // guards writes
	hello string     // what the client said in its hello
}

// request is a request in memory of its own.
type request struct {
	codec.Frame
	typ     string
	payload string
}

// newServer serves each connection by serve, on a Unix socket until the test ends.
func newServer(t testing.TB, c codec.Codec, serve func(*peer)) *server {
	s := &server{t: t, codec: c, serve: serve, addr: "unix://" + filepath.Join(t.TempDir(), "s")}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *server) start() {
	s.t.Helper()
	ln, err := net.Listen("unix", s.addr[len("unix://"):])
	if err != nil {
		s.t.Fatal(err)
	}
	s.ln = ln
	s.peers = make(map[*peer]bool)
	s.wg.Go(func() {
		for nth := 1; ; nth++ {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			p := &peer{Conn: nc, t: s.t, codec: s.codec, nth: nth}
			s.mu.Lock()
			s.peers[p] = true
			s.mu.Unlock()
			s.wg.Go(func() {
				defer nc.Close()
				s.serve(p)
			})
		}
	})
}

// stop ends the server and its connections; start brings it back.
func (s *server) stop() {
	s.ln.Close()
	s.mu.Lock()
	for p := range s.peers {
		p.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// frame returns the next frame; false: the connection is over. It is valid until the next call.
func (p *peer) frame() (*codec.Frame, bool) {
	for {
		frame, n, err := p.codec.Split(&p.scan, p.buf, codec.FrameBytesMaxDefault)
		if err != nil {
			p.t.Errorf("server: split: %v", err)
			return nil, false
		}
		if n > 0 {
			p.scan = codec.Scan{}
			p.buf = p.buf[n:]
			if frame == nil {
				continue
			}
			if err := p.codec.DecodeRequest(frame, &p.f); err != nil {
				p.t.Errorf("server: request: %v", err)
				return nil, false
			}
			return &p.f, true
		}
		chunk := make([]byte, 64<<10)
		n, err = p.Read(chunk)
		p.buf = append(bytes.Clone(p.buf), chunk[:n]...)
		if n == 0 && err != nil {
			return nil, false
		}
	}
}

// next returns the next request that is not a client's greeting, which it answers.
func (p *peer) next() (request, bool) {
	for {
		f, ok := p.frame()
		if !ok {
			return request{}, false
		}
		r := request{Frame: *f, typ: string(f.Type), payload: string(f.Payload)}
		r.Type, r.Payload, r.Key = bytes.Clone(f.Type), bytes.Clone(f.Payload), bytes.Clone(f.Key)
		switch r.typ {
		case "hello":
			p.hello = r.payload
			fallthrough
		case "ping":
			p.reply(r, `{"pong":1}`)
		default:
			return r, true
		}
	}
}

// drain reads on until the connection is over.
func (p *peer) drain() {
	for ok := true; ok; {
		_, ok = p.next()
	}
}

func (p *peer) send(f *codec.Frame) {
	b, err := p.codec.Append(nil, f)
	if err != nil {
		p.t.Errorf("server: append: %v", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Write(b) // to a client that has gone, maybe
}

func (p *peer) reply(r request, payload string) {
	p.send(&codec.Frame{Kind: codec.Reply, Type: []byte(r.typ), Index: r.Index, HasIndex: true, Payload: []byte(payload)})
}

func (p *peer) fail(r request, e *codec.Error) {
	p.send(&codec.Frame{Kind: codec.Failure, Type: []byte(r.typ), Index: r.Index, HasIndex: true, Err: *e})
}

func (p *peer) push(typ, event string) {
	p.send(&codec.Frame{Kind: codec.Push, Type: []byte(typ), Payload: []byte(event)})
}

// echo answers requests with their payload, but in an object, which all codecs carry as it is.
func echo(p *peer) {
	for {
		r, ok := p.next()
		if !ok {
			return
		}
		if !r.OneWay {
			p.reply(r, `{"echo":`+r.payload+`}`)
		}
	}
}

type echoed[T any] struct {
	Echo T `json:"echo"`
}

// await returns when done does.
func await(t testing.TB, done func() bool) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	over := time.After(time.Minute)
	for !done() {
		select {
		case <-poll.C:
		case <-over:
			t.Fatal("it never happens")
		}
	}
}

// testContext bounds a test that hangs.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// dial returns a client of s, closed when the test ends, with pauses that suit a test.
func dial(t testing.TB, s *server, cfg client.Config) *client.Client {
	t.Helper()
	cfg.Addr, cfg.Codec = s.addr, s.codec
	if cfg.BackoffMin == 0 {
		cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 10*time.Millisecond
	}
	c, err := client.Dial(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func each(t *testing.T, test func(*testing.T, codec.Codec)) {
	for _, c := range codecs {
		t.Run(c.Name(), func(t *testing.T) { test(t, c) })
	}
}
