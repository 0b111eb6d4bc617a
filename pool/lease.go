package pool

import (
	"cmp"
	"fmt"
	"slices"
)

// held returns the grant that a holder names, if it still has something that ends with time, and the token is its.
func (m *Machine) held(kind Kind, id, token uint64, r *Reply) *grant {
	name := kind.grantName()
	g := m.grants[id]
	switch {
	case g == nil && (id == 0 || id > m.rev):
		r.fail(NotFound, "there is no %s %d, and never was", name, id)
	case g != nil && g.token != token:
		r.fail(StaleToken, "%d is not the token of %s %d", token, name, id)
	case g != nil && g.expiresAt == 0:
		r.fail(AlreadyResolved, "%s %d was confirmed, or booked at once: nothing of it is held for a time any more", name, id)
	case g != nil && g.expiresAt > m.now:
		return g
	case kind == Lease:
		r.fail(StaleToken, "lease %d is over: it was released, it ran out, or it was taken back; its items may be somebody else's", id)
	default:
		r.fail(Expired, "hold %d is over: its time ran out, or it was voided; hold again what is still there", id)
	}
	return nil
}

// Renew has what is held last for another TTL from now. A hold does not end earlier for that, as a lease may.
type Renew struct {
	Kind         Kind // what the client calls it: Lease (default) or Stock
	Grant, Token uint64
	Pool, Item   string // in the place of Grant and Token: the grant that the item is in
	TTLMs        *int64 // nil: as it was granted
	Keyed
}

func (c *Renew) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	g := m.grantOf(cmp.Or(c.Kind, Lease), c.Grant, c.Token, c.Pool, c.Item, r)
	if g == nil {
		return
	}
	ttl := g.ttlMs
	if c.TTLMs != nil {
		ttl = *c.TTLMs
		for i := range g.parts {
			if p := &g.parts[i]; g.temporary(p) {
				if r.Err = checkTTL(ttl, p.item.pool); r.Err != nil {
					return
				}
			}
		}
	}
	expiresAt := g.end(m.now + ttl)
	if c.Kind == Stock {
		expiresAt = max(expiresAt, g.expiresAt)
	}
	ev := &m.scratch.renewed
	*ev = renewed{grant: g.id, expiresAt: expiresAt, as: g.kind}
	m.emit(ev)
	r.Grant, r.Token, r.ExpiresAt = g.id, g.token, expiresAt
	m.remember(&c.Keyed, r)
}

// end returns at, but not later than the grant may last.
func (t *terms) end(at int64) int64 {
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
		return &Error{BadPayload, fmt.Sprintf("ttlMs is %d, pool %s allows %d at most; a %s can be %s", ttlMs, p.name, p.spec.TTLMaxMs, p.spec.Kind.grantName(), p.spec.Kind.prolonged())}
	}
	return nil
}

// grantOf returns the grant that is named by its number and token, or by an item.
func (m *Machine) grantOf(kind Kind, id, token uint64, poolName, itemID string, r *Reply) *grant {
	if poolName == "" {
		return m.held(kind, id, token, r)
	}
	it := m.itemOf(poolName, itemID, r)
	switch {
	case it == nil:
		return nil
	case it.sold():
		r.fail(AlreadyResolved, "item %q of pool %s is sold: nobody holds it for a time any more", itemID, poolName)
		return nil
	case it.counter != nil:
		r.fail(Conflict, "item %q of pool %s has a quantity, of which many may hold some: name the hold", itemID, poolName)
		return nil
	case it.grant == nil || it.grant.expiresAt <= m.now:
		r.fail(Conflict, "nobody holds item %q of pool %s: it is %s", itemID, poolName, it.status())
		return nil
	}
	return it.grant
}

type renewed struct {
	grant     uint64
	expiresAt int64
	as        Kind
}

func (*renewed) kind() byte { return evRenewed }

func (ev *renewed) put(e *enc) {
	e.uint(ev.grant)
	e.int(ev.expiresAt)
	ev.as.put(e)
}

