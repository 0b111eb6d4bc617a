// Package timeline is what a calendar is made of: what is booked, when, of something that several can have at a time.
//
// An Entry takes so many units from its start to its end. A Timeline holds entries; the units in use at a time are the sum
// of those of the entries that have begun and not ended. A moment is a time at which this changes. Free stretches are those
// in which a number of units more would not exceed a capacity.
//
// Entries are in one B+tree by their starts, which knows the latest end of those below; moments are in another, which knows
// of those below the sum of the changes, and how high and how low it is on the way. Where one entry ends and others begin
// with as many units there is no moment: a day that is booked out, by one after another, has two.
//
// An entry takes 40 bytes and its value, some 45 in the tree, and as many for each of its moments, of which it has two at most.
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
	"math"
)

// Timeline is what is booked of something. The zero Timeline is empty.
type Timeline[V any] struct {
	entries node[interval[V]]
	moments node[moment]
	count   int
}

// Entry takes Units in [Start, End). Start < End, Units > 0, and no other entry has the same Start and ID. All but Value must
// stay as they are while it is in a timeline.
type Entry[V any] struct {
	Start, End, Units int64
	ID                uint64
	Value             V
}

// interval is an entry, or stands for several, of which the first has that start and id, and end is the latest.
type interval[V any] struct {
	start, end int64
	id         uint64
	entry      *Entry[V] // nil: it stands for several, or it takes one out
}

func (s interval[V]) before(x interval[V]) bool {
	return s.start < x.start || s.start == x.start && s.id < x.id
}

func (s interval[V]) onto(interval[V]) interval[V] { return s }

func (s interval[V]) none() bool { return s.entry == nil }

func (interval[V]) all(those []interval[V]) interval[V] {
	a := interval[V]{start: those[0].start, end: math.MinInt64, id: those[0].id}
	for i := range those {
		a.end = max(a.end, those[i].end)
	}
	return a
}

// Len returns how many entries there are.
func (t *Timeline[V]) Len() int { return t.count }

// Add puts e, which is in no timeline, in.
func (t *Timeline[V]) Add(e *Entry[V]) {
	if e.Start >= e.End || e.Units <= 0 {
		panic("timeline: an entry of nothing")
	}
	t.entries.put(interval[V]{e.Start, e.End, e.ID, e})
	t.moments.put(changed(e.Start, e.Units))
	t.moments.put(changed(e.End, -e.Units))
	t.count++
}

// Remove takes e, which is in this timeline, out.
func (t *Timeline[V]) Remove(e *Entry[V]) {
	t.entries.put(interval[V]{start: e.Start, id: e.ID})
	t.moments.put(changed(e.Start, -e.Units))
	t.moments.put(changed(e.End, e.Units))
	t.count--
}

// Overlapping ranges over the entries that take something within [start, end), by Start, then ID. Before the first, and
// between any two, it looks at O(log n) others at most.
func (t *Timeline[V]) Overlapping(start, end int64) iter.Seq[*Entry[V]] {
	return func(yield func(*Entry[V]) bool) { overlapping(&t.entries, start, end, yield) }
}

// overlapping yields what is in n of Overlapping, and returns whether it may go on.
func overlapping[V any](n *node[interval[V]], start, end int64, yield func(*Entry[V]) bool) bool {
	for i := range n.elements {
		s := &n.elements[i]
		switch {
		case s.start >= end:
			return false
		case s.end <= start:
		case n.children == nil && !yield(s.entry):
			return false
		case n.children != nil && !overlapping(&n.children[i], start, end, yield):
			return false
		}
	}
	return true
}
