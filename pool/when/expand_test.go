package when

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const hour = int64(time.Hour / time.Millisecond)

// starts are the local starts of slots, with their offsets.
func starts(slots []Slot, z *time.Location) string {
	var texts []string
	for _, s := range slots {
		texts = append(texts, time.UnixMilli(s.Start).In(z).Format("2006-01-02T15:04-07:00"))
	}
	return strings.Join(texts, " ")
}

func TestExpand(t *testing.T) {
	for _, c := range []struct{ rule, start, zone, want string }{
		{"FREQ=DAILY;COUNT=3", "2026-03-28T10:00+01:00", "Europe/Berlin", // stays at 10:00
			"2026-03-28T10:00+01:00 2026-03-29T10:00+02:00 2026-03-30T10:00+02:00"},
		{"FREQ=DAILY;COUNT=3", "2026-03-28T02:30+01:00", "Europe/Berlin", // skipped: by the offset before
			"2026-03-28T02:30+01:00 2026-03-29T03:30+02:00 2026-03-30T02:30+02:00"},
		{"FREQ=DAILY;COUNT=3", "2026-10-24T02:30+02:00", "Europe/Berlin", // twice: the first
			"2026-10-24T02:30+02:00 2026-10-25T02:30+02:00 2026-10-26T02:30+01:00"},
		{"FREQ=DAILY;COUNT=2", "2026-10-25T02:30+01:00", "Europe/Berlin", // the second, if that is the start
			"2026-10-25T02:30+01:00 2026-10-26T02:30+01:00"},
		{"rrule:freq=weekly;byday=tu,th;count=4", "2026-11-24T10:00Z", "UTC",
			"2026-11-24T10:00+00:00 2026-11-26T10:00+00:00 2026-12-01T10:00+00:00 2026-12-03T10:00+00:00"},
		{"FREQ=WEEKLY;UNTIL=20261208T090000Z", "2026-11-24T10:00+01:00", "Europe/Berlin", // inclusive
			"2026-11-24T10:00+01:00 2026-12-01T10:00+01:00 2026-12-08T10:00+01:00"},
		{"FREQ=WEEKLY;UNTIL=20261208T085959Z", "2026-11-24T10:00+01:00", "Europe/Berlin",
			"2026-11-24T10:00+01:00 2026-12-01T10:00+01:00"},
		{"FREQ=WEEKLY;UNTIL=20261208T100000", "2026-11-24T10:00+01:00", "Europe/Berlin",
			"2026-11-24T10:00+01:00 2026-12-01T10:00+01:00 2026-12-08T10:00+01:00"},
		{"FREQ=WEEKLY;UNTIL=20261208T095959", "2026-11-24T10:00+01:00", "Europe/Berlin",
			"2026-11-24T10:00+01:00 2026-12-01T10:00+01:00"},
		{"FREQ=WEEKLY;UNTIL=20261208", "2026-11-24T23:59-05:00", "America/New_York", // all of the day there
			"2026-11-24T23:59-05:00 2026-12-01T23:59-05:00 2026-12-08T23:59-05:00"},
		{"FREQ=WEEKLY;UNTIL=20261207", "2026-11-24T00:00+01:00", "Europe/Berlin",
			"2026-11-24T00:00+01:00 2026-12-01T00:00+01:00"},
		{"FREQ=MONTHLY;COUNT=3", "2026-01-31T09:00Z", "UTC", // months without such a day are passed over
			"2026-01-31T09:00+00:00 2026-03-31T09:00+00:00 2026-05-31T09:00+00:00"},
		{"FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3", "2026-01-31T09:00Z", "UTC",
			"2026-01-31T09:00+00:00 2026-02-28T09:00+00:00 2026-03-31T09:00+00:00"},
		{"FREQ=MONTHLY;BYDAY=-1FR;COUNT=2", "2026-11-27T09:00Z", "UTC", "2026-11-27T09:00+00:00 2026-12-25T09:00+00:00"},
		{"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=3", "2026-11-30T09:00Z", "UTC",
			"2026-11-30T09:00+00:00 2026-12-31T09:00+00:00 2027-01-29T09:00+00:00"},
		{"FREQ=YEARLY;COUNT=3", "2028-02-29T09:00Z", "UTC", "2028-02-29T09:00+00:00 2032-02-29T09:00+00:00 2036-02-29T09:00+00:00"},
		{"FREQ=YEARLY;COUNT=2", "2096-02-29T09:00Z", "UTC", "2096-02-29T09:00+00:00 2104-02-29T09:00+00:00"}, // 2100 has none
		{"FREQ=YEARLY;BYDAY=53TH;COUNT=2", "2026-12-31T09:00Z", "UTC", "2026-12-31T09:00+00:00 2032-12-30T09:00+00:00"},
		{"FREQ=YEARLY;BYYEARDAY=-1,100;COUNT=3", "2026-04-10T09:00Z", "UTC",
			"2026-04-10T09:00+00:00 2026-12-31T09:00+00:00 2027-04-10T09:00+00:00"},
		{"FREQ=DAILY;BYHOUR=9,14;BYMINUTE=30;COUNT=3", "2026-11-24T09:30Z", "UTC",
			"2026-11-24T09:30+00:00 2026-11-24T14:30+00:00 2026-11-25T09:30+00:00"},
		{"FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU;COUNT=3", "2026-11-22T09:00Z", "UTC",
			"2026-11-22T09:00+00:00 2026-11-23T09:00+00:00 2026-12-06T09:00+00:00"},
		{"FREQ=DAILY;COUNT=3", "2011-12-29T10:00-10:00", "Pacific/Apia", // the 30th, by the offset before, is the 31st
			"2011-12-29T10:00-10:00 2011-12-31T10:00+14:00 2011-12-31T10:00+14:00"},
		{"FREQ=DAILY;COUNT=2", "2026-10-03T02:10+10:30", "Australia/Lord_Howe", "2026-10-03T02:10+10:30 2026-10-04T02:40+11:00"},
		{"FREQ=DAILY;COUNT=2", "2026-03-28T02:30+05:45", "Asia/Kathmandu", "2026-03-28T02:30+05:45 2026-03-29T02:30+05:45"},
		{"FREQ=YEARLY;UNTIL=22001231", "2198-11-21T10:00Z", "UTC", "2198-11-21T10:00+00:00 2199-11-21T10:00+00:00 2200-11-21T10:00+00:00"},
	} {
		z, start := zone(t, c.zone), ms(t, c.start)
		got, err := Expand(c.rule, Slot{start, start + hour}, z, nil, 10)
		if c.zone == "Pacific/Apia" {
			refused(t, err, InvalidInterval, "overlap")
			continue
		}
		if err != nil || starts(got, z) != c.want {
			t.Errorf("%s\ngot  %s, %v\nwant %s", c.rule, starts(got, z), err, c.want)
		}
		for _, s := range got {
			if s.End-s.Start != hour {
				t.Errorf("%s: a slot of %d ms", c.rule, s.End-s.Start)
			}
		}
	}
}

