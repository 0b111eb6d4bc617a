package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU returns the CPU time, user and system, of all threads that a process has or had. It reads the process's
// own clock, which is exact to the nanosecond; /proc/PID/stat counts ticks of 10 ms.
func processCPU(pid int) (time.Duration, error) {
	const clockSched = 2                         // CPUCLOCK_SCHED, of the whole process
	clock := int32(^uint32(pid)<<3 | clockSched) // as clock_getcpuclockid makes it
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("bench: CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// children returns the processes that a process has started and that have not ended.
func children(pid int) ([]int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	var all []int
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		for word := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return nil, fmt.Errorf("bench: %s: %w", name, err)
			}
			all = append(all, child)
		}
	}
	return all, nil
}

// KillChildren kills all processes that this one has started and that have not ended, with those in their groups.
func KillChildren() {
	pids, _ := children(os.Getpid()) // where it fails there is nothing more to do
	for _, pid := range pids {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// serverCPU returns the CPU time of a server, and that of its children, also of those that have ended.
func serverCPU(pid int) (own, childrens time.Duration, err error) {
	if own, err = processCPU(pid); err != nil {
		return 0, 0, err
	}
	if childrens, err = endedChildrenCPU(pid); err != nil {
		return 0, 0, err
	}
	pids, err := children(pid)
	if err != nil {
		return 0, 0, err
	}
	for _, child := range pids {
		if d, err := processCPU(child); err == nil { // else it has ended meanwhile
			childrens += d
		}
	}
	return own, childrens, nil
}

// endedChildrenCPU returns the CPU time of those children of a process that have ended, in ticks.
func endedChildrenCPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // behind the name
	const user, system = 13, 14                   // cutime and cstime, counted from there
	words := strings.Fields(rest)
	if len(words) <= system {
		return 0, fmt.Errorf("bench: /proc/%d/stat is %q", pid, stat)
	}
	sum := time.Duration(0)
	for _, word := range []string{words[user], words[system]} {
		ticks, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("bench: /proc/%d/stat: %w", pid, err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}

// tick is the unit of times in /proc, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// stolenCPU returns the time for which the machine wanted cores that others had, where it is a virtual one.
func stolenCPU() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	const steal = 8 // as proc(5) counts: cpu user nice system idle iowait irq softirq steal
	words := strings.Fields(string(stat))
	if len(words) <= steal || words[0] != "cpu" {
		return 0, fmt.Errorf("bench: /proc/stat begins with %.80q", stat)
	}
	ticks, err := strconv.ParseInt(words[steal], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("bench: /proc/stat: %w", err)
	}
	return time.Duration(ticks) * tick, nil
}

// usage is the CPU time of a process, and of those of its children that have ended and that it has asked after.
type usage struct{ own, ended time.Duration }

// othersCPU returns the CPU time of each process but for some and for the kernel's own threads: network traffic that they
// carry is the servers'.
func othersCPU(but []int) (map[int]usage, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	all := make(map[int]usage)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || slices.Contains(but, pid) {
			continue
		}
		// Only the kernel's have no command line, but for processes that have ended meanwhile, or are about to.
		if line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline"); err != nil || len(line) == 0 {
			continue
		}
		own, err := processCPU(pid)
		ended, err2 := endedChildrenCPU(pid)
		if err == nil && err2 == nil {
			all[pid] = usage{own, ended}
		}
	}
	return all, nil
}

// moment is what all CPU clocks show at one time.
type moment struct {
	at                time.Time
	server, generator time.Duration
	childrens         time.Duration // of the server, which has that of its children, too
	others            map[int]usage // by process
	stolen            time.Duration
}

func readClocks(server, generator int) (moment, error) {
	m := moment{at: time.Now()}
	var errs [5]error
	m.server, m.childrens, errs[0] = serverCPU(server)
	m.server += m.childrens
	m.generator, errs[1] = processCPU(generator)
	workers, err := children(server)
	errs[2] = err
	m.others, errs[3] = othersCPU(append(workers, os.Getpid(), server, generator))
	m.stolen, errs[4] = stolenCPU()
	return m, errors.Join(errs[:]...)
}

// othersCores returns how many of the machine's cores others than the suite's processes used on average between two moments,
// with what other machines on the same hardware took. It is a sum of their clocks: what is left of the whole machine's time is
// none, since there interrupts that meet an idle core count, 0.15 cores beside a server that is woken for each request.
func othersCores(from, to moment) float64 {
	others, ended := to.stolen-from.stolen, time.Duration(0)
	for pid, now := range to.others {
		was := from.others[pid] // 0: it has begun meanwhile
		others += now.own - was.own
		ended += now.ended - was.ended
	}
	for pid, was := range from.others {
		if _, lives := to.others[pid]; !lives { // what it had used by then is among what its parent has of ended children
			ended -= was.own + was.ended
		}
	}
	// Unless the parent does not ask, or has not yet. That must not hide what the living have used.
	return (others + max(0, ended)).Seconds() / to.at.Sub(from.at).Seconds()
}

// serverMemory returns the memory of a server that is in RAM. What several of its processes share counts once.
func serverMemory(pid int) (int64, error) {
	pids, err := children(pid)
	if err != nil {
		return 0, err
	}
	if len(pids) == 0 {
		return residentBytes(pid)
	}
	sum, err := procBytes(pid, "smaps_rollup", "Pss:")
	if err != nil {
		return 0, err
	}
	for _, child := range pids {
		if n, err := procBytes(child, "smaps_rollup", "Pss:"); err == nil { // else it has ended meanwhile
			sum += n
		}
	}
	return sum, nil
}

// residentBytes returns the memory of a process that is in RAM, its VmRSS.
func residentBytes(pid int) (int64, error) { return procBytes(pid, "status", "VmRSS:") }

// procBytes returns a figure of a file of /proc.
func procBytes(pid int, file, field string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("bench: %q: %w", line, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("bench: process %d has no %s", pid, field)
}
