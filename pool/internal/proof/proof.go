// Package proof is for tests: it says how long the random ones run, and puts errors into a package to see them found.
//
// KASSA_SOAK=10m has each random test run for that long. KASSA_SEED=seed/run has one do a single run, as the failure of
// that run told: what depends on the scheduler may still go another way.
package proof

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Race is true in a build with the race detector.
const Race = race

// Size is how much of size a test does: all of it; a tenth with -short; a fiftieth under the race detector, which makes
// everything so much slower.
func Size(size int) int {
	switch {
	case Race:
		return (size + 49) / 50
	case testing.Short():
		return (size + 9) / 10
	}
	return size
}

// Soak returns how long each random test is to run; 0: until it has done its Size.
func Soak() time.Duration {
	soak, _ := time.ParseDuration(os.Getenv("KASSA_SOAK"))
	return soak
}

// Run calls fn, in as many subtests as there are processors, until the calls have returned Size(size) in all, or for as
// long as Soak says, or until one fails. It logs how many of what these were.
func Run(t *testing.T, what string, size int, fn func(t *testing.T, rng *rand.Rand) int) {
	seed, run, again := uint64(time.Now().UnixNano()), uint64(0), false
	if s := os.Getenv("KASSA_SEED"); s != "" {
		if _, err := fmt.Sscanf(s, "%d/%d", &seed, &run); err != nil {
			t.Fatalf("KASSA_SEED is %q: want two numbers, seed/run", s)
		}
		again = true
	}
	size = Size(size)
	start, soak := time.Now(), Soak()
	var runs, did atomic.Uint64
	var failed atomic.Bool
	t.Logf("seed %d", seed)
	t.Cleanup(func() {
		t.Logf("proof: %d %s in %v", did.Load(), what, time.Since(start).Round(10*time.Millisecond))
	})
	one := func(t *testing.T, run uint64) {
		defer func() {
			if t.Failed() {
				failed.Store(true)
				t.Logf("again: KASSA_SEED=%d/%d", seed, run)
			}
		}()
		did.Add(uint64(fn(t, rand.New(rand.NewPCG(seed, run)))))
	}
	if again {
		one(t, run)
		return
	}
	workers := runtime.GOMAXPROCS(0)
	if Race {
		workers = 1
	}
	for i := range workers {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			for !failed.Load() && (soak == 0 && did.Load() < uint64(size) || soak > 0 && time.Since(start) < soak) {
				one(t, runs.Add(1))
			}
		})
	}
}
