package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func open1(t *testing.T, cfg Config) (*Pebble, content) {
	t.Helper()
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := recoverAll(p)
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReopen has each journal go through some lives.
func TestReopen(t *testing.T) {
	for name, reopen := range map[string]func(j Journal) Journal{
		"memory": func(j Journal) Journal {
			if j == nil {
				return NewMemory()
			}
			return j
		},
		"disk": func() func(j Journal) Journal {
			dir := t.TempDir()
			return func(Journal) Journal {
				p, err := Open(Config{Dir: dir, memTable: 64 << 10})
				must(t, err)
				return p
			}
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(rand.New(rand.NewPCG(1, 2)))
			var j Journal
			for life := range uint64(5) {
				j = reopen(j)
				c, err := recoverAll(j)
				must(t, err)
				if want := m.after(len(m.ops)); !c.equal(want) || c.epoch != life+1 {
					t.Fatalf("life %d: recovered %v, epoch %d, and not %v", life, c, c.epoch, want)
				}
				var tickets []Ticket
				for range 100 {
					tickets = append(tickets, do(j, m.next()))
				}
				for _, ticket := range tickets {
					must(t, ticket.Wait())
				}
				if _, err := j.Recover(Recovery{}); err == nil {
					t.Error("Recover can be called twice")
				}
				must(t, j.Close())
				if err := j.Close(); !errors.Is(err, ErrClosed) {
					t.Errorf("Close, again: %v", err)
				}
				if err := j.Append(m.last+1, nil).Wait(); !errors.Is(err, ErrUnknown) {
					t.Errorf("Append after Close: %v", err)
				}
			}
		})
	}
}

// TestMisuse does what a journal can't keep.
func TestMisuse(t *testing.T) {
	for name, misuse := range map[string]func(p *Pebble) Ticket{
		"seq that does not rise":     func(p *Pebble) Ticket { return p.Append(10, nil) },
		"checkpoint ahead":           func(p *Pebble) Ticket { return p.Checkpoint(Mark{Seq: 11}, nil) },
		"checkpoint between chunks":  func(p *Pebble) Ticket { return p.Checkpoint(Mark{Seq: 9}, nil) },
		"checkpoint before the last": func(p *Pebble) Ticket { return p.Checkpoint(Mark{Seq: 4}, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p, _ := open1(t, Config{Dir: dir, OnFatal: func(error) {}})
			must(t, p.Append(4, []byte("4")).Wait())
			must(t, p.Append(5, []byte("5")).Wait())
			must(t, p.Checkpoint(Mark{Seq: 5}, nil).Wait())
			must(t, p.Append(10, []byte("10")).Wait())
			if err := misuse(p).Wait(); !errors.Is(err, ErrUnknown) {
				t.Errorf("Wait: %v", err)
			}
			if err := p.Append(20, nil).Wait(); !errors.Is(err, ErrUnknown) {
				t.Errorf("Wait, after that: %v", err)
			}
			if err := p.Close(); err == nil {
				t.Error("Close returns nil")
			}
			p, c := open1(t, Config{Dir: dir})
			if c.mark.Seq != 5 || len(c.chunks) != 1 {
				t.Error(c)
			}
			must(t, p.Close())
		})
	}
}

