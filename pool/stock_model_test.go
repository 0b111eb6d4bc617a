package pool_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/internal/proof"
)

// The till is the oracle of what is sold: plain maps, in which each unit of each item is somebody's or nobody's. It follows
// the machine by its events, each of which it must find right. What a command is answered with, which seats are the best,
// and who should not be waiting any more, it works out by itself, by trying everything.
type till struct {
	rt       *rapid.T
	now      int64
	rev      uint64
	cfg      pool.Config
	pools    map[string]*tPool
	grants   map[uint64]*tGrant
	waits    map[uint64]*tWait
	sessions map[uint64]*tSession
	keys     map[oKeyName]*oKey

	// Of the command that is being followed.
	cmd     pool.Command
	pending bool // there were lines that Tick was to look at
	ended   map[uint64]string
}

type tPool struct {
	spec  pool.Spec
	order []string
	items map[string]*tItem
	turn  uint64 // of the wait that was served last
}

type tItem struct {
	labels   map[string]string
	row, col int64
	quantity int64
	withheld int64            // of a seat that is sold, too: it is not for sale when it comes back
	has      map[uint64]int64 // units, by grant
	draining bool
}

type tGrant struct {
	token           uint64
	session         uint64
	client, owner   string
	kind            pool.Kind
	firm            bool
	expires, endsAt int64
	ttl             int64
	onEnd           pool.OnDisconnect
	parts           []pool.ItemRef
}

type tWait struct {
	id, session   uint64
	client, owner string
	want          []pool.Want
	strategy      pool.Strategy
	priority      int64
	ttl           int64
	onEnd         pool.OnDisconnect
	kind          pool.Kind
	until         int64
	turn          uint64
}

type tSession struct {
	client       string
	grace, until int64
}

func (o *till) must(ok bool, format string, args ...any) {
	if !ok {
		o.rt.Helper()
		o.rt.Fatalf(format, args...)
	}
}

func (o *till) item(ref pool.ItemRef) *tItem {
	p := o.pools[ref.Pool]
	o.must(p != nil && p.items[ref.ID] != nil, "item %v is not there", ref)
	return p.items[ref.ID]
}

func (it *tItem) taken() (n int64) {
	for _, units := range it.has {
		n += units
	}
	return n
}

func (it *tItem) available() int64 {
	if it.draining {
		return 0
	}
	return max(0, it.quantity-it.taken()-it.withheld) // a seat can be held and withheld at once
}

// matching returns the items that a want selects and that do not leave, in the pool's order.
func (p *tPool) matching(w pool.Want) (ids []string) {
	for _, id := range p.order {
		it := p.items[id]
		ok := !it.draining
		for _, term := range w.Select {
			v, has := it.labels[term.Name]
			ok = ok && has && slices.Contains(term.Values, v)
		}
		if ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// seatAt is a place, in a hall that is a map of them.
type seatAt struct{ row, col int64 }

// seats returns the places of what a want selects, all of them, or those of the seats that are free.
func (p *tPool) seats(w pool.Want, free bool) map[seatAt]string {
	all := map[seatAt]string{}
	for _, id := range p.matching(w) {
		if it := p.items[id]; it.row != 0 && (!free || it.available() > 0) {
			all[seatAt{it.row, it.col}] = id
		}
	}
	return all
}

// windows returns where n seats are side by side, rows first, then columns.
func windows(seats map[seatAt]string, n int64) (all []seatAt) {
	for at := range seats {
		whole := true
		for i := range n {
			_, there := seats[seatAt{at.row, at.col + i}]
			whole = whole && there
		}
		if whole {
			all = append(all, at)
		}
	}
	slices.SortFunc(all, func(a, b seatAt) int { return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.col, b.col)) })
	return all
}

// best returns the n best seats of those that are free, as the documentation says; nil: there are none.
func (p *tPool) best(w pool.Want, n int64) (ids []string) {
	seats := p.seats(w, true)
	focus := seatAt{cmp.Or(p.spec.FocusRow, 100), cmp.Or(p.spec.FocusCol, 100)}
	var sum seatAt
	for left := n; left > 0; {
		size := left
		for size > 0 && len(windows(seats, size)) == 0 {
			size--
		}
		if size == 0 || w.Best == pool.Together && size < n {
			return nil
		}
		far := func(at seatAt) (d int64) {
			for i := range size {
				r, c := 100*at.row-focus.row, 100*(at.col+i)-focus.col
				d += r*r + c*c
			}
			return d
		}
		at := slices.MinFunc(windows(seats, size), func(a, b seatAt) int { return cmp.Compare(far(a), far(b)) })
		for i := range size {
			place := seatAt{at.row, at.col + i}
			ids = append(ids, seats[place])
			delete(seats, place)
			sum.row, sum.col = sum.row+100*place.row, sum.col+100*place.col
		}
		left -= size
		focus = seatAt{sum.row / (n - left), sum.col / (n - left)}
	}
	return ids
}

func (p *tPool) units(w pool.Want) (n int64) {
	for _, id := range p.matching(w) {
		n += p.items[id].quantity
	}
	return n
}

func wanted(w pool.Want) int64 { return cmp.Or(w.Count, int64(len(w.IDs))) }

// refusals are the codes that wants may be refused with, whatever is free; none: they may be had, or waited for.
func (o *till) refusals(wants []pool.Want) map[pool.Code]bool {
	codes := map[pool.Code]bool{}
	perPool := map[string]int64{}
	named := map[pool.ItemRef]bool{}
	for _, w := range wants {
		p := o.pools[w.Pool]
		if p == nil {
			codes[pool.NotFound] = true
			continue
		}
		n := wanted(w)
		perPool[w.Pool] += n
		if w.Best != "" && (p.spec.Kind != pool.Stock || len(w.IDs) > 0 || w.Best != pool.Together && w.Best != pool.Split) {
			codes[pool.BadPayload] = true
		}
		for _, id := range w.IDs {
			ref := pool.ItemRef{Pool: w.Pool, ID: id}
			it := p.items[id]
			switch {
			case it == nil:
				codes[pool.NotFound] = true
				continue
			case it.draining:
				codes[pool.NoMatch] = true
			case named[ref]:
				codes[pool.BadPayload] = true
			case len(w.IDs) == 1 && it.quantity > 1 && w.Count > it.quantity:
				codes[pool.NoMatch] = true
			case n != int64(len(w.IDs)) && (len(w.IDs) > 1 || it.quantity == 1 || w.Count < 0):
				codes[pool.BadPayload] = true
			}
			named[ref] = true
		}
		if len(w.IDs) > 0 {
			continue
		}
		placed := slices.ContainsFunc(p.order, func(id string) bool { return p.items[id].row != 0 })
		switch {
		case n <= 0:
			codes[pool.BadPayload] = true
		case p.units(w) < n:
			codes[pool.NoMatch] = true
		case w.Best != "" && !placed:
			codes[pool.BadPayload] = true
		case w.Best == pool.Together && len(windows(p.seats(w, false), n)) == 0:
			codes[pool.NoMatch] = true
		}
	}
	for name, n := range perPool {
		if len(wants) > 1 && len(codes) == 0 && o.pools[name].units(pool.Want{}) < n {
			codes[pool.NoMatch] = true
		}
	}
	return codes
}

