package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kassa-go/kassa/cmd/internal/proc"
)

// peer is a client that speaks JSON lines.
type peer struct {
	t testing.TB
	net.Conn
	lines *bufio.Scanner
}

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	network, address, _ := strings.Cut(addr, "://")
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(proc.Timeout)); err != nil {
		t.Fatal(err)
	}
	return &peer{t, c, bufio.NewScanner(c)}
}

func (p *peer) send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// line returns the next line, "" when there is none.
func (p *peer) line() string {
	p.lines.Scan()
	return p.lines.Text()
}

// expect reads a line and fails the test if it is not want.
func (p *peer) expect(want string) {
	p.t.Helper()
	if got := p.line(); got != want {
		p.t.Errorf("got  %q (%v)\nwant %q", got, p.lines.Err(), want)
	}
}

func kassad(t testing.TB, args ...string) (*proc.Process, string) {
	t.Helper()
	return proc.Kassad(t, bin, args...)
}

func expectCode(t testing.TB, p *proc.Process, want int) {
	t.Helper()
	if got := p.Wait(); got != want {
		t.Errorf("exit code %d, want %d", got, want)
	}
}

func TestServesTCPAndUnix(t *testing.T) {
	t.Parallel() // as all that wait for types that take two seconds
	socket := filepath.Join(t.TempDir(), "kassa.sock")
	p, tcp := kassad(t, "--listen", "tcp://127.0.0.1:0,unix://"+socket)
	for _, addr := range []string{tcp, "unix://" + socket} {
		c := dial(t, addr)
		c.send(`{"type":"echo","queryIndex":1,"payload":{"a":[1,"ü"]}}`)
		c.expect(`{"type":"echo","queryIndex":1,"resultJob":{"a":[1,"ü"]}}`)
	}
	// Two types take two seconds each, at the same time.
	c := dial(t, tcp)
	began := time.Now()
	c.send(`{"type":"cntResponse","queryIndex":1}` + "\n" + `{"type":"getIp","queryIndex":2}`)
	answers := c.line() + c.line()
	for _, want := range []string{`{"type":"cntResponse","queryIndex":1,"resultJob":{"cnt":0}}`, `{"type":"getIp","queryIndex":2,"resultJob":{"ip":"127.0.0.1"}}`} {
		if !strings.Contains(answers, want) {
			t.Errorf("answers %s lack %s", answers, want)
		}
	}
	if took := time.Since(began); took < demoTakes || took >= 2*demoTakes {
		t.Errorf("both took %s, want %s", took, demoTakes)
	}
	p.Signal(syscall.SIGTERM)
	expectCode(t, p, 0)
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestWithoutDemo checks that a kassad serves nothing but what is built in unless it is told to.
func TestWithoutDemo(t *testing.T) {
	p := proc.Command{Args: []string{bin + "/kassad", "--listen", "tcp://127.0.0.1:0"}}.Start(t)
	c := dial(t, p.Listening())
	c.send(`{"type":"echo","queryIndex":1}`)
	if got := c.line(); !strings.Contains(got, `"code":"unknown_type"`) {
		t.Errorf("got %s", got)
	}
	c.send(`{"type":"ping","queryIndex":2}`)
	c.expect(`{"type":"ping","queryIndex":2,"resultJob":{"pong":0}}`)
}

// TestWhatNext types what kassad says to type.
func TestWhatNext(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("nc"); err != nil {
		t.Skip("there is no nc; make test installs one")
	}
	socket := filepath.Join(t.TempDir(), "kassa.sock")
	for _, test := range []struct {
		args     []string
		commands int
	}{
		{[]string{"--listen", "tcp://127.0.0.1:0"}, 3},
		{[]string{"--listen", "unix://" + socket}, 3},
		{[]string{"--listen", "tcp://127.0.0.1:0", "--codec", "binary"}, 2},
	} {
		p, _ := kassad(t, test.args...)
		p.WaitLine("Serving. Try, in another terminal:")
		for range test.commands {
			command := p.WaitLine("  ")
			got := proc.Command{Args: []string{"sh", "-c", command}}.Run(t)
			if got.Code != 0 || !strings.HasPrefix(got.Stdout, "{") {
				t.Errorf("%s: %+v", command, got)
			}
		}
		p.Signal(syscall.SIGTERM)
		expectCode(t, p, 0)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	p, addr := kassad(t, "--log-level", "debug")
	c := dial(t, addr)
	c.send(`{"type":"cntResponse","queryIndex":1}` + "\n" + `{"type":"cntResponse","queryIndex":2}`)
	p.WaitLine("msg=started", "queryIndex=1")
	p.Signal(syscall.SIGTERM)
	p.WaitLine("msg=\"ending:")
	for refused := false; !refused; { // it will be at any moment
		c.send(`{"type":"echo","queryIndex":3}`)
		switch got := c.line(); {
		case strings.Contains(got, `"queryIndex":3,"err"`) && strings.Contains(got, `"code":"draining"`):
			refused = true
		case !strings.HasPrefix(got, `{"type":"echo"`):
			t.Fatalf("a new request was answered %s", got)
		}
	}
	c.expect(`{"type":"cntResponse","queryIndex":1,"resultJob":{"cnt":0}}`)
	c.expect(`{"type":"cntResponse","queryIndex":2,"resultJob":{"cnt":1}}`)
	c.expect("")
	expectCode(t, p, 0)
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	p, addr := kassad(t, "--log-level", "debug")
	c := dial(t, addr)
	c.send(`{"type":"cntResponse","queryIndex":1}`)
	p.WaitLine("msg=started", "queryIndex=1")
	p.Signal(syscall.SIGINT)
	c.expect(`{"type":"cntResponse","queryIndex":1,"resultJob":{"cnt":0}}`)
	expectCode(t, p, 0)
}

func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	p, addr := kassad(t, "--log-level", "debug", "--drain-timeout", "1ms")
	c := dial(t, addr)
	c.send(`{"type":"cntResponse","queryIndex":1}` + "\n" + `{"type":"cntResponse","queryIndex":2}`)
	p.WaitLine("msg=queued", "queryIndex=2")
	p.WaitLine("msg=started", "queryIndex=1")
	p.Signal(syscall.SIGTERM)
	both := c.line() + c.line()
	for _, want := range []string{`"queryIndex":1,"err"`, `"code":"unavailable"`, `"queryIndex":2,"err"`, `"code":"draining"`} {
		if !strings.Contains(both, want) {
			t.Errorf("answers %s lack %s", both, want)
		}
	}
	expectCode(t, p, 1)
	p.WaitLine("ended, not as it should", "1ms is over", "cntResponse")
}

func TestSecondSignal(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			p, addr := kassad(t, "--log-level", "debug")
			c := dial(t, addr)
			c.send(`{"type":"cntResponse","queryIndex":1}`)
			p.WaitLine("msg=started")
			p.Signal(syscall.SIGTERM)
			p.WaitLine("msg=\"ending:")
			p.Signal(sig)
			expectCode(t, p, 128+int(sig))
		})
	}
}

