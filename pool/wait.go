package pool

import (
	"container/list"
	"fmt"
	"slices"

	"github.com/kassa-go/kassa/pool/internal/treap"
)

// wait is a request for items that could not be met yet. It holds nothing.
type wait struct {
	record rec
	id     uint64 // the event that began it
	request
	turn  uint64  // see Machine.turnOf
	since int64   // ms
	until int64   // it fails then, ms
	keyed keyName // whose outcome it decides; keyed.key empty: none

	// What follows is made of the above.
	resolved          []resolved
	line              *line    // that it is queued in; nil: in none
	queuedAside       bool     // it is in the complex waits of its pools
	blocker           *item    // while it is in a lease, a wait that is in no line can not be met
	holder            *session // its session; nil: none
	inSession         *list.Element
	treap.Links[wait]     // in line
	size              int // waits in line below it, itself included
	due               int32
}

func (w *wait) rec() *rec { return &w.record }

func (w *wait) key(e *enc) {
	e.byte(recWait)
	e.uint(w.id)
}

// park has a request wait, if it may.
func (m *Machine) park(c *Acquire, req *request, wants []resolved, r *Reply) {
	p := wants[0].pool
	s := m.sessions[req.session]
	aside := !inLine(wants)
	switch {
	case c.WaitMs == 0:
		r.fail(NoneFree, "%s; with waitMs the request would wait", m.whyNot(wants))
	case m.owners[ownerOf(req.session, req.owner)].grants > 0:
		r.fail(WouldDeadlock, "it would have to wait, but its owner holds something already, and this server does not let one wait while holding: release that, or ask for both in one request")
	case int64(p.counts.waiting) >= p.spec.WaitersMax:
		r.fail(QueueFull, "%d requests wait for pool %s, as many as may", p.counts.waiting, p.name)
	case s != nil && s.waits.Len() >= sessionWaits:
		r.fail(QuotaExceeded, "%d requests of the session wait, as many as may", s.waits.Len())
	case aside && m.complex >= complexMax:
		r.fail(QueueFull, "%d requests wait for times, for items of several pools, or for several items by ID, as many as may", m.complex)
	case !aside && m.lineOf(&wants[0]) == nil && wants[0].best != "" && p.bestLines >= bestLinesMax:
		r.fail(QueueFull, "best seats of %d different selections of pool %s are waited for, as many as may", p.bestLines, p.name)
	case !aside && m.lineOf(&wants[0]) == nil && wants[0].ids == nil && len(p.lines) >= linesMax:
		r.fail(QueueFull, "%d different selections of pool %s are waited for, as many as may", len(p.lines), p.name)
	}
	if r.Err != nil {
		return
	}
	if !m.seat(c, r) {
		return
	}
	req.session = c.Session
	ev := &waiting{request: *req, turn: p.turn + 1 + uint64(p.queued[req.client]), until: m.now + c.WaitMs, key: c.Key, hash: c.Hash}
	ev.wants = make([]Want, len(c.Want))
	for i, w := range c.Want { // the command is not kept
		w.IDs, w.Select, w.Spans = slices.Clone(w.IDs), slices.Clone(w.Select), append([]Span(nil), w.Spans...)
		for j := range w.Select {
			w.Select[j].Values = slices.Clone(w.Select[j].Values)
		}
		for j := range w.Spans { // set-up and clean-up are the pool's when it is served
			w.Spans[j].SetupMs, w.Spans[j].CleanupMs = 0, 0
		}
		ev.wants[i] = w
	}
	m.emit(ev)
	r.Waiting, r.Rev = m.rev, m.rev
	// Who has waited less in other lines comes before the first of this one, which may want more than is free.
	if w := m.waits[m.rev]; w.line != nil && m.servable(w.line, nil) == w {
		m.serve(w)
	}
}

