package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/pool/wire"
)

// work is what scripts do until they are ended, but not for ever.
const work = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); sleep 0.01; done"

// keptServer starts a kassad that keeps a pool, proxies, and returns what starts it again in the same place, and the
// environment that leads to it.
func keptServer(t testing.TB, args ...string) (p *proc.Process, again func() *proc.Process, env []string) {
	t.Helper()
	dir := t.TempDir()
	yaml := filepath.Join(dir, "kassa.yaml")
	if err := os.WriteFile(yaml, []byte("pools:\n  proxies: {ids: p1..p3}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--config", yaml, "--data", filepath.Join(dir, "data"), "--listen", "unix://" + filepath.Join(dir, "socket")}, args...)
	again = func() *proc.Process {
		p, _ := proc.Kassad(t, bin, args...)
		return p
	}
	return again(), again, []string{"KASSA_ADDR=unix://" + filepath.Join(dir, "socket"), "KASSA=" + bin + "/kassa", "DATA=" + filepath.Join(dir, "data")}
}

// running starts a lease run whose script has printed "begin".
func running(t testing.TB, env []string, flags, script string) *proc.Process {
	t.Helper()
	args := []string{"setsid", bin + "/kassa", "lease", "run", "proxies"} // without a terminal, wherever the test runs
	p := proc.Command{Args: append(append(args, strings.Fields(flags)...), "--", "sh", "-c", script), Env: env}.Start(t)
	p.WaitLine("begin")
	return p
}

func stats(t testing.TB, env []string) wire.PoolStats {
	t.Helper()
	return result[wire.PoolStats](t, kassa(t, nil, env, "pool", "stats", "proxies"))
}

// awaitStats asks for the numbers of the pool until they are good.
func awaitStats(t testing.TB, env []string, patience time.Duration, good func(wire.PoolStats) bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for s := stats(t, env); !good(s); s = stats(t, env) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s)
		}
	}
}

func TestLeaseRun(t *testing.T) {
	env := poolServer(t)
	items := `{"id":"a b","labels":{"os":"ios"},"attrs":{"port":1}} "c"`
	expect(t, kassa(t, strings.NewReader(items), env, "pool", "fill", "proxies", "-"), 0, `{"added":2,"changed":0}`+"\n", "")

	run := func(stdin, flags string, command ...string) proc.Result {
		args := append([]string{"lease", "run", "proxies"}, strings.Fields(flags)...)
		return kassa(t, strings.NewReader(stdin), append(env, "MINE=1"), append(append(args, "--"), command...)...)
	}
	script := `echo "$MINE $KASSA_ITEM,$KASSA_ITEMS,$KASSA_ITEMS_JSON"; cat; printf "%s\n" "$1" >&2; echo "$KASSA_LEASE $KASSA_TOKEN"`
	got := run("in", "-n 2 --owner me", "sh", "-c", script, "", "-n")
	var lease, token int
	lines := strings.SplitN(got.Stdout, "\n", 2)
	want := `1 a b,a b c,[{"pool":"proxies","id":"a b","labels":{"os":"ios"},"attrs":{"port":1}},{"pool":"proxies","id":"c"}]`
	if _, err := fmt.Sscanf(lines[1], "in%d %d\n", &lease, &token); err != nil || lease == 0 || token == 0 || lines[0] != want {
		t.Errorf("%+v, %v", got, err)
	}
	if got.Code != 0 || got.Stderr != "-n\n" {
		t.Errorf("%+v", got)
	}
	if s := stats(t, env); s.Free != 2 || s.Granted != 2 {
		t.Errorf("%+v", s)
	}

	for _, test := range []struct {
		flags, script string
		code          int
		state         string
	}{
		{"", "exit 3", 3, "free"},
		{"", "kill -9 $$", 128 + 9, "free"},
		{"--on-failure dirty", "exit 0", 0, "free"},
		{"--on-failure dirty", "exit 255", 255, "dirty"},
		{"--on-failure dirty", "kill -TERM $$", 128 + 15, "dirty"},
	} {
		expect(t, kassa(t, nil, env, "pool", "drain", "proxies", "c"), 0, `{"removed":1,"draining":0}`+"\n", "")
		expect(t, kassa(t, nil, env, "pool", "fill", "proxies", "c"), 0, `{"added":1,"changed":0}`+"\n", "")
		expect(t, run("", test.flags+" --ids c", "sh", "-c", test.script), test.code, "", "")
		if got := kassa(t, nil, env, "pool", "ls", "proxies"); !strings.Contains(got.Stdout, fmt.Sprintf(`"id":"c","state":%q`, test.state)) {
			t.Errorf("%+v: %s", test, got.Stdout)
		}
	}

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "garbage"), []byte("\x7fELF"), 0o700); err != nil {
		t.Fatal(err)
	}
	expect(t, run("", "", "no-such-command"), 127, "", `kassa: exec: "no-such-command": executable file not found in $PATH`)
	expect(t, run("", "", dir+"/nothing"), 127, "", "no such file")
	expect(t, run("", "", dir+"/data"), 126, "", "permission denied")
	before := stats(t, env).Granted
	expect(t, run("", "--on-failure broken", dir+"/garbage"), 126, "", "exec format error")
	if s := stats(t, env); s.Granted != before+1 || s.Leased != 0 {
		t.Errorf("%+v, before %d were granted", s, before)
	}
	expect(t, run("", "-n 3", "true"), 125, "", "kassa: no_match: ")
	expect(t, run("", "", "sh", "-c", `"$0" lease run proxies -n 2 -- true`, bin+"/kassa"), 125, "", "kassa: none_free: ")
}

