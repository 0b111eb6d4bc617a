package pool

import (
	"cmp"
	"slices"
)

// Who waits is served when something comes free: the first of the lines that match it, or a wait for several pools that
// can be met now, by priority, turn and number. After each command nobody waits for what is free and could have it, but
// those behind the first of a line that needs more; and those for whom there was no time, whom Tick looks at.

// What is done in one step, before the rest is left to Tick.
const (
	serveMax = 64      // waits that are served, or told that they can not be
	looksMax = 100_000 // times of items that are looked at, about, for the sake of waits in no line
)

// serveItem looks who gets an item that has become free. Who wants a time of it is looked at by Tick.
func (m *Machine) serveItem(it *item) {
	p := it.pool
	if it.times != nil {
		m.lookAgainAside(p)
		return
	}
	looks := looksMax
	// Several units may be more than the first in a line lacked: then there is something for those behind, though not of it.
	for n := 0; it.free || n > 0 && it.counter != nil; n++ {
		best := m.servable(p.itemLines[it], nil)
		for _, l := range it.class.lines {
			best = m.servable(l, best)
		}
		best, done := m.servableFirst(p.complex, best, &looks)
		switch {
		case !done || n == serveMax:
			m.lookAgainFor(it)
			return
		case best == nil:
			return
		}
		m.serve(best)
	}
}

// servableFirst returns the first of some waits in no line, which are in order, that can be met and comes before best, else
// best. It is not done when it has looked at so many times of items that others are to have their turn first; it looks at one
// wait at least.
func (m *Machine) servableFirst(aside []*wait, best *wait, looks *int) (first *wait, done bool) {
	for _, w := range aside {
		switch {
		case best != nil && !w.sooner(best):
			return best, true
		case !w.queuedAside: // it has been served, or its client is away
			continue
		case *looks <= 0:
			return nil, false
		}
		*looks -= m.looks(w)
		if m.servableAside(w) {
			return w, true
		}
	}
	return best, true
}

// looks returns how many times of items are looked at, at most, to tell whether a wait can be met.
func (m *Machine) looks(w *wait) int {
	if b := w.blocker; b != nil && b.grant != nil {
		return 1
	}
	n := 1
	for i := range w.wants {
		want := &w.wants[i]
		items := len(want.IDs)
		if items == 0 {
			items = len(m.byName[want.Pool].order)
		}
		n += items * len(want.Spans)
	}
	return n
}

// serveParts looks who gets what has come back at once.
func (m *Machine) serveParts(parts []part) {
	if len(parts) == 1 && parts[0].span == nil {
		m.serveItem(parts[0].item)
		return
	}
	var lines []*line
	var aside []*wait
	seen := make(map[any]bool)
	once := func(x any) bool {
		was := seen[x]
		seen[x] = true
		return !was
	}
	for _, at := range parts {
		it := at.item
		if !it.free && at.span == nil {
			continue
		}
		if l := it.pool.itemLines[it]; l != nil {
			lines = append(lines, l)
		}
		if once(it.class) {
			for _, l := range it.class.lines {
				if once(l) {
					lines = append(lines, l)
				}
			}
		}
		for _, w := range it.pool.complex {
			// Of those who wait for times, only they are looked at whose times these are, and those whom Tick is to look at.
			if (at.span == nil || m.wantsTime(w, it.pool, at.span.Span)) && once(w) {
				aside = append(aside, w)
			}
		}
	}
	if !m.serveBest(lines, aside) {
		m.lookAgainAt(lines, aside)
	}
}

// wantsTime reports whether a wait is for a time of a pool's items that a span which came back may have been in the way of, or
// is to be looked at anyway.
func (m *Machine) wantsTime(w *wait, p *pool, came Span) bool {
	if len(w.wants) > 1 { // which item one of them takes is a matter of what else is taken: it may leave the other's now
		return true
	}
	for i := range w.wants {
		of := m.byName[w.wants[i].Pool]
		if of.again {
			return true
		}
		for _, s := range w.wants[i].Spans {
			s.SetupMs, s.CleanupMs = p.spec.SetupMs, p.spec.CleanupMs
			if of == p && s.begin() < came.end() && came.begin() < s.end() {
				return true
			}
		}
	}
	return false
}

