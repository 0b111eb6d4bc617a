package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// comesFree asks until all of a pool is free, and nobody waits.
func (c *conn) comesFree(pool string) {
	c.t.Helper()
	for st := c.stats(pool); st.Free != st.Items || st.Leases != 0 || st.Waiting != 0; {
		st = c.stats(pool)
	}
}

// cut closes a connection at once, with a reset.
func (c *conn) cut() {
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// Clients go in the middle of a frame: behind requests that were granted, or wait, and that nobody takes the answers of.
// What they hold comes back with the connection, where they said so, or when its time is over.
func TestGoneInTheMiddleOfAFrame(t *testing.T) {
	r := random(t)
	s := start(t, Config{Pools: []Pool{items("p", 4)}, GraceMs: 300})
	other := dial(t, s.addr)
	const half = `{"type":"lease.acquire","queryIndex":9,"payload":{"want":[{"pool":"p"}],"waitMs":60000}}`
	for i := range 300 {
		c := dial(t, s.addr)
		if i%4 == 0 {
			c.hello("")
		}
		for n := range r.IntN(6) {
			more := fmt.Sprintf(`,"ttlMs":200,"waitMs":%d`, (n%2)*60_000)
			if n%3 == 0 {
				more = `,"waitMs":60000,"onDisconnect":"release"`
			}
			c.send("lease.acquire", want("p", more))
		}
		io.WriteString(c, half[:r.IntN(len(half))])
		switch r.IntN(3) {
		case 0:
			c.cut()
		case 1:
			c.Close()
		default:
			c.Conn.(*net.TCPConn).CloseWrite() // a server can not tell that from a disconnect
		}
	}
	// Those with a grace time wait for as long; their clients do not come back.
	other.comesFree("p")
}

// A client never reads, while thousands of its requests are granted, each with attrs: others go on, and what it has comes
// back when it is closed.
func TestNeverReads(t *testing.T) {
	const size, each, conns = 1000, 1000, 2
	attrs := json.RawMessage(`"` + strings.Repeat("a", 20<<10) + `"`)
	s := start(t, Config{Pools: []Pool{items("q", 1), {Spec: pool.Spec{Name: "p"}, Items: func(yield func(pool.ItemSpec) bool) {
		for i := range size {
			if !yield(pool.ItemSpec{ID: fmt.Sprint(i), Attrs: attrs}) {
				return
			}
		}
	}}}, Verbs: []Verb{{Name: "takeAll", Op: "lease.acquire", Pool: "p", Count: size, Result: json.RawMessage(`{"lease":"lease","token":"token"}`)}}})
	holder := dial(t, s.addr)
	holder.SetDeadline(time.Now().Add(3 * giveUp))             // -race takes its time with so many bytes
	all := into[wire.Lease](t, holder.call("takeAll", `null`)) // whose attrs are too much for a frame
	rude := make([]*conn, conns)
	for i := range rude {
		rude[i] = dial(t, s.addr)
		rude[i].Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		var b bytes.Buffer
		for n := range each {
			fmt.Fprintf(&b, `{"type":"lease.acquire","queryIndex":%d,"payload":{"want":[{"pool":"p"}],"waitMs":300000,"onDisconnect":"release"}}`+"\n", n+1)
		}
		rude[i].Write(b.Bytes())
	}
	holder.waiting("p", conns*each)
	holder.call("lease.release", held(all)).none(t)
	// Everything has been given out, 20 MiB of it to those who do not read. Others are served meanwhile.
	for holder.stats("p").Granted < 2*size {
	}
	for range 100 {
		holder.release(holder.acquire("q", ""))
	}
	for _, c := range rude {
		c.cut()
	}
	holder.comesFree("p")
	holder.release(holder.acquire("p", ""))
}

// Two connections resume a session again and again, each at the same time as the other, and ask again under the key of a
// wait. Whoever has the session then waits in it, and so may the other, if it had it still when it asked; else it is told that
// it has not. There is one lease, and nothing is left over.
func TestResumedByTwo(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	holder, first := dial(t, s.addr), dial(t, s.addr)
	resume := first.hello("")
	const rounds = 30
	lost := 0
	for range rounds {
		l := holder.acquire("p", "")
		wait := want("p", `,"waitMs":60000,"ttlMs":60000`)
		key := fmt.Sprintf(`"key":"%d"`, l.Lease)
		conns := []*conn{dial(t, s.addr), dial(t, s.addr)}
		var parked sync.WaitGroup
		for _, c := range conns {
			parked.Go(func() {
				for range 10 {
					fmt.Fprintf(c, `{"type":"hello","queryIndex":1,"payload":{"resume":%q}}`+"\n", resume)
				}
				fmt.Fprintf(c, `{"type":"lease.acquire","queryIndex":2,"payload":%s,%s}`+"\n", wait, key)
				for range 10 {
					if f, err := c.read(); err != nil || f.Type != "hello" || f.Err != "" {
						t.Errorf("got %+v, %v", f, err)
					}
				}
			})
		}
		if parked.Wait(); t.Failed() {
			return
		}
		for holder.stats("p").Waiting == 0 {
		}
		holder.release(l)
		got := make(map[uint64]bool)
		for _, c := range conns {
			f, err := c.read()
			for err == nil && f.Type != "lease.acquire" {
				f, err = c.read()
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.Err != "" {
				f.wants(t, "session_expired")
				lost++
				continue
			}
			l := into[wire.Lease](t, f)
			if !got[l.Lease] {
				got[l.Lease] = true
				holder.release(l)
			}
		}
		for _, c := range conns {
			c.Close()
		}
		if len(got) != 1 {
			t.Fatalf("got leases %v", got)
		}
	}
	holder.comesFree("p")
	t.Logf("%d of %d had lost the session when they asked", lost, 2*rounds)
}

// A session that one connection had before it resumed another, and that somebody else has resumed since, is theirs: it does
// not go when the first connection does.
func TestSessionLeftAndResumed(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}, GraceMs: -1})
	holder, first, second, third := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	a := first.hello("")
	b := second.hello("")
	first.hello(b)
	third.hello(a)
	index := third.send("lease.acquire", want("p", `,"waitMs":60000`))
	holder.waiting("p", 1)
	watcher := dial(t, s.addr)
	watcher.hello("")
	watcher.call("watch", `{"types":["session.gone"]}`).none(t)
	first.Close()
	if e := into[wire.Event](t, watcher.push()); !strings.HasPrefix(b, fmt.Sprintf("%d.", e.Session)) {
		t.Fatalf("session %d has gone, want that of %s", e.Session, b)
	}
	if st := holder.stats("p"); st.Waiting != 1 {
		t.Fatalf("the wait has gone with a connection that was not its: %+v", st)
	}
	holder.release(l)
	third.release(into[wire.Lease](t, third.reply(index)))
}

