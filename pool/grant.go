package pool

import (
	"container/list"
	"errors"
	"fmt"
	"slices"
)

// grant is what somebody has: a lease of items, a hold of seats and then their sale, a booking of rooms, or some of each.
// What it has stays its own until it is given back, or, of what is only held, until the grant's time is over.
type grant struct {
	record rec
	id     uint64 // that of the wait it was granted to, else its token
	token  uint64 // the event that granted it
	terms
	kind      Kind  // what it was asked for as
	firm      bool  // its seats are sold and its rooms are booked: only its leases still end with time
	expiresAt int64 // ms; 0: nothing of it ends by itself, but bookings that are past
	told      bool  // the holder, that it is about to end
	parts     []part

	one       [1]part // room for parts
	due       int32   // in the heap of its first part's pool
	inSession *list.Element
}

// part is what a grant has of one item: all of it, some of its units, or units for a time. No two parts of a grant are of
// the same item, unless their spans begin at different times.
type part struct {
	item  *item
	units int64
	span  *span // of a calendar; nil: for as long as the grant lasts
}

// terms are what a grant is given on, for good.
type terms struct {
	session      uint64 // 0: none
	client       string
	owner        string // empty: the session
	onDisconnect OnDisconnect
	ttlMs        int64
	endsAt       int64 // however often it is renewed, ms; 0: never
	noticeMs     int64 // the holder is told so long before the end; 0: it is not
}

func (t *terms) put(e *enc) {
	e.uint(t.session)
	e.string(t.client)
	e.string(t.owner)
	e.byte(t.onDisconnect.code())
	e.int(t.ttlMs)
	e.int(t.endsAt)
	e.int(t.noticeMs)
}

func (t *terms) get(d *dec) {
	t.session = d.uint()
	t.client = d.string()
	t.owner = d.string()
	t.onDisconnect = onDisconnectOf(d.byte())
	t.ttlMs = d.int()
	t.endsAt = d.int()
	t.noticeMs = d.int()
}

var onDisconnects = [...]OnDisconnect{Keep, ReleaseOnEnd, ReleaseDirtyOnEnd}

func (o OnDisconnect) code() byte { return byte(max(0, slices.Index(onDisconnects[:], o))) }

func onDisconnectOf(code byte) OnDisconnect {
	if int(code) < len(onDisconnects) {
		return onDisconnects[code]
	}
	return Keep
}

func (g *grant) rec() *rec { return &g.record }

// name is what its holder calls it.
func (g *grant) name() string {
	if g.firm && g.kind == Stock {
		return "sale"
	}
	return g.kind.grantName()
}

func (g *grant) key(e *enc) {
	e.byte(recGrant)
	e.uint(g.id)
}

func (g *grant) value(e *enc) {
	e.uint(g.token)
	g.put(e)
	e.int(g.expiresAt)
	e.bool(g.told)
	putParts(e, g.kind, g.firm, g.parts)
}

// putParts appends parts, as the last of a record or an event. Whole items in a lease are their names alone.
func putParts(e *enc, kind Kind, firm bool, parts []part) {
	e.uint(uint64(len(parts)))
	plain := kind == Lease && !firm
	for _, p := range parts {
		e.string(p.item.pool.name)
		e.string(p.item.id)
		plain = plain && p.units == 1 && p.span == nil
	}
	if plain {
		return
	}
	e.byte(kind.code())
	e.bool(firm)
	for _, p := range parts {
		e.uint(uint64(p.units))
		e.bool(p.span != nil)
		if p.span != nil {
			p.span.put(e)
		}
	}
}

// getParts takes them off.
func getParts(d *dec) (kind Kind, firm bool, refs []ItemRef) {
	refs = make([]ItemRef, d.len())
	for i := range refs {
		refs[i].Pool, refs[i].ID, refs[i].Units = d.string(), d.string(), 1
	}
	kind, firm = kindOf(d.byte()), d.bool()
	if kind == Lease && !firm && len(d.p) == 0 {
		return kind, firm, refs
	}
	for i := range refs {
		ref := &refs[i]
		ref.Units = int64(d.uint())
		if d.bool() {
			ref.Span.get(d)
		}
		d.bad = d.bad || ref.Units <= 0 || ref.Units > quantityMax
	}
	return kind, firm, refs
}

