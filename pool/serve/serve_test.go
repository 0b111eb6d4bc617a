package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

func TestLease(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	c := dial(t, s.addr)
	f := c.call("lease.acquire", want("p", `,"ttlMs":60000`))
	l := into[wire.Lease](t, f)
	if f.Rev == 0 || l.Token == 0 || l.Token > f.Rev || len(l.Items) != 1 || l.Items[0].Pool != "p" || l.Items[0].ID != "1" {
		t.Fatalf("got %+v at rev %d", l, f.Rev)
	}
	c.fails("none_free", "lease.acquire", want("p", ""))
	renewed := c.call("lease.renew", fmt.Sprintf(`{"lease":%d,"token":%d,"ttlMs":120000}`, l.Lease, l.Token))
	if r := into[wire.Renewed](t, renewed); r.ExpiresAt < l.ExpiresAt+50_000 || renewed.Rev <= f.Rev {
		t.Fatalf("got %+v at rev %d, had %+v at %d", r, renewed.Rev, l, f.Rev)
	}
	other := wire.Lease{Lease: l.Lease, Token: l.Token + 1}
	c.fails("stale_token", "lease.renew", held(other))
	c.fails("stale_token", "lease.release", held(other))
	if st := c.stats("p"); st.Leased != 1 || st.Free != 0 || st.Leases != 1 {
		t.Fatalf("got %+v", st)
	}
	if released := c.release(l); released.Rev <= renewed.Rev {
		t.Fatalf("released at rev %d, renewed at %d", released.Rev, renewed.Rev)
	}
	next := c.acquire("p", "")
	if next.Token <= l.Token {
		t.Fatalf("token %d after %d", next.Token, l.Token)
	}
	c.fails("stale_token", "lease.release", held(l))
	c.fails("stale_token", "lease.renew", held(l))
	c.call("lease.renew", held(next)).none(t)
	c.release(next)
}

// none checks that there is no error.
func (f frame) none(t testing.TB) {
	t.Helper()
	if f.Err != "" {
		t.Fatalf("%s: %s", f.Code, f.Err)
	}
}

func TestWait(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1), items("q", 1)}})
	holder, waiter, other := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	index := waiter.send("lease.acquire", want("p", `,"waitMs":60000`))
	other.waiting("p", 1)
	other.release(other.acquire("q", ""))   // the jobber goes on
	waiter.release(waiter.acquire("q", "")) // for the same connection, too
	x := into[wire.Explained](t, waiter.call("explain", fmt.Sprintf(`{"queryIndex":%d}`, index)))
	if x.Position != 1 || len(x.Blocked) != 1 || x.Blocked[0].Lease != l.Lease {
		t.Errorf("explained: %+v", x)
	}
	holder.release(l)
	next := into[wire.Lease](t, waiter.reply(index))
	if next.Token <= l.Token || next.Items[0].ID != "1" {
		t.Fatalf("got %+v after %+v", next, l)
	}

	index = holder.send("lease.acquire", want("p", `,"waitMs":60000`))
	other.waiting("p", 1)
	cancelled(t, holder, index)
	other.waiting("p", 0)
	holder.fails("deadline_exceeded", "lease.acquire", want("p", `,"waitMs":60000`), `"deadlineMs":30`)
	other.waiting("p", 0)
	holder.fails("wait_timeout", "lease.acquire", want("p", `,"waitMs":30`))
	if st := other.stats("p"); st.Waiting != 0 || st.Leases != 1 {
		t.Fatalf("got %+v", st)
	}
	waiter.release(next)
	other.release(other.acquire("p", "")) // none of those that have given up has it
}

// cancelled takes a request back that waits.
func cancelled(t *testing.T, c *conn, index uint64) {
	t.Helper()
	c.send("cancel", fmt.Sprintf(`{"queryIndex":%d}`, index))
	for range 2 {
		f, err := c.read()
		switch {
		case err != nil:
			t.Fatal(err)
		case f.QueryIndex != nil && *f.QueryIndex == index:
			f.wants(t, "cancelled")
		case string(f.ResultJob) != `{"cancelled":true}`:
			t.Fatalf("got %+v %s", f, f.ResultJob)
		}
	}
}

