package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// Acquire takes items of one or more pools, all or nothing, and returns a Lease, which renews itself until it is released,
// ctx ends, or it is lost.
//
// ctx is the life of the lease, not of this call alone. When it ends, Acquire gives up; or what it has returned is not
// renewed any more, and is given back in the background, as clean; Close waits for either, 1 s at most. How long to wait for
// the items is what a.WaitMs says; so a ctx with a time-out is for a lease that shall not last longer. While the server is
// out of reach, Acquire tries on for Config.ConnectTimeMax and Config.BackoffMax together (10 s) in addition to a.WaitMs.
//
// What the server refuses is a *codec.Error: ErrNoneFree, ErrWaitTimeout, ErrNoMatch, ErrWouldDeadlock, and so on. When ctx
// ends first, the error is its. Whatever the error: what may have been taken is given back, if the server can be reached
// within a minute and knows the session still.
//
// All leases of a client belong to one session, that of its first connection, which is resumed when the connection was
// lost: a request that waits keeps its place, and is not done twice. If it can not be resumed (by default after 10 s, or the
// server's store is another), the request is made anew; if the first one was carried out and only its answer lost, what it
// took stays taken until its ttlMs is over. Where a server has holdAndWait: refuse, a.Owner tells apart who holds and who
// waits.
func (c *Client) Acquire(ctx context.Context, a wire.Acquire) (*Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, notSent(err)
	}
	k, err := c.keeper()
	if err != nil {
		return nil, err
	}
	body, err := encodeJSON(a)
	if err != nil {
		return nil, notSent(fmt.Errorf("payload of lease.acquire: %w", err))
	}
	q := &acquisition{keyed: newKeyed(k.conn, "lease.acquire", body), keeper: k, ctx: ctx, waits: a.WaitMs > 0}
	if a.TTLMs != nil {
		q.ttl = milliseconds(*a.TTLMs)
	}
	patience, cancel := context.WithTimeout(ctx, milliseconds(a.WaitMs)+c.cfg.ConnectTimeMax+c.cfg.BackoffMax)
	defer cancel()
	return q.run(patience)
}

// milliseconds returns n of them: not less than none, and not more than a century.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), 100*365*24*3600*1000)) * time.Millisecond
}

// keyed is a request that is sent, with the same key, until its outcome is known.
type keyed struct {
	conn   *conn
	typ    string
	key    string
	body   []byte
	pauses backoff

	unknown error  // why it is not known what an earlier attempt has done; nil: that is known
	session uint64 // in which that was made
}

func newKeyed(cn *conn, typ string, body []byte) keyed {
	return keyed{conn: cn, typ: typ, key: rand.Text(), body: body, pauses: backoff{min: 10 * time.Millisecond, max: time.Second}}
}

// send makes an attempt; see call.answered. It may wait for a session.
func (q *keyed) send(ctx context.Context, answered func(*call)) (*call, error) {
	if err := q.conn.inSession(ctx); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	return q.conn.send(q.typ, q.key, q.body, deadline, answered)
}

