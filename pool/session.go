package pool

import (
	"container/list"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
)

// session is a client over all of its connections, or a connection that said no hello.
type session struct {
	record  rec
	id      uint64 // the event that opened it
	client  string // the identity, for quotas, fairness and keys
	secret  string // with which it is resumed; empty: it can not be
	graceMs int64  // how long it outlives its connection
	until   int64  // when it ends; 0: it is connected

	// What follows is made of the records of waits and grants.
	waits  list.List // of *wait
	grants list.List // of *grant, those that do not outlive it
	due    int32
}

func (s *session) rec() *rec { return &s.record }

func (s *session) key(e *enc) {
	e.byte(recSession)
	e.uint(s.id)
}

func (s *session) value(e *enc) {
	e.string(s.client)
	e.string(s.secret)
	e.int(s.graceMs)
	e.int(s.until)
}

func (m *Machine) loadSession(key, value *dec) (record, error) {
	s := &session{id: key.uint()}
	s.client = value.string()
	s.secret = value.string()
	s.graceMs = value.int()
	s.until = value.int()
	if m.sessions[s.id] != nil {
		return nil, errTwice
	}
	m.sessions[s.id] = s
	if s.until != 0 {
		m.sessionsDue.set(s, s.id, s.until)
	}
	return s, nil
}

// away says that no connection has the session: what it waits for is passed over.
func (s *session) away() bool { return s != nil && s.until != 0 }

// OpenSession opens a session for a connection.
type OpenSession struct {
	Client  string // the identity; empty: the session is one of its own
	Secret  string // to be told on Resume; empty: it can not be resumed
	GraceMs int64  // how long it can be, once it has lost its connection
}

func (c *OpenSession) decide(m *Machine, r *Reply) {
	if len(m.sessions) >= m.cfg.SessionsMax {
		r.fail(Overloaded, "there are %d sessions already; those without a connection go when their grace time is over", len(m.sessions))
		return
	}
	client := c.Client
	if client == "" {
		client = fmt.Sprintf("session/%d", m.rev+1)
	}
	m.emit(&sessionOpened{client: client, secret: c.Secret, graceMs: c.GraceMs})
	r.Session = m.rev
}

type sessionOpened struct {
	client, secret string
	graceMs        int64
}

func (*sessionOpened) kind() byte { return evSessionOpened }

func (ev *sessionOpened) put(e *enc) {
	e.string(ev.client)
	e.string(ev.secret)
	e.int(ev.graceMs)
}

func (ev *sessionOpened) get(d *dec) {
	ev.client, ev.secret, ev.graceMs = d.string(), d.string(), d.int()
}

func (ev *sessionOpened) apply(m *Machine) error {
	s := &session{id: m.rev, client: ev.client, secret: ev.secret, graceMs: ev.graceMs}
	m.sessions[s.id] = s
	m.touch(s)
	return nil
}

func (ev *sessionOpened) describe(e *Event) {
	e.Type, e.Session, e.Client = "session.opened", e.Rev, ev.client
}

// Disconnect says that a session has lost its connection: its grace time begins.
type Disconnect struct {
	Session uint64
}

func (c *Disconnect) decide(m *Machine, r *Reply) {
	s := m.sessions[c.Session]
	if s == nil {
		r.fail(NotFound, "there is no session %d", c.Session)
		return
	}
	if !s.away() {
		lines := linesOf(s.waiting())
		m.emit(&sessionGone{session: s.id, until: max(m.now+s.graceMs, 1)})
		m.serveChanged(lines, nil)
	}
}

// waiting returns the waits of the session.
func (s *session) waiting() []*wait {
	waits := make([]*wait, 0, s.waits.Len())
	for e := s.waits.Front(); e != nil; e = e.Next() {
		waits = append(waits, e.Value.(*wait))
	}
	return waits
}

type sessionGone struct {
	session uint64
	until   int64
}

func (*sessionGone) kind() byte    { return evSessionGone }
func (ev *sessionGone) put(e *enc) { e.uint(ev.session); e.int(ev.until) }
func (ev *sessionGone) get(d *dec) { ev.session, ev.until = d.uint(), d.int() }

func (ev *sessionGone) apply(m *Machine) error {
	s, err := m.sessionOf(ev.session)
	if err != nil {
		return err
	}
	if ev.until <= 0 {
		return fmt.Errorf("session %d ends at %d", s.id, ev.until)
	}
	m.leave(s, ev.until)
	return nil
}

