package bench_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/bench"
)

// Each cell of the suite can be run on each server that the suite has for it, and each server is written of.
func TestSuite(t *testing.T) {
	peers := bench.Peers("..")
	for _, p := range peers {
		if bench.About(p.Name()) == "" {
			t.Errorf("nothing is written of %s", p.Name())
		}
	}
	parts, err := bench.Suite(peers, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, part := range parts {
		var names []string
		for _, p := range part.Peers {
			names = append(names, p.Name())
		}
		seen = append(seen, part.Cell.Name)
		if !slices.Contains(names, bench.Subject) || len(names) == 1 && part.Cell.Items == 0 {
			t.Errorf("%s is run on %v", part.Cell.Name, names)
		}
		if part.Cell.Items > 0 {
			continue // of these, each server runs those that it can
		}
		for _, name := range bench.SuitePeers(part.Cell.Name) {
			if !slices.Contains(names, name) {
				t.Errorf("%s is to be run on %s, which is no peer or can not", part.Cell.Name, name)
			}
		}
	}
	if !slices.Equal(seen, bench.CellNames()) {
		t.Errorf("cells %q\nwant %q", seen, bench.CellNames())
	}
	quick, err := bench.Suite(peers, bench.QuickCellNames(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		if !slices.ContainsFunc(quick, func(part bench.Part) bool { return slices.Contains(part.Peers, p) }) {
			t.Errorf("the quick cells leave %s out", p.Name())
		}
	}
}

func TestSuiteByName(t *testing.T) {
	peers := bench.Peers("..")
	for _, test := range []struct{ cells, peers, want string }{
		{"loops", "", "64x16/loops=1: kassa gnet-echo; 64x16/loops=2: kassa gnet-echo; 64x16/loops=4: kassa gnet-echo"},
		{"64x1/work=sleep,jobbers", "gonet-workers,redis", "64x1/work=sleep: gonet-workers redis; 64x1/work=cpu: gonet-workers"},
		{"7x7", "", "7x7: kassa gnet-echo gonet gonet-workers node nethttp fasthttp nats gearmand redis-lists grpc"}, // not of the suite: all that can
		{"64x16/crab", "gnet-echo", "64x16/crab: gnet-echo"},
		{"64x16/478/loops=2", "kassa", "64x16/478/loops=2: kassa"},
		{"codecs", "redis", ""},
	} {
		parts, err := bench.Suite(peers, split(test.cells), split(test.peers))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, part := range parts {
			var names []string
			for _, p := range part.Peers {
				names = append(names, p.Name())
			}
			got = append(got, part.Cell.Name+": "+strings.Join(names, " "))
		}
		if got := strings.Join(got, "; "); got != test.want {
			t.Errorf("%s on %s: %q, want %q", test.cells, test.peers, got, test.want)
		}
	}
	for _, test := range []struct{ cells, peers, text string }{
		{"64x", "", "or a group: requests, codecs, loops, jobbers, capacity, pools, all"},
		{"64x16", "gnet", "there are kassa, gnet-echo, "},
	} {
		if _, err := bench.Suite(peers, split(test.cells), split(test.peers)); err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s on %s: %v", test.cells, test.peers, err)
		}
	}
}

func split(names string) []string {
	if names == "" {
		return nil
	}
	return strings.Split(names, ",")
}

// An estimate is the sum of what the runs take at least, and not much more.
func TestEstimate(t *testing.T) {
	plan := bench.Plan{Rounds: 3, WarmUp: time.Second, Measure: 4 * time.Second, Idle: 20 * time.Second}
	peers := []bench.Peer{testPeer{"kassa", "echo", true}, testPeer{"gnet-echo", "echo", true}}
	for _, name := range []string{"64x16", "idle100", "storm100", "64x16/crab"} { // a test peer can not do the last one
		plan.Parts = append(plan.Parts, bench.Part{Cell: parsed(t, name), Peers: peers})
	}
	if got, least := plan.Estimate(), 2*3*(5+20)*time.Second; got < least || got > least*5/4 {
		t.Errorf("%v, at least %v", got, least)
	}
}
