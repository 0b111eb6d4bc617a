package seats_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool/internal/proof"
	"github.com/kassa-go/kassa/pool/internal/seats"
)

// TestMain sizes the random tests for CI, unless the command line says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	set := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": "100", "rapid.steps": "40", "rapid.nofailfile": "true", "rapid.shrinktime": "20s"} {
		if !set[name] {
			flag.Set(name, value)
		}
	}
	os.Exit(m.Run())
}

type place struct{ row, col int32 }

type seat struct {
	group int
	free  bool
	name  string
}

// model is a hall beside an oracle: a map of the seats, of which the best are found by trying everything.
type model struct {
	rt     *rapid.T
	hall   seats.Hall[string]
	groups []*seats.Group[string]
	seats  map[place]seat
	added  int
	asked  int
}

// TestModel makes random halls, sells and returns seats, and compares all that is asked with what the oracle says.
func TestModel(t *testing.T) {
	proof.Run(t, "questions to halls", 20_000, func(t *testing.T, _ *rand.Rand) int {
		asked := 0
		rapid.Check(quiet{t}, func(rt *rapid.T) {
			m := newModel(rt, rapid.IntRange(1, 4).Draw(rt, "groups"))
			m.stretch(true)
			rt.Repeat(map[string]func(*rapid.T){
				"":         func(*rapid.T) { m.must(m.hall.Len() == len(m.seats), "%d seats, want %d", m.hall.Len(), len(m.seats)) },
				"add":      func(*rapid.T) { m.stretch(rapid.Bool().Draw(rt, "free")) },
				"fill":     func(*rapid.T) { m.fill() },
				"remove":   func(*rapid.T) { m.remove() },
				"set":      func(*rapid.T) { m.set() },
				"set many": func(*rapid.T) { m.setMany() },
				"best":     func(*rapid.T) { m.best() },
				"again":    func(*rapid.T) { m.best() },
				"fits":     func(*rapid.T) { m.fits() },
			})
			asked += m.asked
		})
		return asked
	})
}

// quiet does not say how often all went well.
type quiet struct{ *testing.T }

func (t quiet) Logf(format string, args ...any) {
	if !strings.HasPrefix(format, "[rapid] OK") {
		t.T.Logf(format, args...)
	}
}

// newModel is an empty hall; the last of its groups stays without seats.
func newModel(rt *rapid.T, groups int) *model {
	m := &model{rt: rt, seats: map[place]seat{}}
	for range groups + 1 {
		m.groups = append(m.groups, m.hall.Group())
	}
	return m
}

func (m *model) must(ok bool, format string, args ...any) {
	if !ok {
		m.rt.Helper()
		m.rt.Fatalf(format, args...)
	}
}

func (m *model) number(what string, from, to int) int {
	return rapid.IntRange(from, to).Draw(m.rt, what)
}

// Rows and columns are such that pages and words begin and end among them.
var rows = []int32{1, 2, 3, 5, 62, 63, 64, 65, 127, 128, 300, seats.PlaceMax}

func (m *model) row() int32 { return rapid.SampledFrom(rows).Draw(m.rt, "row") }

func (m *model) col() int32 {
	switch m.number("where", 0, 9) {
	case 0:
		return int32(m.number("col", seats.PlaceMax-80, seats.PlaceMax))
	case 1, 2:
		return int32(m.number("col", 1, 400))
	case 3, 4:
		return 64 * int32(m.number("word", 1, 6))
	}
	return int32(m.number("col", 1, 40))
}

func (m *model) add(p place, group int, free bool) {
	m.added++
	s := seat{group, false, fmt.Sprintf("%d-%d#%d", p.row, p.col, m.added)}
	_, there := m.seats[p]
	m.must(m.hall.Add(m.groups[group], p.row, p.col, s.name) != there, "Add at %v, where there is a seat: %v", p, there)
	if !there {
		m.seats[p] = s
		if free {
			m.free(p, true)
		}
	}
}

func (m *model) free(p place, free bool) {
	s := m.seats[p]
	m.hall.SetFree(m.groups[s.group], p.row, p.col, free)
	s.free = free
	m.seats[p] = s
}

