package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// echo sends back what it gets: the least that a server on gnet can do.
type echo struct {
	gnet.BuiltinEventEngine
	booted chan<- gnet.Engine
}

func (e *echo) OnBoot(eng gnet.Engine) gnet.Action {
	e.booted <- eng
	return gnet.None
}

func (e *echo) OnTraffic(c gnet.Conn) gnet.Action {
	p, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := c.Write(p); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func init() { serve = gnetEcho }

// gnetEcho runs an event loop on each of GOMAXPROCS threads, or on as many as asked for, each with a listener of its own, as kassa does.
func gnetEcho(ctx context.Context, o options, listening func(string)) error {
	port, release, err := reservePort()
	if err != nil {
		return err
	}
	defer release()
	booted, ended := make(chan gnet.Engine, 1), make(chan error, 1)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	go func() {
		ended <- gnet.Run(&echo{booted: booted}, "tcp4://"+addr, gnet.WithMulticore(true), gnet.WithNumEventLoop(o.loops), gnet.WithReusePort(true),
			gnet.WithLogger(errorLog{log.New(os.Stderr, "gnet: ", 0)}))
	}()
	var eng gnet.Engine
	select {
	case err := <-ended:
		return errors.Join(errors.New("gnet ended at once"), err)
	case eng = <-booted:
	}
	listening(addr)
	select {
	case err := <-ended:
		return errors.Join(errors.New("gnet ended by itself"), err)
	case <-ctx.Done():
		return eng.Stop(context.Background())
	}
}

// errorLog is a gnet logger that drops what is not an error: gnet's own writes to standard output.
type errorLog struct{ *log.Logger }

func (errorLog) Debugf(string, ...any)               {}
func (errorLog) Infof(string, ...any)                {}
func (errorLog) Warnf(string, ...any)                {}
func (l errorLog) Errorf(format string, args ...any) { l.Printf(format, args...) }

// reservePort finds a port that several listeners can share: asked for port 0, each of gnet's would get another one.
// The port is held, but not listened on, until release.
func reservePort() (port int, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	release = func() { unix.Close(fd) }
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	)
	if err == nil {
		var bound unix.Sockaddr
		if bound, err = unix.Getsockname(fd); err == nil {
			return bound.(*unix.SockaddrInet4).Port, release, nil
		}
	}
	release()
	return 0, nil, err
}
