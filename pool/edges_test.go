package pool_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

func TestBadInput(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p", TTLMaxMs: 100_000, WaitMaxMs: 5000}, pool.Spec{Name: "q"}, pool.Spec{Name: "empty"})
	w.fill("p", 3)
	w.fill("q", 1)
	s := w.open("ann", 1000)
	a, b := w.must(acquire("p", 1)), w.must(acquire("p", 1))
	w.must(&pool.Acquire{Want: []pool.Want{{Pool: "q", Count: 1}}, Keyed: pool.Keyed{Client: "ann", Key: "k", Hash: 1}})
	ms := func(v int64) *int64 { return &v }
	one := []pool.Want{{Pool: "p", Count: 1}}
	items := func(specs ...pool.ItemSpec) *pool.Fill { return &pool.Fill{Pool: "p", Items: specs} }
	many := make([]string, pool.ItemsPerLease+1)
	labels := map[string]string{}
	for i := range pool.LabelsMax + 1 {
		labels[fmt.Sprint(i)] = ""
	}
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		what    string
		command pool.Command
		code    pool.Code
		says    string
	}{
		{"unknown pool", acquire("nowhere", 1), pool.NotFound, `no pool "nowhere"`},
		{"no pool", acquire("", 1), pool.BadPayload, "names no pool"},
		{"no want", &pool.Acquire{}, pool.BadPayload, "0 entries"},
		{"too many wants", &pool.Acquire{Want: make([]pool.Want, pool.WantsMax+1)}, pool.BadPayload, "17 entries"},
		{"count 0", acquire("p", 0), pool.BadPayload, "count is 0"},
		{"count negative", acquire("p", -1), pool.BadPayload, "count is -1"},
		{"count above the pool", acquire("p", 4), pool.NoMatch, "pool p has 3"},
		{"count of all numbers", acquire("p", 1<<62), pool.NoMatch, "waiting would not help"},
		{"count above the pool, in two", &pool.Acquire{WaitMs: 1000, Want: []pool.Want{{Pool: "p", Count: 2}, {Pool: "p", Count: 2}}}, pool.NoMatch, "4 items are wanted in all"},
		{"an empty pool", acquire("empty", 1), pool.NoMatch, "pool empty has 0"},
		{"none free", acquire("p", 2), pool.NoneFree, "with waitMs"},
		{"nothing matches", &pool.Acquire{Want: []pool.Want{{Pool: "p", Count: 1, Select: pool.Selector{{Name: "zone", Values: []string{"a"}}}}}}, pool.NoMatch, "items that match"},
		{"a selector without values", &pool.Acquire{Want: []pool.Want{{Pool: "p", Count: 1, Select: pool.Selector{{Name: "zone"}}}}}, pool.BadPayload, "no value"},
		{"a selector without a name", &pool.Acquire{Want: []pool.Want{{Pool: "p", Count: 1, Select: pool.Selector{{Values: []string{"a"}}}}}}, pool.BadPayload, "name of a label"},
		{"unknown item", &pool.Acquire{Want: []pool.Want{{Pool: "p", IDs: []string{"x"}}}}, pool.NotFound, `no item "x"`},
		{"an item twice", &pool.Acquire{Want: []pool.Want{{Pool: "p", IDs: []string{"i0003", "i0003"}}}}, pool.BadPayload, "twice"},
		{"an item twice, in two wants", &pool.Acquire{Want: []pool.Want{{Pool: "p", IDs: []string{"i0003"}}, {Pool: "p", IDs: []string{"i0003"}}}}, pool.BadPayload, "twice"},
		{"ids and another count", &pool.Acquire{Want: []pool.Want{{Pool: "p", IDs: []string{"i0003"}, Count: 2}}}, pool.BadPayload, "leave one of them out"},
		{"ids and a selector", &pool.Acquire{Want: []pool.Want{{Pool: "p", IDs: []string{"i0003"}, Select: pool.Selector{{Name: "a", Values: []string{"b"}}}}}}, pool.BadPayload, "not both"},
		{"too many ids", &pool.Acquire{Want: []pool.Want{{Pool: "p", IDs: many}}}, pool.NoMatch, "1025 items"},
		{"TTL 0", &pool.Acquire{Want: one, TTLMs: ms(0)}, pool.BadPayload, "ttlMs is 0"},
		{"TTL over the maximum", &pool.Acquire{Want: one, TTLMs: ms(100_001)}, pool.BadPayload, "100000 at most"},
		{"a wait over the maximum", &pool.Acquire{Want: one, WaitMs: 5001}, pool.BadPayload, "0 to 5000"},
		{"a negative wait", &pool.Acquire{Want: one, WaitMs: -1}, pool.BadPayload, "waitMs is -1"},
		{"unknown strategy", &pool.Acquire{Want: one, Strategy: "best"}, pool.BadPayload, `"best"`},
		{"unknown onDisconnect", &pool.Acquire{Want: one, OnDisconnect: "burn"}, pool.BadPayload, `"burn"`},
		{"priority too high", &pool.Acquire{Want: one, Priority: 1001}, pool.BadPayload, "priority is 1001"},
		{"owner too long", &pool.Acquire{Want: one, Owner: long}, pool.BadPayload, "300 bytes"},
		{"unknown session", &pool.Acquire{Want: one, Session: 9999}, pool.SessionExpired, "session 9999"},
		{"a key with another body", &pool.Acquire{Want: one, Keyed: pool.Keyed{Client: "ann", Key: "k", Hash: 2}}, pool.KeyConflict, "another type or with another payload"},
		{"a key with another verb", &pool.Release{Grant: a.Grant, Token: a.Token, Keyed: pool.Keyed{Client: "ann", Key: "k", Hash: 3}}, pool.KeyConflict, "another type"},
		{"token of another lease", &pool.Release{Grant: a.Grant, Token: b.Token}, pool.StaleToken, "not the token of lease"},
		{"renew with the token of another lease", &pool.Renew{Grant: a.Grant, Token: b.Token}, pool.StaleToken, "not the token of lease"},
		{"a lease that never was", &pool.Release{Grant: 1 << 60, Token: 1}, pool.NotFound, "never was"},
		{"lease 0", &pool.Release{}, pool.NotFound, "never was"},
		{"an event that was no lease", &pool.Renew{Grant: 1, Token: 1}, pool.StaleToken, "lease 1 is over"},
		{"renew over the maximum", &pool.Renew{Grant: a.Grant, Token: a.Token, TTLMs: ms(100_001)}, pool.BadPayload, "100000 at most"},
		{"release of an item nobody holds", &pool.Release{Pool: "p", Item: "i0003"}, pool.Conflict, "nobody holds"},
		{"unknown outcome", &pool.Release{Grant: a.Grant, Token: a.Token, Outcome: "gone"}, pool.BadPayload, `"gone"`},
		{"fill with nothing", items(), pool.BadPayload, "no items"},
		{"fill an unknown pool", &pool.Fill{Pool: "x", Items: []pool.ItemSpec{{ID: "a"}}}, pool.NotFound, `"x"`},
		{"fill with one item twice", items(pool.ItemSpec{ID: "a"}, pool.ItemSpec{ID: "a"}), pool.BadPayload, "twice"},
		{"fill with no ID", items(pool.ItemSpec{}), pool.BadPayload, "is empty"},
		{"fill with a long ID", items(pool.ItemSpec{ID: long}), pool.BadPayload, "300 bytes"},
		{"fill with a control character", items(pool.ItemSpec{ID: "a\n"}), pool.BadPayload, "control characters"},
		{"fill with what JSON can not tell apart", items(pool.ItemSpec{ID: "a\ufffd"}), pool.BadPayload, "U+FFFD"},
		{"fill with no UTF-8", items(pool.ItemSpec{ID: "\xff"}), pool.BadPayload, "not UTF-8"},
		{"fill with too many labels", items(pool.ItemSpec{ID: "a", Labels: labels}), pool.BadPayload, "33 labels"},
		{"fill with attrs that are not JSON", items(pool.ItemSpec{ID: "a", Attrs: []byte("{")}), pool.BadPayload, "not JSON"},
		{"fill with one good and one bad", items(pool.ItemSpec{ID: "a"}, pool.ItemSpec{ID: ""}), pool.BadPayload, "is empty"},
		{"drain what is not there", &pool.Drain{Pool: "p", IDs: []string{"i0001", "x"}}, pool.NotFound, `"x"`},
		{"drain nothing", &pool.Drain{Pool: "p"}, pool.BadPayload, "either ids or all"},
		{"drain at an odd cursor", &pool.Drain{Pool: "p", All: true, Cursor: "x"}, pool.BadPayload, "cursor"},
		{"set to an unknown state", &pool.SetItem{Pool: "p", ID: "i0003", State: "gone"}, pool.BadPayload, `"gone"`},
		{"set an older version", &pool.SetItem{Pool: "p", ID: "i0003", Version: 1}, pool.VersionConflict, "not 1"},
		{"set what is not there", &pool.SetItem{Pool: "p", ID: "x"}, pool.NotFound, `"x"`},
		{"cancel what does not wait", &pool.CancelWait{Wait: 5}, pool.NotFound, "no wait 5"},
		{"disconnect an unknown session", &pool.Disconnect{Session: 5}, pool.NotFound, "no session 5"},
		{"resume with another secret", &pool.Resume{Session: s, Secret: "x"}, pool.SessionExpired, "hello"},
		{"resume without a secret", &pool.Resume{Session: s}, pool.SessionExpired, "hello"},
		{"configure a pool twice", &pool.Configure{Pools: []pool.Spec{{Name: "p"}, {Name: "p"}}}, pool.BadPayload, "twice"},
		{"configure another kind", &pool.Configure{Pools: []pool.Spec{{Name: "p", Kind: "bucket"}}}, pool.BadPayload, `"bucket"`},
		{"configure a TTL over its maximum", &pool.Configure{Pools: []pool.Spec{{Name: "p", TTLMs: 2, TTLMaxMs: 1}}}, pool.BadPayload, "over its maximum"},
		{"configure a negative quota", &pool.Configure{Pools: []pool.Spec{{Name: "p", QuotaMax: -1}}}, pool.BadPayload, "quota is -1"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w.t = t
			w.fails(c.command, c.code)
			if r := w.do(c.command); !strings.Contains(r.Err.Message, c.says) || !strings.Contains(r.Err.Error(), string(c.code)) {
				t.Errorf("it says %q, want %q in it", r.Err.Message, c.says)
			}
		})
	}
	w.t = t
	w.checked()
}

