package pool

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"math"
	"slices"
)

// lease is a grant: items that were given out together, until they come back or its time is over.
type lease struct {
	record rec
	id     uint64 // that of the wait it was granted to, else its token
	token  uint64 // the event that granted it
	leaseTerms
	expiresAt int64 // ms
	told      bool  // the holder, that it is about to end
	items     []*item

	one       [1]*item // room for items
	due       int32    // in the heap of its first item's pool
	inSession *list.Element
}

// leaseTerms are what a grant says of its lease for good.
type leaseTerms struct {
	session      uint64 // 0: none
	client       string
	owner        string // empty: the session
	onDisconnect OnDisconnect
	ttlMs        int64
	endsAt       int64 // however often it is renewed, ms; 0: never
	noticeMs     int64 // the holder is told so long before the end; 0: it is not
}

func (t *leaseTerms) put(e *enc) {
	e.uint(t.session)
	e.string(t.client)
	e.string(t.owner)
	e.byte(t.onDisconnect.code())
	e.int(t.ttlMs)
	e.int(t.endsAt)
	e.int(t.noticeMs)
}

func (t *leaseTerms) get(d *dec) {
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

func (l *lease) rec() *rec { return &l.record }

func (l *lease) key(e *enc) {
	e.byte(recLease)
	e.uint(l.id)
}

func (l *lease) value(e *enc) {
	e.uint(l.token)
	l.put(e)
	e.int(l.expiresAt)
	e.bool(l.told)
	putItems(e, l.items)
}

func putItems(e *enc, items []*item) {
	e.uint(uint64(len(items)))
	for _, it := range items {
		e.string(it.pool.name)
		e.string(it.id)
	}
}

func getItems(d *dec) []ItemRef {
	refs := make([]ItemRef, d.len())
	for i := range refs {
		refs[i].Pool, refs[i].ID = d.string(), d.string()
	}
	return refs
}

func (m *Machine) resolve(refs []ItemRef) ([]*item, error) {
	items := make([]*item, len(refs))
	for i, ref := range refs {
		p := m.byName[ref.Pool]
		if p == nil || p.items[ref.ID] == nil {
			return nil, fmt.Errorf("pool %q has no item %q", ref.Pool, ref.ID)
		}
		items[i] = p.items[ref.ID]
	}
	return items, nil
}

func (m *Machine) loadLease(key, value *dec) (record, error) {
	l := &lease{id: key.uint()}
	l.token = value.uint()
	l.get(value)
	l.expiresAt = value.int()
	l.told = value.bool()
	items, err := m.resolve(getItems(value))
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("lease %d has no items", l.id)
	}
	if m.leases[l.id] != nil {
		return nil, errTwice
	}
	l.items = items
	for _, it := range items {
		if it.lease != nil {
			return nil, fmt.Errorf("item %q of pool %q is in leases %d and %d", it.id, it.pool.name, it.lease.id, l.id)
		}
		it.lease = l
	}
	m.leases[l.id] = l
	return l, nil
}

// linkLeases makes what is made of the leases' records, in the order in which they were granted.
func (m *Machine) linkLeases() {
	all := make([]*lease, 0, len(m.leases))
	for _, l := range m.leases {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *lease) int { return compare(a.token, b.token) })
	for _, l := range all {
		m.link(l)
	}
}

// link enters a lease whose items are set into everything that knows leases.
func (m *Machine) link(l *lease) {
	for i, it := range l.items {
		p := it.pool
		if p.held != nil {
			p.held[l.client]++
		}
		if firstOfPool(l.items, i) {
			p.counts.leases++
		}
	}
	m.schedule(l)
	if s := m.sessions[l.session]; s != nil && l.onDisconnect != Keep {
		l.inSession = s.leases.PushBack(l)
	}
	m.own(l.session, l.owner, 1, 0)
}

