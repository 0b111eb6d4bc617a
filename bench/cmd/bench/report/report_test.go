package report_test

import (
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/cmd/bench/report"
)

func TestReport(t *testing.T) {
	cpu := func(server string, s float64) bench.Result {
		return bench.Result{Server: server, Cell: "64x16", Requests: 1e6, Seconds: 1, CPUSecondsPerMillion: s}
	}
	failed := bench.Result{Server: "kassa", Cell: "1x1", Errors: 3, Faults: []string{"connection 1, index 10000007: no reply"}}
	disturbed := cpu("gnet-echo", 0.5)
	disturbed.Disturbed = true
	idle := bench.Result{Server: "kassa", Cell: "idle", Conns: 18_000, Seconds: 30, RSSBytesPerConn: 600}
	p99 := func(cell string, us float64) bench.Result {
		return bench.Result{Server: "kassa", Cell: cell, Requests: 1e5, Seconds: 1, P99Us: us}
	}
	var b strings.Builder
	err := report.Write(&b, []bench.Result{
		cpu("kassa", 1.0), cpu("gnet-echo", 0.5), cpu("gonet-workers", 5),
		cpu("kassa", 0.9), disturbed, cpu("gonet-workers", 5),
		cpu("kassa", 1.2), cpu("gnet-echo", 0.6), cpu("gonet-workers", 5),
		failed, idle,
		p99("openpairs64@5000/items=1000000", 1000), p99("openpairs64@5000/items=1000000/listing", 1500),
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| hit (1 of 6 runs disturbed) | 64x16 | CPU a million requests, s | 1.00 (0.900 to 1.20) | gnet-echo 0.500 (0.500 to 0.600) | 2.00 (1.80 to 2.00) | ≤ 2.2x | ≤ 1.6x |",
		"| **miss** | 64x16 | CPU a million requests, s | 1.00 (0.900 to 1.20) | gonet-workers 5.00 (5.00 to 5.00) | 0.200 (0.180 to 0.240) | ≤ 0.14x |  |",
		"| hit (1 of 6 runs disturbed) | 64x16 | throughput, krps | 1000 (1000 to 1000) | gnet-echo 1000 (1000 to 1000) | 1.00 (1.00 to 1.00) | ≥ 0.6x |  |",
		"| not measured | 10000x1 | CPU a million requests, s | – | gnet-echo – | – | ≤ 1.1x |  |",
		"| **miss**: 1 of 1 runs failed | 1x1 | p50, µs | – | gnet-echo – | – | ≤ 1.7x |  |",
		"| hit | idle | RSS a connection, B | 600 |  |  | ≤ 700 B | ≤ 400 B |",
		"| hit | openpairs64@5000/items=1000000/listing | p99, µs | 1500 | openpairs64@5000/items=1000000 1000 | 1.50 | ≤ 2x |  |",
		"A request of a cell of pools is a pair",
		"| 3, 1 disturbed |",
		"connection 1, index 10000007: no reply",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
