package timeline

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// TestMain sizes the random tests for CI, unless the command line says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	set := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": "500", "rapid.steps": "150", "rapid.nofailfile": "true", "rapid.shrinktime": "20s"} {
		if !set[name] {
			flag.Set(name, value)
		}
	}
	os.Exit(m.Run())
}

// booking is an interval of the oracle, in small numbers: a timeline has them times a scale.
type booking struct {
	start, end, units int64
	entry             *Entry[int]
}

// oracle is the intervals in no order: what it is asked it works out time by time.
type oracle []booking

const first, last = -24, 24 // the times of the oracle

func (o oracle) use(at int64) (use int64) {
	for _, b := range o {
		if b.start <= at && at < b.end {
			use += b.units
		}
	}
	return use
}

func (o oracle) peak(start, end int64) (peak int64) {
	for at := start; at < end; at++ {
		peak = max(peak, o.use(at))
	}
	return peak
}

// free also returns how many stretches there are, of any length, until the one that is found, or until to.
func (o oracle) free(from, to, length, units, capacity int64) (start, end int64, stretches int, ok bool) {
	for start = from; start < to; start = end + 1 {
		for end = start; end < to && o.use(end)+units <= capacity; {
			end++
		}
		if end > start {
			stretches++
		}
		if end-start >= length {
			return start, end, stretches, true
		}
	}
	return to, to, stretches, false
}

func (o oracle) overlapping(start, end int64) (all []*Entry[int]) {
	for _, b := range o {
		for at := start; at < end; at++ {
			if b.start <= at && at < b.end {
				all = append(all, b.entry)
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b *Entry[int]) int {
		if a.Start != b.Start {
			return int(max(-1, min(1, a.Start-b.Start)))
		}
		return int(a.ID) - int(b.ID)
	})
	return all
}

// span draws an interval that is not empty.
func span(rt *rapid.T) (start, end int64) {
	start = rapid.Int64Range(first, last-1).Draw(rt, "start")
	length := rapid.OneOf(rapid.Int64Range(1, 4), rapid.Int64Range(1, last-first)).Draw(rt, "length")
	return start, min(start+length, last)
}

// TestModel does all there is to do at random, and compares with the oracle. Times are so few that borders touch.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		scale := rapid.SampledFrom([]int64{1, 900_000, 1 << 53 / last}).Draw(rt, "scale")
		most := rapid.SampledFrom([]int64{1, 3}).Draw(rt, "units at most")
		var tl Timeline[int]
		if rapid.Bool().Draw(rt, "seeded") {
			tl.Seed(rapid.Uint64().Draw(rt, "seed"))
		}
		var o oracle
		ids := uint64(0)
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				for range rapid.IntRange(1, 3).Draw(rt, "entries") {
					start, end := span(rt)
					units := rapid.Int64Range(1, most).Draw(rt, "units")
					ids += 1_000_003 // IDs in no order
					e := &Entry[int]{Start: start * scale, End: end * scale, Units: units, ID: ids % 7919, Value: len(o)}
					o = append(o, booking{start, end, units, e})
					tl.Add(e)
				}
			},
			"remove": func(rt *rapid.T) {
				if len(o) == 0 {
					rt.Skip("nothing is booked")
				}
				i := rapid.IntRange(0, len(o)-1).Draw(rt, "which")
				tl.Remove(o[i].entry)
				o = slices.Delete(o, i, i+1)
			},
			"peak": func(rt *rapid.T) {
				start, end := span(rt)
				if got, want := tl.Peak(start*scale, end*scale), o.peak(start, end); got != want {
					rt.Fatalf("the peak in [%d, %d) is %d, want %d", start, end, got, want)
				}
			},
			"overlapping": func(rt *rapid.T) {
				start, end := span(rt)
				want := o.overlapping(start, end)
				if got := slices.Collect(tl.Overlapping(start*scale, end*scale)); !slices.Equal(got, want) {
					rt.Fatalf("in [%d, %d) are %s, want %s", start, end, text(got), text(want))
				}
				few := want[:rapid.IntRange(0, len(want)).Draw(rt, "few")]
				var got []*Entry[int]
				for e := range tl.Overlapping(start*scale, end*scale) {
					if len(got) == len(few) {
						break
					}
					got = append(got, e)
				}
				if !slices.Equal(got, few) {
					rt.Fatalf("the first %d in [%d, %d) are %s, want %s", len(few), start, end, text(got), text(few))
				}
			},
			"free": func(rt *rapid.T) {
				from, to := span(rt)
				length := rapid.Int64Range(1, 6).Draw(rt, "length")
				units, capacity := rapid.Int64Range(1, 3).Draw(rt, "units"), rapid.Int64Range(0, 6).Draw(rt, "capacity")
				wantStart, wantEnd, stretches, wantOK := o.free(from, to, length, units, capacity)
				budget := rapid.IntRange(1, 3).Draw(rt, "steps at a time")
				at, took := from*scale, 0
				for {
					steps := budget
					start, end, ok := tl.Free(at, to*scale, length*scale, units, capacity, &steps)
					if steps < 0 || steps == budget {
						rt.Fatalf("of %d steps %d are left", budget, steps)
					}
					took += budget - steps
					if !ok && start < to*scale {
						if steps > 0 || start <= at || start > wantStart*scale {
							rt.Fatalf("from %d it is to go on at %d with %d steps left", at, start, steps)
						}
						at = start
						continue
					}
					if start != wantStart*scale || end != wantEnd*scale || ok != wantOK {
						rt.Fatalf("%d for %d of %d in [%d, %d): got [%d, %d) %v, want [%d, %d) %v",
							units, length, capacity, from, to, start/scale, end/scale, ok, wantStart, wantEnd, wantOK)
					}
					break
				}
				if took > stretches+1 {
					rt.Fatalf("it took %d steps past %d stretches", took, stretches)
				}
				none := 0
				if start, _, ok := tl.Free(from*scale, to*scale, length*scale, units, capacity, &none); ok || start != from*scale || none != 0 {
					rt.Fatalf("without a step: %d %v %d", start, ok, none)
				}
			},
			"": func(rt *rapid.T) { check(rt, &tl, o, scale) },
		})
	})
}

