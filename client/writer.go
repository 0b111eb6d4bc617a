package client

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// sentCall is a call in the writer's hands.
type sentCall struct {
	call   *call
	index  uint64
	start  int // where its frame begins, in bytes
	oneWay bool
}

// writeBytes is when a write is full: the next frames go with the next one.
const writeBytes = 64 << 10

// write sends what is queued, as much as there is with each write, until cn.sock is no longer s. Then it tells done why
// it stopped, if that was a failed write.
func (cn *conn) write(s net.Conn, done chan<- error) {
	var (
		out  []byte
		sent []sentCall
		f    codec.Frame
	)
	for {
		if !cn.awaitWork(s) {
			done <- nil
			return
		}
		out, sent = cn.collect(&f, out[:0], sent[:0])
		if len(out) == 0 {
			continue
		}
		n, err := s.Write(out)
		cn.settle(sent, n, err)
		if err != nil {
			// What the server has answered, or why it hung up, may still be there to be read; not for long, though.
			s.SetReadDeadline(time.Now().Add(time.Second))
			done <- fmt.Errorf("write: %w", err)
			return
		}
		clear(sent)
		if cap(out) > 4*writeBytes {
			out = nil
		}
	}
}

// awaitWork waits until there is something to send on s; false: s is gone.
func (cn *conn) awaitWork(s net.Conn) bool {
	cn.client.mu.Lock()
	defer cn.client.mu.Unlock()
	for waited := false; cn.sock == s; {
		switch {
		case len(cn.cancels) == 0 && (cn.nextLocked() == nil || !cn.hasPlaceLocked()):
			cn.idle, waited = true, true
			cn.wake.Wait()
			cn.idle = false
		case waited:
			// Let the other goroutines that are ready to run queue theirs too: they leave in the same write. With 64 of
			// them a request takes half to two thirds of the time (measured on 2 cores), and with one no longer.
			waited = false
			cn.client.mu.Unlock()
			runtime.Gosched()
			cn.client.mu.Lock()
		default:
			return true
		}
	}
	// Somebody may have woken this writer for a call, which another one has to send now.
	cn.client.wakeWriterLocked()
	return false
}

// nextLocked returns the call that is to be sent next, nil if there is none.
func (cn *conn) nextLocked() *call {
	if cn.queue.first != nil {
		return cn.queue.first
	}
	return cn.client.queue.first
}

// collect takes cancels and calls off the queue and appends their frames to out. f is scratch space.
func (cn *conn) collect(f *codec.Frame, out []byte, sent []sentCall) ([]byte, []sentCall) {
	now := time.Now()
	cn.client.mu.Lock()
	defer cn.client.mu.Unlock()
	for _, index := range cn.cancels {
		out = cn.appendCancelLocked(f, out, index)
	}
	cn.cancels = cn.cancels[:0]
	for len(out) < writeBytes && cn.hasPlaceLocked() {
		c := cn.nextLocked()
		if c == nil {
			break
		}
		cn.client.listOf(c).remove(c)
		if c.only != nil {
			c.sentAt, c.sock, c.under = now, cn.sock, cn.greeting
		}
		start := len(out)
		var err error
		if c.session != 0 && c.session != c.under.session {
			err = errSessionGone
		} else {
			out, err = cn.appendCallLocked(f, out, c, now)
		}
		if err != nil {
			c.state = callFinished
			c.finish(notSent(err))
			continue
		}
		sent = append(sent, sentCall{c, f.Index, start, c.oneWay})
		if c.oneWay {
			c.state = callWriting
		} else {
			c.state = callPending
			c.conn, c.index = cn, f.Index
			cn.pending[f.Index] = c
		}
	}
	cn.client.wakeWriterLocked()
	return out, sent
}

func (cn *conn) appendCallLocked(f *codec.Frame, out []byte, c *call, now time.Time) ([]byte, error) {
	if !c.frame(f, now) {
		return out, context.DeadlineExceeded
	}
	cn.lastIndex++
	f.Index, f.HasIndex = cn.lastIndex, true
	start := len(out)
	out, err := cn.client.cfg.Codec.Append(out, f)
	if err != nil {
		return out, err
	}
	if n, limit := len(out)-start, cn.client.cfg.FrameBytesMax; n > limit {
		return out[:start], codec.NewError(codec.FrameTooLarge, fmt.Sprintf("request %s of %d bytes, over Config.FrameBytesMax, %d", c.typ, n, limit))
	}
	return out, nil
}

// appendCancelLocked has the server take back request index. One that can not be encoded is not sent: it is a courtesy.
func (cn *conn) appendCancelLocked(f *codec.Frame, out []byte, index uint64) []byte {
	cancel := call{typ: "cancel", oneWay: true}
	cancel.payload = append(strconv.AppendUint([]byte(`{"queryIndex":`), index, 10), '}')
	out, _ = cn.appendCallLocked(f, out, &cancel, time.Time{})
	return out
}

// settle does what is left to do for calls of whose frames n bytes have been written: one-way ones are done with that.
// What a failed write has not begun goes back to the queue; the rest stays pending.
func (cn *conn) settle(sent []sentCall, n int, err error) {
	if err == nil && !slices.ContainsFunc(sent, func(s sentCall) bool { return s.oneWay }) {
		return
	}
	cn.client.mu.Lock()
	defer cn.client.mu.Unlock()
	for _, s := range slices.Backward(sent) {
		unsent := err != nil && s.start >= n
		switch {
		case s.oneWay && s.call.state == callAbandoned:
			s.call.free()
		case s.oneWay && err == nil:
			s.call.state = callFinished
			s.call.finish(nil)
		case s.oneWay && !unsent:
			s.call.state = callFinished
			s.call.finish(outcomeUnknown(err))
		// Not one-way: s.call may be in other hands by now, unless it is still pending under its index.
		case unsent && (s.oneWay || cn.pending[s.index] != nil):
			delete(cn.pending, s.index)
			cn.client.requeueLocked(s.call)
		}
	}
	if err != nil {
		cn.client.wakeWriterLocked()
	}
}
