package client

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// Booking is items of a calendar, rooms say, that are booked from one time to another, once or again and again. It lasts
// until it is cancelled, or past. Its methods may be called from any goroutine.
type Booking struct {
	numbered
	conflicts []wire.Item
}

// Book books items of a calendar, firmly: nothing is to be confirmed. With b.OnConflict report nothing is booked: ID is 0,
// Items what could be.
//
// It does not wait. ErrConflict: not all of it is free; ErrInvalidInterval: not a time that can be booked; ErrNoMatch, and so
// on. Over lost connections it is tried again, with the same key, until ctx ends. Then the error is ctx's, and what may have
// been booked is cancelled in the background, as Acquire says. With the session gone (see Acquire) it can not be found out what
// was done, and it is not tried again: the error is ErrUnknownOutcome.
func (c *Client) Book(ctx context.Context, b wire.SlotBook) (*Booking, error) {
	request, err := c.newKeyed(ctx, "slot.book", b)
	if err != nil {
		return nil, err
	}
	request.once = true
	q := &acquisition{keyed: request, ctx: ctx, take: func(call *call) (grant, error) {
		var booked wire.Booking
		if err := call.decode(&booked); err != nil {
			return nil, err
		}
		booking := c.BookingOf(booked.Booking, booked.Token)
		booking.items, booking.conflicts = booked.Items, booked.Conflicts
		return booking, nil
	}}
	got, err := q.run(ctx)
	if err != nil {
		return nil, err
	}
	return got.(*Booking), nil
}

// BookingOf returns the booking with that number and token, which somebody else has made, or which a Sale has. Nothing is
// asked of the server. What is booked is not known here: Items has only what Move has moved.
func (c *Client) BookingOf(id, token uint64) *Booking {
	return &Booking{numbered: numbered{client: c, id: id, token: token}}
}

// Items returns what is booked, by time as far as it was moved. The slice is only to be read.
func (b *Booking) Items() []wire.Item { return b.has() }

// Conflicts returns what was asked for and not booked, as it was not free: only with SlotBook.OnConflict there is any. The
// slice is only to be read.
func (b *Booking) Conflicts() []wire.Item { return b.conflicts }

// Move moves what is booked to another time, another item, or both; m.Booking and m.Token are filled in. m.At is the start of
// one of Items, in milliseconds.
//
// ErrConflict: it is not free there, and stays where it is. ErrAlreadyResolved: nothing of the booking is left. Over lost
// connections it is tried again, and asked for again it is the same request, as Hold.Confirm says; but with the session gone it
// is not: then the error is ErrUnknownOutcome.
func (b *Booking) Move(ctx context.Context, m wire.SlotMove) error {
	if err := checkAt(m.At); err != nil {
		return err
	}
	m.Booking, m.Token = b.id, b.token
	var moved wire.Booking
	if err := b.ask(ctx, true, "slot.move", m, &moved); err != nil {
		return err
	}
	b.replace(m.At, m.Following, moved.Items)
	return nil
}

// Cancel gives up what is booked, or the times that s says, and returns how many times of an item that are. s.Booking and
// s.Token are filled in; s.At is the start of one of Items, in milliseconds. Errors are as Move says; but with the session gone
// it is asked for anew: ErrAlreadyResolved, or ErrNotFound with s.At, is ErrUnknownOutcome as well, then.
func (b *Booking) Cancel(ctx context.Context, s wire.SlotCancel) (int, error) {
	if err := checkAt(s.At); err != nil {
		return 0, err
	}
	s.Booking, s.Token = b.id, b.token
	var cancelled wire.Cancelled
	if err := b.ask(ctx, false, "slot.cancel", s, &cancelled); err != nil {
		return 0, err
	}
	b.replace(s.At, s.Following, nil)
	return cancelled.Cancelled, nil
}

// drop is for a booking that nobody wants.
func (b *Booking) drop(ctx context.Context) {
	if b.id != 0 {
		_, _ = b.Cancel(ctx, wire.SlotCancel{})
	}
}

// checkAt refuses a time that only the server could tell: then nobody here knows which of the items it is.
func checkAt(at *wire.Moment) error {
	if at != nil && at.Text != "" {
		return notSent(codec.NewError(codec.BadPayload, "at is a text: want milliseconds, as one of Items starts at"))
	}
	return nil
}

// replace puts items in the place of those that begin at at, or with following later; nil: of all.
func (b *Booking) replace(at *wire.Moment, following bool, items []wire.Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at != nil {
		stays := slices.DeleteFunc(slices.Clone(b.items), func(it wire.Item) bool {
			return it.Start == at.Ms || following && it.Start > at.Ms
		})
		items = append(stays, items...)
		slices.SortStableFunc(items, func(a, b wire.Item) int { return cmp.Compare(a.Start, b.Start) })
	}
	b.items = items
}

// Slots returns the times that are free of the items of a calendar that find says, by item, and by time, for find.LengthMs at
// least. It asks for as many pages as it takes, from find.Cursor on, while they are wanted: what changes meanwhile may be seen or
// not. An error is the last that comes. Over lost connections it is tried again until ctx ends.
func (c *Client) Slots(ctx context.Context, find wire.SlotFind) iter.Seq2[wire.Item, error] {
	return pages(ctx, c, "slot.find", find, func(p *wire.SlotsFree) ([]wire.Item, string) { return p.Free, p.Cursor })
}

// Booked returns the times that are booked, or held, likewise. find.LengthMs and find.Count say nothing here.
func (c *Client) Booked(ctx context.Context, find wire.SlotFind) iter.Seq2[wire.Slot, error] {
	return pages(ctx, c, "slot.list", find, func(p *wire.SlotsBooked) ([]wire.Slot, string) { return p.Booked, p.Cursor })
}

// pages returns the slots of all pages, each of which of takes apart.
func pages[Page, Slot any](
	ctx context.Context, c *Client, typ string, find wire.SlotFind, of func(*Page) (slots []Slot, cursor string),
) iter.Seq2[Slot, error] {
	return func(yield func(Slot, error) bool) {
		ask := find
		for {
			var page Page
			q, err := c.newKeyed(ctx, typ, ask)
			if err == nil {
				q.key = ""
				err = q.settle(ctx, &page)
			}
			if err != nil {
				var none Slot
				yield(none, err)
				return
			}
			slots, cursor := of(&page)
			for _, s := range slots {
				if !yield(s, nil) {
					return
				}
			}
			if ask.Cursor = cursor; cursor == "" {
				return
			}
		}
	}
}
