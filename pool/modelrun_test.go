package pool_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/internal/proof"
)

// model is a machine beside the oracle, with the journal and the checkpoints of the machine.
type model struct {
	rt     *rapid.T
	o      *oracle
	m      *pool.Machine
	specs  map[string]pool.Spec
	chunks []chunk
	store  map[string]string
	mark   pool.Mark

	steps   int           // commands so far
	answers []pool.Answer // to waits, of the last one
	frozen  bool
	batch   []pool.Record // of the checkpoint under way, which is stored as a whole
	past    []*pool.Acquire
}

// TestModel runs random commands and checks all that they do. What fails is had again as rapid says.
func TestModel(t *testing.T) {
	proof.Run(t, "steps of the model", 1_000_000, func(t *testing.T, _ *rand.Rand) int {
		steps := 0
		rapid.Check(quiet{t}, func(rt *rapid.T) {
			m := newModel(rt)
			rt.Repeat(m.actions())
			m.sameAfterReplay()
			steps += m.steps
		})
		return steps
	})
}

// quiet does not say how often all went well.
type quiet struct{ *testing.T }

func (t quiet) Logf(format string, args ...any) {
	if !strings.HasPrefix(format, "[rapid] OK") {
		t.T.Logf(format, args...)
	}
}

func newModel(rt *rapid.T) *model {
	cfg := pool.Config{RefuseHoldAndWait: rapid.Bool().Draw(rt, "refuse"), KeyRetentionMs: 5000}
	m := &model{rt: rt, m: pool.New(cfg), specs: map[string]pool.Spec{}, store: map[string]string{}, o: &oracle{
		rt: rt, now: 1_000_000, cfg: cfg, pools: map[string]*oPool{}, leases: map[uint64]*oLease{}, waits: map[uint64]*oWait{},
		sessions: map[uint64]*oSession{}, keys: map[oKeyName]*oKey{},
	}}
	for _, name := range poolNames {
		m.specs[name] = m.drawSpec(name)
	}
	m.configure()
	for _, name := range poolNames {
		m.do(&pool.Fill{Pool: name, Items: m.drawItems(rapid.IntRange(1, 5).Draw(rt, "fill"))})
	}
	return m
}

var poolNames = []string{"p", "q", "r"}

func pick[T any](rt *rapid.T, what string, from ...T) T {
	return rapid.SampledFrom(from).Draw(rt, what)
}

// oneOf picks a number of those there are, or one that never was.
func oneOf[V any](rt *rapid.T, what string, from map[uint64]V) uint64 {
	ids := slices.Sorted(maps.Keys(from))
	return pick(rt, what, append(ids, 999_999)...)
}

func (m *model) drawSpec(name string) pool.Spec {
	rt := m.rt
	return pool.Spec{
		Name:            name,
		Strategy:        pick(rt, "strategy", pool.First, pool.LRU, pool.Random),
		OnExpiry:        pick(rt, "onExpiry", pool.Clean, pool.Clean, pool.Dirty),
		OnDisconnect:    pick(rt, "onDisconnect", pool.Keep, pool.ReleaseOnEnd, pool.ReleaseDirtyOnEnd),
		TTLMs:           pick[int64](rt, "ttl", 0, 700, 5000),
		LifetimeMaxMs:   pick[int64](rt, "lifetime", 0, 0, 6000),
		ExpiringMs:      pick[int64](rt, "expiring", 0, 200),
		WaitersMax:      pick[int64](rt, "waitersMax", 0, 0, 4),
		QuotaMax:        pick[int64](rt, "quota", 0, 0, 3),
		QuarantineAfter: pick[int64](rt, "quarantine", 0, 1, 2),
		Seed:            uint64(rapid.IntRange(0, 9).Draw(rt, "seed")),
	}
}

func (m *model) drawLabels() map[string]string {
	labels := map[string]string{}
	if zone := pick(m.rt, "zone", "a", "b", ""); zone != "" {
		labels["zone"] = zone
	}
	if size := pick(m.rt, "size", "1", "2", "", ""); size != "" {
		labels["size"] = size
	}
	return labels
}

func (m *model) drawItem() string { return fmt.Sprintf("i%d", rapid.IntRange(1, 8).Draw(m.rt, "item")) }

