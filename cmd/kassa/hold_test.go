package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/pool/wire"
)

// kindsServer starts a kassad with pools of all kinds, and returns the environment that leads to it.
func kindsServer(t testing.TB) []string {
	t.Helper()
	yaml := filepath.Join(t.TempDir(), "kassa.yaml")
	if err := os.WriteFile(yaml, []byte(kinds), 0o600); err != nil {
		t.Fatal(err)
	}
	_, addr := proc.Kassad(t, bin, "--config", yaml, "--data", filepath.Join(t.TempDir(), "data"))
	return []string{"KASSA_ADDR=" + addr, "TZ=UTC"}
}

const kinds = `
pools:
  proxies: {ids: p1..p3}
  cinema:
    kind: stock
    ttl: 10m
    lifetimeMax: 30m
    waitMax: 1m
    seats:
      - {rows: A..C, seats: 1..12, aisles: 6, missing: [A1, A12], labels: {zone: stalls}}
      - {rows: 1..2, seats: 1..4, id: "balcony-{row}-{seat}", at: {row: 5, column: 5}}
    items: [{id: floor, quantity: 20}, {id: standing-room, quantity: 5}, {id: box}]
  stadium:
    kind: stock
    seats: [{rows: 1..200, seats: 1..100, id: "{row}/{seat}"}]
  rooms:
    kind: calendar
    zone: Europe/Berlin
    hours: {daily: "07:00-21:00"}
    setup: 15m
    cleanup: 30m
    horizon: 175200h
    items: [{id: attic, labels: {beamer: true}}, {id: hall, capacity: 3}]
    ids: [cellar]
  always: {kind: calendar, zone: Europe/Berlin, horizon: 175200h, ids: [one]}
  studio:
    kind: calendar
    hours: {mon-fri: "08:00-18:00"}
    setup: 1h
    cleanup: 1h
    horizon: 175200h
    ids: [one]
`

// numbers finds the numbers in what a command has printed.
var numbers = regexp.MustCompile(`\d+`)

func TestHold(t *testing.T) {
	env := kindsServer(t)
	do := func(line string) proc.Result { return kassa(t, nil, env, strings.Fields(line)...) }

	hold := result[wire.Hold](t, do("hold create cinema A2 A3 A4 --owner anna --ttl 5m --key h"))
	again := result[wire.Hold](t, do("hold create cinema A2 A3 A4 --owner anna --ttl 5m --key h"))
	if len(hold.Seats) != 3 || hold.Seats[0].ID != "A2" || again.Hold != hold.Hold {
		t.Errorf("%+v, and again %+v", hold, again)
	}
	if left := time.Until(time.UnixMilli(hold.ExpiresAt)); left < 4*time.Minute || left > 6*time.Minute {
		t.Errorf("%v are left", left)
	}
	expect(t, do("hold create cinema A2"), 1, "", "kassa: none_free: ")
	expect(t, do("hold create cinema Z9"), 1, "", "kassa: not_found: ")
	expect(t, do("hold create cinema A2 --wait 50ms"), 1, "", "kassa: wait_timeout: ")
	expect(t, do("hold create proxies p1"), 1, "", "kassa: ")
	extended := result[wire.Renewed](t, do(fmt.Sprintf("hold extend %d %d --ttl 20m", hold.Hold, hold.Token)))
	if left := time.Until(time.UnixMilli(extended.ExpiresAt)); left < 15*time.Minute || left > 21*time.Minute {
		t.Errorf("%v are left", left)
	}
	expect(t, do(fmt.Sprintf("hold void %d %d A4", hold.Hold, hold.Token)), 0, `{"voided":1}`+"\n", "")
	expect(t, do(fmt.Sprintf("hold confirm %d 1", hold.Hold)), 1, "", "kassa: stale_token: ")
	sale := result[wire.Sale](t, do(fmt.Sprintf("hold confirm %d %d A3", hold.Hold, hold.Token)))
	if sale.Sale != hold.Hold || len(sale.Seats) != 1 || sale.Seats[0].ID != "A3" {
		t.Errorf("%+v", sale)
	}
	expect(t, do(fmt.Sprintf("hold confirm %d %d", hold.Hold, hold.Token)), 1, "", "kassa: already_resolved: ")
	expect(t, do(fmt.Sprintf("sale refund %d %d --withhold", sale.Sale, sale.Token)), 0, `{"refunded":1}`+"\n", "")
	expect(t, do(fmt.Sprintf("sale refund %d %d", sale.Sale, sale.Token)), 1, "", "kassa: already_resolved: ")

	best := result[wire.Hold](t, do("hold create cinema --best 3 --select zone=stalls"))
	if len(best.Seats) != 3 {
		t.Errorf("%+v", best)
	}
	expect(t, do("hold create cinema --best 7 --select zone=stalls"), 1, "", "kassa: ")
	if split := result[wire.Hold](t, do("hold create cinema --best 7 --split --select zone=stalls")); len(split.Seats) != 7 {
		t.Errorf("%+v", split)
	}
	units := result[wire.Hold](t, do("hold create cinema floor -n 4"))
	if len(units.Seats) != 1 || units.Seats[0].Qty != 4 {
		t.Errorf("%+v", units)
	}
	standing := result[wire.Hold](t, do("hold create cinema standing-room=5"))
	if len(standing.Seats) != 1 || standing.Seats[0].Qty != 5 {
		t.Errorf("%+v", standing)
	}
	expect(t, do(fmt.Sprintf("hold void %d %d", standing.Hold, standing.Token)), 0, `{"voided":5}`+"\n", "")
	expect(t, do("hold create cinema floor=2 standing-room=1"), 2, "", "SEAT=QTY is for one seat alone")
	expect(t, do("hold create cinema floor=2 -n 3"), 2, "", "SEAT=QTY is for one seat alone")
	expect(t, do("hold create cinema floor=0"), 2, "", "want one unit at least")
	sale = result[wire.Sale](t, do(fmt.Sprintf("hold confirm %d %d floor=3", units.Hold, units.Token)))
	if len(sale.Seats) != 1 || sale.Seats[0].Qty != 3 {
		t.Errorf("%+v", sale)
	}
	expect(t, do(fmt.Sprintf("sale refund %d %d floor=2", sale.Sale, sale.Token)), 0, `{"refunded":2}`+"\n", "")

	stats := result[wire.PoolStats](t, do("pool stats cinema"))
	if stats.Leased != 10 || stats.Sold != 1 || stats.Withheld != 1 {
		t.Errorf("%+v", stats)
	}
	mapped, listed := do("hold map cinema"), do("pool ls cinema")
	if mapped != listed || strings.Count(mapped.Stdout, "\n") != stats.Items {
		t.Errorf("%+v", mapped)
	}
	expect(t, do("hold map proxies"), 1, "", "kassa: pool proxies is of kind lease, and only stock has seats")
	expect(t, do("hold map nope"), 1, "", "kassa: not_found: ")
}

