package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/load"
)

// testPeer is this test program as a server.
type testPeer struct {
	name    string
	command string
	echo    bool // whether the generator is told that it is an echo, which it is
}

func (p testPeer) Name() string { return p.name }

func (p testPeer) Build(context.Context, string) (string, error) { return "v0 of " + p.name, nil }

func (p testPeer) Start(ctx context.Context, _ bench.Cell) (*bench.Server, error) {
	return bench.StartServer(ctx, os.Args[0], p.command)
}

func (p testPeer) Wire(c bench.Cell) (load.WireConfig, bool) {
	return load.WireConfig{Codec: c.Codec, PayloadBytes: c.PayloadBytes, Echo: p.echo}, c.Codec != "crab"
}

// peersNamed are those of the suite that are called so, in this order.
func peersNamed(t *testing.T, names ...string) (peers []bench.Peer) {
	t.Helper()
	// What is not read here, go test does not know of, and would take an old result from its cache.
	for _, dir := range []string{"peers", "peers/node"} {
		if _, err := os.ReadDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	all := bench.Peers("..")
	for _, name := range names {
		i := slices.IndexFunc(all, func(p bench.Peer) bool { return p.Name() == name })
		if i < 0 {
			t.Fatalf("there is no peer %s", name)
		}
		peers = append(peers, all[i])
	}
	return peers
}

// briefPlan runs cells on peers once each, with this test program as generator.
func briefPlan(t *testing.T, peers []bench.Peer, cells ...string) bench.Plan {
	t.Helper()
	plan := bench.Plan{
		Root:      "..",
		Generator: []string{os.Args[0], "load"},
		Rounds:    1,
		WarmUp:    20 * time.Millisecond,
		Measure:   200 * time.Millisecond,
		Idle:      50 * time.Millisecond,
	}
	for _, name := range cells {
		plan.Parts = append(plan.Parts, bench.Part{Cell: parsed(t, name), Peers: peers})
	}
	return plan
}

func TestPlan(t *testing.T) {
	peers := []bench.Peer{testPeer{"kassa", "echo", true}, testPeer{"gnet-echo", "echo", true}}
	cells := []string{"1x1", "8x4/binary/478", "open8@1000", "idle50", "storm50", "4x1/crab"}
	plan := briefPlan(t, peers, cells...)
	plan.Root, plan.Rounds, plan.Threads = ".", 2, 2
	var order []string
	var lines bytes.Buffer
	err := plan.Run(t.Context(), func(r bench.Result) error {
		order = append(order, fmt.Sprint(r.Cell, " ", r.Round, " ", r.Server))
		if !r.OK() {
			t.Errorf("%s: %+v", order[len(order)-1], r)
		}
		if r.CPUSeconds <= 0 && !strings.HasPrefix(r.Cell, "idle") || r.Seconds <= 0 || r.RSSStartBytes <= 0 || r.RSSBytes <= 0 || r.OthersCores < 0 {
			t.Errorf("%s: implausible: %+v", order[len(order)-1], r)
		}
		loaded := strings.Contains(r.Cell, "x") || strings.HasPrefix(r.Cell, "open")
		if loaded != (r.LoadSeconds == plan.Measure.Seconds()) || loaded != (r.WarmUpSeconds == plan.WarmUp.Seconds()) {
			t.Errorf("%s: %v s of load after %v s, want %v after %v", order[len(order)-1], r.LoadSeconds, r.WarmUpSeconds, plan.Measure, plan.WarmUp)
		}
		if want := min(r.Conns, plan.Threads); r.GeneratorThreads != want {
			t.Errorf("%s: %d threads of the generator, want %d", order[len(order)-1], r.GeneratorThreads, want)
		}
		if r.Version != "v0 of "+r.Server || r.Machine.Kernel == "" || r.Machine.Cores < 1 || r.Date.IsZero() {
			t.Errorf("%s: it does not say what was measured on what: %+v", order[len(order)-1], r)
		}
		return json.NewEncoder(&lines).Encode(r)
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range cells[:len(cells)-1] { // no server speaks the last one
		for round := 1; round <= 2; round++ {
			want = append(want, fmt.Sprint(name, " ", round, " kassa"), fmt.Sprint(name, " ", round, " gnet-echo"))
		}
	}
	if !reflect.DeepEqual(order, want) {
		t.Errorf("runs:\n%s\nwant:\n%s", strings.Join(order, "\n"), strings.Join(want, "\n"))
	}
	results, err := bench.ReadResults(&lines)
	if err != nil || len(results) != len(want) {
		t.Errorf("%d results, %v", len(results), err)
	}
}

// A server that does not start, or answers wrongly, is a failed result, and the suite goes on.
func TestPlanBadServers(t *testing.T) {
	plan := bench.Plan{
		Root: ".",
		// An echo is no server that replies.
		Parts: []bench.Part{{
			Cell:  parsed(t, "storm20"),
			Peers: []bench.Peer{testPeer{"broken", "broken", true}, testPeer{"wrong", "echo", false}, testPeer{"right", "echo", true}},
		}},
		Generator: []string{os.Args[0], "load"},
		Rounds:    1,
	}
	got := map[string]bench.Result{}
	if err := plan.Run(t.Context(), func(r bench.Result) error {
		got[r.Server] = r
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if r := got["broken"]; r.OK() || !strings.Contains(r.Failure, "broken on purpose") {
		t.Errorf("broken: %+v", r)
	}
	if r := got["wrong"]; r.OK() || r.Errors != 1 || !strings.Contains(r.Failure, "connection 0, index 10000000") {
		t.Errorf("wrong: %+v", r)
	}
	if r := got["right"]; !r.OK() {
		t.Errorf("right: %+v", r)
	}
}

func TestPlanCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	plan := bench.Plan{
		Root:      ".",
		Parts:     []bench.Part{{Cell: parsed(t, "idle5"), Peers: []bench.Peer{testPeer{"right", "echo", true}}}},
		Generator: []string{os.Args[0], "load"},
		Idle:      time.Hour,
	}
	err := plan.Run(ctx, func(bench.Result) error { return nil })
	if err == nil {
		t.Error("an hour is over")
	}
}

func parsed(t *testing.T, name string) bench.Cell {
	t.Helper()
	c, err := bench.ParseCell(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseCell(t *testing.T) {
	for name, want := range map[string]bench.Cell{
		"64x16":            {Shape: bench.Closed, Conns: 64, InFlight: 16, Codec: "json"},
		"64x16/binary/478": {Shape: bench.Closed, Conns: 64, InFlight: 16, Codec: "binary", PayloadBytes: 478},
		"open1000":         {Shape: bench.Open, Conns: 1000, RatePerSecond: 10_000, Codec: "json"},
		"open64@500/crab":  {Shape: bench.Open, Conns: 64, RatePerSecond: 500, Codec: "crab"},
		"idle":             {Shape: bench.Idle, Conns: 18_000, Codec: "json"},
		"64x1/work=sleep":  {Shape: bench.Closed, Conns: 64, InFlight: 1, Codec: "json", Work: bench.WorkSleep},
		"64x16/loops=4":    {Shape: bench.Closed, Conns: 64, InFlight: 16, Codec: "json", Loops: 4},
		"storm100/16384":   {Shape: bench.Storm, Conns: 100, Codec: "json", PayloadBytes: 16384},
		"pairs64x16":       {Shape: bench.Closed, Conns: 64, InFlight: 16, Codec: "json", Items: 1000},
		"openpairs8@50/items=9/waiters=7/listing": {Shape: bench.Open, Conns: 8, RatePerSecond: 50, Codec: "json", Items: 9, Waiters: 7, Listing: true},
		"restart-killed/items=5":                  {Shape: bench.Restart, Conns: 64, InFlight: 16, Codec: "json", Items: 5, Killed: true},
	} {
		want.Name = name
		if got := parsed(t, name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	for _, name := range []string{"", "64", "x1", "0x1", "1x0", "64x16/xml", "64x16/15", "idle@5", "99999999999999999999x1", "64x16 ",
		"pairs64", "pairs0x1", "pairs1x1/items=0", "pairs1x1/items=10000000", "pairs1x1/json", "pairs1x1/items=1/waiters=1", "1x1/items=5", "restart5"} {
		if c, err := bench.ParseCell(name); err == nil {
			t.Errorf("%q: taken as %+v", name, c)
		}
	}
	for _, name := range append(bench.CellNames(), bench.PoolCellNames()...) {
		parsed(t, name)
	}
}
