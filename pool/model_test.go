package pool_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool"
)

// TestMain sizes the random tests for CI, unless the command line says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	set := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": "150", "rapid.steps": "150", "rapid.nofailfile": "true", "rapid.shrinktime": "20s"} {
		if !set[name] {
			flag.Set(name, value)
		}
	}
	os.Exit(m.Run())
}

// The oracle is what the machine should do, told in plain maps and by brute force. It follows the machine by its events,
// each of which it must find right; what should have become of a command, and who should not be waiting any more, it
// works out by itself.
type oracle struct {
	rt       *rapid.T
	now      int64
	rev      uint64
	cfg      pool.Config
	pools    map[string]*oPool
	leases   map[uint64]*oLease
	waits    map[uint64]*oWait
	sessions map[uint64]*oSession
	keys     map[oKeyName]*oKey
	token    uint64 // the last

	// Of the command that is being followed.
	cmd       pool.Command
	pending   bool  // there were lines that Tick was to look at
	due       int64 // when what Tick is doing was due
	settles   *oWait
	forgotten int
	ended     map[uint64]string // waits that ended: a code, or "granted"
	lost      int               // notices that are to come
	expiring  map[uint64]bool   // likewise, of leases, unless they end before
}

type oPool struct {
	spec    pool.Spec
	retired bool
	order   []string
	items   map[string]*oItem
	turn    uint64
	granted uint64
}

type oItem struct {
	labels         map[string]string
	attrs          string
	state          string
	draining, conf bool
	broken         int
	lease          uint64
	freed          uint64
	version        uint64
}

type oLease struct {
	session         uint64
	client, owner   string
	token           uint64
	items           []pool.ItemRef
	attrs           []string // of the items, as they were given out
	expires, endsAt int64
	ttl, notice     int64
	told            bool
	onEnd           pool.OnDisconnect
}

type oWait struct {
	id, session  uint64
	client       string
	owner        string
	want         []pool.Want
	strategy     pool.Strategy
	priority     int64
	ttl          int64
	onEnd        pool.OnDisconnect
	since, until int64
	turn         uint64
	key          oKeyName
}

type oSession struct {
	client, secret string
	grace, until   int64
}

type (
	oKeyName struct{ client, key string }
	oKey     struct {
		hash  uint64
		wait  uint64
		reply pool.Reply
		until int64
	}
)

func (o *oracle) must(ok bool, format string, args ...any) {
	if !ok {
		o.rt.Helper()
		o.rt.Fatalf(format, args...)
	}
}

func (o *oracle) item(ref pool.ItemRef) *oItem {
	p := o.pools[ref.Pool]
	o.must(p != nil && p.items[ref.ID] != nil, "event names item %v, which is not there", ref)
	return p.items[ref.ID]
}

func (it *oItem) free() bool { return it.lease == 0 && it.state == "free" && !it.draining }

func (it *oItem) matches(s pool.Selector) bool {
	for _, term := range s {
		v, ok := it.labels[term.Name]
		if !ok || !slices.Contains(term.Values, v) {
			return false
		}
	}
	return true
}

// wanted returns the items of p that satisfy w, in the pool's order.
func (p *oPool) wanted(w pool.Want, which func(*oItem) bool) []string {
	var ids []string
	for _, id := range p.order {
		it := p.items[id]
		if which(it) && (len(w.IDs) == 0 && it.matches(w.Select) || slices.Contains(w.IDs, id)) {
			ids = append(ids, id)
		}
	}
	return ids
}

func count(w pool.Want) int {
	return max(int(w.Count), len(w.IDs))
}

func stays(it *oItem) bool { return !it.draining }

// refusal says why wants can not be met at all.
func (o *oracle) refusal(wants []pool.Want) pool.Code {
	perPool := map[string]int{}
	ids := map[pool.ItemRef]bool{}
	for _, w := range wants {
		p := o.pools[w.Pool]
		if p == nil || p.retired {
			return pool.NotFound
		}
		for _, id := range w.IDs {
			it := p.items[id]
			switch {
			case it == nil:
				return pool.NotFound
			case it.draining:
				return pool.NoMatch
			case ids[pool.ItemRef{Pool: w.Pool, ID: id}]:
				return pool.BadPayload
			}
			ids[pool.ItemRef{Pool: w.Pool, ID: id}] = true
		}
		if len(w.IDs) == 0 && w.Count <= 0 {
			return pool.BadPayload
		}
		if len(p.wanted(w, stays)) < count(w) {
			return pool.NoMatch
		}
		perPool[w.Pool] += count(w)
	}
	for name, n := range perPool {
		if len(o.pools[name].wanted(pool.Want{}, stays)) < n {
			return pool.NoMatch
		}
	}
	return ""
}

