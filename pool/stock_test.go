package pool_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

// stall is a world that sells. After each step it is sound: its parts agree, and so do a replay and a reload.
type stall struct{ *world }

const (
	seatMs = 1000 // the TTL of a hold
	lifeMs = 2500 // the longest that one can be extended to
)

func seatSpec(name string) pool.Spec {
	return pool.Spec{Name: name, Kind: pool.Stock, TTLMs: seatMs, TTLMaxMs: 2 * seatMs, LifetimeMaxMs: lifeMs}
}

// newStall sells seats in s, of which there are none yet.
func newStall(t *testing.T, specs ...pool.Spec) *stall {
	if specs == nil {
		specs = []pool.Spec{seatSpec("s")}
	}
	return &stall{newWorld(t, pool.Config{}, specs...)}
}

// sound checks all that is made of the records, and a machine that is made anew of all chunks, and one of a checkpoint.
func (s *stall) sound() {
	s.t.Helper()
	check := func(what string, m *pool.Machine) {
		s.t.Helper()
		if err := m.Check(); err != nil {
			s.t.Fatalf("%s: %v", what, err)
		}
		if m.Hash() != s.m.Hash() || m.Rev() != s.m.Rev() {
			s.t.Fatalf("%s: rev %d, hash %x; live: rev %d, hash %x", what, m.Rev(), m.Hash(), s.m.Rev(), s.m.Hash())
		}
		all, _ := m.ListPools(100, "")
		live, _ := s.m.ListPools(100, "")
		ok := slices.Equal(all, live)
		for _, p := range live {
			items, _, _ := m.ListItems(nil, p.Pool, 100, "")
			want, _, _ := s.m.ListItems(nil, p.Pool, 100, "")
			ok = ok && slices.Equal(items, want)
		}
		if !ok {
			s.t.Fatalf("%s: pools are %+v; live: %+v; or their items differ", what, all, live)
		}
	}
	check("live", s.m)
	if s.mark = (pool.Mark{}); s.m.Rev() > 0 {
		check("replayed", s.replayed())
		clear(s.store)
		fresh := *s.world
		fresh.m = s.replayed()
		fresh.checkpoint(3, func() {})
		check("loaded", fresh.replayed())
	}
}

func (s *stall) must(c pool.Command) pool.Reply {
	s.t.Helper()
	r := s.world.must(c)
	s.sound()
	return r
}

func (s *stall) fails(c pool.Command, code pool.Code, says ...string) {
	s.t.Helper()
	s.world.fails(c, code)
	r := s.do(c)
	for _, text := range says {
		if !strings.Contains(r.Err.Message, text) {
			s.t.Fatalf("%T is refused with %q, want %q", c, r.Err.Message, text)
		}
	}
	s.sound()
}

func (s *stall) pass(ms int64) {
	s.t.Helper()
	s.tick(ms)
	s.sound()
}

func (s *stall) fillWith(name string, items ...pool.ItemSpec) {
	s.t.Helper()
	s.must(&pool.Fill{Pool: name, Items: items})
}

// row makes seats of a row, named as a1.
func row(n int64, cols ...int64) (items []pool.ItemSpec) {
	for _, c := range cols {
		items = append(items, pool.ItemSpec{ID: fmt.Sprintf("%c%d", 'a'+n-1, c), Row: n, Col: c})
	}
	return items
}

func hold(name string, ids ...string) *pool.Acquire {
	return &pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: name, IDs: ids}}}
}

func holdBest(count int64, how pool.Best) *pool.Acquire {
	return &pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "s", Count: count, Best: how}}}
}

func unitsOf(id string, n int64) []pool.ItemRef { return []pool.ItemRef{{ID: id, Units: n}} }

func refs(ids ...string) (all []pool.ItemRef) {
	for _, id := range ids {
		all = append(all, pool.ItemRef{ID: id})
	}
	return all
}

// parked asks for something that is not to be had, and waits.
func (s *stall) parked(c *pool.Acquire) uint64 {
	s.t.Helper()
	c.WaitMs = 100_000
	r := s.must(c)
	if r.Waiting == 0 {
		s.t.Fatalf("%+v does not wait", r)
	}
	s.none()
	return r.Waiting
}

// served returns the one answer that there is, which must be that of a wait that was served.
func (s *stall) served(wait uint64, ids ...string) pool.Reply {
	s.t.Helper()
	x := s.answer()
	if x.Wait != wait || x.Reply.Err != nil {
		s.t.Fatalf("answer %+v (%v), want one to %d", x, x.Reply.Err, wait)
	}
	s.has(x.Reply, ids...)
	return x.Reply
}

func idsOf(items []pool.Given) (ids []string) {
	for _, g := range items {
		id := g.ID
		if g.Units != 1 {
			id = fmt.Sprintf("%s*%d", id, g.Units)
		}
		ids = append(ids, id)
	}
	return ids
}

// has checks what a reply gives: seats by their ID, units as x*3.
func (s *stall) has(r pool.Reply, ids ...string) {
	s.t.Helper()
	if got := idsOf(r.Items); !slices.Equal(got, ids) {
		s.t.Fatalf("items are %v, want %v", got, ids)
	}
}

