package pool

// rec is what a record of the state keeps for checkpoints. Every pool, item, session, lease, wait and key has one.
type rec struct {
	hash   uint64 // what it contributes to Machine.sum; 0: nothing
	gen    uint32 // the generation in which it was last changed; see checkpoint
	stored bool   // the last checkpoint, or one before it, holds it
	gone   bool   // it is no longer part of the state
}

// record is a part of the state that is stored by itself.
type record interface {
	rec() *rec
	key(*enc)
	value(*enc)
}

// The first bytes of the keys, in the order in which records must be loaded.
const (
	recMachine byte = 'a' + iota
	recPool
	recItem
	recSession
	recLease
	recWait
	recKey
)

// checkpoint is how the state gets to disk while it goes on changing: Freeze takes the list of the records changed since
// the last one, and Slice hands them out as they were at that moment. A record that changes before its turn hands itself
// out first.
type checkpoint struct {
	gen    uint32   // the current generation; a record with this one is in dirty
	dirty  []record // changed since the last Freeze, each once
	frozen []record // of the checkpoint under way, from next on; those with the current generation have been handed out
	next   int
	active bool
	out    []Record
	head   bool // the machine's own record is to be handed out
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
		m.handOut(r)
	}
	x.gen = m.ck.gen
	m.ck.dirty = append(m.ck.dirty, r)
}

// drop takes r out of the state.
func (m *Machine) drop(r record) {
	m.touch(r)
	r.rec().gone = true
}

// Freeze begins a checkpoint of the state as it is now, for which Slice hands out the records. One must be finished
// before the next.
func (m *Machine) Freeze() {
	if m.ck.active {
		panic("pool: Freeze before the last checkpoint was handed out")
	}
	m.ck.active, m.ck.head = true, true
	m.ck.frozen, m.ck.dirty = m.ck.dirty, m.ck.frozen[:0]
	m.ck.next = 0
	m.ck.gen++
	m.frozenAt = Mark{Rev: m.rev, Clock: m.now}
}

// Mark says what a checkpoint stands for.
type Mark struct {
	Rev   uint64 // of the last event it contains
	Clock int64  // ms
	Hash  uint64
}

// Slice hands out about n records of the checkpoint begun by Freeze, and what changed ahead of its turn. When there are
// no more, done is true, and mark is what the checkpoint stands for. The records are the caller's.
func (m *Machine) Slice(n int) (records []Record, mark Mark, done bool) {
	if !m.ck.active {
		panic("pool: Slice without Freeze")
	}
	for ; n > 0 && m.ck.next < len(m.ck.frozen); n-- {
		r := m.ck.frozen[m.ck.next]
		if r.rec().gen != m.ck.gen {
			m.handOut(r)
		}
		m.ck.frozen[m.ck.next] = nil
		m.ck.next++
	}
	records, m.ck.out = m.ck.out, nil
	if m.ck.next < len(m.ck.frozen) {
		return records, Mark{}, false
	}
	m.ck.active = false
	if cap(m.ck.frozen) > 1<<16 {
		m.ck.frozen = nil // that of a fill
	}
	m.frozenAt.Hash = m.sum
	return records, m.frozenAt, true
}

// Changed returns how many records have changed since the last Freeze.
func (m *Machine) Changed() int { return len(m.ck.dirty) }

// handOut appends r as it is now to the checkpoint, and has the sum say so.
func (m *Machine) handOut(r record) {
	x := r.rec()
	if x.gone {
		if x.stored {
			var key enc
			r.key(&key)
			m.ck.out = append(m.ck.out, Record{Key: key})
		}
		m.sum -= x.hash
		x.hash, x.stored = 0, false
		return
	}
	var e enc
	r.key(&e)
	n := len(e)
	r.value(&e)
	h := hashOf(e)
	m.sum += h - x.hash
	x.hash, x.stored = h, true
	m.ck.out = append(m.ck.out, Record{Key: e[:n:n], Value: e[n:]})
}

// Hash returns a hash of the whole state: the sum of the hashes of all records. It costs as much as there are records
// changed since the last checkpoint.
func (m *Machine) Hash() uint64 {
	sum := m.sum
	var e enc
	add := func(r record) {
		x := r.rec()
		sum -= x.hash
		if !x.gone {
			e = e[:0]
			r.key(&e)
			r.value(&e)
			sum += hashOf(e)
		}
	}
	if m.ck.active {
		for _, r := range m.ck.frozen[m.ck.next:] {
			if r.rec().gen != m.ck.gen {
				add(r)
			}
		}
	}
	for _, r := range m.ck.dirty {
		add(r)
	}
	return sum
}
