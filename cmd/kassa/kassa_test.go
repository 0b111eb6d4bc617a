package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kassa-go/kassa/cmd/internal/proc"
)

// kassa runs the program, with stdin as a pipe if it is not nil.
func kassa(t testing.TB, stdin io.Reader, env []string, args ...string) proc.Result {
	t.Helper()
	return proc.Command{Args: append([]string{bin + "/kassa"}, args...), Env: env, Stdin: stdin}.Run(t)
}

// expect checks what the program did: its exit code, all of its standard output, and a part of its standard error.
func expect(t testing.TB, got proc.Result, code int, stdout, stderr string) {
	t.Helper()
	if got.Code != code || got.Stdout != stdout || !strings.Contains(got.Stderr, stderr) || (stderr == "") != (got.Stderr == "") {
		t.Errorf("got  %+v\nwant code %d, %q, and %q in the error text", got, code, stdout, stderr)
	}
}

func TestRequest(t *testing.T) {
	socket := "unix://" + filepath.Join(t.TempDir(), "kassa.sock")
	_, tcp := proc.Kassad(t, bin, "--listen", "tcp://127.0.0.1:0,"+socket)
	for _, addr := range []string{tcp, strings.TrimPrefix(tcp, "tcp://"), socket} {
		for _, codec := range []string{"json", "crab", "binary"} {
			got := kassa(t, nil, nil, "--addr", addr, "--codec", codec, "request", "echo", `{"a" : [1, "ü\n"]}`)
			expect(t, got, 0, `{"a":[1,"ü\n"]}`+"\n", "")
		}
	}
	for _, codec := range []string{"json", "binary"} {
		expect(t, kassa(t, nil, nil, "--addr", tcp, "--codec", codec, "request", "echo"), 0, "null\n", "")
		expect(t, kassa(t, nil, nil, "--addr", tcp, "--codec", codec, "request", "echo", "null"), 0, "null\n", "")
	}
	// Flags may stand behind the command, and what begins with - behind --.
	expect(t, kassa(t, nil, nil, "request", "echo", "7", "--addr="+tcp), 0, "7\n", "")
	expect(t, kassa(t, nil, nil, "request", "--addr="+tcp, "echo", "--", "-7"), 0, "-7\n", "")
}

func TestRequestFromStdin(t *testing.T) {
	_, addr := proc.Kassad(t, bin)
	env := []string{"KASSA_ADDR=" + addr}
	values := "1 {\"a\":\n2}\n[3]\"four\""
	for _, args := range [][]string{{"request", "echo", "-"}, {"request", "echo"}} {
		expect(t, kassa(t, strings.NewReader(values), env, args...), 0, "1\n{\"a\":2}\n[3]\n\"four\"\n", "")
	}
	expect(t, kassa(t, strings.NewReader(""), env, "request", "echo"), 0, "null\n", "")
	expect(t, kassa(t, strings.NewReader(" \n"), env, "request", "echo", "-"), 2, "", "standard input holds no JSON")
	expect(t, kassa(t, strings.NewReader("1 2 nope 3"), env, "request", "echo", "-"), 2, "1\n2\n", "payload 3: standard input is not JSON")
	expect(t, kassa(t, strings.NewReader(`1 {"a":`), env, "request", "echo", "-"), 2, "1\n", "payload 2: standard input is not JSON: unexpected EOF")
	expect(t, kassa(t, strings.NewReader("1 2"), env, "request", "echo", "-", "--key", "k"), 2, "1\n", "payload 2: --key is for one request")
	expect(t, kassa(t, strings.NewReader("1 2"), env, "request", "nope", "-"), 1, "", "kassa: unknown_type: ")
	expect(t, kassa(t, strings.NewReader("ignored"), env, "request", "echo", "1"), 0, "1\n", "")
}

func TestNotJSON(t *testing.T) {
	// Nothing listens there: the payload is looked at first.
	for _, payload := range []string{"text", "{", "1 2", "{'a':1}", "", "01", "\"\xff\""} {
		got := kassa(t, nil, nil, "--addr", "tcp://127.0.0.1:1", "request", "echo", payload)
		expect(t, got, 2, "", "kassa: PAYLOAD ")
	}
}

