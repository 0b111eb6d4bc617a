package pool_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool"
)

// calendars is what calendars should do, told by brute force: a list of what is booked, which is gone through millisecond by
// millisecond. It foretells each reply, each event and each answer to those who wait.
type calendars struct {
	rt     *rapid.T
	now    int64
	rev    uint64
	pools  map[string]*cPool
	grants map[uint64]*cGrant
	waits  []*cWait // by number
	keys   map[oKeyName]*cKey
	again  []string // pools whose waits Tick is to look at

	// Of the command that is being followed.
	events  []string
	answers []string
}

type cPool struct {
	spec    pool.Spec
	rooms   []*cRoom // in the pool's order
	granted int64
}

type cRoom struct {
	id, zone string
	capacity int64
	draining bool
}

type cGrant struct {
	id, token    uint64
	client       string
	kind         pool.Kind
	firm         bool
	expires, ttl int64
	parts        []cPart
}

type cPart struct {
	pool, room string
	units      int64
	span       pool.Span
}

type cWait struct {
	id         uint64
	client     string
	priority   int64
	kind       pool.Kind
	ttl, until int64
	wants      []pool.Want
}

type cKey struct {
	hash  uint64
	reply pool.Reply
}

// cReply is what a reply should be.
type cReply struct {
	code             pool.Code
	grant, token     uint64
	expires          int64
	items, conflicts []cPart
	count, other     int
	waiting          uint64
	keeps            bool // a key, if there is one
	repeats          *cKey
}

func refused(code pool.Code) cReply { return cReply{code: code} }

// cWanted is what a want stands for.
type cWanted struct {
	name  string
	rooms []*cRoom
	ids   bool
	any   bool // without a selector
	count int64
	spans []pool.Span
}

func (o *calendars) must(ok bool, format string, args ...any) {
	if !ok {
		o.rt.Fatalf(format, args...)
	}
}

func (p cPart) begin() int64 { return p.span.Start - p.span.SetupMs }
func (p cPart) end() int64   { return p.span.End + p.span.CleanupMs }

func (p cPart) String() string {
	return fmt.Sprintf("%s/%s %d-%d (%d, %d) x %d", p.pool, p.room, p.span.Start, p.span.End, p.span.SetupMs, p.span.CleanupMs, p.units)
}

// log says that an event is to come.
func (o *calendars) log(format string, args ...any) {
	o.rev++
	o.events = append(o.events, fmt.Sprintf("%d ", o.rev)+fmt.Sprintf(format, args...))
}

func (p *cPool) room(id string) *cRoom {
	for _, r := range p.rooms {
		if r.id == id {
			return r
		}
	}
	return nil
}

// parts returns what is booked or held of a pool.
func (o *calendars) parts(name string) []cPart {
	var all []cPart
	for _, g := range o.grants {
		for _, p := range g.parts {
			if p.pool == name {
				all = append(all, p)
			}
		}
	}
	return all
}

// use returns how many units of a room are in use at a moment.
func use(parts []cPart, room string, at int64) int64 {
	n := int64(0)
	for _, p := range parts {
		if p.room == room && p.begin() <= at && at < p.end() {
			n += p.units
		}
	}
	return n
}

// fits reports whether so many more units of a room can be had at each moment of a span.
func (r *cRoom) fits(parts []cPart, s pool.Span, units int64) bool {
	for at := s.Start - s.SetupMs; at < s.End+s.CleanupMs; at++ {
		if use(parts, r.id, at)+units > r.capacity {
			return false
		}
	}
	return true
}

// times says what times become in a pool, or that they can not be.
func (o *calendars) times(p *cPool, spans []pool.Span) ([]pool.Span, pool.Code) {
	var out []pool.Span
	for i, s := range spans {
		s.SetupMs, s.CleanupMs = p.spec.SetupMs, p.spec.CleanupMs
		out = append(out, s)
		long, over, far := s.End-s.Start > p.spec.SlotMaxMs, s.End <= o.now, s.Start > o.now+p.spec.HorizonMs
		if s.Start < 0 || s.End <= s.Start || long || over || far {
			return nil, pool.InvalidInterval
		}
		if i > 0 && out[i-1].End+s.CleanupMs > s.Start-s.SetupMs {
			return nil, pool.InvalidInterval
		}
	}
	return out, ""
}

