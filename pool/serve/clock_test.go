package serve

import (
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool/wire"
)

// The wall clock jumps an hour forth between two lives of a server, and back before the third: a jump forth counts as time
// that has passed; after one back, time goes on from where it was, so that leases neither stand still nor end early.
func TestWallClockThatJumps(t *testing.T) {
	const hour, slack = 3600_000, int64(giveUp / time.Millisecond)
	dir := t.TempDir()
	began := time.Now().UnixMilli()
	// life serves until fn is done. All lives together take less than slack.
	life := func(wall int64, fn func(c *conn)) {
		t.Helper()
		s := startOnly(t, Config{Journal: open(t, dir), Pools: []Pool{items("p", 3)}, wall: func() time.Time { return time.UnixMilli(wall) }}, 0)
		c := dial(t, s.addr)
		fn(c)
		c.Close()
		if err := s.end(giveUp); err != nil {
			t.Fatal(err)
		}
	}
	renew := func(c *conn, l wire.Lease) int64 {
		t.Helper()
		return into[wire.Renewed](t, c.call("lease.renew", held(l))).ExpiresAt
	}
	var short, long, next wire.Lease
	life(began, func(c *conn) {
		short, long = c.acquire("p", `,"ttlMs":60000`), c.acquire("p", `,"ttlMs":7200000`)
		if at := short.ExpiresAt - 60_000; at < began || at > began+slack {
			t.Errorf("granted at %d, the clock was %d", at, began)
		}
	})
	life(began+hour, func(c *conn) {
		c.fails("stale_token", "lease.renew", held(short))
		for c.stats("p").Leased != 1 { // a tick has it come back
		}
		// Of the other lease an hour is left: nothing but a renewal changes its end.
		list := into[wire.PoolPage](t, c.call("pool.list", `{"pool":"p"}`))
		if it := list.Items[1]; it.Lease != long.Lease || it.ExpiresAt != long.ExpiresAt {
			t.Errorf("got %+v, want lease %+v", it, long)
		}
		next = c.acquire("p", `,"ttlMs":60000`)
		if at := next.ExpiresAt - 60_000; at < began+hour || at > began+hour+slack {
			t.Errorf("granted at %d, the clock was %d", at, began+hour)
		}
	})
	var last int64
	for _, wall := range []int64{began, began - 24*hour} { // the journal's clock is an hour ahead of the wall's, and then a day
		life(wall, func(c *conn) {
			started := time.Now()
			if at := renew(c, next) - 60_000; at < max(began+hour, last) || at > began+hour+slack {
				t.Errorf("renewed at %d, the last was %d", at, max(began+hour, last))
			} else {
				last = at
			}
			if at := renew(c, long) - 7_200_000; at < last || at > last+slack {
				t.Errorf("renewed at %d, after %d", at, last)
			}
			// Time does not stand still: what is taken for 150 ms comes back after that, not before.
			brief := c.acquire("p", `,"ttlMs":150`)
			granted := time.Now()
			for c.stats("p").Free == 0 {
			}
			if took := time.Since(started); took < 149*time.Millisecond {
				t.Errorf("lease %d of 150 ms ended after %v, %v after its reply", brief.Lease, took, time.Since(granted))
			}
			c.fails("stale_token", "lease.renew", held(brief))
		})
	}
	life(began, func(c *conn) { // what was left then is still held
		c.release(next)
		c.release(long)
		allFree(t, c, "p")
	})
}

// What a lease had left when the server ended it has left when the clock has gone back meanwhile, and no more: it ends by
// itself.
func TestLeaseEndsThoughTheClockWentBack(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	cfg := func(wall time.Time) Config {
		return Config{Journal: open(t, dir), Pools: []Pool{items("p", 1)}, wall: func() time.Time { return wall }}
	}
	s := startOnly(t, cfg(began), 0)
	c := dial(t, s.addr)
	l := c.acquire("p", `,"ttlMs":400`)
	c.Close()
	if err := s.end(giveUp); err != nil {
		t.Fatal(err)
	}
	s = start(t, cfg(began.Add(-time.Hour)))
	c = dial(t, s.addr)
	waiter := dial(t, s.addr)
	next := waiter.acquire("p", `,"waitMs":60000`) // served when the lease ends
	if took := time.Since(began); took < 399*time.Millisecond {
		t.Errorf("a lease of 400 ms ended within %v", took)
	}
	if next.Token <= l.Token {
		t.Errorf("got %+v after %+v", next, l)
	}
	c.fails("stale_token", "lease.release", held(l))
}
