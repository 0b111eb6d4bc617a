package load

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// descriptorsBeside is how many files the generator has open besides its connections, at most.
const descriptorsBeside = 64

// makeRoom raises the limit on open files as far as it may, and says what to do where so many connections do not fit.
func makeRoom(conns int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("load: getrlimit: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("load: setrlimit: %w", err)
		}
	}
	if need := uint64(conns + descriptorsBeside); limit.Cur < need {
		return fmt.Errorf("load: %d connections need %d file descriptors, here and in the server, and a process may have %d: "+
			"raise the hard limit too (as root: ulimit -n %[2]d; systemd: LimitNOFILE=%[2]d)", conns, need, limit.Cur)
	}
	return nil
}
