package load_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

func TestClosedLoop(t *testing.T) {
	for _, threads := range []int{1, 3} {
		for _, phase := range []load.Phase{{Requests: 5001}, {Requests: 5001, InFlight: 16}, {Seconds: 0.1, InFlight: 4}} {
			t.Run(fmt.Sprintf("%d threads, %+v", threads, phase), func(t *testing.T) {
				g := connected(t, load.Config{Addr: startPeer(t, honest), Conns: 10, Threads: threads})
				for range 2 {
					r := run(t, g, phase)
					if err := r.Err(); err != nil {
						t.Fatal(err)
					}
					if r.Requests == 0 || phase.Requests > 0 && r.Requests != phase.Requests {
						t.Errorf("%d requests", r.Requests)
					}
					if r.Seconds < phase.Seconds || r.CPUSeconds <= 0 || r.P50Us <= 0 || r.P50Us > r.P999Us || r.P999Us > r.MaxUs {
						t.Errorf("implausible: %+v", r)
					}
				}
			})
		}
	}
}

func TestOpenLoop(t *testing.T) {
	for _, threads := range []int{1, 3} {
		g := connected(t, load.Config{Addr: startPeer(t, honest), Conns: 10, Threads: threads})
		r := run(t, g, load.Phase{RatePerSecond: 5000, Seconds: 0.5})
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		if r.Requests < 2499 || r.Requests > 2501 || r.Seconds < 0.49 {
			t.Errorf("%d requests in %.3f s, want 2500 in 0.5", r.Requests, r.Seconds)
		}
	}
}

// Frames of all codecs and sizes go over a socket whole, also where it does not take a write at once.
func TestWiresOverSocket(t *testing.T) {
	for _, codec := range []string{"json", "crab", "binary"} {
		for _, payloadBytes := range []int{0, 478, 16 << 10, 300 << 10} {
			t.Run(fmt.Sprintf("%s, %d", codec, payloadBytes), func(t *testing.T) {
				w := load.WireConfig{Codec: codec, PayloadBytes: payloadBytes, Echo: true}
				g := connected(t, load.Config{Addr: startEcho(t), Conns: 2, Wire: w})
				if err := new(run(t, g, load.Phase{InFlight: 16, Requests: 200})).Err(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestConnectInSteps(t *testing.T) {
	g := newGenerator(t, load.Config{Addr: startPeer(t, honest), Conns: 300, Threads: 2, ConnectsOutstandingMax: 16, ConnectsPerSecond: 3000})
	if r, err := g.Connect(1); err != nil || r.Err() != nil || r.Requests != 1 {
		t.Fatalf("Connect(1): %+v, %v", r, err)
	}
	r, err := g.Connect(300)
	if err != nil || r.Err() != nil || r.Requests != 299 {
		t.Fatalf("Connect(300): %+v, %v", r, err)
	}
	if r.Seconds < 0.09 {
		t.Errorf("299 connects in %.3f s, at most 3,000 a second", r.Seconds)
	}
}

func TestServe(t *testing.T) {
	lines := func(vs ...any) io.Reader {
		var b strings.Builder
		for _, v := range vs {
			if err := json.NewEncoder(&b).Encode(v); err != nil {
				t.Fatal(err)
			}
		}
		return strings.NewReader(b.String())
	}
	in := lines(
		load.Config{Addr: startPeer(t, honest), Conns: 4},
		load.Command{Connect: 4},
		load.Command{Run: &load.Phase{Requests: 100}},
		load.Command{Run: &load.Phase{}},
	)
	var out strings.Builder
	if err := load.Serve(in, &out); err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(strings.NewReader(out.String()))
	for i, want := range []load.Answer{{Report: load.Report{Requests: 4}}, {Report: load.Report{Requests: 100}}, {Failure: "load: a phase needs one of Requests and Seconds"}} {
		var a load.Answer
		if err := answers.Decode(&a); err != nil {
			t.Fatal(err)
		}
		if a.Requests != want.Requests || a.Failure != want.Failure || a.Errors != 0 {
			t.Errorf("answer %d: %+v", i, a)
		}
	}
	if err := load.Serve(lines(load.Config{Addr: "example.org:80"}), io.Discard); err == nil {
		t.Error("a name for an address is taken")
	}
}

func TestConfigRefused(t *testing.T) {
	ok := load.Config{Addr: "127.0.0.1:1", Conns: 1}
	for what, change := range map[string]func(*load.Config){
		"no connections":    func(c *load.Config) { c.Conns = 0 },
		"more threads":      func(c *load.Config) { c.Threads = 2 },
		"IPv6":              func(c *load.Config) { c.Addr = "[::1]:1" },
		"unknown codec":     func(c *load.Config) { c.Wire.Codec = "xml" },
		"payload too short": func(c *load.Config) { c.Wire.PayloadBytes = 14 },
	} {
		cfg := ok
		change(&cfg)
		if g, err := load.New(cfg); err == nil {
			g.Close()
			t.Errorf("%s: taken", what)
		}
	}
}
