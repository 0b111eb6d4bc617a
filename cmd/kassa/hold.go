package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/pool/wire"
)

// holdFlags are the flags of the commands on holds and sales that those on leases do not have.
type holdFlags struct {
	best     int
	split    bool
	withhold bool
}

// holdCreate holds seats.
func (o *options) holdCreate(ctx context.Context, t terminal, args []string) error {
	best := slices.Contains(o.given, "best")
	switch seats := args[1:]; {
	case slices.Contains(seats, ""):
		return usagef("a SEAT is empty")
	case best && o.holdOf.best < 1:
		return usagef("--best is %d, below one", o.holdOf.best)
	case best && (len(seats) > 0 || o.count > 0):
		return usagef("--best chooses the seats: it is in the place of SEATs and of -n")
	case o.holdOf.split && !best:
		return usagef("--split is for --best: the best seats may then be in several groups")
	case !best && len(seats) == 0 && o.count == 0:
		return usagef("hold create needs to be told what to hold: SEATs, -n COUNT for any seats, or --best COUNT for seats side by side")
	}
	seats, err := o.seatsToHold(args[1:])
	if err != nil {
		return err
	}
	like, err := o.acquire(args[0])
	if err != nil {
		return err
	}
	ask := wire.HoldCreate{
		Pool: args[0], Seats: seats, Select: like.Want[0].Select, Qty: like.Want[0].Count,
		Owner: like.Owner, TTLMs: like.TTLMs, WaitMs: like.WaitMs, Priority: like.Priority,
		OnDisconnect: "keep", // the connection ends as soon as it is printed, whatever the pool says
	}
	if best {
		ask.Best = &wire.BestSeats{N: o.holdOf.best, Split: o.holdOf.split}
	}
	if o.timeout > 0 {
		o.timeout += o.lease.wait // the server's answer may come as late
	}
	return askAndShow(ctx, o, t, "hold.create", ask, func(w io.Writer, hold *wire.Hold) error {
		_, err := fmt.Fprintf(w, "hold %d with token %d until %s: %s\n"+
			"kassa hold confirm %[1]d %[2]d sells them, kassa hold void %[1]d %[2]d gives them back\n",
			hold.Hold, hold.Token, time.UnixMilli(hold.ExpiresAt).Format(time.DateTime), itemsText(hold.Seats))
		return err
	})
}

// seatsToHold reads SEATs, or one SEAT=QTY, which is as SEAT -n QTY.
func (o *options) seatsToHold(args []string) ([]string, error) {
	for _, arg := range args {
		seat, err := seatRef(arg)
		switch {
		case err != nil:
			return nil, err
		case seat.Qty == 0:
			continue
		case len(args) > 1 || o.count > 0:
			return nil, usagef("%.64q: SEAT=QTY is for one seat alone, in the place of -n; units of several take a hold each", arg)
		}
		o.count = int(seat.Qty)
		return []string{seat.ID}, nil
	}
	return args, nil
}

func (o *options) holdExtend(ctx context.Context, t terminal, args []string) error {
	ask, err := holdRef(args)
	if err != nil {
		return err
	}
	if ask.TTLMs, err = o.ttlMs(); err != nil {
		return err
	}
	return askAndShow(ctx, o, t, "hold.extend", ask, func(w io.Writer, extended *wire.Renewed) error {
		_, err := fmt.Fprintf(w, "hold %d is until %s\n", ask.Hold, time.UnixMilli(extended.ExpiresAt).Format(time.DateTime))
		return err
	})
}

func (o *options) holdConfirm(ctx context.Context, t terminal, args []string) error {
	ask, err := holdRef(args)
	if err != nil {
		return err
	}
	return askAndShow(ctx, o, t, "hold.confirm", ask, func(w io.Writer, sale *wire.Sale) error {
		_, err := fmt.Fprintf(w, "sale %d with token %d: %s\n", sale.Sale, sale.Token, itemsText(sale.Seats))
		if err == nil && slices.ContainsFunc(sale.Seats, func(it wire.Item) bool { return it.Start == 0 }) {
			_, err = fmt.Fprintf(w, "kassa sale refund %d %d takes them back\n", sale.Sale, sale.Token)
		}
		return err
	})
}