// whyNot says which want can not be met now.
func (m *Machine) whyNot(wants []resolved) string {
	for i := range wants {
		w := &wants[i]
		if w.spans != nil {
			if text := w.inTheWay(); text != "" {
				return text
			}
			continue
		}
		for _, it := range w.ids {
			units := int64(1)
			if len(w.ids) == 1 {
				units = int64(w.count)
			}
			switch n := it.available(); {
			case n >= units:
			case it.counter != nil:
				return fmt.Sprintf("of item %q of pool %s %d are free, %d are wanted", it.id, w.pool.name, n, units)
			default:
				return fmt.Sprintf("item %q of pool %s is %s", it.id, w.pool.name, it.status())
			}
		}
		if w.ids == nil {
			units, free := capacity(w.classes)
			if free < w.count {
				return fmt.Sprintf("of %d matching items of pool %s %d are free, %d are wanted", units, w.pool.name, free, w.count)
			}
			if w.best == Split {
				return fmt.Sprintf("of %d free matching items of pool %s not %d have a place", free, w.pool.name, w.count)
			}
			if w.best != "" {
				return fmt.Sprintf("of %d free matching items of pool %s no %d are side by side", free, w.pool.name, w.count)
			}
		}
	}
	return "what is free is waited for by others who came first, or is wanted twice"
}

// waiting begins a wait.
type waiting struct {
	request
	turn  uint64
	until int64
	key   string
	hash  uint64
}

func (*waiting) kind() byte { return evWaiting }

func (ev *waiting) put(e *enc) {
	ev.request.put(e)
	e.uint(ev.turn)
	e.int(ev.until)
	e.string(ev.key)
	e.uint(ev.hash)
	ev.request.putMore(e)
}

func (ev *waiting) get(d *dec) {
	ev.request.get(d)
	ev.turn, ev.until, ev.key, ev.hash = d.uint(), d.int(), d.string(), d.uint()
	ev.request.getMore(d)
}

func (ev *waiting) apply(m *Machine) error {
	w := &wait{id: m.rev, request: ev.request, turn: ev.turn, since: m.now, until: ev.until}
	if ev.key != "" {
		w.keyed = keyName{ev.client, ev.key}
		if m.keys[w.keyed] != nil {
			return fmt.Errorf("client %q has the key %q already", ev.client, ev.key)
		}
		m.setKey(w.keyed, ev.hash, w.id, nil, 0)
	}
	m.touch(w)
	return m.addWait(w)
}

func (ev *waiting) describe(e *Event) {
	e.Type, e.Wait, e.Session, e.Client, e.Owner, e.ExpiresAt = "wait.began", e.Rev, ev.session, ev.client, ev.owner, ev.until
	e.Pool = ev.wants[0].Pool
	for _, w := range ev.wants {
		if w.Pool != e.Pool {
			e.Pool = ""
		}
	}
}

func (w *wait) value(e *enc) {
	w.put(e)
	e.uint(w.turn)
	e.int(w.since)
	e.int(w.until)
	e.string(w.keyed.client)
	e.string(w.keyed.key)
	w.putMore(e)
}

func (m *Machine) loadWait(key, value *dec) (record, error) {
	w := &wait{id: key.uint()}
	w.get(value)
	w.turn = value.uint()
	w.since = value.int()
	w.until = value.int()
	w.keyed.client = value.string()
	w.keyed.key = value.string()
	w.getMore(value)
	if m.waits[w.id] != nil {
		return nil, errTwice
	}
	m.waits[w.id] = w
	return w, nil
}

func (m *Machine) linkWaits() error {
	all := make([]*wait, 0, len(m.waits))
	for _, w := range m.waits {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *wait) int { return compare(a.id, b.id) })
	for _, w := range all {
		if err := m.addWait(w); err != nil {
			return fmt.Errorf("pool: %w", err)
		}
	}
	return nil
}

// addWait enters a wait into everything that knows waits.
func (m *Machine) addWait(w *wait) error {
	for i := range w.wants {
		if m.byName[w.wants[i].Pool] == nil {
			return fmt.Errorf("wait %d is for pool %q, which is not there", w.id, w.wants[i].Pool)
		}
	}
	if k := m.keys[w.keyed]; w.keyed.key != "" && (k == nil || k.wait != w.id) {
		return fmt.Errorf("wait %d is not that of its key", w.id)
	}
	m.waits[w.id] = w
	m.waitsDue.set(w, w.id, w.until)
	if s := m.sessions[w.session]; s != nil {
		w.holder = s
		w.inSession = s.waits.PushBack(w)
	}
	m.byName[w.wants[0].Pool].queued[w.client]++
	for _, p := range m.poolsOf(w) {
		p.counts.waiting++
	}
	if w.aside() {
		m.complex++
	}
	m.own(w.session, w.owner, 0, 1)
	if !w.holder.away() {
		m.enqueue(w)
	}
	return nil
}

