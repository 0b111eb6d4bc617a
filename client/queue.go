package client

import (
	"context"
	"fmt"
)

// enqueue takes call over, to be sent when it is its turn. On an error it stays the caller's.
func (c *Client) enqueue(call *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.listOf(call)
	switch {
	case c.closed:
		return ErrClosed
	case list.len >= c.cfg.WaitingMax:
		return ErrBacklogFull
	}
	call.state = callQueued
	list.pushBack(call)
	c.wakeWriterLocked()
	return nil
}

// listOf returns the list that call is queued in.
func (c *Client) listOf(call *call) *callList {
	if call.only != nil {
		return &call.only.queue
	}
	return &c.queue
}

// requeueLocked takes back a call that could not be sent after all; who gives it back wakes another writer.
func (c *Client) requeueLocked(call *call) {
	if c.closed || call.unwanted {
		call.state = callFinished
		if c.closed {
			call.finish(notSent(ErrClosed))
		} else {
			call.finish(notSent(context.Canceled))
		}
		return
	}
	call.state = callQueued
	c.listOf(call).pushFront(call)
}

// wakeWriterLocked wakes one writer for what is queued, if anything is: in turn, the next that is idle and has a place.
// That one wakes the next if it leaves anything. Where none is idle nothing is lost: a writer looks at the queue when it
// has written, when it gets a place, and when it gets a connection.
func (c *Client) wakeWriterLocked() {
	if cn := c.conns[0]; cn.queue.first != nil && cn.idle && cn.hasPlaceLocked() {
		cn.idle = false
		cn.wake.Signal()
	}
	if c.queue.first == nil {
		return
	}
	for i := range c.conns {
		n := c.turn + i
		if n >= len(c.conns) {
			n -= len(c.conns)
		}
		if cn := c.conns[n]; cn.idle && cn.hasPlaceLocked() {
			cn.idle = false
			cn.wake.Signal()
			c.turn = (n + 1) % len(c.conns)
			return
		}
	}
}

// abandon takes call back for why, and frees it. It returns nil when it is too late: then the call is finished, or about
// to be.
func (c *Client) abandon(call *call, why error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch call.state {
	case callQueued:
		c.listOf(call).remove(call)
		call.free()
		if c.down != nil && !c.isUpLocked() {
			why = fmt.Errorf("%w (not connected: %v)", why, c.down)
		}
		return notSent(why)
	case callPending:
		cn := call.conn
		cn.pending[call.index] = nil
		cn.cancels = append(cn.cancels, call.index)
		cn.wake.Signal()
		call.free()
		return why
	case callWriting:
		call.state = callAbandoned
		return why
	}
	return nil
}

// takeBack has the server take call back if it still can. The answer is awaited all the same; but it reports true for one
// that was not sent: that is its caller's again.
func (c *Client) takeBack(call *call) (unsent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch call.state {
	case callQueued:
		c.listOf(call).remove(call)
		call.state = callIdle
		return true
	case callPending:
		call.unwanted = true
		call.conn.cancels = append(call.conn.cancels, call.index)
		call.conn.wake.Signal()
	}
	return false
}

func (c *Client) isUpLocked() bool {
	for _, cn := range c.conns {
		if cn.sock != nil {
			return true
		}
	}
	return false
}

// closeCalls ends the calls that have not been sent, and has the conns end the others.
func (c *Client) closeCalls() {
	err := notSent(ErrClosed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	end := func(list *callList) {
		for call := list.first; call != nil; call = list.first {
			list.remove(call)
			call.state = callFinished
			call.finish(err)
		}
	}
	end(&c.queue)
	for _, cn := range c.conns {
		end(&cn.queue)
		if cn.sock != nil {
			cn.sock.Close()
		}
	}
}