func (ev *renewed) get(d *dec) {
	ev.grant, ev.expiresAt, ev.as = d.uint(), d.int(), kindOf(d.byte())
}

func (ev *renewed) apply(m *Machine) error {
	g := m.grants[ev.grant]
	if g == nil || g.expiresAt == 0 {
		return fmt.Errorf("there is no grant %d that ends", ev.grant)
	}
	m.touch(g)
	g.expiresAt, g.told = ev.expiresAt, false
	m.schedule(g)
	return nil
}

func (ev *renewed) describe(e *Event) {
	e.Type, e.Kind, e.Grant, e.ExpiresAt = "lease.renewed", ev.as, ev.grant, ev.expiresAt
	if ev.as != Lease {
		e.Type = "hold.extended"
	}
}

// expiring says that the holder was told that its grant is about to end.
type expiring struct {
	grant uint64
	as    Kind
}

func (*expiring) kind() byte    { return evExpiring }
func (ev *expiring) put(e *enc) { e.uint(ev.grant); ev.as.put(e) }
func (ev *expiring) get(d *dec) { ev.grant, ev.as = d.uint(), kindOf(d.byte()) }

func (ev *expiring) apply(m *Machine) error {
	g := m.grants[ev.grant]
	if g == nil {
		return fmt.Errorf("there is no grant %d", ev.grant)
	}
	m.touch(g)
	g.told = true
	m.schedule(g)
	return nil
}

func (ev *expiring) describe(e *Event) {
	e.Type, e.Kind, e.Grant = ev.as.grantName()+".expiring", ev.as, ev.grant
}

// Cause says why items came back.
type Cause string

// The causes.
const (
	Returned     Cause = ""             // the holder gave them back
	RanOut       Cause = "expired"      // the grant's time was over
	Disconnected Cause = "disconnected" // the holder's session ended
	Taken        Cause = "taken"        // somebody released them by naming the item
	Past         Cause = "past"         // the time that they were booked for is over
)

var causes = [...]Cause{Returned, RanOut, Disconnected, Taken, Past}

// Release gives back what is held for a time: leases, seats and rooms that were not confirmed.
type Release struct {
	Kind         Kind // what the client calls it: Lease (default) or Stock
	Grant, Token uint64
	Pool, Item   string    // in the place of Grant and Token: this item alone, whoever holds it
	Items        []ItemRef // some of it; nil: all. Their pools may be left out
	Outcome      Outcome   // Clean
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
	g := m.grantOf(cmp.Or(c.Kind, Lease), c.Grant, c.Token, c.Pool, c.Item, r)
	if g == nil {
		return
	}
	cause, refs := Returned, c.Items
	if c.Pool != "" {
		cause, refs = Taken, []ItemRef{{Pool: c.Pool, ID: c.Item}}
		if s := m.sessions[g.session]; s == nil || s.client == c.Client {
			cause = Returned
		}
	}
	parts, err := g.choose(m.scratch.chosen[:0], refs, "released", g.temporary)
	if m.scratch.chosen = parts; err != nil {
		r.Err = err
		return
	}
	r.Grant, r.Token, r.Count = g.id, g.token, unitsOf(parts)
	m.release(g, parts, outcome, cause)
	m.remember(&c.Keyed, r)
}

func unitsOf(parts []part) int {
	n := 0
	for _, p := range parts {
		n += int(p.units)
	}
	return n
}

