package pool

import "github.com/kassa-go/kassa/pool/internal/treap"

// line is a queue of waits that want the same: items of one pool that match a selector, or one item by its ID. They are
// served strictly in order: while the first can not be served, nobody in the line is. It is a treap, balanced by hashes
// of the waits' numbers, whose nodes are the waits; each knows how many are below it, for explain.
type line struct {
	pool     *pool
	selector Selector
	key      string   // its text, and how the seats are to lie; of a line for an item: empty
	best     Best     // how they are to lie
	classes  []*class // that the selector matches
	item     *item    // the item wanted; nil: any of classes
	treap.Tree[wait, *wait]
	again bool // it is in Machine.relook
}

// lineKey is what a pool knows a line by.
func lineKey(text string, best Best) string {
	if best == "" {
		return text
	}
	return text + "\x03" + string(best)
}

// before is the order of waits: by priority, then by turn, then first come.
func (w *wait) before(x *wait) bool {
	switch {
	case w.priority != x.priority:
		return w.priority > x.priority
	case w.turn != x.turn:
		return w.turn < x.turn
	}
	return w.id < x.id
}

// Before is the order for the treap.
func (w *wait) Before(x *wait) bool { return w.before(x) }

// Weight is for the treap.
func (w *wait) Weight(seed uint64) uint64 { return treap.Hash(seed, w.id, 0) }

// Update is for the treap.
func (w *wait) Update() { w.size = 1 + w.Left.count() + w.Right.count() }

func (w *wait) count() int {
	if w == nil {
		return 0
	}
	return w.size
}

// first returns the wait that is to be served next, nil when there is none.
func (l *line) first() *wait {
	w := l.Root
	for w != nil && w.Left != nil {
		w = w.Left
	}
	return w
}

// ahead returns how many waits of the line come before w.
func (l *line) ahead(w *wait) int {
	n := 0
	for t := l.Root; t != nil; {
		if t.before(w) {
			n += 1 + t.Left.count()
			t = t.Right
		} else {
			t = t.Left
		}
	}
	return n
}
