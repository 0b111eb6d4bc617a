package load_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

// clerk is a pool that speaks as kassa does, and is honest but for what spoil does.
type clerk struct {
	mu    sync.Mutex
	rev   uint64
	free  []int          // items
	held  map[uint64]int // items by lease
	waits []func()       // requests that wait, the first first
	spoil func(lease, token uint64, item int) (uint64, uint64, int)

	release string // result of a release; "" is that of kassa
}

func newClerk(items int) *clerk {
	c := &clerk{rev: 1000, held: map[uint64]int{}, spoil: func(lease, token uint64, item int) (uint64, uint64, int) { return lease, token, item }}
	for i := range items {
		c.free = append(c.free, i+1)
	}
	return c
}

func (c *clerk) serve(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		var r struct {
			Type       string
			QueryIndex uint64
			Payload    struct{ Lease, Token uint64 }
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			panic(fmt.Sprintf("%s: %v", lines.Bytes(), err))
		}
		c.mu.Lock()
		if r.Type == "lease.acquire" {
			c.waits = append(c.waits, func() {
				c.rev++
				item := c.free[0]
				c.free = c.free[1:]
				c.held[c.rev] = item
				lease, token, item := c.spoil(c.rev, c.rev, item)
				fmt.Fprintf(conn, `{"type":"lease.acquire","queryIndex":%d,"resultJob":{"lease":%d,"token":%d,"expiresAt":1795274481632,"items":[{"pool":"p","id":"%s"}]},"rev":%d}`+"\n",
					r.QueryIndex, lease, token, load.ItemID(item), c.rev)
			})
		} else {
			c.rev++
			if item, ok := c.held[r.Payload.Lease]; ok {
				delete(c.held, r.Payload.Lease)
				c.free = append(c.free, item)
			}
			result := fmt.Sprintf(`"resultJob":{"released":1},"rev":%d`, c.rev)
			if c.release != "" {
				result = c.release
			}
			fmt.Fprintf(conn, `{"type":"lease.release","queryIndex":%d,%s}`+"\n", r.QueryIndex, result)
		}
		for len(c.free) > 0 && len(c.waits) > 0 {
			c.waits[0]()
			c.waits = c.waits[1:]
		}
		c.mu.Unlock()
	}
}

func pairs(t *testing.T, c *clerk, conns, threads int) *load.Generator {
	t.Helper()
	wire := load.WireConfig{Pairs: &load.PairsConfig{Server: "kassa", Items: 10}}
	return newGenerator(t, load.Config{Addr: startServer(t, c.serve), Wire: wire, Conns: conns, Threads: threads, TimeoutMs: 2000})
}

func TestPairs(t *testing.T) {
	for _, threads := range []int{1, 2} {
		for _, phase := range []load.Phase{{Requests: 501}, {Requests: 501, InFlight: 16}, {RatePerSecond: 2000, Requests: 300}} {
			g := pairs(t, newClerk(10), 4, threads)
			if r, err := g.Connect(4); err != nil || r.Err() != nil || r.Requests != 4 {
				t.Fatalf("connect: %+v, %v", r, err)
			}
			if r := run(t, g, phase); r.Err() != nil || r.Requests != phase.Requests || r.P50Us <= 0 {
				t.Errorf("%d threads, %+v: %+v", threads, phase, r)
			}
		}
	}
}

// What must not happen to a pool is noticed, whatever else is in order.
func TestPairsFaults(t *testing.T) {
	type spoil = func(lease, token uint64, item int) (uint64, uint64, int)
	for what, test := range map[string]struct {
		spoil   spoil
		release string
		want    string
	}{
		"one item for all":       {spoil: func(l, t uint64, _ int) (uint64, uint64, int) { return l, t, 3 }, want: "item 3"},
		"a token that falls":     {spoil: func(l, t uint64, i int) (uint64, uint64, int) { return l, 2000 - t, i }, want: "after"},
		"an item there is not":   {spoil: func(l, t uint64, _ int) (uint64, uint64, int) { return l, t, 11 }, want: "of a pool of 10"},
		"a token not given yet":  {spoil: func(l, t uint64, i int) (uint64, uint64, int) { return l, t + 1000, i }, want: "rev did not rise"},
		"a stale token":          {release: `"err":"lease 5 is over","code":"stale_token"`, want: "stale_token"},
		"nothing released":       {release: `"resultJob":{"released":0},"rev":9`, want: "released"},
		"no rev":                 {release: `"resultJob":{"released":1}`, want: "released"},
		"a rev before the grant": {release: `"resultJob":{"released":1},"rev":0`, want: "rev did not rise"},
	} {
		t.Run(what, func(t *testing.T) {
			c := newClerk(10)
			if test.spoil != nil {
				c.spoil = test.spoil
			}
			c.release = test.release
			g := pairs(t, c, 1, 1)
			r, err := g.Connect(1)
			if err == nil && r.Err() == nil {
				r, err = g.Run(load.Phase{InFlight: 16, Requests: 100})
			}
			if err != nil || r.Err() == nil || !strings.Contains(r.Err().Error(), test.want) {
				t.Errorf("%+v, %v; want a fault with %q", r, err, test.want)
			}
		})
	}
}