// TestLeaseRunNested checks that a kassa in COMMAND asks the same server, however that was named.
func TestLeaseRunNested(t *testing.T) {
	_, _, env := keptServer(t, "--codec", "crab")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(env[0]+"\nKASSA_CODEC=crab\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimPrefix(env[0], "KASSA_ADDR=")
	for _, flags := range []string{"--codec crab --addr " + addr, "--env-file " + file} {
		wrong := []string{"KASSA=" + bin + "/kassa", "KASSA_TIMEOUT=10s"}
		if strings.HasPrefix(flags, "--codec") {
			wrong = append(wrong, "KASSA_CODEC=binary", "KASSA_ADDR=tcp://127.0.0.1:1")
		}
		args := append(strings.Fields("lease run proxies "+flags), "--", "sh", "-c", `"$KASSA" ping | grep -c pong; echo "$KASSA_ADDR"`)
		expect(t, kassa(t, nil, wrong, args...), 0, "1\n"+addr+"\n", "")
	}
}

func TestLeaseRunUsage(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "lease run needs POOL: kassa lease run POOL -- COMMAND [ARG...]"},
		{"p", "lease run needs COMMAND"},
		{"p true", "lease run needs -- right in front of the command"},
		{"p x -- true", "lease run needs -- right in front of the command"},
		{"p --", "lease run needs COMMAND"},
		{"p --nope -- true", "unknown flag: --nope"},
		{"p --key k -- true", "--key is not for lease run"},
		{"p --ttl x -- true", "ttl"},
		{"p --ttl=-1s -- true", "--ttl is -1s"},
		{"p --on-failure x -- true", `--on-failure is "x": want clean, dirty or broken`},
		{"p --kill-after=-1s -- true", "--kill-after is -1s, below zero"},
		{"p --addr tcp://127.0.0.1:1 -- true", "Is kassad running?"},
	} {
		expect(t, kassa(t, nil, nil, strings.Fields("lease run "+test.args)...), 125, "", test.want)
	}
}

