package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Server is a server process that accepts connections.
type Server struct {
	Addr string // HOST:PORT
	PID  int

	command *exec.Cmd
	cancel  context.CancelFunc
	stderr  *tail
}

const (
	startTimeout = 30 * time.Second // until a server says where it listens
	stopTimeout  = 10 * time.Second // between SIGTERM and SIGKILL
)

// StartServer starts a program that prints "listening HOST:PORT" as its first line once it accepts there, and ends on
// SIGTERM.
func StartServer(ctx context.Context, name string, args ...string) (*Server, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &Server{cancel: cancel, stderr: &tail{}}
	s.command = exec.CommandContext(ctx, name, args...)
	s.command.Cancel = func() error { return s.command.Process.Signal(syscall.SIGTERM) }
	s.command.WaitDelay = stopTimeout
	s.command.Stderr = s.stderr
	stdout, err := s.command.StdoutPipe()
	if err != nil {
		cancel()
		return nil, fmt.Errorf("bench: %w", err)
	}
	if err := s.command.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("bench: start %s: %w", filepath.Base(name), err)
	}
	s.PID = s.command.Process.Pid

	late := time.AfterFunc(startTimeout, cancel)
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	inTime := late.Stop()
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if err != nil || !ok || !inTime {
		err = fmt.Errorf("bench: %s does not say where it listens, but %q", filepath.Base(name), line)
		return nil, errors.Join(err, s.Stop())
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with the process
	s.Addr = addr
	return s, nil
}

// Stop ends the process, and tells what it wrote to stderr if it did not end well.
func (s *Server) Stop() error {
	s.cancel()
	if err := s.command.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("bench: server: %w: %s", err, s.stderr)
	}
	return nil
}
