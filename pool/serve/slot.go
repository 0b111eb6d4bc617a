package serve

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/when"
	"github.com/kassa-go/kassa/pool/wire"
)

// places are the configured pools, by name, as far as their local times go: the machine knows only UTC. They do not change.
type places map[string]place

type place struct {
	zone  *time.Location
	hours *when.Hours
}

// zone returns the zone that a request says, else the pool's.
func (ps places) zone(poolName, name string) (*time.Location, error) {
	if name != "" {
		return when.Zone(name)
	}
	return cmp.Or(ps[poolName].zone, time.UTC), nil
}

// at returns what a moment is. What names it in errors.
func at(m *wire.Moment, what string, zone *time.Location) (int64, error) {
	switch {
	case m == nil:
		return 0, codec.NewError(codec.BadPayload, what+" is needed: milliseconds since 1970, or a text such as 2026-11-21T10:00")
	case m.Text == "":
		return m.Ms, nil
	}
	ms, err := when.At(m.Text, zone)
	if e, ok := errors.AsType[*when.Error](err); ok {
		err = codec.NewError(codec.CodeByName(e.Code), what+": "+e.Message)
	}
	return ms, err
}

// spans returns the times that a request wants of a pool: from start to end, and again as a RRULE says.
func (ps places) spans(poolName string, start, end *wire.Moment, zoneName, rrule string) ([]pool.Span, error) {
	zone, err := ps.zone(poolName, zoneName)
	if err != nil {
		return nil, err
	}
	var first when.Slot
	if first.Start, err = at(start, "start", zone); err != nil {
		return nil, err
	}
	if first.End, err = at(end, "end", zone); err != nil {
		return nil, err
	}
	slots := []when.Slot{first}
	if rrule != "" {
		if slots, err = when.Expand(rrule, first, zone, nil, pool.SpansMax); err != nil {
			return nil, err
		}
	}
	return ps.open(poolName, slots)
}

// open returns slots as the machine takes them, unless the pool is closed then.
func (ps places) open(poolName string, slots []when.Slot) ([]pool.Span, error) {
	place := ps[poolName]
	spans := make([]pool.Span, len(slots))
	for i, s := range slots {
		spans[i] = pool.Span{Start: s.Start, End: s.End}
		if s.Start < s.End && !place.hours.Open(s.Start, s.End) {
			const layout = "Mon 2006-01-02 15:04"
			return nil, codec.NewError(codec.InvalidInterval, fmt.Sprintf("pool %s is closed at some time between %s and %s (%s): slot.list with open: true tells when it is open",
				poolName, time.UnixMilli(s.Start).In(place.zone).Format(layout), time.UnixMilli(s.End).In(place.zone).Format(layout), place.zone))
		}
	}
	return spans, nil
}

func (d *opDecoder) book(o *op) error {
	var p wire.SlotBook
	if err := d.into(o, &p); err != nil {
		return err
	}
	if err := need(o, "pool", p.Pool); err != nil {
		return err
	}
	spans, err := d.places.spans(p.Pool, p.Start, p.End, p.Zone, p.RRule)
	if err != nil {
		return err
	}
	want := pool.Want{Pool: p.Pool, IDs: p.IDs, Select: selector(p.Select), Count: 1, Spans: spans}
	if p.Count != nil {
		if want.Count = int64(*p.Count); want.Count <= 0 {
			return codec.NewError(codec.BadPayload, fmt.Sprintf("count is %d: want 1 or more", want.Count))
		}
	}
	o.cmd, o.grow = &pool.Book{Want: want, Owner: p.Owner, OnConflict: pool.OnConflict(p.OnConflict), Keyed: keyed(o)}, true
	return nil
}

// needBooking refuses what names no booking.
func needBooking(o *op, booking, token uint64) error {
	if booking == 0 || token == 0 {
		return codec.NewError(codec.BadPayload, "payload of "+o.job.Type()+": booking and token are needed, as slot.book gave them")
	}
	return nil
}

