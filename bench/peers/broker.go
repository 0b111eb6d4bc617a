package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	brokerStartTimeout = 30 * time.Second     // until it accepts
	brokerDialInterval = 5 * time.Millisecond // between two looks whether it does
	brokerStopTimeout  = 5 * time.Second      // between SIGTERM and SIGKILL
)

// holdMax is how long a worker's reply waits for those behind it, to go out with them.
const holdMax = 200 * time.Microsecond

// runBroker starts a broker, a child of this process, on a free port of 127.0.0.1. Once it accepts there, work does what
// the broker's clients ask for, calls ready when it can, and returns when its context is done. Broker and work end together.
func runBroker(
	ctx context.Context,
	command func(port string) []string,
	work func(ctx context.Context, addr string, ready func()) error,
	listening func(addr string),
) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	line := command(port)
	// It ends after the workers, which would take its end for an error.
	brokerCtx, endBroker := context.WithCancel(context.WithoutCancel(ctx))
	defer endBroker()
	child := exec.CommandContext(brokerCtx, line[0], line[1:]...)
	child.Stdout, child.Stderr = os.Stderr, os.Stderr
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = brokerStopTimeout
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var result error // of the child; valid when ended is closed
	ended := make(chan struct{})
	go func() { // ends with the child, which would die with the thread that started it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		result = child.Run()
	}()
	if err := awaitBroker(addr, ended); err != nil {
		endBroker()
		<-ended
		return fmt.Errorf("%s: %w: %v", line[0], err, result)
	}
	workCtx, endWork := context.WithCancel(ctx)
	defer endWork()
	worked := make(chan error, 1)
	go func() { // ends with workCtx, or with the broker
		worked <- work(workCtx, addr, func() { listening(addr) })
	}()
	select {
	case err := <-worked:
		endBroker()
		<-ended // how it ends when it is told to does not matter
		return err
	case <-ended:
		endWork()
		err := <-worked // nothing, or that their connections are gone
		return fmt.Errorf("%s ended by itself: %s; its workers: %v", line[0], child.ProcessState, err)
	}
}

// awaitBroker returns when addr accepts connections.
func awaitBroker(addr string, ended <-chan struct{}) error {
	late := time.After(brokerStartTimeout)
	for {
		c, err := net.Dial("tcp4", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-time.After(brokerDialInterval):
		case <-ended:
			return errors.New("the broker ended at once")
		case <-late:
			return fmt.Errorf("the broker does not accept: %w", err)
		}
	}
}

// freeAddr returns an address of 127.0.0.1 that nobody listens on now, for servers that do not say which they took.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// brokerProgram returns the program that is named behind the flags.
func (o options) brokerProgram() (string, error) {
	if len(o.args) != 1 {
		return "", errors.New("want the broker's program behind the flags")
	}
	return o.args[0], nil
}

// workByType connects to a broker once for each type, and has work serve the type's requests on that connection until its
// context is done.
func workByType(ctx context.Context, addr string, ready func(), work func(c net.Conn, t int) error) error {
	failed := make(chan error, typeCount)
	var conns []net.Conn
	var working sync.WaitGroup
	defer working.Wait()
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for t := range typeCount {
		c, err := net.Dial("tcp4", addr)
		if err != nil {
			return err
		}
		conns = append(conns, c)
		working.Go(func() { failed <- work(c, t) })
	}
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}