func TestExpandKeepsMilliseconds(t *testing.T) {
	start := ms(t, "2026-11-24T10:00:00.125Z")
	got, err := Expand("FREQ=DAILY;COUNT=2", Slot{start, start + 777}, time.UTC, nil, 10)
	if want := []Slot{{start, start + 777}, {start + 24*hour, start + 24*hour + 777}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestExpandExcept(t *testing.T) {
	start := ms(t, "2026-11-24T10:00Z")
	first, on := Slot{start, start + hour}, func(day int64) int64 { return start + day*24*hour }
	got, err := Expand("FREQ=DAILY;COUNT=4", first, time.UTC, []int64{on(2), on(0), on(2)}, 4)
	if want := []Slot{{on(1), on(1) + hour}, {on(3), on(3) + hour}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	_, err = Expand("FREQ=DAILY;COUNT=2", first, time.UTC, []int64{on(1) + 1}, 4)
	refused(t, err, BadPayload, "2026-11-25T10:00:00.001Z is to be left out, and no occurrence starts then")
	_, err = Expand("FREQ=DAILY;COUNT=2", first, time.UTC, []int64{on(1), on(0)}, 4)
	refused(t, err, BadPayload, "all occurrences are left out")
	_, err = Expand("FREQ=DAILY;COUNT=2", first, time.UTC, make([]int64, 5), 4)
	refused(t, err, BadPayload, "5 occurrences are left out, and 4 are allowed in all")
}

func TestExpandRefuses(t *testing.T) {
	start := ms(t, "2026-11-24T10:00+01:00") // a Tuesday
	z := zone(t, "Europe/Berlin")
	for _, c := range []struct{ rule, want string }{
		{"", `the rule has "": want NAME=VALUE, such as FREQ=WEEKLY;BYDAY=TU;COUNT=10`},
		{"weekly", "want NAME=VALUE"},
		{"COUNT=2", "does not say FREQ: want DAILY, WEEKLY, MONTHLY or YEARLY"},
		{"FREQ=DAILY", "the rule has no end: say COUNT or UNTIL"},
		{"FREQ=DAILY;COUNT=2;UNTIL=20261231", "say one of them"},
		{"FREQ=DAILY;COUNT=11", "COUNT is 11, and 10 occurrences are allowed"},
		{"FREQ=DAILY;UNTIL=20261204T090000Z", "more occurrences than the 10 that are allowed"},
		{"FREQ=HOURLY;COUNT=2", `FREQ is "HOURLY": want DAILY, WEEKLY, MONTHLY or YEARLY`},
		{"FREQ=MINUTELY;COUNT=2", "want DAILY, WEEKLY"},
		{"FREQ=SECONDLY;COUNT=2", "want DAILY, WEEKLY"},
		{"FREQ=DAILY;FREQ=WEEKLY;COUNT=2", "says FREQ twice"},
		{"FREQ=DAILY;COUNT=0", `COUNT is "0": want 1 to`},
		{"FREQ=DAILY;COUNT=99999999999999999999", "want 1 to"},
		{"FREQ=DAILY;COUNT=2;INTERVAL=0", `INTERVAL is "0": want 1 to 1000`},
		{"FREQ=DAILY;COUNT=2;INTERVAL=-1", "want 1 to 1000"},
		{"FREQ=DAILY;COUNT=2;INTERVAL=9223372036854775807", "want 1 to 1000"},
		{"FREQ=DAILY;COUNT=2;BYEASTER=1", `has "BYEASTER", which is no part of a RRULE of RFC 5545`},
		{"FREQ=DAILY;COUNT=2;DTSTART=20261124T100000", "has DTSTART: leave it out"},
		{"DTSTART:20261124T100000\nRRULE:FREQ=DAILY;COUNT=2", "several lines: want one"},
		{"DTSTART;TZID=Europe/Berlin:20261124T100000", "has DTSTART: leave it out"},
		{"FREQ=DAILY;COUNT=2;", "want NAME=VALUE"},
		{"FREQ=DAILY;COUNT=2;BYDAY=", "want NAME=VALUE"},
		{"FREQ=DAILY;COUNT=2;BYDAY=XX", `BYDAY has "XX": want MO`},
		{"FREQ=DAILY;COUNT=2;BYDAY=TU,", `BYDAY has "": want MO`},
		{"FREQ=DAILY;COUNT=2;BYDAY=2TU", "days have numbers only with FREQ=MONTHLY or YEARLY"},
		{"FREQ=MONTHLY;COUNT=2;BYDAY=0TU", "BYDAY is \"0\": want 1 to 53, or -1 to -53"},
		{"FREQ=MONTHLY;COUNT=2;BYDAY=53TU", "BYDAY has 53: no month has more than 5 of a weekday"},
		{"FREQ=MONTHLY;COUNT=2;BYDAY=-10TU", "no month has more than 5"},
		{"FREQ=YEARLY;COUNT=2;BYMONTH=12;BYDAY=53TU", "no month has more than 5"},
		{"FREQ=MONTHLY;COUNT=2;BYDAY=MO,1TU", "number all of the days, or none"},
		{"FREQ=YEARLY;COUNT=2;BYMONTH=13", `BYMONTH is "13": want 1 to 12`},
		{"FREQ=YEARLY;COUNT=2;BYWEEKNO=20", "BYWEEKNO is not supported"},
		{"FREQ=MONTHLY;COUNT=2;BYMONTHDAY=0", "want 1 to 31, or -1 to -31"},
		{"FREQ=WEEKLY;COUNT=2;BYMONTHDAY=24", "BYMONTHDAY does not go with FREQ=WEEKLY"},
		{"FREQ=MONTHLY;COUNT=2;BYYEARDAY=24", "BYYEARDAY goes only with FREQ=YEARLY"},
		{"FREQ=WEEKLY;COUNT=2;BYDAY=TU;BYSETPOS=1", "BYSETPOS is supported only with FREQ=MONTHLY or YEARLY"},
		{"FREQ=MONTHLY;COUNT=2;BYSETPOS=1", "BYSETPOS chooses among what another part says"},
		{"FREQ=DAILY;COUNT=2;BYHOUR=10,11,12,13,14;BYMINUTE=0,10,20,30,40", "more than 24 times a day"},
		{"FREQ=DAILY;COUNT=2;BYHOUR=" + strings.Repeat("10,", 64) + "10", "BYHOUR has 65 values, and may have 64"},
		{"FREQ=DAILY;COUNT=2;BYDAY=" + strings.Repeat("TU,", 64) + "TU", "BYDAY has 65 values, and may have 64"},
		{"FREQ=DAILY;COUNT=2;WKST=1MO", `WKST is "1MO"`},
		{"FREQ=DAILY;UNTIL=tomorrow", "want 20261224T090000Z in UTC"},
		{"FREQ=DAILY;UNTIL=20260230", "want 20261224T090000Z in UTC"},
		{"FREQ=DAILY;UNTIL=99991231T235959Z", "UNTIL is 99991231T235959Z: want the years 1970 to 2200"},
		{"FREQ=DAILY;UNTIL=20261124T085959Z", "UNTIL, 2026-11-24T08:59:59Z, is before the start, 2026-11-24T09:00:00Z"},
		{"FREQ=WEEKLY;BYDAY=WE;COUNT=2", "does not match the start, Tue 2026-11-24T10:00:00: it would begin at Wed 2026-11-25T10:00:00"},
		{"FREQ=DAILY;BYHOUR=11;COUNT=2", "it would begin at Tue 2026-11-24T11:00:00"},
		{"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=5", "it matches no day up to the year 2200"},
		{"FREQ=YEARLY;INTERVAL=50;COUNT=5", "COUNT is 5, and there are only 4 occurrences up to the year 2200"},
		{"FREQ=DAILY;COUNT=2" + strings.Repeat(" ", 1024), "the rule has 1042 bytes, and may have 1024"},
	} {
		_, err := Expand(c.rule, Slot{start, start + hour}, z, nil, 10)
		refused(t, err, BadPayload, c.want)
	}
	for _, c := range []struct {
		slot       Slot
		code, want string
	}{
		{Slot{start, start}, InvalidInterval, "the end, 2026-11-24T09:00:00Z, is not after the start"},
		{Slot{start, start - 1}, InvalidInterval, "is not after the start"},
		{Slot{-1, start}, BadPayload, "want times in the years 1970 to 2200"},
		{Slot{start, 1 << 62}, BadPayload, "want times in the years 1970 to 2200"},
		{Slot{start, start + 24*hour + 1}, InvalidInterval,
			"the occurrences at Tue 2026-11-24T10:00:00 and Wed 2026-11-25T10:00:00 overlap: make them shorter, or further apart"},
	} {
		_, err := Expand("FREQ=DAILY;COUNT=2", c.slot, z, nil, 10)
		refused(t, err, c.code, c.want)
	}
	if _, err := Expand("FREQ=DAILY;COUNT=2", Slot{start, start + 24*hour}, z, nil, 10); err != nil {
		t.Errorf("slots that touch: %v", err)
	}
	_, err := Expand("FREQ=DAILY;COUNT=2", Slot{momentEnd - 25*hour, momentEnd - 23*hour}, time.UTC, nil, 10)
	refused(t, err, BadPayload, "2200-12-31T23:00:00Z to 2201-01-01T01:00:00Z: want times in the years")
	_, err = Expand("FREQ=DAILY;UNTIL=22001231", Slot{momentEnd - hour, momentEnd}, zone(t, "America/New_York"), nil, 10)
	if err != nil {
		t.Errorf("the last hour: %v", err)
	}
}

// Rules that match nothing, or go on for long, come to an end. How long each took is logged: it is for reading.
func TestExpandEnds(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	start := ms(t, "1970-01-01T10:00+01:00")
	var positions, yeardays []string
	for i := 1; i <= 64; i++ {
		positions, yeardays = append(positions, fmt.Sprint(i)), append(yeardays, fmt.Sprint(i))
	}
	for _, rule := range []string{
		"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=5",
		"FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30;COUNT=5",
		"FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=5",
		"FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30,31;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14;COUNT=5",
		"FREQ=WEEKLY;INTERVAL=52;BYMONTH=6;COUNT=500",
		"FREQ=WEEKLY;BYMONTH=2;BYHOUR=11;UNTIL=22001231",
		"FREQ=YEARLY;BYMONTH=2;BYYEARDAY=366;COUNT=5",
		"FREQ=YEARLY;BYYEARDAY=" + strings.Join(yeardays, ",") + ";BYMONTH=12;BYSETPOS=" + strings.Join(positions, ",") + ";COUNT=5",
		"FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6,7,8,9,10,366,-366;COUNT=5",
		"FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1;COUNT=5",
		"FREQ=YEARLY;BYDAY=1MO,2MO,3MO,50MO,-53SU;BYYEARDAY=200;COUNT=5",
		"FREQ=YEARLY;INTERVAL=1000;COUNT=500",
		"FREQ=DAILY;INTERVAL=1000;COUNT=500",
		"FREQ=DAILY;UNTIL=22001231",
		"FREQ=DAILY;UNTIL=99991231",
		"FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1;UNTIL=22001231",
		"FREQ=DAILY;COUNT=500",
	} {
		began := time.Now()
		slots, err := Expand(rule, Slot{start, start + hour}, z, nil, 500)
		t.Logf("%8v %.60s: %d slots, %v", time.Since(began).Round(10*time.Microsecond), rule, len(slots), err)
	}
}

// naive expands a rule day by day, with nothing of the package or its library.
type naive struct {
	freq                        string
	interval                    int
	wkst                        time.Weekday
	byDay                       []time.Weekday
	nth                         int // of byDay in the month; 0: all
	byMonth, byMonthDay, setPos []int
}

func (n naive) String() string {
	text := "FREQ=" + n.freq + fmt.Sprintf(";INTERVAL=%d;WKST=%.2s", n.interval, strings.ToUpper(n.wkst.String()))
	var days []string
	for _, d := range n.byDay {
		name := strings.ToUpper(d.String())[:2]
		if n.nth != 0 {
			name = fmt.Sprint(n.nth) + name
		}
		days = append(days, name)
	}
	if days != nil {
		text += ";BYDAY=" + strings.Join(days, ",")
	}
	for name, list := range map[string][]int{"BYMONTH": n.byMonth, "BYMONTHDAY": n.byMonthDay, "BYSETPOS": n.setPos} {
		if list != nil {
			text += ";" + name + "=" + strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
		}
	}
	return text
}

// period numbers the days, weeks, months or years.
func (n naive) period(d time.Time) int {
	days := int(d.Unix() / 86400)
	switch n.freq {
	case "DAILY":
		return days
	case "WEEKLY": // 1970-01-01 was a Thursday
		return (days + 4 - int(n.wkst) + 7) / 7
	case "MONTHLY":
		return d.Year()*12 + int(d.Month())
	}
	return d.Year()
}

func (n naive) matches(d, start time.Time) bool {
	inMonth := d.AddDate(0, 1, -d.Day()).Day()
	if n.byMonth != nil && !slices.Contains(n.byMonth, int(d.Month())) {
		return false
	}
	if n.byMonthDay != nil && !slices.Contains(n.byMonthDay, d.Day()) && !slices.Contains(n.byMonthDay, d.Day()-inMonth-1) {
		return false
	}
	if n.byDay != nil {
		if !slices.Contains(n.byDay, d.Weekday()) {
			return false
		}
		if n.nth > 0 && (d.Day()-1)/7+1 != n.nth || n.nth < 0 && (inMonth-d.Day())/7+1 != -n.nth {
			return false
		}
	}
	if n.byDay == nil && n.byMonthDay == nil {
		switch n.freq {
		case "WEEKLY":
			return d.Weekday() == start.Weekday()
		case "YEARLY":
			return d.Day() == start.Day() && (n.byMonth != nil || d.Month() == start.Month())
		case "MONTHLY":
			return d.Day() == start.Day()
		}
	}
	return true
}

// expand calls yield with each day, until it returns false.
func (n naive) expand(start time.Time, yield func(time.Time) bool) {
	first := start.AddDate(0, 0, -366) // all of the period of the start, for setPos
	var period []time.Time
	for d := first; d.Year() <= 2201; d = d.AddDate(0, 0, 1) {
		if n.period(d) != n.period(d.AddDate(0, 0, -1)) {
			for i, p := range period {
				if n.setPos != nil && !slices.Contains(n.setPos, i+1) && !slices.Contains(n.setPos, i-len(period)) {
					continue
				}
				if p.Year() > yearMax || !p.Before(start) && !yield(p) {
					return
				}
			}
			period = nil
		}
		if (n.period(d)-n.period(start))%n.interval == 0 && n.matches(d, start) {
			period = append(period, d)
		}
	}
}

// naiveMoment looks for a local time quarter of an hour by quarter.
func naiveMoment(local time.Time, z *time.Location) int64 {
	const form = "2006-01-02T15:04"
	want, offset := local.Format(form), 0
	for t := local.Add(-26 * time.Hour); t.Before(local.Add(26 * time.Hour)); t = t.Add(15 * time.Minute) {
		switch shown := t.In(z).Format(form); {
		case shown == want:
			return t.UnixMilli()
		case shown < want:
			_, offset = t.In(z).Zone()
		}
	}
	return local.UnixMilli() - int64(offset)*1000
}

func TestExpandAgainstNaive(t *testing.T) {
	expanded, mismatched := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		list := func(name string, least, most int) []int {
			ints := rapid.SliceOfNDistinct(rapid.IntRange(least, most), 1, 4, rapid.ID[int]).Draw(t, name)
			return slices.DeleteFunc(ints, func(n int) bool { return n == 0 })
		}
		weekdays := func() []time.Weekday {
			var days []time.Weekday
			for _, d := range rapid.SliceOfNDistinct(rapid.IntRange(0, 6), 1, 4, rapid.ID[int]).Draw(t, "byDay") {
				days = append(days, time.Weekday(d))
			}
			return days
		}
		n := naive{
			freq:     rapid.SampledFrom([]string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}).Draw(t, "freq"),
			interval: rapid.IntRange(1, 5).Draw(t, "interval"),
			wkst:     time.Weekday(rapid.IntRange(0, 6).Draw(t, "wkst")),
		}
		if rapid.IntRange(0, 3).Draw(t, "months") == 0 {
			n.byMonth = list("byMonth", 1, 12)
		}
		kind := rapid.IntRange(0, 4).Draw(t, "kind")
		if (kind == 1 || kind == 2 || kind == 4) && (n.freq != "YEARLY" || n.byMonth != nil || kind == 4) {
			n.byDay = weekdays()
		}
		monthly := n.freq == "MONTHLY" || n.freq == "YEARLY" && n.byMonth != nil
		if kind == 2 && monthly {
			n.nth = rapid.SampledFrom([]int{1, 2, 3, 4, 5, -1, -2, -5}).Draw(t, "nth")
		}
		if kind == 3 && n.freq != "WEEKLY" {
			if days := list("byMonthDay", -31, 31); len(days) > 0 {
				n.byMonthDay = days
			}
		}
		if kind == 4 && (n.freq == "MONTHLY" || n.freq == "YEARLY") {
			if pos := list("setPos", -6, 6); len(pos) > 0 {
				n.setPos = pos
			}
		}

		// The start is at a quarter of an hour, near a change of the clocks, and mostly on a day of the rule.
		c := rapid.SampledFrom(changes).Draw(t, "change")
		z, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		near, _ := time.Parse("2006-01-02", c.day)
		near = near.AddDate(0, 0, rapid.IntRange(-60, 2).Draw(t, "days")).Add(time.Duration(rapid.IntRange(0, 95).Draw(t, "quarters")) * 15 * time.Minute)
		start := near
		if rapid.IntRange(0, 9).Draw(t, "off") > 0 {
			n.expand(near, func(d time.Time) bool { start = d; return false })
		}
		first := Slot{Start: naiveMoment(start, z)}
		first.End = first.Start + 15*60_000
		if wallOf(first.Start, z) != wall(start.UnixMilli()) {
			t.Skip("the start is at a time that is not there")
		}

		count, until, end := 0, int64(1)<<62, ""
		switch last := start.AddDate(0, 0, rapid.IntRange(0, 900).Draw(t, "last")); rapid.IntRange(0, 3).Draw(t, "end") {
		case 0:
			count = rapid.IntRange(1, 60).Draw(t, "count")
			end = fmt.Sprintf(";COUNT=%d", count)
		case 1:
			until = naiveMoment(last, z)
			end = time.UnixMilli(until).UTC().Format(";UNTIL=20060102T150405Z")
		case 2:
			until = naiveMoment(last, z)
			end = last.Format(";UNTIL=20060102T150405")
		case 3:
			last = last.Truncate(24 * time.Hour)
			until = naiveMoment(last.Add(24*time.Hour), z) - 1
			if wallOf(until+1, z) != wall(last.Add(24*time.Hour).UnixMilli()) {
				t.Skip("the day after the last one begins at a time that is not there")
			}
			end = last.Format(";UNTIL=20060102")
		}
		const most = 1000
		got, err := Expand(n.String()+end, first, z, nil, most)

		var want []Slot
		n.expand(start, func(d time.Time) bool {
			at := naiveMoment(d, z)
			if at > until {
				return false
			}
			want = append(want, Slot{at, at + 15*60_000})
			return count == 0 || len(want) < count
		})
		if len(want) == 0 || want[0] != first {
			mismatched++
			var e *Error
			if !errors.As(err, &e) || e.Code != BadPayload || !strings.Contains(e.Message, "does not match the start") && !strings.Contains(e.Message, "is before the start") {
				t.Fatalf("%s%s does not match %s in %s: %v", n, end, clock(wall(start.UnixMilli())), z, err)
			}
			return
		}
		if len(want) < count {
			refused(t, err, BadPayload, fmt.Sprintf("COUNT is %d, and there are only %d occurrences up to the year 2200", count, len(want)))
			return
		}
		var e *Error
		if errors.As(err, &e) && e.Code == InvalidInterval { // a day that is not there falls on another
			if !slices.ContainsFunc(want[1:], func(s Slot) bool { return slices.Index(want, s) != len(want)-1-slices.Index(reversed(want), s) }) {
				t.Fatalf("%s%s: %v, and no two are the same", n, end, err)
			}
			return
		}
		expanded++
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%s%s from %s in %s\ngot  %s, %v\nwant %s", n, end, clock(wall(start.UnixMilli())), z, starts(got, z), err, starts(want, z))
		}
	})
	t.Logf("%d rules expanded, %d did not match the start", expanded, mismatched)
}

