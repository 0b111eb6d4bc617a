package pool

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kassa-go/kassa/pool/internal/seats"
)

// Config says how a Machine decides. The zero value of a field means its default. It is no part of the state: a history
// replays to the same state under any Config.
type Config struct {
	// RefuseHoldAndWait has an owner that holds a lease, or waits for one, be answered would_deadlock in the place of
	// waiting for another.
	RefuseHoldAndWait bool

	KeyRetentionMs int64 // how long the outcome of a key is remembered: 600,000
	KeysMax        int   // keys remembered: 1,000,000
	SessionsMax    int   // sessions, those in their grace time included: 1,000,000
}

// Machine is the state of all pools of a server. It belongs to one goroutine.
type Machine struct {
	cfg Config
	now int64  // ms; it only rises
	rev uint64 // events so far

	pools    []*pool // by name
	byName   map[string]*pool
	grants   map[uint64]*grant
	waits    map[uint64]*wait
	sessions map[uint64]*session
	keys     map[keyName]*keyed
	owners   map[owner]ownership // only with RefuseHoldAndWait

	// When something is due for these. That of leases is by pool.
	waitsDue    dueHeap[wait]
	sessionsDue dueHeap[session]
	keysDue     dueHeap[keyed]
	complex     int     // waits in no line
	relook      []*line // that Tick is to look at
	relookAside []*pool // whose waits in no line it is to look at

	chunk   enc // the events since TakeChunk
	answers []Answer
	notices []Notice
	scratch scratch

	// Of checkpoints. sum is the hash of the state as far as record hashes say: all but what ck knows to have changed.
	ck       checkpoint
	frozenAt Mark
	sum      uint64
}

// scratch is memory that is used again from one command to the next.
type scratch struct {
	picks    []part
	chosen   []part
	seats    []*item
	groups   []*seats.Group[*item]
	wants    []resolved
	cursor   cursor
	body     enc
	granted  granted
	released released
	renewed  renewed
	keyed    keyedEvent
}

// Owner is who a grant is for, as far as holding one while waiting for another goes.
type owner struct {
	session uint64
	name    string // in the place of session
}

type ownership struct{ grants, waits int }

// New returns an empty machine: Load and Loaded, then Replay, fill it with what was stored.
func New(cfg Config) *Machine {
	if cfg.KeyRetentionMs == 0 {
		cfg.KeyRetentionMs = 600_000
	}
	if cfg.KeysMax == 0 {
		cfg.KeysMax = 1_000_000
	}
	if cfg.SessionsMax == 0 {
		cfg.SessionsMax = 1_000_000
	}
	m := &Machine{
		cfg:         cfg,
		byName:      make(map[string]*pool),
		grants:      make(map[uint64]*grant),
		waits:       make(map[uint64]*wait),
		sessions:    make(map[uint64]*session),
		keys:        make(map[keyName]*keyed),
		waitsDue:    dueHeap[wait]{place: func(w *wait) *int32 { return &w.due }},
		sessionsDue: dueHeap[session]{place: func(s *session) *int32 { return &s.due }},
		keysDue:     dueHeap[keyed]{place: func(k *keyed) *int32 { return &k.due }},
	}
	m.ck.gen = 1
	if cfg.RefuseHoldAndWait {
		m.owners = make(map[owner]ownership)
	}
	return m
}

// Rev returns the number of the last event.
func (m *Machine) Rev() uint64 { return m.rev }

// Now returns the machine's clock, in ms: the highest time it was told.
func (m *Machine) Now() int64 { return m.now }

// Command is what a client or the server asks of the machine. A Command is not kept.
type Command interface {
	decide(m *Machine, r *Reply)
}

// Reply is what becomes of a command.
type Reply struct {
	Err *Error // nil: it was done, or waits

	// Rev is that of the last event the reply tells of. Whoever has it may ask any server of the same store whether that
	// one knows as much.
	Rev uint64

	// Waiting, when not 0, is the number of the wait that the command has become: an Answer follows.
	Waiting uint64

	Grant, Token uint64 // of a lease, a hold, a sale, a booking
	ExpiresAt    int64  // ms; 0: it does not end by itself
	Items        []Given
	Conflicts    []Given // what a Book found booked already, and so did not book

	Session uint64 // that was opened or resumed

	Count, Other int    // of items: released; added and changed; removed and draining
	Cursor       string // of a Drain of all, when there are more

	// Repeated says that the outcome is that of an earlier command with the same key.
	Repeated bool
}

// Given is an item that was given out.
type Given struct {
	Pool, ID string
	Labels   string // a JSON object; empty: none
	Attrs    string // a JSON value; empty: none
	Units    int64  // of its quantity
	Span     Span   // of a calendar; zero: none
}

// Answer is the reply to a command that has waited.
type Answer struct {
	Wait    uint64
	Session uint64 // 0: none
	Kind    Kind   // as which it was asked for
	Reply   Reply
}

