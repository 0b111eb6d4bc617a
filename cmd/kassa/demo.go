package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// demoFlags are the flags of demo.
type demoFlags struct {
	clients  int
	duration time.Duration
	seed     uint64        // 0: any
	patience time.Duration // with a server that is gone
	reset    bool
	json     bool

	hurry <-chan struct{} // closed when there is no patience any more: the demo was interrupted
}

const (
	demoPool     = "cinema"
	demoClients  = 2000
	demoDuration = 30 * time.Second
	demoPatience = 30 * time.Second
	demoOwner    = "demo-" // begins the names of all who buy in a demo
	demoFiles    = 64      // open files that kassa needs besides the connections of the crowd
)

// demo is a crowd that buys out a house, while somebody looks on.
type demo struct {
	o     *options
	pool  string
	seed  uint64
	rev   uint64 // of the last event before it
	crowd *crowd

	mu    sync.Mutex // guards house
	house *house     // as the events have it so far
}

// demo has a crowd storm a pool of seats, and proves from the server's log that each was sold once.
func (o *options) demo(ctx context.Context, t terminal, _ []string) error {
	f := &o.demoOf
	switch {
	case f.clients < 1:
		return usagef("--clients is %d, below one", f.clients)
	case f.duration <= 0:
		return usagef("--duration is %v: want a time above zero", f.duration)
	case f.patience < 0:
		return usagef("--patience is %v, below zero", f.patience)
	}
	if room, known := openFilesMax(); known && f.clients+demoFiles > room {
		return usagef("%d clients need %d open files, and the limit is %d: raise it (ulimit -n %d), or ask for %d clients at most (--clients)",
			f.clients, f.clients+demoFiles, room, f.clients+demoFiles, max(0, room-demoFiles))
	}
	ctx, stop := untilSignalled(ctx)
	defer stop()
	f.hurry = ctx.Done()
	err := o.demoWithin(ctx, t)
	if _, gone := errors.AsType[*goneError](err); ctx.Err() != nil && (gone || errors.Is(err, context.Canceled)) {
		return context.Cause(ctx)
	}
	return err
}

// demoWithin is demo until ctx ends.
func (o *options) demoWithin(ctx context.Context, t terminal) error {
	f := &o.demoOf
	d := &demo{o: o, pool: cmp.Or(o.pool, demoPool), seed: f.seed}
	if d.seed == 0 {
		d.seed = uint64(rand.Uint32())
	}
	list, err := d.prepare(ctx, t)
	if err != nil {
		return err
	}
	d.house, d.rev = newHouse(d.pool, list.Items), list.rev
	d.crowd = newCrowd(o, d.pool, d.seed, f.clients)

	failed := d.storm(ctx, t)
	_, gone := errors.AsType[*goneError](failed)
	if gone || failed != nil && ctx.Err() == nil && d.crowd.tally.began.IsZero() { // nobody was let in
		return failed
	}
	r, err := d.prove()
	if err != nil {
		return errors.Join(failed, err)
	}
	r.Interrupted = ctx.Err() != nil
	r.crowdTold(d.crowd, failed)
	if f.json {
		err = t.printValue(r)
	} else {
		err = r.write(t.stdout, o.all)
	}
	switch {
	case err != nil:
		return err
	case len(r.Faults) > 0:
		return fmt.Errorf("the demo found %d faults, the first: %s", len(r.Faults), r.Faults[0])
	case r.Interrupted:
		return context.Cause(ctx)
	}
	return nil
}

