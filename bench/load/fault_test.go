package load_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/bench/load"
)

// faultAt is the request, counted on each connection, that the peers of TestFaults treat wrongly.
const faultAt = 8

// Every wrong, missing or doubled reply is a fault that names the connection and the index.
func TestFaults(t *testing.T) {
	// at answers honestly but for one request.
	at := func(wrong func(request) string) manner {
		return func() func(int, request) string {
			return func(n int, r request) string {
				if n == faultAt {
					return wrong(r)
				}
				return r.reply()
			}
		}
	}
	// swapped holds request faultAt back until the one behind it by distance has come, and gives each the other's index.
	swapped := func(distance int) manner {
		return func() func(int, request) string {
			var held request
			return func(n int, r request) string {
				switch n {
				case faultAt:
					held = r
					return ""
				case faultAt + distance:
					held.QueryIndex, r.QueryIndex = r.QueryIndex, held.QueryIndex
					return held.reply() + r.reply()
				}
				return r.reply()
			}
		}
	}
	const index = load.IndexMin + faultAt
	tests := []struct {
		name  string
		peer  manner
		index uint64
		what  string
	}{
		{"dropped", at(func(request) string { return "" }), index, "no reply"},
		{"doubled", at(func(r request) string { return r.reply() + r.reply() }), index, "doubled"},
		{"indexes swapped, other type", swapped(1), index + 1, "want"},
		{"indexes swapped, same type", swapped(load.TypeCount), index + load.TypeCount, "want"},
		{"other type", at(func(r request) string { r.Type = "t1"; return r.reply() }), index, "want"},
		{"no index of ours", at(func(r request) string { r.QueryIndex = 1; return r.reply() }), 0, "queryIndex"},
		{"never asked for", at(func(r request) string { r.QueryIndex += 4000; return r.reply() }), index + 4000, "want"},
		{"short error", at(func(r request) string {
			return fmt.Sprintf(`{"type":"%s","queryIndex":%d,"err":"","code":"x"}`+"\n", r.Type, r.QueryIndex)
		}), index, "code"},
		{"long error", at(func(r request) string {
			return fmt.Sprintf(`{"type":"%s","queryIndex":%d,"err":"queue of %[1]s is full","code":"queue_full"}`+"\n", r.Type, r.QueryIndex)
		}), index, "queue_full"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			const conns = 3
			g := connected(t, load.Config{Addr: startPeer(t, test.peer), Conns: conns, TimeoutMs: 1000})
			// So many in flight that each connection is sent the request in question at once, and the one it is swapped with.
			r := run(t, g, load.Phase{InFlight: faultAt + load.TypeCount, Requests: 300})
			if r.Err() == nil {
				t.Fatal("the phase went well")
			}
			if r.Requests+r.Errors > 300+conns {
				t.Errorf("%d requests right and %d wrong, of 300", r.Requests, r.Errors)
			}
			for c := range uint32(conns) {
				if !hasFault(r, c, test.index, test.what) {
					t.Errorf("no fault on connection %d, index %d, with %q: %v", c, test.index, test.what, r.Faults)
				}
			}
		})
	}
}

// hasFault looks for a fault; index 0 stands for any.
func hasFault(r load.Report, conn uint32, index uint64, what string) bool {
	for _, f := range r.Faults {
		if f.Conn == conn && (f.Index == index || index == 0) && strings.Contains(f.What, what) {
			return true
		}
	}
	return false
}

// A server that stalls once cannot hide it from an open loop, as it can from a closed one: there, the requests that
// would have waited are never made.
func TestStall(t *testing.T) {
	const stall = 400 * time.Millisecond
	stallsOnce := func() func(int, request) string {
		return func(n int, r request) string {
			if n == 100 {
				<-time.After(stall)
			}
			return r.reply()
		}
	}
	tests := []struct {
		name   string
		phase  load.Phase
		hidden bool
	}{
		{"closed loop", load.Phase{Requests: 4000}, true},
		{"open loop", load.Phase{RatePerSecond: 4000, Requests: 4000}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := connected(t, load.Config{Addr: startPeer(t, stallsOnce), Conns: 4})
			r := run(t, g, test.phase)
			if err := r.Err(); err != nil {
				t.Fatal(err)
			}
			t.Logf("p50 %.0f p99 %.0f max %.0f late %.0f", r.P50Us, r.P99Us, r.MaxUs, r.LateP99Us)
			stallUs := float64(stall / time.Microsecond)
			if hidden := r.P99Us < stallUs/2; hidden != test.hidden {
				t.Errorf("p99 is %.0f µs, max %.0f", r.P99Us, r.MaxUs)
			}
			if r.MaxUs < stallUs {
				t.Errorf("max is %.0f µs, the stall took %.0f", r.MaxUs, stallUs)
			}
		})
	}
}

func TestServerCloses(t *testing.T) {
	addr := startServer(t, func(c net.Conn) {
		buf := make([]byte, 60)
		n, _ := c.Read(buf) // an echo of the request that completes the connect, then the end
		_, _ = c.Write(buf[:n])
		_, _ = c.Read(buf)
	})
	g := connected(t, load.Config{Addr: addr, Conns: 2, Wire: load.WireConfig{Echo: true}})
	r := run(t, g, load.Phase{InFlight: 3, Requests: 100})
	if r.Requests != 0 || r.Errors != 6 {
		t.Errorf("%d requests and %d errors, want 0 and the 3 under way on each of 2 connections", r.Requests, r.Errors)
	}
	if _, err := g.Run(load.Phase{Requests: 1}); err == nil {
		t.Error("a phase without a connection goes well")
	}
}

func TestConnectRefused(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	r, err := newGenerator(t, load.Config{Addr: ln.Addr().String(), Conns: 5}).Connect(5)
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 0 || r.Errors != 5 || !hasFault(r, 4, 0, "refused") {
		t.Errorf("5 refused: %+v", r)
	}
}

func TestSilentServer(t *testing.T) {
	addr := startServer(t, func(c net.Conn) {
		buf := make([]byte, 60)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	})
	r, err := newGenerator(t, load.Config{Addr: addr, Conns: 5, TimeoutMs: 100}).Connect(5)
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 0 || r.Errors != 5 || !hasFault(r, 2, load.IndexMin, "no reply") {
		t.Errorf("5 without reply: %+v", r)
	}
}
