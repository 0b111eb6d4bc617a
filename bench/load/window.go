package load

// windowMax bounds how far the newest request under way on a connection may be ahead of the oldest: over this, the
// oldest one's reply is taken for lost. 8 bytes each: half a megabyte for a connection that gets there.
const windowMax = 1 << 16

// window holds the requests of one connection that are under way: those of [low, next) whose slot is not 0.
type window struct {
	due       []int64 // when each was due, ns on the loop's clock, never 0; index i has slot i % len(due), a power of two
	low, next uint64  // indexes; low is the oldest one under way, or next
	count     int     // of requests under way
}

// full says that no request can be added: low has been waiting for very long.
func (w *window) full() bool { return w.next-w.low >= windowMax }

// add makes one more request under way and returns its index. The window must not be full.
func (w *window) add(due int64) uint64 {
	if w.next-w.low == uint64(len(w.due)) {
		w.grow()
	}
	index := w.next
	w.due[index&uint64(len(w.due)-1)] = due
	w.next++
	w.count++
	return index
}

// remove ends the request of that index and returns when it was due; false: it is not under way.
func (w *window) remove(index uint64) (due int64, ok bool) {
	if index < w.low || index >= w.next {
		return 0, false
	}
	mask := uint64(len(w.due) - 1)
	due = w.due[index&mask]
	if due == 0 {
		return 0, false
	}
	w.due[index&mask] = 0
	w.count--
	for w.low < w.next && w.due[w.low&mask] == 0 {
		w.low++
	}
	return due, true
}

// each calls f with every index under way, the oldest first.
func (w *window) each(f func(index uint64)) {
	for i := w.low; i < w.next; i++ {
		if w.due[i&uint64(len(w.due)-1)] != 0 {
			f(i)
		}
	}
}

func (w *window) grow() {
	due := make([]int64, max(1, 2*len(w.due)))
	for i := w.low; i < w.next; i++ {
		due[i&uint64(len(due)-1)] = w.due[i&uint64(len(w.due)-1)]
	}
	w.due = due
}