// move decodes as much as can be known without the booking: planMove does the rest.
func (d *opDecoder) move(o *op) error {
	p := new(wire.SlotMove)
	if err := d.into(o, p); err != nil {
		return err
	}
	if p.Start == nil && p.End == nil && p.Item == "" {
		return codec.NewError(codec.BadPayload, "payload of slot.move: start, end or item is needed, to say what is to change")
	}
	o.ask = p
	o.cmd, o.grow = &pool.Move{Grant: p.Booking, Token: p.Token, Item: p.Item, Keyed: keyed(o)}, true
	return needBooking(o, p.Booking, p.Token)
}

func (d *opDecoder) cancelSlot(o *op) error {
	p := new(wire.SlotCancel)
	if err := d.into(o, p); err != nil {
		return err
	}
	o.ask = p
	o.cmd = &pool.Cancel{Grant: p.Booking, Token: p.Token, Keyed: keyed(o)}
	return needBooking(o, p.Booking, p.Token)
}

// which returns which times of a booking are meant.
func which(m *wire.Moment, following bool, zone *time.Location) (pool.At, error) {
	if m == nil {
		if following {
			return pool.At{}, codec.NewError(codec.BadPayload, "following is of the time that at names: say at, too")
		}
		return pool.At{}, nil
	}
	ms, err := at(m, "at", zone)
	return pool.At{Start: &ms, Following: following}, err
}

// zoneOf returns the zone that a request about a booking says, else that of its pools, which must be one then.
func (p *poolsLoop) zoneOf(times []pool.Time, name string) (*time.Location, error) {
	poolName := ""
	for i, t := range times {
		if poolName = t.Pool; i > 0 && name == "" && p.s.places[t.Pool].zone.String() != p.s.places[times[0].Pool].zone.String() {
			return nil, codec.NewError(codec.BadPayload, "the booking is in pools of several zones: say which zone is meant")
		}
	}
	return p.s.places.zone(poolName, name)
}

// planCancel says in UTC what a request says by the clocks of the booking's pool.
func (p *poolsLoop) planCancel(o *op, c *pool.Cancel) {
	ask := o.ask.(*wire.SlotCancel)
	zone, err := p.zoneOf(p.machine.Times(c.Grant), ask.Zone)
	if err == nil {
		c.At, err = which(ask.At, ask.Following, zone)
	}
	if err != nil {
		o.err = wireError(err)
	}
}

// planMove is the same for a move: what follows is shifted by as much of local time.
func (p *poolsLoop) planMove(o *op, c *pool.Move) {
	if c.Key != "" && p.machine.Knows(c.Client, c.Key) {
		return // it was moved already, perhaps: the machine tells what came of it
	}
	if err := p.plan(o.ask.(*wire.SlotMove), c); err != nil {
		o.err = wireError(err)
	}
}

func (p *poolsLoop) plan(ask *wire.SlotMove, c *pool.Move) error {
	times := p.machine.Times(c.Grant)
	zone, err := p.zoneOf(times, ask.Zone)
	if err != nil {
		return err
	}
	if c.At, err = which(ask.At, ask.Following, zone); err != nil {
		return err
	}
	poolName := ""
	var slots []when.Slot
	for _, t := range times {
		s := t.Span
		if c.At.Start != nil && s.Start != *c.At.Start && !(c.At.Following && s.Start > *c.At.Start) {
			continue
		}
		if poolName != "" && t.Pool != poolName {
			return nil // the machine says that it moves nothing of several pools
		}
		poolName = t.Pool
		slots = append(slots, when.Slot{Start: s.Start, End: s.End})
	}
	if len(slots) == 0 || ask.Start == nil && ask.End == nil { // the machine says what is wrong; the times stay
		return nil
	}
	from := slots[0]
	to := from
	if ask.Start != nil {
		if to.Start, err = at(ask.Start, "start", zone); err != nil {
			return err
		}
		to.End = to.Start + from.End - from.Start
	}
	if ask.End != nil {
		if to.End, err = at(ask.End, "end", zone); err != nil {
			return err
		}
	}
	if len(slots) == 1 {
		slots = []when.Slot{to}
	} else if slots, err = when.Shift(slots, zone, from, to); err != nil {
		return err
	}
	c.Spans, err = p.s.places.open(poolName, slots)
	return err
}

