package pool_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/kassa-go/kassa/pool"
)

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
		o.must(ev.Kind == pool.Stock && ev.State == c.State && (ev.Withheld == nil) == (c.Withheld == nil), "%+v tells of %+v", ev, c)
		switch {
		case c.Withheld != nil:
			o.must(*ev.Withheld == *c.Withheld, "%d are withheld, it tells %d", *c.Withheld, *ev.Withheld)
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
					ends := g.expires
					if state == "sold" {
						ends = 0
					}
					ok = ok && v.ExpiresAt == ends && v.Client == g.client && v.Owner == g.owner
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
