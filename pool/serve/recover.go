package serve

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
)

// schema is the version of the records of a checkpoint.
const schema = 1

// recover fills the machine with what the journal has.
func (s *Server) recover() error {
	began := time.Now()
	m := s.pools.machine
	records, chunks := 0, 0
	epoch, err := s.cfg.Journal.Recover(journal.Recovery{
		Record: func(key, value []byte) error {
			records++
			return m.Load(key, value)
		},
		Mark: func(mark journal.Mark) error {
			if mark.Schema > schema {
				return fmt.Errorf("the store was written by a newer kassa: its records have version %d, this one knows %d", mark.Schema, schema)
			}
			return m.Loaded(pool.Mark{Rev: mark.Seq, Clock: mark.Clock, Hash: mark.Hash})
		},
		Chunk: func(seq uint64, chunk []byte) error {
			chunks++
			return m.Replay(seq, chunk)
		},
	})
	if err != nil {
		return fmt.Errorf("serve: recover: %w", err)
	}
	s.epoch = epoch
	s.clock = clock{base: max(s.cfg.wall().UnixMilli(), m.Now()), start: time.Now()}
	s.pools.appended = m.Rev()
	s.feed.start(m.Rev())
	s.log.Info("pools recovered", slog.Uint64("rev", m.Rev()), slog.Int("records", records), slog.Int("chunks", chunks),
		slog.Uint64("epoch", epoch), slog.Duration("took", time.Since(began)))
	return nil
}

// configure says that the server has started, and has the pools be as configured.
func (s *Server) configure() error {
	if err := s.decideNow(&pool.Restarted{}, nil); err != nil {
		return err
	}
	if s.cfg.Pools == nil {
		return nil
	}
	m := s.pools.machine
	specs := make([]pool.Spec, len(s.cfg.Pools))
	for i, p := range s.cfg.Pools {
		specs[i] = p.Spec
		specs[i].Items = m.Items(p.Spec.Name)
	}
	if err := s.decideNow(&pool.Configure{Pools: specs}, nil); err != nil {
		return err
	}
	m.BeginFill()
	same := make(map[string]bool)
	for i, p := range s.cfg.Pools {
		if p.Items == nil {
			p.Items = func(func(pool.ItemSpec) bool) {}
		}
		items := pool.HashItems(p.Items)
		if same[p.Spec.Name] = items == specs[i].Items; same[p.Spec.Name] {
			continue
		}
		if err := s.fillPool(p); err != nil {
			return err
		}
		specs[i].Items = items
	}
	for _, name := range m.Pools() {
		var reply pool.Reply
		for more := !same[name]; more; more = reply.Cursor != "" {
			if err := s.decideNow(&pool.DrainUnseen{Pool: name, Cursor: reply.Cursor}, &reply); err != nil {
				return err
			}
		}
	}
	// Now they are as configured. If the server ends before that, the next start goes through all of it again.
	return s.decideNow(&pool.Configure{Pools: specs}, nil)
}

func (s *Server) fillPool(p Pool) error {
	items := make([]pool.ItemSpec, 0, 1024)
	flush := func() error {
		if len(items) == 0 {
			return nil
		}
		err := s.decideNow(&pool.Fill{Pool: p.Spec.Name, Items: items, Configured: true}, nil)
		items = items[:0]
		return err
	}
	for it := range p.Items {
		items = append(items, it)
		if len(items) == pool.FillMax {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// decideNow carries out a command before the Server has started, and makes it durable.
func (s *Server) decideNow(c pool.Command, r *pool.Reply) error {
	if r == nil {
		r = new(pool.Reply)
	}
	m := s.pools.machine
	m.Decide(s.clock.now(), c, r)
	if r.Err != nil {
		return r.Err
	}
	if chunk := m.TakeChunk(); chunk != nil {
		s.pools.appended = m.Rev()
		if err := s.cfg.Journal.Append(m.Rev(), chunk).Wait(); err != nil {
			return err
		}
		s.feed.add(m.Rev(), chunk)
	}
	if m.Changed() < s.cfg.CheckpointRecords {
		return nil
	}
	// Nobody is waiting yet. Later, a checkpoint of a million new items would keep the goroutine pools from all else for long.
	var b batch
	if s.pools.checkpoint(&b, true); b.mark == nil {
		return nil
	}
	return b.mark.Wait()
}