// stretch adds a few neighbours of one group, or many.
func (m *model) stretch(free bool) {
	p, n, group := place{m.row(), m.col()}, m.number("seats", 1, 12), m.number("group", 0, len(m.groups)-2)
	if m.number("before", 0, 3) == 0 { // it ends there
		p.col = max(p.col-int32(n), 1)
	}
	if m.number("long", 0, 5) == 0 {
		n = m.number("seats", 60, 200)
	}
	down := rapid.Bool().Draw(m.rt, "down")
	for i := range n {
		q := place{p.row, p.col + int32(i)}
		if down {
			q.col = p.col + int32(n-1-i)
		}
		if q.col <= seats.PlaceMax {
			m.add(q, group, free)
		}
	}
}

// fill adds one seat, if need be in a gap.
func (m *model) fill() {
	m.add(place{m.row(), m.col()}, m.number("group", 0, len(m.groups)-2), true)
}

// sorted returns the places of the seats, some of them.
func (m *model) sorted(want func(place, seat) bool) []place {
	var all []place
	for p, s := range m.seats {
		if want == nil || want(p, s) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(p, q place) int { return cmp.Or(cmp.Compare(p.row, q.row), cmp.Compare(p.col, q.col)) })
	return all
}

func (m *model) any() (place, bool) {
	if len(m.seats) == 0 {
		return place{}, false
	}
	return rapid.SampledFrom(m.sorted(nil)).Draw(m.rt, "seat"), true
}

func (m *model) remove() {
	if p, ok := m.any(); ok {
		s := m.seats[p]
		m.hall.Remove(m.groups[s.group], p.row, p.col)
		delete(m.seats, p)
		if rapid.Bool().Draw(m.rt, "back") { // maybe in another group
			m.add(p, m.number("group", 0, len(m.groups)-2), s.free)
		}
	}
}

func (m *model) set() {
	if p, ok := m.any(); ok {
		m.free(p, rapid.Bool().Draw(m.rt, "free"))
	}
}

// setMany makes a random share of the seats free and the others not, or one in so many.
func (m *model) setMany() {
	share, step := m.number("percent", 0, 100), m.number("step", 0, 4)
	rng := rand.New(rand.NewPCG(uint64(m.number("seed", 0, 1<<30)), 0))
	for i, p := range m.sorted(nil) {
		if step < 2 {
			m.free(p, rng.IntN(100) < share)
		} else {
			m.free(p, i%step != 0)
		}
	}
}

// choose picks groups, some of them twice.
func (m *model) choose() (groups []*seats.Group[string], selected map[int]bool) {
	selected = map[int]bool{}
	for range m.number("selected", 0, 2*len(m.groups)) {
		i := m.number("group", 0, len(m.groups)-1)
		groups = append(groups, m.groups[i])
		selected[i] = true
	}
	return groups, selected
}

func (m *model) wanted() int {
	switch m.number("size", 0, 9) {
	case 0:
		return m.number("n", -1, 1)
	case 1, 2:
		return m.number("n", 60, 210)
	}
	return m.number("n", 1, 14)
}

func (m *model) fits() {
	groups, selected := m.choose()
	n := m.wanted()
	there := m.sorted(func(_ place, s seat) bool { return selected[s.group] })
	want := len(m.windows(there, n)) > 0
	m.must(m.hall.Fits(groups, n) == want, "Fits %d of %v: want %v", n, selected, want)
	m.asked++
}

func (m *model) best() {
	groups, selected := m.choose()
	n, split := m.wanted(), rapid.Bool().Draw(m.rt, "split")
	var focus seats.Focus
	switch m.number("focus", 0, 3) {
	case 0: // far outside
		focus = seats.Focus{Row: int64(m.number("focus row", -2e7, 2e7)), Col: int64(m.number("focus col", -2e7, 2e7))}
	case 1: // between some
		focus = seats.Focus{Row: 50 * int64(m.number("focus row", 0, 20)), Col: 50 * int64(m.number("focus col", 0, 90))}
	default:
		focus = seats.Focus{Row: int64(m.number("focus row", -100, 13_000)), Col: int64(m.number("focus col", -100, 42_000))}
	}
	want, ok := m.bestOf(selected, n, focus, split)
	got, gotOK := m.hall.Best([]string{"before"}, groups, n, focus, split)
	if len(got) == 0 || got[0] != "before" {
		m.rt.Fatalf("Best has lost what it was to append to: %v", got)
	}
	m.must(gotOK == ok && slices.Equal(got[1:], want), "Best %d of %v near %v, split %v:\n got %v %v\nwant %v %v",
		n, selected, focus, split, got[1:], gotOK, want, ok)
	if ok {
		m.keepsPromise(got[1:], selected, n)
	}
	m.asked++
}

