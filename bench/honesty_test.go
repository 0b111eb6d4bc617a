package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/bench"
)

// results carries out a plan of one round, with this test program as generator.
func results(t *testing.T, plan bench.Plan) map[string]bench.Result {
	t.Helper()
	plan.Root, plan.Generator, plan.Rounds = ".", []string{os.Args[0], "load"}, 1
	all := map[string]bench.Result{}
	if err := plan.Run(t.Context(), func(r bench.Result) error {
		all[r.Cell+" "+r.Server] = r
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// A server that drops, doubles or mixes up replies has no figures that count, and the fault is told.
func TestLyingServers(t *testing.T) {
	faults := map[string]string{
		"drops":   "no reply",
		"swaps":   "want",
		"doubles": "doubled",
		"another": "want",
	}
	var peers []bench.Peer
	for lie := range faults {
		peers = append(peers, testPeer{lie, lie, false})
	}
	for _, test := range []struct {
		cell      string
		warmUp    time.Duration
		measuring bool // when the fault comes
	}{
		{"4x16", 200 * time.Millisecond, false}, // all go out at once
		{"open4@4000", time.Millisecond, true},  // which is no time for so many requests
	} {
		plan := bench.Plan{
			WarmUp: test.warmUp, Measure: 400 * time.Millisecond,
			Parts: []bench.Part{{Cell: parsed(t, test.cell), Peers: []bench.Peer{testPeer{"honest", "honest", false}}}},
		}
		if r := results(t, plan)[test.cell+" honest"]; !r.OK() {
			t.Errorf("%s: an honest server: %s %q", test.cell, r.Failure, r.Faults)
		}
		plan.Parts[0].Peers, plan.Timeout = peers, time.Second
		got := results(t, plan)
		for lie, fault := range faults {
			r := got[test.cell+" "+lie]
			told := strings.Join(r.Faults, "\n")
			if r.OK() || !r.Failed() || r.Errors == 0 || !strings.Contains(told, fault) || !strings.Contains(told, "connection ") ||
				strings.Contains(r.Failure, "before measuring") == test.measuring {
				t.Errorf("%s: a server that %s: %d errors, %s %q", test.cell, lie, r.Errors, r.Failure, r.Faults)
			}
		}
	}
}

// A server that stands still once can hide it from a closed loop, not from an open one.
func TestStallThroughPlan(t *testing.T) {
	closed, open := "2x1", "open2@1000"
	peers := []bench.Peer{testPeer{"stalls", "stalls", false}}
	got := results(t, bench.Plan{
		WarmUp:  time.Millisecond, // which is no time for so many requests
		Measure: 5 * stall,
		Parts:   []bench.Part{{Cell: parsed(t, closed), Peers: peers}, {Cell: parsed(t, open), Peers: peers}},
	})
	stallUs := float64(stall.Microseconds())
	for _, cell := range []string{closed, open} {
		r := got[cell+" stalls"]
		if hidden := r.P99Us < stallUs/2; !r.OK() || hidden != (cell == closed) || r.MaxUs < stallUs*3/4 {
			t.Errorf("%s: p99 %.0f µs, max %.0f µs, of a stall of %.0f: %s %q", cell, r.P99Us, r.MaxUs, stallUs, r.Failure, r.Faults)
		}
	}
}

// A run is made again while others use the machine, and says so when they still do; else it is not.
func TestDisturbed(t *testing.T) {
	busy := exec.Command(os.Args[0], "busy")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = busy.Process.Kill()
		_ = busy.Wait()
	}()
	for _, test := range []struct {
		coresMax  float64
		runs      int
		disturbed bool
	}{
		{0.1, 3, true},
		{1e3, 1, false}, // so many that others can not have used them
	} {
		var log strings.Builder
		r := results(t, bench.Plan{
			WarmUp: time.Millisecond, Measure: 300 * time.Millisecond, RepeatsMax: 2, OthersCoresMax: test.coresMax, Log: &log,
			Parts: []bench.Part{{Cell: parsed(t, "open1@100"), Peers: []bench.Peer{testPeer{"honest", "honest", false}}}},
		})["open1@100 honest"]
		if runs := strings.Count(log.String(), "\n"); !r.OK() || r.Disturbed != test.disturbed || runs != test.runs {
			t.Errorf("up to %v cores: disturbed %v by %.2f cores, %d runs:\n%s", test.coresMax, r.Disturbed, r.OthersCores, runs, &log)
		}
		if r.Repeats != test.runs-1 || r.RepeatsMax != 2 {
			t.Errorf("up to %v cores: the result tells of %d repeats of at most %d", test.coresMax, r.Repeats, r.RepeatsMax)
		}
		if r.GeneratorBound {
			t.Errorf("with 100 requests a second, the generator has been busy: %+v", r)
		}
	}
}

// absentPeer is a server that can not be built.
type absentPeer struct {
	testPeer
	err error
}

func (p *absentPeer) Build(context.Context, string) (string, error) { return "", p.err }

func (p *absentPeer) Start(context.Context, bench.Cell) (*bench.Server, error) {
	return nil, errors.New("started all the same")
}

// A server that is not installed is skipped, one that can not be built has failed, each in one line a cell, and the others
// are measured.
func TestAbsentServers(t *testing.T) {
	peers := []bench.Peer{
		&absentPeer{testPeer{"absent", "", false}, fmt.Errorf("bench: absent is %w: look for it", bench.ErrNotInstalled)},
		&absentPeer{testPeer{"broken", "", false}, errors.New("bench: build broken: it does not compile")},
		testPeer{"honest", "honest", false},
	}
	plan := bench.Plan{
		Root: ".", Generator: []string{os.Args[0], "load"}, Rounds: 2, WarmUp: time.Millisecond, Measure: 20 * time.Millisecond,
		Parts: []bench.Part{{Cell: parsed(t, "1x1"), Peers: peers}, {Cell: parsed(t, "2x1"), Peers: peers}},
	}
	var told []bench.Progress
	plan.Progress = func(p bench.Progress) { told = append(told, p) }
	lines := map[string]int{}
	if err := plan.Run(t.Context(), func(r bench.Result) error {
		lines[r.Server]++
		absent, broken := r.Server == "absent", r.Server == "broken"
		if r.OK() == (absent || broken) || r.Failed() != broken || absent != strings.Contains(r.Skipped, "look for it") ||
			broken != strings.Contains(r.Failure, "does not compile") {
			t.Errorf("%+v", r)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := (map[string]int{"absent": 2, "broken": 2, "honest": 4}); fmt.Sprint(lines) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", lines, want)
	}
	if len(told) != 4 {
		t.Fatalf("progress is told %d times: %+v", len(told), told)
	}
	for i, p := range told {
		if p.Server != "honest" || p.Run <= 0 || p.Left < p.Run/2 || i > 0 && p.Done <= told[i-1].Done {
			t.Errorf("progress %d: %+v", i, p)
		}
	}
}
