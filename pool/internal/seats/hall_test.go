package seats_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool/internal/seats"
)

// drawn makes a hall from a picture: a line for each row from row 1 on, a sign for each column from column 1 on. A letter
// is a free seat of the group of that letter, x one of group a that is not free, and a blank is no seat.
func drawn(picture string) (*seats.Hall[string], map[rune]*seats.Group[string]) {
	h := new(seats.Hall[string])
	groups := map[rune]*seats.Group[string]{}
	for i, line := range strings.Split(strings.Trim(picture, "\n"), "\n") {
		for j, sign := range []rune(line) {
			free := sign != 'x'
			if sign == ' ' {
				continue
			}
			if !free {
				sign = 'a'
			}
			if groups[sign] == nil {
				groups[sign] = h.Group()
			}
			h.Add(groups[sign], int32(i+1), int32(j+1), fmt.Sprintf("%d-%d", i+1, j+1))
			h.SetFree(groups[sign], int32(i+1), int32(j+1), free)
		}
	}
	return h, groups
}

func at(row, col int64) seats.Focus { return seats.Focus{Row: row, Col: col} }

func TestBest(t *testing.T) {
	for _, test := range []struct {
		what, picture, groups string
		n                     int
		focus                 seats.Focus
		split                 bool
		want                  string // empty: none
	}{
		{"the middle of a row", "aaaaa", "a", 3, at(100, 300), false, "1-2 1-3 1-4"},
		{"between two: the lower column", "aaaaa", "a", 1, at(100, 350), false, "1-3"},
		{"a hundredth decides", "aaaaa", "a", 1, at(100, 351), false, "1-4"},
		{"between two rows: the lower", "aa\naa", "a", 2, at(150, 150), false, "1-1 1-2"},
		{"row and column count alike: the lower row", " a \na a\n a ", "a", 1, at(200, 200), false, "1-2"},
		{"a farther row may be nearer", "  axx\nxxxxx\naxxxx", "a", 1, at(300, 400), false, "1-3"},
		{"a far row as near as one beside: the lower", "axxx\nxxxx\nxxxx\nxxxa", "a", 1, at(400, 100), false, "1-1"},
		{"an aisle parts", "aa aa aaa", "a", 3, at(100, 100), false, "1-7 1-8 1-9"},
		{"groups are neighbours", "aabb", "ab", 4, seats.Focus{}, false, "1-1 1-2 1-3 1-4"},
		{"what is not selected parts", "aaba", "a", 3, seats.Focus{}, false, ""},
		{"what is sold parts", "aaxa", "a", 3, seats.Focus{}, false, ""},
		{"rows do not go on in the next", "aa\naa", "a", 3, seats.Focus{}, false, ""},
		{"more than there are", "aa\naa", "a", 5, seats.Focus{}, true, ""},
		{"none is never found", "aa", "a", 0, seats.Focus{}, true, ""},
		{"less than none neither", "aa", "a", -1, seats.Focus{}, true, ""},
		{"as many as an int can say", "aa", "a", math.MaxInt, seats.Focus{}, true, ""},
		{"no groups", "aa", "", 1, seats.Focus{}, true, ""},
		{"with split, side by side if they can be", "aa aaaa", "a", 4, at(100, 100), true, "1-4 1-5 1-6 1-7"},
		{"the longest first, then what is near to it", "a a aaa a\n\n   aa", "a", 4, at(100, 100), true, "1-5 1-6 1-7 3-5"},
		{"the whole of a run, then a part", "aaa aaaa", "a", 6, at(100, 100), true, "1-5 1-6 1-7 1-8 1-2 1-3"},
		{"the part that is nearest", "xxxxxx\naaaaaa\n xxxx\n  aaa", "a", 8, at(100, 100), true,
			"2-1 2-2 2-3 2-4 2-5 2-6 4-3 4-4"},
		{"far to the lower right", "aa\naa", "a", 1, at(math.MaxInt64, math.MaxInt64), false, "2-2"},
		{"far to the upper left", "aa\naa", "a", 1, at(math.MinInt64, math.MinInt64), false, "1-1"},
	} {
		t.Run(test.what, func(t *testing.T) {
			h, byName := drawn(test.picture)
			var groups []*seats.Group[string]
			for _, name := range test.groups {
				groups = append(groups, byName[name])
			}
			for range 2 { // the first time has changed nothing
				got, ok := h.Best(nil, groups, test.n, test.focus, test.split)
				if s := strings.Join(got, " "); s != test.want || ok != (test.want != "") {
					t.Fatalf("got %q, %v; want %q", s, ok, test.want)
				}
			}
		})
	}
}

// TestWordBorders has one run at a time, of every length and in every place about the ends of words, and a wide one.
func TestWordBorders(t *testing.T) {
	var h seats.Hall[int32]
	g := h.Group()
	for col := int32(1); col <= 260; col++ {
		h.Add(g, 1, col, col)
	}
	groups := []*seats.Group[int32]{g}
	for _, size := range []int32{1, 2, 31, 63, 64, 65, 66, 127, 128, 129, 130, 192, 193} {
		for _, from := range []int32{1, 2, 60, 62, 63, 64, 65, 66, 67} {
			for col := from; col < from+size; col++ {
				h.SetFree(g, 1, col, true)
			}
			got, ok := h.Best(nil, groups, int(size), seats.Focus{}, false)
			if !ok || got[0] != from || len(got) != int(size) || !slices.IsSorted(got) || got[size-1] != from+size-1 {
				t.Fatalf("%d from column %d: got %v, %v", size, from, got, ok)
			}
			if got, ok := h.Best(nil, groups, int(size)+1, seats.Focus{}, false); ok {
				t.Fatalf("%d from column %d: got one more: %v", size, from, got)
			}
			for col := from; col < from+size; col++ {
				h.SetFree(g, 1, col, false)
			}
		}
	}
	if !h.Fits(groups, 260) || h.Fits(groups, 261) || h.Fits(groups, math.MaxInt) || h.Fits(groups, 0) || h.Fits(nil, 1) {
		t.Fatal("260 fit, of that group")
	}
}