func TestHoldWaits(t *testing.T) {
	env := kindsServer(t)
	held := result[wire.Hold](t, kassa(t, nil, env, "hold", "create", "cinema", "box"))
	watch := proc.Command{Args: []string{bin + "/kassa", "watch", "--from-rev", "1", "--types", "wait.began"}, Env: env}.Start(t)
	waiter := proc.Command{Args: []string{bin + "/kassa", "hold", "create", "cinema", "box", "--wait", "50s"}, Env: env}.Start(t)
	wait := strings.Split(watch.WaitLine(`"type":"wait.began"`), `"wait":`)
	number := numbers.FindString(wait[1])
	explained := result[wire.Explained](t, kassa(t, nil, env, "explain", number))
	if len(explained.Blocked) != 1 || explained.Blocked[0].Pool != "cinema" || explained.Blocked[0].Hold != held.Hold {
		t.Errorf("%+v", explained)
	}
	shown := onTerminal(t, 80, env, "explain", number)
	if want := fmt.Sprintf("pool cinema: 1 wanted, 1 match, 0 of them free; hold %d is in the way until ", held.Hold); !strings.Contains(shown, want) {
		t.Errorf("%q, want %q", shown, want)
	}
	expect(t, kassa(t, nil, env, "hold", "void", fmt.Sprint(held.Hold), fmt.Sprint(held.Token)), 0, `{"voided":1}`+"\n", "")
	waiter.WaitLine(`"hold":`)
	if code := waiter.Wait(); code != 0 {
		t.Errorf("code %d, %s", code, waiter.Output())
	}
}