// Of two requests that wait under one key one is taken back, and the connection that asked first goes: the other waits on.
func TestSameKeyTwice(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	holder, first, second := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	index := first.send("lease.acquire", want("p", `,"waitMs":60000`), `"key":"k"`)
	holder.waiting("p", 1)
	again := second.send("lease.acquire", want("p", `,"waitMs":60000`), `"key":"k"`)
	second.stats("p") // which is looked at after that
	cancelled(t, first, index)
	first.Close()
	for into[struct{ Connections int }](t, holder.call("stats", "null")).Connections != 2 {
	}
	holder.release(l)
	second.release(into[wire.Lease](t, second.reply(again)))
}

// A wait for which there is no room on the connection is given up, and no item is lost to it.
func TestParkedMax(t *testing.T) {
	s := startOnly(t, Config{Journal: journal.NewMemory(), Pools: []Pool{items("p", 1)}}, 1)
	defer func() {
		if err := s.end(giveUp); err != nil {
			t.Error(err)
		}
	}()
	holder, c := dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	first := c.send("lease.acquire", want("p", `,"waitMs":60000`), `"key":"k"`)
	holder.waiting("p", 1)
	if f := c.call("lease.acquire", want("p", `,"waitMs":60000`)); f.Err == "" {
		t.Fatalf("got %+v", f)
	}
	holder.waiting("p", 1)
	// The same request again: what becomes of the first is none of its business.
	if f := c.call("lease.acquire", want("p", `,"waitMs":60000`), `"key":"k"`); f.Err == "" {
		t.Fatalf("got %+v", f)
	}
	holder.waiting("p", 1)
	holder.release(l)
	c.release(into[wire.Lease](t, c.reply(first)))
	if st := c.stats("p"); st.Free != 1 || st.Waiting != 0 {
		t.Fatalf("got %+v", st)
	}
}

func TestResume(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	holder, first, second, watcher := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	l := holder.acquire("p", "")
	watcher.hello("")
	watcher.call("watch", `{"types":["session.gone"]}`).none(t)
	resume := first.hello("")
	first.send("lease.acquire", want("p", `,"waitMs":60000`), `"key":"k"`)
	holder.waiting("p", 1)
	index := second.send("lease.acquire", want("p", `,"waitMs":60000`))
	holder.waiting("p", 2)
	first.Close()
	if e := into[wire.Event](t, watcher.push()); e.Type != "session.gone" {
		t.Fatalf("got %+v", e)
	}

	again := dial(t, s.addr)
	again.fails("session_expired", "hello", fmt.Sprintf(`{"resume":%q}`, resume+"0"))
	again.fails("session_expired", "hello", `{"resume":"1"}`)
	again.fails("session_expired", "hello", `{"resume":"999.00"}`)
	if r := again.hello(resume); r != resume {
		t.Fatalf("resumed %s, got %s", resume, r)
	}
	retry := again.send("lease.acquire", want("p", `,"waitMs":60000`), `"key":"k"`)
	if st := again.stats("p"); st.Waiting != 2 {
		t.Fatalf("got %+v", st)
	}
	holder.release(l)
	got := into[wire.Lease](t, again.reply(retry))
	if st := again.stats("p"); st.Waiting != 1 || st.Leases != 1 {
		t.Fatalf("got %+v", st)
	}
	if len(again.pushes) > 0 {
		t.Errorf("answered, and pushed: %+v", again.pushes)
	}
	if same := again.acquire("p", `,"waitMs":60000`, `"key":"k"`); same.Lease != got.Lease || same.Token != got.Token {
		t.Errorf("got %+v, then %+v", got, same)
	}
	again.fails("key_conflict", "lease.acquire", want("p", `,"waitMs":60001`), `"key":"k"`)
	again.release(got)
	second.release(into[wire.Lease](t, second.reply(index)))
}

// What hello gives belongs to it, though another hello of the same connection is close behind.
func TestHelloTwice(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 1)}})
	for range 20 {
		old, c := dial(t, s.addr), dial(t, s.addr)
		resume := old.hello("")
		own, taken := c.send("hello", `null`), c.send("hello", fmt.Sprintf(`{"resume":%q}`, resume))
		type session struct {
			Session uint64
			Resume  string
		}
		a, b := into[session](t, c.reply(own)), into[session](t, c.reply(taken))
		if a.Session == b.Session || a.Resume[:len(fmt.Sprint(a.Session))] != fmt.Sprint(a.Session) || b.Resume != resume {
			t.Fatalf("got %+v, then %+v", a, b)
		}
	}
}

