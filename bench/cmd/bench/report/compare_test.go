package report_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/cmd/bench/report"
)

// draws are figures of rounds around one, whose logarithms spread normally.
func draws(random *rand.Rand, n int, around, spread float64) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = around * math.Exp(random.NormFloat64()*spread)
	}
	return all
}

// Two measurements of the same are called noise, but for about one in twenty; and a change of 30 % is found.
func TestNewChange(t *testing.T) {
	const seed, times, spread = 20261122, 4000, 0.05
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, test := range []struct {
		rounds               int
		alarmsMin, alarmsMax float64 // with few rounds, Welch's test is a little on the safe side
		foundMin             float64
	}{
		{3, 0.02, 0.06, 0.9},
		{5, 0.03, 0.06, 0.999},
		{10, 0.04, 0.06, 1},
	} {
		alarms, found, wrong := 0.0, 0.0, 0
		for range times {
			a, b := draws(random, test.rounds, 100, spread), draws(random, test.rounds, 100, spread)
			if report.NewChange(report.P50, a, b).Verdict != report.Noise {
				alarms += 1. / times
			}
			switch report.NewChange(report.P50, a, draws(random, test.rounds, 130, spread)).Verdict {
			case report.Worse:
				found += 1. / times
			case report.Better:
				wrong++
			}
		}
		t.Logf("%d rounds: %.3f false alarms, %.4f of changes found", test.rounds, alarms, found)
		if alarms < test.alarmsMin || alarms > test.alarmsMax || found < test.foundMin-1e-9 || wrong > 0 {
			t.Errorf("%d rounds: %.3f false alarms, %.4f found, %d in the wrong direction", test.rounds, alarms, found, wrong)
		}
	}
}

// The interval of an estimate holds the true figure 95 times in 100, whatever the number of rounds.
func TestEstimate(t *testing.T) {
	const seed, times = 20261123, 4000
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, rounds := range []int{2, 3, 10} {
		held := 0.0
		for range times {
			if e := report.NewEstimate(draws(random, rounds, 40, 0.1)); e.Lo <= 40 && 40 <= e.Hi {
				held += 1. / times
			}
		}
		if held < 0.94 || held > 0.96 {
			t.Errorf("%d rounds: the interval holds the figure in %.3f of all cases", rounds, held)
		}
	}
	if e := report.NewEstimate([]float64{10, 1000}); math.Abs(e.Mean-100) > 1e-9 || e.Rounds != 2 {
		t.Errorf("estimate %+v of 10 and 1000, want 100 of two", e)
	}
	if e := report.NewEstimate([]float64{7, 0}); math.Abs(e.Mean-7) > 1e-9 || e.Rounds != 1 || !math.IsInf(e.ErrorPercent(), 1) {
		t.Errorf("estimate %+v of a single round, with an error of %v %%", e, e.ErrorPercent())
	}
	if e := report.NewEstimate(nil); e.Rounds != 0 || e.Mean != 0 {
		t.Errorf("estimate %+v of nothing", e)
	}
}

func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		name     string
		metric   report.Metric
		old, new []float64
		want     report.Verdict
	}{
		{"more throughput", report.Throughput, []float64{100, 101, 102}, []float64{130, 131, 133}, report.Better},
		{"less throughput", report.Throughput, []float64{130, 131, 133}, []float64{100, 101, 102}, report.Worse},
		{"more CPU", report.CPUPerMillion, []float64{1, 1.01, 1.02}, []float64{1.3, 1.31, 1.33}, report.Worse},
		{"less memory", report.Memory, []float64{20, 20.1, 20.2}, []float64{15, 15.1, 15.2}, report.Better},
		{"one round", report.P99, []float64{100}, []float64{200, 201, 202}, report.TooFew},
		{"no round", report.P99, nil, []float64{200, 201, 202}, report.TooFew},
		{"all rounds equal", report.P50, []float64{5, 5, 5}, []float64{5, 5, 5}, report.Noise},
		{"all rounds of a side equal", report.P50, []float64{5, 5, 5}, []float64{7, 7, 7}, report.Worse},
		{"sure, but less than can be told", report.P50, []float64{5, 5, 5}, []float64{5.01, 5.01, 5.01}, report.Noise},
		{"wide", report.P99, []float64{100, 300, 180}, []float64{150, 420, 200}, report.Noise},
	} {
		t.Run(test.name, func(t *testing.T) {
			if c := report.NewChange(test.metric, test.old, test.new); c.Verdict != test.want {
				t.Errorf("%s, p = %.3f; want %s", c.Verdict, c.P, test.want)
			}
		})
	}
}