// TestRetention reads what is kept while more is appended, and what is not.
func TestRetention(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		cfg  Config
		gone uint64 // after 10 checkpoints, each 10 chunks of 100 bytes and 1 s after the one before
	}{
		"none":  {Config{}, 100},
		"bytes": {Config{RetainBytes: 3500}, 60},
		"age":   {Config{RetainAge: 2500e6}, 70},
		"both":  {Config{RetainBytes: 3500, RetainAge: 2500e6}, 70},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Dir = t.TempDir()
			p, _ := open1(t, c.cfg)
			chunk := bytes.Repeat([]byte("0123456789"), 10)
			for i := range uint64(10) {
				for k := range uint64(10) {
					must(t, p.Append(i*10+k+1, chunk).Wait())
				}
				must(t, p.Checkpoint(Mark{Seq: i*10 + 10, Clock: int64(i) * 1000}, nil).Wait())
				if i == 4 { // what there was before counts after it, too
					must(t, p.Close())
					p, _ = open1(t, c.cfg)
				}
			}
			for after := range uint64(101) {
				n := after
				err := p.Read(ctx, after, func(seq uint64, b []byte) error {
					if n++; seq != n || !bytes.Equal(b, chunk) {
						t.Errorf("chunk %d, and not %d", seq, n)
					}
					return nil
				})
				if after < c.gone && !errors.Is(err, ErrGone) || after >= c.gone && (err != nil || n != 100) {
					t.Errorf("Read after %d, of which all up to %d are gone: up to %d, %v", after, c.gone, n, err)
				}
			}
			stop := errors.New("stop")
			if c.gone < 100 {
				if err := p.Read(ctx, c.gone, func(uint64, []byte) error { return stop }); !errors.Is(err, stop) {
					t.Errorf("Read returns %v", err)
				}
				ended, end := context.WithCancel(ctx)
				end()
				if err := p.Read(ended, c.gone, func(uint64, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
					t.Errorf("Read returns %v", err)
				}
			}
			must(t, p.Close())
			s, err := Verify(c.cfg.Dir)
			if err != nil || s.Gone != c.gone || s.Last != 100 || s.Chunks != int(100-c.gone) {
				t.Errorf("Verify: %+v, %v", s, err)
			}
		})
	}
}

// TestBusy appends, makes checkpoints, reads and makes backups at the same time.
func TestBusy(t *testing.T) {
	dir := t.TempDir()
	p, _ := open1(t, Config{Dir: filepath.Join(dir, "store"), memTable: 128 << 10, RetainBytes: 100 << 10})
	m := newModel(rand.New(rand.NewPCG(3, 4)))
	var mu sync.Mutex // of m
	var acked atomic.Int64
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			after := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := p.Read(context.Background(), after, func(seq uint64, chunk []byte) error {
					mu.Lock()
					defer mu.Unlock()
					for _, o := range m.ops {
						if o.seq == seq && !bytes.Equal(o.chunk, chunk) {
							return fmt.Errorf("chunk %d is not as it was", seq)
						}
					}
					after = seq
					return nil
				})
				if errors.Is(err, ErrGone) {
					after = p.gone.Load()
				} else if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	busy.Go(func() {
		for i := range 3 {
			least := int(acked.Load())
			to := filepath.Join(dir, fmt.Sprint("backup", i))
			if err := p.Backup(to); err != nil {
				t.Error(err)
				return
			}
			if err := p.Backup(to); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("Backup to where there is one: %v", err)
			}
			if _, err := Verify(to); err != nil {
				t.Errorf("Verify of a backup: %v", err)
			}
			b, err := Open(Config{Dir: to})
			if err != nil {
				t.Error(err)
				return
			}
			c, err := recoverAll(b)
			mu.Lock()
			if err != nil || m.find(c, least, len(m.ops)) < 0 {
				t.Errorf("a backup has %v, %v", c, err)
			}
			mu.Unlock()
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	var flying []Ticket
	for range 1500 {
		mu.Lock()
		o := m.next()
		mu.Unlock()
		if flying = append(flying, do(p, o)); len(flying) == 4 {
			must(t, flying[0].Wait())
			flying = flying[1:]
			acked.Add(1)
		}
	}
	for _, ticket := range flying {
		must(t, ticket.Wait())
	}
	close(stop)
	busy.Wait()
	must(t, m.checkRead(t, p, len(m.ops), len(m.ops)))
	must(t, p.Close())
}

// TestFull has the disk filled up, and then tables for which there is no room.
func TestFull(t *testing.T) {
	fs := vfs.NewMem()
	var full atomic.Bool
	var tried atomic.Int64
	p, _ := open1(t, Config{Dir: "store", ReserveBytes: 1000, memTable: 16 << 10, FS: errorfs.Wrap(fs, errorfs.InjectorFunc(
		func(op errorfs.Op) error {
			if full.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") {
				tried.Add(1)
				return syscall.ENOSPC
			}
			return nil
		}))})
	for _, free := range []uint64{2000, 999, 1000} {
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free})
		p.fullChecked.Store(0) // as a second later
		if p.Full() != (free < 1000) {
			t.Errorf("%d bytes free: %v", free, p.Full())
		}
	}
	full.Store(true)
	seq := uint64(0)
	var flying []Ticket
	for !p.Full() { // the last of these may have to wait for room
		if len(flying) < 300 {
			seq++
			flying = append(flying, p.Append(seq, make([]byte, 1000)))
		}
		runtime.Gosched()
	}
	full.Store(false) // there is room again
	for _, ticket := range flying {
		must(t, ticket.Wait())
	}
	for p.Full() {
		seq++
		must(t, p.Append(seq, make([]byte, 1000)).Wait())
	}
	full.Store(true) // and none for what Close would write
	must(t, p.Close())
	full.Store(false)
	p, c := open1(t, Config{Dir: "store", FS: fs})
	if n := len(c.chunks); uint64(n) != seq {
		t.Errorf("%d chunks, and not %d", n, seq)
	}
	must(t, p.Close())
}