func (o *calendars) resolve(wants []pool.Want) ([]cWanted, pool.Code) {
	var out []cWanted
	named := map[*cRoom]bool{}
	for _, w := range wants {
		p := o.pools[w.Pool]
		if p == nil {
			return nil, pool.NotFound
		}
		if len(w.Spans) == 0 {
			return nil, pool.BadPayload
		}
		spans, code := o.times(p, w.Spans)
		if code != "" {
			return nil, code
		}
		x := cWanted{name: w.Pool, ids: w.IDs != nil, any: w.Select == nil, count: w.Count, spans: spans}
		for _, id := range w.IDs {
			r := p.room(id)
			switch {
			case r == nil:
				return nil, pool.NotFound
			case r.draining:
				return nil, pool.NoMatch
			case named[r]:
				return nil, pool.BadPayload
			}
			named[r] = true
			x.rooms = append(x.rooms, r)
		}
		if x.ids && x.count == 0 {
			x.count = 1
		}
		if x.count <= 0 {
			return nil, pool.BadPayload
		}
		for _, r := range p.rooms {
			if !x.ids && !r.draining && (x.any || slices.Contains(w.Select[0].Values, r.zone)) {
				x.rooms = append(x.rooms, r)
			}
		}
		large := 0
		for _, r := range x.rooms {
			if r.capacity >= x.count {
				large++
			}
		}
		if large == 0 || x.ids && large < len(x.rooms) {
			return nil, pool.NoMatch
		}
		out = append(out, x)
	}
	return out, ""
}

// units returns how many units a grant of all the wants for a pool would have.
func units(wants []cWanted, name string) int64 {
	n := int64(0)
	for _, w := range wants {
		if w.name == name && w.ids {
			n += w.count * int64(len(w.spans)*len(w.rooms))
		} else if w.name == name {
			n += w.count * int64(len(w.spans))
		}
	}
	return n
}

// overQuota reports whether a client would have more than it may.
func (o *calendars) overQuota(client, name string, more int64) bool {
	quota := o.pools[name].spec.QuotaMax
	for _, g := range o.grants {
		for _, p := range g.parts {
			if g.client == client && p.pool == name {
				more += p.units
			}
		}
	}
	return quota > 0 && more > quota
}

func (o *calendars) anyOverQuota(client string, wants []cWanted) bool {
	return slices.ContainsFunc(wants, func(w cWanted) bool { return o.overQuota(client, w.name, units(wants, w.name)) })
}

// pick returns what meets all wants: those that name rooms come first, then those with a selector.
func (o *calendars) pick(wants []cWanted) ([]cPart, bool) {
	picked := map[*cRoom]bool{}
	found := make([][]cPart, len(wants))
	for _, pass := range []func(w *cWanted) bool{
		func(w *cWanted) bool { return w.ids },
		func(w *cWanted) bool { return !w.ids && !w.any },
		func(w *cWanted) bool { return !w.ids && w.any },
	} {
		for i := range wants {
			w := &wants[i]
			if !pass(w) {
				continue
			}
			parts := o.parts(w.name)
			free := func(r *cRoom) bool {
				return !picked[r] && !slices.ContainsFunc(w.spans, func(s pool.Span) bool { return !r.fits(parts, s, w.count) })
			}
			rooms := w.rooms
			if !w.ids {
				first := slices.IndexFunc(rooms, free)
				if first < 0 {
					return nil, false
				}
				rooms = rooms[first : first+1]
			}
			for _, r := range rooms {
				if !free(r) {
					return nil, false
				}
				picked[r] = true
				for _, s := range w.spans {
					found[i] = append(found[i], cPart{w.name, r.id, w.count, s})
				}
			}
		}
	}
	return slices.Concat(found...), true
}

// grant enters a grant whose event is the next one.
func (o *calendars) grant(g *cGrant) {
	name := map[pool.Kind]string{pool.Lease: "lease.granted", pool.Calendar: "slot.held"}[g.kind]
	if g.firm {
		name = "slot.booked"
	}
	g.token = o.rev + 1
	g.id = cmp.Or(g.id, g.token)
	o.log("%s %d by %s until %d: %v", name, g.id, g.client, g.expires, g.parts)
	o.grants[g.id] = g
	for _, p := range g.parts {
		o.pools[p.pool].granted += p.units
	}
}

// leave has rooms leave of which nothing is booked any more.
func (o *calendars) leave() {
	for name, p := range o.pools {
		parts := o.parts(name)
		p.rooms = slices.DeleteFunc(p.rooms, func(r *cRoom) bool {
			return r.draining && !slices.ContainsFunc(parts, func(x cPart) bool { return x.room == r.id })
		})
	}
}

// release takes parts from a grant, and serves who waits for them.
func (o *calendars) release(g *cGrant, cause string, which func(cPart) bool) int {
	var gone, left []cPart
	for _, p := range g.parts {
		if which(p) {
			gone = append(gone, p)
		} else {
			left = append(left, p)
		}
	}
	if g.parts = left; len(left) == 0 {
		delete(o.grants, g.id)
	}
	name := "slot.cancelled"
	switch {
	case cause == "past":
		name = "slot.past"
	case g.kind == pool.Lease && !g.firm && cause == "expired":
		name = "lease.expired"
	case g.kind == pool.Lease && !g.firm:
		name = "lease.released"
	case cause == "expired":
		name = "slot.expired"
	}
	o.log("%s %d %s: %s", name, g.id, cause, anyOrder(gone))
	o.leave()
	o.serve(gone)
	return len(gone)
}

