package pool_test

import (
	"cmp"
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

func (o *calendars) book(c *pool.Book) cReply {
	wants, code := o.resolve([]pool.Want{c.Want})
	if code != "" {
		return refused(code)
	}
	w := &wants[0]
	parts := o.parts(w.name)
	free := func(rooms []*cRoom, s pool.Span) bool {
		return !slices.ContainsFunc(rooms, func(r *cRoom) bool { return !r.fits(parts, s, w.count) })
	}
	rooms := w.rooms
	if !w.ids {
		most := -1
		for _, r := range w.rooms {
			n := 0
			for _, s := range w.spans {
				if free([]*cRoom{r}, s) {
					n++
				}
			}
			if r.capacity >= w.count && n > most {
				rooms, most = []*cRoom{r}, n
			}
		}
	}
	r := cReply{keeps: true}
	for _, room := range rooms {
		for _, s := range w.spans {
			if free(rooms, s) {
				r.items = append(r.items, cPart{w.name, room.id, w.count, s})
			} else {
				r.conflicts = append(r.conflicts, cPart{w.name, room.id, 0, s})
			}
		}
	}
	switch {
	case (c.OnConflict == "" || c.OnConflict == pool.FailAll) && len(r.conflicts) > 0,
		c.OnConflict == pool.Skip && len(r.items) == 0:
		return refused(pool.Conflict)
	case c.OnConflict == pool.Report:
		r.keeps = false
		return r
	case c.OnConflict != "" && c.OnConflict != pool.FailAll && c.OnConflict != pool.Skip:
		return refused(pool.BadPayload)
	case o.overQuota(c.Client, w.name, w.count*int64(len(r.items))):
		return refused(pool.QuotaExceeded)
	}
	o.grant(&cGrant{client: c.Client, kind: pool.Calendar, firm: true, parts: r.items})
	r.grant, r.token = o.rev, o.rev
	return r
}

func (o *calendars) acquire(c *pool.Acquire) cReply {
	wants, code := o.resolve(c.Want)
	switch {
	case code != "":
		return refused(code)
	case c.Kind == pool.Stock:
		return refused(pool.BadPayload)
	case o.anyOverQuota(c.Client, wants):
		return refused(pool.QuotaExceeded)
	}
	kind := cmp.Or(c.Kind, pool.Lease)
	ttl := o.pools[wants[0].name].spec.TTLMs
	for _, w := range wants {
		ttl = min(ttl, o.pools[w.name].spec.TTLMs)
	}
	if c.TTLMs != nil {
		ttl = *c.TTLMs
	}
	if parts, ok := o.pick(wants); ok {
		g := &cGrant{client: c.Client, kind: kind, expires: o.now + ttl, ttl: ttl, parts: parts}
		o.grant(g)
		return cReply{grant: g.id, token: g.token, expires: g.expires, items: parts}
	}
	if c.WaitMs == 0 {
		return refused(pool.NoneFree)
	}
	o.log("wait.began %d", o.rev+1)
	o.waits = append(o.waits, &cWait{
		id: o.rev, client: c.Client, priority: c.Priority, kind: kind, ttl: ttl, until: o.now + c.WaitMs, wants: c.Want,
	})
	return cReply{waiting: o.rev}
}

// held returns the grant named if it is held for a time.
func (o *calendars) held(kind pool.Kind, id, token uint64) (*cGrant, pool.Code) {
	g := o.grants[id]
	switch {
	case g == nil && id > o.rev:
		return nil, pool.NotFound
	case g != nil && g.token != token:
		return nil, pool.StaleToken
	case g != nil && g.firm:
		return nil, pool.AlreadyResolved
	case g != nil && g.expires > o.now:
		return g, ""
	case kind == pool.Lease:
		return nil, pool.StaleToken
	}
	return nil, pool.Expired
}

// mine returns the grant named if it is there, booked or held.
func (o *calendars) mine(id, token uint64) (*cGrant, pool.Code) {
	g := o.grants[id]
	switch {
	case g == nil && id > o.rev:
		return nil, pool.NotFound
	case g == nil:
		return nil, pool.AlreadyResolved
	case g.token != token:
		return nil, pool.StaleToken
	case !g.firm && g.expires <= o.now:
		return nil, pool.Expired
	}
	return g, ""
}

func (o *calendars) confirm(c *pool.Confirm) cReply {
	g, code := o.held(pool.Stock, c.Grant, c.Token)
	if code != "" {
		return refused(code)
	}
	o.log("hold.confirmed %d: %v", g.id, g.parts)
	g.firm, g.expires = true, 0
	return cReply{grant: g.id, token: g.token, items: g.parts}
}

func (o *calendars) renew(c *pool.Renew) cReply {
	g, code := o.held(c.Kind, c.Grant, c.Token)
	if code != "" {
		return refused(code)
	}
	g.expires = o.now + g.ttl
	name := map[pool.Kind]string{pool.Lease: "lease.renewed", pool.Calendar: "hold.extended"}[g.kind]
	o.log("%s %d until %d", name, g.id, g.expires)
	return cReply{grant: g.id, token: g.token, expires: g.expires}
}

func (o *calendars) giveBack(c *pool.Release) cReply {
	g, code := o.held(c.Kind, c.Grant, c.Token)
	if code != "" {
		return refused(code)
	}
	which := func(cPart) bool { return true }
	if c.Items != nil {
		ref := c.Items[0]
		i := slices.IndexFunc(g.parts, func(p cPart) bool {
			return p.room == ref.ID && p.span.Start == ref.Span.Start && (ref.Pool == "" || ref.Pool == p.pool)
		})
		switch {
		case i < 0:
			return refused(pool.NotFound)
		case ref.Units != 0 && ref.Units != g.parts[i].units:
			return refused(pool.BadPayload)
		}
		p := g.parts[i]
		which = func(x cPart) bool { return x == p }
	}
	n := int64(0)
	for _, p := range g.parts {
		if which(p) {
			n += p.units
		}
	}
	o.release(g, "", which)
	return cReply{grant: g.id, token: g.token, count: int(n)}
}

// meant reports whether a part is one of those that at says.
func meant(at pool.At, p cPart) bool {
	return at.Start == nil || p.span.Start == *at.Start || at.Following && p.span.Start > *at.Start
}

func (o *calendars) cancel(c *pool.Cancel) cReply {
	g, code := o.mine(c.Grant, c.Token)
	if code != "" {
		return refused(code)
	}
	if !slices.ContainsFunc(g.parts, func(p cPart) bool { return meant(c.At, p) }) {
		return refused(pool.NotFound)
	}
	n := o.release(g, "", func(p cPart) bool { return meant(c.At, p) })
	return cReply{grant: g.id, token: g.token, count: n, keeps: true}
}

func (o *calendars) move(c *pool.Move) cReply {
	g, code := o.mine(c.Grant, c.Token)
	if code != "" {
		return refused(code)
	}
	var at []int // indexes of what is meant, in the order of time
	for i, p := range g.parts {
		if meant(c.At, p) {
			at = append(at, i)
		}
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(g.parts[a].span.Start, g.parts[b].span.Start) })
	if len(at) == 0 {
		return refused(pool.NotFound)
	}
	name := g.parts[at[0]].pool
	p := o.pools[name]
	for _, i := range at {
		if g.parts[i].pool != name || c.Item != "" && g.parts[i].room != g.parts[at[0]].room {
			return refused(pool.Conflict)
		}
	}
	if c.Item != "" {
		if r := p.room(c.Item); r == nil {
			return refused(pool.NotFound)
		} else if r.draining {
			return refused(pool.NoMatch)
		}
	}
	spans, code := o.times(p, c.Spans)
	if code != "" {
		return refused(code)
	}
	var distinct []int64
	for _, i := range at {
		distinct = append(distinct, g.parts[i].span.Start)
	}
	distinct = slices.Compact(distinct)
	if c.Spans != nil && len(distinct) != len(spans) {
		return refused(pool.BadPayload)
	}
	after := slices.Clone(g.parts)
	var to []cPart
	was, same := "", true
	for _, i := range at {
		x := g.parts[i]
		was += fmt.Sprintf("%s/%s %d, ", x.pool, x.room, x.span.Start)
		if c.Spans != nil {
			x.span = spans[slices.Index(distinct, x.span.Start)]
		}
		x.room = cmp.Or(c.Item, x.room)
		same = same && x.room == g.parts[i].room && x.span.Start == g.parts[i].span.Start && x.span.End == g.parts[i].span.End
		after[i] = x
		to = append(to, x)
	}
	if same {
		return refused(pool.InvalidInterval)
	}
	// What the whole would be like afterwards.
	for i, a := range after {
		for _, b := range after[:i] {
			if a.pool == b.pool && a.room == b.room && a.begin() < b.end() && b.begin() < a.end() {
				return refused(pool.Conflict)
			}
		}
	}
	before := g.parts
	g.parts = after
	parts := o.parts(name)
	for _, x := range to {
		if !p.room(x.room).fits(parts, x.span, 0) {
			g.parts = before
			return refused(pool.Conflict)
		}
	}
	became := slices.Clone(to)
	for i := range became {
		became[i].units = 0
	}
	o.log("slot.moved %d: %sto %v", g.id, was, became)
	o.leave()
	o.serve(to)
	return cReply{grant: g.id, token: g.token, expires: g.expires, items: to, keeps: true}
}

