package client

import (
	"context"
	"errors"
	"time"

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
	ttl := time.Duration(0)
	if a.TTLMs != nil {
		ttl = milliseconds(*a.TTLMs)
	}
	got, err := c.acquire(ctx, "lease.acquire", a, a.WaitMs, func(call *call) (grant, error) {
		var granted wire.Lease
		if err := call.decode(&granted); err != nil {
			return nil, err
		}
		return c.leases.Load().add(ctx, ttl, &granted), nil
	})
	if err != nil {
		return nil, err
	}
	lease := got.(*Lease)
	if err := lease.Err(); errors.Is(err, ErrLeaseLost) {
		return nil, err
	}
	return lease, nil
}

// milliseconds returns n of them: not less than none, and not more than a century.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), 100*365*24*3600*1000)) * time.Millisecond
}

// grant is what an acquisition comes to: a Lease, a Hold or a Booking.
type grant interface {
	drop(ctx context.Context) // gives it back: nobody wants it any more
}

// acquisition is a call of Acquire, Hold, Reserve or Book.
type acquisition struct {
	*keyed
	ctx   context.Context // its caller's
	waits bool            // if nothing is free
	// take makes of an answer what it grants, before the next frame is read, which may be about it.
	take func(*call) (grant, error)
}

// acquire has something granted that may be waited for, and that comes back by itself.
func (c *Client) acquire(
	ctx context.Context, typ string, payload any, waitMs int64, take func(*call) (grant, error),
) (grant, error) {
	request, err := c.newKeyed(ctx, typ, payload)
	if err != nil {
		return nil, err
	}
	c.leases.Load().refresh()
	patience, cancel := context.WithTimeout(ctx, milliseconds(waitMs)+c.cfg.ConnectTimeMax+c.cfg.BackoffMax)
	defer cancel()
	q := &acquisition{keyed: request, ctx: ctx, waits: waitMs > 0, take: take}
	return q.run(patience)
}

// run acquires, for as long as patience has not ended.
func (q *acquisition) run(patience context.Context) (grant, error) {
	for {
		c, err := q.send(patience, q.granted)
		if err == nil {
			select {
			case <-c.done:
			case <-patience.Done():
				if !q.conn.client.takeBack(c) {
					return nil, q.giveUp(c, patience.Err())
				}
				c.finish(notSent(patience.Err()))
				<-c.done
			}
			var got grant
			if got, err = q.outcome(c); err == nil {
				return got, nil
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

// granted is call.answered of an attempt.
func (q *acquisition) granted(c *call) {
	if c.err == nil {
		c.grant, c.err = q.take(c)
	}
	c.done <- struct{}{}
}

// outcome returns what has become of an attempt.
func (q *acquisition) outcome(c *call) (grant, error) {
	got, err, under := c.grant, c.err, c.under
	c.free()
	// A wait is answered draining when the server ends, but is still there when it is back.
	if under != nil && (errors.Is(err, ErrUnknownOutcome) || q.waits && errors.Is(err, ErrDraining)) {
		q.unknown, q.session = err, under.session
	}
	return got, err
}

// giveUp returns what the caller gets when it has to end without knowing the outcome, of the attempt c at least, if that is
// not nil. What may have been taken is given back in the background.
func (q *acquisition) giveUp(c *call, why error) error {
	if c == nil && q.unknown == nil {
		return why
	}
	q.conn.client.spawn(func() { q.undo(c) })
	if q.ctx.Err() != nil {
		return q.ctx.Err()
	}
	return outcomeUnknown(why)
}

// undoTimeMax is how long it is tried to undo an acquisition: by then the server does not know the session any more.
const undoTimeMax = time.Minute

// undo sees to it that nothing stays taken. c is an attempt that has been taken back and is not answered yet, or nil.
func (q *acquisition) undo(c *call) {
	ctx, cancel := context.WithTimeout(q.conn.client.ctx, undoTimeMax)
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
			if q.conn.client.abandon(c, ctx.Err()) != nil {
				return
			}
			<-c.done
		}
		got, err := q.outcome(c)
		c = nil
		switch {
		case err == nil:
			got.drop(ctx)
			return
		case q.unknown == nil || !passing(err) && !errors.Is(err, ErrNotSent), final && (errors.Is(err, ErrCancelled) || errors.Is(err, ErrDeadlineExceeded)):
			return
		case !q.pause(ctx, err):
			return
		}
	}
}

// again makes another attempt, and takes it back. It fails when that would be another request.
func (q *acquisition) again(ctx context.Context) (*call, error) {
	if err := q.conn.inSession(ctx); err != nil {
		return nil, err
	}
	if q.conn.session() != q.session {
		return nil, errSessionGone
	}
	deadline, _ := ctx.Deadline()
	c, err := q.conn.send(q.typ, q.key, q.body, q.session, deadline, q.granted)
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
	if q.conn.client.takeBack(c) { // the connection was lost again
		c.finish(outcomeUnknown(q.unknown))
	}
	return c, nil
}
