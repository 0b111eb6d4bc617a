package dispatch

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/bytedance/sonic"

	"github.com/kassa-go/kassa/codec"
)

// Conn is what the dispatcher needs of a connection; engine.Conn is one.
type Conn interface {
	// Loop returns the number of the event loop that owns the connection, from 0 up.
	Loop() int
	// Execute runs f soon on the goroutine of that loop, whether or not the connection is still open. Any goroutine may
	// call it. It fails when the loop has ended.
	Execute(f func()) error
	// FrameBytesMax is the limit of a frame, in both directions. RemoteAddr is the client's address. Any goroutine may
	// call them.
	FrameBytesMax() int
	RemoteAddr() net.Addr

	// Codec returns how the client speaks; Write sends frames, those of one turn of the loop together, and copies them;
	// Resume goes on reading after Peer.Ready was false; WhenSent calls f, once and on the same goroutine, as soon as less
	// than so many bytes wait to be sent, unless ctx is over or the connection has closed before. They are called on the
	// loop's goroutine.
	Codec() codec.Codec
	Write(frames []byte)
	Resume()
	WhenSent(ctx context.Context, bytes int, f func())
}

// Peer is a connection as the dispatcher knows it.
//
// Request, Ready, Flush, Pending, Drain and Closed are for the goroutine of the event loop that owns the connection. The
// other methods may be called from any goroutine.
type Peer struct {
	conn Conn
	loop *loop

	// The loop's.
	first, last *Job // under way, oldest first: taken from the client and not home yet
	inflight    int  // of these, how many count against the credit: all but the parked
	waiting     int  // the parked, as far as the loop has heard of them
	starved     bool // Ready was false
	// In home: the jobs that have come home, and the next connection that has any.
	homeFirst, homeLast *Job
	homeNext            *Peer

	closed   atomic.Bool
	draining atomic.Bool
	parked   atomic.Int32 // jobs that are parked and not over

	mu      sync.Mutex
	greeted codec.Codec    // the client's codec once it has said hello; nil: it takes no pushes
	closers map[any]func() // what runs when it has closed, by who asked for it; nil: nothing
}

// Open returns the Peer for a new connection. The connection's event loop calls it.
func (d *Dispatcher) Open(c Conn) *Peer {
	d.peers.Add(1)
	return &Peer{conn: c, loop: d.loopOf(c)}
}

// Request takes a request that the client has sent. Nothing of f is used after it returns. The job is on its way after
// the next Flush.
func (p *Peer) Request(f *codec.Frame) {
	l := p.loop
	t := l.d.registry.lookup(f)
	switch t {
	case nil:
		p.answerNow(f, answer{err: l.d.unknownType(f)})
		return
	case l.d.cancelType:
		p.cancel(f)
		return
	}
	if len(l.pending) == 0 {
		l.now = l.d.now()
	}
	j := l.newJob()
	j.peer, j.typ, j.codec, j.arrived = p, t, p.conn.Codec(), l.now
	if f.DeadlineMs > 0 {
		j.deadline = l.now + int64(f.DeadlineMs)*1e6
	}
	j.load(f)
	p.link(j)
	l.pending = append(l.pending, j)
	if len(l.pending) == pendingMax {
		p.Flush()
	}
}

// Ready reports whether the connection has credit for another request. After false it is resumed when there is some.
func (p *Peer) Ready() bool {
	p.starved = p.inflight >= p.loop.d.cfg.Credit
	return !p.starved
}

// Flush publishes the requests taken since the last one. What the ring has no room for is answered queue_full at once: an
// event loop never waits.
func (p *Peer) Flush() {
	l := p.loop
	if len(l.pending) == 0 {
		return
	}
	if l.d.debugging() {
		for _, j := range l.pending {
			l.d.trace(j, "received")
		}
	}
	n := l.d.ring.Push(l.pending...)
	l.d.wake.notify()
	for _, j := range l.pending[n:] {
		l.d.ringFull.Add(1)
		p.answerHere(j, errRingFull)
	}
	if p.creditIsBack() {
		// In a turn of its own: what is taken next may find no room either. An error means that the engine has ended.
		_ = l.execute(p.resume)
	}
	published := len(l.pending)
	clear(l.pending)
	l.pending = l.pending[:0]
	l.linger(published)
}