func labelled(zone string) string {
	if zone == "" {
		return ""
	}
	return fmt.Sprintf(`{"zone":%q}`, zone)
}

// set has a room be as it should, the last of its pool if it is new, or its labels are.
func (o *calendars) set(name, id, zone string, capacity int64) {
	o.log("item.set %s/%s %s", name, id, labelled(zone))
	p := o.pools[name]
	r := p.room(id)
	if r == nil || r.zone != zone {
		p.rooms = slices.DeleteFunc(p.rooms, func(x *cRoom) bool { return x == r })
		p.rooms = append(p.rooms, &cRoom{id, zone, capacity, false})
	} else {
		r.capacity, r.draining = capacity, false
	}
	o.lookAgain(name)
}

func (o *calendars) fill(c *pool.Fill) cReply {
	p := o.pools[c.Pool]
	switch {
	case p == nil:
		return refused(pool.NotFound)
	case len(c.Items) == 0:
		return refused(pool.BadPayload)
	}
	parts := o.parts(c.Pool)
	for _, s := range c.Items {
		r := p.room(s.ID)
		if r == nil || s.Quantity >= r.capacity {
			continue
		}
		for at := o.now; at < o.now+200; at++ {
			if use(parts, r.id, at) > s.Quantity {
				return refused(pool.Conflict)
			}
		}
	}
	var x cReply
	for _, s := range c.Items {
		switch r := p.room(s.ID); {
		case r == nil:
			x.count++
		case r.zone != s.Labels["zone"] || r.capacity != s.Quantity || r.draining:
			x.other++
		default:
			continue
		}
		o.set(c.Pool, s.ID, s.Labels["zone"], s.Quantity)
	}
	return x
}

