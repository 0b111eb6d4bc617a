package codec

import "strconv"

// Code says what went wrong: a closed set, by name in JSON and by number in binary frames. Numbers are never reused.
// A Code is an error, so that errors.Is(err, codec.QueueFull) finds it inside any error that wraps one.
type Code uint8

// The codes. PROTOCOL.md says of each when it occurs and whether asking again can help.
const (
	OK Code = iota // no failure; never sent as an error

	// Frames.
	BadFrame
	FrameTooLarge
	ReplyTooLarge
	UnsupportedVersion

	// Identity.
	Unauthenticated
	PermissionDenied
	SessionExpired

	// Load.
	QueueFull
	Overloaded
	RateLimited
	QuotaExceeded
	Draining
	TooManyConnections
	SlowReader
	Paused

	// Work.
	UnknownType
	BadPayload
	DeadlineExceeded
	HandlerFailed
	Cancelled
	NoWorker
	WorkerLost
	Unavailable
	Internal

	// Pools.
	NotFound
	NoMatch
	NoneFree
	WaitTimeout
	NotOwner
	Expired
	StaleToken
	AlreadyResolved
	Conflict
	VersionConflict
	WouldDeadlock
	InvalidInterval
	KeyConflict
	StoreFull
	RevGone
	StateBehind
	Recovering

	codeEnd
)

var codeNames = [codeEnd]string{
	OK:                 "ok",
	BadFrame:           "bad_frame",
	FrameTooLarge:      "frame_too_large",
	ReplyTooLarge:      "reply_too_large",
	UnsupportedVersion: "unsupported_version",
	Unauthenticated:    "unauthenticated",
	PermissionDenied:   "permission_denied",
	SessionExpired:     "session_expired",
	QueueFull:          "queue_full",
	Overloaded:         "overloaded",
	RateLimited:        "rate_limited",
	QuotaExceeded:      "quota_exceeded",
	Draining:           "draining",
	TooManyConnections: "too_many_connections",
	SlowReader:         "slow_reader",
	Paused:             "paused",
	UnknownType:        "unknown_type",
	BadPayload:         "bad_payload",
	DeadlineExceeded:   "deadline_exceeded",
	HandlerFailed:      "handler_failed",
	Cancelled:          "cancelled",
	NoWorker:           "no_worker",
	WorkerLost:         "worker_lost",
	Unavailable:        "unavailable",
	Internal:           "internal",
	NotFound:           "not_found",
	NoMatch:            "no_match",
	NoneFree:           "none_free",
	WaitTimeout:        "wait_timeout",
	NotOwner:           "not_owner",
	Expired:            "expired",
	StaleToken:         "stale_token",
	AlreadyResolved:    "already_resolved",
	Conflict:           "conflict",
	VersionConflict:    "version_conflict",
	WouldDeadlock:      "would_deadlock",
	InvalidInterval:    "invalid_interval",
	KeyConflict:        "key_conflict",
	StoreFull:          "store_full",
	RevGone:            "rev_gone",
	StateBehind:        "state_behind",
	Recovering:         "recovering",
}

var codesByName = func() map[string]Code {
	m := make(map[string]Code, codeEnd)
	for _, c := range Codes() {
		m[c.String()] = c
	}
	return m
}()

// String returns the code's name on the wire.
func (c Code) String() string {
	if c < codeEnd {
		return codeNames[c]
	}
	return "code_" + strconv.Itoa(int(c))
}

// Error returns the code's name.
func (c Code) Error() string { return c.String() }

// CodeByName returns the code of that name, Internal when there is none (a newer server's, say).
func CodeByName(name string) Code {
	if c, ok := codesByName[name]; ok {
		return c
	}
	return Internal
}

// Codes returns every code that can be sent, in the order of their numbers.
func Codes() []Code {
	all := make([]Code, 0, codeEnd-1)
	for c := OK + 1; c < codeEnd; c++ {
		all = append(all, c)
	}
	return all
}

// Error is a failure as it goes over the wire: its code, a text for people, and where it helps when to ask again and
// further particulars.
type Error struct {
	Code         Code
	Message      string
	RetryAfterMs uint32 // 0: nothing is known
	Detail       []byte // a JSON value; nil: none
}

// NewError returns an Error of code c that says message.
func NewError(c Code, message string) *Error { return &Error{Code: c, Message: message} }

// Error returns the code's name and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Message
}

// Unwrap returns the code, so that errors.Is finds it.
func (e *Error) Unwrap() error { return e.Code }
