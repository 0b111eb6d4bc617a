package pool

import (
	"math/bits"
	"slices"

	"github.com/kassa-go/kassa/pool/internal/seats"
)

// class holds the items of a pool that have the same labels, so that a selector is matched once for all of them. Its free
// items can be taken in each order that there is a Strategy for, in time that does not grow with their number (that of
// First grows with its 64th logarithm).
type class struct {
	pool   *pool
	labels []label
	text   string // the labels as a JSON object, which is also what pool.classes knows it by
	lines  []*line

	items     []*item // by slot, in the pool's order; nil: the slot's item has left
	live      int     // items in it
	units     int64   // of those that do not leave
	available int64   // of these, free ones
	seated    int     // items that have a place, and do not leave
	marked    bool    // by the selection that is being gone through

	bits  [][]uint64 // the free slots: bits[0] has a bit for each slot, bits[n+1] one for each word of bits[n] that is not 0
	dense []*item    // the free items in no order, for Random

	oldest, newest *item // the free items by when they became free, linked by next

	seats *seats.Group[*item] // those of its items that have a place, and do not leave; nil: none ever had
}

type label struct{ name, value string }

// join gives it a slot.
func (c *class) join(it *item) {
	if len(c.items) > 2*c.live+1024 {
		c.compact()
	}
	it.class, it.slot = c, int32(len(c.items))
	c.items = append(c.items, it)
	c.live++
	c.units += it.weight()
	c.seatAt(it)
}

// seatAt puts a seat into the hall, unseat takes it out.
func (c *class) seatAt(it *item) {
	if it.row != 0 {
		c.pool.hall.Add(c.groupOf(it), it.row, it.col, it)
		if !it.draining {
			c.seated++
		}
	}
}

func (c *class) unseat(it *item) {
	if it.row != 0 {
		c.pool.hall.Remove(c.groupOf(it), it.row, it.col)
		if !it.draining {
			c.seated--
		}
	}
}

// groupOf returns the group that the seat of an item of c is in: that of c, or that of all in the pool that are to leave.
func (c *class) groupOf(it *item) *seats.Group[*item] {
	group := &c.seats
	if it.draining {
		group = &c.pool.leaving
	}
	if *group == nil {
		*group = c.pool.hall.Group()
	}
	return *group
}

// leave takes its slot from an item that is not free.
func (c *class) leave(it *item) {
	c.items[it.slot] = nil
	c.live--
	c.units -= it.weight()
	c.unseat(it)
}

// compact gives the items new slots without holes.
func (c *class) compact() {
	c.items = slices.DeleteFunc(c.items, func(it *item) bool { return it == nil })
	c.bits = nil
	for i, it := range c.items {
		it.slot = int32(i)
		if it.free {
			c.mark(it.slot)
		}
	}
}

// add makes an item free, as the one that became so last.
func (c *class) add(it *item) {
	it.free, it.listed = true, int32(it.available())
	c.available += int64(it.listed)
	if it.row != 0 {
		c.pool.hall.SetFree(c.seats, it.row, it.col, true)
	}
	c.mark(it.slot)
	it.densePos = int32(len(c.dense))
	c.dense = append(c.dense, it)
	it.prev, it.next = c.newest, nil
	if c.newest == nil {
		c.oldest = it
	} else {
		c.newest.next = it
	}
	c.newest = it
}

