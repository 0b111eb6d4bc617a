package pool_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

var zones = []string{"a", "b", "c", "d"}

// filled returns a machine with a pool of n items in four zones.
func filled(b testing.TB, n int, spec pool.Spec) *pool.Machine {
	spec.Name = "p"
	spec.TTLMaxMs = 1 << 34
	m := pool.New(pool.Config{})
	var r pool.Reply
	m.Decide(1, &pool.Configure{Pools: []pool.Spec{spec}}, &r)
	items := make([]pool.ItemSpec, 0, pool.FillMax)
	for i := range n {
		items = append(items, pool.ItemSpec{ID: fmt.Sprintf("item-%07d", i), Labels: map[string]string{"zone": zones[i%len(zones)]}})
		if len(items) == cap(items) || i == n-1 {
			m.Decide(1, &pool.Fill{Pool: "p", Items: items}, &r)
			if r.Err != nil {
				b.Fatal(r.Err)
			}
			m.TakeChunk()
			items = items[:0]
		}
	}
	m.Freeze()
	m.Slice(1 << 30)
	return m
}

// decider has a machine decide, and drops what it says, as often as a server would.
type decider struct {
	b *testing.B
	m *pool.Machine
	n int
	r pool.Reply
}

func (d *decider) do(c pool.Command) {
	d.m.Decide(1000, c, &d.r)
	if d.r.Err != nil {
		d.b.Fatal(d.r.Err)
	}
	if d.n++; d.n%256 == 0 {
		d.m.TakeChunk()
	}
}

// sizes are those of the pools that are measured. In -short the largest, which take seconds to be filled, are left out.
func sizes() []int {
	all := []int{1000, 10_000, 100_000, 1_000_000}
	if testing.Short() {
		return all[:2]
	}
	return all
}

// BenchmarkAcquireRelease: an op is an acquire and the release of an older lease; half of the items are leased.
func BenchmarkAcquireRelease(b *testing.B) {
	for _, strategy := range []pool.Strategy{pool.First, pool.LRU, pool.Random} {
		for _, selector := range []pool.Selector{nil, {{Name: "zone", Values: []string{"a", "c"}}}} {
			for _, n := range sizes() {
				b.Run(fmt.Sprintf("%s/selector=%v/items=%d", strategy, selector != nil, n), func(b *testing.B) {
					d := decider{b: b, m: filled(b, n, pool.Spec{Strategy: strategy})}
					take := &pool.Acquire{Want: []pool.Want{{Pool: "p", Count: 1, Select: selector}}}
					give := new(pool.Release)
					held := make([]pool.Reply, min(n/4, 10_000))
					for i := range held {
						d.do(take)
						held[i] = d.r
					}
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						if i == len(held) {
							i = 0
						}
						give.Grant, give.Token = held[i].Grant, held[i].Token
						d.do(give)
						d.do(take)
						held[i] = d.r
						i++
					}
				})
			}
		}
	}
}

// BenchmarkWaiters: an op is a release, which the first of so many waiters gets, who then waits again.
func BenchmarkWaiters(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		if n > 10_000 && testing.Short() {
			continue
		}
		b.Run(fmt.Sprintf("waiters=%d", n), func(b *testing.B) {
			d := decider{b: b, m: filled(b, 100, pool.Spec{WaitersMax: 1_000_000, WaitMaxMs: 1 << 30})}
			take := &pool.Acquire{Want: []pool.Want{{Pool: "p", Count: 1}}}
			for range 99 {
				d.do(take)
			}
			d.do(take)
			held := d.r
			take.WaitMs = 1 << 30
			for i := range n {
				if i%1000 == 0 {
					d.do(&pool.OpenSession{Client: fmt.Sprint(i), GraceMs: 1})
					take.Session = d.r.Session
				}
				d.do(take)
			}
			b.ReportAllocs()
			for b.Loop() {
				d.do(&pool.Release{Grant: held.Grant, Token: held.Token})
				answers, _ := d.m.TakeAnswers()
				held = answers[0].Reply
				take.Session = answers[0].Session
				d.do(take)
			}
		})
	}
}

func BenchmarkRenew(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("leases=%d", n), func(b *testing.B) {
			d := decider{b: b, m: filled(b, n, pool.Spec{})}
			held := make([]pool.Reply, n)
			for i := range held {
				d.do(acquire("p", 1))
				held[i] = d.r
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				l := &held[i%n]
				d.do(&pool.Renew{Grant: l.Grant, Token: l.Token})
				i += 7919
			}
		})
	}
}

// BenchmarkExpiry: an op is a lease that runs out.
func BenchmarkExpiry(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("leases=%d", n), func(b *testing.B) {
			d := decider{b: b, m: filled(b, n, pool.Spec{})}
			ttl := int64(0)
			take := func(now int64) { // TTLs in no order
				ttl = (ttl + 7919) % 1_000_003
				at := 1000 + ttl
				d.m.Decide(now, &pool.Acquire{Want: []pool.Want{{Pool: "p", Count: 1}}, TTLMs: &at}, &d.r)
				d.m.TakeChunk()
			}
			for range n {
				take(1000)
			}
			b.ReportAllocs()
			for b.Loop() {
				at := d.m.NextDue()
				d.m.Tick(at, 1)
				d.m.TakeChunk()
				take(at)
			}
		})
	}
}

// notShort leaves a benchmark that takes seconds out of -short.
func notShort(b *testing.B) {
	if testing.Short() {
		b.Skip("it takes seconds")
	}
}

// BenchmarkFill: an op is an item.
func BenchmarkFill(b *testing.B) {
	notShort(b)
	for b.Loop() {
		filled(b, 1_000_000, pool.Spec{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/item")
}

// BenchmarkLoad: an op is a checkpoint of a million items, a tenth of them leased.
func BenchmarkLoad(b *testing.B) {
	notShort(b)
	d := decider{b: b, m: filled(b, 1_000_000, pool.Spec{})}
	for range 100_000 {
		d.do(acquire("p", 1))
	}
	all := d.m.Encoded()
	keys := make([]string, 0, len(all))
	for key := range all {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	mark := pool.Mark{Rev: d.m.Rev(), Clock: d.m.Now(), Hash: d.m.Hash()}
	d.m = nil
	for b.Loop() {
		m := pool.New(pool.Config{})
		for _, key := range keys {
			if err := m.Load([]byte(key), all[key]); err != nil {
				b.Fatal(err)
			}
		}
		if err := m.Loaded(mark); err != nil {
			b.Fatal(err)
		}
	}
}

// TestBytesPerItem measures the memory of an item in a large pool, its name and all.
func TestBytesPerItem(t *testing.T) {
	if testing.Short() {
		t.Skip("it fills a large pool")
	}
	const n = 200_000
	live := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := live()
	m := filled(t, n, pool.Spec{})
	each := (live() - before) / n
	t.Logf("%d bytes an item", each)
	if each > 500 {
		t.Errorf("%d bytes an item, want 500 at most", each)
	}
	runtime.KeepAlive(m)
}