func TestLeaseRunPassesSignals(t *testing.T) {
	env := poolServer(t)
	result[any](t, kassa(t, nil, env, "pool", "fill", "proxies", "a", "b"))
	script := `for s in INT TERM HUP QUIT USR1 USR2; do trap "echo got $s" $s; done; trap "echo bye; exit 5" TERM; echo begin; ` + work
	p := running(t, env, "--on-failure dirty --ids a", script)
	for name, sig := range map[string]syscall.Signal{"INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2} {
		if signal.Ignored(sig) { // as nohup has it, and a shell that was started so can not trap it
			continue
		}
		p.Signal(sig)
		p.WaitLine("got " + name)
	}
	if s := stats(t, env); s.Leased != 1 {
		t.Errorf("%+v", s)
	}
	p.Signal(syscall.SIGTERM)
	p.WaitLine("bye")
	if code := p.Wait(); code != 5 {
		t.Errorf("code %d", code)
	}
	if s := stats(t, env); s.Dirty != 1 || s.Free != 1 {
		t.Errorf("%+v", s)
	}

	// There is no command yet.
	result[wire.Lease](t, kassa(t, nil, env, "lease", "acquire", "proxies"))
	p = proc.Command{Args: []string{bin + "/kassa", "lease", "run", "proxies", "--wait", "1m", "--", "echo", "wrong"}, Env: env}.Start(t)
	awaitStats(t, env, proc.Timeout, func(s wire.PoolStats) bool { return s.Waiting == 1 })
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 128+15 || !strings.Contains(p.Output(), "kassa: terminated: the command was not started") {
		t.Errorf("code %d, %s", code, p.Output())
	}
	// The wait was cancelled, not left to the grace time, which is 10 s.
	awaitStats(t, env, 5*time.Second, func(s wire.PoolStats) bool { return s.Waiting == 0 && s.Leased == 1 })
}

// TestLeaseRunIsKilled kills kassa: nobody renews the lease, so the command must not go on.
func TestLeaseRunIsKilled(t *testing.T) {
	env := poolServer(t)
	result[any](t, kassa(t, nil, env, "pool", "fill", "proxies", "a"))
	p := running(t, env, "", `trap "echo got TERM; exit" TERM; echo begin; `+work)
	p.Signal(syscall.SIGKILL)
	p.WaitLine("got TERM")
}

