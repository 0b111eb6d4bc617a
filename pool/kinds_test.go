package pool_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

// kinds has a pool of each kind.
func kinds(t *testing.T, cfg pool.Config) (*stall, *pool.Acquire) {
	s := &stall{newWorld(t, cfg, pool.Spec{Name: "l", TTLMs: seatMs}, seatSpec("s"), pool.Spec{Name: "c", Kind: pool.Calendar})}
	s.world.fill("l", 1)
	s.fillWith("s", row(1, 1, 2, 3)...)
	s.fillWith("c", pool.ItemSpec{ID: "room"})
	return s, &pool.Acquire{Want: []pool.Want{
		{Pool: "l", Count: 1}, {Pool: "s", Count: 2, Best: pool.Together},
		{Pool: "c", Count: 1, Spans: []pool.Span{{Start: 2_000_000, End: 3_000_000}}},
	}}
}

func (s *stall) counts(want string) {
	s.t.Helper()
	var got []string
	for _, name := range []string{"l", "s"} {
		x, _ := s.m.Stats(name)
		got = append(got, fmt.Sprintf("%s: %d free, %d held, %d sold", name, x.Free, x.Held, x.Sold))
	}
	views, _, _ := s.m.ListItems(nil, "c", 10, "")
	got = append(got, fmt.Sprintf("c: %d", views[0].Bookings))
	if text := strings.Join(got, "; "); text != want {
		s.t.Fatalf("%s, want %s", text, want)
	}
}

func TestAllKindsInOneRequest(t *testing.T) {
	s, ask := kinds(t, pool.Config{})
	a := s.must(ask)
	s.said("lease.granted i0001 a1 a2 room")
	s.counts("l: 0 free, 1 held, 0 sold; s: 1 free, 2 held, 0 sold; c: 1")
	s.fails(ask, pool.NoneFree)
	s.must(&pool.Renew{Grant: a.Grant, Token: a.Token})
	r := s.must(confirm(a))
	if s.has(r, "i0001", "a1", "a2", "room"); r.ExpiresAt == 0 {
		t.Fatalf("%+v: the lease is still to end", r)
	}
	s.counts("l: 0 free, 1 held, 0 sold; s: 1 free, 0 held, 2 sold; c: 1")
	s.states("a1:sold a2:sold a3:available")
	if v, _, _ := s.m.ListItems(nil, "l", 10, ""); v[0].State != "leased" || v[0].ExpiresAt != r.ExpiresAt {
		t.Fatalf("%+v", v)
	}
	if v, _, _ := s.m.ListItems(nil, "s", 10, ""); v[0].State != "sold" || v[0].Grant != a.Grant || v[0].ExpiresAt != 0 {
		t.Fatalf("%+v", v)
	}
	s.fails(confirm(a), pool.AlreadyResolved)
	s.fails(confirm(a, refs("a1")...), pool.AlreadyResolved)
	s.pass(seatMs / 2)
	if r := s.must(&pool.Renew{Grant: a.Grant, Token: a.Token}); r.ExpiresAt != s.now+seatMs {
		t.Fatalf("%+v", r)
	}
	s.said("lease.renewed")
	s.now += seatMs // the lease is over, though nothing has been done about it yet; the sale is not
	s.must(refund(a, refs("a1")...))
	s.said("sale.refunded a1")
	s.fails(&pool.Renew{Grant: a.Grant, Token: a.Token}, pool.StaleToken)
	s.pass(0)
	s.said("lease.expired i0001")
	s.counts("l: 1 free, 0 held, 0 sold; s: 2 free, 0 held, 1 sold; c: 1")
	s.fails(&pool.Release{Grant: a.Grant, Token: a.Token}, pool.AlreadyResolved)
	s.must(refund(a))
	s.counts("l: 1 free, 0 held, 0 sold; s: 3 free, 0 held, 0 sold; c: 1")
	s.pass(3_000_000 + 2*86_400_000)
	s.said("slot.past room")
	s.counts("l: 1 free, 0 held, 0 sold; s: 3 free, 0 held, 0 sold; c: 0")
}