func TestOldClient(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("proxies", 1)}, Verbs: []Verb{
		{Name: "getProxy", Op: "lease.acquire", Pool: "proxies", Result: json.RawMessage(`{"ip":"items[0].id"}`)},
		{Name: "returnProxy", Op: "lease.release", Pool: "proxies", Item: "payload", Result: json.RawMessage(`{"ok":"released"}`)},
	}})
	first, second, other := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	if f := first.call("getProxy", `null`); string(f.ResultJob) != `{"ip":"1"}` {
		t.Fatalf("got %+v %s", f, f.ResultJob)
	}
	first.Close()
	index := second.send("getProxy", `null`)
	other.waiting("proxies", 1)
	again := dial(t, s.addr)
	if st := again.stats("proxies"); st.Leases != 1 || st.Granted != 1 || st.Waiting != 1 {
		t.Fatalf("got %+v", st)
	}
	if f := again.call("returnProxy", `"1"`); string(f.ResultJob) != `{"ok":1}` {
		t.Fatalf("got %+v %s", f, f.ResultJob)
	}
	if f := second.reply(index); string(f.ResultJob) != `{"ip":"1"}` {
		t.Fatalf("got %+v %s", f, f.ResultJob)
	}
	second.fails("not_found", "returnProxy", `"2"`)
	second.call("returnProxy", `"1"`).none(t)
	if st := other.stats("proxies"); st.Free != 1 || st.Granted != 2 {
		t.Fatalf("got %+v", st)
	}
}

// events takes pushed events from rev on up to one of a type, and checks that there are no gaps.
func events(t *testing.T, c *conn, rev uint64, until string) []string {
	t.Helper()
	var types []string
	for {
		f := c.push()
		e := into[wire.Event](t, f)
		if f.Type != "watch" || e.Rev != rev {
			t.Fatalf("got %+v: %+v, want rev %d", f, e, rev)
		}
		types = append(types, e.Type)
		if rev++; e.Type == until {
			return types
		}
	}
}

func TestWatch(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 2)}})
	c, live, late := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	live.fails("conflict", "watch", `null`)
	late.hello("")
	live.hello("")
	from := into[wire.Watching](t, live.call("watch", `null`)).Rev + 1
	for range 20 {
		c.release(c.acquire("p", ""))
	}
	last := c.call("item.set", `{"pool":"p","id":"1","state":"quarantined"}`)
	last.none(t)
	got := events(t, live, from, "item.state")
	if from+uint64(len(got)) != last.Rev+1 {
		t.Fatalf("%d events from %d, the last has rev %d", len(got), from, last.Rev)
	}
	if w := into[wire.Watching](t, late.call("watch", `{"fromRev":1}`)); w.Rev != 0 {
		t.Fatalf("got %+v", w)
	}
	all := events(t, late, 1, "item.state")
	if !slices.Equal(all[from-1:], got) || all[0] != "pool.set" {
		t.Fatalf("live %q\nfrom the first %q", got, all)
	}
	late.fails("state_behind", "watch", fmt.Sprintf(`{"fromRev":%d}`, last.Rev+2)) // the one before goes on
	c.release(c.acquire("p", ""))
	if e := into[wire.Event](t, late.push()); e.Rev != last.Rev+1 {
		t.Fatalf("got %+v after rev %d", e, last.Rev)
	}
	if e := into[wire.Event](t, late.push()); e.Type != "lease.released" {
		t.Fatalf("got %+v", e)
	}
	live.push()
	live.push()
	late.call("watch", `{"off":true}`).none(t)
	live.call("watch", `{"types":["lease.released"],"pools":["p"]}`).none(t)
	c.release(c.acquire("p", ""))
	if e := into[wire.Event](t, live.push()); e.Type != "lease.released" || e.Pool != "p" || len(e.Items) != 1 {
		t.Fatalf("got %+v", e)
	}
	if late.call("ping", `null`).none(t); len(late.pushes) > 0 {
		t.Errorf("pushed after off: %+v", late.pushes)
	}
}

