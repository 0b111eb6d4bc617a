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
	job   *Job
	over  atomic.Bool
	timer *time.Timer // ends it at its deadline; nil: none
	ctx   *requestContext
}

// Park takes the job off its jobber: the handler returns nil, and whoever has the Parked answers it. It fails with
// ErrParkedMax when the connection has too many already, and with another *codec.Error when nobody will wait for the
// answer; the handler returns that error.
func (j *Job) Park() (*Parked, error) {
	if j.answered { // or parked: it is somebody else's by now, or about to be
		return nil, codec.NewError(codec.Internal, "a job can not be parked once it is answered or parked")
	}
	peer := j.peer
	d := peer.loop.d
	if peer.parked.Add(1) > int32(d.cfg.ParkedMax) {
		peer.parked.Add(-1)
		return nil, ErrParkedMax
	}
	p := &Parked{job: j, ctx: newRequestContext(j)}
	if j.deadline != 0 {
		over := waitOver(j)
		// Set, and set to a time, in two steps: it may fire before AfterFunc has returned.
		p.timer = time.AfterFunc(time.Hour, func() { p.endBecause(over) })
		p.timer.Stop()
	}
	q := &j.typ.jobber.queue
	q.mu.Lock()
	var refused *codec.Error
	switch {
	case peer.closed.Load() || j.withdrawn:
		refused = errUnwanted
	case peer.draining.Load():
		refused = errDraining
	default:
		// From here on others may end it.
		j.parked = p
		j.answered = true
		j.worker.settled = append(j.worker.settled, settlement{j, j.typ, false, false})
		news := &Job{peer: peer, parking: true}
		peer.loop.publish(news, news)
		if p.timer != nil {
			p.timer.Reset(time.Duration(j.deadline - d.now()))
		}
	}
	q.mu.Unlock()
	if refused != nil {
		peer.parked.Add(-1)
		return nil, refused
	}
	return p, nil
}

// Job returns the job. A job that was parked is not used again for another request, so that its payload and key stay valid.
func (p *Parked) Job() *Job { return p.job }

// Context ends when the job is over, whoever ended it; context.Cause says why.
func (p *Parked) Context() context.Context { return p.ctx }

// Reply answers the job with result, a JSON value. It reports whether that was in time: a job that was cancelled, whose
// deadline was over or whose client left is over already.
func (p *Parked) Reply(result []byte) bool { return p.end(answer{result: result}, context.Canceled) }

// ReplyRev is Reply for a durable operation: rev is the revision it made or saw.
func (p *Parked) ReplyRev(result []byte, rev uint64) bool {
	return p.end(answer{result: result, rev: rev}, context.Canceled)
}

// Fail answers the job with an error. It reports whether that was in time.
func (p *Parked) Fail(err error) bool { return p.end(answer{err: asError(err)}, context.Canceled) }

// endBecause answers the job on somebody else's behalf than the handler's.
func (p *Parked) endBecause(why *codec.Error) bool { return p.end(answer{err: why}, why) }

// end answers the job if nobody has; cause is what its context says.
func (p *Parked) end(a answer, cause error) bool {
	if !p.over.CompareAndSwap(false, true) {
		return false
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	p.ctx.cause(cause)
	p.ctx.end()
	p.job.peer.parked.Add(-1)
	withEncoder(func(e *encoder) { e.send(p.job, a) })
	return true
}
