package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/kassa-go/kassa/codec"
)

// Peer receives what a connection's client sends. All methods are called by the goroutine of the connection's event
// loop, and must not block. dispatch.Peer is one.
type Peer interface {
	// Request takes a request. f and what it points to are only valid during the call.
	Request(f *codec.Frame)
	// Flush is called after the last of the requests that were read together.
	Flush()
	// Ready reports whether the connection may send another request. After false nothing is taken from it until the peer
	// calls Conn.Resume.
	Ready() bool
	// Pending returns how many requests are taken and not answered yet.
	Pending() int
	// Drain tells that the server ends, finally so when it can not wait any longer for what is pending.
	Drain(final bool)
	// Closed tells that the connection is over: nothing more is read from it, nor written. It is the last call, but for a
	// Flush.
	Closed()
}

// Engine holds connections on event loops. Its methods may be called from any goroutine.
type Engine struct {
	cfg      Config
	connsMax int64
	log      *slog.Logger
	servers  []server
	room     *room

	polling sync.RWMutex // held, for reading, by who wakes an event loop
	closed  bool         // the event loops end, or have ended; guarded by polling

	conns    atomic.Int64 // open ones, refused ones that linger included
	admitted atomic.Int64 // open ones that were not refused
	refusing atomic.Int64 // refused ones that linger
	draining atomic.Bool
	counts   counts

	mu    sync.Mutex
	loops map[gnet.EventLoop]*loop // made when a gnet loop brings its first connection; gnet does not name them before

	stopping chan struct{}
	stop     sync.Once
	ended    chan struct{} // closed when all goroutines of the engine have ended
	err      error         // why; nil: Shutdown was called. Guarded by mu until ended is closed
}

// server is one way for connections to come in, with the event loops that serve them.
type server interface {
	listening() []net.Addr
	start(failed func(error)) error
	close() // ends all of it, and returns when it has ended
}

type counts struct {
	accepted, refused, slowReaders, overloaded, timedOut, badFrames atomic.Uint64
}

// Stats is a snapshot of what an engine has seen since its start.
type Stats struct {
	Conns    int // open now
	ConnsMax int

	Accepted    uint64
	Refused     uint64 // too many connections, or draining
	SlowReaders uint64 // closed, since they did not read their answers
	Overloaded  uint64 // closed, since they sent on without credit
	TimedOut    uint64 // closed, idle or in the middle of a frame
	BadFrames   uint64
}

// Start listens and serves, until Shutdown is called.
func Start(cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		cfg: cfg, log: cfg.Log,
		loops:    make(map[gnet.EventLoop]*loop),
		stopping: make(chan struct{}),
		ended:    make(chan struct{}),
	}
	tcp, paths, err := parseAddresses(cfg.Addrs)
	if err != nil {
		return nil, err
	}
	if err := codec.Pretouch(); err != nil {
		return nil, err
	}
	if e.room, err = newRoom(); err != nil {
		return nil, err
	}
	conns, err := connsMax(cfg.ConnsMax, cfg.Loops, len(cfg.Addrs), cfg.FilesKept)
	if err == nil {
		e.connsMax = int64(conns)
		err = e.listen(tcp, paths)
	}
	if err != nil {
		e.room.close()
		return nil, err
	}
	var own sync.WaitGroup
	own.Go(e.sweep)
	own.Go(e.room.run)
	go func() {
		<-e.stopping
		e.polling.Lock()
		e.closed = true
		e.polling.Unlock()
		e.closeServers()
		e.room.close()
		own.Wait()
		close(e.ended)
	}()
	for _, a := range e.Addrs() {
		e.log.Info("listening", slog.String("network", a.Network()), slog.String("addr", a.String()),
			slog.Int64("connsMax", e.connsMax), slog.String("codec", cfg.Codec.Name()))
	}
	return e, nil
}

// listen opens all listeners, and then starts to serve: an engine that can not have all its addresses serves none.
func (e *Engine) listen(tcp, paths []string) error {
	if len(tcp) > 0 {
		s, err := e.listenTCP(tcp)
		if err != nil {
			return err
		}
		e.servers = append(e.servers, s)
	}
	if len(paths) > 0 {
		s, err := e.listenUnix(paths)
		if err != nil {
			e.closeServers()
			return err
		}
		e.servers = append(e.servers, s)
	}
	for _, s := range e.servers {
		if err := s.start(e.failed); err != nil {
			e.end()
			e.closeServers()
			return err
		}
	}
	return nil
}

