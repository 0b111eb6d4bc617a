package serve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool/wire"
)

// connections waits until the server has so many.
func (s *served) connections(t *testing.T, n int64) {
	t.Helper()
	for s.d.Stats().Connections != n {
	}
}

// A client leaves as what it waits for is granted, and nobody knows of it: it comes back at once, not when its time is over.
func TestGrantedToWhoIsGone(t *testing.T) {
	for _, hello := range []bool{false, true} {
		for _, parked := range []bool{false, true} {
			t.Run(fmt.Sprintf("hello %t, parked %t", hello, parked), func(t *testing.T) {
				j := newSlow()
				s := start(t, Config{Journal: j, Pools: []Pool{items("p", 1)}})
				holder, c := dial(t, s.addr), dial(t, s.addr)
				if hello {
					c.hello("")
				}
				l := holder.acquire("p", "")
				wait := want("p", `,"waitMs":60000,"ttlMs":3600000`)
				if parked {
					c.send("lease.acquire", wait)
					holder.waiting("p", 1)
				}
				goOn := j.hold(t, &j.durable)
				if !parked {
					c.send("lease.acquire", wait)
					within(t, "it waits", j.appended, giveUp)
				}
				released := holder.send("lease.release", held(l))
				within(t, "it is granted", j.appended, giveUp)
				c.Close()
				s.connections(t, 1)
				goOn()
				holder.reply(released).none(t)
				holder.comesFree("p")
			})
		}
	}
}

// Who has taken a request back is not told under its key of what it came to meanwhile, and that was given up.
func TestTakenBackAsGranted(t *testing.T) {
	j := newSlow()
	s := start(t, Config{Journal: j, Pools: []Pool{items("p", 1)}})
	holder, c := dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	wait := want("p", `,"waitMs":60000`)
	index := c.send("lease.acquire", wait, `"key":"k"`)
	holder.waiting("p", 1)
	goOn := j.hold(t, &j.durable)
	released := holder.send("lease.release", held(l))
	within(t, "it is granted", j.appended, giveUp)
	cancelled(t, c, index)
	again := c.send("lease.acquire", wait, `"key":"k"`)
	within(t, "what it was granted comes back", j.appended, giveUp)
	goOn()
	holder.reply(released).none(t)
	got := into[wire.Lease](t, c.reply(again))
	c.call("lease.renew", held(got)).none(t)
	c.release(got)
	holder.comesFree("p")
}

// A request that is taken back at the moment in which it is granted is granted or taken back, not both.
func TestGrantedOrTakenBack(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	holder, c := dial(t, s.addr), dial(t, s.addr)
	c.hello("")
	for range 100 {
		l := holder.acquire("p", "")
		index := c.send("lease.acquire", want("p", `,"waitMs":60000`))
		holder.waiting("p", 1)
		released := holder.send("lease.release", held(l))
		c.send("cancel", fmt.Sprintf(`{"queryIndex":%d}`, index))
		var answer frame
		for range 2 {
			f := c.next()
			if f.QueryIndex == nil {
				t.Fatalf("pushed %s %s", f.Type, f.Event)
			}
			if *f.QueryIndex == index {
				answer = f
			}
		}
		holder.reply(released).none(t)
		if answer.Code == "" {
			c.release(into[wire.Lease](t, answer))
		} else {
			answer.wants(t, "cancelled")
		}
		holder.comesFree("p")
		if c.call("ping", `null`); len(c.pushes) > 0 {
			t.Fatalf("cancelled, and then pushed %+v", c.pushes)
		}
	}
}

// Who asks again under the key of a request that is being taken back has asked for it: whether it still waits, or was granted
// meanwhile.
func TestTakenBackAsAskedAgain(t *testing.T) {
	for _, granted := range []bool{false, true} {
		t.Run(fmt.Sprintf("granted %t", granted), func(t *testing.T) {
			j := newSlow()
			s := start(t, Config{Journal: j, Pools: []Pool{items("p", 1), items("q", 1)}})
			holder, first, second := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
			l := holder.acquire("p", "")
			wait := want("p", `,"waitMs":60000`)
			index := first.send("lease.acquire", wait, `"key":"k"`)
			holder.waiting("p", 1)
			goOn := j.hold(t, &j.durable)
			released := uint64(0)
			if granted {
				released = holder.send("lease.release", held(l))
				within(t, "it is granted", j.appended, giveUp)
			}
			again := second.send("lease.acquire", wait, `"key":"k"`)
			behind := second.send("item.set", `{"pool":"q","id":"1","attrs":1}`)
			within(t, "it was asked for again", j.appended, giveUp)
			cancelled(t, first, index)
			first.call("ping", `null`).none(t)
			goOn()
			if granted {
				holder.reply(released).none(t)
				got := into[wire.Lease](t, second.reply(again))
				second.reply(behind).none(t)
				second.release(got)
				return
			}
			second.reply(behind).none(t)
			holder.waiting("p", 1)
			holder.release(l)
			second.release(into[wire.Lease](t, second.reply(again)))
		})
	}
}

