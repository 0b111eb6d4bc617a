package journal

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestFaults lets a random file operation fail, and from there on each, or none. What fails for good leaves goroutines
// of Pebble behind, so this is for a process of its own.
func TestFaults(t *testing.T) {
	if os.Getenv(child) == "faults" {
		faults(t)
		return
	}
	args := []string{"-test.run=^TestFaults$", "-test.v", "-test.timeout=24h"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), child+"=faults")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
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

func faults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	counts := map[string]int{}
	var worst time.Duration // of a Wait
	for next := more(t, 80); next(); {
		fs := vfs.NewCrashableMem()
		m := newModel(rng)
		m.chunk = 600
		var count, at, failed atomic.Int64
		kind := []error{syscall.EIO, syscall.ENOSPC, io.ErrShortWrite}[rng.IntN(3)]
		forGood := rng.IntN(2) == 0
		var where atomic.Value
		base := &fault{FS: fs}
		inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if at.Load() == 0 || count.Add(1) < at.Load() || failed.Load() > 0 && !forGood {
				return nil
			}
			reads := op.Kind.ReadOrWrite() == errorfs.OpIsRead
			switch {
			case kind == io.ErrShortWrite && op.Kind != errorfs.OpFileWrite, kind == syscall.ENOSPC && reads:
				return nil
			}
			failed.Add(1)
			where.CompareAndSwap(nil, op)
			if kind == io.ErrShortWrite {
				base.short.Store(true)
				return nil
			}
			return kind
		})
		var fatal atomic.Int64
		told := make(chan error, 10)
		cfg := Config{
			Dir: "store", FS: errorfs.Wrap(base, inject), memTable: 16 << 10, RetainBytes: []int64{0, 20 << 10}[rng.IntN(2)],
			OnFatal: func(err error) {
				fatal.Add(1)
				told <- err
			},
			plain: rng.IntN(4) == 0,
		}
		acked, lives, went := 0, 0, false
		var broken error // what a ticket has told
		for lives = range 3 {
			if lives == 1 {
				at.Store(1 + rng.Int64N(400))
			}
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
			for range 60 {
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
			went = lives == 2
		}
		if fatal.Load() > 1 || fatal.Load() == 1 && broken == nil && lives == 0 {
			t.Fatalf("OnFatal was called %d times", fatal.Load())
		}
		if broken == nil && failed.Load() == 0 {
			counts["nothing failed"]++
		}
		if broken == nil && failed.Load() > 0 && went {
			counts["went on"]++
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rand.New(rand.NewPCG(rng.Uint64(), 0)),
		})
		p, err := Open(Config{Dir: "store", FS: crashed, memTable: 16 << 10})
		if err != nil {
			t.Fatalf("after %v at %+v: %v", kind, where.Load(), err)
		}
		c, err := recoverAll(p)
		if err != nil {
			t.Fatalf("after %v at %+v: %v", kind, where.Load(), err)
		}
		if m.find(c, acked, len(m.ops)) < 0 {
			t.Fatalf("after %v at %+v: recovered %v, which is not what was after any of %d to %d ops",
				kind, where.Load(), c, acked, len(m.ops))
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(counts, "the longest Wait took", worst)
}
