package serve

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// What the clients of TestPowerLoss do with seats and rooms: what was sold to one stays sold over any loss of power, and so
// does what was booked, and what was refunded or cancelled stays that.

func salesPools() []Pool {
	return []Pool{hall(1, 4), {
		Spec: pool.Spec{Name: "rooms", Kind: pool.Calendar, CleanupMs: 2, KeepMs: 1},
		Items: func(yield func(pool.ItemSpec) bool) {
			for i := 1; i <= 2 && yield(pool.ItemSpec{ID: fmt.Sprint("room-", i)}); i++ {
			}
		},
	}}
}

// possessions are what a client has, as far as it was told.
type possessions struct {
	holds    []wire.Hold
	sales    []wire.Sale
	refunded []wire.Sale
	bookings []wire.Booking
	gone     []wire.Booking

	// Their end is on its way, or was when the power was taken.
	unsureSales    []wire.Sale
	unsureBookings []wire.Booking
}

// trade does something with seats or rooms.
func (c *client) trade(key string) {
	p := &c.has
	pick := func(n int) int { return c.rng.IntN(n) }
	switch n := pick(12); {
	case n < 4:
		what := []string{`"seats":["A1"]`, `"best":{"n":2}`, `"best":{"n":3,"split":true}`, `"seats":["floor"],"qty":2`, `"qty":1`, `"seats":["A1","A2"]`}[pick(6)]
		more := []string{"", `,"ttlMs":5`, `,"ttlMs":40`}[pick(3)] + []string{"", `,"waitMs":10`, `,"waitMs":50`}[pick(3)]
		r := c.call(&ask{"hold.create", fmt.Sprintf(`{"pool":"hall",%s%s}`, what, more), key})
		if r.code == "" {
			p.holds = append(p.holds, decoded[wire.Hold](c, r))
		}
	case n < 7 && len(p.holds) > 0:
		h := p.holds[0]
		p.holds = p.holds[1:]
		some := []string{"", fmt.Sprintf(`,"seats":[%q]`, h.Seats[0].ID)}[pick(2)]
		r := c.call(&ask{"hold.confirm", holding(h, some), key})
		switch {
		case r.code == "":
			p.sales = append(p.sales, decoded[wire.Sale](c, r))
		case r.code != "expired" || c.now() < h.ExpiresAt:
			c.h.t.Errorf("client %d: confirm: %s at %d of %+v\n%s", c.id, r.code, c.now(), h, c.h.story(h.Hold))
		}
	case n < 8 && len(p.holds) > 0:
		c.call(&ask{"hold.void", holding(p.holds[0], ""), key})
		p.holds = p.holds[1:]
	case n < 9 && len(p.sales) > 0:
		s := p.sales[0]
		p.sales = p.sales[1:]
		c.done(c.call(&ask{"sale.refund", selling(s, []string{"", `,"to":"withheld"`}[pick(2)]), key}), "refund")
		p.refunded = append(p.refunded, s)
	case n < 11:
		start := c.now() + 1000 + 10*int64(pick(20))
		room := []string{"", `,"ids":["room-1"]`, `,"ids":["room-1","room-2"]`}[pick(3)]
		r := c.call(&ask{"slot.book", fmt.Sprintf(`{"pool":"rooms","start":%d,"end":%d%s}`, start, start+5+int64(pick(30)), room), key})
		if r.code == "" {
			p.bookings = append(p.bookings, decoded[wire.Booking](c, r))
		}
	case len(p.bookings) > 0 && pick(2) == 0:
		b := p.bookings[0]
		r := c.call(&ask{"slot.move", booking(b, fmt.Sprintf(`,"start":%d`, c.now()+2000+10*int64(pick(20)))), key})
		if r.code != "" && r.code != "conflict" && r.code != "invalid_interval" { // it may be moved to where it is
			c.h.t.Errorf("client %d: move: %s of %+v\n%s", c.id, r.code, b, c.h.story(b.Booking))
		}
	case len(p.bookings) > 0:
		b := p.bookings[0]
		p.bookings = p.bookings[1:]
		c.done(c.call(&ask{"slot.cancel", booking(b, ""), key}), "cancel")
		p.gone = append(p.gone, b)
	}
}

func decoded[T any](c *client, r *reply) (v T) {
	if err := json.Unmarshal(r.result, &v); err != nil {
		c.h.t.Errorf("%s: %v", r.result, err)
	}
	return v
}

// learn takes note of what a client has said of seats and rooms in a life before. It is told of each once.
func (p *possessions) learn(c *client, s said) {
	done := s.reply != nil && s.reply.code == ""
	switch s.ask.typ {
	case "hold.confirm":
		if done {
			p.sales = append(p.sales, decoded[wire.Sale](c, s.reply))
		}
	case "sale.refund":
		var ref wire.Refund
		json.Unmarshal([]byte(s.ask.payload), &ref)
		settle(s, &p.sales, &p.unsureSales, &p.refunded, func(x wire.Sale) bool { return x.Sale == ref.Sale })
	case "slot.book":
		if done {
			p.bookings = append(p.bookings, decoded[wire.Booking](c, s.reply))
		}
	case "slot.cancel":
		var ref wire.SlotCancel
		json.Unmarshal([]byte(s.ask.payload), &ref)
		settle(s, &p.bookings, &p.unsureBookings, &p.gone, func(x wire.Booking) bool { return x.Booking == ref.Booking })
	}
}

// settle moves what a request gives up: it is unsure until there is a reply, and gone when that says so.
func settle[T any](s said, had, unsure, gone *[]T, of func(T) bool) {
	from, to := had, unsure
	if s.reply != nil {
		from = unsure
		if to = had; s.reply.code == "" {
			to = gone
		}
	}
	if i := slices.IndexFunc(*from, of); i >= 0 {
		*to = append(*to, (*from)[i])
		*from = slices.Delete(*from, i, i+1)
	}
}

// checkPossessions asks a server for what those before it have sold and booked.
func (c *client) checkPossessions(p possessions) {
	expect := func(a *ask, codes ...string) {
		r := c.call(a)
		if slices.Contains(codes, r.code) {
			return
		}
		c.h.t.Errorf("client %d: %s %s: %q, want %q", c.id, a.typ, a.payload, r.code, codes)
	}
	for _, s := range p.sales[max(0, len(p.sales)-4):] {
		expect(&ask{typ: "hold.confirm", payload: fmt.Sprintf(`{"hold":%d,"token":%d}`, s.Sale, s.Token)}, "already_resolved")
	}
	for _, s := range p.refunded[max(0, len(p.refunded)-4):] {
		expect(&ask{typ: "sale.refund", payload: selling(s, "")}, "already_resolved")
	}
	for _, b := range p.bookings[max(0, len(p.bookings)-4):] {
		// It begins at no such time; a booking that is past may be gone.
		expect(&ask{typ: "slot.cancel", payload: booking(b, `,"at":1`)}, "not_found", map[bool]string{true: "already_resolved", false: "not_found"}[c.now() > b.Items[0].End])
	}
	for _, b := range p.gone[max(0, len(p.gone)-4):] {
		expect(&ask{typ: "slot.cancel", payload: booking(b, "")}, "already_resolved")
	}
	c.has = possessions{sales: p.sales, bookings: p.bookings}
}
