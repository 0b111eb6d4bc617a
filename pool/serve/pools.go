package serve

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// batch is what is decided together and becomes durable together. It belongs to one goroutine after the other: jobber,
// pools, acker.
type batch struct {
	ops     []op
	answers []pool.Answer
	notices []pool.Notice
	closed  []*seat

	seq    uint64         // of chunk
	chunk  []byte         // nil: nothing has changed
	ticket journal.Ticket // nil: there is nothing to wait for
	mark   journal.Ticket // of a checkpoint; nil: there was none
}

func (s *Server) newBatch() *batch {
	select {
	case b := <-s.free:
		return b
	default:
		return new(batch)
	}
}

func (s *Server) recycle(b *batch) {
	clear(b.ops)
	clear(b.closed)
	*b = batch{ops: b.ops[:0], closed: b.closed[:0]}
	if cap(b.ops) > 2*batchJobsMax {
		return
	}
	select {
	case s.free <- b:
	default:
	}
}

// seat is what pools knows of a connection.
type seat struct {
	peer    *dispatch.Peer
	client  string   // its identity
	session uint64   // that its requests belong to; 0: none yet
	resume  string   // what hello gave to resume it with; empty: it said no hello
	attempt uint64   // of that hello
	opened  []uint64 // sessions that end with the connection, session not included
	robbed  bool     // another connection has taken its session over, and it has said no hello since
}

// poolsLoop is the goroutine pools.
type poolsLoop struct {
	s        *Server
	machine  *pool.Machine
	appended uint64 // the rev of the last event in the journal

	seats     map[*dispatch.Peer]*seat
	bySession map[uint64]*seat
	waiting   map[uint64]waiter
	waitOf    map[waiter]uint64

	news        []newsItem // being dealt with
	views       []pool.ItemView
	checkpoints checkpoints
}

// waiter says which request waits.
type waiter struct {
	peer  *dispatch.Peer
	index uint64
}

func (p *poolsLoop) init(s *Server) {
	*p = poolsLoop{
		s:         s,
		machine:   pool.New(s.cfg.Machine),
		seats:     make(map[*dispatch.Peer]*seat),
		bySession: make(map[uint64]*seat),
		waiting:   make(map[uint64]waiter),
		waitOf:    make(map[waiter]uint64),
	}
}

// news is what other goroutines have to tell pools.
type news struct {
	mu    sync.Mutex
	items []newsItem
	wake  chan struct{}
}

// newsItem is one of: a connection has closed; nobody wants the outcome of a wait any more, or nobody was told of it.
type newsItem struct {
	closed *seat
	cancel *pool.CancelWait
}

func (n *news) add(item newsItem) {
	n.mu.Lock()
	n.items = append(n.items, item)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// take returns what there is, in place of used.
func (n *news) take(used []newsItem) []newsItem {
	clear(used)
	n.mu.Lock()
	defer n.mu.Unlock()
	items := n.items
	n.items = used[:0]
	return items
}

func (p *poolsLoop) run() {
	s := p.s
	defer close(s.acking)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		b, stopped := p.gather(timer)
		if b == nil {
			return
		}
		p.decide(b)
		p.checkpoint(b, stopped)
		select {
		case s.acking <- b:
		case <-s.failed:
			return
		}
		if stopped {
			return
		}
	}
}

// gather waits until there is something to do, and returns a batch with the requests there are; nil when the journal has
// failed.
func (p *poolsLoop) gather(timer *time.Timer) (b *batch, stopped bool) {
	s := p.s
	timer.Reset(p.untilDue())
	select {
	case b = <-s.incoming:
	case <-s.news.wake:
	case <-timer.C:
	case <-s.stop:
		stopped = true
	case <-s.failed:
		return nil, false
	}
	if b == nil {
		b = s.newBatch()
	}
	for len(b.ops) < batchJobsMax {
		select {
		case more := <-s.incoming:
			b.ops = append(b.ops, more.ops...)
			s.recycle(more)
			continue
		default:
		}
		break
	}
	return b, stopped
}

