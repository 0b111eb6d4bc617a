package dispatch

import (
	"context"
	"errors"

	"github.com/kassa-go/kassa/codec"
)

// ErrParkedMax is returned by Job.Park when the connection waits for as many parked answers as it may.
var ErrParkedMax = codec.NewError(codec.QuotaExceeded, "too many requests of this connection are waiting: cancel one, or wait for an answer")

// Why a parked job was ended by somebody else than its handler. The fourth reason is its deadline: codec.DeadlineExceeded.
var (
	ErrGone      = codec.NewError(codec.Cancelled, "the client has gone")
	ErrCancelled = codec.NewError(codec.Cancelled, "cancelled by the client")
	ErrDraining  = codec.NewError(codec.Draining, "the server is shutting down: nothing was done, ask another one or later")
)

// What else jobs are answered that never get to a handler, or not to the end of one.
var (
	errRingFull  = &codec.Error{Code: codec.QueueFull, Message: "the server's queue is full", RetryAfterMs: retryAfterMs}
	errUnwanted  = codec.NewError(codec.Cancelled, "nobody waits for the answer any more")
	errDropped   = codec.NewError(codec.Cancelled, "dropped by the server's operator")
	errAbandoned = codec.NewError(codec.Unavailable, "the server is shutting down while this is in work: the outcome is unknown")
)

// retryAfterMs is what a client is told to wait when a queue is full: about what a queue of short requests takes to drain.
const retryAfterMs = 50

// error returns what a refused job is answered.
func (r refusal) error(j *Job) *codec.Error {
	switch r {
	case refusedCancelled:
		return takenBack(j, ErrCancelled)
	case refusedGone:
		return ErrGone // nobody gets to see it
	case refusedDeadline:
		return deadlineOver(j)
	default:
		return &codec.Error{Code: codec.QueueFull, Message: "queue of " + j.typ.name + " is full", RetryAfterMs: retryAfterMs}
	}
}

// station returns what the log calls the place a job has come to: next, if it was not refused.
func (r refusal) station(next string) string {
	switch r {
	case accepted:
		return next
	case refusedCancelled:
		return "cancelled"
	case refusedGone:
		return "dropped: the client has gone"
	case refusedDeadline:
		return "dropped: the deadline is over"
	default:
		return "dropped: the queue is full"
	}
}

// worthRetrying tells whether another attempt could end otherwise.
func worthRetrying(err error) bool {
	switch asError(err).Code {
	case codec.BadPayload, codec.Draining, codec.Cancelled, codec.QuotaExceeded:
		return false
	}
	return true
}

// takenBack is what a job is answered that was taken out of its queue because of why.
func takenBack(j *Job, why *codec.Error) *codec.Error {
	if j.failedWith != nil { // it has begun
		return codec.NewError(why.Code, why.Message+", between two attempts; the last one failed: "+j.failedWith.Error())
	}
	return why
}

func deadlineOver(j *Job) *codec.Error {
	if j.failedWith != nil {
		return asError(j.failedWith)
	}
	return codec.NewError(codec.DeadlineExceeded, j.typ.name+" was not begun within deadlineMs")
}

func waitOver(j *Job) *codec.Error {
	return codec.NewError(codec.DeadlineExceeded, "the wait for "+j.typ.name+" was not over within deadlineMs")
}

// asError returns err as it goes over the wire.
func asError(err error) *codec.Error {
	if e, ok := errors.AsType[*codec.Error](err); ok {
		return e
	}
	c, ok := errors.AsType[codec.Code](err)
	switch {
	case ok:
	case errors.Is(err, context.DeadlineExceeded):
		c = codec.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		c = codec.Cancelled
	default:
		c = codec.HandlerFailed
	}
	return codec.NewError(c, err.Error())
}
