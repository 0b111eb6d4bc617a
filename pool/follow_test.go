package pool_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/kassa-go/kassa/pool"
)

// follow checks an event, and takes it over.
func (o *oracle) follow(ev *pool.Event) {
	o.rev++
	o.must(ev.Rev == o.rev, "event %d comes after %d", ev.Rev, o.rev-1)
	o.must(ev.At == o.now, "event %d is at %d, want %d", ev.Rev, ev.At, o.now)
	if o.settles != nil {
		o.must(ev.Type == "key.settled" || ev.Type == "key.forgotten", "wait %d has ended, and its key has not: %+v", o.settles.id, ev)
	}
	_, tick := o.cmd.(*tick)
	switch ev.Type {
	case "pool.set":
		c := o.cmd.(*pool.Configure)
		s := c.Pools[slices.IndexFunc(c.Pools, func(s pool.Spec) bool { return s.Name == ev.Pool })]
		p := o.pools[ev.Pool]
		if p == nil {
			p = &oPool{items: map[string]*oItem{}}
			o.pools[ev.Pool] = p
		}
		p.spec, p.retired = withDefaults(s), false
	case "pool.retired":
		o.pools[ev.Pool].retired = true
	case "pool.gone":
		p := o.pools[ev.Pool]
		o.must(p.retired && len(p.items) == 0, "pool %s is gone with its items", ev.Pool)
		for _, w := range o.waits {
			o.must(!slices.ContainsFunc(w.want, func(x pool.Want) bool { return x.Pool == ev.Pool }), "pool %s is gone, and wait %d waits for it", ev.Pool, w.id)
		}
		delete(o.pools, ev.Pool)
	case "item.set":
		o.itemSet(ev)
	case "item.state":
		it := o.item(ev.Items[0])
		was := it.free()
		it.state, it.version = ev.State, ev.Rev
		if ev.State == "free" {
			it.broken = 0
		}
		if it.free() && !was {
			it.freed = ev.Rev
		}
	case "item.drained":
		it := o.item(ev.Items[0])
		o.must(!it.draining, "item %v is drained twice", ev.Items[0])
		if it.lease == 0 {
			o.remove(ev.Items[0])
		} else {
			it.draining, it.version = true, ev.Rev
		}
	case "lease.granted":
		o.granted(ev)
	case "lease.renewed":
		l := o.leases[ev.Grant]
		o.must(l != nil && l.expires > o.now && ev.ExpiresAt > o.now, "renewed: %+v of %+v", ev, l)
		o.must(l.endsAt == 0 || ev.ExpiresAt <= l.endsAt, "lease %d lasts until %d, over %d", ev.Grant, ev.ExpiresAt, l.endsAt)
		l.expires, l.told = ev.ExpiresAt, false
	case "lease.expiring":
		l := o.leases[ev.Grant]
		o.must(tick && l != nil && !l.told && l.notice > 0 && l.expires-l.notice <= o.now && l.expires > o.now, "%+v of %+v at %d", ev, l, o.now)
		l.told = true
		o.expiring[ev.Grant] = true
	case "lease.released", "lease.expired":
		o.released(ev, tick)
	case "wait.began":
		c := o.cmd.(*pool.Acquire)
		w := o.waitOf(c)
		w.id, w.since, w.until = ev.Rev, o.now, o.now+c.WaitMs
		queued := uint64(0)
		for _, x := range o.waits {
			if x.client == w.client && x.want[0].Pool == w.want[0].Pool {
				queued++
			}
		}
		w.turn = o.pools[w.want[0].Pool].turn + 1 + queued
		o.must(ev.ExpiresAt == w.until && ev.Client == w.client && ev.Session == w.session, "%+v", ev)
		o.waits[w.id] = w
		if c.Key != "" {
			w.key = oKeyName{w.client, c.Key}
			o.keys[w.key] = &oKey{hash: c.Hash, wait: w.id}
		}
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
			ok = o.refusal(w.want) != ""
		case pool.QuotaExceeded:
			ok = o.overQuota(w.client, w.want)
		}
		o.must(ok, "at %d, wait %+v ended: %+v", o.now, w, ev)
		if o.due = w.until; ev.Cause == string(pool.Cancelled) && tick {
			o.due = o.sessions[w.session].until
		}
		o.ended[w.id] = ev.Cause
		o.endWait(w)
	case "wait.moved":
		w := o.waits[ev.Wait]
		o.must(w != nil && o.sessions[ev.Session] != nil && o.sessions[ev.Session].client == w.client, "%+v", ev)
		w.session = ev.Session
	case "session.opened":
		c := o.cmd.(*pool.OpenSession)
		client := c.Client
		if client == "" {
			client = fmt.Sprintf("session/%d", ev.Rev)
		}
		o.must(ev.Client == client, "%+v", ev)
		o.sessions[ev.Rev] = &oSession{client: client, secret: c.Secret, grace: c.GraceMs}
	case "session.gone":
		s := o.sessions[ev.Session]
		o.must(s.until == 0 && ev.ExpiresAt == o.now+s.grace, "%+v", ev)
		s.until = ev.ExpiresAt
	case "session.resumed":
		o.must(o.sessions[ev.Session].until > o.now, "%+v", ev)
		o.sessions[ev.Session].until = 0
	case "session.ended":
		s := o.sessions[ev.Session]
		o.must(tick && s.until != 0 && s.until <= o.now, "at %d: %+v", o.now, ev)
		for _, w := range o.waits {
			o.must(w.session != ev.Session, "session %d ended before its wait %d", ev.Session, w.id)
		}
		for id, l := range o.leases {
			o.must(l.session != ev.Session || l.onEnd == pool.Keep, "session %d ended before its lease %d", ev.Session, id)
		}
		delete(o.sessions, ev.Session)
	case "server.restarted":
		for _, s := range o.sessions {
			s.until = o.now + s.grace
		}
	case "key.settled":
		if w := o.settles; w != nil {
			o.must(ev.Client == w.client, "%+v", ev)
			o.keys[w.key].wait, o.keys[w.key].until = 0, o.now+o.cfg.KeyRetentionMs
			o.settles = nil
		} else {
			k := keyedOf(o.cmd)
			client := k.Client
			if c, ok := o.cmd.(*pool.Acquire); ok && c.Session != 0 {
				client = o.sessions[c.Session].client
			}
			name := oKeyName{client, k.Key}
			o.must(k.Key != "" && ev.Client == client && o.keys[name] == nil, "%+v", ev)
			o.keys[name] = &oKey{hash: k.Hash, until: o.now + o.cfg.KeyRetentionMs}
		}
	case "key.forgotten":
		if w := o.settles; w != nil {
			o.must(o.ended[w.id] == string(pool.Cancelled), "%+v", ev)
			delete(o.keys, w.key)
			o.settles = nil
		} else {
			o.must(tick, "%+v", ev)
			o.forgotten++
		}
	default:
		o.rt.Fatalf("event %+v", ev)
	}
}