// A server that says nothing any more in the middle of a pair leaves it missing.
func TestPairsSilence(t *testing.T) {
	addr := startServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	wire := load.WireConfig{Pairs: &load.PairsConfig{Server: "redis", Items: 10}}
	g := newGenerator(t, load.Config{Addr: addr, Wire: wire, Conns: 1, TimeoutMs: 50})
	if r, err := g.Connect(1); err != nil || r.Err() == nil || r.Requests != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// The beginnings of the others' replies, byte by byte, and what they must not be.
func TestPairsReplies(t *testing.T) {
	const items = 10
	redisGrant := func(item int, token string) string {
		return "*2\r\n$12\r\n" + load.ItemID(item) + "\r\n:" + token + "\r\n"
	}
	for what, test := range map[string]struct {
		server string
		sends  []string // the answers, each after another request
		want   string   // part of the fault; empty: one pair is done
	}{
		"redis, a pair":              {"redis", []string{redisGrant(7, "12") + ":1\r\n"}, ""},
		"redis, nothing free at 1st": {"redis", []string{"$-1\r\n", redisGrant(7, "12") + ":1\r\n"}, ""},
		"redis, not released":        {"redis", []string{redisGrant(7, "12") + ":0\r\n"}, ":0"},
		"redis, an error":            {"redis", []string{"-OOM out of memory\r\n"}, "OOM"},
		"redis, a strange item":      {"redis", []string{redisGrant(11, "12")}, "of a pool of 10"},
		"postgres, an error":         {"postgres", []string{"R\x00\x00\x00\x08\x00\x00\x00\x00" + "E\x00\x00\x00\x09Mfull\x00"}, "full"},
		"postgres, a password":       {"postgres", []string{"R\x00\x00\x00\x08\x00\x00\x00\x03"}, "password"},
		"postgres, ready for naught": {"postgres", []string{strings.Repeat("Z\x00\x00\x00\x05I", 3)}, "not for what was asked"},
		"postgres, a failure":        {"postgres", []string{"Z\x00\x00\x00\x05E"}, "failed"},
	} {
		t.Run(what, func(t *testing.T) {
			addr := startServer(t, func(c net.Conn) {
				for _, answer := range test.sends {
					_, _ = c.Read(make([]byte, 64<<10))
					for i := range len(answer) {
						_, _ = io.WriteString(c, answer[i:i+1])
					}
				}
				_, _ = io.Copy(io.Discard, c)
			})
			wire := load.WireConfig{Pairs: &load.PairsConfig{Server: test.server, Items: items}}
			g := newGenerator(t, load.Config{Addr: addr, Wire: wire, Conns: 1, TimeoutMs: 2000})
			r, err := g.Connect(1)
			switch {
			case err != nil:
				t.Fatal(err)
			case test.want == "" && (r.Err() != nil || r.Requests != 1):
				t.Errorf("%+v", r)
			case test.want != "" && (r.Err() == nil || !strings.Contains(r.Err().Error(), test.want)):
				t.Errorf("%+v; want a fault with %q", r, test.want)
			}
		})
	}
}

// A pool whose items do not come back leaves pairs missing, however often the server says that nothing is free.
func TestPairsRunDry(t *testing.T) {
	addr := startServer(t, func(c net.Conn) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			_, _ = io.WriteString(c, "$-1\r\n")
		}
	})
	wire := load.WireConfig{Pairs: &load.PairsConfig{Server: "redis", Items: 10}}
	g := newGenerator(t, load.Config{Addr: addr, Wire: wire, Conns: 1, TimeoutMs: 100})
	if r, err := g.Connect(1); err != nil || r.Err() == nil || r.Requests != 0 || r.Again == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
