package journal

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A guard is the file system as Pebble sees it. It ends a store's writing at the first write that fails, and that
// goroutine never comes back: Pebble would panic with a mutex in a wrong state when a log can't be closed, and would use
// again a directory whose fsync has failed. Only a table for which there is no room is left to Pebble, which tries again.
type guard struct {
	vfs.FS
	dir     string        // the guarded one: what is written to another, such as a backup, may fail
	fatal   chan struct{} // closed when all writing has ended
	cause   error         // of that, set before
	once    sync.Once
	onFatal func(error)
	frozen  chan struct{} // closed when a goroutine of Pebble is kept: it can't be closed any more
	stuck   sync.Once
	opened  atomic.Bool   // until then, what has no room ends it all: Pebble's Open would try forever
	starved atomic.Bool   // a table had no room, and none was written since
	noRoom  chan struct{} // holds one when a table had no room
	closing chan struct{} // closed when Pebble is to end rather than to wait for room
	hurry   sync.Once     // closes it
	zeros   []byte        // what a log grows by at most

	mu   sync.Mutex
	logs map[string]*guardedFile // those that are being written
}

// newGuard returns the guard of a store whose logs grow by up to so many bytes at a time.
func newGuard(fs vfs.FS, dir string, growMax uint64, onFatal func(error)) *guard {
	return &guard{
		FS: fs, dir: fs.PathDir(fs.PathJoin(dir, "x")), onFatal: onFatal, zeros: make([]byte, max(growMax, 1)),
		logs:  make(map[string]*guardedFile),
		fatal: make(chan struct{}), frozen: make(chan struct{}), noRoom: make(chan struct{}, 1), closing: make(chan struct{}),
	}
}

// fail ends all writing, for good.
func (g *guard) fail(err error) {
	g.once.Do(func() {
		g.cause = err
		close(g.fatal)
		go g.onFatal(err) // not here: Pebble may hold its mutex
	})
}

// freeze ends all writing, and keeps the goroutine that calls it for as long as the process lives.
func (g *guard) freeze(err error) {
	g.fail(err)
	g.stuck.Do(func() { close(g.frozen) })
	select {}
}

// err returns why writing has ended, or nil.
func (g *guard) err() error {
	select {
	case <-g.fatal:
		return g.cause
	default:
		return nil
	}
}

var errNoRoom = errors.New("there is no room for a table")

// patience is how long Pebble has to come back once writing has ended. It may never, when it tries again and again.
const patience = time.Second

// wait waits until done is closed. It gives up, and returns false, when Pebble is stuck.
func (g *guard) wait(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-g.fatal:
	}
	select {
	case <-done:
		return true
	case <-g.frozen:
	case <-time.After(patience):
		g.stuck.Do(func() { close(g.frozen) })
	}
	return false
}

// finish waits until done is closed, as wait does, and gives up when there is no room for a table, too.
func (g *guard) finish(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-g.fatal:
		return g.wait(done)
	case <-g.noRoom:
	}
	g.end()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		g.fail(errNoRoom)
		return g.wait(done)
	}
}

func (g *guard) end() { g.hurry.Do(func() { close(g.closing) }) }

// run calls fn, and gives up on it when Pebble is stuck. A panic is one of Pebble's ways to tell of files it can't read.
func (g *guard) run(fn func() error) error { return g.runUntil(g.wait, fn) }

func (g *guard) runUntil(wait func(done <-chan struct{}) bool, fn func() error) error {
	done := make(chan struct{})
	var outcome error
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				outcome = diagnosed(errPanic{r})
			}
		}()
		outcome = fn()
	}()
	if !wait(done) {
		return g.cause
	}
	return outcome
}

// isStuck tells whether Pebble can't be closed.
func (g *guard) isStuck() bool {
	select {
	case <-g.frozen:
		return true
	default:
		return false
	}
}

// read is called with the outcome of each read. While Pebble opens the store one that fails ends it all: its Open would
// take apart what goroutines it has started still use, and these would panic.
func (g *guard) read(err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case g.opened.Load():
		g.pause()
	case !errors.Is(err, fs.ErrNotExist):
		g.freeze(err)
	}
	return err
}

// check is called with the outcome of each write.
func (g *guard) check(path string, err error) error {
	if err == nil || path != g.dir && g.PathDir(path) != g.dir {
		return err
	}
	if strings.HasSuffix(path, ".sst") && vfs.IsNoSpaceError(err) && g.opened.Load() {
		g.starved.Store(true)
		select {
		case g.noRoom <- struct{}{}:
		default:
		}
		g.pause()
		return err
	}
	g.freeze(err)
	return err
}

// pause is for what Pebble would try again at once, and forever.
func (g *guard) pause() {
	select {
	case <-time.After(200 * time.Millisecond):
	case <-g.closing:
	}
}

func (g *guard) Unwrap() vfs.FS { return g.FS }

func (g *guard) file(path string, f vfs.File, err error) (vfs.File, error) {
	if err = g.check(path, err); err != nil {
		return nil, err
	}
	return &guardedFile{File: f, g: g, path: path, end: math.MaxInt64}, nil
}