// states checks the states of all items of s, as a1:held; of counters available, held, sold and withheld units.
func (s *stall) states(want string) {
	s.t.Helper()
	views, _, err := s.m.ListItems(nil, "s", 100, "")
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, v := range views {
		x := v.ID + ":" + v.State
		if v.Quantity > 1 {
			x = fmt.Sprintf("%s:%d/%d/%d/%d", v.ID, v.Available, v.Held, v.Sold, v.Withheld)
		}
		if v.Draining {
			x += "!"
		}
		got = append(got, x)
	}
	if text := strings.Join(got, " "); text != want {
		s.t.Fatalf("seats are %s, want %s", text, want)
	}
}

// events returns what the last chunk says, as hold.created a1 a2.
func (s *stall) events() (all []string) {
	s.t.Helper()
	last := s.chunks[len(s.chunks)-1]
	err := pool.Events(last.data, func(e *pool.Event) bool {
		text := e.Type
		for _, ref := range e.Items {
			text += " " + ref.ID
			if ref.Units > 1 {
				text += fmt.Sprintf("*%d", ref.Units)
			}
		}
		all = append(all, text)
		return true
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *stall) said(want ...string) {
	s.t.Helper()
	if got := s.events(); !slices.Equal(got, want) {
		s.t.Fatalf("events are %q, want %q", got, want)
	}
}

func confirm(r pool.Reply, items ...pool.ItemRef) *pool.Confirm {
	return &pool.Confirm{Grant: r.Grant, Token: r.Token, Items: items}
}

func void(r pool.Reply, items ...pool.ItemRef) *pool.Release {
	return &pool.Release{Kind: pool.Stock, Grant: r.Grant, Token: r.Token, Items: items}
}

func refund(r pool.Reply, items ...pool.ItemRef) *pool.Refund {
	return &pool.Refund{Grant: r.Grant, Token: r.Token, Items: items}
}

func extend(r pool.Reply) *pool.Renew {
	return &pool.Renew{Kind: pool.Stock, Grant: r.Grant, Token: r.Token}
}

func TestASeatIsHeldAndSold(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2, 3)...)
	a := s.must(hold("s", "a1", "a2"))
	s.said("hold.created a1 a2")
	s.has(a, "a1", "a2")
	if a.ExpiresAt != s.now+seatMs || a.Token != a.Grant {
		t.Fatalf("%+v", a)
	}
	s.states("a1:held a2:held a3:available")
	s.fails(hold("s", "a1"), pool.NoneFree, `item "a1"`)
	s.fails(hold("s", "a3", "a2"), pool.NoneFree, `item "a2"`)
	b := s.must(confirm(a))
	s.said("hold.confirmed a1 a2")
	s.has(b, "a1", "a2")
	if b.ExpiresAt != 0 || b.Grant != a.Grant || b.Token != a.Token || b.Rev != s.m.Rev() {
		t.Fatalf("%+v", b)
	}
	s.states("a1:sold a2:sold a3:available")
	if x, _ := s.m.Stats("s"); x.Sold != 2 || x.Free != 1 || x.Held != 0 || x.Grants != 1 || x.Granted != 2 {
		t.Fatalf("%+v", x)
	}
	for _, c := range []pool.Command{confirm(a), confirm(a, refs("a1")...), void(a), void(a, refs("a1")...), extend(a)} {
		s.fails(c, pool.AlreadyResolved, fmt.Sprintf("hold %d was confirmed", a.Grant))
	}
	s.fails(hold("s", "a1"), pool.NoneFree)
	s.fails(&pool.Release{Pool: "s", Item: "a1"}, pool.AlreadyResolved, "is sold")
	s.pass(1 << 40)
	s.states("a1:sold a2:sold a3:available")
	if s.m.NextDue() != 0 {
		t.Fatalf("something is due at %d", s.m.NextDue())
	}
}

func TestAHoldIsVoided(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2, 3)...)
	a := s.must(hold("s", "a1", "a2", "a3"))
	wait := s.parked(hold("s", "a2"))
	if r := s.must(void(a, refs("a2")...)); r.Count != 1 {
		t.Fatalf("%+v", r)
	}
	s.said("hold.voided a2", "hold.created a2")
	b := s.served(wait, "a2")
	s.fails(void(a, refs("a2")...), pool.NotFound)
	s.must(void(a))
	s.said("hold.voided a1 a3")
	s.states("a1:available a2:held a3:available")
	s.fails(void(a), pool.Expired)
	s.fails(confirm(a), pool.Expired)
	s.fails(refund(a), pool.AlreadyResolved)
	s.must(&pool.Release{Pool: "s", Item: "a2"})
	s.fails(confirm(b), pool.Expired)
	s.states("a1:available a2:available a3:available")
}