// ItemRef names an item, or units of it, or units for a time.
type ItemRef struct {
	Pool, ID string
	Units    int64 // 0, in a command: all that there are
	Span     Span  // of a calendar; zero: none
}

// itemBy returns the item that a reference names.
func (m *Machine) itemBy(poolName, id string) (*item, error) {
	if p := m.byName[poolName]; p != nil && p.items[id] != nil {
		return p.items[id], nil
	}
	return nil, fmt.Errorf("pool %q has no item %q", poolName, id)
}

// resolve returns new parts as refs name them, which no grant has yet.
func (m *Machine) resolve(refs []ItemRef) ([]part, error) {
	parts := make([]part, len(refs))
	for i, ref := range refs {
		it, err := m.itemBy(ref.Pool, ref.ID)
		if err != nil {
			return nil, err
		}
		if (it.pool.spec.Kind == Calendar) != (ref.Span.End > ref.Span.Start) {
			return nil, fmt.Errorf("item %q of pool %q is had from %d to %d", it.id, it.pool.name, ref.Span.Start, ref.Span.End)
		}
		parts[i] = part{item: it, units: ref.Units}
		if it.pool.spec.Kind == Calendar {
			parts[i].span = newSpan(ref.Span)
		}
	}
	return parts, nil
}

// mustTake has g have its parts, or says why it can not. Of a room more may have been booked than it has now: that is past.
func (g *grant) mustTake() error {
	for i := range g.parts {
		p := &g.parts[i]
		if p.span == nil && p.units > p.item.left(nil) {
			return fmt.Errorf("grant %d can not have %d of item %q of pool %q", g.id, p.units, p.item.id, p.item.pool.name)
		}
		p.item.take(g, p)
	}
	return nil
}

func (m *Machine) loadGrant(key, value *dec) (record, error) {
	g := &grant{id: key.uint()}
	g.token = value.uint()
	g.get(value)
	g.expiresAt = value.int()
	g.told = value.bool()
	kind, firm, refs := getParts(value)
	parts, err := m.resolve(refs)
	switch {
	case err != nil:
		return nil, err
	case len(parts) == 0:
		return nil, fmt.Errorf("grant %d has no items", g.id)
	case m.grants[g.id] != nil:
		return nil, errTwice
	}
	g.kind, g.firm, g.parts = kind, firm, parts
	m.grants[g.id] = g
	if slices.ContainsFunc(parts, func(p part) bool { return g.temporary(&p) }) != (g.expiresAt != 0) {
		return nil, fmt.Errorf("grant %d ends at %d", g.id, g.expiresAt)
	}
	return g, g.mustTake()
}

// linkGrants makes what is made of the grants' records, in the order in which they were granted.
func (m *Machine) linkGrants() {
	all := make([]*grant, 0, len(m.grants))
	for _, g := range m.grants {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *grant) int { return compare(a.token, b.token) })
	for _, g := range all {
		m.link(g)
	}
}

// link enters a grant whose parts are set into everything that knows grants, but for its items.
func (m *Machine) link(g *grant) {
	for i, at := range g.parts {
		p := at.item.pool
		if p.held != nil {
			p.held[g.client] += at.units
		}
		if firstOfPool(g.parts, i) {
			p.counts.grants++
		}
	}
	m.schedule(g)
	if g.expiresAt == 0 { // whoever has it for good holds nothing that others could wait for
		return
	}
	if s := m.sessions[g.session]; s != nil && g.onDisconnect != Keep {
		g.inSession = s.grants.PushBack(g)
	}
	m.own(g.session, g.owner, 1, 0)
}

// unlink is the reverse of link.
func (m *Machine) unlink(g *grant) {
	g.parts[0].item.pool.due.remove(g)
	for i, at := range g.parts {
		p := at.item.pool
		if p.held != nil {
			if p.held[g.client] -= at.units; p.held[g.client] == 0 {
				delete(p.held, g.client)
			}
		}
		if firstOfPool(g.parts, i) {
			p.counts.grants--
		}
	}
	if g.inSession != nil {
		m.sessions[g.session].grants.Remove(g.inSession)
		g.inSession = nil
	}
	if g.expiresAt != 0 {
		m.own(g.session, g.owner, -1, 0)
	}
}