// TestClockThatJumps has the wall clock jump an hour back, and forth again: time stands still, and nothing ends early.
func TestClockThatJumps(t *testing.T) {
	const hour = 3600_000
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 2)
	a := w.must(acquire("p", 1))
	start := w.now
	w.tick(1000)
	w.now -= hour
	w.tick(0)
	if w.m.Now() != start+1000 {
		t.Fatalf("the clock is at %d, want %d", w.m.Now(), start+1000)
	}
	b := w.must(acquire("p", 1))
	if b.ExpiresAt != start+1000+60_000 {
		t.Fatalf("%+v", b)
	}
	w.must(&pool.Renew{Grant: a.Grant, Token: a.Token})
	w.tick(hour + 59_999)
	w.must(&pool.Renew{Grant: b.Grant, Token: b.Token})
	w.tick(hour)
	w.fails(&pool.Renew{Grant: a.Grant, Token: a.Token}, pool.StaleToken)
	w.fails(&pool.Renew{Grant: b.Grant, Token: b.Token}, pool.StaleToken)
	if s, _ := w.m.Stats("p"); s.Free != 2 || s.Grants != 0 {
		t.Fatalf("%+v", s)
	}
	w.checked()
}

// TestALeaseEndsAtItsMillisecond has the holder act just before, and just at the end, before Tick has seen it.
func TestALeaseEndsAtItsMillisecond(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p", LifetimeMaxMs: 90_000})
	w.fill("p", 1)
	a := w.must(acquire("p", 1))
	w.now += 59_999
	if r := w.must(&pool.Renew{Grant: a.Grant, Token: a.Token}); r.ExpiresAt != a.ExpiresAt+30_000 {
		t.Fatalf("%+v: want the lifetime's end", r)
	}
	w.now += 30_001
	w.fails(&pool.Renew{Grant: a.Grant, Token: a.Token}, pool.StaleToken)
	w.fails(&pool.Release{Grant: a.Grant, Token: a.Token}, pool.StaleToken)
	w.fails(acquire("p", 1), pool.NoneFree)
	w.tick(0)
	if r := w.must(acquire("p", 1)); r.Token <= a.Token {
		t.Fatalf("%+v", r)
	}
}

