package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kassa-go/kassa/codec"
)

// client is a connection to a server, seen from the other end.
type client struct {
	net.Conn
	t     testing.TB
	codec codec.Codec
	last  uint64 // the index of the last request that ask has sent

	in    []byte
	scan  codec.Scan
	frame codec.Frame
}

// reply is a frame from the server, in memory of its own.
type reply struct {
	Kind     codec.Kind
	Type     string
	Index    uint64
	RawIndex string
	HasIndex bool
	Payload  string
	Opaque   bool
	Code     codec.Code
	Message  string
	Retry    uint32
	Detail   string
}

// dial connects to a server. c is how the client speaks; nil: JSON lines.
func dial(t testing.TB, addr net.Addr, c codec.Codec) *client {
	t.Helper()
	cl, err := tryDial(addr, c)
	if err != nil {
		t.Fatal(err)
	}
	cl.t = t
	t.Cleanup(func() { cl.Close() })
	return cl
}

// tryDial is dial for goroutines of which there are many, which must not end the test.
func tryDial(addr net.Addr, c codec.Codec) (*client, error) {
	nc, err := net.DialTimeout(addr.Network(), addr.String(), patience)
	if err != nil {
		return nil, err
	}
	if c == nil {
		c = codec.JSON{}
	}
	nc.SetDeadline(time.Now().Add(patience))
	return &client{Conn: nc, codec: c}, nil
}

// frameOf returns a request as bytes.
func frameOf(t testing.TB, c codec.Codec, f codec.Frame) []byte {
	t.Helper()
	p, err := c.Append(nil, &f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// request returns the frame of a request. An empty payload is none.
func request(typ string, index uint64, payload string) codec.Frame {
	return codec.Frame{Type: []byte(typ), Index: index, HasIndex: true, Payload: []byte(payload)}
}

// send sends frames in one packet, if they fit into one.
func (c *client) send(frames ...codec.Frame) {
	c.t.Helper()
	var p []byte
	for _, f := range frames {
		p = append(p, frameOf(c.t, c.codec, f)...)
	}
	c.sendText(p)
}

// sendText sends bytes as they are.
func (c *client) sendText(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// sendPieces sends p cut at random; pieces are of up to most bytes.
func (c *client) sendPieces(rnd *rand.Rand, p []byte, most int) {
	c.t.Helper()
	for len(p) > 0 {
		n := min(1+rnd.IntN(most), len(p))
		c.sendText(p[:n])
		p = p[n:]
	}
}

// taken waits until the server has read all that was sent over a Unix socket, so that what follows comes by itself.
func (c *client) taken() {
	c.t.Helper()
	raw, err := c.Conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "all read", func() bool {
		unread := -1
		_ = raw.Control(func(fd uintptr) { unread, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		return err == nil && unread == 0
	}, func() any { return err })
}

// ask sends a request and returns the frame that comes next.
func (c *client) ask(typ, payload string) reply {
	c.t.Helper()
	c.last++
	c.send(request(typ, c.last, payload))
	r := c.next()
	if r.HasIndex && r.Index != c.last {
		c.t.Fatalf("request %d of %s was answered by %+v", c.last, typ, r)
	}
	return r
}

// read returns the next frame from the server.
func (c *client) read() (reply, error) {
	for {
		if len(c.in) > 0 {
			frame, n, err := c.codec.Split(&c.scan, c.in, 64<<20)
			if err != nil {
				return reply{}, fmt.Errorf("%w, in %q", err, clip(c.in))
			}
			if n > 0 {
				c.scan = codec.Scan{}
				var r reply
				if frame != nil {
					r, err = c.decode(frame)
				}
				c.in = c.in[n:]
				if frame == nil {
					continue
				}
				return r, err
			}
		}
		c.in = slices.Grow(c.in, 4096)
		n, err := c.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		if n == 0 && err != nil {
			if len(c.in) > 0 {
				err = fmt.Errorf("%w, behind %q", err, clip(c.in))
			}
			return reply{}, err
		}
	}
}

func (c *client) decode(frame []byte) (reply, error) {
	f := &c.frame
	if err := c.codec.DecodeReply(frame, f); err != nil {
		return reply{}, fmt.Errorf("%w, of %q", err, clip(frame))
	}
	return reply{
		Kind: f.Kind, Type: string(f.Type), Index: f.Index, RawIndex: string(f.RawIndex), HasIndex: f.HasIndex,
		Payload: string(f.Payload), Opaque: f.Opaque,
		Code: f.Err.Code, Message: f.Err.Message, Retry: f.Err.RetryAfterMs, Detail: string(f.Err.Detail),
	}, nil
}

// next is read for the test's own goroutine.
func (c *client) next() reply {
	c.t.Helper()
	r, err := c.read()
	if err != nil {
		c.t.Fatalf("no reply: %v", err)
	}
	return r
}

// fails expects that the next frame is an error.
func (c *client) fails(code codec.Code) reply {
	c.t.Helper()
	r := c.next()
	r.is(c.t, codec.Failure, "")
	if r.Code != code {
		c.t.Fatalf("code %s, want %s: %+v", r.Code, code, r)
	}
	return r
}

// ends expects that the server has nothing to say any more, and closes the connection without a reset.
func (c *client) ends() {
	c.t.Helper()
	if r, err := c.read(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("the connection did not end: %+v, %v", r, err)
	} else if len(c.in) > 0 {
		c.t.Fatalf("the connection ended in the middle of a frame: %q", clip(c.in))
	}
}

// silent expects that the server has not said anything: what is asked now is answered first.
func (c *client) silent() {
	c.t.Helper()
	c.ask("echo", `{"silent":true}`).is(c.t, codec.Reply, `{"silent":true}`)
}

// is expects a kind of frame, and what it carries.
func (r reply) is(t testing.TB, kind codec.Kind, payload string) {
	t.Helper()
	if r.Kind != kind || r.Payload != payload {
		r.Payload = clip([]byte(r.Payload))
		t.Fatalf("kind %d with payload %q, want kind %d with %q", r.Kind, fmt.Sprintf("%+v", r), kind, clip([]byte(payload)))
	}
}

func clip(p []byte) string {
	if len(p) > 300 {
		return fmt.Sprintf("%s… (%d bytes)", p[:300], len(p))
	}
	return string(p)
}

// readText reads as many bytes as want has, or less when the connection ends.
func (c *client) readText(want string) string {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("only %q came, not %q", got[:n], want)
	}
	return string(got[:n])
}

// isReset tells whether a connection was cut: what a client that sends on after it was refused may see.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// padded returns a JSON object of exactly size bytes.
func padded(size int) string {
	const around = `{"pad":""}`
	return `{"pad":"` + string(bytes.Repeat([]byte("x"), size-len(around))) + `"}`
}
