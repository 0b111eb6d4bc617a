// Package client asks a kassa server for things, from Go.
//
// The nouns: a [Client] is one or several connections to one server, kept up by it; a [Request] asks for one thing, a
// [Response] is its answer; a [Push] is what the server says unasked; a [Config] says how.
//
//	c, err := client.Dial(ctx, client.Config{Addr: "tcp://127.0.0.1:41969"})
//	…
//	defer c.Close()
//	total, err := client.Call[Total](ctx, c, "cntResponse", Order{N: 1})
//
// A Client is safe for concurrent use, and made for it: requests of many goroutines share a connection, leave together
// in one write, and are answered in any order. No answer ever goes to another request: numbers of requests are never
// used twice, also not by the next connection, and an answer that names another type than its request did closes the
// connection.
//
// # Deadlines and cancellation
//
// The deadline of a request's context goes to the server with it: what can not be begun in time is not begun. When the
// context is cancelled, the call returns at once, and the server is told to take the request back if it still can.
// Either way what the call returns is the context's error by errors.Is, and what the server has made of the request is
// not known, unless the error is also [ErrNotSent].
//
// # Lost connections
//
// Dial makes one attempt and reports how it went. From then on a lost connection is made anew, after pauses that double
// from Config.BackoffMin to BackoffMax with full jitter. Requests that were not sent yet wait for it; those that were
// end with [ErrUnknownOutcome]: the server may have done them, or not. A caller that has to know asks again with the
// same [Request.Key]. What a connection stood for at the server ends with it: watches are to be asked for again, see
// Config.OnReconnect.
//
// # Caveats
//
// A request that waits at the server (for a lease, say) takes one of the Config.InFlightMax places of its connection.
// Where they all wait, the release they wait for can not be sent. The defaults keep clear of that: a server lets a
// connection wait for 1,024 answers.
//
// With Config.Conns over 1, requests of one goroutine may overtake each other, and what belongs to a connection at the
// server (watches, leases that end with it) belongs to one of several.
//
// Strings in decoded results share memory with the whole result: a program that keeps one short string of a long result
// for long does well to clone it.
package client
