package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// socket is a connection on which the server has answered, and what has been read from it.
type socket struct {
	net.Conn
	frames frames
}

// dialer makes connections that find out within half a minute that the server is gone without a word: idle ones by
// keep-alives, those with something to send by deadAfter.
var dialer = net.Dialer{
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	Control:         setDeadAfter,
}

// deadAfter is how long sent bytes may go unacknowledged, where the system can be told so; else it decides (Linux by
// itself: after a quarter of an hour).
const deadAfter = 30 * time.Second

// connect makes one attempt to connect, and waits for a first answer: a server that turns connections away does so after
// it has accepted them, and no request shall be lost to that.
func (cn *conn) connect(ctx context.Context) (*socket, error) {
	cfg := &cn.client.cfg
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeMax)
	defer cancel()
	nc, err := dialer.DialContext(ctx, cfg.network, cfg.address)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: nc, frames: frames{src: nc, codec: cfg.Codec, bytesMax: cfg.FrameBytesMax}}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	err = cn.greet(s)
	if !stop() {
		err = fmt.Errorf("no answer from the server: %w", ctx.Err())
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return s, nil
}

// greet says hello where it is wanted, or pings, and awaits the answer.
func (cn *conn) greet(s *socket) error {
	cn.client.mu.Lock()
	hello, resume := cn.hello, ""
	if cn.greeting != nil {
		resume = cn.greeting.resume
	}
	cn.greeted = false
	attempt := cn.lastIndex + 1 // it rises from socket to socket
	cn.client.mu.Unlock()
	if !hello {
		_, err := cn.ask(s, &call{typ: "ping"})
		if _, refused := errors.AsType[*refusal](err); refused {
			return nil // any answer will do
		}
		return err
	}
	asked := time.Now()
	reply, err := cn.ask(s, &call{typ: "hello", payload: cn.helloPayload(resume, attempt)})
	if errors.Is(err, ErrSessionExpired) && resume != "" {
		asked = time.Now()
		reply, err = cn.ask(s, &call{typ: "hello", payload: cn.helloPayload("", attempt)})
	}
	if err != nil {
		return err
	}
	cn.learn(nil, newGreeting(reply, asked))
	return nil
}

// refusal is an answer to a greeting that is a failure.
type refusal struct {
	typ string
	err *codec.Error
}

func (r *refusal) Error() string { return r.typ + ": " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// ask sends a request on a socket that nobody else uses yet, and returns the result, in memory of its own.
func (cn *conn) ask(s *socket, c *call) ([]byte, error) {
	cn.client.mu.Lock()
	cn.lastIndex++
	index := cn.lastIndex
	cn.client.mu.Unlock()

	f := codec.Frame{Index: index, HasIndex: true}
	c.frame(&f, time.Time{})
	out, err := cn.client.cfg.Codec.Append(nil, &f)
	if err != nil {
		return nil, err
	}
	if _, err := s.Write(out); err != nil {
		return nil, s.frames.refusal(err)
	}
	for {
		f, err := s.frames.next()
		switch {
		case err != nil:
			return nil, err
		case f.Kind == codec.Push:
			cn.client.push(f)
		case f.Kind == codec.Failure && !f.HasIndex:
			return nil, failureOf(f)
		case !f.HasIndex || f.Index != index || !answers(f, c):
			return nil, protocolError("%s was answered by %s %d", c.typ, f.Type, f.Index)
		case f.Kind == codec.Failure:
			return nil, &refusal{c.typ, failureOf(f)}
		default:
			return append([]byte(nil), f.Payload...), nil
		}
	}
}
