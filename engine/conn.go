package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"

	"github.com/panjf2000/gnet/v2"
	"github.com/valyala/bytebufferpool"
	"golang.org/x/sys/unix"

	"github.com/kassa-go/kassa/codec"
)

// Conn is a connection.
//
// Loop, Execute, FrameBytesMax and RemoteAddr may be called from any goroutine, the other methods only from that of the
// connection's event loop.
type Conn struct {
	gc     gnet.Conn
	loop   *loop
	peer   Peer        // told of all that happens while the connection is open; nil: it was refused
	codec  codec.Codec // how the client speaks; a Detector until that is known
	remote net.Addr
	place  int // in loop.conns

	// unread[off:] is what was read and not taken yet: the beginning of a frame, or what there is no credit for. nil most
	// of the time: whole frames are taken right out of gnet's read buffer.
	unread *bytebufferpool.ByteBuffer
	off    int
	scan   codec.Scan // how far unread[off:] was searched for the end of its first frame

	lastTick  uint32 // when the client was last heard
	frameTick uint32 // when the unfinished frame began; 0: there is none
	badFrames uint8  // in a row

	state     state
	detecting bool // codec is a Detector
	starved   bool // the peer was not ready: wait for Resume
	reading   bool // take is running, in a caller's frame
	refused   bool
	halfShut  bool // our direction is closed
}

type state uint8

const (
	open      state = iota
	lingering       // the client was told why, and is given time to read that; what it sends is thrown away
	gone            // closed
)

// badFramesMax is how many bad frames in a row end a connection.
const badFramesMax = 16

// What connections are told before they are closed.
var (
	errTooManyConnections = &codec.Error{Code: codec.TooManyConnections, Message: "the server has as many connections as it can hold: try again later, or another server", RetryAfterMs: 1000}
	errDraining           = codec.NewError(codec.Draining, "the server is shutting down: nothing was done, ask another one or later")
	errFrameTimeout       = codec.NewError(codec.BadFrame, "no end of the frame that was begun came in time")
	errIdle               = codec.NewError(codec.SessionExpired, "nothing was heard for too long")
	errOverloaded         = codec.NewError(codec.Overloaded, "too much was sent without waiting for answers: keep fewer requests in flight")
	errTooManyBadFrames   = codec.NewError(codec.BadFrame, "too many bad frames in a row: the connection is closed")
)

// Loop returns the number of the event loop that owns the connection, from 0 up.
func (c *Conn) Loop() int { return c.loop.id }

// Execute runs f soon on the goroutine of that loop, whether or not the connection is still open. It fails when the
// engine has ended. The order of such calls is kept only while few are outstanding.
func (c *Conn) Execute(f func()) error { return c.loop.execute(f) }

// FrameBytesMax returns the limit of a frame, in both directions.
func (c *Conn) FrameBytesMax() int { return c.loop.e.cfg.FrameBytesMax }

// RemoteAddr returns the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Codec returns how the client speaks: JSON lines until that is known.
func (c *Conn) Codec() codec.Codec { return c.codec }

// Write sends frames, which are copied. What is written in one turn of the loop leaves in one system call. On a connection
// that is being closed it does nothing.
func (c *Conn) Write(frames []byte) {
	if c.state != open {
		return
	}
	l := c.loop
	if l.outTo != c {
		l.flush()
		l.outTo = c
	}
	l.out = append(l.out, frames...)
}

// send writes to the socket what there is room for, gnet keeps the rest. It may close the connection.
func (c *Conn) send(p []byte) {
	if c.state == gone {
		return
	}
	// An error means that gnet has closed the connection, and closed has run.
	if _, err := c.gc.Write(p); err != nil || c.state == gone {
		return
	}
	if c.state == open && c.gc.OutboundBuffered() > c.loop.e.cfg.OutboundBytesMax {
		c.loop.e.counts.slowReaders.Add(1)
		c.loop.e.log.Debug("slow reader closed", slog.String("client", addrString(c.remote)))
		c.loop.el.Close(c.gc)
	}
}