func TestAHoldEndsAtItsMillisecond(t *testing.T) {
	for _, late := range []int64{-1, 0, 1} {
		s := newStall(t)
		s.fillWith("s", row(1, 1, 2)...)
		a := s.must(hold("s", "a1", "a2"))
		s.now = a.ExpiresAt + late // without a tick: the command comes first
		if late < 0 {
			s.must(confirm(a))
			s.states("a1:sold a2:sold")
			continue
		}
		for _, c := range []pool.Command{confirm(a), confirm(a, refs("a1")...), void(a), extend(a)} {
			s.fails(c, pool.Expired, fmt.Sprintf("hold %d is over", a.Grant))
		}
		s.fails(refund(a), pool.Conflict)
		s.states("a1:held a2:held") // time has passed, but nothing was done about it
		wait := s.parked(hold("s", "a2"))
		s.pass(0)
		s.said("hold.expired a1 a2", "hold.created a2")
		s.served(wait, "a2")
		s.fails(confirm(a), pool.Expired)
		s.states("a1:available a2:held")
	}
}

func TestHoldsAreToldApart(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2, 3)...)
	a, b := s.must(hold("s", "a1")), s.must(hold("s", "a2"))
	mixed := pool.Reply{Grant: a.Grant, Token: b.Token}
	for _, c := range []pool.Command{confirm(mixed), void(mixed), extend(mixed), refund(mixed)} {
		s.fails(c, pool.StaleToken, fmt.Sprintf("%d is not the token", b.Token))
	}
	never := pool.Reply{Grant: 1 << 50, Token: 1 << 50}
	for _, c := range []pool.Command{
		confirm(never), void(never), extend(never), refund(never), confirm(pool.Reply{}), refund(pool.Reply{}),
	} {
		s.fails(c, pool.NotFound, "never was")
	}
	s.fails(confirm(a, refs("a2")...), pool.NotFound, `item "a2"`)
	s.fails(confirm(a, refs("a1", "a1")...), pool.BadPayload, "named twice")
	s.fails(confirm(a, unitsOf("a1", 2)...), pool.BadPayload, "has 1")
	none := []pool.ItemRef{}
	s.fails(&pool.Confirm{Grant: a.Grant, Token: a.Token, Items: none}, pool.BadPayload, "no items are named that are to be confirmed")
	s.fails(&pool.Release{Grant: a.Grant, Token: a.Token, Items: none}, pool.BadPayload, "to be released")
	s.must(confirm(a, pool.ItemRef{Pool: "s", ID: "a1", Units: 1}))
	s.fails(confirm(mixed), pool.StaleToken)
	s.fails(refund(mixed), pool.StaleToken)
	s.fails(&pool.Refund{Grant: a.Grant, Token: a.Token, Items: none}, pool.BadPayload, "to be refunded")
	s.fails(refund(a, refs("a2")...), pool.NotFound, `item "a2"`)
	s.fails(refund(a, refs("a1", "a1")...), pool.BadPayload, "named twice")
	s.fails(refund(b), pool.Conflict, "void it")
	s.states("a1:sold a2:held a3:available")
}

func TestAHoldIsExtendedToItsLastMoment(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1)...)
	a := s.must(hold("s", "a1"))
	end := s.now + lifeMs
	for range 10 {
		s.pass(400)
		if s.now+400 >= end {
			break
		}
		r := s.must(extend(a))
		s.said("hold.extended")
		if want := min(s.now+seatMs, end); r.ExpiresAt != want {
			t.Fatalf("extended at %d until %d, want %d", s.now, r.ExpiresAt, want)
		}
	}
	long := extend(a)
	long.TTLMs = new(int64(2 * seatMs))
	if r := s.must(long); r.ExpiresAt != end {
		t.Fatalf("until %d, want %d", r.ExpiresAt, end)
	}
	*long.TTLMs++
	s.fails(long, pool.BadPayload, "allows 2000")
	s.now = end - 1
	s.must(extend(a))
	s.now = end
	s.fails(extend(a), pool.Expired)
	s.fails(confirm(a), pool.Expired)
	s.pass(0)
	s.states("a1:available")
}

func TestAPartialConfirmReturnsTheRest(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2, 3, 4)...)
	a := s.must(hold("s", "a1", "a2", "a3"))
	one, two := s.parked(hold("s", "a3")), s.parked(&pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "s", Count: 2}}})
	r := s.must(confirm(a, refs("a2")...))
	s.said("hold.voided a1 a3", "hold.created a3", "hold.created a1 a4", "hold.confirmed a2")
	s.has(r, "a2")
	answers, _ := s.m.TakeAnswers()
	if len(answers) != 2 || answers[0].Wait != one || answers[1].Wait != two {
		t.Fatalf("%+v", answers)
	}
	s.states("a1:held a2:sold a3:held a4:held")
	s.fails(refund(a, refs("a1")...), pool.NotFound)
	s.pass(seatMs)
	s.states("a1:available a2:sold a3:available a4:available")
	s.must(refund(a))
	s.said("sale.refunded a2")
}

