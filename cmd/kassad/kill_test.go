package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/kassa-go/kassa/pool/wire"
)

// crowd is many clients, each with one request under way at a time, over a few connections. They outlive the server: what
// they were not told before it was killed they ask again.
type crowd struct {
	callers []*caller
	began   time.Time
	seen    atomic.Uint64 // the highest rev that anybody was told of
	closing atomic.Bool   // nobody is to take anything any more
	keeping atomic.Bool   // who holds something renews it, and keeps it
	counts  [5]atomic.Int64
	last    time.Time // when the last request was first sent that was answered and compared
}

// caller is a connection, and its clients. It belongs to one goroutine at a time.
type caller struct {
	*crowd
	resume  string
	clients []guest
	resting int // of them
	out     []byte
	told    []told
	deeds   []deed
	answers int
	strays  int // requests that were left alone without an answer
	wrong   error
}

// guest is one of a caller's clients.
type guest interface {
	begin() // goes on on a new connection
	answered(a *answer) error
	written() map[string][]porcupine.Operation
}

// asker is the part of a guest that asks.
type asker struct {
	*caller
	index int // its queryIndex
	rng   *rand.Rand
	keys  int

	ask     request // under way
	payload string
	pool    string // the first one it is about
	key     string
	sent    int // how often
	called  int64
	known   uint64 // seen, when it was first sent

	turns map[string][]porcupine.Operation // by pool
}

// client takes, keeps and gives back.
type client struct {
	asker
	habit

	held    wire.Lease // zero: nothing
	outcome string     // with which it is given back
	stale   uint64     // the token of askStale
	was     wire.Lease // what it has given back just now; zero: it is not to try that once more
	dirty   wire.Item  // what it has given back dirty
}

// habit is what a client does.
type habit struct {
	pools  []string // it takes an item of each, together
	waits  bool
	turns  bool // it writes down its turns, and takes of one of the pools for some time and then of the other
	strays bool // its requests have no keys, its leases are short, and it forgets some of them
}

// What a crowd counts.
const (
	taken = iota
	renewed
	givenBack
	refused // with store_full
	greeted // connections
)

type request string

const (
	askTake  request = "lease.acquire"
	askRenew request = "lease.renew"
	askBack  request = "lease.release"
	askStale request = "lease.release " // with a token that is good for nothing
	askClean request = "item.set"
	askLook  request = "pool.stats"
)

// The pools in which turns are written down have 16 clients each, on connections of their own, and pause: between two pauses
// there is no more to order than porcupine can decide.
const (
	turnPools   = 4 // in use at a time, of each kind
	turnTime    = 20 * time.Millisecond
	turnClients = 16
	briefItems  = 2000
)

func crowdYAML() string {
	var b strings.Builder
	b.WriteString("grace: 60s\nkeyRetention: 60s\npools:\n")
	for i := range 2 * turnPools {
		fmt.Fprintf(&b, "  try%d: {ids: 1..%d, ttl: 1h}\n  wait%d: {ids: 1..%d, ttl: 1h}\n", i, deskItems, i, deskItems)
	}
	b.WriteString("  hot: {ids: 1..4, ttl: 1h}\n  left: {ids: 1..3, ttl: 1h}\n  right: {ids: 1..4, ttl: 1h}\n")
	fmt.Fprintf(&b, "  brief: {ids: 1..%d, strategy: lru}\n", briefItems)
	b.WriteString(salesYAML())
	return b.String()
}

