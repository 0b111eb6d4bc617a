package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// killing is a crowd, a program that is killed while it serves them, and its store.
type killing struct {
	program []string
	yaml    string
	data    string // of the program
	sees    string // the same, as each thread of this process sees it
	crowd   *crowd
	ledger  *ledger
	served  time.Duration
}

func newKilling(t testing.TB, program string, conns, clients int) *killing {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	k := &killing{
		program: []string{program}, yaml: filepath.Join(dir, "kassa.yaml"), data: filepath.Join(dir, "data"),
		crowd: newCrowd(seed, conns, clients), ledger: newLedger(),
	}
	k.sees = k.data
	if err := os.WriteFile(k.yaml, []byte(crowdYAML()), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *killing) start(t testing.TB) (*proc.Process, string) {
	args := append(slices.Clone(k.program), "--listen", "tcp://127.0.0.1:0", "--config", k.yaml, "--data", k.data)
	p := proc.Command{Args: args}.Start(t)
	return p, p.Listening()
}

// kill has a server live for some time, and until it has given something out so many times, and be killed. It returns what
// is wrong with what it leaves.
func (k *killing) kill(t testing.TB, after time.Duration, grants int64) error {
	p, addr := k.start(t)
	k.look(t, addr)
	began, before := time.Now(), k.crowd.counts[taken].Load()
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		time.Sleep(after)
		for k.crowd.counts[taken].Load()-before < grants && time.Since(began) < proc.Timeout {
			time.Sleep(time.Millisecond)
		}
		p.Signal(syscall.SIGKILL)
	}()
	k.crowd.serve(addr)
	<-killed
	k.served += time.Since(began)
	p.Wait()
	return k.crowd.tell(k.ledger, k.sees, false)
}

// end has a last server answer what is not answered yet, and compares all there is.
func (k *killing) end(t testing.TB) error {
	p, addr := k.start(t)
	k.look(t, addr)
	k.crowd.closing.Store(true)
	k.crowd.serve(addr)
	c := dial(t, addr)
	var brief struct{ ResultJob wire.PoolStats }
	for over := time.Now().Add(proc.Timeout / 2); brief.ResultJob.Items == 0 || brief.ResultJob.Leased > 0; { // what was forgotten runs out
		c.ask(`{"type":"pool.stats","queryIndex":1,"payload":{"pool":"brief"}}`, &brief)
		if time.Now().After(over) {
			t.Fatalf("at %d still: %+v %+v", time.Now().UnixMilli(), brief.ResultJob, c.items("brief"))
		}
	}
	var pools struct{ ResultJob wire.PoolPage }
	c.ask(`{"type":"pool.list","queryIndex":1}`, &pools)
	lists := map[string][]wire.ItemState{}
	held := 0
	for _, stats := range pools.ResultJob.Pools {
		if k.ledger.sales.sells(stats.Pool) {
			continue
		}
		lists[stats.Pool] = c.items(stats.Pool)
		held += stats.Leased
	}
	sold := k.listed(c)
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != exitOK {
		return fmt.Errorf("exit code %d", code)
	}
	if err := k.crowd.tell(k.ledger, k.sees, true); err != nil {
		return err
	}
	for name, items := range lists {
		k.ledger.compare(name, items)
	}
	k.ledger.sales.compare(sold, true)
	if held != len(k.ledger.holder) || len(lists) < 2*turnPools {
		return fmt.Errorf("%d items of %d pools are held, by the events %d", held, len(lists), len(k.ledger.holder))
	}
	if _, err := journal.Verify(k.sees); err != nil {
		return err
	}
	return k.ledger.err()
}

// ask sends a request, and decodes the answer.
func (p *peer) ask(request string, into any) {
	p.t.Helper()
	p.send(request)
	if line := p.line(); json.Unmarshal([]byte(line), into) != nil {
		p.t.Fatalf("%s: %s (%v)", request, line, p.lines.Err())
	}
}

// items returns all items of a pool.
func (p *peer) items(name string) []wire.ItemState {
	p.t.Helper()
	var items []wire.ItemState
	for cursor, more := "", true; more; more = cursor != "" {
		var page struct{ ResultJob wire.PoolPage }
		p.ask(fmt.Sprintf(`{"type":"pool.list","queryIndex":1,"payload":{"pool":%q,"limit":200,"cursor":%q}}`, name, cursor), &page)
		items, cursor = append(items, page.ResultJob.Items...), page.ResultJob.Cursor
	}
	return items
}

// TestKill kills kassad under load, again and again, and compares what its clients were told with the events that are in
// its store, and with what it says in the end. With KASSA_SOAK it goes on for that long.
func TestKill(t *testing.T) {
	soak, _ := time.ParseDuration(os.Getenv("KASSA_SOAK"))
	kills, conns, clients := 50, 64, 12
	switch {
	case raceEnabled:
		kills, conns, clients = 4, 16, 8
	case testing.Short():
		kills = 10
	}
	began, total := time.Now(), 0
	for round := 0; round == 0 || time.Since(began) < soak; round++ {
		k := newKilling(t, bin+"/kassad", conns, clients)
		for range kills {
			if err := k.kill(t, rand.N(600*time.Millisecond), rand.Int64N(100)); err != nil {
				t.Fatal(err)
			}
		}
		if err := k.end(t); err != nil {
			t.Fatal(err)
		}
		total += kills
		answers, turns := k.crowd.answers(), 0
		checked := time.Now()
		written := k.crowd.written()
		for name, history := range written {
			if err := linearizable(history); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			turns += len(history)
		}
		t.Log(k.ledger.sales)
		t.Logf("%d kills; in the last %d: %d answers, %.0f a second, of %d events; %d turns checked in %v; %v in all", total, kills,
			answers, float64(answers)/k.served.Seconds(), k.ledger.rev, turns, time.Since(checked).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		if turns == 0 || !raceEnabled && (len(written) < 8*turnPools || !k.ledger.sales.enough()) {
			t.Error("that is too little to tell anything")
		}
	}
}

// mutant builds kassad with one text of a file of the module changed, which is there once.
func mutant(t *testing.T, file, from, to string) (program string) {
	t.Helper()
	dir := t.TempDir()
	path, err := filepath.Abs(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), from); n != 1 {
		t.Fatalf("%s has %q %d times, want once", file, from, n)
	}
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(changed, []byte(strings.Replace(string(source), from, to, 1)), 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "kassad")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestKillFindsEarlyAnswers checks that TestKill would notice answers that leave before the journal has what they tell of.
func TestKillFindsEarlyAnswers(t *testing.T) {
	if raceEnabled {
		t.Skip("once is enough")
	}
	k := newKilling(t, mutant(t, "pool/serve/ack.go", "b.ticket.Wait()", "error(nil)"), 64, 12)
	for n := 1; n <= 40; n++ {
		if err := k.kill(t, 100*time.Millisecond+rand.N(200*time.Millisecond), 100); err != nil {
			t.Logf("kill %d: %v", n, err)
			if !strings.Contains(err.Error(), "things are wrong") && !strings.Contains(err.Error(), "state_behind") {
				t.Error("that is something else")
			}
			return
		}
	}
	t.Error("nothing has noticed")
}
