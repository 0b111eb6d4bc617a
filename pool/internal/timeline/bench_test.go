package timeline

import (
	"fmt"
	"runtime"
	"testing"
)

const hour = 3_600_000

// booked returns a timeline of n entries, one in each of n hours, a quarter to three quarters long.
func booked(n int) (*Timeline[*int], []Entry[*int]) {
	tl := new(Timeline[*int])
	all := make([]Entry[*int], n)
	for i := range all {
		at := scatter(i, n)
		start := int64(at)*hour + int64(at*7919%15)*60_000
		all[i] = Entry[*int]{Start: start, End: start + int64(1+i%3)*hour/4, Units: 1, ID: uint64(i)}
		tl.Add(&all[i])
	}
	return tl, all
}

// scatter returns numbers below n in what looks like no order, each once where n is a power of ten.
func scatter(i, n int) int { return i % n * 7_368_787 % n }

// BenchmarkTimeline: in turn in each of so many timelines. AddRemove takes an entry out and puts it in again; Peak is of an
// hour; Free looks for 20 minutes in the day after a time; Overlapping ranges over an hour.
func BenchmarkTimeline(b *testing.B) {
	for _, size := range []struct{ timelines, entries int }{{1, 1000}, {1, 1_000_000}, {1000, 1000}} {
		if size.timelines*size.entries > 1000 && testing.Short() {
			continue
		}
		b.Run(fmt.Sprintf("%dx%d", size.timelines, size.entries), func(b *testing.B) {
			tls := make([]*Timeline[*int], size.timelines)
			all := make([][]Entry[*int], size.timelines)
			for i := range tls {
				tls[i], all[i] = booked(size.entries)
			}
			for _, op := range []struct {
				name string
				do   func(tl *Timeline[*int], e *Entry[*int], at int64)
			}{
				{"AddRemove", func(tl *Timeline[*int], e *Entry[*int], _ int64) {
					tl.Remove(e)
					tl.Add(e)
				}},
				{"Peak", func(tl *Timeline[*int], _ *Entry[*int], at int64) { tl.Peak(at, at+hour) }},
				{"Free", func(tl *Timeline[*int], _ *Entry[*int], at int64) {
					steps := 100
					tl.Free(at, at+24*hour, hour/3, 1, 1, &steps)
				}},
				{"Overlapping", func(tl *Timeline[*int], _ *Entry[*int], at int64) {
					for range tl.Overlapping(at, at+hour) {
					}
				}},
			} {
				b.Run(op.name, func(b *testing.B) {
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						which, n := i%size.timelines, scatter(i/size.timelines, size.entries)
						op.do(tls[which], &all[which][n], int64(n)*hour)
						i++
					}
				})
			}
		})
	}
}

// TestBytesPerEntry measures the memory of an entry that shares no moment with another.
func TestBytesPerEntry(t *testing.T) {
	const n = 100_000
	live := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := live()
	tl, all := booked(n)
	each := (live() - before) / n
	t.Logf("%d bytes an entry, its value of 8 in it", each)
	if each > 200 {
		t.Errorf("%d bytes an entry, want 200 at most", each)
	}
	runtime.KeepAlive(tl)
	runtime.KeepAlive(all)
}
