package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// keyed is a request that is sent, with the same key, until its outcome is known.
type keyed struct {
	conn   *conn
	typ    string
	key    string // empty: it changes nothing, so it may be done as often as it is sent
	body   []byte
	once   bool // it does harm to do it again, in another session, where the key says nothing
	pauses backoff

	unknown error  // why it is not known what an earlier attempt has done; nil: that is known
	session uint64 // in which that was made
}

var errSessionGone = errors.New("the session is gone")

// newKeyed returns a request of the session that leases belong to. It fails when nothing can be asked for ctx.
func (c *Client) newKeyed(ctx context.Context, typ string, payload any) (*keyed, error) {
	k, err := c.keeper()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, notSent(err)
	}
	body, err := encodeJSON(payload)
	if err != nil {
		return nil, notSent(fmt.Errorf("payload of %s: %w", typ, err))
	}
	pauses := backoff{min: 10 * time.Millisecond, max: time.Second}
	return &keyed{conn: k.conn, typ: typ, key: rand.Text(), body: body, pauses: pauses}, nil
}

// settle asks for typ with payload: see keyed.settle.
func (c *Client) settle(ctx context.Context, typ string, payload, result any) error {
	q, err := c.newKeyed(ctx, typ, payload)
	if err != nil {
		return err
	}
	return q.settle(ctx, result)
}

// settle makes attempts until the outcome is known, or ctx ends. It decodes the result into what result points to, if that
// is not nil. The error is ErrUnknownOutcome when an attempt may have done it; when ctx has ended first, it is its error as
// well.
func (q *keyed) settle(ctx context.Context, result any) error {
	for {
		under, err := q.do(ctx, result)
		_, answered := errors.AsType[*codec.Error](err)
		switch {
		case err == nil:
			return nil
		case answered && !passing(err):
			if q.unknown != nil && (under == nil || under.session != q.session) { // else this is what was answered first
				err = fmt.Errorf("%w: %w", err, q.unknown)
			}
			return err
		case q.conn.client.ctx.Err() != nil:
			return q.overtaken(notSent(ErrClosed))
		case ctx.Err() != nil || !passing(err) || !q.pause(ctx, err):
			err = q.overtaken(err)
			if why := ctx.Err(); why != nil && !errors.Is(err, why) {
				err = fmt.Errorf("%w: %w", why, err)
			}
			return err
		}
	}
}

// do makes an attempt and waits for its end.
func (q *keyed) do(ctx context.Context, result any) (under *greeting, err error) {
	c, err := q.send(ctx, nil)
	if err != nil {
		return nil, err
	}
	under, err = q.conn.client.await(ctx, c, result)
	if q.key != "" && doubtful(ctx, err) {
		q.unknown, q.session = err, 0
		if under != nil {
			q.session = under.session
		}
	}
	return under, err
}

// doubtful reports whether it is not known what a request has done that ended with err.
func doubtful(ctx context.Context, err error) bool {
	if _, answered := errors.AsType[*codec.Error](err); answered || ctx.Err() == nil {
		return errors.Is(err, ErrUnknownOutcome)
	}
	return errors.Is(err, ctx.Err()) && !errors.Is(err, ErrNotSent)
}

// send makes an attempt; see call.answered. It may wait for a session.
func (q *keyed) send(ctx context.Context, answered func(*call)) (*call, error) {
	if err := q.conn.inSession(ctx); err != nil {
		return nil, err
	}
	session := uint64(0)
	if q.once && q.unknown != nil {
		session = q.session
	}
	deadline, _ := ctx.Deadline()
	return q.conn.send(q.typ, q.key, q.body, session, deadline, answered)
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
	case <-q.conn.client.ctx.Done():
		return ctx.Err() == nil // the next attempt says that the client is closed
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

// overtaken returns the error of a request that did not come to its end because of why: ErrUnknownOutcome if an attempt may
// have done it.
func (q *keyed) overtaken(why error) error {
	if q.unknown != nil {
		return outcomeUnknown(why)
	}
	return why
}
