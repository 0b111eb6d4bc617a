package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// How the crowd behaves.
const (
	holdTTL         = 3 * time.Second
	thinkFrom       = 100 * time.Millisecond // from the hold to the payment; the most is well below holdTTL
	thinkTo         = 1500 * time.Millisecond
	waitFrom        = time.Second // for seats to come back
	waitTo          = 3 * time.Second
	toldWithin      = 10 * time.Second // of a hold that ran out
	together        = 4                // seats that a client wants at most, side by side
	shareImpatient  = .15              // does not wait for seats to come back
	shareVoiding    = .05              // changes its mind, and gives the seats back
	shareForgetting = .05              // changes its mind, and has the hold run out
)

// How the crowd comes: so many connections a second, and at the same time, at most.
const (
	connectsPerSecond = 5000
	connectsAtOnce    = 64
)

// How visits end that ended as they may, besides by one of the codes in refusals.
const (
	hasBought  = "bought"
	hasVoided  = "voided"
	hasExpired = "hold ran out"
	hasLeft    = "interrupted"
)

// refusals are the codes that a client may be turned away with.
var refusals = []codec.Code{codec.NoneFree, codec.WaitTimeout, codec.NoMatch, codec.QuotaExceeded, codec.Expired}

// crowd is the clients of a demo, each with a connection of its own.
type crowd struct {
	o        *options
	pool     string
	visitors []*visitor
	tally    tally

	alive   context.Context // ends when the server is gone
	soldOut <-chan struct{}
	late    <-chan struct{} // closed when nobody begins anew
}

// visitor is one client. What it does follows from the seed and its number.
type visitor struct {
	crowd  *crowd
	owner  string
	client *client.Client
	lost   chan uint64   // the holds that it was told it has lost
	back   chan struct{} // has one when a lost connection is back
	asked  int           // how often it asked for seats, each time by another key

	seats       int // that it wants side by side, to begin with
	wait, think time.Duration
	mind        float64 // that it changes, if this is small
}

// receipt is what a client was told that it has bought.
type receipt struct {
	Owner string   `json:"owner"`
	Sale  uint64   `json:"sale"`
	Token uint64   `json:"token"`
	Seats []string `json:"seats"`
}

// afterwards is how a client was refused that had made a request before, of which the outcome was not known. In the same
// session its key would have told that.
type afterwards struct {
	owner         string
	hold, session uint64 // session: in which it was refused
	code          codec.Code
}

// tally is what has been counted so far, by all visitors. Times are in µs.
type tally struct {
	mu        sync.Mutex
	connected int
	began     time.Time // when the clients were let in
	asking    int       // wait for an answer to hold.create
	thinking  int       // hold seats
	ended     int
	outcomes  map[string]int // by how visits ended
	errors    []string       // of visits that ended otherwise; the first of them
	failed    int            // all of them
	replies   int
	again     int                     // requests that were made again
	atOnce    *hdrhistogram.Histogram // answers that nobody had to wait for seats for
	creates   *hdrhistogram.Histogram // those to hold.create among them
	waits     *hdrhistogram.Histogram // for seats to come back, of who got some
	receipts  []receipt
	refused   []afterwards
}

const errorsKept = 10

func newCrowd(o *options, pool string, seed uint64, clients int) *crowd {
	times := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 3) }
	c := &crowd{o: o, pool: pool, tally: tally{outcomes: make(map[string]int), atOnce: times(), creates: times(), waits: times()}}
	for i := range clients {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		v := &visitor{
			crowd: c, owner: fmt.Sprintf("%s%05d", demoOwner, i+1), lost: make(chan uint64, 16), back: make(chan struct{}, 1),
			seats: 1 + r.IntN(together),
			wait:  waitFrom + time.Duration(r.Int64N(int64(waitTo-waitFrom))),
			think: thinkFrom + time.Duration(r.Int64N(int64(thinkTo-thinkFrom))),
		}
		if r.Float64() < shareImpatient {
			v.wait = 0
		}
		v.mind = r.Float64()
		c.visitors = append(c.visitors, v)
	}
	return c
}