// TestLateTickDoesWhatWasDueFirstFirst has a wait time out before what it wanted came free, both before Tick looks.
func TestLateTickDoesWhatWasDueFirstFirst(t *testing.T) {
	for _, test := range []struct {
		session bool // which is told of the end, so that something is due before it
		waitMs  int64
		served  bool
	}{{false, 59_999, false}, {false, 60_000, true}, {true, 59_999, false}, {true, 60_000, true}} {
		w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
		w.fill("p", 1)
		held := acquire("p", 1)
		if test.session {
			held.Session = w.open("ann", 0)
		}
		w.must(held)
		w.waits(0, "p", 1, test.waitMs)
		w.tick(1_000_000)
		if x := w.answer(); (x.Reply.Err == nil) != test.served {
			t.Fatalf("session %v, waits %d: %+v", test.session, test.waitMs, x.Reply)
		}
	}
}

// TestACheckpointKeepsWhatCameUnderTheNameOfWhatHasGone changes an item between Freeze and Slice that has come in the place of
// one which the last checkpoint holds.
func TestACheckpointKeepsWhatCameUnderTheNameOfWhatHasGone(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 2)
	w.checkpoint(100, func() {})
	w.must(&pool.Drain{Pool: "p", IDs: []string{"i0001"}})
	w.must(&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "i0001", Attrs: []byte("1")}}})
	w.m.Freeze()
	w.must(&pool.SetItem{Pool: "p", ID: "i0001", Attrs: []byte("2")})
	w.must(&pool.Drain{Pool: "p", IDs: []string{"i0001"}})
	w.must(&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "i0001", Attrs: []byte("3")}}})
	for done := false; !done; {
		var records []pool.Record
		records, w.mark, done = w.m.Slice(1)
		w.save(records)
	}
	w.checked()
	w.checkpoint(1, func() {})
	w.checked()
}