// Behind the answer to a watch comes nothing of the one before, however much of it is under way.
func TestWatchTakesThePlaceOfTheOneBefore(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 2)}})
	busy, c := dial(t, s.addr), dial(t, s.addr)
	c.hello("")
	types := []string{"lease.granted", "lease.released"}
	for i := range 300 {
		last := into[wire.Watching](t, c.call("watch", `{"types":["`+types[i%2]+`"]}`)).Rev
		c.pushes = nil
		busy.release(busy.acquire("p", ""))
		c.send("ping", `null`)
		for f := c.next(); f.QueryIndex == nil; f = c.next() {
			e := into[wire.Event](t, f)
			if e.Type != types[i%2] || e.Rev <= last {
				t.Fatalf("round %d: %s %d was pushed behind a watch of %s behind %d", i, e.Type, e.Rev, types[i%2], last)
			}
			last = e.Rev
		}
	}
}

func TestBadInput(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 2)}})
	c := dial(t, s.addr)
	c.acquire("p", `,"waitMs":1`) // what would wait opens a session
	before := c.stats("p")
	rev := c.call("pool.stats", `{"pool":"p"}`).Rev
	for _, test := range []struct{ typ, payload, code, text string }{
		{"lease.acquire", `null`, "bad_payload", "want has 0 entries: 1 to 16 are needed"},
		{"lease.acquire", `[]`, "bad_payload", ""},
		{"lease.acquire", `{"want":[{"pool":"p","count":0}]}`, "bad_payload", "count is 0: want 1 or more"},
		{"lease.acquire", `{"want":[{"pool":"p","count":"1"}]}`, "bad_payload", ""},
		{"lease.acquire", `{"want":[{"pool":"p","select":{"a":1}}]}`, "bad_payload", ""},
		{"lease.acquire", want("p", `,"ttlMs":0`), "bad_payload", "ttlMs is 0: want 1 or more"},
		{"lease.acquire", want("p", `,"waitMs":-1`), "bad_payload", "waitMs is -1: pool p allows 0 to 300000"},
		{"lease.acquire", want("p", `,"strategy":"x"`), "bad_payload", `strategy is "x": want first, lru or random`},
		{"lease.acquire", want("p", `,"onDisconnect":"x"`), "bad_payload", `onDisconnect is "x": want keep, release or dirty`},
		{"lease.acquire", want("p", `,"priority":1001`), "bad_payload", "priority is 1001: want -1000 to 1000"},
		{"lease.acquire", want("x", ""), "not_found", ""},
		{"lease.acquire", `{"want":[{"pool":"p","count":3}]}`, "no_match", ""},
		{"lease.acquire", `{"want":[{"pool":"p","count":2}]}`, "none_free", ""},
		{"lease.renew", `{"lease":"x"}`, "bad_payload", ""},
		{"lease.renew", `{"lease":-1,"token":1}`, "bad_payload", ""},
		{"lease.release", `{"lease":1000,"token":1}`, "not_found", "there is no lease 1000, and never was"},
		{"lease.release", `{"lease":1.5,"token":1}`, "bad_payload", ""},
		{"pool.stats", `{"pool":"x"}`, "not_found", `there is no pool "x"; pool.list lists those there are`},
		{"pool.list", `{"limit":1001}`, "bad_payload", "limit is 1001: want 1 to 1000"},
		{"pool.list", `{"pool":"x"}`, "not_found", `there is no pool "x"; pool.list lists those there are`},
		{"pool.fill", `{"pool":"p","items":[7]}`, "bad_payload", ""},
		{"pool.fill", `{"pool":"p","items":["c",""]}`, "bad_payload", "the ID of an item is empty"},
		{"pool.fill", `{"pool":"x","items":["c"]}`, "not_found", ""},
		{"pool.drain", `{"pool":"x","all":true}`, "not_found", ""},
		{"item.set", `{"pool":"p","id":"2","state":"x"}`, "bad_payload", ""},
		{"item.set", `{"pool":"p","id":"9","state":"dirty"}`, "not_found", ""},
		{"item.set", `{"pool":"p","id":"2","state":"dirty","version":99}`, "version_conflict", ""},
		{"explain", `null`, "bad_payload", "either wait or queryIndex is needed, to say which wait is to be explained"},
		{"explain", `{"queryIndex":99}`, "not_found", "no request with queryIndex 99 of this connection waits for a pool"},
		{"explain", `{"wait":99}`, "not_found", "nothing waits under the number 99: it was served, or given up"},
		{"watch", `null`, "conflict", "a watch is answered by pushes, which only a client gets that has said hello: say hello first"},
		{"hello", `{"resume":"x"}`, "session_expired", "resume is not what a hello gave: say hello without it"},
	} {
		f := c.call(test.typ, test.payload)
		if f.Code != test.code || f.Err == "" || test.text != "" && f.Err != test.text {
			t.Errorf("%s %s: %s: %s", test.typ, test.payload, f.Code, f.Err)
		}
	}
	c.fails("state_behind", "lease.acquire", want("p", ""), fmt.Sprintf(`"minRev":%d`, rev+1))
	f := c.call("pool.stats", `{"pool":"p"}`, fmt.Sprintf(`"minRev":%d`, rev))
	if after := into[wire.PoolStats](t, f); after != before || f.Rev != rev {
		t.Errorf("was %+v at rev %d, is %+v at %d", before, rev, after, f.Rev)
	}
}