func anyOrder(parts []cPart) string {
	all := make([]string, len(parts))
	for i, p := range parts {
		all[i] = p.String()
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// inTurn returns those who wait for a pool, in the order in which they are served.
func (o *calendars) inTurn(pools ...string) []*cWait {
	var waits []*cWait
	for _, w := range o.waits {
		if slices.ContainsFunc(w.wants, func(x pool.Want) bool { return slices.Contains(pools, x.Pool) }) {
			waits = append(waits, w)
		}
	}
	slices.SortStableFunc(waits, func(a, b *cWait) int { return cmp.Compare(b.priority, a.priority) })
	return waits
}

func (o *calendars) serve(freed []cPart) {
	var pools []string
	for _, p := range freed {
		pools = append(pools, p.pool)
	}
	for {
		waits := o.inTurn(pools...)
		i := slices.IndexFunc(waits, o.servable)
		if i < 0 {
			return
		}
		o.give(waits[i])
	}
}

func (o *calendars) servable(w *cWait) bool {
	wants, code := o.resolve(w.wants)
	if code != "" {
		return false
	}
	_, ok := o.pick(wants)
	return ok
}

// give gives a wait what it wants.
func (o *calendars) give(w *cWait) {
	wants, _ := o.resolve(w.wants)
	if o.anyOverQuota(w.client, wants) {
		o.end(w, pool.QuotaExceeded)
		return
	}
	o.waits = slices.DeleteFunc(o.waits, func(x *cWait) bool { return x == w })
	parts, _ := o.pick(wants)
	o.grant(&cGrant{id: w.id, client: w.client, kind: w.kind, expires: o.now + w.ttl, ttl: w.ttl, parts: parts})
	o.answers = append(o.answers, fmt.Sprintf("%d: %v", w.id, parts))
}

func (o *calendars) end(w *cWait, code pool.Code) {
	if code == pool.NotFound {
		code = pool.NoMatch
	}
	o.waits = slices.DeleteFunc(o.waits, func(x *cWait) bool { return x == w })
	o.log("wait.ended %d %s", w.id, code)
	o.answers = append(o.answers, fmt.Sprintf("%d: %s", w.id, code))
}

func (o *calendars) lookAgain(name string) {
	if !slices.Contains(o.again, name) && len(o.inTurn(name)) > 0 {
		o.again = append(o.again, name)
	}
}

// due returns when something is due for a grant.
func (o *calendars) due(g *cGrant) int64 {
	if !g.firm {
		return g.expires
	}
	at := int64(0)
	for _, p := range g.parts {
		if past := o.pastAt(p); at == 0 || past < at {
			at = past
		}
	}
	return at
}

func (o *calendars) pastAt(p cPart) int64 {
	return max(p.span.End+p.span.CleanupMs, p.span.End+o.pools[p.pool].spec.KeepMs)
}

// tick does what is due, what was due first first, and then looks at those who are to be looked at.
func (o *calendars) tick() {
	before := func(a, b *cGrant) bool {
		return cmp.Or(cmp.Compare(o.due(a), o.due(b)), cmp.Compare(a.parts[0].pool, b.parts[0].pool), cmp.Compare(a.id, b.id)) < 0
	}
	for {
		var g *cGrant
		var w *cWait
		for _, x := range o.grants {
			if o.due(x) <= o.now && (g == nil || before(x, g)) {
				g = x
			}
		}
		for _, x := range o.waits {
			if x.until <= o.now && (w == nil || x.until < w.until) {
				w = x
			}
		}
		switch {
		case w != nil && (g == nil || w.until < o.due(g)):
			o.end(w, pool.WaitTimeout)
		case g != nil && g.firm:
			o.release(g, "past", func(p cPart) bool { return o.pastAt(p) <= o.now })
		case g != nil:
			o.release(g, "expired", func(cPart) bool { return true })
		default:
			o.lookAtAll()
			return
		}
	}
}

func (o *calendars) lookAtAll() {
	for len(o.again) > 0 {
		name := o.again[0]
		o.again = o.again[1:]
		for _, w := range o.inTurn(name) {
			if _, code := o.resolve(w.wants); code != "" {
				o.end(w, code)
			} else if o.servable(w) {
				o.give(w)
			}
		}
	}
}

// known looks for the outcome of a key.
func (o *calendars) known(k pool.Keyed) (r cReply, ok bool) {
	switch x := o.keys[oKeyName{k.Client, k.Key}]; {
	case k.Key == "" || x == nil:
		return r, false
	case x.hash != k.Hash:
		return refused(pool.KeyConflict), true
	default:
		return cReply{repeats: x}, true
	}
}