// TestEmptiedLineAndRetiredPool empties a line that is to be looked at, and retires a pool before it is.
func TestEmptiedLineAndRetiredPool(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"}, pool.Spec{Name: "q"})
	w.fill("p", 1)
	w.fill("q", 1)
	w.must(acquire("p", 1))
	w.must(acquire("q", 1))
	wait := w.waits(0, "p", 1, 1000)
	w.waits(0, "q", 1, 1000)
	w.must(&pool.Drain{Pool: "p", IDs: []string{"i0001"}})
	w.must(&pool.CancelWait{Wait: wait})
	w.must(&pool.Configure{Pools: []pool.Spec{{Name: "p"}}})
	w.tick(0)
	w.checked()
}

// TestAWaitIsTakenBackAsItIsGranted has what a wait was granted come back for the next in line, and its key be free again.
// What has never waited is not taken back.
func TestAWaitIsTakenBackAsItIsGranted(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 1)
	first := w.must(acquire("p", 1))
	w.fails(&pool.CancelWait{Wait: first.Grant}, pool.NotFound)
	ask := acquire("p", 1)
	ask.WaitMs, ask.Keyed = 1000, pool.Keyed{Client: "ann", Key: "k", Hash: 1}
	wait := w.must(ask).Waiting
	next := w.waits(0, "p", 1, 1000)
	w.must(&pool.Release{Grant: first.Grant, Token: first.Token})
	if got := w.answer(); got.Wait != wait || got.Reply.Grant != wait {
		t.Fatalf("%+v", got)
	}
	w.must(&pool.CancelWait{Wait: wait, Client: "ann", Key: "k"})
	if got := w.answer(); got.Wait != next || got.Reply.Err != nil {
		t.Fatalf("%+v", got)
	}
	if again := w.must(ask); again.Repeated || again.Waiting == 0 {
		t.Fatalf("%+v", again)
	}
	w.fails(&pool.CancelWait{Wait: wait, Client: "ann", Key: "k"}, pool.NotFound)
	w.checked()
}