// could reports whether wants can be met now. It is sure unless two are for the same pool.
func (o *till) could(wants []pool.Want) (ok, sure bool) {
	sure = true
	for i, w := range wants {
		p := o.pools[w.Pool]
		sure = sure && !slices.ContainsFunc(wants[:i], func(x pool.Want) bool { return x.Pool == w.Pool })
		free := int64(0)
		for _, id := range p.matching(w) {
			free += p.items[id].available()
		}
		n := wanted(w)
		switch {
		case len(w.IDs) == 1 && p.items[w.IDs[0]].available() < n:
			return false, true
		case len(w.IDs) > 1 && slices.ContainsFunc(w.IDs, func(id string) bool { return p.items[id].available() == 0 }):
			return false, true
		case len(w.IDs) == 0 && free < n, w.Best != "" && p.best(w, n) == nil:
			return false, true
		}
	}
	return true, sure
}

// queue names the line that a wait is in.
func queue(wants []pool.Want) string { return lineOf(wants) + string(wants[0].Best) }

func (o *till) away(session uint64) bool {
	s := o.sessions[session]
	return s != nil && s.until != 0
}

func (w *tWait) before(x *tWait) bool {
	return cmp.Or(cmp.Compare(x.priority, w.priority), cmp.Compare(w.turn, x.turn), cmp.Compare(w.id, x.id)) < 0
}

// first returns the wait that is to be served next of a line.
func (o *till) first(line string) *tWait {
	var first *tWait
	for _, w := range o.waits {
		if aside(w.want) || o.away(w.session) || queue(w.want) != line {
			continue
		}
		if first == nil || w.before(first) {
			first = w
		}
	}
	return first
}

func (o *till) overQuota(client string, wants []pool.Want) bool {
	n := map[string]int64{}
	for _, w := range wants {
		n[w.Pool] += wanted(w)
	}
	for name, n := range n {
		for _, it := range o.pools[name].items {
			for id, units := range it.has {
				if o.grants[id].client == client {
					n += units
				}
			}
		}
		if quota := o.pools[name].spec.QuotaMax; quota > 0 && n > quota {
			return true
		}
	}
	return false
}

// expect says what may become of an Acquire: codes, "granted" or "waits"; nil where it is not sure.
func (o *till) expect(c *pool.Acquire) []string {
	client := c.Client
	if c.Session != 0 {
		s := o.sessions[c.Session]
		if s == nil {
			return []string{string(pool.SessionExpired)}
		}
		client = s.client
	}
	codes := o.refusals(c.Want)
	for _, w := range c.Want {
		p := o.pools[w.Pool]
		if p != nil && (c.Kind == pool.Stock && p.spec.Kind != pool.Stock || c.TTLMs != nil && *c.TTLMs > p.spec.TTLMaxMs) {
			codes[pool.BadPayload] = true
		}
	}
	if len(codes) > 0 {
		var all []string
		for code := range codes {
			all = append(all, string(code))
		}
		return all
	}
	holds := func() bool {
		for _, g := range o.grants {
			if g.expires != 0 && sameOwner(c.Session, c.Owner, g.session, g.owner) {
				return true
			}
		}
		return false
	}
	for _, w := range o.waits {
		if o.cfg.RefuseHoldAndWait && sameOwner(c.Session, c.Owner, w.session, w.owner) {
			return []string{string(pool.WouldDeadlock)}
		}
	}
	if o.overQuota(client, c.Want) {
		return []string{string(pool.QuotaExceeded)}
	}
	if o.pending {
		return nil
	}
	ok, sure := o.could(c.Want)
	if ok && !aside(c.Want) {
		if w := o.first(queue(c.Want)); w != nil && c.Priority <= w.priority {
			ok = false
		}
	}
	switch {
	case !sure:
		return nil
	case ok:
		return []string{"granted"}
	case c.WaitMs == 0:
		return []string{string(pool.NoneFree)}
	case o.cfg.RefuseHoldAndWait && holds():
		return []string{string(pool.WouldDeadlock)}
	}
	return []string{"waits"}
}

// named returns the grant that a command names, by its number or by an item that is in one, or why it can not be had.
func (o *till) named(kind pool.Kind, id, token uint64, name, item string) (*tGrant, uint64, pool.Code) {
	if name != "" {
		if o.pools[name] == nil || o.pools[name].items[item] == nil {
			return nil, 0, pool.NotFound
		}
		it := o.pools[name].items[item]
		for id := range it.has {
			switch g := o.grants[id]; {
			case it.quantity > 1:
			case g.firm && o.pools[name].spec.Kind == pool.Stock:
				return nil, 0, pool.AlreadyResolved
			case g.expires > o.now:
				return g, id, ""
			}
		}
		return nil, 0, pool.Conflict
	}
	g := o.grants[id]
	over := pool.Expired
	if kind == pool.Lease {
		over = pool.StaleToken
	}
	switch {
	case g == nil && (id == 0 || id > o.rev):
		return nil, 0, pool.NotFound
	case g == nil:
		return nil, 0, over
	case g.token != token:
		return nil, 0, pool.StaleToken
	case g.expires == 0:
		return nil, 0, pool.AlreadyResolved
	case g.expires <= o.now:
		return nil, 0, over
	}
	return g, id, ""
}

// chosen returns the parts of g that items name of those that are allowed, or which codes it may be refused with.
func (o *till) chosen(g *tGrant, items []pool.ItemRef, allowed func(pool.ItemRef) bool) (parts []pool.ItemRef, codes []pool.Code) {
	if items == nil {
		for _, p := range g.parts {
			if allowed(p) {
				parts = append(parts, p)
			}
		}
		if len(parts) == 0 {
			return nil, []pool.Code{pool.Conflict}
		}
		return parts, nil
	}
	for _, ref := range items {
		i := slices.IndexFunc(g.parts, func(p pool.ItemRef) bool {
			return p.ID == ref.ID && (ref.Pool == "" || p.Pool == ref.Pool) && allowed(p)
		})
		if i < 0 {
			codes = append(codes, pool.NotFound)
			continue
		}
		p := g.parts[i]
		twice := slices.ContainsFunc(parts, func(x pool.ItemRef) bool { return x.Pool == p.Pool && x.ID == p.ID })
		if twice || ref.Units < 0 || ref.Units > p.Units {
			codes = append(codes, pool.BadPayload)
		}
		p.Units = cmp.Or(ref.Units, p.Units)
		parts = append(parts, p)
	}
	if len(parts) == 0 && len(codes) == 0 {
		codes = append(codes, pool.BadPayload)
	}
	return parts, codes
}

func (o *till) kind(ref pool.ItemRef) pool.Kind { return o.pools[ref.Pool].spec.Kind }

func (o *till) stock(ref pool.ItemRef) bool { return o.kind(ref) == pool.Stock }

// temporary says which parts of g end with time.
func (o *till) temporary(g *tGrant) func(pool.ItemRef) bool {
	return func(ref pool.ItemRef) bool { return !g.firm || !o.stock(ref) }
}

