package journal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A Memory is a Journal in memory, for tests. It outlives Close: a Recover after that yields what was appended.
type Memory struct {
	mu      sync.Mutex
	open    bool
	epoch   uint64
	mark    Mark
	last    uint64 // the seq of the last chunk
	records map[string][]byte
	chunks  []memoryChunk // all there ever were
}

type memoryChunk struct {
	seq   uint64
	bytes []byte
}

// NewMemory makes an empty one.
func NewMemory() *Memory { return &Memory{records: map[string][]byte{}} }

func (m *Memory) Recover(r Recovery) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open {
		return 0, errors.New("journal: Recover was called already")
	}
	if r.Record != nil {
		for _, key := range slices.Sorted(maps.Keys(m.records)) {
			if err := r.Record([]byte(key), bytes.Clone(m.records[key])); err != nil {
				return 0, err
			}
		}
	}
	if r.Mark != nil {
		if err := r.Mark(m.mark); err != nil {
			return 0, err
		}
	}
	if r.Chunk != nil {
		for _, c := range m.after(m.mark.Seq) {
			if err := r.Chunk(c.seq, bytes.Clone(c.bytes)); err != nil {
				return 0, err
			}
		}
	}
	m.open = true
	m.epoch++
	return m.epoch, nil
}

func (m *Memory) after(seq uint64) []memoryChunk {
	i, found := slices.BinarySearchFunc(m.chunks, seq, func(c memoryChunk, seq uint64) int { return cmp.Compare(c.seq, seq) })
	if found {
		i++
	}
	return m.chunks[i:]
}

func (m *Memory) Append(seq uint64, chunk []byte) Ticket {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open {
		return done{unknown(ErrClosed)}
	}
	if seq <= m.last {
		return done{unknown(fmt.Errorf("chunk %d comes after chunk %d", seq, m.last))}
	}
	m.last = seq
	m.chunks = append(m.chunks, memoryChunk{seq, bytes.Clone(chunk)})
	return done{}
}

func (m *Memory) Checkpoint(mark Mark, records []Record) Ticket {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open {
		return done{unknown(ErrClosed)}
	}
	for _, r := range records {
		if r.Value == nil {
			delete(m.records, string(r.Key))
		} else {
			m.records[string(r.Key)] = append([]byte{}, r.Value...)
		}
	}
	m.mark = mark
	return done{}
}

func (m *Memory) Read(ctx context.Context, after uint64, fn func(seq uint64, chunk []byte) error) error {
	m.mu.Lock()
	open, chunks := m.open, m.after(after)
	m.mu.Unlock()
	if !open {
		return ErrClosed
	}
	for _, c := range chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(c.seq, bytes.Clone(c.bytes)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Memory) Backup(string) error {
	return errors.New("journal: there is no backup of a journal in memory")
}

func (m *Memory) Full() bool { return false }

func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open {
		return ErrClosed
	}
	m.open = false
	return nil
}