// untilDue returns how long nothing is due.
func (p *poolsLoop) untilDue() time.Duration {
	if p.checkpoints.active {
		return 0
	}
	wait := time.Until(p.checkpoints.next)
	if p.machine.Changed() == 0 {
		wait = time.Hour
	}
	if due := p.machine.NextDue(); due != 0 {
		wait = min(wait, time.Duration(due-p.s.clock.now())*time.Millisecond)
	}
	return max(wait, 0)
}

const tickSteps = 1024 // what is due, in one batch

// decide carries out what the batch asks for, and what is due, and gives the events to the journal.
func (p *poolsLoop) decide(b *batch) {
	s, m := p.s, p.machine
	now := s.clock.now()
	m.Tick(now, tickSteps)
	p.news = s.news.take(p.news)
	for i := range p.news {
		p.hear(b, &p.news[i], now)
	}
	full := len(b.ops) > 0 && s.cfg.Journal.Full()
	for i := range b.ops {
		o := &b.ops[i]
		switch {
		case o.err != nil:
		case o.job.MinRev() > m.Rev():
			o.err = codec.NewError(codec.StateBehind, fmt.Sprintf("this server knows the pools up to rev %d, the client has seen %d: it is not the same store, or a part of it was lost", m.Rev(), o.job.MinRev()))
		case full && o.grow && !p.knows(o):
			o.err = codec.NewError(codec.StoreFull, "the server's disk is almost full: nothing was done; releases go on")
		default:
			p.decideOp(o, now)
		}
	}
	b.answers, b.notices = m.TakeAnswers()
	for i := range b.answers {
		p.forget(b.answers[i].Wait)
	}
	if b.chunk = m.TakeChunk(); b.chunk != nil {
		b.seq = m.Rev()
		b.ticket = s.cfg.Journal.Append(b.seq, b.chunk)
		p.appended = b.seq
	}
}

// knows reports whether a request was made before, under its key: then something may have been done, and it is told.
func (p *poolsLoop) knows(o *op) bool {
	key := o.job.Key()
	if key == nil {
		return false
	}
	st := p.seatOf(o)
	return st != nil && p.machine.Knows(st.client, string(key))
}

// hear deals with one thing that another goroutine had to tell.
func (p *poolsLoop) hear(b *batch, item *newsItem, now int64) {
	var r pool.Reply
	switch {
	case item.closed != nil:
		st := item.closed
		delete(p.seats, st.peer)
		if st.session != 0 {
			st.opened = append(st.opened, st.session)
		}
		for _, session := range st.opened {
			delete(p.bySession, session)
			p.machine.Decide(now, &pool.Disconnect{Session: session}, &r)
		}
		b.closed = append(b.closed, st)
	case item.cancel != nil:
		p.machine.Decide(now, item.cancel, &r)
	}
}

// seatOf returns what is known of the connection of a request, nil when it has closed.
func (p *poolsLoop) seatOf(o *op) *seat {
	peer := o.job.Peer()
	st := p.seats[peer]
	if st == nil {
		st = &seat{peer: peer, client: address(peer)}
		if !peer.OnClosed(func() { p.s.news.add(newsItem{closed: st}) }) {
			o.err = codec.NewError(codec.Cancelled, "the client has gone")
			return nil
		}
		p.seats[peer] = st
	}
	o.seat = st
	return st
}

// identityOf is seatOf for a request that goes by who the client is. What a client had sent before it came back over another
// connection may be read only after that: it asks for it again there, so here it must not be done as somebody else's.
func (p *poolsLoop) identityOf(o *op) *seat {
	st := p.seatOf(o)
	if st != nil && st.robbed {
		o.err = codec.NewError(codec.SessionExpired, "another connection has taken over the session of this one: say hello")
		return nil
	}
	return st
}

// address is the identity of a client that said no hello: its address without the port.
func address(peer *dispatch.Peer) string {
	if a, ok := peer.RemoteAddr().(*net.TCPAddr); ok {
		return "addr/" + a.IP.String()
	}
	return "addr/local"
}