// TestARetiredPoolGoesWithItsLast lets the last of a retired pool be an item beside one of another pool, and a wait whose
// client is away.
func TestARetiredPoolGoesWithItsLast(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"}, pool.Spec{Name: "q"})
	w.fill("p", 1)
	w.fill("q", 1)
	both := w.must(&pool.Acquire{Want: []pool.Want{{Pool: "p", Count: 1}, {Pool: "q", Count: 1}}})
	s := w.open("ann", 5000)
	w.waits(s, "q", 1, 1000)
	w.must(&pool.Disconnect{Session: s})
	w.must(&pool.Configure{Pools: []pool.Spec{{Name: "p"}}})
	w.must(&pool.DrainUnseen{Pool: "q"})
	w.must(&pool.Release{Grant: both.Grant, Token: both.Token})
	if got := w.m.Pools(); len(got) != 2 {
		t.Fatalf("%v, and somebody waits for q", got)
	}
	w.tick(1000)
	if got := w.m.Pools(); len(got) != 1 {
		t.Fatalf("%v", got)
	}
	w.checked()
}

// TestFirstIsThePoolsOrder changes the attrs of an item: it stays where it is.
func TestFirstIsThePoolsOrder(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 3)
	w.must(&pool.SetItem{Pool: "p", ID: "i0001", Attrs: []byte("1")})
	if r := w.must(acquire("p", 1)); r.Items[0].ID != "i0001" {
		t.Fatalf("%+v", r)
	}
	w.checked()
}

// TestResumeLooksAtEachWait has several waits of a session be met at once when it comes back, some of them in one line.
func TestResumeLooksAtEachWait(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"}, pool.Spec{Name: "q"})
	w.fill("p", 2)
	w.fill("q", 2)
	p, q := w.must(acquire("p", 2)), w.must(acquire("q", 2))
	s := w.open("ann", 5000)
	w.waits(s, "p", 1, 10_000)
	w.waits(s, "p", 1, 10_000)
	w.waits(s, "q", 1, 10_000)
	w.must(&pool.Acquire{Session: s, WaitMs: 10_000, Want: []pool.Want{{Pool: "q", IDs: []string{"i0001", "i0002"}}}})
	w.must(&pool.Disconnect{Session: s})
	w.must(&pool.Release{Grant: p.Grant, Token: p.Token})
	w.must(&pool.Release{Grant: q.Grant, Token: q.Token})
	w.must(&pool.Resume{Session: s, Secret: "s"})
	answers, _ := w.m.TakeAnswers()
	if len(answers) != 3 {
		t.Fatalf("%+v", answers)
	}
	for _, x := range answers {
		if x.Reply.Items[0].Pool == "q" {
			w.must(&pool.Release{Grant: x.Reply.Grant, Token: x.Reply.Token})
		}
	}
	if x := w.answer(); len(x.Reply.Items) != 2 {
		t.Fatalf("%+v", x)
	}
	w.checked()
}