func reversed(slots []Slot) []Slot {
	slots = slices.Clone(slots)
	slices.Reverse(slots)
	return slots
}

func TestShift(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	series, err := Expand("FREQ=WEEKLY;COUNT=4", Slot{ms(t, "2026-10-13T10:00+02:00"), ms(t, "2026-10-13T11:00+02:00")}, z, nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{"2026-10-13T10:00+02:00", "2026-10-14T09:30+02:00", // the change is on the 25th
			"2026-10-14T09:30+02:00 2026-10-21T09:30+02:00 2026-10-28T09:30+01:00 2026-11-04T09:30+01:00"},
		{"2026-10-27T10:00+01:00", "2026-10-20T10:00+02:00", // a week earlier, over the change
			"2026-10-06T10:00+02:00 2026-10-13T10:00+02:00 2026-10-20T10:00+02:00 2026-10-27T10:00+01:00"},
		{"2026-10-20T10:00+02:00", "2026-10-25T02:30+01:00", // the second of two
			"2026-10-18T02:30+02:00 2026-10-25T02:30+01:00 2026-11-01T02:30+01:00 2026-11-08T02:30+01:00"},
		{"2026-10-13T10:00+02:00", "2026-10-18T02:30+02:00", // the first of two
			"2026-10-18T02:30+02:00 2026-10-25T02:30+02:00 2026-11-01T02:30+01:00 2026-11-08T02:30+01:00"},
		{"2026-10-13T10:00+02:00", "2027-03-21T02:30+01:00", // skipped
			"2027-03-21T02:30+01:00 2027-03-28T03:30+02:00 2027-04-04T02:30+02:00 2027-04-11T02:30+02:00"},
	} {
		from, to := ms(t, c.from), ms(t, c.to)
		got, err := Shift(series, z, Slot{from, from + hour}, Slot{to, to + 2*hour})
		if err != nil || starts(got, z) != c.want {
			t.Errorf("from %s to %s\ngot  %s, %v\nwant %s", c.from, c.to, starts(got, z), err, c.want)
		}
		for _, s := range got {
			if s.End-s.Start != 2*hour {
				t.Errorf("a slot of %d ms", s.End-s.Start)
			}
		}
	}
	from := series[0]
	_, err = Shift(series, z, from, Slot{from.Start, from.Start})
	refused(t, err, InvalidInterval, "is not after the start")
	_, err = Shift(series, z, from, Slot{from.Start, from.Start + 7*24*hour + 1})
	refused(t, err, InvalidInterval, "the occurrences at Tue 2026-10-13T10:00:00 and Tue 2026-10-20T10:00:00 overlap")
	_, err = Shift(series, z, from, Slot{momentEnd - 2*hour, momentEnd - hour})
	refused(t, err, BadPayload, "want times in the years 1970 to 2200")
	if got, err := Shift(nil, z, from, from); got != nil || err != nil {
		t.Errorf("nothing moved is %v, %v", got, err)
	}
}

