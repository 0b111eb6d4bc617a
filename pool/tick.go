package pool

import "fmt"

// Tick does what is due at time now, in ms, in at most about budget steps: grants, waits, sessions and keys end. It reports
// whether there is more to do.
func (m *Machine) Tick(now int64, budget int) (more bool) {
	m.advance(now)
	for budget > 0 {
		cost := m.step()
		if cost == 0 {
			return false
		}
		budget -= cost
	}
	return true
}

// step does one thing that is due, and returns what it cost, in steps; 0: there was nothing. What was due first is done
// first, so that a late Tick does what those in time would have done.
func (m *Machine) step() int {
	at := m.now + 1
	var (
		g *grant
		w *wait
		s *session
		k *keyed
	)
	for _, p := range m.pools {
		if x, t := p.due.first(); x != nil && t < at {
			g, at = x, t
		}
	}
	if x, t := m.waitsDue.first(); x != nil && t < at {
		w, at = x, t
	}
	if x, t := m.sessionsDue.first(); x != nil && t < at {
		s, at = x, t
	}
	if x, t := m.keysDue.first(); x != nil && t < at {
		k = x
	}
	switch {
	case k != nil:
		m.emit(&keyForgotten{k.keyName})
		return 1
	case s != nil:
		m.endSession(s)
		return 1
	case w != nil:
		m.giveUp(w, &Error{WaitTimeout, fmt.Sprintf("nothing that matches came free within %d ms", w.until-w.since)})
		m.serveBehind(w)
		return 1
	case g != nil:
		m.grantDue(g, at)
		return 1
	}
	const looks = 16 // take about the time of a step
	if len(m.relook) > 0 {
		l := m.relook[0]
		if first := l.first(); first != nil && l.pool.again {
			if w := l.pool.nextAside(); w != nil && w.sooner(first) {
				return 1 + m.lookAside(l.pool, first)/looks
			}
		}
		m.relook = m.relook[1:]
		l.again = false
		m.serveLine(l)
		return 1
	}
	if len(m.relookAside) > 0 {
		return 1 + m.lookAside(m.relookAside[0], nil)/looks
	}
	return 0
}

// grantDue does what was due at at for a grant: to tell its holder, to end it, or to let go of bookings that are past.
func (m *Machine) grantDue(g *grant, at int64) {
	if g.expiresAt == 0 {
		m.letGo(g)
		return
	}
	if g.expiresAt > m.now {
		m.notices = append(m.notices, Notice{Kind: g.kind, Session: g.session, Grant: g.id, Token: g.token, ExpiresAt: g.expiresAt})
		m.emit(&expiring{g.id, g.kind})
		return
	}
	if at < g.expiresAt { // it is too late to tell; and its end comes behind what was due before it
		g.parts[0].item.pool.due.set(g, g.id, g.expiresAt)
		return
	}
	// Each item comes back as its pool says; together, where they say the same.
	var outcome Outcome
	parts := m.scratch.chosen[:0]
	for i := range g.parts {
		p := &g.parts[i]
		says := p.item.pool.spec.OnExpiry
		if !g.temporary(p) || len(parts) > 0 && says != outcome {
			continue
		}
		outcome = says
		parts = append(parts, *p)
	}
	m.scratch.chosen = parts
	m.release(g, parts, outcome, RanOut)
}

// endSession does one step of the end of a session whose grace time is over.
func (m *Machine) endSession(s *session) {
	if e := s.waits.Front(); e != nil {
		w := e.Value.(*wait)
		m.giveUp(w, &Error{Cancelled, "the client has not come back"})
		m.serveBehind(w)
		return
	}
	if e := s.grants.Front(); e != nil {
		g := e.Value.(*grant)
		outcome := Clean
		if g.onDisconnect == ReleaseDirtyOnEnd {
			outcome = Dirty
		}
		parts, _ := g.choose(m.scratch.chosen[:0], nil, "released", g.temporary)
		m.scratch.chosen = parts
		m.release(g, parts, outcome, Disconnected)
		return
	}
	m.emit(&sessionEnded{session: s.id})
}

// NextDue returns when Tick has something to do, in ms; 0: never.
func (m *Machine) NextDue() int64 {
	if len(m.relook)+len(m.relookAside) > 0 {
		return max(m.now, 1)
	}
	due := int64(0)
	next := func(at int64) {
		if at != 0 && (due == 0 || at < due) {
			due = at
		}
	}
	for _, p := range m.pools {
		_, at := p.due.first()
		next(at)
	}
	_, at := m.waitsDue.first()
	next(at)
	_, at = m.sessionsDue.first()
	next(at)
	_, at = m.keysDue.first()
	next(at)
	return due
}
