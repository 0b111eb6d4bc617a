package config

import (
	"fmt"
	"strings"
	"testing"
)

// What is wrong in a file is said with its place, and with what to do.
func TestBadFiles(t *testing.T) {
	const p = "pools:\n  p:\n"
	const verb = "pools: {proxies: {ttlMax: 1h, waitMax: 5s}}\nverbs:\n  get:\n"
	for _, test := range []struct {
		name, yaml, want string
	}{
		{"empty", "", `k.yaml is empty: write pools: and below it, indented, a name with its settings`},
		{"only comments", "# nothing\n", `k.yaml is empty: write pools: and below it, indented, a name with its settings`},
		{"not a mapping", "pools\n", `k.yaml:1:1: the file is "pools": want names and values, as in name: value`},
		{"a list", "- pools\n", `k.yaml:1:1: the file is a list: want names and values, as in name: value`},
		{"bad YAML", "pools:\n  p: [1\n", `k.yaml:2:6: sequence end token ']' not found`},
		{"tab", "pools:\n\tp:\n", `k.yaml:2:1: found character '	' that cannot start any token`},
		{"a key twice", "grace: 1s\ngrace: 2s\n", `k.yaml:2:1: mapping key "grace" already defined at [1:1]`},
		{"a pool twice", "pools:\n  p:\n  q:\n  p:\n", `k.yaml:4:3: mapping key "p" already defined at [2:3]`},
		{"two documents", "pools: {p: }\n---\npools: {q: }\n", `k.yaml:3:1: this is a second document: take out the --- before it`},
		{"no pools", "grace: 1s\n", `k.yaml has no pools: write pools: and below it, indented, a name with its settings`},
		{"pools empty", "pools:\n", `k.yaml:1:8: pools is empty: write below it, indented, a name with its settings`},
		{"pools a list", "pools: [a]\n", `k.yaml:1:8: pools is a list: want names and values, as in name: value`},
		{"unknown at the top", "pols: {p: }\n", `k.yaml:1:1: the file can have no "pols": did you mean pools?`},
		{"unknown, far off", "pools: {p: }\nxyz: 1\n", `k.yaml:2:1: the file can have no "xyz": there are holdAndWait, grace, keyRetention, pools and verbs`},
		{"unknown in a pool", p + "    tll: 60s\n", `k.yaml:3:5: pools.p can have no "tll": did you mean ttl?`},
		{"case of a key", p + "    ttlmax: 60s\n", `k.yaml:3:5: pools.p can have no "ttlmax": did you mean ttlMax?`},
		{"anchor", "pools:\n  p: &a {ttl: 1s}\n  q: *a\n", `k.yaml:2:6: pools.p uses &, which is not read here: write it out`},
		{"merge", p + "    <<: {ttl: 1s}\n", `k.yaml:3:5: a name in pools.p uses <<, which is not read here: write it out`},
		{"tag", p + "    seed: !!int 1\n", `k.yaml:3:11: pools.p.seed uses !!int, which is not read here: write it out`},
		{"hold and wait", "holdAndWait: maybe\n", `k.yaml:1:14: holdAndWait is "maybe": want allow or refuse`},
		{"grace", "grace: 10\n", `k.yaml:1:8: grace is "10": want a length of time in whole milliseconds, such as 500ms, 60s or 24h`},
		{"negative", "grace: -1s\n", `k.yaml:1:8: grace is "-1s": want a length of time in whole milliseconds, such as 500ms, 60s or 24h`},
		{"microseconds", p + "    ttl: 1500us\n", `k.yaml:3:10: pools.p.ttl is "1500us": want a length of time in whole milliseconds, such as 500ms, 60s or 24h`},
		{"ttl", p + "    ttl: 60\n", `k.yaml:3:10: pools.p.ttl is "60": want a length of time in whole milliseconds, such as 500ms, 60s or 24h`},
		{"ttl in days", p + "    ttl: 1d\n", `k.yaml:3:10: pools.p.ttl is "1d": want a length of time in whole milliseconds, such as 500ms, 60s or 24h`},
		{"ttl zero", p + "    ttl: 0s\n", `k.yaml:3:10: pools.p.ttl is "0s": want 1ms or more`},
		{"ttl null", p + "    ttl:\n", `k.yaml:3:10: pools.p.ttl has no value: want a length of time in whole milliseconds, such as 500ms, 60s or 24h`},
		{"ttl a list", p + "    ttl: [1s]\n", `k.yaml:3:10: pools.p.ttl is a list: want a length of time in whole milliseconds, such as 500ms, 60s or 24h`},
		{"ttl over its maximum", p + "    ttl: 2h\n    ttlMax: 1h\n", `k.yaml:2:3: pool "p": the TTL, 7200000 ms, is over its maximum, 3600000 ms`},
		{"ttl over any maximum", p + "    ttl: 10000h\n", `k.yaml:2:3: pool "p": ttl is 36000000000: want 0 to 31622400000`},
		{"kind", p + "    kind: seats\n", `k.yaml:3:11: pools.p.kind is "seats": want lease, stock or calendar`},
		{"strategy", p + "    strategy: fifo\n", `k.yaml:3:15: pools.p.strategy is "fifo": want first, lru or random`},
		{"on expiry", p + "    onExpiry: broken\n", `k.yaml:3:15: pools.p.onExpiry is "broken": want clean or dirty`},
		{"on disconnect", p + "    onDisconnect: drop\n", `k.yaml:3:19: pools.p.onDisconnect is "drop": want keep, release or dirty`},
		{"quota", p + "    quota: -1\n", `k.yaml:3:12: pools.p.quota is "-1": want a whole number, 0 or more`},
		{"waiters", p + "    waitersMax: 0\n", `k.yaml:3:17: pools.p.waitersMax is "0": want a whole number, 1 or more`},
		{"waiters, too many", p + "    waitersMax: 1000001\n", `k.yaml:2:3: pool "p": waitersMax is 1000001: want 0 to 1000000`},
		{"quarantine", p + "    quarantineAfter: 2.5\n", `k.yaml:3:22: pools.p.quarantineAfter is "2.5": want a whole number, 1 or more`},
		{"seed", p + "    seed: 18446744073709551616\n", `k.yaml:3:11: pools.p.seed is "18446744073709551616": want a whole number, 0 or more`},
		{"name of a pool", "pools: {\"a\\nb\": }\n", `k.yaml:1:9: the name of a pool, "a\nb", holds control characters, U+FFFD or what is not UTF-8`},
		{"range turned around", p + "    ids: a-9..a-1\n", `k.yaml:3:10: pools.p.ids has "a-9..a-1": 9 comes after 1: turn them around`},
		{"range of two numbers", p + "    ids: a1-1..a2-2\n", `k.yaml:3:10: pools.p.ids has "a1-1..a2-2": the first and the last ID must differ in one number and nothing else, as in proxy-01..proxy-50`},
		{"range without a number", p + "    ids: a..b\n", `k.yaml:3:10: pools.p.ids has "a..b": the first and the last ID must differ in one number and nothing else, as in proxy-01..proxy-50`},
		{"range of one end", p + "    ids: [x, a-1..]\n", `k.yaml:3:14: pools.p.ids has "a-1..": want the first and the last ID, as in proxy-01..proxy-50`},
		{"range with other zeros", p + "    ids: a-01..a-100\n", `k.yaml:3:10: pools.p.ids has "a-01..a-100": 01 and 100 have zeros in front, but not the same number of digits`},
		{"range, huge", p + "    ids: 1..99999999999\n", `k.yaml:3:10: pools.p.ids has "1..99999999999": it has more than 10000000 IDs`},
		{"range, digits", p + "    ids: 1..99999999999999999999\n", `k.yaml:3:10: pools.p.ids has "1..99999999999999999999": the number has too many digits`},
		{"ids null", p + "    ids:\n", `k.yaml:3:10: pools.p.ids has no value: want a text`},
		{"ids null in a list", p + "    ids: [~]\n", `k.yaml:3:11: pools.p.ids has no value: want a text`},
		{"items twice", p + "    ids: a-1..a-3\n    items:\n      - b\n      - id: a-2\n", `k.yaml:6:9: item "a-2" is there twice, first at k.yaml:3:10: take one of them out`},
		{"items no list", p + "    items: a\n", `k.yaml:3:12: pools.p.items is "a": want a list`},
		{"item no item", p + "    items: [[a]]\n", `k.yaml:3:13: pools.p.items[0] is a list: want an ID, or {id: …, labels: …, attrs: …}`},
		{"item without id", p + "    items:\n      - labels: {a: b}\n", `k.yaml:4:9: pools.p.items[0] has no id: give it one`},
		{"item unknown key", p + "    items:\n      - id: a\n        label: {a: b}\n", `k.yaml:5:9: pools.p.items[0] can have no "label": did you mean labels?`},
		{"item empty", p + "    items: ['']\n", `k.yaml:3:13: the ID of an item is empty`},
		{"item long", p + "    items: ['" + strings.Repeat("x", 257) + "']\n", `k.yaml:3:13: the ID of an item has 257 bytes, 256 at most are allowed`},
		{"item control", p + "    items: [\"a\\tb\"]\n", `k.yaml:3:13: the ID of an item, "a\tb", holds control characters, U+FFFD or what is not UTF-8`},
		{"label null", p + "    items:\n      - {id: a, labels: {b: }}\n", `k.yaml:4:28: pools.p.items[0].labels.b has no value: want a text, a number, true or false`},
		{"label a list", p + "    items:\n      - {id: a, labels: {b: [c]}}\n", `k.yaml:4:29: pools.p.items[0].labels.b is a list: want a text, a number, true or false`},
		{"labels a list", p + "    items:\n      - {id: a, labels: [c]}\n", `k.yaml:4:25: pools.p.items[0].labels is a list: want names and values, as in name: value`},
		{"attrs not JSON", p + "    items:\n      - {id: a, attrs: {b: [.nan]}}\n", `k.yaml:4:29: pools.p.items[0].attrs.b is ".nan": want what JSON has: a text, a finite number, true, false, null, a list, or names and values`},
		{"file, none", p + "    file: q.csv\n", `k.yaml:3:11: pools.p.file: open q.csv: no such file or directory`},
		{"file, no such kind", p + "    file: q.txt\n", `k.yaml:3:11: pools.p.file is "q.txt": want the name of a file that ends with .csv or .jsonl`},
		{"not UTF-8", p + "    ids: \xff\n", `k.yaml:3: this is not UTF-8`},
		{"CSV not UTF-8", p + "    file: q.csv\n=== q.csv\nid,a\nx,\xff\n", `q.csv:2: column a is not UTF-8`},
		{"JSON not UTF-8", p + "    file: q.jsonl\n=== q.jsonl\n\"\xff\"\n", `q.jsonl:1: this is not UTF-8`},
		{"CSV empty", p + "    file: q.csv\n=== q.csv\n", `q.csv is empty: it begins with a line that names the columns, such as id,label.country,host`},
		{"CSV without id", p + "    file: q.csv\n=== q.csv\nname,ip\n", `q.csv:1: no column is named id: the first line names the columns, such as id,label.country,host, and here they are "name,ip"`},
		{"CSV with semicolons", p + "    file: q.csv\n=== q.csv\nid;ip\n", `q.csv:1: columns are separated by commas`},
		{"CSV labels", p + "    file: q.csv\n=== q.csv\nid,labels.a\n", `q.csv:1: column labels.a: the columns of labels are named label.NAME`},
		{"CSV column twice", p + "    file: q.csv\n=== q.csv\nid,a,a\n", `q.csv:1: column a is there twice`},
		{"CSV column without name", p + "    file: q.csv\n=== q.csv\nid,,a\n", `q.csv:1: column 2 has no name`},
		{"CSV columns", p + "    file: q.csv\n=== q.csv\nid,a\nx,1\ny,1,2\n", `q.csv:3: there are 3 columns, the first line names 2: put text with commas in double quotes`},
		{"CSV quote", p + "    file: q.csv\n=== q.csv\nid,a\nx,1\"2\n", `q.csv:2:4: bare " in non-quoted-field`},
		{"CSV without an ID", p + "    file: q.csv\n=== q.csv\nid,a\n,1\n", `q.csv:2: the ID of an item is empty`},
		{"CSV twice", p + "    file: q.csv\n=== q.csv\nid\nx\n\nx\n", `q.csv:4: item "x" is there twice, first at q.csv:2: take one of them out`},
		{"CSV and YAML", p + "    file: q.csv\n    items: [x]\n=== q.csv\nid\nx\n", `k.yaml:4:13: item "x" is there twice, first at q.csv:2: take one of them out`},
		{"JSON", p + "    file: q.jsonl\n=== q.jsonl\n\"a\"\n{\"id\":\n", `q.jsonl:2: this is not JSON, at byte 6 of the line: unexpected end of JSON input`},
		{"JSON list", p + "    file: q.jsonl\n=== q.jsonl\n[\"a\"]\n", `q.jsonl:1: this is "[\"a\"]": want an ID, as in "proxy-01", or {"id":"proxy-01","labels":{…},"attrs":…}`},
		{"JSON null", p + "    file: q.jsonl\n=== q.jsonl\nnull\n", `q.jsonl:1: this is "null": want an ID, as in "proxy-01", or {"id":"proxy-01","labels":{…},"attrs":…}`},
		{"JSON unknown key", p + "    file: q.jsonl\n=== q.jsonl\n{\"ID\":\"a\"}\n", `q.jsonl:1: an item can have no "ID": did you mean id?`},
		{"JSON without id", p + "    file: q.jsonl\n=== q.jsonl\n{}\n", `q.jsonl:1: the item has no id: give it one`},
		{"JSON labels", p + "    file: q.jsonl\n=== q.jsonl\n{\"id\":\"a\",\"labels\":[\"b\"]}\n", `q.jsonl:1: labels is "[\"b\"]": want names and values, as in {"country":"de"}`},
		{"JSON label", p + "    file: q.jsonl\n=== q.jsonl\n{\"id\":\"a\",\"labels\":{\"b\":null}}\n", `q.jsonl:1: label b is "null": want a text, a number, true or false`},
		{"JSON twice", p + "    file: q.jsonl\n=== q.jsonl\n\"a\"\n{\"id\":\"a\"}\n", `q.jsonl:2: item "a" is there twice, first at q.jsonl:1: take one of them out`},
		{"verb, none", verb + "    pool: proxies\n", `k.yaml:3:3: verbs.get has no verb: say what it does, as in verb: lease.acquire`},
		{"verb, unknown", verb + "    verb: lease.aquire\n    pool: proxies\n", `k.yaml:4:11: verbs.get: verb is "lease.aquire": want hold.confirm, hold.create, hold.extend, hold.void, lease.acquire, lease.release, lease.renew, pool.list, pool.stats, sale.refund, slot.book, slot.cancel, slot.find, slot.list or slot.move`},
		{"verb without pool", verb + "    verb: lease.acquire\n", `k.yaml:3:3: verbs.get: pool is not set: name the pool that it is about`},
		{"verb, pool", verb + "    verb: lease.acquire\n    pool: proxie\n", `k.yaml:5:11: verbs.get.pool: there is no pool "proxie": did you mean proxies?`},
		{"verb, key", verb + "    verb: lease.acquire\n    pool: proxies\n    wait: 5\n", `k.yaml:6:5: verbs.get can have no "wait": did you mean waitMs?`},
		{"verb, setting of another", verb + "    verb: lease.release\n    pool: proxies\n    item: payload\n    count: 2\n", `k.yaml:7:12: verbs.get: count is for lease.acquire, not for lease.release`},
		{"verb, count", verb + "    verb: lease.acquire\n    pool: proxies\n    count: 2000\n", `k.yaml:6:12: verbs.get: count is 2000: want 1 to 1024`},
		{"verb, count zero", verb + "    verb: lease.acquire\n    pool: proxies\n    count: 0\n", `k.yaml:6:12: verbs.get.count is "0": want a whole number, 1 or more`},
		{"verb, wait", verb + "    verb: lease.acquire\n    pool: proxies\n    waitMs: 6000\n", `k.yaml:6:13: verbs.get.waitMs is over the waitMax of pool proxies, 5s: raise that, or take less`},
		{"verb, wait too long", "pools: {p: }\nverbs:\n  get: {verb: lease.acquire, pool: p, waitMs: 15001}\n", `k.yaml:3:47: verbs.get: waitMs is 15001: want 0 to 15000, since clients that wait for a verb give up after 20 s`},
		{"verb, wait as a time", verb + "    verb: lease.acquire\n    pool: proxies\n    waitMs: 5s\n", `k.yaml:6:13: verbs.get.waitMs is "5s": want a whole number, 0 or more`},
		{"verb, priority", verb + "    verb: lease.acquire\n    pool: proxies\n    priority: high\n", `k.yaml:6:15: verbs.get.priority is "high": want a whole number`},
		{"verb, ttl", verb + "    verb: lease.acquire\n    pool: proxies\n    ttl: 2h\n", `k.yaml:6:10: verbs.get.ttl is over the ttlMax of pool proxies, 1h0m0s: raise that, or take less`},
		{"verb, ttl of the default", "pools: {p: }\nverbs:\n  get: {verb: lease.acquire, pool: p, ttl: 25h}\n", `k.yaml:3:44: verbs.get.ttl is over the ttlMax of pool p, 24h0m0s: raise that, or take less`},
		{"verb, strategy", verb + "    verb: lease.acquire\n    pool: proxies\n    strategy: best\n", `k.yaml:6:15: verbs.get: strategy is "best": want first, lru or random`},
		{"verb, item", verb + "    verb: lease.release\n    pool: proxies\n    item: ip\n", `k.yaml:6:11: verbs.get: item is "ip": want where the payload names the item, payload or payload.ip, or = and an ID`},
		{"verb, no item", verb + "    verb: lease.release\n    pool: proxies\n", `k.yaml:3:3: verbs.get: item is not set: say where the payload names the item: payload, or payload.ip`},
		{"verb, path", verb + "    verb: lease.release\n    pool: proxies\n    item: payload.ips[x]\n", `k.yaml:6:11: verbs.get: item has "payload.ips[x]", which is no path: in [] stands a number up to 1048575, or a name such as ["a.b"]`},
		{"verb, outcome", verb + "    verb: lease.release\n    pool: proxies\n    item: payload\n    outcome: dirt\n", `k.yaml:7:14: verbs.get: outcome is "dirt": want clean, dirty or broken`},
		{"verb, select", verb + "    verb: lease.acquire\n    pool: proxies\n    select: {a: }\n", `k.yaml:6:16: verbs.get.select.a has no value: want a text`},
		{"verb, select empty", verb + "    verb: lease.acquire\n    pool: proxies\n    select: {a: []}\n", `k.yaml:6:13: verbs.get: select has no value for label a`},
		{"verb, result", verb + "    verb: lease.acquire\n    pool: proxies\n    result: {ip: 'items[0].name'}\n", `k.yaml:6:13: verbs.get: result.ip is "items[0].name": items[0] has no name, but pool, id, labels, attrs, qty, start and end (a text of its own is written "=items[0].name")`},
		{"verb, result array", verb + "    verb: lease.acquire\n    pool: proxies\n    result: {a: [items.id]}\n", `k.yaml:6:13: verbs.get: result.a[0] is "items.id": items is an array: want items[0] before .id (a text of its own is written "=items.id")`},
		{"verb, result text", verb + "    verb: lease.acquire\n    pool: proxies\n    result: {a: ok}\n", `k.yaml:6:13: verbs.get: result.a is "ok": the result of lease.acquire has no ok, but lease, token, expiresAt and items (a text of its own is written "=ok")`},
		{"verb, result no object", verb + "    verb: lease.acquire\n    pool: proxies\n    result: items[0].id\n", `k.yaml:6:13: verbs.get: result is "items[0].id": want an object, such as {id: "items[0].id"}, since old clients get nothing else`},
		{"verb, result null", verb + "    verb: lease.acquire\n    pool: proxies\n    result:\n", `k.yaml:6:13: verbs.get: result is null: want an object, such as {id: "items[0].id"}, since old clients get nothing else`},
		{"verb, result type", verb + "    verb: lease.acquire\n    pool: proxies\n    result: {type: lease}\n", `k.yaml:6:13: verbs.get: result has a member type, which old clients do not get: choose another name`},
		{"verb, name taken", "pools: {p: }\nverbs:\n  ping: {verb: pool.stats, pool: p}\n", `k.yaml:3:3: verbs.ping: the server has ping itself: choose another name`},
		{"verb, name like an operation", "pools: {p: }\nverbs:\n  lease.get: {verb: pool.stats, pool: p}\n", `k.yaml:3:3: verbs.lease.get: the server has lease.get itself: choose another name`},
	} {
		t.Run(test.name, func(t *testing.T) { bad(t, test.yaml, test.want) })
	}
}

func TestTooMany(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("id,label.serial\n")
	for i := range 1025 {
		fmt.Fprintf(&rows, "a%d,%d\n", i, i)
	}
	write(t, "k.yaml", "pools: {p: {file: p.csv}}", "p.csv", rows.String(), "l.yaml", "pools: {p: {file: p.jsonl}}", "p.jsonl", "\"a\"\n\""+strings.Repeat("x", lineBytesMax)+"\"\n",
		"n.yaml", strings.Repeat("#", fileBytesMax+1))
	for file, want := range map[string]string{
		"k.yaml":    `p.csv:1026: item "a1024" has one set of labels too many: a pool has 1024 different ones at most; what tells every item from any other belongs in its attrs`,
		"l.yaml":    "p.jsonl:2: the line has more than 1048576 bytes",
		"n.yaml":    "n.yaml has more than 4194304 bytes: move the items to a .csv or .jsonl file, and name it as the file of the pool",
		"none.yaml": "open none.yaml: no such file or directory",
	} {
		if _, err := Load(file); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", file, err, want)
		}
	}
}