// serveBest serves of these lines and waits, some of which may have been served already, those who can be, the best first.
// It reports whether it is done.
func (m *Machine) serveBest(lines []*line, aside []*wait) bool {
	slices.SortFunc(aside, (*wait).inOrder)
	looks := looksMax
	for range serveMax {
		var best *wait
		for _, l := range lines {
			best = m.servable(l, best)
		}
		best, done := m.servableFirst(aside, best, &looks)
		switch {
		case !done:
			return false
		case best == nil:
			return true
		}
		m.serve(best)
	}
	return false
}

// inOrder compares waits of which one is in no line: by priority, then first come.
func (w *wait) inOrder(x *wait) int {
	return cmp.Or(cmp.Compare(x.priority, w.priority), compare(w.id, x.id))
}

func (w *wait) sooner(x *wait) bool { return w.inOrder(x) < 0 }

// servable returns the first wait of l if it can be met and comes before best, else best.
func (m *Machine) servable(l *line, best *wait) *wait {
	if l == nil || l.Root == nil {
		return best
	}
	w := l.first()
	if best != nil && best.before(w) {
		return best
	}
	count := int(w.wants[0].Count)
	switch {
	case l.item != nil:
		if l.item.available() < max(1, int64(count)) {
			return best
		}
	case !enough(l.classes, count):
		return best
	case l.best != "":
		if m.resolveWait(w) == nil && !m.pick(w.resolved, w.strategy) {
			return best
		}
	}
	return w
}

// servableAside reports whether a wait that is in no line can be met.
func (m *Machine) servableAside(w *wait) bool {
	if b := w.blocker; b != nil && b.grant != nil || m.resolveWait(w) != nil {
		return false
	}
	if m.pick(w.resolved, w.strategy) {
		return true
	}
	w.blocker = nil
	for i := range w.resolved {
		for _, it := range w.resolved[i].ids {
			if it.grant != nil {
				w.blocker = it
				return false
			}
		}
	}
	return false
}

// serve grants a wait what it wants, which is free, or ends it if it may not have it any more.
func (m *Machine) serve(w *wait) {
	err := m.resolveWait(w)
	if err == nil {
		err = m.overQuota(w.client, w.resolved)
	}
	if err != nil {
		l := w.line
		m.giveUp(w, err)
		if l != nil {
			m.lookAgain(l) // what is free may be enough for the next
		}
		return
	}
	if !m.pick(w.resolved, w.strategy) {
		panic("pool: a wait that could be served can not")
	}
	r, l := Reply{}, w.line
	m.give(w.id, &w.request, w.resolved, &r)
	if l != nil && l.Root != nil {
		// What has left, or moved, while the next was not the first yet may make it one that waits in vain.
		units, _ := capacity(l.classes)
		if l.item != nil {
			units = int(l.item.quantity)
		}
		if units < int(l.first().wants[0].Count) || l.best != "" {
			m.lookAgain(l)
		}
	}
	if w.keyed.key != "" {
		m.settleKey(w.keyed, &r)
	}
	m.answers = append(m.answers, Answer{Wait: w.id, Session: w.session, Kind: w.kind, Reply: r})
}

// resolveWait says what a wait's names stand for now, or why it can not be met any more.
func (m *Machine) resolveWait(w *wait) *Error {
	wants, err := m.resolveWants(w.wants)
	if err != nil {
		if err.Code == NotFound || err.Code == BadPayload { // it was right when it was asked for
			err.Code = NoMatch
		}
		return err
	}
	w.resolved = append(w.resolved[:0], wants...)
	return nil
}

// serveLine serves a line as far as it can be, and tells its first that what it wants is leaving, if so.
func (m *Machine) serveLine(l *line) {
	for n := 0; l.Root != nil; n++ {
		if n == serveMax {
			m.lookAgain(l)
			return
		}
		w := l.first()
		if err := m.resolveWait(w); err != nil {
			m.giveUp(w, err)
		} else if l.item != nil && l.item != w.resolved[0].ids[0] { // it has left, and another by its name has come
			it := w.resolved[0].ids[0]
			m.dequeue(w)
			m.enqueue(w)
			m.serveItem(it)
		} else if m.servable(l, nil) == w {
			m.serve(w)
		} else {
			return
		}
	}
}

// serveBehind looks at the line that w has left.
func (m *Machine) serveBehind(w *wait) {
	p := m.byName[w.wants[0].Pool]
	if p == nil || w.aside() { // the latter kept nobody from anything
		return
	}
	want := &w.wants[0]
	l := p.lines[lineKey(want.Select.text(), want.Best)]
	if len(want.IDs) == 1 {
		l = p.itemLines[p.items[want.IDs[0]]]
	}
	if l != nil {
		m.serveLine(l)
	}
}

