package pool_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMutants changes a line of the machine at a time: the other tests must find each of these errors. The text that is
// changed must be there once, so that no mutant is lost when the code changes.
func TestMutants(t *testing.T) {
	if os.Getenv("KASSA_MUTANT") != "" || raceEnabled {
		t.Skip("once is enough")
	}
	if testing.Short() {
		t.Skip("it builds the tests many times over")
	}
	// In the order of how long they take; the model comes last.
	const checks = "^(TestLease|TestWaiters|TestWho|TestLast|TestCrossed|TestBoth|TestALease|TestClock|TestLate|TestResumed|TestACheckpoint|TestADamaged|TestFirst|TestKeys|TestBadInput|TestAWait|TestModel)"
	dir, here := t.TempDir(), mustAbs(t, ".")
	gate := make(chan struct{}, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for i, mutant := range []struct{ what, file, from, to string }{
		{"nothing", "tick.go", "package pool", "package pool"},
		{"a lease does not run out", "tick.go", "m.release(l, items, outcome, RanOut)", "l.items[0].pool.due.remove(l); _, _ = items, outcome"},
		{"a lease runs out a millisecond late", "tick.go", "at := m.now + 1", "at := m.now"},
		{"a wait does not time out", "tick.go", "if x, t := m.waitsDue.first(); x != nil && t < at {", "if x, t := m.waitsDue.first(); x != nil && t < at-1_000_000_000 {"},
		{"the token is that of the wait", "lease.go", "l := &lease{id: m.rev, token: m.rev,", "l := &lease{id: m.rev, token: ev.wait,"},
		{"release does not look at the token", "lease.go", "case l.token != token:", "case l.token != token && token == 0:"},
		{"what is over is still held", "lease.go", "case l == nil || l.expiresAt <= m.now:", "case l == nil:"},
		{"what is granted stays free", "free.go", "	it.free = false\n	c.unmark(it.slot)", "	c.unmark(it.slot)"},
		{"what is granted stays marked", "free.go", "		c.bits[level][word] &^= 1 << (slot & 63)\n", ""},
		{"the last is served first", "line.go", "	return w.id < x.id\n", "	return w.id > x.id\n"},
		{"priority counts for nothing", "line.go", "return w.priority > x.priority", "return w.turn < x.turn"},
		{"nobody takes turns", "wait.go", "turn: p.turn + 1 + uint64(p.queued[req.client])", "turn: 1"},
		{"newcomers do not queue", "wait.go", "return priority > w.priority", "return priority >= w.priority"},
		{"replay drops an event", "event.go", "			err = ev.apply(m)\n", "			if ev.kind() != evExpiring {\n				err = ev.apply(m)\n			}\n"},
		{"replay does not set the clock", "event.go", "	m.advance(clock)\n", "	m.advance(clock / 2)\n"},
		{"the clock runs back", "machine.go", "m.now = max(m.now, now)", "m.now = now"},
		{"a release is journaled and not done", "event.go", "	if err := ev.apply(m); err != nil {", "	if ev.kind() == evReleased {\n		return\n	}\n	if err := ev.apply(m); err != nil {"},
		{"a checkpoint does not see a change", "session.go", "	m.touch(s)\n	s.until = 0\n", "	s.until = 0\n"},
		{"a checkpoint has what changed after it", "record.go", "		m.ck.aside = m.handOut(m.ck.aside, r)\n", ""},
		{"a checkpoint forgets what has gone", "record.go", "		return append(records, Record{Key: e})", "		return records"},
		{"the hash is not compared", "machine.go", "if m.sum != mark.Hash {", "if m.sum != mark.Hash && m.sum == 0 {"},
		{"a key does nothing", "key.go", "	if k.wait != 0 {\n		r.Waiting", "	if k.wait == 0 {\n		return false\n	}\n	if k.wait != 0 {\n		r.Waiting"},
		{"a key takes any body", "key.go", "case k.hash != c.Hash:", "case k.hash != c.Hash && k.hash == 0:"},
		{"the quota is not counted", "wait.go", "held+int64(n) > p.spec.QuotaMax", "held+int64(n) > p.spec.QuotaMax+1"},
		{"a lease outlives its lifetime", "lease.go", "		return min(at, t.endsAt)\n", "		return at\n"},
		{"a selector takes any item", "item.go", "			return false\n		}\n	}\n	return true", "			return true\n		}\n	}\n	return true"},
		{"broken ones are given out", "lease.go", ">= p.spec.QuarantineAfter", "> p.spec.QuarantineAfter"},
		{"who holds may wait", "wait.go", "].leases > 0:", "].leases > 1000:"},
	} {
		group.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			source, err := os.ReadFile(mutant.file)
			if err != nil {
				t.Error(err)
				return
			}
			if strings.Count(string(source), mutant.from) != 1 && i > 0 {
				t.Errorf("%s: %s has %q %d times, want once", mutant.what, mutant.file, mutant.from, strings.Count(string(source), mutant.from))
				return
			}
			name := filepath.Join(dir, strings.ReplaceAll(mutant.what, " ", "-"))
			changed := strings.Replace(string(source), mutant.from, mutant.to, 1)
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, mutant.file): name + ".go"}})
			if err != nil {
				t.Error(err)
				return
			}
			if os.WriteFile(name+".go", []byte(changed), 0o600) != nil || os.WriteFile(name+".json", overlay, 0o600) != nil {
				t.Error("the mutant can not be written")
				return
			}
			if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", name+".json", "-o", name+".test", ".").CombinedOutput(); err != nil {
				t.Errorf("%s: it does not build: %v\n%s", mutant.what, err, out)
				return
			}
			start := time.Now()
			run := exec.CommandContext(t.Context(), name+".test", "-test.run", checks, "-test.failfast", "-test.short", "-test.timeout", "20s",
				"-rapid.checks=300", "-rapid.shrinktime=0s")
			run.Env = append(os.Environ(), "KASSA_MUTANT=1", "KASSA_SOAK=")
			out, err := run.CombinedOutput()
			os.Remove(name + ".test")
			switch {
			case i == 0 && err != nil:
				t.Errorf("what is not changed fails: %v\n%s", err, out)
			case i > 0 && err == nil:
				t.Errorf("%s: nothing has noticed", mutant.what)
			}
			t.Logf("%s: %v", mutant.what, time.Since(start).Round(time.Millisecond))
		})
	}
	group.Wait()
}

func mustAbs(t *testing.T, path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
