package engine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// childEnv holds, in a process that is this test binary again, what server it is to be: a childConfig.
const childEnv = "KASSA_TEST_CHILD"

// childConfig says what server a child process is.
type childConfig struct {
	Addrs []string
	Files uint64 // its limit of open files; 0: as it is
}

// childState is what a child process answers when it is asked how it is.
type childState struct {
	Addrs  []string
	Engine engine.Stats
	Stats  dispatch.Stats
	RSS    int64 // bytes of user-space memory, after a garbage collection
	Err    string
}

// childMain is the main function of a child process: it serves the common types, and answers each line on its standard
// input by its state. When that input ends, it shuts down.
func childMain() {
	state, err := serveAsChild()
	if err != nil {
		state.Err = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(state)
	if err != nil {
		os.Exit(1)
	}
}

func serveAsChild() (state childState, err error) {
	var cfg childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &cfg); err != nil {
		return state, err
	}
	if cfg.Files > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: cfg.Files, Max: cfg.Files}); err != nil {
			return state, err
		}
	}
	reg := dispatch.NewRegistry()
	serveCommon(reg, new(atomic.Int64))
	d, err := dispatch.New(dispatch.Config{Registry: reg})
	if err != nil {
		return state, err
	}
	e, err := engine.Start(engine.Config{
		Addrs: cfg.Addrs,
		Open:  func(c *engine.Conn) engine.Peer { return d.Open(c) },
		Log:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return state, err
	}
	for _, a := range e.Addrs() {
		state.Addrs = append(state.Addrs, a.Network()+"://"+a.String())
	}
	answer := func() {
		debug.FreeOSMemory()
		state.Engine, state.Stats, state.RSS = e.Stats(), d.Stats(), residentBytes()
		_ = json.NewEncoder(os.Stdout).Encode(state)
	}
	answer()
	ended := make(chan error, 1)
	go func() { ended <- e.Wait() }()
	lines := make(chan bool)
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- true
		}
		close(lines)
	}()
	for {
		select {
		case err := <-ended:
			return state, fmt.Errorf("the engine has ended by itself: %w", err)
		case _, more := <-lines:
			if more {
				answer()
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			err := e.Shutdown(ctx)
			if err == nil {
				err = d.Close(ctx)
			}
			return state, err
		}
	}
}

// residentBytes is VmRSS of this process.
func residentBytes() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// child is a server in a process of its own.
type child struct {
	childState // as of the last ask
	t          testing.TB
	cmd        *exec.Cmd
	in         io.WriteCloser
	out        *json.Decoder
}

// spawn starts a server in a process of its own; it is stopped when the test ends.
func spawn(t testing.TB, cfg childConfig) *child {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	c.read()
	return c
}

func (c *child) read() {
	c.t.Helper()
	c.childState = childState{}
	if err := c.out.Decode(&c.childState); err != nil {
		c.t.Fatalf("the server's process has nothing to say: %v", err)
	}
	if c.Err != "" {
		c.t.Fatalf("the server's process: %s", c.Err)
	}
}

// ask has the child say how it is.
func (c *child) ask() childState {
	c.t.Helper()
	if _, err := io.WriteString(c.in, "\n"); err != nil {
		c.t.Fatalf("the server's process has gone: %v", err)
	}
	c.read()
	return c.childState
}

// stop has the child shut down, and looks that it does so in order.
func (c *child) stop() {
	if c.cmd.ProcessState != nil {
		return
	}
	c.in.Close()
	var last childState
	if err := c.out.Decode(&last); err != nil || last.Err != "" {
		c.t.Errorf("the server's process ended with %q, %v", last.Err, err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the server's process: %v", err)
	}
}

// kill ends the child like kill -9.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// addr returns where the child listens, first of all.
func (c *child) addr() net.Addr {
	network, address, _ := strings.Cut(c.Addrs[0], "://")
	if network == "unix" {
		return &net.UnixAddr{Net: "unix", Name: filepath.Clean(address)}
	}
	a, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}