// A log grows ahead of what is written, by a quarter of a memtable each time; where there is no room for that it is as long as
// what is written. What was durable is there after a crash.
func TestLogGrows(t *testing.T) {
	const step = 16 << 10
	for _, room := range []bool{true, false} {
		fs := vfs.NewCrashableMem()
		var grown atomic.Int64
		p, _ := open1(t, Config{Dir: "store", memTable: 4 * step, FS: errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind != errorfs.OpFileWriteAt || !strings.HasSuffix(op.Path, ".log") {
				return nil
			}
			grown.Add(1)
			if room {
				return nil
			}
			return syscall.ENOSPC
		}))})
		const n, size = 40, 1000
		for seq := range uint64(n) {
			must(t, p.Append(seq+1, make([]byte, size)).Wait())
		}
		var length int64
		for name, b := range filesOf(t, fs, "store") {
			if strings.HasSuffix(name, ".log") {
				length = max(length, int64(len(b)))
			}
		}
		if least := int64(n * size); length < least || length > least+step || length%step == 0 != room {
			t.Errorf("with room %v: %d bytes in a log of %d", room, least, length)
		}
		if times := grown.Load(); room && times != length/step || !room && times != 1 {
			t.Errorf("with room %v: it was tried %d times to make a log of %d bytes longer", room, times, length)
		}
		left, c := open1(t, Config{Dir: "store", FS: fs.CrashClone(vfs.CrashCloneCfg{})})
		if len(c.chunks) != n {
			t.Errorf("with room %v: %d chunks, and not %d", room, len(c.chunks), n)
		}
		must(t, left.Close())
		must(t, p.Close())
	}
}

// A backup that is made while the journal is written ends with a batch that is whole, however long it takes to copy the log.
func TestBackupOfBusyLog(t *testing.T) {
	mem := vfs.NewMem()
	slow := &slowCopy{FS: mem}
	p, _ := open1(t, Config{Dir: "store", FS: slow})
	seq := uint64(0)
	add := func() {
		for range 5 {
			seq++
			must(t, p.Append(seq, bytes.Repeat([]byte{byte(seq)}, 6000)).Wait())
		}
	}
	add()
	for n := range 30 {
		least := seq
		slow.busy = add
		dir := fmt.Sprint("backup-", n)
		must(t, p.Backup(dir))
		slow.busy = nil
		backup, err := Open(Config{Dir: dir, FS: mem})
		if err != nil {
			t.Fatalf("backup %d, of %d to %d chunks: %v", n, least, seq, err)
		}
		c, err := recoverAll(backup)
		if got := uint64(len(c.chunks)); err != nil || got < least || got > seq {
			t.Fatalf("backup %d, of %d to %d chunks: %d, %v", n, least, seq, got, err)
		}
		must(t, backup.Close())
	}
	must(t, p.Close())
}

// slowCopy is a file system on which something goes on before each piece of a log is written to a backup.
type slowCopy struct {
	vfs.FS
	busy func() // nil: nothing
}

