package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/internal/proof"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// TestPowerLoss has clients use a server, through some lives of it, and takes the power at random file operations, those
// of its start and of its end among them. What each leaves on disk is recovered: it must have all that clients were told
// of by then, and be what the machine was at that rev. One of them is the next life's store: there the clients find what
// they hold, and the outcomes of their keys.
//
// Only sockets are not the real ones: time is that of a bubble, in which nobody waits for it.
func TestPowerLoss(t *testing.T) {
	proof.Run(t, "power losses of a server", 10_000, func(t *testing.T, rng *rand.Rand) (losses int) {
		synctest.Test(t, func(t *testing.T) {
			h := &history{t: t}
			fs := vfs.NewCrashableMem()
			for range 4 {
				crashes := h.live(rng, fs)
				next := rng.IntN(len(crashes) + 1) // behind the last: nothing has happened to it
				for i, c := range crashes {
					if i != next {
						h.recovers(c)
					}
					losses++
				}
				h.least, h.most = h.last(), h.last()
				if next < len(crashes) {
					h.goOn(crashes[next])
					fs = crashes[next].fs
				}
			}
		})
		return losses
	})
}

// history is what there was of a store, and what clients were told. Its revs have no gap.
type history struct {
	t      *testing.T
	mu     sync.Mutex
	chunks []liveChunk
	said   []said // by clients and to them, in order
	least  uint64 // the rev that what is recovered must have
	most   uint64 // and that it can have
}

// liveChunk is a chunk as it was appended, and what the machine's hash was then; 0: that is not known.
type liveChunk struct {
	seq   uint64
	chunk []byte
	hash  uint64
}

// said is a request of a client, or with a reply the answer to one, or a push.
type said struct {
	by    int
	ask   *ask // nil: a push
	reply *reply
	told  uint64 // the highest rev that anybody was told of so far
}

type ask struct{ typ, payload, key string }

type reply struct {
	rev    uint64
	code   string // empty: it was done
	result []byte
}

// crash is a store whose power was taken when so much had been said.
type crash struct {
	fs            *vfs.MemFS
	before, after int    // of history.said: what was before it, and what may have been
	most          uint64 // the last rev that had been appended
}

func (h *history) told(n int) uint64 {
	if n == 0 {
		return 0
	}
	return h.said[n-1].told
}

func (h *history) say(s said) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.told = h.told(len(h.said))
	if s.reply != nil {
		s.told = max(s.told, s.reply.rev)
	}
	h.said = append(h.said, s)
}

func (h *history) last() uint64 {
	if len(h.chunks) == 0 {
		return 0
	}
	return h.chunks[len(h.chunks)-1].seq
}

// recorder is the journal of a server, which takes down what becomes of it, and compares what comes back.
type recorder struct {
	*journal.Pebble
	h       *history
	machine *pool.Machine // the server's, once it has started
}

func (r *recorder) Append(seq uint64, chunk []byte) journal.Ticket {
	c := liveChunk{seq: seq, chunk: bytes.Clone(chunk)}
	if r.machine != nil {
		c.hash = r.machine.Hash()
	}
	r.h.mu.Lock()
	r.h.chunks = append(r.h.chunks, c)
	r.h.mu.Unlock()
	return r.Pebble.Append(seq, chunk)
}

// Recover compares a machine that it makes of what there is with the one that was.
func (r *recorder) Recover(to journal.Recovery) (uint64, error) {
	m, h := pool.New(pool.Config{}), r.h
	epoch, err := r.Pebble.Recover(journal.Recovery{
		Record: func(key, value []byte) error {
			if to.Record != nil {
				if err := to.Record(key, value); err != nil {
					return err
				}
			}
			return m.Load(key, value)
		},
		Mark: func(mark journal.Mark) error {
			if to.Mark != nil {
				if err := to.Mark(mark); err != nil {
					return err
				}
			}
			if err := m.Loaded(pool.Mark{Rev: mark.Seq, Clock: mark.Clock, Hash: mark.Hash}); err != nil {
				return err
			}
			return h.same(m, nil)
		},
		Chunk: func(seq uint64, chunk []byte) error {
			if to.Chunk != nil {
				if err := to.Chunk(seq, chunk); err != nil {
					return err
				}
			}
			if err := m.Replay(seq, chunk); err != nil {
				return err
			}
			return h.same(m, chunk)
		},
	})
	if err == nil && (m.Rev() < h.least || m.Rev() > h.most) {
		err = fmt.Errorf("recovered rev %d, clients were told of %d, the last appended was %d", m.Rev(), h.least, h.most)
	}
	if to.Record != nil { // a server goes on from there
		h.mu.Lock()
		defer h.mu.Unlock()
		h.chunks = slices.DeleteFunc(h.chunks, func(c liveChunk) bool { return c.seq > m.Rev() })
	}
	return epoch, err
}

