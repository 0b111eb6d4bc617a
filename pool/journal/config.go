package journal

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Config says where a store is and how much it keeps.
type Config struct {
	Dir string // where it is, made when it is not there; no default
	FS  vfs.FS // the file system Dir is on; default: the operating system's

	ReserveBytes int64 // Journal.Full is true below that much free room, in bytes; default 64 MiB

	// Chunks that the last checkpoint covers are kept, for Read, as long as they are no older than RetainAge, by the clocks
	// of the marks, and no more than RetainBytes; a zero of both keeps none, a zero of one is no limit. They go by whole
	// checkpoints, when one is made.
	RetainBytes int64
	RetainAge   time.Duration

	Log *slog.Logger // default: slog.Default(). Pebble's chatter goes there as debug

	// OnFatal is called once, in a goroutine of its own, with what has ended all writing after Recover. The process should
	// be ended then and started anew: a new Recover tells what is durable. Default: nothing beyond an entry in Log.
	OnFatal func(error)

	memTable uint64 // in bytes; default: what options says
	plain    bool   // without Pebble's ApplyNoSyncWait, which is marked experimental: then one batch at a time is under way
}

func (c Config) withDefaults() Config {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.ReserveBytes == 0 {
		c.ReserveBytes = 64 << 20
	}
	if c.memTable == 0 {
		// Up to 32 of these are in memory, and in the logs, which are read at start. To write one to a table takes a core: for
		// 4 ms with 1 MiB.
		c.memTable = 1 << 20
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}