func TestASaleIsRefunded(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2, 3)...)
	a := s.must(hold("s", "a1", "a2", "a3"))
	s.fails(refund(a), pool.Conflict, "was not confirmed")
	s.must(confirm(a))
	wait := s.parked(hold("s", "a1"))
	if r := s.must(refund(a, refs("a1")...)); r.Count != 1 || r.Grant != a.Grant {
		t.Fatalf("%+v", r)
	}
	s.said("sale.refunded a1", "hold.created a1")
	b := s.served(wait, "a1")
	s.fails(refund(a, refs("a1")...), pool.NotFound)
	s.must(confirm(b))
	s.states("a1:sold a2:sold a3:sold")
	s.must(refund(a))
	s.said("sale.refunded a2 a3")
	s.fails(refund(a), pool.AlreadyResolved)
	s.fails(refund(a, refs("a2")...), pool.AlreadyResolved)
	s.states("a1:sold a2:available a3:available") // a1 was sold anew, and stays
	s.must(refund(b))
	s.states("a1:available a2:available a3:available")
	if x, _ := s.m.Stats("s"); x.Grants != 0 || x.Free != 3 || x.Sold != 0 {
		t.Fatalf("%+v", x)
	}
}

func TestASeatIsNamedInThePlaceOfItsHold(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", append(row(1, 1, 2), pool.ItemSpec{ID: "x", Quantity: 2})...)
	sell := func(id string) *pool.Confirm { return &pool.Confirm{Pool: "s", Item: id} }
	back := func(id string) *pool.Refund { return &pool.Refund{Pool: "s", Item: id} }
	s.fails(sell("a1"), pool.Conflict, "it is available")
	s.fails(back("a1"), pool.Conflict, "it is available")
	s.fails(sell("a9"), pool.NotFound)
	s.fails(back("a9"), pool.NotFound)
	a := s.must(hold("s", "a1", "a2", "x"))
	s.fails(back("a1"), pool.Conflict, "it is held")
	for _, c := range []pool.Command{sell("x"), back("x"), &pool.Release{Pool: "s", Item: "x"}} {
		s.fails(c, pool.Conflict) // there may be several holds of it
	}
	s.has(s.must(sell("a2")), "a1", "a2", "x") // all of its hold
	s.fails(sell("a2"), pool.AlreadyResolved, "is sold")
	if r := s.must(back("a1")); r.Grant != a.Grant || r.Count != 1 {
		t.Fatalf("%+v", r)
	}
	s.said("sale.refunded a1")
	s.fails(back("a1"), pool.Conflict, "it is available")
	s.states("a1:available a2:sold x:1/0/1/0")
	s.must(hold("s", "a1"))
	s.now += seatMs
	s.fails(sell("a1"), pool.Conflict)
}

func TestWhatIsRefundedMayBeWithheld(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2)...)
	a := s.must(hold("s", "a1", "a2"))
	s.must(confirm(a))
	wait := s.parked(hold("s", "a1"))
	c := refund(a)
	c.Withhold = true
	s.must(c)
	s.none()
	s.states("a1:withheld a2:withheld")
	if x, _ := s.m.Stats("s"); x.Withheld != 2 || x.Free != 0 || x.Grants != 0 {
		t.Fatalf("%+v", x)
	}
	s.fails(hold("s", "a2"), pool.NoneFree)
	s.fails(c, pool.AlreadyResolved)
	s.fails(&pool.SetItem{Pool: "s", ID: "a1", State: "free"}, pool.BadPayload, "available or withheld")
	s.fails(&pool.SetItem{Pool: "s", ID: "a1", Withheld: new(int64)}, pool.BadPayload, "quantity")
	s.must(&pool.SetItem{Pool: "s", ID: "a1", State: "available"})
	b := s.served(wait, "a1")
	s.must(&pool.SetItem{Pool: "s", ID: "a1", State: "withheld"}) // it is held, and may be sold: then it is over
	s.must(confirm(b))
	s.must(refund(b))
	s.states("a1:withheld a2:withheld")
}

