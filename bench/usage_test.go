package bench

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The CPU clock of a process shows what getrusage says of it.
func TestProcessCPU(t *testing.T) {
	own := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for start := own(); own() < start+50*time.Millisecond; {
	}
	before := own()
	clock, err := processCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const slack = 2 * time.Millisecond
	if after := own(); clock < before-slack || clock > after+slack {
		t.Errorf("clock %v, getrusage %v to %v", clock, before, after)
	}
	if _, err := processCPU(1 << 27); err == nil {
		t.Error("a process that can not exist has a clock")
	}
}

// Others are those that are not the suite's, whether they run on or have begun or ended meanwhile.
func TestOthersCores(t *testing.T) {
	from := moment{others: map[int]usage{1: {own: time.Second}, 2: {own: time.Minute}}, stolen: time.Second}
	to := moment{at: from.at.Add(10 * time.Second), others: map[int]usage{1: {time.Second, time.Minute + time.Second}, 3: {own: time.Second}}, stolen: 2 * time.Second}
	if got := othersCores(from, to); got != 0.3 {
		t.Errorf("%v cores, want 0.3", got)
	}
	to.others[1] = usage{own: time.Second} // which has not asked after 2 yet
	if got := othersCores(from, to); got != 0.2 {
		t.Errorf("%v cores, want 0.2", got)
	}
	busy := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	suites := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	for _, command := range []*exec.Cmd{busy, suites} {
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		defer command.Wait()
		defer command.Process.Kill()
	}
	clocks := func() moment {
		m, err := readClocks(suites.Process.Pid, os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	used := func() time.Duration {
		d, err := processCPU(busy.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	from = clocks()
	for start := used(); used() < start+50*time.Millisecond; {
	}
	to = clocks()
	other := to.others[busy.Process.Pid].own - from.others[busy.Process.Pid].own
	if _, known := to.others[suites.Process.Pid]; known || other < 50*time.Millisecond || to.server <= from.server {
		t.Errorf("the other process has used %v, the server from %v to %v; others are %v", other, from.server, to.server, to.others)
	}
	if got := othersCores(from, to); got < other.Seconds()/to.at.Sub(from.at).Seconds() {
		t.Errorf("%v cores for others, of whom one used %v in %v", got, other, to.at.Sub(from.at))
	}
}

// A server's CPU time and memory are those of its children too, and the CPU time also of those that have ended.
func TestServerOfSeveralProcesses(t *testing.T) {
	count := "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
	for what, script := range map[string]string{
		"a child that lives": "exec 3<&0; (" + count + "; echo done; read x <&3) & wait",
		"a child that ended": "(" + count + "); echo done; read x",
	} {
		command := exec.CommandContext(t.Context(), "sh", "-c", script)
		stdin, err := command.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := stdout.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		own, childrens, err := serverCPU(command.Process.Pid)
		if err != nil || own == 0 || childrens < 3*tick {
			t.Errorf("%s: %v, and its children %v, %v", what, own, childrens, err)
		}
		if n, err := serverMemory(command.Process.Pid); err != nil || n < 1<<16 {
			t.Errorf("%s: %d bytes, %v", what, n, err)
		}
		stdin.Close()
		_ = command.Wait()
	}
}

func TestResidentBytes(t *testing.T) {
	n, err := residentBytes(os.Getpid())
	if err != nil || n < 1<<20 || n > 1<<32 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