// Notice is something that a holder is to be told.
type Notice struct {
	Kind         Kind // as which it asked
	Session      uint64
	Lost         Cause // empty: the grant is about to end
	Grant, Token uint64
	ExpiresAt    int64
}

// Decide has the machine carry out a command at time now, in ms, and sets r to the outcome. A time before one that the
// machine was told already counts as that one, and a chunk has one time: the clock stands still from a chunk's first event
// until TakeChunk.
func (m *Machine) Decide(now int64, c Command, r *Reply) {
	m.advance(now)
	*r = Reply{}
	c.decide(m, r)
	if r.Rev == 0 {
		r.Rev = m.rev
	}
}

func (m *Machine) advance(now int64) {
	if len(m.chunk) == 0 { // a chunk has one time
		m.now = max(m.now, now)
	}
}

// fail sets r to a refusal.
func (r *Reply) fail(code Code, format string, args ...any) {
	r.Err = &Error{code, fmt.Sprintf(format, args...)}
}

// TakeChunk returns the events since the last call, to be appended to the journal under the number Rev; nil when there
// are none. It is the caller's.
func (m *Machine) TakeChunk() []byte {
	if len(m.chunk) == 0 {
		return nil
	}
	c := m.chunk
	m.chunk = make(enc, 0, len(c)+len(c)/4)
	return c
}

// TakeAnswers returns the answers to waits, and the notices, since the last call. They are valid until the next one. A
// notice that an end is near is left out when that end has been put off, or has come, since: the client is told of that first.
func (m *Machine) TakeAnswers() ([]Answer, []Notice) {
	a, n := m.answers, m.notices
	m.answers, m.notices = m.answers[len(a):], m.notices[len(n):]
	return a, slices.DeleteFunc(n, func(n Notice) bool {
		g := m.grants[n.Grant]
		return n.Lost == "" && (g == nil || g.token != n.Token || g.expiresAt != n.ExpiresAt)
	})
}

// Load takes a record of a checkpoint. All are loaded, in the order of their keys, before Loaded.
func (m *Machine) Load(key, value []byte) error {
	if len(key) == 0 {
		return errors.New("pool: a record without a key")
	}
	k, v := &dec{p: key[1:]}, &dec{p: value}
	var err error
	var r record
	switch key[0] {
	case recPool:
		r, err = m.loadPool(k, v)
	case recItem:
		r, err = m.loadItem(k, v)
	case recSession:
		r, err = m.loadSession(k, v)
	case recGrant:
		r, err = m.loadGrant(k, v)
	case recWait:
		r, err = m.loadWait(k, v)
	case recKey:
		r, err = m.loadKey(k, v)
	default:
		err = errors.New("a newer kassa wrote it")
	}
	if err = errors.Join(err, k.err(), v.err()); err != nil {
		return fmt.Errorf("pool: record %q: %w", key, err)
	}
	// The hash is that of what is stored, which an older version may have written.
	m.scratch.body = append(append(m.scratch.body[:0], key...), value...)
	x := r.rec()
	x.hash, x.stored = hashOf(m.scratch.body), true
	m.sum += x.hash
	return nil
}

var errTwice = errors.New("there are two of them")

// Loaded ends the loading of a checkpoint, and checks that it is whole.
func (m *Machine) Loaded(mark Mark) error {
	m.rev, m.now = mark.Rev, mark.Clock
	if m.sum != mark.Hash {
		return fmt.Errorf("pool: the checkpoint at rev %d is damaged: its records have the hash %x, it says %x", mark.Rev, m.sum, mark.Hash)
	}
	for _, p := range m.pools {
		slices.SortFunc(p.order, func(a, b place) int { return compare(a.ordinal, b.ordinal) })
		byFreed := make([]*item, 0, len(p.order))
		for i, at := range p.order {
			if at.ordinal > p.ordinal || i > 0 && at.ordinal == p.order[i-1].ordinal {
				return fmt.Errorf("pool: item %q of pool %q has a place that can not be", at.item.id, p.name)
			}
			if p.hall.At(at.item.row, at.item.col) != nil {
				return fmt.Errorf("item %q of pool %q is in another's place", at.item.id, p.name)
			}
			at.item.class.join(at.item)
			p.count(at.item, +1)
			if at.item.available() > 0 {
				byFreed = append(byFreed, at.item)
			}
		}
		slices.SortStableFunc(byFreed, func(a, b *item) int { return compare(a.freedRev, b.freedRev) })
		for _, it := range byFreed {
			it.class.add(it)
		}
	}
	m.linkGrants()
	for _, k := range m.keys {
		if w := m.waits[k.wait]; k.until == 0 && (w == nil || w.keyed != k.keyName) {
			return fmt.Errorf("pool: key %q waits for %d, which does not wait", k.keyName.key, k.wait)
		}
	}
	return m.linkWaits()
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
