package pool_test

import (
	"testing"

	"github.com/kassa-go/kassa/pool"
)

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

// TestUnitsThatComeBackServeMoreThanOne gives back more units than the first in a line lacks: the next gets what is left of others.
func TestUnitsThatComeBackServeMoreThanOne(t *testing.T) {
	s := newStall(t)
	s.fillWith("s", pool.ItemSpec{ID: "x", Quantity: 3}, pool.ItemSpec{ID: "y"}, pool.ItemSpec{ID: "z"})
	c := hold("s", "x")
	c.Want[0].Count = 3
	a := s.must(c)
	ask := func(n int64) *pool.Acquire {
		return &pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "s", Count: n}}}
	}
	four, one := s.parked(ask(4)), s.parked(ask(1))
	s.must(void(a))
	answers, _ := s.m.TakeAnswers()
	if len(answers) != 2 || answers[0].Wait != four || answers[1].Wait != one {
		t.Fatalf("%+v", answers)
	}
	s.has(answers[0].Reply, "x*3", "y")
	s.has(answers[1].Reply, "z")
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
