package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleFormat is the format of the store's files. Raising it is one-way: a release that does so makes stores that no
// release before it opens. This is the first one with checksums over a table's whole footer; the one before brought a
// log that tells where it was synced.
const pebbleFormat = pebble.FormatTableFormatV6

// FilesMax is how many files a store has open at most: as it grows, and is read, it comes to that.
const FilesMax = 128

// options are made for a log that is written much, scanned at start and hardly read in between: little cache, and tables
// kept open by the dozen. In memory that is at most 32 memtables, a cache of 8 MiB, and a checkpoint under way.
func options(fs vfs.FS, memTable uint64, log pebble.Logger) *pebble.Options {
	return &pebble.Options{
		FS:                          fs,
		Logger:                      log,
		FormatMajorVersion:          pebbleFormat,
		CacheSize:                   8 << 20,
		MaxOpenFiles:                FilesMax,
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: 32, // more than are ever waiting, but for want of room
		L0StopWritesThreshold:       24, // a checkpoint is a burst: let compaction catch up rather than hold up an Append
	}
}

// logger passes on what Pebble tells.
type logger struct {
	log   *slog.Logger
	guard *guard
}

func (l logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf never returns, as Pebble can't go on then. It may hold its mutexes, which go with it.
func (l logger) Fatalf(format string, args ...any) {
	l.guard.freeze(fmt.Errorf(format, args...))
}

// quiet is the logger of a store that is looked into for a moment.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (p *Pebble) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			p.cfg.Log.Error("journal: pebble, in the background", "error", err)
			p.guard.background(err)
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			p.guard.fail(fmt.Errorf("%w: %v. %s", ErrDamaged, i, advice))
		},
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err == nil {
				p.guard.starved.Store(false)
			}
		},
		CompactionEnd: func(i pebble.CompactionInfo) {
			if i.Err == nil {
				p.guard.starved.Store(false)
			}
		},
	}
}

const advice = "Keep the files, and restore a backup"

// errPanic is what Pebble has panicked with.
type errPanic struct{ value any }

func (e errPanic) Error() string { return fmt.Sprintf("pebble: %v", e.value) }

// diagnosed tells damage from what the operating system refuses.
func diagnosed(err error) error {
	var errno syscall.Errno
	switch {
	case err == nil || errors.Is(err, ErrDamaged):
		return err
	case errors.Is(err, pebble.ErrCorruption), errors.Is(err, fs.ErrNotExist), !errors.As(err, &errno):
		return fmt.Errorf("%w: %w. %s", ErrDamaged, err, advice)
	default:
		return fmt.Errorf("journal: %w", err)
	}
}