func (m *model) drawItems(n int) []pool.ItemSpec {
	var items []pool.ItemSpec
	for range n {
		s := pool.ItemSpec{ID: m.drawItem(), Labels: m.drawLabels()}
		if rapid.Bool().Draw(m.rt, "attrs") {
			s.Attrs = []byte(pick(m.rt, "attrs", `{"x":1}`, `2`))
		}
		if !slices.ContainsFunc(items, func(x pool.ItemSpec) bool { return x.ID == s.ID }) {
			items = append(items, s)
		}
	}
	return items
}

func (m *model) drawPool() string { return pick(m.rt, "pool", "p", "p", "p", "q", "q", "r", "none") }

func (m *model) drawKeyed() pool.Keyed {
	k := pool.Keyed{Client: pick(m.rt, "client", "ann", "bob")}
	if rapid.IntRange(0, 4).Draw(m.rt, "keyed") == 0 {
		k.Key = pick(m.rt, "key", "k1", "k2", "k3", "k4")
		k.Hash = uint64(rapid.IntRange(1, 1000).Draw(m.rt, "hash"))
	}
	return k
}

func (m *model) drawWant() pool.Want {
	w := pool.Want{Pool: m.drawPool()}
	if rapid.IntRange(0, 3).Draw(m.rt, "ids") == 0 {
		for range pick(m.rt, "n", 1, 1, 1, 2) {
			w.IDs = append(w.IDs, m.drawItem())
		}
		return w
	}
	w.Count = pick[int64](m.rt, "count", 1, 1, 1, 1, 2, 3, 0)
	term := func(name string, values ...string) pool.Term { return pool.Term{Name: name, Values: values} }
	w.Select = pick(m.rt, "select", nil, nil, nil,
		pool.Selector{term("zone", "a")},
		pool.Selector{term("zone", "b", "a")}, pool.Selector{term("zone", "a", "b", "a")},
		pool.Selector{term("zone", "a"), term("size", "1")}, pool.Selector{term("size", "1"), term("zone", "a")},
	)
	return w
}

