package load

import (
	"net/netip"
	"testing"
)

// No two connections are given the same address and port, over as many addresses as it takes, and none the server's own.
func TestPortsOverAddresses(t *testing.T) {
	server := netip.MustParseAddrPort("127.0.0.1:40000")
	for _, loops := range []int{1, 3} {
		all, err := newPorts(loops, server, 0)
		if err != nil {
			t.Fatal(err)
		}
		const conns = 100_000
		taken, of := map[endpoint]bool{}, map[[4]byte]int{}
		for i := range conns {
			at := all[i%loops].take()
			if taken[at] || at.port == int(server.Port()) || at.port < all[0].low || at.port >= all[0].low+all[0].count {
				t.Fatalf("%d loops, connection %d: %+v, taken %v", loops, i, at, taken[at])
			}
			taken[at] = true
			of[at.addr]++
		}
		if want := (conns + all[0].count - 1) / all[0].count; len(of) < want || len(of) > want+1 {
			t.Errorf("%d loops: ports of %d addresses, want %d: %v", loops, len(of), want, of)
		}
	}
	elsewhere, err := newPorts(1, netip.MustParseAddrPort("192.0.2.1:1"), 10)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if at := elsewhere[0].take(); at.addr != [4]byte{} {
			t.Fatalf("to another machine from %+v", at)
		}
	}
}
