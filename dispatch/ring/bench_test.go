package ring

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// Batches as event loops make them: of one request, of what one client has sent, of as many as are published at once.
var batches = []int{1, 16, 256}

const sizeDefault = 1 << 16 // of the dispatcher's ring

// BenchmarkPushDrain: an op is a batch pushed and drained by one goroutine.
func BenchmarkPushDrain(b *testing.B) {
	for _, batch := range batches {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			turn := pushDrain(b, batch)
			b.ReportAllocs()
			for b.Loop() {
				turn()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/value")
		})
	}
}

// pushDrain returns what pushes and drains a batch, and has seen that it does.
func pushDrain(tb testing.TB, batch int) func() {
	r := New[*int](sizeDefault)
	values, dst := make([]*int, batch), make([]*int, batch)
	for i := range values {
		values[i] = new(int)
	}
	turn := func() {
		if r.Push(values...) != batch || r.Drain(dst) != batch {
			tb.Fatalf("a batch of %d did not pass", batch)
		}
	}
	turn()
	for i := range dst {
		if dst[i] != values[i] {
			tb.Fatalf("value %d of %d is another", i, batch)
		}
	}
	return turn
}

// BenchmarkProducers: an op is a value on its way from one of so many goroutines to the consumer, which is another. They
// push batches as fast as they can, so that the ring is contended, and full or empty most of the time.
func BenchmarkProducers(b *testing.B) {
	for _, producers := range []int{1, 2} {
		for _, batch := range batches {
			b.Run(fmt.Sprintf("producers=%d/batch=%d", producers, batch), func(b *testing.B) {
				r := New[*int](sizeDefault)
				b.ReportAllocs()
				var wg sync.WaitGroup
				for p := range producers {
					wg.Go(func() { produce(r, batch, (b.N+p)/producers) })
				}
				dst := make([]*int, 1024) // as the dispatcher has
				for got := 0; got < b.N; {
					n := r.Drain(dst)
					if n == 0 {
						runtime.Gosched()
					}
					got += n
				}
				wg.Wait()
				if n := r.Len(); n != 0 {
					b.Fatalf("%d values left", n)
				}
			})
		}
	}
}

// produce pushes n values.
func produce(r *Ring[*int], batch, n int) {
	values := make([]*int, batch)
	for n > 0 {
		pushed := r.Push(values[:min(batch, n)]...)
		if pushed == 0 {
			runtime.Gosched()
		}
		n -= pushed
	}
}

func TestPushAndDrainDoNotAllocate(t *testing.T) {
	for _, batch := range batches {
		if n := testing.AllocsPerRun(100, pushDrain(t, batch)); n != 0 {
			t.Errorf("batches of %d: %v allocations", batch, n)
		}
	}
}