// A machine that was slower in the second measurement is seen at the servers that did not change, and cancels out when
// figures are relative to one of them.
func TestCompare(t *testing.T) {
	before, after := invented(5), invented(6)
	for i := range after {
		after[i].Requests = int64(float64(after[i].Requests) * 0.7) // the machine
		if after[i].Server == "kassa" {
			after[i].Requests = int64(float64(after[i].Requests) * 1.5) // its new version
		}
		after[i].Commit = "ba9876543210"
	}
	after = append(after, bench.Result{Server: "new", Cell: "1x1", Round: 1, Requests: 1, Seconds: 5})
	of := []report.Metric{report.Throughput, report.P50}
	find := func(c *report.Comparison, cell, server string) report.Change {
		for _, change := range c.Changes {
			if change.Cell == cell && change.Server == server && change.Metric == report.Throughput {
				return change
			}
		}
		t.Fatalf("no %s %s", cell, server)
		return report.Change{}
	}
	plain, err := report.Compare(before, after, of, "")
	if err != nil {
		t.Fatal(err)
	}
	if c := find(plain, "64x1", "gnet-echo"); c.Verdict != report.Worse || math.Abs(c.Ratio-0.7) > 0.1 {
		t.Errorf("gnet-echo: %+v", c)
	}
	drifts := plain.Drifts()
	if len(drifts) != 4 || drifts[0].Server != "gnet-echo" || math.Abs(drifts[0].Mean-0.7) > 0.05 || drifts[0].Cells < 10 {
		t.Errorf("drifts %+v", drifts)
	}
	relative, err := report.Compare(before, after, of, "gnet-echo")
	if err != nil {
		t.Fatal(err)
	}
	if c := find(relative, "64x1", "kassa"); math.Abs(c.Ratio-1.5) > 0.2 || c.Old.Rounds != 3 {
		t.Errorf("kassa, relative to gnet-echo: %+v", c)
	}
	for _, c := range relative.Changes {
		if c.Server == "gnet-echo" || strings.HasPrefix(c.Cell, "pairs") {
			t.Errorf("%s %s is relative to gnet-echo", c.Cell, c.Server)
		}
	}
	var b strings.Builder
	if err := plain.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"kassa's commit: 0123456789ab, then ba9876543210", "0 cells of a server are only in the old results, 1 only in the new ones",
		"throughput, krps (more is better)", "p50, µs (less is better)", "gnet-echo, throughput: -30", "by chance",
		"With 3 rounds",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestCompareErrors(t *testing.T) {
	before := []bench.Result{{Server: "kassa", Cell: "1x1", Requests: 1, Seconds: 1}}
	after := []bench.Result{{Server: "kassa", Cell: "64x1", Requests: 1, Seconds: 1},
		{Server: "redis", Cell: "1x1", Requests: 1, Seconds: 1}}
	if _, err := report.Compare(before, after, report.ComparedMetrics(), ""); !errors.Is(err, report.ErrNothingInCommon) ||
		!strings.Contains(err.Error(), "64x1, 1x1 of kassa, redis") {
		t.Errorf("error %v", err)
	}
	if _, err := report.Compare(before, before, report.ComparedMetrics(), "gonet"); err == nil ||
		!errors.Is(err, report.ErrNotInBoth) || !strings.Contains(err.Error(), `"gonet"`) {
		t.Errorf("error %v", err)
	}
	if _, err := report.ParseMetric("speed"); err == nil || !strings.Contains(err.Error(), "throughput") {
		t.Errorf("error %v", err)
	}
	failed := []bench.Result{{Server: "kassa", Cell: "1x1", Failure: "x"}}
	c, err := report.Compare(before, failed, report.ComparedMetrics(), "")
	if err != nil || len(c.Changes) != 0 || len(c.LeftOut) != 1 || !strings.Contains(c.LeftOut[0], "1x1 kassa") {
		t.Errorf("of failed runs: %+v, %v", c, err)
	}
	if err := c.Write(&strings.Builder{}); err != nil {
		t.Error(err)
	}
}
