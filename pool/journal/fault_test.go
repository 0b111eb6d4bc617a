package journal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// TestFaults lets each file operation of some lives of a store fail, one after the other, and from there on each, or none.
// What fails for good leaves goroutines of Pebble behind, so this is for processes of their own.
func TestFaults(t *testing.T) {
	if seed := os.Getenv("JOURNAL_SEED"); os.Getenv(child) == "faults" {
		faults(t, seed)
		return
	}
	var errs atomic.Int64
	proof.Run(t, "seeds of I/O errors", 20, func(t *testing.T, rng *rand.Rand) int {
		children := min(5, proof.Size(20)) // as they do wait at times
		type outcome struct {
			out []byte
			err error
		}
		outcomes := make(chan outcome, children)
		for range children {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFaults$", "-test.v", "-test.timeout=24h")
			cmd.Env = append(os.Environ(), child+"=faults", fmt.Sprintf("JOURNAL_SEED=%d", rng.Uint64()))
			go func() {
				out, err := cmd.CombinedOutput()
				outcomes <- outcome{out, err}
			}()
		}
		for range children {
			o := <-outcomes
			if o.err != nil {
				t.Errorf("%v\n%s", o.err, o.out)
			}
			_, counts, _ := strings.Cut(string(o.out), "faults: ")
			counts, _, _ = strings.Cut(counts, "\n")
			var n int64
			fmt.Sscanf(counts, "%d", &n)
			errs.Add(n)
			t.Log(counts)
		}
		return children
	})
	t.Cleanup(func() { t.Logf("proof: %d I/O errors", errs.Load()) })
}

// A fault is a file system on which operations fail.
type fault struct {
	vfs.FS
	short atomic.Bool // the next write is to be short
}

func (f *fault) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return &faultFile{file, f}, err
}

func (f *fault) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(from, to, c)
	return &faultFile{file, f}, err
}

type faultFile struct {
	vfs.File
	f *fault
}

func (f *faultFile) Write(b []byte) (int, error) {
	if f.f.short.CompareAndSwap(true, false) {
		return f.File.Write(b[:len(b)/2])
	}
	return f.File.Write(b)
}

// soon waits for what has to come within a second, and some for a busy machine.
func soon[T any](t *testing.T, what string, fn func() T) T {
	t.Helper()
	done := make(chan T, 1)
	go func() { done <- fn() }()
	select {
	case v := <-done:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: still waiting after 10 s", what)
		panic("not reached")
	}
}

// A scene is a store at the beginning of what is to fail, and what was done to it.
type scene struct {
	seed   uint64
	fs     *vfs.MemFS
	m      *model
	retain int64
	plain  bool
	lives  int
}

// model returns what is in the scene's store, for ops that are the same each time.
func (s *scene) model() *model {
	m := newModel(rand.New(rand.NewPCG(s.seed, 1)))
	m.chunk = s.m.chunk
	m.ops = slices.Clone(s.m.ops)
	m.cut(len(m.ops))
	return m
}

func newScene(t *testing.T, seed uint64) *scene {
	rng := rand.New(rand.NewPCG(seed, 0))
	s := &scene{seed: seed, m: newModel(rng), retain: []int64{0, 5 << 10}[rng.IntN(2)], plain: rng.IntN(4) == 0, lives: 1}
	s.m.chunk = 600
	fs := vfs.NewCrashableMem()
	p, _ := open1(t, s.config(fs))
	for range 30 {
		must(t, do(p, s.m.next()).Wait())
	}
	asItIs := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng}
	s.fs = fs.CrashClone(asItIs) // with a log to be read
	must(t, p.Close())
	if rng.IntN(2) == 0 {
		s.fs = fs.CrashClone(asItIs)
	}
	if rng.IntN(8) == 0 {
		s.lives = 2
	}
	return s
}

func (s *scene) config(fs vfs.FS) Config {
	return Config{Dir: "store", FS: fs, memTable: 8 << 10, RetainBytes: s.retain, plain: s.plain}
}

