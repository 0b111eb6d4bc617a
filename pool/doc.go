// Package pool is a deterministic state machine that gives resources out: to each holder for a time, to nobody twice.
//
// A Machine holds pools; a pool holds items; items are selected by their labels. An Acquire takes items of one pool or
// several, all or nothing, and makes a lease, which ends by Release, by its time, or with its session. What can not be had
// now can be waited for. A Session is a client over all its connections; a key makes a command that is given twice take
// effect once.
//
//	free -acquire-> leased -release clean-> free
//	                leased -release dirty-> dirty -item.set-> free
//	                leased -release broken, so many times in a row-> quarantined -item.set-> free
//	                leased -time over-> free, or dirty
//	free, dirty, quarantined -drain-> gone;  leased -drain, then release-> gone
//
// The machine has no clock, no randomness and no I/O of its own. Decide is told the time and a command; it changes the state
// only by events, which it applies as it emits them. TakeChunk returns the events for a journal; Replay applies them to
// another machine, which comes to the same state, as Hash shows. Freeze and Slice hand out the records that changed since
// the last checkpoint, while the state goes on changing; Load takes them back.
//
// Reading order: machine.go (commands, replies), event.go (how the state changes), item.go and free.go (what is given
// out), lease.go, acquire.go, wait.go, line.go and serve.go (who gets it), session.go, key.go, fill.go (what operators
// do), tick.go (what time does), view.go (who looks), record.go (checkpoints).
//
// # Caveats
//
// A Machine belongs to one goroutine. A reply tells what was decided: it may leave the server only when the journal has
// the chunk with its events, and so may what Stats, ListItems and Explain say.
//
// Within one line, those who want the same, the first that can not be served keeps the others waiting, so that one who
// wants many is not passed over for ever. Requests for several pools keep nobody waiting, and can be passed over until
// their time is up.
package pool