// connect has all clients connect and say hello.
func (c *crowd) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	places := make(chan struct{}, connectsAtOnce)
	var connecting sync.WaitGroup
	began := time.Now()
	for i, v := range c.visitors {
		select {
		case <-time.After(time.Until(began.Add(time.Duration(i) * time.Second / connectsPerSecond))):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		places <- struct{}{}
		connecting.Go(func() {
			defer func() { <-places }()
			var err error
			if v.client, err = c.o.dialPatiently(ctx, client.Config{OnPush: v.told, OnReconnect: v.returned, PushesMax: 16}); err != nil {
				cancel(fmt.Errorf("client %d of %d: %w", i+1, len(c.visitors), err))
				return
			}
			c.tally.mu.Lock()
			defer c.tally.mu.Unlock()
			c.tally.connected++
		})
	}
	connecting.Wait()
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// answered reports whether the server has answered all requests, also those that nobody waits for any more.
func (c *crowd) answered() bool {
	for _, v := range c.visitors {
		if v.client.Stats().InFlight > 0 {
			return false
		}
	}
	return true
}

// close ends all connections.
func (c *crowd) close() {
	for _, v := range c.visitors {
		if v.client != nil {
			v.client.Close()
		}
	}
}

// storm lets all clients in at the same time, and returns when each has had enough. Nobody begins anew once the house is
// sold out, or the time is over. When ctx ends they leave; with alive, which ends after it, there is no more server.
func (c *crowd) storm(alive, ctx context.Context, d time.Duration, soldOut <-chan struct{}) {
	late, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	c.alive, c.soldOut, c.late = alive, soldOut, late.Done()
	start := make(chan struct{})
	var visits sync.WaitGroup
	for i, v := range c.visitors {
		visits.Go(func() {
			<-start
			outcome, err := v.visit(ctx)
			if ctx.Err() != nil && alive.Err() == nil && errors.Is(err, context.Canceled) {
				outcome, err = hasLeft, nil
			}
			c.tally.mu.Lock()
			defer c.tally.mu.Unlock()
			c.tally.ended++
			switch {
			case err == nil:
				c.tally.outcomes[outcome]++
			case len(c.tally.errors) < errorsKept:
				c.tally.errors = append(c.tally.errors, fmt.Sprintf("client %d: %v", i+1, describe(err)))
				fallthrough
			default:
				c.tally.failed++
			}
		})
	}
	c.tally.mu.Lock()
	c.tally.began = time.Now()
	c.tally.mu.Unlock()
	close(start)
	visits.Wait()
}

// visit is what one client does: it asks for seats side by side, for fewer when there are none, and pays for them. It
// returns how that has ended.
func (v *visitor) visit(ctx context.Context) (outcome string, err error) {
	for seats := v.seats; ; {
		hold, err := v.hold(ctx, seats)
		if err == nil {
			return v.decide(ctx, hold)
		}
		code, ok := refused(err)
		again := code == codec.NoneFree && seats > 1 || code == codec.WaitTimeout
		switch {
		case !ok:
			return "", err
		case !again || closed(v.crowd.soldOut) || closed(v.crowd.late):
			return code.String(), nil
		}
		seats = max(1, seats-1)
	}
}

// refused returns the code of an error that a client may meet.
func refused(err error) (codec.Code, bool) {
	for _, code := range refusals {
		if errors.Is(err, code) {
			return code, true
		}
	}
	return 0, false
}

// hold asks for so many of the best seats, side by side.
func (v *visitor) hold(ctx context.Context, seats int) (*wire.Hold, error) {
	ttl := holdTTL.Milliseconds()
	ask := wire.HoldCreate{
		Pool: v.crowd.pool, Best: &wire.BestSeats{N: seats}, Owner: v.owner, TTLMs: &ttl, WaitMs: v.wait.Milliseconds(), OnDisconnect: "release",
	}
	t := &v.crowd.tally
	t.count(&t.asking, +1)
	defer t.count(&t.asking, -1)
	var hold wire.Hold
	v.asked++
	began := time.Now()
	_, err := v.ask(ctx, client.Request{Type: "hold.create", Payload: ask, Key: fmt.Sprintf("hold-%d", v.asked)}, &hold, v.wait)
	took := time.Since(began).Microseconds()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil && hold.Hold != hold.Token: // the number of a wait that was granted is the wait's
		_ = t.waits.RecordValue(took)
	case err == nil || errors.Is(err, codec.NoneFree):
		_ = t.atOnce.RecordValue(took)
		_ = t.creates.RecordValue(took)
	}
	return &hold, err
}

// decide pays for the seats, or does not.
func (v *visitor) decide(ctx context.Context, hold *wire.Hold) (outcome string, err error) {
	t := &v.crowd.tally
	t.count(&t.thinking, +1)
	defer t.count(&t.thinking, -1)
	ref := wire.HoldRef{Hold: hold.Hold, Token: hold.Token}
	if v.mind >= shareVoiding && v.mind < shareVoiding+shareForgetting {
		return v.forget(ctx, hold)
	}
	select {
	case <-time.After(v.think):
	case <-ctx.Done():
		return v.leave(ref)
	}
	var known bool // how it has ended; false: the log will tell
	if v.mind < shareVoiding {
		var voided wire.Voided
		if known, err = v.askAtOnce("hold.void", ref, &voided); err == nil && known && voided.Voided != len(hold.Seats) {
			err = fmt.Errorf("hold %d: %d seats were voided of %d", hold.Hold, voided.Voided, len(hold.Seats))
		}
		outcome = hasVoided
	} else {
		var sale wire.Sale
		if known, err = v.askAtOnce("hold.confirm", ref, &sale); err == nil && known {
			t.mu.Lock()
			t.receipts = append(t.receipts, receipt{v.owner, sale.Sale, sale.Token, seatIDs(sale.Seats)})
			t.mu.Unlock()
		}
		outcome = hasBought
	}
	if code, ok := refused(err); ok { // the answer to hold.create took so long
		return code.String(), nil
	}
	return outcome, err
}