func TestWhatCanNotBeHeld(t *testing.T) {
	w := seatSpec("s")
	w.WaitMaxMs = 5000
	s := newStall(t, w, pool.Spec{Name: "p"})
	s.fillWith("s", row(1, 1, 2)...)
	s.fillWith("s", pool.ItemSpec{ID: "x", Quantity: 5})
	s.world.fill("p", 1)
	count := holdBest
	wants := func(wants ...pool.Want) *pool.Acquire { return &pool.Acquire{Want: wants} }
	named := func(n int64, ids ...string) *pool.Acquire {
		c := hold("s", ids...)
		c.Want[0].Count = n
		return c
	}
	for _, c := range []struct {
		command pool.Command
		code    pool.Code
		says    string
	}{
		{hold("s", "a1", "a1"), pool.BadPayload, "named twice"},
		{hold("s", "a1", "a9"), pool.NotFound, `no item "a9"`},
		{hold("p", "i0001"), pool.BadPayload, "pool p is of kind lease: a hold is of stock"},
		{count(0, ""), pool.BadPayload, "count is 0"},
		{count(8, ""), pool.NoMatch, "pool s has 7"},
		{count(1, "odd"), pool.BadPayload, `best is "odd"`},
		{count(3, pool.Together), pool.NoMatch, "nowhere 3 items side by side"},
		{count(101, pool.Split), pool.BadPayload, "100 at most"},
		{named(6, "x"), pool.NoMatch, "pool s has 5"},
		{named(-1, "x"), pool.BadPayload, "count is -1"},
		{named(2, "a1"), pool.BadPayload, "leave one of them out"},
		{named(3, "a1", "x"), pool.BadPayload, "leave one of them out"},
		{wants(pool.Want{Pool: "s", IDs: []string{"a1"}, Best: pool.Together}), pool.BadPayload, "without naming"},
		{wants(pool.Want{Pool: "p", Count: 1, Best: pool.Together}), pool.BadPayload, "kind stock"},
		{wants(pool.Want{Pool: "s", IDs: []string{"x"}}, pool.Want{Pool: "s", IDs: []string{"x"}}), pool.BadPayload, "named twice"},
		{wants(pool.Want{Pool: "s", Count: 1, Spans: []pool.Span{{Start: 1, End: 2}}}), pool.BadPayload, "only a calendar"},
		{&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "y", Row: 1}}}, pool.BadPayload, "want both"},
		{&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "y", Row: 1, Col: 9, Quantity: 2}}}, pool.BadPayload, "a seat is sold once"},
		{&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "y", Quantity: -1}}}, pool.BadPayload, "want 1 to"},
		{&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "y", Quantity: 2}}}, pool.BadPayload, "each item is one"},
		{&pool.Fill{Pool: "p", Items: row(1, 1)}, pool.BadPayload, "kind stock"},
		{&pool.SetItem{Pool: "s", ID: "x", State: "withheld"}, pool.BadPayload, "how many are withheld"},
		{&pool.SetItem{Pool: "s", ID: "x", Withheld: new(int64(-1))}, pool.Conflict, "withheld is -1"},
		{&pool.SetItem{Pool: "s", ID: "x", Withheld: new(int64(6))}, pool.Conflict, "withheld is 6"},
	} {
		s.fails(c.command, c.code, c.says)
	}
	s.must(hold("s", "a1"))
	s.fails(count(2, pool.Together), pool.NoneFree, "no 2 are side by side")
	s.fails(count(2, pool.Split), pool.NoneFree)
	s.must(&pool.Drain{Pool: "s", IDs: []string{"a1"}})
	s.fails(hold("s", "a1"), pool.NoMatch, "leaving")
}

func TestUnitsAreHeldAndSold(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", pool.ItemSpec{ID: "x", Quantity: 5})
	take := func(n int64) *pool.Acquire {
		c := hold("s", "x")
		c.Want[0].Count = n
		return c
	}
	a := s.must(take(3))
	s.has(a, "x*3")
	s.said("hold.created x*3")
	s.states("x:2/3/0/0")
	s.fails(take(3), pool.NoneFree, "2 are free, 3 are wanted")
	b := s.must(&pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "s", Count: 2}}})
	s.has(b, "x*2")
	s.fails(take(1), pool.NoneFree)
	wait := s.parked(take(2))
	s.fails(confirm(a, unitsOf("x", 4)...), pool.BadPayload, "has 3")
	s.fails(confirm(a, unitsOf("x", -1)...), pool.BadPayload)
	r := s.must(confirm(a, unitsOf("x", 1)...)) // two come back
	s.said("hold.voided x*2", "hold.created x*2", "hold.confirmed x")
	s.has(r, "x")
	c := s.served(wait, "x*2")
	s.states("x:0/4/1/0")
	if x, _ := s.m.Stats("s"); x.Held != 4 || x.Sold != 1 || x.Free != 0 || x.Grants != 3 {
		t.Fatalf("%+v", x)
	}
	s.must(void(c, unitsOf("x", 1)...))
	s.said("hold.voided x")
	s.must(confirm(c))
	s.states("x:1/2/2/0")
	s.pass(seatMs)
	s.said("hold.expired x*2")
	s.states("x:3/0/2/0")
	s.fails(confirm(b), pool.Expired)
	d := s.must(take(3))
	s.must(confirm(d))
	s.states("x:0/0/5/0")
	s.fails(refund(d, unitsOf("x", 4)...), pool.BadPayload, "has 3")
	s.must(refund(d, unitsOf("x", 2)...))
	s.said("sale.refunded x*2")
	s.states("x:2/0/3/0")
	w := refund(d)
	w.Withhold = true
	s.must(w)
	s.fails(w, pool.AlreadyResolved)
	s.states("x:2/0/2/1")
	s.fails(take(3), pool.NoneFree)
	s.must(take(2))
}