func (o *calendars) setItem(c *pool.SetItem) cReply {
	p := o.pools[c.Pool]
	if p == nil || p.room(c.ID) == nil {
		return refused(pool.NotFound)
	}
	r := p.room(c.ID)
	o.lookAgain(c.Pool)
	if r.zone == c.Labels["zone"] {
		return cReply{}
	}
	o.set(c.Pool, c.ID, c.Labels["zone"], r.capacity)
	if r.draining {
		o.log("item.drained %s/%s ", c.Pool, c.ID)
		p.room(c.ID).draining = true
	}
	return cReply{count: 1}
}

func (o *calendars) drain(c *pool.Drain) cReply {
	p := o.pools[c.Pool]
	if p == nil || !c.All && p.room(c.IDs[0]) == nil {
		return refused(pool.NotFound)
	}
	parts := o.parts(c.Pool)
	var x cReply
	for _, r := range slices.Clone(p.rooms) {
		if r.draining || !c.All && r.id != c.IDs[0] {
			continue
		}
		if slices.ContainsFunc(parts, func(x cPart) bool { return x.room == r.id }) {
			x.other++
		} else {
			x.count++
		}
		o.log("item.drained %s/%s ", c.Pool, r.id)
		r.draining = true
		o.leave()
		o.lookAgain(c.Pool)
	}
	return x
}

func (o *calendars) configure(c *pool.Configure) cReply {
	for _, s := range c.Pools {
		switch p := o.pools[s.Name]; {
		case p == nil:
			o.pools[s.Name] = &cPool{spec: s}
		case p.spec != s:
			p.spec = s
		default:
			continue
		}
		o.log("pool.set %s", s.Name)
		o.lookAgain(s.Name)
	}
	return cReply{}
}

