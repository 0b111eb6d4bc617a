package engine_test

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

func unixOf(addr string) net.Addr {
	return &net.UnixAddr{Net: "unix", Name: strings.TrimPrefix(addr, "unix://")}
}

// wantNoStart expects that an engine with this configuration does not start, says why, and leaves nothing behind.
func wantNoStart(t *testing.T, cfg engine.Config, why string) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	if cfg.Open == nil {
		cfg.Open = func(*engine.Conn) engine.Peer { panic("nobody can connect") }
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	e, err := engine.Start(cfg)
	if err == nil {
		t.Error("it started")
		_ = e.Shutdown(t.Context())
	} else if !strings.Contains(err.Error(), why) {
		t.Errorf("the error is %q, and does not say %q", err, why)
	}
	goleak.VerifyNone(t, leaks)
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wantNoStart(t, engine.Config{Addrs: []string{"tcp://" + l.Addr().String()}}, "address already in use")

	// Nothing of the other addresses is left.
	path := unixAddr(t)
	wantNoStart(t, engine.Config{Addrs: []string{path, "tcp://127.0.0.1:0", "tcp://" + l.Addr().String()}}, "address already in use")
	if _, err := os.Lstat(unixOf(path).String()); !os.IsNotExist(err) {
		t.Errorf("a socket was left behind: %v", err)
	}
}

// The event loops share a port by SO_REUSEPORT; two servers must not.
func TestSecondServer(t *testing.T) {
	s := start(t, setup{engine: engine.Config{Loops: 1}})
	s.serves() // its event loop runs by now: it is no leak of the servers that do not start
	for _, addr := range []string{s.addr().String(), fmt.Sprintf("0.0.0.0:%d", s.addr().(*net.TCPAddr).Port)} {
		wantNoStart(t, engine.Config{Addrs: []string{"tcp://" + addr}}, "address already in use")
	}
	for range 20 { // none of these comes to a second server
		s.serves()
	}
	// When the first has ended, its port is free at once, though connections of it are in TIME_WAIT.
	at := "tcp://" + s.addr().String()
	c := dial(t, s.addr(), nil)
	c.silent()
	s.stop()
	start(t, setup{engine: engine.Config{Addrs: []string{at}}}).serves()
}

func TestUnixPath(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) (path, addr string) {
		return filepath.Join(dir, name), "unix://" + filepath.Join(dir, name)
	}

	file, addr := at("file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantNoStart(t, engine.Config{Addrs: []string{addr}}, "no socket")
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file was touched: %q, %v", text, err)
	}
	link, addr := at("link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	wantNoStart(t, engine.Config{Addrs: []string{addr}}, "no socket")
	folder, addr := at("folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	wantNoStart(t, engine.Config{Addrs: []string{addr}}, "no socket")
	if _, err := os.Lstat(folder); err != nil {
		t.Error(err)
	}
	_, addr = at("no/such/folder")
	wantNoStart(t, engine.Config{Addrs: []string{addr}}, "no such file")
	_, addr = at(strings.Repeat("long", 40))
	wantNoStart(t, engine.Config{Addrs: []string{addr}}, "invalid argument")

	// Another server's socket, alive.
	path, addr := at("alive")
	s := start(t, setup{engine: engine.Config{Addrs: []string{addr}}})
	wantNoStart(t, engine.Config{Addrs: []string{addr}}, "another server listens there")
	s.serves()
	s.stop()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket was left behind: %v", err)
	}
	start(t, setup{engine: engine.Config{Addrs: []string{addr}}}).serves()
}

// A server that has no time to accept is alive, too.
func TestUnixPathOfABusyServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for { // fill the backlog, which nobody empties
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(c)
		if err := unix.Connect(c, &unix.SockaddrUnix{Name: path}); err != nil {
			if err != unix.EAGAIN {
				t.Fatal(err)
			}
			break
		}
	}
	wantNoStart(t, engine.Config{Addrs: []string{"unix://" + path}}, path)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the socket of a server that is alive was removed: %v", err)
	}
}

// A socket that a killed server left behind is in nobody's way.
func TestStaleSocket(t *testing.T) {
	addr := unixAddr(t)
	dead := spawn(t, childConfig{Addrs: []string{addr}})
	dead.kill()
	if _, err := os.Lstat(unixOf(addr).String()); err != nil {
		t.Fatalf("there is no stale socket: %v", err)
	}
	start(t, setup{engine: engine.Config{Addrs: []string{addr}}}).serves()
}

