package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// feed has the last durable chunks, for those who watch. The others are in the journal.
type feed struct {
	mu     sync.Mutex
	grown  chan struct{} // closed, and made anew, when a chunk comes in; nil: the feed is closed
	after  uint64        // chunks has all behind this rev
	last   uint64        // the rev of the last event
	chunks []feedChunk
	bytes  int // in chunks
}

type feedChunk struct {
	seq  uint64
	data []byte
}

const feedBytesMax = 4 << 20

func (f *feed) init() { f.grown = make(chan struct{}) }

// start says up to which rev everything is durable.
func (f *feed) start(rev uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after, f.last = rev, rev
}

// add adds a durable chunk, which is the feed's.
func (f *feed) add(seq uint64, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.chunks = append(f.chunks, feedChunk{seq, data})
	f.last = seq
	f.bytes += len(data)
	n := 0
	for ; f.bytes > feedBytesMax && n < len(f.chunks)-1; n++ {
		f.bytes -= len(f.chunks[n].data)
		f.after = f.chunks[n].seq
		f.chunks[n] = feedChunk{}
	}
	if n > 0 {
		f.chunks = f.chunks[n:]
	}
	close(f.grown)
	f.grown = make(chan struct{})
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.grown)
	f.grown = nil
}

// since returns the chunks with events behind rev; ok is false when some of these are in the journal only. When there are
// none, grown tells of the next; nil: none will come.
func (f *feed) since(rev uint64) (chunks []feedChunk, grown <-chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if rev < f.after {
		return nil, nil, false
	}
	i, found := slices.BinarySearchFunc(f.chunks, rev, func(c feedChunk, rev uint64) int {
		switch {
		case c.seq < rev:
			return -1
		case c.seq > rev:
			return 1
		}
		return 0
	})
	if found {
		i++
	}
	return slices.Clone(f.chunks[i:]), f.grown, true
}

// eventTypes are all types of events.
var eventTypes = []string{
	"lease.granted", "lease.renewed", "lease.expiring", "lease.released", "lease.expired",
	"hold.created", "hold.extended", "hold.expiring", "hold.confirmed", "hold.voided", "hold.expired", "sale.refunded",
	"slot.booked", "slot.moved", "slot.cancelled", "slot.past",
	"wait.began", "wait.ended", "wait.moved",
	"session.opened", "session.gone", "session.resumed", "session.ended",
	"item.set", "item.state", "item.drained", "pool.set", "pool.retired", "pool.gone",
	"key.settled", "key.forgotten", "server.restarted",
}

// poolless are the types of events that name no pool.
var poolless = []string{
	"lease.renewed", "lease.expiring", "hold.extended", "hold.expiring", "wait.ended", "wait.moved",
	"session.opened", "session.gone", "session.resumed", "session.ended", "key.settled", "key.forgotten", "server.restarted",
}

// CheckEventTypes returns an error if one of the types is none of an event: who waits for such waits for ever.
func CheckEventTypes(types []string) error {
	for _, typ := range types {
		if !slices.Contains(eventTypes, typ) {
			return fmt.Errorf("no event is of type %.64q; there are %s", typ, strings.Join(eventTypes, ", "))
		}
	}
	return nil
}

func (d *opDecoder) watch(o *op) error {
	p := new(wire.Watch)
	o.ask = p
	if err := d.into(o, p); err != nil || p.Off {
		return err
	}
	for _, list := range []struct {
		name  string
		names []string
	}{{"pools", p.Pools}, {"types", p.Types}} {
		if list.names != nil && len(list.names) == 0 {
			return codec.NewError(codec.BadPayload, fmt.Sprintf("%s is empty, so that no event would be pushed: leave it out to be told of all", list.name))
		}
	}
	if err := CheckEventTypes(p.Types); err != nil {
		return err
	}
	if p.Pools != nil && p.Types != nil && !slices.ContainsFunc(p.Types, func(typ string) bool { return !slices.Contains(poolless, typ) }) {
		return codec.NewError(codec.BadPayload, "no event of these types names a pool, so that none would be pushed: leave pools out, or types; "+
			"that is so of "+strings.Join(poolless, ", "))
	}
	return nil
}

// canWatch checks a watch against the session and the pools there are. One that begins with earlier events may be about a
// pool that is gone.
func (p *poolsLoop) canWatch(o *op, ask *wire.Watch) error {
	if st := p.seatOf(o); st != nil && st.resume == "" {
		return codec.NewError(codec.Conflict, "a watch is answered by pushes, which only a client gets that has said hello: say hello first")
	}
	if ask.Off || ask.FromRev > 0 {
		return nil
	}
	for _, name := range ask.Pools {
		if _, err := p.machine.Stats(name); err != nil {
			return err
		}
	}
	return nil
}

