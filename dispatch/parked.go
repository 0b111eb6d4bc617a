package dispatch

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// Parked is a job that is answered later, while its jobber goes on. Exactly one of these ends it: an answer; its
// deadline (deadline_exceeded); the client's cancel (cancelled); the server's drain (draining); its client's departure.
// All methods may be called from any goroutine.
type Parked struct {
	d     *Dispatcher
	job   *Job // nobody's to look at once over is set, but the winner's
	over  atomic.Bool
	timer *time.Timer // ends it at its deadline; nil: none
	ctx   *requestContext
}

// Park takes the job off its jobber: the handler returns nil, and whoever has the Parked answers it. It fails with
// ErrParkedMax when the connection has too many already, and with another *codec.Error when nobody will wait for the
// answer; the handler returns that error.
func (j *Job) Park() (*Parked, error) {
	peer := j.peer
	d := peer.loop.d
	if peer.parked.Add(1) > int32(d.cfg.ParkedMax) {
		peer.parked.Add(-1)
		return nil, ErrParkedMax
	}
	p := &Parked{d: d, job: j, ctx: newRequestContext(j)}
	if j.deadline != 0 {
		over := waitOver(j)
		// Set, and set to a time, in two steps: it may fire before AfterFunc has returned.
		p.timer = time.AfterFunc(time.Hour, func() { p.end(over) })
		p.timer.Stop()
	}
	q := &j.typ.jobber.queue
	q.mu.Lock()
	var refused codec.Code
	switch {
	case peer.closed.Load():
		refused = codec.Cancelled
	case peer.draining.Load():
		refused = codec.Draining
	default:
		// From here on others may end it, and then the job is no longer ours.
		j.parked = p
		j.answered = true
		j.out.settled = append(j.out.settled, settlement{j, j.typ, false})
		j.out.noteParked(peer)
		if p.timer != nil {
			p.timer.Reset(time.Duration(j.deadline - d.now()))
		}
	}
	q.mu.Unlock()
	if refused != codec.OK {
		peer.parked.Add(-1)
		return nil, codec.NewError(refused, "nobody waits any more")
	}
	return p, nil
}

// Job returns the job, whose payload and key stay valid until it is answered.
func (p *Parked) Job() *Job { return p.job }

// Context ends when the job is over, whoever ended it; context.Cause says why.
func (p *Parked) Context() context.Context { return p.ctx }

// Reply answers the job with result, a JSON value. It reports whether that was in time. Who answers many at once uses an
// Outbox.
func (p *Parked) Reply(result []byte) bool {
	o := p.d.NewOutbox()
	defer o.Flush()
	return o.Reply(p, result, 0)
}

// Fail answers the job with an error. It reports whether that was in time.
func (p *Parked) Fail(err error) bool {
	o := p.d.NewOutbox()
	defer o.Flush()
	return o.Fail(p, err)
}

// end answers the job on somebody else's behalf than the handler's.
func (p *Parked) end(why *codec.Error) bool {
	o := p.d.NewOutbox()
	defer o.Flush()
	return o.settle(p, answer{err: why}, why)
}
