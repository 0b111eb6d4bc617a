package client

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// leases keeps the leases of a client, and knows its holds. Its goroutine, "leases" (run), is woken by a time that has come,
// by answers to renewals, and by wake; it ends with the client. All requests about either, and about what is sold and booked,
// go over one connection, whose session they belong to.
type leases struct {
	client *Client
	conn   *conn
	wake   chan struct{} // of 1

	mu      sync.Mutex // taken before Client.mu
	held    map[uint64]*Lease
	due     leaseHeap        // of held
	holds   map[uint64]*Hold // that are not over, as far as is known
	helloAt time.Time        // when a hello was asked last to see how late it is at the server
	closed  bool

	answersMu sync.Mutex // taken after any other
	answers   []*call    // to renewals, that run has not dealt with
}

// keeper returns what keeps the client's leases and holds, from the first use on.
func (c *Client) keeper() (*leases, error) {
	if k := c.leases.Load(); k != nil {
		return k, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.leases.Load(); k != nil {
		return k, nil
	}
	if c.closed {
		return nil, notSent(ErrClosed)
	}
	k := &leases{client: c, conn: c.conns[0], wake: make(chan struct{}, 1), held: make(map[uint64]*Lease), holds: make(map[uint64]*Hold)}
	c.leases.Store(k)
	c.running.Add(1)
	go k.run()
	return k, nil
}

// spawn runs f, which gives something back, in a goroutine that Close waits for, unless the client is closed.
func (c *Client) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.giving++
	c.running.Go(func() {
		f()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.giving--
		c.checkGivenLocked()
	})
	return true
}

// awaitGiven waits until nothing is being given back any more, or can be: see Close.
func (c *Client) awaitGiven() {
	k := c.leases.Load()
	if k == nil {
		return
	}
	k.giveBackEnded()
	given := make(chan struct{})
	c.mu.Lock()
	c.given = given
	c.checkGivenLocked()
	c.mu.Unlock()
	select {
	case <-given:
	case <-time.After(giveBackMax):
	}
}

// checkGivenLocked ends the waiting of awaitGiven when there is nothing to wait for: it is called when that may be so.
func (c *Client) checkGivenLocked() {
	if c.given != nil && (c.giving == 0 || c.conns[0].sock == nil) {
		close(c.given)
		c.given = nil
	}
}

// giveBackEnded begins to release the leases whose contexts have ended: what is to do that may not have run yet.
func (k *leases) giveBackEnded() {
	k.mu.Lock()
	held := slices.Collect(maps.Values(k.held))
	k.mu.Unlock()
	for _, l := range held {
		if l.parent.Err() != nil {
			l.giveBackEnded()
		}
	}
}

func (k *leases) run() {
	defer k.client.running.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-k.wake:
		case <-timer.C:
		case <-k.client.ctx.Done():
			k.close()
			return
		}
		k.hear()
		timer.Reset(k.work())
	}
}

func (k *leases) stir() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// work does what is due, and returns how long nothing is.
func (k *leases) work() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.due) > 0 {
		l, now := k.due[0], time.Now()
		if wait := l.at.Sub(now); wait > 0 {
			return wait
		}
		if l.end.After(now) {
			k.renewLocked(l, now)
		} else {
			k.loseLocked(l, fmt.Errorf("it was not renewed in time: %w", cmp.Or(l.trouble, errUnanswered)))
		}
	}
	return time.Hour
}

var errUnanswered = errors.New("no answer from the server")

// renewLocked has a renewal sent, unless one is on its way already.
func (k *leases) renewLocked(l *Lease, now time.Time) {
	k.setDueLocked(l, l.end)
	if l.renewal != nil {
		return
	}
	k.refreshLocked(now)
	var err error
	if l.renewal, err = k.conn.send("lease.renew", "", l.name, 0, l.end, k.answered); err != nil {
		k.troubleLocked(l, now, err)
		return
	}
	l.renewal.lease = l
}

// refresh has times be told by a hello that is not too old.
func (k *leases) refresh() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refreshLocked(time.Now())
}

func (k *leases) refreshLocked(now time.Time) {
	oldest := now.Add(-greetingAgeMax)
	if k.helloAt.After(oldest) || !k.conn.greetedBefore(oldest) {
		return
	}
	if _, err := k.conn.sayHello(func(c *call) { // if it fails, so does what is sent behind it
		k.conn.heardHello(c)
		c.free()
	}); err == nil {
		k.helloAt = now
	}
}

// answered is call.answered of renewals.
func (k *leases) answered(c *call) {
	k.answersMu.Lock()
	k.answers = append(k.answers, c)
	k.answersMu.Unlock()
	k.stir()
}

// hear deals with the answers to renewals.
func (k *leases) hear() {
	k.answersMu.Lock()
	answers := k.answers
	k.answers = nil
	k.answersMu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range answers {
		if l := c.lease; l.renewal == c {
			l.renewal = nil
			k.renewedLocked(l, c)
		}
		c.free()
	}
}

func (k *leases) renewedLocked(l *Lease, c *call) {
	var renewed wire.Renewed
	err := c.err
	if err == nil {
		err = c.decode(&renewed)
	}
	switch {
	case err == nil:
		l.trouble = nil
		end := k.conn.local(renewed.ExpiresAt)
		if l.ttl > 0 && end.After(c.sentAt.Add(l.ttl)) {
			end = c.sentAt.Add(l.ttl)
		}
		if end.After(l.end) {
			l.end = end
		}
		k.scheduleLocked(l)
	case errors.Is(err, ErrStaleToken) || errors.Is(err, ErrNotFound):
		k.loseLocked(l, err)
	default:
		k.troubleLocked(l, time.Now(), err)
	}
}

