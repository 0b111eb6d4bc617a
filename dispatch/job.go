package dispatch

import (
	"bytes"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/kassa-go/kassa/codec"
)

// Job is a request on its way. A handler may use it, and the bytes its methods hand out, until it returns; one that wants
// to answer later calls Park. Its methods are for the goroutine that runs the handler. See HandleAsync for jobs that outlive
// it.
type Job struct {
	peer *Peer
	typ  *Type // nil: of no registered type; such a job only carries bytes home
	// The codec that the connection spoke when the request came, which it goes on speaking.
	codec codec.Codec

	index    uint64
	rawIndex []byte // in bytes; see codec.Frame
	payload  []byte // in bytes; nil: none
	key      []byte // in bytes; nil: none
	minRev   uint64
	hasIndex bool
	byID     bool // the request named its type by ID, so the answer does
	oneWay   bool
	opaque   bool
	parking  bool // not a job, but the news that one of its connection is parked: that credit is back ahead of it

	// own holds the copied parts of a request, and is kept from one request to the next unless it is large; large, when
	// not nil, holds them instead.
	own   []byte
	large *bytebufferpool.ByteBuffer

	arrived  int64 // ns since the dispatcher started
	deadline int64 // likewise; 0: none

	// Guarded by the jobber's queue.mu.
	list       *jobList // the list it is queued in; nil: in none
	prev, next *Job     // in list
	dispatched bool     // the dispatcher has seen it
	withdrawn  bool     // its client has taken it back, but it was not queued then
	keyHeld    bool     // no other job with this serialKey may run
	parked     *Parked  // set by Park
	serialKey  string
	dueAt      int64 // of a retry: ns since the dispatcher started
	failedWith error // of a retry: what the last attempt failed with

	// The handler's, until it has answered or parked the job.
	answers  *Answers // its worker's; nil: the handler is asynchronous and brings its own
	attempt  int32    // 1 the first time
	answered bool     // or parked

	// The event loop's.
	abandoned          bool // it was answered in a drain that could not wait
	peerPrev, peerNext *Job // the list of what its connection has under way

	// Owned by whoever has the job, until the event loop has it back. wire is its answer; empty: none is sent. Its
	// buffer is kept from one request to the next, like own, unless it is that of largeWire.
	homeNext  *Job
	wire      []byte
	largeWire *bytebufferpool.ByteBuffer
}

// A job keeps a buffer of up to ownBytesMax bytes; most requests of a server of this kind have 60 to 500.
const (
	ownBytesMin = 128
	ownBytesMax = 4 << 10
)

// largePool holds buffers for requests and answers that are larger. They are similar in size in most services, which is what
// bytebufferpool is good at; the rare huge one it drops.
var largePool bytebufferpool.Pool

// load copies what must outlive the read buffer out of f.
func (j *Job) load(f *codec.Frame) {
	j.index, j.hasIndex, j.oneWay, j.opaque, j.minRev = f.Index, f.HasIndex, f.OneWay, f.Opaque, f.MinRev
	j.byID = len(f.Type) == 0
	buf := j.buffer(len(f.Payload) + len(f.Key) + len(f.RawIndex))
	keep := func(p []byte) []byte {
		if p == nil {
			return nil
		}
		at := len(buf)
		buf = append(buf, p...)
		return buf[at:len(buf):len(buf)]
	}
	j.payload, j.key, j.rawIndex = keep(f.Payload), keep(f.Key), keep(f.RawIndex)
	if j.large != nil {
		j.large.B = buf // its length is what the pool learns from
	}
}

// buffer returns an empty buffer with room for n bytes, which is j's until clear.
func (j *Job) buffer(n int) []byte {
	if n <= ownBytesMax {
		if cap(j.own) < n {
			j.own = make([]byte, 0, max(n, ownBytesMin))
		}
		return j.own
	}
	j.large = largePool.Get()
	if cap(j.large.B) < n {
		j.large.B = make([]byte, 0, n)
	}
	return j.large.B[:0]
}