func TestUnitsAreWithheld(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", pool.ItemSpec{ID: "x", Quantity: 6}, pool.ItemSpec{ID: "y", Quantity: 2})
	take := func(n int64) *pool.Acquire {
		c := hold("s", "x")
		c.Want[0].Count = n
		return c
	}
	withhold := func(n int64) *pool.SetItem { return &pool.SetItem{Pool: "s", ID: "x", Withheld: &n} }
	a := s.must(take(2))
	b := s.must(take(1))
	s.must(confirm(b))
	s.fails(withhold(4), pool.Conflict, "has 3")
	s.must(withhold(3))
	s.said("item.state x")
	s.states("x:0/2/1/3 y:2/0/0/0")
	s.fails(take(1), pool.NoneFree)
	wait := s.parked(take(2))
	s.must(withhold(2))
	s.none()
	if r := s.must(withhold(2)); r.Count != 0 {
		t.Fatalf("%+v: nothing has changed", r)
	}
	s.must(withhold(0))
	s.served(wait, "x*2")
	s.states("x:1/4/1/0 y:2/0/0/0")

	fill := func(n int64) *pool.Fill {
		return &pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "z"}, {ID: "x", Quantity: n}}}
	}
	s.must(withhold(1))
	s.fails(fill(5), pool.Conflict, "6 are held, sold or withheld")
	s.fails(fill(1), pool.Conflict)
	s.must(withhold(0))
	s.fails(fill(4), pool.Conflict, "5 are held, sold or withheld")
	s.must(fill(5))
	s.states("x:0/4/1/0 y:2/0/0/0 z:available")
	wait = s.parked(take(4))
	s.must(fill(8))
	s.none()
	s.must(fill(9))
	s.served(wait, "x*4")
	s.states("x:0/8/1/0 y:2/0/0/0 z:available")
	s.must(void(a))
	s.must(refund(b))
	s.states("x:3/6/0/0 y:2/0/0/0 z:available")
	s.pass(seatMs)
	s.must(fill(1)) // it becomes a seat, as nobody has any of it
	s.states("x:available y:2/0/0/0 z:available")
	s.must(hold("s", "x"))
	s.fails(fill(2), pool.Conflict)
}

// TestAWaitForMoreUnitsThanThereAreEnds lowers a quantity, and moves seats, under those who wait.
func TestAWaitForMoreUnitsThanThereAreEnds(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", pool.ItemSpec{ID: "x", Quantity: 5})
	ask := func(n int64, ids ...string) *pool.Acquire {
		c := hold("s", ids...)
		c.Want[0].Count = n
		return c
	}
	s.must(ask(3, "x"))
	named, four := s.parked(ask(5, "x")), s.parked(ask(4))
	behind := s.parked(ask(1, "x")) // the first of its line wants more
	s.must(&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "x", Quantity: 4}}})
	s.pass(0)
	answers, _ := s.m.TakeAnswers()
	if len(answers) != 2 || answers[0].Wait != named || answers[1].Wait != behind {
		t.Fatalf("%+v", answers)
	}
	if err := answers[0].Reply.Err; err == nil || err.Code != pool.NoMatch || answers[1].Reply.Err != nil {
		t.Fatalf("%+v", answers)
	}
	s.must(&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "y"}}})
	s.must(hold("s", "y"))
	s.must(&pool.Drain{Pool: "s", IDs: []string{"y"}})
	s.pass(0)
	s.none()
	if x, err := s.m.Explain(four); err != nil || x.Position != 1 {
		t.Fatalf("%+v, %v", x, err)
	}

	s = newStall(t)
	s.fillWith("s", row(1, 1, 2, 3)...)
	s.must(hold("s", "a1"))
	three := s.parked(holdBest(3, pool.Together))
	s.fillWith("s", pool.ItemSpec{ID: "a3", Row: 1, Col: 9})
	s.pass(0)
	if x := s.answer(); x.Wait != three || x.Reply.Err == nil || x.Reply.Err.Code != pool.NoMatch {
		t.Fatalf("%+v", x)
	}
}

func TestADrainedSeatLeavesWhenItIsRefunded(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", append(row(1, 1, 2, 3), pool.ItemSpec{ID: "x", Quantity: 3})...)
	a := s.must(hold("s", "a1", "a2", "x"))
	if r := s.must(&pool.Drain{Pool: "s", All: true}); r.Count != 1 || r.Other != 3 {
		t.Fatalf("%+v", r)
	}
	s.states("a1:held! a2:held! x:0/1/0/0!")
	s.must(confirm(a, refs("a1", "x")...))
	s.states("a1:sold! x:0/0/1/0!")
	s.fails(hold("s", "x"), pool.NoMatch)
	s.fillWith("s", pool.ItemSpec{ID: "x", Quantity: 3}) // it stays after all
	s.states("a1:sold! x:2/0/1/0")
	s.must(&pool.Drain{Pool: "s", IDs: []string{"x"}})
	w := refund(a)
	w.Withhold = true
	s.must(w)
	s.states("")
	if x, _ := s.m.Stats("s"); x.Items != 0 || x.Grants != 0 || x.Withheld != 0 {
		t.Fatalf("%+v", x)
	}
}

// TestACounterKeepsItsTurn changes counters that are free in part, which lru goes by.
func TestACounterKeepsItsTurn(t *testing.T) {
	w := seatSpec("s")
	w.Strategy = pool.LRU
	s := newStall(t, w)
	s.fillWith("s", pool.ItemSpec{ID: "x", Quantity: 3}, pool.ItemSpec{ID: "y", Quantity: 3}, pool.ItemSpec{ID: "z", Quantity: 3})
	a := s.must(hold("s", "x"))
	s.must(&pool.Drain{Pool: "s", IDs: []string{"x"}})
	s.fillWith("s", pool.ItemSpec{ID: "x", Quantity: 3})
	s.fillWith("s", pool.ItemSpec{ID: "y", Quantity: 4})
	r := s.must(&pool.Acquire{Want: []pool.Want{{Pool: "s", Count: 9}}})
	s.has(r, "z*3", "x*2", "y*4") // those that changed are as if they had just come
	s.must(void(a))
	s.states("x:1/2/0/0 y:0/4/0/0 z:0/3/0/0")
}