// creditIsBack reports, once, that a connection that had no credit has some again. Half of it, so that requests are taken
// in numbers.
func (p *Peer) creditIsBack() bool {
	if !p.starved || p.closed.Load() || p.inflight > p.loop.d.cfg.Credit/2 {
		return false
	}
	p.starved = false
	return true
}

func (p *Peer) resume() {
	if !p.closed.Load() {
		p.conn.Resume()
	}
}

// Pending returns how many requests are taken and not answered yet.
func (p *Peer) Pending() int { return p.inflight + p.waiting }

// Drain tells that the server is going to end: parked waits are over, what is queued or in work is still answered. With
// final it ends now: what has not begun is answered draining, and what is in work unavailable, since nobody will see what
// comes of it.
func (p *Peer) Drain(final bool) {
	p.draining.Store(true)
	for j := p.first; j != nil; {
		next := j.peerNext
		q := &j.typ.jobber.queue
		if parked := q.parkedOf(j); parked != nil {
			parked.endBecause(ErrDraining)
		} else if final && !j.abandoned {
			queued, unseen, _ := q.takeBack(j)
			why := errAbandoned
			if unseen || queued && j.attempt == 0 { // else it has begun once, at least
				why = ErrDraining
			}
			if queued {
				j.typ.shed.Add(1)
				p.answerHere(j, why)
			} else { // the job comes home later, and nobody is told any more
				j.abandoned = true
				p.write(j, answer{err: why})
			}
		}
		j = next
	}
}

// Closed tells that the connection is over: what is queued goes, what is in work runs to its end.
func (p *Peer) Closed() {
	p.closed.Store(true) // before the queues are searched: what reaches them later sees it
	for j := p.first; j != nil; {
		next := j.peerNext
		queued, _, parked := j.typ.jobber.queue.takeBack(j)
		if queued {
			j.typ.shed.Add(1)
			p.welcome(j)
		} else if parked != nil {
			parked.endBecause(ErrGone)
		}
		j = next
	}
	p.mu.Lock()
	closers := p.closers
	p.closers = nil
	p.mu.Unlock()
	for _, f := range closers {
		f()
	}
	p.loop.d.peers.Add(-1) // at last: who sees it go knows that all of this is done
}

// cancel takes back the client's requests with the index that f names, as far as they have not begun.
func (p *Peer) cancel(f *codec.Frame) {
	var which struct {
		QueryIndex *uint64 `json:"queryIndex"`
	}
	if err := sonic.Unmarshal(f.Payload, &which); err != nil || which.QueryIndex == nil {
		p.answerNow(f, answer{err: codec.NewError(codec.BadPayload, `payload of cancel: {"queryIndex":N} is needed, N that of the request to take back`)})
		return
	}
	cancelled := false
	for j := p.first; j != nil; {
		next := j.peerNext
		if j.hasIndex && j.index == *which.QueryIndex && j.rawIndex == nil {
			q := &j.typ.jobber.queue
			queued, unseen, parked := q.takeBack(j)
			switch {
			case queued:
				j.typ.shed.Add(1)
				p.answerHere(j, takenBack(j, ErrCancelled))
				cancelled = true
			case parked != nil:
				cancelled = parked.endBecause(ErrCancelled) || cancelled
			case unseen:
				cancelled = true
			}
		}
		j = next
	}
	result := []byte(`{"cancelled":false}`)
	if cancelled {
		result = []byte(`{"cancelled":true}`)
	}
	p.answerNow(f, answer{result: result})
}

// answerHere answers a job that the loop has, and takes it home.
func (p *Peer) answerHere(j *Job, err *codec.Error) {
	p.write(j, answer{err: err})
	p.welcome(j)
}

func (p *Peer) write(j *Job, a answer) {
	f := &p.loop.frame
	f.Reset()
	j.address(f)
	p.writeFrame(f, a, j.oneWay)
}

// answerNow answers a request for which there is no job.
func (p *Peer) answerNow(request *codec.Frame, a answer) {
	f := &p.loop.frame
	f.Reset()
	f.Type, f.TypeID = request.Type, request.TypeID
	f.Index, f.RawIndex, f.HasIndex = request.Index, request.RawIndex, request.HasIndex
	p.writeFrame(f, a, request.OneWay)
}

