package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// serverCPU returns the CPU time of a server with its children, also of those that have ended.
func serverCPU(pid int) (time.Duration, error) {
	sum, err := processCPU(pid)
	if err != nil {
		return 0, err
	}
	ended, err := endedChildrenCPU(pid)
	if err != nil {
		return 0, err
	}
	pids, err := children(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range pids {
		if d, err := processCPU(child); err == nil { // else it has ended meanwhile
			sum += d
		}
	}
	return sum + ended, nil
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

// tick is the unit of /proc/stat, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// machineIdle returns the time that the machine's cores have been idle, all together. The kernel takes it exactly. The
// times that it gives for busy cores are samples: beside a server that works in short bursts, they were wrong by 0.3 cores.
func machineIdle() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var user, nice, system, idle, ioWait int64
	if _, err := fmt.Sscanf(line, "cpu %d %d %d %d %d", &user, &nice, &system, &idle, &ioWait); err != nil {
		return 0, fmt.Errorf("bench: /proc/stat begins with %q: %w", line, err)
	}
	return time.Duration(idle+ioWait) * tick, nil
}

// kernelCPU returns the CPU time of the kernel's own threads: network traffic that they carried is the servers'.
func kernelCPU() (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	var sum time.Duration
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // not a process
		}
		// Only they have no command line, but for processes that have ended meanwhile, or are about to.
		if line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline"); err != nil || len(line) > 0 {
			continue
		}
		if d, err := processCPU(pid); err == nil {
			sum += d
		}
	}
	return sum, nil
}

// moment is what all CPU clocks show at one time.
type moment struct {
	at                                    time.Time
	server, generator, self, kernel, idle time.Duration
}

func readClocks(server, generator int) (moment, error) {
	m := moment{at: time.Now()}
	var errs [5]error
	m.server, errs[0] = serverCPU(server)
	m.generator, errs[1] = processCPU(generator)
	m.self, errs[2] = processCPU(os.Getpid())
	m.kernel, errs[3] = kernelCPU()
	m.idle, errs[4] = machineIdle()
	return m, errors.Join(errs[:]...)
}

// othersCores returns how many of the machine's cores others than the suite's processes and the kernel used on average
// between two moments. Interrupts that met an idle core are in it too: up to 0.05 cores beside a server that is often
// woken.
func othersCores(cores int, from, to moment) float64 {
	spent := func(m moment) time.Duration { return m.server + m.generator + m.self + m.kernel + m.idle }
	elapsed := to.at.Sub(from.at)
	others := time.Duration(cores)*elapsed - (spent(to) - spent(from))
	return max(0, others.Seconds()/elapsed.Seconds())
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