func TestServerErrors(t *testing.T) {
	_, addr := proc.Kassad(t, bin, "--frame-bytes-max", "1000")
	expect(t, kassa(t, nil, nil, "--addr", addr, "request", "nope"), 1, "", `kassa: unknown_type: no handler for type "nope"`)
	large := `"` + strings.Repeat("x", 2000) + `"`
	expect(t, kassa(t, nil, nil, "--addr", addr, "request", "echo", large), 1, "", "frame_too_large")
}

func TestTimeout(t *testing.T) {
	_, addr := proc.Kassad(t, bin)
	got := kassa(t, nil, nil, "--addr", addr, "--timeout", "1s", "request", "cntResponse")
	expect(t, got, 1, "", "kassa: deadline_exceeded: no answer within 1s")
}

func TestSend(t *testing.T) {
	p, addr := proc.Kassad(t, bin, "--log-level", "debug")
	expect(t, kassa(t, nil, nil, "--addr", addr, "send", "echo", `{"a":1}`), 0, "", "")
	p.WaitLine("msg=started", "type=echo")
	expect(t, kassa(t, strings.NewReader("1 2"), nil, "--addr", addr, "send", "echo", "-"), 0, "", "")
	p.WaitLine("msg=started", "type=echo")
	p.WaitLine("msg=started", "type=echo")
}

func TestPing(t *testing.T) {
	_, addr := proc.Kassad(t, bin)
	for _, codec := range []string{"json", "crab", "binary"} {
		got := kassa(t, nil, nil, "--addr", addr, "--codec", codec, "ping", "-n", "3")
		lines := strings.Split(strings.TrimSpace(got.Stdout), "\n")
		if got.Code != 0 || got.Stderr != "" || len(lines) != 3 {
			t.Fatalf("%s: %+v", codec, got)
		}
		last := -1
		for _, line := range lines {
			var pong struct {
				Pong int
				Ms   float64
			}
			if err := json.Unmarshal([]byte(line), &pong); err != nil || pong.Pong <= last || pong.Ms <= 0 || pong.Ms > 30_000 {
				t.Errorf("%s: %s after %d (%v)", codec, line, last, err)
			}
			last = pong.Pong
		}
	}
}

// TestWhereTheServerIs checks where the address is taken from, in the order in which one source goes before the other.
func TestWhereTheServerIs(t *testing.T) {
	_, addr := proc.Kassad(t, bin)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(addr, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	nowhere := "tcp://127.0.0.1:1"
	for _, test := range []struct {
		name   string
		args   string
		env    string
		dotEnv string
		origin string // empty: it finds the server
	}{
		{name: "flag", args: "--addr " + addr, env: "KASSA_ADDR=" + nowhere},
		{name: "KASSA_ADDR", env: "KASSA_ADDR=" + addr + " SOCKET_PORT=1", dotEnv: "KASSA_ADDR=" + nowhere},
		{name: "KASSA_ADDR in .env", env: "SOCKET_PORT=1", dotEnv: "KASSA_ADDR=" + addr},
		{name: "SOCKET", env: "SOCKET_HOST=127.0.0.1 PORT=1 SOCKET_PORT=" + port},
		{name: "SOCKET in .env", env: "HOST=192.0.2.1 PORT=1", dotEnv: "SOCKET_HOST=127.0.0.1 SOCKET_PORT=" + port},
		{name: "version 1.1", env: "HOST=127.0.0.1 PORT=" + port},
		{name: "named file", args: "--env-file .env", dotEnv: "PORT=" + port},
		{name: "wrong flag", args: "--addr " + nowhere, origin: "from --addr"},
		{name: "wrong KASSA_ADDR", env: "KASSA_ADDR=" + nowhere, origin: "from KASSA_ADDR)"},
		{name: "wrong SOCKET_PORT", env: "SOCKET_PORT=1", origin: "from SOCKET_PORT)"},
		{name: "wrong PORT in .env", dotEnv: "PORT=1 HOST=localhost", origin: "from HOST in .env, PORT in .env)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			dotEnv := strings.ReplaceAll(test.dotEnv, " ", "\n") + "\n"
			if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(dotEnv), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{bin + "/kassa", "request", "echo", "5"}, strings.Fields(test.args)...)
			got := proc.Command{Args: args, Env: strings.Fields(test.env), Dir: dir}.Run(t)
			if test.origin == "" {
				expect(t, got, 0, "5\n", "")
			} else {
				expect(t, got, 3, "", test.origin)
				expect(t, got, 3, "", "Is kassad running?")
			}
		})
	}
}

