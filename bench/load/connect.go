package load

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// connects is the pace at which connections are opened, each with one request whose reply completes it.
type connects struct {
	target         int   // conns[:target] are to be open
	next           int   // place of the next one to open
	outstandingMax int   // connections that wait for their first reply
	interval       int64 // ns between two connects; 0: none
	nextAt         int64 // when the next one may be opened
}

func (p *connects) tick(l *loop, now int64) (wake int64, more bool) {
	// Nothing else is under way in this phase: each request under way is a connection's first.
	for p.next < p.target && l.underWay < p.outstandingMax && p.nextAt <= now {
		l.open(&l.conns[p.next])
		p.next++
		p.nextAt += p.interval
	}
	if p.next < p.target && l.underWay < p.outstandingMax {
		return p.nextAt, true
	}
	return now + int64(time.Second), p.next < p.target
}

func (p *connects) answered(*loop, *conn, int, int64) {}

// portTriesMax is how many more local ports are tried for a connection when one is taken. Then the kernel chooses, which
// takes it long where others have thousands of connections too.
const portTriesMax = 100

// open begins to connect c, and makes its first request, which goes out once it is connected.
func (l *loop) open(c *conn) {
	now := l.now()
	from := l.ports.take()
	fd, err := dial(l.addr, from)
	for range portTriesMax {
		if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			break
		}
		from = l.ports.take()
		fd, err = dial(l.addr, from)
	}
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL) {
		fd, err = dial(l.addr, endpoint{addr: from.addr})
	}
	if err != nil {
		l.faults.add(Fault{Conn: c.id, What: err.Error()})
		c.state = dead
		return
	}
	c.fd, c.state = fd, connecting
	c.window.low, c.window.next = IndexMin, IndexMin
	l.issue(c, 1, now)
	l.watch(c, unix.EPOLL_CTL_ADD, unix.EPOLLOUT)
}

// connected ends the connect of c, for better or worse.
func (l *loop) connected(c *conn) {
	if err := socketError(c.fd); err != nil {
		l.kill(c, 0, "connect: "+err.Error())
		return
	}
	c.state = open
	l.live++
	l.flush(c)
	if len(c.pending) > 0 {
		l.watch(c, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLOUT)
	}
}
