package dispatch

import (
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
	e.encodeFrame(j)
}

func (e *encoder) encodeFrame(j *Job) {
	var err error
	if j.wire, err = j.codec.Append(j.wire[:0], &e.frame); err != nil {
		err = codec.NewError(codec.Internal, "answer can not be encoded: "+err.Error())
	} else if len(j.wire) > j.peer.loop.replyBytesMax {
		err = codec.NewError(codec.ReplyTooLarge, "the answer is larger than a frame may be: ask for less")
	}
	if err != nil {
		e.frame.Kind, e.frame.Err, e.frame.Payload = codec.Failure, *asError(err), nil
		j.wire, _ = j.codec.Append(j.wire[:0], &e.frame)
	}
}

// send encodes the answer and sends j home with it.
func (e *encoder) send(j *Job, a answer) {
	e.encode(j, a)
	j.peer.loop.publish(j, j)
}

// refuse sends a job that was not begun home, and tells the client why, unless it has gone.
func (e *encoder) refuse(j *Job, why refusal) {
	if why != refusedGone {
		e.encode(j, answer{err: why.error(j)})
	}
	j.peer.loop.publish(j, j)
}

// encoderPool is for answers that come from any goroutine.
var encoderPool = sync.Pool{New: func() any { return new(encoder) }}

func withEncoder(f func(*encoder)) {
	e := encoderPool.Get().(*encoder)
	f(e)
	e.frame.Reset()
	encoderPool.Put(e)
}
