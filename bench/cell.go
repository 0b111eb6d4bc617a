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
	Closed Shape = iota // so many requests in flight on each connection
	Open                // a fixed rate over all connections
	Idle                // connections that have each had one reply, and are silent
	Storm               // connects as fast as they go, each with one request
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
}

// Defaults of what a cell's name leaves out.
const (
	manyConns            = 18_000
	ratePerSecondDefault = 10_000
)

var cellName = regexp.MustCompile(`^(?:(\d+)x(\d+)|open(\d+)(?:@(\d+))?|(idle|storm)(\d*))(?:/(json|crab|binary))?(?:/(\d+))?$`)

// ParseCell reads a cell's name: CxW, openC or openC@RATE, idle or idleC, storm or stormC, for C connections; then
// perhaps /json, /crab or /binary, and /BYTES of payload.
func ParseCell(name string) (Cell, error) {
	parts := cellName.FindStringSubmatch(name)
	if parts == nil {
		return Cell{}, fmt.Errorf("bench: cell %q: want CxW, openC, openC@RATE, idle or storm, then perhaps /CODEC and /BYTES", name)
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
	if c.Conns < 1 || c.Conns > 1<<20 || c.Shape == Closed && (c.InFlight < 1 || c.InFlight > 1<<16) {
		return Cell{}, fmt.Errorf("bench: cell %q: too few or too many", name)
	}
	if _, err := load.NewWire(load.WireConfig{Codec: c.Codec, PayloadBytes: c.PayloadBytes}); err != nil {
		return Cell{}, fmt.Errorf("bench: cell %q: %w", name, err)
	}
	return c, nil
}

// CellNames are those that are run when none are named.
func CellNames() []string {
	return []string{
		"1x1", "64x1", "64x16", "1000x1", "10000x1", "idle", "storm",
		"open64", "open1000", "open10000", "64x16/binary/478",
	}
}
