package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

func TestVerbPayload(t *testing.T) {
	with := func(op, with string, more ...func(*Verb)) Verb {
		v := Verb{Name: "own", Op: op, Pool: "p"}
		if with != "" {
			v.With = json.RawMessage(with)
		}
		for _, m := range more {
			m(&v)
		}
		return v
	}
	alone := func(v *Verb) { v.Pool = "" }
	hold := with("hold.create", `{"seats":["VIP","payload.seats"],"best":{"n":"payload.n"},"select":{"zone":["stalls","payload.zone"],"row":"payload.row"},"priority":-3,"onDisconnect":"=keep"}`,
		func(v *Verb) { v.Owner, v.TTLMs, v.WaitMs = "payload.who", 600_000, new(int64) })
	for _, test := range []struct {
		name    string
		verb    Verb
		payload string
		want    string // what the operation gets, or the error
	}{
		{"fixed", with("hold.create", ` { "qty" : 2 } `), ``, `{"pool":"p","waitMs":15000,"qty":2}`},
		{
			"all there", hold, `{"seats":["A1",7],"n":2,"who":1.50,"zone":"vip","row":3}`,
			`{"pool":"p","owner":"1.50","ttlMs":600000,"best":{"n":2},"onDisconnect":"keep","priority":-3,"seats":["VIP","A1","7"],"select":{"row":["3"],"zone":["stalls","vip"]}}`,
		},
		{"one text", hold, `{"seats":"A1"}`, `{"pool":"p","ttlMs":600000,"onDisconnect":"keep","priority":-3,"seats":["VIP","A1"],"select":{"zone":["stalls"]}}`},
		{"nothing there", with("hold.create", `{"seats":["payload.seats"],"best":{"n":"payload.n"},"select":{"a":"payload.a"}}`), `{"n":null}`, `{"pool":"p","waitMs":15000}`},
		{"no payload", with("hold.create", `{"best":{"n":"payload.n","split":true}}`), ``, `{"pool":"p","waitMs":15000,"best":{"split":true}}`},
		{"all of it", with("hold.create", `{"qty":"payload"}`), ` 3 `, `{"pool":"p","waitMs":15000,"qty":3}`},
		{"an object", with("hold.create", `{"best":"payload.best"}`), `{"best":{"n":2,"split":true}}`, `{"pool":"p","waitMs":15000,"best":{"n":2,"split":true}}`},
		{"no JSON", hold, `{"seats"`, `bad_payload: the payload is not JSON: unexpected end of JSON input`},
		{"no text", hold, `{"who":{}}`, `bad_payload: payload.who is "{}": want a string`},
		{"no texts", hold, `{"seats":[{}]}`, `bad_payload: payload.seats is "[{}]": want a string, or an array of strings`},

		{"by seat", with("hold.confirm", ``, func(v *Verb) { v.Item = "payload" }), `"A1"`, ``},
		{"by seat, one of them", with("hold.confirm", `{"seats":["payload.seat",{"id":"payload.floor","qty":"payload.n"},{"id":"B1","pool":"=p"}]}`, func(v *Verb) { v.Item = "payload.seat" }), `{"seat":"A1","n":2}`,
			`{"seats":["A1",{"qty":2},{"id":"B1","pool":"p"}]}`},
		{"an array stays", with("hold.confirm", `{"hold":"payload.h","token":"payload.t","seats":["payload.seat",{"id":"payload.x"}]}`, alone), `{"h":9007199254740991,"t":18}`, `{"hold":9007199254740991,"seats":[],"token":18}`},
		{"extended", with("hold.extend", ``, func(v *Verb) { v.Item, v.TTLMs = "payload", 5 }), `"A1"`, `{"ttlMs":5}`},
		{"refunded", with("sale.refund", `{"to":"payload.to"}`, func(v *Verb) { v.Item = "payload.seat" }), `{"to":"withheld"}`, `{"to":"withheld"}`},

		{
			"booked", with("slot.book", `{"ids":"payload.room","start":"payload.from","end":"payload.to","zone":"Europe/Berlin","rrule":"payload.again","onConflict":"skip"}`), `{"room":"r","from":"2026-11-21T10:00","to":1795272308852}`,
			`{"pool":"p","end":1795272308852,"ids":["r"],"onConflict":"skip","start":"2026-11-21T10:00","zone":"Europe/Berlin"}`,
		},
		{"found", with("slot.find", `{"lengthMs":1800000,"from":"2026-11-21T10:00","to":1795272308852,"limit":"payload[0]"}`), `[7]`, `{"pool":"p","from":"2026-11-21T10:00","lengthMs":1800000,"limit":7,"to":1795272308852}`},
		{"listed", with("slot.list", `{"from":"payload.a","to":"payload.b"}`), `{"a":1,"b":2}`, `{"pool":"p","from":1,"to":2}`},
		{"moved", with("slot.move", `{"booking":"payload.b","token":"payload.t","item":"payload.room","following":"payload.all"}`, alone), `{"b":1,"t":2,"room":7,"all":true}`, `{"booking":1,"following":true,"item":"7","token":2}`},
		{"cancelled", with("slot.cancel", `{"booking":"payload.b","token":"payload.t"}`, alone), `{"b":1,"t":2}`, `{"booking":1,"token":2}`},

		{"a lease of two", with("lease.acquire", `{"want":[{"pool":"phones"},{"pool":"rooms","ids":"payload.room","start":"payload.from","end":"payload.to"}],"priority":"payload.p"}`, alone), `{"room":"r","from":1,"to":2,"p":9}`,
			`{"priority":9,"want":[{"pool":"phones"},{"end":2,"ids":["r"],"pool":"rooms","start":1}]}`},
		{"renewed by number", with("lease.renew", `{"lease":"payload.lease","token":"payload.token"}`, alone), `{"lease":1,"token":2}`, `{"lease":1,"token":2}`},
		{"listed on", with("pool.list", `{"cursor":"payload"}`, func(v *Verb) { v.Limit = 5 }), `7`, `{"pool":"p","limit":5,"cursor":"7"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.verb.Compile(); err != nil {
				t.Fatal(err)
			}
			got, err := test.verb.Payload([]byte(test.payload))
			if err != nil {
				got = []byte(err.Error())
			}
			if string(got) != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestVerbWithRefused(t *testing.T) {
	const aText = `, or a path such as payload.`
	for _, test := range []struct {
		op, with, key, want string
		set                 func(*Verb)
	}{
		{"hold.create", `{`, "with", `with is not JSON`, nil},
		{"hold.create", `"payload"`, "with", `with is "payload": want an object, such as {seats: payload.seats}: the payload of hold.create`, nil},
		{"hold.create", `{}`, "with", `with has none of seats, qty and best, and hold.create needs one: say where it is, as in with: {seats: payload.seats}`, nil},
		{"hold.create", `{"seat":"payload"}`, "with", `with has seat, which hold.create has not: there are best, onDisconnect, owner, priority, qty, seats, select and ttlMs`, nil},
		{"hold.create", `{"qty":1,"best":{"m":2}}`, "with", `with.best has m: there are only n and split`, nil},
		{"hold.create", `{"qty":1,"pool":"payload.pool"}`, "with", `with has pool: that stands beside with`, nil},
		{"hold.create", `{"qty":1,"waitMs":"payload.wait"}`, "with", `with has waitMs: that stands beside with`, nil},
		{"hold.create", `{"qty":1,"ttlMs":5}`, "with", `with.ttlMs is 5: a length that is always the same stands beside with, as in ttl: 10m`, nil},
		{"hold.create", `{"qty":1,"owner":"x"}`, "with", `with has owner, and owner is set beside it: take one of them out`, func(v *Verb) { v.Owner = "y" }},
		{"hold.create", `{"qty":1}`, "pool", `pool is not set: name the pool that it is about`, func(v *Verb) { v.Pool = "" }},
		{"hold.create", `{"qty":1}`, "waitMs", `waitMs is 15001: want 0 to 15000, since clients that wait for a verb give up after 20 s`, func(v *Verb) { v.WaitMs = new(int64(15_001)) }},
		{"hold.create", `{"qty":1}`, "onDisconnect", `onDisconnect is for lease.acquire, not for hold.create: move it into with`, func(v *Verb) { v.OnDisconnect = "keep" }},
		{"hold.create", `{"qty":"x"}`, "with", `with.qty is "x": want a whole number, in digits and below 2^53` + aText + `qty`, nil},
		{"hold.create", `{"qty":1.5}`, "with", `with.qty is 1.5: want a whole number, in digits and below 2^53` + aText + `qty`, nil},
		{"hold.create", `{"qty":0}`, "with", `with.qty is 0: want 1 to 9007199254740991`, nil},
		{"hold.create", `{"qty":null}`, "with", `with.qty has no value: take it out, or say which`, nil},
		{"hold.create", `{"best":[1]}`, "with", `with.best is [1]: want an object` + aText + `best`, nil},
		{"hold.create", `{"best":{"n":2,"split":"yes"}}`, "with", `with.best.split is "yes": want true or false` + aText + `split`, nil},
		{"hold.create", `{"seats":{"a":1}}`, "with", `with.seats is {"a":1}: want a text, or a list of texts`, nil},
		{"hold.create", `{"seats":["payload.a]"]}`, "with", `with.seats has "payload.a]", which is no path: there is a ']' too much`, nil},
		{"hold.create", `{"qty":1,"select":{"":"a"}}`, "with", `with.select has a label without a name`, nil},
		{"hold.create", `{"qty":1,"priority":1001}`, "with", `with.priority is 1001: want -1000 to 1000`, nil},
		{"hold.create", `{"qty":1,"onDisconnect":"dirty"}`, "with", `with.onDisconnect is "dirty": want keep or release`, nil},
		{"hold.create", `{"seats":[]}`, "with", `with.seats is empty: take it out, or say which`, nil},
		{"hold.create", `{"seats":["A1","="]}`, "with", `with.seats is empty: take it out, or say which`, nil},
		{"hold.create", `{"qty":1,"select":{"a":[]}}`, "with", `with.select.a is empty: take it out, or say which`, nil},
		{"hold.void", `{"hold":1,"token":2,"seats":[]}`, "with", `with.seats is empty: take it out, or say which`, func(v *Verb) { v.Pool = "" }},
		{"hold.void", `{"hold":0,"token":2}`, "with", `with.hold is 0: want 1 or more`, func(v *Verb) { v.Pool = "" }},
		{"hold.create", `{"qty":1,"owner":""}`, "with", `with.owner is empty: take it out, or say which`, nil},

		{"hold.confirm", ``, "item", `item is not set: say where the payload names the item: payload, or payload.ip`, nil},
		{"hold.confirm", ``, "ttl", `ttl is for lease.acquire, lease.renew, hold.create and hold.extend, not for hold.confirm`, func(v *Verb) { v.Item, v.TTLMs = "payload", 5 }},
		{"hold.confirm", `{"ttlMs":"payload"}`, "with", `with has ttlMs, which hold.confirm has not: there are hold, seats and token`, func(v *Verb) { v.Item = "payload" }},
		{"hold.confirm", `{"hold":"payload.hold"}`, "with", `with has no token, which hold.confirm needs: say where it is, as in with: {token: payload.token}`, func(v *Verb) { v.Pool = "" }},
		{"hold.confirm", `{"hold":1,"token":2}`, "pool", `pool is set, but what hold.confirm is about is named by number and token: take it out`, nil},
		{"hold.confirm", `{"token":2}`, "with", `with has token, and item says which one is meant: take one of them out`, func(v *Verb) { v.Item = "payload" }},
		{"hold.void", `{"seats":["A1"]}`, "with", `with has seats, and item says which one is meant: take one of them out`, func(v *Verb) { v.Item = "payload" }},
		{"hold.void", `{"hold":1,"token":2,"seats":[7]}`, "with", `with.seats[0] is 7: a seat is its ID, or an object with id, pool and qty, not 7` + aText + `seats`, func(v *Verb) { v.Pool = "" }},
		{"hold.void", `{"hold":1,"token":2,"seats":[{"ID":"payload"}]}`, "with", `with.seats[0] has ID: there are only id, pool and qty`, func(v *Verb) { v.Pool = "" }},
		{"hold.void", `{"hold":1,"token":2,"seats":[{"id":"a","qty":-1}]}`, "with", `with.seats[0].qty is -1: want 1 to 9007199254740991`, func(v *Verb) { v.Pool = "" }},
		{"sale.refund", `{"to":"sold"}`, "with", `with.to is "sold": want available or withheld`, func(v *Verb) { v.Item = "payload" }},
		{"hold.extend", `{"ttlMs":"payload.ms"}`, "with", `with has ttlMs, and ttl is set beside it: take one of them out`, func(v *Verb) { v.Item, v.TTLMs = "payload", 5 }},

		{"slot.book", `{"start":"payload.start"}`, "with", `with has no end, which slot.book needs: say where it is, as in with: {end: payload.end}`, nil},
		{"slot.book", `{"start":"now","end":"payload"}`, "with", `with.start: "now" is not a time: `, nil},
		{"slot.book", `{"start":true,"end":"payload"}`, "with", `with.start is true: a time is milliseconds since 1970, or a text such as 2026-11-21T10:00 or 2026-11-21T10:00:00+01:00, not true` + aText + `start`, nil},
		{"slot.book", `{"start":{"ms":"payload"},"end":"payload"}`, "with", `with.start is {"ms":"payload"}: a time is milliseconds`, nil},
		{"slot.book", `{"start":1,"end":2,"zone":"Europe/Bonn"}`, "with", `with.zone: there is no zone "Europe/Bonn": want an IANA name such as Europe/Berlin`, nil},
		{"slot.book", `{"start":1,"end":2,"onConflict":"x"}`, "with", `with.onConflict is "x": want fail, skip or report`, nil},
		{"slot.book", `{"start":1,"end":2}`, "waitMs", `waitMs is for lease.acquire and hold.create, not for slot.book`, func(v *Verb) { v.WaitMs = new(int64) }},
		{"slot.book", `{"start":1,"end":2}`, "ids", `ids is for lease.acquire, not for slot.book: move it into with`, func(v *Verb) { v.IDs = []string{"a"} }},
		{"slot.find", `{"from":1,"to":2}`, "with", `with has no lengthMs, which slot.find needs: say where it is, as in with: {lengthMs: payload.lengthMs}`, nil},
		{"slot.find", `{"from":1,"to":2,"lengthMs":5,"limit":1001}`, "with", `with.limit is 1001: want 1 to 1000`, nil},
		{"slot.list", `{"from":1,"to":2,"lengthMs":5}`, "with", `with has lengthMs, which slot.list has not: there are count, cursor, from, ids, limit, open, select, to and zone`, nil},
		{"slot.move", `{"booking":1,"token":2}`, "with", `with has none of start, end and item, and slot.move needs one: say where it is, as in with: {start: payload.start}`, func(v *Verb) { v.Pool = "" }},
		{"slot.move", `{"booking":1,"token":2}`, "item", `item is for lease.renew, lease.release, hold.extend, hold.confirm, hold.void and sale.refund, not for slot.move: move it into with`, func(v *Verb) { v.Item = "payload" }},
		{"slot.cancel", `{"booking":1,"token":2}`, "pool", `pool is set, but what slot.cancel is about is named by number and token: take it out`, nil},
		{"slot.cancel", ``, "with", `with has no booking, which slot.cancel needs: say where it is, as in with: {booking: payload.booking}`, func(v *Verb) { v.Pool = "" }},

		{"lease.acquire", `{"want":[{"pool":"p"}]}`, "with", `with has want, which says what is wanted: take out pool, count, select and ids beside it`, nil},
		{"lease.acquire", `{"want":[{"pool":"p","best":"good"}]}`, "with", `with.want[0].best is "good": want together or split`, func(v *Verb) { v.Pool = "" }},
		{"lease.release", `{"outcome":"lost"}`, "with", `with.outcome is "lost": want clean, dirty or broken`, func(v *Verb) { v.Item = "payload" }},
		{"pool.stats", `{"x":1}`, "with", `with has x, and pool.stats wants no more than the pool: take with out`, nil},
		{"pool.fill", `{"items":["a"]}`, "verb", `verb is "pool.fill": want hold.confirm, `, nil},
	} {
		v := Verb{Name: "own", Op: test.op, Pool: "p"}
		if test.with != "" {
			v.With = json.RawMessage(test.with)
		}
		if test.set != nil {
			test.set(&v)
		}
		err := v.Compile()
		wrong, ok := errors.AsType[*VerbError](err)
		cut := strings.HasSuffix(test.want, ": ") || strings.HasSuffix(test.want, ", ") || strings.HasSuffix(test.want, "is milliseconds")
		if !ok || wrong.Key != test.key || wrong.Message != test.want && !(cut && strings.HasPrefix(wrong.Message, test.want)) {
			t.Errorf("%s %s:\ngot  %+v\nwant %s: %s", test.op, test.with, err, test.key, test.want)
		}
	}
}

// Whatever is compiled makes an object, or says what is wrong with the payload.
func FuzzVerbPayload(f *testing.F) {
	f.Add("hold.create", []byte(`{"seats":["a","payload.seats"],"best":{"n":"payload.n"},"select":{"zone":"payload.zone"}}`), []byte(`{"seats":["A1",7],"n":2.50,"zone":null}`))
	f.Add("slot.book", []byte(`{"start":"payload[0]","end":"payload[1]","ids":"payload"}`), []byte(`["2026-11-21T10:00",1]`))
	f.Add("hold.void", []byte(`{"hold":"payload.a","token":"payload","seats":["payload.x",{"id":"=a","qty":"payload"}]}`), []byte(`3`))
	f.Fuzz(func(t *testing.T, op string, with, payload []byte) {
		v := Verb{Name: "own", Op: op, With: with}
		if v.Compile() != nil {
			v.Pool = "p"
			if v.Compile() != nil {
				return
			}
		}
		made, err := v.Payload(payload)
		if err != nil {
			if _, ok := errors.AsType[*pool.Error](err); !ok {
				t.Fatalf("%s of %q in %q: %v", op, with, payload, err)
			}
			return
		}
		if made != nil && (!json.Valid(made) || made[0] != '{') {
			t.Fatalf("%s of %q in %q makes %q", op, with, payload, made)
		}
		if err := v.blame(payload); err != nil {
			if _, ok := errors.AsType[*pool.Error](err); !ok {
				t.Fatal(err)
			}
		}
	})
}

// cinemaAndRooms has own names for seats and rooms, as an operator writes them for clients that know no holds and bookings.
func cinemaAndRooms(t testing.TB) Config {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	pools := []Pool{
		{Spec: pool.Spec{Name: "cinema", Kind: pool.Stock}, Items: slices.Values([]pool.ItemSpec{
			{ID: "A1", Row: 1, Col: 1}, {ID: "A2", Row: 1, Col: 2}, {ID: "A3", Row: 1, Col: 3}, {ID: "floor", Quantity: 5},
		})},
		{Spec: pool.Spec{Name: "rooms", Kind: pool.Calendar}, Zone: berlin, Items: slices.Values([]pool.ItemSpec{{ID: "room-1"}, {ID: "room-2"}})},
	}
	text := func(s string) json.RawMessage { return json.RawMessage(s) }
	return Config{Pools: pools, Verbs: []Verb{
		{Name: "holdSeat", Op: "hold.create", Pool: "cinema", TTLMs: 600_000, WaitMs: new(int64), Owner: "payload.who", With: text(`{"seats":"payload.seat","qty":"payload.n"}`), Result: text(`{"seat":"seats[0].id","n":"seats[0].qty"}`)},
		{Name: "bestSeats", Op: "hold.create", Pool: "cinema", WaitMs: new(int64), With: text(`{"best":{"n":"payload.n"}}`), Result: text(`{"hold":"hold","token":"token","first":"seats[0].id"}`)},
		{Name: "awaitSeat", Op: "hold.create", Pool: "cinema", With: text(`{"seats":["payload"]}`), Result: text(`{"seat":"seats[0].id"}`)},
		{Name: "keepSeat", Op: "hold.extend", Pool: "cinema", Item: "payload", TTLMs: 900_000, Result: text(`{"expiresAt":"expiresAt"}`)},
		{Name: "paySeat", Op: "hold.confirm", Pool: "cinema", Item: "payload", Result: text(`{"sold":"seats[0].id","seats":"seats"}`)},
		{Name: "payOne", Op: "hold.confirm", Pool: "cinema", Item: "payload.seat", With: text(`{"seats":["payload.seat"]}`), Result: text(`{"seats":"seats"}`)},
		{Name: "payHold", Op: "hold.confirm", With: text(`{"hold":"payload.hold","token":"payload.token"}`), Result: text(`{"sale":"sale","first":"seats[0].id"}`)},
		{Name: "dropSeat", Op: "hold.void", Pool: "cinema", Item: "payload", Result: text(`{"ok":"=yes","n":"voided"}`)},
		{Name: "refundSeat", Op: "sale.refund", Pool: "cinema", Item: "payload.seat", With: text(`{"to":"payload.to"}`), Result: text(`{"n":"refunded"}`)},
		{Name: "seats", Op: "pool.stats", Pool: "cinema", Result: text(`{"free":"free","held":"leased","sold":"sold","withheld":"withheld"}`)},

		{
			Name: "bookRoom", Op: "slot.book", Pool: "rooms", Owner: "payload.who",
			With:   text(`{"ids":"payload.room","start":"payload.from","end":"payload.to","rrule":"payload.again","onConflict":"payload.else","count":1}`),
			Result: text(`{"booking":"booking","token":"token","room":"items[0].id","start":"items[0].start","times":"items","taken":"conflicts[0].id"}`),
		},
		{Name: "bookLocal", Op: "slot.book", Pool: "rooms", With: text(`{"ids":"=room-2","start":"payload[0]","end":"payload[1]","zone":"America/New_York"}`), Result: text(`{"start":"items[0].start"}`)},
		{Name: "moveRoom", Op: "slot.move", With: text(`{"booking":"payload.booking","token":"payload.token","start":"payload.from","item":"payload.room"}`), Result: text(`{"room":"items[0].id","start":"items[0].start"}`)},
		{Name: "cancelRoom", Op: "slot.cancel", With: text(`{"booking":"payload.booking","token":"payload.token"}`), Result: text(`{"ok":"cancelled"}`)},
		{Name: "freeRooms", Op: "slot.find", Pool: "rooms", With: text(`{"lengthMs":"payload.ms","from":"payload.from","to":"payload.to"}`), Result: text(`{"zone":"zone","first":"free[0].id","from":"free[0].start","second":"free[1].id"}`)},
		{Name: "roomPlan", Op: "slot.list", Pool: "rooms", With: text(`{"ids":"payload.room","from":"payload.from","to":"payload.to"}`), Result: text(`{"zone":"zone","who":"booked[0].owner","start":"booked[0].start","next":"booked[1].id"}`)},
	}}
}

// Seats, a room and a phone are taken together by one name, and confirmed, renewed and released by number and token.
func TestVerbTakesOfEachKind(t *testing.T) {
	cfg := cinemaAndRooms(t)
	cfg.Pools = append(cfg.Pools, items("phones", 1))
	text := func(s string) json.RawMessage { return json.RawMessage(s) }
	cfg.Verbs = []Verb{
		{
			Name: "evening", Op: "lease.acquire", TTLMs: 60_000, WaitMs: new(int64), Owner: "payload.who",
			With:   text(`{"want":[{"pool":"cinema","count":"payload.n","best":"together"},{"pool":"rooms","start":"payload.from","end":"payload.to"},{"pool":"phones"}],"priority":"payload.p"}`),
			Result: text(`{"id":"lease","token":"token","seat":"items[1].id","room":"items[2].id","phone":"items[3].id"}`),
		},
		{Name: "take", Op: "lease.acquire", WaitMs: new(int64), With: text(`{"want":"payload.want"}`)},
		{Name: "confirm", Op: "hold.confirm", With: text(`{"hold":"payload.id","token":"payload.token"}`), Result: text(`{"sold":"seats[1].id"}`)},
		{Name: "renew", Op: "lease.renew", TTLMs: 120_000, With: text(`{"lease":"payload.id","token":"payload.token"}`)},
		{Name: "release", Op: "lease.release", With: text(`{"lease":"payload.id","token":"payload.token","outcome":"payload.how"}`)},
	}
	s := start(t, cfg)
	c := dial(t, s.addr)
	from := time.Now().Add(24 * time.Hour).Truncate(time.Hour).UnixMilli()
	got := into[struct {
		ID, Token         uint64
		Seat, Room, Phone string
	}](t, c.call("evening", fmt.Sprintf(`{"n":2,"from":%d,"to":%d,"p":3}`, from, from+3600_000)))
	if got.Seat != "A2" || got.Room != "room-1" || got.Phone != "1" {
		t.Fatalf("got %+v", got)
	}
	id := fmt.Sprintf(`"id":%d,"token":%d`, got.ID, got.Token)
	if f := c.call("renew", "{"+id+"}"); into[wire.Renewed](t, f).ExpiresAt < time.Now().Add(time.Minute).UnixMilli() {
		t.Fatalf("got %+v %s", f, f.ResultJob)
	}
	if f := c.call("confirm", "{"+id+"}"); string(f.ResultJob) != `{"sold":"A2"}` {
		t.Fatalf("got %+v %s", f, f.ResultJob)
	}
	c.fails("bad_payload", "release", "{"+id+`,"how":"lost"}`)
	c.fails("bad_payload", "release", `{"id":1}`)
	if f := c.call("release", "{"+id+`,"how":"dirty"}`); into[wire.Released](t, f).Released != 1 {
		t.Fatalf("got %+v %s", f, f.ResultJob)
	}
	if cinema, phones := c.stats("cinema"), c.stats("phones"); cinema.Sold != 2 || phones.Dirty != 1 {
		t.Fatalf("got %+v and %+v", cinema, phones)
	}
	c.fails("bad_payload", "take", `{}`)
	if f := c.fails("bad_payload", "take", `{"want":"phones"}`); f.Err != `payload.want is "\"phones\"": want an array` {
		t.Fatal(f.Err)
	}
	c.fails("not_found", "take", `{"want":[{"pool":"phone"}]}`)
	if l := into[wire.Lease](t, c.call("take", `{"want":[{"pool":"cinema"}]}`)); len(l.Items) != 1 {
		t.Fatalf("got %+v", l)
	}
}

// says asks for something and wants one answer.
func (s *speaker) says(request, want string) {
	s.t.Helper()
	s.ask(request)
	got := told(s.read())
	if s.codec.Name() == "crab" {
		got = strings.Replace(got, " rev 0 ", " ", 1)
	} else if _, rest, ok := strings.Cut(got, " rev "); ok {
		_, result, _ := strings.Cut(rest, " ")
		got = got[:strings.Index(got, " rev ")] + " " + result
	}
	if got != want {
		s.t.Fatalf("%s\ngot  %s\nwant %s", request, got, want)
	}
}

func inEachCodec(t *testing.T, test func(t *testing.T, s *served, first, second *speaker)) {
	for _, c := range []codec.Codec{codec.JSON{}, codec.Crab{}, codec.Binary{}} {
		t.Run(c.Name(), func(t *testing.T) {
			s := start(t, cinemaAndRooms(t))
			test(t, s, speak(t, s.addr, c), speak(t, s.addr, c))
		})
	}
}

// Seats are held, paid for and refunded by their names, over any connection.
func TestVerbsSellSeats(t *testing.T) {
	inEachCodec(t, func(t *testing.T, s *served, first, second *speaker) {
		first.says(`holdSeat {"seat":"A1","who":"olga"}`, `< holdSeat {"seat":"A1","n":0}`)
		second.says(`holdSeat {"seat":"A1"}`, `< holdSeat none_free: `+inTheWay(t, s, `{"pool":"cinema","seats":["A1"]}`))
		second.says(`keepSeat "A1"`, `< keepSeat {"expiresAt":T}`)
		second.says(`paySeat "A1"`, `< paySeat {"sold":"A1","seats":[{"pool":"cinema","id":"A1"}]}`)
		second.says(`paySeat "A1"`, `< paySeat already_resolved: item "A1" of pool cinema is sold: nobody holds it for a time any more`)
		first.says(`seats`, `< seats {"free":7,"held":0,"sold":1,"withheld":0}`)
		first.says(`refundSeat {"seat":"A1","to":"withheld"}`, `< refundSeat {"n":1}`)
		first.says(`refundSeat {"seat":"A2"}`, `< refundSeat conflict: seat "A2" of pool cinema is not sold: it is available`)
		first.says(`refundSeat {"seat":"A2","to":"me"}`, `< refundSeat bad_payload: to is "me": want available or withheld`)

		// As many as the payload says, and numbers are numbers.
		first.says(`holdSeat {"seat":"floor","n":3}`, `< holdSeat {"seat":"floor","n":3}`)
		first.says(`holdSeat {"seat":"floor","n":"3"}`, `< holdSeat bad_payload: payload.n is "\"3\"": want a whole number, in digits and below 2^53`)
		first.says(`holdSeat {}`, `< holdSeat bad_payload: payload of hold.create: seats, qty or best is needed, to say what is to be held`)
		first.says(`seats`, `< seats {"free":4,"held":3,"sold":0,"withheld":1}`)

		// A hold is paid for as a whole, or one seat of it, or by number and token.
		first.says(`holdSeat {"seat":["A2","A3"]}`, `< holdSeat {"seat":"A2","n":0}`)
		second.says(`payOne {"seat":"A3"}`, `< payOne {"seats":[{"pool":"cinema","id":"A3"}]}`)
		second.says(`dropSeat "A2"`, `< dropSeat conflict: nobody holds item "A2" of pool cinema: it is available`)
		second.says(`refundSeat {"seat":"A3"}`, `< refundSeat {"n":1}`)
		first.says(`holdSeat {"seat":["A2","A3"]}`, `< holdSeat {"seat":"A2","n":0}`)
		second.says(`dropSeat "A2"`, `< dropSeat {"ok":"yes","n":1}`)
		second.says(`paySeat "A3"`, `< paySeat {"sold":"A3","seats":[{"pool":"cinema","id":"A3"}]}`)
		second.says(`refundSeat {"seat":"A3"}`, `< refundSeat {"n":1}`)
		first.ask(`bestSeats {"n":2}`)
		var hold wire.Hold
		if err := json.Unmarshal(first.read().Payload, &hold); err != nil || hold.Hold == 0 {
			t.Fatalf("%+v, %v", hold, err)
		}
		second.says(fmt.Sprintf(`payHold {"hold":%d,"token":%d}`, hold.Hold, hold.Token+1), fmt.Sprintf(`< payHold stale_token: %d is not the token of hold %d`, hold.Token+1, hold.Hold))
		second.says(`payHold {"hold":1}`, `< payHold bad_payload: payload of payHold: hold and token are needed, as hold.create gave them`)
		second.says(fmt.Sprintf(`payHold {"hold":%d,"token":%d}`, hold.Hold, hold.Token), fmt.Sprintf(`< payHold {"sale":%d,"first":"A2"}`, hold.Hold))
	})
}

// inTheWay returns the error of a hold.create that can not be.
func inTheWay(t *testing.T, s *served, payload string) string {
	t.Helper()
	f := dial(t, s.addr).call("hold.create", payload)
	f.wants(t, "none_free")
	return f.Err
}

// A verb waits for a seat, as long as old clients do, and gets it when somebody else gives it back by name.
func TestVerbWaitsForSeat(t *testing.T) {
	inEachCodec(t, func(t *testing.T, s *served, first, second *speaker) {
		first.says(`holdSeat {"seat":"A2"}`, `< holdSeat {"seat":"A2","n":0}`)
		second.ask(`awaitSeat "A2"`)
		looker := dial(t, s.addr)
		looker.waiting("cinema", 1)
		first.says(`dropSeat "A2"`, `< dropSeat {"ok":"yes","n":1}`)
		if f := second.read(); string(f.Payload) != `{"seat":"A2"}` {
			t.Fatalf("got %+v %s", f, f.Payload)
		}
		if st := looker.stats("cinema"); st.Leased != 1 || st.Free != 7 || st.Waiting != 0 {
			t.Fatalf("got %+v", st)
		}
	})
}

// Rooms are booked, moved, shown and cancelled by own names, in local times.
func TestVerbsBookRooms(t *testing.T) {
	inEachCodec(t, func(t *testing.T, _ *served, first, second *speaker) {
		berlin, _ := time.LoadLocation("Europe/Berlin")
		day := time.Now().In(berlin).AddDate(0, 0, 7)
		at := func(hour int) (string, int64) {
			local := time.Date(day.Year(), day.Month(), day.Day(), hour, 0, 0, 0, berlin)
			return local.Format("2006-01-02T15:04"), local.UnixMilli()
		}
		ten, tenMs := at(10)
		eleven, elevenMs := at(11)
		twelve, twelveMs := at(12)
		first.ask(fmt.Sprintf(`bookRoom {"room":"room-1","from":%q,"to":%d,"who":"olga"}`, ten, elevenMs))
		var booked struct {
			Booking, Token uint64
			Room           string
			Start          int64
			Times          []wire.Item
			Taken          *string
		}
		f := first.read()
		if err := json.Unmarshal(f.Payload, &booked); err != nil || booked.Room != "room-1" || booked.Start != tenMs || len(booked.Times) != 1 || booked.Taken != nil {
			t.Fatalf("%+v %s, %v", f, f.Payload, err)
		}
		second.ask(fmt.Sprintf(`bookRoom {"room":"room-1","from":%q,"to":%q}`, ten, twelve))
		if f := second.read(); f.Err.Code != codec.Conflict {
			t.Fatalf("got %+v", f)
		}
		second.says(fmt.Sprintf(`bookRoom {"room":"room-1","from":%q}`, ten), `< bookRoom bad_payload: end is needed: milliseconds since 1970, or a text such as 2026-11-21T10:00`)
		second.says(fmt.Sprintf(`bookRoom {"room":"room-1","from":true,"to":%q}`, ten),
			`< bookRoom bad_payload: payload.from is "true": a time is milliseconds since 1970, or a text such as 2026-11-21T10:00 or 2026-11-21T10:00:00+01:00, not true`)
		second.says(fmt.Sprintf(`bookLocal [%q,%q]`, ten, eleven), fmt.Sprintf(`< bookLocal {"start":%d}`, inNewYork(t, ten)))

		second.says(fmt.Sprintf(`roomPlan {"room":"room-1","from":%q,"to":%q}`, ten, twelve), fmt.Sprintf(`< roomPlan {"zone":"Europe/Berlin","who":"olga","start":%d,"next":null}`, tenMs))
		second.says(fmt.Sprintf(`freeRooms {"ms":3600000,"from":%q,"to":%q}`, ten, twelve),
			fmt.Sprintf(`< freeRooms {"zone":"Europe/Berlin","first":"room-1","from":%d,"second":"room-2"}`, elevenMs))
		number := fmt.Sprintf(`"booking":%d,"token":%d`, booked.Booking, booked.Token)
		second.says(fmt.Sprintf(`moveRoom {%s,"from":%q,"room":"room-2"}`, number, twelve), fmt.Sprintf(`< moveRoom {"room":"room-2","start":%d}`, twelveMs))
		second.says(`moveRoom {`+number+`}`, `< moveRoom bad_payload: payload of slot.move: start, end or item is needed, to say what is to change`)
		second.ask(`cancelRoom {` + number + `}`)
		if f := second.read(); string(f.Payload) != `{"ok":1}` {
			t.Fatalf("got %+v %s", f, f.Payload)
		}
		first.ask(fmt.Sprintf(`bookRoom {"room":["room-1","room-2"],"from":%q,"to":%q,"again":"FREQ=DAILY;COUNT=3","else":"report"}`, ten, eleven))
		f = first.read()
		if err := json.Unmarshal(f.Payload, &booked); err != nil || len(booked.Times) == 0 {
			t.Fatalf("%+v %s, %v", f, f.Payload, err)
		}
	})
}

func inNewYork(t *testing.T, local string) int64 {
	t.Helper()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02T15:04", local, zone)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMilli()
}
