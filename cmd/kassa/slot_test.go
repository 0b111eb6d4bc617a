package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/pool/wire"
)

func berlin(t testing.TB, text string) int64 {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMilli()
}

func TestSlot(t *testing.T) {
	env := kindsServer(t)
	do := func(line string) proc.Result { return kassa(t, nil, env, strings.Fields(line)...) }

	b := result[wire.Booking](t, do("book rooms attic --start 2035-11-05T10:00 --for 90m --owner anna --key b"))
	again := result[wire.Booking](t, do("book rooms attic --start 2035-11-05T10:00 --for 90m --owner anna --key b"))
	if it := b.Items[0]; it.Start != berlin(t, "2035-11-05 10:00") || it.End != berlin(t, "2035-11-05 11:30") || again.Booking != b.Booking {
		t.Fatalf("%+v, and again %+v", b, again)
	}
	expect(t, do("book rooms attic --start 2035-11-05T11:00 --end 12:00"), 1, "",
		`"attic" of pool rooms is not free Mon 2035-11-05 11:00 to 12:00: it is booked Mon 2035-11-05 10:00 to 11:30, `+
			"with 15m0s before and 30m0s after; nothing was booked (times in Europe/Berlin)")
	expect(t, do("book rooms attic --start 2035-11-05T06:00 --end 07:30"), 1, "", "kassa: invalid_interval: ")
	expect(t, do("book always --start 2035-03-25T02:30 --for 1h"), 1, "", "kassa: invalid_interval: --start: 2035-03-25T02:30 does not exist in Europe/Berlin")
	expect(t, do("book proxies --start 10:00 --for 1h"), 1, "", "kassa: bad_payload: ")
	expect(t, do("book nope --start 10:00 --for 1h"), 1, "", "kassa: not_found: ")

	// All ways to write a time.
	const length = int64(time.Hour / time.Millisecond)
	for i, start := range []string{"2035-11-06T10:00", "2035-11-07T09:00Z", "2035-11-08T10:00:00+01:00", fmt.Sprint(berlin(t, "2035-11-09 10:00"))} {
		got := result[wire.Booking](t, do("book rooms cellar --for 1h --start "+start))
		if want := berlin(t, fmt.Sprintf("2035-11-%02d 10:00", 6+i)); got.Items[0].Start != want || got.Items[0].End != want+length {
			t.Errorf("%s: %+v", start, got)
		}
	}
	got := result[wire.Booking](t, kassa(t, nil, env, "book", "rooms", "cellar", "--start", "2035-11-10 10:00", "--end", "11:00", "--zone", "Europe/London"))
	if want := berlin(t, "2035-11-10 11:00"); got.Items[0].Start != want || got.Items[0].End != want+length {
		t.Errorf("%+v", got)
	}
	whole := result[wire.Booking](t, do("book always --start 2035-10-28 --end 2035-10-29"))
	if it := whole.Items[0]; it.Start != berlin(t, "2035-10-28 00:00") || it.End-it.Start != 25*length {
		t.Errorf("%+v", whole)
	}
	for args, want := range map[string]string{
		"book always --start 9:00 --for 1h":            `--start is "9:00": want two digits each: 09:00`,
		"book always --start 2035-12-3T10:00 --for 1h": `--start is "2035-12-3T10:00": want two digits each: 2035-12-03T10:00`,
		"book always --start 2035-11-31 --for 1h":      `--start is "2035-11-31": there is no such day`,
		"book always --start 10:00 --end 24:00":        `--end is "24:00": want 00:00 to 23:59; a day ends`,
		"book always --start soon --for 1h":            `--start is "soon": want 10:00 (today), `,
		"book always --start 10:00 --for 0s":           "--for is 0s: want a length of time, such as 500ms, 90s, 30m or 2h, in whole milliseconds",
		"slot find always":                             "slot find needs --for TIME, how long it is to be free: want a length of time, such as ",
		"slot find always --for 1h --from 25:00":       `--from is "25:00": want 00:00 to 23:59`,
		"slot ls always --day 2035-1-1":                `--day is "2035-1-1": want two digits each: 2035-01-01`,
		"slot ls always --day 10:00":                   `--day is "10:00": want a day, such as `,
		"slot move 1 1 --start tomorrow":               `--start is "tomorrow": kassa does not know in which zone`,
		"slot move 1 1 --start 2035-11-05T24:00":       `--start is "2035-11-05T24:00": want 00:00 to 23:59`,
	} {
		expect(t, do(args), 2, "", "kassa: "+want)
	}
	tomorrow := result[wire.Booking](t, kassa(t, nil, env, "book", "always", "--start", "tomorrow 10:00", "--end", "11:00"))
	it := tomorrow.Items[0]
	if left := time.Until(time.UnixMilli(it.Start)); it.End-it.Start != length || left < 9*time.Hour || left > 35*time.Hour {
		t.Errorf("%+v", tomorrow)
	}
	expect(t, do("slot ls proxies --day tomorrow"), 1, "", "kassa: bad_payload: ")
	// Without a day it is today.
	near := result[wire.Booking](t, do("book always --start 23:59:59 --for 1h"))
	if left := time.Until(time.UnixMilli(near.Items[0].Start)); left < -time.Minute || left > 25*time.Hour {
		t.Errorf("%+v", near)
	}
}

