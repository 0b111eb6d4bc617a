package engine

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// tcpServer serves TCP addresses: gnet opens a listener at each of them for every event loop.
type tcpServer struct {
	e     *Engine
	addrs []net.Addr
	locks []net.Listener
	gnet  gnet.Engine
	ended chan struct{} // closed when gnet has ended; nil: not started
}

func (e *Engine) listenTCP(addresses []string) (*tcpServer, error) {
	s := &tcpServer{e: e}
	for _, address := range addresses {
		addr, lock, err := reserveTCP(address)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("engine: %w", err)
		}
		s.addrs, s.locks = append(s.addrs, addr), append(s.locks, lock)
	}
	return s, nil
}

// reserveTCP finds out that nobody listens at an address, and what its port is if 0 was asked for. The event loops open
// their listeners with SO_REUSEPORT, and that would also let a second server in beside the first. The address is free
// when it can be bound without that. lock keeps other engines away from then on: an abstract Unix socket, which the kernel
// removes with the process, and which is seen by just those who share the port.
func reserveTCP(address string) (addr net.Addr, lock net.Listener, err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	addr = l.Addr()
	if lock, err = net.Listen("unix", "@kassa/"+addr.String()); err != nil {
		return nil, nil, fmt.Errorf("listen tcp %s: another server has just taken it: %w", addr, unix.EADDRINUSE)
	}
	return addr, lock, nil
}

func (s *tcpServer) listening() []net.Addr { return s.addrs }

// start runs the event loops, and returns when they listen; failed is told if they end by themselves.
func (s *tcpServer) start(failed func(error)) error {
	urls := make([]string, len(s.addrs))
	for i, a := range s.addrs {
		urls[i] = "tcp://" + a.String()
	}
	h := &handler{e: s.e, booted: make(chan gnet.Engine, 1)}
	s.ended = make(chan struct{})
	var err error // once ended is closed
	go func() {
		defer close(s.ended)
		err = gnet.Rotate(h, urls, s.e.options()...)
		select {
		case <-s.e.stopping:
		default: // nobody asked for it: gnet ends like that when it can not accept any more
			failed(fmt.Errorf("engine: the event loops have ended unexpectedly: %w", errors.Join(err, errEnded)))
		}
	}()
	select {
	case s.gnet = <-h.booted:
		return nil
	case <-s.ended:
		return fmt.Errorf("engine: %w", err)
	}
}

var errEnded = errors.New("no more connections can be accepted")

func (s *tcpServer) close() {
	if s.ended != nil {
		// With a context that is over: Stop would look every half second whether the loops have ended, ended tells.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.gnet.Stop(ctx)
		<-s.ended
	}
	for _, lock := range s.locks {
		lock.Close()
	}
}
