package client

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// conn is one of a client's connections, through all the sockets it has had. Two goroutines work for it:
//
//   - "conn" (run) lives as long as the client. It connects, then reads: it owns the frames of the socket, hands answers
//     to their calls, and is woken by bytes, by the socket's end, or by the end of a pause between attempts.
//   - "writer" (write) lives as long as a socket, and is started and awaited by conn. It owns what is being written, and
//     is woken by wake: calls queued, places free again, cancels, the socket gone.
//
// All fields are guarded by client.mu.
type conn struct {
	client *Client

	sock net.Conn // nil: not connected
	wake sync.Cond
	idle bool // the writer waits for calls; who wakes it for one sets this to false

	// pending holds the calls that have been given to sock, by index: at most InFlightMax. A call that was abandoned
	// leaves a nil, until it is answered.
	pending map[uint64]*call
	// cancels are the indexes to be cancelled at the server. Each was pending when the writer last came by, so there are
	// at most InFlightMax.
	cancels []uint64
	// queue are the calls that only this connection may send, oldest first: at most WaitingMax, and what failed writes gave
	// back. Only the client's first connection has any.
	queue callList

	hello    bool      // each socket is to be greeted by hello, not by ping
	greeted  bool      // this one was
	greeting *greeting // what the last hello told; nil: there was none

	// lastIndex is that of the last request. It goes on from socket to socket, so that no answer can find a wrong request.
	// Half a million requests a second take 500 years to 2^53.
	lastIndex uint64
}

func newConn(c *Client) *conn {
	cn := &conn{client: c, pending: make(map[uint64]*call), hello: c.cfg.OnPush != nil}
	cn.wake.L = &c.mu
	return cn
}

// hasPlaceLocked reports whether one more request may go out on the connection.
func (cn *conn) hasPlaceLocked() bool {
	return cn.sock != nil && len(cn.pending) < cn.client.cfg.InFlightMax
}

// run keeps the connection up until ctx is done, beginning with s, if that is not nil.
func (cn *conn) run(ctx context.Context, s *socket) {
	defer cn.client.running.Done()
	cfg := &cn.client.cfg
	pauses := backoff{min: cfg.BackoffMin, max: cfg.BackoffMax}
	lost := false
	for {
		var err error
		if s == nil {
			s, err = cn.connect(ctx)
		}
		if err == nil {
			if lost {
				cn.client.reconnected()
				cfg.Log.Info("connected again", "addr", cfg.Addr)
			}
			var answered bool
			if answered, err = cn.serve(s); answered {
				pauses.reset()
			}
			s, lost = nil, true
		}
		if ctx.Err() != nil {
			cn.fail(ErrClosed)
			return
		}
		pause := pauses.next()
		cn.fail(err)
		cfg.Log.Warn("not connected", "addr", cfg.Addr, "err", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// serve reads and writes s to its end, and says whether the server answered anything, and why it ended.
func (cn *conn) serve(s *socket) (answered bool, err error) {
	cn.client.mu.Lock()
	if cn.client.closed {
		cn.client.mu.Unlock()
		s.Close()
		return false, ErrClosed
	}
	cn.sock = s
	cn.client.mu.Unlock()

	written := make(chan error, 1)
	go cn.write(s, written)
	answered, err = cn.read(&s.frames)

	s.Close()
	cn.client.mu.Lock()
	cn.sock, cn.greeted = nil, false
	cn.wake.Signal()
	cn.client.checkGivenLocked()
	cn.client.mu.Unlock()
	// The writer gives back what it could not send.
	if writeErr := <-written; writeErr != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = writeErr // and there was nothing more to read
	}
	return answered, err
}

// fail ends the requests that were under way: the connection is lost because of cause.
func (cn *conn) fail(cause error) {
	unknown := outcomeUnknown(cause)
	cn.client.mu.Lock()
	defer cn.client.mu.Unlock()
	cn.client.down = cause
	for _, c := range cn.pending {
		if c != nil {
			c.state = callFinished
			c.finish(unknown)
		}
	}
	clear(cn.pending)
	cn.cancels = cn.cancels[:0]
}

// read hands out what the server sends, until the stream ends or the server says what it must not.
func (cn *conn) read(fs *frames) (answered bool, err error) {
	for {
		f, err := fs.next()
		if err != nil {
			return answered, err
		}
		switch {
		case f.Kind == codec.Push:
			cn.client.push(f)
		case f.Kind != codec.Reply && f.Kind != codec.Failure:
			return answered, protocolError("a request from the server")
		case f.HasIndex:
			if err := cn.answer(f); err != nil {
				return answered, err
			}
			answered = true
		case f.Kind == codec.Failure:
			// It belongs to no request, or to one nobody can name, which would wait for ever.
			return answered, failureOf(f)
		default:
			return answered, protocolError("an answer to %s without the number of a request", f.Type)
		}
	}
}

// answer gives f to the request it answers. One that has been abandoned, or that never was, is dropped.
func (cn *conn) answer(f *codec.Frame) error {
	cn.client.mu.Lock()
	c := cn.pending[f.Index]
	if c != nil && !answers(f, c) {
		typ := c.typ
		cn.client.mu.Unlock()
		return protocolError("request %d asked for %s, the answer is of %s", f.Index, typ, f.Type)
	}
	delete(cn.pending, f.Index)
	cn.client.wakeWriterLocked()
	if c == nil {
		cn.client.lateReplies.Add(1) // before Stats can see that the request is not under way any more
		cn.client.mu.Unlock()
		return nil
	}
	c.state = callFinished
	cn.client.mu.Unlock()

	if f.Kind == codec.Failure {
		c.finish(answerError(f))
		return nil
	}
	c.rev, c.replyOpaque = f.Rev, f.Opaque
	if f.Payload != nil && !c.discard {
		c.reply = append(make([]byte, 0, len(f.Payload)), f.Payload...)
	}
	c.finish(nil)
	return nil
}

// answers reports whether f can be the answer to c. A server that could not read a request need not know its type.
func answers(f *codec.Frame, c *call) bool {
	return string(f.Type) == c.typ || f.Kind == codec.Failure && len(f.Type) == 0
}
