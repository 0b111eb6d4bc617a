package dispatch

import (
	"slices"
	"sync"

	"github.com/kassa-go/kassa/codec"
)

// answer is what becomes of a job: a result, or an error.
type answer struct {
	result []byte
	opaque bool
	rev    uint64
	err    *codec.Error // nil: a result
}

// fill makes f the frame that carries the answer.
func (a answer) fill(f *codec.Frame) {
	f.Kind, f.Payload, f.Opaque, f.Rev = codec.Reply, a.result, a.opaque, a.rev
	if a.err != nil {
		f.Kind, f.Err, f.Payload = codec.Failure, *a.err, nil
	}
}

// encoder turns answers into bytes. It belongs to one goroutine.
type encoder struct {
	frame codec.Frame // reused, since it escapes into the codec
}

// encode sets j's wire to its answer. Nothing is sent of it before j is home.
func (e *encoder) encode(j *Job, a answer) {
	if j.oneWay || j.peer.closed.Load() {
		return
	}
	j.address(&e.frame)
	a.fill(&e.frame)
	if err := e.encodeFrame(j); err != nil {
		answer{err: err}.fill(&e.frame)
		_ = e.encodeFrame(j) // a code and a short text fit
	}
}

// encodeFrame sets j's wire to the frame, or says why it can not be sent.
func (e *encoder) encodeFrame(j *Job) *codec.Error {
	if len(e.frame.Payload) > ownBytesMax && j.largeWire == nil {
		j.largeWire = largePool.Get()
		j.wire = slices.Grow(j.largeWire.B[:0], len(e.frame.Payload)+ownBytesMax)
	}
	var err error
	if j.wire, err = j.codec.Append(j.wire[:0], &e.frame); err != nil {
		return codec.NewError(codec.Internal, "answer can not be encoded: "+err.Error())
	}
	if len(j.wire) > j.peer.loop.replyBytesMax {
		return codec.NewError(codec.ReplyTooLarge, "the answer is larger than a frame may be: ask for less")
	}
	return nil
}

// send encodes the answer and sends j home with it.
func (e *encoder) send(j *Job, a answer) {
	e.encode(j, a)
	j.peer.loop.publish(j, j)
}

// refuse sends a job that was not begun home, and tells the client why, unless it has gone.
func (e *encoder) refuse(j *Job, why refusal) {
	e.send(j, answer{err: why.error(j)})
}

// Answers collects what one goroutine answers, until Flush sends it home together. It is for handlers registered by
// HandleAsync: any goroutine may answer their jobs, with an Answers of its own. The zero value is ready for use.
type Answers struct {
	encoder encoder
	settled []settlement // since the last Flush
}

// settlement is a job that was answered or parked. A parked one may be over, and is only good for telling it from others.
type settlement struct {
	job      *Job
	typ      *Type
	answered bool
	failed   bool
}

// Reply answers the job with result, a JSON value; nil stands for null. The bytes are copied. After that, and after the
// other methods that answer or park a job, j is no longer the caller's.
func (a *Answers) Reply(j *Job, result []byte) { a.answer(j, answer{result: result}) }

// ReplyRev is Reply for a durable operation: rev is the revision it made or saw.
func (a *Answers) ReplyRev(j *Job, result []byte, rev uint64) {
	a.answer(j, answer{result: result, rev: rev})
}

// Fail answers the job with an error, as one returned by a handler is.
func (a *Answers) Fail(j *Job, err error) { a.answer(j, answer{err: asError(err)}) }

// check panics where a job that a worker waits for is answered behind its back.
func (a *Answers) check(j *Job) {
	if j.answers != nil && j.answers != a {
		panic("dispatch: an Answers is for the jobs of HandleAsync")
	}
}

func (a *Answers) answer(j *Job, with answer) {
	a.check(j)
	if j.answered {
		return
	}
	j.answered = true
	a.encoder.encode(j, with)
	a.settled = append(a.settled, settlement{j, j.typ, true, with.err != nil})
}

// Flush sends home what was answered since the last time, in the order of the answers, and counts it as no longer in work,
// and what was parked too. A run of jobs from one event loop goes together.
func (a *Answers) Flush() {
	var newest, oldest *Job
	for _, s := range a.settled {
		s.typ.running.Add(-1)
		s.typ.done.Add(1)
		if s.failed {
			s.typ.failed.Add(1)
		}
		if !s.answered {
			continue
		}
		if newest != nil && newest.peer.loop != s.job.peer.loop {
			newest.peer.loop.publish(newest, oldest)
			newest = nil
		}
		if newest == nil {
			oldest = s.job
		} else {
			s.job.homeNext = newest
		}
		newest = s.job
	}
	if newest != nil {
		newest.peer.loop.publish(newest, oldest)
	}
	clear(a.settled)
	a.settled = a.settled[:0]
}

// encoderPool is for answers that come from any goroutine.
var encoderPool = sync.Pool{New: func() any { return new(encoder) }}

func withEncoder(f func(*encoder)) {
	e := encoderPool.Get().(*encoder)
	f(e)
	e.frame.Reset()
	encoderPool.Put(e)
}
