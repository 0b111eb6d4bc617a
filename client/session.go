package client

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"time"

	"github.com/kassa-go/kassa/pool/wire"
)

// greeting is what a hello told. It is not changed any more.
type greeting struct {
	session uint64 // that the connection's requests belong to; 0: the server has none
	resume  string // with which another connection takes it over
	asked   time.Time
	server  time.Time // what time it was at the server, after asked
}

func newGreeting(reply []byte, asked time.Time) *greeting {
	var hello struct {
		Session    uint64    `json:"session"`
		Resume     string    `json:"resume"`
		ServerTime time.Time `json:"serverTime"`
	}
	g := &greeting{asked: asked, server: asked}
	if json.Unmarshal(reply, &hello) != nil { // an answer of another kind of server
		return g
	}
	g.session, g.resume = hello.Session, hello.Resume
	if !hello.ServerTime.IsZero() {
		g.server = hello.ServerTime
	}
	return g
}

// local returns when it is at at the server, in ms, by the monotonic clock of this machine: at most as much too early as
// hello took for its way there, never too late.
func (g *greeting) local(at int64) time.Time {
	return g.asked.Add(time.UnixMilli(at).Sub(g.server) - time.Millisecond)
}

// local returns that by what the last hello told.
func (cn *conn) local(at int64) time.Time {
	cn.client.mu.Lock()
	defer cn.client.mu.Unlock()
	return cn.greeting.local(at)
}

// greetedBefore reports whether the last hello, if there was one, was sent before that.
func (cn *conn) greetedBefore(at time.Time) bool {
	cn.client.mu.Lock()
	defer cn.client.mu.Unlock()
	return cn.greeting != nil && cn.greeting.asked.Before(at)
}

// greetingAgeMax is how old a greeting may be for times to be told by it: clocks that drift apart by 50 ppm, which is much,
// make 3 ms of it. Who is to be told a time has a hello sent ahead of the request, if it is older.
const greetingAgeMax = time.Minute

func (cn *conn) helloPayload(resume string, attempt uint64) []byte {
	hello := wire.HelloRequest{Client: cn.client.cfg.Name, Version: 1, Resume: resume, Attempt: attempt}
	payload, _ := json.Marshal(hello) // it never fails
	return payload
}

// learn takes note of what a hello told on a socket; nil: on the one that is being made.
func (cn *conn) learn(s net.Conn, g *greeting) {
	c := cn.client
	c.mu.Lock()
	if cn.sock != s {
		c.mu.Unlock()
		return
	}
	other := cn.greeting != nil && cn.greeting.session != g.session
	cn.greeting, cn.greeted = g, true
	c.mu.Unlock()
	if k := c.leases.Load(); other && k != nil && k.conn == cn {
		k.renewAll()
	}
}

// sayHello has a hello sent on the connection. answered is called as call.answered is.
func (cn *conn) sayHello(answered func(*call)) (*call, error) {
	return cn.send("hello", "", cn.helloPayload("", 0), 0, time.Time{}, answered)
}

// heardHello is for call.answered of a hello.
func (cn *conn) heardHello(c *call) {
	if c.err == nil {
		cn.learn(c.sock, newGreeting(c.reply, c.sentAt))
	}
}

// awaitHello has a hello sent, and waits for the answer.
func (cn *conn) awaitHello(ctx context.Context) error {
	call, err := cn.sayHello(func(c *call) {
		cn.heardHello(c)
		c.done <- struct{}{}
	})
	if err != nil {
		return err
	}
	_, err = cn.client.await(ctx, call, nil)
	return err
}

// await waits for the answer to call, and decodes it into what result points to, if that is not nil. It returns what hello
// had told where call was sent; nil: it was not.
func (c *Client) await(ctx context.Context, call *call, result any) (under *greeting, err error) {
	select {
	case <-call.done:
	case <-ctx.Done():
		c.mu.Lock()
		under = call.under
		c.mu.Unlock()
		if err := c.abandon(call, ctx.Err()); err != nil {
			return under, err
		}
		<-call.done
	}
	under, err = call.under, call.err
	if err == nil {
		err = call.decode(result)
	}
	call.free()
	return under, err
}

// inSession returns when the requests of the connection belong to a session, or are going to.
func (cn *conn) inSession(ctx context.Context) error {
	for {
		cn.client.mu.Lock()
		greeted := cn.greeted
		cn.hello = true
		cn.client.mu.Unlock()
		if greeted {
			return nil
		}
		// It may be up and greeted by a ping, or down. In the latter case the next socket is greeted by hello, and this one
		// says nothing new.
		if err := cn.awaitHello(ctx); err != nil && !errors.Is(err, ErrUnknownOutcome) {
			return err
		}
	}
}

// session returns the session that the requests of the connection belong to.
func (cn *conn) session() uint64 {
	cn.client.mu.Lock()
	defer cn.client.mu.Unlock()
	if cn.greeting == nil {
		return 0
	}
	return cn.greeting.session
}

// send has a request sent on the connection, in session if that is not 0; see call.answered. body is JSON, and not changed
// any more.
func (cn *conn) send(typ, key string, body []byte, session uint64, deadline time.Time, answered func(*call)) (*call, error) {
	call, err := newCall(context.Background(), &Request{Type: typ, Key: key})
	if err != nil {
		return nil, notSent(err)
	}
	call.payload, call.deadline, call.answered = body, deadline, answered
	call.only, call.session = cn, session
	if err := cn.client.enqueue(call); err != nil {
		call.free()
		return nil, notSent(err)
	}
	return call, nil
}
