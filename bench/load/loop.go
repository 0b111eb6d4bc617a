package load

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	readBytesMax  = 256 << 10 // a read
	eventsMax     = 512       // a wake-up
	latencyNsMax  = int64(5 * time.Minute)
	latencyDigits = 3
)

// loop is one thread with an epoll instance and a share of the connections; it shares nothing with other loops.
// All times in it are ns since born, plus 1.
type loop struct {
	addr    netip.AddrPort
	wire    Wire
	talker  talker // wire, if it is one; or nil
	timeout int64  // ns without any reply after which those under way are given up
	born    time.Time
	conns   []conn
	ports   ports // for those not open yet

	epfd   int
	events []unix.EpollEvent
	in     []byte   // what was read last
	out    []byte   // what is written next
	over   []uint64 // requests that the reply looked at ends

	live     int   // connections that are open
	underWay int   // requests, over all connections
	progress int64 // when the last reply came, or the first of the requests under way was made

	// Of the phase being driven.
	answered  int64
	lastReply int64
	latency   *hdrhistogram.Histogram // ns
	late      *hdrhistogram.Histogram // ns
	faults    faults
	cores     float64 // what its thread used of a core, 0 to 1
}

// pace decides when which request is made: what one phase differs from another in.
type pace interface {
	// tick does what is due at now, and returns when it wants to be called again at the latest, and whether there is
	// more to come than the replies to what is under way.
	tick(l *loop, now int64) (wake int64, more bool)

	// answered is called when c has got n replies.
	answered(l *loop, c *conn, n int, now int64)
}

func newLoop(addr netip.AddrPort, w Wire, timeout time.Duration, p ports) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("load: epoll_create1: %w", err)
	}
	t, _ := w.(talker)
	return &loop{
		addr:    addr,
		wire:    w,
		talker:  t,
		timeout: int64(timeout),
		born:    time.Now(),
		ports:   p,
		epfd:    epfd,
		events:  make([]unix.EpollEvent, eventsMax),
		in:      make([]byte, readBytesMax),
	}, nil
}

func (l *loop) now() int64 { return int64(time.Since(l.born)) + 1 }

// begin forgets the phase before.
func (l *loop) begin() {
	l.answered, l.lastReply, l.faults = 0, 0, faults{}
	l.latency = hdrhistogram.New(1, latencyNsMax, latencyDigits)
	l.late = hdrhistogram.New(1, latencyNsMax, latencyDigits)
}

// drive leads a phase to its end: when p wants no more and all replies have come, or none has come for too long.
func (l *loop) drive(p pace) error {
	for {
		now := l.now()
		wake, more := p.tick(l, now)
		if l.underWay == 0 && !more {
			return nil
		}
		if l.underWay > 0 {
			giveUp := l.progress + l.timeout
			if now >= giveUp {
				l.giveUp()
				return nil
			}
			wake = min(wake, giveUp)
		}
		n, err := wait(l.epfd, l.events, time.Duration(wake-now))
		if err != nil {
			return err
		}
		for _, ev := range l.events[:n] {
			l.handle(p, &l.conns[ev.Fd], ev.Events)
		}
	}
}

// handle does what an event on c asks for.
func (l *loop) handle(p pace, c *conn, events uint32) {
	if events&unix.EPOLLOUT != 0 {
		switch c.state {
		case connecting:
			l.connected(c)
		case open:
			l.flush(c)
		}
	}
	if c.state == open && events&^unix.EPOLLOUT != 0 {
		if n, now := l.receive(c); n > 0 {
			p.answered(l, c, n, now)
		}
		l.sendMore(c)
	}
}

// issue makes n requests on c, due at the given time, and writes them.
func (l *loop) issue(c *conn, n int, due int64) {
	if l.underWay == 0 {
		l.progress = l.now()
	}
	l.out = l.out[:0]
	for range n {
		if c.window.full() {
			l.kill(c, c.window.low, fmt.Sprintf("no reply, while %d later requests were made", windowMax-1))
			return
		}
		if c.window.next > IndexMax {
			l.kill(c, 0, "out of indexes: the run is too long for so few connections")
			return
		}
		l.out = l.wire.AppendRequest(l.out, c.id, c.window.add(due))
		l.underWay++
	}
	if l.talker != nil {
		l.out = l.talker.appendMore(l.out, c.id)
	}
	l.send(c, l.out)
}

// sendMore writes what replies on c have asked for, if it has not gone out with new requests.
func (l *loop) sendMore(c *conn) {
	if l.talker == nil || c.state != open {
		return
	}
	if l.out = l.talker.appendMore(l.out[:0], c.id); len(l.out) > 0 {
		l.send(c, l.out)
	}
}

