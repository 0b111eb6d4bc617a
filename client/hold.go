package client

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kassa-go/kassa/pool/wire"
)

// Hold is seats, or with Reserve items of any kind, that are held for a time: a customer's, to pay. It does not renew itself.
// It ends by Confirm, by Void, or when its time is over. Its methods may be called from any goroutine.
type Hold struct {
	numbered
	done     chan struct{}
	finished sync.Once

	// Guarded by numbered.mu.
	end   time.Time   // zero: not known
	timer *time.Timer // for that
}

// Hold takes seats of a pool, or units of what has several, all or nothing, for as long as h.TTLMs or the pool says.
//
// ctx is about the call alone: when it ends later, what is held stays. How long to wait for the seats is what h.WaitMs says;
// while the server is out of reach, Hold tries on for Config.ConnectTimeMax and Config.BackoffMax together (10 s) in addition.
// Errors are as Acquire says: whatever the error, what may have been taken is voided in the background.
func (c *Client) Hold(ctx context.Context, h wire.HoldCreate) (*Hold, error) {
	return c.hold(ctx, "hold.create", h, h.WaitMs)
}

// Reserve is Hold for items of one or more pools, of any kind: seats, rooms for a time, and what is leased, all or nothing.
func (c *Client) Reserve(ctx context.Context, a wire.Acquire) (*Hold, error) {
	return c.hold(ctx, "lease.acquire", a, a.WaitMs)
}

func (c *Client) hold(ctx context.Context, typ string, payload any, waitMs int64) (*Hold, error) {
	got, err := c.acquire(ctx, typ, payload, waitMs, func(call *call) (grant, error) {
		var granted struct { // a wire.Hold, or a wire.Lease
			wire.Hold
			Lease uint64      `json:"lease"`
			Items []wire.Item `json:"items"`
		}
		if err := call.decode(&granted); err != nil {
			return nil, err
		}
		h := c.HoldOf(cmp.Or(granted.Hold.Hold, granted.Lease), granted.Token)
		h.items = append(granted.Seats, granted.Items...)
		k := c.leases.Load()
		h.lastUntil(k.conn.local(granted.ExpiresAt))
		k.addHold(h)
		return h, nil
	})
	if err != nil {
		return nil, err
	}
	return got.(*Hold), nil
}

// HoldOf returns the hold with that number and token, which somebody else has made: another process, say. Nothing is asked
// of the server. What it has, and until when, is not known here: Items is empty, and ExpiresAt zero before the first Extend.
func (c *Client) HoldOf(id, token uint64) *Hold {
	return &Hold{numbered: numbered{client: c, id: id, token: token}, done: make(chan struct{})}
}

// Items returns what is held, less what was voided, or what was when it ended. The slice is only to be read.
func (h *Hold) Items() []wire.Item { return h.has() }

// ExpiresAt returns until when it is held, by this machine's clock. The server's time is converted with the offset measured by
// the last hello, which is at most a minute older than the request. So it may be early by the time that hello took, and off by
// what the clocks have drifted apart since.
func (h *Hold) ExpiresAt() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end
}

// Done returns a channel that is closed when the hold is over: confirmed or voided, here, or its time has passed, or the
// server says so, which it tells only the client that has made it. Whether it is over the server decides: it may have taken an
// Extend whose answer comes after the end.
func (h *Hold) Done() <-chan struct{} { return h.done }

// Extend has the hold last for ttl from now, 0: for as long as when it was made; but not for longer than the pool lets it.
// ErrExpired: it is over. Over lost connections it is tried again until ctx ends; the error is as Confirm says.
func (h *Hold) Extend(ctx context.Context, ttl time.Duration) error {
	ref := wire.HoldRef{Hold: h.id, Token: h.token}
	if ttl != 0 {
		ms := ttl.Milliseconds()
		ref.TTLMs = &ms
	}
	var renewed wire.Renewed
	k, err := h.client.keeper()
	if err != nil {
		return err
	}
	k.refresh()
	if err := h.ask(ctx, false, "hold.extend", ref, &renewed); err != nil {
		return h.failed(err)
	}
	h.lastUntil(k.conn.local(renewed.ExpiresAt))
	return nil
}

// Confirm has what is held be its holder's for good: seats are sold, rooms are booked. With seats only these are kept, and
// other seats come back. What of it is leased stays leased for as long as it is held, by the same number and token: Extend and
// Void are about that, then.
//
// The error is ErrExpired when the hold is over, ErrAlreadyResolved when it was confirmed before, or another refusal. Over lost
// connections, and while the server has no room for it, the request is tried again, with the same key, until ctx ends: then the
// error is ctx's, and ErrNotSent if it never left, or ErrUnknownOutcome if it may have been done. Confirm with the same seats is
// the same request still, after that: it returns the Sale if there is one. With the session gone (see Acquire) that is not
// possible: ErrAlreadyResolved is ErrUnknownOutcome as well, as this client may have confirmed it.
func (h *Hold) Confirm(ctx context.Context, seats ...wire.SeatRef) (*Sale, error) {
	var sold wire.Sale
	err := h.ask(ctx, false, "hold.confirm", wire.HoldRef{Hold: h.id, Token: h.token, Seats: seats}, &sold)
	if err != nil {
		return nil, h.failed(err)
	}
	h.finish()
	sale := h.client.SaleOf(sold.Sale, sold.Token)
	sale.items = sold.Seats
	return sale, nil
}

// Void gives seats back, or all that is held; with all of them the hold is over. The error is as Confirm says.
func (h *Hold) Void(ctx context.Context, seats ...wire.SeatRef) error {
	err := h.ask(ctx, len(seats) > 0, "hold.void", wire.HoldRef{Hold: h.id, Token: h.token, Seats: seats}, nil)
	if err != nil {
		return h.failed(err)
	}
	if h.lose(seats) {
		h.finish()
	}
	return nil
}

// drop is for a hold that nobody wants.
func (h *Hold) drop(ctx context.Context) { _ = h.Void(ctx) }

// failed takes note of what an error says of the hold.
func (h *Hold) failed(err error) error {
	if errors.Is(err, ErrExpired) || errors.Is(err, ErrAlreadyResolved) {
		h.finish()
	}
	return err
}

// lastUntil sets when the hold is over.
func (h *Hold) lastUntil(end time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end = end
	if h.timer == nil {
		h.timer = time.AfterFunc(time.Until(end), h.ranOut)
	} else {
		h.timer.Reset(time.Until(end))
	}
}

// ranOut is run by the timer.
func (h *Hold) ranOut() {
	if !h.ExpiresAt().After(time.Now()) {
		h.finish()
	}
}

// finish ends the hold.
func (h *Hold) finish() {
	h.finished.Do(func() {
		close(h.done)
		h.mu.Lock()
		if h.timer != nil {
			h.timer.Stop()
		}
		h.mu.Unlock()
		if k := h.client.leases.Load(); k != nil {
			k.forgetHold(h)
		}
	})
}
