package load

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
)

// ports chooses the local addresses and ports of connections. The kernel would choose ports itself, but first among one
// half of them: once more than 14,000 are taken, it searches for most of a millisecond for each. And it would take them all
// from one address, which has 28,000.
type ports struct {
	low, count int // the range that the kernel would choose from, or a part of it
	next, step int // offset of the port handed out next, and from it to the one after that
	first      int // the offset where all loops have begun
	but        int // never this one: a connection from the server's own port would be one with itself
	sources    int // addresses to connect from, 127.0.0.1 and up; 1: the kernel's choice
}

// endpoint is where a connection comes from.
type endpoint struct {
	addr [4]byte // 0.0.0.0: the kernel's choice
	port int     // 0: the kernel's choice
}

// sourcesMax is how many addresses of 127.0.0.0/24 are used, all of which are this machine.
const sourcesMax = 250

// newPorts returns a chooser for each of so many loops; they seldom choose the same port. With countMax above 0 they go on
// to the next address after so many ports.
func newPorts(loops int, server netip.AddrPort, countMax int) ([]ports, error) {
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil || low > high {
		return nil, fmt.Errorf("load: %s is %q", file, text)
	}
	count, sources := high-low+1, 1
	if countMax > 0 && countMax < count {
		low += rand.IntN(count - countMax)
		count = countMax
	}
	if server.Addr().IsLoopback() {
		sources = sourcesMax
	}
	start := rand.IntN(count)
	all := make([]ports, loops)
	for i := range all {
		all[i] = ports{low: low, count: count, next: start + i, step: loops, first: start, but: int(server.Port()), sources: sources}
	}
	return all, nil
}

// take returns the next address and port to try: the next address once all ports of one have had their turn.
func (p *ports) take() endpoint {
	for {
		at := endpoint{port: p.low + p.next%p.count}
		if source := (p.next - p.first) / p.count % p.sources; source > 0 {
			at.addr = [4]byte{127, 0, 0, byte(1 + source)}
		}
		p.next += p.step
		if at.port != p.but {
			return at
		}
	}
}
