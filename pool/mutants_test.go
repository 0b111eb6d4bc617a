package pool_test

import (
	"testing"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// TestMutants changes a line of the machine at a time: the test that is named must find each of these errors.
func TestMutants(t *testing.T) {
	proof.Mutants(t, []struct{ What, File, From, To, Check string }{
		{"a lease does not run out", "tick.go", "m.release(l, items, outcome, RanOut)", "l.items[0].pool.due.remove(l); _, _ = items, outcome", "^TestClockThatJumps$"},
		{"a lease runs out a millisecond late", "tick.go", "at := m.now + 1", "at := m.now", "^TestCrossedWaitsEndByTimeOut$"},
		{"a wait does not time out", "tick.go", "if x, t := m.waitsDue.first(); x != nil && t < at {", "if x, t := m.waitsDue.first(); x != nil && t < at-1_000_000_000 {", "^TestCrossedWaitsEndByTimeOut$"},
		{"the token is that of the wait", "lease.go", "l := &lease{id: m.rev, token: m.rev,", "l := &lease{id: m.rev, token: ev.wait,", "^TestWhoComesLaterWaitsBehind$"},
		{"release does not look at the token", "lease.go", "case l.token != token:", "case l.token != token && token == 0:", "^TestBadInput$"},
		{"what is over is still held", "lease.go", "case l == nil || l.expiresAt <= m.now:", "case l == nil:", "^TestALeaseEndsAtItsMillisecond$"},
		{"what is granted stays free", "free.go", "	it.free = false\n	c.unmark(it.slot)", "	c.unmark(it.slot)", "^TestWhoComesLaterWaitsBehind$"},
		{"what is granted stays marked", "free.go", "		c.bits[level][word] &^= 1 << (slot & 63)\n", "", "^TestWhoComesLaterWaitsBehind$"},
		{"the last is served first", "line.go", "	return w.id < x.id\n", "	return w.id > x.id\n", "^TestWaitersAreServedInTurn$"},
		{"priority counts for nothing", "line.go", "return w.priority > x.priority", "return w.turn < x.turn", "^TestWaitersAreServedInTurn$"},
		{"nobody takes turns", "wait.go", "turn: p.turn + 1 + uint64(p.queued[req.client])", "turn: 1", "^TestWaitersAreServedInTurn$"},
		{"newcomers do not queue", "acquire.go", "return priority > w.priority", "return priority >= w.priority", "^TestWhoComesLaterWaitsBehind$"},
		{"replay drops an event", "event.go", "			err = ev.apply(m)\n", "			if ev.kind() != evExpiring {\n				err = ev.apply(m)\n			}\n", "^TestModel$"},
		{"replay does not set the clock", "event.go", "	m.advance(clock)\n", "	m.advance(clock / 2)\n", "^TestWhoComesLaterWaitsBehind$"},
		{"the clock runs back", "machine.go", "m.now = max(m.now, now)", "m.now = now", "^TestClockThatJumps$"},
		{"a release is journaled and not done", "event.go", "	if err := ev.apply(m); err != nil {", "	if ev.kind() == evReleased {\n		return\n	}\n	if err := ev.apply(m); err != nil {", "^TestWhoComesLaterWaitsBehind$"},
		{"a checkpoint does not see a change", "session.go", "	m.touch(s)\n	s.until = 0\n", "	s.until = 0\n", "^TestModel$"},
		{"a checkpoint has what changed after it", "record.go", "		m.ck.aside = m.handOut(m.ck.aside, r)\n", "", "^TestModel$"},
		{"a checkpoint forgets what has gone", "record.go", "		return append(records, Record{Key: e})", "		return records", "^TestModel$"},
		{"the hash is not compared", "machine.go", "if m.sum != mark.Hash {", "if m.sum != mark.Hash && m.sum == 0 {", "^TestADamagedCheckpointIsRefused$"},
		{"a key does nothing", "key.go", "	if k.wait != 0 {\n		r.Waiting", "	if k.wait == 0 {\n		return false\n	}\n	if k.wait != 0 {\n		r.Waiting", "^TestKeys$"},
		{"a key takes any body", "key.go", "case k.hash != c.Hash:", "case k.hash != c.Hash && k.hash == 0:", "^TestBadInput$"},
		{"the quota is not counted", "acquire.go", "held+int64(n) > p.spec.QuotaMax", "held+int64(n) > p.spec.QuotaMax+1", "^TestModel$"},
		{"a lease outlives its lifetime", "lease.go", "		return min(at, t.endsAt)\n", "		return at\n", "^TestALeaseEndsAtItsMillisecond$"},
		{"a selector takes any item", "item.go", "			return false\n		}\n	}\n	return true", "			return true\n		}\n	}\n	return true", "^TestBadInput$"},
		{"broken ones are given out", "lease.go", ">= p.spec.QuarantineAfter", "> p.spec.QuarantineAfter", "^TestModel$"},
		{"who holds may wait", "wait.go", "].leases > 0:", "].leases > 1000:", "^TestCrossedWaitsAreRefused$"},
		{"tokens are used again", "lease.go", "l := &lease{id: m.rev, token: m.rev,", "l := &lease{id: m.rev, token: m.rev &^ 7,", "^TestWhoComesLaterWaitsBehind$"},
	}, "-rapid.checks=300", "-rapid.shrinktime=0s")
}
