package client

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// Client is a client of one server. Its methods may be called from any goroutine, except that Close is not for OnPush
// and OnReconnect.
type Client struct {
	cfg    Config
	conns  []*conn
	pushes *pushQueue             // nil: pushes are dropped
	leases atomic.Pointer[leases] // nil: nothing of the pools was asked for yet

	mu     sync.Mutex // guards what follows, the fields of conns, and the state of calls
	queue  callList   // the calls that have not been sent, oldest first: WaitingMax, and what failed writes gave back
	turn   int        // which of conns is asked first to send a call
	down   error      // why the last connection was lost, or not made
	closed bool
	giving int           // goroutines that give something back, see spawn
	given  chan struct{} // closed when Close need not wait for these any more; nil: it does not wait

	closing sync.Once
	ctx     context.Context // done when the client is closed
	cancel  context.CancelFunc
	running sync.WaitGroup // the goroutines

	reconnects    atomic.Uint64
	lateReplies   atomic.Uint64
	pushesDropped atomic.Uint64
}

// Dial connects to a server. It returns when the server has answered a ping (or hello, see Config.OnPush) on the first
// connection, or with what went wrong: a refusal by the server is its *codec.Error. It does not try twice. The other
// connections follow on their own. ctx is about Dial alone.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if cfg.OnPush != nil || cfg.OnReconnect != nil {
		c.pushes = newPushQueue(cfg.PushesMax)
	}
	for range cfg.Conns {
		c.conns = append(c.conns, newConn(c))
	}
	first, err := c.conns[0].connect(ctx)
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("client: connect to %s: %w", cfg.Addr, err)
	}
	if c.pushes != nil {
		c.running.Add(1)
		go c.handlePushes()
	}
	for i, conn := range c.conns {
		c.running.Add(1)
		if i > 0 {
			first = nil
		}
		go conn.run(c.ctx, first)
	}
	return c, nil
}

// giveBackMax is how long Close waits for the server to take back what is being given back.
const giveBackMax = time.Second

// Close ends the client: requests that were not sent end with ErrClosed, those under way with ErrUnknownOutcome. It
// returns when all of the client's goroutines have ended, OnPush included; always nil.
//
// What is on its way back to the server, by Lease.Release, or because the context of a lease, or of Acquire, Hold, Reserve or
// Book has ended, is waited for before that, 1 s at most, and only while the connection is up. Other leases are lost; holds,
// sales and bookings stay what they are at the server.
func (c *Client) Close() error {
	c.closing.Do(c.awaitGiven)
	c.cancel()
	c.closeCalls()
	if c.pushes != nil {
		c.pushes.close()
	}
	c.running.Wait()
	return nil
}

// Request asks for typ with payload (see Request.Payload), and decodes the answer into what result points to, as
// encoding/json would; a nil result drops it. A *json.RawMessage takes it as it came; bytes that are not JSON need a
// *[]byte.
//
// A failure is an error for which errors.Is finds its code (ErrQueueFull, …), and errors.As the *codec.Error. When ctx
// ends first, it is the context's error.
func (c *Client) Request(ctx context.Context, typ string, payload, result any) error {
	call, err := c.ask(ctx, &Request{Type: typ, Payload: payload}, result == nil)
	if err != nil {
		return err
	}
	err = call.decode(result)
	call.free()
	if err != nil {
		return fmt.Errorf("client: result of %s: %w", typ, err)
	}
	return nil
}

// Call is Client.Request for a result of type Rep.
func Call[Rep any](ctx context.Context, c *Client, typ string, payload any) (Rep, error) {
	var rep, zero Rep
	if err := c.Request(ctx, typ, payload, &rep); err != nil {
		return zero, err
	}
	return rep, nil
}

// Send asks for typ one way: it returns when the request has been written into the socket's buffer, and nothing is heard
// of it again. An error that is ErrUnknownOutcome means that it may have gone out, ErrNotSent that it has not.
func (c *Client) Send(ctx context.Context, typ string, payload any) error {
	_, err := c.Do(ctx, Request{Type: typ, Payload: payload, OneWay: true})
	return err
}

// Do is the form that Request, Call and Send are made of, for requests that need more.
func (c *Client) Do(ctx context.Context, req Request) (Response, error) {
	call, err := c.ask(ctx, &req, false)
	if err != nil {
		return Response{}, err
	}
	rep := Response{Payload: call.reply, Opaque: call.replyOpaque, Rev: call.rev}
	call.free()
	return rep, nil
}

// ask sends req and waits for the answer. The call it returns is answered, and the caller's to free.
func (c *Client) ask(ctx context.Context, req *Request, discard bool) (*call, error) {
	if err := ctx.Err(); err != nil {
		return nil, notSent(err)
	}
	call, err := newCall(ctx, req)
	if err != nil {
		return nil, notSent(err)
	}
	call.discard = discard
	if err := c.enqueue(call); err != nil {
		call.free()
		return nil, notSent(err)
	}
	select {
	case <-call.done:
	case <-ctx.Done():
		if err := c.abandon(call, ctx.Err()); err != nil {
			return nil, err
		}
		<-call.done
	}
	if err := call.err; err != nil {
		call.free()
		return nil, err
	}
	return call, nil
}

// push queues the push in f for OnPush, after the leases and holds have seen it.
func (c *Client) push(f *codec.Frame) {
	k := c.leases.Load()
	seen := k != nil && (string(f.Type) == "lease.lost" || string(f.Type) == "hold.lost") && k.told(f)
	if c.cfg.OnPush == nil {
		if !seen {
			c.pushesDropped.Add(1)
		}
		return
	}
	p := Push{Type: string(f.Type), Opaque: f.Opaque}
	if f.Payload != nil {
		p.Event = append([]byte{}, f.Payload...)
	}
	if !c.pushes.add(p) {
		c.pushesDropped.Add(1)
	}
}

// reconnected counts a connection made anew, and queues the news.
func (c *Client) reconnected() {
	c.reconnects.Add(1)
	if c.cfg.OnReconnect != nil {
		c.pushes.addReconnect()
	}
}

// Stats is what a Client has counted since Dial, and how it stands.
type Stats struct {
	ConnsUp       int    // connections that are up
	Waiting       int    // requests not sent yet
	InFlight      int    // requests at the server, cancelled ones that it has not answered included
	Reconnects    uint64 // connections made anew
	LateReplies   uint64 // answers to requests that had been given up, dropped
	PushesDropped uint64 // pushes that found no room, or no OnPush
}

// Stats returns the counts of now.
func (c *Client) Stats() Stats {
	s := Stats{
		Reconnects:    c.reconnects.Load(),
		LateReplies:   c.lateReplies.Load(),
		PushesDropped: c.pushesDropped.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Waiting = c.queue.len
	for _, conn := range c.conns {
		if conn.sock != nil {
			s.ConnsUp++
		}
		s.InFlight += len(conn.pending)
		s.Waiting += conn.queue.len
	}
	return s
}