// WhenSent calls f, once and on the loop's goroutine, as soon as less than so many bytes wait to be sent, unless ctx is
// over or the connection has closed before. f must not call WhenSent. What the kernel has taken does not count.
func (c *Conn) WhenSent(ctx context.Context, bytes int, f func()) {
	l := c.loop
	if l.outTo == c {
		l.flush()
	}
	if c.state == gone {
		return
	}
	l.waits[c] = append(l.waits[c], sentWait{ctx, bytes, f})
	c.tellSent()
}

// roomAgain is called when the socket of a connection that somebody waits for has room.
func (c *Conn) roomAgain() {
	if c.state != gone {
		c.tellSent()
	}
}

// sentWait is somebody who waits until less than so many bytes of a connection are unsent.
type sentWait struct {
	ctx   context.Context // over: nobody waits any more
	bytes int
	f     func()
}

// tellSent tells those who wait what c has sent, and has the others told when its socket has room again.
func (c *Conn) tellSent() {
	l := c.loop
	unsent := c.gc.OutboundBuffered()
	waits := slices.DeleteFunc(l.waits[c], func(w sentWait) bool {
		over := w.ctx.Err() != nil
		if !over && unsent < w.bytes {
			w.f()
			over = true
		}
		return over
	})
	if len(waits) == 0 {
		delete(l.waits, c)
		return
	}
	l.waits[c] = waits
	if err := l.e.room.watch(c); err != nil {
		l.e.log.Error("socket can not be watched", slog.Any("err", err))
		l.el.Close(c.gc) // better than that they wait for ever
	}
}

// read takes what gnet has just read. All of it leaves gnet's buffers, which have no bound of their own and are copied
// whenever something is left in them.
func (c *Conn) read() {
	in, _ := c.gc.Next(-1)
	if c.state != open {
		return
	}
	c.lastTick = c.loop.tick
	if c.unread == nil {
		n := c.take(in)
		if c.state == open && n < len(in) {
			c.unread = unreadPool.Get()
			c.unread.B = append(c.unread.B[:0], in[n:]...)
		}
	} else {
		c.unread.B = append(c.unread.B, in...)
		c.takeUnread()
	}
	c.afterTake()
	c.peer.Flush()
}

// unreadPool holds buffers for what connections have begun to send. Frames of one service are of similar size.
var unreadPool bytebufferpool.Pool

// Resume goes on taking requests after Peer.Ready was false.
func (c *Conn) Resume() {
	if c.state != open || !c.starved {
		return
	}
	c.starved = false
	if c.unread != nil {
		c.takeUnread()
		c.afterTake()
		c.peer.Flush()
	}
}

func (c *Conn) takeUnread() {
	if c.starved { // nothing would be taken
		return
	}
	c.off += c.take(c.unread.B[c.off:])
	b := c.unread
	switch {
	case c.state != open || c.off == len(b.B):
		c.dropUnread()
	case c.off > len(b.B)/2: // not at once: moving the rest each time would cost the square of its length
		b.B = b.B[:copy(b.B, b.B[c.off:])]
		c.off = 0
	}
}

func (c *Conn) dropUnread() {
	if c.unread != nil && !c.reading {
		unreadPool.Put(c.unread)
		c.unread, c.off = nil, 0
	}
}

// afterTake holds the connection to its limits.
func (c *Conn) afterTake() {
	if c.state != open {
		return
	}
	rest := 0
	if c.unread != nil {
		rest = len(c.unread.B) - c.off
	}
	switch {
	case rest > c.loop.e.cfg.InboundBytesMax:
		c.loop.e.counts.overloaded.Add(1)
		c.fail(errOverloaded)
	case rest == 0 || c.starved:
		c.frameTick = 0
	case c.frameTick == 0:
		c.frameTick = max(c.loop.tick, 1)
	}
}