func TestWhatIsSoldStaysWhenItsLeaseIsReleased(t *testing.T) {
	for name, release := range map[string]func(a pool.Reply) *pool.Release{
		"the holder":    func(a pool.Reply) *pool.Release { return &pool.Release{Grant: a.Grant, Token: a.Token} },
		"somebody else": func(pool.Reply) *pool.Release { return &pool.Release{Pool: "l", Item: "i0001"} },
		"some of it": func(a pool.Reply) *pool.Release {
			return &pool.Release{Grant: a.Grant, Token: a.Token, Items: refs("i0001")}
		},
		"by item, dirty": func(pool.Reply) *pool.Release { return &pool.Release{Pool: "l", Item: "i0001", Outcome: pool.Dirty} },
	} {
		t.Run(name, func(t *testing.T) {
			s, ask := kinds(t, pool.Config{})
			a := s.must(ask)
			s.must(confirm(a))
			s.fails(&pool.Release{Grant: a.Grant, Token: a.Token, Items: refs("a1")}, pool.NotFound)
			s.fails(&pool.Release{Pool: "s", Item: "a1"}, pool.AlreadyResolved, "is sold")
			s.must(release(a))
			s.said("lease.released i0001")
			if x, _ := s.m.Stats("l"); x.Held != 0 || x.Grants != 0 {
				t.Fatalf("%+v", x)
			}
			s.states("a1:sold a2:sold a3:available")
			s.pass(10 * lifeMs)
			s.states("a1:sold a2:sold a3:available")
		})
	}
}

func TestAllKindsOrNone(t *testing.T) {
	s, ask := kinds(t, pool.Config{})
	book := s.must(&pool.Book{Want: pool.Want{Pool: "c", Count: 1, Spans: []pool.Span{{Start: 2_500_000, End: 2_600_000}}}})
	s.fails(ask, pool.NoneFree)
	s.counts("l: 1 free, 0 held, 0 sold; s: 3 free, 0 held, 0 sold; c: 1")
	wait := s.parked(ask)
	s.counts("l: 1 free, 0 held, 0 sold; s: 3 free, 0 held, 0 sold; c: 1")
	b := s.must(hold("s", "a2"))
	s.must(&pool.Cancel{Grant: book.Grant, Token: book.Token})
	s.none() // no two seats are side by side
	s.must(void(b))
	a := s.served(wait, "i0001", "a1", "a2", "room")
	s.must(void(a))
	s.counts("l: 1 free, 0 held, 0 sold; s: 3 free, 0 held, 0 sold; c: 0")
	// The part of a hold that is not confirmed comes back; the lease and the room stay.
	a = s.must(ask)
	s.must(confirm(a, refs("a2")...))
	s.counts("l: 0 free, 1 held, 0 sold; s: 2 free, 0 held, 1 sold; c: 1")
	// All of it ends at once that is only held.
	s, ask = kinds(t, pool.Config{})
	a = s.must(ask)
	s.pass(seatMs)
	s.said("lease.expired room i0001 a1 a2")
	s.counts("l: 1 free, 0 held, 0 sold; s: 3 free, 0 held, 0 sold; c: 0")
	s.fails(confirm(a), pool.Expired)
}

func TestASaleOutlivesItsSession(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2)...)
	session := s.open("ann", 100)
	ask := func(id string) *pool.Acquire {
		c := hold("s", id)
		c.Session, c.OnDisconnect = session, pool.ReleaseOnEnd
		return c
	}
	a := s.must(ask("a1"))
	s.must(ask("a2"))
	s.must(confirm(a))
	s.must(&pool.Disconnect{Session: session})
	s.pass(99)
	s.states("a1:sold a2:held")
	s.pass(1)
	s.states("a1:sold a2:available")
	_, notices := s.m.TakeAnswers()
	if len(notices) != 1 || notices[0].Lost != pool.Disconnected || notices[0].Kind != pool.Stock {
		t.Fatalf("%+v", notices)
	}
	s.must(refund(a))
	s.states("a1:available a2:available")
}

