// Package client asks a kassa server for things, from Go.
//
// The nouns: a [Client] is one or several connections to one server, kept up by it; a [Request] asks for one thing, a
// [Response] is its answer; a [Push] is what the server says unasked; a [Lease] is items of the server's pools, kept until
// they are given back; a [Hold] is seats that are kept for a time, to be paid, and become a [Sale]; a [Booking] is rooms from
// one time to another; a [Config] says how.
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
// same [Request.Key]. Watches are to be asked for again, see Config.OnReconnect. A connection that has said hello resumes
// its session: what waits keeps its place, and keys stay known.
//
// # Leases
//
// Acquire, Lease.Release and the renewals do all of that themselves: they ask again with the same key until they know.
// A lease renews itself while the program does what it holds it for; its context ends when it is lost, and so should the
// work. That can be noticed late (a process that stands still notices nothing), so what is done to an item should carry
// Lease.Token, and whoever does it refuse a lower one than it has seen.
//
// A lease is lost when one item of it is taken away, when it could not be renewed in time, and when the client is closed.
// Then nothing is sent: the items come back when their time is over, as the pool says. Only what is being given back already
// when the client is closed is waited for, 1 s at most: so a program that ends its contexts, and closes the client then,
// leaves nothing taken. All leases of a client take one
// goroutine together, and share the session of its first connection.
//
// # Holds, sales and bookings
//
// A Hold does not renew itself: it is a customer's time to pay, which Hold.Done and Hold.ExpiresAt tell of. Hold.Confirm makes
// a Sale of it, Client.Book a Booking at once; Client.Reserve holds items of several kinds together. All of them ask again
// with the same key until they know, so that nothing is sold, booked or refunded twice; a caller that leaves earlier is told
// that it left in doubt, by [ErrUnknownOutcome], and may ask the same Hold, Sale or Booking again. Number and token are all
// there is to keep: Client.HoldOf, SaleOf and BookingOf go on with them, in another process, too.
//
// # Caveats
//
// A request that waits at the server (for a lease, say) takes one of the Config.InFlightMax places of its connection.
// Where they all wait, the release they wait for can not be sent, nor a renewal. The defaults keep clear of that: a server lets a
// connection wait for 1,024 answers.
//
// With Config.Conns over 1, requests of one goroutine may overtake each other, and what belongs to a connection at the
// server (watches, leases that were not taken by Acquire and end with it) belongs to one of several.
//
// Strings in decoded results share memory with the whole result: a program that keeps one short string of a long result
// for long does well to clone it.
package client
