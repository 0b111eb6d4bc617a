package pool

import (
	"cmp"
	"errors"
	"fmt"
)

// request is what an Acquire asks for, defaults filled in.
type request struct {
	wants        []Want
	strategy     Strategy // empty: each pool's
	priority     int64
	session      uint64
	client       string
	owner        string
	onDisconnect OnDisconnect
	ttlMs        int64
	kind         Kind // what the grant is asked for as
}

// Want is a part of what is asked for: Count units of a pool, of items that match Select or of those with these IDs.
type Want struct {
	Pool   string
	Count  int64 // units: of each item, where there are Spans, else in all. 0, with IDs: one of each
	Select Selector
	IDs    []string
	Best   Best   // of stock with places
	Spans  []Span // of a calendar: when; the same item for all of them
}

// Best asks for the seats nearest to the focus of the pool.
type Best string

// How they may lie.
const (
	Together Best = "together" // side by side, or not at all
	Split    Best = "split"    // side by side, or else in as few groups as can be
)

// resolved is a Want with what its names stand for.
type resolved struct {
	pool    *pool
	count   int      // units in all; of each item, with spans
	text    string   // the selector's
	classes []*class // it matches; with ids: nil
	ids     []*item
	best    Best
	spans   []Span
	rooms   int // that match, of a calendar
}

// putMore appends what a request has that is not for leases, as the last of what it is put to.
func (r *request) putMore(e *enc) {
	plain := r.kind == Lease
	for i := range r.wants {
		plain = plain && r.wants[i].Best == "" && r.wants[i].Spans == nil
	}
	if plain {
		return
	}
	e.byte(r.kind.code())
	for i := range r.wants {
		e.string(string(r.wants[i].Best))
		e.uint(uint64(len(r.wants[i].Spans)))
		for _, s := range r.wants[i].Spans {
			s.put(e)
		}
	}
}

func (r *request) getMore(d *dec) {
	r.kind = kindOf(d.byte())
	for i := range r.wants {
		w := &r.wants[i]
		w.Best = Best(d.string())
		if n := d.len(); n > 0 {
			w.Spans = make([]Span, n)
		}
		for j := range w.Spans {
			w.Spans[j].get(d)
		}
	}
}

func (r *request) put(e *enc) {
	e.uint(uint64(len(r.wants)))
	for _, w := range r.wants {
		e.string(w.Pool)
		e.int(w.Count)
		e.uint(uint64(len(w.Select)))
		for _, t := range w.Select {
			e.string(t.Name)
			putStrings(e, t.Values)
		}
		putStrings(e, w.IDs)
	}
	e.string(string(r.strategy))
	e.int(r.priority)
	e.uint(r.session)
	e.string(r.client)
	e.string(r.owner)
	e.byte(r.onDisconnect.code())
	e.int(r.ttlMs)
}

func (r *request) get(d *dec) {
	r.wants = make([]Want, d.len())
	d.bad = d.bad || len(r.wants) == 0
	for i := range r.wants {
		w := &r.wants[i]
		w.Pool = d.string()
		w.Count = d.int()
		w.Select = make(Selector, d.len())
		for j := range w.Select {
			w.Select[j].Name = d.string()
			w.Select[j].Values = getStrings(d)
		}
		w.IDs = getStrings(d)
	}
	r.strategy = Strategy(d.string())
	r.priority = d.int()
	r.session = d.uint()
	r.client = d.string()
	r.owner = d.string()
	r.onDisconnect = onDisconnectOf(d.byte())
	r.ttlMs = d.int()
}

func putStrings(e *enc, values []string) {
	e.uint(uint64(len(values)))
	for _, v := range values {
		e.string(v)
	}
}

func getStrings(d *dec) []string {
	n := d.len()
	if n == 0 {
		return nil
	}
	values := make([]string, n)
	for i := range values {
		values[i] = d.string()
	}
	return values
}

// Acquire asks for items, all or nothing.
type Acquire struct {
	Kind         Kind   // what the client calls the grant: Lease (default), Stock or Calendar; what is wanted may be of any kind
	Session      uint64 // that asks; 0: none
	Connected    bool   // with Session 0: one is opened (Reply.Session) if what becomes of it is to end with its connection
	Want         []Want
	Owner        string // whom it is for; empty: the session
	TTLMs        *int64 // nil: the shortest default of the pools
	WaitMs       int64  // how long it may wait; 0: not at all
	Strategy     Strategy
	Priority     int64 // -1000 to 1000; higher ones are served first
	OnDisconnect OnDisconnect
	Keyed
}

