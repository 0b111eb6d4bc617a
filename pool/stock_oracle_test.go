package pool_test

import (
	"cmp"
	"slices"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool"
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
		case w.Best == pool.Split && int64(len(p.seats(w, false))) < n:
			codes[pool.NoMatch] = true
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
