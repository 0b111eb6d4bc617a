package load_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

// Connections for which one address has no ports come from the next ones.
func TestConnectionsOverAddresses(t *testing.T) {
	var mu sync.Mutex
	from := map[string]int{}
	addr := startServer(t, func(c net.Conn) {
		mu.Lock()
		from[c.RemoteAddr().(*net.TCPAddr).IP.String()]++
		mu.Unlock()
		_, _ = io.Copy(c, c)
	})
	g := connected(t, load.Config{Addr: addr, Conns: 100, Threads: 2, Wire: load.WireConfig{Echo: true}, PortsPerAddress: 40})
	if err := new(run(t, g, load.Phase{InFlight: 2, Requests: 1000})).Err(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	// A port that somebody else has is left out: a few more addresses may be needed.
	if len(from) < 3 || from["127.0.0.1"] == 0 || from["127.0.0.1"] > 40 || from["127.0.0.2"] == 0 || from["127.0.0.2"] > 40 || from["127.0.0.3"] == 0 {
		t.Errorf("connections from %v", from)
	}
}

// More connections than the process may have files are refused before the first, with what to do.
func TestTooFewDescriptors(t *testing.T) {
	g, err := load.New(load.Config{Addr: "127.0.0.1:1", Conns: 1 << 40})
	if err == nil {
		g.Close()
		t.Fatal("taken")
	}
	for _, want := range []string{"1099511627776 connections", "ulimit -n 1099511627840", "LimitNOFILE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// A generator whose thread never rests says so, and one that waits most of the time does not.
func TestBusiestCores(t *testing.T) {
	g := connected(t, load.Config{Addr: startEcho(t), Conns: 2, Wire: load.WireConfig{Echo: true}})
	slow := run(t, g, load.Phase{RatePerSecond: 100, Seconds: 0.3})
	fast := run(t, g, load.Phase{InFlight: 64, Seconds: 0.3})
	if slow.BusiestCores <= 0 || slow.BusiestCores > 0.5 || fast.BusiestCores <= slow.BusiestCores || fast.BusiestCores > 1.01 {
		t.Errorf("%.3f of a core at 100 requests a second, %.3f at as many as it can", slow.BusiestCores, fast.BusiestCores)
	}
	if cores := fast.CPUSeconds / fast.Seconds; cores < fast.BusiestCores/2 {
		t.Errorf("the process used %.3f cores, its thread %.3f", cores, fast.BusiestCores)
	}
}