// No text makes Expand panic or go on for long, and what it takes is a recurrence: in order, apart, and all alike.
func FuzzExpand(f *testing.F) {
	for _, rule := range []string{
		"FREQ=DAILY;COUNT=3", "FREQ=WEEKLY;BYDAY=TU,TH;UNTIL=20261231T235959Z", "FREQ=MONTHLY;BYDAY=-1FR;COUNT=5;WKST=SU",
		"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=5", "FREQ=MONTHLY;BYDAY=53MO;COUNT=5", "FREQ=DAILY;INTERVAL=9223372036854775807;COUNT=5",
		"FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1;BYHOUR=1,2;BYMINUTE=0;BYSECOND=0;COUNT=9", "FREQ=YEARLY;BYYEARDAY=1,-1;INTERVAL=4;UNTIL=20991231",
		"FREQ=YEARLY;BYDAY=53TH;COUNT=5", "DTSTART:20261124T100000\nRRULE:FREQ=DAILY", "RRULE:freq=daily;until=22001231T000000",
	} {
		for i := range changes {
			f.Add(rule, int64(1_800_000_000_000), hour, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, rule string, start, length int64, change uint8) {
		sound(t, rule, Slot{start, start + length}, zone(t, changes[int(change)%len(changes)].zone))
	})
}

// The same for rules that have something of all parts, sound or not.
func TestExpandAnyParts(t *testing.T) {
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.IntRange(-6, 6), rapid.IntRange(-53, 53), rapid.IntRange(-366, 366))
		numbers := rapid.Custom(func(t *rapid.T) string {
			list := rapid.SliceOfN(number, 1, 5).Draw(t, "list")
			return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
		})
		day := rapid.SampledFrom([]string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"})
		rule := "FREQ=" + rapid.SampledFrom([]string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}).Draw(t, "freq")
		for _, part := range rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 0, 4, rapid.ID[int]).Draw(t, "parts") {
			switch part {
			case 0:
				rule += fmt.Sprintf(";INTERVAL=%d", rapid.IntRange(1, intervalMax).Draw(t, "interval"))
			case 1:
				rule += ";WKST=" + day.Draw(t, "wkst")
			case 2:
				rule += ";BYDAY=" + strings.Join(rapid.SliceOfN(day, 1, 7).Draw(t, "days"), ",")
			case 3:
				rule += fmt.Sprintf(";BYDAY=%d%s", number.Draw(t, "nth"), day.Draw(t, "day"))
			default:
				rule += ";" + []string{"BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYSETPOS", "BYHOUR", "BYMINUTE"}[part-4] + "=" + numbers.Draw(t, "numbers")
			}
		}
		rule += rapid.SampledFrom([]string{";COUNT=1", ";COUNT=7", ";UNTIL=20310101"}).Draw(t, "end")
		start := rapid.Int64Range(1_800_000_000, 1_800_000_000+2*366*86400).Draw(t, "start") * 1000
		z, err := Zone(rapid.SampledFrom(changes).Draw(t, "change").zone)
		if err != nil {
			t.Fatal(err)
		}
		if sound(t, rule, Slot{start, start + 1000}, z) {
			taken++
		}
	})
	t.Logf("%d rules taken", taken)
}

// sound expands a rule, and reports whether it was taken.
func sound(t interface{ Fatalf(string, ...any) }, rule string, first Slot, z *time.Location) bool {
	const most = 100
	hung := time.AfterFunc(30*time.Second, func() { panic(fmt.Sprintf("%q goes on for ever", rule)) })
	got, err := Expand(rule, first, z, nil, most)
	hung.Stop()
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Code != BadPayload && e.Code != InvalidInterval || len(e.Message) > 500 {
			t.Fatalf("%q: %v", rule, err)
		}
		return false
	}
	if len(got) == 0 || len(got) > most || got[0] != first {
		t.Fatalf("%q: %d slots, the first %v of %v", rule, len(got), got[0], first)
	}
	for i, s := range got {
		if s.End-s.Start != first.End-first.Start || i > 0 && s.Start < got[i-1].End {
			t.Fatalf("%q: slot %d is %v", rule, i, s)
		}
	}
	return true
}
