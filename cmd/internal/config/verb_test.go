package config

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/kassa-go/kassa/pool/serve"
)

// verbPools are a pool of each kind, and the line that verbs stand in.
const verbPools = `pools:
  phones: {items: [a]}
  cinema: {kind: stock, waitMax: 5s, ttl: 2h, seats: [{rows: A, seats: 1..5}]}
  rooms: {kind: calendar, items: [r]}
verbs:
`

func TestVerbsOfEachKind(t *testing.T) {
	got := load(t, "k.yaml", verbPools+`
  holdSeat:
    verb: hold.create
    pool: cinema
    ttl: 90m
    owner: payload.who
    with:
      seats: [payload.seat, "17", 18]
      select: {zone: [stalls, payload.zone]}
      best: {n: payload.n, split: true}
      priority: -2
    result: {seat: "seats[0].id"}
  paySeat: {verb: hold.confirm, pool: cinema, item: payload, result: {sold: "seats[0].id"}}
  keepSeat: {verb: hold.extend, pool: cinema, item: payload, with: {ttlMs: payload.ms}}
  dropHold: {verb: hold.void, with: {hold: payload.hold, token: payload.token}}
  refundSeat: {verb: sale.refund, pool: cinema, item: payload.seat, with: {to: withheld}}
  bookRoom:
    verb: slot.book
    pool: rooms
    with: {ids: payload.room, start: payload.from, end: 2026-11-21T10:00, zone: Europe/Berlin, rrule: FREQ=DAILY;COUNT=3}
  freeRooms: {verb: slot.find, pool: rooms, with: {lengthMs: 1800000, from: 'payload[0]', to: 'payload[1]'}, result: {first: "free[0].id"}}
  roomAndPhone:
    verb: lease.acquire
    ttl: 1h
    with: {want: [{pool: phones}, {pool: cinema, count: payload.n}, {pool: rooms, start: payload.from, end: payload.to}]}
`)
	text := func(s string) json.RawMessage { return json.RawMessage(s) }
	want := []serve.Verb{
		{
			Name: "holdSeat", Op: "hold.create", Pool: "cinema", TTLMs: 90 * 60_000, WaitMs: new(int64(5000)), Owner: "payload.who",
			With:   text(`{"seats":["payload.seat","17",18],"select":{"zone":["stalls","payload.zone"]},"best":{"n":"payload.n","split":true},"priority":-2}`),
			Result: text(`{"seat":"seats[0].id"}`),
		},
		{Name: "paySeat", Op: "hold.confirm", Pool: "cinema", Item: "payload", Result: text(`{"sold":"seats[0].id"}`)},
		{Name: "keepSeat", Op: "hold.extend", Pool: "cinema", Item: "payload", With: text(`{"ttlMs":"payload.ms"}`)},
		{Name: "dropHold", Op: "hold.void", With: text(`{"hold":"payload.hold","token":"payload.token"}`)},
		{Name: "refundSeat", Op: "sale.refund", Pool: "cinema", Item: "payload.seat", With: text(`{"to":"withheld"}`)},
		{
			Name: "bookRoom", Op: "slot.book", Pool: "rooms",
			With: text(`{"ids":"payload.room","start":"payload.from","end":"2026-11-21T10:00","zone":"Europe/Berlin","rrule":"FREQ=DAILY;COUNT=3"}`),
		},
		{Name: "freeRooms", Op: "slot.find", Pool: "rooms", With: text(`{"lengthMs":1800000,"from":"payload[0]","to":"payload[1]"}`), Result: text(`{"first":"free[0].id"}`)},
		{
			Name: "roomAndPhone", Op: "lease.acquire", TTLMs: 3600_000, WaitMs: new(int64(5000)),
			With: text(`{"want":[{"pool":"phones"},{"pool":"cinema","count":"payload.n"},{"pool":"rooms","start":"payload.from","end":"payload.to"}]}`),
		},
	}
	if len(got.Verbs) != len(want) {
		t.Fatalf("got %d verbs", len(got.Verbs))
	}
	for i := range want {
		if err := want[i].Compile(); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Verbs[i], want[i]) {
			t.Errorf("got  %+v\nwant %+v", got.Verbs[i], want[i])
		}
	}
	p, err := got.Verbs[0].Payload([]byte(`{"seat":7,"n":2}`))
	const made = `{"pool":"cinema","ttlMs":5400000,"waitMs":5000,"best":{"n":2,"split":true},"priority":-2,"seats":["7","17","18"],"select":{"zone":["stalls"]}}`
	if string(p) != made || err != nil {
		t.Errorf("made %s, %v", p, err)
	}
}