func (m *model) actions() map[string]func(*rapid.T) {
	rt := m.rt
	acquire := func(*rapid.T) {
		c := &pool.Acquire{
			Session:  oneOf(rt, "session", m.o.sessions),
			WaitMs:   pick[int64](rt, "wait", 0, 1000, 3000, 10_000, 10_000),
			Strategy: pick[pool.Strategy](rt, "strategy", "", "", "", pool.LRU, pool.Random),
			Priority: pick[int64](rt, "priority", 0, 0, 0, 1, -1),
			Owner:    pick(rt, "owner", "", "", "olga", "otto"),
			Keyed:    m.drawKeyed(),
		}
		if c.Session == 999_999 && rapid.IntRange(0, 3).Draw(rt, "sessionless") > 0 {
			c.Session = 0
		}
		if ttl := pick[int64](rt, "ttl", -1, -1, 400, 2000); ttl > 0 {
			c.TTLMs = &ttl
		}
		if rapid.IntRange(0, 4).Draw(rt, "onDisconnect") == 0 {
			c.OnDisconnect = pool.ReleaseOnEnd
		}
		for range pick(rt, "wants", 1, 1, 1, 1, 2, 3) {
			c.Want = append(c.Want, m.drawWant())
		}
		m.do(c)
		if c.Key != "" {
			m.past = append(m.past, c)
		}
	}
	lease := func() (uint64, uint64) {
		id := oneOf(rt, "lease", m.o.leases)
		token := uint64(77)
		if l := m.o.leases[id]; l != nil && rapid.IntRange(0, 9).Draw(rt, "stale") > 0 {
			token = l.token
		}
		return id, token
	}
	release := func(*rapid.T) {
		c := &pool.Release{Outcome: pick[pool.Outcome](rt, "outcome", "", "", "", pool.Dirty, pool.Broken, "odd"), Keyed: m.drawKeyed()}
		if rapid.IntRange(0, 4).Draw(rt, "byItem") == 0 {
			c.Pool, c.Item = m.drawPool(), m.drawItem()
		} else {
			c.Grant, c.Token = lease()
		}
		m.do(c)
	}
	return map[string]func(*rapid.T){
		"acquire": acquire, "acquire2": acquire, "acquire3": acquire, "acquire4": acquire,
		"release": release, "release2": release,
		"again": func(*rapid.T) {
			if len(m.past) == 0 {
				return
			}
			c := *m.past[rapid.IntRange(0, len(m.past)-1).Draw(rt, "past")]
			if rapid.Bool().Draw(rt, "elsewhere") {
				c.Session = oneOf(rt, "session", m.o.sessions)
			}
			m.do(&c)
		},
		"renew": func(*rapid.T) {
			c := &pool.Renew{Keyed: m.drawKeyed()}
			c.Grant, c.Token = lease()
			if ttl := pick[int64](rt, "ttl", -1, 0, 3000); ttl >= 0 {
				c.TTLMs = &ttl
			}
			m.do(c)
		},
		"fill": func(*rapid.T) {
			m.do(&pool.Fill{Pool: m.drawPool(), Items: m.drawItems(rapid.IntRange(0, 3).Draw(rt, "n")), Configured: rapid.Bool().Draw(rt, "configured"), Keyed: m.drawKeyed()})
		},
		"drain": func(*rapid.T) {
			c := &pool.Drain{Pool: m.drawPool(), IDs: []string{m.drawItem()}, Keyed: m.drawKeyed()}
			if rapid.IntRange(0, 5).Draw(rt, "all") == 0 {
				c.IDs, c.All = nil, true
			}
			m.do(c)
		},
		"set": func(*rapid.T) {
			c := &pool.SetItem{Pool: m.drawPool(), ID: m.drawItem(), State: pick(rt, "state", "", "free", "free", "dirty", "quarantined", "odd"), Keyed: m.drawKeyed()}
			if rapid.Bool().Draw(rt, "labels") {
				c.Labels = m.drawLabels()
			}
			if rapid.Bool().Draw(rt, "attrs") {
				c.Attrs = []byte(`3`)
			}
			if rapid.IntRange(0, 5).Draw(rt, "versioned") == 0 {
				c.Version = 1
			}
			m.do(c)
		},
		"clean": func(*rapid.T) { // all that was dirty or broken
			for _, name := range poolNames {
				if p := m.o.pools[name]; p != nil && !p.retired {
					for _, id := range slices.Clone(p.order) {
						if it := p.items[id]; it != nil && it.state != "free" {
							m.do(&pool.SetItem{Pool: name, ID: id, State: "free"})
						}
					}
				}
			}
		},
		"cancel": func(*rapid.T) { m.do(&pool.CancelWait{Wait: oneOf(rt, "wait", m.o.waits)}) },
		"open": func(*rapid.T) {
			if len(m.o.sessions) < 6 {
				m.do(&pool.OpenSession{Client: pick(rt, "client", "ann", "bob", ""), Secret: pick(rt, "secret", "s", "s", ""), GraceMs: pick[int64](rt, "grace", 0, 2000, 8000)})
			}
		},
		"disconnect": func(*rapid.T) { m.do(&pool.Disconnect{Session: oneOf(rt, "session", m.o.sessions)}) },
		"resume": func(*rapid.T) {
			m.do(&pool.Resume{Session: oneOf(rt, "session", m.o.sessions), Secret: pick(rt, "secret", "s", "s", "s", "wrong")})
		},
		"retire": func(*rapid.T) {
			name := pick(rt, "pool", poolNames...)
			delete(m.specs, name)
			m.configure()
			if rapid.Bool().Draw(rt, "drained") {
				m.do(&pool.DrainUnseen{Pool: name})
			}
		},
		"reconfigure": func(*rapid.T) {
			name := pick(rt, "pool", poolNames...)
			m.specs[name] = m.drawSpec(name)
			m.configure()
		},
		"unseen": func(*rapid.T) {
			for _, name := range poolNames {
				m.do(&pool.DrainUnseen{Pool: name})
			}
		},
		"pass":    func(*rapid.T) { m.tick(m.o.now + int64(rapid.IntRange(0, 1500).Draw(rt, "ms"))) },
		"due":     func(*rapid.T) { m.due() },
		"replay":  func(*rapid.T) { m.sameAfterReplay() },
		"restart": func(*rapid.T) { m.restart() },
		"freeze": func(*rapid.T) {
			if !m.frozen {
				m.m.Freeze()
				m.frozen, m.batch = true, nil
			}
		},
		"slice":  func(*rapid.T) { m.slice(rapid.IntRange(1, 9).Draw(rt, "slice")) },
		"slice2": func(*rapid.T) { m.slice(40) },
		"":       m.invariants,
	}
}

func (m *model) configure() {
	c := &pool.Configure{}
	for _, name := range slices.Sorted(maps.Keys(m.specs)) {
		c.Pools = append(c.Pools, m.specs[name])
	}
	m.do(c)
}