// firstOfPool reports whether no item before items[i] is of the same pool.
func firstOfPool(items []*item, i int) bool {
	for _, it := range items[:i] {
		if it.pool == items[i].pool {
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

// own counts leases and waits of an owner.
func (m *Machine) own(session uint64, name string, leases, waits int) {
	key := ownerOf(session, name)
	if m.owners == nil || key == (owner{}) {
		return
	}
	o := m.owners[key]
	o.leases += leases
	o.waits += waits
	if o == (ownership{}) {
		delete(m.owners, key)
	} else {
		m.owners[key] = o
	}
}

// schedule sets when something is due for a lease: the notice of its end, or that.
func (m *Machine) schedule(l *lease) {
	at := l.expiresAt
	if l.noticeMs > 0 && !l.told {
		at -= l.noticeMs
	}
	l.items[0].pool.due.set(l, l.id, at)
}

// granted gives items out.
type granted struct {
	wait uint64 // that it ends; 0: none
	leaseTerms
	expiresAt int64
	refs      []ItemRef // in replay
	items     []*item   // live
}

func (*granted) kind() byte { return evGranted }

func (ev *granted) put(e *enc) {
	e.uint(ev.wait)
	ev.leaseTerms.put(e)
	e.int(ev.expiresAt)
	putItems(e, ev.items)
}

func (ev *granted) get(d *dec) {
	ev.wait = d.uint()
	ev.leaseTerms.get(d)
	ev.expiresAt = d.int()
	ev.refs = getItems(d)
}

func (ev *granted) apply(m *Machine) error {
	l := &lease{id: m.rev, token: m.rev, leaseTerms: ev.leaseTerms, expiresAt: ev.expiresAt}
	if ev.wait != 0 {
		w := m.waits[ev.wait]
		if w == nil {
			return fmt.Errorf("there is no wait %d", ev.wait)
		}
		l.id = w.id
		m.served(w)
	}
	items := ev.items
	if ev.refs != nil {
		var err error
		if items, err = m.resolve(ev.refs); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		return errors.New("a lease without items")
	}
	l.items = append(l.one[:0], items...)
	for _, it := range l.items {
		if !it.free {
			return fmt.Errorf("item %q of pool %q is not free", it.id, it.pool.name)
		}
		p := it.pool
		m.touch(p)
		p.granted++
		p.count(it, -1)
		it.class.remove(it)
		it.lease = l
		p.count(it, +1)
	}
	m.touch(l)
	m.leases[l.id] = l
	m.link(l)
	return nil
}

func (ev *granted) describe(e *Event) {
	e.Type = "lease.granted"
	e.Lease, e.Token, e.Wait = e.Rev, e.Rev, ev.wait
	if ev.wait != 0 {
		e.Lease = ev.wait
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

// held returns the lease that a holder names, unless it is over or the token is not its.
func (m *Machine) held(id, token uint64, r *Reply) *lease {
	l := m.leases[id]
	switch {
	case l == nil && (id == 0 || id > m.rev):
		r.fail(NotFound, "there is no lease %d, and never was", id)
	case l == nil || l.expiresAt <= m.now:
		r.fail(StaleToken, "lease %d is over: it was released, it ran out, or it was taken back; its items may be somebody else's", id)
	case l.token != token:
		r.fail(StaleToken, "%d is not the token of lease %d", token, id)
	default:
		return l
	}
	return nil
}

// Renew has a lease last for another TTL from now.
type Renew struct {
	Lease, Token uint64
	Pool, Item   string // in the place of Lease and Token: the lease that the item is in
	TTLMs        *int64 // nil: as it was granted
	Keyed
}

func (c *Renew) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	l := m.leaseOf(c.Lease, c.Token, c.Pool, c.Item, r)
	if l == nil {
		return
	}
	ttl := l.ttlMs
	if c.TTLMs != nil {
		ttl = *c.TTLMs
		for _, it := range l.items {
			if r.Err = checkTTL(ttl, it.pool); r.Err != nil {
				return
			}
		}
	}
	expiresAt := l.end(m.now + ttl)
	ev := &m.scratch.renewed
	*ev = renewed{lease: l.id, expiresAt: expiresAt}
	m.emit(ev)
	r.Lease, r.Token, r.ExpiresAt = l.id, l.token, expiresAt
	m.remember(&c.Keyed, r)
}

// end returns at, but not later than the lease may last.
func (t *leaseTerms) end(at int64) int64 {
	if t.endsAt != 0 {
		return min(at, t.endsAt)
	}
	return at
}

func checkTTL(ttlMs int64, p *pool) *Error {
	switch {
	case ttlMs <= 0:
		return &Error{BadPayload, fmt.Sprintf("ttlMs is %d: want 1 or more", ttlMs)}
	case ttlMs > p.spec.TTLMaxMs:
		return &Error{BadPayload, fmt.Sprintf("ttlMs is %d, pool %s allows %d at most; a lease can be renewed", ttlMs, p.name, p.spec.TTLMaxMs)}
	}
	return nil
}

// leaseOf returns the lease that is named by its number and token, or by an item.
func (m *Machine) leaseOf(id, token uint64, poolName, itemID string, r *Reply) *lease {
	if poolName == "" {
		return m.held(id, token, r)
	}
	it := m.itemOf(poolName, itemID, r)
	if it == nil {
		return nil
	}
	if it.lease == nil || it.lease.expiresAt <= m.now {
		r.fail(Conflict, "nobody holds item %q of pool %s: it is %s", itemID, poolName, it.state)
		return nil
	}
	return it.lease
}

type renewed struct {
	lease     uint64
	expiresAt int64
}

func (*renewed) kind() byte    { return evRenewed }
func (ev *renewed) put(e *enc) { e.uint(ev.lease); e.int(ev.expiresAt) }
func (ev *renewed) get(d *dec) { ev.lease, ev.expiresAt = d.uint(), d.int() }

func (ev *renewed) apply(m *Machine) error {
	l := m.leases[ev.lease]
	if l == nil {
		return fmt.Errorf("there is no lease %d", ev.lease)
	}
	m.touch(l)
	l.expiresAt, l.told = ev.expiresAt, false
	m.schedule(l)
	return nil
}

func (ev *renewed) describe(e *Event) {
	e.Type, e.Lease, e.ExpiresAt = "lease.renewed", ev.lease, ev.expiresAt
}

// expiring says that the holder was told that a lease is about to end.
type expiring struct{ lease uint64 }

func (*expiring) kind() byte    { return evExpiring }
func (ev *expiring) put(e *enc) { e.uint(ev.lease) }
func (ev *expiring) get(d *dec) { ev.lease = d.uint() }

func (ev *expiring) apply(m *Machine) error {
	l := m.leases[ev.lease]
	if l == nil {
		return fmt.Errorf("there is no lease %d", ev.lease)
	}
	m.touch(l)
	l.told = true
	m.schedule(l)
	return nil
}

func (ev *expiring) describe(e *Event) { e.Type, e.Lease = "lease.expiring", ev.lease }

// Cause says why items came back.
type Cause string

// The causes.
const (
	Returned     Cause = ""             // the holder released them
	RanOut       Cause = "expired"      // the lease's time was over
	Disconnected Cause = "disconnected" // the holder's session ended
	Taken        Cause = "taken"        // somebody released them by naming the item
)

var causes = [...]Cause{Returned, RanOut, Disconnected, Taken}

// Release gives the items of a lease back.
type Release struct {
	Lease, Token uint64
	Pool, Item   string  // in the place of Lease and Token: this item alone, whoever holds it
	Outcome      Outcome // Clean
	Keyed
}

func (c *Release) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	outcome := cmp.Or(c.Outcome, Clean)
	if outcome != Clean && outcome != Dirty && outcome != Broken {
		r.fail(BadPayload, "outcome is %q: want clean, dirty or broken", outcome)
		return
	}
	l := m.leaseOf(c.Lease, c.Token, c.Pool, c.Item, r)
	if l == nil {
		return
	}
	items, cause := l.items, Returned
	if c.Pool != "" {
		items, cause = []*item{m.byName[c.Pool].items[c.Item]}, Taken
		if s := m.sessions[l.session]; s == nil || s.client == c.Client {
			cause = Returned
		}
	}
	r.Lease, r.Token, r.Count = l.id, l.token, len(items)
	m.release(l, items, outcome, cause)
	m.remember(&c.Keyed, r)
}

// release has items of a lease come back, and looks who waits for them.
func (m *Machine) release(l *lease, items []*item, outcome Outcome, cause Cause) {
	if cause != Returned && l.session != 0 {
		m.notices = append(m.notices, Notice{Session: l.session, Lost: cause, Lease: l.id, Token: l.token, ExpiresAt: l.expiresAt})
	}
	ev := &m.scratch.released
	ev.lease, ev.outcome, ev.cause = l.id, outcome, cause
	ev.items = append(ev.items[:0], items...)
	if len(ev.items) > 1 {
		slices.SortFunc(ev.items, byPlace)
	}
	m.emit(ev)
	freed := ev.items
	ev.items = nil // serving releases nothing, but what it grants must not find these
	m.serveItems(freed)
	for _, it := range freed {
		m.goneIfEmpty(it.pool)
	}
	clear(freed)
	ev.items = freed[:0]
}

// byPlace orders items by pool, and as they are in it.
func byPlace(a, b *item) int {
	return cmp.Or(cmp.Compare(a.pool.name, b.pool.name), compare(a.ordinal, b.ordinal))
}

// released has items come back, which are all of a lease's, or some.
type released struct {
	lease   uint64
	outcome Outcome
	cause   Cause
	refs    []ItemRef // in replay
	items   []*item   // live; by pool and ordinal
}

func (*released) kind() byte { return evReleased }

func (ev *released) put(e *enc) {
	e.uint(ev.lease)
	e.string(string(ev.outcome))
	e.byte(byte(slices.Index(causes[:], ev.cause)))
	putItems(e, ev.items)
}

func (ev *released) get(d *dec) {
	ev.lease = d.uint()
	ev.outcome = Outcome(d.string())
	if cause := int(d.byte()); cause < len(causes) {
		ev.cause = causes[cause]
	} else {
		d.bad = true
	}
	ev.refs = getItems(d)
}

func (ev *released) apply(m *Machine) error {
	l := m.leases[ev.lease]
	if l == nil {
		return fmt.Errorf("there is no lease %d", ev.lease)
	}
	items := ev.items
	if ev.refs != nil {
		var err error
		if items, err = m.resolve(ev.refs); err != nil {
			return err
		}
	}
	for i, it := range items {
		if it.lease != l || i > 0 && byPlace(items[i-1], it) >= 0 {
			return fmt.Errorf("item %q of pool %q is not in lease %d, or is there twice", it.id, it.pool.name, l.id)
		}
	}
	m.unlink(l)
	if len(items) == len(l.items) {
		m.drop(l)
		delete(m.leases, l.id)
	} else {
		m.touch(l)
		l.items = slices.DeleteFunc(slices.Clone(l.items), func(it *item) bool { return slices.Contains(items, it) })
		m.link(l)
	}
	for _, it := range items {
		m.comeBack(it, ev.outcome)
	}
	return nil
}

func (ev *released) describe(e *Event) {
	e.Type, e.Lease, e.Items, e.Pool = "lease.released", ev.lease, ev.refs, poolOf(ev.refs)
	e.Outcome, e.Cause = string(ev.outcome), string(ev.cause)
	if ev.cause == RanOut {
		e.Type = "lease.expired"
	}
}

// unlink is the reverse of link.
func (m *Machine) unlink(l *lease) {
	l.items[0].pool.due.remove(l)
	for i, it := range l.items {
		p := it.pool
		if p.held != nil {
			if p.held[l.client]--; p.held[l.client] == 0 {
				delete(p.held, l.client)
			}
		}
		if firstOfPool(l.items, i) {
			p.counts.leases--
		}
	}
	if l.inSession != nil {
		m.sessions[l.session].leases.Remove(l.inSession)
		l.inSession = nil
	}
	m.own(l.session, l.owner, -1, 0)
}

// comeBack has an item come back from its lease.
func (m *Machine) comeBack(it *item, outcome Outcome) {
	p := it.pool
	m.touch(it)
	p.count(it, -1)
	it.lease = nil
	it.version = m.rev
	switch outcome {
	case Dirty:
		it.state = max(it.state, dirty)
	case Broken:
		it.broken += min(1, math.MaxUint16-it.broken)
		if int64(it.broken) >= p.spec.QuarantineAfter {
			it.state = quarantined
		}
	default:
		it.broken = 0
	}
	p.count(it, +1)
	switch {
	case it.draining:
		m.removeItem(it)
	case it.state == ready:
		it.freedRev = m.rev
		it.class.add(it)
	}
}
