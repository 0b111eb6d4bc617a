package seats

import "math/bits"

// At returns what the seat at a place stands for; the zero V where there is none.
func (h *Hall[V]) At(row, col int32) (v V) {
	if int(row>>6) >= len(h.pages) || h.pages[row>>6] == nil {
		return v
	}
	w, bit := h.pages[row>>6].rows[row&63].word(int(col>>6)), uint64(1)<<(col&63)
	if w == nil || w.there&bit == 0 {
		return v
	}
	return w.seats[bits.OnesCount64(w.there&(bit-1))]
}