func (e *Engine) closeServers() {
	for _, s := range e.servers {
		s.close()
	}
}

// failed ends the engine because of err.
func (e *Engine) failed(err error) {
	e.mu.Lock()
	e.err = errors.Join(e.err, err)
	e.mu.Unlock()
	e.end()
}

// Run starts an engine, serves until ctx is done, and then shuts it down, for which it takes drain at most.
func Run(ctx context.Context, cfg Config, drain time.Duration) error {
	e, err := Start(cfg)
	if err != nil {
		return err
	}
	select {
	case <-e.ended:
		return e.err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	return e.Shutdown(ctx)
}

func (e *Engine) options() []gnet.Option {
	return []gnet.Option{
		gnet.WithNumEventLoop(e.cfg.Loops),
		// One listener a loop: accepting and counting happen in one place, so that the count is exact.
		gnet.WithReusePort(true),
		gnet.WithReuseAddr(true),
		gnet.WithTCPKeepAlive(3 * time.Minute),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogger(gnetLog{e.log}),
	}
}

// Addrs returns where the engine listens, the TCP addresses first.
func (e *Engine) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, s := range e.servers {
		addrs = append(addrs, s.listening()...)
	}
	return addrs
}

// Wait waits until the engine has ended, and returns nil if that was by Shutdown.
func (e *Engine) Wait() error {
	<-e.ended
	return e.err
}

// Stats returns a snapshot.
func (e *Engine) Stats() Stats {
	return Stats{
		Conns:       int(e.conns.Load()),
		ConnsMax:    int(e.connsMax),
		Accepted:    e.counts.accepted.Load(),
		Refused:     e.counts.refused.Load(),
		SlowReaders: e.counts.slowReaders.Load(),
		Overloaded:  e.counts.overloaded.Load(),
		TimedOut:    e.counts.timedOut.Load(),
		BadFrames:   e.counts.badFrames.Load(),
	}
}

// end has all goroutines of the engine end.
func (e *Engine) end() { e.stop.Do(func() { close(e.stopping) }) }

// handler is what a gnet engine calls, on the goroutines of its event loops.
type handler struct {
	gnet.BuiltinEventEngine
	e      *Engine
	booted chan gnet.Engine
}

func (h *handler) OnBoot(g gnet.Engine) gnet.Action {
	h.booted <- g
	return gnet.None
}

func (h *handler) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	h.e.loopOf(gc.EventLoop()).open(gc)
	return nil, gnet.None
}

func (h *handler) OnTraffic(gc gnet.Conn) gnet.Action {
	c := gc.Context().(*Conn)
	c.read()
	c.loop.flush()
	return gnet.None
}

func (h *handler) OnClose(gc gnet.Conn, _ error) gnet.Action {
	gc.Context().(*Conn).closed()
	return gnet.None
}

func (e *Engine) loopOf(el gnet.EventLoop) *loop {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.loops[el]
	if l == nil {
		l = &loop{e: e, el: el, id: len(e.loops), waits: make(map[*Conn][]sentWait)}
		e.loops[el] = l
	}
	return l
}

// onLoops runs f on the goroutine of every loop, and waits until all have, or the engine ends.
func (e *Engine) onLoops(f func(*loop)) {
	e.mu.Lock()
	var loops []*loop
	for _, l := range e.loops {
		loops = append(loops, l)
	}
	e.mu.Unlock()
	done := make(chan struct{}, len(loops))
	for _, l := range loops {
		if l.execute(func() { f(l); done <- struct{}{} }) != nil {
			done <- struct{}{}
		}
	}
	for range loops {
		select {
		case <-done:
		case <-e.stopping: // a loop that has ended does not run it
			return
		}
	}
}

// gnetLog is gnet's log, on ours. What it says at start and end is said better by the engine.
type gnetLog struct{ log *slog.Logger }

func (l gnetLog) Debugf(format string, args ...any) {
	l.log.Debug("gnet: " + fmt.Sprintf(format, args...))
}
func (l gnetLog) Infof(format string, args ...any) {
	l.log.Debug("gnet: " + fmt.Sprintf(format, args...))
}
func (l gnetLog) Warnf(format string, args ...any) {
	l.log.Warn("gnet: " + fmt.Sprintf(format, args...))
}
func (l gnetLog) Errorf(format string, args ...any) {
	l.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
func (l gnetLog) Fatalf(format string, args ...any) {
	l.log.Error("gnet: " + fmt.Sprintf(format, args...))
	os.Exit(1)
}
