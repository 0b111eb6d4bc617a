package serve

import (
	"fmt"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// hold decodes hold.create, which is an acquire of one pool.
func (d *opDecoder) hold(o *op) error {
	var p wire.HoldCreate
	if err := d.into(o, &p); err != nil {
		return err
	}
	want := pool.Want{Pool: p.Pool, IDs: p.Seats, Select: selector(p.Select)}
	switch {
	case p.Qty != nil && *p.Qty <= 0:
		return codec.NewError(codec.BadPayload, fmt.Sprintf("qty is %d: want 1 or more", *p.Qty))
	case p.Best != nil && (p.Qty != nil || len(p.Seats) > 0):
		return codec.NewError(codec.BadPayload, "payload of hold.create: of seats, qty and best one is wanted, but for qty of one of seats that has a quantity")
	case p.Best != nil && p.Best.N <= 0:
		return codec.NewError(codec.BadPayload, fmt.Sprintf("best.n is %d: want 1 or more", p.Best.N))
	case p.Best != nil:
		want.Count, want.Best = int64(p.Best.N), pool.Together
		if p.Best.Split {
			want.Best = pool.Split
		}
	case p.Qty != nil:
		want.Count = int64(*p.Qty)
	case len(p.Seats) == 0:
		return codec.NewError(codec.BadPayload, "payload of hold.create: seats, qty or best is needed, to say what is to be held")
	}
	o.cmd, o.grow = &pool.Acquire{
		Kind: pool.Stock, Want: []pool.Want{want}, Owner: p.Owner, TTLMs: p.TTLMs, WaitMs: p.WaitMs, Priority: int64(p.Priority),
		OnDisconnect: pool.OnDisconnect(p.OnDisconnect), Keyed: keyed(o),
	}, true
	return need(o, "pool", p.Pool)
}

func (d *opDecoder) extend(o *op) error {
	c := &pool.Renew{Kind: pool.Stock, Keyed: keyed(o)}
	p, err := d.holdRef(o, &c.Pool, &c.Item)
	c.Grant, c.Token, c.TTLMs = p.Hold, p.Token, p.TTLMs
	o.cmd = c
	return err
}

func (d *opDecoder) confirm(o *op) error {
	c := &pool.Confirm{Keyed: keyed(o)}
	p, err := d.holdRef(o, &c.Pool, &c.Item)
	c.Grant, c.Token, c.Items = p.Hold, p.Token, seatRefs(p.Seats)
	o.cmd = c
	return err
}

func (d *opDecoder) void(o *op) error {
	c := &pool.Release{Kind: pool.Stock, Keyed: keyed(o)}
	p, err := d.holdRef(o, &c.Pool, &c.Item)
	c.Grant, c.Token, c.Items = p.Hold, p.Token, seatRefs(p.Seats)
	o.cmd = c
	return err
}

// holdRef decodes what names a hold: its number and token, or of a verb a seat.
func (d *opDecoder) holdRef(o *op, poolName, seat *string) (p wire.HoldRef, err error) {
	switch err = d.into(o, &p); {
	case err != nil:
	case o.byItem():
		err = o.itemInto(poolName, seat)
	case p.Hold == 0 || p.Token == 0:
		err = codec.NewError(codec.BadPayload, "payload of "+o.job.Type()+": hold and token are needed, as hold.create gave them")
	}
	return p, err
}

// seatRefs returns nil for all seats, and an empty list for none of them.
func seatRefs(seats []wire.SeatRef) []pool.ItemRef {
	if seats == nil {
		return nil
	}
	refs := make([]pool.ItemRef, len(seats))
	for i, s := range seats {
		refs[i] = pool.ItemRef{Pool: s.Pool, ID: s.ID, Units: s.Qty}
	}
	return refs
}

func (d *opDecoder) refund(o *op) error {
	var p wire.Refund
	if err := d.into(o, &p); err != nil {
		return err
	}
	switch {
	case !o.byItem() && (p.Sale == 0 || p.Token == 0):
		return codec.NewError(codec.BadPayload, "payload of "+o.job.Type()+": sale and token are needed, as hold.confirm gave them")
	case p.To != "" && p.To != "available" && p.To != "withheld":
		return codec.NewError(codec.BadPayload, fmt.Sprintf("to is %.64q: want available or withheld", p.To))
	}
	c := &pool.Refund{Grant: p.Sale, Token: p.Token, Items: seatRefs(p.Seats), Withhold: p.To == "withheld", Keyed: keyed(o)}
	o.cmd = c
	if o.byItem() {
		return o.itemInto(&c.Pool, &c.Item)
	}
	return nil
}