// expect does what a command should do, and says what the reply should be.
func (o *calendars) expect(c pool.Command) cReply {
	if r, ok := o.known(keyOf(c)); ok {
		return r
	}
	switch c := c.(type) {
	case *pool.Book:
		return o.book(c)
	case *pool.Acquire:
		return o.acquire(c)
	case *pool.Confirm:
		return o.confirm(c)
	case *pool.Renew:
		return o.renew(c)
	case *pool.Release:
		return o.giveBack(c)
	case *pool.Cancel:
		return o.cancel(c)
	case *pool.Move:
		return o.move(c)
	case *pool.Fill:
		return o.fill(c)
	case *pool.SetItem:
		return o.setItem(c)
	case *pool.Drain:
		return o.drain(c)
	case *pool.Configure:
		return o.configure(c)
	case *pool.CancelWait:
		i := slices.IndexFunc(o.waits, func(w *cWait) bool { return w.id == c.Wait })
		if i < 0 {
			return refused(pool.NotFound)
		}
		o.end(o.waits[i], pool.Cancelled)
	case *pool.Restarted:
		o.again = nil
		for _, w := range slices.Clone(o.waits) {
			if _, code := o.resolve(w.wants); code != "" {
				o.end(w, code)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(o.pools)) {
			o.lookAgain(name)
		}
	default:
		o.rt.Fatalf("%T", c)
	}
	return cReply{}
}

// keyOf returns the key of a command that books.
func keyOf(c pool.Command) pool.Keyed {
	switch c := c.(type) {
	case *pool.Book:
		return c.Keyed
	case *pool.Move:
		return c.Keyed
	case *pool.Cancel:
		return c.Keyed
	}
	return pool.Keyed{}
}

// calendarModel is a machine beside the oracle, with its journal and its checkpoints.
type calendarModel struct {
	rt     *rapid.T
	o      *calendars
	m      *pool.Machine
	specs  map[string]pool.Spec
	chunks []chunk
	store  map[string]string
	mark   pool.Mark

	steps  int
	frozen bool
	batch  []pool.Record // of the checkpoint under way
	past   []pool.Command
	rng    *rand.Rand
}

// TestCalendarModel runs random commands on calendars and foretells all that they do.
func TestCalendarModel(t *testing.T) {
	proof.Run(t, "steps of the model of calendars", 60_000, func(t *testing.T, _ *rand.Rand) int {
		steps := 0
		rapid.Check(quiet{t}, func(rt *rapid.T) {
			m := newCalendarModel(rt)
			rt.Repeat(map[string]func(*rapid.T){"step": func(*rapid.T) { m.step() }, "": m.invariants})
			m.replayed(pool.Mark{})
			m.replayed(m.mark)
			steps += m.steps
		})
		return steps
	})
}

// dice are bits of which each is as often 0 as 1: rapid prefers small numbers, with which a calendar is empty most of the time.
var dice = rapid.Custom(func(t *rapid.T) uint64 {
	n := uint64(0)
	for range 24 {
		if n <<= 1; rapid.Bool().Draw(t, "bit") {
			n++
		}
	}
	return n
})

// throw has what is drawn next be another.
func (m *calendarModel) throw() { m.rng = rand.New(rand.NewPCG(dice.Draw(m.rt, "dice"), 0)) }

func (m *calendarModel) below(n int) int { return m.rng.IntN(n) }

func (m *calendarModel) between(from, to int) int64 { return int64(from + m.below(to-from+1)) }

func among[T any](m *calendarModel, from ...T) T { return from[m.below(len(from))] }

func newCalendarModel(rt *rapid.T) *calendarModel {
	m := &calendarModel{
		rt: rt, m: pool.New(pool.Config{}), specs: map[string]pool.Spec{}, store: map[string]string{},
		o: &calendars{rt: rt, now: 10_000, pools: map[string]*cPool{}, grants: map[uint64]*cGrant{}, keys: map[oKeyName]*cKey{}},
	}
	m.throw()
	names := []string{"a", "b"}
	for _, name := range names[:1+m.below(2)] {
		m.specs[name] = m.drawSpec(name)
	}
	m.configure()
	for _, name := range slices.Sorted(maps.Keys(m.specs)) {
		m.do(&pool.Fill{Pool: name, Items: m.drawRooms(3)})
	}
	return m
}

func (m *calendarModel) drawSpec(name string) pool.Spec {
	return pool.Spec{
		Name: name, Kind: pool.Calendar,
		TTLMs:     among[int64](m, 10, 25),
		QuotaMax:  among[int64](m, 0, 0, 0, 8),
		SetupMs:   among[int64](m, 0, 0, 1, 2),
		CleanupMs: among[int64](m, 0, 0, 1, 2),
		SlotMaxMs: 12,
		HorizonMs: 40,
		KeepMs:    among[int64](m, 1, 5, 15),
	}
}

func (m *calendarModel) configure() {
	c := &pool.Configure{}
	for _, name := range slices.Sorted(maps.Keys(m.specs)) {
		c.Pools = append(c.Pools, m.specs[name])
	}
	m.do(c)
}

func (m *calendarModel) drawRoom() string {
	return among(m, "r1", "r1", "r2", "r2", "r2", "r3")
}

func (m *calendarModel) drawPool() string {
	if m.below(60) == 0 {
		return "none"
	}
	return among(m, slices.Sorted(maps.Keys(m.specs))...)
}

func (m *calendarModel) drawZone() map[string]string {
	if zone := among(m, "", "x", "y"); zone != "" {
		return map[string]string{"zone": zone}
	}
	return nil
}

func (m *calendarModel) drawRooms(n int) []pool.ItemSpec {
	var items []pool.ItemSpec
	for range n {
		s := pool.ItemSpec{ID: m.drawRoom(), Labels: m.drawZone(), Quantity: among[int64](m, 1, 1, 2, 3)}
		if !slices.ContainsFunc(items, func(x pool.ItemSpec) bool { return x.ID == s.ID }) {
			items = append(items, s)
		}
	}
	return items
}

// drawSpans draws times that often touch: of few lengths, within a short time.
func (m *calendarModel) drawSpans(n int) []pool.Span {
	var spans []pool.Span
	at := m.o.now + m.between(-3, 20)
	for range n {
		s := pool.Span{Start: at, End: at + among[int64](m, 1, 2, 3, 4, 4, 8, 8, 12)}
		switch m.below(200) {
		case 0:
			s.End = s.Start
		case 1:
			s.End = s.Start - 1
		case 2:
			s.End = s.Start + 13
		case 3:
			s.Start, s.End = s.Start+40, s.End+40
		case 4:
			s.Start, s.End = s.Start-20, s.End-20
		case 5:
			s.Start = -s.Start
		}
		spans = append(spans, s)
		at = s.End + m.between(0, 6)
	}
	return spans
}

func (m *calendarModel) drawWant() pool.Want {
	w := pool.Want{Pool: m.drawPool(), Spans: m.drawSpans(among(m, 1, 1, 1, 2, 3))}
	if m.below(60) == 0 {
		w.Spans = nil
	}
	w.Count = among[int64](m, 1, 1, 1, 1, 1, 1, 2, 2, 3, 0)
	switch m.below(6) {
	case 0, 1:
		w.IDs = []string{m.drawRoom()}
	case 2:
		w.IDs = []string{m.drawRoom(), m.drawRoom()}
	case 3:
		w.Select = pool.Selector{{Name: "zone", Values: among(m, []string{"x"}, []string{"y", "x"})}}
	}
	return w
}

func (m *calendarModel) drawKeyed() pool.Keyed {
	k := pool.Keyed{Client: among(m, "ann", "bob")}
	if m.below(6) == 0 {
		k.Key = among(m, "k1", "k2", "k3", "k4", "k5", "k6")
		k.Hash = uint64(m.between(1, 1000))
	}
	return k
}

// drawGrant draws a grant that there is, or not, and its token, or not.
func (m *calendarModel) drawGrant() (uint64, uint64) {
	ids := slices.Sorted(maps.Keys(m.o.grants))
	if len(ids) == 0 || m.below(12) == 0 {
		ids = []uint64{999_999, 1, 1 + m.o.rev/2} // one that never was, or is over
	}
	id := among(m, ids...)
	g := m.o.grants[id]
	if g == nil || m.below(16) == 0 {
		return id, 77_777
	}
	return id, g.token
}

func (m *calendarModel) drawAt(grant uint64) pool.At {
	g := m.o.grants[grant]
	if g == nil || m.below(3) == 0 {
		return pool.At{}
	}
	start := g.parts[m.below(len(g.parts))].span.Start
	if m.below(9) == 0 {
		start++
	}
	return pool.At{Start: &start, Following: m.below(2) == 0}
}

// step does something, each with a probability of its own.
func (m *calendarModel) step() {
	m.throw()
	keep := func(c pool.Command) {
		if keyOf(c).Key != "" {
			m.past = append(m.past, c)
		}
		m.do(c)
	}
	book := func() {
		keep(&pool.Book{
			Want: m.drawWant(), Keyed: m.drawKeyed(),
			OnConflict: among(m, "", pool.FailAll, pool.Skip, pool.Skip, pool.Report, pool.Report, "odd"),
		})
	}
	acquire := func() {
		c := &pool.Acquire{
			Kind:     among(m, "", pool.Lease, pool.Calendar, pool.Calendar, pool.Calendar, pool.Stock),
			Keyed:    pool.Keyed{Client: among(m, "ann", "bob")},
			Priority: among[int64](m, 0, 0, 1),
			WaitMs:   among[int64](m, 0, 5, 30, 60, 60),
		}
		if m.below(2) == 0 {
			ttl := among[int64](m, 3, 8)
			c.TTLMs = &ttl
		}
		for range among(m, 1, 1, 1, 2) {
			c.Want = append(c.Want, m.drawWant())
		}
		m.do(c)
	}
	moves := func() {
		c := &pool.Move{Keyed: m.drawKeyed()}
		c.Grant, c.Token = m.drawGrant()
		c.At = m.drawAt(c.Grant)
		if m.below(3) == 0 {
			c.Item = m.drawRoom()
		}
		if c.Item == "" || m.below(2) == 0 {
			n := 0
			if g := m.o.grants[c.Grant]; g != nil {
				starts := map[int64]bool{}
				for _, p := range g.parts {
					if meant(c.At, p) {
						starts[p.span.Start] = true
					}
				}
				n = len(starts)
			}
			if n == 0 || m.below(16) == 0 {
				n++
			}
			c.Spans = m.drawSpans(n)
		}
		keep(c)
	}
	actions := []struct {
		weight int
		do     func()
	}{
		{40, book}, {40, acquire}, {30, moves},
		{3, func() {
			if len(m.past) > 0 {
				m.do(m.past[m.below(len(m.past))])
			}
		}},
		{5, func() {
			c := &pool.Confirm{}
			c.Grant, c.Token = m.drawGrant()
			m.do(c)
		}},
		{2, func() {
			c := &pool.Renew{Kind: among(m, pool.Lease, pool.Calendar)}
			c.Grant, c.Token = m.drawGrant()
			m.do(c)
		}},
		{3, func() {
			c := &pool.Release{Kind: among(m, pool.Lease, pool.Calendar)}
			c.Grant, c.Token = m.drawGrant()
			if g := m.o.grants[c.Grant]; g != nil && m.below(2) == 0 {
				p := g.parts[m.below(len(g.parts))]
				c.Items = []pool.ItemRef{{Pool: among(m, p.pool, p.pool, "b"), ID: p.room, Units: m.between(0, 3), Span: p.span}}
			}
			m.do(c)
		}},
		{6, func() {
			c := &pool.Cancel{Keyed: m.drawKeyed()}
			c.Grant, c.Token = m.drawGrant()
			c.At = m.drawAt(c.Grant)
			keep(c)
		}},
		{5, func() {
			m.do(&pool.Fill{Pool: m.drawPool(), Items: m.drawRooms(m.below(3))})
		}},
		{2, func() {
			labels := m.drawZone()
			if labels == nil {
				labels = map[string]string{}
			}
			m.do(&pool.SetItem{Pool: m.drawPool(), ID: m.drawRoom(), Labels: labels})
		}},
		{2, func() {
			c := &pool.Drain{Pool: m.drawPool(), IDs: []string{m.drawRoom()}}
			if m.below(10) == 0 {
				c.IDs, c.All = nil, true
			}
			m.do(c)
		}},
		{2, func() {
			name := among(m, slices.Sorted(maps.Keys(m.specs))...)
			m.specs[name] = m.drawSpec(name)
			m.configure()
		}},
		{1, func() {
			c := &pool.CancelWait{Wait: 999_999}
			if len(m.o.waits) > 0 {
				c.Wait = m.o.waits[m.below(len(m.o.waits))].id
			}
			m.do(c)
		}},
		{12, func() { m.tick(m.between(0, 4)) }},
		{1, func() { m.tick(m.between(0, 60)) }},
		{2, func() { m.o.now += m.between(0, 6) }}, // what is due then is done later
		{1, func() { m.restart() }},
		{4, func() { m.look() }},
		{2, func() {
			if !m.frozen {
				m.m.Freeze()
				m.frozen, m.batch = true, nil
			}
		}},
		{4, func() { m.slice(1 + m.below(5)) }},
		{2, func() { m.slice(40) }},
	}
	all := 0
	for _, a := range actions {
		all += a.weight
	}
	n := m.below(all)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			a.do()
			return
		}
	}
}

