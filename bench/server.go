package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
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

	broker bool // it has a child that speaks to the clients, and works itself

	command *exec.Cmd
	cancel  context.CancelFunc
	output  *tail
	drained chan struct{}  // closed when all output has been read
	endsBy  syscall.Signal // that its end may be due to; 0: it is to exit

	dir   string                                 // where it keeps its data; empty: it keeps none
	again func(context.Context) (*Server, error) // starts one more on the same data; nil: it can not
	clean func() error                           // removes what it leaves, after its end; nil: nothing
}

const (
	startTimeout = time.Minute      // until a server says where it listens
	stopTimeout  = 10 * time.Second // between the signal to end and SIGKILL
)

// launch says how a server program is started.
type launch struct {
	command []string
	dir     string // that it works in; empty: the suite's
	signal  syscall.Signal

	// signaled says that it ends by the signal itself, once it has done what is to be done.
	signaled bool

	// ready looks at a line of its output, and returns where it listens when that line says that it does.
	ready func(line string) (addr string, ok bool)
}

// StartServer starts a program that prints "listening HOST:PORT" once it accepts there, and ends on SIGTERM.
func StartServer(ctx context.Context, name string, args ...string) (*Server, error) {
	return launch{
		command: append([]string{name}, args...),
		signal:  syscall.SIGTERM,
		ready:   func(line string) (string, bool) { return strings.CutPrefix(line, "listening ") },
	}.start(ctx)
}

func (l launch) start(ctx context.Context) (*Server, error) {
	program := filepath.Base(l.command[0])
	ctx, cancel := context.WithCancel(ctx)
	s := &Server{cancel: cancel, output: &tail{}, drained: make(chan struct{})}
	s.command = exec.CommandContext(ctx, l.command[0], l.command[1:]...)
	s.command.Dir = l.dir
	s.command.SysProcAttr = apart()
	s.command.Cancel = func() error { return s.command.Process.Signal(l.signal) }
	s.command.WaitDelay = stopTimeout
	out, in, err := os.Pipe()
	if err != nil {
		cancel()
		return nil, fmt.Errorf("bench: %w", err)
	}
	s.command.Stdout, s.command.Stderr = in, in
	err = s.command.Start()
	in.Close()
	if err != nil {
		out.Close()
		cancel()
		return nil, fmt.Errorf("bench: start %s: %w", program, err)
	}
	s.PID = s.command.Process.Pid
	if l.signaled {
		s.endsBy = l.signal
	}

	late := time.AfterFunc(startTimeout, cancel)
	listening := make(chan string, 1)
	go func() { // ends with the process
		defer close(s.drained)
		defer out.Close()
		s.read(out, l.ready, listening)
	}()
	select {
	case s.Addr = <-listening:
	case <-s.drained:
	}
	if inTime := late.Stop(); s.Addr == "" || !inTime {
		err = fmt.Errorf("bench: %s does not say where it listens, but %q", program, s.output)
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// apart has a process live apart from the suite's terminal, of whose Ctrl-C the suite alone is to hear, but not outlive the
// suite, however that ends.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// read keeps the last of what the server writes, and tells once where it listens.
func (s *Server) read(out *os.File, ready func(string) (string, bool), listening chan<- string) {
	lines := bufio.NewReader(out)
	told := false
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		_, _ = s.output.Write([]byte(line)) // it never fails
		if addr, ok := ready(strings.TrimSpace(line)); ok && !told {
			told = true
			listening <- addr
		}
	}
}

// Stop ends the process and removes what it leaves. It tells what the process wrote if it did not end well.
func (s *Server) Stop() error {
	err := s.end()
	if s.clean != nil {
		err = errors.Join(err, s.clean())
	}
	return err
}

func (s *Server) end() error {
	s.cancel()
	err := s.command.Wait()
	_ = syscall.Kill(-s.PID, syscall.SIGKILL) // what it has started and left
	<-s.drained
	status, _ := s.command.ProcessState.Sys().(syscall.WaitStatus)
	signaled := status.Signaled() && status.Signal() == s.endsBy
	if err != nil && !errors.Is(err, context.Canceled) && !signaled {
		return fmt.Errorf("bench: server: %w: %s", err, s.output)
	}
	return nil
}

// kill ends the process as a crash would, and leaves what it has kept.
func (s *Server) kill() error {
	if err := s.command.Process.Kill(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	_ = s.command.Wait() // says that it was killed
	s.cancel()
	<-s.drained
	return nil
}
