package pool_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/internal/proof"
)

// seller is a machine beside the till, with its journal and its checkpoints.
type seller struct {
	rt     *rapid.T
	o      *till
	m      *pool.Machine
	chunks []chunk
	store  map[string]string
	mark   pool.Mark
	frozen bool
	batch  []pool.Record
	past   []pool.Command // with keys
	steps  int
}

// TestStockModel runs random commands of all that is sold, and checks all that they do.
func TestStockModel(t *testing.T) {
	proof.Run(t, "steps of the model of stock", 20_000, func(t *testing.T, _ *rand.Rand) int {
		steps := 0
		rapid.Check(quiet{t}, func(rt *rapid.T) {
			s := newSeller(rt)
			rt.Repeat(s.actions())
			s.sameAfterReplay()
			s.slice(1 << 30)
			s.m.Freeze()
			s.frozen, s.batch = true, nil
			s.slice(1 << 30)
			s.sameAfterReplay()
			steps += s.steps
		})
		return steps
	})
}

func newSeller(rt *rapid.T) *seller {
	cfg := pool.Config{RefuseHoldAndWait: rapid.Bool().Draw(rt, "refuse"), KeyRetentionMs: 1 << 40}
	s := &seller{rt: rt, m: pool.New(cfg), store: map[string]string{}, o: &till{
		rt: rt, now: 1_000_000, cfg: cfg, pools: map[string]*tPool{}, grants: map[uint64]*tGrant{}, waits: map[uint64]*tWait{},
		sessions: map[uint64]*tSession{}, keys: map[oKeyName]*oKey{},
	}}
	s.configure()
	for _, name := range sold {
		s.fill(&pool.Fill{Pool: name, Items: s.drawItems(name, 12)})
	}
	return s
}

// What is sold: the seats of s and t; l is of leases.
var sold = []string{"l", "s", "t"}

func (s *seller) configure() {
	rt := s.rt
	c := &pool.Configure{}
	for _, name := range sold {
		x := pool.Spec{
			Name: name, Kind: pool.Stock, OnDisconnect: pick(rt, "onDisconnect", pool.Keep, pool.ReleaseOnEnd),
			Strategy: pick(rt, "strategy", pool.First, pool.First, pool.Random, pool.LRU),
			TTLMs:    pick[int64](rt, "ttl", 700, 5000), TTLMaxMs: 6000,
			LifetimeMaxMs: pick[int64](rt, "lifetime", 6000, 9000), QuotaMax: pick[int64](rt, "quota", 0, 0, 6),
		}
		if name == "l" {
			x.Kind = pool.Lease
		} else if rapid.Bool().Draw(rt, "focus") {
			x.FocusRow, x.FocusCol = pick[int64](rt, "focusRow", 0, 200), pick[int64](rt, "focusCol", 0, 450, 333)
		}
		c.Pools = append(c.Pools, x)
	}
	s.do(c)
}

func (s *seller) drawPool() string {
	if s.seldom() {
		return "none"
	}
	return pick(s.rt, "pool", "s", "s", "s", "t", "t", "l")
}

func (s *seller) seldom() bool { return rapid.IntRange(0, 19).Draw(s.rt, "seldom") == 19 }

// known returns an item, nil when there is none.
func (s *seller) known(name, id string) *tItem {
	if p := s.o.pools[name]; p != nil {
		return p.items[id]
	}
	return nil
}

// drawKnown names an item that is there, most of the time.
func (s *seller) drawKnown(name string) string {
	if p := s.o.pools[name]; p != nil && len(p.order) > 0 && !s.seldom() {
		return pick(s.rt, "known", p.order...)
	}
	return s.drawID(name)
}

// drawSession draws a session that there is, or none, most of the time.
func (s *seller) drawSession() uint64 {
	ids := append(slices.Sorted(maps.Keys(s.o.sessions)), 0)
	if s.seldom() {
		return 999_999
	}
	return pick(s.rt, "session", ids...)
}

// drawID names a seat by where it is at first, or a counter.
func (s *seller) drawID(name string) string {
	switch {
	case name == "l":
		return pick(s.rt, "lease", "l1", "l2", "l3")
	case rapid.IntRange(0, 3).Draw(s.rt, "counter") == 0:
		return pick(s.rt, "counter", "x", "y")
	}
	place := s.drawPlace()
	return fmt.Sprintf("%c%d", 'a'+place.row-1, place.col)
}

