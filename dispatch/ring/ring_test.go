package ring

import (
	"runtime"
	"sync"
	"testing"
)

func TestOrderAndBounds(t *testing.T) {
	r := New[int](4)
	dst := make([]int, 8)
	if n := r.Drain(dst); n != 0 || !r.Empty() {
		t.Fatalf("a new ring gave %d values", n)
	}
	for round := range 10 { // past the size several times
		if n := r.Push(1, 2, 3); n != 3 {
			t.Fatalf("round %d: pushed %d of 3", round, n)
		}
		if n := r.Push(4, 5, 6); n != 1 {
			t.Fatalf("round %d: pushed %d into one free slot", round, n)
		}
		if n := r.Push(7); n != 0 {
			t.Fatalf("round %d: pushed %d into a full ring", round, n)
		}
		if r.Len() != 4 {
			t.Fatalf("round %d: Len %d", round, r.Len())
		}
		if n := r.Drain(dst[:1]); n != 1 || dst[0] != 1 {
			t.Fatalf("round %d: %d values, first %d", round, n, dst[0])
		}
		if n := r.Drain(dst); n != 3 || dst[0] != 2 || dst[1] != 3 || dst[2] != 4 {
			t.Fatalf("round %d: %v", round, dst[:n])
		}
	}
}

func TestSizeMustBeAPowerOfTwo(t *testing.T) {
	for _, size := range []int{-1, 0, 3, 100} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%d) did not panic", size)
				}
			}()
			New[int](size)
		}()
	}
}

func TestTakenValuesAreNotKept(t *testing.T) {
	r := New[*int](2)
	r.Push(new(int))
	r.Drain(make([]*int, 1))
	if r.slots[0].value != nil {
		t.Fatal("the slot still holds the value that was taken")
	}
}

// Every producer's values arrive once each and in its order, whatever the batch sizes, in a ring that is always full.
func TestManyProducers(t *testing.T) {
	const producers, each = 8, 20_000
	type item struct{ producer, n int }
	r := New[item](64)
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			batch := make([]item, 0, 7)
			for next := 0; next < each; {
				batch = batch[:0]
				for i := 0; i < 1+(next+p)%7 && next+i < each; i++ {
					batch = append(batch, item{p, next + i})
				}
				n := r.Push(batch...)
				next += n
				if n == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	var want [producers]int
	dst := make([]item, 13)
	for got := 0; got < producers*each; {
		n := r.Drain(dst)
		if n == 0 {
			runtime.Gosched()
		}
		for _, it := range dst[:n] {
			if it.n != want[it.producer] {
				t.Fatalf("producer %d: got %d, want %d", it.producer, it.n, want[it.producer])
			}
			want[it.producer]++
		}
		got += n
	}
	wg.Wait()
	if !r.Empty() || r.Len() != 0 {
		t.Fatalf("%d values left", r.Len())
	}
}