func TestBothFamilies(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no ::1: %v", err)
	}
	l.Close()
	addr := unixAddr(t)
	s := start(t, setup{engine: engine.Config{Addrs: []string{"tcp://127.0.0.1:0", "tcp://[::1]:0", addr}}})
	addrs := s.Addrs()
	if len(addrs) != 3 {
		t.Fatalf("addresses %v", addrs)
	}
	for _, a := range addrs {
		c := dial(t, a, nil)
		c.silent()
		c.Close()
	}
	if got := addrs[1].(*net.TCPAddr).IP.String(); got != "::1" {
		t.Errorf("the second address is %s", got)
	}
	// The same port for both.
	at := fmt.Sprintf("tcp://[::1]:%d", addrs[0].(*net.TCPAddr).Port)
	other := start(t, setup{engine: engine.Config{Addrs: []string{at}}})
	other.serves()
}

// Several loops listen at one port that the system chose, and all of them serve.
func TestManyLoops(t *testing.T) {
	var mu sync.Mutex
	loops := make(map[int]int)
	d, err := dispatch.New(dispatch.Config{Registry: dispatch.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(t.Context())
	e, err := engine.Start(engine.Config{Addrs: []string{"tcp://127.0.0.1:0"}, Loops: 4, Log: slog.New(slog.DiscardHandler), Open: func(c *engine.Conn) engine.Peer {
		mu.Lock()
		defer mu.Unlock()
		loops[c.Loop()]++
		return d.Open(c)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown(t.Context())
	if len(e.Addrs()) != 1 || e.Addrs()[0].(*net.TCPAddr).Port == 0 {
		t.Fatalf("addresses %v", e.Addrs())
	}
	for range 100 {
		c := dial(t, e.Addrs()[0], nil)
		if r := c.ask("ping", ""); r.Kind != codec.Reply {
			t.Fatalf("%+v", r)
		}
		c.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(loops) != 4 {
		t.Errorf("connections by loop: %v", loops)
	}
}

func TestConfigErrors(t *testing.T) {
	tcp := []string{"tcp://127.0.0.1:0"}
	for _, test := range []struct {
		cfg engine.Config
		why string
	}{
		{engine.Config{}, "Addrs"},
		{engine.Config{Addrs: []string{"127.0.0.1:1"}}, "127.0.0.1:1"},
		{engine.Config{Addrs: []string{"tcp://127.0.0.1"}}, "tcp://HOST:PORT"},
		{engine.Config{Addrs: []string{"tcp://127.0.0.1:0/x"}}, "tcp://HOST:PORT"},
		{engine.Config{Addrs: []string{"udp://127.0.0.1:0"}}, "udp://"},
		{engine.Config{Addrs: []string{"unix://"}}, "unix:///PATH"},
		{engine.Config{Addrs: []string{"tcp://127.0.0.1:99999"}}, "99999"},
		{engine.Config{Addrs: tcp, Loops: -1}, "Loops"},
		{engine.Config{Addrs: tcp, ConnsMax: -1}, "ConnsMax"},
		{engine.Config{Addrs: tcp, FrameBytesMax: -1}, "FrameBytesMax"},
		{engine.Config{Addrs: tcp, OutboundBytesMax: -1}, "OutboundBytesMax"},
		{engine.Config{Addrs: tcp, InboundBytesMax: -1}, "InboundBytesMax"},
		{engine.Config{Addrs: tcp, FrameTimeout: -time.Second}, "FrameTimeout"},
		{engine.Config{Addrs: tcp, IdleTimeout: -time.Second}, "IdleTimeout"},
		{engine.Config{Addrs: tcp, ConnsMax: 1 << 30}, "ulimit"},
	} {
		wantNoStart(t, test.cfg, test.why)
	}
	if _, err := engine.Start(engine.Config{Addrs: tcp}); err == nil || !strings.Contains(err.Error(), "Open") {
		t.Errorf("without Open: %v", err)
	}
}

// A server that is told to hold few connections refuses more, and takes others when one has gone.
func TestConnsMax(t *testing.T) {
	s := start(t, setup{engine: engine.Config{ConnsMax: 3, Addrs: []string{"tcp://127.0.0.1:0", unixAddr(t)}}})
	addrs := s.Addrs() // one count for both
	held := []*client{dial(t, addrs[0], nil), dial(t, addrs[1], nil), dial(t, addrs[0], nil)}
	for _, c := range held {
		c.silent()
	}
	for _, a := range addrs {
		wantRefused(t, a, codec.TooManyConnections, false)
		wantRefused(t, a, codec.TooManyConnections, true)
	}
	held[1].Close()
	eventually(t, "one gone", func() bool { return s.Stats().Conns == 2 }, func() any { return s.Stats() })
	c := dial(t, addrs[1], nil)
	c.silent()
	wantRefused(t, addrs[0], codec.TooManyConnections, false)
	if st := s.Stats(); st.ConnsMax != 3 || st.Accepted != 4 || st.Refused != 5 {
		t.Errorf("%+v", st)
	}
}