func TestNotices(t *testing.T) {
	j := newSlow()
	s := start(t, Config{Journal: j, Pools: []Pool{items("p", 1), items("q", 1)}})
	c, other := dial(t, s.addr), dial(t, s.addr)
	c.hello("")
	l := c.acquire("p", `,"ttlMs":60000`)
	for _, want := range []struct{ typ, cause string }{{"lease.expiring", ""}, {"lease.lost", "expired"}} {
		j.later(s, other, 50_000)
		f := c.push()
		if e := into[wire.Expiring](t, f); f.Type != want.typ || e.Lease != l.Lease || e.Token != l.Token || e.Cause != want.cause {
			t.Fatalf("got %s %+v, want %+v of %+v", f.Type, e, want, l)
		}
	}
	c.fails("stale_token", "lease.renew", held(l))
	c.release(c.acquire("p", ""))
}

// troubled is a journal whose disk is full, or fails, when the test wants.
type troubled struct {
	journal.Journal
	full, failing atomic.Bool
}

type lostTicket struct{}

func (lostTicket) Wait() error { return errDisk }

var errDisk = fmt.Errorf("%w: no disk", journal.ErrUnknown)

func (j *troubled) Full() bool { return j.full.Load() }

func (j *troubled) Append(seq uint64, chunk []byte) journal.Ticket {
	if j.failing.Load() {
		return lostTicket{}
	}
	return j.Journal.Append(seq, chunk)
}

func TestFull(t *testing.T) {
	j := &troubled{Journal: journal.NewMemory()}
	s := start(t, Config{Journal: j, Pools: []Pool{items("p", 2)}})
	c := dial(t, s.addr)
	l := c.acquire("p", "")
	keyed := c.acquire("p", "", `"key":"k"`)
	j.full.Store(true)
	c.fails("store_full", "lease.acquire", want("p", ""))
	if again := c.acquire("p", "", `"key":"k"`); again.Token != keyed.Token { // it was done, whatever the disk
		t.Fatalf("%+v, then %+v", keyed, again)
	}
	c.release(keyed)
	c.fails("store_full", "pool.fill", `{"pool":"p","items":["c"]}`)
	c.call("lease.renew", held(l)).none(t)
	c.release(l)
	j.full.Store(false)
	c.release(c.acquire("p", ""))
}

func TestFailed(t *testing.T) {
	j := &troubled{Journal: journal.NewMemory()}
	s := startOnly(t, Config{Journal: j, Pools: []Pool{items("p", 2)}}, 0)
	c := dial(t, s.addr)
	l := c.acquire("p", "")
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	j.failing.Store(true)
	c.send("lease.release", held(l))
	within(t, "Failed", s.Failed(), giveUp)
	if !errors.Is(s.Err(), journal.ErrUnknown) {
		t.Errorf("Err: %v", s.Err())
	}
	for range 10 {
		c.send("pool.stats", `{"pool":"p"}`)
		c.send("lease.acquire", want("p", ""))
	}
	ended := make(chan error, 1)
	go func() { ended <- s.end(50 * time.Millisecond) }()
	for {
		f, err := c.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || f.Err == "" || f.ResultJob != nil {
			t.Fatalf("answered: %+v %s, %v", f, f.ResultJob, err)
		}
	}
	if err := <-ended; !errors.Is(err, errDisk) {
		t.Errorf("end: %v", err)
	}
}