// forget has the hold run out, and waits to be told so. A client that was away may not be told: it asks when the time is over.
func (v *visitor) forget(ctx context.Context, hold *wire.Hold) (outcome string, err error) {
	ref := wire.HoldRef{Hold: hold.Hold, Token: hold.Token}
	patience := time.After(holdTTL + toldWithin + v.crowd.o.demoOf.patience)
	reconnects := v.client.Stats().Reconnects // news of these may yet come
	var over <-chan time.Time
	for {
		select {
		case lost := <-v.lost:
			if lost == hold.Hold {
				return hasExpired, nil
			}
			return "", fmt.Errorf("hold %d was lost, it is told, and has hold %d", lost, hold.Hold)
		case <-v.back:
			if v.client.Stats().Reconnects > reconnects {
				over = time.After(holdTTL)
			}
		case <-over:
			_, err = v.askAtOnce("hold.void", ref, new(wire.Voided))
			if _, ok := refused(err); ok {
				return hasExpired, nil
			}
			return hasVoided, err
		case <-ctx.Done():
			return v.leave(ref)
		case <-patience:
			return "", fmt.Errorf("hold %d ran out, and nobody told", hold.Hold)
		}
	}
}

// leave gives the seats back, as kassa is to end.
func (v *visitor) leave(ref wire.HoldRef) (outcome string, err error) {
	_, err = v.askAtOnce("hold.void", ref, new(wire.Voided))
	if _, ok := refused(err); ok { // it ran out just now
		err = nil
	}
	return hasLeft, err
}

// told takes what the server says unasked.
func (v *visitor) told(p client.Push) {
	var about wire.Expiring
	if p.Type == "hold.lost" && p.Decode(&about) == nil {
		select {
		case v.lost <- about.Hold:
		default:
		}
	}
}

// returned is called when a lost connection is back.
func (v *visitor) returned() {
	select {
	case v.back <- struct{}{}:
	default:
	}
}

// askAtOnce makes a request about a hold. It does not wait for seats, and is not ended by a signal: nothing is left behind.
// known is false, without an error, if the hold is resolved, and the request that did that was one of unknown outcome: the
// proof looks whether that can be.
func (v *visitor) askAtOnce(typ string, ref wire.HoldRef, result any) (known bool, err error) {
	t := &v.crowd.tally
	began := time.Now()
	unknown, err := v.ask(v.crowd.alive, client.Request{Type: typ, Payload: ref, Key: fmt.Sprintf("%s-%d", typ, ref.Hold)}, result, 0)
	t.mu.Lock()
	_ = t.atOnce.RecordValue(time.Since(began).Microseconds())
	t.mu.Unlock()
	failure, refused := errors.AsType[*codec.Error](err)
	if !unknown || !refused || failure.Code != codec.AlreadyResolved && failure.Code != codec.Expired {
		return true, err
	}
	var now struct{ Session uint64 }
	if _, failed := v.ask(v.crowd.alive, client.Request{Type: "hello", Payload: wire.HelloRequest{Client: "kassa", Version: 1}}, &now, 0); failed != nil {
		return true, failed
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused = append(t.refused, afterwards{v.owner, ref.Hold, now.Session, failure.Code})
	if failure.Code == codec.AlreadyResolved {
		return false, nil
	}
	return true, err
}

// ask makes a request that may wait at the server for so long; again, by the same key, if the server went meanwhile. unknown:
// at first it may have been carried out without an answer.
func (v *visitor) ask(ctx context.Context, r client.Request, result any, wait time.Duration) (unknown bool, err error) {
	for again := false; ; again = true {
		if err = v.askOnce(ctx, r, result, wait); ctx.Err() != nil || !cutOff(err) {
			return unknown, err
		}
		unknown = unknown || errors.Is(err, client.ErrUnknownOutcome) && !errors.Is(err, client.ErrNotSent)
		if !again {
			v.crowd.tally.count(&v.crowd.tally.again, +1)
		}
		select {
		case <-time.After(shortPause):
		case <-ctx.Done():
			return unknown, ctx.Err()
		}
	}
}

// cutOff reports whether a request has failed as the server is, or was, out of reach.
func cutOff(err error) bool {
	return errors.Is(err, client.ErrNotSent) || errors.Is(err, codec.Unavailable) || errors.Is(err, codec.Draining) || errors.Is(err, codec.Recovering)
}

func (v *visitor) askOnce(ctx context.Context, r client.Request, result any, wait time.Duration) error {
	if limit := v.crowd.o.timeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit+wait)
		defer cancel()
	}
	reply, err := v.client.Do(ctx, r)
	if _, answered := errors.AsType[*codec.Error](err); err == nil || answered {
		v.crowd.tally.count(&v.crowd.tally.replies, +1)
	}
	if err != nil {
		return err
	}
	return reply.Decode(result)
}

func seatIDs(items []wire.Item) []string {
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.ID
	}
	return ids
}

func (t *tally) count(n *int, by int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*n += by
}
