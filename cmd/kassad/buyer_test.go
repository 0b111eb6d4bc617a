package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool/wire"
)

// buyer holds seats and books rooms, keeps some of it and gives some back. All that it asks for has a key, so what it was not
// told of has one outcome still.
type buyer struct {
	asker
	trade
	pools []string

	has      []*bought
	ended    *bought // what it has given back just now; nil: it is not to try that once more
	withheld string  // a seat that is to be for sale again

	about *bought     // the request
	part  []wire.Item // of that, which it gives up
	item  int         // of a turn
}

// bought is what a buyer has: a hold, a sale, a booking, or a lease with some of each.
type bought struct {
	id, token uint64
	pool      string // of the first of it
	brief     bool   // it may run out
	firm      bool   // it was confirmed, or booked at once
	items     []wire.Item
}

// trade is what a buyer does.
type trade string

const (
	seatTurns trade = "seats, in turns that are written down"
	roomTurns trade = "times of a room, likewise"
	inHall    trade = "seats"
	inRooms   trade = "rooms"
	ofAll     trade = "a thing, seats and a room, together"
)

const (
	askHold    request = "hold.create"
	askExtend  request = "hold.extend"
	askConfirm request = "hold.confirm"
	askAgain   request = "hold.confirm " // of what was confirmed
	askVoid    request = "hold.void"
	askRefund  request = "sale.refund"
	askEnded   request = "sale.refund " // of what was given back
	askBook    request = "slot.book"
	askMove    request = "slot.move"
	askCancel  request = "slot.cancel"
	askNoMore  request = "slot.cancel " // of what was cancelled
	askSell    request = "item.set "    // what is withheld
	askSlots   request = "slot.list"
	askPass    request = "pool.stats " // to pass the time
)

const (
	floorUnits = 30
	desksUnits = 3
	hour       = 3_600_000 // ms
)

func salesYAML() string {
	var b strings.Builder
	for i := range 2 * turnPools {
		fmt.Fprintf(&b, "  stall%d: {kind: stock, ids: 1..%d, ttl: 1h}\n  desk%d: {kind: calendar, items: [desk]}\n", i, deskItems, i)
	}
	fmt.Fprintf(&b, "  hall: {kind: stock, ttl: 1h, seats: [{rows: A..D, seats: 1..10, aisles: [5]}], items: [{id: floor, quantity: %d}]}\n",
		floorUnits)
	fmt.Fprintf(&b, "  rooms: {kind: calendar, cleanup: 10m, ids: room-1..room-3, items: [{id: desks, capacity: %d}]}\n", desksUnits)
	b.WriteString("  kit: {ids: 1..20, ttl: 1h}\n")
	return b.String()
}

// hourAt returns the beginning of an hour well ahead.
func (c *crowd) hourAt(n int) int64 {
	return c.began.AddDate(0, 1, 0).Truncate(time.Hour).UnixMilli() + int64(n)*hour
}

func (b *buyer) begin() {
	if b.ask == "" {
		b.next()
	} else {
		b.send()
	}
}

// next thinks of something to do.
func (b *buyer) next() {
	b.about, b.part = nil, nil
	most := map[trade]int{inHall: 2, inRooms: 3}[b.trade]
	switch chance := b.rng.IntN(20); {
	case b.closing.Load():
		for _, p := range b.has {
			if !p.firm {
				b.settle(p)
				return
			}
		}
		b.rest()
	case b.keeping.Load() && len(b.has) > 0:
		b.keep(b.has[0])
	case b.withheld != "":
		b.want(askSell, "hall", fmt.Sprintf(`{"pool":"hall","id":%q,"state":"available"}`, b.withheld))
	case len(b.has) > 0 && (len(b.has) >= most || chance < 9):
		b.use(b.has[b.rng.IntN(len(b.has))])
	case b.trade == seatTurns || b.trade == roomTurns:
		b.takeTurn(chance)
	case b.trade == inHall:
		b.want(askHold, "hall", `{"pool":"hall",`+b.seats()+b.patience()+b.brevity()+"}")
	case b.trade == inRooms:
		b.book()
	default:
		start, room := b.hourAt(48+b.rng.IntN(8)), 1+b.rng.IntN(3)
		rooms := fmt.Sprintf(`{"pool":"rooms","ids":["room-%d"],"start":%d,"end":%d}`, room, start, start+hour/2)
		b.want(askTake, "kit", fmt.Sprintf(`{"want":[{"pool":"kit"},{"pool":"hall","count":%d},%s]%s}`, 1+b.rng.IntN(2), rooms, b.patience()))
	}
}