// send writes p on c, or as much as the socket takes; the rest goes out when it takes more.
func (l *loop) send(c *conn, p []byte) {
	if len(c.pending) == 0 && c.state == open {
		n, errno := write(c.fd, p)
		if errno != 0 && errno != unix.EAGAIN {
			l.kill(c, 0, "write: "+errno.Error())
			return
		}
		if errno == 0 {
			p = p[n:]
		}
		if len(p) == 0 {
			return
		}
		l.watch(c, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLOUT)
	}
	if c.state == dead {
		return
	}
	if len(c.pending)+len(p) > pendingBytesMax {
		l.kill(c, 0, fmt.Sprintf("the server does not read: %d bytes wait to be written", len(c.pending)+len(p)))
		return
	}
	c.pending = append(c.pending, p...)
}

// flush writes what is pending on c, which is writable.
func (l *loop) flush(c *conn) {
	n, errno := write(c.fd, c.pending)
	if errno == unix.EAGAIN {
		return
	}
	if errno != 0 {
		l.kill(c, 0, "write: "+errno.Error())
		return
	}
	c.pending = c.pending[:copy(c.pending, c.pending[n:])]
	if len(c.pending) == 0 {
		l.watch(c, unix.EPOLL_CTL_MOD, unix.EPOLLIN)
	}
}

// receive reads from c and checks the replies; it returns how many came, and when.
func (l *loop) receive(c *conn) (replies int, now int64) {
	had := copy(l.in, c.partial)
	n, errno := read(c.fd, l.in[had:])
	now = l.now()
	switch {
	case errno == unix.EAGAIN:
		return 0, now
	case errno != 0:
		l.kill(c, 0, "read: "+errno.Error())
		return 0, now
	case n == 0:
		l.kill(c, 0, "closed by the server")
		return 0, now
	}
	buf := l.in[:had+n]
	for len(buf) > 0 {
		size, index, err := l.hear(buf, c)
		if err != nil {
			l.kill(c, index, err.Error())
			return replies, now
		}
		if size == 0 {
			break
		}
		for _, index := range l.over {
			due, ok := c.window.remove(index)
			if !ok {
				l.kill(c, index, "a reply that no request waits for: doubled, or never asked for")
				return replies, now
			}
			record(l.latency, now-due)
			replies++
			l.underWay--
		}
		buf = buf[size:]
	}
	c.partial = append(c.partial[:0], buf...)
	if len(c.partial) == len(l.in) {
		l.in = make([]byte, 2*len(l.in))
	}
	if replies > 0 {
		l.answered += int64(replies)
		l.lastReply, l.progress = now, now
	}
	return replies, now
}

// hear checks the first reply in buf, and sets over to the requests that it ends. size is 0 when it is not whole.
func (l *loop) hear(buf []byte, c *conn) (size int, index uint64, err error) {
	l.over = l.over[:0]
	if l.talker != nil {
		size, l.over, index, err = l.talker.hear(buf, c.id, l.over)
		return size, index, err
	}
	if size, index, err = l.wire.CheckReply(buf, c.id); size > 0 {
		l.over = append(l.over, index)
	}
	return size, index, err
}

// record counts a latency or lateness.
func record(h *hdrhistogram.Histogram, ns int64) {
	// It fails for what is out of range only.
	_ = h.RecordValue(min(max(ns, 0), latencyNsMax))
}

// kill ends c with a fault, of its oldest request where index is 0. What else is under way on it is counted as lost.
func (l *loop) kill(c *conn, index uint64, what string) {
	if index == 0 && c.window.count > 0 {
		index = c.window.low
	}
	if _, underWay := c.window.remove(index); underWay {
		l.underWay--
	}
	l.faults.add(Fault{Conn: c.id, Index: index, What: what})
	l.faults.count += int64(c.window.count)
	l.shut(c)
}

// giveUp ends all connections that have requests under way: their replies are missing.
func (l *loop) giveUp() {
	what := fmt.Sprintf("no reply; none on any connection for %v", time.Duration(l.timeout))
	for i := range l.conns {
		c := &l.conns[i]
		if c.window.count == 0 {
			continue
		}
		c.window.each(func(index uint64) { l.faults.add(Fault{Conn: c.id, Index: index, What: what}) })
		l.shut(c)
	}
}

// shut closes c, which is connecting or open, and forgets what is under way on it.
func (l *loop) shut(c *conn) {
	if c.state == open {
		l.live--
	}
	l.underWay -= c.window.count
	reset(c.fd)
	c.state, c.window, c.partial, c.pending = dead, window{}, nil, nil
}

// watch tells epoll what is waited for on c.
func (l *loop) watch(c *conn, op int, events uint32) {
	ev := unix.EpollEvent{Events: events, Fd: c.at}
	if err := unix.EpollCtl(l.epfd, op, c.fd, &ev); err != nil {
		l.kill(c, 0, "epoll_ctl: "+err.Error())
	}
}

func (l *loop) close() {
	for i := range l.conns {
		if c := &l.conns[i]; c.state == connecting || c.state == open {
			reset(c.fd)
			c.state = dead
		}
	}
	unix.Close(l.epfd)
}