// same compares a machine with what it was at its rev, and the chunk that brought it there; nil: a checkpoint did.
func (h *history) same(m *pool.Machine, chunk []byte) error {
	i, ok := slices.BinarySearchFunc(h.chunks, m.Rev(), func(c liveChunk, rev uint64) int {
		return int(int64(c.seq) - int64(rev))
	})
	switch {
	case m.Rev() == 0 && chunk == nil:
		return nil
	case !ok:
		return fmt.Errorf("rev %d was never appended", m.Rev())
	case chunk != nil && !bytes.Equal(chunk, h.chunks[i].chunk):
		return fmt.Errorf("chunk %d is not what was appended", m.Rev())
	case h.chunks[i].hash != 0 && m.Hash() != h.chunks[i].hash:
		return fmt.Errorf("at rev %d the hash is %x, and was %x", m.Rev(), m.Hash(), h.chunks[i].hash)
	}
	return nil
}

func (h *history) open(fs vfs.FS, retain int64) *recorder {
	h.t.Helper()
	p, err := journal.Open(journal.Config{Dir: "store", FS: fs, RetainBytes: retain, OnFatal: func(err error) { h.t.Error(err) }})
	if err != nil {
		h.t.Fatal(err)
	}
	return &recorder{Pebble: p, h: h}
}

// recovers looks at what a power loss has left.
func (h *history) recovers(c crash) {
	h.t.Helper()
	h.least, h.most = h.told(c.before), c.most
	r := h.open(c.fs, 0)
	if _, err := r.Recover(journal.Recovery{}); err != nil {
		h.t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// goOn makes it that there was nothing after a power loss, but for requests on their way, which may have been served.
func (h *history) goOn(c crash) {
	h.least, h.most = h.told(c.before), c.most
	meanwhile := h.said[c.before:c.after]
	h.said = h.said[:c.before:c.before]
	for _, s := range meanwhile {
		if s.ask != nil && s.reply == nil {
			h.say(s)
		}
	}
}

// live is one life of a server. It returns what was on disk when the power was taken, after the fact.
func (h *history) live(rng *rand.Rand, fs *vfs.MemFS) []crash {
	t := h.t
	t.Helper()
	var crashes []crash
	at := map[int]vfs.CrashCloneCfg{}
	for next := 0; next < 600; next += 1 + rng.IntN(30) {
		at[next] = vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rand.New(rand.NewPCG(rng.Uint64(), 0)),
		}
	}
	var mu sync.Mutex // of what follows
	writes := 0
	watched := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if cfg, ok := at[writes]; ok {
			var c crash
			h.mu.Lock()
			c.before = len(h.said)
			h.mu.Unlock()
			c.fs = fs.CrashClone(cfg)
			h.mu.Lock()
			c.after, c.most = len(h.said), max(h.last(), h.most)
			h.mu.Unlock()
			crashes = append(crashes, c)
		}
		writes++
		return nil
	}))
	r := h.open(watched, []int64{0, 4 << 10}[rng.IntN(2)])
	s, err := New(Config{
		Journal: r, Pools: append(salesPools(), items("p", 4), items("q", 2)),
		CheckpointEvery:   []time.Duration{3 * time.Millisecond, 100 * time.Millisecond, time.Hour}[rng.IntN(3)],
		CheckpointRecords: []int{5, 50, 1000}[rng.IntN(3)],
		checkpointSlice:   []int{1, 5, 1000}[rng.IntN(3)],
	})
	if err != nil {
		t.Fatal(err)
	}
	r.machine = s.pools.machine
	h.chunks[len(h.chunks)-1].hash = r.machine.Hash()
	reg := dispatch.NewRegistry()
	s.Register(reg)
	d, err := dispatch.New(dispatch.Config{Registry: reg, RingSize: 256})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	loop := newEventLoop()
	var clients sync.WaitGroup
	for i := range 4 {
		c := &client{h: h, loop: loop, d: d, id: i, rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), now: s.clock.now}
		clients.Go(c.work)
	}
	clients.Wait()
	loop.do(func() {}) // what connections had open is closed
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	loop.end()
	mu.Lock()
	defer mu.Unlock()
	return crashes
}