// aside reports whether the wait is in no line, but with its pools.
func (w *wait) aside() bool {
	return len(w.wants) > 1 || len(w.wants[0].IDs) > 1 || w.wants[0].Spans != nil
}

// poolsOf returns the pools that a wait is for, each once.
func (m *Machine) poolsOf(w *wait) []*pool {
	pools := make([]*pool, 0, 1)
	for i := range w.wants {
		if p := m.byName[w.wants[i].Pool]; !slices.Contains(pools, p) {
			pools = append(pools, p)
		}
	}
	return pools
}

// removeWait is the reverse of addWait.
func (m *Machine) removeWait(w *wait) {
	m.drop(w)
	m.dequeue(w)
	delete(m.waits, w.id)
	m.waitsDue.remove(w)
	if w.inSession != nil {
		w.holder.waits.Remove(w.inSession)
	}
	first := m.byName[w.wants[0].Pool]
	if first.queued[w.client]--; first.queued[w.client] == 0 {
		delete(first.queued, w.client)
	}
	for _, p := range m.poolsOf(w) {
		p.counts.waiting--
	}
	if w.aside() {
		m.complex--
	}
	m.own(w.session, w.owner, 0, -1)
}

// served takes a wait out that has got what it waited for.
func (m *Machine) served(w *wait) {
	p := m.byName[w.wants[0].Pool]
	m.touch(p)
	p.turn = max(p.turn, w.turn)
	m.removeWait(w)
}

// enqueue puts a wait where those look that free something. One that is enqueued again takes its old place.
func (m *Machine) enqueue(w *wait) {
	if w.aside() {
		w.queuedAside = true
		for _, p := range m.poolsOf(w) {
			at, _ := slices.BinarySearchFunc(p.complex, w, (*wait).inOrder)
			p.complex = slices.Insert(p.complex, at, w)
		}
		return
	}
	want := &w.wants[0]
	p := m.byName[want.Pool]
	if len(want.IDs) == 1 {
		it := p.items[want.IDs[0]]
		if it == nil {
			return // it has left: the wait will be told
		}
		l := p.itemLines[it]
		if l == nil {
			l = &line{pool: p, item: it}
			p.itemLines[it] = l
		}
		w.line = l
	} else {
		text := want.Select.text()
		key := lineKey(text, want.Best)
		l := p.lines[key]
		if l == nil {
			l = &line{pool: p, key: key, best: want.Best, selector: want.Select, classes: slices.Clone(p.match(want.Select, text))}
			for _, c := range l.classes {
				c.lines = append(c.lines, l)
			}
			p.lines[key] = l
			if l.best != "" {
				p.bestLines++
			}
		}
		w.line = l
	}
	w.line.Insert(w)
}

// dequeue is the reverse of enqueue.
func (m *Machine) dequeue(w *wait) {
	if w.queuedAside {
		w.queuedAside = false
		for _, p := range m.poolsOf(w) {
			p.complex = slices.DeleteFunc(p.complex, func(x *wait) bool { return x == w })
		}
		return
	}
	l := w.line
	if l == nil {
		return
	}
	w.line = nil
	l.Remove(w)
	if l.Root != nil {
		return
	}
	p := l.pool
	if l.item != nil {
		delete(p.itemLines, l.item)
		return
	}
	delete(p.lines, l.key)
	if l.best != "" {
		p.bestLines--
	}
	for _, c := range l.classes {
		c.lines = slices.DeleteFunc(c.lines, func(x *line) bool { return x == l })
	}
	for _, c := range slices.Clone(l.classes) {
		p.forget(c)
	}
}

// waitEnded ends a wait that got nothing.
type waitEnded struct {
	wait uint64
	code Code
}

func (*waitEnded) kind() byte    { return evWaitEnded }
func (ev *waitEnded) put(e *enc) { e.uint(ev.wait); e.string(string(ev.code)) }
func (ev *waitEnded) get(d *dec) { ev.wait, ev.code = d.uint(), Code(d.string()) }