// untilSignalled returns a context that ends with the first INT or TERM; its cause says how kassa ends then. The second one
// ends kassa at once.
func untilSignalled(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(signals)
		select {
		case sig := <-signals:
			cancel(&exitError{code: exitBy(sig)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// prepare returns the seats, all of which are for sale.
func (d *demo) prepare(ctx context.Context, t terminal) (*seatList, error) {
	c, err := d.o.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := d.list(ctx, c)
	if err == nil && d.o.demoOf.reset {
		var n int
		if n, err = d.reset(ctx, c, list); err == nil && n > 0 {
			fmt.Fprintf(t.stderr, "kassa: %d seats that earlier demos had bought are for sale again\n", n)
			list, err = d.list(ctx, c)
		}
	}
	switch failure, _ := errors.AsType[*codec.Error](err); {
	case failure != nil && failure.Code == codec.NotFound:
		return nil, fmt.Errorf("%w (make run, in kassa's sources, starts a kassad that has a pool %s)", err, demoPool)
	case err != nil:
		return nil, err
	case len(list.Items) == 0:
		return nil, fmt.Errorf("pool %s has no seats that have a place (a pool of kind stock, with rows): --pool names another", d.pool)
	}
	mine, others := 0, 0
	for _, it := range list.Items {
		switch {
		case it.State == "available":
		case strings.HasPrefix(it.Owner, demoOwner):
			mine++
		default:
			others++
		}
	}
	switch {
	case others > 0:
		return nil, fmt.Errorf("%d of the %d seats of pool %s are sold, held or withheld, and not by a demo: "+
			"kassa pool ls tells whose: void, refund or release them (item.set for withheld ones), or name another pool (--pool)", others, len(list.Items), d.pool)
	case mine > 0:
		return nil, fmt.Errorf("%d of the %d seats of pool %s were bought by an earlier demo: "+
			"kassa demo --reset refunds them, and begins anew", mine, len(list.Items), d.pool)
	}
	return list, nil
}

// seatList is what pool.list says of the seats that have a place.
type seatList struct {
	Items []wire.ItemState
	rev   uint64 // of the last event that it tells of
}

func (d *demo) list(ctx context.Context, c *client.Client) (*seatList, error) {
	list := &seatList{}
	for ask := (wire.PoolList{Pool: d.pool, Limit: itemsMax}); ; {
		once, cancel := d.o.withTimeout(ctx)
		rep, err := c.Do(once, client.Request{Type: "pool.list", Payload: ask})
		cancel()
		if err != nil {
			return nil, d.o.explain(err)
		}
		var page wire.PoolPage
		if err := rep.Decode(&page); err != nil {
			return nil, err
		}
		if list.rev == 0 {
			list.rev = rep.Rev
		}
		for _, it := range page.Items {
			if it.Row > 0 && it.Quantity <= 1 {
				list.Items = append(list.Items, it)
			}
		}
		if ask.Cursor = page.Cursor; ask.Cursor == "" {
			return list, nil
		}
	}
}

// reset gives back the seats that earlier demos have, and returns how many. Their tokens stand in the log.
func (d *demo) reset(ctx context.Context, c *client.Client, list *seatList) (int, error) {
	states := make(map[uint64]string) // of the grants, by number
	for _, it := range list.Items {
		if n := it.Hold + it.Sale; n != 0 && strings.HasPrefix(it.Owner, demoOwner) {
			states[n] = it.State
		}
	}
	if len(states) == 0 {
		return 0, nil
	}
	grants := slices.Sorted(maps.Keys(states))
	tokens := make(map[uint64]uint64)
	// A grant's number is not above the rev of the event that created it.
	err := d.o.follow(ctx, grants[0], list.rev, []string{"hold.created"}, func(e *wire.Event) {
		if states[e.Hold] != "" {
			tokens[e.Hold] = e.Token
		}
	})
	switch {
	case errors.Is(err, codec.RevGone):
		return 0, fmt.Errorf("the tokens of what an earlier demo has bought are known no more, as the events are kept no longer; "+
			"kassad with another --data begins anew: %w", err)
	case err != nil:
		return 0, err
	}
	n := 0
	for _, grant := range grants {
		token := tokens[grant]
		var done struct{ Refunded, Voided int }
		if states[grant] == "held" {
			err = d.o.get(ctx, c, "hold.void", wire.HoldRef{Hold: grant, Token: token}, &done)
		} else {
			err = d.o.get(ctx, c, "sale.refund", wire.Refund{Sale: grant, Token: token}, &done)
		}
		switch failure, _ := errors.AsType[*codec.Error](err); {
		case failure != nil && states[grant] == "held": // it has ended just now
		case err != nil:
			return n, fmt.Errorf("sale %d of an earlier demo: %w", grant, err)
		}
		n += done.Refunded + done.Voided
	}
	return n, nil
}

// storm leads the crowd through its visit while the view shows it, and returns what is wrong besides what clients met. When
// ctx ends they leave, and give back what they hold; when the log can not be followed any more, all is over at once.
func (d *demo) storm(ctx context.Context, t terminal) error {
	alive, end := context.WithCancelCause(context.Background())
	visiting, leave := context.WithCancel(alive)
	context.AfterFunc(ctx, leave)
	viewing, view := context.WithCancel(visiting) // the terminal is as it was before kassa ends
	var watchers sync.WaitGroup
	soldOut := make(chan struct{})
	watchers.Go(func() {
		end(d.o.follow(alive, d.rev+1, 0, houseEvents, func(e *wire.Event) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.house.apply(e)
			if d.house.soldOut() && !closed(soldOut) {
				close(soldOut)
			}
		}))
	})
	watchers.Go(func() { d.view(viewing, t) })

	err := d.crowd.connect(visiting)
	if err == nil {
		d.crowd.storm(alive, visiting, d.o.demoOf.duration, soldOut)
		d.settle(alive)
	}
	d.crowd.close()
	view()
	leave()
	end(nil)
	watchers.Wait()
	if cause := context.Cause(alive); !errors.Is(cause, context.Canceled) { // the log's end comes first
		return cause
	}
	return err
}

// settle waits until nothing is held any more: what a client was given that had turned away runs out.
func (d *demo) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, holdTTL+2*time.Second)
	defer cancel()
	c, err := d.o.dialPatiently(ctx, client.Config{})
	if err != nil {
		return // prove finds that, too
	}
	defer c.Close()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		var stats wire.PoolStats
		if d.crowd.answered() && d.o.get(ctx, c, "pool.stats", wire.PoolRef{Pool: d.pool}, &stats) == nil && stats.Leased == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// goneError says that the server was out of reach for longer than the demo has patience.
type goneError struct {
	patience time.Duration
	err      error // of the last attempt
}

func (e *goneError) Error() string {
	return fmt.Sprintf("the server was gone, and not back within %v (--patience): %v", e.patience, e.err)
}

func (e *goneError) Unwrap() error { return e.err }

// patiently makes attempts until one succeeds, or fails otherwise than because the server is gone, or that was so for too long.
func (o *options) patiently(ctx context.Context, attempt func() error) error {
	var gone time.Time // since when it is
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		err := attempt()
		switch {
		case ctx.Err() == nil && errors.Is(err, errWatchAgain): // it was there
			gone, pause = time.Time{}, shortPause
			continue
		case err == nil || ctx.Err() != nil || !away(err):
			return err
		case gone.IsZero():
			gone = time.Now()
		}
		if time.Since(gone) >= o.demoOf.patience || closed(o.demoOf.hurry) {
			return &goneError{o.demoOf.patience, err}
		}
		select {
		case <-time.After(pause):
		case <-o.demoOf.hurry:
		case <-ctx.Done():
			return err
		}
	}
}

// away reports whether a server is out of reach, or about to end or to begin; not that it is there and refuses.
func away(err error) bool {
	_, ok := errors.AsType[*connectError](err)
	return ok || errors.Is(err, codec.Unavailable) || errors.Is(err, codec.Recovering) || errors.Is(err, codec.Draining)
}

// dialPatiently is dialWith for a server that may be about to come back.
func (o *options) dialPatiently(ctx context.Context, cfg client.Config) (c *client.Client, err error) {
	err = o.patiently(ctx, func() error {
		c, err = o.dialWith(ctx, cfg)
		return err
	})
	return c, err
}

// follow calls fn for the events of these types from a rev on, in order, each once, by one goroutine: up to the rev to, or
// where that is 0 until ctx ends. It goes on where it was when the server was gone and is back.
func (o *options) follow(ctx context.Context, from, to uint64, types []string, fn func(*wire.Event)) error {
	ask := wire.Watch{Types: types, FromRev: from}
	if to > 0 {
		ask.Types = append(slices.Clone(types), "session.opened") // that of the watch itself comes behind all others
	}
	err := o.patiently(ctx, func() error { return o.followOnce(ctx, &ask, to, fn) })
	if ctx.Err() != nil && to == 0 {
		return nil
	}
	return err
}

// followOnce does so for as long as no event is lost, and says in ask where to go on.
func (o *options) followOnce(ctx context.Context, ask *wire.Watch, to uint64, fn func(*wire.Event)) error {
	over := make(chan error, 1)
	ended := false
	end := func(err error) {
		if !ended {
			ended = true
			over <- err
		}
	}
	last := ask.FromRev - 1
	push := func(p client.Push) {
		var e wire.Event
		switch {
		case ended || p.Type != "watch":
			return
		case p.Missed > 0:
			end(errWatchAgain)
			return
		}
		switch err := p.Decode(&e); {
		case err != nil:
			end(err)
		case e.Type == "watch.ended":
			end(fmt.Errorf("the server has ended the watch: %.64s", e.Cause))
		case to > 0 && e.Rev > to:
			end(nil)
		default:
			last = e.Rev
			if slices.Contains(ask.Types, e.Type) && e.Type != "session.opened" {
				fn(&e)
			}
		}
	}
	c, err := o.dialWith(ctx, client.Config{OnPush: push, OnReconnect: func() { end(errWatchAgain) }, PushesMax: 1 << 16})
	if err != nil {
		return err
	}
	if err = o.get(ctx, c, "watch", ask, nil); err == nil {
		err = awaitOver(ctx, c, over)
	}
	c.Close() // no push comes any more
	ask.FromRev = last + 1
	return err
}

// awaitOver returns what comes from over, or that the connection was lost: whether it can be made anew shows the next one.
func awaitOver(ctx context.Context, c *client.Client, over <-chan error) error {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case err := <-over:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
			if c.Stats().ConnsUp == 0 {
				return errWatchAgain
			}
		}
	}
}
