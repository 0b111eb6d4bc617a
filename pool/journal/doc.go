// Package journal keeps what a deterministic state machine needs to come back after a restart or a crash.
//
// The nouns: a [Journal] is the log of a machine; a chunk is a run of its events, and has the revision of the last one as
// its seq; a checkpoint is the state as [Record]s, with a [Mark] that says which state; a [Ticket] is for what was asked
// and may not be durable yet; a [Recovery] takes what a journal holds. [Pebble] is a journal on disk, [Memory] one for
// tests.
//
// A chunk is one batch in Pebble's log, and so is a checkpoint, with the removal of the chunks that are no longer kept.
// Each batch is numbered, each chunk knows the one before it, and each value has a checksum of its own. Open checks, before
// any file is changed, that the batches in the tables and in the logs follow one another; Recover checks the rest of what
// it hands out, and Verify all there is. What is not as it was written is refused with ErrDamaged: a backup is to be
// restored then. Nothing is repaired by guessing.
//
// Caveats:
//
// A log ends torn after a crash, and what is lost then was not acknowledged. That is told from damage by what comes behind:
// each batch says which ones were durable when it was made. So damage to the last batches that were acknowledged before a
// crash can't be told from a torn end, as long as none was made after that: with one ticket at a time that is the last
// one, with n in flight the last n. Nor can a newest log that was cut off, or removed: it looks like an earlier crash.
// After a Close there is no such doubt, as all is in tables then, and the log has an entry that numbers these.
//
// A log is longer than what is written to it: it grows ahead, in zeros, and one that is used again holds what it did before.
//
// When a write to a log or to the list of the tables fails, or an fsync of anything, all writing ends: tickets return
// ErrUnknown, Config.OnFatal is called, and Pebble's goroutine that had the error is kept until the process ends, as it
// could neither go on nor come back safely. Nothing is tried twice. The same goes for what Pebble finds damaged in the
// background, and for calls that no journal could keep, such as a seq that does not rise.
//
// Where a table has no room, Pebble tries again until there is: Full returns true and tickets go on to be served from the
// log, until some 30 MB are waiting. From there on they wait. Open needs room, and fails without.
//
// A backup on the same file system shares its tables with the store, by hard links: copy it elsewhere.
//
// The format of Pebble's files is pinned; raising it is one-way, see pebbleFormat.
package journal