// TestLeaseRunLosesLease takes the lease away: what the command has started ends, whatever it thinks of TERM.
func TestLeaseRunLosesLease(t *testing.T) {
	for name, script := range map[string]string{
		"obeys":            `trap "echo got TERM; exit" TERM; echo begin $$; ` + work,
		"ignores":          `trap "echo got TERM" TERM; echo begin $$; ` + work,
		"leaves a process": `sh -c 'trap "echo got TERM" TERM; echo begin $$; ` + work + `' & wait`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, _, env := keptServer(t)
			args := []string{"setsid", bin + "/kassa", "lease", "run", "proxies", "--ttl", "1s", "--kill-after", "500ms", "--", "sh", "-c", script}
			p := proc.Command{Args: args, Env: env}.Start(t)
			pid := strings.TrimPrefix(p.WaitLine("begin "), "begin ")
			server.Signal(syscall.SIGKILL)
			p.WaitLine("kassa: lease lost: ", "the command is sent TERM, and KILL after 500ms")
			p.WaitLine("got TERM")
			if code := p.Wait(); code != 124 {
				t.Errorf("code %d", code)
			}
			if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
				t.Errorf("process %s goes on", pid)
			}
		})
	}
	t.Run("taken back", func(t *testing.T) {
		t.Parallel()
		_, _, env := keptServer(t)
		p := running(t, env, "--ttl 1s", `"$KASSA" lease release $KASSA_LEASE $KASSA_TOKEN; echo begin; sleep 60`)
		p.WaitLine("kassa: lease lost: ")
		if code := p.Wait(); code != 124 {
			t.Errorf("code %d", code)
		}
		p = running(t, env, "--ttl 1m", `"$KASSA" lease release $KASSA_LEASE $KASSA_TOKEN; echo begin`)
		p.WaitLine("kassa: the lease could not be given back: ", "stale_token: ")
		if code := p.Wait(); code != 124 {
			t.Errorf("code %d", code)
		}
	})
	t.Run("ends with the command", func(t *testing.T) {
		t.Parallel()
		_, _, env := keptServer(t)
		for range 5 { // a signal for kassa and the command, as a service manager sends it
			p := running(t, env, "--ttl 1h", "trap 'kill -TERM $PPID; exit 0' TERM; echo begin; "+work)
			p.Signal(syscall.SIGTERM)
			if code := p.Wait(); code != 0 || strings.Contains(p.Output(), "kassa:") {
				t.Errorf("code %d, %s", code, p.Output())
			}
		}
		if s := stats(t, env); s.Leased != 0 || s.Free != 3 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("not at its end", func(t *testing.T) {
		t.Parallel()
		server, _, env := keptServer(t)
		p := running(t, env, "--ttl 2s", "trap 'exit 3' TERM; echo begin; "+work)
		server.Signal(syscall.SIGKILL)
		server.Wait()
		p.Signal(syscall.SIGTERM)
		p.WaitLine("kassa: the lease could not be given back: ")
		if code := p.Wait(); code != 3 {
			t.Errorf("code %d", code)
		}
	})
}

// TestLeaseRunGoesOn checks that a command goes on though the server was killed, if it comes back in time.
func TestLeaseRunGoesOn(t *testing.T) {
	server, again, env := keptServer(t)
	p := running(t, env, "--ttl 6s", `trap "exit 7" TERM; echo begin; `+work)
	expiresAt := func() int64 {
		first, _, _ := strings.Cut(kassa(t, nil, env, "pool", "ls", "proxies").Stdout, "\n")
		var it wire.ItemState
		if err := json.Unmarshal([]byte(first), &it); err != nil || it.State != "leased" {
			t.Fatalf("%s, %v", first, err)
		}
		return it.ExpiresAt
	}
	before := expiresAt()
	server.Signal(syscall.SIGKILL)
	server.Wait()
	again()
	for deadline := time.Now().Add(proc.Timeout); expiresAt() == before; {
		if time.Now().After(deadline) {
			t.Fatal("the lease is not renewed")
		}
	}
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 7 || strings.Contains(p.Output(), "kassa:") {
		t.Errorf("code %d, %s", code, p.Output())
	}
	if s := stats(t, env); s.Free != 3 {
		t.Errorf("%+v", s)
	}
}

// TestLeaseRunOnTerminal checks that Ctrl-C reaches the command once: the terminal sends it to all there are.
func TestLeaseRunOnTerminal(t *testing.T) {
	env := poolServer(t)
	result[any](t, kassa(t, nil, env, "pool", "fill", "proxies", "a"))
	in, keys, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	count := filepath.Join(t.TempDir(), "count")
	line := "exec " + bin + `/kassa lease run proxies -- sh -c 'trap "echo x >>` + count + `; echo got INT" INT; echo begin; ` +
		`while [ ! -e ` + count + ` ]; do sleep 0.01; done; read x; echo "got $x"; exit 9'`
	p := proc.Command{Args: []string{"script", "-qec", line, "/dev/null"}, Env: append(env, "SHELL=/bin/sh"), Stdin: in}.Start(t)
	p.WaitLine("begin")
	fmt.Fprint(keys, "\x03")
	p.WaitLine("got INT")
	fmt.Fprint(keys, "text\n")
	p.WaitLine("got text")
	keys.Close()
	if code := p.Wait(); code != 9 {
		t.Errorf("code %d", code)
	}
	if got, err := os.ReadFile(count); err != nil || string(got) != "x\n" {
		t.Errorf("INT came %s times, %v", strconv.Itoa(len(got)/2), err)
	}
}
