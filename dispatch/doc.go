// Package dispatch takes requests from many connections to the one jobber that serves their type, and the answers back.
//
// The nouns: a [Registry] knows the request types and their handlers; a [Jobber] serves one type or several, one request
// at a time; a [Job] is a request on its way; a [Peer] is a connection as the dispatcher knows it; a [Parked] is a job
// that will be answered later, and until then waits; [Answers] are what a handler of [HandleAsync] answers through.
//
// A job's way: the event loop of its connection makes it and publishes it into the ring; the dispatcher goroutine appends
// it to the queue of its jobber; a worker of the jobber runs the handler, encodes the answer and puts the job into the inbox
// of the connection's event loop, which writes the answer and takes the job back. Every job comes home to the loop that made
// it, answered or not: so what a connection has under way is counted by its loop alone, without a lock.
//
// Caveats: a Job and what its methods hand out are valid until its handler returns, one of HandleAsync until it is answered,
// a parked one for good. A handler that takes long holds up its own type only; it is never interrupted, and what it has
// started runs to the end even when its client has gone. Functions given to Job.Park and Peer.OnClosed run on event loops,
// which they must not hold up.
package dispatch
