package report

import (
	"fmt"

	"github.com/kassa-go/kassa/bench"
)

// Metric is a figure of a result.
type Metric uint8

const (
	CPUPerMillion Metric = iota
	Throughput
	P50
	P99
	P999
	Max
	Memory
	MemoryPerConn
	Duration
)

var metrics = [...]struct {
	name         string
	flag         string // what flags call it
	unit         string
	moreIsBetter bool
	of           func(*bench.Result) float64
}{
	CPUPerMillion: {"CPU a million requests", "cpu", "s", false, func(r *bench.Result) float64 { return r.CPUSecondsPerMillion }},
	Throughput: {"throughput", "throughput", "krps", true,
		func(r *bench.Result) float64 { return float64(r.Requests) / r.Seconds / 1e3 }},
	P50:           {"p50", "p50", "µs", false, func(r *bench.Result) float64 { return r.P50Us }},
	P99:           {"p99", "p99", "µs", false, func(r *bench.Result) float64 { return r.P99Us }},
	P999:          {"p99.9", "p99.9", "µs", false, func(r *bench.Result) float64 { return r.P999Us }},
	Max:           {"longest", "max", "µs", false, func(r *bench.Result) float64 { return r.MaxUs }},
	Memory:        {"RSS", "rss", "MB", false, func(r *bench.Result) float64 { return float64(r.RSSBytes) / 1e6 }},
	MemoryPerConn: {"RSS a connection", "rss-per-conn", "B", false, func(r *bench.Result) float64 { return r.RSSBytesPerConn }},
	Duration:      {"time", "time", "s", false, func(r *bench.Result) float64 { return r.Seconds }},
}

func (m Metric) String() string { return metrics[m].name }

// Flag is what flags call it.
func (m Metric) Flag() string { return metrics[m].flag }

// ofGenerator says whether the metric is as much the generator's as the server's where the generator was the bottleneck: CPU
// and memory are the server's all the same.
func (m Metric) ofGenerator() bool { return m != CPUPerMillion && m != Memory && m != MemoryPerConn }

// tells says whether the metric tells something in a cell: what is fixed there, or of too few connections, does not.
func (m Metric) tells(cell string) bool {
	c, err := bench.ParseCell(cell)
	if err != nil {
		return true
	}
	switch m {
	case Throughput:
		return c.Shape == bench.Closed
	case CPUPerMillion:
		return c.Shape == bench.Closed || c.Shape == bench.Open || c.Shape == bench.Storm
	case P50, P99, P999, Max:
		return c.Shape == bench.Closed || c.Shape == bench.Open
	case MemoryPerConn:
		return c.Shape == bench.Idle
	case Duration:
		return c.Shape == bench.Storm || c.Shape == bench.Restart
	}
	return true
}

// Target is a bound on kassa's figure in a cell: on its ratio to another server's, or on the figure itself.
type Target struct {
	Cell    string
	Metric  Metric
	Beside  string  // the other server; "": the figure itself is bounded, or BesideCell is set
	AtLeast bool    // Bound is a lower one
	Bound   float64 // a ratio, or in the metric's unit
	Goal    float64 // what lies beyond the bound; 0: none

	BesideCell string // the ratio is to kassa's own figure in this other cell; "": it is not
}

// bound says what is to be kept.
func (t Target) bound(of float64) string {
	sign, unit := "≤", "x"
	if t.AtLeast {
		sign = "≥"
	}
	if t.Beside == "" && t.BesideCell == "" {
		unit = " " + metrics[t.Metric].unit
	}
	return fmt.Sprintf("%s %g%s", sign, of, unit)
}

// keeps says whether a ratio or figure keeps the bound.
func (t Target) keeps(bound, value float64) bool {
	if t.AtLeast {
		return value >= bound
	}
	return value <= bound
}

// Servers that kassa is measured beside all the time: one that only sends back what it gets, which is the bound of what a
// server on the same event loops can do, and one as Go servers are usually made.
const (
	echoServer    = "gnet-echo"
	workersServer = "gonet-workers"
)

// Targets are those of requests, where the goal beyond each is to reach the bound, gnet-echo; then those of pools.
func Targets() []Target {
	const echo, workers = echoServer, workersServer
	const postgres, batch, redis = "postgres", "postgres-batch", "redis"
	return []Target{
		{Cell: "64x16", Metric: CPUPerMillion, Beside: echo, Bound: 2.2, Goal: 1.6},
		{Cell: "64x16", Metric: Throughput, Beside: echo, AtLeast: true, Bound: 0.6},
		{Cell: "64x16", Metric: Throughput, Beside: workers, AtLeast: true, Bound: 6},
		{Cell: "64x16", Metric: CPUPerMillion, Beside: workers, Bound: 0.14},
		{Cell: "1000x1", Metric: CPUPerMillion, Beside: echo, Bound: 1.2},
		{Cell: "1000x1", Metric: CPUPerMillion, Beside: workers, Bound: 0.75},
		{Cell: "10000x1", Metric: CPUPerMillion, Beside: echo, Bound: 1.1},
		{Cell: "10000x1", Metric: CPUPerMillion, Beside: workers, Bound: 0.85},
		{Cell: "10000x1", Metric: Memory, Beside: workers, Bound: 0.2},
		{Cell: "1x1", Metric: P50, Beside: echo, Bound: 1.7},
		{Cell: "1x1", Metric: P50, Beside: workers, Bound: 1.2},
		{Cell: "idle", Metric: MemoryPerConn, Bound: 700, Goal: 400},
		{Cell: "idle", Metric: MemoryPerConn, Beside: workers, Bound: 0.06},
		{Cell: "storm", Metric: Duration, Beside: echo, Bound: 1.3},
		{Cell: "storm", Metric: Duration, Beside: workers, Bound: 1},
		{Cell: "64x16/binary/478", Metric: CPUPerMillion, Beside: echo, Bound: 1.6, Goal: 1.3},
		{Cell: "open10000", Metric: P99, Beside: echo, Bound: 1.5},
		{Cell: "open10000", Metric: P99, Beside: workers, Bound: 1},

		{Cell: "pairs64x1", Metric: Throughput, Beside: postgres, AtLeast: true, Bound: 4},
		{Cell: "pairs64x1", Metric: Throughput, Beside: redis, AtLeast: true, Bound: 1, Goal: 1.5},
		{Cell: "pairs64x1", Metric: P99, Beside: redis, Bound: 1},
		{Cell: "pairs64x16", Metric: Throughput, Beside: postgres, AtLeast: true, Bound: 20},
		{Cell: "pairs64x16", Metric: Throughput, Beside: batch, AtLeast: true, Bound: 20},
		{Cell: "pairs64x16", Metric: Throughput, Beside: redis, AtLeast: true, Bound: 3},
		{Cell: "openpairs64", Metric: P99, Bound: 10_000},
		{Cell: "openpairs64@5000/items=1000000/listing", Metric: P99, BesideCell: "openpairs64@5000/items=1000000", Bound: 2},
		{Cell: "restart/items=1000000", Metric: Duration, Bound: 3},
		{Cell: "restart-killed/items=1000000", Metric: Duration, Bound: 3},
	}
}
