// Package serve puts the pools of a pool.Machine on the wire: it is the jobber for all their operations, which exclude each
// other, and keeps the machine's events in a journal.
//
// A Server has three goroutines besides the jobber's, each with what it owns and what wakes it:
//
//	backup jobber  makes backups, one after the other, while the pools go on; woken by the dispatcher
//	pools jobber   decodes payloads into commands; woken by the dispatcher, and held up while pools is busy
//	pools          owns the machine and the journal's write side: decides a batch of commands, appends what came of it,
//	               and hands both on; woken by commands, by what connections do, by what becomes due
//	acker          owns parked jobs and watchers: waits until the journal has the batch, then answers; woken by batches
//	watch          one a watch: pushes events that are durable; woken by new ones, paced by what its client reads
//
// So a reply leaves only when everything it tells of is durable, reads included; and while the disk is busy with one batch,
// the next one grows: that is the group commit. At most batchesMax batches are under way; when the disk is slower than that,
// pools stands still, requests stay queued at the jobber, and are shed there.
//
// # Caveats
//
// When the journal can not write any more, nothing is answered any more: what clients were not told may be durable or not.
// Server.Failed says so, and the process should end at once; a new one recovers what is there.
package serve
