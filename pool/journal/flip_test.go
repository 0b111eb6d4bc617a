package journal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// files are what is in a directory.
type files map[string][]byte

func filesOf(t *testing.T, fs vfs.FS, dir string) files {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := files{}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return all
}

func (all files) names() []string {
	var names []string
	for name := range all {
		if name != "LOCK" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// with returns a file system with these files in dir, of which that one is different, or gone when it is nil.
func (all files) with(t *testing.T, dir, name string, other []byte) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for n, b := range all {
		if n == name {
			if b = other; b == nil {
				continue
			}
		}
		f, err := fs.Create(fs.PathJoin(dir, n), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(slices.Clone(b)) // MemFS keeps it
		f.Close()
	}
	return fs
}

// A relic is a store that was left behind in some way, and the ops there have been.
type relic struct {
	name  string
	files files
	m     *model
	acked int
	alone bool // there was one ticket at a time
}

// relics makes stores whose last ops are in tables, and those whose last are in logs.
func relics(t *testing.T, rng *rand.Rand) []relic {
	t.Helper()
	var all []relic
	for _, r := range []relic{
		{name: "closed"}, {name: "killed, one in flight", alone: true}, {name: "killed"}, {name: "without power"},
		{name: "killed at once", alone: true},
	} {
		r.m = newModel(rng)
		r.m.chunk = 300 // Pebble looks for the bit that was flipped, which takes the square of that
		fs := vfs.NewCrashableMem()
		for life := range 3 {
			p, err := Open(Config{Dir: "store", FS: fs, memTable: 16 << 10, RetainBytes: 40 << 10})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := recoverAll(p); err != nil {
				t.Fatal(err)
			}
			var flying []Ticket
			n := 60
			if life == 2 && r.name == "killed at once" {
				n = 6 // all in one block of one log
			}
			for range n {
				flying = append(flying, do(p, r.m.next()))
				if r.alone || len(flying) == 4 {
					if err := flying[0].Wait(); err != nil {
						t.Fatal(err)
					}
					flying = flying[1:]
				}
			}
			for _, ticket := range flying {
				if err := ticket.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			r.acked = len(r.m.ops)
			if life == 2 && strings.HasPrefix(r.name, "killed") {
				r.files = filesOf(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng}), "store")
			}
			if life == 2 && r.name == "without power" {
				r.files = filesOf(t, fs.CrashClone(vfs.CrashCloneCfg{}), "store")
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if r.files == nil {
			r.files = filesOf(t, fs, "store")
		}
		all = append(all, r)
	}
	return all
}

// An outcome is what has become of a relic that was changed.
type outcome struct {
	refused error
	found   bool // by Verify
	lost    int  // of the acknowledged ops
}

// open looks into a relic that was changed, and ends the test when that yields what has never been there.
func (r relic) open(t *testing.T, what string, fs vfs.FS, verifyToo bool) (o outcome) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("%s, %s: panics: %v", r.name, what, p)
		}
	}()
	if verifyToo {
		_, err := verify(Config{Dir: "store", FS: fs})
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s, %s: Verify: %v", r.name, what, err)
		}
		defer func() {
			if err == nil && o.refused != nil {
				t.Errorf("%s, %s: Verify finds nothing, and yet: %v", r.name, what, o.refused)
			}
			o.found = err != nil
		}()
	}
	p, err := Open(Config{Dir: "store", FS: fs, memTable: 16 << 10, RetainBytes: 40 << 10})
	if err != nil {
		return outcome{refused: err}
	}
	defer p.Close()
	c, err := recoverAll(p)
	if err != nil {
		return outcome{refused: err}
	}
	k := r.m.find(c, 0, len(r.m.ops))
	if k < 0 {
		t.Fatalf("%s, %s: recovered %v, which has never been", r.name, what, c)
	}
	if err := r.m.checkRead(t, p, k, k); err != nil {
		return outcome{refused: err}
	}
	return outcome{lost: r.acked - k}
}

// newest tells the name of the log that was written last.
func (all files) newest() string {
	last := ""
	for name := range all {
		if strings.HasSuffix(name, ".log") && name > last {
			last = name
		}
	}
	return last
}

type tally struct{ whole, found, refused, lostTail int }

