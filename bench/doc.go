// Package bench measures kassa beside other servers: it starts them in turn, and has a generator process put load on them.
// What draws a report of it, and compares two, is bench/cmd/bench, a module of its own.
//
// The nouns: a [Cell] is a kind of load (64x16: 64 connections with 16 requests in flight each); a [Peer] is a server
// that can be measured, and a [Server] is one that runs; a [Plan] says which cells are run on which peers, how often; a
// [Result] is what came of one run, a line of JSON.
//
// What holds on a shared machine is the server's CPU time for a million requests, its memory, and ratios between two
// servers that were run in turn. Each run gets a fresh server and a fresh generator, both processes of their own. The CPU
// time that others used meanwhile is part of the result, and a run in which it was much is repeated.
//
// Where a broker stands between clients and workers, the server is both: its process starts the broker as its child, works
// itself, and the CPU time and the memory of both count; [Result.BrokerCPUSeconds] is the broker's part.
//
// [Suite] is the table of which cells are run on which peers when nothing else is said: half an hour in three rounds.
//
// Where a thread of the generator was never at rest, a result says so ([Result.GeneratorBound]). With two cores for a server
// and its generator, the machine is often what ends first: throughput then shows what both cost together, and CPU time a
// request is what to compare.
//
// Cells of pools are of pairs: an item is acquired and released, both durable. There kassa is kassad with its store, and
// stands beside PostgreSQL and Redis, which are not built but found, and etcd, which is built; those that are not to be had are
// skipped. The generator speaks each one's own protocol, so that it costs alike.
//
// A connection takes a file descriptor in the generator and one in the server, and the cells that are named idle, storm and
// open18000 stay below a limit of 20,000. For idle50000, raise the limit of a process, hard and soft (as root:
// ulimit -n 50100; under systemd LimitNOFILE=50100; and sysctl fs.nr_open where that is lower): the generator raises the
// soft one itself, as servers in Go do. Ports do not run out: where one address has no more, the generator connects from the
// next one of 127.0.0.0/8; sysctl net.ipv4.ip_local_port_range gives each of them more. The kernel takes some 8 KB for both
// ends of a connection, besides what the server takes.
//
// Caveats: Linux only (CPU clocks of other processes, /proc), all on 127.0.0.1. Stores are made in TMPDIR; where that is in
// memory, a sync costs nothing, and figures of pools say nothing ([CheckDisk]).
package bench