func TestDebugSwitch(t *testing.T) {
	p, addr := kassad(t)
	c := dial(t, addr)
	ask := func(index int) {
		t.Helper()
		c.send(fmt.Sprintf(`{"type":"echo","queryIndex":%d}`, index))
		c.expect(fmt.Sprintf(`{"type":"echo","queryIndex":%d,"resultJob":null}`, index))
	}
	ask(101)
	p.Signal(syscall.SIGUSR1)
	p.WaitLine(`msg="debug log on"`)
	ask(102)
	for _, station := range []string{"received", "queued", "started", "finished"} {
		p.WaitLine("level=DEBUG", "msg="+station, "type=echo", "queryIndex=102", "client=127.0.0.1:")
	}
	p.Signal(syscall.SIGUSR1)
	p.WaitLine(`msg="debug log off"`)
	ask(103)
	p.Signal(syscall.SIGTERM)
	expectCode(t, p, 0)
	for _, silent := range []string{"queryIndex=101", "queryIndex=103"} {
		if strings.Contains(p.Output(), silent) {
			t.Errorf("%s was logged", silent)
		}
	}
}

func TestStatsSignal(t *testing.T) {
	addr := "unix://" + filepath.Join(t.TempDir(), "kassa.sock")
	p := proc.Command{Args: []string{bin + "/kassad", "--demo", "--listen", addr, "--log-level", "error"}}.Start(t)
	p.WaitLine("Serving.")
	c := dial(t, addr)
	c.send(`{"type":"echo","queryIndex":1}`)
	c.line()
	p.Signal(syscall.SIGUSR2)
	p.WaitLine("msg=stats", "conns=1", "accepted=1", "types.echo.done=1")
}