// follow checks an event, and takes it over.
func (o *till) follow(ev *pool.Event) {
	o.rev++
	o.must(ev.Rev == o.rev && ev.At == o.now, "event %+v, want %d at %d", ev, o.rev, o.now)
	_, tick := o.cmd.(*tick)
	g := o.grants[ev.Grant]
	switch ev.Type {
	case "pool.set":
		c := o.cmd.(*pool.Configure)
		s := c.Pools[slices.IndexFunc(c.Pools, func(s pool.Spec) bool { return s.Name == ev.Pool })]
		if o.pools[ev.Pool] == nil {
			o.pools[ev.Pool] = &tPool{items: map[string]*tItem{}}
		}
		o.pools[ev.Pool].spec = s
	case "item.set":
		o.itemSet(ev)
	case "item.state":
		c := o.cmd.(*pool.SetItem)
		it := o.item(ev.Items[0])
		switch {
		case c.Withheld != nil:
			it.withheld = *c.Withheld
		case c.State == "withheld":
			it.withheld = 1
		default:
			it.withheld = 0
		}
	case "item.drained":
		it := o.item(ev.Items[0])
		if it.draining = true; it.taken() == 0 {
			o.remove(ev.Items[0])
		}
	case "lease.granted", "hold.created":
		o.must((ev.Type == "hold.created") == (ev.Kind == pool.Stock), "%+v", ev)
		o.granted(ev)
	case "lease.renewed", "hold.extended":
		o.must(g != nil && g.expires > o.now && ev.ExpiresAt > o.now && ev.ExpiresAt <= g.endsAt, "%+v of %+v", ev, g)
		o.must((ev.Type == "hold.extended") == (g.kind == pool.Stock), "%+v of %+v", ev, g)
		g.expires = ev.ExpiresAt
	case "lease.expiring", "hold.expiring":
		o.must(tick && g != nil && g.expires > o.now, "%+v of %+v", ev, g)
	case "hold.confirmed":
		_, ok := o.cmd.(*pool.Confirm)
		o.must(ok && g != nil && !g.firm && g.expires > o.now && slices.Equal(ev.Items, g.parts), "%+v of %+v", ev, g)
		if g.firm = true; !slices.ContainsFunc(g.parts, o.temporary(g)) {
			g.expires = 0
		}
	case "lease.released", "lease.expired", "hold.voided", "hold.expired", "sale.refunded":
		o.released(ev, tick)
	case "wait.began":
		c := o.cmd.(*pool.Acquire)
		w := o.waitOf(c)
		w.id, w.until = ev.Rev, o.now+c.WaitMs
		queued := uint64(0)
		for _, x := range o.waits {
			if x.client == w.client && x.want[0].Pool == w.want[0].Pool {
				queued++
			}
		}
		w.turn = o.pools[w.want[0].Pool].turn + 1 + queued
		o.waits[w.id] = w
	case "wait.ended":
		w := o.waits[ev.Wait]
		o.must(w != nil, "%+v", ev)
		_, cancel := o.cmd.(*pool.CancelWait)
		ok := false
		switch pool.Code(ev.Cause) {
		case pool.WaitTimeout:
			ok = tick && w.until <= o.now
		case pool.Cancelled:
			ok = cancel || tick && o.away(w.session) && o.sessions[w.session].until <= o.now
		case pool.NoMatch:
			ok = len(o.refusals(w.want)) > 0
		case pool.QuotaExceeded:
			ok = o.overQuota(w.client, w.want)
		}
		o.must(ok, "at %d, wait %+v ended: %+v", o.now, w, ev)
		o.ended[w.id] = ev.Cause
		delete(o.waits, w.id)
	case "session.opened":
		c := o.cmd.(*pool.OpenSession)
		o.sessions[ev.Rev] = &tSession{client: c.Client, grace: c.GraceMs}
	case "session.gone":
		o.sessions[ev.Session].until = o.now + o.sessions[ev.Session].grace
	case "session.resumed":
		o.must(o.sessions[ev.Session].until > o.now, "%+v", ev)
		o.sessions[ev.Session].until = 0
	case "session.ended":
		s := o.sessions[ev.Session]
		o.must(tick && s.until != 0 && s.until <= o.now, "at %d: %+v", o.now, ev)
		for id, g := range o.grants {
			o.must(g.session != ev.Session || g.onEnd == pool.Keep || g.expires == 0, "session %d ended before its grant %d", ev.Session, id)
		}
		delete(o.sessions, ev.Session)
	case "server.restarted":
		for _, s := range o.sessions {
			s.until = o.now + s.grace
		}
	case "key.settled":
	default:
		o.rt.Fatalf("event %+v", ev)
	}
}

func (o *till) waitOf(c *pool.Acquire) *tWait {
	w := &tWait{
		session: c.Session, client: c.Client, owner: c.Owner, want: c.Want, strategy: c.Strategy, priority: c.Priority,
		onEnd: c.OnDisconnect, kind: cmp.Or(c.Kind, pool.Lease),
	}
	if s := o.sessions[c.Session]; s != nil {
		w.client = s.client
	}
	w.onEnd = cmp.Or(w.onEnd, o.pools[c.Want[0].Pool].spec.OnDisconnect)
	for i, x := range c.Want {
		if ttl := o.pools[x.Pool].spec.TTLMs; i == 0 || ttl < w.ttl {
			w.ttl = ttl
		}
	}
	if c.TTLMs != nil {
		w.ttl = *c.TTLMs
	}
	return w
}

func (o *till) itemSet(ev *pool.Event) {
	p, id := o.pools[ev.Pool], ev.Items[0].ID
	labels := map[string]string{}
	if ev.Labels != "" {
		o.must(json.Unmarshal([]byte(ev.Labels), &labels) == nil, "%+v", ev)
	}
	it := p.items[id]
	if it == nil {
		it = &tItem{labels: labels, has: map[uint64]int64{}}
		p.items[id] = it
		p.order = append(p.order, id)
	} else if !maps.Equal(it.labels, labels) {
		p.order = append(slices.DeleteFunc(p.order, func(x string) bool { return x == id }), id)
	}
	it.labels, it.draining = labels, false
	c, ok := o.cmd.(*pool.Fill)
	if !ok {
		return
	}
	s := c.Items[slices.IndexFunc(c.Items, func(s pool.ItemSpec) bool { return s.ID == id })]
	for _, x := range p.items {
		if s.Row != 0 && x.row == s.Row && x.col == s.Col {
			x.row, x.col = 0, 0
		}
	}
	it.row, it.col, it.quantity = s.Row, s.Col, max(1, s.Quantity)
}

func (o *till) remove(ref pool.ItemRef) {
	p := o.pools[ref.Pool]
	delete(p.items, ref.ID)
	p.order = slices.DeleteFunc(p.order, func(x string) bool { return x == ref.ID })
}

func (o *till) granted(ev *pool.Event) {
	var w *tWait
	if ev.Wait != 0 {
		w = o.waits[ev.Wait]
		o.must(w != nil && !o.away(w.session), "%+v of %+v", ev, w)
		if !aside(w.want) {
			first := o.first(queue(w.want))
			o.must(first == w, "wait %+v is served before %+v", w, first)
		}
	} else {
		w = o.waitOf(o.cmd.(*pool.Acquire))
	}
	o.must(ev.Token == ev.Rev && o.grants[ev.Grant] == nil && ev.Kind == w.kind, "%+v of %+v", ev, w)
	o.must(!o.overQuota(w.client, w.want), "over the quota: %+v", ev)
	o.must(len(o.refusals(w.want)) == 0, "%+v is granted what it can not have", w)
	o.meets(w, ev.Items)

	g := &tGrant{
		token: ev.Token, session: w.session, client: w.client, owner: w.owner, kind: w.kind, ttl: w.ttl, onEnd: w.onEnd,
		parts: slices.Clone(ev.Items),
	}
	for _, x := range w.want {
		if at := o.now + o.pools[x.Pool].spec.LifetimeMaxMs; g.endsAt == 0 || at < g.endsAt {
			g.endsAt = at
		}
	}
	g.expires = min(o.now+w.ttl, g.endsAt)
	o.must(ev.ExpiresAt == g.expires && ev.Client == w.client && ev.Session == w.session && ev.Owner == w.owner, "%+v of %+v", ev, g)
	for _, ref := range ev.Items {
		it := o.item(ref)
		o.must(ref.Units > 0 && ref.Units <= it.available() && it.has[ev.Grant] == 0, "%v is given out twice: %+v", ref, it)
		it.has[ev.Grant] = ref.Units
	}
	o.grants[ev.Grant] = g
	if ev.Wait != 0 {
		p := o.pools[w.want[0].Pool]
		p.turn = max(p.turn, w.turn)
		o.ended[w.id] = "granted"
		delete(o.waits, w.id)
	}
}

