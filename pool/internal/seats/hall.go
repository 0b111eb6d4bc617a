package seats

import (
	"fmt"
	"math/bits"
	"slices"
)

// PlaceMax is the last row, and the last column: both begin at 1.
const PlaceMax = 100_000

// Hall knows where seats are, and which of them are free. V is what a seat stands for. The zero Hall is empty.
//
// Where rows are of about 100 columns, a seat costs some 5 bytes besides V, and half a byte for each group more that has
// seats there. Alone in 64 columns, a seat costs some 130 bytes. 64 rows cost 2 KB even where all but one are empty; that
// stays when their seats are removed.
type Hall[V any] struct {
	pages []*page[V] // of rows 64*i to 64*i+63; nil: there was never a seat
	len   int

	// Of the Best or Fits that is at work.
	words, longer []uint64 // the row looked at
	at            []int    // for each of words, which word of the row it is
	taken         []window
}

// Group is of seats that are selected together.
type Group[V any] struct {
	free     int
	selected bool // by the Best or Fits that is at work
}

type page[V any] struct {
	free uint64 // the rows that have free seats
	rows [64]row[V]
}

type row[V any] struct {
	words []word[V] // those that have seats, in order
	free  int
}

// word has the seats of columns 64*n to 64*n+63.
type word[V any] struct {
	n     int
	there uint64
	taken uint64 // by the Best that is at work
	parts []part[V]
	seats []V // by column
}

// part has the seats of a word that are of the same group.
type part[V any] struct {
	group       *Group[V]
	there, free uint64
}

// Group makes a group without seats.
func (h *Hall[V]) Group() *Group[V] { return new(Group[V]) }

// Len returns how many seats there are.
func (h *Hall[V]) Len() int { return h.len }

// Add puts a seat of a group at a place. It is not free yet. Add reports false, and does nothing, where there is one already.
func (h *Hall[V]) Add(g *Group[V], row, col int32, v V) bool {
	for len(h.pages) <= int(row>>6) {
		h.pages = append(h.pages, nil)
	}
	if h.pages[row>>6] == nil {
		h.pages[row>>6] = new(page[V])
	}
	r := &h.pages[row>>6].rows[row&63]
	i, ok := r.find(int(col >> 6))
	if !ok {
		r.words = slices.Insert(r.words, i, word[V]{n: int(col >> 6)})
	}
	w, bit := &r.words[i], uint64(1)<<(col&63)
	if w.there&bit != 0 {
		return false
	}
	p := w.part(g)
	if p == nil {
		w.parts = append(w.parts, part[V]{group: g})
		p = &w.parts[len(w.parts)-1]
	}
	w.seats = slices.Insert(w.seats, bits.OnesCount64(w.there&(bit-1)), v)
	w.there |= bit
	p.there |= bit
	h.len++
	return true
}

// Remove takes the seat of a group at a place out, whether or not it is free. It panics when there is none.
func (h *Hall[V]) Remove(g *Group[V], row, col int32) {
	h.SetFree(g, row, col, false)
	r := &h.pages[row>>6].rows[row&63]
	i, _ := r.find(int(col >> 6))
	w, bit := &r.words[i], uint64(1)<<(col&63)
	w.there &^= bit
	rank := bits.OnesCount64(w.there & (bit - 1))
	w.seats = slices.Delete(w.seats, rank, rank+1)
	p := w.part(g)
	if p.there &^= bit; p.there == 0 {
		w.parts = slices.DeleteFunc(w.parts, func(p part[V]) bool { return p.there == 0 })
	}
	if w.there == 0 {
		r.words = slices.Delete(r.words, i, i+1)
	}
	h.len--
}

// SetFree says whether the seat of a group at a place is free. It panics when there is none. It takes the same time however
// many seats there are, unless a row has gaps of more than 64 columns: then that of a binary search in the row.
func (h *Hall[V]) SetFree(g *Group[V], row, col int32, free bool) {
	bit := uint64(1) << (col & 63)
	var pg *page[V]
	var p *part[V]
	if int(row>>6) < len(h.pages) && h.pages[row>>6] != nil {
		pg = h.pages[row>>6]
		if w := pg.rows[row&63].word(int(col >> 6)); w != nil {
			p = w.part(g)
		}
	}
	if p == nil || p.there&bit == 0 {
		panic(fmt.Sprintf("seats: the group has no seat at row %d, column %d", row, col))
	}
	if p.free&bit != 0 == free {
		return
	}
	p.free ^= bit
	change := -1
	if free {
		change = 1
	}
	g.free += change
	r := &pg.rows[row&63]
	r.free += change
	if r.free == 0 {
		pg.free &^= 1 << (row & 63)
	} else {
		pg.free |= 1 << (row & 63)
	}
}

// find returns the index of a row's word, or where it is to be.
func (r *row[V]) find(n int) (int, bool) {
	if len(r.words) > 0 { // without gaps before it, this is where it is
		if i := n - r.words[0].n; i >= 0 && i < len(r.words) && r.words[i].n == n {
			return i, true
		}
	}
	return slices.BinarySearchFunc(r.words, n, func(w word[V], n int) int { return w.n - n })
}

// word returns a row's word; nil: it has no seats.
func (r *row[V]) word(n int) *word[V] {
	if i, ok := r.find(n); ok {
		return &r.words[i]
	}
	return nil
}

// part returns what of a word is a group's; nil: nothing.
func (w *word[V]) part(g *Group[V]) *part[V] {
	for i := range w.parts {
		if w.parts[i].group == g {
			return &w.parts[i]
		}
	}
	return nil
}