// faults is the child: it lets each operation fail, in each way that it can.
func faults(t *testing.T, seedText string) {
	var seed uint64
	if _, err := fmt.Sscanf(seedText, "%d", &seed); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s := newScene(t, seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	var ops []errorfs.OpKind
	counts := map[string]int{}
	s.run(t, rng, &failure{seen: func(op errorfs.Op) { ops = append(ops, op.Kind) }}, counts)
	n, worst := 0, time.Duration(0) // of a Wait
	for i, kind := range ops {
		ways := []error{syscall.EIO, syscall.ENOSPC}
		switch {
		case kind.ReadOrWrite() == errorfs.OpIsRead:
			ways = ways[:1]
		case kind == errorfs.OpFileWrite:
			ways = append(ways, io.ErrShortWrite)
		}
		for _, err := range ways {
			worst = max(worst, s.run(t, rng, &failure{at: int64(i + 1), err: err, forGood: rng.IntN(2) == 0}, counts))
			n++
		}
	}
	t.Logf("faults: %d errors at %d operations in %v, the longest Wait took %v; %v", n, len(ops), time.Since(start), worst, counts)
}

// A failure is what is to fail.
type failure struct {
	at      int64 // the number of the operation; 0: none
	err     error
	forGood bool             // and each one after that
	seen    func(errorfs.Op) // each operation is told to it
}

// run has a store go through its lives with a failure, and through one without. It returns how long the longest Wait took.
func (s *scene) run(t *testing.T, rng *rand.Rand, fail *failure, counts map[string]int) (worst time.Duration) {
	m := s.model()
	fs := s.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
	var count, failed atomic.Int64
	var over atomic.Bool
	var where atomic.Value
	var mu sync.Mutex // of fail.seen
	base := &fault{FS: fs}
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if over.Load() {
			select {} // what Pebble left behind would try again, and again
		}
		if fail.seen != nil {
			mu.Lock()
			defer mu.Unlock()
			fail.seen(op)
		}
		if fail.at == 0 || count.Add(1) < fail.at || failed.Load() > 0 && !fail.forGood {
			return nil
		}
		reads := op.Kind.ReadOrWrite() == errorfs.OpIsRead
		switch {
		case fail.err == io.ErrShortWrite && op.Kind != errorfs.OpFileWrite, fail.err == syscall.ENOSPC && reads:
			return nil
		}
		failed.Add(1)
		where.CompareAndSwap(nil, op)
		if fail.err == io.ErrShortWrite {
			base.short.Store(true)
			return nil
		}
		return fail.err
	})
	var fatal atomic.Int64
	told := make(chan error, 10)
	cfg := s.config(errorfs.Wrap(base, inject))
	cfg.OnFatal = func(err error) {
		fatal.Add(1)
		told <- err
	}
	acked, went := len(m.ops), false
	var broken error // what a ticket has told
	for life := range s.lives {
		type opened struct {
			p   *Pebble
			err error
		}
		o := soon(t, "Open", func() opened {
			p, err := Open(cfg)
			return opened{p, err}
		})
		if o.err != nil {
			if failed.Load() == 0 {
				t.Fatalf("Open: %v", o.err)
			}
			counts["refused by Open"]++
			break
		}
		p := o.p
		err := soon(t, "Recover", func() error {
			_, err := recoverAll(p)
			return err
		})
		if err != nil {
			if failed.Load() == 0 {
				t.Fatalf("Recover: %v", err)
			}
			counts["refused by Recover"]++
			soon(t, "Close", p.Close)
			break
		}
		var flying []Ticket
		wait := func() {
			ticket := flying[0]
			flying = flying[1:]
			start := time.Now()
			err := soon(t, "Wait", ticket.Wait)
			worst = max(worst, time.Since(start))
			switch {
			case err == nil && broken != nil:
				t.Fatal("a ticket is durable after one that failed")
			case err == nil:
				acked++
			case !errors.Is(err, ErrUnknown) || failed.Load() == 0:
				t.Fatalf("Wait: %v", err)
			default:
				broken = err
			}
		}
		for range 15 {
			next := m.next()
			flying = append(flying, soon(t, "Append", func() Ticket { return do(p, next) }))
			for len(flying) > 3 {
				wait()
			}
			if rng.IntN(10) == 0 {
				soon(t, "Full", p.Full)
				soon(t, "Read", func() error { return m.checkRead(t, p, acked, len(m.ops)) })
				if t.Failed() {
					t.Fatalf("%v, %v", where.Load(), p.guard.err())
				}
			}
		}
		for len(flying) > 0 {
			wait()
		}
		err = soon(t, "Close", p.Close)
		if err != nil && failed.Load() == 0 {
			t.Fatalf("Close: %v", err)
		}
		if broken != nil {
			soon(t, "OnFatal", func() error { return <-told })
			if err == nil {
				t.Fatal("Close returns nil after a failure")
			}
			if !strings.Contains(broken.Error(), "input/output") && !strings.Contains(broken.Error(), "no space") &&
				!strings.Contains(broken.Error(), "short") {
				t.Fatalf("%v: %v", where.Load(), broken)
			}
			counts["broken"]++
			break
		}
		if err != nil {
			counts["told by Close"]++
			break
		}
		went = life+1 == s.lives
	}
	if fatal.Load() > 1 || fatal.Load() == 1 && failed.Load() == 0 {
		t.Fatalf("OnFatal was called %d times", fatal.Load())
	}
	if broken == nil && failed.Load() == 0 {
		counts["nothing failed"]++
	}
	if broken == nil && failed.Load() > 0 && went {
		counts["went on"]++
	}
	if fail.seen == nil {
		over.Store(true)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rand.New(rand.NewPCG(rng.Uint64(), 0)),
	})
	p, err := Open(Config{Dir: "store", FS: crashed, memTable: 8 << 10})
	if err != nil {
		t.Fatalf("after %v at operation %d, %+v: %v", fail.err, fail.at, where.Load(), err)
	}
	c, err := recoverAll(p)
	if err != nil {
		t.Fatalf("after %v at operation %d, %+v: %v", fail.err, fail.at, where.Load(), err)
	}
	if m.find(c, acked, len(m.ops)) < 0 {
		t.Fatalf("after %v at operation %d, %+v: recovered %v, which is not what was after any of %d to %d ops",
			fail.err, fail.at, where.Load(), c, acked, len(m.ops))
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return worst
}