// A client takes back what it waits for as it is served: it is told one or the other, and the item is somebody's or free.
func TestCancelledAsGranted(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	holder, other := dial(t, s.addr), dial(t, s.addr)
	cancelled, granted := 0, 0
	for i := range 300 {
		l := holder.acquire("p", "")
		index := other.send("lease.acquire", want("p", `,"waitMs":60000`))
		holder.waiting("p", 1)
		if i%2 == 0 {
			other.send("cancel", fmt.Sprintf(`{"queryIndex":%d}`, index))
		}
		released := holder.send("lease.release", held(l))
		if i%2 == 1 {
			other.send("cancel", fmt.Sprintf(`{"queryIndex":%d}`, index))
		}
		holder.reply(released).none(t)
		said, got := false, wire.Lease{}
		for range 2 {
			f, err := other.read()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case *f.QueryIndex != index:
				said = string(f.ResultJob) == `{"cancelled":true}`
			case f.Err != "":
				f.wants(t, "cancelled")
			default:
				got = into[wire.Lease](t, f)
			}
		}
		if said == (got.Lease != 0) {
			t.Fatalf("cancelled: %t, and got %+v", said, got)
		}
		if said {
			cancelled++
		} else {
			granted++
			other.release(got)
		}
		holder.comesFree("p")
	}
	t.Logf("%d were cancelled, %d granted", cancelled, granted)
}

// The server ends while thousands wait: each is told so, once. The next server, of the same store, has the waits still, for
// those who come back within the grace time.
func TestDrainedWhileThousandsWait(t *testing.T) {
	const conns, each = 5, 1000
	dir := t.TempDir()
	cfg := func() Config { return Config{Journal: open(t, dir), Pools: []Pool{items("p", 1)}, GraceMs: 60_000} }
	s := startOnly(t, cfg(), 0)
	holder := dial(t, s.addr)
	l := holder.acquire("p", "")
	clients := make([]*conn, conns)
	resumes := make([]string, conns)
	for i := range clients {
		clients[i] = dial(t, s.addr)
		resumes[i] = clients[i].hello("")
		for n := range each {
			clients[i].send("lease.acquire", want("p", `,"waitMs":300000`), fmt.Sprintf(`"key":"%d"`, n))
		}
	}
	holder.waiting("p", conns*each)
	ended := make(chan error, 1)
	go func() { ended <- s.end(giveUp) }()
	for i, c := range clients {
		told := make(map[uint64]bool)
		for {
			f, err := c.read()
			if err != nil {
				break
			}
			if f.QueryIndex == nil || told[*f.QueryIndex] || f.Code != "draining" {
				t.Fatalf("client %d: got %+v", i, f)
			}
			told[*f.QueryIndex] = true
		}
		if len(told) != each {
			t.Errorf("client %d: %d were told, %d asked", i, len(told), each)
		}
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	s = start(t, cfg())
	holder = dial(t, s.addr)
	holder.waiting("p", conns*each)
	back := dial(t, s.addr)
	back.hello(resumes[2])
	index := back.send("lease.acquire", want("p", `,"waitMs":300000`), `"key":"0"`)
	back.stats("p")   // which comes behind it: what is granted before it has come is pushed, too
	holder.release(l) // those who have not come back are passed over
	first := into[wire.Lease](t, back.reply(index))
	back.release(first)
	if granted := into[wire.Lease](t, back.push()); granted.Lease <= first.Lease {
		t.Errorf("got %+v after %+v", granted, first)
	}
}
