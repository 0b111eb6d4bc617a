//go:build !linux

package main

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

// signalsPassed are those that a command run by kassa gets in kassa's place.
var signalsPassed = []os.Signal{os.Interrupt, syscall.SIGTERM}

// child is a command at work.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the command has ended
}

// startChild starts a command. Signals go to it alone.
func startChild(cmd *exec.Cmd) (*child, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // ProcessState says it
		close(c.ended)
	}()
	return c, nil
}

func (c *child) close() {}

func (c *child) pass(sig os.Signal) { _ = c.cmd.Process.Signal(sig) }

func (c *child) terminate() { _ = c.cmd.Process.Signal(syscall.SIGTERM) }

func (c *child) kill() { _ = c.cmd.Process.Kill() }

func (c *child) awaitGroup(<-chan time.Time) {}

// exitCode returns the exit code of a command that has ended.
func (c *child) exitCode() int {
	if code := c.cmd.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	return exitSignalled
}

func exitBy(sig os.Signal) int {
	if sig, ok := sig.(syscall.Signal); ok {
		return exitSignalled + int(sig)
	}
	return exitSignalled
}