func TestBadVerbsOfEachKind(t *testing.T) {
	for _, test := range []struct{ name, verb, want string }{
		{"with no mapping", "{verb: hold.create, pool: cinema, with: payload}", `k.yaml:6:48: verbs.get: with is "payload": want an object, such as {seats: payload.seats}: the payload of hold.create`},
		{"with null", "{verb: hold.create, pool: cinema, with: }", `k.yaml:6:47: verbs.get: with is null: want an object, such as {seats: payload.seats}: the payload of hold.create`},
		{"with, not JSON", "{verb: hold.create, pool: cinema, with: {qty: .inf}}", `k.yaml:6:54: verbs.get.with.qty is ".inf": want what JSON has: a text, a finite number, true, false, null, a list, or names and values`},
		{"with, unknown", "{verb: hold.create, pool: cinema, with: {seat: payload}}", `k.yaml:6:48: verbs.get: with has seat, which hold.create has not: there are best, onDisconnect, owner, priority, qty, seats, select and ttlMs`},
		{"no seats", "{verb: hold.create, pool: cinema}", `k.yaml:6:3: verbs.get: with has none of seats, qty and best, and hold.create needs one: say where it is, as in with: {seats: payload.seats}`},
		{"no item", "{verb: hold.confirm, pool: cinema}", `k.yaml:6:3: verbs.get: item is not set: say where the payload names the item: payload, or payload.ip`},
		{"count of a booking", "{verb: slot.book, pool: rooms, count: 2, with: {start: payload.a, end: payload.b}}", `k.yaml:6:46: verbs.get: count is for lease.acquire, not for slot.book: move it into with`},
		{"refund of rooms", "{verb: sale.refund, pool: rooms, item: payload}", `k.yaml:6:34: verbs.get.pool: pool rooms is of kind calendar, and sale.refund is for those of kind stock: take one of these, or another verb`},
		{"lease of a room", "{verb: lease.release, pool: rooms, item: payload}", `k.yaml:6:36: verbs.get.pool: pool rooms is of kind calendar, and lease.release is for those of kind lease or stock: take one of these, or another verb`},
		{"pool of a wish", "{verb: lease.acquire, with: {want: [{pool: phones}, {pool: room}]}}", `k.yaml:6:36: verbs.get.with.want[1].pool: there is no pool "room": did you mean rooms?`},
		{"wait of a wish", "{verb: lease.acquire, waitMs: 6000, with: {want: [{pool: phones}, {pool: cinema}]}}", `k.yaml:6:38: verbs.get.waitMs is over the waitMax of pool cinema, 5s: raise that, or take less`},
		{"ttl of a wish", "{verb: lease.acquire, ttl: 3h, with: {want: [{pool: phones}, {pool: cinema}]}}", `k.yaml:6:35: verbs.get.ttl is over the ttlMax of pool cinema, 2h0m0s: raise that, or take less`},
		{"result of a sale", "{verb: hold.confirm, pool: cinema, item: payload, result: {a: hold}}", `k.yaml:6:66: verbs.get: result.a is "hold": the result of hold.confirm has no hold, but sale, token, seats and expiresAt (a text of its own is written "=hold")`},
	} {
		t.Run(test.name, func(t *testing.T) { bad(t, verbPools+"  get: "+test.verb+"\n", test.want) })
	}
}
