package timeline

import (
	"flag"
	"fmt"
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
	defer func(m, l int) { most, least = m, l }(most, least)
	rapid.Check(t, func(rt *rapid.T) {
		most = rapid.SampledFrom([]int{7, 63}).Draw(rt, "elements of a node")
		least = (most + 1) / 4
		scale := rapid.SampledFrom([]int64{1, 900_000, 1 << 53 / last}).Draw(rt, "scale")
		most := rapid.SampledFrom([]int64{1, 3}).Draw(rt, "units at most")
		var tl Timeline[int]
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

// fataler is a test of either kind.
type fataler interface{ Fatalf(string, ...any) }

// elements returns all that is in the leaves of a tree; it fails where its shape is wrong, or what stands for several.
func elements[E interface {
	comparable
	element[E]
}](rt fataler, n *node[E], root bool) (all []E, depth int) {
	if size := len(n.elements); size > most || !root && size < least || root && n.children != nil && size < 2 {
		rt.Fatalf("a node has %d elements", size)
	}
	if n.children == nil {
		return n.elements, 0
	}
	if len(n.children) != len(n.elements) {
		rt.Fatalf("a node has %d elements for %d children", len(n.elements), len(n.children))
	}
	for i := range n.children {
		below, d := elements(rt, &n.children[i], false)
		if i > 0 && d != depth {
			rt.Fatalf("leaves are not all at one depth")
		}
		if want := below[0].all(below); n.elements[i] != want {
			rt.Fatalf("%v stands for what comes to %v", n.elements[i], want)
		}
		all, depth = append(all, below...), d
	}
	return all, depth + 1
}

// check looks at all that is in a timeline: the order of its trees, their shape, what stands for several.
func check(rt *rapid.T, tl *Timeline[int], o oracle, scale int64) {
	entries := map[*Entry[int]]bool{}
	all, _ := elements(rt, &tl.entries, true)
	for i, x := range all {
		if i > 0 && !all[i-1].before(x) {
			rt.Fatalf("entry %d is out of order", x.id)
		}
		if e := x.entry; e.Start != x.start || e.End != x.end || e.ID != x.id {
			rt.Fatalf("entry %d is in as %v", e.ID, x)
		}
		entries[x.entry] = true
	}
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
	moments, _ := elements(rt, &tl.moments, true)
	for i, m := range moments {
		if i > 0 && m.at <= moments[i-1].at {
			rt.Fatalf("moment %d is out of order", m.at)
		}
		if m.sum == 0 || m != changed(m.at, changes[m.at]) {
			rt.Fatalf("moment %v changes the use by %d", m, changes[m.at])
		}
		delete(changes, m.at)
	}
	for at, c := range changes {
		if c != 0 {
			rt.Fatalf("moment %d, which changes the use by %d, is lost", at, c)
		}
	}
}

// TestAll has what several moments come to be what it is of each by itself.
func TestAll(t *testing.T) {
	for _, c := range []struct {
		changes        []int64
		sum, high, low int64
	}{
		{[]int64{2}, 2, 2, 2},
		{[]int64{-2, 1}, -1, -1, -2},
		{[]int64{3, -2, 5, -6}, 0, 6, 0},
		{[]int64{-3, 7, -9, 1}, -4, 4, -5},
	} {
		var flat []moment
		for i, units := range c.changes {
			flat = append(flat, changed(int64(i), units))
		}
		want := moment{0, c.sum, c.high, c.low}
		for i := range flat { // those before i and the rest, each by what they come to
			got := flat[0].all(flat)
			if i > 0 {
				got = got.all([]moment{got.all(flat[:i]), got.all(flat[i:])})
			}
			if got != want {
				t.Errorf("%v come to %v, want %v", c.changes, got, want)
			}
		}
	}
}

// TestShape has entries come and go in ways that calendars make: the trees must be shallow, and not be left hollow.
func TestShape(t *testing.T) {
	const n = 20_000
	for name, at := range map[string]func(i int) int64{
		"one by one":     func(i int) int64 { return int64(i) },
		"backwards":      func(i int) int64 { return -int64(i) },
		"scattered":      func(i int) int64 { return int64(scatter(i, n)) },
		"from both ends": func(i int) int64 { return int64((n - i) * (1 - i%2*2)) },
	} {
		var tl Timeline[int]
		all := make([]Entry[int], n)
		for i := range all {
			all[i] = Entry[int]{Start: at(i) * hour, End: at(i)*hour + hour/2, Units: 1, ID: uint64(i)}
			tl.Add(&all[i])
		}
		for _, left := range []int{n, n / 100, 0} {
			for tl.Len() > left {
				tl.Remove(&all[tl.Len()-1])
			}
			entries, depth := elements(t, &tl.entries, true)
			moments, deep := elements(t, &tl.moments, true)
			if len(entries) != left || len(moments) != 2*left || depth > 3 || deep > 3 {
				t.Fatalf("%s: of %d are %d and %d moments, %d and %d deep", name, left, len(entries), len(moments), depth, deep)
			}
		}
	}
}

// TestStranger removes what is not in the timeline.
func TestStranger(t *testing.T) {
	tl, _ := booked(10)
	defer func() {
		if r := recover(); r != "timeline: it is not there" {
			t.Errorf("it panics with %v", r)
		}
	}()
	tl.Remove(&Entry[*int]{Start: 1, End: 2, Units: 1})
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
		{"an end is inclusive", "timeline.go", "case s.end <= start:", "case s.end < start:", "^TestBorders$"},
		{"what ends a ms after the start is missed", "timeline.go", "case s.end <= start:", "case s.end <= start+1:", "^TestModel$"},
		{"an end frees a ms late", "timeline.go", "	t.moments.put(changed(e.End, -e.Units))", "	t.moments.put(changed(e.End+1, -e.Units))", "^TestBorders$"},
		{"units are ignored", "timeline.go", "	t.moments.put(changed(e.Start, e.Units))\n	t.moments.put(changed(e.End, -e.Units))", "	t.moments.put(changed(e.Start, 1))\n	t.moments.put(changed(e.End, -1))", "^TestModel$"},
		{"a moment of no change stays", "tree.go", "case there && x.none():", "case there && x.none() && i > 0:", "^TestModel$"},
		{"a change does not show above", "tree.go", "n.elements[i] = x.all(c.elements)", "_ = i", "^TestModel$"},
		{"a node grows without end", "tree.go", "case len(c.elements) > most:", "case len(c.elements) > 2*most:", "^TestShape$"},
		{"a node is left hollow", "tree.go", "	case len(c.elements) < least:", "	case len(c.elements) < 1:", "^TestShape$"},
		{"the root stays as it is", "tree.go", "} else if len(n.children) == 1 {", "} else if len(n.children) == 1 && most == 0 {", "^TestShape$"},
		{"children are not shared with elements", "tree.go", "all.part(0, size/2)", "all.part(0, size/2-1)", "^TestModel$"},
		{"the highest is not of what came before", "moment.go", "max(a.high, a.sum+m.high)", "max(a.high, m.high)", "^TestAll$"},
		{"the lowest is not of what came before", "moment.go", "min(a.low, a.sum+m.low)", "min(a.low, m.low)", "^TestAll$"},
		{"the peak misses what is in use at the start", "moment.go", "			p.most = p.use\n", "", "^TestModel$"},
		{"the peak goes to the end and beyond", "moment.go", "if m.at >= p.end {", "if m.at > p.end {", "^TestModel$"},
		{"the peak takes the whole of a child", "moment.go", "m.at > p.start && then <= p.end:", "m.at > p.start || n.children == nil:", "^TestModel$"},
		{"what is next after a last child is not known", "moment.go", "	return end\n}", "	return n.elements[i].at + 1\n}", "^TestModel$"},
		{"free starts where too much is in use", "moment.go", "for free := t.use(from) <= limit;", "for free := true;", "^TestModel$"},
		{"free is too short", "moment.go", "end-start >= length {", "end-start >= length-1 {", "^TestBorders$"},
		{"free is not the first", "moment.go", "	case then <= u.after+1 || !", "	case then <= u.after+2 || !", "^TestModel$"},
		{"what is passed over does not count", "moment.go", "			u.use += m.sum\n", "", "^TestModel$"},
		{"steps are not counted", "moment.go", "		*steps--\n", "", "^TestBorders$"},
	}, "-rapid.checks=2000", "-rapid.shrinktime=0s")
}
