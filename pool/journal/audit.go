package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// audit checks, before Pebble may change a file, that the batches in the tables and those in the logs follow one another
// without a gap, and that a log that breaks off does so behind all that was acknowledged. It returns the number of the
// last batch. Pebble alone would do less: it takes as the end of the newest log, and of the list of the tables, whatever
// it can't read, unless a block of 32 KiB behind tells that this was synced.
func audit(fs vfs.FS, dir string, lock *pebble.Lock) (uint64, error) {
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return 0, diagnosed(err)
	}
	var last uint64
	if desc.Exists {
		if desc.FormatMajorVersion > pebbleFormat {
			return 0, fmt.Errorf("journal: was written by a newer release: its format is %s, this one knows up to %s",
				desc.FormatMajorVersion, pebbleFormat)
		}
		if last, err = inTables(fs, dir, lock); err != nil {
			return 0, err
		}
	}
	logs, err := wal.Scan(wal.Dir{FS: fs, Dirname: dir})
	if err != nil {
		return 0, diagnosed(err)
	}
	for i, log := range logs {
		if last, err = inLog(fs, log, last, i == len(logs)-1); err != nil {
			return 0, err
		}
	}
	return last, nil
}

// inTables returns the number of the last batch in the tables.
func inTables(fs vfs.FS, dir string, lock *pebble.Lock) (last uint64, err error) {
	o := options(noLogs{fs}, 256<<10, quiet{})
	o.ReadOnly, o.Lock = true, lock
	o.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}} // comes as an error, too
	db, err := pebble.Open(dir, o)
	if err != nil {
		return 0, diagnosed(err)
	}
	last, err = lastBatch(db)
	return last, errors.Join(err, db.Close())
}

// noLogs is a file system without logs.
type noLogs struct{ vfs.FS }

func (fs noLogs) List(dir string) ([]string, error) {
	names, err := fs.FS.List(dir)
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, ".log") }), err
}

// lastBatch returns the number of the last batch: each has one of these three keys.
func lastBatch(db *pebble.DB) (uint64, error) {
	mark, err := getMark(db)
	if err != nil {
		return 0, err
	}
	epoch, err := getEpoch(db)
	if err != nil {
		return 0, err
	}
	_, chunk, err := lastChunk(db)
	return max(mark.batch, epoch.batch, chunk.batch), err
}

// inLog returns the number of the last batch in a log, or last when it has none behind that.
func inLog(fs vfs.FS, log wal.LogicalLog, last uint64, newest bool) (uint64, error) {
	r := log.OpenForRead()
	defer r.Close()
	var end int64
	var batch []byte
	for {
		in, at, err := r.NextRecord()
		if err == nil {
			end = at.Physical
			if batch, err = readAll(batch[:0], in); err == nil {
				s, ours := stampOf(batch)
				switch {
				case !ours || s.batch <= last:
				case s.batch == last+1:
					last++
				default:
					return 0, fmt.Errorf("%w: batches %d to %d are lost: log %s goes on with %d. %s",
						ErrDamaged, last+1, s.batch-1, at.PhysicalFile, s.batch, advice)
				}
				continue
			}
		}
		switch {
		case !newest: // Pebble refuses it when it is still needed, and it shows in the next
			return last, nil
		case errors.Is(err, io.EOF), record.IsInvalidRecord(err), errors.Is(err, record.ErrInvalidChunk):
			// a flipped bit may look like an orderly end, too
			_, path := log.SegmentLocation(0)
			return last, nothingBehind(fs, path, uint32(log.Num), end, last)
		default:
			return 0, fmt.Errorf("journal: can't read log %s at %s: %w", log.Num, at, err)
		}
	}
}

// nothingBehind looks in a log behind offset end for a batch that was made when one behind last was durable.
// It could be led astray, into refusing a log whose end is torn, by a chunk that holds a piece of such a log.
func nothingBehind(fs vfs.FS, path string, num uint32, end int64, last uint64) error {
	const block = 32 << 10 // no piece crosses the bounds of one
	const header = 19      // checksum 4, length 2, type 1, log number 4, offset 8
	f, err := fs.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, block)
	for at := end - end%block; ; at += block {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i := int(max(end-at, 0)); i+header <= n; i++ {
			b := buf[i:n]
			if b[6] != 9 && b[6] != 10 || binary.LittleEndian.Uint32(b[7:]) != num { // a whole record or its first piece
				continue
			}
			size := header + int(binary.LittleEndian.Uint16(b[4:]))
			if size > len(b) {
				continue
			}
			sum := crc32.Checksum(b[6:size], castagnoli)
			if sum = (sum>>15 | sum<<17) + 0xa282ead8; sum != binary.LittleEndian.Uint32(b) {
				continue
			}
			if s, ours := stampOf(b[header:size]); ours && s.acked > last {
				return fmt.Errorf("%w: log %s can't be read behind offset %d, and batch %d, at %d, was made when batch %d, of "+
					"which the last that can be read is %d, was durable. %s",
					ErrDamaged, path, end, s.batch, at+int64(i), s.acked, last, advice)
			}
		}
		if n < block {
			return nil
		}
	}
}

func readAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		b = slices.Grow(b, 512)
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}
