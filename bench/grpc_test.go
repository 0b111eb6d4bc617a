package bench_test

import (
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench"
)

// gRPC's server does the cells that are its own, and does them right.
func TestGRPC(t *testing.T) {
	cells := []string{"8x4", "8x1/478", "4x4/16384", "4x1/work=sleep", "open8@500", "idle20", "storm50"}
	plan := briefPlan(t, peersNamed(t, "grpc"), append(cells, "8x4/binary", "8x4/loops=2", "pairs8x1")...)
	plan.Threads = 2
	runs := 0
	if err := plan.Run(t.Context(), func(r bench.Result) error {
		runs++
		if !r.OK() || !strings.HasPrefix(r.Version, "v1.") || r.RSSBytes <= 0 || r.Requests <= 0 != (r.Cell == "idle20") {
			t.Errorf("%+v", r)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if runs != len(cells) {
		t.Errorf("%d runs, want %d", runs, len(cells))
	}
}
