package seats_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/kassa-go/kassa/pool/internal/seats"
)

type groupOf func(row, col int32) *seats.Group[int32]

// hall returns one of rows of cols seats, 16 of which at a time are of one of so many groups, and the group of each place.
func hall(rows, cols, groups int, state string) (h *seats.Hall[int32], all []*seats.Group[int32], of groupOf) {
	h = new(seats.Hall[int32])
	for range groups {
		all = append(all, h.Group())
	}
	of = func(row, col int32) *seats.Group[int32] { return all[int(row+col/16)%groups] }
	rng := rand.New(rand.NewPCG(1, 2))
	for row := int32(1); row <= int32(rows); row++ {
		for col := int32(1); col <= int32(cols); col++ {
			h.Add(of(row, col), row, col, row<<8+col)
			free := false
			switch state {
			case "empty":
				free = true
			case "half":
				free = rng.IntN(100) < 50
			case "tenth":
				free = rng.IntN(100) < 10
			case "chequered":
				free = (row+col)%2 == 0
			case "nines": // one short of what the benchmarks want
				free = col%10 != 0
			}
			h.SetFree(of(row, col), row, col, free)
		}
	}
	return h, all, of
}

// BenchmarkBest: an op finds 10 seats of 20,000, side by side or else not at all, or in parts.
func BenchmarkBest(b *testing.B) {
	for _, groups := range []int{1, 8} {
		for _, selected := range slices.Compact([]int{1, groups}) {
			for _, state := range []string{"empty", "full", "half", "tenth", "chequered", "nines"} {
				h, all, _ := hall(200, 100, groups, state)
				for _, split := range []bool{false, true} {
					b.Run(fmt.Sprintf("%s/selected=%dof%d/split=%v", state, selected, groups, split), func(b *testing.B) {
						to := make([]int32, 0, 10)
						b.ReportAllocs()
						for b.Loop() {
							h.Best(to, all[:selected], 10, seats.Focus{Row: 10_050, Col: 5050}, split)
						}
					})
				}
			}
		}
	}
}

// BenchmarkBestMany: an op finds 200 seats of 20,000, no two of which are side by side.
func BenchmarkBestMany(b *testing.B) {
	h, all, _ := hall(200, 100, 1, "chequered")
	to := make([]int32, 0, 200)
	for b.Loop() {
		h.Best(to, all, 200, seats.Focus{Row: 10_050, Col: 5050}, true)
	}
}

// BenchmarkBestStadium: an op finds out that no 10 of 1,000,000 seats are side by side.
func BenchmarkBestStadium(b *testing.B) {
	if testing.Short() {
		b.Skip("it takes seconds")
	}
	h, all, _ := hall(10_000, 100, 1, "nines")
	for b.Loop() {
		h.Best(nil, all, 10, seats.Focus{Row: 10_050, Col: 5050}, false)
	}
}

// BenchmarkSetFree: an op sells a seat and has it back, all over 20,000 or 1,000,000.
func BenchmarkSetFree(b *testing.B) {
	for _, rows := range []int{200, 10_000} {
		if rows > 200 && testing.Short() {
			continue
		}
		b.Run(fmt.Sprintf("seats=%d", rows*100), func(b *testing.B) {
			h, _, of := hall(rows, 100, 8, "empty")
			at := 0
			for b.Loop() {
				at = (at + 7919) % (rows * 100)
				row, col := int32(at/100+1), int32(at%100+1)
				h.SetFree(of(row, col), row, col, false)
				h.SetFree(of(row, col), row, col, true)
			}
		})
	}
}

// BenchmarkFits: an op finds that 100 seats fit into 20,000 side by side, or that 101 do not.
func BenchmarkFits(b *testing.B) {
	h, all, _ := hall(200, 100, 8, "full")
	for _, n := range []int{100, 101} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			for b.Loop() {
				h.Fits(all, n)
			}
		})
	}
}

// BenchmarkAdd: an op fills a hall with 1,000,000 seats in 10,000 rows, in order or in none.
func BenchmarkAdd(b *testing.B) {
	if testing.Short() {
		b.Skip("it takes seconds")
	}
	const rows, cols = 10_000, 100
	for _, order := range []string{"in order", "at random"} {
		b.Run(order, func(b *testing.B) {
			at := make([]int, rows*cols)
			for i := range at {
				at[i] = i
			}
			if order == "at random" {
				rand.New(rand.NewPCG(1, 2)).Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
			}
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				h := new(seats.Hall[*int])
				g := h.Group()
				for _, k := range at {
					h.Add(g, int32(k/cols+1), int32(k%cols+1), nil)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/rows/cols, "B/seat")
				runtime.KeepAlive(h)
			}
		})
	}
}
