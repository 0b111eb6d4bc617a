package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// openFilesMax returns how many files this process may have open. Go raises the limit to the hard one when it starts.
func openFilesMax() (n int, known bool) {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0, false
	}
	return int(min(limit.Cur, 1<<30)), true
}

// linesOf returns how many lines a terminal has.
func linesOf(file *os.File) int {
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Row == 0 {
		return linesDefault
	}
	return int(size.Row)
}