func (o *options) holdVoid(ctx context.Context, t terminal, args []string) error {
	ask, err := holdRef(args)
	if err != nil {
		return err
	}
	return askAndShow(ctx, o, t, "hold.void", ask, func(w io.Writer, voided *wire.Voided) error {
		_, err := fmt.Fprintf(w, "%d of hold %d were given back\n", voided.Voided, ask.Hold)
		return err
	})
}

func (o *options) saleRefund(ctx context.Context, t terminal, args []string) error {
	ref, err := numbersAndSeats("SALE", args)
	if err != nil {
		return err
	}
	ask := wire.Refund{Sale: ref.Hold, Token: ref.Token, Seats: ref.Seats}
	after := "available"
	if o.holdOf.withhold {
		after = "withheld"
		ask.To = after
	}
	return askAndShow(ctx, o, t, "sale.refund", ask, func(w io.Writer, refunded *wire.Refunded) error {
		_, err := fmt.Fprintf(w, "%d of sale %d were taken back, and are %s\n", refunded.Refunded, ask.Sale, after)
		return err
	})
}

func holdRef(args []string) (wire.HoldRef, error) { return numbersAndSeats("HOLD", args) }

// numbersAndSeats reads HOLD TOKEN [SEAT...], whatever the first is called.
func numbersAndSeats(name string, args []string) (ref wire.HoldRef, err error) {
	if ref.Hold, err = number(name, args[0]); err == nil {
		ref.Token, err = number("TOKEN", args[1])
	}
	if err != nil {
		return ref, err
	}
	for _, arg := range args[2:] {
		seat, err := seatRef(arg)
		if err != nil {
			return ref, err
		}
		ref.Seats = append(ref.Seats, seat)
	}
	return ref, nil
}

// seatRef reads SEAT or SEAT=QTY.
func seatRef(arg string) (wire.SeatRef, error) {
	seat := wire.SeatRef{ID: arg}
	if i := strings.LastIndexByte(arg, '='); i >= 0 {
		if qty, err := strconv.ParseInt(arg[i+1:], 10, 64); err == nil {
			if seat.ID, seat.Qty = arg[:i], qty; qty < 1 {
				return seat, usagef("%q is no SEAT=QTY: want one unit at least", arg)
			}
		}
	}
	if seat.ID == "" {
		return seat, usagef("a SEAT is empty")
	}
	return seat, nil
}

// itemsText says what was given out, pool by pool, with its times by this machine's clock.
func itemsText(items []wire.Item) string {
	var text strings.Builder
	for i, it := range items {
		switch {
		case i == 0:
			text.WriteString(printable(it.Pool))
		case it.Pool != items[i-1].Pool:
			text.WriteString("; " + printable(it.Pool))
		}
		text.WriteString(" " + itemText(it))
		if it.End != 0 {
			text.WriteString(" (" + spanText(it.Start, it.End, time.Local) + time.UnixMilli(it.End).Format(" MST)"))
		}
	}
	return text.String()
}

// itemText says what an item is, with its units as SEAT=QTY has them.
func itemText(it wire.Item) string {
	text := printable(it.ID)
	if it.Qty > 1 {
		text += "=" + strconv.FormatInt(it.Qty, 10)
	}
	return text
}

// askAndShow makes one request, and prints the result: on a terminal as show does it, else in JSON.
func askAndShow[T any](ctx context.Context, o *options, t terminal, typ string, payload any, show func(io.Writer, *T) error) error {
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return askShown(ctx, o, t, c, typ, payload, show)
}

// askShown does so over a connection that is there.
func askShown[T any](
	ctx context.Context, o *options, t terminal, c *client.Client, typ string, payload any, show func(io.Writer, *T) error,
) error {
	if !t.interactive() {
		return o.askOnce(ctx, t, c, client.Request{Type: typ, Payload: payload, Key: o.key})
	}
	result := new(T)
	if err := o.get(ctx, c, typ, payload, result); err != nil {
		return err
	}
	return show(t.stdout, result)
}