// timesAsk is a slot.find or a slot.list.
type timesAsk struct {
	query pool.TimesQuery
	zone  *time.Location // the pool's
	open  []wire.Opening // of slot.list, if it asks for the opening hours
}

func (d *opDecoder) findSlots(o *op) error {
	ask, p, count, err := d.timesAsk(o)
	if err != nil {
		return err
	}
	q := &ask.query
	q.LengthMs, q.Units = p.LengthMs, count
	if d.places[q.Pool].hours == nil || q.From >= q.To { // the machine says what is wrong with that
		return nil
	}
	q.Open, err = d.openings(q)
	return err
}

func (d *opDecoder) listSlots(o *op) error {
	ask, p, _, err := d.timesAsk(o)
	if err != nil || !p.Open || ask.query.From >= ask.query.To {
		return err
	}
	open, err := d.openings(&ask.query)
	for _, s := range open {
		ask.open = append(ask.open, wire.Opening{Start: s.Start, End: s.End})
	}
	return err
}

// openings returns when a pool is open, from one time to another.
func (d *opDecoder) openings(q *pool.TimesQuery) ([]pool.Span, error) {
	hours := d.places[q.Pool].hours // nil: always
	const openMax = 2000            // of opening hours: some years
	open := []pool.Span{}
	for from := q.From; ; {
		start, end, ok := hours.Next(from, q.To)
		if !ok {
			return open, nil
		}
		if len(open) == openMax {
			return nil, codec.NewError(codec.InvalidInterval, fmt.Sprintf("from and to are too far apart: pool %s opens more than %d times between them", q.Pool, openMax))
		}
		open = append(open, pool.Span{Start: start, End: end})
		from = end
	}
}

func (d *opDecoder) timesAsk(o *op) (ask *timesAsk, p *wire.SlotFind, count int64, err error) {
	p = new(wire.SlotFind)
	if err = d.into(o, p); err != nil {
		return nil, nil, 0, err
	}
	switch {
	case p.Limit < 0 || p.Limit > pool.PageMax:
		err = codec.NewError(codec.BadPayload, fmt.Sprintf("limit is %d: want 1 to %d", p.Limit, pool.PageMax))
	default:
		err = need(o, "pool", p.Pool)
	}
	if err != nil {
		return nil, nil, 0, err
	}
	zone, err := d.places.zone(p.Pool, p.Zone)
	if err != nil {
		return nil, nil, 0, err
	}
	ask = &timesAsk{query: pool.TimesQuery{Pool: p.Pool, Select: selector(p.Select), IDs: p.IDs, Limit: cmp.Or(p.Limit, 100), Cursor: p.Cursor}}
	ask.zone, _ = d.places.zone(p.Pool, "")
	if ask.query.From, err = at(p.From, "from", zone); err == nil {
		ask.query.To, err = at(p.To, "to", zone)
	}
	count = 1
	if p.Count != nil {
		count = int64(*p.Count)
	}
	o.ask = ask
	return ask, p, count, err
}

// times answers a slot.find or a slot.list.
func (p *poolsLoop) times(o *op, ask *timesAsk) (any, error) {
	if o.kind == opFindSlots {
		free, cursor, err := p.machine.Free(ask.query)
		return &wire.SlotsFree{Zone: ask.zone.String(), Free: wireItems(free), Cursor: cursor}, err
	}
	booked, cursor, err := p.machine.Booked(ask.query)
	page := &wire.SlotsBooked{Zone: ask.zone.String(), Open: ask.open, Booked: make([]wire.Slot, len(booked)), Cursor: cursor}
	for i, b := range booked {
		page.Booked[i] = wire.Slot{
			ID: b.ID, Start: b.Span.Start, End: b.Span.End, SetupMs: b.Span.SetupMs, CleanupMs: b.Span.CleanupMs,
			Booking: b.Grant, Client: b.Client, Owner: b.Owner, ExpiresAt: b.ExpiresAt,
		}
		if b.Units > 1 {
			page.Booked[i].Count = b.Units
		}
	}
	return page, err
}
