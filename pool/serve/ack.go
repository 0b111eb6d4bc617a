package serve

import (
	"errors"
	"sync"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// acker is the goroutine that answers, once the journal has what the answer tells of.
type acker struct {
	s        *Server
	answers  dispatch.Answers
	waits    map[uint64]*parked
	sessions map[uint64]*dispatch.Peer // those that said hello, and are connected
	watches  map[*dispatch.Peer]*watcher
	watchers sync.WaitGroup
	buf      []byte
}

// parked are the jobs that wait for the outcome of one wait: one, unless its key was used again.
type parked struct {
	jobs []*dispatch.Parked
	kind opKind
	verb *Verb

	mu       sync.Mutex
	ended    sync.Cond       // of mu: live has fallen
	cancel   pool.CancelWait // what ends it when nobody wants it any more
	live     int             // jobs that have not ended
	leaver   *dispatch.Peer  // that took one back, or whose deadline was over, since the last one came; nil: none
	unwanted bool            // nobody waits for the outcome, nor may come back for it
}

// begin counts a job, whose request may have been made before.
func (w *parked) begin(repeated bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live++
	if repeated {
		w.cancel.Repeats++
	}
	w.leaver, w.unwanted = nil, false
}

// over says that a job of peer has ended: with its connection, which its client may come back from, or otherwise. It returns
// what ends the wait if that makes it unwanted, else nil. Of a client that came back, the old connection may be missed only
// after the new one has taken its job back.
func (w *parked) over(peer *dispatch.Peer, gone bool) *pool.CancelWait {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live--
	w.ended.Signal()
	if !gone {
		w.leaver = peer
	}
	if w.unwanted = w.live == 0 && w.leaver != nil && (!gone || w.leaver != peer); !w.unwanted {
		return nil
	}
	cancel := w.cancel
	return &cancel
}

// isUnwanted says whether nobody waits any more, once told jobs were answered. Of the others it first awaits over, which may be
// about to be called: a job has ended a moment before.
func (w *parked) isUnwanted(told int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.live > told {
		w.ended.Wait()
	}
	return w.unwanted
}

func (a *acker) init(s *Server) {
	a.s = s
	a.waits = make(map[uint64]*parked)
	a.sessions = make(map[uint64]*dispatch.Peer)
	a.watches = make(map[*dispatch.Peer]*watcher)
}

func (a *acker) run() {
	for b := range a.s.acking {
		if b.ticket != nil {
			if err := b.ticket.Wait(); err != nil {
				a.s.fail(err)
				return
			}
			a.s.feed.add(b.seq, b.chunk)
		}
		for i := range b.ops {
			a.answer(&b.ops[i])
		}
		a.answers.Flush()
		for i := range b.answers {
			a.deliver(&b.answers[i])
		}
		for i := range b.notices {
			a.notify(&b.notices[i])
		}
		for _, st := range b.closed {
			a.closed(st)
		}
		if b.mark != nil {
			if err := b.mark.Wait(); err != nil {
				a.s.fail(err)
				return
			}
		}
		a.s.recycle(b)
	}
}

// answer answers a request, or parks it.
func (a *acker) answer(o *op) {
	switch {
	case o.err != nil:
		a.answers.Fail(o.job, o.err)
	case o.reply.Err != nil:
		a.answers.Fail(o.job, wireError(o.reply.Err))
	case o.reply.Waiting != 0:
		a.park(o)
	case o.kind == opWatch:
		a.watch(o)
	default:
		if o.kind == opHello {
			a.sessions[o.reply.Session] = o.job.Peer()
		}
		a.reply(o)
	}
}

func (a *acker) reply(o *op) {
	var err error
	if a.buf, err = appendResult(a.buf[:0], o); err != nil {
		a.answers.Fail(o.job, codec.NewError(codec.Internal, "the result can not be JSON: "+err.Error()))
		return
	}
	a.answers.ReplyRev(o.job, a.buf, o.reply.Rev)
	if page, ok := o.view.(*wire.PoolPage); ok {
		recyclePage(page)
	}
}

func (a *acker) park(o *op) {
	wait := o.reply.Waiting
	w := a.waits[wait]
	if w == nil {
		w = &parked{kind: o.kind, verb: o.verb, cancel: pool.CancelWait{Wait: wait}}
		if c, ok := o.cmd.(*pool.Acquire); ok {
			w.cancel.Client, w.cancel.Key = c.Client, c.Key
		}
		w.ended.L = &w.mu
		a.waits[wait] = w // until it is answered, whoever is there still
	}
	w.begin(o.reply.Repeated)
	peer := o.job.Peer()
	// Where it has gone, its session says what becomes of the wait.
	gone := func(cause error) bool {
		return errors.Is(cause, dispatch.ErrGone) || errors.Is(cause, dispatch.ErrDraining)
	}
	p, err := a.answers.Park(o.job, func(cause error) {
		if cancel := w.over(peer, gone(cause)); cancel != nil {
			a.s.news.add(newsItem{cancel: cancel})
		}
	})
	if err != nil {
		a.answers.Fail(o.job, err)
		if cancel := w.over(peer, gone(err)); cancel != nil {
			a.s.news.add(newsItem{cancel: cancel})
		}
		return
	}
	w.jobs = append(w.jobs, p)
}

// deliver answers a request that has waited.
func (a *acker) deliver(answer *pool.Answer) {
	w := a.waits[answer.Wait]
	delete(a.waits, answer.Wait)
	r := &answer.Reply
	peer := a.sessions[answer.Session] // that its client has now; nil: it said no hello, or is away
	told, here := 0, peer == nil
	if w != nil {
		for _, p := range w.jobs {
			if a.end(p, w, r) {
				told, here = told+1, here || p.Job().Peer() == peer
			}
		}
	}
	if told > 0 && here || r.Err != nil || w != nil && w.isUnwanted(told) { // pools hears of what is unwanted
		return
	}
	if peer != nil { // the client has come back, and may not hear what is said over its old connection
		a.buf = appendGrant(a.buf[:0], answer.Kind, r)
		if peer.Push(pushPrefix(answer.Kind)+"granted", a.buf) {
			told++
		}
	}
	if told == 0 && w != nil && w.cancel.Key == "" { // nobody knows of it, nor will
		a.s.news.add(newsItem{cancel: &w.cancel})
	}
}

// end answers a parked job, and reports whether that was in time.
func (a *acker) end(p *dispatch.Parked, w *parked, r *pool.Reply) bool {
	if r.Err != nil {
		return p.Fail(wireError(r.Err))
	}
	var err error
	if a.buf, err = appendResult(a.buf[:0], &op{kind: w.kind, verb: w.verb, reply: *r}); err != nil {
		return p.Fail(codec.NewError(codec.Internal, "the result can not be JSON: "+err.Error()))
	}
	return p.ReplyRev(a.buf, r.Rev)
}

// notify tells a holder what becomes of what it holds.
func (a *acker) notify(n *pool.Notice) {
	peer := a.sessions[n.Session]
	if peer == nil {
		return
	}
	typ := pushPrefix(n.Kind) + "expiring"
	if n.Lost != "" {
		typ = pushPrefix(n.Kind) + "lost"
	}
	ev := &wire.Expiring{Lease: n.Grant, Token: n.Token, ExpiresAt: n.ExpiresAt, Cause: string(n.Lost)}
	if n.Kind == pool.Stock {
		ev.Lease, ev.Hold = 0, n.Grant
	}
	event, err := appendJSON(a.buf[:0], ev)
	if err == nil {
		peer.Push(typ, event)
	}
	a.buf = event
}

// pushPrefix is what the types of pushes about a grant begin with.
func pushPrefix(kind pool.Kind) string {
	if kind == pool.Stock {
		return "hold."
	}
	return "lease."
}

func (a *acker) closed(st *seat) {
	for _, session := range append(st.opened, st.session) {
		if a.sessions[session] == st.peer {
			delete(a.sessions, session)
		}
	}
	if w := a.watches[st.peer]; w != nil {
		w.stop()
		delete(a.watches, st.peer)
	}
}
