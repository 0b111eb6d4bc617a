package load

import (
	"fmt"
	"math/rand/v2"
	"os"
)

// ports chooses the local ports of connections. The kernel would do so itself, but first among one half of them: once
// more than 14,000 are taken, it searches for most of a millisecond for each.
type ports struct {
	low, count int // the range that the kernel would choose from
	next, step int // offset of the port handed out next, and from it to the one after that
	but        int // never this one: a connection from the server's own port would be one with itself
}

// newPorts returns a chooser for each of so many loops; they seldom choose the same port.
func newPorts(loops int, but uint16) ([]ports, error) {
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil || low > high {
		return nil, fmt.Errorf("load: %s is %q", file, text)
	}
	count := high - low + 1
	start := rand.IntN(count)
	all := make([]ports, loops)
	for i := range all {
		all[i] = ports{low: low, count: count, next: start + i, step: loops, but: int(but)}
	}
	return all, nil
}

// take returns the next port to try.
func (p *ports) take() int {
	for {
		port := p.low + p.next%p.count
		p.next += p.step
		if port != p.but {
			return port
		}
	}
}