// clear makes j ready for the next request.
func (j *Job) clear() {
	if j.large != nil {
		largePool.Put(j.large)
	}
	j.dropWire()
	*j = Job{own: j.own, wire: j.wire[:0]}
}

// dropWire gives back the buffer of a large answer.
func (j *Job) dropWire() {
	switch {
	case j.largeWire != nil:
		j.largeWire.B = j.wire
		largePool.Put(j.largeWire)
		j.largeWire, j.wire = nil, nil
	case cap(j.wire) > ownBytesMax:
		j.wire = nil
	}
}

// Type returns the request's type.
func (j *Job) Type() string { return j.typ.name }

// Payload returns the request's payload, nil when there is none. It is JSON, unless Opaque says otherwise.
func (j *Job) Payload() []byte { return j.payload }

// Opaque reports that the payload is bytes of the application's own, from a binary frame without the JSON flag.
func (j *Job) Opaque() bool { return j.opaque }

// Key returns the idempotency key, nil when there is none.
func (j *Job) Key() []byte { return j.key }

// MinRev returns the highest revision the client has seen, 0 when it did not say.
func (j *Job) MinRev() uint64 { return j.minRev }

// Index returns the number the client has given the request, and whether there is one that is a whole number.
func (j *Job) Index() (uint64, bool) { return j.index, j.hasIndex && j.rawIndex == nil }

// OneWay reports that nobody waits for an answer; what is answered is dropped.
func (j *Job) OneWay() bool { return j.oneWay }

// Peer returns the connection the request came over.
func (j *Job) Peer() *Peer { return j.peer }

// Attempt returns how often the handler has been called for this request, this time included.
func (j *Job) Attempt() int { return int(j.attempt) }

// Age returns how long ago the request came in.
func (j *Job) Age() time.Duration { return time.Duration(j.peer.loop.d.now() - j.arrived) }

// Deadline returns until when the client wants the request begun, or its wait over if it is parked, and whether it said so.
func (j *Job) Deadline() (time.Time, bool) {
	if j.deadline == 0 {
		return time.Time{}, false
	}
	return j.peer.loop.d.epoch.Add(time.Duration(j.deadline)), true
}

// Reply answers the job with result, a JSON value; nil stands for null. The bytes are copied. Only the first answer to a
// job counts.
func (j *Job) Reply(result []byte) { j.answer(answer{result: result}) }

// ReplyRev is Reply for a durable operation: rev is the revision it made or saw.
func (j *Job) ReplyRev(result []byte, rev uint64) { j.answer(answer{result: result, rev: rev}) }

// ReplyOpaque answers the job with bytes of the application's own. Clients with a JSON codec get them as a base64 string.
func (j *Job) ReplyOpaque(result []byte) { j.answer(answer{result: result, opaque: true}) }

// Fail answers the job with an error, as one returned by a handler is.
func (j *Job) Fail(err error) { j.answer(answer{err: asError(err)}) }

func (j *Job) answer(a answer) { j.collector().answer(j, a) }

// collector returns where the answers of the handler that runs collect.
func (j *Job) collector() *Answers {
	if j.answers == nil {
		panic("dispatch: a job that HandleAsync has given away is answered through an Answers")
	}
	return j.answers
}

// shrink lets go of memory that j does not need while it is parked, which may be long.
func (j *Job) shrink() {
	j.wire = nil
	// rawIndex, which is rare, stays where it is, since the event loop may look at it now.
	if j.large == nil && j.rawIndex == nil && cap(j.own) >= 2*(len(j.payload)+len(j.key)) {
		j.payload, j.key, j.own = bytes.Clone(j.payload), bytes.Clone(j.key), nil
	}
}

// address has f say which request it answers.
func (j *Job) address(f *codec.Frame) {
	f.Type, f.TypeID = j.typ.wire, 0
	if j.byID {
		f.Type, f.TypeID = nil, j.typ.id
	}
	f.Index, f.RawIndex, f.HasIndex = j.index, j.rawIndex, j.hasIndex
}
