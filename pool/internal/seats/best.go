package seats

import "math/bits"

// Focus is a point, in hundredths of a row and of a column: that between columns 7 and 8 has Col 750. It may be outside the
// hall. What is beyond 1,000,000,000 to either side counts as there.
type Focus struct{ Row, Col int64 }

const focusMax = 1_000_000_000 // squares of distances stay below 1<<62

// window is of neighbours.
type window struct{ row, col, size int }

// Best appends the n best seats of some groups to to. It reports false, and appends none, when they can not be had; n below 1
// can not.
//
// They are neighbours, all free: those for which the sum of the squared distances of each seat from the focus is least; of
// several such, those in the lower row, then those at the lower columns. They come by column.
//
// With split, where nowhere n are side by side, they are in as few runs as can be. The first is the longest there is, and the
// nearest to the focus of all that are that long; the next is the longest of what is left, up to as many as are still needed,
// and the nearest to the mean of the seats taken so far, rounded down to hundredths; and so on. Each is the whole of its run
// but the last, which is the part of its run that is nearest. Where lengths or distances are equal, the lower row and then
// the lower column come first. One run comes after the other as they were taken, each by column.
//
// Best changes nothing, and allocates nothing but what to needs to grow.
func (h *Hall[V]) Best(to []V, groups []*Group[V], n int, focus Focus, split bool) ([]V, bool) {
	free := 0
	for _, g := range groups {
		if !g.selected {
			g.selected = true
			free += g.free
		}
	}
	h.taken = h.taken[:0]
	least, most, left := n, n, n
	if split {
		least = 1
	}
	ok := n > 0 && free >= n
	var sum Focus // of the places taken
	for ok && left > 0 {
		var w window
		if w, ok = h.nearest(least, min(most, left), focus); ok {
			to = h.take(to, w)
			left -= w.size
			most = w.size // nothing longer is left
			size := int64(w.size)
			sum.Row += size * 100 * int64(w.row)
			sum.Col += size * (100*int64(w.col) + 50*(size-1))
			focus = Focus{sum.Row / int64(n-left), sum.Col / int64(n-left)}
		}
	}
	h.giveBack()
	deselect(groups)
	return to, ok
}

// Fits reports whether Best would find n seats of these groups side by side if all seats were free.
func (h *Hall[V]) Fits(groups []*Group[V], n int) bool {
	if n < 1 {
		return false
	}
	for _, g := range groups {
		g.selected = true
	}
	defer deselect(groups)
	for _, p := range h.pages {
		if p == nil {
			continue
		}
		for i := range p.rows {
			h.read(&p.rows[i], true)
			if erode(h.words, 1, n) {
				return true
			}
		}
	}
	return false
}

func deselect[V any](groups []*Group[V]) {
	for _, g := range groups {
		g.selected = false
	}
}

// nearest returns as many free neighbours as there are, between least and most: of those that are as many, the nearest.
func (h *Hall[V]) nearest(least, most int, focus Focus) (best window, ok bool) {
	focus.Row = min(max(focus.Row, -focusMax), focusMax)
	focus.Col = min(max(focus.Col, -focusMax), focusMax)
	best.size = least
	var bestDistance int64 // of the middle of best from the focus, squared
	middle := int(min(max(focus.Row/100, 0), PlaceMax))
	below, above := h.rowDown(middle), h.rowUp(middle+1)
	for below >= 0 || above >= 0 {
		n := below
		if below < 0 || above >= 0 && int64(100*above)-focus.Row < focus.Row-int64(100*below) {
			n = above
			above = h.rowUp(above + 1)
		} else {
			below = h.rowDown(below - 1)
		}
		across := int64(100*n) - focus.Row
		across *= across
		if ok && best.size == most && across > bestDistance {
			break
		}
		r := &h.pages[n>>6].rows[n&63]
		if r.free < best.size {
			continue
		}
		h.read(r, false)
		if !erode(h.words, 1, best.size) {
			continue
		}
		size := h.lengthen(best.size, most)
		// The sum of squared distances is that of the middle, times the size, and what is the same for all of one size.
		col, along := h.nearestStart(focus.Col - int64(50*(size-1)))
		distance := across + along*along
		if !ok || size > best.size || distance < bestDistance || distance == bestDistance && n < best.row {
			best, bestDistance, ok = window{n, col, size}, distance, true
		}
	}
	return best, ok
}

// rowDown returns the last row up to n that has free seats, -1 when there is none.
func (h *Hall[V]) rowDown(n int) int {
	if last := len(h.pages)<<6 - 1; n > last {
		n = last
	}
	for n >= 0 {
		if p := h.pages[n>>6]; p != nil {
			if rest := p.free & upTo(n&63); rest != 0 {
				return n&^63 + bits.Len64(rest) - 1
			}
		}
		n = n&^63 - 1
	}
	return -1
}

