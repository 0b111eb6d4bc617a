// Package treap is a sorted tree whose nodes are the caller's own structs, and which keeps, in each of them, something
// about all that is below it: how many they are, their sum, the latest.
//
// A Tree holds nodes in an order. A node has Links in it, to the two nodes below. Its weight, a hash of its key, decides how
// high in the tree it is: none is heavier than the one above it. With weights that look random the depth of a tree of n
// nodes is about 2 ln n, whatever the order in which they come and go.
//
// # Caveats
//
// A Tree is not safe for concurrent use. What a node's order and weight depend on must not change while it is in a tree.
//
// Who chooses keys, and can foretell their weights, can make a tree as deep as it has nodes. This makes it slow, and takes
// memory as long as an operation lasts; no stack grows. A Seed that others do not know, where Weight has it in its hash,
// prevents it. The seed shows in nothing but the shape of the tree.
package treap

import (
	"math/bits"
	"slices"
)

// Links is to be embedded in the struct that is a node. It is for Update, and to walk the tree: only the tree changes it.
type Links[T any] struct{ Left, Right *T }

func (l *Links[T]) links() *Links[T] { return l }

// Node is a pointer to a struct that has Links[T] in it.
type Node[T any] interface {
	*T
	links() *Links[T]
	// Before says whether the node's place is before that of another. Any two nodes in a tree are in some order.
	Before(*T) bool
	// Weight is the same each time: Hash, of the seed and what tells the node from others.
	Weight(seed uint64) uint64
	// Update works out anew what the node knows of all that is below it, and of itself, from its own and from what Left and
	// Right, each of which may be nil, know.
	Update()
}

// Tree is a treap. The zero Tree is empty.
type Tree[T any, N Node[T]] struct {
	Root *T     // nil: it is empty
	Seed uint64 // it may be set while the tree is empty
}

// deep is how deep a tree can be before operations allocate: three times what is to be expected of 50,000 nodes, and twice
// what is of five million.
const deep = 64

// Insert puts x, which is in no tree, in.
func (t *Tree[T, N]) Insert(x *T) {
	var room [deep]*T
	path := room[:0] // what is to be updated, from the root down
	at := &t.Root
	for weight := N(x).Weight(t.Seed); *at != nil && N(*at).Weight(t.Seed) >= weight; {
		path = append(path, *at)
		at = N(*at).links().toward(N(x).Before(*at))
	}
	rest := *at // all that is lighter goes below x: to its left what is before it, to its right what is not
	*at = x
	path = append(path, x)
	before, after := &N(x).links().Left, &N(x).links().Right
	for rest != nil {
		path = append(path, rest)
		l := N(rest).links()
		if N(rest).Before(x) {
			*before = rest
			before, rest = &l.Right, l.Right
		} else {
			*after = rest
			after, rest = &l.Left, l.Left
		}
	}
	*before, *after = nil, nil
	update[T, N](path)
}

// Remove takes x, which is in the tree, out.
func (t *Tree[T, N]) Remove(x *T) {
	var room [deep]*T
	at, path := t.find(x, room[:0])
	l := N(x).links()
	left, right := l.Left, l.Right
	l.Left, l.Right = nil, nil
	for left != nil && right != nil { // the heavier goes above the other
		if N(left).Weight(t.Seed) >= N(right).Weight(t.Seed) {
			*at = left
			at = &N(left).links().Right
			path, left = append(path, left), *at
		} else {
			*at = right
			at = &N(right).links().Left
			path, right = append(path, right), *at
		}
	}
	if *at = left; left == nil {
		*at = right
	}
	update[T, N](path)
}

// Changed is to be called when something changed that x, which is in the tree, has to Update.
func (t *Tree[T, N]) Changed(x *T) {
	var room [deep]*T
	_, path := t.find(x, room[:0])
	update[T, N](append(path, x))
}

// find returns what points to x, and appends all above it to path.
func (t *Tree[T, N]) find(x *T, path []*T) (**T, []*T) {
	at := &t.Root
	for *at != x {
		if *at == nil {
			panic("treap: it is not in the tree")
		}
		path = append(path, *at)
		at = N(*at).links().toward(N(x).Before(*at))
	}
	return at, path
}

func (l *Links[T]) toward(left bool) **T {
	if left {
		return &l.Left
	}
	return &l.Right
}

// update has the nodes of a path updated, each after those below it.
func update[T any, N Node[T]](path []*T) {
	for _, n := range slices.Backward(path) {
		N(n).Update()
	}
}

// Hash is a hash of a and b, the same on every machine. Each bit of it depends on every bit of theirs, and of the seed.
func Hash(seed, a, b uint64) uint64 {
	const k0, k1 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db
	return mix(mix(mix(a^seed^k0, k1)^b, k0), k1)
}

// mix multiplies and folds, as wyhash does. Alone it leaves some numbers that are evenly spaced in their order.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