func TestDefaultAddress(t *testing.T) {
	t.Chdir(t.TempDir())
	o, err := readOptions([]string{"ping"}, nil)
	if err != nil || o.addr != "tcp://127.0.0.1:41969" || o.addrOrigin != "" {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = readOptions([]string{"ping"}, []string{"SOCKET_HOST=::1"})
	if err != nil || o.addr != "tcp://[::1]:41969" {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestKassadsVariables checks that a .env file made for kassad does for kassa too.
func TestKassadsVariables(t *testing.T) {
	t.Chdir(t.TempDir())
	for value, want := range map[string]string{"auto": "json", "json": "json", "crab": "crab", "binary": "binary"} {
		o, err := readOptions([]string{"ping"}, []string{"KASSA_CODEC=" + value, "KASSA_QUEUE_LOG=4s"})
		if err != nil || o.codec.Name() != want {
			t.Errorf("KASSA_CODEC=%s: %+v, %v", value, o, err)
		}
	}
}

// TestWrongCodec checks that a server that speaks something else is not waited for without end.
func TestWrongCodec(t *testing.T) {
	_, addr := proc.Kassad(t, bin, "--codec", "crab")
	expect(t, kassa(t, nil, nil, "--addr", addr, "--timeout", "1s", "ping"), 3, "", "Does the server speak json (--codec)?")
}

func TestRefused(t *testing.T) {
	// Not TCP: somebody else's client might take the one place there is.
	socket := filepath.Join(t.TempDir(), "kassa.sock")
	_, addr := proc.Kassad(t, bin, "--conns-max", "1", "--listen", "unix://"+socket)
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, `{"type":"ping","queryIndex":1}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil { // it has been taken in
		t.Fatal(err)
	}
	expect(t, kassa(t, nil, nil, "--addr", addr, "ping"), 1, "", "kassa: too_many_connections: ")
}

func TestServerGoes(t *testing.T) {
	server, addr := proc.Kassad(t, bin, "--log-level", "debug")
	p := proc.Command{Args: []string{bin + "/kassa", "--addr", addr, "request", "cntResponse"}}.Start(t)
	server.WaitLine("msg=started", "type=cntResponse")
	server.Signal(syscall.SIGKILL)
	if code := p.Wait(); code != 1 || !strings.Contains(p.Output(), "kassa: unavailable: ") {
		t.Errorf("code %d, %s", code, p.Output())
	}
}

func TestUsage(t *testing.T) {
	long := strings.Repeat("x", 129)
	for _, test := range []struct{ args, want string }{
		{"", "a command is needed"},
		{"fly", `there is no command "fly"`},
		{"request", "request needs a type"},
		{"send", "send needs a type"},
		{"request a {} {}", "takes a type and one payload"},
		{"request " + long, "the type has 129 bytes"},
		{"request a --key " + long, "the key has 129 bytes"},
		{"ping now", "ping takes no arguments"},
		{"ping --key k", "--key is not for ping"},
		{"ping -n 0", "-n is 0, below one"},
		{"request a -n 2", "-n is not for request, only for book, hold create, lease acquire, lease run, ping, slot find"},
		{"request a -5", "behind --"},
		{"--nope ping", "unknown flag: --nope"},
		{"--codec xml ping", "want json, crab or binary"},
		{"--timeout=-1s ping", "--timeout is -1s, below zero"},
		{"--addr udp://127.0.0.1:1 ping", `--addr is "udp://127.0.0.1:1": want tcp://HOST:PORT or unix:///PATH`},
		{"--addr nowhere ping", `--addr is "nowhere": want`},
		{"--addr unix:// ping", `--addr is "unix://": want`},
		{"book rooms --start 10:00 --for 90", `--for is "90": want a length of time, such as 500ms, 90s, 30m or 2h`},
		{"lease acquire p --ttl 1d", `--ttl is "1d": want a length of time`},
		{"watch --from-rev abc", `--from-rev is "abc": want a whole number, not below zero`},
		{"demo --clients abc", `--clients is "abc": want a whole number`},
		{"ping -n many", `-n is "many": want a whole number`},
		{"help fly", `there is no command "fly", only request, `},
		{"fly away --help", `there is no command "fly", only request, `},
		{"slot fly --help", `there is no command "slot fly", only slot cancel, `},
		{"--env-file /nonexistent ping", "/nonexistent: no such file"},
	} {
		t.Run(test.args, func(t *testing.T) {
			expect(t, kassa(t, nil, nil, strings.Fields(test.args)...), 2, "", test.want)
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	// Beside a command it says what it says of that, and no more.
	for args, want := range map[string][2]string{
		"hold --help":           {"hold confirm|void HOLD TOKEN [SEAT|SEAT=QTY...]\n", "sale"},
		"hold void --help":      {"\nhold void      gives it back, or the seats named\n", "hold confirm  "},
		"help slot day":         {"\nslot day       draws the day on a terminal, a line a room, else prints ", "slot find"},
		"book rooms --help":     {"\nWHEN is 2026-11-21T10:00, by the clocks of the pool's zone", "slot find "},
		"demo --help":           {"\n      --patience TIME   TIME that the demo waits", "--rrule"},
		"lease run -h":          {"\nlease run takes the lease, runs COMMAND, and gives the lease back", "lease renew  "},
		"journal dump --help":   {"Usage: kassa journal dump DIR [--from-rev REV]", "verify  "},
		"request --help":        {"Usage: kassa [flags] request TYPE [PAYLOAD|-]\n\nrequest  asks for TYPE", "send  "},
		"hold create x -n 3 -h": {"  kassa hold create cinema --best 3 --owner anna --ttl 5m\n", "kassa hold confirm 304"},
		"lease --help":          {"\nlease run takes the lease, runs COMMAND, and gives the lease back", "pool fill"},
		"pool fill --help":      {"\n  seq -f '\"p%g\"' 1 5000 | kassa pool fill proxies -\n", "lease"},
		"journal verify --help": {"\n  kassa backup && kassa journal verify /var/", "kassa backup\n"},
		"hold extend -h":        {"\nTIME is a length of time, such as 500ms", "\nWHEN is"},
	} {
		got := kassa(t, nil, nil, strings.Fields(args)...)
		if got.Code != 0 || !strings.Contains(got.Stdout, want[0]) || strings.Contains(got.Stdout, want[1]) || got.Stderr != "" {
			t.Errorf("%s: want %q, and not %q: %+v", args, want[0], want[1], got)
		}
	}
	for range 10 { // whatever the order of a map
		if got, err := helpOn([]string{"lease"}); err != nil || !strings.Contains(got, "\nlease run takes the lease") {
			t.Fatal(got, err)
		}
	}
	for args, want := range map[string]string{"--help": "kassa ping -n 3", "-h": "Usage: kassa", "help": "Usage: kassa", "request --help": "Usage: kassa", "--version": "kassa "} {
		got := kassa(t, nil, nil, strings.Fields(args)...)
		if got.Code != 0 || !strings.Contains(got.Stdout, want) || got.Stderr != "" {
			t.Errorf("%s: %+v", args, got)
		}
	}
}

// TestManyFromStdin sends enough that a loss would show.
func TestManyFromStdin(t *testing.T) {
	_, addr := proc.Kassad(t, bin)
	var in strings.Builder
	for i := range 300 {
		fmt.Fprintln(&in, i)
	}
	expect(t, kassa(t, strings.NewReader(in.String()), nil, "--addr", addr, "request", "echo"), 0, in.String(), "")
}
