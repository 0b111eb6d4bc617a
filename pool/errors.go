package pool

// Code says why a command was refused: the error code on the wire.
type Code string

// The codes that the machine answers with.
const (
	BadPayload      Code = "bad_payload"      // a value that can not be meant
	NotFound        Code = "not_found"        // no such pool, item, lease, wait or session
	NoMatch         Code = "no_match"         // the pool has not so many items that match: waiting would not help
	NoneFree        Code = "none_free"        // and the request would not wait
	WaitTimeout     Code = "wait_timeout"     // none came free in time
	StaleToken      Code = "stale_token"      // the lease is over, or the token is another grant's
	Expired         Code = "expired"          // the hold's time is over, or it was voided
	AlreadyResolved Code = "already_resolved" // the hold was confirmed, the sale refunded, the booking cancelled
	InvalidInterval Code = "invalid_interval" // a time that can not be booked, whoever asks
	Conflict        Code = "conflict"         // the item is in a state that does not allow it
	VersionConflict Code = "version_conflict" // the item has changed since
	WouldDeadlock   Code = "would_deadlock"   // the owner holds or waits for something, and the server lets nobody do both
	KeyConflict     Code = "key_conflict"     // the key was used with another body
	QuotaExceeded   Code = "quota_exceeded"   // the client has as many as it may
	QueueFull       Code = "queue_full"       // as many wait as may
	Overloaded      Code = "overloaded"       // as many keys are remembered as may be
	SessionExpired  Code = "session_expired"  // its grace time is over, or it never was
	Cancelled       Code = "cancelled"        // the wait was taken back
)

// Error is a refusal: a code, and a text that says what to do. Nothing was changed.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }
