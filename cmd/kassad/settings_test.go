package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/kassa-go/kassa/codec"
)

// dotEnv makes a directory with a .env file the working one.
func dotEnv(t *testing.T, lines ...string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
}

func TestDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	got, err := readSettings(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		listen: []string{"tcp://127.0.0.1:41969", "tcp://[::1]:41969"}, defaultListen: true,
		codec: codec.Auto{}, drainTimeout: 10 * time.Second, eventsKeep: 24 * time.Hour, eventsMax: 1 << 30,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestEveryFlag(t *testing.T) {
	t.Chdir(t.TempDir())
	want := settings{
		listen: []string{"tcp://127.0.0.1:1", "unix:///a", "tcp://[::1]:0"},
		codec:  codec.Crab{}, connsMax: 2, loops: 3, frameBytesMax: 4, credit: 5,
		frameTimeout: 6 * time.Second, idleTimeout: 7 * time.Minute, drainTimeout: 0,
		config: "c.yaml", data: "d", backups: "b", eventsKeep: 8 * time.Hour, eventsMax: 9,
		demo: true, queueLog: 4 * time.Second, logLevel: slog.LevelWarn, logJSON: true,
	}
	args := []string{
		"--listen", "tcp://127.0.0.1:1, unix:///a", "--listen=tcp://[::1]:0",
		"--codec", "crab", "--conns-max", "2", "--loops", "3", "--frame-bytes-max", "4", "--credit", "5",
		"--frame-timeout", "6s", "--idle-timeout", "7m", "--drain-timeout", "0",
		"--config", "c.yaml", "--data", "d", "--backups", "b", "--events-keep", "8h", "--events-bytes-max", "9",
		"--demo", "--queue-log", "4s", "--log-level", "warn", "--log-format", "json",
	}
	got, err := readSettings(args, nil)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("by flags: %v\ngot  %+v\nwant %+v", err, got, want)
	}

	var environment []string
	settable, _ := new(settings).flags()
	for _, setting := range []string{
		"LISTEN=tcp://127.0.0.1:1,unix:///a,tcp://[::1]:0",
		"CODEC=crab", "CONNS_MAX=2", "LOOPS=3", "FRAME_BYTES_MAX=4", "CREDIT=5",
		"FRAME_TIMEOUT=6s", "IDLE_TIMEOUT=7m", "DRAIN_TIMEOUT=0",
		"CONFIG=c.yaml", "DATA=d", "BACKUPS=b", "EVENTS_KEEP=8h", "EVENTS_BYTES_MAX=9",
		"DEMO=true", "QUEUE_LOG=4s", "LOG_LEVEL=warn", "LOG_FORMAT=json",
	} {
		name, _, _ := strings.Cut(setting, "=")
		if settable.Lookup(strings.ToLower(strings.ReplaceAll(name, "_", "-"))) == nil {
			t.Errorf("no flag for %s", name)
		}
		environment = append(environment, "KASSA_"+setting)
	}
	n := 0
	settable.VisitAll(func(*pflag.Flag) { n++ })
	if n != len(environment) {
		t.Errorf("%d flags can be set by variables, the test knows %d", n, len(environment))
	}
	got, err = readSettings(nil, environment)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("by environment: %v\ngot  %+v\nwant %+v", err, got, want)
	}

	dotEnv(t, environment...)
	got, err = readSettings(nil, nil)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("by .env: %v\ngot  %+v\nwant %+v", err, got, want)
	}
}

func TestPrecedence(t *testing.T) {
	dotEnv(t, "KASSA_CREDIT=1", "KASSA_LOOPS=1", "KASSA_CONNS_MAX=1", "SOCKET_PORT=1001", "PORT=1002")
	s, err := readSettings([]string{"--credit", "3"}, []string{"KASSA_CREDIT=2", "KASSA_LOOPS=2"})
	if err != nil {
		t.Fatal(err)
	}
	if s.credit != 3 || s.loops != 2 || s.connsMax != 1 {
		t.Errorf("credit %d from a flag, loops %d from the environment, connsMax %d from .env; want 3, 2, 1", s.credit, s.loops, s.connsMax)
	}
	for _, test := range []struct {
		environment, args string
		first             string
	}{
		{"", "", "tcp://127.0.0.1:1001"},
		{"PORT=1003", "", "tcp://127.0.0.1:1001"},
		{"SOCKET_PORT=1004", "", "tcp://127.0.0.1:1004"},
		{"SOCKET_PORT=1004 KASSA_LISTEN=tcp://127.0.0.2:5", "", "tcp://127.0.0.2:5"},
		{"KASSA_LISTEN=tcp://127.0.0.2:5", "--listen=unix:///x", "unix:///x"},
		{"KASSA_LISTEN=", "", "tcp://127.0.0.1:1001"},
		{"SOCKET_PORT=none", "--listen=unix:///x", "unix:///x"},
	} {
		s, err := readSettings(strings.Fields(test.args), strings.Fields(test.environment))
		if err != nil || s.listen[0] != test.first {
			t.Errorf("environment %q, flags %q: listens at %v (%v), want %s first", test.environment, test.args, s.listen, err, test.first)
		}
	}
}

