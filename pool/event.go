package pool

import (
	"encoding/binary"
	"fmt"
)

// event is a change of the state. Apply is the only place where the state changes, live and in replay.
//
// Types of events are never changed or taken away, only added; their fields are only added to, at the end.
type event interface {
	kind() byte
	put(*enc)
	get(*dec)
	apply(m *Machine) error // with m.rev and m.now those of the event; an error can only be met in replay
	describe(*Event)
}

const (
	evPoolSet byte = iota + 1
	evPoolRetired
	evPoolGone
	evItemSet
	evItemState
	evItemDrained
	evGranted
	evRenewed
	evExpiring
	evReleased
	evWaiting
	evWaitEnded
	evWaitMoved
	evSessionOpened
	evSessionGone
	evSessionResumed
	evSessionEnded
	evRestarted
	evKeyed
	evKeyForgotten
	evConfirmed
	evMoved
)

func newEvent(kind byte) event {
	switch kind {
	case evPoolSet:
		return new(poolSet)
	case evPoolRetired:
		return new(poolRetired)
	case evPoolGone:
		return new(poolGone)
	case evItemSet:
		return new(itemSet)
	case evItemState:
		return new(itemStateSet)
	case evItemDrained:
		return new(itemDrained)
	case evGranted:
		return new(granted)
	case evRenewed:
		return new(renewed)
	case evExpiring:
		return new(expiring)
	case evReleased:
		return new(released)
	case evWaiting:
		return new(waiting)
	case evWaitEnded:
		return new(waitEnded)
	case evWaitMoved:
		return new(waitMoved)
	case evSessionOpened:
		return new(sessionOpened)
	case evSessionGone:
		return new(sessionGone)
	case evSessionResumed:
		return new(sessionResumed)
	case evSessionEnded:
		return new(sessionEnded)
	case evRestarted:
		return new(restarted)
	case evKeyed:
		return new(keyedEvent)
	case evKeyForgotten:
		return new(keyForgotten)
	case evConfirmed:
		return new(confirmed)
	case evMoved:
		return new(moved)
	}
	return nil
}

// chunkFormat is the first byte of a chunk. Then come the rev of its first event, the clock, and the events, each as its
// kind, its length, and what put appends.
const chunkFormat = 1

// emit applies an event that was decided on, and appends it to the chunk.
func (m *Machine) emit(ev event) {
	if len(m.chunk) == 0 {
		m.chunk.byte(chunkFormat)
		m.chunk.uint(m.rev + 1)
		m.chunk.int(m.now)
	}
	body := &m.scratch.body
	*body = (*body)[:0]
	ev.put(body)
	m.chunk.byte(ev.kind())
	m.chunk.uint(uint64(len(*body)))
	m.chunk = append(m.chunk, *body...)
	m.rev++
	if err := ev.apply(m); err != nil {
		panic(fmt.Sprintf("pool: event %T can not be applied: %v", ev, err))
	}
}

// Replay applies the events of a chunk, whose number is seq.
func (m *Machine) Replay(seq uint64, chunk []byte) error {
	first, clock, events, err := openChunk(chunk)
	if err != nil {
		return fmt.Errorf("pool: chunk %d: %w", seq, err)
	}
	if first != m.rev+1 {
		return fmt.Errorf("pool: chunk %d begins with event %d, but the state is that after event %d", seq, first, m.rev)
	}
	m.advance(clock)
	for len(events.p) > 0 {
		ev, err := nextEvent(&events)
		if err == nil {
			m.rev++
			err = ev.apply(m)
		}
		if err != nil {
			return fmt.Errorf("pool: chunk %d, event %d: %w", seq, m.rev, err)
		}
	}
	if m.rev != seq {
		return fmt.Errorf("pool: chunk %d ends with event %d", seq, m.rev)
	}
	return nil
}

func openChunk(chunk []byte) (first uint64, clock int64, events dec, err error) {
	d := dec{p: chunk}
	if format := d.byte(); format != chunkFormat {
		return 0, 0, d, fmt.Errorf("format %d is not known: a newer kassa wrote it", format)
	}
	first, clock = d.uint(), d.int()
	return first, clock, d, d.err()
}

func nextEvent(d *dec) (event, error) {
	kind := d.byte()
	if len(d.p) == 0 {
		return nil, errTruncated // the length is always there
	}
	body := dec{p: d.bytes()}
	ev := newEvent(kind)
	if ev == nil {
		return nil, fmt.Errorf("type %d is not known: a newer kassa wrote it", kind)
	}
	ev.get(&body)
	if d.bad || body.bad {
		return nil, errTruncated
	}
	return ev, nil
}

// Event is an event as those who watch are told of it, and as the audit log shows it.
type Event struct {
	Rev     uint64
	At      int64  // ms
	Type    string // lease.granted, …
	Pool    string // where it is about one
	Items   []ItemRef
	Was     []ItemRef // before they were moved
	Labels  string    // of an item that was set: a JSON object; empty: none
	Attrs   string    // likewise: a JSON value; empty: none
	Kind    Kind      // of the grant: what it is called; or of the pool of item.state
	Grant   uint64
	Token   uint64
	Wait    uint64
	Session uint64
	Client  string
	Owner   string

	ExpiresAt int64 // ms
	State     string
	Withheld  *int64 // units of an item that are not for sale now; nil: it tells nothing of that
	Outcome   string
	Cause     string
}

// Events calls fn for each event of a chunk, until it returns false. The Event is fn's until it returns.
func Events(chunk []byte, fn func(*Event) bool) error {
	rev, clock, events, err := openChunk(chunk)
	if err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	for ; len(events.p) > 0; rev++ {
		ev, err := nextEvent(&events)
		if err != nil {
			return fmt.Errorf("pool: event %d: %w", rev, err)
		}
		e := Event{Rev: rev, At: clock}
		ev.describe(&e)
		if !fn(&e) {
			return nil
		}
	}
	return nil
}

// ChunkFirst returns the rev of a chunk's first event.
func ChunkFirst(chunk []byte) uint64 {
	if len(chunk) == 0 {
		return 0
	}
	rev, _ := binary.Uvarint(chunk[1:])
	return rev
}
