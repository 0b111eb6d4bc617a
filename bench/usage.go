package bench

import (
	"errors"
	"fmt"
	"os"
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
	m.server, errs[0] = processCPU(server)
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

// residentBytes returns the memory of a process that is in RAM, its VmRSS.
func residentBytes(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("bench: %q: %w", line, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("bench: process %d has no VmRSS", pid)
}
