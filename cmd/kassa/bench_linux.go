package main

import (
	"fmt"
	"syscall"
)

// become replaces this program with another one, which then has its terminal, its signals and its exit code.
func become(program string, args, environment []string) error {
	return fmt.Errorf("bench: %s: %w", program, syscall.Exec(program, args, environment))
}