func (p *poolsLoop) decideOp(o *op, now int64) {
	m := p.machine
	switch c := o.cmd.(type) {
	case *pool.Acquire:
		p.acquire(o, c, now)
		return
	case *pool.Renew:
		p.identify(o, &c.Keyed)
	case *pool.Release:
		if p.identify(o, &c.Keyed); c.Pool != "" && o.seat == nil && p.seats[o.job.Peer()] != nil {
			c.Client = p.seats[o.job.Peer()].client
		}
	case *pool.Fill:
		p.identify(o, &c.Keyed)
	case *pool.Drain:
		p.identify(o, &c.Keyed)
	case *pool.SetItem:
		p.identify(o, &c.Keyed)
	case *pool.Confirm:
		p.identify(o, &c.Keyed)
	case *pool.Refund:
		p.identify(o, &c.Keyed)
	case *pool.Cancel:
		if p.identify(o, &c.Keyed); o.err == nil {
			p.planCancel(o, c)
		}
	case *pool.Move:
		if p.identify(o, &c.Keyed); o.err == nil {
			p.planMove(o, c)
		}
	case *pool.Book:
		if st := p.identityOf(o); st != nil {
			c.Client, c.Session = st.client, st.session
		}
	case nil:
		p.look(o, now)
		return
	}
	if o.err == nil {
		m.Decide(now, o.cmd, &o.reply)
	}
}

// identify says whose key a command has.
func (p *poolsLoop) identify(o *op, k *pool.Keyed) {
	if k.Key == "" {
		return
	}
	if st := p.identityOf(o); st != nil {
		k.Client = st.client
	}
}

func (p *poolsLoop) acquire(o *op, c *pool.Acquire, now int64) {
	st := p.identityOf(o)
	if st == nil {
		return
	}
	c.Client = st.client
	c.Session, c.Connected = st.session, true
	p.machine.Decide(now, c, &o.reply)
	if o.reply.Session != 0 {
		st.session = o.reply.Session
	}
	if wait := o.reply.Waiting; wait != 0 {
		if index, ok := o.job.Index(); ok {
			p.forget(wait) // it may be asked for again, under its key
			w := waiter{st.peer, index}
			p.waiting[wait] = w
			p.waitOf[w] = wait
		}
	}
}

func (p *poolsLoop) forget(wait uint64) {
	if w, ok := p.waiting[wait]; ok {
		delete(p.waiting, wait)
		delete(p.waitOf, w)
	}
}

// look carries out what is no command to the machine.
func (p *poolsLoop) look(o *op, now int64) {
	var err error
	switch ask := o.ask.(type) {
	case *helloAsk:
		p.hello(o, ask, now)
	case *wire.PoolRef:
		var stats pool.Stats
		if stats, err = p.machine.Stats(ask.Pool); err == nil {
			o.view = wireStats(stats)
		}
	case *wire.PoolList:
		o.view, err = p.list(ask)
	case *wire.Explain:
		o.view, err = p.explain(o, ask)
	case *timesAsk:
		o.view, err = p.times(o, ask)
	case *wire.Watch:
		err = p.canWatch(o, ask)
	}
	if err != nil {
		o.err = wireError(err)
	}
	o.reply.Rev = p.machine.Rev()
}

func (p *poolsLoop) list(ask *wire.PoolList) (*wire.PoolPage, error) {
	page := pages.Get().(*wire.PoolPage)
	if ask.Pool == "" {
		var pools []pool.Stats
		pools, page.Cursor = p.machine.ListPools(ask.Limit, ask.Cursor)
		for _, stats := range pools {
			page.Pools = append(page.Pools, *wireStats(stats))
		}
		return page, nil
	}
	var err error
	p.views, page.Cursor, err = p.machine.ListItems(p.views[:0], ask.Pool, ask.Limit, ask.Cursor)
	for i := range p.views {
		page.Items = append(page.Items, wireItemState(&p.views[i]))
	}
	return page, err
}

// pages are used again: one of many items is large, and whoever lists a million of them asks for many.
var pages = sync.Pool{New: func() any { return new(wire.PoolPage) }}

func recyclePage(page *wire.PoolPage) {
	clear(page.Pools)
	clear(page.Items)
	*page = wire.PoolPage{Pools: page.Pools[:0], Items: page.Items[:0]}
	pages.Put(page)
}