// TestAWaitEndsWhenWhatItWantsIsNoMore changes labels, drains, and retires under those who wait.
func TestAWaitEndsWhenWhatItWantsIsNoMore(t *testing.T) {
	zone := func(z string) map[string]string { return map[string]string{"zone": z} }
	inA := []pool.Want{{Pool: "p", Count: 1, Select: pool.Selector{{Name: "zone", Values: []string{"a"}}}}}
	for name, test := range map[string]struct {
		want   []pool.Want
		change pool.Command
	}{
		"fill":    {inA, &pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "x", Labels: zone("b")}}}},
		"set":     {inA, &pool.SetItem{Pool: "p", ID: "x", Labels: zone("b")}},
		"drain":   {inA, &pool.Drain{Pool: "p", IDs: []string{"x"}}},
		"retire":  {inA, &pool.Configure{}},
		"several": {append(inA, pool.Want{Pool: "p", IDs: []string{"y"}}), &pool.SetItem{Pool: "p", ID: "x", Labels: zone("b")}},
		"item":    {[]pool.Want{{Pool: "p", IDs: []string{"x"}}}, &pool.Drain{Pool: "p", All: true}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
			w.must(&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "x", Labels: zone("a")}, {ID: "y", Labels: zone("c")}}})
			w.must(acquire("p", 2))
			w.must(&pool.Acquire{Want: test.want, WaitMs: 10_000})
			w.must(test.change)
			w.tick(0)
			if x := w.answer(); x.Reply.Err == nil || x.Reply.Err.Code != pool.NoMatch {
				t.Fatalf("%+v", x.Reply)
			}
			w.checked()
		})
	}
}

// TestACommandIsNotKept changes a command after it was given.
func TestACommandIsNotKept(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.must(&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "x", Labels: map[string]string{"zone": "a"}}, {ID: "y"}}})
	held := w.must(acquire("p", 2))
	c := &pool.Acquire{WaitMs: 1000, Want: []pool.Want{{Pool: "p", Count: 1, Select: pool.Selector{{Name: "zone", Values: []string{"a"}}}}}}
	w.must(c)
	c.Want[0].Select[0].Values[0] = "b"
	c.Want[0].Select[0].Name = "other"
	c.Want[0].Pool = "q"
	w.checked()
	w.must(&pool.Release{Grant: held.Grant, Token: held.Token})
	if x := w.answer(); x.Reply.Err != nil || x.Reply.Items[0].ID != "x" {
		t.Fatalf("%+v", x)
	}
}

// TestWhoWaitsForLessIsServedAtOnce parks a request that comes before the first of its line, which needs more than is free.
func TestWhoWaitsForLessIsServedAtOnce(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 3)
	w.must(acquire("p", 2))
	ann, bob := w.open("ann", 0), w.open("bob", 0)
	w.must(&pool.Acquire{Session: ann, WaitMs: 1000, Want: []pool.Want{{Pool: "p", IDs: []string{"i0001"}}}})
	w.waits(ann, "p", 2, 1000) // ann's second turn
	wait := w.waits(bob, "p", 1, 1000)
	if x := w.answer(); x.Wait != wait || x.Reply.Err != nil {
		t.Fatalf("%+v", x)
	}
	w.checked()
}

// TestAStormOfRefusalsIsSpread has thousands of waits end at once, each over its client's quota: no command bears them all.
func TestAStormOfRefusalsIsSpread(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p", QuotaMax: 1, WaitMaxMs: 1000_000})
	w.fill("p", 2)
	a, b := w.must(acquireAs("p", "x")), w.must(acquireAs("p", "y"))
	s := w.open("greedy", 0)
	for range 4000 {
		w.waits(s, "p", 1, 1000_000)
	}
	w.must(&pool.Release{Grant: a.Grant, Token: a.Token})
	w.answer()
	w.must(&pool.Release{Grant: b.Grant, Token: b.Token})
	answers, _ := w.m.TakeAnswers()
	if len(answers) > 100 {
		t.Fatalf("one release has ended %d waits", len(answers))
	}
	w.tick(0)
	if s, _ := w.m.Stats("p"); s.Waiting != 0 || s.Free != 1 {
		t.Fatalf("%+v", s)
	}
	w.checked()
}