// firstOfPool reports whether no part before parts[i] is of the same pool.
func firstOfPool(parts []part, i int) bool {
	for _, p := range parts[:i] {
		if p.item.pool == parts[i].item.pool {
			return false
		}
	}
	return true
}

func ownerOf(session uint64, name string) owner {
	if name != "" {
		return owner{name: name}
	}
	return owner{session: session}
}

// own counts grants and waits of an owner.
func (m *Machine) own(session uint64, name string, grants, waits int) {
	key := ownerOf(session, name)
	if m.owners == nil || key == (owner{}) {
		return
	}
	o := m.owners[key]
	o.grants += grants
	o.waits += waits
	if o == (ownership{}) {
		delete(m.owners, key)
	} else {
		m.owners[key] = o
	}
}

// temporary reports whether a part of g comes back when g's time is over.
func (g *grant) temporary(p *part) bool { return !g.firm || p.item.pool.spec.Kind == Lease }

// schedule sets when something is due for a grant: the notice of its end, or that, or that its bookings are past.
func (m *Machine) schedule(g *grant) {
	due := &g.parts[0].item.pool.due
	at := g.expiresAt
	switch {
	case at == 0:
		if at = g.pastAt(); at == 0 {
			due.remove(g)
			return
		}
	case g.noticeMs > 0 && !g.told:
		at -= g.noticeMs
	}
	due.set(g, g.id, at)
}

// granted gives items out.
type granted struct {
	wait uint64 // that it ends; 0: none
	terms
	expiresAt int64
	as        Kind
	firm      bool
	refs      []ItemRef // in replay
	parts     []part    // live
}

func (*granted) kind() byte { return evGranted }

func (ev *granted) put(e *enc) {
	e.uint(ev.wait)
	ev.terms.put(e)
	e.int(ev.expiresAt)
	putParts(e, ev.as, ev.firm, ev.parts)
}

func (ev *granted) get(d *dec) {
	ev.wait = d.uint()
	ev.terms.get(d)
	ev.expiresAt = d.int()
	ev.as, ev.firm, ev.refs = getParts(d)
}

func (ev *granted) apply(m *Machine) error {
	g := &grant{id: m.rev, token: m.rev, terms: ev.terms, expiresAt: ev.expiresAt, kind: ev.as, firm: ev.firm}
	if ev.wait != 0 {
		w := m.waits[ev.wait]
		if w == nil {
			return fmt.Errorf("there is no wait %d", ev.wait)
		}
		g.id = w.id
		m.served(w)
	}
	parts := ev.parts
	if ev.refs != nil {
		var err error
		if parts, err = m.resolve(ev.refs); err != nil {
			return err
		}
	}
	if len(parts) == 0 {
		return errors.New("a grant without items")
	}
	g.parts = append(g.one[:0], parts...)
	for i := range g.parts {
		at := &g.parts[i]
		p := at.item.pool
		if at.span == nil && !at.item.free || at.units > at.item.left(at.span) {
			return fmt.Errorf("%d of item %q of pool %q are not free", at.units, at.item.id, p.name)
		}
		m.touch(p)
		p.granted += uint64(at.units)
		p.count(at.item, -1)
		at.item.take(g, at)
		p.count(at.item, +1)
		p.relist(at.item, m.rev)
	}
	m.touch(g)
	m.grants[g.id] = g
	m.link(g)
	return nil
}

func (ev *granted) describe(e *Event) {
	switch {
	case ev.as == Stock:
		e.Type = "hold.created"
	case ev.as == Calendar && ev.firm:
		e.Type = "slot.booked"
	case ev.as == Calendar:
		e.Type = "slot.held"
	default:
		e.Type = "lease.granted"
	}
	e.Kind, e.Grant, e.Token, e.Wait = ev.as, e.Rev, e.Rev, ev.wait
	if ev.wait != 0 {
		e.Grant = ev.wait
	}
	e.Session, e.Client, e.Owner, e.ExpiresAt, e.Items = ev.session, ev.client, ev.owner, ev.expiresAt, ev.refs
	e.Pool = poolOf(ev.refs)
}

// poolOf returns the pool that all the items are of, empty when they are of several.
func poolOf(refs []ItemRef) string {
	for _, ref := range refs {
		if ref.Pool != refs[0].Pool {
			return ""
		}
	}
	if len(refs) == 0 {
		return ""
	}
	return refs[0].Pool
}