func TestSlotSeries(t *testing.T) {
	env := kindsServer(t)
	do := func(line string) proc.Result { return kassa(t, nil, env, strings.Fields(line)...) }
	result[wire.Booking](t, do("book rooms attic --start 2035-11-07T10:00 --end 11:00"))
	const series = "book rooms --select beamer=true --start 2035-11-05T10:00 --for 1h --owner bert --rrule FREQ=DAILY;COUNT=4"
	expect(t, do(series), 1, "", "kassa: conflict: ")
	reported := result[wire.Booking](t, do(series+" --on-conflict report"))
	if reported.Booking != 0 || len(reported.Items) != 3 || len(reported.Conflicts) != 1 {
		t.Errorf("%+v", reported)
	}
	b := result[wire.Booking](t, do(series+" --on-conflict skip"))
	if b.Booking == 0 || len(b.Items) != 3 || len(b.Conflicts) != 1 {
		t.Fatalf("%+v", b)
	}
	number := fmt.Sprintf(" %d %d ", b.Booking, b.Token)
	moved := result[wire.Booking](t, do("slot move"+number+"--at 2035-11-06T10:00 --following --start 2035-11-06T14:00"))
	if len(moved.Items) != 2 || moved.Items[0].Start != berlin(t, "2035-11-06 14:00") || moved.Items[1].Start != berlin(t, "2035-11-08 14:00") {
		t.Errorf("%+v", moved)
	}
	moved = result[wire.Booking](t, do("slot move"+number+"--zone Europe/Berlin --at 2035-11-05T10:00 --item cellar"))
	if len(moved.Items) != 1 || moved.Items[0].ID != "cellar" || moved.Items[0].Start != berlin(t, "2035-11-05 10:00") {
		t.Errorf("%+v", moved)
	}
	listed := do("slot ls rooms attic cellar --from 2035-11-05 --to 2035-11-09")
	want := fmt.Sprintf(`{"id":"attic","start":%d,`, berlin(t, "2035-11-06 14:00"))
	if listed.Code != 0 || strings.Count(listed.Stdout, "\n") != 4 || !strings.HasPrefix(listed.Stdout, want) {
		t.Errorf("%+v", listed)
	}
	expect(t, do("slot cancel"+number+"--at 2035-11-06T14:00 --following"), 0, `{"cancelled":2}`+"\n", "")
	expect(t, do("slot cancel"+number+"--at 2035-11-06T14:00"), 1, "", "kassa: ")
	expect(t, do("slot cancel"+number), 0, `{"cancelled":1}`+"\n", "")
	expect(t, do("slot cancel"+number), 1, "", "kassa: already_resolved: ")
	expect(t, do("slot day rooms --day 2035-11-06"), 0, "", "")
	free := do("slot find rooms attic --for 2h --from 2035-11-07T08:00")
	line := func(from, to string) string {
		return fmt.Sprintf(`{"pool":"rooms","id":"attic","labels":{"beamer":"true"},"start":%d,"end":%d}`+"\n", berlin(t, from), berlin(t, to))
	}
	expect(t, free, 0, line("2035-11-07 11:45", "2035-11-07 21:00"), "")
	expect(t, do("slot find rooms --for 1h --from 2035-11-07T08:00 --to 07:59"), 2, "",
		`kassa: --to is "07:59", which is not after the start, Wed 2035-11-07 08:00 CET`)
	expect(t, do("slot ls nope"), 1, "", `kassa: not_found: there is no pool "nope"; kassa pool ls lists those there are`)
	free = do("slot find rooms attic --for 1h --from 2035-11-07T08:00 --to 13:00")
	expect(t, free, 0, line("2035-11-07 08:00", "2035-11-07 09:15")+line("2035-11-07 11:45", "2035-11-07 13:00"), "")
}

