package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/kassa-go/kassa/codec"
)

// What the client itself refuses.
var (
	// ErrNotSent is in every error of a request that never left: nothing was done, and asking again is safe. Why it did
	// not leave is in the same error: the context's error, ErrClosed, ErrBacklogFull, ErrFrameTooLarge, or that the
	// payload can not be encoded.
	ErrNotSent = errors.New("client: request not sent")

	// ErrClosed: the client was closed.
	ErrClosed = errors.New("client closed")

	// ErrBacklogFull: Config.WaitingMax requests wait already for a place or for the connection.
	ErrBacklogFull = errors.New("too many requests wait to be sent")
)

// ErrUnknownOutcome: the connection was lost while the request was under way (or the server's store failed). It may have
// been done, or not: ask again with the same Request.Key. It is the code unavailable under the name that says what it
// means to a caller.
const ErrUnknownOutcome = codec.Unavailable

// What servers answer: errors.Is(err, client.ErrQueueFull) finds a code in the error of a request. The whole failure is
// a *codec.Error, which errors.As finds: it has the server's text, RetryAfterMs and Detail.
const (
	// Frames.
	ErrBadFrame           = codec.BadFrame           // the server could not read the request
	ErrFrameTooLarge      = codec.FrameTooLarge      // the request is larger than a frame may be
	ErrReplyTooLarge      = codec.ReplyTooLarge      // the answer would be
	ErrUnsupportedVersion = codec.UnsupportedVersion // the server does not speak this version

	// Identity.
	ErrUnauthenticated  = codec.Unauthenticated  // the server wants to know who asks
	ErrPermissionDenied = codec.PermissionDenied // it knows, and this one may not
	ErrSessionExpired   = codec.SessionExpired   // the session to be resumed is gone

	// Load.
	ErrQueueFull          = codec.QueueFull          // the type's queue, or the server's, is full
	ErrOverloaded         = codec.Overloaded         // the server sheds load
	ErrRateLimited        = codec.RateLimited        // this client asks too often
	ErrQuotaExceeded      = codec.QuotaExceeded      // this client holds, or waits for, as much as it may
	ErrDraining           = codec.Draining           // the server is about to stop
	ErrTooManyConnections = codec.TooManyConnections // the server takes no more connections
	ErrSlowReader         = codec.SlowReader         // the client does not read its answers
	ErrPaused             = codec.Paused             // the type is paused by an operator

	// Work.
	ErrUnknownType      = codec.UnknownType      // nobody serves requests of this type
	ErrBadPayload       = codec.BadPayload       // the payload is not what the type takes
	ErrDeadlineExceeded = codec.DeadlineExceeded // not begun in time; is also context.DeadlineExceeded
	ErrHandlerFailed    = codec.HandlerFailed    // the handler returned an error, or panicked
	ErrCancelled        = codec.Cancelled        // taken back, by a cancel or an operator
	ErrNoWorker         = codec.NoWorker         // no remote worker serves the type now
	ErrWorkerLost       = codec.WorkerLost       // the remote worker went away with the request
	ErrUnavailable      = codec.Unavailable      // the outcome is unknown, see ErrUnknownOutcome
	ErrInternal         = codec.Internal         // the server's fault, or a code newer than this client

	// Pools.
	ErrNotFound        = codec.NotFound        // no such pool, item, lease, hold or slot
	ErrNoMatch         = codec.NoMatch         // no item of the pool is what was asked for, free or not
	ErrNoneFree        = codec.NoneFree        // all that match are taken
	ErrWaitTimeout     = codec.WaitTimeout     // none came free in time
	ErrNotOwner        = codec.NotOwner        // somebody else's
	ErrExpired         = codec.Expired         // the lease or hold is over
	ErrStaleToken      = codec.StaleToken      // the token of an earlier holder
	ErrAlreadyResolved = codec.AlreadyResolved // confirmed, released or void already
	ErrConflict        = codec.Conflict        // taken at that time
	ErrVersionConflict = codec.VersionConflict // changed by somebody else meanwhile
	ErrWouldDeadlock   = codec.WouldDeadlock   // the wait could never end
	ErrInvalidInterval = codec.InvalidInterval // not a time that can be booked: its end before its start, say, or the pool closed
	ErrKeyConflict     = codec.KeyConflict     // the key was used with another request
	ErrStoreFull       = codec.StoreFull       // the server has no room; nothing was done
	ErrRevGone         = codec.RevGone         // the revision to watch from is no longer kept
	ErrStateBehind     = codec.StateBehind     // the server has not seen Request.MinRev yet
	ErrRecovering      = codec.Recovering      // the server is reading its journal
)

// notSent says that the request never left, and why.
func notSent(why error) error { return fmt.Errorf("%w: %w", ErrNotSent, why) }

// outcomeUnknown is the error of requests that were under way when the connection was lost. The cause goes in as text:
// as an error it could be taken for the request's own (draining, say, which would mean that nothing was done).
func outcomeUnknown(cause error) error {
	return codec.NewError(codec.Unavailable, "connection lost: outcome unknown, ask again with the same key ("+cause.Error()+")")
}

// protocolError is why a connection is given up when the server says what it must not.
func protocolError(format string, args ...any) error {
	return fmt.Errorf("protocol error: "+format, args...)
}

// failureOf returns the failure in f, which aliases the read buffer, as an error that lasts.
func failureOf(f *codec.Frame) *codec.Error {
	e := f.Err
	e.Message = string([]byte(e.Message))
	if e.Detail != nil {
		e.Detail = append([]byte(nil), e.Detail...)
	}
	return &e
}

// answerError is failureOf as the error of a request. A deadline that the server found over is the one of the request's
// context, so it is that error too, no matter who notices first.
func answerError(f *codec.Frame) error {
	e := failureOf(f)
	if e.Code == codec.DeadlineExceeded {
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, e)
	}
	return e
}