func (b *buyer) want(ask request, pool, payload string) { b.request(ask, pool, payload, b.nextKey()) }

// on asks for something to be done with p. The name is that of the field that says which it is.
func (b *buyer) on(p *bought, ask request, name, more string) {
	b.about = p
	b.want(ask, p.pool, fmt.Sprintf(`{%q:%d,"token":%d%s}`, name, p.id, p.token, more))
}

func (b *buyer) oneOf(texts ...string) string { return texts[b.rng.IntN(len(texts))] }

func (b *buyer) patience() string {
	return b.oneOf("", "", fmt.Sprintf(`,"waitMs":%d`, 1+b.rng.IntN(1000)))
}

func (b *buyer) brevity() string {
	return b.oneOf("", "", "", "", fmt.Sprintf(`,"ttlMs":%d`, 1+b.rng.IntN(300)))
}

// seats says which seats are wanted.
func (b *buyer) seats() string {
	row, seat := 'A'+rune(b.rng.IntN(4)), 1+b.rng.IntN(9)
	return b.oneOf(fmt.Sprintf(`"seats":["%c%d"]`, row, seat), fmt.Sprintf(`"seats":["%c%d","%c%d"]`, row, seat, row, seat+1),
		`"best":{"n":2}`, `"best":{"n":3}`, `"best":{"n":5,"split":true}`, fmt.Sprintf(`"qty":%d`, 1+b.rng.IntN(3)),
		fmt.Sprintf(`"seats":["floor"],"qty":%d`, 1+b.rng.IntN(6)))
}

func (b *buyer) book() {
	start := b.hourAt(b.rng.IntN(24)) + int64(b.rng.IntN(2))*hour/2
	what := b.oneOf("", `,"ids":["room-1"]`, `,"ids":["room-2","room-3"]`, `,"ids":["desks"]`, `,"ids":["desks"],"count":2`)
	series := b.oneOf("", "", `,"rrule":"FREQ=DAILY;COUNT=3"`, `,"rrule":"FREQ=DAILY;COUNT=3","onConflict":"skip"`)
	end := start + hour/2*int64(1+b.rng.IntN(2))
	b.want(askBook, "rooms", fmt.Sprintf(`{"pool":"rooms","start":%d,"end":%d%s%s}`, start, end, what, series))
}

// takeTurn is for one who has nothing.
func (b *buyer) takeTurn(chance int) {
	name := b.turnPool(b.pools)
	b.item = b.rng.IntN(deskItems)
	start := b.hourAt(b.item)
	switch {
	case b.ended != nil && chance < 2 && b.trade == seatTurns:
		b.on(b.ended, askEnded, "sale", "")
	case b.ended != nil && chance < 2:
		b.on(b.ended, askNoMore, "booking", "")
	case chance < 5 && b.trade == seatTurns:
		b.request(askLook, name, fmt.Sprintf(`{"pool":%q}`, name), "")
	case chance < 5:
		b.request(askSlots, name, fmt.Sprintf(`{"pool":%q,"from":%d,"to":%d}`, name, b.hourAt(0), b.hourAt(deskItems)), "")
	case b.trade == roomTurns:
		b.want(askBook, name, fmt.Sprintf(`{"pool":%q,"start":%d,"end":%d}`, name, start, start+hour))
	case chance < 12:
		b.want(askHold, name, fmt.Sprintf(`{"pool":%q,"seats":["%d"]}`, name, b.item+1))
	default:
		b.item = -1
		b.want(askHold, name, fmt.Sprintf(`{"pool":%q,"qty":1}`, name))
	}
}

// keep has what it has go on.
func (b *buyer) keep(p *bought) {
	if !p.firm {
		b.on(p, askExtend, "hold", "")
		return
	}
	b.request(askPass, p.pool, fmt.Sprintf(`{"pool":%q}`, p.pool), "")
}

// settle has what is held be its own, or not.
func (b *buyer) settle(p *bought) {
	if b.rng.IntN(3) > 0 {
		b.on(p, askConfirm, "hold", "")
	} else {
		b.part = p.items
		b.on(p, askVoid, "hold", "")
	}
}