// choose appends the parts of g that refs name of those that which allows; without refs, all of these. Done is what is to
// become of them.
func (g *grant) choose(to []part, refs []ItemRef, done string, which func(*part) bool) ([]part, *Error) {
	if refs == nil {
		for i := range g.parts {
			if which(&g.parts[i]) {
				to = append(to, g.parts[i])
			}
		}
		if len(to) == 0 {
			return to, &Error{Conflict, fmt.Sprintf("%s %d has nothing that can be %s", g.name(), g.id, done)}
		}
		return to, nil
	}
	if len(refs) == 0 {
		return to, &Error{BadPayload, fmt.Sprintf("no items are named that are to be %s: leave items out for all of %s %d", done, g.name(), g.id)}
	}
	for _, ref := range refs {
		i := slices.IndexFunc(g.parts, func(p part) bool {
			return which(&p) && p.item.id == ref.ID && (ref.Pool == "" || ref.Pool == p.item.pool.name) && (p.span == nil || p.span.Start == ref.Span.Start)
		})
		switch {
		case i < 0:
			return to, &Error{NotFound, fmt.Sprintf("%s %d has no %s that can be %s", g.name(), g.id, ref, done)}
		case ref.Units < 0 || ref.Units > g.parts[i].units || ref.Units != 0 && g.parts[i].span != nil && ref.Units != g.parts[i].units:
			return to, &Error{BadPayload, fmt.Sprintf("%s %d has %d of %s, not %d", g.name(), g.id, g.parts[i].units, ref, ref.Units)}
		case slices.ContainsFunc(to, func(p part) bool { return p.item == g.parts[i].item && p.span == g.parts[i].span }):
			return to, &Error{BadPayload, fmt.Sprintf("%s is named twice", ref)}
		}
		p := g.parts[i]
		p.units = cmp.Or(ref.Units, p.units)
		to = append(to, p)
	}
	return to, nil
}

// String names the item for an error.
func (r ItemRef) String() string {
	if r.Span.Start != 0 {
		return fmt.Sprintf("item %.280q at %d", r.ID, r.Span.Start)
	}
	return fmt.Sprintf("item %.280q", r.ID)
}

// release has parts of a grant come back, and looks who waits for them.
func (m *Machine) release(g *grant, parts []part, outcome Outcome, cause Cause) {
	if cause != Returned && cause != Past && g.session != 0 {
		m.notices = append(m.notices, Notice{Kind: g.kind, Session: g.session, Lost: cause, Grant: g.id, Token: g.token, ExpiresAt: g.expiresAt})
	}
	ev := &m.scratch.released
	*ev = released{grant: g.id, outcome: outcome, cause: cause, as: g.kind, firm: g.firm, parts: append(ev.parts[:0], parts...)}
	if g.firm {
		ev.as = parts[0].item.pool.spec.Kind // what of it is released: its name is no longer that of the whole
		ev.firm = ev.as != Lease
	}
	if len(ev.parts) > 1 {
		slices.SortFunc(ev.parts, byPlace)
	}
	m.emit(ev)
	freed := ev.parts
	ev.parts = nil // serving releases nothing, but what it grants must not find these
	m.serveParts(freed)
	for _, p := range freed {
		m.goneIfEmpty(p.item.pool)
	}
	clear(freed)
	ev.parts = freed[:0]
}

// byPlace orders parts by pool, as their items are in it, and by time.
func byPlace(a, b part) int {
	c := cmp.Or(cmp.Compare(a.item.pool.name, b.item.pool.name), compare(a.item.ordinal, b.item.ordinal))
	if c == 0 && a.span != nil {
		c = cmp.Compare(a.span.Start, b.span.Start)
	}
	return c
}

// released has parts of a grant come back, all or some.
type released struct {
	grant   uint64
	outcome Outcome
	cause   Cause
	as      Kind
	firm    bool
	refs    []ItemRef // in replay
	parts   []part    // live; as byPlace says
}

func (*released) kind() byte { return evReleased }

func (ev *released) put(e *enc) {
	e.uint(ev.grant)
	e.string(string(ev.outcome))
	e.byte(byte(slices.Index(causes[:], ev.cause)))
	putParts(e, ev.as, ev.firm, ev.parts)
}

func (ev *released) get(d *dec) {
	ev.grant = d.uint()
	ev.outcome = Outcome(d.string())
	if cause := int(d.byte()); cause < len(causes) {
		ev.cause = causes[cause]
	} else {
		d.bad = true
	}
	ev.as, ev.firm, ev.refs = getParts(d)
}