// rowUp returns the first row from n on that has free seats, -1 when there is none.
func (h *Hall[V]) rowUp(n int) int {
	for n>>6 < len(h.pages) {
		if p := h.pages[n>>6]; p != nil {
			if rest := p.free >> (n & 63); rest != 0 {
				return n + bits.TrailingZeros64(rest)
			}
		}
		n = n&^63 + 64
	}
	return -1
}

// upTo returns bits 0 to n, which are none where n is negative, and all where it is above 63.
func upTo(n int) uint64 {
	if n < 0 {
		return 0
	}
	return 2<<n - 1
}

// read sets words to the selected seats of a row, those that are there or those that can be had. Where the row has no seats
// in the columns between two words, whatever their number, there is one word of zero.
func (h *Hall[V]) read(r *row[V], there bool) {
	h.words, h.at = h.words[:0], h.at[:0]
	for i := range r.words {
		w := &r.words[i]
		if i > 0 && r.words[i-1].n+1 != w.n {
			h.words, h.at = append(h.words, 0), append(h.at, w.n-1)
		}
		var have uint64
		for j := range w.parts {
			switch p := &w.parts[j]; {
			case !p.group.selected:
			case there:
				have |= p.there
			default:
				have |= p.free
			}
		}
		h.words, h.at = append(h.words, have&^w.taken), append(h.at, w.n)
	}
}

// erode has words, of bits where runs of length size start, have those where such of length to start. It reports whether
// there are any. A word is followed by the next one from its highest bit on.
func erode(words []uint64, size, to int) bool {
	for size < to {
		step := min(size, to-size)
		if !and(words, words, step) {
			return false
		}
		size += step
	}
	for _, w := range words {
		if w != 0 {
			return true
		}
	}
	return false
}

// and sets to, which may be words, to words AND words shifted down by so many bits. It reports whether there are any left.
func and(to, words []uint64, by int) bool {
	far, near := by>>6, by&63
	var rest uint64
	for i := range words {
		var shifted uint64
		if j := i + far; j < len(words) {
			shifted = words[j] >> near
			if j+1 < len(words) {
				shifted |= words[j+1] << (64 - near)
			}
		}
		to[i] = words[i] & shifted
		rest |= to[i]
	}
	return rest != 0
}

// lengthen has words, of bits where runs of length size start, have those where the longest ones start, up to most. It
// returns their length.
func (h *Hall[V]) lengthen(size, most int) int {
	for step := 1; step > 0 && size < most; {
		step = min(step, size, most-size)
		h.longer = append(h.longer[:0], h.words...)
		if and(h.longer, h.words, step) {
			h.words, h.longer = h.longer, h.words
			size += step
			step *= 2
		} else {
			step /= 2
		}
	}
	return size
}

// nearestStart returns the column of a bit in words that is nearest to a point, and how far away that is, in hundredths.
func (h *Hall[V]) nearestStart(point int64) (col int, distance int64) {
	before, after, middle := -1, -1, int(point/100)
	for i, w := range h.words {
		first := 64 * h.at[i]
		mask := upTo(middle - first)
		if low := w & mask; low != 0 {
			before = first + bits.Len64(low) - 1
		}
		if high := w &^ mask; high != 0 {
			after = first + bits.TrailingZeros64(high)
			break
		}
	}
	if before < 0 || after >= 0 && int64(100*after)-point < point-int64(100*before) {
		return after, int64(100*after) - point
	}
	return before, point - int64(100*before)
}

// take appends the seats of a window to to, and has the Best that is at work not find them again.
func (h *Hall[V]) take(to []V, w window) []V {
	h.taken = append(h.taken, w)
	r := &h.pages[w.row>>6].rows[w.row&63]
	for col, end := w.col, w.col+w.size; col < end; col = col&^63 + 64 {
		x := r.word(col >> 6)
		n := min(end, col&^63+64) - col
		x.taken |= upTo(n-1) << (col & 63)
		i := bits.OnesCount64(x.there & upTo(col&63-1))
		to = append(to, x.seats[i:i+n]...)
	}
	return to
}

// giveBack undoes what take did.
func (h *Hall[V]) giveBack() {
	for _, w := range h.taken {
		r := &h.pages[w.row>>6].rows[w.row&63]
		for n := w.col >> 6; n <= (w.col+w.size-1)>>6; n++ {
			r.word(n).taken = 0
		}
	}
}
