// Package load puts requests on a server over very many connections, checks every reply, and takes the time.
//
// The nouns: a [Generator] holds the connections and is led through phases: Connect, then any number of Run. A [Phase]
// is a closed loop (so many requests in flight on each connection, the next one goes out when a reply has come) or an
// open loop (a fixed rate, timed from when a request was due, whether or not the server keeps up). A [Report] says what
// came of a phase, and a [Fault] names the connection and the index of what went wrong. A [Wire] is what the generator
// knows of a protocol. [Serve] makes a process of a Generator, led by JSON lines.
//
// It is light, so that the figures are the server's: each thread has an epoll instance and its share of the connections,
// there is no goroutine a connection, frames are templates into which two numbers are written, and all that one wake-up
// lets go out on a connection goes out in one write.
//
// It is strict, so that a server cannot win by cheating: each request carries a number that follows from connection and
// index, each reply must be byte for byte the one its request asks for, exactly once. A reply that is wrong, doubled or
// missing is a Fault; so is a connection that the server refuses or closes.
//
// A request can also be a pair ([PairsConfig]): an item of a pool is acquired, then released, over the protocol of kassa, Redis
// or PostgreSQL. What is checked then: that each reply is the one its request must get, that no item is given out while it is
// held, and that tokens only rise.
//
// More connections than one address has ports (28,000) come from several addresses, 127.0.0.1, 127.0.0.2, and so on.
//
// Caveats: Linux 5.11 or newer (epoll_pwait2), IPv4. A Generator belongs to one goroutine at a time.
package load