func (ev *released) apply(m *Machine) error {
	g := m.grants[ev.grant]
	if g == nil {
		return fmt.Errorf("there is no grant %d", ev.grant)
	}
	parts := ev.parts
	if ev.refs != nil {
		parts = make([]part, len(ev.refs))
		for i, ref := range ev.refs {
			it, err := m.itemBy(ref.Pool, ref.ID)
			if err != nil {
				return err
			}
			at := g.find(it, ref.Span.Start)
			if at == nil {
				return fmt.Errorf("item %q of pool %q is not in grant %d", it.id, it.pool.name, g.id)
			}
			parts[i] = part{it, ref.Units, at.span}
		}
	}
	all := len(parts) == len(g.parts)
	for i := range parts {
		p := &parts[i]
		if i > 0 && byPlace(parts[i-1], *p) >= 0 {
			return fmt.Errorf("grant %d: what is released is twice there, or not in order", g.id)
		}
		has := g.has(p)
		if has < p.units || p.units <= 0 || p.span != nil && has != p.units {
			return fmt.Errorf("grant %d has not that much of item %q of pool %q", g.id, p.item.id, p.item.pool.name)
		}
		all = all && has == p.units
	}
	m.unlink(g)
	if all {
		m.drop(g)
		delete(m.grants, g.id)
	} else {
		m.touch(g)
	}
	for i := range parts {
		m.comeBack(g, &parts[i], ev.outcome)
	}
	if all {
		return nil
	}
	left := make([]part, 0, len(g.parts))
	keeps := false
	for _, p := range g.parts {
		if i := slices.IndexFunc(parts, func(x part) bool { return x.item == p.item && x.span == p.span }); i >= 0 {
			if p.units -= parts[i].units; p.units == 0 {
				continue
			}
		}
		left = append(left, p)
		keeps = keeps || g.temporary(&p)
	}
	if g.parts = left; !keeps {
		g.expiresAt = 0
	}
	m.link(g)
	return nil
}

// has returns how many units g has of what p is of.
func (g *grant) has(p *part) int64 {
	switch {
	case p.span != nil && p.span.grant == g:
		return p.span.entry.Units
	case p.item.counter != nil:
		if at := g.find(p.item, 0); at != nil {
			return at.units
		}
	case p.item.grant == g:
		return 1
	}
	return 0
}

// find returns the part of g that is of an item, and begins then; nil: there is none.
func (g *grant) find(it *item, start int64) *part {
	for i := range g.parts {
		if p := &g.parts[i]; p.item == it && (p.span == nil || p.span.Start == start) {
			return p
		}
	}
	return nil
}

func (ev *released) describe(e *Event) {
	e.Kind, e.Grant, e.Items, e.Pool = ev.as, ev.grant, ev.refs, poolOf(ev.refs)
	e.Outcome, e.Cause = string(ev.outcome), string(ev.cause)
	switch {
	case ev.as == Stock && ev.firm:
		e.Type = "sale.refunded"
	case ev.as == Stock && ev.cause == RanOut:
		e.Type = "hold.expired"
	case ev.as == Stock:
		e.Type = "hold.voided"
	case ev.as == Calendar && ev.cause == Past:
		e.Type = "slot.past"
	case ev.as == Calendar && ev.cause == RanOut:
		e.Type = "slot.expired"
	case ev.as == Calendar:
		e.Type = "slot.cancelled"
	case ev.cause == RanOut:
		e.Type = "lease.expired"
	default:
		e.Type = "lease.released"
	}
}

// comeBack has a part of g come back.
func (m *Machine) comeBack(g *grant, at *part, outcome Outcome) {
	it := at.item
	p := it.pool
	m.touch(it)
	p.count(it, -1)
	it.giveBack(g, at)
	it.version = m.rev
	switch {
	case p.spec.Kind == Lease:
		it.cameBack(outcome)
	case p.spec.Kind == Stock && outcome == Withheld:
		it.withhold(at.units)
	}
	p.count(it, +1)
	if it.draining && it.idle() {
		m.removeItem(it)
		return
	}
	p.relist(it, m.rev)
}
