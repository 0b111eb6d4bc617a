package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/pool/journal"
)

// smallDisk makes a file system of its own, of so many bytes, which only this goroutine sees and the programs that it
// starts. It goes with them.
func smallDisk(t *testing.T, bytes int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	err := syscall.Unshare(syscall.CLONE_NEWNS)
	if err == nil {
		err = syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	}
	if err == nil {
		err = syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes))
	}
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("NOT TESTED: this user may not mount a file system: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// room returns how many bytes are free on the disk that dir is on.
func room(t testing.TB, dir string) int {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int(st.Bavail) * int(st.Bsize)
}

// fill leaves so many bytes free on the disk that dir is on, and returns what removes what it has put there.
func fill(t testing.TB, dir string, leave int) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for some := make([]byte, 64<<10); room(t, dir) > leave; {
		if _, err := f.Write(some[:min(len(some), room(t, dir)-leave)]); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// serving is a crowd that uses a server.
type serving struct {
	*killing
	t    *testing.T
	p    *proc.Process
	addr string
	left chan struct{} // closed when the server is gone
}

func (k *killing) serving(t *testing.T) *serving {
	t.Helper()
	s := &serving{killing: k, t: t, left: make(chan struct{})}
	s.p, s.addr = k.start(t)
	go func() {
		defer close(s.left)
		k.crowd.serve(s.addr)
	}()
	return s
}

// until waits until the crowd has done something so often.
func (s *serving) until(what int, want int64) {
	s.t.Helper()
	count := &s.crowd.counts[what]
	for over := time.Now().Add(proc.Timeout); count.Load() < want; time.Sleep(time.Millisecond) {
		select {
		case <-s.left:
			s.t.Fatalf("the server has gone: %v", s.crowd.wrong())
		default:
		}
		if time.Now().After(over) {
			s.t.Fatalf("the crowd did what it was to do %d times, not %d", count.Load(), want)
		}
	}
}

// more waits until it has done that so many times more.
func (s *serving) more(what, n int) {
	s.t.Helper()
	s.until(what, s.crowd.counts[what].Load()+int64(n))
}

// gone waits until the server has ended by itself, and compares what is left with what was told.
func (s *serving) gone() {
	s.t.Helper()
	<-s.left
	if code := s.p.Wait(); code != exitFailed {
		s.t.Errorf("exit code %d", code)
	}
	s.p.WaitLine("level=ERROR", "the store of the pools has failed")
	s.told()
}

func (s *serving) kill() {
	s.t.Helper()
	s.p.Signal(syscall.SIGKILL)
	<-s.left
	s.p.Wait()
	s.told()
}

func (s *serving) told() {
	s.t.Helper()
	if err := s.crowd.tell(s.ledger, s.sees, false); err != nil {
		s.t.Fatal(err)
	}
}

// on has the store be on a smallDisk.
func (k *killing) on(dir string) *killing {
	k.data = filepath.Join(dir, "data")
	k.sees = fmt.Sprintf("/proc/self/task/%d/root%s", syscall.Gettid(), k.data)
	return k
}

// crowdSize is that of the crowds here, and how much of anything they do is enough to go on.
func crowdSize() (conns, clients, some int) {
	if raceEnabled {
		return 16, 4, 50
	}
	return 64, 12, 1000
}

const (
	diskBytes = 160 << 20
	reserve   = 64 << 20 // that kassad keeps
)

// TestDiskNearlyFull has a disk fill up to what kassad keeps in reserve, and get room again.
func TestDiskNearlyFull(t *testing.T) {
	dir := smallDisk(t, diskBytes)
	conns, clients, some := crowdSize()
	k := newKilling(t, bin+"/kassad", conns, clients).on(dir)
	s := k.serving(t)
	s.more(taken, some)
	k.crowd.keeping.Store(true)
	empty := fill(t, dir, reserve-(1<<20))
	s.p.WaitLine("level=WARN", "the disk is nearly full")
	s.more(refused, some)
	s.more(renewed, some)
	before := k.crowd.counts[givenBack].Load()
	k.crowd.keeping.Store(false)
	s.until(givenBack, before+10)
	if free := room(t, dir); free < reserve/4 {
		t.Errorf("the disk has %d bytes left", free)
	}
	look := func() {
		t.Helper()
		c := dial(t, s.addr)
		c.send(`{"type":"lease.acquire","queryIndex":1,"payload":{"want":[{"pool":"brief"}],"ttlMs":1}}`)
		if line := c.line(); !strings.Contains(line, `"code":"store_full"`) {
			t.Errorf("got %s", line)
		}
		if n := len(c.items("brief")); n != briefItems {
			t.Errorf("%d items", n)
		}
	}
	look()
	s.kill()

	s = k.serving(t) // with the disk as it is
	s.more(refused, some)
	look()
	empty()
	s.more(taken, some)
	s.kill()
	if err := k.end(t); err != nil {
		t.Error(err)
	}
}

// TestDiskFull has a disk fill up to the last byte, while clients go on to renew what they have.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, diskBytes)
	conns, clients, some := crowdSize()
	k := newKilling(t, bin+"/kassad", conns, clients).on(dir)
	s := k.serving(t)
	s.more(taken, some)
	k.crowd.keeping.Store(true)
	empty := fill(t, dir, 0)
	s.gone()
	empty()
	t.Logf("%d renewals, %d requests refused", k.crowd.counts[renewed].Load(), k.crowd.counts[refused].Load())
	k.crowd.keeping.Store(false)
	s = k.serving(t)
	s.more(taken, some)
	s.kill()
	if err := k.end(t); err != nil {
		t.Error(err)
	}
}

// TestFailedWrites has one system call of kassad fail, of those that write the log or make it durable: it must tell nobody
// of what it took on after that, and end.
func TestFailedWrites(t *testing.T) {
	if raceEnabled {
		t.Skip("strace and the race detector together take too long")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("there is no strace; make test installs one")
	}
	if out, err := exec.CommandContext(t.Context(), strace, "-o", os.DevNull, "true").CombinedOutput(); strings.Contains(string(out), "not permitted") {
		t.Skipf("NOT TESTED: this user may not trace: %v\n%s", err, out)
	}
	for _, c := range []struct{ call, errno string }{{"fdatasync", "EIO"}, {"write", "EIO"}, {"write", "ENOSPC"}, {"fsync", "EIO"}} {
		t.Run(c.call+" "+c.errno, func(t *testing.T) {
			conns, clients, some := crowdSize()
			k := newKilling(t, bin+"/kassad", conns, clients)
			s := k.serving(t)
			s.more(taken, some)
			trace := filepath.Join(t.TempDir(), "trace")
			args := []string{strace, "-f", "-ttt", "-o", trace, "-p", strconv.Itoa(s.p.PID()), "-e", "trace=" + c.call,
				"-e", "inject=" + c.call + ":error=" + c.errno + ":when=1"}
			if c.call == "write" { // to the logs
				for _, path := range k.logs(t) {
					args = append(args, "-P", path)
				}
			}
			tracer := proc.Command{Args: args}.Start(t)
			s.gone()
			tracer.Wait()
			failed, ended := traced(t, trace)
			t.Logf("it ended %v after the call", ended.Sub(failed).Round(time.Millisecond))
			if ended.Sub(failed) > 5*time.Second {
				t.Errorf("it ended %v after the call", ended.Sub(failed))
			}
			if c.call != "fsync" { // which is not the log's
				if late := k.crowd.last.Sub(failed); late > 0 {
					t.Errorf("a request was answered that was sent %v after the call that failed", late)
				}
			}
			if err := k.end(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// logs returns the paths of the store's log, and of those that may come next.
func (k *killing) logs(t *testing.T) (paths []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(k.data, "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatalf("there is no log: %v", err)
	}
	number, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(names[len(names)-1]), ".log"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		paths = append(paths, filepath.Join(k.data, fmt.Sprintf("%06d.log", number+i)))
	}
	return paths
}

// traced returns when the first call failed, and when the last thread ended.
func traced(t *testing.T, path string) (failed, ended time.Time) {
	t.Helper()
	trace, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := func(lines [][]string, i int) time.Time {
		if len(lines) == 0 {
			t.Fatalf("the trace:\n%.2000s", trace)
		}
		if i < 0 {
			i += len(lines)
		}
		seconds, err := strconv.ParseFloat(lines[i][1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.UnixMicro(int64(seconds * 1e6))
	}
	calls := regexp.MustCompile(`(?m)^\d+ +(\d+\.\d+) .*\(INJECTED\)$`).FindAllStringSubmatch(string(trace), -1)
	ends := regexp.MustCompile(`(?m)^\d+ +(\d+\.\d+) \+\+\+ exited with 1 \+\+\+$`).FindAllStringSubmatch(string(trace), -1)
	return at(calls, 0), at(ends, -1)
}

// TestFewFiles serves pools where few files may be open, while a crowd takes all the connections there are: what the store
// opens as it grows must be left to it. With too few it is not begun.
func TestFewFiles(t *testing.T) {
	limit := func(files int) []string {
		return []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files), bin + "/kassad"}
	}
	room := func(p *proc.Process) int {
		t.Helper()
		_, n, _ := strings.Cut(p.WaitLine("msg=listening"), "connsMax=")
		n, _, _ = strings.Cut(n, " ")
		conns, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		return conns
	}
	_, _, some := crowdSize()
	k := newKilling(t, "", 8, 12)
	args := []string{"--listen", "tcp://127.0.0.1:0", "--loops", "1"} // each has descriptors of its own
	without := room(proc.Command{Args: append(limit(280), args...)}.Start(t))
	with := room(proc.Command{Args: append(limit(280), append(args, "--config", k.yaml, "--data", t.TempDir())...)}.Start(t))
	if without-with < journal.FilesMax {
		t.Errorf("there is room for %d connections, and with a store, which may open %d files, for %d", without, journal.FilesMax, with)
	}
	got := proc.Command{Args: append(limit(64), append(args, "--config", k.yaml, "--data", t.TempDir())...)}.Run(t)
	if got.Code != exitFailed || !strings.Contains(got.Stderr, "raise it (ulimit -n)") {
		t.Errorf("with 64 files: %+v", got)
	}

	k.program = limit(280)
	s := k.serving(t)
	s.until(greeted, 8) // before others take all the room
	for range 10 {
		var crowd []*peer
		for range 300 {
			c := dial(t, s.addr)
			io.WriteString(c, `{"type":"ping","queryIndex":1}`+"\n") // one that is refused may be closed already
			crowd = append(crowd, c)
		}
		s.more(taken, some)
		for _, c := range crowd {
			if line := c.line(); line != "" && !strings.Contains(line, "pong") && !strings.Contains(line, "too_many_connections") {
				t.Error(line)
			}
			c.Close()
		}
	}
	s.kill()
	if err := k.end(t); err != nil {
		t.Error(err)
	}
}