// use does something with what it has.
func (b *buyer) use(p *bought) {
	of := func(name string) (items []wire.Item) {
		for _, it := range p.items {
			if it.Pool == name || name == "rooms" && it.End != 0 {
				items = append(items, it)
			}
		}
		return items
	}
	chance := b.rng.IntN(20)
	seats := of("hall")
	if b.trade == seatTurns {
		seats = p.items
	}
	switch rooms, kit := of("rooms"), of("kit"); {
	case !p.firm && chance < 4:
		b.on(p, askExtend, "hold", "")
	case !p.firm && chance < 7 && units(seats) > 1:
		b.on(p, askConfirm, "hold", `,"seats":`+seatNames(b.some(seats)))
	case !p.firm && chance < 9 && units(seats) > 1:
		b.part = b.some(seats)
		b.on(p, askVoid, "hold", `,"seats":`+seatNames(b.part))
	case !p.firm:
		b.settle(p)
	case chance < 4 && b.trade == seatTurns:
		b.on(p, askAgain, "hold", "")
	case chance < 12 && len(rooms) > 0:
		b.move(p, rooms)
	case len(rooms) > 1 && chance < 16: // one of several times, or those that follow it
		at := rooms[b.rng.IntN(len(rooms))].Start
		following := b.rng.IntN(2) == 0
		b.part = meant(rooms, at, following)
		b.on(p, askCancel, "booking", fmt.Sprintf(`,"at":%d,"following":%t`, at, following))
	case len(kit) > 0 && chance < 16:
		b.part = kit
		b.on(p, askBack, "lease", "")
	case len(rooms) > 0:
		b.part = rooms
		b.on(p, askCancel, "booking", "")
	case len(seats) == 1 && seats[0].ID != "floor" && seats[0].Pool == "hall" && chance < 6:
		b.part = seats
		b.on(p, askRefund, "sale", `,"to":"withheld"`)
	case units(seats) > 1 && chance < 13:
		b.part = b.some(seats)
		b.on(p, askRefund, "sale", `,"seats":`+seatNames(b.part))
	case len(seats) > 0:
		b.part = seats
		b.on(p, askRefund, "sale", "")
	default:
		b.part = kit
		b.on(p, askBack, "lease", "")
	}
}

// meant returns what of a booking begins then, or later too.
func meant(items []wire.Item, at int64, following bool) (some []wire.Item) {
	for _, it := range items {
		if it.Start == at || following && it.Start > at {
			some = append(some, it)
		}
	}
	return some
}

func (b *buyer) move(p *bought, rooms []wire.Item) {
	if b.trade == roomTurns {
		b.part = rooms
		b.item = (int((rooms[0].Start-b.hourAt(0))/hour) + 1 + b.rng.IntN(deskItems-1)) % deskItems // another one
		b.on(p, askMove, "booking", fmt.Sprintf(`,"start":%d`, b.hourAt(b.item)))
		return
	}
	at := rooms[b.rng.IntN(len(rooms))].Start
	following := b.rng.IntN(2) == 0
	b.part = meant(rooms, at, following)
	near, far := at+int64(b.rng.IntN(9)-4)*hour/2, b.hourAt(b.rng.IntN(24))
	to := b.oneOf(fmt.Sprintf(`,"start":%d`, near), fmt.Sprintf(`,"start":%d`, far), `,"item":"room-1"`, `,"item":"room-2"`)
	b.on(p, askMove, "booking", fmt.Sprintf(`,"at":%d,"following":%t%s`, at, following, to))
}

func units(items []wire.Item) (n int64) {
	for _, it := range items {
		n += max(it.Qty, 1)
	}
	return n
}

// some returns a part of seats, which have two units or more.
func (b *buyer) some(seats []wire.Item) []wire.Item {
	n := 1 + b.rng.IntN(len(seats))
	part := slices.Clone(seats[:n])
	if last := &part[n-1]; last.Qty > 1 {
		last.Qty = 1 + b.rng.Int64N(last.Qty-1)
	} else if n == len(seats) {
		part = part[:n-1]
	}
	return part
}

