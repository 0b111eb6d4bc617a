package pool

import "fmt"

// line is a queue of waits that want the same: items of one pool that match a selector, or one item by its ID. They are
// served strictly in order: while the first can not be served, nobody in the line is. It is a treap, balanced by hashes
// of the waits' numbers, whose nodes are the waits; each knows how many are below it, for explain.
type line struct {
	pool     *pool
	selector Selector
	key      string   // its text; of a line for an item: empty
	classes  []*class // that the selector matches
	item     *item    // the item wanted; nil: any of classes
	root     *wait
	again    bool // it is in Machine.relook
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

func (w *wait) count() int {
	if w == nil {
		return 0
	}
	return w.size
}

func (w *wait) update() { w.size = 1 + w.left.count() + w.right.count() }

func (w *wait) weight() uint64 { return mix(w.id, 0xa0761d6478bd642f) }

// split divides a treap into the waits before x, and the others.
func split(t, x *wait) (before, after *wait) {
	if t == nil {
		return nil, nil
	}
	if t.before(x) {
		t.right, after = split(t.right, x)
		t.update()
		return t, after
	}
	before, t.left = split(t.left, x)
	t.update()
	return before, t
}

// merge joins two treaps; all of a come before all of b.
func merge(a, b *wait) *wait {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.weight() > b.weight():
		a.right = merge(a.right, b)
		a.update()
		return a
	default:
		b.left = merge(a, b.left)
		b.update()
		return b
	}
}

func (l *line) insert(w *wait) {
	w.left, w.right, w.size = nil, nil, 1
	before, after := split(l.root, w)
	l.root = merge(merge(before, w), after)
}

// remove takes w, which is in the line, out.
func (l *line) remove(w *wait) {
	at := &l.root
	for *at != w {
		if *at == nil {
			panic(fmt.Sprintf("pool: wait %d is not in its line", w.id))
		}
		(*at).size--
		if w.before(*at) {
			at = &(*at).left
		} else {
			at = &(*at).right
		}
	}
	*at = merge(w.left, w.right)
	w.left, w.right = nil, nil
}

// first returns the wait that is to be served next, nil when there is none.
func (l *line) first() *wait {
	w := l.root
	for w != nil && w.left != nil {
		w = w.left
	}
	return w
}

// ahead returns how many waits of the line come before w.
func (l *line) ahead(w *wait) int {
	n := 0
	for t := l.root; t != nil; {
		if t.before(w) {
			n += 1 + t.left.count()
			t = t.right
		} else {
			t = t.left
		}
	}
	return n
}
