package pool

import "slices"

// Who waits is served when something comes free: the first of the lines that match it, or a wait for several pools that
// can be met now, by priority, turn and number. After each command nobody waits for what is free and could have it, but
// those behind the first of a line that needs more.

// serveItem looks who gets an item that has become free.
func (m *Machine) serveItem(it *item) {
	for it.free {
		best := m.servable(it.pool.itemLines[it], nil)
		for _, l := range it.class.lines {
			best = m.servable(l, best)
		}
		for _, w := range it.pool.complex {
			if best != nil && (best.priority > w.priority || best.priority == w.priority && best.id < w.id) {
				break
			}
			if m.resolveWait(w) == nil && m.pick(w.resolved, w.strategy) {
				best = w
				break
			}
		}
		if best == nil {
			return
		}
		m.serve(best)
	}
}

// servable returns the first wait of l if it can be met and comes before best, else best.
func (m *Machine) servable(l *line, best *wait) *wait {
	if l == nil {
		return best
	}
	w := l.first()
	if best != nil && best.before(w) {
		return best
	}
	if l.item != nil {
		if !l.item.free {
			return best
		}
	} else if _, free := capacity(l.classes); int64(free) < w.wants[0].Count {
		return best
	}
	return w
}

// serve grants a wait what it wants, which is free, or ends it if it may not have it any more.
func (m *Machine) serve(w *wait) {
	if err := m.resolveWait(w); err != nil {
		m.giveUp(w, err)
		return
	}
	if err := m.overQuota(w.client, w.resolved); err != nil {
		m.giveUp(w, err)
		return
	}
	if !m.pick(w.resolved, w.strategy) {
		panic("pool: a wait that could be served can not")
	}
	r := Reply{}
	m.grant(w.id, &w.request, w.resolved, &r)
	if w.keyed.key != "" {
		m.settleKey(w.keyed, &r)
	}
	m.answers = append(m.answers, Answer{Wait: w.id, Session: w.session, Reply: r})
}

// resolveWait says what a wait's names stand for now, or why it can not be met any more.
func (m *Machine) resolveWait(w *wait) *Error {
	wants, err := m.resolveWants(w.wants)
	if err != nil {
		if err.Code == NotFound {
			err.Code = NoMatch
		}
		return err
	}
	w.resolved = append(w.resolved[:0], wants...)
	return nil
}

// serveLine serves a line as far as it can be, and tells its first that what it wants is leaving, if so. It returns how
// many waits it has ended.
func (m *Machine) serveLine(l *line, budget int) int {
	n := 0
	for n < budget && l.root != nil {
		w := l.first()
		if err := m.resolveWait(w); err != nil {
			m.giveUp(w, err)
		} else if l.item != nil && l.item != w.resolved[0].ids[0] { // it has left, and another by its name has come
			m.dequeue(w)
			m.enqueue(w)
			m.serveItem(w.resolved[0].ids[0])
		} else if m.servable(l, nil) == w && m.pick(w.resolved, w.strategy) {
			m.serve(w)
		} else {
			break
		}
		n++
	}
	return n
}

// serveLineOf looks at the line that w has left, or at all it may have kept others from if it was in none.
func (m *Machine) serveLineOf(w *wait) {
	if w.aside() {
		return // it kept nobody from anything
	}
	p := m.byName[w.wants[0].Pool]
	if p == nil {
		return
	}
	want := &w.wants[0]
	var l *line
	if len(want.IDs) == 1 {
		if it := p.items[want.IDs[0]]; it != nil {
			l = p.itemLines[it]
		}
	} else {
		l = p.lines[want.Select.text()]
	}
	if l != nil && m.serveLine(l, 16) == 16 {
		m.relook = append(m.relook, l)
	}
}

// left has those looked at who may have waited for an item that is leaving.
func (m *Machine) left(it *item) {
	p := it.pool
	if l := p.itemLines[it]; l != nil {
		m.relook = append(m.relook, l)
	}
	for _, l := range it.class.lines {
		if !slices.Contains(m.relook, l) {
			m.relook = append(m.relook, l)
		}
	}
	for _, w := range slices.Clone(p.complex) {
		if err := m.resolveWait(w); err != nil {
			m.giveUp(w, err)
		}
	}
}

// sortLines puts lines into an order that does not come from a map.
func sortLines(lines []*line) {
	slices.SortFunc(lines, func(a, b *line) int { return compare(a.first().id, b.first().id) })
}