// What a client waits for that has come back before the server has missed its old connection is told over the new one, too.
func TestGrantedToWhoCameBack(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	holder, old, c := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	resume := old.hello("")
	index := old.send("lease.acquire", want("p", `,"waitMs":60000`))
	holder.waiting("p", 1)
	c.hello(resume)
	holder.release(l)
	f := c.push()
	if got := into[wire.Lease](t, f); f.Type != "lease.granted" || got.Lease != into[wire.Lease](t, old.reply(index)).Lease {
		t.Errorf("%s %s", f.Type, f.Event)
	}
}

// Behind the answer to a renewal comes no notice of the end that the lease had before, nor behind that to a confirmation.
func TestNoNoticeOfAnEarlierEnd(t *testing.T) {
	for _, test := range []struct{ take, payload, next string }{
		{"lease.acquire", want("p", `,"ttlMs":60000`), "lease.renew"},
		{"lease.acquire", want("p", `,"ttlMs":60000`), "lease.release"},
		{"hold.create", `{"pool":"hall","seats":["A1"],"ttlMs":60000}`, "hold.extend"},
		{"hold.create", `{"pool":"hall","seats":["A1"],"ttlMs":60000}`, "hold.confirm"},
	} {
		t.Run(test.next, func(t *testing.T) {
			j := newSlow()
			s := start(t, Config{Journal: j, Pools: []Pool{items("p", 1), items("q", 1), hall(1, 2)}})
			other, c := dial(t, s.addr), dial(t, s.addr)
			c.hello("")
			got := into[struct{ Lease, Hold, Token uint64 }](t, c.call(test.take, test.payload))
			named := fmt.Sprintf(`{"lease":%d,"token":%d}`, got.Lease, got.Token)
			if got.Hold != 0 {
				named = fmt.Sprintf(`{"hold":%d,"token":%d}`, got.Hold, got.Token)
			}
			goOn := j.hold(t, &j.append)
			other.send("lease.acquire", want("q", ""))
			within(t, "nothing is decided", j.appended, giveUp)
			s.clock.base += 55_000 // the notice is due
			next := c.send(test.next, named)
			for len(s.incoming) == 0 { // it is decided in the batch that begins with the notice
			}
			goOn()
			c.reply(next).none(t)
			if c.call("pool.stats", `{"pool":"p"}`).none(t); len(c.pushes) > 0 {
				t.Errorf("answered, and then pushed: %s %s", c.pushes[0].Type, c.pushes[0].Event)
			}
		})
	}
}

// What is asked for behind a watch is seen, though both came together.
func TestWatchBeginsWhereItWasAskedFor(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	c := dial(t, s.addr)
	c.hello("")
	for range 20 {
		both := `{"type":"watch","queryIndex":1,"payload":{"types":["lease.granted"]}}` + "\n" +
			`{"type":"lease.acquire","queryIndex":2,"payload":` + want("p", "") + "}\n"
		if _, err := c.Write([]byte(both)); err != nil {
			t.Fatal(err)
		}
		watching := into[wire.Watching](t, c.reply(1))
		c.pushes = nil // the watch before may have seen it, too
		l := into[wire.Lease](t, c.reply(2))
		if e := into[wire.Event](t, c.push()); e.Token != l.Token || e.Rev <= watching.Rev {
			t.Fatalf("got %+v, want that of %+v, behind rev %d", e, l, watching.Rev)
		}
		c.release(l)
	}
}

// A connection that the server has given up gets nothing any more, whether its client closes it or not.
func TestNothingForWhoIsTurnedAway(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	holder, c := dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	c.send("lease.acquire", want("p", `,"waitMs":60000,"ttlMs":3600000`))
	holder.waiting("p", 1)
	if _, err := c.Write([]byte(strings.Repeat("nonsense\n", 16))); err != nil {
		t.Fatal(err)
	}
	for range 17 {
		if f := c.next(); f.Code != "bad_frame" {
			t.Fatalf("got %+v", f)
		}
	}
	holder.release(l)
	holder.comesFree("p")
}
