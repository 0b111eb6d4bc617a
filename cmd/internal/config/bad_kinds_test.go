package config

import (
	"fmt"
	"strings"
	"testing"
)

// What is wrong in pools of kind stock and calendar is said with its place, and with what to do.
func TestBadKinds(t *testing.T) {
	const (
		lease    = "pools:\n  p:\n"
		stock    = "pools:\n  p:\n    kind: stock\n"
		calendar = "pools:\n  p:\n    kind: calendar\n"
		block    = stock + "    seats:\n      - {rows: A..C, seats: 1..5}\n"
		more     = stock + "    seats:\n      - rows: A..C\n        seats: 1..5\n"
	)
	for _, test := range []struct {
		name, yaml, want string
	}{
		{"seats of a lease", lease + "    seats: [{rows: A, seats: 1}]\n", `k.yaml:3:12: pools.p.seats is for pools of kind stock, and this one is of kind lease: take it out, or set kind`},
		{"strategy of a calendar", calendar + "    strategy: lru\n", `k.yaml:4:15: pools.p.strategy is for pools of kind lease or stock, and this one is of kind calendar: take it out, or set kind`},
		{"kind below", "pools:\n  p:\n    onExpiry: dirty\n    kind: stock\n", `k.yaml:3:15: pools.p.onExpiry is for pools of kind lease, and this one is of kind stock: take it out, or set kind`},
		{"quarantine", calendar + "    quarantineAfter: 2\n", `k.yaml:4:22: pools.p.quarantineAfter is for pools of kind lease, and this one is of kind calendar: take it out, or set kind`},
		{"seed", calendar + "    seed: 2\n", `k.yaml:4:11: pools.p.seed is for pools of kind lease or stock, and this one is of kind calendar: take it out, or set kind`},
		{"focus of a calendar", calendar + "    focus: {row: A}\n", `k.yaml:4:12: pools.p.focus is for pools of kind stock, and this one is of kind calendar: take it out, or set kind`},
		{"zone", stock + "    zone: UTC\n", `k.yaml:4:11: pools.p.zone is for pools of kind calendar, and this one is of kind stock: take it out, or set kind`},
		{"hours", lease + "    hours:\n      mon: closed\n", `k.yaml:4:7: pools.p.hours is for pools of kind calendar, and this one is of kind lease: take it out, or set kind`},
		{"setup", lease + "    setup: 1m\n", `k.yaml:3:12: pools.p.setup is for pools of kind calendar, and this one is of kind lease: take it out, or set kind`},
		{"cleanup", stock + "    cleanup: 1m\n", `k.yaml:4:14: pools.p.cleanup is for pools of kind calendar, and this one is of kind stock: take it out, or set kind`},
		{"slotMax", stock + "    slotMax: 1m\n", `k.yaml:4:14: pools.p.slotMax is for pools of kind calendar, and this one is of kind stock: take it out, or set kind`},
		{"horizon", stock + "    horizon: 1m\n", `k.yaml:4:14: pools.p.horizon is for pools of kind calendar, and this one is of kind stock: take it out, or set kind`},
		{"keep", stock + "    keep: 1m\n", `k.yaml:4:11: pools.p.keep is for pools of kind calendar, and this one is of kind stock: take it out, or set kind`},
		{"dirty", stock + "    onDisconnect: dirty\n", `k.yaml:4:19: pools.p.onDisconnect is "dirty": want keep or release`},
		{"lifetime", stock + "    lifetimeMax: 0s\n", `k.yaml:4:18: pools.p.lifetimeMax is "0s": want 1ms or more`},
		{"keep, zero", calendar + "    keep: 0s\n", `k.yaml:4:11: pools.p.keep is "0s": want 1ms or more`},
		{"setup, long", calendar + "    setup: 48h\n", `k.yaml:2:3: pool "p": setup is 172800000: want 0 to 86400000`},
		{"slot, long", calendar + "    slotMax: 10000h\n", `k.yaml:2:3: pool "p": slotMax is 36000000000: want 0 to 31622400000`},
		{"quantity of a lease", lease + "    items: [{id: a, quantity: 2}]\n", `k.yaml:3:31: pools.p.items[0].quantity is for pools of kind stock, and this one is of kind lease: take it out, or set kind`},
		{"capacity of stock", stock + "    items: [{id: a, capacity: 2}]\n", `k.yaml:4:31: pools.p.items[0].capacity is for pools of kind calendar, and this one is of kind stock: take it out, or set kind`},
		{"capacity, none", calendar + "    items: [{id: a, capacity: 0}]\n", `k.yaml:4:31: pools.p.items[0].capacity is "0": want a whole number, 1 or more`},
		{"row alone", stock + "    items: [{id: a, row: 2}]\n", `k.yaml:4:13: item "a" is in row 2, column 0: want both, 1 to 100000`},
		{"quantity of a seat", stock + "    items: [{id: a, row: 2, column: 1, quantity: 2}]\n", `k.yaml:4:13: item "a" has a place and a quantity of 2: a seat is sold once`},
		{"two at one place", stock + "    items: [{id: a, row: 2, column: 1}, {id: b, row: 2, column: 1}]\n", `k.yaml:4:41: item "b" is in row 2, column 1 of the hall, and so is "a" of k.yaml:4:13: move one of them (a block of seats, with at)`},
		{"CSV row", stock + "    file: q.csv\n=== q.csv\nid,row,column\na,A,1\n", `q.csv:2: column row is "A": want a whole number, 1 or more`},
		{"CSV quantity", stock + "    file: q.csv\n=== q.csv\nid,quantity\na,2\nb,0\n", `q.csv:3: column quantity is "0": want a whole number, 1 or more`},
		{"CSV capacity", calendar + "    file: q.csv\n=== q.csv\nid,capacity\na,2.5\n", `q.csv:2: column capacity is "2.5": want a whole number, 1 or more`},
		{"CSV two at one place", stock + "    file: q.csv\n=== q.csv\nid,row,column\na,1,1\nb,1,1\n", `q.csv:3: item "b" is in row 1, column 1 of the hall, and so is "a" of q.csv:2: move one of them (a block of seats, with at)`},
		{"JSON row", stock + "    file: q.jsonl\n=== q.jsonl\n{\"id\":\"a\",\"row\":\"A\",\"column\":1}\n", `q.jsonl:1: row is "\"A\"": want a whole number, 1 or more`},
		{"JSON quantity", stock + "    file: q.jsonl\n=== q.jsonl\n{\"id\":\"a\",\"quantity\":-1}\n", `q.jsonl:1: quantity is "-1": want a whole number, 1 or more`},
		{"JSON, another kind", lease + "    file: q.jsonl\n=== q.jsonl\n{\"id\":\"a\",\"quantity\":1}\n", `q.jsonl:1: quantity is for pools of kind stock, and this one is of kind lease: take it out, or put it into attrs`},
		{"JSON, unknown", stock + "    file: q.jsonl\n=== q.jsonl\n{\"id\":\"a\",\"col\":1}\n", `q.jsonl:1: an item can have no "col": there are id, labels, attrs, row, column and quantity`},

		{"seats no list", stock + "    seats: {rows: A, seats: 1}\n", `k.yaml:4:12: pools.p.seats has names and values: want a list`},
		{"block no mapping", stock + "    seats: [A1]\n", `k.yaml:4:13: pools.p.seats[0] is "A1": want rows and seats, as in {rows: A..L, seats: 1..20}`},
		{"block without rows", stock + "    seats: [{seats: 1}]\n", `k.yaml:4:13: pools.p.seats[0] has no rows: name them, as in rows: A..L`},
		{"block without seats", stock + "    seats: [{rows: A}]\n", `k.yaml:4:13: pools.p.seats[0] has no seats: number them, as in seats: 1..20`},
		{"block, unknown key", more + "        aisle: 3\n", `k.yaml:7:9: pools.p.seats[0] can have no "aisle": did you mean aisles?`},
		{"rows null", stock + "    seats: [{rows: , seats: 1}]\n", `k.yaml:4:19: pools.p.seats[0].rows has no value: want a text`},
		{"rows empty", stock + "    seats: [{rows: [], seats: 1}]\n", `k.yaml:4:20: pools.p.seats[0].rows is empty: name a row, or a range such as A..L or 1..12`},
		{"row twice", stock + "    seats: [{rows: [A..C, B], seats: 1}]\n", `k.yaml:4:27: pools.p.seats[0].rows has row B twice: take one of them out`},
		{"rows of two kinds", stock + "    seats: [{rows: A..7, seats: 1}]\n", `k.yaml:4:20: pools.p.seats[0].rows has "A..7": a range has letters or numbers at both ends, as in A..L or 1..12`},
		{"rows of two cases", stock + "    seats: [{rows: A..z, seats: 1}]\n", `k.yaml:4:20: pools.p.seats[0].rows has "A..z": a range has letters or numbers at both ends, as in A..L or 1..12`},
		{"rows with one end", stock + "    seats: [{rows: A.., seats: 1}]\n", `k.yaml:4:20: pools.p.seats[0].rows has "A..": a range has letters or numbers at both ends, as in A..L or 1..12`},
		{"rows, many", stock + "    seats: [{rows: A..ZZZZ, seats: 1}]\n", `k.yaml:4:20: pools.p.seats[0].rows has "A..ZZZZ": it has more than 100000 rows`},
		{"rows, many in a list", stock + "    seats: [{rows: [1..100000, X], seats: 1}]\n", `k.yaml:4:32: pools.p.seats[0].rows has more than 100000 rows`},
		{"seats, letters", stock + "    seats: [{rows: A, seats: a..c}]\n", `k.yaml:4:30: pools.p.seats[0].seats has "a..c": seats have numbers: want one, or a range such as 1..20`},
		{"seats, zeros", stock + "    seats: [{rows: A, seats: 01..100}]\n", `k.yaml:4:30: pools.p.seats[0].seats has "01..100": 01 and 100 have zeros in front, but not the same number of digits`},
		{"seats, digits", stock + "    seats: [{rows: A, seats: 1..9999999999}]\n", `k.yaml:4:30: pools.p.seats[0].seats has "1..9999999999": the number has too many digits`},
		{"seat twice", stock + "    seats: [{rows: A, seats: [1, 01]}]\n", `k.yaml:4:34: pools.p.seats[0].seats has seat 01 twice: take one of them out`},
		{"seats, too many", stock + "    seats: [{rows: 1..10000, seats: 1..10000}]\n", `k.yaml:4:13: pools.p.seats[0] has more than 10000000 seats`},
		{"aisle outside", more + "        aisles: [2, 6]\n", `k.yaml:7:21: pools.p.seats[0].aisles has 6, but there are seats 1 to 5: want the one that the aisle comes after`},
		{"aisle at the end", more + "        aisles: 5\n", `k.yaml:7:17: pools.p.seats[0].aisles has 5, the last seat: an aisle is between two`},
		{"aisle twice", more + "        aisles: [2, 2]\n", `k.yaml:7:21: pools.p.seats[0].aisles has 2 twice: take one of them out`},
		{"missing, none", more + "        missing: [A1, D1]\n", `k.yaml:7:23: pools.p.seats[0].missing has "D1", but the seats are A1 to C5`},
		{"missing, beyond", more + "        missing: A4..A999999\n", `k.yaml:7:18: pools.p.seats[0].missing has "A6", but the seats are A1 to C5`},
		{"missing twice", more + "        missing: [A1, A1..A2]\n", `k.yaml:7:23: pools.p.seats[0].missing has "A1" twice: take one of them out`},
		{"missing turned around", more + "        missing: A2..A1\n", `k.yaml:7:18: pools.p.seats[0].missing has "A2..A1": 2 comes after 1: turn them around`},
		{"zone, row", more + "        zones: [{rows: B..D, labels: {a: b}}]\n", `k.yaml:7:24: pools.p.seats[0].zones[0].rows has "D", but the block has rows A to C`},
		{"zone, seat", more + "        zones: [{seats: 5..6, labels: {a: b}}]\n", `k.yaml:7:25: pools.p.seats[0].zones[0].seats has "6", but the block has seats 1 to 5`},
		{"zone, nothing", more + "        missing: A1..A5\n        zones:\n          - {rows: A, labels: {a: b}}\n", `k.yaml:9:13: pools.p.seats[0].zones[0] covers nothing: all its seats are missing`},
		{"zone, no rows", more + "        zones: [{rows: [], labels: {a: b}}]\n", `k.yaml:7:24: pools.p.seats[0].zones[0].rows is empty: name a row, or a range such as A..L or 1..12`},
		{"zone, no labels", more + "        zones: [{rows: A}]\n", `k.yaml:7:17: pools.p.seats[0].zones[0] has no labels: give it some, as in labels: {zone: vip}`},
		{"zone, label", more + "        zones: [{labels: {a: [b]}}]\n", `k.yaml:7:30: pools.p.seats[0].zones[0].labels.a is a list: want a text, a number, true or false`},
		{"ID, unknown part", more + "        id: '{row}-{col}'\n", `k.yaml:7:13: pools.p.seats[0].id has "{col}": there are {row} and {seat}, as in "{row}-{seat}"`},
		{"ID, brace", more + "        id: '{row}-{seat'\n", `k.yaml:7:13: pools.p.seats[0].id has "{": there are {row} and {seat}, as in "{row}-{seat}"`},
		{"ID without seat", more + "        id: '{row}'\n", `k.yaml:7:13: pools.p.seats[0].id is the same for several seats: want {row} and {seat} in it, as in "{row}-{seat}"`},
		{"ID without row", more + "        id: x{seat}\n", `k.yaml:7:13: pools.p.seats[0].id is the same for several seats: want {row} and {seat} in it, as in "{row}-{seat}"`},
		{"ID twice in a block", stock + "    seats: [{rows: 1..11, seats: 1..11}]\n", `k.yaml:4:13: pools.p.seats[0] has "111" twice, as row 1, seat 11 and as row 11, seat 1: have the IDs differ, as with id: "{row}-{seat}"`},
		{"ID twice", block + "      - {rows: C..D, seats: 5}\n", `k.yaml:6:9: item "C5" is there twice, first at k.yaml:5:9: take one of them out`},
		{"ID of an item", block + "    items: [A1]\n", `k.yaml:6:13: item "A1" is there twice, first at k.yaml:5:9: take one of them out`},
		{"ID, control", stock + "    seats: [{rows: \"a\\tb\", seats: 1}]\n", `k.yaml:4:13: the ID of an item, "a\tb1", holds control characters, U+FFFD or what is not UTF-8`},
		{"blocks over each other", block + "      - {rows: X..Z, seats: 1..2, at: {row: 3, column: 4}}\n", `k.yaml:6:9: item "X1" is in row 3, column 4 of the hall, and so is "C4" of k.yaml:5:9: move one of them (a block of seats, with at)`},
		{"at, none", more + "        at: {row: 0}\n", `k.yaml:7:19: pools.p.seats[0].at.row is "0": want a whole number, 1 or more`},
		{"at, unknown", more + "        at: {col: 1}\n", `k.yaml:7:14: pools.p.seats[0].at can have no "col": there are row and column`},
		{"at, outside", more + "        at: {row: 99999}\n", `k.yaml:5:9: pools.p.seats[0] reaches to row 100001, column 5 of the hall, which may have 100000 of each: have it begin sooner, with at`},
		{"at, far outside", more + "        at: {column: 9223372036854775807}\n", `k.yaml:5:9: pools.p.seats[0] reaches to row 3, column 100005 of the hall, which may have 100000 of each: have it begin sooner, with at`},

		{"focus, no seats", stock + "    ids: a\n    focus: {row: A}\n", `k.yaml:5:12: pools.p.focus is for seats that have a place, and there are none: say them with seats, or give items a row and a column`},
		{"focus, no mapping", block + "    focus: A1\n", `k.yaml:6:12: pools.p.focus is "A1": want names and values, as in name: value`},
		{"focus, no row", block + "    focus: {column: 2}\n", `k.yaml:6:12: pools.p.focus has no row: say which, as in row: F`},
		{"focus, row", block + "    focus: {row: D}\n", `k.yaml:6:18: pools.p.focus.row: there is no row "D": there are A, B and C`},
		{"focus, row of the hall", block + "    focus: {row: 3.5}\n", `k.yaml:6:18: pools.p.focus.row is 3.5: the hall has rows 1 to 3`},
		{"focus, seat", block + "    focus: {row: B, column: 6}\n", `k.yaml:6:29: pools.p.focus.column is 6: row B has no seat 6`},
		{"focus, after the last seat", block + "    focus: {row: B, column: 5.5}\n", `k.yaml:6:29: pools.p.focus.column is 5.5: row B has no seat 6`},
		{"focus, column", block + "    focus: {row: B, column: x}\n", `k.yaml:6:29: pools.p.focus.column is "x": want a seat, such as 10, or 10.5 for between 10 and 11`},
		{"focus, column of the hall", block + "    focus: {row: 1.5, column: 6}\n", `k.yaml:6:31: pools.p.focus.column is 6: the hall has columns 1 to 5`},

		{"zone, none", calendar + "    zone: Europe/Bonn\n", `k.yaml:4:11: pools.p.zone: there is no zone "Europe/Bonn": want an IANA name such as Europe/Berlin`},
		{"zone null", calendar + "    zone:\n", `k.yaml:4:11: pools.p.zone has no value: want a text`},
		{"hours no mapping", calendar + "    hours: 08:00-20:00\n", `k.yaml:4:12: pools.p.hours is "08:00-20:00": want names and values, as in name: value`},
		{"hours, a day", calendar + "    hours:\n      mon: closed\n      mo: closed\n", `k.yaml:6:7: pools.p: hours of mo: "mo" is no day: want mon, tue, wed, thu, fri, sat or sun, a range such as mon-fri, a list such as sat,sun, or daily`},
		{"hours, a time", calendar + "    hours: {mon: closed, tue: 8-20}\n", `k.yaml:4:26: pools.p: hours of tue: "8-20" can not be read: want hours such as 08:00-20:00 or 22:00-02:00, several with commas between them, or closed`},
		{"hours, a day twice", calendar + "    hours: {mon-fri: closed, tue: closed}\n", `k.yaml:4:30: pools.p: hours of tue: tue is in "mon-fri" too: write all its hours in one place`},
		{"hours, a list", calendar + "    hours: {mon: [08:00-12:00]}\n", `k.yaml:4:18: pools.p.hours.mon is a list: want a text`},

		{"verb of a calendar", calendar + "verbs:\n  get: {verb: lease.acquire, pool: p}\n", `k.yaml:5:36: verbs.get.pool: pool p is of kind calendar, and lease.acquire is for those of kind lease or stock: take one of these, or another verb`},
		{"verb of holds", lease + "verbs:\n  get: {verb: hold.create, pool: p, with: {qty: 1}}\n", `k.yaml:4:34: verbs.get.pool: pool p is of kind lease, and hold.create is for those of kind stock: take one of these, or another verb`},
		{"verb of bookings", stock + "verbs:\n  get: {verb: slot.book, pool: p, with: {start: payload.a, end: payload.b}}\n", `k.yaml:5:32: verbs.get.pool: pool p is of kind stock, and slot.book is for those of kind calendar: take one of these, or another verb`},
		{"verb, wait of a hold", stock + "    waitMax: 5s\nverbs:\n  get: {verb: hold.create, pool: p, waitMs: 6000, with: {qty: 1}}\n", `k.yaml:6:45: verbs.get.waitMs is over the waitMax of pool p, 5s: raise that, or take less`},
		{"verb, ttl of stock", stock + "verbs:\n  get: {verb: lease.acquire, pool: p, ttl: 61m}\n", `k.yaml:5:44: verbs.get.ttl is over the ttlMax of pool p, 1h0m0s: raise that, or take less`},
	} {
		t.Run(test.name, func(t *testing.T) { bad(t, test.yaml, test.want) })
	}
}

func TestTooManyRooms(t *testing.T) {
	bad(t, "pools: {p: {kind: calendar, ids: 'r1..r4097'}}", `k.yaml:1:34: item "r4097" is one too many: a calendar has 4096 at most, make several pools`)
}

// bad loads k.yaml, and the file behind === NAME, and wants an error.
func bad(t *testing.T, yaml, want string) {
	t.Helper()
	file, items, _ := strings.Cut(yaml, "\n=== ")
	files := []string{"k.yaml", file}
	if name, text, ok := strings.Cut(items, "\n"); ok {
		files = append(files, name, text)
	}
	write(t, files...)
	c, err := Load("k.yaml")
	if err == nil {
		t.Fatal("no error: " + fmt.Sprintf("%.1000v", c.Pools))
	}
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}
