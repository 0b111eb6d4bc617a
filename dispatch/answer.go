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
	if err := e.encodeFrame(j); err != nil {
		answer{err: err}.fill(&e.frame)
		_ = e.encodeFrame(j) // a code and a short text fit
	}
}

// encodeFrame sets j's wire to the frame, or says why it can not be sent.
func (e *encoder) encodeFrame(j *Job) *codec.Error {
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

// encoderPool is for answers that come from any goroutine.
var encoderPool = sync.Pool{New: func() any { return new(encoder) }}

func withEncoder(f func(*encoder)) {
	e := encoderPool.Get().(*encoder)
	f(e)
	e.frame.Reset()
	encoderPool.Put(e)
}
