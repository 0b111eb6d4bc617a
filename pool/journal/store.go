package journal

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// get calls read with what is under key, if there is something.
func get(db *pebble.DB, key []byte, read func(value []byte) error) error {
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return diagnosed(err)
	}
	defer closer.Close()
	return read(value)
}

func getMark(db *pebble.DB) (m markValue, err error) {
	err = get(db, keyMark, func(value []byte) (err error) {
		m, err = readMark(value)
		return err
	})
	return m, err
}

func getEpoch(db *pebble.DB) (e epochValue, err error) {
	err = get(db, keyEpoch, func(value []byte) (err error) {
		e, err = readEpoch(value)
		return err
	})
	return e, err
}

// lastChunk returns the last chunk and its seq, or zeros. Its bytes are not set.
func lastChunk(db *pebble.DB) (seq uint64, c chunkValue, err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyChunk}, UpperBound: []byte{keyChunk + 1}})
	if err != nil {
		return 0, c, diagnosed(err)
	}
	defer it.Close()
	if !it.Last() {
		return 0, c, diagnosed(it.Error())
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, c, diagnosed(err)
	}
	if c, err = readChunk(it.Key(), value); err != nil {
		return 0, c, err
	}
	c.bytes = nil // they go with the iterator
	seq, err = seqOf(it.Key())
	return seq, c, err
}

// scan calls fn with each key from lower up to upper.
func scan(db *pebble.DB, lower, upper []byte, fn func(key, value []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return diagnosed(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return diagnosed(err)
		}
		if err := fn(it.Key(), value); err != nil {
			return err
		}
	}
	return diagnosed(it.Error())
}

// makeDir makes dir and what is missing above it, durably.
func makeDir(fs vfs.FS, dir string) error {
	var above []string // of which an entry is new
	for at := dir; ; {
		if _, err := fs.Stat(at); err == nil {
			break
		}
		up := fs.PathDir(at)
		if up == at {
			break
		}
		above = append(above, up)
		at = up
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, at := range above {
		if err := syncDir(fs, at); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
