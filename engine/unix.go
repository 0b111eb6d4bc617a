package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// unixServer serves Unix sockets. gnet can listen at them too, but then it accepts ahead of the event loops, so that the
// count of connections is not exact and descriptors can run out, which ends it. Here each is accepted when the one before
// it has been counted.
type unixServer struct {
	e         *Engine
	listeners []net.Listener
	accepting sync.WaitGroup
	client    *gnet.Client // for its event loop; gnet calls what serves connections made elsewhere a client
}

func (e *Engine) listenUnix(paths []string) (*unixServer, error) {
	s := &unixServer{e: e}
	for _, path := range paths {
		l, err := listenUnix(path)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("engine: %w", err)
		}
		s.listeners = append(s.listeners, l)
	}
	client, err := gnet.NewClient(&handler{e: e, booted: make(chan gnet.Engine, 1)}, gnet.WithNumEventLoop(1), gnet.WithLogger(gnetLog{e.log}))
	if err == nil {
		err = client.Start()
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("engine: %w", err)
	}
	s.client = client
	return s, nil
}

// listenUnix listens at path. A socket that a server left there when it was killed is removed; anything else is not.
func listenUnix(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("listen unix %s: a file that is no socket is in the way: remove it, or choose another path", path)
	default:
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
			return nil, fmt.Errorf("listen unix %s: another server listens there", path)
		}
		if !errors.Is(err, unix.ECONNREFUSED) { // EAGAIN, say: it has no time to accept, but lives
			return nil, fmt.Errorf("listen unix %s: another server may listen there: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path)
}

func (s *unixServer) listening() []net.Addr {
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// start begins to accept connections; failed is told if that ends by itself.
func (s *unixServer) start(failed func(error)) error {
	for _, l := range s.listeners {
		s.accepting.Go(func() {
			if err := s.accept(l); err != nil {
				failed(err)
			}
		})
	}
	return nil
}

// accept takes in connections until the listener is closed.
func (s *unixServer) accept(l net.Listener) error {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
			// Others in this process, or on this machine, took the descriptors that were spare. The client waits.
			s.e.log.Warn("no descriptor is left for a new connection", slog.Any("err", err))
			select {
			case <-s.e.stopping:
			case <-time.After(acceptPause):
			}
			continue
		case err != nil:
			return fmt.Errorf("engine: %w", err)
		}
		// It returns when the event loop has opened the connection.
		if _, err := s.client.Enroll(c); err != nil {
			s.e.log.Warn("connection lost while it was taken in", slog.Any("err", err))
		}
	}
}

// acceptPause is how long accepting rests when no descriptor is left.
const acceptPause = 100 * time.Millisecond

// close ends the listeners, which removes the sockets, and then the event loop with its connections: in that order, since
// a connection that is being taken in waits for the loop.
func (s *unixServer) close() {
	for _, l := range s.listeners {
		l.Close()
	}
	s.accepting.Wait()
	if s.client != nil {
		if err := s.client.Stop(); err != nil {
			s.e.log.Debug("stopping gnet", slog.Any("err", err))
		}
	}
}
