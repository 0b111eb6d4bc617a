package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/serve"
)

// write writes files into a directory of their own, which becomes the working one. They alternate: name, text.
func write(t testing.TB, files ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for i := 0; i < len(files); i += 2 {
		if err := os.MkdirAll(filepath.Dir(files[i]), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[i], []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t *testing.T, files ...string) *Config {
	t.Helper()
	write(t, files...)
	c, err := Load(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEverySetting(t *testing.T) {
	got := load(t, "kassa.yaml", `
holdAndWait: refuse
grace: 0s
keyRetention: 1h30m
pools:
  zebra:
    kind: lease
    strategy: random
    ttl: 90s
    ttlMax: 48h
    lifetimeMax: 72h
    expiring: 1500ms
    waitMax: 5s
    waitersMax: 7
    quota: 8
    onExpiry: dirty
    onDisconnect: release
    quarantineAfter: 9
    seed: 18446744073709551615
    items: [a]
  17: {items: }
  ape:
  cinema: {kind: stock, waitMax: 4s}
  rooms: {kind: calendar}
verbs:
  take:
    verb: lease.acquire
    pool: zebra
    count: 2
    select: {os: ios, country: [de, payload.country], version: 16}
    ids: payload.ids
    owner: payload.who
    strategy: lru
    priority: -5
    onDisconnect: dirty
    waitMs: 0
    ttl: 48h
    result: {ip: "items[0].id", n: [1, 2.50, true, null]}
  wait: {verb: lease.acquire, pool: zebra}
  more: {verb: lease.renew, pool: zebra, item: payload.ip, ttl: 1m}
  back: {verb: lease.release, pool: zebra, item: payload, outcome: broken}
  show: {verb: pool.list, limit: 10}
  count: {verb: pool.stats, pool: "17", result: {free: free}}
  hold: {verb: hold.create, pool: cinema, with: {best: payload.best}}
  buy: {verb: hold.confirm, pool: cinema, item: payload.seat}
  book: {verb: slot.book, pool: rooms, owner: payload.who, with: {start: payload.from, end: payload.to}}
`)
	want := &Config{
		HoldAndWait: Refuse, Grace: 0, KeyRetention: 90 * time.Minute,
		Pools: []Pool{
			{
				Spec: pool.Spec{
					Name: "zebra", Kind: pool.Lease, Strategy: pool.Random, OnExpiry: pool.Dirty, OnDisconnect: pool.ReleaseOnEnd,
					TTLMs: 90_000, TTLMaxMs: 48 * 3600_000, LifetimeMaxMs: 72 * 3600_000, ExpiringMs: 1500, WaitMaxMs: 5000,
					WaitersMax: 7, QuotaMax: 8, QuarantineAfter: 9, Seed: 1<<64 - 1,
				},
				Items: []pool.ItemSpec{{ID: "a"}},
			},
			{Spec: pool.Spec{Name: "17"}},
			{Spec: pool.Spec{Name: "ape"}},
			{Spec: pool.Spec{Name: "cinema", Kind: pool.Stock, WaitMaxMs: 4000}},
			{Spec: pool.Spec{Name: "rooms", Kind: pool.Calendar}, Zone: time.UTC},
		},
		Verbs: []serve.Verb{
			{
				Name: "take", Op: "lease.acquire", Pool: "zebra", Count: 2,
				Select: map[string][]string{"os": {"ios"}, "country": {"de", "payload.country"}, "version": {"16"}},
				IDs:    []string{"payload.ids"}, Owner: "payload.who", Strategy: "lru", Priority: -5, OnDisconnect: "dirty",
				WaitMs: new(int64), TTLMs: 48 * 3600_000, Result: json.RawMessage(`{"ip":"items[0].id","n":[1,2.50,true,null]}`),
			},
			{Name: "wait", Op: "lease.acquire", Pool: "zebra", WaitMs: new(int64(5000))},
			{Name: "more", Op: "lease.renew", Pool: "zebra", Item: "payload.ip", TTLMs: 60_000},
			{Name: "back", Op: "lease.release", Pool: "zebra", Item: "payload", Outcome: "broken"},
			{Name: "show", Op: "pool.list", Limit: 10},
			{Name: "count", Op: "pool.stats", Pool: "17", Result: json.RawMessage(`{"free":"free"}`)},
			{Name: "hold", Op: "hold.create", Pool: "cinema", WaitMs: new(int64(4000)), With: json.RawMessage(`{"best":"payload.best"}`)},
			{Name: "buy", Op: "hold.confirm", Pool: "cinema", Item: "payload.seat"},
			{Name: "book", Op: "slot.book", Pool: "rooms", Owner: "payload.who", With: json.RawMessage(`{"start":"payload.from","end":"payload.to"}`)},
		},
	}
	for i := range want.Verbs {
		if err := want.Verbs[i].Compile(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range min(len(got.Verbs), len(want.Verbs)) {
		if !reflect.DeepEqual(got.Verbs[i], want.Verbs[i]) {
			t.Errorf("verb %d:\ngot  %+v\nwant %+v", i, got.Verbs[i], want.Verbs[i])
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDefaults(t *testing.T) {
	got := load(t, "kassa.yaml", "pools: {p: }\nverbs:\n")
	want := &Config{HoldAndWait: Allow, Grace: 10 * time.Second, KeyRetention: 10 * time.Minute, Pools: []Pool{{Spec: pool.Spec{Name: "p"}}}, Verbs: []serve.Verb{}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// show writes items as text.
func show(items []pool.ItemSpec) string {
	var b strings.Builder
	for _, item := range items {
		labels, _ := json.Marshal(item.Labels)
		fmt.Fprintf(&b, "%s %s %s\n", item.ID, labels, item.Attrs)
	}
	return strings.ReplaceAll(b.String(), "null", "-")
}

func TestItems(t *testing.T) {
	c := load(t, "kassa.yaml", `
pools:
  p:
    ids: [p-08..p-10, single, p1.example:80..p2.example:80]
    items:
      - 0x1F
      - {id: 1.50, labels: {n: 1_0.0, yes: true, day: 2026-01-02, empty: "", text: 'a: b'}}
      - id: x
        attrs:
          host: "<a> & \"b\""
          ports: [1, 0x1F, 1.50, 1.5e3, +1.5, -7]
          on: true
          off: ~
          text: |
            two
            lines
          big: 18446744073709551615
      - {id: y, attrs: null, labels: {}}
    file: more/p.csv
  q:
    file: q.jsonl
`, "more/p.csv", "\uFEFFid, label.country ,host,note\n\"é\",,10.0.0.1,\"a, \"\"b\"\"\"\n\ntwo ,de,10.0.0.2,\r\nthree,\"de\",,\n",
		"q.jsonl", "\uFEFF\"a\"\r\n\n"+
			`  {"id":17, "labels":{"a":"b","n":1.50,"t":true}, "attrs":{ "x" : [1, "<"] } }`+"\n"+
			`{"id":"é","attrs":null,"labels":null}`+"\n"+
			`"\u0062"`)
	want := []string{`p-08 - 
p-09 - 
p-10 - 
single - 
p1.example:80 - 
p2.example:80 - 
0x1F - 
1.50 {"day":"2026-01-02","empty":"","n":"1_0.0","text":"a: b","yes":"true"} 
x - {"host":"<a> & \"b\"","ports":[1,31,1.50,1.5e3,1.5,-7],"on":true,"off":-,"text":"two\nlines\n","big":18446744073709551615}
y - 
é - {"host":"10.0.0.1","note":"a, \"b\""}
two {"country":"de"} {"host":"10.0.0.2"}
three {"country":"de"} 
`, `a - 
17 {"a":"b","n":"1.50","t":"true"} {"x":[1,"<"]}
é - 
b - 
`}
	for i, p := range c.Pools {
		if got := show(p.Items); got != want[i] {
			t.Errorf("pool %s:\n%s\nwant:\n%s", p.Spec.Name, got, want[i])
		}
	}
}

// Items with the same labels share a map, with other labels they do not.
func TestSharedLabels(t *testing.T) {
	var s items
	for i, labels := range []map[string]string{{"a": "b"}, {"a": "b"}, {"a": "\x01a\x01b"}, {"a": "b", "c": "d"}, {"c": "d", "a": "b"}, {"a": "", "b": ""}} {
		labels["a"] = strings.ReplaceAll(labels["a"], "\x01", "1")
		if err := s.add(pool.ItemSpec{ID: fmt.Sprint(i), Labels: labels}, place{}); err != nil {
			t.Fatal(err)
		}
	}
	of := func(i int) uintptr { return reflect.ValueOf(s.list[i].Labels).Pointer() }
	if of(0) != of(1) || of(3) != of(4) || len(s.labels) != 4 {
		t.Errorf("%d sets of labels: %v", len(s.labels), s.labels)
	}
}

func TestExample(t *testing.T) {
	c, err := Load(filepath.Join("..", "..", "kassad", "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name, first, last string
		kind              pool.Kind
		items             int
	}{{"proxies", "proxy-01", "proxy-50", "", 50}, {"phones", "pixel-1", "iphone-1", "", 3}, {"cinema", "A1", "L20", pool.Stock, 240}, {"rooms", "room-1", "room-6", pool.Calendar, 6}}
	if len(c.Pools) != len(want) || len(c.Verbs) != 4 {
		t.Fatalf("%d pools, %d verbs", len(c.Pools), len(c.Verbs))
	}
	for i, w := range want {
		p := &c.Pools[i]
		n := len(p.Items)
		if p.Spec.Name != w.name || p.Spec.Kind != w.kind || n != w.items || p.Items[0].ID != w.first || p.Items[n-1].ID != w.last {
			t.Errorf("pool %d: %+v, %d items", i, p.Spec, n)
		}
	}
	cinema, rooms := &c.Pools[2], &c.Pools[3]
	if s := &cinema.Spec; s.FocusRow != 800 || s.FocusCol != 1100 || cinema.Items[239].Row != 12 || cinema.Items[239].Col != 21 {
		t.Errorf("focus %d, %d; the last seat %+v", s.FocusRow, s.FocusCol, cinema.Items[239])
	}
	day := time.Date(2026, 7, 1, 0, 0, 0, 0, rooms.Zone)
	at := func(hour int) int64 { return day.Add(time.Duration(hour) * time.Hour).UnixMilli() }
	if rooms.Zone.String() != "Europe/Berlin" || !rooms.Hours.Open(at(7), at(22)) || rooms.Hours.Open(at(6), at(8)) {
		t.Errorf("%s, %+v", rooms.Zone, rooms.Hours)
	}
	if got := string(c.Pools[1].Items[0].Attrs); got != `{"host":"10.0.4.11","port":5555}` {
		t.Error(got)
	}
}

// What a million items take.
func BenchmarkMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("it takes seconds")
	}
	const n = 1_000_000
	var list, rows, lines strings.Builder
	rows.WriteString("id,label.country,host\n")
	for i := range n {
		fmt.Fprintf(&rows, "proxy-%07d,%s,10.%d.%d.%d\n", i, []string{"de", "fr", "us"}[i%3], i>>16, i>>8&255, i&255)
		fmt.Fprintf(&lines, `{"id":"proxy-%07d","labels":{"country":"%s"},"attrs":{"host":"10.%d.%d.%d"}}`+"\n", i, []string{"de", "fr", "us"}[i%3], i>>16, i>>8&255, i&255)
	}
	for i := range 50_000 {
		fmt.Fprintf(&list, "      - {id: proxy-%07d, labels: {country: de}}\n", i)
	}
	write(b, "ids.yaml", "pools: {p: {ids: proxy-0000000..proxy-0999999}}", "csv.yaml", "pools: {p: {file: p.csv}}", "lines.yaml", "pools: {p: {file: p.jsonl}}",
		"p.csv", rows.String(), "p.jsonl", lines.String(), "50000.yaml", "pools:\n  p:\n    items:\n"+list.String())
	for _, name := range []string{"ids", "csv", "lines", "50000"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				c, err := Load(name + ".yaml")
				if err != nil {
					b.Fatal(err)
				}
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.Sys-before.Sys)/1e6, "MB-grown")
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
				runtime.KeepAlive(c)
			}
		})
	}
}
