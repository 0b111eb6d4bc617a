// Package bench measures kassa beside other servers: it starts them in turn, has a generator process put load on them,
// and draws a report.
//
// The nouns: a [Cell] is a kind of load (64x16: 64 connections with 16 requests in flight each); a [Peer] is a server
// that can be measured, and a [Server] is one that runs; a [Plan] says which cells are run on which peers, how often; a
// [Result] is what came of one run, a line of JSON; a [Target] is a bound that a ratio of results is to keep.
//
// What holds on a shared machine is the server's CPU time for a million requests, its memory, and ratios between two
// servers that were run in turn. Each run gets a fresh server and a fresh generator, both processes of their own. The CPU
// time that others used meanwhile is part of the result, and a run in which it was much is repeated.
//
// Cells of pools are of pairs: an item is acquired and released, both durable. There kassa is kassad with its store, and
// stands beside PostgreSQL and Redis, which are not built but found; those that are not installed are skipped. The generator
// speaks each one's own protocol, so that it costs alike.
//
// Caveats: Linux only (CPU clocks of other processes, /proc), all on 127.0.0.1. Stores are made in TMPDIR; where that is in
// memory, a sync costs nothing, and figures of pools say nothing ([CheckDisk]).
package bench