func (p *poolsLoop) explain(o *op, ask *wire.Explain) (*wire.Explained, error) {
	wait := ask.Wait
	if ask.QueryIndex != nil {
		if wait = p.waitOf[waiter{o.job.Peer(), *ask.QueryIndex}]; wait == 0 {
			return nil, &pool.Error{Code: pool.NotFound, Message: fmt.Sprintf("no request with queryIndex %d of this connection waits for a pool", *ask.QueryIndex)}
		}
	}
	x, err := p.machine.Explain(wait)
	if err != nil {
		return nil, err
	}
	return wireExplained(&x), nil
}

// hello opens a session for a connection, or gives it the one it wants to resume: the last one to ask has it, unless it says
// that it is not the last one that was made.
func (p *poolsLoop) hello(o *op, ask *helloAsk, now int64) {
	st := p.seatOf(o)
	if st == nil {
		return
	}
	r := &o.reply
	o.now = now
	switch {
	case ask.session != 0:
		if p.machine.Decide(now, &pool.Resume{Session: ask.session, Secret: ask.secret}, r); r.Err != nil {
			return
		}
		if old := p.bySession[ask.session]; old != nil {
			if old != st && old.session == ask.session && 0 < ask.attempt && ask.attempt < old.attempt {
				*r = pool.Reply{} // the session was not away, so nothing has changed
				o.err = codec.NewError(codec.SessionExpired, "a connection that was made later has the session")
				return
			}
			old.opened = slices.DeleteFunc(old.opened, func(id uint64) bool { return id == ask.session })
			if old != st && old.session == ask.session {
				old.session, old.resume, old.client, old.robbed = 0, "", address(old.peer), true
			}
		}
	case st.resume != "": // once more
		r.Session, o.hello = st.session, st.resume
		return
	default:
		if p.machine.Decide(now, &pool.OpenSession{Secret: ask.secret, GraceMs: p.s.cfg.GraceMs}, r); r.Err != nil {
			return
		}
	}
	if st.session != 0 && st.session != r.Session {
		st.opened = append(st.opened, st.session) // it ends with the connection, unless another one resumes it before
	}
	st.attempt = ask.attempt
	st.session, st.robbed, st.client = r.Session, false, fmt.Sprintf("session/%d", r.Session)
	st.resume = fmt.Sprintf("%d.%s", r.Session, ask.secret)
	o.hello = st.resume
	p.bySession[st.session] = st
}

// checkpoints says how the checkpoint under way stands.
type checkpoints struct {
	next    time.Time // when the next one begins
	active  bool
	records []journal.Record
}

// checkpoint begins a checkpoint when it is time, or goes on with the one under way. With all, it makes a whole one: the
// last.
func (p *poolsLoop) checkpoint(b *batch, all bool) {
	ck, m := &p.checkpoints, p.machine
	if !ck.active {
		due := all || m.Changed() >= p.s.cfg.CheckpointRecords || !time.Now().Before(ck.next)
		if !due || m.Changed() == 0 || m.Rev() != p.appended {
			return
		}
		m.Freeze()
		ck.active = true
	}
	for {
		records, mark, done := m.Slice(p.s.cfg.checkpointSlice)
		for _, r := range records {
			ck.records = append(ck.records, journal.Record(r))
		}
		if done {
			b.mark = p.s.cfg.Journal.Checkpoint(journal.Mark{Seq: mark.Rev, Clock: mark.Clock, Schema: schema, Hash: mark.Hash}, ck.records)
			p.s.log.Debug("checkpoint", slog.Uint64("rev", mark.Rev), slog.Int("records", len(ck.records)))
			*ck = checkpoints{next: time.Now().Add(p.s.cfg.CheckpointEvery), records: ck.records[:0]}
			clear(ck.records[:cap(ck.records)])
			if cap(ck.records) > 1<<16 {
				ck.records = nil
			}
			if !all || m.Changed() == 0 {
				return
			}
			m.Freeze() // the one under way did not have the last changes
			ck.active = true
			continue
		}
		if !all {
			return
		}
	}
}
