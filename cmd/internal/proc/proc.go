// Package proc builds this module's programs and runs them, for tests that use them as their users do.
package proc

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Timeout bounds every wait for a program.
const Timeout = 30 * time.Second

// Build runs the tests of cmd/kassad or cmd/kassa with both programs built into dir, and returns the exit code. TestMain
// calls it.
func Build(m *testing.M, dir *string) int {
	temp, err := os.MkdirTemp("", "kassa-test-")
	if err == nil {
		defer os.RemoveAll(temp)
		*dir = temp
		args := append([]string{"build", "-o", temp}, raceFlag...)
		var out []byte
		build := exec.Command("go", append(args, "github.com/kassa-go/kassa/cmd/kassad", "github.com/kassa-go/kassa/cmd/kassa")...)
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the programs:", err)
		return 1
	}
	return m.Run()
}

// noteSources looks at the sources of the programs: what a test has looked at, go test sees changes of, and then does not
// take an old result for a new one. What TestMain looks at before the tests run does not count.
var noteSources = sync.OnceValue(func() error {
	const module = "../.." // of the tests of both programs
	return filepath.WalkDir(module, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != module && (strings.HasPrefix(name, ".") || name == "bench" || name == "node_modules"):
			return fs.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			_, err = os.Stat(path)
		}
		return err
	})
})

// Command is a program to run. It sees Env alone, besides PATH, and works in Dir; with none it gets an empty one.
type Command struct {
	Args  []string // the program and its arguments
	Env   []string
	Dir   string
	Stdin io.Reader // nil: nothing
}

func (c Command) prepare(ctx context.Context, t testing.TB) *exec.Cmd {
	t.Helper()
	if err := noteSources(); err != nil {
		t.Fatal(err)
	}
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}, c.Env...)
	cmd.Dir = c.Dir
	cmd.Stdin = c.Stdin
	return cmd
}

// Result is what a program that has ended leaves.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a program to its end.
func (c Command) Run(t testing.TB) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	cmd := c.prepare(ctx, t)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%q: %v\n%s", c.Args, err, stderr.String())
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Process is a program at work. Its methods are for the test's goroutine.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	ended  chan struct{} // closed when both streams have ended
	waited bool

	mu    sync.Mutex
	more  *sync.Cond // on mu: lines has grown, or over is set
	lines []string   // of both streams
	seen  int        // of lines, by WaitLine
	over  bool       // there will be no more lines, or no more time for them
}

// Start starts a program, which is killed at the end of the test if it still runs.
func (c Command) Start(t testing.TB) *Process {
	t.Helper()
	p := &Process{t: t, cmd: c.prepare(context.Background(), t), ended: make(chan struct{})}
	p.more = sync.NewCond(&p.mu)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	go p.read(out)
	t.Cleanup(func() {
		if !p.waited {
			p.Signal(os.Kill)
			p.Wait()
		}
		if strings.Contains(p.Output(), "DATA RACE") {
			t.Error("the program has a data race")
		}
		if t.Failed() {
			t.Logf("output of %q:\n%s", p.cmd.Args, p.Output())
		}
	})
	return p
}

func (p *Process) read(out *os.File) {
	defer close(p.ended)
	defer out.Close()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.more.Broadcast()
		p.mu.Unlock()
	}
	p.noMore()
}

func (p *Process) noMore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.more.Broadcast()
}

// WaitLine waits for a line of output that holds all the parts, and returns it. It goes on where the last call stopped.
func (p *Process) WaitLine(parts ...string) string {
	p.t.Helper()
	timer := time.AfterFunc(Timeout, p.noMore)
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for p.seen < len(p.lines) {
			line := p.lines[p.seen]
			p.seen++
			if containsAll(line, parts) {
				return line
			}
		}
		if p.over {
			p.t.Fatalf("no line with %q was written", parts)
		}
		p.more.Wait()
	}
}

func containsAll(line string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(line, part) {
			return false
		}
	}
	return true
}

// Output returns all that the program has written so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// PID returns the program's process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Errorf("signal %s: %v", sig, err)
	}
}

// Wait waits until the program has ended, and returns its exit code, -1 for one that was killed.
func (p *Process) Wait() int {
	p.t.Helper()
	p.waited = true
	timer := time.AfterFunc(Timeout, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	<-p.ended
	_ = p.cmd.Wait() // the exit code says it
	return p.cmd.ProcessState.ExitCode()
}

// Kassad starts a kassad from dir with demonstration types, and waits until it serves. It listens at a free port unless
// args say otherwise; the address of its first listener is returned, as kassa is told it.
func Kassad(t testing.TB, dir string, args ...string) (*Process, string) {
	t.Helper()
	listen := []string{"--listen", "tcp://127.0.0.1:0"}
	for _, arg := range args {
		if arg == "--listen" {
			listen = nil
		}
	}
	p := Command{Args: append(append([]string{filepath.Join(dir, "kassad"), "--demo"}, listen...), args...)}.Start(t)
	return p, p.Listening()
}

// Listening waits until a kassad says where it listens, and returns the first address.
func (p *Process) Listening() string {
	p.t.Helper()
	line := p.WaitLine("msg=listening")
	return field(line, "network") + "://" + field(line, "addr")
}

// field returns the value of a name in a line of slog's text format.
func field(line, name string) string {
	_, rest, _ := strings.Cut(line, " "+name+"=")
	value, _, _ := strings.Cut(rest, " ")
	return value
}
