package pool

import "slices"

// rec is what a record of the state keeps for checkpoints. Every pool, item, session, lease, wait and key has one.
type rec struct {
	hash   uint64 // what it contributes to Machine.sum; while it is not stored: its place in checkpoint.dirty
	gen    uint32 // the generation in which it was last changed; see checkpoint
	stored bool   // the last checkpoint, or one before it, holds it
	gone   bool   // it is no longer part of the state
}

// counted returns what the record contributes to Machine.sum.
func (x *rec) counted() uint64 {
	if x.stored {
		return x.hash
	}
	return 0
}

// record is a part of the state that is stored by itself.
type record interface {
	rec() *rec
	key(*enc)
	value(*enc)
}

// The first bytes of the keys, in the order in which records must be loaded.
const (
	recPool byte = 'b' + iota
	recItem
	recSession
	recGrant
	recWait
	recKey
)

// checkpoint is how the state gets to disk while it goes on changing: Freeze takes the list of the records changed since
// the last one, and Slice hands them out as they were at that moment. What a record was that changes before its turn is
// put aside, and handed out last: a record of the same name, gone before it came, must not take it away again.
type checkpoint struct {
	gen    uint32   // the current generation; a record with this one is in dirty
	dirty  []record // changed since the last Freeze, each once, in order; nil: it came and went
	nils   int      // in dirty
	frozen []record // of the checkpoint under way, from next on; those with the current generation are in aside
	next   int
	aside  []Record
	active bool
}

// Record is a key and a value of a checkpoint. A nil value says that the key is gone.
type Record struct {
	Key, Value []byte
}

// touch must be called before r is changed.
func (m *Machine) touch(r record) {
	x := r.rec()
	if x.gen == m.ck.gen {
		return
	}
	if m.ck.active && x.gen == m.ck.gen-1 {
		m.ck.aside = m.handOut(m.ck.aside, r)
	}
	x.gen = m.ck.gen
	if !x.stored {
		x.hash = uint64(len(m.ck.dirty))
	}
	m.ck.dirty = append(m.ck.dirty, r)
}

// drop takes r out of the state.
func (m *Machine) drop(r record) {
	m.touch(r)
	x := r.rec()
	x.gone = true
	if x.stored {
		return
	}
	// No checkpoint knows of it: most leases come and go like this.
	ck := &m.ck
	ck.dirty[x.hash] = nil
	ck.nils++
	for n := len(ck.dirty); n > 0 && ck.dirty[n-1] == nil; n-- {
		ck.dirty = ck.dirty[:n-1]
		ck.nils--
	}
	if ck.nils > 1024 && ck.nils > len(ck.dirty)/2 {
		ck.dirty = slices.DeleteFunc(ck.dirty, func(r record) bool { return r == nil })
		ck.nils = 0
		for i, r := range ck.dirty {
			if x := r.rec(); !x.stored {
				x.hash = uint64(i)
			}
		}
	}
}

// Freeze begins a checkpoint of the state as it is now, for which Slice hands out the records. One must be finished
// before the next.
func (m *Machine) Freeze() {
	if m.ck.active {
		panic("pool: Freeze before the last checkpoint was handed out")
	}
	m.ck.active = true
	m.ck.frozen, m.ck.dirty = m.ck.dirty, m.ck.frozen[:0]
	m.ck.next, m.ck.nils = 0, 0
	m.ck.gen++
	m.frozenAt = Mark{Rev: m.rev, Clock: m.now}
}

// Mark says what a checkpoint stands for.
type Mark struct {
	Rev   uint64 // of the last event it contains
	Clock int64  // ms
	Hash  uint64
}

// Slice hands out up to n records of the checkpoint begun by Freeze. When there are no more, done is true, and mark is
// what the checkpoint stands for. The records are the caller's, who keeps their order.
func (m *Machine) Slice(n int) (records []Record, mark Mark, done bool) {
	ck := &m.ck
	if !ck.active {
		panic("pool: Slice without Freeze")
	}
	for ; n > 0 && ck.next < len(ck.frozen); n-- {
		if r := ck.frozen[ck.next]; r != nil && r.rec().gen != ck.gen {
			records = m.handOut(records, r)
		}
		ck.frozen[ck.next] = nil
		ck.next++
	}
	if ck.next < len(ck.frozen) {
		return records, Mark{}, false
	}
	n = min(n, len(ck.aside))
	records, ck.aside = append(records, ck.aside[:n]...), ck.aside[n:]
	if len(ck.aside) > 0 {
		return records, Mark{}, false
	}
	ck.active, ck.aside = false, nil
	if cap(ck.frozen) > 1<<16 {
		ck.frozen = nil // that of a fill
	}
	m.frozenAt.Hash = m.sum
	return records, m.frozenAt, true
}

// Changed returns how many records have changed since the last Freeze.
func (m *Machine) Changed() int { return len(m.ck.dirty) - m.ck.nils }

// handOut appends r as it is now to records, and has the sum say so.
func (m *Machine) handOut(records []Record, r record) []Record {
	x := r.rec()
	m.sum -= x.counted()
	var e enc
	r.key(&e)
	if x.gone {
		x.stored = false
		return append(records, Record{Key: e})
	}
	n := len(e)
	r.value(&e)
	x.hash, x.stored = hashOf(e), true
	m.sum += x.hash
	return append(records, Record{Key: e[:n:n], Value: e[n:]})
}

// Hash returns a hash of the whole state: the sum of the hashes of all records. It costs as much as there are records
// changed since the last checkpoint.
func (m *Machine) Hash() uint64 {
	sum := m.sum
	var e enc
	add := func(r record) {
		if r == nil {
			return
		}
		x := r.rec()
		sum -= x.counted()
		if !x.gone {
			e = e[:0]
			r.key(&e)
			r.value(&e)
			sum += hashOf(e)
		}
	}
	if m.ck.active {
		for _, r := range m.ck.frozen[m.ck.next:] {
			if r != nil && r.rec().gen != m.ck.gen {
				add(r)
			}
		}
	}
	for _, r := range m.ck.dirty {
		add(r)
	}
	return sum
}
