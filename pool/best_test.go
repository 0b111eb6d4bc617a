package pool_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

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