func (p *Peer) writeFrame(f *codec.Frame, a answer, oneWay bool) {
	if oneWay || p.closed.Load() {
		return
	}
	a.fill(f)
	l := p.loop
	var err error
	if l.scratch, err = p.conn.Codec().Append(l.scratch[:0], f); err == nil {
		p.conn.Write(l.scratch)
	}
}

func (p *Peer) link(j *Job) {
	p.inflight++
	j.peerPrev = p.last
	if p.last == nil {
		p.first = j
	} else {
		p.last.peerNext = j
	}
	p.last = j
}

// welcome takes a job home: it is no longer under way.
func (p *Peer) welcome(j *Job) {
	switch {
	case j.parking:
		p.inflight--
		p.waiting++
		p.loop.recycle(j) // in place of the parked one
		return
	case j.typ == nil: // a push
		return
	}
	if j.parked != nil {
		p.waiting--
	} else {
		p.inflight--
	}
	if j.peerPrev == nil {
		p.first = j.peerNext
	} else {
		j.peerPrev.peerNext = j.peerNext
	}
	if j.peerNext == nil {
		p.last = j.peerPrev
	} else {
		j.peerNext.peerPrev = j.peerPrev
	}
	if j.parked == nil { // else its handler, or who has the Parked, may still look at it
		p.loop.recycle(j)
	}
}

// RemoteAddr returns the client's address.
func (p *Peer) RemoteAddr() net.Addr { return p.conn.RemoteAddr() }

// Push sends an event, a JSON value, to the client. It reports whether it was queued for it: a client gets no pushes
// before it has said hello, nor after it has gone, nor one that is larger than a frame may be.
func (p *Peer) Push(typ string, event []byte) bool {
	c := p.pushCodec()
	if c == nil || p.closed.Load() {
		return false
	}
	j := &Job{peer: p, codec: c}
	var err *codec.Error
	withEncoder(func(e *encoder) {
		e.frame = codec.Frame{Kind: codec.Push, Type: []byte(typ), Payload: event}
		err = e.encodeFrame(j)
	})
	if err != nil {
		p.loop.d.log.Error("push dropped", slog.String("type", typ), slog.Any("err", err))
		return false
	}
	p.loop.publish(j, j)
	return true
}

// greet notes that the client takes pushes.
func (p *Peer) greet(c codec.Codec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.greeted = c
}

func (p *Peer) pushCodec() codec.Codec {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.greeted
}

// OnClosed has f run once, on the goroutine of the event loop, when the connection is over and its jobs were taken back: nothing
// more is read from it, though its client may be reading yet why it ends. So f must be quick, and not block. Several f run in no order. It reports false when the connection has closed already: f
// will not run.
func (p *Peer) OnClosed(f func()) bool { return p.whenClosed(&f, f) }

// whenClosed is OnClosed for something that can be forgotten, by its key.
func (p *Peer) whenClosed(key any, f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() { // once it is, Closed is going to look at closers, or has
		return false
	}
	if p.closers == nil {
		p.closers = make(map[any]func())
	}
	p.closers[key] = f
	return true
}

func (p *Peer) forget(key any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.closers, key)
}

// WaitSent blocks until less than so many bytes wait to be sent to the client, counting all that this goroutine has pushed
// and answered before; the kernel's buffers do not count. It fails with ErrGone when the connection closes, and with the
// cause of ctx when that is over first. Who has many pushes for one client calls it every now and then: what a client does
// not read is kept, and above engine.Config.OutboundBytesMax it is closed. Event loops must not call it.
func (p *Peer) WaitSent(ctx context.Context, bytes int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !p.whenClosed(&cancel, func() { cancel(ErrGone) }) {
		return ErrGone
	}
	defer p.forget(&cancel)
	sent := make(chan struct{})
	err := p.loop.execute(func() {
		p.loop.home() // what was published before counts
		p.conn.WhenSent(ctx, bytes, func() { close(sent) })
	})
	if err != nil {
		return err
	}
	select {
	case <-sent:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
