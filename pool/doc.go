// Package pool is a deterministic state machine that gives resources out: nothing is ever given out twice.
//
// A Machine holds pools; a pool holds items of one kind; items are selected by their labels. An Acquire takes items of one
// pool or several, of any kinds, all or nothing, and makes a grant: its parts are items, units of an item that has several,
// or times of one. What can not be had now can be waited for. A Session is a client over all its connections; a key makes a
// command that is given twice take effect once.
//
// The kinds differ in what becomes of an item, and in nothing else:
//
//	Lease     free -acquire-> leased -release clean-> free
//	                          leased -release dirty-> dirty -item.set-> free
//	                          leased -release broken, so many times in a row-> quarantined -item.set-> free
//	                          leased -time over-> free, or dirty
//	Stock     available -acquire-> held -confirm-> sold -refund-> available, or withheld -item.set-> available
//	                               held -release, or time over-> available
//	Calendar  open -book-> booked -move-> booked -cancel, or past-> open
//	          open -acquire-> held -confirm-> booked, held -release, or time over-> open
//	any       nobody has it -drain-> gone;  somebody has it -drain, then it comes back-> gone
//
// The machine has no clock, no randomness and no I/O of its own, and knows no time zones. Decide is told the time and a
// command; it changes the state only by events, which it applies as it emits them. TakeChunk returns the events for a
// journal; Replay applies them to another machine, which comes to the same state, as Hash shows. Freeze and Slice hand out
// the records that changed since the last checkpoint, while the state goes on changing; Load takes them back.
//
// Reading order: machine.go (commands, replies), event.go (how the state changes), item.go and free.go (what is given out),
// grant.go (who has it), lease.go (how it ends, or is renewed), stock.go (how it is sold), calendar.go (when it is had),
// acquire.go, wait.go, line.go and serve.go (who gets it), session.go, key.go, fill.go (what operators do), tick.go (what time
// does), view.go and times.go (who looks), record.go (checkpoints). Where seats are is in internal/seats, what is booked when
// in internal/timeline.
//
// # Caveats
//
// A Machine belongs to one goroutine. A reply tells what was decided: it may leave the server only when the journal has
// the chunk with its events, and so may what Stats, ListItems, Free, Booked and Explain say.
//
// Within one line, those who want the same, the first that can not be served keeps the others waiting, so that one who
// wants many is not passed over for ever. Requests for several pools, for several items by name, and for times keep nobody
// waiting, and can be passed over until their time is up.
package pool