func (c *Acquire) decide(m *Machine, r *Reply) {
	if !m.identify(c.Session, &c.Keyed, r) {
		return
	}
	if m.repeated(&c.Keyed, r) {
		if wait := m.waits[r.Waiting]; wait != nil && m.seat(c, r) {
			m.attach(wait, c.Session)
		}
		if r.Repeated && (r.Waiting == 0 || r.Err == nil) {
			m.keys[keyName{c.Client, c.Key}].repeats++
		}
		return
	}
	// Refusals of what can not be meant are not remembered: the same would be said again.
	wants, err := m.resolveWants(c.Want)
	if err == nil {
		err = c.check(wants)
	}
	if err != nil {
		r.Err = err
		return
	}
	req := request{
		strategy: c.Strategy, priority: c.Priority, session: c.Session, client: c.Client, owner: c.Owner,
		onDisconnect: c.OnDisconnect, ttlMs: ttlOf(c.TTLMs, wants), kind: cmp.Or(c.Kind, Lease),
	}
	if req.onDisconnect == "" {
		req.onDisconnect = wants[0].pool.spec.OnDisconnect
	}
	if r.Err = m.admit(&req, wants); r.Err == nil {
		if m.mayPass(wants, req.priority) && m.pick(wants, req.strategy) {
			if req.onDisconnect == Keep && m.owners == nil || m.seat(c, r) {
				req.session = c.Session
				m.give(0, &req, wants, r)
			}
		} else {
			m.park(c, &req, wants, r)
		}
	}
	m.remember(&c.Keyed, r)
}

// identify sets the client of a command to that of its session, if it has one. It reports whether it is there still.
func (m *Machine) identify(session uint64, k *Keyed, r *Reply) bool {
	if s := m.sessions[session]; s != nil {
		k.Client = s.client
	} else if session != 0 {
		r.fail(SessionExpired, "there is no session %d any more; say hello", session)
		return false
	}
	return true
}

// seat has a request of a connection without a session have one. It reports whether it may go on.
func (m *Machine) seat(c *Acquire, r *Reply) bool {
	if c.Session == 0 && c.Connected {
		(&OpenSession{Client: c.Client}).decide(m, r)
		c.Session = r.Session
	}
	return r.Err == nil
}

// check checks all of c but its wants.
func (c *Acquire) check(wants []resolved) *Error {
	for i := range wants {
		p := wants[i].pool
		if c.Kind == Stock && p.spec.Kind != Stock {
			return &Error{BadPayload, fmt.Sprintf("pool %s is of kind %s: a hold is of stock; lease.acquire takes what is wanted of any kind", p.name, p.spec.Kind)}
		}
		if c.OnDisconnect == ReleaseDirtyOnEnd && p.spec.Kind != Lease {
			return &Error{BadPayload, fmt.Sprintf("onDisconnect is dirty, which is for pools of kind lease: pool %s is of kind %s", p.name, p.spec.Kind)}
		}
		if c.TTLMs != nil {
			if err := checkTTL(*c.TTLMs, p); err != nil {
				return err
			}
		}
		if err := wants[i].tooManyTimes(); err != nil {
			return err
		}
		if c.WaitMs < 0 || c.WaitMs > p.spec.WaitMaxMs {
			return &Error{BadPayload, fmt.Sprintf("waitMs is %d: pool %s allows 0 to %d", c.WaitMs, p.name, p.spec.WaitMaxMs)}
		}
	}
	switch {
	case c.Strategy != "" && !c.Strategy.valid():
		return &Error{BadPayload, fmt.Sprintf("strategy is %q: want first, lru or random", c.Strategy)}
	case c.OnDisconnect != "" && !c.OnDisconnect.valid():
		return &Error{BadPayload, fmt.Sprintf("onDisconnect is %q: want keep, release or dirty", c.OnDisconnect)}
	case c.Priority < -priorityMax || c.Priority > priorityMax:
		return &Error{BadPayload, fmt.Sprintf("priority is %d: want -%d to %d", c.Priority, priorityMax, priorityMax)}
	case c.Owner != "":
		return asError(checkName("owner", c.Owner, OwnerBytesMax))
	}
	return nil
}

func asError(err error) *Error {
	if err == nil {
		return nil
	}
	e, _ := errors.AsType[*Error](err)
	return e
}

