package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// services are those behind a broker, each with the command that makes or finds the broker's program.
var services = map[string]func(t *testing.T) string{
	"nats": func(t *testing.T) string {
		program := filepath.Join(t.TempDir(), "nats-server")
		if out, err := exec.Command("go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return program
	},
	"redis-lists": func(*testing.T) string { return "redis-server" },
	"gearmand":    func(*testing.T) string { return "/usr/sbin/gearmand" },
}

var brokered = map[string]func(context.Context, options, func(string)) error{
	"nats": natsService, "redis-lists": redisLists, "gearmand": gearmand,
}

// start starts a service in this process, and returns where it listens and how it ends.
func start(ctx context.Context, t *testing.T, name, program string) (addr string, ended <-chan error) {
	t.Helper()
	ts, err := newTypes("")
	if err != nil {
		t.Fatal(err)
	}
	listening, end := make(chan string, 1), make(chan error, 1)
	go func() {
		end <- brokered[name](ctx, options{types: ts, args: []string{program}}, func(addr string) { listening <- addr })
	}()
	select {
	case addr := <-listening:
		return addr, end
	case err := <-end:
		t.Fatalf("%s: %v", name, err)
	}
	return "", nil
}

// Without its broker a service is none, and says so.
func TestBrokerDies(t *testing.T) {
	for name, program := range services {
		t.Run(name, func(t *testing.T) {
			addr, ended := start(t.Context(), t, name, program(t))
			if err := syscall.Kill(onlyChild(t), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err == nil {
				t.Error("it goes on without its broker")
			} else {
				t.Log(err)
			}
			checkGone(t, addr)
		})
	}
}

// When it is told to, a service ends well, and its broker is gone when it has.
func TestBrokerEnds(t *testing.T) {
	for name, program := range services {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			addr, ended := start(ctx, t, name, program(t))
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			checkGone(t, addr)
		})
	}
}

func TestBrokerDoesNotStart(t *testing.T) {
	for what, line := range map[string][]string{
		"nothing to run": {filepath.Join(t.TempDir(), "broker")},
		"it ends":        {"false"},
	} {
		work := func(context.Context, string, func()) error { return errors.New("it works") }
		err := runBroker(t.Context(), func(string) []string { return line }, work, func(string) { t.Error(what, "and listens") })
		if err == nil || !strings.Contains(err.Error(), "ended at once") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Workers that fail end the service and its broker.
func TestBrokerWorkFails(t *testing.T) {
	var addr string
	err := runBroker(t.Context(), func(port string) []string { return []string{"nc", "-lk", "127.0.0.1", port} },
		func(_ context.Context, at string, _ func()) error {
			addr = at
			return errors.New("out of luck")
		}, nil)
	if err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Error(err)
	}
	checkGone(t, addr)
}

// A broker that closes the connection to a worker, or sends what is not its protocol, ends the work with an error.
func TestWorkersNotice(t *testing.T) {
	for _, says := range []string{"", "what is this?\r\n\r\n", "*2\r\n$1\r\nx\r\n", "*2\r\n$-5\r\n", "\x00RES\x00\x00\x00\x63\x00\x00\x00\x00", "*2\r\n$4\r\nq:t0\r\n*1\r\n$9\r\nr0000007 \r\n"} {
		for name, work := range map[string]func(addr string) error{
			"redis-lists": func(addr string) error {
				return workByType(t.Context(), addr, func() {}, func(c net.Conn, i int) error { return redisWork(c, addr, i, func() {}) })
			},
			"gearmand": func(addr string) error {
				return workByType(t.Context(), addr, func() {}, func(c net.Conn, i int) error { return gearmanWork(c, i, func() {}) })
			},
		} {
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { // ends with ln
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					_, _ = c.Write([]byte(says))
					_ = c.(*net.TCPConn).CloseWrite()
				}
			}()
			ended := make(chan error, 1)
			go func() { ended <- work(ln.Addr().String()) }()
			select {
			case err := <-ended:
				if err == nil {
					t.Errorf("%s: %q is in order", name, says)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("%s waits for more than %q", name, says)
			}
			ln.Close()
		}
	}
}

// onlyChild returns the one process that this one has started and that lives.
func onlyChild(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range files {
		text, _ := os.ReadFile(name) // a thread that has ended has none
		all = append(all, strings.Fields(string(text))...)
	}
	if len(all) != 1 {
		t.Fatalf("this process has the children %q", all)
	}
	child, err := strconv.Atoi(all[0])
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// checkGone looks that nobody listens at a broker's address, and that no child is left.
func checkGone(t *testing.T, addr string) {
	t.Helper()
	if c, err := net.Dial("tcp4", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("somebody listens at %s: %v, %v", addr, c, err)
	}
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Error(fmt.Sprint("a child is left: ", pid, ", ", err))
	}
}