// newCrowd makes a crowd of some connections with clients each, in groups of turnClients. 64 with 12 fill the pools in which
// turns are written down; however small it is, a crowd has some who take and some who buy.
func newCrowd(seed uint64, conns, clients int) *crowd {
	c := &crowd{began: time.Now()}
	for range conns {
		c.callers = append(c.callers, &caller{crowd: c})
	}
	of := func(kind string, n int) (pools []string) {
		return []string{fmt.Sprint(kind, n), fmt.Sprint(kind, turnPools+n)}
	}
	for i := range conns * clients {
		at := c.callers[i%conns]
		a := asker{caller: at, index: len(at.clients) + 1, rng: rand.New(rand.NewPCG(seed, uint64(i))), turns: map[string][]porcupine.Operation{}}
		takes := func(h habit) guest { return &client{asker: a, habit: h} }
		buys := func(t trade, pools ...string) guest { return &buyer{asker: a, trade: t, pools: pools} }
		n, kind := i/turnClients, i/turnClients%8
		if n >= 8*turnPools {
			kind = -1
		}
		var g guest
		switch n /= 8; kind {
		case 0:
			g = takes(habit{pools: of("try", n), turns: true})
		case 1:
			g = takes(habit{pools: of("wait", n), waits: true, turns: true})
		case 2:
			g = buys(seatTurns, of("stall", n)...)
		case 3:
			g = buys(roomTurns, of("desk", n)...)
		case 4:
			g = buys(inHall, "hall")
		case 5:
			g = buys(inRooms, "rooms")
			if n%2 == 1 {
				g = buys(ofAll, "kit", "hall", "rooms")
			}
		case 6:
			g = takes(habit{pools: []string{"hot"}, waits: true})
		case 7:
			g = takes(habit{pools: []string{"left", "right"}, waits: true})
		default:
			g = takes(habit{pools: []string{"brief"}, strays: true})
		}
		at.clients = append(at.clients, g)
	}
	return c
}

// serve has the crowd use a server, until that is gone or they all rest.
func (c *crowd) serve(addr string) {
	var group sync.WaitGroup
	for _, at := range c.callers {
		group.Go(func() {
			if err := at.serve(addr); err != nil && at.wrong == nil {
				at.wrong = err
			}
		})
	}
	group.Wait()
}

// answer is a frame from the server.
type answer struct {
	QueryIndex *int
	ResultJob  json.RawMessage
	Rev        uint64
	Code, Err  string
}

// result decodes the result of an answer; a request that failed has none.
func result[T any](a *answer) (v T, err error) {
	if a.Err != "" {
		return v, fmt.Errorf("%s: %s", a.Code, a.Err)
	}
	return v, json.Unmarshal(a.ResultJob, &v)
}

// serve returns nil when the connection is lost, and an error for what must not be.
func (c *caller) serve(addr string) error {
	conn, err := net.Dial("tcp", strings.TrimPrefix(addr, "tcp://"))
	if err != nil {
		return nil // it was killed already
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(giveUp))
	r := bufio.NewReaderSize(conn, 64<<10)
	_, err = fmt.Fprintf(conn, `{"type":"hello","queryIndex":0,"minRev":%d,"payload":{"resume":%q}}`+"\n", c.seen.Load(), c.resume)
	var a answer
	if err == nil {
		err = readAnswer(r, &a)
	}
	if err != nil {
		return lost(err)
	}
	hello, err := result[struct{ Resume string }](&a)
	if err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	c.resume, c.resting = hello.Resume, 0
	c.counts[greeted].Add(1)
	c.out = c.out[:0] // what the last connection did not take any more is asked again
	for _, cl := range c.clients {
		cl.begin()
	}
	for {
		if r.Buffered() == 0 {
			if c.resting == len(c.clients) {
				return nil
			}
			if _, err := conn.Write(c.out); err != nil {
				return lost(err)
			}
			c.out = c.out[:0]
		}
		a = answer{}
		if err := readAnswer(r, &a); err != nil {
			return lost(err)
		}
		if a.QueryIndex == nil {
			continue // a push
		}
		c.answers++
		for seen := c.seen.Load(); a.Rev > seen && !c.seen.CompareAndSwap(seen, a.Rev); seen = c.seen.Load() {
		}
		if err := c.clients[*a.QueryIndex-1].answered(&a); err != nil {
			return err
		}
	}
}

func readAnswer(r *bufio.Reader, a *answer) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, a)
}

// lost returns nil for what a lost connection looks like.
func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// begin goes on on a new connection.
func (c *client) begin() {
	switch {
	case c.ask == "":
		c.next()
	case c.ask == askTake && c.key == "": // who could tell
		c.caller.strays++
		c.next()
	default:
		c.send()
	}
}

