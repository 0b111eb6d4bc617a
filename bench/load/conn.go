package load

type connState uint8

const (
	unopened connState = iota
	connecting
	open
	dead // refused, closed by either side, or given up; stays so
)

// conn is one connection. It belongs to its loop.
type conn struct {
	id      uint32 // its number in the whole generator
	at      int32  // its place in the loop's conns
	fd      int    // valid while connecting and open
	state   connState
	window  window
	partial []byte // the beginning of a reply that is not whole yet
	pending []byte // requests that the socket did not take; they go out when it is writable
}

// pendingBytesMax bounds the requests of a connection that the server does not read; over it, the connection is given up.
const pendingBytesMax = 64 << 20
