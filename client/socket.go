package client

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/bytedance/sonic"

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

// greet says hello where pushes are wanted, or pings, and awaits the answer.
func (cn *conn) greet(s *socket) error {
	cfg := &cn.client.cfg
	cn.client.mu.Lock()
	cn.lastIndex++
	index := cn.lastIndex
	cn.client.mu.Unlock()

	hello := call{typ: "ping"}
	if cfg.OnPush != nil {
		payload, err := sonic.Marshal(map[string]any{"client": cfg.Name, "version": 1})
		if err != nil {
			return err
		}
		hello = call{typ: "hello", payload: payload}
	}
	f := codec.Frame{Index: index, HasIndex: true}
	hello.frame(&f, time.Time{})
	out, err := cfg.Codec.Append(nil, &f)
	if err != nil {
		return err
	}
	if _, err := s.Write(out); err != nil {
		return s.frames.refusal(err)
	}
	for {
		f, err := s.frames.next()
		switch {
		case err != nil:
			return err
		case f.Kind == codec.Push:
			cn.client.push(f)
		case f.Kind == codec.Failure && !f.HasIndex:
			return failureOf(f)
		case !f.HasIndex || f.Index != index || !answers(f, &hello):
			return protocolError("%s was answered by %s %d", hello.typ, f.Type, f.Index)
		case f.Kind == codec.Failure && cfg.OnPush != nil:
			return fmt.Errorf("hello: %w", failureOf(f))
		default:
			return nil // to a ping, any answer will do
		}
	}
}
