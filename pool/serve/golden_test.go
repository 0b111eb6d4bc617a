package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// Each of goldens is the store of a server: a checkpoint, and chunks behind it. What it says is in a file beside it, such as
// golden-1.json. The first was written before there were seats and rooms, the second with them. Stores that have been written are never
// changed: a new format gets a store of its own, golden-3, which
//
//	SERVE_GOLDEN=1 go test -run TestGolden ./pool/serve
//
// makes under the last of the names. Its secrets differ each time.
var goldens = []string{"testdata/golden-1", "testdata/golden-2"}

// goldenClock is when the store was written: a clock of its own, so that nothing in it depends on when the test runs.
const goldenClock = 1_790_000_000_000

// goldenState is what is in the store, and what its clients know.
type goldenState struct {
	Rev    uint64
	Clock  int64
	Hash   string
	Pools  []pool.Stats
	Items  map[string][]pool.ItemView
	Waits  []pool.Explanation
	Events map[string]int // kept in the journal, by type

	Ann, Bob string     // what resumes their sessions
	First    wire.Lease // granted to Ann under the key "first"
	Second   wire.Lease // granted to Ann

	Booked []pool.Booked `json:",omitempty"`
	Sales  *goldenSales  `json:",omitempty"`
}

func TestGolden(t *testing.T) {
	if os.Getenv("SERVE_GOLDEN") != "" {
		makeGolden(t, goldens[len(goldens)-1])
	}
	for _, golden := range goldens {
		t.Run(filepath.Base(golden), func(t *testing.T) { testGolden(t, golden) })
	}
}

