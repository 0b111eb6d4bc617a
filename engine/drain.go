package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Shutdown ends the engine without losing an answer: new connections and requests are refused with draining, what was
// taken is answered, and what was answered is sent. When ctx is over first, what is left is told that its outcome is
// unknown, and an error says how much that was. Then the connections are closed. A second call waits for the first, but
// no longer than its own ctx.
func (e *Engine) Shutdown(ctx context.Context) error {
	if !e.draining.CompareAndSwap(false, true) {
		select {
		case <-e.ended:
			return e.err
		case <-ctx.Done():
			return fmt.Errorf("engine: still shutting down: %w", context.Cause(ctx))
		}
	}
	e.onLoops(func(l *loop) { l.drain(false) })
	lost, unsent := e.waitIdle(ctx)
	if lost > 0 {
		e.onLoops(func(l *loop) { l.drain(true) })
		// What other goroutines had on its way is behind that: a second turn has it written.
		e.onLoops(func(*loop) {})
	}
	// Let clients read what was sent: closing at once could reset connections whose clients are still sending.
	e.onLoops(func(l *loop) { l.each((*Conn).linger) })
	e.waitClosed(lingerAtEnd)
	e.end()
	err := e.Wait()
	if err == nil && lost+unsent > 0 {
		err = fmt.Errorf("engine: shut down with %d requests under way, and %d clients that had not taken all their answers: %w",
			lost, unsent, context.Cause(ctx))
	}
	return err
}

const (
	// drainPoll is how often a drain looks whether all is done. It ends once, so asking is simpler than being told.
	drainPoll = 2 * time.Millisecond
	// lingerAtEnd is how long clients have to read the last answers before their connections are closed.
	lingerAtEnd = 250 * time.Millisecond
)

func (l *loop) drain(final bool) {
	l.each(func(c *Conn) {
		if c.state == open {
			c.peer.Drain(final)
			c.Resume() // what was sent ahead of the credit is refused now
		}
	})
}

// waitIdle waits until nothing is pending and all is sent. When ctx is over first, it returns how many requests are pending
// and how many connections have something unsent.
func (e *Engine) waitIdle(ctx context.Context) (requests, conns int64) {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for {
		var pending, unsent atomic.Int64
		e.onLoops(func(l *loop) {
			l.each(func(c *Conn) {
				if c.state == open {
					pending.Add(int64(c.peer.Pending()))
				}
				if c.gc.OutboundBuffered() > 0 || c.starved && c.state == open {
					unsent.Add(1)
				}
			})
		})
		if pending.Load()+unsent.Load() == 0 {
			return 0, 0
		}
		select {
		case <-ctx.Done():
			return pending.Load(), unsent.Load()
		case <-e.stopping:
			return pending.Load(), unsent.Load()
		case <-tick.C:
		}
	}
}

// waitClosed waits until all clients have closed their connections, but no longer than atMost.
func (e *Engine) waitClosed(atMost time.Duration) {
	over := time.NewTimer(atMost)
	defer over.Stop()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for e.conns.Load() > 0 {
		select {
		case <-over.C:
			return
		case <-e.stopping:
			return
		case <-tick.C:
		}
	}
}