// do has the machine decide, and the oracle follow.
func (m *model) do(c pool.Command) pool.Reply {
	rt, o := m.rt, m.o
	m.steps++
	o.begin(c, m.m)
	want := ""
	acquire, _ := c.(*pool.Acquire)
	if acquire != nil {
		want = o.expect(acquire)
	}
	hash, rev := m.m.Hash(), m.m.Rev()
	name := oKeyName{keyedOf(c).Client, keyedOf(c).Key}
	if acquire != nil {
		if s := o.sessions[acquire.Session]; s != nil {
			name.client = s.client
		}
	}
	known := o.keys[name]
	if known != nil {
		clone := *known
		known = &clone
	}
	var r pool.Reply
	m.m.Decide(o.now, c, &r)
	m.follow()
	got := "granted"
	switch {
	case r.Repeated:
		got = "repeated"
	case r.Err != nil:
		got = string(r.Err.Code)
		o.must(r.Err.Message != "", "%T %+v: refused without a word: %+v", c, c, r)
		if m.m.Rev() != rev {
			o.must(name.key != "" && m.m.Rev() == rev+1, "%T %+v was refused with %v, and took %d events", c, c, r.Err, m.m.Rev()-rev)
		} else {
			o.must(m.m.Hash() == hash, "%T %+v was refused with %v, and the hash has changed", c, c, r.Err)
		}
	case r.Waiting != 0:
		got = "waits"
		o.must(o.waits[r.Waiting] != nil || o.ended[r.Waiting] != "", "%+v", r)
	}
	if want != "" && want != got {
		rt.Fatalf("%T %+v: %s (%+v), want %s", c, c, got, r, want)
	}
	switch {
	case r.Repeated:
		o.must(known != nil, "%T %+v: %+v repeats nothing", c, c, r)
		if known.wait != 0 {
			o.must(r.Waiting == known.wait, "%+v, want wait %d", r, known.wait)
		} else {
			o.same(r, known.reply)
		}
	case name.key != "" && o.keys[name] != nil && known == nil:
		o.keys[name].reply = r
		for _, a := range m.answers { // it was granted what it began to wait for
			if a.Wait == r.Waiting {
				o.keys[name].reply = a.Reply
			}
		}
	}
	if acquire != nil && got == "granted" {
		o.grantedReply(r)
	}
	o.must(r.Rev <= m.m.Rev(), "the reply %+v knows more than %d", r, m.m.Rev())
	return r
}

func (o *oracle) begin(c pool.Command, m *pool.Machine) {
	due := m.NextDue()
	o.cmd, o.pending = c, o.pending || due != 0 && due <= o.now
	o.due = o.now
	o.ended, o.lost, o.expiring, o.forgotten = map[uint64]string{}, 0, map[uint64]bool{}, 0
}

// same checks that a reply repeats another.
func (o *oracle) same(r, first pool.Reply) {
	r.Repeated, first.Repeated = false, false
	if len(r.Items) == 0 {
		r.Items = nil
	}
	if len(first.Items) == 0 {
		first.Items = nil
	}
	o.must(reflect.DeepEqual(r, first), "repeated: %+v, first %+v", r, first)
}

func (o *oracle) grantedReply(r pool.Reply) {
	l := o.leases[r.Grant]
	o.must(l != nil && l.token == r.Token && l.expires == r.ExpiresAt && len(l.items) == len(r.Items), "%+v of %+v", r, l)
	for i, g := range r.Items {
		o.must(l.items[i] == pool.ItemRef{Pool: g.Pool, ID: g.ID, Units: 1} && g.Attrs == l.attrs[i], "%+v of %+v", r, l)
	}
}