// TestGapOfWords has runs that end with a word and begin with one, and words without seats between them.
func TestGapOfWords(t *testing.T) {
	for _, gap := range []int32{64, 128, 192, 6400} {
		var h seats.Hall[int32]
		g := h.Group()
		for _, col := range []int32{60, 61, 62, 63, 64 + gap, 65 + gap, 66 + gap} {
			h.Add(g, 1, col, col)
			h.SetFree(g, 1, col, true)
		}
		groups := []*seats.Group[int32]{g}
		got, ok := h.Best(nil, groups, 6, seats.Focus{}, true)
		if want := []int32{60, 61, 62, 63, 64 + gap, 65 + gap}; !ok || !slices.Equal(got, want) {
			t.Fatalf("gap of %d: got %v, want %v", gap, got, want)
		}
		for n := 5; n <= 200; n++ {
			if got, ok := h.Best(nil, groups, n, seats.Focus{}, false); ok || h.Fits(groups, n) {
				t.Fatalf("gap of %d: got %d side by side: %v", gap, n, got)
			}
		}
	}
}

func TestAddAndRemove(t *testing.T) {
	var h seats.Hall[string]
	a, b := h.Group(), h.Group()
	both := []*seats.Group[string]{a, b}
	if h.Fits(both, 1) || h.Len() != 0 {
		t.Fatal("there is something in an empty hall")
	}
	last := int32(seats.PlaceMax)
	if !h.Add(a, last, last, "corner") || h.Add(a, last, last, "again") || h.Add(b, last, last, "another group's") || h.Len() != 1 {
		t.Fatal("a place takes one seat")
	}
	if _, ok := h.Best(nil, both, 1, seats.Focus{}, true); ok {
		t.Fatal("a new seat is free")
	}
	h.SetFree(a, last, last, true)
	h.SetFree(a, last, last, true) // it counts once
	if got, ok := h.Best(nil, both, 1, seats.Focus{}, false); !ok || got[0] != "corner" {
		t.Fatalf("got %v, %v", got, ok)
	}
	h.Add(a, 1, 1, "sold")
	if _, ok := h.Best(nil, both, 2, seats.Focus{}, true); ok {
		t.Fatal("one seat is free, and two were found")
	}
	h.Remove(a, last, last)
	if h.Len() != 1 || h.Fits(both[1:], 1) || !h.Add(b, last, last, "new") {
		t.Fatal("it has not gone")
	}
	if got, ok := h.Best(nil, both, 1, seats.Focus{}, true); ok {
		t.Fatalf("a seat that came back is free: %v", got)
	}
	h.SetFree(b, last, last, true)
	if got, ok := h.Best(nil, both, 1, seats.Focus{}, true); !ok || got[0] != "new" {
		t.Fatalf("got %v, %v", got, ok)
	}
	for what, f := range map[string]func(){
		"of another group":  func() { h.SetFree(a, last, last, true) },
		"of another column": func() { h.Remove(b, last, last-1) },
		"of another word":   func() { h.SetFree(b, last, 1, true) },
		"of another row":    func() { h.SetFree(b, 2, 1, true) },
		"of another page":   func() { h.Remove(b, 500, 1) },
		"beyond the last":   func() { h.Remove(b, last+1000, 1) },
	} {
		t.Run(what, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("it does not panic")
				}
			}()
			f()
		})
	}
}

// TestOrderDoesNotMatter fills halls in three orders, and removes and adds: they answer the same.
func TestOrderDoesNotMatter(t *testing.T) {
	const side = 130
	fill := func(step int) (*seats.Hall[int], []*seats.Group[int]) {
		h := new(seats.Hall[int])
		groups := []*seats.Group[int]{h.Group(), h.Group(), h.Group()}
		for i := range side * side {
			k := i * step % (side * side) // each once: step has no divisor in common
			row, col := int32(k/side+1), int32(k%side+1)
			g := groups[k%7%3]
			h.Add(g, row, col, k)
			h.SetFree(g, row, col, k%11%4 != 0)
			if k%5 == 0 {
				h.Remove(g, row, col)
				h.Add(g, row, col, k)
				h.SetFree(g, row, col, k%11%4 != 0)
			}
		}
		return h, groups
	}
	h, groups := fill(1)
	for _, step := range []int{7919, side*side - 1} {
		h2, groups2 := fill(step)
		for n := range 40 {
			focus := at(int64(n*331), int64(n*277))
			a, ok := h.Best(nil, groups[:2], n, focus, true)
			b, ok2 := h2.Best(nil, groups2[:2], n, focus, true)
			if !slices.Equal(a, b) || ok != ok2 {
				t.Fatalf("%d near %v, in another order:\n%v, %v\n%v, %v", n, focus, a, ok, b, ok2)
			}
		}
	}
}

func TestBestAllocatesNothing(t *testing.T) {
	h, groups, _ := hall(50, 100, 2, "chequered")
	to := make([]int32, 0, 10)
	for _, split := range []bool{false, true} {
		if n := testing.AllocsPerRun(20, func() { h.Best(to, groups, 10, at(2500, 5000), split) }); n != 0 {
			t.Errorf("split %v: %v allocations", split, n)
		}
	}
}
