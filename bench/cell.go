package bench

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"

	"github.com/kassa-go/kassa/bench/load"
)

// Shape is what kind of load a cell puts on a server.
type Shape uint8

const (
	Closed  Shape = iota // so many requests in flight on each connection
	Open                 // a fixed rate over all connections
	Idle                 // connections that have each had one reply, and are silent
	Storm                // connects as fast as they go, each with one request
	Restart              // the end of a server that has pools, and a new start, until it has answered
)

// Cell is one kind of load.
type Cell struct {
	Name          string
	Shape         Shape
	Conns         int
	InFlight      int // of Closed: requests on each connection
	RatePerSecond int // of Open: requests over all connections
	Codec         string
	PayloadBytes  int    // 0: frames of 60 bytes
	Work          string // what a request makes the server do: see Works; empty: nothing
	Loops         int    // event loops of servers that have them; 0: their default

	// Items above 0 makes requests pairs: acquire one item of a pool of that size, then release it, both durable.
	Items   int
	Waiters int  // requests that wait meanwhile, for an item that does not come free
	Listing bool // somebody lists the whole pool meanwhile, page after page, again and again
	Killed  bool // of Restart: the end is a SIGKILL under load, not a SIGTERM
}

// Works are what requests can make a server do, beside nothing: one of a type at a time, so that each type is a queue of
// its own. A sleep takes 1 ms and no CPU; cpu is the SHA-256 of 16 KiB.
const (
	WorkSleep = "sleep"
	WorkCPU   = "cpu"
)

// Defaults of what a cell's name leaves out.
const (
	manyConns            = 18_000
	ratePerSecondDefault = 10_000

	pairsPerSecondDefault = 20_000
	itemsDefault          = 1000
	restartConns          = 64
	restartInFlight       = 16
)

var cellName = regexp.MustCompile(`^(?:(\d+)x(\d+)|open(\d+)(?:@([1-9]\d*))?|(idle|storm)([1-9]\d*)?)(?:/(json|crab|binary))?(?:/(\d+))?(?:/work=(sleep|cpu))?(?:/loops=([1-9]\d?))?$`)

// ParseCell reads a cell's name: CxW, openC or openC@RATE, idle or idleC, storm or stormC, for C connections; then
// perhaps /json, /crab or /binary, /BYTES of payload, /work=sleep or /work=cpu, and /loops=N.
//
// Of pools there are pairsCxW, openpairsC, openpairsC@RATE, restart (after SIGTERM) and restart-killed; then perhaps
// /items=N, /waiters=N and /listing.
func ParseCell(name string) (Cell, error) {
	if parts := poolCellName.FindStringSubmatch(name); parts != nil {
		return parsePoolCell(parts)
	}
	parts := cellName.FindStringSubmatch(name)
	if parts == nil {
		return Cell{}, fmt.Errorf("bench: cell %q: want CxW, openC, openC@RATE, idle or storm, then perhaps /CODEC, /BYTES, /work=WORK and /loops=N; or pairsCxW, openpairsC, openpairsC@RATE, restart or restart-killed, then perhaps /items=N, /waiters=N and /listing", name)
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(parts[i]) // digits or nothing; what is too large for an int is refused as too many
		return n
	}
	c := Cell{Name: name, Codec: cmp.Or(parts[7], "json"), PayloadBytes: number(8), Work: parts[9], Loops: number(10)}
	switch {
	case parts[1] != "":
		c.Shape, c.Conns, c.InFlight = Closed, number(1), number(2)
	case parts[3] != "":
		c.Shape, c.Conns, c.RatePerSecond = Open, number(3), cmp.Or(number(4), ratePerSecondDefault)
	default:
		c.Shape, c.Conns = Idle, cmp.Or(number(6), manyConns)
		if parts[5] == "storm" {
			c.Shape = Storm
		}
	}
	return c, c.validate(load.WireConfig{Codec: c.Codec, PayloadBytes: c.PayloadBytes})
}

var poolCellName = regexp.MustCompile(`^(?:pairs(\d+)x(\d+)|openpairs(\d+)(?:@([1-9]\d*))?|restart(-killed)?)(?:/items=(\d+))?(?:/waiters=(\d+))?(/listing)?$`)

func parsePoolCell(parts []string) (Cell, error) {
	number := func(i int) int {
		n, _ := strconv.Atoi(parts[i]) // as in ParseCell
		return n
	}
	c := Cell{Name: parts[0], Codec: "json", Items: itemsDefault, Waiters: number(7), Listing: parts[8] != ""}
	if parts[6] != "" {
		c.Items = number(6)
	}
	switch {
	case parts[1] != "":
		c.Shape, c.Conns, c.InFlight = Closed, number(1), number(2)
	case parts[3] != "":
		c.Shape, c.Conns, c.RatePerSecond = Open, number(3), cmp.Or(number(4), pairsPerSecondDefault)
	default:
		c.Shape, c.Conns, c.InFlight, c.Killed = Restart, restartConns, restartInFlight, parts[5] != ""
	}
	if c.Waiters > 0 && c.Items < 2 {
		return Cell{}, fmt.Errorf("bench: cell %q: the waiters wait for an item that is held, so another one is needed", c.Name)
	}
	return c, c.validate(load.WireConfig{Pairs: &load.PairsConfig{Server: Subject, Items: c.Items}})
}

func (c *Cell) validate(w load.WireConfig) error {
	if c.Conns < 1 || c.Conns > 1<<20 || c.Shape == Closed && (c.InFlight < 1 || c.InFlight > 1<<16) || c.Waiters > 1<<20 {
		return fmt.Errorf("bench: cell %q: 1 to 1,048,576 connections and waiters, and 1 to 65,536 requests in flight on each, can be had", c.Name)
	}
	if _, err := load.NewWire(w); err != nil {
		return fmt.Errorf("bench: cell %q: %w", c.Name, err)
	}
	return nil
}

// PoolCellNames are the cells of durable pools.
func PoolCellNames() []string {
	return []string{
		"pairs64x1", "pairs64x16", "openpairs64",
		"pairs64x1/items=1000000", "pairs64x1/waiters=100000", "pairs1000x64",
		"openpairs64@5000/items=1000000", "openpairs64@5000/items=1000000/listing",
		"restart/items=1000000", "restart-killed/items=1000000",
	}
}