// follow takes what the machine did to the journal and to the oracle.
func (m *model) follow() {
	o := m.o
	if data := m.m.TakeChunk(); data != nil {
		o.must(pool.ChunkFirst(data) == o.rev+1, "a chunk begins with %d after %d", pool.ChunkFirst(data), o.rev)
		err := pool.Events(data, func(ev *pool.Event) bool { o.follow(ev); return true })
		o.must(err == nil, "%v", err)
		o.must(o.settles == nil, "the key of wait %+v", o.settles)
		m.chunks = append(m.chunks, chunk{m.m.Rev(), data})
	}
	o.must(o.rev == m.m.Rev(), "rev %d after event %d", m.m.Rev(), o.rev)
	answers, notices := m.m.TakeAnswers()
	m.answers = answers
	o.must(len(answers) == len(o.ended), "answers %+v to waits %v", answers, o.ended)
	for _, a := range answers {
		got := "granted"
		if a.Reply.Err != nil {
			got = string(a.Reply.Err.Code)
		}
		o.must(got == o.ended[a.Wait] && a.Reply.Rev <= o.rev, "answer %+v, want %s", a, o.ended[a.Wait])
		if got == "granted" {
			if o.leases[a.Reply.Grant] != nil { // else it is over already
				o.grantedReply(a.Reply)
			}
		}
		for _, k := range o.keys { // of a wait that was keyed
			if k.wait == 0 && k.reply.Waiting == a.Wait {
				k.reply = a.Reply
			}
		}
	}
	for _, n := range notices {
		if n.Lost == "" {
			o.must(o.expiring[n.Grant], "%+v", n)
			delete(o.expiring, n.Grant)
		} else {
			o.lost--
		}
	}
	o.must(o.lost == 0, "%+v, too few by %d", notices, o.lost)
	for id := range o.expiring {
		o.must(o.leases[id] == nil, "lease %d is about to end, and it is not told", id)
	}
}

// tick has time pass up to at, with everything done that is due.
func (m *model) tick(at int64) {
	m.o.now = max(m.o.now, at)
	budget := rapid.IntRange(1, 4).Draw(m.rt, "budget")
	for {
		m.o.begin(&tick{}, m.m)
		more := m.m.Tick(at, budget)
		m.follow()
		m.forget()
		if !more {
			break
		}
	}
	m.o.pending = false
	m.o.onTime()
	m.o.conserved()
}

// forget has the oracle forget as many keys as the machine has.
func (m *model) forget() {
	o := m.o
	for name, k := range o.keys {
		if o.forgotten > 0 && k.until != 0 && k.until <= o.now {
			delete(o.keys, name)
			o.forgotten--
		}
	}
}

// due checks that nothing happens before NextDue, and something then.
func (m *model) due() {
	at := m.m.NextDue()
	if at == 0 {
		return
	}
	rev := m.m.Rev()
	if at > m.o.now {
		m.tick(at - 1)
		m.o.must(m.m.Rev() == rev, "something was done at %d, and NextDue was %d", at-1, at)
		m.tick(at)
		m.o.must(m.m.Rev() > rev, "nothing was done at %d, which was NextDue", at)
	} else {
		m.tick(m.o.now)
	}
}

func (m *model) slice(n int) {
	if !m.frozen {
		return
	}
	records, mark, done := m.m.Slice(n)
	m.batch = append(m.batch, records...)
	if !done {
		return
	}
	for _, r := range m.batch {
		if r.Value == nil {
			delete(m.store, string(r.Key))
		} else {
			m.store[string(r.Key)] = string(r.Value)
		}
	}
	m.frozen, m.mark = false, mark
}

// replayed returns a machine made of the checkpoint, if from is its mark, and the chunks after it.
func (m *model) replayed(from pool.Mark) *pool.Machine {
	x := pool.New(m.o.cfg)
	if from.Rev > 0 {
		for _, key := range slices.Sorted(maps.Keys(m.store)) {
			err := x.Load([]byte(key), []byte(m.store[key]))
			m.o.must(err == nil, "%v", err)
		}
		err := x.Loaded(from)
		m.o.must(err == nil, "%v", err)
	}
	for _, c := range m.chunks {
		if c.seq > from.Rev {
			err := x.Replay(c.seq, c.data)
			m.o.must(err == nil, "%v", err)
		}
	}
	m.o.must(x.Hash() == m.m.Hash() && x.Rev() == m.m.Rev(), "replayed from %d: hash %x at %d, want %x at %d", from.Rev, x.Hash(), x.Rev(), m.m.Hash(), m.m.Rev())
	err := x.Check()
	m.o.must(err == nil, "replayed from %d: %v", from.Rev, err)
	return x
}

func (m *model) sameAfterReplay() {
	m.replayed(pool.Mark{})
	m.replayed(m.mark)
}

func (m *model) restart() {
	m.m = m.replayed(m.mark)
	m.frozen = false
	m.o.pending = true // what was to be looked at is looked at now
	m.do(&pool.Restarted{})
	m.tick(m.o.now)
}

func (m *model) invariants(*rapid.T) {
	o := m.o
	err := m.m.Check()
	o.must(err == nil, "%v", err)
	if due := m.m.NextDue(); !o.pending && (due == 0 || due > o.now) {
		o.conserved()
	}
	o.agrees(m.m)
}