// next thinks of something to do.
func (c *client) next() {
	chance := c.rng.IntN(20)
	switch held := named(c.held); {
	case c.held.Lease != 0 && c.closing.Load() && !c.waits:
		c.rest()
	case c.held.Lease != 0 && (chance < 4 || c.keeping.Load()):
		c.request(askRenew, c.held.Items[0].Pool, held+"}", "")
	case c.held.Lease != 0 && chance < 6 && c.habit.strays:
		c.held = wire.Lease{} // it runs out
		c.next()
	case c.held.Lease != 0 && chance < 10 && c.habit.strays:
		c.outcome = "dirty"
		c.request(askBack, c.held.Items[0].Pool, held+`,"outcome":"dirty"}`, "")
	case c.held.Lease != 0:
		c.outcome = "clean"
		c.request(askBack, c.held.Items[0].Pool, held+"}", "")
	case c.dirty.ID != "":
		c.request(askClean, c.dirty.Pool, fmt.Sprintf(`{"pool":%q,"id":%q,"state":"free"}`, c.dirty.Pool, c.dirty.ID), "")
	case c.closing.Load():
		c.rest()
	case c.was.Lease != 0 && chance < 2:
		token := c.was.Token
		c.request(askStale, c.was.Items[0].Pool, named(c.was)+"}", "")
		c.stale = token
	case c.habit.turns && chance < 3:
		name := c.now()[0]
		c.request(askLook, name, fmt.Sprintf(`{"pool":%q}`, name), "")
	default:
		c.take(c.now())
	}
}

func named(l wire.Lease) string { return fmt.Sprintf(`{"lease":%d,"token":%d`, l.Lease, l.Token) }

// now returns the pools to take from.
func (c *client) now() []string {
	if c.habit.turns {
		return []string{c.turnPool(c.pools)}
	}
	return c.pools
}

// turnPool returns the one of two pools that is in use now.
func (c *asker) turnPool(pools []string) string { return pools[time.Since(c.began)/turnTime%2] }

func (c *client) take(pools []string) {
	var want []string
	for _, name := range pools {
		want = append(want, fmt.Sprintf(`{"pool":%q}`, name))
	}
	payload := `{"want":[` + strings.Join(want, ",") + "]"
	if c.waits {
		payload += `,"waitMs":300000`
	}
	if c.habit.strays {
		c.request(askTake, pools[0], fmt.Sprintf(`%s,"ttlMs":%d}`, payload, 1+c.rng.IntN(300)), "")
		return
	}
	c.request(askTake, pools[0], payload+"}", c.nextKey())
}

func (c *asker) rest() {
	c.ask = ""
	c.resting++
}

// nextKey returns a key that its session has not had; keys are the session's own.
func (c *asker) nextKey() string {
	c.keys++
	return fmt.Sprintf("%d-%d", c.index, c.keys)
}

func (c *client) request(ask request, pool, payload, key string) {
	c.was = wire.Lease{}
	c.asker.request(ask, pool, payload, key)
}

func (c *asker) request(ask request, pool, payload, key string) {
	c.ask, c.pool, c.payload, c.key, c.sent = ask, pool, payload, key, 0
	c.called, c.known = time.Since(c.began).Nanoseconds(), c.seen.Load()
	c.send()
}

func (c *asker) send() {
	c.sent++
	b := append(c.out, `{"type":"`...)
	b = append(b, strings.TrimSpace(string(c.ask))...)
	b = strconv.AppendInt(append(b, `","queryIndex":`...), int64(c.index), 10)
	if c.key != "" {
		b = append(append(append(b, `,"key":"`...), c.key...), '"')
	}
	b = append(append(b, `,"payload":`...), c.payload...)
	c.out = append(b, "}\n"...)
}