func text(entries []*Entry[int]) (s string) {
	for _, e := range entries {
		s += fmt.Sprintf(" %d:[%d, %d)*%d", e.ID, e.Start, e.End, e.Units)
	}
	return s
}

// check looks at all that is in a timeline: the order of its trees, their weights, what nodes know of those below.
func check(rt *rapid.T, tl *Timeline[int], o oracle, scale int64) {
	entries := map[*Entry[int]]bool{}
	var lastEntry *Entry[int]
	var entry func(e *Entry[int]) int64
	entry = func(e *Entry[int]) int64 {
		if e == nil {
			return math.MinInt64
		}
		end := entry(e.Left)
		if lastEntry != nil && !lastEntry.Before(e) {
			rt.Fatalf("entry %d is out of order", e.ID)
		}
		lastEntry, entries[e] = e, true
		if end = max(end, e.End, entry(e.Right)); e.last != end {
			rt.Fatalf("entry %d: the latest end is %d, not %d", e.ID, end, e.last)
		}
		for _, x := range []*Entry[int]{e.Left, e.Right} {
			if x != nil && x.Weight(tl.entries.Seed) > e.Weight(tl.entries.Seed) {
				rt.Fatalf("entry %d outweighs the one above it", x.ID)
			}
		}
		return end
	}
	entry(tl.entries.Root)
	for _, b := range o {
		if !entries[b.entry] {
			rt.Fatalf("entry %d is lost", b.entry.ID)
		}
	}
	if len(entries) != len(o) || tl.Len() != len(o) {
		rt.Fatalf("it has %d entries, and %d by Len, want %d", len(entries), tl.Len(), len(o))
	}

	changes := map[int64]int64{}
	for _, b := range o {
		changes[b.start*scale] += b.units
		changes[b.end*scale] -= b.units
	}
	lastAt := int64(math.MinInt64)
	var collect func(m *moment) []int64 // the changes below
	collect = func(m *moment) []int64 {
		if m == nil {
			return nil
		}
		all := collect(m.Left)
		if m.at <= lastAt {
			rt.Fatalf("moment %d is out of order", m.at)
		}
		lastAt = m.at
		if m.change == 0 || changes[m.at] != m.change {
			rt.Fatalf("moment %d changes the use by %d, not %d", m.at, changes[m.at], m.change)
		}
		delete(changes, m.at)
		all = append(append(all, m.change), collect(m.Right)...)
		sum, high, low := int64(0), int64(math.MinInt64), int64(math.MaxInt64)
		for _, c := range all {
			sum += c
			high, low = max(high, sum), min(low, sum)
		}
		if m.sum != sum || m.high != high || m.low != low {
			rt.Fatalf("moment %d: %d %d %d, want %d %d %d", m.at, m.sum, m.high, m.low, sum, high, low)
		}
		for _, x := range []*moment{m.Left, m.Right} {
			if x != nil && x.Weight(tl.moments.Seed) > m.Weight(tl.moments.Seed) {
				rt.Fatalf("moment %d outweighs the one above it", x.at)
			}
		}
		return all
	}
	collect(tl.moments.Root)
	for at, c := range changes {
		if c != 0 {
			rt.Fatalf("moment %d, which changes the use by %d, is lost", at, c)
		}
	}
}

