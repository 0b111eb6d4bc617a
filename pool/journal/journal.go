package journal

import (
	"context"
	"errors"
)

// A Journal keeps what a deterministic state machine needs to come back: its last checkpoint, and each chunk of events
// after that. Append, Checkpoint and Close are for one goroutine at a time; Read, Backup and Full are for any.
type Journal interface {
	// Recover hands out what the journal holds. It is called once, before anything else. The epoch rises by one at each,
	// durably: what two processes, or two lives of one, have handed out can be told apart by it.
	Recover(Recovery) (epoch uint64, err error)

	// Append adds a chunk. seq is the revision of its last event: it rises from chunk to chunk, with gaps, as a chunk
	// covers (previous seq, seq]. The chunk is not kept after return.
	Append(seq uint64, chunk []byte) Ticket

	// Checkpoint changes the records and sets the mark, in one atomic step. m.Seq has been appended. The records are not
	// kept after return.
	Checkpoint(m Mark, records []Record) Ticket

	// Read calls fn with each chunk behind after, in order, up to the last one known to be durable at the time of the call:
	// what is not may never have been. It returns ErrGone, before any call of fn, when some of these are kept no longer.
	// While it is under way, what it reads is kept on disk, and Close waits.
	Read(ctx context.Context, after uint64, fn func(seq uint64, chunk []byte) error) error

	// Backup makes a consistent copy, which Open takes, in the new directory dir, while the journal runs.
	Backup(dir string) error

	// Full tells that there is less room on the disk than Config.ReserveBytes: what grows the state is to be refused,
	// what shrinks it is not. It is cheap.
	Full() bool

	Close() error
}

// A Ticket is what has been asked for and may not be durable yet.
type Ticket interface {
	// Wait returns nil once it is durable, and an error that wraps ErrUnknown when it may be or not; each later Append and
	// Checkpoint fails too then. It is called once, and for the tickets of a journal in the order these were handed out.
	Wait() error
}

// A Mark says what a checkpoint stands for: the state after the chunk Seq.
type Mark struct {
	Seq    uint64
	Clock  int64 // in ms, the machine's
	Schema uint32
	Hash   uint64
}

// A Record is a piece of a checkpoint.
type Record struct {
	Key, Value []byte // Value nil: the record is gone
}

// A Recovery takes what a journal holds, in this order: each record of the last checkpoint, by key; the mark, once, which
// is zero for an empty store; each chunk after it, by seq. The bytes are valid during the call only. A nil func is
// skipped. What a func returns ends the recovery.
type Recovery struct {
	Record func(key, value []byte) error
	Mark   func(Mark) error
	Chunk  func(seq uint64, chunk []byte) error
}

var (
	// ErrUnknown is what Ticket.Wait returns when writing has failed: the chunk or the checkpoint may be durable or not,
	// which only a new Recover tells. Nothing more is written.
	ErrUnknown = errors.New("journal: not known to be durable")

	// ErrGone is what Read returns when chunks behind after are kept no longer.
	ErrGone = errors.New("journal: chunks are kept no longer")

	// ErrDamaged is what Open, Recover, Read and Verify return when what is on disk is not what was written: the rest is
	// not handed out then. A backup is to be restored.
	ErrDamaged = errors.New("journal: damaged")

	// ErrLocked is what Open returns when another process, or this one, has the store open.
	ErrLocked = errors.New("journal: in use")

	// ErrClosed is what is returned after Close.
	ErrClosed = errors.New("journal: closed")
)
