package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/cmd/bench/report"
	"github.com/kassa-go/kassa/bench/load"
)

var program string // that the tests run

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kassa-bench-test-")
	if err == nil {
		program = filepath.Join(dir, "kassa-bench")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

const timeout = 2 * time.Minute // of all that the program is waited for

// brief are flags for runs that measure nothing.
var brief = []string{"--rounds=1", "--repeats=0", "--warmup=5ms", "--measure=30ms"}

type output struct {
	stdout, stderr string
	code           int
}

func runSuite(t *testing.T, args ...string) output {
	t.Helper()
	return runCommand(t, append([]string{program}, args...)...)
}

func runCommand(t *testing.T, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%q: %v\n%s", args, err, &stderr)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func TestWrongArguments(t *testing.T) {
	for args, want := range map[string]string{
		"--cells nope":                 "or a group: requests, codecs, loops, jobbers, capacity, pools, all",
		"--cells 64x16,":               "an empty name",
		"--cells= --rounds 1":          "an empty name",
		"--peers= --rounds 1":          "an empty name",
		"--out= --rounds 1":            "--out names a file",
		"--cells open64@0":             `cell "open64@0": want CxW`,
		"--cells 0x1":                  "1 to 1,048,576 connections",
		"--peers gnet":                 "there are kassa, gnet-echo, ",
		"--peers redis --cells 64x16":  "none of these peers can do these cells",
		"--rounds 0":                   "--rounds and --threads are at least 1",
		"--measure 0s":                 "are above 0",
		"--measure fast":               "fast",
		"64x16":                        "cells go behind --cells",
		"--nope":                       "unknown flag: --nope",
		"--servers kassa --cells 64x1": "unknown flag: --servers",
	} {
		got := runSuite(t, strings.Fields(args)...)
		if got.code != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: code %d, %q, want %q", args, got.code, got.stderr, want)
		}
	}
}

func TestHelp(t *testing.T) {
	got := runSuite(t, "--help")
	if got.code != exitOK || got.stderr != "" || !strings.HasPrefix(got.stdout, "Usage: kassa bench [flags]\n") {
		t.Errorf("code %d, %q, %q", got.code, got.stdout, got.stderr)
	}
	new(options).flags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(got.stdout, "--"+f.Name) {
			t.Errorf("help does not tell of --%s", f.Name)
		}
	})
	for line := range strings.Lines(got.stdout) {
		if len(line) > 125 {
			t.Errorf("a line of %d bytes: %s", len(line), line)
		}
	}
}

func TestList(t *testing.T) {
	got := runSuite(t, "--list")
	if got.code != exitOK || got.stderr != "" {
		t.Fatalf("code %d, %s", got.code, got.stderr)
	}
	names := append(bench.CellNames(), "requests", "all")
	for _, p := range bench.Peers("../../..") {
		names = append(names, p.Name())
	}
	for _, name := range names {
		if !strings.Contains(got.stdout, "\n"+name+" ") {
			t.Errorf("%s is not listed:\n%s", name, got.stdout)
		}
	}
	if got := runSuite(t, "--list", "--cells", "64x16/crab", "--peers", "gnet-echo"); strings.Contains(got.stdout, "1x1") || strings.Contains(got.stdout, "\nredis") {
		t.Errorf("more is listed than was asked for:\n%s", got.stdout)
	}
}

// standIn is a peer that is not there.
type standIn string

func (p standIn) Name() string                                { return string(p) }
func (standIn) Build(context.Context, string) (string, error) { return "", errors.New("not built") }
func (standIn) Wire(bench.Cell) (w load.WireConfig, can bool) { return w, true }
func (standIn) Start(context.Context, bench.Cell) (*bench.Server, error) {
	return nil, errors.New("not started")
}

// curious is a peer that fails the test when it is asked for its version.
type curious struct {
	standIn
	t *testing.T
}

func (p curious) Build(context.Context, string) (string, error) {
	p.t.Errorf("%s is asked for its version", p.Name())
	return "", nil
}

// Only peers that are listed are asked for their versions: some build their server for it.
func TestListAsksWhatItLists(t *testing.T) {
	listed, other := standIn("listed"), curious{standIn("other"), t}
	cell, err := bench.ParseCell("1x1")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	code := list(t.Context(), &out, []bench.Part{{Cell: cell, Peers: []bench.Peer{listed}}}, []bench.Peer{other, listed})
	if code != exitOK || !strings.Contains(out.String(), "not built") || strings.Contains(out.String(), "other ") {
		t.Errorf("code %d\n%s", code, out.String())
	}
}