// meets checks that what is given is what was wanted; where there is one want, which of what is free.
func (o *till) meets(w *tWait, items []pool.ItemRef) {
	rest := items
	for _, x := range w.want {
		p, n := o.pools[x.Pool], wanted(x)
		var given []string
		var got []pool.ItemRef
		for left := n; left > 0; rest = rest[1:] {
			o.must(len(rest) > 0 && rest[0].Pool == x.Pool, "%+v is given %+v", w, items)
			given, got = append(given, rest[0].ID), append(got, rest[0])
			left -= rest[0].Units
			o.must(left >= 0, "%+v is given %+v", w, items)
		}
		selected := p.matching(x)
		for _, id := range given {
			o.must(len(x.IDs) > 0 || slices.Contains(selected, id), "%+v is given %+v", w, items)
		}
		switch {
		case len(x.IDs) > 0:
			o.must(slices.Equal(given, x.IDs), "%+v is given %+v", w, items)
		case x.Best != "" && len(w.want) == 1:
			best := p.best(x, n)
			o.must(slices.Equal(given, best), "%+v is given %+v, the best are %v", w, items, best)
		case x.Best == pool.Together:
			for i, id := range given {
				a, b := p.items[given[0]], p.items[id]
				o.must(a.row != 0 && b.row == a.row && b.col == a.col+int64(i), "%v are not side by side", given)
			}
		case len(w.want) == 1 && cmp.Or(w.strategy, p.spec.Strategy) == pool.First:
			var first []pool.ItemRef
			left := n
			for _, id := range selected {
				if units := min(left, p.items[id].available()); units > 0 {
					first = append(first, pool.ItemRef{Pool: x.Pool, ID: id, Units: units})
					left -= units
				}
			}
			o.must(slices.Equal(got, first), "%+v is given %+v, the first are %+v", w, got, first)
		}
	}
	o.must(len(rest) == 0, "%+v is given %+v", w, items)
}

func (o *till) released(ev *pool.Event, ticks bool) {
	g := o.grants[ev.Grant]
	o.must(g != nil && len(ev.Items) > 0, "%+v", ev)
	name := map[pool.Kind]string{pool.Lease: "lease.released", pool.Stock: "hold.voided"}[g.kind]
	if g.firm {
		name = "lease.released"
	}
	var ok bool
	outcome := pool.Clean
	switch c := o.cmd.(type) {
	case *tick:
		switch pool.Cause(ev.Cause) {
		case pool.RanOut:
			name = map[string]string{"lease.released": "lease.expired", "hold.voided": "hold.expired"}[name]
			ok = ticks && g.expires != 0 && g.expires <= o.now
		case pool.Disconnected:
			s := o.sessions[g.session]
			ok = ticks && g.onEnd == pool.ReleaseOnEnd && s.until != 0 && s.until <= o.now && g.expires != 0
		}
	case *pool.Release:
		ok = g.expires > o.now
	case *pool.Confirm: // what is not kept
		ok = !g.firm && g.expires > o.now && ev.Cause == ""
	case *pool.Refund:
		name, ok = "sale.refunded", g.firm && ev.Cause == ""
		if c.Withhold {
			outcome = pool.Withheld
		}
	}
	o.must(ok && ev.Type == name && ev.Outcome == string(outcome), "at %d, %T: %+v of %+v, want %s", o.now, o.cmd, ev, g, name)
	for _, ref := range ev.Items {
		i := slices.IndexFunc(g.parts, func(p pool.ItemRef) bool { return p.Pool == ref.Pool && p.ID == ref.ID })
		o.must(i >= 0 && ref.Units > 0 && ref.Units <= g.parts[i].Units, "%v is not in %+v", ref, g)
		o.must(o.temporary(g)(ref) != (name == "sale.refunded"), "%+v takes %v of %+v", ev, ref, g)
		it := o.item(ref)
		if g.parts[i].Units -= ref.Units; g.parts[i].Units == 0 {
			g.parts = slices.Delete(g.parts, i, i+1)
		}
		if it.has[ev.Grant] -= ref.Units; it.has[ev.Grant] == 0 {
			delete(it.has, ev.Grant)
		}
		if outcome == pool.Withheld {
			if it.quantity == 1 {
				it.withheld = 1
			} else {
				it.withheld += ref.Units
			}
		}
		if it.draining && it.taken() == 0 {
			o.remove(ref)
		}
	}
	if !slices.ContainsFunc(g.parts, o.temporary(g)) {
		g.expires = 0
	}
	if len(g.parts) == 0 {
		delete(o.grants, ev.Grant)
	}
}

// conserved checks that nobody waits in vain, or for what could be had.
func (o *till) conserved() {
	for _, w := range o.waits {
		if o.away(w.session) || !aside(w.want) && o.first(queue(w.want)) != w {
			continue
		}
		codes := o.refusals(w.want)
		o.must(len(codes) == 0, "wait %+v waits for what can not be: %v", w, codes)
		ok, sure := o.could(w.want)
		o.must(!ok || !sure, "wait %+v could be met", w)
	}
}

// onTime checks that nothing is overdue.
func (o *till) onTime() {
	for id, g := range o.grants {
		o.must(g.expires == 0 || g.expires > o.now, "at %d, grant %d %+v", o.now, id, g)
	}
	for _, w := range o.waits {
		o.must(w.until > o.now, "at %d, wait %+v", o.now, w)
	}
	for id, s := range o.sessions {
		o.must(s.until == 0 || s.until > o.now, "at %d, session %d %+v", o.now, id, s)
	}
}

// agrees compares what the machine shows with what the oracle knows.
func (o *till) agrees(m *pool.Machine) {
	for name, p := range o.pools {
		views, _, err := m.ListItems(nil, name, 100, "")
		o.must(err == nil && len(views) == len(p.order), "pool %s has %+v, want %v", name, views, p.order)
		x := pool.Stats{Pool: name, Kind: p.spec.Kind, Items: len(p.items)}
		grants := map[uint64]bool{}
		for i, id := range p.order {
			it, v := p.items[id], views[i]
			var held, sold int64
			state := map[pool.Kind]string{pool.Lease: "free", pool.Stock: "available"}[p.spec.Kind]
			if it.withheld > 0 {
				state = "withheld"
			}
			grant := uint64(0)
			for id, units := range it.has {
				grants[id], grant = true, id
				switch {
				case p.spec.Kind == pool.Lease:
					held, state = held+units, "leased"
				case o.grants[id].firm:
					sold, state = sold+units, "sold"
				default:
					held, state = held+units, "held"
				}
			}
			ok := v.ID == id && v.Draining == it.draining && v.Quantity == it.quantity && v.Row == int(it.row) && v.Col == int(it.col)
			switch {
			case it.quantity > 1:
				ok = ok && v.Available == it.available() && v.Held == held && v.Sold == sold && v.Withheld == it.withheld && v.Grant == 0
				x.Withheld += int(it.withheld)
				x.Free += int(it.available())
			default:
				ok = ok && v.State == state && v.Grant == grant
				if g := o.grants[grant]; g != nil {
					ok = ok && v.ExpiresAt == g.expires && v.Client == g.client && v.Owner == g.owner
				}
				if grant == 0 {
					x.Withheld += int(it.withheld)
					x.Free += int(it.available())
				}
			}
			o.must(ok, "item %s of pool %s is %+v, want %s %+v", id, name, v, state, it)
			x.Held, x.Sold = x.Held+int(held), x.Sold+int(sold)
			if it.draining {
				x.Draining += int(held + sold)
			}
		}
		x.Grants = len(grants)
		for _, w := range o.waits {
			if slices.ContainsFunc(w.want, func(y pool.Want) bool { return y.Pool == name }) {
				x.Waiting++
			}
		}
		s, err := m.Stats(name)
		x.Granted = s.Granted
		o.must(err == nil && s == x, "pool %s is %+v, want %+v", name, s, x)
	}
}

