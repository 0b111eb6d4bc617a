package pool_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/kassa-go/kassa/pool"
)

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
	if c.Item != "" && p.room(c.Item) == nil {
		return refused(pool.NotFound)
	}
	for _, i := range at {
		if p.room(cmp.Or(c.Item, g.parts[i].room)).draining {
			return refused(pool.NoMatch)
		}
	}
	spans, code := o.times(p, c.Spans)
	if code != "" {
		return refused(code)
	}
	for n, i := range at {
		if x := g.parts[i].span; n > 0 && c.Spans != nil {
			if y := g.parts[at[n-1]].span; x.Start == y.Start && x.End != y.End {
				return refused(pool.Conflict) // one new time can not be both
			}
		}
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
