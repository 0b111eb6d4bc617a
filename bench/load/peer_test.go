package load_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

// request is what a peer of these tests reads of a JSON line; encoding/json checks the generator's own frames so.
type request struct {
	Type       string          `json:"type"`
	QueryIndex uint64          `json:"queryIndex"`
	Payload    json.RawMessage `json:"payload"`
}

func (r request) reply() string {
	return fmt.Sprintf(`{"type":"%s","queryIndex":%d,"resultJob":%s}`+"\n", r.Type, r.QueryIndex, r.Payload)
}

// manner makes the behaviour of one connection: what is sent when the n-th request, from 0, has come. Request 0 is the
// one that completes the connect.
type manner func() func(n int, r request) string

func honest() func(int, request) string {
	return func(_ int, r request) string { return r.reply() }
}

// startPeer starts a server that speaks JSON lines, in that manner on each connection, and returns its address.
func startPeer(t *testing.T, m manner) string {
	t.Helper()
	return startServer(t, func(c net.Conn) {
		answer := m()
		lines := bufio.NewReader(c)
		for n := 0; ; n++ {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			var r request
			if err := json.Unmarshal(line, &r); err != nil {
				t.Errorf("request %q: %v", line, err)
				return
			}
			if _, err := io.WriteString(c, answer(n, r)); err != nil {
				return
			}
		}
	})
}

// startEcho starts a server that sends back what it gets.
func startEcho(t *testing.T) string {
	t.Helper()
	return startServer(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
}

// startServer serves each connection by serve, which ends when the connection does.
func startServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	// The generator's connections are closed first: cleanups run last in, first out.
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

// connected returns a generator with all its connections open.
func connected(t *testing.T, cfg load.Config) *load.Generator {
	t.Helper()
	g := newGenerator(t, cfg)
	r, err := g.Connect(cfg.Conns)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if r.Requests != int64(cfg.Conns) {
		t.Fatalf("%d of %d connections got their first reply", r.Requests, cfg.Conns)
	}
	return g
}

func newGenerator(t *testing.T, cfg load.Config) *load.Generator {
	t.Helper()
	g, err := load.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func run(t *testing.T, g *load.Generator, p load.Phase) load.Report {
	t.Helper()
	r, err := g.Run(p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
