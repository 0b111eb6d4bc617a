// Package engine is kassa's reactor: it holds the connections on a few gnet event loops, cuts what they send into frames,
// and writes what they are answered.
//
// The nouns: an [Engine] owns listeners and event loops; a [Conn] is a connection; a [Peer] is what receives a
// connection's requests, and is made by [Config].Open; dispatch.Dispatcher makes such peers.
//
// DESIGN.md in this directory names each goroutine, what it owns and what wakes it, and works out each limit.
//
// Caveats: everything that belongs to a connection is touched by the goroutine of its event loop alone, so a Peer must
// never block there: one that does holds up thousands of others.
package engine