// eventLoop is an engine's, without sockets.
type eventLoop struct {
	mu    sync.Mutex
	tasks []func()
	wake  chan struct{}
	over  chan struct{}
	ended chan struct{}
}

func newEventLoop() *eventLoop {
	l := &eventLoop{wake: make(chan struct{}, 1), over: make(chan struct{}), ended: make(chan struct{})}
	go l.run()
	return l
}

func (l *eventLoop) run() {
	defer close(l.ended)
	for {
		l.mu.Lock()
		tasks := l.tasks
		l.tasks = nil
		l.mu.Unlock()
		for _, f := range tasks {
			f()
		}
		if len(tasks) > 0 {
			continue
		}
		select {
		case <-l.wake:
		case <-l.over:
			return
		}
	}
}

func (l *eventLoop) execute(f func()) error {
	l.mu.Lock()
	l.tasks = append(l.tasks, f)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// do runs f on the loop, and waits for it.
func (l *eventLoop) do(f func()) {
	done := make(chan struct{})
	l.execute(func() {
		f()
		close(done)
	})
	<-done
}

func (l *eventLoop) end() {
	close(l.over)
	<-l.ended
}

// link is a connection of a client.
type link struct {
	c       *client
	peer    *dispatch.Peer
	n       uint64 // the last queryIndex
	asked   map[uint64]*ask
	replies map[uint64]chan *reply
}

func (l *link) Loop() int                                      { return 0 }
func (l *link) Execute(f func()) error                         { return l.c.loop.execute(f) }
func (l *link) FrameBytesMax() int                             { return codec.FrameBytesMaxDefault }
func (l *link) Codec() codec.Codec                             { return codec.JSON{} }
func (l *link) Resume()                                        {}
func (l *link) WhenSent(_ context.Context, _ int, sent func()) { sent() }
func (l *link) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+l.c.id)), Port: 1}
}

// Write gets what the server says: from here on the client knows.
func (l *link) Write(p []byte) {
	for len(p) > 0 {
		var scan codec.Scan
		frame, n, err := codec.JSON{}.Split(&scan, p, codec.FrameBytesMaxDefault)
		if err != nil || n == 0 {
			l.c.h.t.Errorf("the server said %q: %v", p, err)
			return
		}
		p = p[n:]
		var f codec.Frame
		if frame == nil {
			continue
		}
		if err := (codec.JSON{}).DecodeReply(frame, &f); err != nil {
			l.c.h.t.Errorf("the server said %q: %v", frame, err)
			return
		}
		r := &reply{rev: f.Rev, result: bytes.Clone(f.Payload)}
		switch f.Kind {
		case codec.Push:
			var e wire.Event
			if err := json.Unmarshal(f.Payload, &e); err != nil {
				l.c.h.t.Error(err)
			}
			r.rev = max(e.Rev, e.Token)
		case codec.Failure:
			r.code = f.Err.Code.String()
		}
		l.c.h.say(said{by: l.c.id, ask: l.asked[f.Index], reply: r})
		if to := l.replies[f.Index]; f.HasIndex && to != nil {
			to <- r
		}
	}
}

// client is one that comes back in each life.
type client struct {
	h    *history
	loop *eventLoop
	d    *dispatch.Dispatcher
	id   int
	rng  *rand.Rand
	now  func() int64
	link *link

	resume string
	held   []wire.Lease
	has    possessions
}

func (c *client) connect() {
	c.link = &link{c: c, asked: map[uint64]*ask{}, replies: map[uint64]chan *reply{}}
	c.loop.do(func() { c.link.peer = c.d.Open(c.link) })
	if c.id < 2 {
		return // it says no hello
	}
	r := c.call(&ask{typ: "hello", payload: fmt.Sprintf(`{"resume":%q}`, c.resume)})
	c.done(r, "hello")
	var hello struct{ Resume string }
	json.Unmarshal(r.result, &hello)
	c.resume = hello.Resume
	if c.id == 3 {
		c.done(c.call(&ask{typ: "watch", payload: `{}`}), "watch")
	}
}

func (c *client) close() {
	c.loop.do(func() { c.link.peer.Closed() })
}

