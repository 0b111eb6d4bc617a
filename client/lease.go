package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// Why a lease is over, see Lease.Err.
var (
	// ErrLeaseReleased: it was given back, by Lease.Release or because its context has ended.
	ErrLeaseReleased = errors.New("lease released")

	// ErrLeaseLost: it is not held any more, and was not given back. The same error says why. A lease of several items is lost
	// with the first of them, and the others are given back.
	ErrLeaseLost = errors.New("lease lost")
)

// Lease is items that are held. It renews itself, each time a third of what is left of its time is over, until it is given
// back or lost. Its methods may be called from any goroutine.
type Lease struct {
	keeper *leases
	id     uint64
	token  uint64
	items  []wire.Item
	ttl    time.Duration   // as asked for; 0: the pool's
	name   []byte          // payload of lease.renew
	parent context.Context // given to Acquire
	ctx    context.Context
	cancel context.CancelCauseFunc // of ctx
	forget func() bool             // parent
	lost   chan struct{}

	// Guarded by leases.mu.
	end     time.Time // it is held up to then, for certain
	err     error     // why it is over; nil: it is held
	at      time.Time // when there is something to do, if it is held
	place   int       // in leases.due
	renewal *call     // on its way; nil: none is
	trouble error     // of the last renewal; nil: it went well

	released chan struct{} // closed when Release is through; nil: it was not called
	result   error         // of Release, once that is closed
}

// ID returns the lease's number.
func (l *Lease) ID() uint64 { return l.id }

// Token returns the fencing token: of two leases of the same item, the later has the higher one. It goes along with what is
// done to the item, so that whoever does it can refuse a holder that comes too late.
func (l *Lease) Token() uint64 { return l.token }

// Items returns what is held. The slice is shared, and only to be read.
func (l *Lease) Items() []wire.Item { return l.items }

// Context returns a context for work that needs the lease: it is made of the one given to Acquire, and ends when the lease
// is over, for whatever reason. context.Cause returns Lease.Err then.
func (l *Lease) Context() context.Context { return l.ctx }

// ExpiresAt returns until when the lease is held, as far as is known, by this machine's clock: renewals move it. A lease that
// is not renewed is lost then.
func (l *Lease) ExpiresAt() time.Time {
	l.keeper.mu.Lock()
	defer l.keeper.mu.Unlock()
	return l.end
}

// Lost returns a channel that is closed when the lease is not held any more without having been given back: its time has
// passed without a renewal, or the server says so, or the client was closed.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Err returns why the lease is over: nil while it is held, an error that is ErrLeaseReleased, or one that is ErrLeaseLost
// and says why.
func (l *Lease) Err() error {
	l.keeper.mu.Lock()
	defer l.keeper.mu.Unlock()
	return l.err
}

// Release gives the items back. outcome is "clean" or "", "dirty", or "broken"; with any other, the error is ErrBadPayload
// and the lease goes on. From the call on the lease is over. Release returns nil when the server has taken the items back,
// and ctx's error when ctx ends first: what is under way goes on, and Close waits for it, 1 s at most.
//
// Over lost connections it is tried again, with the same key, until the lease's time is over. Then, or when the lease was
// lost before, the error is ErrLeaseLost. It is ErrUnknownOutcome as well if the server may have taken the items back.
//
// Any other refusal leaves the items taken until the lease's time is over.
//
// Called again, Release returns what the first call has led to, whichever outcome is given; so it does after the lease's
// context has ended.
func (l *Lease) Release(ctx context.Context, outcome string) error {
	switch outcome {
	case "", "clean", "dirty", "broken":
	default:
		return codec.NewError(codec.BadPayload, fmt.Sprintf("outcome is %.64q: want clean (or nothing), dirty or broken", outcome))
	}
	l.giveBack(outcome, ErrLeaseReleased)
	select {
	case <-l.released:
		return l.result
	default:
	}
	select {
	case <-l.released:
		return l.result
	case <-ctx.Done():
		return ctx.Err()
	}
}

// giveBackEnded begins to release the lease, whose context has ended.
func (l *Lease) giveBackEnded() {
	l.giveBack("", fmt.Errorf("%w: %w", ErrLeaseReleased, context.Cause(l.parent)))
}

// giveBack begins to release the lease, unless that was begun before.
func (l *Lease) giveBack(outcome string, why error) {
	k := l.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.released != nil {
		return
	}
	l.released = make(chan struct{})
	if l.err != nil {
		l.result = l.err
		close(l.released)
		return
	}
	k.endLocked(l, why)
	end := l.end
	if !k.client.spawn(func() {
		l.result = k.release(l, outcome, end)
		close(l.released)
	}) {
		l.result = notSent(ErrClosed)
		close(l.released)
	}
}

// drop begins to release a lease that nobody wants.
func (l *Lease) drop(context.Context) { l.giveBack("", ErrLeaseReleased) }

// release has the server take back the items of a lease, whose time ends at end.
func (k *leases) release(l *Lease, outcome string, end time.Time) error {
	ctx, cancel := context.WithDeadline(k.client.ctx, end)
	defer cancel()
	err := k.client.settle(ctx, "lease.release", wire.Release{Lease: l.id, Token: l.token, Outcome: outcome}, nil)
	switch {
	case errors.Is(err, ErrStaleToken) || errors.Is(err, ErrNotFound):
		return fmt.Errorf("%w: %w", ErrLeaseLost, err)
	case err != nil && ctx.Err() != nil && k.client.ctx.Err() == nil:
		return fmt.Errorf("%w: its time was over before it was given back: %w", ErrLeaseLost, err)
	}
	return err
}