func testGolden(t *testing.T, golden string) {
	text, err := os.ReadFile(golden + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var want goldenState
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	got := readGolden(t, golden)
	got.Ann, got.Bob, got.First, got.Second, got.Sales = want.Ann, want.Bob, want.First, want.Second, want.Sales
	if again := goldenText(t, got); string(again) != string(text) {
		t.Fatalf("the store has\n%s\nand not\n%s", again, text)
	}
	goOnWithGolden(t, golden, &want)
}

// copyGolden makes a copy of a store.
func copyGolden(t *testing.T, golden string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// readGolden reads what is in the store, as it was written.
func readGolden(t *testing.T, golden string) *goldenState {
	t.Helper()
	j, m := open(t, copyGolden(t, golden)), pool.New(pool.Config{})
	defer j.Close()
	records, chunks := 0, 0
	_, err := j.Recover(journal.Recovery{
		Record: func(key, value []byte) error { records++; return m.Load(key, value) },
		Mark: func(mark journal.Mark) error {
			if mark.Schema != schema {
				t.Errorf("its schema is %d", mark.Schema)
			}
			return m.Loaded(pool.Mark{Rev: mark.Seq, Clock: mark.Clock, Hash: mark.Hash})
		},
		Chunk: func(seq uint64, chunk []byte) error { chunks++; return m.Replay(seq, chunk) },
	})
	if err != nil || records < 10 || chunks < 5 {
		t.Fatalf("%d records, %d chunks, %v", records, chunks, err)
	}
	g := &goldenState{
		Rev: m.Rev(), Clock: m.Now(), Hash: fmt.Sprintf("%016x", m.Hash()), Items: map[string][]pool.ItemView{}, Events: map[string]int{},
	}
	g.Pools, _ = m.ListPools(100, "")
	for _, p := range g.Pools {
		if g.Items[p.Pool], _, err = m.ListItems(nil, p.Pool, 100, ""); err != nil {
			t.Fatal(err)
		}
		if p.Kind != pool.Calendar {
			continue
		}
		q := pool.TimesQuery{Pool: p.Pool, From: goldenClock - 100*day24, To: goldenClock + 100*day24, Limit: 100}
		booked, _, err := m.Booked(q)
		if err != nil {
			t.Fatal(err)
		}
		g.Booked = append(g.Booked, booked...)
	}
	for id := uint64(1); id <= m.Rev(); id++ {
		if x, err := m.Explain(id); err == nil {
			g.Waits = append(g.Waits, x)
		}
	}
	err = j.Read(context.Background(), 0, func(_ uint64, chunk []byte) error {
		return pool.Events(chunk, func(e *pool.Event) bool { g.Events[e.Type]++; return true })
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func goldenText(t *testing.T, g *goldenState) []byte {
	t.Helper()
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

const (
	goldenFirst = `{"want":[{"pool":"proxies","count":2,"select":{"country":["de","fr"]}}]}`
	goldenBoth  = `{"want":[{"pool":"phones","ids":["iphone"]},{"pool":"licences"}],"waitMs":300000,"priority":5}`
)

// goOnWithGolden has a server recover the store, and its clients go on where they were.
func goOnWithGolden(t *testing.T, golden string, g *goldenState) {
	t.Helper()
	s := start(t, Config{Journal: open(t, copyGolden(t, golden)), wall: func() time.Time { return time.UnixMilli(goldenClock) }})
	ann, bob, other := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	other.fails("state_behind", "pool.stats", `{"pool":"proxies"}`, fmt.Sprintf(`"minRev":%d`, g.Rev+1000))
	if ann.hello(g.Ann) != g.Ann || bob.hello(g.Bob) != g.Bob {
		t.Fatal("the sessions were not resumed")
	}
	text := func(l wire.Lease) string {
		text, _ := json.Marshal(l) // without the space in attrs
		return string(text)
	}
	// The wait of the client that said no hello has gone with its connection; Ann's and Bob's are there.
	other.waiting("proxies", 1)
	if same := into[wire.Lease](t, ann.call("lease.acquire", goldenFirst, `"key":"first"`)); text(same) != text(g.First) {
		t.Errorf("the key gives %+v, want %+v", same, g.First)
	}
	ann.fails("none_free", "lease.acquire", want("licences", ""), `"key":"none"`)
	ann.fails("key_conflict", "lease.acquire", want("proxies", ""), `"key":"none"`)
	both := bob.send("lease.acquire", goldenBoth, `"key":"both"`)
	ann.release(g.First)
	// Ann's own wait is for what she has given back; she did not ask again.
	if granted := ann.push(); granted.Type != "lease.granted" {
		t.Fatalf("got %+v", granted)
	}
	ann.release(g.Second)
	l := into[wire.Lease](t, bob.reply(both))
	if l.Token <= g.Rev || len(l.Items) != 2 || l.Items[0].ID != "iphone" || l.Items[1].Pool != "licences" {
		t.Errorf("got %+v", l)
	}
	bob.release(l)
	if g.Sales != nil {
		g.Sales.goOn(ann, bob)
	}
	// New ones work as ever.
	next := other.acquire("licences", "")
	if next.Token <= l.Token {
		t.Errorf("got %+v after %+v", next, l)
	}
	other.release(next)
	// All events from the first on can be watched.
	other.hello("")
	other.call("watch", `{"fromRev":1}`).none(t)
	other.call("pool.drain", `{"pool":"phones","ids":["pixel"]}`).none(t)
	counts := make(map[string]int)
	drained := 0
	for rev := uint64(1); drained <= g.Events["item.drained"]; {
		of := events(t, other, rev, "item.drained")
		rev += uint64(len(of))
		drained++
		for _, typ := range of {
			counts[typ]++
		}
	}
	for typ, n := range g.Events {
		if counts[typ] < n {
			t.Errorf("%d events of type %s, the store has %d", counts[typ], typ, n)
		}
	}
}

const day24 = 24 * 3600 * 1000 // ms

// goldenPools are those of leases. The last one is configured no more when the store is written.
func goldenPools() []Pool {
	items := func(specs ...pool.ItemSpec) func(func(pool.ItemSpec) bool) { return slices.Values(specs) }
	country := func(c string) map[string]string { return map[string]string{"country": c} }
	const day = day24
	return []Pool{
		{Spec: pool.Spec{Name: "proxies", Strategy: pool.LRU, TTLMs: day, LifetimeMaxMs: 7 * day}, Items: items(
			pool.ItemSpec{ID: "de-1", Labels: country("de"), Attrs: json.RawMessage(`{"host":"192.0.2.1","port":3128}`)},
			pool.ItemSpec{ID: "de-2", Labels: country("de")},
			pool.ItemSpec{ID: "fr-1", Labels: country("fr")},
			pool.ItemSpec{ID: "us-1", Labels: map[string]string{"country": "us", "tier": "a"}},
		)},
		{Spec: pool.Spec{Name: "phones", TTLMs: day, QuarantineAfter: 1, OnExpiry: pool.Dirty, QuotaMax: 10}, Items: items(
			pool.ItemSpec{ID: "iphone"}, pool.ItemSpec{ID: "pixel"}, pool.ItemSpec{ID: "fairphone"}, pool.ItemSpec{ID: "nokia"},
		)},
		{Spec: pool.Spec{Name: "licences", TTLMs: day, OnDisconnect: pool.ReleaseOnEnd}, Items: items(pool.ItemSpec{ID: "жук 🦀"})},
		{Spec: pool.Spec{Name: "retired"}, Items: items(pool.ItemSpec{ID: "last"})},
	}
}

// makeGolden writes the store and what it has.
func makeGolden(t *testing.T, golden string) {
	t.Helper()
	g := goldenState{Sales: new(goldenSales)}
	dir := filepath.Join(t.TempDir(), "store")
	life := func(pools []Pool, clock int64, fn func(s *served)) {
		s := startOnly(t, Config{
			Journal: open(t, dir), Pools: pools, GraceMs: 600_000, CheckpointEvery: time.Hour,
			wall: func() time.Time { return time.UnixMilli(clock) },
		}, 0)
		fn(s)
		if err := s.end(giveUp); err != nil {
			t.Fatal(err)
		}
	}
	pools := append(goldenPools(), goldenSalesPools()...)
	// The end of the first life makes the checkpoint.
	life(pools, goldenClock-10_000, func(s *served) {
		ann, other := dial(t, s.addr), dial(t, s.addr)
		g.Ann = ann.hello("")
		g.First = into[wire.Lease](t, ann.call("lease.acquire", goldenFirst, `"key":"first"`))
		other.acquire("retired", fmt.Sprintf(`,"ttlMs":%d`, day24))
		broken := into[wire.Lease](t, other.call("lease.acquire", `{"want":[{"pool":"phones","ids":["pixel"]}],"owner":"bob"}`))
		other.call("lease.release", fmt.Sprintf(`{"lease":%d,"token":%d,"outcome":"broken"}`, broken.Lease, broken.Token)).none(t)
		other.call("item.set", `{"pool":"phones","id":"nokia","state":"dirty","labels":{"os":"s40"}}`).none(t)
		other.call("pool.fill", `{"pool":"proxies","items":["filled",{"id":"us-2","labels":{"country":"us"},"attrs":[1,2.50,null]}]}`).none(t)
		g.Sales.sell(ann, other)
		// In the second life this is past, and goes.
		booked(other, fmt.Sprintf(`{"pool":"desks","start":%d,"end":%d}`, goldenClock-20_000, goldenClock-9_000))
	})
	// The backup in the second one has what came behind it; the first change brings a checkpoint, too.
	life(append(goldenPools()[:3], goldenSalesPools()...), goldenClock, func(s *served) {
		ann, bob, other := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
		ann.hello(g.Ann)
		g.Bob = bob.hello("")
		g.Second = into[wire.Lease](t, ann.call("lease.acquire", `{"want":[{"pool":"licences"},{"pool":"phones","ids":["iphone"]}]}`))
		renewed := ann.call("lease.renew", held(g.Second))
		g.Second.ExpiresAt = into[wire.Renewed](t, renewed).ExpiresAt
		ann.fails("none_free", "lease.acquire", want("licences", ""), `"key":"none"`)
		short := other.acquire("phones", `,"ttlMs":1`)
		for other.stats("phones").Dirty != 2 {
		}
		other.fails("stale_token", "lease.renew", held(short))
		leaving := into[wire.Lease](t, other.call("lease.acquire", `{"want":[{"pool":"proxies","ids":["us-1"]}]}`))
		other.call("pool.drain", `{"pool":"proxies","ids":["us-1","filled"]}`).none(t)
		other.call("lease.renew", held(leaving)).none(t)
		ann.send("lease.acquire", `{"want":[{"pool":"proxies","select":{"country":"de"}}],"waitMs":300000}`, `"key":"wait"`)
		bob.send("lease.acquire", goldenBoth, `"key":"both"`)
		other.send("lease.acquire", `{"want":[{"pool":"proxies","count":3}],"waitMs":300000}`)
		other.waiting("proxies", 2)
		other.waiting("licences", 1)
		taken := ann.send("lease.acquire", want("proxies", `,"waitMs":300000,"priority":-1`))
		other.waiting("proxies", 3)
		cancelled(t, ann, taken)
		other.waiting("proxies", 2)
		g.Sales.sellMore(ann, bob, other)
		if err := os.RemoveAll(golden); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, "..", "backup") // beside the store: it shares its tables by hard links
		if err := s.Backup(copied); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(golden, os.DirFS(copied)); err != nil {
			t.Fatal(err)
		}
	})
	read := readGolden(t, golden)
	read.Ann, read.Bob, read.First, read.Second, read.Sales = g.Ann, g.Bob, g.First, g.Second, g.Sales
	if err := os.WriteFile(golden+".json", goldenText(t, read), 0o644); err != nil {
		t.Fatal(err)
	}
}