// send asks for something.
func (c *client) send(a *ask) chan *reply {
	to := make(chan *reply, 1)
	l := c.link
	c.h.say(said{by: c.id, ask: a})
	c.loop.do(func() {
		l.n++
		l.asked[l.n], l.replies[l.n] = a, to
		f := &codec.Frame{Type: []byte(a.typ), Index: l.n, HasIndex: true, Payload: []byte(a.payload)}
		if a.key != "" {
			f.Key = []byte(a.key)
		}
		l.peer.Request(f)
		l.peer.Flush()
	})
	return to
}

func (c *client) call(a *ask) *reply {
	r := <-c.send(a)
	switch r.code {
	case "", "none_free", "no_match", "wait_timeout", "stale_token", "not_found", "version_conflict", "conflict", "expired", "already_resolved", "invalid_interval":
	default:
		c.h.t.Errorf("%+v: %s", *a, r.code)
	}
	return r
}

// done says that a request must have been.
func (c *client) done(r *reply, what string) {
	if r.code != "" {
		c.h.t.Errorf("client %d: %s: %s", c.id, what, r.code)
	}
}

// work is a life of the client.
func (c *client) work() {
	past := c.recall()
	c.connect()
	c.check(past)
	for range c.rng.IntN(25) {
		if c.rng.IntN(3) == 0 {
			time.Sleep(time.Duration(c.rng.IntN(20_000)) * time.Microsecond)
		}
		c.step()
	}
	c.close()
}

func (c *client) step() {
	key := ""
	if c.rng.IntN(2) == 0 {
		key = fmt.Sprint("k", c.rng.Uint32())
	}
	switch n := c.rng.IntN(32); {
	case n >= 20:
		c.trade(key)
	case n < 8:
		wants := []string{`{"pool":"p"}`, `{"pool":"p","count":2}`, `{"pool":"q"}`, `{"pool":"p"},{"pool":"q"}`}[c.rng.IntN(4)]
		more := []string{"", `,"ttlMs":5`, `,"ttlMs":40`}[c.rng.IntN(3)] + []string{"", `,"waitMs":10`, `,"waitMs":50`}[c.rng.IntN(3)]
		a := &ask{"lease.acquire", fmt.Sprintf(`{"want":[%s]%s}`, wants, more), key}
		if c.rng.IntN(3) == 0 {
			c.send(a) // and does something else meanwhile
			return
		}
		if r := c.call(a); r.code == "" {
			c.held = append(c.held, c.lease(r))
		}
	case n < 13 && len(c.held) > 0:
		l := c.held[0]
		c.held = c.held[1:]
		outcome := []string{"", "", `,"outcome":"dirty"`, `,"outcome":"broken"`}[c.rng.IntN(4)]
		a := &ask{"lease.release", fmt.Sprintf(`{"lease":%d,"token":%d%s}`, l.Lease, l.Token, outcome), key}
		if c.rng.IntN(3) == 0 {
			c.send(a)
			return
		}
		c.mayBeOver(c.call(a), l)
	case n < 15 && len(c.held) > 0:
		l := &c.held[c.rng.IntN(len(c.held))]
		r := c.call(&ask{"lease.renew", held(*l), key})
		c.mayBeOver(r, *l)
		json.Unmarshal(r.result, l)
	case n < 16:
		c.done(c.call(&ask{typ: "pool.stats", payload: `{"pool":"p"}`}), "stats")
	case n < 17:
		c.call(&ask{"pool.fill", fmt.Sprintf(`{"pool":"p","items":["x%d"]}`, c.rng.IntN(4)), key})
	case n < 18:
		c.call(&ask{"pool.drain", fmt.Sprintf(`{"pool":"p","ids":["x%d"]}`, c.rng.IntN(4)), key})
	case n < 19:
		c.call(&ask{"item.set", fmt.Sprintf(`{"pool":"p","id":"%d","state":"free"}`, 1+c.rng.IntN(4)), key})
	default:
		c.close()
		c.connect()
	}
}

func (c *client) lease(r *reply) (l wire.Lease) {
	if err := json.Unmarshal(r.result, &l); err != nil || l.Token == 0 || l.Token > r.rev {
		c.h.t.Errorf("granted %s at rev %d: %v", r.result, r.rev, err)
	}
	return l
}