// tallies are by kind of file, and of several goroutines.
type tallies struct {
	mu  sync.Mutex
	all map[string]*tally
}

func (o outcome) count(t *testing.T, to *tallies, name string) {
	t.Helper()
	to.mu.Lock()
	defer to.mu.Unlock()
	into := to.all
	kind := name
	for _, k := range []string{"MANIFEST", "OPTIONS", "marker"} {
		if strings.HasPrefix(name, k) {
			kind = k
		}
	}
	for _, k := range []string{".log", ".sst"} {
		if strings.HasSuffix(name, k) {
			kind = k
		}
	}
	if into[kind] == nil {
		into[kind] = &tally{}
	}
	switch n := into[kind]; {
	case o.refused != nil:
		n.refused++
		if !errors.Is(o.refused, ErrDamaged) {
			t.Errorf("%s: %v", name, o.refused)
		}
	case o.lost > 0:
		n.lostTail++
	case o.found:
		n.found++
	default:
		n.whole++
	}
}

// tallied returns what counts, and logs that at the end.
func tallied(t *testing.T, what string) *tallies {
	to := &tallies{all: map[string]*tally{}}
	t.Cleanup(func() { report(t, what, to.all) })
	return to
}

func report(t *testing.T, what string, tallies map[string]*tally) {
	for kind, n := range tallies {
		t.Logf("%s: %-8s %5d whole, %5d more but for what Verify finds, %5d refused, %5d without the last", what, kind, n.whole, n.found, n.refused, n.lostTail)
	}
}

// TestFlip flips one bit anywhere in the files of a store.
func TestFlip(t *testing.T) {
	tallies := tallied(t, "flipped")
	proof.Run(t, "bit flips", 500, func(t *testing.T, rng *rand.Rand) (flips int) {
		for _, r := range relics(t, rng) {
			if o := r.open(t, "as it is", r.files.with(t, "store", "", nil), true); o.refused != nil || o.lost != 0 {
				t.Fatalf("%s, as it is: %+v", r.name, o)
			}
			for _, name := range r.files.names() {
				was := r.files[name]
				if len(was) == 0 {
					continue
				}
				for range 8 {
					at := rng.IntN(len(was))
					if rng.IntN(2) == 0 {
						at = min(at, rng.IntN(1+len(was)/10))
					}
					bit := rng.IntN(8)
					flipped := slices.Clone(was)
					flipped[at] ^= 1 << bit
					what := fmt.Sprintf("bit %d of byte %d of %s of %d", bit, at, name, len(was))
					o := r.open(t, what, r.files.with(t, "store", name, flipped), rng.IntN(2) == 0)
					o.count(t, tallies, name)
					flips++
					most := 0 // what may be lost: what was not known to be durable when the last batch was made
					if r.name != "closed" && name == r.files.newest() {
						if most = 1; !r.alone {
							most = 8
						}
					}
					if o.lost > most {
						t.Errorf("%s, %s: the last %d of %d acknowledged ops are lost, and it does not show",
							r.name, what, o.lost, r.acked)
					}
				}
			}
		}
		return flips
	})
}

// TestCut truncates and removes files of a store.
func TestCut(t *testing.T) {
	tallies := tallied(t, "cut")
	proof.Run(t, "files cut or removed", 200, func(t *testing.T, rng *rand.Rand) (cuts int) {
		for _, r := range relics(t, rng) {
			for _, name := range r.files.names() {
				was := r.files[name]
				for i := range 4 {
					what, cut := name+" is gone", []byte(nil)
					if i > 0 {
						n := rng.IntN(len(was) + 1)
						what, cut = fmt.Sprintf("%s has %d bytes of %d", name, n, len(was)), was[:n:n]
						if cut == nil {
							cut = []byte{}
						}
					}
					o := r.open(t, what, r.files.with(t, "store", name, cut), rng.IntN(4) == 0)
					o.count(t, tallies, name)
					cuts++
					if o.lost > 0 && (name != r.files.newest() || r.name == "closed") {
						t.Errorf("%s, %s: the last %d of %d acknowledged ops are lost, and it does not show",
							r.name, what, o.lost, r.acked)
					}
				}
			}
		}
		return cuts
	})
}

func isLocked(t *testing.T, err error) bool {
	t.Helper()
	return errors.Is(err, ErrLocked)
}