// Results go to a file, which takes no others than those of one commit, unless it is told to; the report goes to standard
// output.
func TestMeasure(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "more", "results.jsonl")
	args := slices.Concat([]string{"--cells=2x1,3x1/crab", "--peers=kassa", "--out=" + file}, brief)
	got := runSuite(t, args...)
	if got.code != exitOK || !strings.Contains(got.stdout, "| 2x1 ") || strings.Contains(got.stderr, "\r") ||
		!strings.Contains(got.stderr, "2 runs in 2 cells, about ") || !strings.Contains(got.stderr, "\n2 results were added to "+file) {
		t.Errorf("code %d\n%s\n%s", got.code, got.stdout, got.stderr)
	}
	if cells := cellsIn(t, file); !slices.Equal(cells, []string{"2x1", "3x1/crab"}) {
		t.Errorf("%q are in the file", cells)
	}
	if got := runSuite(t, append(args, "--measure=1s")...); got.code != exitUsage || !strings.Contains(got.stderr, "of load, and what is measured now is 1s") {
		t.Errorf("results of another load: code %d, %s", got.code, got.stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	results, err := bench.ReadResults(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(`"commit":"`+results[0].Commit), []byte(`"commit":"0123456789ab`))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := runSuite(t, args...); got.code != exitUsage || !strings.Contains(got.stderr, "has results of commit 0123456789ab") || !strings.Contains(got.stderr, "--append") {
		t.Errorf("results of another commit: code %d, %s", got.code, got.stderr)
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, text) {
		t.Errorf("the file has changed: %v", err)
	}
	if got := runSuite(t, append(args, "--cells=1x1", "--append")...); got.code != exitOK || len(cellsIn(t, file)) != 5 {
		t.Errorf("--append: code %d, %s\n%q", got.code, got.stderr, cellsIn(t, file))
	}
}

// A run that can not be made is a result, is named at the end, and makes the exit code 1.
func TestFailedRun(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "results.jsonl")
	got := runCommand(t, slices.Concat([]string{"sh", "-c", `ulimit -n 500 && exec "$0" "$@"`, program, "--cells=1000x1,1x1", "--peers=kassa", "--out=" + file}, brief)...)
	const want = "1000 connections need 1064 file descriptors, here and in the server, and a process may have 500: raise the hard limit too (as root: ulimit -n 1064;"
	if end := got.stderr[max(0, strings.LastIndex(got.stderr, "\nfailed: ")):]; got.code != exitFailed || !strings.Contains(end, "failed: 1000x1, kassa, round 1: ") || !strings.Contains(end, want) {
		t.Errorf("code %d, %s", got.code, got.stderr)
	}
	if cells := cellsIn(t, file); !slices.Equal(cells, []string{"1000x1", "1x1"}) {
		t.Errorf("%q are in the file", cells)
	}
}

// What was asked for in so many words and is not installed makes the exit code 1; what was not is named.
func TestSkipped(t *testing.T) {
	skipped := bench.Result{Server: "nats", Cell: "1x1", Skipped: "nats is not installed"}
	for _, named := range []bool{false, true} {
		var trouble trouble
		trouble.note(&skipped, named)
		trouble.note(&skipped, named)
		trouble.note(&bench.Result{Server: "kassa", Cell: "1x1"}, true)
		if len(trouble.all)+len(trouble.skipped) != 1 {
			t.Errorf("%+v", trouble)
		}
		if code := trouble.tell(io.Discard); code == exitOK == named {
			t.Errorf("named %v: code %d", named, code)
		}
	}
}

func cellsIn(t *testing.T, file string) (cells []string) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	results, err := bench.ReadResults(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		cells = append(cells, r.Cell)
	}
	return cells
}

