package dispatch

import (
	"context"
	"sync"
	"time"
)

// Info is what a typed handler can learn of its request, by FromContext.
type Info struct {
	Type    string
	Peer    *Peer
	Key     string // idempotency key; empty: none
	MinRev  uint64
	Attempt int           // 1 the first time
	Age     time.Duration // since it came in
	OneWay  bool
}

// FromContext returns what is known of the request that a handler's context belongs to.
func FromContext(ctx context.Context) (Info, bool) {
	info, ok := ctx.Value(infoKey{}).(Info)
	return info, ok
}

type infoKey struct{}

// requestContext is the context of one request. It carries the deadline, and ends when the client has gone or the request
// is over. Most handlers never ask for Done, so what makes that work is only made when one does.
type requestContext struct {
	d        *Dispatcher
	info     Info // but for Age
	arrived  int64
	deadline int64 // ns since the dispatcher started; 0: none

	mu     sync.Mutex
	inner  context.Context // nil: nobody has asked yet
	cancel context.CancelCauseFunc
	err    error // why it ended; nil: it has not
}

func newRequestContext(j *Job) *requestContext {
	return &requestContext{
		d: j.peer.loop.d,
		info: Info{
			Type: j.typ.name, Peer: j.peer, Key: string(j.key), MinRev: j.minRev, Attempt: int(j.attempt), OneWay: j.oneWay,
		},
		arrived:  j.arrived,
		deadline: j.deadline,
	}
}

func (c *requestContext) Deadline() (time.Time, bool) {
	if c.deadline == 0 {
		return time.Time{}, false
	}
	return c.d.epoch.Add(time.Duration(c.deadline)), true
}

func (c *requestContext) Value(key any) any {
	if key == (infoKey{}) {
		info := c.info
		info.Age = time.Duration(c.d.now() - c.arrived)
		return info
	}
	return c.started().Value(key) // what package context asks its own kind
}

func (c *requestContext) Done() <-chan struct{} { return c.started().Done() }

func (c *requestContext) Err() error { return c.started().Err() }

// started returns the context that does the work.
func (c *requestContext) started() context.Context {
	c.mu.Lock()
	if c.inner != nil {
		defer c.mu.Unlock()
		return c.inner
	}
	parent, stop := context.Background(), context.CancelFunc(func() {})
	if deadline, ok := c.Deadline(); ok {
		parent, stop = context.WithDeadline(parent, deadline)
	}
	inner, cancel := context.WithCancelCause(parent)
	c.inner, c.cancel = inner, func(err error) { cancel(err); stop() }
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.info.Peer.whenClosed(c, func() { c.cause(ErrGone) }) {
		err = ErrGone
	}
	c.mu.Lock()
	over := c.err != nil
	c.mu.Unlock()
	switch {
	case err != nil:
		c.cause(err)
	case over: // since it was looked at: end may not have seen that it is started
		c.info.Peer.forget(c)
	}
	return inner
}

// cause ends the context, because of err unless it has ended already. It reports whether anybody had asked for it.
func (c *requestContext) cause(err error) (asked bool) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel(c.err) // it keeps the first cause itself
	}
	return cancel != nil
}

// end ends the context of a request that is over.
func (c *requestContext) end() {
	if c.cause(context.Canceled) {
		c.info.Peer.forget(c)
	}
}
