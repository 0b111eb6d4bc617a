package bench_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/load"
)

// All servers with durable pools do all cells that they can, and do them right.
func TestPools(t *testing.T) {
	// 10 x 3 are more than 20 items: some wait, or find nothing free.
	cells := []string{"pairs10x1", "pairs10x3/items=20", "openpairs8@200", "pairs4x2/waiters=1200", "openpairs8@200/items=2500/listing",
		"restart/items=3000", "restart-killed/items=3000"}
	plan := briefPlan(t, peersNamed(t, "kassa", "postgres", "postgres-batch", "redis", "etcd", "gnet-echo"), cells...)
	var log strings.Builder
	plan.Log = &log
	var got []string
	err := plan.Run(t.Context(), func(r bench.Result) error {
		got = append(got, r.Cell+" "+r.Server)
		restart := strings.HasPrefix(r.Cell, "restart")
		switch {
		case !r.OK():
			t.Errorf("%s: %s %v", got[len(got)-1], r.Failure, r.Faults)
		case r.Seconds <= 0 || r.CPUSeconds <= 0 || r.RSSBytes < 1<<20 || r.Version == "" || r.WarmUpSeconds <= 0,
			restart && r.StoreBytes <= 0, !restart && (r.Requests <= 0 || r.P99Us <= 0):
			t.Errorf("%s: implausible: %+v", got[len(got)-1], r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, cell := range cells {
		servers := []string{"kassa"}
		switch {
		case i < 2:
			servers = append(servers, "postgres", "postgres-batch", "redis", "etcd")
		case i == 2:
			servers = append(servers, "redis")
		}
		for _, server := range servers {
			want = append(want, cell+" "+server)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("runs %q\nwant %q\n%s", got, want, log.String())
	}
}

// An item that the generator does not know of is a fault.
func TestPoolsUnknownItem(t *testing.T) {
	kassa := bench.Peers("..")[0]
	if _, err := kassa.Build(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	cell := parsed(t, "pairs1x1/items=5")
	s, err := kassa.Start(t.Context(), cell)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	wire, _ := kassa.Wire(cell)
	wire.Pairs.Items = 4 // so that item 5 is one it does not know
	g, err := load.New(load.Config{Addr: s.Addr, Wire: wire, Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, err := g.Connect(1); err != nil {
		t.Fatal(err)
	}
	r, err := g.Run(load.Phase{InFlight: 5, Requests: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := fmt.Sprint(r.Err()); !strings.Contains(err, "item 5 is given out, of a pool of 4") {
		t.Errorf("%s", err)
	}
}

func TestCheckDisk(t *testing.T) {
	if err := bench.CheckDisk("/dev/shm"); err == nil {
		t.Error("a directory in memory is taken")
	}
	if err := bench.CheckDisk("/proc/nowhere"); err == nil {
		t.Error("a directory that is not there is taken")
	}
}