func (o *oracle) waitOf(c *pool.Acquire) *oWait {
	w := &oWait{session: c.Session, client: c.Client, owner: c.Owner, want: c.Want, strategy: c.Strategy, priority: c.Priority, onEnd: c.OnDisconnect}
	if s := o.sessions[c.Session]; s != nil {
		w.client = s.client
	}
	if w.onEnd == "" {
		w.onEnd = o.pools[c.Want[0].Pool].spec.OnDisconnect
	}
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

func (o *oracle) endWait(w *oWait) {
	delete(o.waits, w.id)
	if w.key.key != "" {
		o.settles = w
	}
}

func (o *oracle) itemSet(ev *pool.Event) {
	p := o.pools[ev.Pool]
	id := ev.Items[0].ID
	labels := map[string]string{}
	if ev.Labels != "" {
		o.must(json.Unmarshal([]byte(ev.Labels), &labels) == nil, "%+v", ev)
	}
	it := p.items[id]
	if it == nil {
		it = &oItem{state: "free", freed: ev.Rev, labels: labels}
		p.items[id] = it
		p.order = append(p.order, id)
	} else if !maps.Equal(it.labels, labels) {
		p.order = append(slices.DeleteFunc(p.order, func(x string) bool { return x == id }), id)
		it.freed = ev.Rev
	}
	it.labels, it.attrs, it.draining, it.version = labels, ev.Attrs, false, ev.Rev
	if c, ok := o.cmd.(*pool.Fill); ok {
		it.conf = it.conf || c.Configured
	}
}

func (o *oracle) remove(ref pool.ItemRef) {
	p := o.pools[ref.Pool]
	delete(p.items, ref.ID)
	p.order = slices.DeleteFunc(p.order, func(x string) bool { return x == ref.ID })
}

func (o *oracle) granted(ev *pool.Event) {
	var w *oWait
	if ev.Wait != 0 {
		w = o.waits[ev.Wait]
		o.must(w != nil && !o.away(w.session) && w.until >= min(o.now, o.due), "%+v of %+v", ev, w)
		if !aside(w.want) {
			first := o.first(lineOf(w.want))
			o.must(first == w, "wait %+v is served before %+v", w, first)
		}
		if !o.pending {
			o.noneSooner(w)
		}
	} else {
		w = o.waitOf(o.cmd.(*pool.Acquire))
	}
	o.must(ev.Token == ev.Rev && ev.Token > o.token, "token %d after %d", ev.Token, o.token)
	o.token = ev.Token
	o.must(!o.overQuota(w.client, w.want), "over the quota: %+v", ev)
	o.must(o.refusal(w.want) == "", "%+v is granted what it can not have", w)
	items := ev.Items
	for i, x := range w.want {
		p := o.pools[x.Pool]
		n := count(x)
		o.must(len(items) >= n, "too few items: %+v", ev)
		free := p.wanted(x, (*oItem).free)
		var given []string
		for _, ref := range items[:n] {
			o.must(ref.Pool == x.Pool && slices.Contains(free, ref.ID) && !slices.Contains(given, ref.ID), "%v is given out for %+v, of %v", ref, x, free)
			given = append(given, ref.ID)
		}
		items = items[n:]
		if len(x.IDs) > 0 || slices.ContainsFunc(w.want, func(y pool.Want) bool { return y.Pool == x.Pool && lineOf([]pool.Want{y}) != lineOf(w.want[i:i+1]) }) {
			continue
		}
		switch cmp.Or(w.strategy, p.spec.Strategy) {
		case pool.LRU:
			slices.SortStableFunc(free, func(a, b string) int { return cmp.Compare(p.items[a].freed, p.items[b].freed) })
			fallthrough
		case pool.First:
			if len(w.want) == 1 {
				o.must(slices.Equal(given, free[:n]), "%v are given out, want %v", given, free[:n])
			}
		}
	}
	o.must(len(items) == 0, "too many items: %+v", ev)
	l := &oLease{session: w.session, client: w.client, owner: w.owner, token: ev.Token, items: slices.Clone(ev.Items), ttl: w.ttl, onEnd: w.onEnd}
	for _, x := range w.want {
		s := o.pools[x.Pool].spec
		if s.LifetimeMaxMs > 0 && (l.endsAt == 0 || l.endsAt > o.now+s.LifetimeMaxMs) {
			l.endsAt = o.now + s.LifetimeMaxMs
		}
		l.notice = max(l.notice, s.ExpiringMs)
	}
	l.notice = min(l.notice, w.ttl/2)
	if s := o.sessions[w.session]; s == nil || s.secret == "" {
		l.notice = 0
	}
	l.expires = l.cap(o.now + w.ttl)
	o.must(ev.ExpiresAt == l.expires && ev.Client == w.client && ev.Session == w.session && ev.Owner == w.owner, "%+v of %+v", ev, l)
	for _, ref := range ev.Items {
		it := o.item(ref)
		o.must(it.free(), "%v is given out twice", ref)
		it.lease = ev.Grant
		l.attrs = append(l.attrs, it.attrs)
		o.pools[ref.Pool].granted++
	}
	if ev.Wait != 0 {
		o.must(ev.Grant == ev.Wait, "%+v", ev)
		p := o.pools[w.want[0].Pool]
		p.turn = max(p.turn, w.turn)
		o.ended[w.id] = "granted"
		o.endWait(w)
	}
	o.must(o.leases[ev.Grant] == nil, "lease %d is there", ev.Grant)
	o.leases[ev.Grant] = l
}

func (l *oLease) cap(at int64) int64 {
	if l.endsAt != 0 {
		return min(at, l.endsAt)
	}
	return at
}

// noneSooner checks that no wait with a higher priority than w, which is being served, could be served in its place.
func (o *oracle) noneSooner(w *oWait) {
	for _, x := range o.waits {
		if x.priority <= w.priority || o.away(x.session) || !aside(x.want) && o.first(lineOf(x.want)) != x || o.refusal(x.want) != "" {
			continue
		}
		ok, sure := o.could(x.want)
		o.must(!ok || !sure, "wait %+v is served before %+v", w, x)
	}
}

func (o *oracle) released(ev *pool.Event, tick bool) {
	l := o.leases[ev.Grant]
	o.must(l != nil && len(ev.Items) > 0, "%+v", ev)
	switch pool.Cause(ev.Cause) {
	case pool.RanOut:
		o.due = l.expires
		o.must(tick && l.expires <= o.now && ev.Type == "lease.expired", "at %d, lease %+v ran out: %+v", o.now, l, ev)
		for _, ref := range ev.Items {
			o.must(o.pools[ref.Pool].spec.OnExpiry == pool.Outcome(ev.Outcome), "%+v", ev)
		}
	case pool.Disconnected:
		want := pool.Clean
		if l.onEnd == pool.ReleaseDirtyOnEnd {
			want = pool.Dirty
		}
		s := o.sessions[l.session]
		o.due = s.until
		o.must(tick && l.onEnd != pool.Keep && s.until != 0 && s.until <= o.now && pool.Outcome(ev.Outcome) == want, "%+v of %+v", ev, l)
	default:
		c, ok := o.cmd.(*pool.Release)
		o.must(ok && l.expires > o.now && pool.Outcome(ev.Outcome) == cmp.Or(c.Outcome, pool.Clean), "%+v of %+v", ev, l)
		if c.Pool == "" {
			o.must(c.Grant == ev.Grant && c.Token == l.token && len(ev.Items) == len(l.items), "%+v by %+v", ev, c)
		} else {
			o.must(slices.Equal(ev.Items, []pool.ItemRef{{Pool: c.Pool, ID: c.Item, Units: 1}}), "%+v by %+v", ev, c)
		}
	}
	if ev.Cause != string(pool.Returned) && l.session != 0 {
		o.lost++
	}
	for _, ref := range ev.Items {
		i := slices.Index(l.items, ref)
		o.must(i >= 0, "%v is not in lease %+v", ref, l)
		l.items = slices.Delete(l.items, i, i+1)
		it := o.item(ref)
		it.lease, it.version = 0, ev.Rev
		switch pool.Outcome(ev.Outcome) {
		case pool.Clean:
			it.broken = 0
		case pool.Dirty:
			if it.state == "free" {
				it.state = "dirty"
			}
		case pool.Broken:
			if it.broken++; int64(it.broken) >= o.pools[ref.Pool].spec.QuarantineAfter {
				it.state = "quarantined"
			}
		}
		if it.draining {
			o.remove(ref)
		} else if it.free() {
			it.freed = ev.Rev
		}
	}
	if len(l.items) == 0 {
		delete(o.leases, ev.Grant)
	}
}

// conserved checks that nobody waits in vain.
func (o *oracle) conserved() {
	for _, w := range o.waits {
		if o.away(w.session) {
			continue
		}
		if !aside(w.want) && o.first(lineOf(w.want)) != w {
			continue
		}
		code := o.refusal(w.want)
		o.must(code == "", "wait %+v waits for what can not be: %s", w, code)
		ok, sure := o.could(w.want)
		o.must(!ok || !sure, "wait %+v could be met", w)
	}
}

// ontime checks that nothing is overdue.
func (o *oracle) onTime() {
	for name, k := range o.keys {
		if k.until != 0 && k.until <= o.now {
			delete(o.keys, name)
			o.forgotten--
		}
	}
	o.must(o.forgotten == 0, "%d keys were forgotten too many", o.forgotten)
	for id, l := range o.leases {
		o.must(l.expires > o.now && (l.told || l.notice == 0 || l.expires-l.notice > o.now), "at %d, lease %d %+v", o.now, id, l)
	}
	for _, w := range o.waits {
		o.must(w.until > o.now, "at %d, wait %+v", o.now, w)
	}
	for id, s := range o.sessions {
		o.must(s.until == 0 || s.until > o.now, "at %d, session %d %+v", o.now, id, s)
	}
	for name, p := range o.pools {
		o.must(!p.retired || len(p.items) > 0 || o.waitingFor(name) > 0, "pool %s should be gone", name)
	}
}

func (o *oracle) waitingFor(name string) (n int) {
	for _, w := range o.waits {
		if slices.ContainsFunc(w.want, func(x pool.Want) bool { return x.Pool == name }) {
			n++
		}
	}
	return n
}

// agrees compares what the machine shows with what the oracle knows.
func (o *oracle) agrees(m *pool.Machine) {
	all, _ := m.ListPools(100, "")
	o.must(len(all) == len(o.pools), "there are %d pools, want %d", len(all), len(o.pools))
	for _, s := range all {
		p := o.pools[s.Pool]
		want := pool.Stats{Pool: s.Pool, Kind: pool.Lease, Retired: p.retired, Items: len(p.items), Waiting: o.waitingFor(s.Pool), Granted: p.granted}
		leases := map[uint64]bool{}
		views, _, err := m.ListItems(nil, s.Pool, 100, "")
		o.must(err == nil && len(views) == len(p.order), "pool %s has %d items, want %v", s.Pool, len(views), p.order)
		for i, id := range p.order {
			it, v := p.items[id], views[i]
			if it.lease != 0 {
				leases[it.lease] = true
			}
			state := it.state
			switch {
			case it.lease != 0:
				state = "leased"
				want.Held++
				if it.draining {
					want.Draining++
				}
			case state == "free":
				want.Free++
			case state == "dirty":
				want.Dirty++
			default:
				want.Quarantined++
			}
			x := pool.ItemView{ID: id, State: state, Draining: it.draining, Labels: v.Labels, Attrs: it.attrs, Grant: it.lease, Broken: it.broken, Version: it.version, Quantity: 1}
			if l := o.leases[it.lease]; l != nil {
				x.ExpiresAt, x.Client, x.Owner = l.expires, l.client, l.owner
			}
			o.must(v == x, "item %s of pool %s is %+v, want %+v", id, s.Pool, v, x)
		}
		want.Grants = len(leases)
		o.must(s == want, "pool %s is %+v, want %+v", s.Pool, s, want)
	}
	for id, w := range o.waits {
		x, err := m.Explain(id)
		o.must(err == nil && x.Until == w.until && x.Since == w.since && x.Client == w.client, "wait %+v is %+v (%v)", w, x, err)
		if o.away(w.session) {
			o.must(x.Position == 0, "wait %+v is %+v", w, x)
		} else if !aside(w.want) && !o.pending {
			position := 1
			for _, y := range o.waits {
				if !aside(y.want) && !o.away(y.session) && lineOf(y.want) == lineOf(w.want) && y.before(w) {
					position++
				}
			}
			o.must(x.Position == position, "wait %+v is %+v, want position %d", w, x, position)
		}
	}
}

// tick stands for Tick where events are followed.
type tick struct{ pool.Command }

func keyedOf(c pool.Command) pool.Keyed {
	switch c := c.(type) {
	case *pool.Acquire:
		return c.Keyed
	case *pool.Release:
		return c.Keyed
	case *pool.Renew:
		return c.Keyed
	case *pool.Fill:
		return c.Keyed
	case *pool.Drain:
		return c.Keyed
	case *pool.SetItem:
		return c.Keyed
	}
	return pool.Keyed{}
}

func withDefaults(s pool.Spec) pool.Spec {
	s.Strategy = cmp.Or(s.Strategy, pool.First)
	s.OnExpiry = cmp.Or(s.OnExpiry, pool.Clean)
	s.OnDisconnect = cmp.Or(s.OnDisconnect, pool.Keep)
	s.TTLMs = cmp.Or(s.TTLMs, 60_000)
	s.TTLMaxMs = cmp.Or(s.TTLMaxMs, 86_400_000)
	s.ExpiringMs = cmp.Or(s.ExpiringMs, 10_000)
	s.WaitMaxMs = cmp.Or(s.WaitMaxMs, 300_000)
	s.WaitersMax = cmp.Or(s.WaitersMax, 100_000)
	s.QuarantineAfter = cmp.Or(s.QuarantineAfter, 3)
	return s
}