// drawPlace draws one of a hall of two rows, whose column 4 is an aisle, most of the time.
func (s *seller) drawPlace() seatAt {
	cols := []int64{1, 2, 3, 5, 6, 7, 8}
	if rapid.IntRange(0, 19).Draw(s.rt, "aisle") == 0 {
		cols = []int64{4}
	}
	return seatAt{int64(rapid.IntRange(1, 2).Draw(s.rt, "row")), pick(s.rt, "col", cols...)}
}

func (s *seller) drawItems(name string, n int) (items []pool.ItemSpec) {
	rt := s.rt
	for range n {
		x := pool.ItemSpec{ID: s.drawID(name)}
		if zone := pick(rt, "zone", "", "", "a", "b"); zone != "" {
			x.Labels = map[string]string{"zone": zone}
		}
		switch {
		case name == "l":
		case x.ID == "x" || x.ID == "y":
			x.Quantity = pick[int64](rt, "quantity", 0, 2, 3, 4)
		case rapid.IntRange(0, 9).Draw(rt, "elsewhere") == 0:
			if rapid.Bool().Draw(rt, "placed") {
				place := s.drawPlace()
				x.Row, x.Col = place.row, place.col
			}
		default:
			x.Row, x.Col = int64(x.ID[0]-'a'+1), int64(x.ID[1]-'0')
		}
		same := func(y pool.ItemSpec) bool { return y.ID == x.ID || y.Row != 0 && y.Row == x.Row && y.Col == x.Col }
		if !slices.ContainsFunc(items, same) {
			items = append(items, x)
		}
	}
	return items
}

func (s *seller) drawKeyed() pool.Keyed {
	k := pool.Keyed{Client: pick(s.rt, "client", "ann", "bob")}
	if rapid.IntRange(0, 9).Draw(s.rt, "keyed") == 0 {
		k.Key, k.Hash = fmt.Sprint("key ", s.o.rev), 1
	}
	return k
}

func (s *seller) drawWant() pool.Want {
	rt := s.rt
	w := pool.Want{Pool: s.drawPool()}
	if rapid.IntRange(0, 2).Draw(rt, "ids") == 0 {
		for range pick(rt, "n", 1, 1, 1, 2, 3) {
			w.IDs = append(w.IDs, s.drawKnown(w.Pool))
		}
		if it := s.known(w.Pool, w.IDs[0]); s.seldom() || it != nil && len(w.IDs) == 1 && it.quantity > 1 {
			w.Count = pick[int64](rt, "count", 0, 1, 2, 3, 3, -1)
		}
		return w
	}
	w.Count = pick[int64](rt, "count", 1, 1, 1, 2, 2, 3, 4)
	if s.seldom() {
		w.Count = pick[int64](rt, "odd", 0, -1, 7)
	}
	if w.Pool != "l" || s.seldom() {
		w.Best = pick(rt, "best", "", "", pool.Together, pool.Together, pool.Split)
	}
	if rapid.IntRange(0, 2).Draw(rt, "select") == 0 {
		w.Select = pool.Selector{{Name: "zone", Values: pick(rt, "values", []string{"a"}, []string{"b", "a"})}}
	}
	return w
}

