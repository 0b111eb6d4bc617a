package main

import (
	"testing"
	"time"

	"github.com/kassa-go/kassa/bench"
)

// The whole suite is expected to take half an hour, the quick one three minutes, with all servers that can be in them.
func TestBudget(t *testing.T) {
	peers := bench.Peers("../../..")
	for args, bounds := range map[string][2]time.Duration{
		"--rounds=3": {25 * time.Minute, 35 * time.Minute},
		"--quick":    {2 * time.Minute, 4 * time.Minute},
	} {
		o, err := readOptions([]string{args})
		if err != nil {
			t.Fatal(err)
		}
		if o.plan.Parts, err = bench.Suite(peers, o.cells, o.peers); err != nil {
			t.Fatal(err)
		}
		got := o.plan.Estimate()
		t.Logf("%s: %d runs in %d cells, %v", args, o.plan.Rounds*runsIn(o.plan.Parts), len(o.plan.Parts), got.Round(time.Second))
		if got < bounds[0] || got > bounds[1] {
			t.Errorf("%s: %v, want %v to %v", args, got, bounds[0], bounds[1])
		}
	}
}
