package load

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A window does what a map from index to time does.
func TestWindow(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := window{low: IndexMin, next: IndexMin}
	oracle := map[uint64]int64{}
	for step := range 20_000 {
		if target := 200 * (step / 2000); random.IntN(2*target+2) > len(oracle) {
			due := int64(step + 1)
			oracle[w.add(due)] = due
		}
		index := w.low + random.Uint64N(w.next-w.low+2) - 1
		due, ok := w.remove(index)
		if want, wantOK := oracle[index]; due != want || ok != wantOK {
			t.Fatalf("remove(%d): %d %v, want %d %v", index, due, ok, want, wantOK)
		}
		delete(oracle, index)
		if w.count != len(oracle) {
			t.Fatalf("count %d, want %d", w.count, len(oracle))
		}
	}
	last := uint64(0)
	w.each(func(index uint64) {
		if _, ok := oracle[index]; !ok || index <= last {
			t.Fatalf("each gives %d after %d", index, last)
		}
		delete(oracle, index)
		last = index
	})
	if len(oracle) > 0 {
		t.Errorf("each left out %v", oracle)
	}
}