func (ev *sessionGone) describe(e *Event) {
	e.Type, e.Session, e.ExpiresAt = "session.gone", ev.session, ev.until
}

// leave has s end at until unless it is resumed.
func (m *Machine) leave(s *session, until int64) {
	m.touch(s)
	if s.until == 0 {
		for e := s.waits.Front(); e != nil; e = e.Next() {
			m.dequeue(e.Value.(*wait))
		}
	}
	s.until = until
	m.sessionsDue.set(s, s.id, until)
}

func (m *Machine) sessionOf(id uint64) (*session, error) {
	if s := m.sessions[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("there is no session %d", id)
}

// Resume has a session go on over another connection.
type Resume struct {
	Session uint64
	Secret  string
}

func (c *Resume) decide(m *Machine, r *Reply) {
	s := m.sessions[c.Session]
	if s == nil || s.secret == "" || subtle.ConstantTimeCompare([]byte(s.secret), []byte(c.Secret)) == 0 || s.away() && s.until <= m.now {
		r.fail(SessionExpired, "the session can not be resumed: it is over, or this is not what hello gave to resume it with; say hello without resume")
		return
	}
	r.Session = s.id
	if !s.away() {
		return // the old connection may not have been missed yet
	}
	m.emit(&sessionResumed{session: s.id})
	m.cameBack(s.waiting())
}

type sessionResumed struct{ session uint64 }

func (*sessionResumed) kind() byte    { return evSessionResumed }
func (ev *sessionResumed) put(e *enc) { e.uint(ev.session) }
func (ev *sessionResumed) get(d *dec) { ev.session = d.uint() }

func (ev *sessionResumed) apply(m *Machine) error {
	s, err := m.sessionOf(ev.session)
	if err != nil {
		return err
	}
	if !s.away() {
		return fmt.Errorf("session %d is not away", s.id)
	}
	m.touch(s)
	s.until = 0
	m.sessionsDue.remove(s)
	for e := s.waits.Front(); e != nil; e = e.Next() {
		m.enqueue(e.Value.(*wait))
	}
	return nil
}

func (ev *sessionResumed) describe(e *Event) { e.Type, e.Session = "session.resumed", ev.session }

// sessionEnded is emitted when the session has neither waits, nor grants that go with it.
type sessionEnded struct{ session uint64 }

func (*sessionEnded) kind() byte    { return evSessionEnded }
func (ev *sessionEnded) put(e *enc) { e.uint(ev.session) }
func (ev *sessionEnded) get(d *dec) { ev.session = d.uint() }

func (ev *sessionEnded) apply(m *Machine) error {
	s, err := m.sessionOf(ev.session)
	if err != nil {
		return err
	}
	if s.waits.Len() > 0 || s.grants.Len() > 0 {
		return fmt.Errorf("session %d still has waits or grants", s.id)
	}
	m.drop(s)
	m.sessionsDue.remove(s)
	delete(m.sessions, s.id)
	return nil
}

func (ev *sessionEnded) describe(e *Event) { e.Type, e.Session = "session.ended", ev.session }

// Restarted says that the server has started again: every session has lost its connection, and its grace time begins anew.
type Restarted struct{}

func (*Restarted) decide(m *Machine, _ *Reply) {
	if len(m.sessions) > 0 {
		m.emit(new(restarted))
	}
	// What was done before the end may not have been looked at. Most waits are passed over now: those without a session
	// are not, and where the item that one was for has left, it is in no line.
	for _, id := range slices.Sorted(maps.Keys(m.waits)) {
		if w := m.waits[id]; w.holder == nil {
			if err := m.resolveWait(w); err != nil {
				m.giveUp(w, err)
			}
		}
	}
	for _, p := range m.pools {
		m.lookAgainAll(p)
	}
}

type restarted struct{}

func (*restarted) kind() byte        { return evRestarted }
func (*restarted) put(*enc)          {}
func (*restarted) get(*dec)          {}
func (*restarted) describe(e *Event) { e.Type = "server.restarted" }

func (*restarted) apply(m *Machine) error {
	for _, s := range m.sessions { // their order does not matter: each is changed by itself
		m.leave(s, max(m.now+s.graceMs, 1))
	}
	return nil
}
