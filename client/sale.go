package client

import (
	"context"

	"github.com/kassa-go/kassa/pool/wire"
)

// Sale is what was sold: seats, and with Reserve what else was confirmed with them. Its methods may be called from any
// goroutine.
type Sale struct{ numbered }

// SaleOf returns the sale with that number and token, which somebody else has made. Nothing is asked of the server. What was
// sold is not known here: Seats is empty.
func (c *Client) SaleOf(id, token uint64) *Sale {
	return &Sale{numbered{client: c, id: id, token: token}}
}

// Seats returns what was sold, less what was refunded, and with Reserve the rooms that were booked, and what stays leased. The
// slice is only to be read.
func (s *Sale) Seats() []wire.Item { return s.has() }

// Refund takes seats back, or all that was sold, and returns how many units that are. to says what becomes of them: available
// or "": they are for sale again; withheld: they are not. ErrAlreadyResolved: nothing of the sale is left. Over lost
// connections it is tried again, and asked for again it is the same request, as Confirm says; but with the session gone it is
// not: then the error is ErrUnknownOutcome.
//
// Rooms that were confirmed with the seats stay booked: they are a booking of the same number and token, see BookingOf.
func (s *Sale) Refund(ctx context.Context, to string, seats ...wire.SeatRef) (int, error) {
	var refunded wire.Refunded
	err := s.ask(ctx, true, "sale.refund", wire.Refund{Sale: s.id, Token: s.token, Seats: seats, To: to}, &refunded)
	if err != nil {
		return 0, err
	}
	s.lose(seats)
	return refunded.Refunded, nil
}