func ttlOf(asked *int64, wants []resolved) int64 {
	if asked != nil {
		return *asked
	}
	ttl := wants[0].pool.spec.TTLMs
	for i := range wants {
		ttl = min(ttl, wants[i].pool.spec.TTLMs)
	}
	return ttl
}

// resolveWants says what wants stand for, or what is wrong with them. The result is valid until the next call.
func (m *Machine) resolveWants(wants []Want) ([]resolved, *Error) {
	if len(wants) == 0 || len(wants) > WantsMax {
		return nil, &Error{BadPayload, fmt.Sprintf("want has %d entries: 1 to %d are needed", len(wants), WantsMax)}
	}
	out, total := m.scratch.wants[:0], 0
	var failed *Error
	for i := range wants {
		r, err := m.resolveWant(&wants[i])
		out = append(out, r)
		if err != nil {
			failed = err
			break
		}
		total += r.parts()
	}
	m.scratch.wants = out
	for i := range out { // by which an item was found that is named twice
		for _, it := range out[i].ids {
			it.picked = false
		}
	}
	switch {
	case failed != nil:
		return nil, failed
	case total > ItemsPerLease:
		return nil, &Error{NoMatch, fmt.Sprintf("%d items are wanted, one lease has %d at most", total, ItemsPerLease)}
	}
	for i := range out { // each may be there, but not all of them
		p, n := out[i].pool, 0
		for j := range out {
			if out[j].pool == p {
				n += out[j].count
			}
		}
		if n == out[i].count || p.spec.Kind == Calendar {
			continue
		}
		if items, _ := capacity(p.classes); items < n {
			return nil, &Error{NoMatch, fmt.Sprintf("%d items are wanted in all, pool %s has %d: waiting would not help", n, p.name, items)}
		}
	}
	return out, nil
}

func (m *Machine) resolveWant(w *Want) (resolved, *Error) {
	var r resolved
	bad := func(code Code, format string, args ...any) (resolved, *Error) {
		return r, &Error{code, fmt.Sprintf(format, args...)}
	}
	p := m.byName[w.Pool]
	switch {
	case w.Pool == "":
		return bad(BadPayload, "an entry of want names no pool")
	case p == nil || p.retired:
		return bad(NotFound, "there is no pool %.140q; pool.list lists those there are", w.Pool)
	}
	r.pool, r.count, r.best = p, int(min(w.Count, 1<<31)), w.Best
	r.spans = append(r.spans, w.Spans...) // a copy: it gets the pool's set-up and clean-up
	switch kind := p.spec.Kind; {
	case kind == Calendar && len(w.Spans) == 0:
		return bad(BadPayload, "pool %s is a calendar: say from when to when, as slot.book and lease.acquire can", p.name)
	case kind != Calendar && len(w.Spans) > 0:
		return bad(BadPayload, "pool %s is of kind %s: only a calendar is booked from when to when", p.name, kind)
	case w.Best != "" && (kind != Stock || len(w.IDs) > 0):
		return bad(BadPayload, "best seats are for pools of kind stock, without naming seats")
	case w.Best != "" && w.Best != Together && w.Best != Split:
		return bad(BadPayload, "best is %q: want together or split", w.Best)
	case w.Best != "" && w.Count > bestMax:
		return bad(BadPayload, "%d best seats are wanted: %d at most", w.Count, bestMax)
	}
	if err := m.checkSpans(p, r.spans); err != nil {
		return r, err
	}
	if len(w.IDs) > 0 {
		return m.resolveIDs(r, w)
	}
	if w.Count <= 0 {
		return bad(BadPayload, "count is %d: want 1 or more", w.Count)
	}
	if len(w.Select) > 0 {
		if len(w.Select) > LabelsMax {
			return bad(BadPayload, "select names %d labels, an item has %d at most", len(w.Select), LabelsMax)
		}
		if err := w.Select.check(); err != nil {
			return r, asError(err)
		}
		r.text = w.Select.text()
	}
	r.classes = p.match(w.Select, r.text)
	if p.spec.Kind == Calendar {
		return r, r.fitsCapacity()
	}
	units, _ := capacity(r.classes)
	what := "items"
	if r.text != "" {
		what = "items that match"
	}
	switch {
	case units < r.count:
		return bad(NoMatch, "%d %s are wanted, pool %s has %d: waiting would not help", r.count, what, p.name, units)
	case r.best != "" && p.hall.Len() == 0:
		return bad(BadPayload, "the seats of pool %s have no places: there are no best ones; ask for a number of them, or name them", p.name)
	case r.best == Split && seated(r.classes) < r.count:
		return bad(NoMatch, "%d best seats are wanted, pool %s has places for %d of the %s: waiting would not help", r.count, p.name, seated(r.classes), what)
	case r.best == Together && !p.hall.Fits(r.groups(nil), r.count):
		return bad(NoMatch, "pool %s has nowhere %d %s side by side: waiting would not help; with split they may be apart", p.name, r.count, what)
	}
	return r, nil
}

