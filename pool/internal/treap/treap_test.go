package treap

import (
	"flag"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestMain sizes the random tests for CI, unless the command line says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	set := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": "200", "rapid.steps": "150", "rapid.nofailfile": "true", "rapid.shrinktime": "20s"} {
		if !set[name] {
			flag.Set(name, value)
		}
	}
	os.Exit(m.Run())
}

// number is a node that knows how many are below it, and their sum.
type number struct {
	key   int
	value int
	size  int
	sum   int
	weigh func(seed uint64, key int) uint64
	Links[number]
}

func (n *number) Before(x *number) bool     { return n.key < x.key }
func (n *number) Weight(seed uint64) uint64 { return n.weigh(seed, n.key) }

func (n *number) Update() {
	n.size, n.sum = 1, n.value
	for _, x := range []*number{n.Left, n.Right} {
		if x != nil {
			n.size, n.sum = n.size+x.size, n.sum+x.sum
		}
	}
}

var weights = map[string]func(seed uint64, key int) uint64{
	"hash":    func(seed uint64, key int) uint64 { return Hash(seed, uint64(key), 0) },
	"same":    func(uint64, int) uint64 { return 0 },
	"rising":  func(_ uint64, key int) uint64 { return uint64(key) },
	"falling": func(_ uint64, key int) uint64 { return -uint64(key) },
	"few":     func(seed uint64, key int) uint64 { return Hash(seed, uint64(key), 0) % 3 },
}

type tree = Tree[number, *number]

// keys returns the keys below n in their order; it fails where order, weights or what n knows are wrong.
func keys(t interface{ Fatalf(string, ...any) }, seed uint64, n *number) []int {
	if n == nil {
		return nil
	}
	size, sum := 1, n.value
	for _, x := range []*number{n.Left, n.Right} {
		if x != nil {
			size, sum = size+x.size, sum+x.sum
			if x.Weight(seed) > n.Weight(seed) {
				t.Fatalf("%d outweighs %d, which is above it", x.key, n.key)
			}
		}
	}
	if n.size != size || n.sum != sum {
		t.Fatalf("%d knows of %d with the sum %d, want %d with %d", n.key, n.size, n.sum, size, sum)
	}
	return append(append(keys(t, seed, n.Left), n.key), keys(t, seed, n.Right)...)
}

// TestTree inserts, changes and removes at random, with weights good and bad.
func TestTree(t *testing.T) {
	for name, weigh := range weights {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				tr := tree{Seed: rapid.Uint64().Draw(rt, "seed")}
				in := map[int]*number{}
				some := func(rt *rapid.T) *number {
					if len(in) == 0 {
						rt.Skip("it is empty")
					}
					var sorted []int
					for key := range in {
						sorted = append(sorted, key)
					}
					slices.Sort(sorted)
					return in[rapid.SampledFrom(sorted).Draw(rt, "key")]
				}
				rt.Repeat(map[string]func(*rapid.T){
					"insert": func(rt *rapid.T) {
						for _, key := range rapid.SliceOfN(rapid.IntRange(0, 200), 1, 3).Draw(rt, "keys") {
							if in[key] == nil {
								in[key] = &number{key: key, value: key % 10, weigh: weigh}
								tr.Insert(in[key])
							}
						}
					},
					"change": func(rt *rapid.T) {
						n := some(rt)
						n.value++
						tr.Changed(n)
					},
					"remove": func(rt *rapid.T) {
						n := some(rt)
						delete(in, n.key)
						tr.Remove(n)
						if n.Left != nil || n.Right != nil {
							rt.Fatalf("%d still has others below it", n.key)
						}
					},
					"": func(rt *rapid.T) {
						got := keys(rt, tr.Seed, tr.Root)
						var want []int
						for key := range in {
							want = append(want, key)
						}
						slices.Sort(want)
						if !slices.Equal(got, want) {
							rt.Fatalf("it has %v, want %v", got, want)
						}
					},
				})
			})
		})
	}
}

func depth(n *number) int {
	if n == nil {
		return 0
	}
	return 1 + max(depth(n.Left), depth(n.Right))
}

// TestDepth has keys come in ways that calendars make, and in such as look for a weak hash.
func TestDepth(t *testing.T) {
	const n, most = 20_000, 50 // of a random order 38 are to be expected
	for name, key := range map[string]func(i int) int{
		"one by one":     func(i int) int { return i },
		"slots":          func(i int) int { return 1_790_000_000_000 + i*900_000 },
		"backwards":      func(i int) int { return -i * 3_600_000 },
		"steps":          func(i int) int { return i * 9303 }, // mix alone leaves them in their order
		"powers":         func(i int) int { return i << 32 },
		"from both ends": func(i int) int { return (n - i) * (1 - i%2*2) },
		"bits reversed":  func(i int) int { return int(bits.Reverse64(uint64(i)) >> 11) },
	} {
		for place, weigh := range map[string]func(seed uint64, key int) uint64{
			"first":  func(seed uint64, key int) uint64 { return Hash(seed, uint64(key), 0) },
			"second": func(seed uint64, key int) uint64 { return Hash(seed, 0, uint64(key)) },
			"both":   func(seed uint64, key int) uint64 { return Hash(seed, uint64(key), uint64(key)) },
		} {
			tr := tree{}
			for i := range n {
				tr.Insert(&number{key: key(i), weigh: weigh})
			}
			if d := depth(tr.Root); d > most {
				t.Errorf("%s, hashed as %s: it is %d deep", name, place, d)
			}
			if tr.Root.size != n {
				t.Errorf("%s: it has %d, want %d", name, tr.Root.size, n)
			}
		}
	}
}

// TestChain makes a tree that is as deep as it has nodes, which it must withstand.
func TestChain(t *testing.T) {
	const n = 3000
	tr := tree{}
	all := make([]*number, n)
	for i := range all {
		all[i] = &number{key: i + 1, value: 1, weigh: weights["falling"]}
		tr.Insert(all[i])
	}
	if d := depth(tr.Root); d != n {
		t.Fatalf("it is %d deep", d)
	}
	for i, x := range all {
		if x.value = 2; i%2 == 0 {
			tr.Changed(x)
		} else {
			tr.Remove(x)
		}
	}
	if tr.Root.size != n/2 || tr.Root.sum != n {
		t.Fatalf("it has %d with the sum %d", tr.Root.size, tr.Root.sum)
	}
}

// TestStranger removes what is not in the tree.
func TestStranger(t *testing.T) {
	tr := tree{}
	for i := range 10 {
		tr.Insert(&number{key: i, weigh: weights["hash"]})
	}
	defer func() {
		if r := recover(); fmt.Sprint(r) != "treap: it is not in the tree" {
			t.Errorf("it panics with %v", r)
		}
	}()
	tr.Remove(&number{key: 5, weigh: weights["hash"]})
}

// TestNothingIsAllocated has operations on a large tree take no memory.
func TestNothingIsAllocated(t *testing.T) {
	tr := tree{}
	for i := range 10_000 {
		tr.Insert(&number{key: 2 * i, weigh: weights["hash"]})
	}
	x := &number{key: 9999, weigh: weights["hash"]}
	if n := testing.AllocsPerRun(100, func() {
		tr.Insert(x)
		tr.Changed(x)
		tr.Remove(x)
	}); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}