func TestBestSeats(t *testing.T) {
	w := seatSpec("s")
	w.FocusRow, w.FocusCol = 200, 450
	s := newStall(t, w)
	// Two rows, with an aisle between columns 4 and 6.
	s.fillWith("s", slices.Concat(row(1, 1, 2, 3, 4, 6, 7, 8), row(2, 1, 2, 3, 4, 6, 7, 8))...)
	a := s.must(holdBest(3, pool.Together))
	s.has(a, "b2", "b3", "b4")
	s.must(confirm(a))
	b := s.must(holdBest(3, pool.Together))
	s.has(b, "a2", "a3", "a4")
	s.fails(holdBest(4, pool.Together), pool.NoneFree)
	s.fails(holdBest(5, pool.Together), pool.NoMatch, "side by side") // there is an aisle
	c := s.must(holdBest(4, pool.Split))
	s.has(c, "b6", "b7", "b8", "a7") // the last is next to the middle of the others
	s.fails(holdBest(4, pool.Together), pool.NoneFree)
	s.must(void(b))
	s.has(s.must(holdBest(2, pool.Together)), "a3", "a4")
	s.fails(holdBest(6, pool.Split), pool.NoneFree)
	s.has(s.must(holdBest(5, pool.Split)), "a1", "a2", "b1", "a6", "a8")
}

func TestBestSeatsOfASelection(t *testing.T) {
	s := newStall(t)
	items := row(1, 1, 2, 3, 4, 5, 6)
	for i := range items {
		items[i].Labels = map[string]string{"zone": []string{"x", "y"}[i/3]}
	}
	s.fillWith("s", items...)
	inY := func(n int64) *pool.Acquire {
		c := holdBest(n, pool.Together)
		c.Want[0].Select = pool.Selector{{Name: "zone", Values: []string{"y"}}}
		return c
	}
	s.fails(inY(4), pool.NoMatch)
	s.has(s.must(inY(2)), "a4", "a5")
	s.fails(inY(2), pool.NoneFree)
	s.has(s.must(holdBest(3, pool.Together)), "a1", "a2", "a3")
}

// TestBestSeatsOfOneRequestDoNotOverlap has wants of one request pick seats, one after the other.
func TestBestSeatsOfOneRequestDoNotOverlap(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2, 3, 4, 5, 6)...)
	c := holdBest(2, pool.Together)
	c.Want = append(c.Want, c.Want[0], pool.Want{Pool: "s", IDs: []string{"a1"}})
	a := s.must(c)
	s.has(a, "a2", "a3", "a4", "a5", "a1")
	s.must(void(a))
	c.Want[1].Count = 4
	s.fails(c, pool.NoMatch, "7 items are wanted in all")
	c.Want = c.Want[:2]
	s.must(hold("s", "a6"))
	s.fails(c, pool.NoneFree)
	s.states("a1:available a2:available a3:available a4:available a5:available a6:held")
}

func TestBestSeatsAreWaitedFor(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2, 3, 4)...)
	var held []pool.Reply
	for _, id := range []string{"a1", "a2", "a3", "a4"} {
		held = append(held, s.must(hold("s", id)))
	}
	first, second := s.parked(holdBest(2, pool.Together)), s.parked(holdBest(2, pool.Together))
	s.must(void(held[0]))
	s.none()
	s.must(void(held[2]))
	s.none() // two are free, but apart
	if x, err := s.m.Explain(second); err != nil || x.Position != 2 {
		t.Fatalf("%+v, %v", x, err)
	}
	s.fails(holdBest(2, pool.Together), pool.NoneFree)
	s.must(void(held[3]))
	s.served(first, "a3", "a4")
	s.must(void(held[1]))
	s.served(second, "a1", "a2")

	split := s.parked(holdBest(3, pool.Split))
	s.pass(seatMs)
	s.served(split, "a1", "a2", "a3")
}

