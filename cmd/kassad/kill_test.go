package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/pool/journal"
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
	counts  [4]atomic.Int64
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

// killing is a crowd, a program that is killed while it serves them, and its store.
type killing struct {
	program []string
	yaml    string
	data    string // of the program
	sees    string // the same, as each thread of this process sees it
	crowd   *crowd
	ledger  *ledger
	served  time.Duration
}

func newKilling(t testing.TB, program string, conns, clients int) *killing {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	k := &killing{
		program: []string{program}, yaml: filepath.Join(dir, "kassa.yaml"), data: filepath.Join(dir, "data"),
		crowd: newCrowd(seed, conns, clients), ledger: newLedger(),
	}
	k.sees = k.data
	if err := os.WriteFile(k.yaml, []byte(crowdYAML()), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *killing) start(t testing.TB) (*proc.Process, string) {
	args := append(slices.Clone(k.program), "--listen", "tcp://127.0.0.1:0", "--config", k.yaml, "--data", k.data)
	p := proc.Command{Args: args}.Start(t)
	return p, p.Listening()
}

// kill has a server live for some time, and until it has given something out so many times, and be killed. It returns what
// is wrong with what it leaves.
func (k *killing) kill(t testing.TB, after time.Duration, grants int64) error {
	p, addr := k.start(t)
	k.look(t, addr)
	began, before := time.Now(), k.crowd.counts[taken].Load()
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		time.Sleep(after)
		for k.crowd.counts[taken].Load()-before < grants && time.Since(began) < proc.Timeout {
			time.Sleep(time.Millisecond)
		}
		p.Signal(syscall.SIGKILL)
	}()
	k.crowd.serve(addr)
	<-killed
	k.served += time.Since(began)
	p.Wait()
	return k.crowd.tell(k.ledger, k.sees, false)
}

// end has a last server answer what is not answered yet, and compares all there is.
func (k *killing) end(t testing.TB) error {
	p, addr := k.start(t)
	k.look(t, addr)
	k.crowd.closing.Store(true)
	k.crowd.serve(addr)
	c := dial(t, addr)
	var brief struct{ ResultJob wire.PoolStats }
	for over := time.Now().Add(proc.Timeout / 2); brief.ResultJob.Items == 0 || brief.ResultJob.Leased > 0; { // what was forgotten runs out
		c.ask(`{"type":"pool.stats","queryIndex":1,"payload":{"pool":"brief"}}`, &brief)
		if time.Now().After(over) {
			t.Fatalf("at %d still: %+v %+v", time.Now().UnixMilli(), brief.ResultJob, c.items("brief"))
		}
	}
	var pools struct{ ResultJob wire.PoolPage }
	c.ask(`{"type":"pool.list","queryIndex":1}`, &pools)
	lists := map[string][]wire.ItemState{}
	held := 0
	for _, stats := range pools.ResultJob.Pools {
		if k.ledger.sales.sells(stats.Pool) {
			continue
		}
		lists[stats.Pool] = c.items(stats.Pool)
		held += stats.Leased
	}
	sold := k.listed(c)
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != exitOK {
		return fmt.Errorf("exit code %d", code)
	}
	if err := k.crowd.tell(k.ledger, k.sees, true); err != nil {
		return err
	}
	for name, items := range lists {
		k.ledger.compare(name, items)
	}
	k.ledger.sales.compare(sold, true)
	if held != len(k.ledger.holder) || len(lists) < 2*turnPools {
		return fmt.Errorf("%d items of %d pools are held, by the events %d", held, len(lists), len(k.ledger.holder))
	}
	if _, err := journal.Verify(k.sees); err != nil {
		return err
	}
	return k.ledger.err()
}

// ask sends a request, and decodes the answer.
func (p *peer) ask(request string, into any) {
	p.t.Helper()
	p.send(request)
	if line := p.line(); json.Unmarshal([]byte(line), into) != nil {
		p.t.Fatalf("%s: %s (%v)", request, line, p.lines.Err())
	}
}

// items returns all items of a pool.
func (p *peer) items(name string) []wire.ItemState {
	p.t.Helper()
	var items []wire.ItemState
	for cursor, more := "", true; more; more = cursor != "" {
		var page struct{ ResultJob wire.PoolPage }
		p.ask(fmt.Sprintf(`{"type":"pool.list","queryIndex":1,"payload":{"pool":%q,"limit":200,"cursor":%q}}`, name, cursor), &page)
		items, cursor = append(items, page.ResultJob.Items...), page.ResultJob.Cursor
	}
	return items
}

// TestKill kills kassad under load, again and again, and compares what its clients were told with the events that are in
// its store, and with what it says in the end. With KASSA_SOAK it goes on for that long.
func TestKill(t *testing.T) {
	soak, _ := time.ParseDuration(os.Getenv("KASSA_SOAK"))
	kills, conns, clients := 50, 64, 12
	switch {
	case raceEnabled:
		kills, conns, clients = 4, 16, 8
	case testing.Short():
		kills = 10
	}
	began, total := time.Now(), 0
	for round := 0; round == 0 || time.Since(began) < soak; round++ {
		k := newKilling(t, bin+"/kassad", conns, clients)
		for range kills {
			if err := k.kill(t, rand.N(600*time.Millisecond), rand.Int64N(100)); err != nil {
				t.Fatal(err)
			}
		}
		if err := k.end(t); err != nil {
			t.Fatal(err)
		}
		total += kills
		answers, turns := k.crowd.answers(), 0
		checked := time.Now()
		written := k.crowd.written()
		for name, history := range written {
			if err := linearizable(history); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			turns += len(history)
		}
		t.Log(k.ledger.sales)
		t.Logf("%d kills; in the last %d: %d answers, %.0f a second, of %d events; %d turns checked in %v; %v in all", total, kills,
			answers, float64(answers)/k.served.Seconds(), k.ledger.rev, turns, time.Since(checked).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		if turns == 0 || !raceEnabled && (len(written) < 8*turnPools || !k.ledger.sales.enough()) {
			t.Error("that is too little to tell anything")
		}
	}
}

// mutant builds kassad with one text of a file of the module changed, which is there once.
func mutant(t *testing.T, file, from, to string) (program string) {
	t.Helper()
	dir := t.TempDir()
	path, err := filepath.Abs(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), from); n != 1 {
		t.Fatalf("%s has %q %d times, want once", file, from, n)
	}
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(changed, []byte(strings.Replace(string(source), from, to, 1)), 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "kassad")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestKillFindsEarlyAnswers checks that TestKill would notice answers that leave before the journal has what they tell of.
func TestKillFindsEarlyAnswers(t *testing.T) {
	if raceEnabled {
		t.Skip("once is enough")
	}
	k := newKilling(t, mutant(t, "pool/serve/ack.go", "b.ticket.Wait()", "error(nil)"), 64, 12)
	for n := 1; n <= 40; n++ {
		if err := k.kill(t, 100*time.Millisecond+rand.N(200*time.Millisecond), 100); err != nil {
			t.Logf("kill %d: %v", n, err)
			if !strings.Contains(err.Error(), "things are wrong") && !strings.Contains(err.Error(), "state_behind") {
				t.Error("that is something else")
			}
			return
		}
	}
	t.Error("nothing has noticed")
}