func TestSlotOnTerminal(t *testing.T) {
	env := append(kindsServer(t), "NO_COLOR=1")
	shown := onTerminal(t, 100, env, "book", "rooms", "attic", "--start", "2035-11-05T10:00", "--for", "1h")
	n := numbers.FindAllString(shown, 2)
	sameText(t, shown, fmt.Sprintf("booking %s with token %s (Europe/Berlin)\n  rooms attic  Mon 2035-11-05 10:00 to 11:00\n"+
		"kassa slot move %[1]s %[2]s --start WHEN moves it, kassa slot cancel %[1]s %[2]s cancels it\n", n[0], n[1]))
	shown = onTerminal(t, 100, env, "slot", "move", n[0], n[1], "--end", "2035-11-05T12:00")
	if !strings.Contains(shown, "(Europe/Berlin)\n  rooms attic  Mon 2035-11-05 10:00 to 12:00\n") {
		t.Errorf("%q", shown)
	}
	shown = onTerminal(t, 100, env, "slot", "move", n[0], n[1], "--at", "2035-11-05T10:00", "--start", "2035-11-05T09:00", "--end", "2035-11-05T11:00")
	if !strings.Contains(shown, fmt.Sprintf("kassa slot move %s %s --at 2035-11-05T09:00 --start WHEN moves it, "+
		"kassa slot cancel %[1]s %[2]s --at 2035-11-05T09:00 cancels it\n", n[0], n[1])) {
		t.Errorf("%q", shown)
	}
	shown = onTerminal(t, 100, env, "slot", "move", n[0], n[1], "--zone", "UTC", "--at", "2035-11-05T08:00", "--following", "--start", "2035-11-05T09:00",
		"--end", "2035-11-05T11:00")
	if !strings.Contains(shown, " --at 2035-11-05T09:00:00Z --following cancels it\n") {
		t.Errorf("%q", shown)
	}
	series := strings.Fields("book rooms attic --start 2035-11-04T10:00 --for 1h --rrule FREQ=DAILY;COUNT=2 --on-conflict report")
	sameText(t, onTerminal(t, 100, env, series...), `
nothing was booked; free (Europe/Berlin)
  rooms attic  Sun 2035-11-04 10:00 to 11:00
not free
  rooms attic  Mon 2035-11-05 10:00 to 11:00
`)
	sameText(t, onTerminal(t, 100, env, "slot", "find", "rooms", "attic", "--for", "1h", "--from", "2035-11-05"), `
ID     FREE                           FOR
attic  Mon 2035-11-05 07:00 to 09:15  2h15m
attic  Mon 2035-11-05 12:45 to 21:00  8h15m
`)
	sameText(t, strings.ReplaceAll(onTerminal(t, 100, env, "slot", "ls", "rooms", "--day", "2035-11-05", "--zone", "UTC"), n[0], "NUMBR"), `
ID     BOOKED                         FOR  BOOKING  OWNER           STATE
attic  Mon 2035-11-05 09:00 to 11:00  2h   NUMBR    addr/127.0.0.1  booked
`)
	sameText(t, onTerminal(t, 100, env, "slot", "ls", "rooms", "--day", "2035-11-06"), "none\n")
	sameText(t, onTerminal(t, 100, env, "slot", "cancel", n[0], n[1]), fmt.Sprintf("1 of booking %s were cancelled\n", n[0]))
	listed := onTerminal(t, 100, env, "pool", "ls", "rooms")
	sameText(t, listed, `
ID      STATE  CAPACITY  BOOKINGS  LABELS
attic   open   1         0         beamer=true
hall    open   3         0         -
cellar  open   1         0         -
`)
}