// mayBeOver says that a lease is the client's unless its time is over.
func (c *client) mayBeOver(r *reply, l wire.Lease) {
	if r.code != "" && (r.code != "stale_token" || c.now() < l.ExpiresAt) {
		c.h.t.Errorf("client %d: %s at %d of %+v\n%s", c.id, r.code, c.now(), l, c.h.story(l.Lease))
	}
}

// story tells all there was of a lease.
func (h *history) story(lease uint64) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, c := range h.chunks {
		pool.Events(c.chunk, func(e *pool.Event) bool {
			if e.Grant == lease {
				fmt.Fprintf(&b, "%+v\n", *e)
			}
			return true
		})
	}
	for _, s := range h.said {
		if text := fmt.Sprintf(`"lease":%d,`, lease); s.ask != nil && strings.Contains(s.ask.payload, text) ||
			s.reply != nil && strings.Contains(string(s.reply.result), text) {
			fmt.Fprintf(&b, "client %d: %+v", s.by, s.ask)
			if s.reply != nil {
				fmt.Fprintf(&b, ": %s %s", s.reply.code, s.reply.result)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// memory is what a client knows of its lives before.
type memory struct {
	held, over []wire.Lease
	keyed      []said // with the first reply there was
	has        possessions
}

// recall puts together what the client has said, and was told.
func (c *client) recall() (m memory) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	leases := map[uint64]*wire.Lease{}
	var order []uint64
	unsure := map[*ask]uint64{} // releases on their way, and of which lease
	keyed := map[string]int{}
	c.resume = ""
	for _, s := range c.h.said {
		if s.by != c.id || s.ask == nil {
			continue
		}
		if s.ask.key != "" {
			if i, ok := keyed[s.ask.key]; !ok {
				keyed[s.ask.key] = len(m.keyed)
				m.keyed = append(m.keyed, s)
			} else if m.keyed[i].reply == nil {
				m.keyed[i].reply = s.reply
			} else { // once more
				continue
			}
		}
		m.has.learn(c, s)
		var l wire.Lease
		done := s.reply != nil && s.reply.code == ""
		switch {
		case s.ask.typ == "hello" && done:
			var hello struct{ Resume string }
			json.Unmarshal(s.reply.result, &hello)
			c.resume = hello.Resume
		case s.ask.typ == "lease.acquire" && done:
			if l = c.lease(s.reply); leases[l.Lease] == nil {
				leases[l.Lease] = &l
				order = append(order, l.Lease)
			}
		case s.ask.typ == "lease.release" || s.ask.typ == "lease.renew":
			json.Unmarshal([]byte(s.ask.payload), &l)
			had, release := leases[l.Lease], s.ask.typ == "lease.release"
			switch {
			case had == nil:
			case s.reply == nil && release:
				unsure[s.ask] = l.Lease
			case release:
				delete(unsure, s.ask)
				had.ExpiresAt = 0
			case done:
				json.Unmarshal(s.reply.result, had)
			}
		}
	}
	for _, id := range unsure {
		delete(leases, id)
	}
	for _, id := range order {
		switch l := leases[id]; {
		case l == nil:
		case l.ExpiresAt == 0:
			m.over = append(m.over, *l)
		default:
			m.held = append(m.held, *l)
		}
	}
	return m
}

// check asks a server for what those before it have told.
func (c *client) check(m memory) {
	c.held = nil
	c.checkPossessions(m.has)
	for _, s := range m.keyed[max(0, len(m.keyed)-6):] {
		r := c.call(s.ask)
		if s.reply == nil || s.reply.code != "" { // what has become of it is known now; nothing had
			continue
		}
		if r.code != "" || !bytes.Equal(r.result, s.reply.result) {
			c.h.t.Errorf("client %d: %+v: %s %s, and then %s %s", c.id, *s.ask, s.reply.code, s.reply.result, r.code, r.result)
		}
	}
	for _, l := range m.held[max(0, len(m.held)-4):] {
		r := c.call(&ask{typ: "lease.renew", payload: held(l)})
		if c.mayBeOver(r, l); r.code == "" {
			json.Unmarshal(r.result, &l)
			c.held = append(c.held, l)
		}
	}
	for _, l := range m.over[max(0, len(m.over)-4):] {
		if r := c.call(&ask{typ: "lease.renew", payload: held(l)}); r.code != "stale_token" {
			c.h.t.Errorf("client %d has %+v again: %s", c.id, l, r.code)
		}
	}
}