func TestWhoHasBoughtMayWait(t *testing.T) {
	s := &stall{newWorld(t, pool.Config{RefuseHoldAndWait: true}, seatSpec("s"))}
	s.fillWith("s", row(1, 1, 2)...)
	session := s.open("ann", 100)
	ask := func(id string) *pool.Acquire {
		c := hold("s", id)
		c.Session = session
		return c
	}
	s.must(hold("s", "a2"))
	a := s.must(ask("a1"))
	c := ask("a2")
	c.WaitMs = 5000
	s.fails(c, pool.WouldDeadlock)
	s.must(confirm(a))
	wait := s.parked(c)
	s.pass(seatMs)
	b := s.served(wait, "a2")
	s.fails(c, pool.WouldDeadlock) // it holds again
	s.must(confirm(b))
}

func TestKeysOfSales(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", append(row(1, 1, 2), pool.ItemSpec{ID: "x", Quantity: 5})...)
	key := func(key string) pool.Keyed { return pool.Keyed{Client: "ann", Key: key, Hash: 7} }
	twice := func(c pool.Command) pool.Reply {
		t.Helper()
		first := s.must(c)
		rev := s.m.Rev()
		again := s.must(c)
		if !again.Repeated || s.m.Rev() != rev {
			t.Fatalf("%+v, then %+v", first, again)
		}
		if again.Rev != first.Rev || again.Grant != first.Grant || again.Token != first.Token ||
			again.ExpiresAt != first.ExpiresAt || again.Count != first.Count {
			t.Fatalf("%+v, then %+v", first, again)
		}
		s.has(again, idsOf(first.Items)...)
		return first
	}
	c := hold("s", "x")
	c.Want[0].Count, c.Keyed = 3, key("a")
	a := twice(c)
	b := confirm(a, unitsOf("x", 2)...)
	b.Keyed = key("b")
	s.has(twice(b), "x*2")
	d := refund(a, unitsOf("x", 1)...)
	d.Keyed = key("c")
	twice(d)
	s.states("a1:available a2:available x:4/0/1/0")
	twice(b) // what it was, not what it would be now
	e := confirm(a)
	e.Keyed = key("d")
	if r := s.do(e); r.Err == nil || r.Err.Code != pool.AlreadyResolved {
		t.Fatalf("%+v", r)
	}
	e.Keyed = key("b")
	e.Hash = 8
	s.fails(e, pool.KeyConflict)
}

func TestAHoldIsAboutToEnd(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2)...)
	c := hold("s", "a1")
	c.Session = s.open("ann", 1000)
	a := s.must(c)
	s.pass(seatMs / 2)
	s.said("hold.expiring")
	_, notices := s.m.TakeAnswers()
	if len(notices) != 1 || notices[0].Lost != "" || notices[0].Grant != a.Grant || notices[0].Kind != pool.Stock {
		t.Fatalf("%+v", notices)
	}
	s.must(confirm(a))
	s.pass(10 * seatMs)
	if _, notices := s.m.TakeAnswers(); len(notices) != 0 {
		t.Fatalf("%+v", notices)
	}
}

// TestAFillIsWholeBeforeItServes has one item of a fill be waited for by who would also take units of another, of which
// there are to be fewer.
func TestAFillIsWholeBeforeItServes(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", pool.ItemSpec{ID: "x", Quantity: 4})
	c := hold("s", "x")
	c.Want[0].Count = 3
	s.must(c)
	wait := s.parked(&pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "s", Count: 2}}})
	s.fillWith("s", pool.ItemSpec{ID: "y"}, pool.ItemSpec{ID: "x", Quantity: 3})
	s.none()
	s.states("x:0/3/0/0 y:available")
	s.fillWith("s", pool.ItemSpec{ID: "z"})
	s.served(wait, "y", "z")
}
