package engine

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/kassa-go/kassa/codec"
)

// loop is what the engine keeps for one of gnet's event loops. All of it but e, el and id belongs to the loop's
// goroutine.
type loop struct {
	e  *Engine
	el gnet.EventLoop
	id int

	conns []*Conn              // all, in no order; a Conn knows its place
	waits map[*Conn][]sentWait // who waits for the few that have much to send
	tick  uint32               // sweeps so far; the clock that time-outs are measured with

	frame codec.Frame // the request that is being taken
	out   []byte      // what outTo is sent at the next flush
	outTo *Conn       // nil: out is empty
}

// outBytesKeep bounds the buffer that a loop keeps for writing: about what one write to a socket takes.
const outBytesKeep = 512 << 10

// execute runs f soon on the loop's goroutine. gnet keeps the order of such calls only while fewer than 1,024 of them
// wait, so callers keep one outstanding.
func (l *loop) execute(f func()) error {
	// gnet closes the loops' event descriptors before it refuses to write to them. By then their numbers may be others'.
	l.e.polling.RLock()
	defer l.e.polling.RUnlock()
	if l.e.closed {
		return errClosed
	}
	return l.el.Execute(context.Background(), task{l, f})
}

var errClosed = errors.New("engine: has ended")

type task struct {
	l *loop
	f func()
}

func (t task) Run(context.Context) error {
	t.f()
	t.l.flush()
	return nil
}

// open takes in a new connection, or refuses it.
func (l *loop) open(gc gnet.Conn) {
	e := l.e
	c := &Conn{gc: gc, loop: l, codec: e.cfg.Codec, remote: gc.RemoteAddr(), place: len(l.conns), lastTick: l.tick}
	_, c.detecting = c.codec.(codec.Detector)
	gc.SetContext(c)
	l.conns = append(l.conns, c)
	e.conns.Add(1)
	why := errTooManyConnections
	switch {
	case e.draining.Load():
		why = errDraining
	case e.admit():
		e.counts.accepted.Add(1)
		c.peer = e.cfg.Open(c)
		return
	}
	e.counts.refused.Add(1)
	c.refused = true
	crowded := e.refusing.Add(1) > refusingMax
	c.fail(why)
	if crowded && c.state != gone {
		l.el.Close(gc)
	}
}

// admit takes one of the places for connections, if there is one. Loops ask at the same time.
func (e *Engine) admit() bool {
	for {
		n := e.admitted.Load()
		if n >= e.connsMax {
			return false
		}
		if e.admitted.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// refusingMax is how many refused connections may wait for their clients to see why. Each uses one of the spare
// descriptors; more are closed at once, and a client that has sent something already may be cut off before it sees why.
const refusingMax = descriptorsSpare / 2

// flush sends what the connection written to last has been answered in this turn.
func (l *loop) flush() {
	c := l.outTo
	if c == nil {
		return
	}
	l.outTo = nil
	out := l.out
	l.out = l.out[:0]
	if cap(out) > outBytesKeep {
		l.out = nil
	}
	c.send(out)
}

// sweep has every loop look for connections that have been silent for too long, until the engine ends.
func (e *Engine) sweep() {
	tick := time.NewTicker(e.tickEvery())
	defer tick.Stop()
	for {
		select {
		case <-e.stopping:
			return
		case <-tick.C:
			e.onLoops((*loop).sweep)
		}
	}
}

// tickEvery is how exact time-outs are: a quarter of the shortest, a second at most.
func (e *Engine) tickEvery() time.Duration {
	every := min(time.Second, e.cfg.FrameTimeout/4)
	if e.cfg.IdleTimeout > 0 {
		every = min(every, e.cfg.IdleTimeout/4)
	}
	return max(every, time.Millisecond)
}

// ticks returns how many sweeps a time-out lasts.
func (e *Engine) ticks(timeout time.Duration) uint32 {
	return uint32(min(max(timeout/e.tickEvery(), 1), math.MaxUint32))
}

func (l *loop) sweep() {
	e := l.e
	l.tick++
	frame, idle, linger := e.ticks(e.cfg.FrameTimeout), e.ticks(e.cfg.IdleTimeout), max(2, e.ticks(lingerMax))
	hasIdle := e.cfg.IdleTimeout > 0
	l.each(func(c *Conn) {
		switch {
		case c.state == lingering:
			c.halfClose()
			if l.tick-c.lastTick > linger {
				l.el.Close(c.gc)
			}
		case c.frameTick != 0 && l.tick-c.frameTick > frame:
			e.counts.timedOut.Add(1)
			c.fail(errFrameTimeout)
		case !hasIdle:
		case c.peer.Pending() > 0 || c.gc.OutboundBuffered() > 0:
			c.lastTick = l.tick // its time begins when it has all its answers
		case l.tick-c.lastTick > idle:
			e.counts.timedOut.Add(1)
			c.fail(errIdle)
		}
	})
}

// each calls f for every connection. f may close any: that moves the last one, already seen, into the gap.
func (l *loop) each(f func(*Conn)) {
	for i := len(l.conns) - 1; i >= 0; i-- { //nolint:modernize // slices.Backward does not see that the slice gets shorter
		if i < len(l.conns) {
			f(l.conns[i])
		}
	}
}

// lingerMax is how long a connection that was told why it is closed has for reading that.
const lingerMax = 2 * time.Second