func acquireAs(name, client string) *pool.Acquire {
	a := acquire(name, 1)
	a.Client = client
	return a
}

// TestKeys gives commands again under their keys.
func TestKeys(t *testing.T) {
	w := newWorld(t, pool.Config{KeyRetentionMs: 1000, KeysMax: 3}, pool.Spec{Name: "p"})
	w.fill("p", 1)
	key := func(key string) pool.Keyed { return pool.Keyed{Client: "ann", Key: key, Hash: 7} }
	a := acquire("p", 1)
	a.Keyed = key("a")
	first := w.must(a)
	again := w.must(a)
	if !again.Repeated || again.Token != first.Token || again.Items[0].ID != "i0001" || again.Rev != first.Rev {
		t.Fatalf("%+v, first %+v", again, first)
	}
	b := acquire("p", 1)
	b.Keyed, b.WaitMs = key("b"), 5000
	wait := w.must(b)
	if r := w.must(b); !r.Repeated || r.Waiting != wait.Waiting {
		t.Fatalf("%+v", r)
	}
	r := &pool.Release{Grant: first.Grant, Token: first.Token, Keyed: key("c")}
	w.must(r)
	if x := w.must(r); !x.Repeated || x.Count != 1 {
		t.Fatalf("%+v", x)
	}
	got := w.answer().Reply
	if r := w.must(b); !r.Repeated || r.Waiting != 0 || r.Token != got.Token {
		t.Fatalf("%+v, want %+v", r, got)
	}
	d := acquire("p", 1)
	d.Keyed = key("d")
	w.fails(d, pool.Overloaded)
	w.checked()
	w.tick(1000)
	if r := w.do(d); r.Err == nil || r.Err.Code != pool.NoneFree || r.Repeated {
		t.Fatalf("%+v", r)
	}
	if r := w.do(d); r.Err == nil || r.Err.Code != pool.NoneFree || !r.Repeated {
		t.Fatalf("%+v", r)
	}
	w.checked()
}

// TestSelectorsThatSayTheSameShareALine checks that order is kept over spellings.
func TestSelectorsThatSayTheSameShareALine(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.must(&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "x", Labels: map[string]string{"zone": "a", "size": "1"}}}})
	held := w.must(acquire("p", 1))
	zone, size := pool.Term{Name: "zone", Values: []string{"a", "b"}}, pool.Term{Name: "size", Values: []string{"1"}}
	turned := pool.Term{Name: "zone", Values: []string{"b", "a", "b"}}
	var waits []uint64
	for _, s := range []pool.Selector{{zone, size}, {size, turned}, {turned, size, zone}} {
		waits = append(waits, w.must(&pool.Acquire{WaitMs: 1000, Want: []pool.Want{{Pool: "p", Count: 1, Select: s}}}).Waiting)
	}
	for i, id := range waits[:2] {
		if x, err := w.m.Explain(id); err != nil || x.Position != i+1 {
			t.Fatalf("%+v, %v", x, err)
		}
	}
	w.must(&pool.Release{Grant: held.Grant, Token: held.Token})
	if x := w.answer(); x.Wait != waits[0] {
		t.Fatalf("%+v", x)
	}
}