// However the suite ends, what it measured is in the file, and its servers and its generator are gone.
func TestInterrupted(t *testing.T) {
	for name, signals := range map[string][]syscall.Signal{
		"Ctrl-C":       {syscall.SIGINT},
		"SIGTERM":      {syscall.SIGTERM},
		"a second one": {syscall.SIGINT, syscall.SIGTERM},
		"SIGKILL":      {syscall.SIGKILL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "results.jsonl")
			mark := "KASSA_BENCH_TEST=" + file
			cmd := exec.Command(program, slices.Concat([]string{"--cells=2x1,idle5", "--peers=kassa", "--idle=1h", "--out=" + file}, brief)...)
			temporary := t.TempDir()
			cmd.Env = append(os.Environ(), mark, "TMPDIR="+temporary)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer time.AfterFunc(timeout, func() { _ = cmd.Process.Kill() }).Stop()
			// The second run is under way when the first is in the file, and server and generator run.
			await(t, func() bool {
				text, _ := os.ReadFile(file)
				return bytes.HasSuffix(text, []byte("}\n")) && len(marked(t, mark)) == 3
			})
			for _, s := range signals {
				if err := cmd.Process.Signal(s); err != nil {
					t.Error(err)
				}
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			await(t, func() bool { return len(marked(t, mark)) == 0 })
			if cells := cellsIn(t, file); !slices.Equal(cells, []string{"2x1"}) {
				t.Errorf("%q are in the file", cells)
			}
			if signals[0] == syscall.SIGKILL {
				return
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err)
			}
			if exit.ExitCode() != exitInterrupted || len(signals) == 1 && (!strings.Contains(stdout.String(), "| 2x1 ") || !strings.Contains(stderr.String(), "interrupted: ")) {
				t.Errorf("code %d\n%s\n%s", exit.ExitCode(), &stdout, &stderr)
			}
		})
	}
}

// await looks until something is so.
func await(t *testing.T, is func() bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(timeout); !is(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

// marked are the processes that have a variable in their environment.
func marked(t *testing.T, variable string) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // not a process
		}
		environment, _ := os.ReadFile("/proc/" + e.Name() + "/environ") // it may have ended
		if slices.Contains(strings.Split(string(environment), "\x00"), variable) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// On a terminal there is a bar with the time left, and the lines of the results above it.
func TestProgressBar(t *testing.T) {
	t.Parallel()
	seen, screen := openTerminal(t)
	cmd := exec.Command(program, slices.Concat([]string{"--cells=2x1,3x1", "--peers=kassa", "--out=" + filepath.Join(t.TempDir(), "results.jsonl")}, brief)...)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stderr = screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(timeout, func() { _ = cmd.Process.Kill() }).Stop()
	screen.Close()
	shown, _ := io.ReadAll(seen) // it ends with EIO, when the program has ended
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	for _, want := range []string{" s left: 2x1, kassa, round 1 ", " s left: 3x1, kassa, round 1 ", "\r2x1 ", "\r3x1 ", "\r2 results were added"} {
		if !bytes.Contains(shown, []byte(want)) {
			t.Errorf("%q is not seen in %q", want, shown)
		}
	}
}

// openTerminal returns both ends of a terminal: the one that sees what is shown, and the program's.
func openTerminal(t *testing.T) (seen, screen *os.File) {
	t.Helper()
	seen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { seen.Close() })
	number, err := unix.IoctlGetInt(int(seen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(seen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		screen, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 100, Row: 25})
	}
	if err != nil {
		t.Fatal(err)
	}
	return seen, screen
}

// aliased is a peer under another name.
type aliased struct {
	bench.Peer
	name string
}

func (a aliased) Name() string { return a.name }

// One server that is measured as two differs by less than the error that is stated of it, and from another server it differs
// by more. Of measurements of the same one in twenty is called different, rightly: hence three attempts.
func TestSameServerTwice(t *testing.T) {
	root, err := sourceRoot()
	if err != nil {
		t.Fatal(err)
	}
	cell, err := bench.ParseCell("8x4")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bench.Peer{}
	for _, p := range bench.Peers(root) {
		all[p.Name()] = p
	}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		plan := bench.Plan{
			Root:      root,
			Parts:     []bench.Part{{Cell: cell, Peers: []bench.Peer{all["gnet-echo"], aliased{all["gnet-echo"], "again"}, all["nethttp"]}}},
			Generator: []string{program, "load"},
			Rounds:    6,
			WarmUp:    20 * time.Millisecond,
			Measure:   100 * time.Millisecond,
		}
		cpu := map[string][]float64{}
		err := plan.Run(t.Context(), func(r bench.Result) error {
			if !r.OK() {
				t.Errorf("%s: %s", r.Server, r.Failure)
			}
			cpu[r.Server] = append(cpu[r.Server], r.CPUSecondsPerMillion)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		same := report.NewChange(report.CPUPerMillion, cpu["gnet-echo"], cpu["again"])
		other := report.NewChange(report.CPUPerMillion, cpu["gnet-echo"], cpu["nethttp"])
		if same.Verdict == report.Noise && other.Verdict == report.Worse {
			return
		}
		t.Logf("attempt %d: %v: the same server %s, x %.2f; another one %s, x %.2f", attempt, cpu, same.Verdict, same.Ratio, other.Verdict, other.Ratio)
		if attempt == attempts {
			t.Fatal("never told rightly which of three servers are the same")
		}
	}
}