// do has the machine decide what the oracle foretells.
func (m *calendarModel) do(c pool.Command) {
	o := m.o
	m.steps++
	o.rt.Logf("at %d: %T %+v", o.now, c, c)
	hash, rev := m.m.Hash(), m.m.Rev()
	o.events, o.answers = nil, nil
	want := o.expect(c)
	k := keyOf(c)
	if k.Key != "" && want.keeps {
		o.log("key.settled")
	}
	var r pool.Reply
	m.m.Decide(o.now, c, &r)
	m.follow(c)
	code := pool.Code("")
	if r.Err != nil {
		code = r.Err.Code
		o.must(r.Err.Message != "", "%T %+v: refused without a word: %+v", c, c, r)
	}
	o.must(code == want.code, "%T %+v: %+v %v, want %q", c, c, r, r.Err, want.code)
	if code != "" || want.repeats != nil {
		o.must(m.m.Hash() == hash && m.m.Rev() == rev, "%T %+v: %+v, and the state has changed", c, c, r)
	}
	if want.repeats != nil {
		first := want.repeats.reply
		o.must(r.Repeated, "%T %+v: %+v does not repeat %+v", c, c, r, first)
		r.Repeated = false
		o.must(fmt.Sprintf("%+v", r) == fmt.Sprintf("%+v", first), "%T %+v: repeated: %+v, first %+v", c, c, r, first)
		return
	}
	got := cReply{
		code: code, grant: r.Grant, token: r.Token, expires: r.ExpiresAt, count: r.Count, other: r.Other, waiting: r.Waiting,
		items: o.partsOf(r.Items), conflicts: o.partsOf(r.Conflicts), keeps: want.keeps,
	}
	if len(want.items) == 0 {
		want.items = nil
	}
	o.must(reflect.DeepEqual(got, want) && !r.Repeated, "%T %+v: %+v, want %+v", c, c, got, want)
	o.must(r.Rev > rev || r.Rev == m.m.Rev(), "%T %+v: %+v after %d", c, c, r, rev)
	if k.Key != "" && want.keeps {
		o.keys[oKeyName{k.Client, k.Key}] = &cKey{k.Hash, r}
	}
}

