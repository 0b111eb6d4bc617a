package serve

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

const (
	proxiesFirst = `{"want":[{"pool":"proxies"},{"pool":"phones"}],"waitMs":60000}`
	phonesFirst  = `{"want":[{"pool":"phones"},{"pool":"proxies"}],"waitMs":60000}`
)

// twoPools has a server with one proxy and one phone, and two clients that have said hello.
func twoPools(t *testing.T, refuse bool) (a, b *conn) {
	t.Helper()
	s := start(t, Config{Pools: []Pool{items("proxies", 1), items("phones", 1)}, Machine: pool.Config{RefuseHoldAndWait: refuse}})
	a, b = dial(t, s.addr), dial(t, s.addr)
	a.hello("")
	b.hello("")
	return a, b
}

// Each of two clients waits for what the other holds: the wait that ends first ends with wait_timeout, and as that client
// gives back what it has, the other is served.
func TestCrossedWaits(t *testing.T) {
	a, b := twoPools(t, false)
	proxy, phone := a.acquire("proxies", ""), b.acquire("phones", "")
	long := b.send("lease.acquire", want("proxies", `,"waitMs":60000`))
	a.waiting("proxies", 1)
	began := time.Now()
	short := a.send("lease.acquire", want("phones", `,"waitMs":200`))
	f := a.reply(short)
	if took := time.Since(began); took < 199*time.Millisecond { // the server counts in whole milliseconds
		t.Errorf("waited %v", took)
	}
	f.wants(t, "wait_timeout")
	if st := a.stats("proxies"); st.Waiting != 1 || st.Leased != 1 {
		t.Fatalf("got %+v", st)
	}
	a.release(proxy)
	next := into[wire.Lease](t, b.reply(long))
	if next.Token <= proxy.Token || next.Items[0].ID != proxy.Items[0].ID {
		t.Fatalf("got %+v after %+v", next, proxy)
	}
	b.release(next)
	b.release(phone)
	allFree(t, a, "proxies", "phones")
}

// A server that lets nobody wait while holding says so at once, to both; what they hold they keep.
func TestCrossedWaitsRefused(t *testing.T) {
	a, b := twoPools(t, true)
	proxy, phone := a.acquire("proxies", ""), b.acquire("phones", "")
	rev := a.call("pool.stats", `{"pool":"proxies"}`).Rev
	a.fails("would_deadlock", "lease.acquire", want("phones", `,"waitMs":60000`))
	b.fails("would_deadlock", "lease.acquire", want("proxies", `,"waitMs":60000`))
	a.fails("none_free", "lease.acquire", want("phones", "")) // it would not wait
	if f := b.call("pool.stats", `{"pool":"phones"}`); f.Rev != rev {
		t.Errorf("a refusal has changed something: rev %d, then %d", rev, f.Rev)
	}
	// After it has given back it may wait, and is served.
	a.release(proxy)
	index := a.send("lease.acquire", want("phones", `,"waitMs":60000`))
	b.waiting("phones", 1)
	b.release(phone)
	a.release(into[wire.Lease](t, a.reply(index)))
	allFree(t, b, "proxies", "phones")
}

// Who asks for both in one request gets both or nothing, in whatever order they name them: one after the other is served.
func TestCrossedWantsInOneRequest(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		t.Run(fmt.Sprint("refuse ", refuse), func(t *testing.T) {
			a, b := twoPools(t, refuse)
			for range 50 {
				x, y := a.send("lease.acquire", proxiesFirst), b.send("lease.acquire", phonesFirst)
				leases := make(chan wire.Lease, 2)
				serve := func(c *conn, index uint64) {
					f, err := c.read()
					var l wire.Lease
					if err == nil && f.Err == "" && f.QueryIndex != nil && *f.QueryIndex == index {
						err = json.Unmarshal(f.ResultJob, &l)
					}
					if err != nil || len(l.Items) != 2 {
						t.Errorf("got %+v %s, %v", f, f.ResultJob, err)
					}
					fmt.Fprintf(c, `{"type":"lease.release","queryIndex":0,"payload":%s}`+"\n", held(l))
					if f, err := c.read(); err != nil || f.Err != "" {
						t.Errorf("got %+v, %v", f, err)
					}
					leases <- l
				}
				go serve(a, x)
				go serve(b, y)
				if l, m := <-leases, <-leases; t.Failed() || l.Token == m.Token {
					t.Fatalf("got %+v and %+v", l, m)
				}
			}
			allFree(t, a, "proxies", "phones")
			if st := a.stats("proxies"); st.Granted != 100 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// allFree checks that nobody holds anything of these pools, nor waits for it.
func allFree(t *testing.T, c *conn, pools ...string) {
	t.Helper()
	for _, name := range pools {
		if st := c.stats(name); st.Free != st.Items || st.Leases != 0 || st.Waiting != 0 {
			t.Errorf("not all is free: %+v", st)
		}
	}
}
