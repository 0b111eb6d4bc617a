package serve

import (
	"fmt"
	"testing"

	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

func open(t *testing.T, dir string) journal.Journal {
	t.Helper()
	j, err := journal.Open(journal.Config{Dir: dir, RetainBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	dirs.Store(j, dir)
	return j
}

func TestRestart(t *testing.T) {
	dir, pools := t.TempDir(), []Pool{items("p", 5)}
	s := startOnly(t, Config{Journal: open(t, dir), Pools: pools}, 0)
	c := dial(t, s.addr)
	keyed, kept, returned := c.acquire("p", "", `"key":"k"`), c.acquire("p", ""), c.acquire("p", "")
	c.release(returned)
	before, rev := c.stats("p"), c.call("pool.stats", `{"pool":"p"}`).Rev
	c.Close()
	if err := s.end(giveUp); err != nil {
		t.Fatal(err)
	}

	s = start(t, Config{Journal: open(t, dir), Pools: pools})
	c = dial(t, s.addr)
	c.call("ping", `null`, fmt.Sprintf(`"minRev":%d`, rev)).none(t)
	if after := c.stats("p"); after != before {
		t.Errorf("was %+v, is %+v", before, after)
	}
	if same := c.acquire("p", "", `"key":"k"`); same.Lease != keyed.Lease || same.Token != keyed.Token || same.Items[0].ID != keyed.Items[0].ID {
		t.Errorf("got %+v, then %+v", keyed, same)
	}
	c.fails("key_conflict", "lease.acquire", want("p", `,"ttlMs":5`), `"key":"k"`)
	c.fails("stale_token", "lease.renew", held(returned))
	next := c.acquire("p", "")
	if next.Token <= rev {
		t.Errorf("token %d, the last rev was %d", next.Token, rev)
	}
	for _, l := range []wire.Lease{keyed, kept, next} {
		c.release(l)
	}
	c.hello("")
	c.call("watch", `{"fromRev":1}`).none(t)
	c.call("item.set", `{"pool":"p","id":"1","state":"quarantined"}`).none(t)
	if got := events(t, c, 1, "item.state"); got[0] != "pool.set" || uint64(len(got)) <= rev {
		t.Errorf("events: %q", got)
	}
}