func (m *Machine) resolveIDs(r resolved, w *Want) (resolved, *Error) {
	p := r.pool
	bad := func(code Code, format string, args ...any) (resolved, *Error) {
		return r, &Error{code, fmt.Sprintf(format, args...)}
	}
	switch {
	case len(w.Select) > 0:
		return bad(BadPayload, "select and ids can not both be given")
	case len(w.IDs) > ItemsPerLease:
		return bad(NoMatch, "%d items are wanted, one lease has %d at most", len(w.IDs), ItemsPerLease)
	}
	several := false // units of an item
	r.ids = make([]*item, 0, len(w.IDs))
	for _, id := range w.IDs {
		it := p.items[id]
		switch {
		case it == nil:
			return bad(NotFound, "pool %s has no item %.280q", p.name, id)
		case it.draining:
			return bad(NoMatch, "item %q of pool %s is leaving", id, p.name)
		case it.picked:
			return bad(BadPayload, "item %q of pool %s is named twice", id, p.name)
		}
		it.picked = true
		several = several || it.quantity > 1
		r.ids = append(r.ids, it)
	}
	switch {
	case w.Count == 0 && p.spec.Kind == Calendar:
		r.count = 1
	case w.Count == 0:
		r.count = len(w.IDs)
	case p.spec.Kind == Calendar && w.Count > 0:
	case several && len(w.IDs) == 1 && w.Count > 0:
		if quantity := r.ids[0].quantity; w.Count > int64(quantity) {
			return bad(NoMatch, "%d of item %q are wanted, pool %s has %d: waiting would not help", w.Count, w.IDs[0], p.name, quantity)
		}
	case w.Count != int64(len(w.IDs)):
		return bad(BadPayload, "count is %d, but there are %d ids: leave one of them out", w.Count, len(w.IDs))
	}
	if p.spec.Kind == Calendar {
		return r, r.fitsCapacity()
	}
	return r, nil
}

// parts returns how many parts at most a grant has of what is wanted.
func (r *resolved) parts() int {
	switch {
	case len(r.spans) > 0:
		return len(r.spans) * max(1, len(r.ids))
	case len(r.ids) > 0:
		return len(r.ids)
	}
	return r.count
}

// units returns how many units are wanted of the pool.
func (r *resolved) units() int {
	if len(r.spans) > 0 {
		return r.count * r.parts()
	}
	return r.count
}

// admit refuses what may neither be granted nor wait.
func (m *Machine) admit(req *request, wants []resolved) *Error {
	if m.owners[ownerOf(req.session, req.owner)].waits > 0 {
		return &Error{WouldDeadlock, "the owner waits for something already, and this server lets nobody hold one thing while waiting for another: ask for both in one request"}
	}
	return m.overQuota(req.client, wants)
}

// overQuota says what is wrong when a client would hold more of a pool than it may.
func (m *Machine) overQuota(client string, wants []resolved) *Error {
	for i := range wants {
		p := wants[i].pool
		if p.held == nil {
			continue
		}
		n := 0
		for j := range wants {
			if wants[j].pool == p {
				n += wants[j].units()
			}
		}
		if held := p.held[client]; held+int64(n) > p.spec.QuotaMax {
			return &Error{QuotaExceeded, fmt.Sprintf("the client holds %d items of pool %s and wants %d more, %d at most are allowed: release some", held, p.name, n, p.spec.QuotaMax)}
		}
	}
	return nil
}

// mayPass reports whether a request need not wait behind others that want the same. Whoever else waits could not be
// served with what is free now.
func (m *Machine) mayPass(wants []resolved, priority int64) bool {
	if !inLine(wants) {
		return true
	}
	if l := m.lineOf(&wants[0]); l != nil {
		if w := l.first(); w != nil {
			return priority > w.priority
		}
	}
	return true
}

// inLine reports whether such a request waits in a line.
func inLine(wants []resolved) bool {
	return len(wants) == 1 && len(wants[0].ids) <= 1 && wants[0].spans == nil
}