// sameText checks a drawing.
func sameText(t testing.TB, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// prepareCinema leaves seats in all states.
func prepareCinema(t testing.TB, env []string) {
	t.Helper()
	do := func(line string) proc.Result { return kassa(t, nil, env, strings.Fields(line)...) }
	hold := result[wire.Hold](t, do("hold create cinema A2 A3 B12 C6 balcony-2-4 --owner anna"))
	result[wire.Sale](t, do(fmt.Sprintf("hold confirm %d %d B12 C6 balcony-2-4", hold.Hold, hold.Token)))
	result[wire.Hold](t, do("hold create cinema A2 A3 box --owner bert"))
	units := result[wire.Hold](t, do("hold create cinema floor -n 4"))
	result[wire.Sale](t, do(fmt.Sprintf("hold confirm %d %d floor=3", units.Hold, units.Token)))
	result[wire.Hold](t, do("hold create cinema floor -n 5"))
	result[any](t, kassa(t, nil, env, "request", "item.set", `{"pool":"cinema","id":"C1","state":"withheld"}`))
	result[any](t, kassa(t, nil, env, "request", "item.set", `{"pool":"cinema","id":"standing-room","withheld":2}`))
}

func TestHoldMap(t *testing.T) {
	env := kindsServer(t)
	prepareCinema(t, env)
	sameText(t, onTerminal(t, 80, append(env, "NO_COLOR=1"), "hold", "map", "cinema"), `
cinema
           1       5           10
A            ? ? o o o   o o o o o
B          o o o o o o   o o o o o #
C          x o o o o #   o o o o o o

                   1 2 3 4
balcony-1          o o o o
balcony-2          o o o #
? box
floor          12 available, 5 held, 3 sold, 0 withheld of 20
standing-room  3 available, 0 held, 0 sold, 2 withheld of 5

o 51 available  ? 8 held  # 6 sold  x 3 withheld
`)
	// The colours say the same; they begin and end on a line.
	coloured := onTerminal(t, 80, env, "hold", "map", "cinema")
	if !strings.Contains(coloured, "\nC          \x1b[90mx\x1b[0m \x1b[32mo o o o\x1b[0m \x1b[31m#\x1b[0m   \x1b[32mo o o o o o\x1b[0m\n") {
		t.Errorf("%q", coloured)
	}
	plain := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(coloured, "")
	sameText(t, plain, onTerminal(t, 80, append(env, "TERM=dumb"), "hold", "map", "cinema"))
}

func TestHoldMapIsCut(t *testing.T) {
	env := append(kindsServer(t), "NO_COLOR=1")
	result[any](t, kassa(t, nil, env, "request", "item.set", `{"pool":"stadium","id":"200/100","state":"withheld"}`))
	lines := strings.Split(onTerminal(t, 65, env, "hold", "map", "stadium"), "\n")
	const rows = 200
	want := map[int]string{
		0:            "stadium",
		1:            "columns 1 to 60",
		2:            "     1   5    10   15   20   25   30   35   40   45   50   55   60",
		3:            "1    " + strings.Repeat("o", 60),
		3 + rows:     "",
		3 + rows + 1: "columns 61 to 100",
		3 + rows + 2: "     61  65   70   75   80   85   90   95   100",
		2*rows + 5:   "200  " + strings.Repeat("o", 39) + "x",
		2*rows + 6:   "",
		2*rows + 7:   "o 19999 available  ? 0 held  # 0 sold  x 1 withheld",
	}
	for i, line := range want {
		if len(lines) != 2*rows+9 || lines[i] != line {
			t.Fatalf("%d lines, line %d is %q, want %q", len(lines), i, lines[min(i, len(lines)-1)], line)
		}
	}
}

func TestHoldOnTerminal(t *testing.T) {
	env := append(kindsServer(t), "NO_COLOR=1")
	prepareCinema(t, env)
	shown := onTerminal(t, 80, env, "hold", "create", "cinema", "B1", "B2")
	n := numbers.FindAllString(shown, 2)
	until := regexp.MustCompile(`until 2\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d`)
	sameText(t, until.ReplaceAllString(shown, "until then"), fmt.Sprintf("hold %s with token %s until then: cinema B1 B2\n"+
		"kassa hold confirm %[1]s %[2]s sells them, kassa hold void %[1]s %[2]s gives them back\n", n[0], n[1]))
	shown = onTerminal(t, 80, env, "hold", "extend", n[0], n[1])
	sameText(t, until.ReplaceAllString(shown, "until then"), fmt.Sprintf("hold %s is until then\n", n[0]))
	shown = onTerminal(t, 80, env, "hold", "void", n[0], n[1], "B2")
	sameText(t, shown, fmt.Sprintf("1 of hold %s were given back\n", n[0]))
	shown = onTerminal(t, 80, env, "hold", "confirm", n[0], n[1])
	s := numbers.FindAllString(shown, 2)
	sameText(t, shown, fmt.Sprintf("sale %s with token %s: cinema B1\nkassa sale refund %[1]s %[2]s takes them back\n", s[0], s[1]))
	shown = onTerminal(t, 80, env, "sale", "refund", s[0], s[1])
	sameText(t, shown, fmt.Sprintf("1 of sale %s were taken back, and are available\n", s[0]))

	sameText(t, onTerminal(t, 80, env, "pool", "stats", "cinema"), `
pool             cinema
kind             stock
items            45
available        51
held             8
sold             6
withheld         3
draining         0
holds and sales  4
waiting          0
granted ever     19
`)
	listed := onTerminal(t, 80, env, "pool", "ls", "cinema")
	for _, want := range []string{
		`(?m)^ID +STATE +ROW +COLUMN +QUANTITY +HOLD +UNTIL +OWNER +LABELS$`,
		`(?m)^A2 +held +1 +2 +1 +\d+ +2[-\d]+ [:\d]+ +bert +zone=stalls$`,
		`(?m)^B12 +sold +2 +13 +1 +\d+ +- +anna +zone=stalls$`,
		`(?m)^C1 +withheld +3 +1 +1 +- +- +- +zone=stalls$`,
		`(?m)^floor +12 available, 5 held, 3 sold, 0 withheld +- +- +20 +- +- +- +-$`,
	} {
		if !regexp.MustCompile(want).MatchString(listed) {
			t.Errorf("nothing matches %s in\n%s", want, listed)
		}
	}
}

func TestEventText(t *testing.T) {
	seats := []wire.Item{{Pool: "cinema", ID: "A1"}, {Pool: "cinema", ID: "floor", Qty: 3}}
	several := []wire.Item{{Pool: "p", ID: "a"}, {Pool: "q", ID: "b"}, {Pool: "q", ID: "c"}}
	moved := wire.Event{
		Rev: 5, Type: "slot.moved", Pool: "rooms", Booking: 1,
		Items: []wire.Item{{Pool: "rooms", ID: "b", Start: 1, End: 2}}, Was: []wire.Item{{Pool: "rooms", ID: "a", Start: 3, End: 4}},
	}
	for _, test := range []struct {
		want  string
		event wire.Event
	}{
		{
			"2  hold.created  cinema A1 floor=3  hold 2  token 2  client me  owner an?na  until ",
			wire.Event{Rev: 2, Type: "hold.created", Pool: "cinema", Items: seats, Hold: 2, Token: 2, Client: "me", Owner: "an\x1bna", ExpiresAt: 1},
		},
		{"3  lease.granted  p a; q b c  lease 3", wire.Event{Rev: 3, Type: "lease.granted", Items: several, Lease: 3}},
		{"4  pool.filled  p  cause config", wire.Event{Rev: 4, Type: "pool.filled", Pool: "p", Cause: "config"}},
		{"5  slot.moved  rooms b (", moved},
		{"6  item.state  cinema floor=3  withheld 2", wire.Event{Rev: 6, Type: "item.state", Items: seats[1:], Withheld: new(int64(2))}},
		{"), before rooms a (", moved},
	} {
		if got := eventText(&test.event); !strings.Contains(got, test.want) {
			t.Errorf("got %q, want %q in it", got, test.want)
		}
	}
}

// TestDrawSeats draws halls whose seats have names and places of other kinds.
func TestDrawSeats(t *testing.T) {
	seat := func(id string, row, column int) wire.ItemState {
		return wire.ItemState{ID: id, State: "available", Row: row, Column: column}
	}
	for _, test := range []struct {
		seats []wire.ItemState
		want  string
	}{
		{nil, "p\n\no 0 available  ? 0 held  # 0 sold  x 0 withheld\n"},
		// Two blocks beside each other have nothing in common; far away is drawn near; one alone has no number.
		{[]wire.ItemState{seat("l-A1", 1, 1), seat("r-A1", 1, 9000), seat("Z7", 900, 1), seat("loose", 0, 0)}, `
p
1  o       o



Z  o
o loose

o 4 available  ? 0 held  # 0 sold  x 0 withheld
`},
		// At one place there may be two, whatever that means.
		{[]wire.ItemState{seat("1-1", 1, 1), seat("1-1b", 1, 1), seat("1-\x1b[2J", 1, 2), seat("2-2", 2, 2)}, `
p
1  oo o
2    o

o 4 available  ? 0 held  # 0 sold  x 0 withheld
`},
		{[]wire.ItemState{seat("11", 1, 1), seat("12", 1, 2), seat("110", 1, 10), seat("21", 2, 1), seat("22", 2, 2)}, `
p
   1 2       10
1  o o       o
2  o o

o 5 available  ? 0 held  # 0 sold  x 0 withheld
`},
	} {
		var c canvas
		drawSeats(&c, "p", test.seats, 80)
		sameText(t, c.text.String(), test.want)
	}
}