// seller is a machine beside the till, with its journal and its checkpoints.
type seller struct {
	rt     *rapid.T
	o      *till
	m      *pool.Machine
	chunks []chunk
	store  map[string]string
	mark   pool.Mark
	frozen bool
	batch  []pool.Record
	past   []pool.Command // with keys
	steps  int
}

// TestStockModel runs random commands of all that is sold, and checks all that they do.
func TestStockModel(t *testing.T) {
	proof.Run(t, "steps of the model of stock", 20_000, func(t *testing.T, _ *rand.Rand) int {
		steps := 0
		rapid.Check(quiet{t}, func(rt *rapid.T) {
			s := newSeller(rt)
			rt.Repeat(s.actions())
			s.sameAfterReplay()
			s.slice(1 << 30)
			s.m.Freeze()
			s.frozen, s.batch = true, nil
			s.slice(1 << 30)
			s.sameAfterReplay()
			steps += s.steps
		})
		return steps
	})
}

func newSeller(rt *rapid.T) *seller {
	cfg := pool.Config{RefuseHoldAndWait: rapid.Bool().Draw(rt, "refuse"), KeyRetentionMs: 1 << 40}
	s := &seller{rt: rt, m: pool.New(cfg), store: map[string]string{}, o: &till{
		rt: rt, now: 1_000_000, cfg: cfg, pools: map[string]*tPool{}, grants: map[uint64]*tGrant{}, waits: map[uint64]*tWait{},
		sessions: map[uint64]*tSession{}, keys: map[oKeyName]*oKey{},
	}}
	s.configure()
	for _, name := range sold {
		s.fill(&pool.Fill{Pool: name, Items: s.drawItems(name, 12)})
	}
	return s
}

// What is sold: the seats of s and t; l is of leases.
var sold = []string{"l", "s", "t"}

func (s *seller) configure() {
	rt := s.rt
	c := &pool.Configure{}
	for _, name := range sold {
		x := pool.Spec{
			Name: name, Kind: pool.Stock, OnDisconnect: pick(rt, "onDisconnect", pool.Keep, pool.ReleaseOnEnd),
			Strategy: pick(rt, "strategy", pool.First, pool.First, pool.Random, pool.LRU),
			TTLMs:    pick[int64](rt, "ttl", 700, 5000), TTLMaxMs: 6000,
			LifetimeMaxMs: pick[int64](rt, "lifetime", 6000, 9000), QuotaMax: pick[int64](rt, "quota", 0, 0, 6),
		}
		if name == "l" {
			x.Kind = pool.Lease
		} else if rapid.Bool().Draw(rt, "focus") {
			x.FocusRow, x.FocusCol = pick[int64](rt, "focusRow", 0, 200), pick[int64](rt, "focusCol", 0, 450, 333)
		}
		c.Pools = append(c.Pools, x)
	}
	s.do(c)
}

func (s *seller) drawPool() string {
	if s.seldom() {
		return "none"
	}
	return pick(s.rt, "pool", "s", "s", "s", "t", "t", "l")
}

func (s *seller) seldom() bool { return rapid.IntRange(0, 19).Draw(s.rt, "seldom") == 19 }

// known returns an item, nil when there is none.
func (s *seller) known(name, id string) *tItem {
	if p := s.o.pools[name]; p != nil {
		return p.items[id]
	}
	return nil
}

// drawKnown names an item that is there, most of the time.
func (s *seller) drawKnown(name string) string {
	if p := s.o.pools[name]; p != nil && len(p.order) > 0 && !s.seldom() {
		return pick(s.rt, "known", p.order...)
	}
	return s.drawID(name)
}

// drawSession draws a session that there is, or none, most of the time.
func (s *seller) drawSession() uint64 {
	ids := append(slices.Sorted(maps.Keys(s.o.sessions)), 0)
	if s.seldom() {
		return 999_999
	}
	return pick(s.rt, "session", ids...)
}

// drawID names a seat by where it is at first, or a counter.
func (s *seller) drawID(name string) string {
	switch {
	case name == "l":
		return pick(s.rt, "lease", "l1", "l2", "l3")
	case rapid.IntRange(0, 3).Draw(s.rt, "counter") == 0:
		return pick(s.rt, "counter", "x", "y")
	}
	place := s.drawPlace()
	return fmt.Sprintf("%c%d", 'a'+place.row-1, place.col)
}

// drawPlace draws one of a hall of two rows, whose column 4 is an aisle, most of the time.
func (s *seller) drawPlace() seatAt {
	cols := []int64{1, 2, 3, 5, 6, 7, 8}
	if rapid.IntRange(0, 19).Draw(s.rt, "aisle") == 0 {
		cols = []int64{4}
	}
	return seatAt{int64(rapid.IntRange(1, 2).Draw(s.rt, "row")), pick(s.rt, "col", cols...)}
}

func (s *seller) drawItems(name string, n int) (items []pool.ItemSpec) {
	rt := s.rt
	for range n {
		x := pool.ItemSpec{ID: s.drawID(name)}
		if zone := pick(rt, "zone", "", "", "a", "b"); zone != "" {
			x.Labels = map[string]string{"zone": zone}
		}
		switch {
		case name == "l":
		case x.ID == "x" || x.ID == "y":
			x.Quantity = pick[int64](rt, "quantity", 0, 2, 3, 4)
		case rapid.IntRange(0, 9).Draw(rt, "elsewhere") == 0:
			if rapid.Bool().Draw(rt, "placed") {
				place := s.drawPlace()
				x.Row, x.Col = place.row, place.col
			}
		default:
			x.Row, x.Col = int64(x.ID[0]-'a'+1), int64(x.ID[1]-'0')
		}
		same := func(y pool.ItemSpec) bool { return y.ID == x.ID || y.Row != 0 && y.Row == x.Row && y.Col == x.Col }
		if !slices.ContainsFunc(items, same) {
			items = append(items, x)
		}
	}
	return items
}

func (s *seller) drawKeyed() pool.Keyed {
	k := pool.Keyed{Client: pick(s.rt, "client", "ann", "bob")}
	if rapid.IntRange(0, 9).Draw(s.rt, "keyed") == 0 {
		k.Key, k.Hash = fmt.Sprint("key ", s.o.rev), 1
	}
	return k
}

func (s *seller) drawWant() pool.Want {
	rt := s.rt
	w := pool.Want{Pool: s.drawPool()}
	if rapid.IntRange(0, 2).Draw(rt, "ids") == 0 {
		for range pick(rt, "n", 1, 1, 1, 2, 3) {
			w.IDs = append(w.IDs, s.drawKnown(w.Pool))
		}
		if it := s.known(w.Pool, w.IDs[0]); s.seldom() || it != nil && len(w.IDs) == 1 && it.quantity > 1 {
			w.Count = pick[int64](rt, "count", 0, 1, 2, 3, 3, -1)
		}
		return w
	}
	w.Count = pick[int64](rt, "count", 1, 1, 1, 2, 2, 3, 4)
	if s.seldom() {
		w.Count = pick[int64](rt, "odd", 0, -1, 7)
	}
	if w.Pool != "l" || s.seldom() {
		w.Best = pick(rt, "best", "", "", pool.Together, pool.Together, pool.Split)
	}
	if rapid.IntRange(0, 2).Draw(rt, "select") == 0 {
		w.Select = pool.Selector{{Name: "zone", Values: pick(rt, "values", []string{"a"}, []string{"b", "a"})}}
	}
	return w
}