func TestPortOfVersion11(t *testing.T) {
	t.Chdir(t.TempDir())
	s, err := readSettings(nil, []string{"PORT=1002", "HOST=127.0.0.1"})
	if err != nil || s.listen[0] != "tcp://127.0.0.1:1002" || s.hint != "" {
		t.Errorf("listens at %v, hint %q, %v", s.listen, s.hint, err)
	}
}

// TestHostIsForClients checks that what tells clients where the server is does not open it to the world.
func TestHostIsForClients(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, host := range []string{"0.0.0.0", "192.0.2.1", "server.example", "::"} {
		for _, name := range []string{"SOCKET_HOST", "HOST"} {
			s, err := readSettings(nil, []string{name + "=" + host})
			if err != nil || len(outside(s.listen)) > 0 || !strings.Contains(s.hint, name) {
				t.Errorf("%s=%s: listens at %v, hint %q, %v", name, host, s.listen, s.hint, err)
			}
		}
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		if s, err := readSettings(nil, []string{"SOCKET_HOST=" + host}); err != nil || s.hint != "" {
			t.Errorf("SOCKET_HOST=%s: hint %q, %v", host, s.hint, err)
		}
	}
}

func TestOutside(t *testing.T) {
	got := outside([]string{"tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "tcp://127.8.8.8:1", "unix:///x",
		"tcp://:1", "tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://192.0.2.1:1", "tcp://host:1"})
	if len(got) != 5 || got[0] != "tcp://:1" {
		t.Errorf("got %q", got)
	}
}

func TestBadSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	bad := filepath.Join(t.TempDir(), "bad.env")
	if err := os.WriteFile(bad, []byte("A=1\nB=\"SECRET\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args, environment string
		want              string
	}{
		{"--nope", "", "unknown flag: --nope"},
		{"serve", "", `unexpected argument "serve"`},
		{"--loops", "", "flag needs an argument: --loops"},
		{"--loops x", "", `invalid argument "x" for "--loops" flag: want a whole number`},
		{"--credit=-1", "", `invalid argument "-1" for "--credit" flag: want a whole number, 0 or more`},
		{"--drain-timeout 5", "", `"--drain-timeout" flag: want a length of time`},
		{"--idle-timeout=-5s", "", "want a length of time"},
		{"--codec xml", "", "want auto, json, crab or binary"},
		{"--log-format xml", "", "want text or json"},
		{"--log-level loud", "", "loud"},
		{"--demo=perhaps", "", "--demo"},
		{"--backups b", "", "--backups needs --data DIR"},
		{"--data d --backups ./d/", "", "--backups and --data name the same directory"},
		{"--listen 127.0.0.1:1", "", "want tcp://HOST:PORT or unix:///PATH"},
		{"--listen tcp://127.0.0.1", "", "want tcp://HOST:PORT"},
		{"--listen tcp://127.0.0.1:70000", "", "want tcp://HOST:PORT"},
		{"--listen tcp://127.0.0.1:1/x", "", "want tcp://HOST:PORT"},
		{"--listen tcp://127.0.0.1:http", "", "want tcp://HOST:PORT"},
		{"--listen unix://", "", "unix:///PATH"},
		{"--listen unix:///" + strings.Repeat("x", 107), "", "has 108 bytes, a Unix socket's may have 107"},
		{"--listen udp://127.0.0.1:1", "", "want tcp://HOST:PORT"},
		{"--listen tcp://127.0.0.1:1,", "", "want tcp://HOST:PORT"},
		{"--env-file /nonexistent", "", "/nonexistent: no such file"},
		{"", "KASSA_ENV_FILE=/nonexistent", "/nonexistent: no such file"},
		{"--env-file " + bad, "", bad + " is no .env file"},
		{"", "KASSA_LOOPS=many", `KASSA_LOOPS is "many": want a whole number`},
		{"", "SOCKET_PORT=http", `SOCKET_PORT is "http": a port is a number from 1 to 65535`},
		{"", "PORT=0", `PORT is "0": a port is a number`},
		{"", "PORT=65536", `PORT is "65536": a port is a number`},
	} {
		_, err := readSettings(strings.Fields(test.args), strings.Fields(test.environment))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s %s: error %v, want one line with %q", test.environment, test.args, err, test.want)
		}
	}
}
