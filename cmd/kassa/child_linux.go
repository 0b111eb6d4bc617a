package main

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// signalsPassed are those that a command run by kassa gets in kassa's place.
var signalsPassed = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// child is a command at work.
type child struct {
	cmd   *exec.Cmd
	tty   *os.File      // kassa's terminal; nil: it has none
	ended chan struct{} // closed when the command has ended
}

// startChild starts a command. With a terminal it is in kassa's process group, as in a shell, and signals go to it alone.
// Without one it has a group of its own, and they go to that: to what it has started, too. If kassa is killed it is sent
// TERM, as nobody renews its lease any more; for this its caller has to stay, until close, in the goroutine it is in.
func startChild(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, ended: make(chan struct{})}
	c.tty, _ = os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: c.tty == nil, Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread() // the thread's death is what counts
	if err := cmd.Start(); err != nil {
		c.close()
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // ProcessState says it
		close(c.ended)
	}()
	return c, nil
}

func (c *child) close() {
	runtime.UnlockOSThread()
	if c.tty != nil {
		c.tty.Close()
	}
}

// pass passes a signal on, unless the command has got it from the terminal already.
func (c *child) pass(sig os.Signal) {
	if (sig == syscall.SIGINT || sig == syscall.SIGQUIT) && c.tty != nil {
		if group, err := unix.IoctlGetInt(int(c.tty.Fd()), unix.TIOCGPGRP); err == nil && group == syscall.Getpgrp() {
			return
		}
	}
	c.signal(sig.(syscall.Signal))
}

// signal sends a signal. The command may have ended.
func (c *child) signal(sig syscall.Signal) {
	if c.tty == nil {
		_ = syscall.Kill(-c.cmd.Process.Pid, sig)
	} else {
		_ = c.cmd.Process.Signal(sig)
	}
}

// terminate asks the command to end, though it be stopped.
func (c *child) terminate() {
	c.signal(syscall.SIGTERM)
	c.signal(syscall.SIGCONT)
}

func (c *child) kill() { c.signal(syscall.SIGKILL) }

// awaitGroup waits, after the command, for the end of what it has started, which is killed when patience says so.
func (c *child) awaitGroup(patience <-chan time.Time) {
	for c.tty == nil && syscall.Kill(-c.cmd.Process.Pid, 0) == nil {
		select {
		case <-patience:
			c.kill()
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// exitCode returns what a shell would call the exit code of a command that has ended.
func (c *child) exitCode() int {
	if status := c.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return exitSignalled + int(status.Signal())
	}
	return c.cmd.ProcessState.ExitCode()
}

func exitBy(sig os.Signal) int { return exitSignalled + int(sig.(syscall.Signal)) }
