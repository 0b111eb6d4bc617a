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
	PayloadBytes  int // 0: frames of 60 bytes

	// Items above 0 makes requests pairs: acquire one item of a pool of that size, then release it, both durable.
	Items   int
	Waiters int  // requests that wait meanwhile, for an item that does not come free
	Listing bool // somebody lists the whole pool meanwhile, page after page, again and again
	Killed  bool // of Restart: the end is a SIGKILL under load, not a SIGTERM
}

// Defaults of what a cell's name leaves out.
const (
	manyConns            = 18_000
	ratePerSecondDefault = 10_000

	pairsPerSecondDefault = 20_000
	itemsDefault          = 1000
	restartConns          = 64
	restartInFlight       = 16
)

var cellName = regexp.MustCompile(`^(?:(\d+)x(\d+)|open(\d+)(?:@(\d+))?|(idle|storm)(\d*))(?:/(json|crab|binary))?(?:/(\d+))?$`)

// ParseCell reads a cell's name: CxW, openC or openC@RATE, idle or idleC, storm or stormC, for C connections; then
// perhaps /json, /crab or /binary, and /BYTES of payload.
//
// Of pools there are pairsCxW, openpairsC, openpairsC@RATE, restart (after SIGTERM) and restart-killed; then perhaps
// /items=N, /waiters=N and /listing.
func ParseCell(name string) (Cell, error) {
	if parts := poolCellName.FindStringSubmatch(name); parts != nil {
		return parsePoolCell(parts)
	}
	parts := cellName.FindStringSubmatch(name)
	if parts == nil {
		return Cell{}, fmt.Errorf("bench: cell %q: want CxW, openC, openC@RATE, idle or storm, then perhaps /CODEC and /BYTES; or pairsCxW, openpairsC, openpairsC@RATE, restart or restart-killed, then perhaps /items=N, /waiters=N and /listing", name)
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(parts[i]) // digits or nothing; what is too large for an int is refused as too many
		return n
	}
	c := Cell{Name: name, Codec: cmp.Or(parts[7], "json"), PayloadBytes: number(8)}
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

var poolCellName = regexp.MustCompile(`^(?:pairs(\d+)x(\d+)|openpairs(\d+)(?:@(\d+))?|restart(-killed)?)(?:/items=(\d+))?(?:/waiters=(\d+))?(/listing)?$`)

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
		return fmt.Errorf("bench: cell %q: too few or too many", c.Name)
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

// CellNames are those of requests that nothing is kept of: what is run when none are named.
func CellNames() []string {
	return []string{
		"1x1", "64x1", "64x16", "1000x1", "10000x1", "idle", "storm",
		"open64", "open1000", "open10000", "64x16/binary/478",
	}
}
