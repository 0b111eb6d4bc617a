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
	s.fails(long, pool.BadPayload, "allows 2000 at most; a hold can be extended")
	long.TTLMs = new(int64(1))
	if r := s.must(long); r.ExpiresAt != end {
		t.Fatalf("until %d, extended to end before: want %d", r.ExpiresAt, end)
	}
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
