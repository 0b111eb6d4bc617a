package client

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"github.com/bytedance/sonic/decoder"

	"github.com/kassa-go/kassa/codec"
)

// callState says who has a call. It is guarded by Client.mu.
type callState uint8

const (
	callIdle      callState = iota // its caller
	callQueued                     // the client, in Client.queue: not sent
	callPending                    // a conn, in conn.pending: sent or being written
	callWriting                    // a conn's writer: one-way, being written
	callAbandoned                  // a conn's writer, likewise; the caller has left, so the writer frees it
	callFinished                   // its caller again, as soon as done says so
)

// call is one request on its way. A caller fills it, gives it to Client.enqueue, and waits for done or for its
// context. It takes it back either way: from done, or by Client.abandon. Whoever has it last puts it back into the pool.
type call struct {
	typ      string
	key      string
	minRev   uint64
	deadline time.Time // zero: none
	payload  []byte    // in scratch, or the caller's own; only read while the caller waits
	opaque   bool
	oneWay   bool
	discard  bool        // nobody wants to see the result
	only     *conn       // that may send it; nil: any
	session  uint64      // of only, that it may be sent in; 0: any
	answered func(*call) // called in the place of done: with Client.mu held, unless there is a reply
	lease    *Lease      // of lease.renew

	// Guarded by Client.mu.
	state      callState
	conn       *conn  // while pending
	index      uint64 // likewise
	prev, next *call  // while queued
	unwanted   bool   // taken back: it is not sent again

	// Set as it is sent, of one that has only: when, over which socket, and what hello had told there.
	sentAt time.Time
	sock   net.Conn
	under  *greeting

	// Set before done by whoever finishes the call.
	reply       []byte // the result, in memory of its own; nil: null
	replyOpaque bool
	rev         uint64
	err         error
	grant       grant // of an acquisition

	done    chan struct{} // of 1; takes one value per use
	scratch []byte        // encoded payloads, from use to use
	decoder decoder.Decoder
}

// scratchBytesMax is the largest scratch space a call keeps in the pool.
const scratchBytesMax = 64 << 10

var callPool = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// newCall returns a call for req. What is wrong with req is found here, before anybody else sees it.
func newCall(ctx context.Context, req *Request) (*call, error) {
	if n := len(req.Type); n == 0 || n > codec.TypeBytesMax {
		return nil, fmt.Errorf("type of %d bytes, not 1 to %d", n, codec.TypeBytesMax)
	}
	if n := len(req.Key); n > codec.KeyBytesMax {
		return nil, fmt.Errorf("key of %d bytes, over %d", n, codec.KeyBytesMax)
	}
	c := callPool.Get().(*call)
	c.typ, c.key, c.minRev, c.oneWay = req.Type, req.Key, req.MinRev, req.OneWay
	c.deadline, _ = ctx.Deadline()
	if err := c.encode(req.Payload); err != nil {
		c.free()
		return nil, fmt.Errorf("payload of %s: %w", req.Type, err)
	}
	return c, nil
}

// free puts the call back. Nobody else may know it any more.
func (c *call) free() {
	done, scratch := c.done, c.scratch
	if cap(scratch) > scratchBytesMax {
		scratch = nil
	}
	*c = call{done: done, scratch: scratch}
	callPool.Put(c)
}

// finish ends the call; from then on it is its caller's. Of one that was enqueued, state is set first, under Client.mu.
func (c *call) finish(err error) {
	c.err = err
	if c.answered != nil {
		c.answered(c)
		return
	}
	c.done <- struct{}{}
}

// frame sets f to the request as it is sent at the time now. It reports false when its time is over.
func (c *call) frame(f *codec.Frame, now time.Time) bool {
	var deadlineMs uint32
	if !c.deadline.IsZero() {
		left := c.deadline.Sub(now)
		if left <= 0 {
			return false
		}
		deadlineMs = uint32(min((left+time.Millisecond-1)/time.Millisecond, math.MaxUint32))
	}
	f.Kind = codec.Request
	f.Type = append(f.Type[:0], c.typ...)
	f.Key = append(f.Key[:0], c.key...)
	f.Payload, f.Opaque = c.payload, c.opaque
	f.DeadlineMs, f.OneWay, f.MinRev = deadlineMs, c.oneWay, c.minRev
	return true
}

// callList is a queue of calls from which any can be taken.
type callList struct {
	first, last *call
	len         int
}

func (l *callList) pushBack(c *call) {
	c.prev, c.next = l.last, nil
	if l.last != nil {
		l.last.next = c
	} else {
		l.first = c
	}
	l.last = c
	l.len++
}

func (l *callList) pushFront(c *call) {
	c.prev, c.next = nil, l.first
	if l.first != nil {
		l.first.prev = c
	} else {
		l.last = c
	}
	l.first = c
	l.len++
}

func (l *callList) remove(c *call) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.prev, c.next = nil, nil
	l.len--
}
