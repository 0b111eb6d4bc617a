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

// With the whole machine's time accounted for, others have used none of it, and not more than the machine has.
func TestOthersCores(t *testing.T) {
	from := moment{}
	to := moment{at: from.at.Add(10 * time.Second), server: 5 * time.Second, generator: 4 * time.Second, self: time.Second, idle: 8 * time.Second}
	if got := othersCores(2, from, to); got != 0.2 {
		t.Errorf("%v cores, want 0.2", got)
	}
	to.kernel = 3 * time.Second
	if got := othersCores(2, from, to); got != 0 {
		t.Errorf("%v cores, want 0", got)
	}
	clocks, err := readClocks(os.Getpid(), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if clocks.idle <= 0 || clocks.self <= 0 {
		t.Errorf("clocks show %+v", clocks)
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
		own, _ := processCPU(command.Process.Pid)
		all, err := serverCPU(command.Process.Pid)
		if err != nil || all < own+3*tick {
			t.Errorf("%s: %v with its children, %v without, %v", what, all, own, err)
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