// drawGrant draws the number of a grant that is firm or not, and its token, most of the time.
func (s *seller) drawGrant(firm bool) (id, token uint64, g *tGrant) {
	var ids []uint64
	for _, id := range slices.Sorted(maps.Keys(s.o.grants)) {
		if s.o.grants[id].firm == firm {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 || s.seldom() {
		id = oneOf(s.rt, "grant", s.o.grants)
	} else {
		id = pick(s.rt, "grant", ids...)
	}
	if g = s.o.grants[id]; g != nil && !s.seldom() {
		return id, g.token, g
	}
	return id, 77, g
}

// drawParts draws what of a grant is meant; nil: all.
func (s *seller) drawParts(g *tGrant) (items []pool.ItemRef) {
	rt := s.rt
	if g == nil || rapid.Bool().Draw(rt, "all") {
		return nil
	}
	if s.seldom() {
		return []pool.ItemRef{}
	}
	for range pick(rt, "n", 1, 1, 2) {
		ref := pick(rt, "part", g.parts...)
		switch rapid.IntRange(0, 19).Draw(rt, "odd") {
		case 0:
			ref.ID = "a1"
		case 1:
			ref.Units++
		case 2:
			ref.Units = -1
		case 3, 4:
			ref.Units = 1
		case 5:
			ref.Units = 0
		case 6:
			ref.Pool = ""
		}
		items = append(items, ref)
	}
	return items
}

func (s *seller) actions() map[string]func(*rapid.T) {
	rt, o := s.rt, s.o
	acquire := func(*rapid.T) {
		c := &pool.Acquire{
			Session: s.drawSession(), WaitMs: pick[int64](rt, "wait", 0, 1000, 3000, 10_000),
			Strategy: pick[pool.Strategy](rt, "strategy", "", "", "", pool.LRU, pool.Random),
			Priority: pick[int64](rt, "priority", 0, 0, 0, 1, -1), Owner: pick(rt, "owner", "", "", "olga", "otto"),
			Kind: pick(rt, "kind", pool.Stock, pool.Stock, pool.Stock, ""), Keyed: s.drawKeyed(),
		}
		if c.WaitMs > 0 || c.Session != 0 {
			c.Key = ""
		}
		if ttl := pick[int64](rt, "ttl", -1, -1, 400, 2000, 5999); ttl > 0 {
			if s.seldom() {
				ttl = 7000
			}
			c.TTLMs = &ttl
		}
		if rapid.IntRange(0, 4).Draw(rt, "onDisconnect") == 0 {
			c.OnDisconnect = pool.ReleaseOnEnd
		}
		for range pick(rt, "wants", 1, 1, 1, 1, 2, 3) {
			c.Want = append(c.Want, s.drawWant())
		}
		if len(c.Want) > 1 && rapid.Bool().Draw(rt, "mixed") {
			c.Kind = ""
			c.Want[0] = pool.Want{Pool: "l", Count: 1}
		}
		s.acquire(c)
	}
	byItem := func() (name, id string) {
		if rapid.IntRange(0, 5).Draw(rt, "byItem") == 0 {
			name = s.drawPool()
			id = s.drawKnown(name)
		}
		return name, id
	}
	confirm := func(*rapid.T) {
		c := &pool.Confirm{Keyed: s.drawKeyed()}
		var g *tGrant
		c.Grant, c.Token, g = s.drawGrant(s.seldom())
		if c.Pool, c.Item = byItem(); c.Pool == "" {
			c.Items = s.drawParts(g)
		}
		s.confirm(c)
	}
	refund := func(*rapid.T) {
		c := &pool.Refund{Withhold: rapid.IntRange(0, 3).Draw(rt, "withhold") == 0, Keyed: s.drawKeyed()}
		var g *tGrant
		c.Grant, c.Token, g = s.drawGrant(!s.seldom())
		if c.Pool, c.Item = byItem(); c.Pool == "" {
			c.Items = s.drawParts(g)
		}
		s.refund(c)
	}
	return map[string]func(*rapid.T){
		"acquire": acquire, "acquire2": acquire, "acquire3": acquire, "acquire4": acquire, "acquire5": acquire,
		"confirm": confirm, "confirm2": confirm,
		"release": func(*rapid.T) {
			c := &pool.Release{Kind: pick(rt, "kind", pool.Stock, ""), Keyed: s.drawKeyed()}
			var g *tGrant
			c.Grant, c.Token, g = s.drawGrant(s.seldom())
			if c.Pool, c.Item = byItem(); c.Pool == "" {
				c.Items = s.drawParts(g)
			}
			s.release(c)
		},
		"refund": refund, "refund2": refund,
		"renew": func(*rapid.T) {
			c := &pool.Renew{Kind: pick(rt, "kind", pool.Stock, "")}
			c.Grant, c.Token, _ = s.drawGrant(s.seldom())
			c.Pool, c.Item = byItem()
			if ttl := pick[int64](rt, "ttl", -1, -1, 0, 3000, 6000, 7000); ttl >= 0 {
				c.TTLMs = &ttl
			}
			s.renew(c)
		},
		"again": func(*rapid.T) {
			if len(s.past) > 0 {
				s.do(pick(rt, "past", s.past...))
			}
		},
		"fill": func(*rapid.T) {
			name := s.drawPool()
			items := s.drawItems(name, rapid.IntRange(1, 5).Draw(rt, "n"))
			s.fill(&pool.Fill{Pool: name, Items: items, Configured: rapid.IntRange(0, 3).Draw(rt, "configured") == 0})
		},
		"drain": func(*rapid.T) {
			name := s.drawPool()
			c := &pool.Drain{Pool: name, IDs: []string{s.drawKnown(name)}}
			if s.seldom() {
				c.IDs, c.All = nil, true
			}
			s.drain(c)
		},
		"set": func(*rapid.T) {
			name := s.drawPool()
			c := &pool.SetItem{Pool: name, ID: s.drawKnown(name)}
			it := s.known(name, c.ID)
			counter := it != nil && it.quantity > 1
			switch n := pick[int64](rt, "withheld", -1, 0, 0, 1, 1, 2, 3); {
			case name == "l":
			case counter != s.seldom():
				c.Withheld = &n
			default:
				c.State = pick(rt, "state", "available", "available", "withheld", "withheld", "free")
			}
			if rapid.IntRange(0, 3).Draw(rt, "labels") == 0 {
				c.Labels = map[string]string{"zone": pick(rt, "zone", "a", "b")}
			}
			s.set(c)
		},
		"clean": func(*rapid.T) { // all that is withheld is for sale again
			for _, name := range sold {
				for _, id := range slices.Clone(o.pools[name].order) {
					if it := o.pools[name].items[id]; it != nil && it.withheld > 0 && it.quantity == 1 {
						s.set(&pool.SetItem{Pool: name, ID: id, State: "available"})
					} else if it != nil && it.withheld > 0 {
						s.set(&pool.SetItem{Pool: name, ID: id, Withheld: new(int64)})
					}
				}
			}
		},
		"cancel": func(*rapid.T) { s.do(&pool.CancelWait{Wait: oneOf(rt, "wait", o.waits)}) },
		"open": func(*rapid.T) {
			if len(o.sessions) < 3 {
				s.do(&pool.OpenSession{Client: pick(rt, "client", "ann", "bob"), Secret: "s", GraceMs: pick[int64](rt, "grace", 0, 2000)})
			}
		},
		"disconnect": func(*rapid.T) { s.do(&pool.Disconnect{Session: oneOf(rt, "session", o.sessions)}) },
		"resume":     func(*rapid.T) { s.do(&pool.Resume{Session: oneOf(rt, "session", o.sessions), Secret: "s"}) },
		"reconfigure": func(*rapid.T) {
			if rapid.IntRange(0, 3).Draw(rt, "really") == 0 {
				s.configure()
			}
		},
		"pass": func(*rapid.T) { s.tick(o.now + int64(rapid.IntRange(0, 1500).Draw(rt, "ms"))) },
		"late": func(*rapid.T) { o.now += int64(rapid.IntRange(0, 1500).Draw(rt, "ms")) }, // what is due is done later
		"due": func(*rapid.T) {
			if at := s.m.NextDue(); at > 0 && at < 1<<40 { // keys are never forgotten here
				s.tick(max(at, o.now))
			}
		},
		"replay": func(*rapid.T) { s.sameAfterReplay() },
		"restart": func(*rapid.T) {
			if rapid.IntRange(0, 3).Draw(rt, "really") > 0 {
				return
			}
			s.m = s.replayed(s.mark)
			s.frozen = false
			o.pending = true
			s.do(&pool.Restarted{})
			s.tick(o.now)
		},
		"freeze": func(*rapid.T) {
			if !s.frozen {
				s.m.Freeze()
				s.frozen, s.batch = true, nil
			}
		},
		"slice": func(*rapid.T) { s.slice(rapid.IntRange(1, 40).Draw(rt, "slice")) },
		"": func(*rapid.T) {
			err := s.m.Check()
			o.must(err == nil, "%v", err)
			if due := s.m.NextDue(); !o.pending && (due == 0 || due > o.now) {
				o.conserved()
			}
			o.agrees(s.m)
		},
	}
}