// without returns items less a part of them.
func without(items, part []wire.Item) (left []wire.Item) {
	for _, it := range items {
		i := slices.IndexFunc(part, func(p wire.Item) bool { return p.Pool == it.Pool && p.ID == it.ID && p.Start == it.Start })
		if i >= 0 {
			it.Qty = max(it.Qty, 1) - max(part[i].Qty, 1)
		}
		if i < 0 || it.Qty > 0 {
			left = append(left, it)
		}
	}
	return left
}

// seatNames says which seats these are.
func seatNames(seats []wire.Item) string {
	var refs []string
	for _, it := range seats {
		if it.Qty == 0 {
			refs = append(refs, fmt.Sprintf("%q", it.ID))
		} else {
			refs = append(refs, fmt.Sprintf(`{"id":%q,"qty":%d}`, it.ID, it.Qty))
		}
	}
	return "[" + strings.Join(refs, ",") + "]"
}

// answered takes the answer to what is under way.
func (b *buyer) answered(a *answer) error {
	if err := b.outcome(a); err != nil {
		return err
	}
	if slices.Contains(b.has, b.about) && len(b.about.items) == 0 {
		b.drop(b.about)
	}
	b.next()
	return nil
}

func (b *buyer) drop(p *bought) {
	b.has = slices.DeleteFunc(b.has, func(x *bought) bool { return x == p })
	b.ended = p
}

func (b *buyer) outcome(a *answer) error {
	p := b.about
	d := deed{ask: b.ask, rev: a.Rev, seen: b.known, sent: b.called, again: b.sent > 1, at: time.Now().UnixMilli(), was: lines(b.part)}
	if p != nil {
		d.grant, d.token = p.id, p.token
	}
	tell := func() { b.caller.deeds = append(b.caller.deeds, d) }
	did := func(t turn) {
		if b.trade == seatTurns || b.trade == roomTurns {
			b.turn(t)
		}
	}
	refusedWith := func(codes ...string) bool { return slices.Contains(codes, a.Code) }
	if a.Code == "store_full" {
		b.counts[refused].Add(1)
		return nil
	}
	switch b.ask {
	case askHold, askTake, askBook:
		got, err := b.given(a)
		switch {
		case refusedWith("none_free", "conflict", "wait_timeout"):
			b.ended = nil
			if b.item >= 0 {
				did(turn{what: turnNot, item: b.item})
			} else {
				did(turn{what: turnNone})
			}
			return nil
		case err != nil || len(got.items) == 0:
			return b.unexpected(a)
		}
		b.counts[taken].Add(1)
		b.ended = nil
		got.pool = got.items[0].Pool
		b.has = append(b.has, got)
		d.grant, d.token, d.items = got.id, got.token, lines(got.items)
		tell()
		did(turn{what: turnTake, item: b.itemOf(got.items[0]), token: got.token})
	case askExtend:
		if b.over(a, &d) {
			tell()
			return nil
		}
		r, err := result[wire.Renewed](a)
		if err != nil {
			return b.unexpected(a)
		}
		b.counts[renewed].Add(1)
		d.expiresAt = r.ExpiresAt
		tell()
		did(turn{what: turnRenew, token: p.token})
	case askConfirm:
		if b.over(a, &d) {
			tell()
			return nil
		}
		sale, err := result[wire.Sale](a)
		if err != nil || sale.Sale != p.id || sale.Token != p.token {
			return b.unexpected(a)
		}
		p.items, p.firm, p.brief = sale.Seats, true, false
		d.items = lines(p.items)
		tell()
		did(turn{what: turnSell, token: p.token})
	case askVoid, askRefund, askCancel, askBack:
		if b.ask == askVoid && b.over(a, &d) {
			tell()
			return nil
		}
		r, err := result[struct{ Voided, Refunded, Cancelled, Released int64 }](a)
		want := units(b.part)
		if b.ask == askCancel {
			want = int64(len(b.part))
		}
		if err != nil || r.Voided+r.Refunded+r.Cancelled+r.Released != want {
			return b.unexpected(a)
		}
		b.counts[givenBack].Add(1)
		p.items = without(p.items, b.part)
		if strings.Contains(b.payload, `"withheld"`) {
			b.withheld = b.part[0].ID
		}
		tell()
		if b.ask == askRefund {
			did(turn{what: turnRefund, token: p.token})
		} else {
			did(turn{what: turnBack, token: p.token})
		}
	case askMove:
		if refusedWith("conflict", "invalid_interval") {
			did(turn{what: turnNot, item: b.item})
			return nil
		}
		moved, err := result[wire.Booking](a)
		if err != nil || len(moved.Items) != len(b.part) {
			return b.unexpected(a)
		}
		p.items = append(without(p.items, b.part), moved.Items...)
		d.items = lines(moved.Items)
		tell()
		did(turn{what: turnMove, item: b.item, token: p.token})
	case askAgain:
		if !refusedWith("already_resolved") {
			return b.unexpected(a)
		}
		did(turn{what: turnSold, token: p.token})
	case askEnded, askNoMore:
		if !refusedWith("already_resolved") {
			return b.unexpected(a)
		}
		b.ended = nil
		did(turn{what: turnStale, token: p.token})
	case askSell:
		if a.Err != "" {
			return b.unexpected(a)
		}
		b.withheld = ""
	case askLook:
		st, err := result[wire.PoolStats](a)
		if err != nil {
			return b.unexpected(a)
		}
		did(turn{what: turnLook, free: st.Free, sold: st.Sold})
	case askPass:
		if a.Err != "" {
			return b.unexpected(a)
		}
	case askSlots:
		booked, err := result[wire.SlotsBooked](a)
		if err != nil {
			return b.unexpected(a)
		}
		did(turn{what: turnLook, free: deskItems - len(booked.Booked)})
	}
	return nil
}