// TestALargePoolInAllOrders takes and returns items of a pool of many levels of bits, in an order that leaves holes.
func TestALargePoolInAllOrders(t *testing.T) {
	for _, strategy := range []pool.Strategy{pool.First, pool.LRU, pool.Random} {
		w := newWorld(t, pool.Config{}, pool.Spec{Name: "p", Strategy: strategy, Seed: 1})
		const n = 5000
		w.fill("p", n)
		var held []pool.Reply
		seen := map[string]bool{}
		for range n {
			r := w.must(acquire("p", 1))
			if seen[r.Items[0].ID] {
				t.Fatalf("%s: %s is given out twice", strategy, r.Items[0].ID)
			}
			seen[r.Items[0].ID] = true
			held = append(held, r)
		}
		w.fails(acquire("p", 1), pool.NoneFree)
		for i := range n {
			if i%7 != 0 {
				w.must(&pool.Release{Grant: held[i].Grant, Token: held[i].Token})
			}
		}
		w.checked()
		var ids []string
		for i := range n {
			if i%3 == 0 {
				ids = append(ids, fmt.Sprintf("i%04d", i+1))
			}
		}
		w.must(&pool.Drain{Pool: "p", IDs: ids})
		for i := range 500 {
			w.must(&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: fmt.Sprint("new", i)}}})
		}
		w.checked()
		w.must(acquire("p", 1000))
		w.checked()
	}
}

// TestConnectedWithoutSession has requests of a connection that said no hello: only what is to end with it opens a session.
func TestConnectedWithoutSession(t *testing.T) {
	w := newWorld(t, pool.Config{SessionsMax: 2}, pool.Spec{Name: "p"})
	w.fill("p", 1)
	ask := func(waitMs int64, end pool.OnDisconnect) *pool.Acquire {
		a := acquire("p", 1)
		a.Connected, a.WaitMs, a.OnDisconnect = true, waitMs, end
		return a
	}
	held := w.must(ask(1000, ""))
	if held.Session != 0 {
		t.Fatalf("a lease that nothing ends has session %d", held.Session)
	}
	w.fails(ask(0, ""), pool.NoneFree)
	waits := w.must(ask(1000, ""))
	if waits.Session == 0 || waits.Waiting == 0 {
		t.Fatalf("%+v", waits)
	}
	w.must(&pool.Disconnect{Session: waits.Session})
	w.tick(1)
	if x := w.answer(); x.Wait != waits.Waiting || x.Reply.Err == nil {
		t.Fatalf("%+v", x)
	}
	w.must(&pool.Release{Grant: held.Grant, Token: held.Token})
	ends := w.must(ask(0, pool.ReleaseOnEnd))
	w.must(&pool.Disconnect{Session: ends.Session})
	w.tick(1)
	w.must(ask(0, ""))
	w.open("a", 1000)
	w.open("b", 1000)
	w.fails(ask(1000, ""), pool.Overloaded)
	w.checked()
}

// TestWhoIsNextIsTold has a request come to be the first that can not be met any more since something has left.
func TestWhoIsNextIsTold(t *testing.T) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p"})
	w.fill("p", 2)
	a, b := w.must(acquire("p", 1)), w.must(acquire("p", 1))
	first := w.waits(0, "p", 1, 1000)
	second := w.waits(0, "p", 2, 1000)
	w.must(&pool.Release{Grant: a.Grant, Token: a.Token})
	first2 := w.answer()
	if first2.Wait != first {
		t.Fatalf("%+v", first2)
	}
	third := w.waits(0, "p", 1, 1000)
	urgent := acquire("p", 1)
	urgent.Priority, urgent.WaitMs = 1, 1000
	w.must(urgent)
	w.must(&pool.Drain{Pool: "p", IDs: []string{b.Items[0].ID}})
	w.tick(0)
	w.none() // the second is not the first
	w.must(&pool.Release{Grant: first2.Reply.Grant, Token: first2.Reply.Token})
	w.answer()
	w.tick(0)
	if x := w.answer(); x.Wait != second || x.Reply.Err == nil || x.Reply.Err.Code != pool.NoMatch {
		t.Fatalf("%+v, then %d waits", x, third)
	}
	w.checked()
}