// remove makes it not free.
func (c *class) remove(it *item) {
	it.free = false
	c.available -= int64(it.listed)
	it.listed = 0
	if it.row != 0 {
		c.pool.hall.SetFree(c.seats, it.row, it.col, false)
	}
	c.unmark(it.slot)
	n := len(c.dense) - 1
	last := c.dense[n]
	c.dense[it.densePos], last.densePos = last, it.densePos
	c.dense[n] = nil
	c.dense = c.dense[:n]
	if it.prev == nil {
		c.oldest = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		c.newest = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.prev, it.next = nil, nil
}

func (c *class) mark(slot int32) {
	for level := 0; ; level++ {
		if level == len(c.bits) {
			c.bits = append(c.bits, nil)
		}
		word := int(slot >> 6)
		for len(c.bits[level]) <= word {
			c.bits[level] = append(c.bits[level], 0)
		}
		c.bits[level][word] |= 1 << (slot & 63)
		if len(c.bits[level]) == 1 {
			return
		}
		if level+1 == len(c.bits) { // this level has just outgrown one word: the next one knows nothing of the first yet
			c.bits = append(c.bits, []uint64{0})
			if c.bits[level][0] != 0 {
				c.bits[level+1][0] = 1
			}
		}
		slot = int32(word)
	}
}

func (c *class) unmark(slot int32) {
	for level := range c.bits {
		word := slot >> 6
		c.bits[level][word] &^= 1 << (slot & 63)
		if c.bits[level][word] != 0 {
			return
		}
		slot = word
	}
}

// firstFree returns the free item with the lowest slot from slot on.
func (c *class) firstFree(slot int32) *item {
	if int(slot) >= len(c.items) {
		return nil
	}
	for level := 0; level < len(c.bits); level++ {
		word := int(slot >> 6)
		if word >= len(c.bits[level]) {
			return nil
		}
		if rest := c.bits[level][word] >> (slot & 63); rest != 0 {
			slot += int32(bits.TrailingZeros64(rest))
			for ; level > 0; level-- {
				slot = slot<<6 + int32(bits.TrailingZeros64(c.bits[level-1][slot]))
			}
			return c.items[slot]
		}
		slot = int32(word) + 1
	}
	return nil
}

// cursor goes through the free items of some classes in the order of a strategy, without taking them.
type cursor struct {
	strategy Strategy
	classes  []*class
	at       []*item // by class: the next one; nil: the class has no more
	seed     uint64  // of Random
	left     int     // of Random: items that were not drawn
	drawn    map[int]*item
}

// start begins with the first item.
func (c *cursor) start(strategy Strategy, classes []*class, seed uint64) {
	c.strategy, c.classes, c.seed, c.left, c.drawn = strategy, classes, seed, 0, nil
	c.at = c.at[:0]
	for _, cl := range classes {
		switch strategy {
		case Random:
			c.left += len(cl.dense)
		case LRU:
			c.at = append(c.at, cl.oldest)
		default:
			c.at = append(c.at, cl.firstFree(0))
		}
	}
}

// next returns the next item, nil when there are no more.
func (c *cursor) next() *item {
	if c.strategy == Random {
		return c.draw()
	}
	best := -1
	for i, it := range c.at {
		if it != nil && (best < 0 || c.before(it, c.at[best])) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	it := c.at[best]
	if c.strategy == LRU {
		c.at[best] = it.next
	} else {
		c.at[best] = c.classes[best].firstFree(it.slot + 1)
	}
	return it
}

func (c *cursor) before(a, b *item) bool {
	if c.strategy == LRU && a.freedRev != b.freedRev {
		return a.freedRev < b.freedRev
	}
	return a.ordinal < b.ordinal
}

// draw draws an item that was not drawn yet: the first steps of a Fisher-Yates shuffle, with what was swapped in a map.
func (c *cursor) draw() *item {
	if c.left == 0 {
		return nil
	}
	c.seed += 0x9e3779b97f4a7c15
	i, _ := bits.Mul64(mix(c.seed, 0xe7037ed1a0b428db), uint64(c.left))
	c.left--
	it := c.drawnAt(int(i))
	if last := c.drawnAt(c.left); last != it {
		if c.drawn == nil {
			c.drawn = make(map[int]*item)
		}
		c.drawn[int(i)] = last
	}
	return it
}

func (c *cursor) drawnAt(i int) *item {
	if it, ok := c.drawn[i]; ok {
		return it
	}
	for _, cl := range c.classes {
		if i < len(cl.dense) {
			return cl.dense[i]
		}
		i -= len(cl.dense)
	}
	panic("pool: drawn past the end")
}