// take hands the whole frames at the beginning of buf to the peer, and returns how many bytes they were.
func (c *Conn) take(buf []byte) (n int) {
	c.reading = true
	defer func() { c.reading = false }()
	l, bytesMax := c.loop, c.loop.e.cfg.FrameBytesMax
	if c.detecting {
		found, err := c.codec.(codec.Detector).Detect(&c.scan, buf, bytesMax)
		if err != nil {
			c.badFrame(err)
			return 0
		}
		if found == nil {
			return 0
		}
		c.codec, c.detecting, c.scan = found, false, codec.Scan{}
	}
	for c.state == open {
		// It may have been starved, and not be now: only asking tells. In a drain nothing is taken, so no credit is needed.
		if c.starved = !c.peer.Ready() && !l.e.draining.Load(); c.starved {
			break
		}
		frame, size, err := c.codec.Split(&c.scan, buf[n:], bytesMax)
		if err != nil {
			c.badFrame(err)
			break
		}
		if size == 0 {
			break
		}
		n += size
		c.scan, c.frameTick = codec.Scan{}, 0
		if frame == nil {
			continue
		}
		if err := c.codec.DecodeRequest(frame, &l.frame); err != nil {
			c.refuse(err)
			if c.badFrames++; c.badFrames == badFramesMax {
				c.fail(errTooManyBadFrames)
			}
			continue
		}
		c.badFrames = 0
		if l.e.draining.Load() {
			c.answer(errDraining)
			continue
		}
		c.peer.Request(&l.frame)
	}
	return n
}

// refuse answers a frame that is no request.
func (c *Conn) refuse(err error) {
	c.loop.e.counts.badFrames.Add(1)
	c.answer(asError(err))
}

// badFrame ends a connection whose stream can not be followed any further.
func (c *Conn) badFrame(err error) {
	c.loop.e.counts.badFrames.Add(1)
	c.fail(asError(err))
}

// answer answers the request in loop.frame, as far as it could be read, with an error.
func (c *Conn) answer(why *codec.Error) {
	f := &c.loop.frame
	if f.OneWay {
		return
	}
	f.Kind, f.Err, f.Payload = codec.Failure, *why, nil
	if p, err := c.codec.Append(nil, f); err == nil {
		c.Write(p)
	}
}

// fail says why the connection ends, and ends it. The client gets time to read that: closing a socket with bytes in its
// inbox makes the kernel tell the client that the connection was reset, and that can overtake the text.
func (c *Conn) fail(why *codec.Error) {
	if c.state != open {
		return
	}
	f := codec.Frame{Kind: codec.Failure, Err: *why}
	if p, err := c.codec.Append(nil, &f); err == nil {
		c.Write(p)
	}
	c.loop.e.log.Debug("connection ended", slog.String("client", addrString(c.remote)), slog.Any("err", why))
	c.linger()
}

// linger ends our direction of the connection once all is sent, and throws away what still comes.
func (c *Conn) linger() {
	if c.state != open {
		return
	}
	c.state, c.lastTick, c.frameTick = lingering, c.loop.tick, 0
	if c.peer != nil { // now, before the client knows, not when it closes: nothing is to be done for it any more
		c.peer.Closed()
	}
	if c.loop.outTo == c {
		c.loop.flush()
	}
	if c.state == gone {
		return
	}
	c.dropUnread()
	c.halfClose()
}

func (c *Conn) halfClose() {
	if c.halfShut || c.gc.OutboundBuffered() > 0 {
		return // the next sweep tries again
	}
	c.halfShut = true
	_ = unix.Shutdown(c.gc.Fd(), unix.SHUT_WR) // it fails if the client has gone, which gnet is about to see
}

// closed is called by gnet when the connection is no more.
func (c *Conn) closed() {
	l, wasOpen := c.loop, c.state == open
	c.state = gone
	if l.outTo == c {
		l.outTo, l.out = nil, l.out[:0]
	}
	c.dropUnread()
	if len(l.waits[c]) > 0 {
		delete(l.waits, c)
		l.e.room.forget(c)
	}
	last := l.conns[len(l.conns)-1]
	l.conns[c.place], last.place = last, c.place
	l.conns[len(l.conns)-1] = nil
	l.conns = l.conns[:len(l.conns)-1]
	if c.refused {
		l.e.refusing.Add(-1)
	} else {
		l.e.admitted.Add(-1)
	}
	l.e.conns.Add(-1)
	if c.peer != nil && wasOpen {
		c.peer.Closed()
	}
}

func asError(err error) *codec.Error {
	if e, ok := errors.AsType[*codec.Error](err); ok {
		return e
	}
	return codec.NewError(codec.BadFrame, err.Error())
}

func addrString(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}
