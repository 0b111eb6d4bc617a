package seats_test

import (
	"testing"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// TestMutants changes a line of the package at a time: the test that is named must find each of these errors.
func TestMutants(t *testing.T) {
	proof.Mutants(t, []struct{ What, File, From, To, Check string }{
		{"runs end with their word", "best.go", "shifted |= words[j+1] << (64 - near)", "shifted |= 0", "^TestModel$"},
		{"a run goes on across a gap of words", "best.go", "i > 0 && r.words[i-1].n+1 != w.n", "i < 0", "^TestGapOfWords$"},
		{"the first run found ends the search", "best.go", "across > bestDistance", "across >= 0", "^TestModel$"},
		{"of two as near, the row looked at first", "best.go", "across > bestDistance", "across >= bestDistance", "^TestBest$"},
		{"of two as near, the row looked at last", "best.go", "distance == bestDistance && n < best.row", "distance == bestDistance", "^TestBest$"},
		{"of two as near, the higher column", "best.go", "int64(100*after)-point < point-", "int64(100*after)-point <= point-", "^TestModel$"},
		{"the focus is for the first of the seats", "best.go", "focus.Col - int64(50*(size-1))", "focus.Col", "^TestModel$"},
		{"the longest is not the longest", "best.go", "			step *= 2\n", "			step = 0\n", "^TestModel$"},
		{"a longer run must be nearer", "best.go", "!ok || size > best.size || distance", "!ok || distance", "^TestModel$"},
		{"seats are taken twice", "best.go", "x.taken |= upTo(n-1) << (col & 63)", "x.taken |= 0", "^TestModel$"},
		{"seats stay taken", "best.go", "	h.giveBack()\n", "", "^TestModel$"},
		{"groups stay selected", "best.go", "	deselect(groups)\n	return to, ok", "	return to, ok", "^TestModel$"},
		{"the next is near to the last alone", "best.go", "sum.Row += size", "sum.Row = int64(n-left) * 100 * int64(w.row) + 0 * size", "^TestModel$"},
		{"what is sold fits nothing", "best.go", "have |= p.there", "have |= p.free", "^TestModel$"},
		{"the wrong seat of a word", "hall.go", "w.seats = slices.Insert(w.seats, bits.OnesCount64(w.there&(bit-1)), v)", "w.seats = append(w.seats, v)", "^TestOrderDoesNotMatter$"},
		{"free twice counts twice", "hall.go", "if p.free&bit != 0 == free {", "if !free && p.free&bit == 0 {", "^TestAddAndRemove$"},
		{"a row with free seats is not looked at", "hall.go", "	if r.free == 0 {", "	if r.free <= 1 {", "^TestModel$"},
		{"what is removed stays free", "hall.go", "	h.SetFree(g, row, col, false)\n", "", "^TestModel$"},
	}, "-rapid.checks=300", "-rapid.shrinktime=0s")
}