// drawGrant draws the number of a grant that is firm or not, and its token, most of the time.
func (s *seller) drawGrant(firm bool) (id, token uint64, g *tGrant) {
	var ids []uint64
	for _, id := range slices.Sorted(maps.Keys(s.o.grants)) {
		if s.o.grants[id].firm == firm {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 || s.seldom() {
		id = oneOf(s.rt, "grant", s.o.grants)
	} else {
		id = pick(s.rt, "grant", ids...)
	}
	if g = s.o.grants[id]; g != nil && !s.seldom() {
		return id, g.token, g
	}
	return id, 77, g
}

// drawParts draws what of a grant is meant; nil: all.
func (s *seller) drawParts(g *tGrant) (items []pool.ItemRef) {
	rt := s.rt
	if g == nil || rapid.Bool().Draw(rt, "all") {
		return nil
	}
	if s.seldom() {
		return []pool.ItemRef{}
	}
	for range pick(rt, "n", 1, 1, 2) {
		ref := pick(rt, "part", g.parts...)
		switch rapid.IntRange(0, 19).Draw(rt, "odd") {
		case 0:
			ref.ID = "a1"
		case 1:
			ref.Units++
		case 2:
			ref.Units = -1
		case 3, 4:
			ref.Units = 1
		case 5:
			ref.Units = 0
		case 6:
			ref.Pool = ""
		}
		items = append(items, ref)
	}
	return items
}

func (s *seller) actions() map[string]func(*rapid.T) {
	rt, o := s.rt, s.o
	acquire := func(*rapid.T) {
		c := &pool.Acquire{
			Session: s.drawSession(), WaitMs: pick[int64](rt, "wait", 0, 1000, 3000, 10_000),
			Strategy: pick[pool.Strategy](rt, "strategy", "", "", "", pool.LRU, pool.Random),
			Priority: pick[int64](rt, "priority", 0, 0, 0, 1, -1), Owner: pick(rt, "owner", "", "", "olga", "otto"),
			Kind: pick(rt, "kind", pool.Stock, pool.Stock, pool.Stock, ""), Keyed: s.drawKeyed(),
		}
		if c.WaitMs > 0 || c.Session != 0 {
			c.Key = ""
		}
		if ttl := pick[int64](rt, "ttl", -1, -1, 400, 2000, 5999); ttl > 0 {
			if s.seldom() {
				ttl = 7000
			}
			c.TTLMs = &ttl
		}
		if rapid.IntRange(0, 4).Draw(rt, "onDisconnect") == 0 {
			c.OnDisconnect = pool.ReleaseOnEnd
		}
		for range pick(rt, "wants", 1, 1, 1, 1, 2, 3) {
			c.Want = append(c.Want, s.drawWant())
		}
		if len(c.Want) > 1 && rapid.Bool().Draw(rt, "mixed") {
			c.Kind = ""
			c.Want[0] = pool.Want{Pool: "l", Count: 1}
		}
		s.acquire(c)
	}
	byItem := func() (name, id string) {
		if rapid.IntRange(0, 5).Draw(rt, "byItem") == 0 {
			name = s.drawPool()
			id = s.drawKnown(name)
		}
		return name, id
	}
	confirm := func(*rapid.T) {
		c := &pool.Confirm{Keyed: s.drawKeyed()}
		var g *tGrant
		c.Grant, c.Token, g = s.drawGrant(s.seldom())
		if c.Pool, c.Item = byItem(); c.Pool == "" {
			c.Items = s.drawParts(g)
		}
		s.confirm(c)
	}
	refund := func(*rapid.T) {
		c := &pool.Refund{Withhold: rapid.IntRange(0, 3).Draw(rt, "withhold") == 0, Keyed: s.drawKeyed()}
		var g *tGrant
		c.Grant, c.Token, g = s.drawGrant(!s.seldom())
		if c.Pool, c.Item = byItem(); c.Pool == "" {
			c.Items = s.drawParts(g)
		}
		s.refund(c)
	}
	return map[string]func(*rapid.T){
		"acquire": acquire, "acquire2": acquire, "acquire3": acquire, "acquire4": acquire, "acquire5": acquire,
		"confirm": confirm, "confirm2": confirm,
		"release": func(*rapid.T) {
			c := &pool.Release{Kind: pick(rt, "kind", pool.Stock, ""), Keyed: s.drawKeyed()}
			var g *tGrant
			c.Grant, c.Token, g = s.drawGrant(s.seldom())
			if c.Pool, c.Item = byItem(); c.Pool == "" {
				c.Items = s.drawParts(g)
			}
			s.release(c)
		},
		"refund": refund, "refund2": refund,
		"renew": func(*rapid.T) {
			c := &pool.Renew{Kind: pick(rt, "kind", pool.Stock, "")}
			c.Grant, c.Token, _ = s.drawGrant(s.seldom())
			c.Pool, c.Item = byItem()
			if ttl := pick[int64](rt, "ttl", -1, -1, 0, 3000, 6000, 7000); ttl >= 0 {
				c.TTLMs = &ttl
			}
			s.renew(c)
		},
		"again": func(*rapid.T) {
			if len(s.past) > 0 {
				s.do(pick(rt, "past", s.past...))
			}
		},
		"fill": func(*rapid.T) {
			name := s.drawPool()
			items := s.drawItems(name, rapid.IntRange(1, 5).Draw(rt, "n"))
			s.fill(&pool.Fill{Pool: name, Items: items, Configured: rapid.IntRange(0, 3).Draw(rt, "configured") == 0})
		},
		"drain": func(*rapid.T) {
			name := s.drawPool()
			c := &pool.Drain{Pool: name, IDs: []string{s.drawKnown(name)}}
			if s.seldom() {
				c.IDs, c.All = nil, true
			}
			s.drain(c)
		},
		"set": func(*rapid.T) {
			name := s.drawPool()
			c := &pool.SetItem{Pool: name, ID: s.drawKnown(name)}
			it := s.known(name, c.ID)
			counter := it != nil && it.quantity > 1
			switch n := pick[int64](rt, "withheld", -1, 0, 0, 1, 1, 2, 3); {
			case name == "l":
			case counter != s.seldom():
				c.Withheld = &n
			default:
				c.State = pick(rt, "state", "available", "available", "withheld", "withheld", "free")
			}
			if rapid.IntRange(0, 3).Draw(rt, "labels") == 0 {
				c.Labels = map[string]string{"zone": pick(rt, "zone", "a", "b")}
			}
			s.set(c)
		},
		"clean": func(*rapid.T) { // all that is withheld is for sale again
			for _, name := range sold {
				for _, id := range slices.Clone(o.pools[name].order) {
					if it := o.pools[name].items[id]; it != nil && it.withheld > 0 && it.quantity == 1 {
						s.set(&pool.SetItem{Pool: name, ID: id, State: "available"})
					} else if it != nil && it.withheld > 0 {
						s.set(&pool.SetItem{Pool: name, ID: id, Withheld: new(int64)})
					}
				}
			}
		},
		"cancel": func(*rapid.T) { s.do(&pool.CancelWait{Wait: oneOf(rt, "wait", o.waits)}) },
		"open": func(*rapid.T) {
			if len(o.sessions) < 3 {
				s.do(&pool.OpenSession{Client: pick(rt, "client", "ann", "bob"), Secret: "s", GraceMs: pick[int64](rt, "grace", 0, 2000)})
			}
		},
		"disconnect": func(*rapid.T) { s.do(&pool.Disconnect{Session: oneOf(rt, "session", o.sessions)}) },
		"resume":     func(*rapid.T) { s.do(&pool.Resume{Session: oneOf(rt, "session", o.sessions), Secret: "s"}) },
		"reconfigure": func(*rapid.T) {
			if rapid.IntRange(0, 3).Draw(rt, "really") == 0 {
				s.configure()
			}
		},
		"pass": func(*rapid.T) { s.tick(o.now + int64(rapid.IntRange(0, 1500).Draw(rt, "ms"))) },
		"late": func(*rapid.T) { o.now += int64(rapid.IntRange(0, 1500).Draw(rt, "ms")) }, // what is due is done later
		"due": func(*rapid.T) {
			if at := s.m.NextDue(); at > 0 && at < 1<<40 { // keys are never forgotten here
				s.tick(max(at, o.now))
			}
		},
		"replay": func(*rapid.T) { s.sameAfterReplay() },
		"restart": func(*rapid.T) {
			if rapid.IntRange(0, 3).Draw(rt, "really") > 0 {
				return
			}
			s.m = s.replayed(s.mark)
			s.frozen = false
			o.pending = true
			s.do(&pool.Restarted{})
			s.tick(o.now)
		},
		"freeze": func(*rapid.T) {
			if !s.frozen {
				s.m.Freeze()
				s.frozen, s.batch = true, nil
			}
		},
		"slice": func(*rapid.T) { s.slice(rapid.IntRange(1, 40).Draw(rt, "slice")) },
		"": func(*rapid.T) {
			err := s.m.Check()
			o.must(err == nil, "%v", err)
			if due := s.m.NextDue(); !o.pending && (due == 0 || due > o.now) {
				o.conserved()
			}
			o.agrees(s.m)
		},
	}
}

// do has the machine decide, and the till follow.
func (s *seller) do(c pool.Command) pool.Reply {
	o := s.o
	s.steps++
	s.begin(c)
	key := sellerKey(c)
	if a, ok := c.(*pool.Acquire); ok && o.sessions[a.Session] != nil {
		key.Client = o.sessions[a.Session].client
	}
	name := oKeyName{key.Client, key.Key}
	known := o.keys[name]
	hash, rev := s.m.Hash(), s.m.Rev()
	var r pool.Reply
	s.m.Decide(o.now, c, &r)
	s.follow()
	o.must(r.Repeated == (known != nil), "%T %+v: %+v, before %+v", c, c, r, known)
	switch {
	case known != nil:
		first := known.reply
		r.Repeated = false
		if len(r.Items) == 0 {
			r.Items = first.Items
		}
		if len(r.Conflicts) == 0 {
			r.Conflicts = first.Conflicts
		}
		o.must(reflect.DeepEqual(r, first) && s.m.Hash() == hash, "%T %+v is repeated: %+v, first %+v", c, c, r, first)
		r.Repeated = true
	case r.Err != nil && s.m.Rev() == rev:
		o.must(s.m.Hash() == hash && r.Err.Message != "", "%T %+v: %+v has changed the state", c, c, r)
	case key.Key != "":
		o.keys[name] = &oKey{reply: r}
		s.past = append(s.past, c)
	case r.Err != nil:
		o.rt.Fatalf("%T %+v was refused with %v, and did something", c, c, r.Err)
	}
	return r
}

func sellerKey(c pool.Command) pool.Keyed {
	switch c := c.(type) {
	case *pool.Confirm:
		return c.Keyed
	case *pool.Refund:
		return c.Keyed
	}
	return keyedOf(c)
}

func (s *seller) begin(c pool.Command) {
	o := s.o
	due := s.m.NextDue()
	o.cmd, o.pending, o.ended = c, o.pending || due != 0 && due <= o.now, map[uint64]string{}
}

// follow takes what the machine did to the journal and to the till.
func (s *seller) follow() {
	o := s.o
	if data := s.m.TakeChunk(); data != nil {
		err := pool.Events(data, func(ev *pool.Event) bool { o.follow(ev); return true })
		o.must(err == nil, "%v", err)
		s.chunks = append(s.chunks, chunk{s.m.Rev(), data})
	}
	o.must(o.rev == s.m.Rev(), "rev %d after event %d", s.m.Rev(), o.rev)
	answers, _ := s.m.TakeAnswers()
	o.must(len(answers) == len(o.ended), "answers %+v to waits %v", answers, o.ended)
	for _, a := range answers {
		got := "granted"
		if a.Reply.Err != nil {
			got = string(a.Reply.Err.Code)
		} else if g := o.grants[a.Reply.Grant]; g != nil {
			o.gives(a.Reply, g)
		}
		o.must(got == o.ended[a.Wait], "answer %+v, want %s", a, o.ended[a.Wait])
	}
}

// gives checks that a reply gives what a grant has.
func (o *till) gives(r pool.Reply, g *tGrant) {
	var items []pool.ItemRef
	for _, it := range r.Items {
		items = append(items, pool.ItemRef{Pool: it.Pool, ID: it.ID, Units: it.Units})
	}
	ok := o.grants[r.Grant] == g && r.Token == g.token && r.ExpiresAt == g.expires && slices.Equal(items, g.parts)
	o.must(ok, "%+v gives %+v", r, g)
}

// decided checks that a command was refused with one of some codes; with none of them, that it was done.
func (s *seller) decided(c pool.Command, r pool.Reply, codes ...pool.Code) bool {
	if len(codes) == 0 {
		s.o.must(r.Err == nil, "%T %+v: %v", c, c, r.Err)
		return true
	}
	s.o.must(r.Err != nil && slices.Contains(codes, r.Err.Code), "%T %+v: %+v (%v), want %v", c, c, r, r.Err, codes)
	return false
}

func (s *seller) acquire(c *pool.Acquire) {
	want := s.o.expectNow(s, c)
	r := s.do(c)
	got := "granted"
	switch {
	case r.Err != nil:
		got = string(r.Err.Code)
	case r.Waiting != 0:
		got = "waits"
	default:
		s.o.gives(r, s.o.grants[r.Grant])
	}
	s.o.must(want == nil || slices.Contains(want, got), "%+v: %s (%+v, %v), want %v", c, got, r, r.Err, want)
}

// expectNow is expect, with what the machine has not looked at yet.
func (o *till) expectNow(s *seller, c *pool.Acquire) []string {
	s.begin(c)
	return o.expect(c)
}

func (s *seller) confirm(c *pool.Confirm) {
	o := s.o
	g, id, code := o.named(pool.Stock, c.Grant, c.Token, c.Pool, c.Item)
	if code == "" && g.firm {
		code = pool.AlreadyResolved
	}
	if code != "" {
		s.decided(c, s.do(c), code)
		return
	}
	kept, codes := o.chosen(g, c.Items, o.stock)
	var left []pool.ItemRef // of all that it has
	for _, p := range g.parts {
		if i := slices.IndexFunc(kept, func(k pool.ItemRef) bool { return k.Pool == p.Pool && k.ID == p.ID }); i >= 0 {
			p.Units = kept[i].Units
		} else if o.stock(p) {
			continue
		}
		left = append(left, p)
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		o.must(r.Grant == id && g.firm && slices.Equal(g.parts, left), "%+v has sold %+v, want %+v", c, g, left)
		o.gives(r, g)
	}
}

func (s *seller) release(c *pool.Release) {
	o := s.o
	g, id, code := o.named(cmp.Or(c.Kind, pool.Lease), c.Grant, c.Token, c.Pool, c.Item)
	if code != "" {
		s.decided(c, s.do(c), code)
		return
	}
	items := c.Items
	if c.Pool != "" {
		items = []pool.ItemRef{{Pool: c.Pool, ID: c.Item}}
	}
	parts, codes := o.chosen(g, items, o.temporary(g))
	s.gaveBack(c, id, parts, codes)
}

// gaveBack does a command that has parts of a grant come back.
func (s *seller) gaveBack(c pool.Command, id uint64, parts []pool.ItemRef, codes []pool.Code) {
	o := s.o
	had := map[pool.ItemRef]int64{}
	n := int64(0)
	for _, p := range parts {
		ref := pool.ItemRef{Pool: p.Pool, ID: p.ID}
		had[ref] = o.item(ref).has[id] - p.Units
		n += p.Units
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		o.must(r.Grant == id && r.Count == int(n), "%+v: %+v, want %+v", c, r, parts)
		for ref, units := range had {
			if it := o.pools[ref.Pool].items[ref.ID]; it != nil {
				o.must(it.has[id] == units, "%+v leaves %d of %v, want %d", c, it.has[id], ref, units)
			}
		}
	}
}

func (s *seller) refund(c *pool.Refund) {
	o := s.o
	id, token, items := c.Grant, c.Token, c.Items
	var codes []pool.Code
	if c.Pool != "" {
		id, items = 0, []pool.ItemRef{{Pool: c.Pool, ID: c.Item}}
		p := o.pools[c.Pool]
		if p == nil || p.items[c.Item] == nil {
			s.decided(c, s.do(c), pool.NotFound)
			return
		}
		for holder := range p.items[c.Item].has {
			if g := o.grants[holder]; p.items[c.Item].quantity == 1 && p.spec.Kind == pool.Stock && g.firm {
				id, token = holder, g.token
			}
		}
		if id == 0 {
			s.decided(c, s.do(c), pool.Conflict)
			return
		}
	}
	g := o.grants[id]
	switch {
	case g == nil && id > o.rev:
		codes = append(codes, pool.NotFound)
	case g == nil:
		codes = append(codes, pool.AlreadyResolved)
	case g.token != token:
		codes = append(codes, pool.StaleToken)
	case !g.firm:
		codes = append(codes, pool.Conflict)
	}
	if len(codes) > 0 {
		s.decided(c, s.do(c), codes...)
		return
	}
	parts, codes := o.chosen(g, items, o.stock)
	s.gaveBack(c, id, parts, codes)
}

func (s *seller) renew(c *pool.Renew) {
	o := s.o
	g, id, code := o.named(cmp.Or(c.Kind, pool.Lease), c.Grant, c.Token, c.Pool, c.Item)
	var codes []pool.Code
	switch {
	case code != "":
		codes = append(codes, code)
	case c.TTLMs != nil && (*c.TTLMs <= 0 || *c.TTLMs > 6000):
		codes = append(codes, pool.BadPayload)
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		ttl := g.ttl
		if c.TTLMs != nil {
			ttl = *c.TTLMs
		}
		o.must(r.Grant == id && r.ExpiresAt == min(o.now+ttl, g.endsAt) && g.expires == r.ExpiresAt, "%+v: %+v of %+v", c, r, g)
	}
}

func (s *seller) fill(c *pool.Fill) {
	o := s.o
	p := o.pools[c.Pool]
	var codes []pool.Code
	if p == nil {
		codes = append(codes, pool.NotFound)
	} else if len(c.Items) == 0 {
		codes = append(codes, pool.BadPayload)
	}
	if p != nil {
		for _, x := range c.Items {
			it := p.items[x.ID]
			quantity := max(1, x.Quantity)
			if it != nil && quantity != it.quantity {
				if used := it.taken() + it.withheld; used > quantity || min(quantity, it.quantity) == 1 && used > 0 {
					codes = append(codes, pool.Conflict)
				}
			}
			for id, y := range p.items {
				named := slices.ContainsFunc(c.Items, func(z pool.ItemSpec) bool { return z.ID == id })
				if x.Row != 0 && y.row == x.Row && y.col == x.Col && !named && !c.Configured {
					codes = append(codes, pool.Conflict)
				}
			}
		}
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		for _, x := range c.Items {
			it := p.items[x.ID]
			ok := it != nil && !it.draining && it.quantity == max(1, x.Quantity) && it.row == x.Row && it.col == x.Col
			o.must(ok && maps.Equal(it.labels, x.Labels), "%+v is %+v", x, it)
		}
	}
}

func (s *seller) drain(c *pool.Drain) {
	o := s.o
	p := o.pools[c.Pool]
	var codes []pool.Code
	var goes, leaves int
	if p == nil || !c.All && p.items[c.IDs[0]] == nil {
		codes = append(codes, pool.NotFound)
	} else {
		for id, it := range p.items {
			switch {
			case !c.All && id != c.IDs[0] || it.draining:
			case it.taken() > 0:
				leaves++
			default:
				goes++
			}
		}
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		o.must(r.Count == goes && r.Other == leaves, "%+v: %+v, want %d and %d", c, r, goes, leaves)
	}
}

func (s *seller) set(c *pool.SetItem) {
	o := s.o
	p := o.pools[c.Pool]
	var codes []pool.Code
	if p == nil || p.items[c.ID] == nil {
		codes = append(codes, pool.NotFound)
	} else {
		it := p.items[c.ID]
		if c.State == "free" || c.State != "" && it.quantity > 1 || c.Withheld != nil && it.quantity == 1 {
			codes = append(codes, pool.BadPayload)
		}
		if c.Withheld != nil && it.quantity > 1 && (*c.Withheld < 0 || *c.Withheld > it.quantity-it.taken()) {
			codes = append(codes, pool.Conflict)
		}
	}
	if r := s.do(c); s.decided(c, r, codes...) && c.Withheld != nil && p.items[c.ID] != nil {
		o.must(p.items[c.ID].withheld == *c.Withheld, "%+v: %+v", c, p.items[c.ID])
	}
}

// tick has time pass up to at, with everything done that is due.
func (s *seller) tick(at int64) {
	o := s.o
	o.now = max(o.now, at)
	budget := rapid.IntRange(1, 4).Draw(s.rt, "budget")
	for more := true; more; {
		s.begin(&tick{})
		more = s.m.Tick(at, budget)
		s.follow()
	}
	o.pending = false
	o.onTime()
	o.conserved()
}

func (s *seller) slice(n int) {
	if !s.frozen {
		return
	}
	records, mark, done := s.m.Slice(n)
	s.batch = append(s.batch, records...)
	if !done {
		return
	}
	for _, r := range s.batch {
		if r.Value == nil {
			delete(s.store, string(r.Key))
		} else {
			s.store[string(r.Key)] = string(r.Value)
		}
	}
	s.frozen, s.mark = false, mark
}

// replayed returns a machine made of the checkpoint, if from is its mark, and the chunks after it.
func (s *seller) replayed(from pool.Mark) *pool.Machine {
	o := s.o
	m := pool.New(o.cfg)
	if from.Rev > 0 {
		for _, key := range sortedKeys(s.store) {
			err := m.Load([]byte(key), []byte(s.store[key]))
			o.must(err == nil, "%v", err)
		}
		err := m.Loaded(from)
		o.must(err == nil, "%v", err)
	}
	for _, c := range s.chunks {
		if c.seq > from.Rev {
			err := m.Replay(c.seq, c.data)
			o.must(err == nil, "%v", err)
		}
	}
	o.must(m.Hash() == s.m.Hash() && m.Rev() == s.m.Rev(), "replayed from %d: hash %x at %d, want %x at %d",
		from.Rev, m.Hash(), m.Rev(), s.m.Hash(), s.m.Rev())
	err := m.Check()
	o.must(err == nil, "replayed from %d: %v", from.Rev, err)
	return m
}

func (s *seller) sameAfterReplay() {
	s.o.agrees(s.replayed(pool.Mark{}))
	s.o.agrees(s.replayed(s.mark))
}
