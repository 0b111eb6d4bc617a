package serve

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
)

// dirs has where the journals are that open has opened.
var dirs sync.Map

// replays checks, when a server has ended, that what its journal has is the state that it had: from the last checkpoint,
// and, if all chunks are kept, from the first of these.
func (s *served) replays() error {
	j := s.cfg.Journal
	switch wrapped := j.(type) {
	case *troubled:
		j = wrapped.Journal
	case *backedUp:
		j = wrapped.Journal
	}
	if dir, ok := dirs.Load(j); ok {
		again, err := journal.OpenReadOnly(journal.Config{Dir: dir.(string)})
		if err != nil {
			return err
		}
		j = again
	} else if _, ok := j.(*journal.Memory); !ok {
		return nil
	}
	live, m := s.pools.machine, pool.New(s.cfg.Machine)
	_, err := j.Recover(journal.Recovery{
		Record: m.Load,
		Mark: func(mark journal.Mark) error {
			return m.Loaded(pool.Mark{Rev: mark.Seq, Clock: mark.Clock, Hash: mark.Hash})
		},
		Chunk: m.Replay,
	})
	if err == nil && (m.Rev() != live.Rev() || m.Hash() != live.Hash()) {
		err = fmt.Errorf("recovered rev %d with hash %x, it was %d with %x", m.Rev(), m.Hash(), live.Rev(), live.Hash())
	}
	m = pool.New(s.cfg.Machine)
	readErr := j.Read(context.Background(), 0, m.Replay)
	switch {
	case errors.Is(readErr, journal.ErrGone):
	case readErr != nil:
		err = errors.Join(err, readErr)
	case m.Rev() != live.Rev() || m.Hash() != live.Hash():
		err = errors.Join(err, fmt.Errorf("replayed rev %d with hash %x, it was %d with %x", m.Rev(), m.Hash(), live.Rev(), live.Hash()))
	}
	if err != nil {
		err = fmt.Errorf("replay: %w", err)
	}
	return errors.Join(err, j.Close())
}