// TestBorders tells the end of one from the start of the next.
func TestBorders(t *testing.T) {
	var tl Timeline[string]
	nine, ten, noon := &Entry[string]{Start: 9, End: 10, Units: 1, ID: 1}, &Entry[string]{Start: 10, End: 11, Units: 1, ID: 2}, &Entry[string]{Start: 12, End: 13, Units: 1, ID: 3}
	for _, e := range []*Entry[string]{noon, nine, ten} {
		tl.Add(e)
	}
	if n := tl.Peak(9, 11); n != 1 {
		t.Errorf("the peak of two in a row is %d", n)
	}
	if n := tl.Peak(11, 12); n != 0 {
		t.Errorf("the peak in between is %d", n)
	}
	if got := slices.Collect(tl.Overlapping(10, 12)); !slices.Equal(got, []*Entry[string]{ten}) {
		t.Errorf("from 10 to 12 are %d", len(got))
	}
	for _, c := range []struct {
		from, to, length, start, end int64
		ok                           bool
		steps                        int
	}{
		{0, 24, 1, 0, 9, true, 1},
		{9, 24, 1, 11, 12, true, 1}, // two in a row are passed over in one step
		{9, 24, 2, 13, 24, true, 2},
		{9, 12, 2, 12, 12, false, 1},
		{5, 9, 4, 5, 9, true, 1},
		{9, 11, 1, 11, 11, false, 1},
	} {
		steps := 10
		if start, end, ok := tl.Free(c.from, c.to, c.length, 1, 1, &steps); start != c.start || end != c.end || ok != c.ok || 10-steps != c.steps {
			t.Errorf("%d within [%d, %d): [%d, %d) %v in %d steps, want %v", c.length, c.from, c.to, start, end, ok, 10-steps, c)
		}
	}
	steps := 10
	if start, end, ok := tl.Free(0, 24, 24, 1, 2, &steps); start != 0 || end != 24 || !ok {
		t.Errorf("of two one is free in [%d, %d) %v", start, end, ok)
	}
	if _, _, ok := tl.Free(0, 24, 1, 3, 2, &steps); ok {
		t.Error("there are three of two")
	}
}

// TestNothingIsAllocated has those who only look take no memory.
func TestNothingIsAllocated(t *testing.T) {
	tl, _ := booked(10_000)
	if n := testing.AllocsPerRun(100, func() {
		steps := 100
		tl.Free(0, 10_000*hour, 24*hour, 1, 1, &steps)
		tl.Peak(100*hour, 110*hour)
		for e := range tl.Overlapping(100*hour, 110*hour) {
			_ = e.Value
		}
	}); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

// TestMutants changes a line at a time: the test that is named must find each of these errors.
func TestMutants(t *testing.T) {
	proof.Mutants(t, []struct{ What, File, From, To, Check string }{
		{"an end is inclusive", "timeline.go", "e.End > start && !yield", "e.End >= start && !yield", "^TestBorders$"},
		{"what ends a ms after the start is missed", "timeline.go", "e.last > start", "e.last > start+1", "^TestModel$"},
		{"an end frees a ms late", "timeline.go", "	t.change(e.End, -e.Units)", "	t.change(e.End+1, -e.Units)", "^TestBorders$"},
		{"units are ignored", "timeline.go", "	t.change(e.Start, e.Units)\n	t.change(e.End, -e.Units)", "	t.change(e.Start, 1)\n	t.change(e.End, -1)", "^TestModel$"},
		{"removal does not update those above", "../treap/treap.go", "		*at = right\n	}\n	update[T, N](path)\n", "		*at = right\n	}\n", "^TestModel$"},
		{"a change does not update those above", "moment.go", "		t.moments.Changed(m)\n", "		m.Update()\n", "^TestModel$"},
		{"a moment of no change stays", "moment.go", "m.change == 0 {", "m.change == 0 && m.Left == nil {", "^TestModel$"},
		{"the peak misses what is in use at the start", "moment.go", "	return max(peak, use) //", "	return peak //", "^TestModel$"},
		{"the peak goes to the end and beyond", "moment.go", "m.at >= end) {", "m.at > end) {", "^TestModel$"},
		{"free starts where too much is in use", "moment.go", "for free := t.use(from) <= limit;", "for free := true;", "^TestModel$"},
		{"free is too short", "moment.go", "end-start >= length {", "end-start >= length-1 {", "^TestBorders$"},
		{"free is not the first", "moment.go", "at.Left.reaches(limit, above, use); {", "at.Left.reaches(limit, above, use) && at.Right == nil; {", "^TestModel$"},
		{"steps are not counted", "moment.go", "		*steps--\n", "", "^TestBorders$"},
	}, "-rapid.checks=2000", "-rapid.shrinktime=0s")
}
