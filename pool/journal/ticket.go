package journal

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// queueSize is how many tickets wait to be committed before Append does.
const queueSize = 256

// maxCheckpoint is the most a checkpoint may have in bytes: Pebble's batches end at 4 GiB.
const maxCheckpoint = 2 << 30

// done is a ticket whose outcome is known.
type done struct{ err error }

func (d done) Wait() error { return d.err }

// unknown makes what Wait returns of its cause.
func unknown(cause error) error { return fmt.Errorf("%w: %w", ErrUnknown, cause) }

// A ticket is a batch on its way.
type ticket struct {
	p     *Pebble
	batch *pebble.Batch
	stamp stamp
	seq   uint64 // of its chunk, or 0
	needs []byte // the key that has to be there before it is committed, or nil
	done  chan struct{}
}

func (t *ticket) Wait() error {
	select {
	case <-t.done:
		return nil
	case <-t.p.guard.fatal:
	}
	select {
	case <-t.done: // it was before that, so a later one may be durable too
		return nil
	default:
		return unknown(t.p.guard.cause)
	}
}

// ticket makes the next one, whose batch is empty. p.mu is held.
func (p *Pebble) ticket(db *pebble.DB) *ticket {
	p.batch++
	return &ticket{
		p: p, batch: db.NewBatch(), stamp: stamp{p.batch, p.acked.Load()}, done: make(chan struct{}),
	}
}

// epochTicket makes one that writes the epoch. p.mu is held, or nobody else is left.
func (p *Pebble) epochTicket(db *pebble.DB) (*ticket, error) {
	t := p.ticket(db)
	return t, t.batch.Set(keyEpoch, epochValue{t.stamp, p.epoch}.value(), nil)
}

func (p *Pebble) submit(t *ticket) Ticket {
	select {
	case p.committing <- t:
	case <-p.guard.fatal:
	}
	return t
}

// commit writes to the log what was submitted, up to the first error.
func (p *Pebble) commit() {
	defer close(p.syncing)
	for t := range p.committing {
		if p.guard.err() != nil {
			return
		}
		if err := p.apply(t); err != nil {
			p.guard.fail(err)
			return
		}
		select {
		case p.syncing <- t:
		case <-p.guard.fatal:
			return
		}
	}
}

func (p *Pebble) apply(t *ticket) (err error) {
	defer func() {
		if r := recover(); r != nil {
			p.guard.freeze(errPanic{r}) // it has left Pebble's mutexes locked
		}
	}()
	if t.needs != nil {
		_, closer, err := p.db.Get(t.needs)
		if errors.Is(err, pebble.ErrNotFound) {
			return misused("a checkpoint stands for a chunk that is not there")
		}
		if err != nil {
			return diagnosed(err)
		}
		closer.Close()
	}
	if p.cfg.plain {
		return p.db.Apply(t.batch, pebble.Sync)
	}
	return p.db.ApplyNoSyncWait(t.batch, pebble.Sync)
}

// sync waits for the fsync of each committed ticket. It stays when that never returns, as the guard sees to on an error.
func (p *Pebble) sync() {
	defer func() {
		for range p.syncing { // until commit has ended, too
		}
		close(p.idle)
	}()
	for t := range p.syncing {
		if !p.cfg.plain {
			if err := t.batch.SyncWait(); err != nil {
				p.guard.fail(err)
				return
			}
		}
		if p.guard.err() != nil { // then none is durable after one that may not be
			return
		}
		p.acked.Store(t.stamp.batch)
		if t.seq != 0 {
			p.durable.Store(t.seq)
		}
		close(t.done)
		t.batch.Close() // the log and the memtable have copies, so Pebble may use it again
	}
}