// scheduleLocked sets when a lease is renewed: when a third of what is left is over, a tenth of that more or less, so that
// leases that were taken together do not stay together.
func (k *leases) scheduleLocked(l *Lease) {
	now := time.Now()
	third := max(l.end.Sub(now)/3, renewPause)
	k.setDueLocked(l, now.Add(third*9/10+rand.N(third/5)))
}

// renewPause keeps renewals apart that bring less and less: those of a lease that has reached its longest life.
const renewPause = 10 * time.Millisecond

// troubleLocked has a renewal tried again that has failed.
func (k *leases) troubleLocked(l *Lease, now time.Time, err error) {
	l.trouble = err
	pause := min(l.end.Sub(now)/8, time.Second)
	if errors.Is(err, ErrUnknownOutcome) { // the connection was lost: what is sent now goes over the next
		pause = min(pause, 50*time.Millisecond)
	}
	pause = rand.N(max(pause, time.Millisecond))
	if e, ok := errors.AsType[*codec.Error](err); ok && e.RetryAfterMs > 0 {
		pause += time.Duration(e.RetryAfterMs) * time.Millisecond
	}
	k.setDueLocked(l, now.Add(pause))
}

// renewAll has all leases renewed now, to see which there still are.
func (k *leases) renewAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for _, l := range k.due {
		if l.at.After(now) {
			l.at = now
		}
	}
	heap.Init(&k.due)
	k.stir()
}

// told deals with a push lease.lost or hold.lost, and reports whether it was about one that is known here.
func (k *leases) told(f *codec.Frame) bool {
	var lost wire.Expiring
	return json.Unmarshal(f.Payload, &lost) == nil && (k.leaseLost(&lost) || k.holdLost(&lost))
}

func (k *leases) leaseLost(lost *wire.Expiring) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.held[lost.Lease]
	if l == nil || l.token != lost.Token {
		return false
	}
	end := l.end
	k.loseLocked(l, fmt.Errorf("the server says: %.32s", lost.Cause))
	if lost.Cause == "taken" && len(l.items) > 1 { // the others were not, but all or nothing is what was asked for
		k.client.spawn(func() { _ = k.release(l, "", end) })
	}
	return true
}

func (k *leases) holdLost(lost *wire.Expiring) bool {
	k.mu.Lock()
	h := k.holds[cmp.Or(lost.Hold, lost.Lease)]
	k.mu.Unlock()
	if h == nil || h.token != lost.Token {
		return false
	}
	h.finish()
	if lost.Cause == "taken" && len(h.Items()) > 1 { // likewise
		k.client.spawn(func() {
			ctx, cancel := context.WithDeadline(k.client.ctx, h.ExpiresAt())
			defer cancel()
			h.drop(ctx)
		})
	}
	return true
}

// addHold has a hold be told when it is lost.
func (k *leases) addHold(h *Hold) {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-h.done: // already
	default:
		k.holds[h.id] = h
	}
}

func (k *leases) forgetHold(h *Hold) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.holds[h.id] == h {
		delete(k.holds, h.id)
	}
}

// add takes up a lease that was granted just now. Its life is that of ctx.
func (k *leases) add(ctx context.Context, ttl time.Duration, granted *wire.Lease) *Lease {
	l := &Lease{
		keeper: k, id: granted.Lease, token: granted.Token, items: granted.Items, ttl: ttl,
		name: appendLeaseName(nil, granted.Lease, granted.Token),
		lost: make(chan struct{}), end: k.conn.local(granted.ExpiresAt),
	}
	l.parent = ctx
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	l.forget = context.AfterFunc(l.parent, l.giveBackEnded)
	k.held[l.id] = l
	heap.Push(&k.due, l)
	k.scheduleLocked(l)
	if k.closed {
		k.loseLocked(l, ErrClosed)
	} else if !l.end.After(time.Now()) {
		k.loseLocked(l, errors.New("its time was over when the answer came"))
	}
	k.stir()
	return l
}

// setDueLocked sets when there is something to do about a lease: at at, or at its end if that is earlier.
func (k *leases) setDueLocked(l *Lease, at time.Time) {
	if at.After(l.end) {
		at = l.end
	}
	l.at = at
	heap.Fix(&k.due, l.place)
}

// loseLocked ends a lease that is not held any more.
func (k *leases) loseLocked(l *Lease, why error) {
	k.endLocked(l, fmt.Errorf("%w: %w", ErrLeaseLost, why))
	close(l.lost)
}

func (k *leases) endLocked(l *Lease, why error) {
	heap.Remove(&k.due, l.place)
	delete(k.held, l.id)
	if l.renewal != nil {
		_ = k.client.abandon(l.renewal, why) // if it is too late for that, hear frees it
		l.renewal = nil
	}
	l.err = why
	l.forget()
	l.cancel(why)
}

// close ends all leases: the client is closed.
func (k *leases) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for len(k.due) > 0 {
		k.loseLocked(k.due[0], ErrClosed)
	}
}

// appendLeaseName appends the payload of lease.renew.
func appendLeaseName(dst []byte, id, token uint64) []byte {
	dst = strconv.AppendUint(append(dst, `{"lease":`...), id, 10)
	return append(strconv.AppendUint(append(dst, `,"token":`...), token, 10), '}')
}

// leaseHeap is a heap of leases; the first is the one about which something is to be done first.
type leaseHeap []*Lease

func (h leaseHeap) Len() int           { return len(h) }
func (h leaseHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h leaseHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push is for package heap.
func (h *leaseHeap) Push(x any) {
	l := x.(*Lease)
	l.place = len(*h)
	*h = append(*h, l)
}

// Pop is for package heap.
func (h *leaseHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
}
