package timeline

import "slices"

// most is how many elements a node has at most, and least how many all but the root have at least, once a change is done.
// They are variables for a test, which has trees that are deeper.
var most, least = 63, 16

// node is a B+tree: all leaves are at the same depth, and hold what is in it, in order; each node above has, for each of its
// children, an element that stands for all below it. The elements of a node lie side by side, so that the way down takes few
// looks into memory that is in no cache, which are what costs time when there are a million. The zero node is an empty tree.
type node[E element[E]] struct {
	elements []E
	children []node[E] // nil: it is a leaf
}

// element is a thing that is in order, and also stands for several of them.
type element[E any] interface {
	// before is the order. What stands for several has the place of the first.
	before(E) bool
	// onto returns what becomes of what is there, which has the same place, and none whether that is nothing.
	onto(E) E
	none() bool
	// all returns what stands for those, of which there is one at least. It is called with any element.
	all([]E) E
}

// put puts x in its place in a tree, onto what is there if anything is.
func (n *node[E]) put(x E) {
	n.putBelow(x)
	if len(n.elements) > most {
		*n = node[E]{make([]E, 1), []node[E]{*n}}
		n.share(0, 1)
	} else if len(n.children) == 1 {
		*n = n.children[0]
	}
}

// putBelow is put, but it leaves it to the caller when n has too few or too many then.
func (n *node[E]) putBelow(x E) {
	i := n.find(x)
	if n.children == nil {
		n.putHere(i, x)
		return
	}
	i = max(i, 0)
	c := &n.children[i]
	c.putBelow(x)
	switch {
	case len(c.elements) > most:
		n.share(i, i+1)
	case len(c.elements) < least:
		i = max(i-1, 0)
		n.share(i, i+2)
	default:
		n.elements[i] = x.all(c.elements)
	}
}

// putHere puts x in a leaf, i of which is the last that is not after x.
func (n *node[E]) putHere(i int, x E) {
	there := i >= 0 && !n.elements[i].before(x)
	if there {
		x = x.onto(n.elements[i])
	}
	switch {
	case there && x.none():
		n.elements = slices.Delete(n.elements, i, i+1)
	case there:
		n.elements[i] = x
	case x.none():
		panic("timeline: it is not there")
	default:
		n.elements = slices.Insert(n.elements, i+1, x)
	}
}

// find returns the last element that is not after x, -1 where all are. What it looks at does not depend on what it saw just
// before, as in a binary search, so that the processor fetches several at a time from memory.
func (n *node[E]) find(x E) int {
	const stride = 8
	i := 0
	for i+stride < len(n.elements) && !x.before(n.elements[i+stride]) {
		i += stride
	}
	for i < len(n.elements) && !x.before(n.elements[i]) {
		i++
	}
	return i - 1
}

// share has what is in the children from i up to j be in one, or evenly in two when one would soon be full.
func (n *node[E]) share(i, j int) {
	var all node[E]
	for _, c := range n.children[i:j] {
		all.elements = append(all.elements, c.elements...)
		all.children = append(all.children, c.children...)
	}
	parts := []node[E]{all}
	if size := len(all.elements); size > most*3/4 {
		parts = []node[E]{all.part(0, size/2), all.part(size/2, size)}
	}
	var sums []E
	for _, p := range parts {
		sums = append(sums, p.elements[0].all(p.elements))
	}
	n.elements = slices.Replace(n.elements, i, j, sums...)
	n.children = slices.Replace(n.children, i, j, parts...)
}

// part returns a copy, in arrays of its own, of what is from i up to j.
func (n *node[E]) part(i, j int) node[E] {
	p := node[E]{elements: slices.Clone(n.elements[i:j])}
	if n.children != nil {
		p.children = slices.Clone(n.children[i:j])
	}
	return p
}
