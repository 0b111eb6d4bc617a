package serve

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

func compiled(t testing.TB, v Verb) *Verb {
	t.Helper()
	if v.Name == "" {
		v.Name = "own"
	}
	if v.Pool == "" {
		v.Pool = "proxies"
	}
	if err := v.Compile(); err != nil {
		t.Fatal(err)
	}
	return &v
}

func TestVerbAcquire(t *testing.T) {
	full := Verb{
		Op: "lease.acquire", Count: 2, Strategy: "lru", Priority: 3, OnDisconnect: "keep", TTLMs: 5, WaitMs: new(int64(7)), Owner: "payload.who",
		Select: map[string][]string{"os": {"ios", "=payload.x"}, "country": {"payload.countries"}},
		IDs:    []string{"a", "payload.ids"},
	}
	for _, test := range []struct {
		name    string
		verb    Verb
		payload string
		want    string // the request, or the error
	}{
		{"nothing said", Verb{Op: "lease.acquire"}, ``, `{"want":[{"pool":"proxies"}],"waitMs":15000}`},
		{"0", Verb{Op: "lease.acquire", Count: 1}, `0`, `{"want":[{"pool":"proxies","count":1}],"waitMs":15000}`},
		{
			"all said", full, `{"who":"w","countries":["de",7],"ids":"b"}`,
			`{"want":[{"pool":"proxies","count":2,"select":{"country":["de","7"],"os":["ios","payload.x"]},"ids":["a","b"]}],` +
				`"owner":"w","ttlMs":5,"waitMs":7,"strategy":"lru","priority":3,"onDisconnect":"keep"}`,
		},
		{
			"nothing where the paths lead", full, `{"countries":[],"ids":null}`,
			`{"want":[{"pool":"proxies","count":2,"select":{"os":["ios","payload.x"]},"ids":["a"]}],"ttlMs":5,"waitMs":7,"strategy":"lru","priority":3,"onDisconnect":"keep"}`,
		},
		{"deep", Verb{Op: "lease.acquire", IDs: []string{`payload.a[1]["b.c"]`}}, `{"a":[0,{"b.c":true}]}`, `{"want":[{"pool":"proxies","ids":["true"]}],"waitMs":15000}`},
		{"an array", Verb{Op: "lease.acquire", IDs: []string{`payload[1]`}}, ` ["x", "y"]`, `{"want":[{"pool":"proxies","ids":["y"]}],"waitMs":15000}`},
		{"an object", full, `{"countries":{"a":1}}`, `bad_payload: payload.countries is "{\"a\":1}": want a string, or an array of strings`},
		{"null in an array", full, `{"countries":[null]}`, `bad_payload: payload.countries is "[null]": want a string, or an array of strings`},
		{"owner", full, `{"who":[]}`, `bad_payload: payload.who is "[]": want a string`},
		{"no JSON", full, `{"who"`, `bad_payload: the payload is not JSON: unexpected end of JSON input`},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := compiled(t, test.verb).Acquire([]byte(test.payload))
			got, _ := json.Marshal(a)
			if err != nil {
				got = []byte(err.Error())
			}
			if string(got) != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestVerbItem(t *testing.T) {
	for _, test := range []struct{ item, outcome, payload, id, how string }{
		{"payload", "", `"proxy-07"`, "proxy-07", "clean"},
		{"payload", "dirty", `7.0`, "7.0", "dirty"},
		{"payload.ip", "payload.state", `{"ip":"a","state":"broken"}`, "a", "broken"},
		{"payload.ip", "payload.state", `{"ip":"\u00e9"}`, "é", "clean"},
		{"payload.ip", "payload.state", `{"ip":"a","state":"x"}`, "a", `bad_payload: payload.state is "x": want clean, dirty or broken`},
		{"payload.ips[0]", "payload.state", `{"ips":["a"],"state":[]}`, "a", `bad_payload: payload.state is "[]": want a string`},
		{"payload.ip", "", `"a"`, "bad_payload: payload.ip is absent or empty: it names the item", "clean"},
		{"payload", "", ``, "bad_payload: payload is absent or empty: it names the item", "clean"},
		{"payload", "", `""`, "bad_payload: payload is absent or empty: it names the item", "clean"},
		{"payload", "", `"`, "bad_payload: the payload is not JSON", "clean"},
		{"payload", "", `{"ip":"a"}`, `bad_payload: payload is "{\"ip\":\"a\"}": want a string`, "clean"},
		{"=payload", "=dirty", `0`, "payload", "dirty"},
	} {
		v := compiled(t, Verb{Op: "lease.release", Item: test.item, Outcome: test.outcome})
		id, err := v.ItemOf([]byte(test.payload))
		if err != nil {
			id = err.Error()
		}
		how, err := v.OutcomeOf([]byte(test.payload))
		if err != nil {
			how = pool.Outcome(err.Error())
		}
		if id != test.id || string(how) != test.how {
			t.Errorf("%s, %s of %s: got %s, %s, want %s, %s", test.item, test.outcome, test.payload, id, how, test.id, test.how)
		}
	}
}

var granted = wire.Lease{
	Lease: 17, Token: 18, ExpiresAt: -1,
	Items: []wire.Item{
		{Pool: "p", ID: `a "b" <🦀>`, Labels: wire.Labels{"country": "de", "a.b": "c"}, Attrs: json.RawMessage("{\"host\": \"h\",\n\"ports\": [1, 2.50]}")},
		{Pool: "p", ID: "b"},
	},
}

func TestVerbResult(t *testing.T) {
	for _, test := range []struct {
		op, template string
		result       any
		want         string
	}{
		{"lease.acquire", ``, wire.Lease{Lease: 1, Items: []wire.Item{}}, `{"lease":1,"token":0,"expiresAt":0,"items":[]}`},
		{"lease.acquire", `{"ip":"items[0].id"}`, granted, `{"ip":"a \"b\" <🦀>"}`},
		{"lease.acquire", ` { "a" : "=ok", "": [ "lease", {"t": "token"}, "expiresAt", 1.50, true, null, {}, [] ] , "<" : "==" }`, &granted, `{"a":"ok","":[17,{"t":18},-1,1.50,true,null,{},[]],"<":"="}`},
		{"lease.acquire", `{"a":"items[0].attrs.ports[1]","b":"items[0].attrs.no.such","c":"items[0].attrs[0]","d":"items[1].attrs","e":"items[1].attrs.x","f":"items[2].id"}`, &granted, `{"a":2.50,"b":null,"c":null,"d":null,"e":null,"f":null}`},
		{"lease.acquire", `{"a":"items[0].attrs","b":"items[0].labels.country","c":"items[0].labels[\"a.b\"]","d":"items[0].labels.x","e":"items[1].labels.x","f":"items[1].labels"}`, granted,
			`{"a":{"host":"h","ports":[1,2.50]},"b":"de","c":"c","d":null,"e":null,"f":null}`},
		{"lease.acquire", `{"all":"items","one":"items[1]"}`, wire.Lease{Items: granted.Items[1:]}, `{"all":[{"pool":"p","id":"b"}],"one":null}`},
		{"lease.release", `{"ok":true,"n":"released"}`, wire.Released{Released: 1}, `{"ok":true,"n":1}`},
		{"lease.renew", `{"until":"expiresAt"}`, wire.Renewed{ExpiresAt: 5}, `{"until":5}`},
		{"pool.stats", `{"free":"free","n":"granted"}`, &wire.PoolStats{Free: 3, Granted: 1 << 63}, `{"free":3,"n":9223372036854775808}`},
		{"pool.list", `{"x":"items[0].draining","n":"items[0].attrs"}`, wire.PoolPage{Items: []wire.ItemState{{Draining: true, Attrs: json.RawMessage(`7`)}}}, `{"x":true,"n":7}`},
	} {
		v := Verb{Op: test.op, Result: json.RawMessage(test.template)}
		if test.template == "" {
			v.Result = nil
		}
		if strings.HasSuffix(test.op, "renew") || strings.HasSuffix(test.op, "release") {
			v.Item = "payload"
		}
		got, err := compiled(t, v).AppendResult([]byte("> "), test.result)
		if err != nil || string(got) != "> "+test.want {
			t.Errorf("%s: got %s, %v\nwant %s", test.template, got, err, test.want)
		}
	}
	v := compiled(t, Verb{Op: "lease.acquire", Result: json.RawMessage(`{"a":"lease"}`)})
	for _, wrong := range []any{nil, wire.Released{}, (*wire.Lease)(nil)} {
		if got, err := v.AppendResult(nil, wrong); err == nil {
			t.Errorf("of a %T: %s", wrong, got)
		}
	}
}

func TestVerbCompile(t *testing.T) {
	acquire := Verb{Name: "own", Op: "lease.acquire", Pool: "p"}
	release := Verb{Name: "own", Op: "lease.release", Pool: "p", Item: "payload"}
	with := func(v Verb, change func(*Verb)) Verb {
		change(&v)
		return v
	}
	result := func(text string) Verb { return with(acquire, func(v *Verb) { v.Result = json.RawMessage(text) }) }
	for _, test := range []struct {
		verb      Verb
		key, want string
	}{
		{with(acquire, func(v *Verb) { v.Name = "" }), "", "the name of a verb has 1 to 128 bytes, not 0"},
		{with(acquire, func(v *Verb) { v.Name = "a\n" }), "", `the name of a verb, "a\n", holds control characters or is not UTF-8`},
		{with(acquire, func(v *Verb) { v.Name = "slot.find" }), "", "the server has slot.find itself: choose another name"},
		{with(acquire, func(v *Verb) { v.Op = "" }), "verb", `verb is "": want hold.confirm, hold.create, hold.extend, hold.void, lease.acquire, lease.release, lease.renew, ` +
			`pool.list, pool.stats, sale.refund, slot.book, slot.cancel, slot.find, slot.list or slot.move`},
		{with(acquire, func(v *Verb) { v.Pool = "" }), "pool", "pool is not set: name the pool that it is about"},
		{with(acquire, func(v *Verb) { v.Count = -1 }), "count", "count is -1: want 1 to 1024"},
		{with(acquire, func(v *Verb) { v.Priority = 1001 }), "priority", "priority is 1001: want -1000 to 1000"},
		{with(acquire, func(v *Verb) { v.TTLMs = -1 }), "ttl", "ttl is -1 ms: want 1 or more"},
		{with(acquire, func(v *Verb) { v.WaitMs = new(int64(15001)) }), "waitMs", "waitMs is 15001: want 0 to 15000, since clients that wait for a verb give up after 20 s"},
		{with(acquire, func(v *Verb) { v.Item = "payload" }), "item", "item is for lease.renew, lease.release, hold.extend, hold.confirm, hold.void and sale.refund, not for lease.acquire"},
		{with(acquire, func(v *Verb) { v.Strategy = "x" }), "strategy", `strategy is "x": want first, lru or random`},
		{with(acquire, func(v *Verb) { v.OnDisconnect = "x" }), "onDisconnect", `onDisconnect is "x": want keep, release or dirty`},
		{with(acquire, func(v *Verb) { v.Select = map[string][]string{"": {"a"}} }), "select", "select has a label without a name"},
		{with(acquire, func(v *Verb) { v.Select = map[string][]string{"a": {"payload."}} }), "select", `select has "payload.", which is no path: a name is missing`},
		{with(acquire, func(v *Verb) { v.IDs = []string{"payload["} }), "ids", `ids has "payload[", which is no path: a ] is missing`},
		{with(acquire, func(v *Verb) { v.Owner = "payload[0]x" }), "owner", `owner has "payload[0]x", which is no path: behind ] comes . or [`},
		{with(release, func(v *Verb) { v.Item = "" }), "item", "item is not set: say where the payload names the item: payload, or payload.ip"},
		{with(release, func(v *Verb) { v.Item = "=" }), "item", `item is "=": want where the payload names the item, payload or payload.ip, or = and an ID`},
		{with(release, func(v *Verb) { v.Outcome = "x" }), "outcome", `outcome is "x": want clean, dirty or broken`},
		{Verb{Name: "own", Op: "pool.list", Limit: 1001}, "limit", "limit is 1001: want 1 to 1000"},
		{result(``), "result", "result is not JSON"},
		{result(`["lease"]`), "result", `result is ["lease"]: want an object, such as {id: "items[0].id"}, since old clients get nothing else`},
		{result(`{"a":{"b":["x]"]}}`), "result", `result.a.b[0] is "x]": there is a ']' too much (a text of its own is written "=x]")`},
		{result(`{"a":""}`), "result", `result.a is "": a name is missing (a text of its own is written "=")`},
		{result(`{"a":"lease.x"}`), "result", `result.a is "lease.x": lease is no object (a text of its own is written "=lease.x")`},
		{result(`{"a":"lease[0]"}`), "result", `result.a is "lease[0]": lease is no array (a text of its own is written "=lease[0]")`},
		{result(`{"a":"items[0].id[\"\"]"}`), "result", `result.a is "items[0].id[\"\"]": in [] stands a number, or a name such as ["a.b"] (a text of its own is written "=items[0].id[\"\"]")`},
		{result(`{"a":{"type":"=fine"},"type":1}`), "result", "result has a member type, which old clients do not get: choose another name"},
	} {
		err := test.verb.Compile()
		wrong, ok := errors.AsType[*VerbError](err)
		if !ok || wrong.Key != test.key || wrong.Message != test.want {
			t.Errorf("got  %+v\nwant %s: %s", err, test.key, test.want)
		}
	}
}

// Results are JSON in one line, whatever the template is. Compiling again makes no difference.
func FuzzVerbTemplate(f *testing.F) {
	f.Add([]byte(`{"ip":"items[0].id","a":["=x",1.50,null,{"type":"items[0].attrs.ports[1]"}]}`))
	f.Add([]byte(`{"a":"items[0].labels[\"a.b\"]","b":"items","c":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v := Verb{Name: "own", Op: "lease.acquire", Pool: "p", Result: text}
		if v.Compile() != nil {
			return
		}
		got, err := v.AppendResult(nil, granted)
		if err != nil || !json.Valid(got) || got[0] != '{' || strings.ContainsRune(string(got), '\n') {
			t.Fatalf("%q makes %q, %v", text, got, err)
		}
		if err := v.Compile(); err != nil {
			t.Fatalf("%q: compiled again: %v", text, err)
		}
		if again, _ := v.AppendResult(nil, granted); string(again) != string(got) {
			t.Fatalf("%q makes %q, then %q", text, got, again)
		}
	})
}

// A path is found in a payload, or it is not; nothing else happens.
func FuzzVerbPath(f *testing.F) {
	f.Add("payload.ips[0]", []byte(`{"ips":["a"]}`))
	f.Add(`payload["a.b"][1].c`, []byte(`{"a.b":[0,{"c":1.50}]}`))
	f.Add("payload", []byte(` "x" `))
	f.Fuzz(func(t *testing.T, path string, payload []byte) {
		v := Verb{Name: "own", Op: "lease.release", Pool: "p", Item: path, Outcome: path}
		if v.Compile() == nil {
			id, err := v.ItemOf(payload)
			if (id == "") != (err != nil) {
				t.Fatalf("%q in %q: %q, %v", path, payload, id, err)
			}
			if _, err := v.OutcomeOf(payload); err != nil {
				if _, ok := errors.AsType[*pool.Error](err); !ok {
					t.Fatal(err)
				}
			}
		}
		v = Verb{Name: "own", Op: "lease.acquire", Pool: "p", IDs: []string{path}, Select: map[string][]string{"a": {path}}}
		if v.Compile() == nil {
			a, err := v.Acquire(payload)
			if _, jsonErr := json.Marshal(a); jsonErr != nil || err == nil && len(a.Want) != 1 {
				t.Fatalf("%q in %q: %+v, %v", path, payload, a, jsonErr)
			}
		}
	})
}

func BenchmarkVerb(b *testing.B) {
	get := compiled(b, Verb{Op: "lease.acquire", Count: 1, Select: map[string][]string{"country": {"payload.country"}}, Result: json.RawMessage(`{"ip":"items[0].id","host":"items[0].attrs.host"}`)})
	back := compiled(b, Verb{Op: "lease.release", Item: "payload"})
	b.Run("acquire", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := get.Acquire([]byte(`{"country":"de"}`)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("result", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			var err error
			if buf, err = get.AppendResult(buf[:0], &granted); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("item", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := back.ItemOf([]byte(`"proxy-07"`)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