// pause waits before the next attempt. It returns false when ctx ends.
func (q *keyed) pause(ctx context.Context, err error) bool {
	pause := q.pauses.next()
	if e, ok := errors.AsType[*codec.Error](err); ok {
		pause += time.Duration(e.RetryAfterMs) * time.Millisecond
	}
	select {
	case <-time.After(pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// passing reports whether a request that was refused with err was not looked at, but may be at another time.
func passing(err error) bool {
	if errors.Is(err, ErrBacklogFull) {
		return true
	}
	e, ok := errors.AsType[*codec.Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case codec.Unavailable, codec.QueueFull, codec.Overloaded, codec.RateLimited, codec.Draining, codec.Paused,
		codec.DeadlineExceeded, codec.StoreFull, codec.Recovering, codec.StateBehind, codec.Cancelled:
		return true
	}
	return false
}

// acquisition is a call of Acquire.
type acquisition struct {
	keyed
	keeper *leases
	ctx    context.Context // the lease's
	ttl    time.Duration   // 0: the pool's
	waits  bool            // if nothing is free
}

// run acquires, for as long as patience has not ended.
func (q *acquisition) run(patience context.Context) (*Lease, error) {
	for {
		c, err := q.send(patience, q.granted)
		if err == nil {
			select {
			case <-c.done:
			case <-patience.Done():
				if !q.keeper.client.takeBack(c) {
					return nil, q.giveUp(c, patience.Err())
				}
				c.finish(notSent(patience.Err()))
				<-c.done
			}
			var lease *Lease
			if lease, err = q.outcome(c); err == nil {
				if err := lease.Err(); errors.Is(err, ErrLeaseLost) {
					return nil, err
				}
				return lease, nil
			}
		}
		switch {
		case patience.Err() != nil || errors.Is(err, ErrNotSent):
			return nil, q.giveUp(nil, err)
		case q.unknown == nil && !(q.waits && errors.Is(err, ErrDraining)) || !passing(err):
			return nil, err
		case !q.pause(patience, err):
			return nil, q.giveUp(nil, err)
		}
	}
}

// granted is call.answered of lease.acquire: the lease is made before the next frame is read, which may be about it.
func (q *acquisition) granted(c *call) {
	if c.err == nil {
		var granted wire.Lease
		if c.err = decode(&c.decoder, c.reply, c.replyOpaque, &granted); c.err == nil {
			c.lease = q.keeper.add(c, q, &granted)
		}
	}
	c.done <- struct{}{}
}

// outcome returns what has become of an attempt.
func (q *acquisition) outcome(c *call) (*Lease, error) {
	lease, err, under := c.lease, c.err, c.under
	c.free()
	// A wait is answered draining when the server ends, but is still there when it is back.
	if under != nil && (errors.Is(err, ErrUnknownOutcome) || q.waits && errors.Is(err, ErrDraining)) {
		q.unknown, q.session = err, under.session
	}
	return lease, err
}

// giveUp returns what Acquire returns when it has to end without knowing the outcome, of the attempt c at least, if that is
// not nil. What may have been taken is given back in the background.
func (q *acquisition) giveUp(c *call, why error) error {
	if c == nil && q.unknown == nil {
		return why
	}
	q.keeper.client.spawn(func() { q.undo(c) })
	if q.ctx.Err() != nil {
		return q.ctx.Err()
	}
	return outcomeUnknown(why)
}

// undoTimeMax is how long it is tried to undo an acquisition: by then the server does not know the session any more.
const undoTimeMax = time.Minute

// undo sees to it that nothing stays taken. c is an attempt that has been taken back and is not answered yet, or nil.
func (q *acquisition) undo(c *call) {
	ctx, cancel := context.WithTimeout(q.keeper.client.ctx, undoTimeMax)
	defer cancel()
	final := false // what c is answered tells of the attempts before, too
	for {
		if c == nil {
			var err error
			if c, err = q.again(ctx); errors.Is(err, errSessionGone) || err != nil && !q.pause(ctx, err) {
				return
			}
			if err != nil {
				continue
			}
			final = true
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			if q.keeper.client.abandon(c, ctx.Err()) != nil {
				return
			}
			<-c.done
		}
		lease, err := q.outcome(c)
		c = nil
		switch {
		case err == nil:
			lease.giveBack("", ErrLeaseReleased)
			return
		case q.unknown == nil || !passing(err) && !errors.Is(err, ErrNotSent), final && (errors.Is(err, ErrCancelled) || errors.Is(err, ErrDeadlineExceeded)):
			return
		case !q.pause(ctx, err):
			return
		}
	}
}

var errSessionGone = errors.New("the session is gone")

// again makes another attempt, and takes it back. It fails when that would be another request.
func (q *acquisition) again(ctx context.Context) (*call, error) {
	if err := q.conn.inSession(ctx); err != nil {
		return nil, err
	}
	if q.conn.session() != q.session {
		return nil, errSessionGone
	}
	deadline, _ := ctx.Deadline()
	c, err := q.conn.send(q.typ, q.key, q.body, deadline, q.granted)
	if err != nil {
		return nil, err
	}
	// A request that is taken back before the server has begun it tells nothing of the one before. Those about pools are
	// begun in their order, hello too: when that is answered, this one is granted, refused, or waits.
	for err := q.conn.awaitHello(ctx); err != nil; err = q.conn.awaitHello(ctx) {
		// With the connection lost, this one may be on its way again, and be taken back before it has begun.
		if !q.pause(ctx, err) {
			return c, nil
		}
	}
	if q.keeper.client.takeBack(c) { // the connection was lost again
		c.finish(outcomeUnknown(q.unknown))
	}
	return c, nil
}
