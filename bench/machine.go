package bench

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine says on what a result was measured.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes uint64 `json:"memoryBytes"`
	Kernel      string `json:"kernel"`
}

func thisMachine() (Machine, error) {
	var info unix.Sysinfo_t
	var uname unix.Utsname
	if err := unix.Sysinfo(&info); err != nil {
		return Machine{}, fmt.Errorf("bench: sysinfo: %w", err)
	}
	if err := unix.Uname(&uname); err != nil {
		return Machine{}, fmt.Errorf("bench: uname: %w", err)
	}
	return Machine{
		CPU:         cpuModel(),
		Cores:       runtime.NumCPU(),
		MemoryBytes: info.Totalram * uint64(info.Unit),
		Kernel:      unix.ByteSliceToString(uname.Release[:]),
	}, nil
}

// cpuModel returns the CPU's name, or the architecture where /proc/cpuinfo has none.
func cpuModel() string {
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpuinfo)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// SourceCommit returns the commit that is checked out in dir, "+" behind it when files differ from it that are not results,
// "none" when there is none.
func SourceCommit(ctx context.Context, dir string) string {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "none"
	}
	if changes, err := git("status", "--porcelain", "--", ":/", ":(top,exclude)bench/results"); err != nil || changes != "" {
		return commit + "+"
	}
	return commit
}

// binaryVersion returns the version of a module that a Go program was built with, or with module "" that of Go.
func binaryVersion(binary, module string) (string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	if module == "" {
		return info.GoVersion, nil
	}
	for _, dep := range append(info.Deps, &info.Main) {
		if dep.Path == module {
			return dep.Version, nil
		}
	}
	return "", fmt.Errorf("bench: %s is built without %s", binary, module)
}
