package report_test

import (
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/cmd/bench/report"
)

// made are results as the suite makes them of cells and peers.
func made(t *testing.T, plan bench.Plan, cells, peers string) []bench.Result {
	t.Helper()
	split := func(names string) []string {
		return strings.FieldsFunc(names, func(r rune) bool { return r == ',' })
	}
	parts, err := bench.Suite(bench.Peers(""), split(cells), split(peers))
	if err != nil {
		t.Fatal(err)
	}
	var all []bench.Result
	for _, part := range parts {
		for round := range plan.Rounds {
			for _, peer := range part.Peers {
				if _, can := peer.Wire(part.Cell); !can {
					continue
				}
				r := bench.Result{Server: peer.Name(), Cell: part.Cell.Name, Round: round + 1, Seconds: 0.9, // as of a storm or a restart
					GeneratorThreads: min(plan.Threads, part.Cell.Conns), RepeatsMax: plan.RepeatsMax}
				switch part.Cell.Shape {
				case bench.Closed, bench.Open:
					r.WarmUpSeconds = plan.WarmUp.Seconds()
					r.LoadSeconds, r.Seconds = plan.Measure.Seconds(), plan.Measure.Seconds()*1.2
				case bench.Idle:
					r.Seconds = plan.Idle.Seconds()
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// The report names the shortest command that measures the same.
func TestCommand(t *testing.T) {
	usual, longer, other := bench.SuitePlan(), bench.SuitePlan(), bench.SuitePlan()
	other.WarmUp, other.RepeatsMax, other.Threads = 3*usual.WarmUp, 0, 2
	longer.Rounds, longer.Measure, longer.Idle = 5, usual.Measure*3/2, 2*usual.Idle
	plain := made(t, usual, "", "")

	absent := made(t, usual, "", "")
	for i := range absent {
		if r := &absent[i]; r.Server == "nats" {
			*r = bench.Result{Server: r.Server, Cell: r.Cell, Round: 1, Skipped: "nats is not installed"}
		}
	}
	older := made(t, usual, "", "")
	for i := range older { // of which each took a little longer than what was asked for, some much
		r := &older[i]
		r.WarmUpSeconds, r.GeneratorThreads, r.RepeatsMax = 0, 0, 0
		if r.LoadSeconds > 0 {
			r.Seconds, r.LoadSeconds = r.LoadSeconds+0.01, 0
			if r.Cell == "pairs1000x64" {
				r.Seconds = 2.8
			}
		}
	}
	quick := strings.Join(bench.QuickCellNames(), ",")
	for _, test := range []struct {
		want    string
		results []bench.Result
	}{
		{"", plain},
		{"", absent},
		{"", older},
		{" --rounds 5 --measure 3s --idle 10s", made(t, longer, "", "")},
		{" --warmup 1.5s --repeats 0 --threads 2", made(t, other, "", "")},
		{" --quick", made(t, bench.QuickPlan(), quick, "")},
		{" --quick --peers kassa,redis", made(t, bench.QuickPlan(), quick, "kassa,redis")},
		{" --cells " + quick, made(t, usual, quick, "")},
		{" --peers redis,etcd", made(t, usual, "", "redis,etcd")},
		{" --cells pools", made(t, usual, "pools", "")},
		{" --cells loops,1x1,7x7 --peers kassa,gonet --rounds 5 --measure 3s", made(t, longer, "1x1,7x7,loops", "kassa,gonet")},
		{" --cells 10000x1 --rounds 5 --measure 3s", made(t, longer, "10000x1", "")},
		{" --cells 64x16/crab --peers kassa,gnet-echo,gone", append(made(t, usual, "64x16/crab", ""),
			bench.Result{Server: "gone", Cell: "64x16/crab", Round: 3, LoadSeconds: 2, Seconds: 2, GeneratorThreads: 1})},
		{" --cells 1x1,64x1 --peers kassa,gone", renamed(made(t, usual, "1x1,64x1", "kassa,gonet"), "gonet", "gone")},
	} {
		var b strings.Builder
		if err := report.Write(&b, test.results, ""); err != nil {
			t.Fatal(err)
		}
		if want := "\n- To measure the same: `bin/kassa bench" + test.want + "`\n"; !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%.600s", want, b.String())
		}
	}
}

func renamed(results []bench.Result, server, to string) []bench.Result {
	for i := range results {
		if results[i].Server == server {
			results[i].Server = to
		}
	}
	return results
}