func (ev *waitEnded) apply(m *Machine) error {
	w := m.waits[ev.wait]
	if w == nil {
		return fmt.Errorf("there is no wait %d", ev.wait)
	}
	m.removeWait(w)
	return nil
}

func (ev *waitEnded) describe(e *Event) {
	e.Type, e.Wait, e.Cause = "wait.ended", ev.wait, string(ev.code)
}

// giveUp ends a wait that gets nothing. The caller has those behind it looked at.
func (m *Machine) giveUp(w *wait, err *Error) {
	m.emit(&waitEnded{wait: w.id, code: err.Code})
	r := Reply{Err: err, Rev: m.rev}
	if w.keyed.key != "" {
		if err.Code == Cancelled {
			m.emit(&keyForgotten{w.keyed}) // nothing was done, and nobody was told that
		} else {
			m.settleKey(w.keyed, &r)
		}
	}
	m.answers = append(m.answers, Answer{Wait: w.id, Session: w.session, Kind: w.kind, Reply: r})
	for i := range w.wants {
		if p := m.byName[w.wants[i].Pool]; p != nil {
			m.goneIfEmpty(p)
		}
	}
}

// CancelWait ends a wait whose client wants no answer any more. What it has been granted meanwhile, which nobody was told
// of, comes back, and its key is free: else who asks again under it would be told of what is somebody else's by then. Nothing
// is done when it was asked for under its key more often than its clients knew.
type CancelWait struct {
	Wait        uint64
	Client, Key string // of its request; an empty Key: none
	Repeats     int    // how often it was asked for again, of which nothing is wanted any more
}

func (c *CancelWait) decide(m *Machine, r *Reply) {
	w, g, k := m.waits[c.Wait], m.grants[c.Wait], m.keys[keyName{c.Client, c.Key}]
	if k != nil && k.wait != c.Wait && k.granted() != c.Wait {
		k = nil // the next one's
	}
	switch {
	case k != nil && k.repeats > c.Repeats:
	case w != nil:
		m.giveUp(w, &Error{Cancelled, "the wait was taken back"})
		m.serveBehind(w)
	case g == nil || g.token == g.id: // it never was a wait
		r.fail(NotFound, "there is no wait %d", c.Wait)
	default:
		parts, err := g.choose(m.scratch.chosen[:0], nil, "released", g.temporary)
		if m.scratch.chosen = parts; err != nil {
			r.Err = err
			return
		}
		if k != nil {
			m.emit(&keyForgotten{k.keyName})
		}
		m.release(g, parts, Clean, Returned)
	}
}

// waitMoved gives a wait to another session of the same client.
type waitMoved struct{ wait, session uint64 }

func (*waitMoved) kind() byte    { return evWaitMoved }
func (ev *waitMoved) put(e *enc) { e.uint(ev.wait); e.uint(ev.session) }
func (ev *waitMoved) get(d *dec) { ev.wait, ev.session = d.uint(), d.uint() }

func (ev *waitMoved) apply(m *Machine) error {
	w := m.waits[ev.wait]
	s, err := m.sessionOf(ev.session)
	if w == nil || err != nil {
		return fmt.Errorf("there is no wait %d or no session %d", ev.wait, ev.session)
	}
	m.touch(w)
	m.dequeue(w)
	if w.inSession != nil {
		w.holder.waits.Remove(w.inSession)
	}
	m.own(w.session, w.owner, 0, -1)
	w.session, w.holder = s.id, s
	w.inSession = s.waits.PushBack(w)
	m.own(w.session, w.owner, 0, 1)
	if !s.away() {
		m.enqueue(w)
	}
	return nil
}

func (ev *waitMoved) describe(e *Event) {
	e.Type, e.Wait, e.Session = "wait.moved", ev.wait, ev.session
}

// attach has a wait belong to the session that asked for it again.
func (m *Machine) attach(w *wait, session uint64) {
	if w != nil && session != 0 && w.session != session && m.sessions[session] != nil {
		m.emit(&waitMoved{wait: w.id, session: session})
		m.cameBack([]*wait{w})
	}
}
