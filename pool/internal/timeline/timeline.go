// Package timeline is what a calendar is made of: what is booked, when, of something that several can have at a time.
//
// An Entry takes so many units from its start to its end. A Timeline holds entries; the units in use at a time are the sum
// of those of the entries that have begun and not ended. A moment is a time at which this changes. Free stretches are those
// in which a number of units more would not exceed a capacity.
//
// Entries are in one treap by their starts, each knowing the latest end below it; moments are in another, each with the
// change, and the sum, the highest and the lowest of the sums below it. Where one entry ends and others begin with as many
// units there is no moment: a day that is booked out, by one after another, has two.
//
// An entry takes 64 bytes, its value, and at most two moments of 64.
//
// # Caveats
//
// A Timeline is not safe for concurrent use. It must not change while Overlapping is being ranged over.
//
// It refuses nothing: who adds an entry first looks whether it fits. That is a matter of what the capacity is then, which
// may be less than is in use already.
//
// Times are ms, from -2^53 to 2^53. The units of all entries together, plus any that are asked for, must be below 2^62.
package timeline

import (
	"iter"

	"github.com/kassa-go/kassa/pool/internal/treap"
)

// Timeline is what is booked of something. The zero Timeline is empty.
type Timeline[V any] struct {
	entries treap.Tree[Entry[V], *Entry[V]]
	moments treap.Tree[moment, *moment]
	count   int
}

// Entry takes Units in [Start, End). Start < End, Units > 0, and no other entry has the same Start and ID. All but Value must
// stay as they are while it is in a timeline.
type Entry[V any] struct {
	Start, End, Units int64
	ID                uint64
	links[Entry[V]]
	last  int64 // the latest End, of it and those below
	Value V
}

// links has an unexported name for what is embedded.
type links[T any] = treap.Links[T]

// Before is the order of entries in a timeline.
func (e *Entry[V]) Before(f *Entry[V]) bool {
	return e.Start < f.Start || e.Start == f.Start && e.ID < f.ID
}

// Weight is for the treap.
func (e *Entry[V]) Weight(seed uint64) uint64 { return treap.Hash(seed, e.ID, uint64(e.Start)) }

// Update is for the treap.
func (e *Entry[V]) Update() {
	e.last = e.End
	if e.Left != nil {
		e.last = max(e.last, e.Left.last)
	}
	if e.Right != nil {
		e.last = max(e.last, e.Right.last)
	}
}

// Seed has an empty timeline balance its trees by weights that nobody can foretell who does not know the seed: without one,
// who chooses times with care can make it slow. It shows in no result.
func (t *Timeline[V]) Seed(seed uint64) {
	if t.count > 0 {
		panic("timeline: it is not empty")
	}
	t.entries.Seed, t.moments.Seed = seed, seed
}

// Len returns how many entries there are.
func (t *Timeline[V]) Len() int { return t.count }

// Add puts e, which is in no timeline, in.
func (t *Timeline[V]) Add(e *Entry[V]) {
	if e.Start >= e.End || e.Units <= 0 {
		panic("timeline: an entry of nothing")
	}
	t.entries.Insert(e)
	t.change(e.Start, e.Units)
	t.change(e.End, -e.Units)
	t.count++
}

// Remove takes e, which is in this timeline, out.
func (t *Timeline[V]) Remove(e *Entry[V]) {
	t.entries.Remove(e)
	t.change(e.Start, -e.Units)
	t.change(e.End, e.Units)
	t.count--
}

// Overlapping ranges over the entries that take something within [start, end), by Start, then ID. Before the first, and
// between any two, it looks at O(log n) others at most.
func (t *Timeline[V]) Overlapping(start, end int64) iter.Seq[*Entry[V]] {
	return func(yield func(*Entry[V]) bool) {
		var room [64]*Entry[V]
		path := room[:0] // those whose left is done, and which are not themselves
		for e := t.entries.Root; ; {
			for e != nil && e.last > start {
				path = append(path, e)
				e = e.Left
			}
			if len(path) == 0 {
				return
			}
			e, path = path[len(path)-1], path[:len(path)-1]
			if e.Start >= end || e.End > start && !yield(e) {
				return
			}
			e = e.Right
		}
	}
}