// could reports whether wants can be met now. It is sure unless two are for the same pool.
func (o *oracle) could(wants []pool.Want) (ok, sure bool) {
	sure = true
	for i, w := range wants {
		if len(o.pools[w.Pool].wanted(w, (*oItem).free)) < count(w) {
			return false, true
		}
		sure = sure && !slices.ContainsFunc(wants[:i], func(x pool.Want) bool { return x.Pool == w.Pool })
	}
	return true, sure
}

func aside(wants []pool.Want) bool { return len(wants) > 1 || len(wants[0].IDs) > 1 }

// lineOf names the line that a wait is in.
func lineOf(wants []pool.Want) string {
	w := wants[0]
	if len(w.IDs) > 0 {
		return fmt.Sprintf("%s item %s", w.Pool, w.IDs[0])
	}
	terms := []string{}
	for _, t := range w.Select {
		values := slices.Clone(t.Values)
		slices.Sort(values)
		values = slices.Compact(values)
		terms = append(terms, fmt.Sprintf("%q in %q", t.Name, values))
	}
	slices.Sort(terms)
	return w.Pool + " " + strings.Join(terms, " and ")
}

func (o *oracle) away(session uint64) bool {
	s := o.sessions[session]
	return s != nil && s.until != 0
}

func (w *oWait) before(x *oWait) bool {
	return cmp.Or(cmp.Compare(x.priority, w.priority), cmp.Compare(w.turn, x.turn), cmp.Compare(w.id, x.id)) < 0
}

// first returns the wait that is to be served next of a line.
func (o *oracle) first(line string) *oWait {
	var first *oWait
	for _, w := range o.waits {
		if !aside(w.want) && !o.away(w.session) && lineOf(w.want) == line && (first == nil || w.before(first)) {
			first = w
		}
	}
	return first
}

func (o *oracle) held(client, name string) (n int) {
	for _, it := range o.pools[name].items {
		if it.lease != 0 && o.leases[it.lease].client == client {
			n++
		}
	}
	return n
}

func (o *oracle) overQuota(client string, wants []pool.Want) bool {
	n := map[string]int{}
	for _, w := range wants {
		n[w.Pool] += count(w)
	}
	for name, n := range n {
		if quota := o.pools[name].spec.QuotaMax; quota > 0 && int64(o.held(client, name)+n) > quota {
			return true
		}
	}
	return false
}

func sameOwner(s1 uint64, o1 string, s2 uint64, o2 string) bool {
	if o1 != "" || o2 != "" {
		return o1 == o2
	}
	return s1 == s2 && s1 != 0 // 0 is nobody
}

// expect says what should become of an Acquire: a code, "granted" or "waits"; "" where it is not sure.
func (o *oracle) expect(c *pool.Acquire) string {
	client := c.Client
	if c.Session != 0 {
		s := o.sessions[c.Session]
		if s == nil {
			return string(pool.SessionExpired)
		}
		client = s.client
	}
	if c.Key != "" {
		if k := o.keys[oKeyName{client, c.Key}]; k != nil {
			if k.hash != c.Hash {
				return string(pool.KeyConflict)
			}
			return "repeated"
		}
	}
	if len(c.Want) == 0 {
		return string(pool.BadPayload)
	}
	if code := o.refusal(c.Want); code != "" {
		return string(code)
	}
	for _, w := range c.Want {
		s := o.pools[w.Pool].spec
		if c.WaitMs < 0 || c.WaitMs > s.WaitMaxMs || c.TTLMs != nil && (*c.TTLMs <= 0 || *c.TTLMs > s.TTLMaxMs) {
			return string(pool.BadPayload)
		}
	}
	if o.cfg.RefuseHoldAndWait {
		for _, w := range o.waits {
			if sameOwner(c.Session, c.Owner, w.session, w.owner) {
				return string(pool.WouldDeadlock)
			}
		}
	}
	if o.overQuota(client, c.Want) {
		return string(pool.QuotaExceeded)
	}
	if o.pending {
		return ""
	}
	ok, sure := o.could(c.Want)
	if ok && !aside(c.Want) {
		if w := o.first(lineOf(c.Want)); w != nil && c.Priority <= w.priority {
			ok = false
		}
	}
	switch {
	case !sure:
		return ""
	case ok:
		return "granted"
	case c.WaitMs == 0:
		return string(pool.NoneFree)
	}
	if o.cfg.RefuseHoldAndWait {
		for _, l := range o.leases {
			if sameOwner(c.Session, c.Owner, l.session, l.owner) {
				return string(pool.WouldDeadlock)
			}
		}
	}
	waiting := 0
	for _, w := range o.waits {
		if slices.ContainsFunc(w.want, func(x pool.Want) bool { return x.Pool == c.Want[0].Pool }) {
			waiting++
		}
	}
	if int64(waiting) >= o.pools[c.Want[0].Pool].spec.WaitersMax {
		return string(pool.QueueFull)
	}
	return "waits"
}