// windows returns all that are n neighbours, by their first places; sorted has the seats they may have.
func (m *model) windows(sorted []place, n int) []place {
	var all []place
	for i := 0; n > 0 && i+n <= len(sorted); i++ {
		if first, last := sorted[i], sorted[i+n-1]; first.row == last.row && last.col == first.col+int32(n)-1 {
			all = append(all, first)
		}
	}
	return all
}

// distance is the sum of the squared distances of n neighbours from a point.
func distance(first place, n int, focus seats.Focus) (sum int64) {
	for i := range int64(n) {
		row, col := 100*int64(first.row)-focus.Row, 100*(int64(first.col)+i)-focus.Col
		sum += row*row + col*col
	}
	return sum
}

// bestOf finds what Best has to, as its doc comment tells.
func (m *model) bestOf(selected map[int]bool, n int, focus seats.Focus, split bool) ([]string, bool) {
	var taken []place
	var names []string
	for n > 0 && len(taken) < n {
		rest := m.sorted(func(p place, s seat) bool { return s.free && selected[s.group] && !slices.Contains(taken, p) })
		size := n - len(taken)
		windows := m.windows(rest, size)
		for split && size > 1 && len(windows) == 0 {
			size--
			windows = m.windows(rest, size)
		}
		if len(windows) == 0 {
			return nil, false
		}
		best := windows[0] // of the lowest row and column
		for _, w := range windows {
			if distance(w, size, focus) < distance(best, size, focus) {
				best = w
			}
		}
		var row, col int
		for i := range size {
			p := place{best.row, best.col + int32(i)}
			taken = append(taken, p)
			names = append(names, m.seats[p].name)
		}
		for _, p := range taken {
			row, col = row+100*int(p.row), col+100*int(p.col)
		}
		focus = seats.Focus{Row: int64(row / len(taken)), Col: int64(col / len(taken))}
	}
	return names, n > 0
}

// keepsPromise checks what must be so whatever the order of the choice: n different seats, all of which could be had, in as
// few runs as can be. That is as many as there are of the longest runs that together have n seats.
func (m *model) keepsPromise(got []string, selected map[int]bool, n int) {
	byName := map[string]place{}
	for p, s := range m.seats {
		byName[s.name] = p
	}
	all := map[place]bool{}
	for _, name := range got {
		p, there := byName[name]
		s := m.seats[p]
		m.must(there && s.free && selected[s.group], "seat %s is not to be had", name)
		all[p] = true
	}
	m.must(len(got) == n && len(all) == n, "%d seats are given, %d different ones, want %d", len(got), len(all), n)

	var lengths []int
	free := map[place]bool{}
	for p, s := range m.seats {
		free[p] = s.free && selected[s.group]
	}
	for p := range free {
		if length := runFrom(free, p); length > 0 {
			lengths = append(lengths, length)
		}
	}
	slices.Sort(lengths)
	least, sum := 0, 0
	for _, length := range slices.Backward(lengths) {
		if sum < n {
			sum += length
			least++
		}
	}
	runs := 0
	for p := range maps.Keys(all) {
		if runFrom(all, p) > 0 {
			runs++
		}
	}
	m.must(runs == least, "%d seats are in %d runs, %d is possible", n, runs, least)
}

// runFrom returns the length of the run that begins at p, 0 when none does.
func runFrom(set map[place]bool, p place) (n int) {
	if set[place{p.row, p.col - 1}] {
		return 0
	}
	for ; set[p]; p.col++ {
		n++
	}
	return n
}
