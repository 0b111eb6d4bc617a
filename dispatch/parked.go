package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// Parked is a job that is answered later, while its jobber goes on. Exactly one of these ends it: an answer; its
// deadline (deadline_exceeded): deadlineMs bounds the wait, too; the client's cancel (cancelled); the server's drain
// (draining); its client's departure. All methods may be called from any goroutine.
type Parked struct {
	job     *Job
	onOver  func(cause error) // nil: nobody wants to know
	timer   *time.Timer       // ends it at its deadline; nil: none
	mu      sync.Mutex
	over    error           // why it is; nil: it is not
	context *requestContext // nil: nobody has asked for it
}

// Park takes the job off its jobber: the handler returns nil, and whoever has the Parked answers it. It fails with
// ErrParkedMax when the connection has too many already, and with another *codec.Error when nobody will wait for the
// answer; the handler returns that error.
//
// over, if not nil, is called once if somebody else ends the job than its handler. errors.Is tells why: ErrGone,
// ErrCancelled, ErrDraining or codec.DeadlineExceeded. That can be on any goroutine, an event loop's too, and before Park
// has returned: so it must be quick, not block, and not panic. The client is answered behind it.
func (j *Job) Park(over func(cause error)) (*Parked, error) { return j.collector().Park(j, over) }

// Park is Job.Park for a job of HandleAsync. Where it fails, the job is still to be answered.
func (a *Answers) Park(j *Job, over func(cause error)) (*Parked, error) {
	a.check(j)
	if j.answered { // or parked: it is somebody else's by now, or about to be
		return nil, codec.NewError(codec.Internal, "a job can not be parked once it is answered or parked")
	}
	peer := j.peer
	d := peer.loop.d
	if peer.parked.Add(1) > int32(d.cfg.ParkedMax) {
		peer.parked.Add(-1)
		return nil, ErrParkedMax
	}
	p := &Parked{job: j, onOver: over}
	if j.deadline != 0 {
		// Set, and set to a time, in two steps: it may fire before AfterFunc has returned.
		p.timer = time.AfterFunc(time.Hour, func() { p.endBecause(waitOver(p.job)) })
		p.timer.Stop()
	}
	q := &j.typ.jobber.queue
	q.mu.Lock()
	var refused *codec.Error
	switch {
	case peer.closed.Load():
		refused = ErrGone
	case j.withdrawn:
		refused = errUnwanted
	case peer.draining.Load():
		refused = ErrDraining
	default:
		// From here on others may end it.
		j.parked = p
		j.answered = true
		j.shrink()
		a.settled = append(a.settled, settlement{j, j.typ, false, false})
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
func (p *Parked) Context() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.context == nil {
		p.context = newRequestContext(p.job)
		if p.over != nil {
			p.context.cause(p.over)
		}
	}
	return p.context
}

// Reply answers the job with result, a JSON value. It reports whether that was in time: a job that was cancelled, whose
// deadline was over or whose client left is over already.
func (p *Parked) Reply(result []byte) bool { return p.end(answer{result: result}, nil) }

// ReplyRev is Reply for a durable operation: rev is the revision it made or saw.
func (p *Parked) ReplyRev(result []byte, rev uint64) bool {
	return p.end(answer{result: result, rev: rev}, nil)
}

// Fail answers the job with an error. It reports whether that was in time.
func (p *Parked) Fail(err error) bool { return p.end(answer{err: asError(err)}, nil) }

// endBecause answers the job on somebody else's behalf than the handler's.
func (p *Parked) endBecause(why *codec.Error) bool { return p.end(answer{err: why}, why) }

// end answers the job if nobody has; why is nil when its handler does.
func (p *Parked) end(a answer, why *codec.Error) bool {
	cause := context.Canceled
	if why != nil {
		cause = why
	}
	p.mu.Lock()
	first := p.over == nil
	if first {
		p.over = cause
	}
	ctx := p.context
	p.mu.Unlock()
	if !first {
		return false
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	if ctx != nil {
		ctx.cause(cause)
		ctx.end()
	}
	p.job.peer.parked.Add(-1)
	if why != nil && p.onOver != nil { // before the client knows: what the client asks for then comes behind onOver
		p.onOver(why)
	}
	withEncoder(func(e *encoder) { e.send(p.job, a) })
	return true
}