func (g *guard) Create(path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(g.PathBase(path), "marker.") { // it must not outlive the new file that it names
		if err := g.check(path, syncDir(g.FS, g.PathDir(path))); err != nil {
			return nil, err
		}
	}
	f, err := g.FS.Create(path, category)
	return g.log(path, f, err)
}

func (g *guard) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.ReuseForWrite(from, to, category)
	return g.log(to, f, err)
}

// log is file for one that may be a log, which then grows ahead of what is written to it.
func (g *guard) log(path string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(path, ".log") || g.PathDir(path) != g.dir {
		return g.file(path, f, err)
	}
	info, err := f.Stat()
	if err = g.check(path, err); err != nil {
		return nil, err
	}
	log := &guardedFile{File: f, g: g, path: path, end: math.MaxInt64, isLog: true, grows: true, size: info.Size()}
	g.mu.Lock()
	g.logs[path] = log
	g.mu.Unlock()
	return log, nil
}

func (g *guard) OpenReadWrite(path string, category vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := g.FS.OpenReadWrite(path, category, o...)
	return g.file(path, f, err)
}

func (g *guard) Open(path string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := g.FS.Open(path, o...)
	if err != nil {
		return nil, g.read(err)
	}
	end := int64(math.MaxInt64)
	g.mu.Lock()
	if log := g.logs[path]; log != nil {
		end = log.written.Load()
	}
	g.mu.Unlock()
	return &guardedFile{File: f, g: g, path: path, end: end}, nil
}

func (g *guard) OpenDir(path string) (vfs.File, error) {
	f, err := g.FS.OpenDir(path)
	return g.file(path, f, err)
}

func (g *guard) List(dir string) ([]string, error) {
	names, err := g.FS.List(dir)
	return names, g.read(err)
}

func (g *guard) Rename(from, to string) error { return g.check(to, g.FS.Rename(from, to)) }

type guardedFile struct {
	vfs.File
	g    *guard
	path string

	// Of one that is read. What is behind the end of a log that is being written is not handed out: a backup that reads on
	// while it is written could find half a block of zeros, or of a former log, and then what was written later.
	pos, end int64

	// Of a log that is being written, by one goroutine.
	isLog    bool
	grows    bool
	at, size int64 // up to where it is about to be written, and where the file ends
	written  atomic.Int64
}

func (f *guardedFile) Read(b []byte) (int, error) {
	if len(b) > 0 && f.pos >= f.end {
		return 0, io.EOF
	}
	n, err := f.File.Read(b[:min(int64(len(b)), f.end-f.pos)])
	f.pos += int64(n)
	return n, err
}

func (f *guardedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if left := max(f.end-off, 0); int64(n) > left {
		n, err = int(left), io.EOF
	}
	return n, f.g.read(err)
}

func (f *guardedFile) Write(b []byte) (int, error) {
	f.at += int64(len(b))
	if err := f.grow(); err != nil {
		return 0, err
	}
	n, err := f.File.Write(b)
	if err = f.g.check(f.path, whole(n, b, err)); err == nil {
		f.written.Store(f.at)
	}
	return n, err
}

const growMin = 16 << 10

// grow makes a log longer when it is about to be written behind its end, in zeros, which are no records: when the length of a
// file has changed, fdatasync has a second write to do, that of the inode. A log doubles, up to a bound: to write the zeros
// takes time, too. Where there is no room to do so ahead, a log is as long as what is written.
func (f *guardedFile) grow() error {
	for f.grows && f.size < f.at {
		zeros := f.g.zeros[:min(max(f.size, growMin), int64(len(f.g.zeros)))]
		n, err := f.File.WriteAt(zeros, f.size)
		switch {
		case err == nil && n == len(zeros):
			f.size += int64(n)
		case err == nil, vfs.IsNoSpaceError(err), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG),
			errors.Is(err, vfs.ErrUnsupported):
			f.grows = false
		default:
			return f.g.check(f.path, err)
		}
	}
	return nil
}

func (f *guardedFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	return n, f.g.check(f.path, whole(n, b, err))
}

func whole(n int, b []byte, err error) error {
	if err == nil && n < len(b) {
		return io.ErrShortWrite
	}
	return err
}

func (f *guardedFile) Sync() error     { return f.g.check(f.path, f.File.Sync()) }
func (f *guardedFile) SyncData() error { return f.g.check(f.path, f.File.SyncData()) }

func (f *guardedFile) Close() error {
	err := f.g.check(f.path, f.File.Close())
	if f.isLog {
		f.g.mu.Lock()
		if f.g.logs[f.path] == f {
			delete(f.g.logs, f.path)
		}
		f.g.mu.Unlock()
	}
	return err
}

func (f *guardedFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.g.check(f.path, err)
}

// background takes what has failed in Pebble's flushes and compactions. Pebble tries these again at once: that helps for
// want of room only, for which check has waited.
func (g *guard) background(err error) {
	if !vfs.IsNoSpaceError(err) && !errors.Is(err, pebble.ErrCancelledCompaction) {
		g.fail(diagnosed(err))
	}
}