func TestSlotDay(t *testing.T) {
	env := append(kindsServer(t), "NO_COLOR=1")
	do := func(line string) proc.Result { return kassa(t, nil, env, strings.Fields(line)...) }
	for _, line := range []string{
		"attic --start 2035-11-05T07:00 --end 08:30 --owner anna",
		"attic --start 2035-11-05T10:00 --end 10:15 --owner bert",
		"attic --start 2035-11-05T20:00 --end 21:00 --owner someone-with-a-long-name",
		"hall --start 2035-11-05T09:00 --end 12:00 --owner carla",
		"hall --start 2035-11-05T11:00 --end 14:00 --owner dora -n 2",
	} {
		result[wire.Booking](t, do("book rooms "+line))
	}
	held := `{"want":[{"pool":"rooms","ids":["cellar"],"start":"2035-11-05T12:00","end":"2035-11-05T15:00"}],
		"owner":"emil","ttlMs":600000,"onDisconnect":"keep"}`
	result[any](t, kassa(t, nil, env, "request", "lease.acquire", held))
	sameText(t, onTerminal(t, 110, env, "slot", "day", "rooms", "--day", "2035-11-05"), `
rooms, Monday 2035-11-05, Europe/Berlin
        00  01  02  03  04  05  06  07  08  09  10  11  12  13  14  15  16  17  18  19  20  21  22  23
attic                              ~[anna]~~---~=~~-.................................--~[==]~~
hall                                .......~[carla=====]~~-.................................
                                    .............--~[dora=2====]~~..........................
                                    .............----------.................................
cellar                              .................--~(emil??????)~~-.....................

. free  = booked  ? held  ~ kept free, to set up and clean up  - not free  blank: closed; a column is 15m
`)
	sameText(t, onTerminal(t, 60, env, "slot", "day", "rooms", "--day", "2035-11-05"), `
rooms, Monday 2035-11-05, Europe/Berlin
        00  02  04  06  08  10  12  14  16  18  20  22
attic                ~[=]~-~=~.................~[]~
hall                  ...~[====]~.................
                      .......~[====]~.............
                      .......----.................
cellar                .........~(emil)~...........

. free  = booked  ? held
~ kept free, to set up and clean up  - not free
blank: closed; a column is 30m
`)
	coloured := onTerminal(t, 110, env[:len(env)-1], "slot", "day", "rooms", "--day", "2035-11-05")
	plain := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(coloured, "")
	if plain == coloured || plain != onTerminal(t, 110, env, "slot", "day", "rooms", "--day", "2035-11-05") {
		t.Errorf("%q", coloured)
	}
}

// TestSlotDayNothingFree checks that a day on which nothing can be booked any more does not look as if it were closed.
func TestSlotDayNothingFree(t *testing.T) {
	env := append(kindsServer(t), "NO_COLOR=1")
	for _, line := range []string{"--start 2035-11-05T09:00 --end 11:00 --owner anna", "--start 2035-11-05T14:30 --end 16:00 --owner bert"} {
		result[wire.Booking](t, kassa(t, nil, env, strings.Fields("book studio "+line)...))
	}
	sameText(t, onTerminal(t, 60, env, "slot", "day", "studio", "--day", "2035-11-05"), `
studio, Monday 2035-11-05, UTC
     00  02  04  06  08  10  12  14  16  18  20  22
one                  ~~[==]~~---~~[=]~~--

. free  = booked  ? held
~ kept free, to set up and clean up  - not free
blank: closed; a column is 30m
`)
	result[wire.Drained](t, kassa(t, nil, env, "pool", "drain", "studio", "one"))
	for day, want := range map[string]string{"2035-11-04": "\none\n", "2035-11-06": "\none                  --------------------\n"} {
		if drawn := onTerminal(t, 60, env, "slot", "day", "studio", "--day", day); !strings.Contains(drawn, want) {
			t.Errorf("%s:\n%s", day, drawn)
		}
	}
}

// TestSlotDayOfClockChange checks that the day has as many hours as the clocks show, and that what is booked is where it is.
func TestSlotDayOfClockChange(t *testing.T) {
	env := append(kindsServer(t), "NO_COLOR=1")
	do := func(line string) proc.Result { return kassa(t, nil, env, strings.Fields(line)...) }
	for _, line := range []string{
		"always --start 2035-03-25T01:00 --end 03:30 --owner a",
		"always --start 2035-03-25T23:00 --end 2035-03-26 --owner z",
		"always --start 2035-10-28T02:00:00+02:00 --end 2035-10-28T02:00:00+01:00 --owner a",
		"always --start 2035-10-28T02:30:00+01:00 --end 04:00 --owner b",
	} {
		result[wire.Booking](t, do("book "+line))
	}
	sameText(t, onTerminal(t, 110, env, "slot", "day", "always", "--day", "2035-03-25"), `
always, Sunday 2035-03-25, Europe/Berlin: the clocks change, the day has 23h
     00  01  03  04  05  06  07  08  09  10  11  12  13  14  15  16  17  18  19  20  21  22  23
one  ....[a===]..............................................................................[z=]

. free  = booked  ? held; a column is 15m
`)
	sameText(t, onTerminal(t, 110, env, "slot", "day", "always", "--day", "2035-10-28"), `
always, Sunday 2035-10-28, Europe/Berlin: the clocks change, the day has 25h
     00  01  02  02  03  04  05  06  07  08  09  10  11  12  13  14  15  16  17  18  19  20  21  22  23
one  ........[a=]..[b===]................................................................................

. free  = booked  ? held; a column is 15m
`)
	sameText(t, onTerminal(t, 110, env, "slot", "day", "always", "--day", "2035-10-28", "--zone", "UTC"), `
always, Sunday 2035-10-28, UTC
     00  01  02  03  04  05  06  07  08  09  10  11  12  13  14  15  16  17  18  19  20  21  22  23
one  [a=]..[b===]....................................................................................

. free  = booked  ? held; a column is 15m
`)
	listed := onTerminal(t, 110, env, "slot", "ls", "always", "--day", "2035-10-28")
	for _, want := range []string{"Sun 2035-10-28 02:00 to 02:00 (CEST to CET)  1h ", "Sun 2035-10-28 02:30 to 04:00 (CET)          1h30m "} {
		if !strings.Contains(listed, want) {
			t.Errorf("%q is not in\n%s", want, listed)
		}
	}
}

