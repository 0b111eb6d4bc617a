package journal

import (
	"context"
	"errors"
)

// A Summary tells what Verify has found.
type Summary struct {
	Epoch   uint64
	Mark    Mark
	Records int    // of the checkpoint
	Chunks  int    // that are kept, those the checkpoint covers among them
	Gone    uint64 // the seq up to which chunks are kept no longer
	Last    uint64 // the seq of the last chunk
	Bytes   int64  // of records and chunks
}

// Verify reads all there is in the store in dir, which must not be in use, and changes nothing. It returns an error that
// wraps ErrDamaged when a piece is missing or not what was written.
func Verify(dir string) (Summary, error) { return verify(Config{Dir: dir}) }

func verify(cfg Config) (s Summary, err error) {
	p, err := OpenReadOnly(cfg)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	s.Epoch, err = p.Recover(Recovery{
		Record: func(_, value []byte) error {
			s.Records++
			s.Bytes += int64(len(value))
			return nil
		},
		Mark: func(m Mark) error {
			s.Mark = m
			return nil
		},
	})
	if err != nil {
		return s, err
	}
	s.Gone, s.Last = p.gone.Load(), p.last
	err = p.Read(context.Background(), s.Gone, func(_ uint64, chunk []byte) error {
		s.Chunks++
		s.Bytes += int64(len(chunk))
		return nil
	})
	if err != nil {
		return s, err
	}
	if err := p.db.CheckLevels(nil); err != nil { // what is in the tables though a newer one hides it
		return s, diagnosed(err)
	}
	return s, nil
}