// answered takes the answer to what is under way.
func (c *client) answered(a *answer) error {
	t := told{lease: c.held.Lease, token: c.held.Token, rev: a.Rev, seen: c.known, sent: c.called, at: time.Now().UnixMilli()}
	over := a.Code == "stale_token"
	var err error
	if a.Code == "store_full" && (c.ask == askTake || c.ask == askClean) {
		c.counts[refused].Add(1)
		c.next()
		return nil
	}
	switch c.ask {
	case askTake:
		if a.Code == "none_free" && !c.waits {
			c.turn(turn{what: turnNone})
			break
		}
		c.held, err = result[wire.Lease](a)
		if err != nil || len(c.held.Items) == 0 {
			return c.unexpected(a)
		}
		c.counts[taken].Add(1)
		t.what, t.lease, t.token, t.expiresAt = toldGranted, c.held.Lease, c.held.Token, c.held.ExpiresAt
		for _, it := range c.held.Items {
			t.items = append(t.items, ref(it.Pool, it.ID))
		}
		slices.Sort(t.items)
		c.tell(t)
		item, _ := strconv.Atoi(c.held.Items[0].ID)
		c.turn(turn{what: turnTake, item: item - 1, token: c.held.Token})
	case askRenew:
		if over && c.habit.strays {
			t.what, c.held = toldOver, wire.Lease{}
			c.tell(t)
			break
		}
		r, err := result[wire.Renewed](a)
		if err != nil {
			return c.unexpected(a)
		}
		c.counts[renewed].Add(1)
		t.what, t.expiresAt = toldRenewed, r.ExpiresAt
		c.tell(t)
		c.turn(turn{what: turnRenew, token: c.held.Token})
	case askBack:
		t.what = toldOver
		if !over || !c.habit.strays && c.sent == 1 {
			t.what = toldReleased
			if r, err := result[wire.Released](a); err != nil || r.Released != len(c.held.Items) {
				return c.unexpected(a)
			}
		}
		c.tell(t)
		c.turn(turn{what: turnBack, token: c.held.Token})
		c.counts[givenBack].Add(1)
		if c.outcome == "dirty" { // where it was told that the lease is over, it may be all the same
			c.dirty = c.held.Items[0]
		}
		c.was, c.held = c.held, wire.Lease{}
	case askStale:
		if !over {
			return c.unexpected(a)
		}
		c.turn(turn{what: turnStale, token: c.stale})
	case askClean:
		if a.Err != "" {
			return c.unexpected(a)
		}
		c.dirty = wire.Item{}
	case askLook:
		st, err := result[wire.PoolStats](a)
		if err != nil {
			return c.unexpected(a)
		}
		c.turn(turn{what: turnLook, free: st.Free})
	}
	c.next()
	return nil
}

func (c *asker) unexpected(a *answer) error {
	return fmt.Errorf("%s %s (key %q, sent %d times): %s: %s%s", c.ask, c.payload, c.key, c.sent, a.Code, a.Err, a.ResultJob)
}

func (c *client) tell(t told) { c.caller.told = append(c.caller.told, t) }

func (c *client) turn(t turn) {
	if c.habit.turns {
		c.asker.turn(t)
	}
}

// turn writes down what has become of the request.
func (c *asker) turn(t turn) {
	c.turns[c.pool] = append(c.turns[c.pool], porcupine.Operation{
		ClientId: c.index, Input: t, Call: c.called, Return: time.Since(c.began).Nanoseconds(),
	})
}

func (c *asker) written() map[string][]porcupine.Operation { return c.turns }

// tell has the ledger read what has come to the store, and compares what clients were told meanwhile.
func (c *crowd) tell(l *ledger, dir string, last bool) error {
	if err := l.read(dir); err != nil {
		return err
	}
	if err := c.wrong(); err != nil {
		return err
	}
	strays := 0
	for _, at := range c.callers {
		for i := range at.told {
			l.tell(&at.told[i])
			if sent := c.began.Add(time.Duration(at.told[i].sent)); sent.After(c.last) {
				c.last = sent
			}
		}
		at.told = at.told[:0]
		for i := range at.deeds {
			l.sales.tell(&at.deeds[i])
			if sent := c.began.Add(time.Duration(at.deeds[i].sent)); sent.After(c.last) {
				c.last = sent
			}
		}
		at.deeds = at.deeds[:0]
		strays += at.strays
	}
	l.settle(strays, last)
	return l.err()
}

// written returns the turns that were written down, by pool.
func (c *crowd) written() map[string][]porcupine.Operation {
	all := map[string][]porcupine.Operation{}
	for _, at := range c.callers {
		for _, cl := range at.clients {
			for name, turns := range cl.written() {
				all[name] = append(all[name], turns...)
			}
		}
	}
	return all
}

func (c *crowd) wrong() error {
	for _, at := range c.callers {
		if at.wrong != nil {
			return at.wrong
		}
	}
	return nil
}

func (c *crowd) answers() int {
	n := 0
	for _, at := range c.callers {
		n += at.answers
	}
	return n
}