// TestDrawDay draws what is too short for its columns, what goes on over midnight, and a clock change of half an hour.
func TestDrawDay(t *testing.T) {
	zone, err := time.LoadLocation("Australia/Lord_Howe")
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := dayOf("--day", "2035-04-01", zone) // the clocks go back from 02:00 to 01:30
	if err != nil {
		t.Fatal(err)
	}
	at := func(hours float64) int64 { return from.UnixMilli() + int64(hours*float64(time.Hour/time.Millisecond)) }
	d := day{zone: zone, from: from.UnixMilli(), to: to.UnixMilli(), rooms: []*room{
		{id: "a\x1b", capacity: 1, free: []stretch{{at(4), at(24.5)}}, booked: []wire.Slot{
			{Start: at(-2), End: at(2), Owner: "jo"}, {Start: at(3), End: at(3.2), Owner: "x"}, {Start: at(3.2), End: at(3.3)},
			{Start: at(23), End: at(30), Owner: "äöü"},
		}},
	}}
	var c canvas
	d.draw(&c, "pool", 10)
	sameText(t, c.text.String(), `
pool, Sunday 2035-04-01, Australia/Lord_Howe: the clocks change, the day has 24h30m
    00 03 06 09 12 15 18 21
a?  =] *...................[=

. free
= booked
? held
* several
blank: closed; a column is 1h
`)
}

// TestDrawHours checks that hours are where they are where not every one is named.
func TestDrawHours(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ day, want string }{
		{"2035-11-04", "00    02  04  06  08  10  12  14  16  18  20  22\n"},
		{"2035-03-11", "00    04  06  08  10  12  14  16  18  20  22\n"},
	} {
		from, to, err := dayOf("--day", test.day, zone)
		if err != nil {
			t.Fatal(err)
		}
		d := day{zone: zone, from: from.UnixMilli(), to: to.UnixMilli(), cell: int64(30 * time.Minute / time.Millisecond)}
		var c canvas
		d.drawHours(&c)
		sameText(t, c.text.String(), test.want)
	}
}

func TestDays(t *testing.T) {
	k := clock{now: time.Date(2035, 12, 30, 23, 30, 0, 0, time.UTC)}
	for text, want := range map[string]string{
		"today": "2035-12-31", "tomorrow": "2036-01-01", "tomorrowT10:00": "2036-01-01T10:00", "todays": "todays", "10:00": "10:00",
	} {
		if got := k.named(text, time.FixedZone("", 3600)); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	for _, test := range []struct {
		zone, day, from, to string
	}{
		{"UTC", "2035-12-31", "2035-12-31T00:00:00Z", "2036-01-01T00:00:00Z"},
		{"Europe/Berlin", "2035-10-28", "2035-10-28T00:00:00+02:00", "2035-10-29T00:00:00+01:00"},
		{"America/Havana", "2024-03-10", "2024-03-10T01:00:00-04:00", "2024-03-11T00:00:00-04:00"}, // midnight is left out
		{"America/Havana", "2024-11-03", "2024-11-03T00:00:00-04:00", "2024-11-04T00:00:00-05:00"}, // midnight is there twice
		{"Pacific/Apia", "2011-12-30", "", ""},
	} {
		zone, err := time.LoadLocation(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		from, to, err := dayOf("--day", test.day, zone)
		if (err != nil) != (test.from == "") || err == nil && (from.Format(time.RFC3339) != test.from || to.Format(time.RFC3339) != test.to) {
			t.Errorf("%s in %s: %v to %v, %v", test.day, test.zone, from, to, err)
		}
	}
}