func (m *Machine) lineOf(r *resolved) *line {
	if r.ids != nil {
		return r.pool.itemLines[r.ids[0]]
	}
	return r.pool.lines[lineKey(r.text, r.best)]
}

// pick puts free items for all wants into scratch.picks, in the order of wants. It reports whether there are enough. Wants
// for certain items are met first, then those with a selector: where selections overlap, one that takes what it finds
// first may leave too few for another.
func (m *Machine) pick(wants []resolved, strategy Strategy) bool {
	picks := m.scratch.picks[:0]
	ok := true
	if len(wants) == 1 {
		picks, ok = m.pickOne(picks, &wants[0], strategy)
	} else {
		var inOrder [WantsMax][2]int // where in picks those of a want are
		for pass := range 3 {
			for i := range wants {
				if w := &wants[i]; ok && pass == passOf(w) {
					inOrder[i][0] = len(picks)
					picks, ok = m.pickOne(picks, w, strategy)
					inOrder[i][1] = len(picks)
				}
			}
		}
		if ok {
			sorted := make([]part, 0, len(picks))
			for _, at := range inOrder[:len(wants)] {
				sorted = append(sorted, picks[at[0]:at[1]]...)
			}
			copy(picks, sorted)
		}
	}
	for _, p := range picks {
		p.item.picked = false
	}
	m.scratch.picks = picks
	return ok
}

func passOf(w *resolved) int {
	switch {
	case w.ids != nil:
		return 0
	case w.text != "":
		return 1
	}
	return 2
}

func (m *Machine) pickOne(picks []part, w *resolved, strategy Strategy) ([]part, bool) {
	switch {
	case w.spans != nil:
		return pickTimes(picks, w)
	case w.ids != nil:
		for _, it := range w.ids {
			units := int64(1)
			if len(w.ids) == 1 {
				units = int64(w.count)
			}
			if it.picked || it.available() < units {
				return picks, false
			}
			it.picked = true
			picks = append(picks, part{item: it, units: units})
		}
		return picks, true
	case !enough(w.classes, w.count):
		return picks, false
	case w.best != "":
		return m.pickBest(picks, w)
	}
	if strategy == "" {
		strategy = w.pool.spec.Strategy
	}
	c := &m.scratch.cursor
	c.start(strategy, w.classes, mix(w.pool.spec.Seed^m.rev, 0xe7037ed1a0b428db))
	for n := int64(w.count); n > 0; {
		it := c.next()
		if it == nil {
			return picks, false
		}
		if it.picked {
			continue
		}
		it.picked = true
		units := min(n, int64(it.listed))
		picks = append(picks, part{item: it, units: units})
		n -= units
	}
	return picks, true
}

// give gives scratch.picks out.
func (m *Machine) give(wait uint64, req *request, wants []resolved, r *Reply) {
	ev := &m.scratch.granted
	*ev = granted{wait: wait, parts: m.scratch.picks, as: req.kind, terms: terms{
		session: req.session, client: req.client, owner: req.owner, onDisconnect: req.onDisconnect, ttlMs: req.ttlMs,
	}}
	notice := int64(0)
	for i := range wants {
		s := &wants[i].pool.spec
		if s.LifetimeMaxMs > 0 && (ev.endsAt == 0 || ev.endsAt > m.now+s.LifetimeMaxMs) {
			ev.endsAt = m.now + s.LifetimeMaxMs
		}
		notice = max(notice, s.ExpiringMs)
	}
	if s := m.sessions[req.session]; s != nil && s.secret != "" { // else nobody takes pushes
		ev.noticeMs = min(notice, req.ttlMs/2)
	}
	ev.expiresAt = ev.end(m.now + req.ttlMs)
	m.emit(ev)
	r.Grant, r.Token, r.ExpiresAt = m.rev, m.rev, ev.expiresAt
	if wait != 0 {
		r.Grant = wait
	}
	r.Rev = m.rev
	r.Items = given(ev.parts)
	clear(m.scratch.picks)
	ev.parts = nil
}

// given tells what was given out.
func given(parts []part) []Given {
	items := make([]Given, len(parts))
	for i, p := range parts {
		items[i] = Given{Pool: p.item.pool.name, ID: p.item.id, Labels: p.item.class.text, Attrs: p.item.attrs, Units: p.units}
		if p.span != nil {
			items[i].Span = p.span.Span
		}
	}
	return items
}