func TestQueueLog(t *testing.T) {
	t.Parallel()
	p, addr := kassad(t, "--queue-log", "10ms", "--log-format", "text")
	c := dial(t, addr)
	c.send(strings.Repeat(`{"type":"cntResponse","queryIndex":1}`+"\n", 3))
	p.WaitLine("msg=queues", "cntResponse.queued=2", "connections=")
}

func TestJSONLog(t *testing.T) {
	p := proc.Command{Args: []string{bin + "/kassad", "--listen", "tcp://127.0.0.1:0", "--log-format", "json", "--conns-max", "7"}}.Start(t)
	p.WaitLine(`"msg":"listening"`, `"connsMax":7`)
}

func TestDotEnv(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "kassa.sock")
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte("KASSA_LISTEN=unix://"+socket+"\nKASSA_DEMO=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	proc.Command{Args: []string{bin + "/kassad"}, Dir: dir}.Start(t).Listening()
	c := dial(t, "unix://"+socket)
	c.send(`{"type":"echo","queryIndex":0}`)
	c.expect(`{"type":"echo","queryIndex":0,"resultJob":null}`)
}

// freePort returns a port that is free on both loopback addresses.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestDefaultAddresses checks that a kassad that is not told where to listen does so on the loopback addresses.
func TestDefaultAddresses(t *testing.T) {
	port := freePort(t)
	p := proc.Command{
		Args: []string{bin + "/kassad"},
		Env:  []string{fmt.Sprintf("SOCKET_PORT=%d", port), "SOCKET_HOST=0.0.0.0"},
	}.Start(t)
	p.WaitLine("SOCKET_HOST (0.0.0.0) tells clients where the server is")
	p.WaitLine("msg=listening", fmt.Sprintf("addr=127.0.0.1:%d", port))
	addrs := []string{fmt.Sprintf("tcp://127.0.0.1:%d", port)}
	if hasIPv6() {
		p.WaitLine("msg=listening", fmt.Sprintf("addr=[::1]:%d", port))
		addrs = append(addrs, fmt.Sprintf("tcp://[::1]:%d", port))
	}
	p.WaitLine("kassa ping")
	for _, addr := range addrs {
		c := dial(t, addr)
		c.send(`{"type":"ping","queryIndex":0}`)
		if got := c.line(); !strings.Contains(got, "pong") {
			t.Errorf("%s: %s", addr, got)
		}
	}
	p.Signal(syscall.SIGTERM)
	expectCode(t, p, 0)
	if strings.Count(p.Output(), "msg=listening") != len(addrs) || strings.Contains(p.Output(), "TLS") {
		t.Errorf("it listens elsewhere too:\n%s", p.Output())
	}
}

func TestOutsideWarning(t *testing.T) {
	p := proc.Command{Args: []string{bin + "/kassad", "--listen", "tcp://0.0.0.0:0"}}.Start(t)
	p.WaitLine("level=WARN", "no TLS and no authentication", "addr=tcp://0.0.0.0:0")
	p.WaitLine("--addr tcp://127.0.0.1:", "ping")
}

func TestAddressInUse(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "kassa.sock")
	_, tcp := kassad(t, "--listen", "tcp://127.0.0.1:0,unix://"+socket)
	for _, addr := range []string{tcp, "unix://" + socket} {
		got := proc.Command{Args: []string{bin + "/kassad", "--listen", addr}}.Run(t)
		_, where, _ := strings.Cut(addr, "://")
		if last := lastLine(got.Stderr); got.Code != 1 || !strings.HasPrefix(last, "kassad: ") || !strings.Contains(last, where) ||
			!strings.Contains(last, "another") {
			t.Errorf("%+v", got)
		}
	}
	c := dial(t, "unix://"+socket)
	c.send(`{"type":"echo","queryIndex":0}`)
	c.expect(`{"type":"echo","queryIndex":0,"resultJob":null}`)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func TestCannotListen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ addr, want string }{
		{"unix:///nonexistent/kassa.sock", "no such file or directory"},
		{"unix://" + file, "a file that is no socket is in the way"},
		{"tcp://192.0.2.1:41969", "cannot assign requested address"},
	} {
		got := proc.Command{Args: []string{bin + "/kassad", "--listen", test.addr}}.Run(t)
		if got.Code != 1 || !strings.Contains(lastLine(got.Stderr), test.want) {
			t.Errorf("%s: %+v", test.addr, got)
		}
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "precious" {
		t.Errorf("the file in the way: %q, %v", content, err)
	}
}