// given returns what was given.
func (b *buyer) given(a *answer) (*bought, error) {
	brief := strings.Contains(b.payload, "ttlMs")
	switch b.ask {
	case askHold:
		h, err := result[wire.Hold](a)
		return &bought{id: h.Hold, token: h.Token, items: h.Seats, brief: brief}, err
	case askBook:
		r, err := result[wire.Booking](a)
		return &bought{id: r.Booking, token: r.Token, items: r.Items, firm: true}, err
	}
	l, err := result[wire.Lease](a)
	return &bought{id: l.Lease, token: l.Token, items: l.Items}, err
}

// itemOf says which of the items of a turn this is.
func (b *buyer) itemOf(it wire.Item) int {
	if it.End != 0 {
		return int((it.Start - b.hourAt(0)) / hour)
	}
	n := 0
	fmt.Sscan(it.ID, &n)
	return n - 1
}

// over reports whether the time of what is held is said to be over.
func (b *buyer) over(a *answer, d *deed) bool {
	if a.Code != "expired" || !b.about.brief {
		return false
	}
	d.over = true
	b.drop(b.about)
	return true
}

// listed are the seats and the bookings that a server tells of.
type listed struct {
	seats  map[string][]wire.ItemState
	booked map[string][]wire.Slot
}

func (k *killing) listed(c *peer) listed {
	c.t.Helper()
	l := listed{map[string][]wire.ItemState{}, map[string][]wire.Slot{}}
	for _, name := range k.ledger.sales.pools() {
		if !k.ledger.sales.calendar(name) {
			l.seats[name] = c.items(name)
			continue
		}
		for cursor, more := "", true; more; more = cursor != "" {
			var page struct{ ResultJob wire.SlotsBooked }
			c.ask(fmt.Sprintf(`{"type":"slot.list","queryIndex":1,"payload":{"pool":%q,"from":0,"to":%d,"limit":200,"cursor":%q}}`,
				name, k.crowd.hourAt(1000), cursor), &page)
			l.booked[name], cursor = append(l.booked[name], page.ResultJob.Booked...), page.ResultJob.Cursor
		}
	}
	return l
}

// look compares what a server that has just begun tells with the events that were there: what is firm is as it was, while
// what is held may have run out since.
func (k *killing) look(t testing.TB, addr string) {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	k.ledger.sales.compare(k.listed(c), false)
}

// TestBuyerParts checks what buyers think that they have.
func TestBuyerParts(t *testing.T) {
	seats := []wire.Item{{Pool: "hall", ID: "A1"}, {Pool: "hall", ID: "floor", Qty: 3}}
	b := &buyer{asker: asker{rng: rand.New(rand.NewPCG(1, 2))}}
	for range 100 {
		part := b.some(seats)
		if left := without(seats, part); units(part) == 0 || units(left) == 0 || units(part)+units(left) != 4 {
			t.Fatalf("of %v some are %v, left are %v", seats, part, left)
		}
	}
}
