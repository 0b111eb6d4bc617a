package serve

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool/wire"
)

// What time it is, says hello, by the clock that leases end by: whatever the wall clock does meanwhile.
func TestHelloTime(t *testing.T) {
	ahead := time.Now().Add(time.Hour)
	s := start(t, Config{Pools: []Pool{items("p", 1)}, wall: func() time.Time { return ahead }})
	c := dial(t, s.addr)
	hello := into[struct{ ServerTime time.Time }](t, c.call("hello", `null`))
	l := c.acquire("p", `,"ttlMs":60000`)
	if ttl := time.UnixMilli(l.ExpiresAt).Sub(hello.ServerTime); ttl < time.Minute || ttl > time.Minute+giveUp {
		t.Errorf("it is %v, a lease of a minute ends at %v", hello.ServerTime, time.UnixMilli(l.ExpiresAt).UTC())
	}
}

// A connection whose session has gone on over another one does nothing as somebody else: what is read from it late has been
// asked for again over the other one.
func TestRobbedConnection(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 2)}})
	old, c := dial(t, s.addr), dial(t, s.addr)
	resume := old.hello("")
	c.hello(resume)
	old.fails("session_expired", "lease.acquire", want("p", ""), `"key":"k"`)
	old.fails("session_expired", "lease.acquire", want("p", ""))
	l := c.acquire("p", "", `"key":"k"`)
	old.fails("session_expired", "lease.release", held(l), `"key":"r"`)
	if st := c.stats("p"); st.Leases != 1 {
		t.Errorf("%+v", st)
	}
	old.hello("")
	old.release(old.acquire("p", ""))
	c.release(l)
}

// A hello that was sent over a connection the client has given up, and is read after that of the next one, does not take the
// session from it.
func TestLateHello(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 2)}})
	first, second, third := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	resume := into[struct{ Resume string }](t, first.call("hello", `{"attempt":1}`)).Resume
	again := func(attempt int) string { return fmt.Sprintf(`{"resume":%q,"attempt":%d}`, resume, attempt) }
	rev := func(c *conn) uint64 { return c.call("pool.stats", `{"pool":"p"}`).Rev }
	third.call("hello", again(3))
	l := third.acquire("p", "")
	before := rev(third)
	second.fails("session_expired", "hello", again(2))
	if f := second.fails("session_expired", "hello", `{"resume":"1.ffff","attempt":2}`); strings.Contains(f.Err, "later") {
		t.Errorf("who does not know the secret is told %q", f.Err)
	}
	third.fails("bad_payload", "lease.release", `{}`, `"key":"k"`) // not session_expired
	if after := rev(third); after != before {
		t.Errorf("rev was %d, is now %d", before, after)
	}
	third.release(l)
	before = rev(third)
	third.Close()
	for over := time.Now().Add(giveUp); rev(second) == before; { // until the server has missed it
		if time.Now().After(over) {
			t.Fatal("the server does not miss a connection")
		}
	}
	second.call("hello", again(2)) // there is no later one any more
	first.fails("session_expired", "lease.acquire", want("p", ""))
}

// A client that has come back to its wait, and takes that back, has nobody wait: whether the server misses the old
// connection before that or after it.
func TestTakenBackAfterReturn(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	holder, watcher := dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	watcher.hello("")
	watcher.call("watch", `{"types":["session.gone"]}`).none(t)
	for n, late := range []bool{false, true} {
		old, c := dial(t, s.addr), dial(t, s.addr)
		resume := old.hello("")
		key := fmt.Sprintf(`"key":"k%d"`, n)
		old.send("lease.acquire", want("p", `,"waitMs":60000`), key)
		holder.waiting("p", 1)
		if !late {
			old.Close()
			if e := into[wire.Event](t, watcher.push()); e.Type != "session.gone" {
				t.Fatalf("got %+v", e)
			}
		}
		c.hello(resume)
		index := c.send("lease.acquire", want("p", `,"waitMs":60000`), key)
		c.stats("p") // which comes behind it
		c.either(index, c.send("cancel", fmt.Sprintf(`{"queryIndex":%d}`, index)))
		old.Close()
		holder.waiting("p", 0)
	}
	holder.release(l)
}

// either awaits the answers to two requests in any order.
func (c *conn) either(indexes ...uint64) {
	c.t.Helper()
	for range indexes {
		if f, err := c.read(); err != nil || f.QueryIndex == nil {
			c.t.Fatalf("got %+v, %v", f, err)
		}
	}
}