// watch begins or ends a client's watch.
func (a *acker) watch(o *op) {
	ask, peer := o.ask.(*wire.Watch), o.job.Peer()
	last := o.reply.Rev // when it was asked for: what was behind it is to be seen, though the feed has that already
	w := &watcher{s: a.s, peer: peer, pools: ask.Pools, types: ask.Types, after: last}
	if ask.FromRev > 0 && ask.FromRev <= last {
		w.after = ask.FromRev - 1
	}
	if ask.FromRev > last+1 && !ask.Off {
		a.answers.Fail(o.job, codec.NewError(codec.StateBehind, "fromRev lies ahead of all events: it is not the same store, or a part of it was lost"))
		return
	}
	if !ask.Off {
		if err := w.kept(); err != nil {
			a.answers.Fail(o.job, err)
			return
		}
	}
	if before := a.watches[peer]; before != nil {
		before.stop()
		delete(a.watches, peer)
	}
	o.view = &wire.Watching{Rev: w.after}
	a.reply(o)
	a.answers.Flush() // before the first push
	if ask.Off {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	a.watches[peer] = w
	a.watchers.Go(func() {
		defer cancel()
		w.run(ctx)
	})
}

// watcher is the goroutine of one watch.
type watcher struct {
	s            *Server
	peer         *dispatch.Peer
	pools, types []string // nil: all
	after        uint64   // the last event that was looked at
	pushed       int      // bytes, since the client was last waited for
	buf          []byte

	cancel  context.CancelFunc
	mu      sync.Mutex
	stopped bool
}

// stop ends the watch: when it returns, nothing is pushed any more.
func (w *watcher) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.cancel()
}

// How many bytes are pushed before the watcher looks what the client has read, and how many it may leave unread then.
const (
	watchBurstBytes  = 64 << 10
	watchUnreadBytes = 256 << 10
)

var errWatchOver = errors.New("the watch is over")

// kept checks that all events it is to begin with are still there.
func (w *watcher) kept() *codec.Error {
	if _, _, ok := w.s.feed.since(w.after); ok {
		return nil
	}
	err := w.s.cfg.Journal.Read(context.Background(), w.after, func(uint64, []byte) error { return errWatchOver })
	switch {
	case err == nil || errors.Is(err, errWatchOver):
		return nil
	case errors.Is(err, journal.ErrGone):
		return codec.NewError(codec.RevGone, "events from fromRev on are kept no longer: ask what there is by pool.list, and watch from now on")
	}
	return codec.NewError(codec.Unavailable, "the journal can not be read: "+err.Error())
}

func (w *watcher) run(ctx context.Context) {
	for {
		chunks, grown, ok := w.s.feed.since(w.after)
		var err error
		switch {
		case !ok:
			err = w.s.cfg.Journal.Read(ctx, w.after, func(seq uint64, chunk []byte) error { return w.push(ctx, seq, chunk) })
		case len(chunks) == 0 && grown == nil:
			return
		case len(chunks) == 0:
			select {
			case <-grown:
			case <-ctx.Done():
				return
			}
		}
		for _, c := range chunks {
			if err == nil {
				err = w.push(ctx, c.seq, c.data)
			}
		}
		if err != nil {
			w.ended(ctx, err)
			return
		}
	}
}

// ended tells a client that is still there that there will be no more.
func (w *watcher) ended(ctx context.Context, err error) {
	cause := codec.Unavailable
	switch {
	case ctx.Err() != nil || errors.Is(err, errWatchOver) || errors.Is(err, dispatch.ErrGone):
		return
	case errors.Is(err, journal.ErrGone):
		cause = codec.RevGone
	default:
		w.s.log.Error("a watch has ended", slog.Uint64("rev", w.after), slog.Any("err", err))
	}
	w.send(&wire.Event{Rev: w.after, Type: "watch.ended", Cause: cause.String()})
}

// push pushes the events of a chunk that are wanted.
func (w *watcher) push(ctx context.Context, seq uint64, chunk []byte) error {
	var over error
	err := pool.Events(chunk, func(e *pool.Event) bool {
		if e.Rev <= w.after || !w.wants(e) {
			return true
		}
		if !w.send(WireEvent(e)) {
			over = errWatchOver
			return false
		}
		if w.pushed > watchBurstBytes {
			w.pushed = 0
			over = w.peer.WaitSent(ctx, watchUnreadBytes)
		}
		return over == nil
	})
	w.after = seq
	return errors.Join(err, over)
}

func (w *watcher) wants(e *pool.Event) bool {
	if w.types != nil && !slices.Contains(w.types, e.Type) {
		return false
	}
	if w.pools == nil || slices.Contains(w.pools, e.Pool) {
		return true
	}
	return slices.ContainsFunc(e.Items, func(ref pool.ItemRef) bool { return slices.Contains(w.pools, ref.Pool) })
}

func (w *watcher) send(e *wire.Event) bool {
	var err error
	if w.buf, err = appendJSON(w.buf[:0], e); err != nil {
		return false
	}
	w.pushed += len(w.buf)
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.stopped && w.peer.Push("watch", w.buf)
}