func (o *calendars) partsOf(given []pool.Given) []cPart {
	var parts []cPart
	for _, g := range given {
		parts = append(parts, cPart{g.Pool, g.ID, g.Units, g.Span})
		if r := o.pools[g.Pool].room(g.ID); g.Units > 0 && r != nil {
			o.must(g.Labels == labelled(r.zone), "%+v is labelled %q", g, r.zone)
		}
	}
	return parts
}

// follow takes what the machine did to the journal, and compares it with what it should have done.
func (m *calendarModel) follow(c any) {
	o := m.o
	var events, answers []string
	if data := m.m.TakeChunk(); data != nil {
		m.chunks = append(m.chunks, chunk{m.m.Rev(), data})
		err := pool.Events(data, func(e *pool.Event) bool {
			o.must(e.At == o.now, "%+v at %d", e, o.now)
			events = append(events, fmt.Sprintf("%d ", e.Rev)+told(e))
			return true
		})
		o.must(err == nil, "%v", err)
	}
	n := min(len(events), len(o.events)) // Tick does a part of what it should at a time
	if _, tick := c.(tick); !tick {
		n = len(o.events)
	}
	o.must(slices.Equal(events, o.events[:n]), "%T %+v: it was %q, want %q", c, c, events, o.events)
	o.events = o.events[n:]
	all, notices := m.m.TakeAnswers()
	o.must(len(notices) == 0, "%+v", notices)
	for _, a := range all {
		if a.Reply.Err != nil {
			answers = append(answers, fmt.Sprintf("%d: %s", a.Wait, a.Reply.Err.Code))
			continue
		}
		answers = append(answers, fmt.Sprintf("%d: %v", a.Wait, o.partsOf(a.Reply.Items)))
	}
	n = min(len(answers), len(o.answers))
	o.must(slices.Equal(answers, o.answers[:n]), "%T %+v: answered was %q, want %q", c, c, answers, o.answers)
	o.answers = o.answers[n:]
}