// TestKilled checks that a socket left by a kassad that was killed is no obstacle.
func TestKilled(t *testing.T) {
	addr := "unix://" + filepath.Join(t.TempDir(), "kassa.sock")
	p, _ := kassad(t, "--listen", addr)
	p.Signal(syscall.SIGKILL)
	p.Wait()
	kassad(t, "--listen", addr)
	c := dial(t, addr)
	c.send(`{"type":"echo","queryIndex":0}`)
	c.expect(`{"type":"echo","queryIndex":0,"resultJob":null}`)
}

func TestBadFlag(t *testing.T) {
	got := proc.Command{Args: []string{bin + "/kassad", "--loops", "x"}}.Run(t)
	if got.Code != 2 || strings.Count(got.Stderr, "\n") != 1 || !strings.HasPrefix(got.Stderr, `kassad: invalid argument "x"`) || got.Stdout != "" {
		t.Errorf("%+v", got)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for flag, want := range map[string]string{"--help": "Usage: kassad [flags]", "-h": "KASSA_LISTEN", "--version": "kassad "} {
		got := proc.Command{Args: []string{bin + "/kassad", flag}}.Run(t)
		if got.Code != 0 || !strings.Contains(got.Stdout, want) || got.Stderr != "" {
			t.Errorf("%s: %+v", flag, got)
		}
	}
}

func TestCodecFlag(t *testing.T) {
	const crab = "\U0001F980"
	_, addr := kassad(t, "--codec", "crab")
	c := dial(t, addr)
	// Pretty-printed and without a separator between lines: JSON lines would make three bad frames of it.
	c.send("{\"type\":\n\"echo\",\"queryIndex\":-1.5,\n\"payload\":{\"a\":1}}" + crab)
	want := `{"type":"echo","queryIndex":-1.5,"resultJob":{"a":1}}` + crab
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestFewDescriptors checks that a kassad that may have few open files refuses politely what it has no room for, and lives.
func TestFewDescriptors(t *testing.T) {
	p := proc.Command{Args: []string{"sh", "-c", `ulimit -n 200 && exec "$0" --listen tcp://127.0.0.1:0`, bin + "/kassad"}}.Start(t)
	addr := p.Listening()
	const clients = 400
	ping := `{"type":"ping","queryIndex":7}`

	// One after the other: each that is refused is told why.
	served, refused := 0, 0
	var held []*peer
	for range clients {
		c := dial(t, addr)
		_, err := io.WriteString(c, ping+"\n")
		switch line := c.line(); {
		case strings.Contains(line, "pong"):
			served++
			held = append(held, c)
		case strings.Contains(line, `"code":"too_many_connections"`):
			refused++
			c.Close()
		default:
			t.Fatalf("client %d: got %q (%v, %v)", served+refused, line, err, c.lines.Err())
		}
	}
	if served == 0 || refused < clients-200 {
		t.Errorf("%d were served and %d refused of %d", served, refused, clients)
	}

	// All at once, and none reads: some are told, the others closed.
	var crowd []*peer
	for range clients {
		crowd = append(crowd, dial(t, addr))
	}
	for _, c := range crowd {
		if line := c.line(); line != "" && !strings.Contains(line, `"code":"too_many_connections"`) {
			t.Errorf("got %q", line)
		}
	}

	for i, c := range held {
		c.send(ping)
		if line := c.line(); !strings.Contains(line, "pong") {
			t.Fatalf("connection %d of %d is no longer served: %q (%v)", i, len(held), line, c.lines.Err())
		}
		c.Close()
	}
	// There is room again as soon as the server has seen that.
	for over := time.Now().Add(proc.Timeout); ; {
		c := dial(t, addr)
		_, _ = io.WriteString(c, ping+"\n") // one that is refused may be closed already
		if strings.Contains(c.line(), "pong") {
			break
		}
		c.Close()
		if time.Now().After(over) {
			t.Fatal("nobody is served any more")
		}
	}
	p.Signal(syscall.SIGTERM)
	expectCode(t, p, 0)
}
