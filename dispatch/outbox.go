package dispatch

import (
	"context"
	"sync"

	"github.com/kassa-go/kassa/codec"
)

// Outbox collects answers on their way home, and hands them over in one go for each event loop: waking a loop and writing
// to a socket are what a reply costs, so both are done for many at once. An Outbox belongs to one goroutine.
type Outbox struct {
	d       *Dispatcher
	batches []*batch    // by loop; nil: none begun
	frame   codec.Frame // reused, since it escapes into the codec

	// A worker's outbox hands nothing over while its handler runs (held), and notes what that has settled.
	held    bool
	settled []settlement
}

// settlement is a job that its handler has answered or parked. The job is no longer the worker's to look at, but for
// telling it from others.
type settlement struct {
	job    *Job
	typ    *Type
	failed bool
}

// forget makes ready for the next handler.
func (o *Outbox) forget() {
	clear(o.settled)
	o.settled = o.settled[:0]
}

// batch is what travels to one event loop: jobs, in the order they were answered, and the bytes of their answers.
type batch struct {
	loop        *loop
	next        *batch // in the loop's inbox
	buf         []byte
	first, last *Job
	jobs        int
	parked      []*Peer // connections a job of which was parked: their credit is returned ahead of the job
}

var batchPool = sync.Pool{New: func() any { return new(batch) }}

// A batch that grows over batchBytes or batchJobs is handed over early, so that the first answers do not wait for the
// last, and its buffer stays of a size worth keeping.
const (
	batchBytes = 64 << 10
	batchJobs  = 512
)

func (b *batch) reset() {
	if cap(b.buf) > 4*batchBytes {
		b.buf = nil // the answer of a rare huge request
	}
	clear(b.parked)
	*b = batch{buf: b.buf[:0], parked: b.parked[:0]}
}

// NewOutbox returns an Outbox for a goroutine that answers parked jobs.
func (d *Dispatcher) NewOutbox() *Outbox { return &Outbox{d: d} }

// Reply answers a parked job with result, a JSON value; rev is the revision it made or saw, 0 for none. It reports
// whether that was in time: a job that was cancelled, whose deadline was over or whose client left has had its answer.
func (o *Outbox) Reply(p *Parked, result []byte, rev uint64) bool {
	return o.settle(p, answer{result: result, rev: rev}, context.Canceled)
}

// Fail answers a parked job with an error.
func (o *Outbox) Fail(p *Parked, err error) bool {
	return o.settle(p, answer{err: asError(err)}, context.Canceled)
}

// Push sends an event, a JSON value, to a client that has said hello. It reports whether it was queued for one.
func (o *Outbox) Push(p *Peer, typ string, event []byte) bool {
	c := p.pushCodec()
	if c == nil || p.closed.Load() {
		return false
	}
	o.frame = codec.Frame{Kind: codec.Push, Type: []byte(typ), Payload: event}
	o.append(&Job{peer: p, codec: c})
	return true
}

// settle ends a parked job if nobody has; cause is what its context says.
func (o *Outbox) settle(p *Parked, a answer, cause error) bool {
	if !p.over.CompareAndSwap(false, true) {
		return false
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	p.ctx.cause(cause)
	p.ctx.end()
	p.job.peer.parked.Add(-1)
	o.add(p.job, a)
	return true
}

// add encodes the answer to j and sends j home with it.
func (o *Outbox) add(j *Job, a answer) {
	j.address(&o.frame)
	a.fill(&o.frame)
	o.append(j)
}

// refuse sends a job that was not begun home, and tells the client why, unless it has gone.
func (o *Outbox) refuse(j *Job, why refusal) {
	if why == refusedGone {
		j.oneWay = true
		o.append(j)
		return
	}
	o.add(j, answer{err: why.error(j)})
}

// append puts j and, unless nobody waits for it, the frame into the batch for its loop.
func (o *Outbox) append(j *Job) {
	l := j.peer.loop
	b := o.batchFor(l)
	if !j.oneWay && !j.peer.closed.Load() {
		at := len(b.buf)
		var err error
		if b.buf, err = j.codec.Append(b.buf, &o.frame); err != nil {
			err = codec.NewError(codec.Internal, "answer can not be encoded: "+err.Error())
		} else if n := len(b.buf) - at; n > l.replyBytesMax {
			err = codec.NewError(codec.ReplyTooLarge, "the answer is larger than a frame may be: ask for less")
		}
		if err != nil {
			o.frame.Kind, o.frame.Err, o.frame.Payload = codec.Failure, *asError(err), nil
			b.buf, _ = j.codec.Append(b.buf[:at], &o.frame)
		}
		// A buffer that moves when it grows leaves earlier answers where they were: their bytes stay valid.
		j.wire = b.buf[at:]
	}
	if b.last == nil {
		b.first = j
	} else {
		b.last.homeNext = j
	}
	b.last = j
	b.jobs++
	if !o.held && (b.jobs >= batchJobs || len(b.buf) >= batchBytes) {
		o.flushLoop(l)
	}
}

// noteParked returns the credit of a job that was parked.
func (o *Outbox) noteParked(p *Peer) {
	b := o.batchFor(p.loop)
	b.parked = append(b.parked, p)
}

func (o *Outbox) batchFor(l *loop) *batch {
	for len(o.batches) <= l.id {
		o.batches = append(o.batches, nil)
	}
	b := o.batches[l.id]
	if b == nil {
		b = batchPool.Get().(*batch)
		b.loop = l
		o.batches[l.id] = b
	}
	return b
}

// Flush hands over what was collected. Until then no answer is on its way.
func (o *Outbox) Flush() {
	for _, b := range o.batches {
		if b != nil {
			o.flushLoop(b.loop)
		}
	}
}

func (o *Outbox) flushLoop(l *loop) {
	b := o.batches[l.id]
	o.batches[l.id] = nil
	l.publish(b)
}