// told is an event as calendars.log tells it.
func told(e *pool.Event) string {
	parts := make([]cPart, len(e.Items))
	for i, ref := range e.Items {
		parts[i] = cPart{ref.Pool, ref.ID, ref.Units, ref.Span}
	}
	switch e.Type {
	case "lease.granted", "slot.held", "slot.booked":
		return fmt.Sprintf("%s %d by %s until %d: %v", e.Type, e.Grant, e.Client, e.ExpiresAt, parts)
	case "slot.moved":
		was := ""
		for i, ref := range e.Was {
			was += fmt.Sprintf("%s/%s %d, ", ref.Pool, ref.ID, ref.Span.Start)
			parts[i].units = 0
		}
		return fmt.Sprintf("%s %d: %sto %v", e.Type, e.Grant, was, parts)
	case "item.set", "item.drained":
		return fmt.Sprintf("%s %s/%s %s", e.Type, e.Items[0].Pool, e.Items[0].ID, e.Labels)
	case "wait.began":
		return fmt.Sprintf("%s %d", e.Type, e.Wait)
	case "wait.ended":
		return fmt.Sprintf("%s %d %s", e.Type, e.Wait, e.Cause)
	case "pool.set":
		return fmt.Sprintf("%s %s", e.Type, e.Pool)
	case "lease.renewed", "hold.extended":
		return fmt.Sprintf("%s %d until %d", e.Type, e.Grant, e.ExpiresAt)
	case "hold.confirmed":
		return fmt.Sprintf("%s %d: %v", e.Type, e.Grant, parts)
	case "key.settled":
		return e.Type
	}
	return fmt.Sprintf("%s %d %s: %s", e.Type, e.Grant, e.Cause, anyOrder(parts))
}

func (m *calendarModel) tick(ms int64) {
	o := m.o
	o.now += ms
	o.rt.Logf("at %d: Tick", o.now)
	m.steps++
	o.events, o.answers = nil, nil
	o.tick()
	budget := 1 + m.below(4)
	for more := true; more; {
		more = m.m.Tick(o.now, budget)
		m.follow(tick{})
	}
	o.must(len(o.events) == 0 && len(o.answers) == 0, "Tick did not %q, answer %q", o.events, o.answers)
}