// serveChanged looks at waits that have come back, and at lines in which others are first now: who may want what has left,
// so that Tick looks again.
func (m *Machine) serveChanged(lines []*line, back []*wait) {
	m.serveBest(lines, back)
	m.lookAgainAt(lines, back)
}

// cameBack looks at waits that are no longer passed over.
func (m *Machine) cameBack(waits []*wait) {
	lines := linesOf(waits)
	for _, w := range waits {
		if err := m.resolveWait(w); err != nil { // what it wanted has left meanwhile
			m.giveUp(w, err)
		}
	}
	m.serveChanged(lines, waits)
}

// linesOf returns the lines that waits are in, each once.
func linesOf(waits []*wait) []*line {
	var lines []*line
	seen := make(map[*line]bool)
	for _, w := range waits {
		if w.line != nil && !seen[w.line] {
			seen[w.line] = true
			lines = append(lines, w.line)
		}
	}
	return lines
}

// nextAside returns the first of the waits for a pool that are in no line, behind those that Tick has looked at already; nil:
// it has looked at all.
func (p *pool) nextAside() *wait {
	at := 0
	if p.looked != nil {
		found := false
		if at, found = slices.BinarySearchFunc(p.complex, p.looked, (*wait).inOrder); found {
			at++
		}
	}
	if at == len(p.complex) {
		return nil
	}
	return p.complex[at]
}

// lookAside looks at waits for a pool that are in no line, and come before another, from where it was left the last time: it
// serves those who can be, and tells those whose wants are leaving. It returns how many times of items it looked at, at most.
func (m *Machine) lookAside(p *pool, before *wait) (looks int) {
	m.relookAside = slices.DeleteFunc(m.relookAside, func(x *pool) bool { return x == p })
	for looks < looksMax/8 {
		w := p.nextAside()
		switch {
		case w == nil && !p.afresh:
			p.again, p.looked = false, nil
			return looks
		case w == nil:
			p.afresh, p.looked = false, nil
			continue
		case before != nil && !w.sooner(before):
			m.relookAside = append(m.relookAside, p)
			return looks
		}
		p.looked = w
		looks += m.looks(w)
		if err := m.resolveWait(w); err != nil {
			m.giveUp(w, err)
		} else if m.servableAside(w) {
			m.serve(w)
		}
	}
	m.relookAside = append(m.relookAside, p)
	return looks
}

// lookAgain has Tick look at a line.
func (m *Machine) lookAgain(l *line) {
	if !l.again && l.Root != nil {
		l.again = true
		m.relook = append(m.relook, l)
	}
}

// lookAgainAt has Tick look at lines, and at waits that are in none.
func (m *Machine) lookAgainAt(lines []*line, aside []*wait) {
	for _, l := range lines {
		m.lookAgain(l)
	}
	for _, w := range aside {
		if w.queuedAside {
			for _, p := range m.poolsOf(w) {
				m.lookAgainAside(p)
			}
		}
	}
}

// lookAgainAside has Tick look at the waits for a pool that are in no line.
func (m *Machine) lookAgainAside(p *pool) {
	switch {
	case len(p.complex) == 0:
	case !p.again:
		p.again = true
		m.relookAside = append(m.relookAside, p)
	case p.looked != nil: // once more for those it has been past
		p.afresh = true
	}
}

// lookAgainFor has Tick look at all who may wait for an item, or for what was like it.
func (m *Machine) lookAgainFor(it *item) {
	if l := it.pool.itemLines[it]; l != nil {
		m.lookAgain(l)
	}
	m.lookAgainForClass(it.class)
}

func (m *Machine) lookAgainForClass(c *class) {
	for _, l := range c.lines {
		m.lookAgain(l)
	}
	m.lookAgainAside(c.pool)
}

// lookAgainAll has Tick look at all who wait for a pool.
func (m *Machine) lookAgainAll(p *pool) {
	lines := make([]*line, 0, len(p.lines)+len(p.itemLines))
	for _, l := range p.lines {
		lines = append(lines, l)
	}
	for _, l := range p.itemLines {
		lines = append(lines, l)
	}
	// An order that does not come from a map.
	slices.SortFunc(lines, func(a, b *line) int { return compare(a.first().id, b.first().id) })
	for _, l := range lines {
		m.lookAgain(l)
	}
	m.lookAgainAside(p)
}
