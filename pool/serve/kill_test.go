package serve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

func open(t *testing.T, dir string) journal.Journal {
	t.Helper()
	j, err := journal.Open(journal.Config{Dir: dir, RetainBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
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

// serveUntilKilled is the child: it prints where it serves.
func serveUntilKilled(dir string) {
	j, err := journal.Open(journal.Config{Dir: dir})
	if err == nil {
		var s *served
		if s, err = begin(Config{Journal: j, Pools: []Pool{items("p", killItems)}, CheckpointEvery: 50 * time.Millisecond}, 0); err == nil {
			fmt.Println(s.addr)
			<-s.Failed()
			err = s.Err()
		}
	}
	fmt.Println("error:", err)
	os.Exit(1)
}

// What TestKill has: leases that clients keep, and some whose grants or releases nobody was told of, fit the pool.
const (
	killConns = 8
	killKeeps = 4 // of each connection of each life
	killItems = 256
)

// startChild starts a process that serves a store, and returns where. kill kills it and waits for its end.
func startChild(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error") {
		t.Fatalf("the child: %s %v", line, err)
	}
	return strings.TrimSpace(line), kill
}

// book is what clients were told.
type book struct {
	mu       sync.Mutex
	holders  map[string]wire.Lease // by item: acknowledged, and no release of it was sent
	returned []wire.Lease          // acknowledged releases
	wrong    []string
}

func (b *book) granted(l wire.Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old, ok := b.holders[l.Items[0].ID]; ok {
		b.wrong = append(b.wrong, fmt.Sprintf("%+v, while %+v is held", l, old))
	}
	b.holders[l.Items[0].ID] = l
}

func (b *book) giveBack(l wire.Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.holders, l.Items[0].ID)
}

func (b *book) released(l wire.Lease, f frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.Err != "" {
		b.wrong = append(b.wrong, fmt.Sprintf("release of %+v: %s: %s", l, f.Code, f.Err))
		return
	}
	b.returned = append(b.returned, l)
}

func (b *book) failed(f frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, "acquire: "+f.Code+": "+f.Err)
}

// exchange is call for a connection that may end.
func (c *conn) exchange(typ, payload string) (frame, bool) {
	if _, err := fmt.Fprintf(c, `{"type":%q,"queryIndex":1,"payload":%s}`+"\n", typ, payload); err != nil {
		return frame{}, false
	}
	f, err := c.read()
	return f, err == nil
}

// load takes and gives back until the server is gone.
func (b *book) load(c *conn) {
	var mine []wire.Lease
	for {
		if len(mine) < killKeeps && (len(mine) == 0 || rand.IntN(2) == 0) {
			f, ok := c.exchange("lease.acquire", want("p", `,"waitMs":10000`))
			if !ok {
				return
			}
			var l wire.Lease
			if f.Err != "" || json.Unmarshal(f.ResultJob, &l) != nil {
				b.failed(f)
				return
			}
			b.granted(l)
			mine = append(mine, l)
			continue
		}
		i := rand.IntN(len(mine))
		l := mine[i]
		mine[i] = mine[len(mine)-1]
		mine = mine[:len(mine)-1]
		b.giveBack(l)
		f, ok := c.exchange("lease.release", held(l))
		if !ok {
			return
		}
		b.released(l, f)
	}
}

// check asks a server whether it knows what clients were told.
func (b *book) check(t *testing.T, c *conn) {
	t.Helper()
	if len(b.wrong) > 0 {
		t.Fatalf("%d things, such as: %s", len(b.wrong), b.wrong[0])
	}
	page := into[wire.PoolPage](t, c.call("pool.list", fmt.Sprintf(`{"pool":"p","limit":%d}`, killItems+1)))
	leases := map[string]uint64{}
	for _, it := range page.Items {
		leases[it.ID] = it.Lease
	}
	if st := c.stats("p"); len(leases) != killItems || st.Leased+st.Free != killItems || st.Leased != st.Leases || st.Waiting != 0 {
		t.Errorf("%d items, %+v", len(leases), st)
	}
	for id, l := range b.holders {
		if leases[id] != l.Lease {
			t.Errorf("item %s was given out in %+v, now lease %d has it", id, l, leases[id])
		}
		c.call("lease.renew", held(l)).none(t)
	}
	for _, l := range b.returned {
		if leases[l.Items[0].ID] == l.Lease {
			t.Errorf("%+v is held again", l)
		}
	}
	for _, l := range b.returned[max(0, len(b.returned)-500):] {
		c.fails("stale_token", "lease.renew", held(l))
	}
}

// TestKill kills a server under load, twice.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	b := &book{holders: map[string]wire.Lease{}}
	for life := range 3 {
		addr, kill := startChild(t, dir)
		b.check(t, dial(t, addr))
		if life == 2 {
			break
		}
		before := len(b.returned)
		var clients sync.WaitGroup
		for range killConns {
			c := dial(t, addr)
			clients.Go(func() { b.load(c) })
		}
		time.AfterFunc(time.Second, kill)
		clients.Wait()
		kill()
		if len(b.returned) == before {
			t.Error("nothing was given back")
		}
		t.Logf("%d leases held, %d given back", len(b.holders), len(b.returned))
	}
}