func (fs *slowCopy) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	if err != nil || !strings.HasPrefix(name, "backup") || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &slowFile{f, fs}, nil
}

type slowFile struct {
	vfs.File
	fs *slowCopy
}

func (f *slowFile) Write(b []byte) (int, error) {
	if busy := f.fs.busy; busy != nil {
		busy()
	}
	return f.File.Write(b)
}

// TestGolden opens a store that was made by the first release of each format.
func TestGolden(t *testing.T) {
	from := filepath.Join("testdata", "format1")
	if os.Getenv("JOURNAL_GOLDEN") != "" { // makes it, for a new format
		os.RemoveAll(from)
		p, _ := open1(t, Config{Dir: from, RetainBytes: 1 << 20})
		for seq := uint64(2); seq <= 20; seq += 2 {
			must(t, p.Append(seq, fmt.Append(nil, "chunk ", seq)).Wait())
		}
		must(t, p.Checkpoint(Mark{10, 12345, 6, 789}, []Record{{[]byte("a"), []byte("1")}, {[]byte("b"), []byte{}}}).Wait())
		must(t, p.Append(30, []byte("chunk 30")).Wait())
		must(t, p.Backup(from+".copy")) // with a log, which Close leaves empty
		must(t, p.Close())
		os.RemoveAll(from)
		must(t, os.Rename(from+".copy", from))
	}
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(from)))
	p, c := open1(t, Config{Dir: dir, RetainBytes: 1 << 20})
	var chunks []string
	must(t, p.Read(context.Background(), 0, func(seq uint64, chunk []byte) error {
		chunks = append(chunks, string(chunk))
		return nil
	}))
	if c.epoch != 2 || c.mark != (Mark{10, 12345, 6, 789}) || len(c.records) != 2 || c.records["a"] != "1" ||
		len(c.chunks) != 6 || len(chunks) != 11 || chunks[10] != "chunk 30" {
		t.Errorf("%+v, %q", c, chunks)
	}
	must(t, p.Close())
}

// TestNewer refuses a store of a newer release.
func TestNewer(t *testing.T) {
	fs := vfs.NewMem()
	p, _ := open1(t, Config{Dir: "store", FS: fs})
	must(t, p.Close())
	db, err := pebble.Open("store", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
	must(t, err)
	must(t, db.Close())
	if _, err := Open(Config{Dir: "store", FS: fs}); err == nil || !strings.Contains(err.Error(), "newer release") {
		t.Error(err)
	}
}

// TestReadOnly looks into a store, and changes no file.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := Verify(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Verify of nothing: %v", err)
	}
	must(t, os.MkdirAll(filepath.Join(dir, "000001.log.d"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "kassad.log"), nil, 0o600))
	if _, err := Verify(dir); !errors.Is(err, ErrNoStore) {
		t.Errorf("Verify of a directory: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("there is %v now, %v", entries, err)
	}
	dir = filepath.Join(dir, "store")
	p, _ := open1(t, Config{Dir: dir})
	must(t, p.Append(7, []byte("seven")).Wait())
	must(t, p.Close())
	before := filesOf(t, vfs.Default, dir)
	r, err := OpenReadOnly(Config{Dir: dir})
	must(t, err)
	c, err := recoverAll(r)
	if err != nil || c.epoch != 1 || len(c.chunks) != 1 || string(c.chunks[0].chunk) != "seven" {
		t.Errorf("%+v, %v", c, err)
	}
	if err := r.Append(8, nil).Wait(); !errors.Is(err, ErrUnknown) {
		t.Errorf("Append: %v", err)
	}
	if err := r.Backup(filepath.Join(dir, "backup")); err == nil {
		t.Error("Backup returns nil")
	}
	must(t, r.Close())
	after := filesOf(t, vfs.Default, dir)
	if len(before) != len(after) {
		t.Errorf("%q, and then %q", before.names(), after.names())
	}
	for name, b := range before {
		if !bytes.Equal(b, after[name]) {
			t.Errorf("%s is different", name)
		}
	}
}
