package pool

// dueHeap orders things by the time at which something becomes due for them, earliest first, and by number where that is
// the same. It is a heap of four children a node; things with equal time-outs are pushed in constant time.
type dueHeap[T any] struct {
	entries []dueEntry[T]
	place   func(*T) *int32 // where a thing keeps its index, plus one; 0: it is not in the heap
}

type dueEntry[T any] struct {
	at int64 // ms
	id uint64
	x  *T
}

func (e *dueEntry[T]) before(f *dueEntry[T]) bool { return e.at < f.at || e.at == f.at && e.id < f.id }

// first returns the thing that is due first, and when; nil when there is none.
func (h *dueHeap[T]) first() (*T, int64) {
	if len(h.entries) == 0 {
		return nil, 0
	}
	return h.entries[0].x, h.entries[0].at
}

// set has x be due at at, whether or not it is in the heap.
func (h *dueHeap[T]) set(x *T, id uint64, at int64) {
	e := dueEntry[T]{at, id, x}
	i := int(*h.place(x)) - 1
	if i < 0 {
		h.entries = append(h.entries, e)
		h.up(len(h.entries)-1, e)
		return
	}
	if e.before(&h.entries[i]) {
		h.up(i, e)
	} else {
		h.down(i, e)
	}
}

// remove takes x out, if it is in.
func (h *dueHeap[T]) remove(x *T) {
	i := int(*h.place(x)) - 1
	if i < 0 {
		return
	}
	*h.place(x) = 0
	n := len(h.entries) - 1
	last := h.entries[n]
	h.entries[n] = dueEntry[T]{}
	h.entries = h.entries[:n]
	if i == n {
		return
	}
	if i > 0 && last.before(&h.entries[(i-1)/4]) {
		h.up(i, last)
	} else {
		h.down(i, last)
	}
}

func (h *dueHeap[T]) put(i int, e dueEntry[T]) {
	h.entries[i] = e
	*h.place(e.x) = int32(i + 1)
}

func (h *dueHeap[T]) up(i int, e dueEntry[T]) {
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h.entries[parent]) {
			break
		}
		h.put(i, h.entries[parent])
		i = parent
	}
	h.put(i, e)
}

func (h *dueHeap[T]) down(i int, e dueEntry[T]) {
	for {
		child := 4*i + 1
		if child >= len(h.entries) {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, len(h.entries)); c++ {
			if h.entries[c].before(&h.entries[least]) {
				least = c
			}
		}
		if !h.entries[least].before(&e) {
			break
		}
		h.put(i, h.entries[least])
		i = least
	}
	h.put(i, e)
}
