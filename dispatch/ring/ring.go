// Package ring holds a bounded lock-free queue for many producers and one consumer, the waiting line between the event
// loops and the dispatcher.
//
// The idea is the LMAX Disruptor's: positions only rise, a slot is a position modulo the size, and a slot carries the
// position it was last published at, so that neither side ever has to clear one for the other.
package ring

import (
	"fmt"
	"sync/atomic"
)

// Ring is the queue. Of the positions, all of which rise for ever:
//   - [head, tail) are claimed by producers. Those whose slot says "published" belong to the consumer, the others still
//     to the producer that claimed them.
//   - [tail, head+len(slots)) are free for producers to claim.
type Ring[T any] struct {
	slots []slot[T]
	mask  uint64

	_    [64]byte      // producers and the consumer write to cache lines of their own
	tail atomic.Uint64 // next position to claim; producers, by compare-and-swap
	_    [56]byte
	head atomic.Uint64 // next position to take; the consumer alone
	_    [56]byte
}

type slot[T any] struct {
	published atomic.Uint64 // 1 + the position whose value stands here
	value     T
}

// New returns a ring of size slots, which must be a power of two.
func New[T any](size int) *Ring[T] {
	if size < 1 || size&(size-1) != 0 {
		panic(fmt.Sprintf("ring: size must be a power of two, not %d", size))
	}
	return &Ring[T]{slots: make([]slot[T], size), mask: uint64(size - 1)}
}

// Push publishes values in order, with no other producer's between them, and returns how many there was room for: the
// first n. It never blocks. Any goroutine may call it.
func (r *Ring[T]) Push(values ...T) int {
	var at, n uint64
	for {
		at = r.tail.Load()
		// A stale head only makes the ring look fuller than it is. One past the tail just read means that the tail has
		// moved too, and then the swap below fails.
		n = min(uint64(len(r.slots))-(at-r.head.Load()), uint64(len(values)))
		if n == 0 {
			return 0
		}
		if r.tail.CompareAndSwap(at, at+n) {
			break
		}
	}
	for i := range n {
		s := &r.slots[(at+i)&r.mask]
		s.value = values[i]
		s.published.Store(at + i + 1)
	}
	return int(n)
}

// Drain takes up to len(dst) values, in the order of their positions, and returns how many. It stops at a slot that is
// claimed but not published yet. Only the consumer may call it.
func (r *Ring[T]) Drain(dst []T) int {
	head := r.head.Load()
	n := 0
	for n < len(dst) {
		s := &r.slots[(head+uint64(n))&r.mask]
		if s.published.Load() != head+uint64(n)+1 {
			break
		}
		var zero T
		dst[n], s.value = s.value, zero // a taken value is not kept alive by its slot
		n++
	}
	if n > 0 {
		r.head.Store(head + uint64(n))
	}
	return n
}

// Empty reports whether Drain would return 0. Only the consumer may call it.
func (r *Ring[T]) Empty() bool {
	head := r.head.Load()
	return r.slots[head&r.mask].published.Load() != head+1
}

// Len returns how many positions are claimed and not taken yet. It is a snapshot; any goroutine may call it.
func (r *Ring[T]) Len() int {
	head := r.head.Load() // first: read the other way round, the difference could be negative
	return int(r.tail.Load() - head)
}

// Cap returns the ring's size.
func (r *Ring[T]) Cap() int { return len(r.slots) }
