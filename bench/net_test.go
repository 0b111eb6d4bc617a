package bench_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench"
)

// The peers that speak JSON lines or HTTP, each started as a process, answer every request rightly, whatever its size and
// its work, and serve those of one type one at a time.
func TestNetPeers(t *testing.T) {
	names := []string{"gonet", "gonet-workers", "node", "nethttp", "fasthttp"}
	cells := []string{"8x4", "8x4/478", "4x16/16384", "64x1/work=sleep", "8x2/work=cpu"}
	plan := briefPlan(t, peersNamed(t, names...), cells...)
	var log strings.Builder
	plan.Log = &log
	var got []string
	err := plan.Run(t.Context(), func(r bench.Result) error {
		got = append(got, r.Cell+" "+r.Server)
		if !r.OK() || r.Requests == 0 || r.CPUSeconds <= 0 || !strings.HasPrefix(r.Version, "v") && !strings.HasPrefix(r.Version, "go") {
			t.Errorf("%s: %+v", got[len(got)-1], r)
		}
		// Four types make 4000 requests a second, since each sleeps for 1 ms; without their turns 64 connections make ten times as many.
		if strings.HasSuffix(r.Cell, "sleep") && float64(r.Requests) > 6000*r.Seconds {
			t.Errorf("%s: %d requests in %.3f s are more than one of a type at a time", got[len(got)-1], r.Requests, r.Seconds)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, cell := range cells {
		for _, name := range names {
			want = append(want, cell+" "+name)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("runs %q\nwant %q\n%s", got, want, log.String())
	}
}
