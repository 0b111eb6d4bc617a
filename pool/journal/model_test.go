package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// An op is an Append or, with a mark, a Checkpoint.
type op struct {
	seq     uint64
	chunk   []byte
	mark    *Mark
	records []Record
}

// A model knows what was asked of a journal, and so what it may hold after any of these.
type model struct {
	rng   *rand.Rand
	ops   []op
	last  uint64
	seqs  []uint64 // of all chunks
	chunk int      // the most bytes a chunk has
}

func newModel(rng *rand.Rand) *model { return &model{rng: rng, chunk: 2000} }

// next makes one up.
func (m *model) next() op {
	var o op
	if len(m.seqs) > 0 && m.rng.IntN(8) == 0 {
		seq := m.seqs[len(m.seqs)-1-m.rng.IntN(min(3, len(m.seqs)))]
		if past := m.marked(len(m.ops)); past.Seq < seq {
			o.mark = &Mark{Seq: seq, Clock: int64(seq) * 10, Schema: 1, Hash: m.rng.Uint64()}
			for range m.rng.IntN(20) {
				r := Record{Key: fmt.Append(nil, "key", m.rng.IntN(40))}
				if m.rng.IntN(4) != 0 {
					r.Value = m.bytes(m.rng.IntN(300))
				}
				o.records = append(o.records, r)
			}
			m.ops = append(m.ops, o)
			return o
		}
	}
	m.last += 1 + m.rng.Uint64N(5)
	m.seqs = append(m.seqs, m.last)
	size := m.rng.IntN(m.chunk)
	if m.rng.IntN(20) == 0 {
		size *= 20
	}
	o = op{seq: m.last, chunk: m.bytes(size)}
	m.ops = append(m.ops, o)
	return o
}

func (m *model) bytes(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], m.rng.Uint64())
		copy(b[i:], w[:])
	}
	if m.rng.IntN(4) == 0 { // Pebble takes zeros for a log that was never written to
		clear(b)
	}
	return b
}

func (m *model) marked(k int) Mark {
	for i := k - 1; i >= 0; i-- {
		if m.ops[i].mark != nil {
			return *m.ops[i].mark
		}
	}
	return Mark{}
}

// do submits an op.
func do(j Journal, o op) Ticket {
	if o.mark != nil {
		return j.Checkpoint(*o.mark, o.records)
	}
	return j.Append(o.seq, o.chunk)
}

// A content is what a recovery has handed out.
type content struct {
	epoch   uint64
	mark    Mark
	records map[string]string
	chunks  []op
}

func recoverAll(j Journal) (c content, err error) {
	c.records = map[string]string{}
	marked := false
	c.epoch, err = j.Recover(Recovery{
		Record: func(key, value []byte) error {
			if marked {
				return errors.New("a record after the mark")
			}
			c.records[string(key)] = string(value)
			return nil
		},
		Mark: func(m Mark) error {
			if marked {
				return errors.New("two marks")
			}
			marked, c.mark = true, m
			return nil
		},
		Chunk: func(seq uint64, chunk []byte) error {
			if !marked {
				return errors.New("a chunk before the mark")
			}
			c.chunks = append(c.chunks, op{seq: seq, chunk: bytes.Clone(chunk)})
			return nil
		},
	})
	return c, err
}

// after returns what a journal holds after the first k ops.
func (m *model) after(k int) content {
	c := content{records: map[string]string{}, mark: m.marked(k)}
	for _, o := range m.ops[:k] {
		for _, r := range o.records {
			if r.Value == nil {
				delete(c.records, string(r.Key))
			} else {
				c.records[string(r.Key)] = string(r.Value)
			}
		}
		if o.mark == nil && o.seq > c.mark.Seq {
			c.chunks = append(c.chunks, op{seq: o.seq, chunk: o.chunk})
		}
	}
	return c
}

func (c content) equal(d content) bool {
	return c.mark == d.mark && maps.Equal(c.records, d.records) &&
		slices.EqualFunc(c.chunks, d.chunks, func(a, b op) bool { return a.seq == b.seq && bytes.Equal(a.chunk, b.chunk) })
}

func (c content) String() string {
	s := fmt.Sprintf("mark %+v, %d records, %d chunks", c.mark, len(c.records), len(c.chunks))
	if n := len(c.chunks); n > 0 {
		s += fmt.Sprintf(" from %d to %d", c.chunks[0].seq, c.chunks[n-1].seq)
	}
	return s
}

// find returns the k of at least from and at most to after which a journal holds c, or -1.
func (m *model) find(c content, from, to int) int {
	for k := max(from, 0); k <= to; k++ {
		if m.marked(k) == c.mark && m.after(k).equal(c) {
			return k
		}
	}
	return -1
}

// cut makes it that only the first k ops have been.
func (m *model) cut(k int) {
	m.ops = m.ops[:k]
	m.last, m.seqs = 0, nil
	for _, o := range m.ops {
		if o.mark == nil {
			m.last = o.seq
			m.seqs = append(m.seqs, o.seq)
		}
	}
}

// checkRead compares what Read yields with the first ops: at least so many, and at most so many.
func (m *model) checkRead(t *testing.T, p *Pebble, least, most int) error {
	t.Helper()
	gone, i, few := p.gone.Load(), 0, 0
	var want []op
	for k, o := range m.ops[:most] {
		if o.mark == nil && o.seq > gone {
			want = append(want, o)
			if k < least {
				few = len(want)
			}
		}
	}
	err := p.Read(context.Background(), gone, func(seq uint64, chunk []byte) error {
		if i >= len(want) || want[i].seq != seq || !bytes.Equal(want[i].chunk, chunk) {
			t.Errorf("Read yields chunk %d, which is not the one there was", seq)
		}
		i++
		return nil
	})
	if err == nil && i < few {
		t.Errorf("Read yields %d chunks, and not %d to %d", i, few, len(want))
	}
	return err
}