func (m *calendarModel) slice(n int) {
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
func (m *calendarModel) replayed(from pool.Mark) *pool.Machine {
	x := pool.New(pool.Config{})
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
	m.o.must(x.Hash() == m.m.Hash() && x.Rev() == m.m.Rev(), "replayed from %d: hash %x at %d, want %x at %d",
		from.Rev, x.Hash(), x.Rev(), m.m.Hash(), m.m.Rev())
	err := x.Check()
	m.o.must(err == nil, "replayed from %d: %v", from.Rev, err)
	m.agrees(x)
	return x
}

func (m *calendarModel) restart() {
	m.m = m.replayed(m.mark)
	m.frozen = false
	m.do(&pool.Restarted{})
	m.tick(0)
}

func (m *calendarModel) invariants(*rapid.T) {
	o := m.o
	if m.steps%4 != 0 {
		return
	}
	err := m.m.Check()
	o.must(err == nil, "%v", err)
	m.agrees(m.m)
	for name, p := range o.pools {
		parts := o.parts(name)
		for _, r := range p.rooms {
			for at := o.now; at < o.now+70; at++ {
				if n := use(parts, r.id, at); n > r.capacity {
					o.rt.Fatalf("room %s/%s has %d at %d, and room for %d", name, r.id, n, at, r.capacity)
				}
			}
		}
	}
	if len(o.again) > 0 {
		return
	}
	due := int64(0)
	next := func(at int64) {
		if due == 0 || at < due {
			due = at
		}
	}
	for _, g := range o.grants {
		next(o.due(g))
	}
	for _, w := range o.waits {
		next(w.until)
	}
	at := m.m.NextDue()
	o.must(at == due || due == 0 && at > o.now+300_000, "due at %d, want %d", at, due) // the latter is a key
}

// agrees compares what can be seen of a machine.
func (m *calendarModel) agrees(x *pool.Machine) {
	o := m.o
	o.must(x.Rev() == o.rev, "rev %d, want %d", x.Rev(), o.rev)
	for name, p := range o.pools {
		want := pool.Stats{Pool: name, Kind: pool.Calendar, Items: len(p.rooms), Waiting: len(o.inTurn(name)), Granted: uint64(p.granted)}
		for _, g := range o.grants {
			if slices.ContainsFunc(g.parts, func(x cPart) bool { return x.pool == name }) {
				want.Grants++
			}
		}
		var rooms, list []string
		var booked, times []string
		for _, r := range p.rooms {
			all := o.booked(name, r.id)
			if r.draining {
				want.Draining++
			}
			rooms = append(rooms, fmt.Sprint(r.id, r.capacity, r.draining, len(all), labelled(r.zone)))
			booked = append(booked, all...)
		}
		got, err := x.Stats(name)
		o.must(err == nil && got == want, "%+v, want %+v, %v", got, want, err)
		page, _, err := x.ListItems(nil, name, 100, "")
		for _, v := range page {
			list = append(list, fmt.Sprint(v.ID, v.Quantity, v.Draining, v.Bookings, v.Labels))
		}
		o.must(err == nil && slices.Equal(list, rooms), "rooms are %v, want %v, %v", list, rooms, err)
		seen, _, err := x.Booked(pool.TimesQuery{Pool: name, To: 1 << 50, Limit: 1000})
		for _, b := range seen {
			times = append(times, fmt.Sprint(b.Grant, b.Client, b.ExpiresAt, cPart{name, b.ID, b.Units, b.Span}))
		}
		o.must(err == nil && slices.Equal(times, booked), "booked are %q, want %q, %v", times, booked, err)
	}
}

// booked tells what is booked of a room.
func (o *calendars) booked(name, room string) []string {
	type entry struct {
		g *cGrant
		p cPart
	}
	var all []entry
	for _, g := range o.grants {
		for _, p := range g.parts {
			if p.pool == name && p.room == room {
				all = append(all, entry{g, p})
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.p.begin(), b.p.begin()), cmp.Compare(a.g.id, b.g.id))
	})
	var out []string
	for _, e := range all {
		out = append(out, fmt.Sprint(e.g.id, e.g.client, e.g.expires, e.p))
	}
	return out
}

// look asks for what is free, in pages, and what is booked.
func (m *calendarModel) look() {
	o := m.o
	name := among(m, slices.Sorted(maps.Keys(m.specs))...)
	p := o.pools[name]
	q := pool.TimesQuery{
		Pool: name, Units: among[int64](m, 1, 1, 2, 3), LengthMs: among[int64](m, 1, 3, 8, 12), Limit: among(m, 1, 2, 100),
	}
	q.From = o.now + m.between(-10, 20)
	q.To = q.From + m.between(1, 40)
	var want, got []string
	parts := o.parts(name)
	for _, r := range p.rooms {
		start := int64(-1)
		for at := q.From - p.spec.SetupMs; !r.draining && at <= q.To+p.spec.CleanupMs; at++ {
			free := at < q.To+p.spec.CleanupMs && use(parts, r.id, at)+q.Units <= r.capacity
			switch {
			case free && start < 0:
				start = at
			case !free && start >= 0:
				if from, to := start+p.spec.SetupMs, at-p.spec.CleanupMs; to-from >= q.LengthMs {
					want = append(want, fmt.Sprint(r.id, from, to))
				}
				start = -1
			}
		}
	}
	for range 100 {
		page, cursor, err := m.m.Free(q)
		o.must(err == nil && len(page) <= q.Limit, "%v, %d", err, len(page))
		for _, g := range page {
			got = append(got, fmt.Sprint(g.ID, g.Span.Start, g.Span.End))
		}
		if q.Cursor = cursor; cursor == "" {
			break
		}
	}
	o.must(slices.Equal(got, want), "%+v: free are %v, want %v", q, got, want)

	want, got = nil, nil
	for _, r := range p.rooms {
		for _, g := range o.grants {
			for _, x := range g.parts {
				if x.pool == name && x.room == r.id && x.span.Start < q.To && x.span.End > q.From {
					want = append(want, fmt.Sprint(g.id, x))
				}
			}
		}
	}
	q.Cursor = ""
	for range 100 {
		page, cursor, err := m.m.Booked(q)
		o.must(err == nil, "%v", err)
		for _, b := range page {
			got = append(got, fmt.Sprint(b.Grant, cPart{name, b.ID, b.Units, b.Span}))
		}
		if q.Cursor = cursor; cursor == "" {
			break
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	o.must(slices.Equal(got, want), "%+v: booked are %q, want %q", q, got, want)
}
