package client

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/kassa-go/kassa/pool/wire"
)

// numbered is what the server knows by a number and a token: a Hold, a Sale, a Booking.
type numbered struct {
	client    *Client
	id, token uint64

	mu      sync.Mutex
	items   []wire.Item       // the slice is replaced, not changed
	unknown map[string]*keyed // requests whose outcome is not known, by type and payload
}

// ID returns the number. A sale has that of the hold.
func (n *numbered) ID() uint64 { return n.id }

// Token returns the token: whoever has number and token may do with it what its methods do, over any connection.
func (n *numbered) Token() uint64 { return n.token }

func (n *numbered) has() []wire.Item {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.items
}

// ask asks for something to be done, see keyed. What was asked for before without its outcome being known is that request
// still.
func (n *numbered) ask(ctx context.Context, once bool, typ string, payload, result any) error {
	q, err := n.client.newKeyed(ctx, typ, payload)
	if err != nil {
		return err
	}
	q.once = once
	name := typ + string(q.body)
	n.mu.Lock()
	if before := n.unknown[name]; before != nil {
		q = before
		delete(n.unknown, name)
	}
	n.mu.Unlock()
	err = q.settle(ctx, result)
	if ctx.Err() != nil && errors.Is(err, ErrUnknownOutcome) { // else it can not be found out any more
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.unknown == nil {
			n.unknown = make(map[string]*keyed)
		}
		n.unknown[name] = q
	}
	return err
}

// lose takes seats out of the items, without seats all, and reports whether none is left.
func (n *numbered) lose(seats []wire.SeatRef) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(seats) == 0 {
		n.items = nil
		return true
	}
	known := len(n.items) > 0
	n.items = slices.Clone(n.items)
	for _, s := range seats {
		i := slices.IndexFunc(n.items, func(it wire.Item) bool {
			return it.ID == s.ID && it.End == 0 && (s.Pool == "" || s.Pool == it.Pool)
		})
		switch {
		case i < 0:
		case s.Qty == 0 || s.Qty >= max(1, n.items[i].Qty):
			n.items = slices.Delete(n.items, i, i+1)
		default:
			n.items[i].Qty -= s.Qty
		}
	}
	return known && len(n.items) == 0
}