// TestNobodyWaitsForSeatsThatNeverWillBeSideBySide has a seat leave, at once or when it comes back, and first come who did
// not look meanwhile.
func TestNobodyWaitsForSeatsThatNeverWillBeSideBySide(t *testing.T) {
	noMatch := func(s *stall, wait uint64) {
		t.Helper()
		s.pass(0)
		if x := s.answer(); x.Wait != wait || x.Reply.Err == nil || x.Reply.Err.Code != pool.NoMatch {
			t.Fatalf("%+v (%v), want no_match for %d", x, x.Reply.Err, wait)
		}
	}
	s := newStall(t)
	s.fillWith("s", append(row(1, 1, 2, 3), row(2, 1)...)...)
	a := s.must(hold("s", "a1", "a2", "a3"))
	s.must(confirm(a))
	wait := s.parked(holdBest(3, pool.Together))
	s.must(&pool.Drain{Pool: "s", IDs: []string{"a2"}})
	noMatch(s, wait)
	s.fails(holdBest(3, pool.Together), pool.NoMatch)
	s.fails(&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "n", Row: 1, Col: 2}}}, pool.Conflict, `"a2"`)
	s.fillWith("s", row(1, 2)...) // it stays
	wait = s.parked(holdBest(3, pool.Together))
	s.must(refund(a))
	s.served(wait, "a1", "a2", "a3")

	s = newStall(t)
	s.fillWith("s", append(row(1, 1, 2, 3), row(2, 1)...)...)
	a, b := s.must(hold("s", "a1", "a2", "a3")), s.must(hold("s", "b1"))
	one, three := s.parked(holdBest(1, pool.Together)), s.parked(holdBest(3, pool.Together))
	s.must(&pool.Drain{Pool: "s", IDs: []string{"a2"}})
	s.pass(0)
	s.none()
	s.must(void(b))
	answers, _ := s.m.TakeAnswers()
	if len(answers) != 1 || answers[0].Wait != one {
		t.Fatalf("%+v", answers)
	}
	noMatch(s, three)
	s.must(void(a))

	s = newStall(t)
	s.fillWith("s", append(row(1, 1), pool.ItemSpec{ID: "x"})...)
	s.must(hold("s", "a1", "x"))
	wait = s.parked(holdBest(1, pool.Together))
	s.fillWith("s", pool.ItemSpec{ID: "a1"}) // no seat has a place any more
	noMatch(s, wait)
}

func TestTheQuotaIsOfHeldAndSold(t *testing.T) {
	w := seatSpec("s")
	w.QuotaMax = 3
	s := newStall(t, w)
	s.fillWith("s", append(row(1, 1, 2), pool.ItemSpec{ID: "x", Quantity: 9})...)
	by := func(client string, c *pool.Acquire) *pool.Acquire {
		c.Client = client
		return c
	}
	take := func(n int64) *pool.Acquire {
		c := hold("s", "x")
		c.Want[0].Count = n
		return by("ann", c)
	}
	a := s.must(by("ann", hold("s", "a1")))
	s.must(confirm(a))
	s.fails(take(3), pool.QuotaExceeded, "holds 1 items of pool s and wants 3 more")
	b := s.must(take(2))
	s.must(confirm(b, unitsOf("x", 1)...))
	s.fails(take(2), pool.QuotaExceeded)
	s.must(by("bob", take(3)))
	s.must(take(1))
	s.fails(by("ann", hold("s", "a2")), pool.QuotaExceeded)
	s.pass(1 << 40)
	s.fails(take(2), pool.QuotaExceeded)
	s.must(refund(a))
	s.must(take(2))
	s.must(&pool.Configure{Pools: []pool.Spec{seatSpec("s")}})
	s.must(take(3))
	s.must(&pool.Configure{Pools: []pool.Spec{w}})
	s.fails(take(1), pool.QuotaExceeded, "holds 6")
}

func TestSeatsChangePlaces(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", row(1, 1, 2, 4)...)
	s.fails(&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "n", Row: 1, Col: 2}}}, pool.Conflict, `where item "a2" is`)
	two := []pool.ItemSpec{{ID: "n", Row: 1, Col: 3}, {ID: "m", Row: 1, Col: 3}}
	s.fails(&pool.Fill{Pool: "s", Items: two}, pool.BadPayload, "so is another")
	places := func(want ...string) {
		t.Helper()
		views, _, _ := s.m.ListItems(nil, "s", 100, "")
		var got []string
		for _, v := range views {
			got = append(got, fmt.Sprintf("%s@%d,%d", v.ID, v.Row, v.Col))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("places are %v, want %v", got, want)
		}
	}
	a := s.must(hold("s", "a1"))
	s.must(&pool.Fill{Pool: "s", Configured: true, Items: []pool.ItemSpec{{ID: "a1", Row: 1, Col: 2}, {ID: "a2", Row: 1, Col: 1}}})
	places("a1@1,2", "a2@1,1", "a4@1,4")
	s.must(&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "a1", Row: 1, Col: 1}, {ID: "a2", Row: 1, Col: 2}}})
	places("a1@1,1", "a2@1,2", "a4@1,4")
	wait := s.parked(holdBest(2, pool.Together))
	s.fillWith("s", pool.ItemSpec{ID: "a4", Row: 1, Col: 3})
	s.served(wait, "a2", "a4")
	s.must(confirm(a))
	// In the configuration the last is right: who was there has no place until it is named.
	s.must(&pool.Fill{Pool: "s", Configured: true, Items: []pool.ItemSpec{{ID: "b", Row: 1, Col: 1}}})
	places("a1@0,0", "a2@1,2", "a4@1,3", "b@1,1")
	s.must(refund(a))
	s.states("a1:available a2:held a4:held b:available")
	s.fails(holdBest(2, pool.Split), pool.NoneFree)
	s.must(&pool.SetItem{Pool: "s", ID: "b", Labels: map[string]string{"zone": "x"}}) // it becomes the last, and keeps its place
	places("a1@0,0", "a2@1,2", "a4@1,3", "b@1,1")
	s.has(s.must(holdBest(1, pool.Together)), "b")
}

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
	if v, _, _ := s.m.ListItems(nil, "l", 10, ""); v[0].State != "leased" {
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
