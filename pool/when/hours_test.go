package when

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func hours(t testing.TB, table map[string]string, zoneName string) *Hours {
	t.Helper()
	h, err := ParseHours(table, zone(t, zoneName))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// stretches are all that is open in [from, to).
func stretches(h *Hours, from, to int64) []Slot {
	var all []Slot
	for {
		start, end, ok := h.Next(from, to)
		if !ok {
			return all
		}
		all, from = append(all, Slot{start, end}), end
	}
}

func TestHours(t *testing.T) {
	office := map[string]string{"mon-fri": "08:00-20:00", "sat": "09:00-13:00,14:00-18:00"}
	bar := map[string]string{"fri,sat": "22:00-03:00"}
	club := map[string]string{"daily": "00:00-24:00"}
	for _, c := range []struct {
		name     string
		table    map[string]string
		zone     string
		from, to string
		want     string // starts and ends in UTC
	}{
		{"office, Friday to Monday", office, "Europe/Berlin", "2026-11-20T00:00Z", "2026-11-23T12:00Z",
			"11-20T07:00/11-20T19:00 11-21T08:00/11-21T12:00 11-21T13:00/11-21T17:00 11-23T07:00/11-23T12:00"},
		{"office, over the change", office, "Europe/Berlin", "2026-03-27T00:00Z", "2026-03-31T00:00Z",
			"03-27T07:00/03-27T19:00 03-28T08:00/03-28T12:00 03-28T13:00/03-28T17:00 03-30T06:00/03-30T18:00"},
		{"bar, the clocks forward: four hours", bar, "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-30T00:00Z", "03-28T21:00/03-29T01:00"},
		{"bar, the clocks back: six hours", bar, "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-26T00:00Z", "10-24T20:00/10-25T02:00"},
		{"closes at a time that is skipped", map[string]string{"sat": "22:00-02:30"}, "Europe/Berlin",
			"2026-03-28T12:00Z", "2026-03-30T00:00Z", "03-28T21:00/03-29T01:00"},
		{"opens at a time that is skipped", map[string]string{"sun": "02:30-04:00"}, "Europe/Berlin",
			"2026-03-28T12:00Z", "2026-03-30T00:00Z", "03-29T01:00/03-29T02:00"},
		{"only at times that are skipped", map[string]string{"sun": "02:10-02:50"}, "Europe/Berlin",
			"2026-03-28T12:00Z", "2026-04-06T00:00Z", "04-05T00:10/04-05T00:50"},
		{"closes at a time that is repeated", map[string]string{"sat": "22:00-02:30"}, "Europe/Berlin",
			"2026-10-24T12:00Z", "2026-10-26T00:00Z", "10-24T20:00/10-25T00:30"},
		{"opens at a time that is repeated", map[string]string{"sun": "02:30-04:00"}, "Europe/Berlin",
			"2026-10-24T12:00Z", "2026-10-26T00:00Z", "10-25T00:30/10-25T03:00"},
		{"touch at a time that is skipped", map[string]string{"sun": "01:00-02:30,02:30-04:00"}, "Europe/Berlin",
			"2026-03-28T12:00Z", "2026-03-30T00:00Z", "03-29T00:00/03-29T02:00"},
		{"touch at midnight", map[string]string{"mon": "18:00-24:00", "tue": "00:00-06:00"}, "America/New_York",
			"2026-11-22T00:00Z", "2026-11-29T00:00Z", "11-23T23:00/11-24T11:00"},
		{"touch over midnight", map[string]string{"sun": "22:00-02:00", "mon": "02:00-06:00"}, "UTC",
			"2026-11-22T00:00Z", "2026-11-29T00:00Z", "11-22T22:00/11-23T06:00"},
		{"all but an hour", map[string]string{"tue-sun": "00:00-24:00", "mon": "01:00-24:00"}, "UTC",
			"2026-11-22T00:00Z", "2026-12-01T00:00Z", "11-22T00:00/11-23T00:00 11-23T01:00/11-30T00:00 11-30T01:00/12-01T00:00"},
		{"always", club, "Europe/Berlin", "2026-03-28T00:00Z", "2026-04-28T00:00Z", "03-28T00:00/04-28T00:00"},
		{"noon to noon", map[string]string{"daily": "12:00-11:59"}, "UTC", "2026-11-22T12:00Z", "2026-11-23T12:00Z", "11-22T12:00/11-23T11:59"},
		{"a day that is not there", map[string]string{"thu-sat": "08:00-09:00"}, "Pacific/Apia",
			"2011-12-29T00:00Z", "2012-01-01T00:00Z", "12-29T18:00/12-29T19:00 12-30T18:00/12-30T19:00"},
		{"half an hour", map[string]string{"sat": "22:00-03:00"}, "Australia/Lord_Howe",
			"2026-10-03T00:00Z", "2026-10-05T00:00Z", "10-03T11:30/10-03T16:00"},
		{"never", map[string]string{"daily": "closed"}, "UTC", "2026-10-03T00:00Z", "2026-11-05T00:00Z", ""},
		{"range over the week's end, capitals, spaces", map[string]string{"Sat-Mon, Wed": " 10:00-11:00 , 09:00-09:30"}, "UTC",
			"2026-11-22T09:15Z", "2026-11-25T09:20Z",
			"11-22T09:15/11-22T09:30 11-22T10:00/11-22T11:00 11-23T09:00/11-23T09:30 11-23T10:00/11-23T11:00 11-25T09:00/11-25T09:20"},
	} {
		got := ""
		for i, s := range stretches(hours(t, c.table, c.zone), ms(t, c.from), ms(t, c.to)) {
			if i > 0 {
				got += " "
			}
			got += time.UnixMilli(s.Start).UTC().Format("01-02T15:04") + "/" + time.UnixMilli(s.End).UTC().Format("01-02T15:04")
		}
		if got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestOpen(t *testing.T) {
	h := hours(t, map[string]string{"mon-fri": "08:00-20:00", "sat": "20:00-02:00"}, "Europe/Berlin")
	open, shut := ms(t, "2026-11-23T08:00+01:00"), ms(t, "2026-11-23T20:00+01:00")
	for _, c := range []struct {
		start, end int64
		want       bool
	}{
		{open, shut, true}, {open - 1, shut, false}, {open, shut + 1, false}, {open, open + 1, true}, {shut, shut + 1, false},
		{open, open, false}, {shut, open, false}, {open, shut + 24*hour, false},
		{ms(t, "2026-11-22T00:00+01:00"), ms(t, "2026-11-22T02:00+01:00"), true},
		{math.MinInt64, math.MaxInt64, false}, {open, math.MaxInt64, false}, {math.MaxInt64 - 1, math.MaxInt64, false},
	} {
		if got := h.Open(c.start, c.end); got != c.want {
			t.Errorf("%s to %s: open is %v", utc(c.start), utc(c.end), got)
		}
	}
	var none *Hours
	if !none.Open(open, open+1) || none.Open(open, open) || !none.Open(math.MinInt64, math.MaxInt64) {
		t.Error("a nil *Hours is not always open")
	}
	if start, end, ok := none.Next(3, 7); start != 3 || end != 7 || !ok {
		t.Error("nor has it all as one stretch")
	}
	if h, err := ParseHours(nil, time.UTC); h != nil || err != nil {
		t.Errorf("an empty table is %v, %v", h, err)
	}
}

func TestParseHoursRefuses(t *testing.T) {
	const form = "want hours such as 08:00-20:00 or 22:00-02:00, several with commas between them, or closed"
	for _, c := range []struct {
		table     map[string]string
		key, want string
	}{
		{map[string]string{"monday": "08:00-20:00"}, "monday", `hours of monday: "monday" is no day: want mon, tue,`},
		{map[string]string{"": "08:00-20:00"}, "", "is no day"},
		{map[string]string{"mon-": "08:00-20:00"}, "mon-", "is no day"},
		{map[string]string{"mon,": "08:00-20:00"}, "mon,", "is no day"},
		{map[string]string{"mon-daily": "08:00-20:00"}, "mon-daily", "is no day"},
		{map[string]string{"mon-wed,tue": "08:00-20:00"}, "mon-wed,tue", "tue is there twice"},
		{map[string]string{"mon": ""}, "mon", `hours of mon: "" can not be read: ` + form},
		{map[string]string{"mon": "8:00-20:00"}, "mon", form},
		{map[string]string{"mon": "08:00"}, "mon", form},
		{map[string]string{"mon": "08:00-20:00,"}, "mon", form},
		{map[string]string{"mon": "08:00-20:00,closed"}, "mon", form},
		{map[string]string{"mon": "08:00-24:01"}, "mon", form},
		{map[string]string{"mon": "24:00-08:00"}, "mon", form},
		{map[string]string{"mon": "08:00-20:60"}, "mon", form},
		{map[string]string{"mon": "08:00-08:00"}, "mon", "08:00-08:00 ends where it starts: write 00:00-24:00 for all day"},
		{map[string]string{"mon": "08:00-12:00,11:00-14:00"}, "mon", "hours of mon: 11:00-14:00 overlaps 08:00-12:00"},
		{map[string]string{"mon": "22:00-02:00,23:00-24:00"}, "mon", "23:00-00:00 overlaps 22:00-02:00"},
		{map[string]string{"sun": "22:00-02:00", "mon": "01:00-08:00"}, "sun", "22:00-02:00 on sun runs into 01:00-08:00 on mon"},
		{map[string]string{"daily": "20:00-08:00,07:00-09:00"}, "daily", "20:00-08:00 on sun runs into 07:00-09:00 on mon"},
		{map[string]string{"mon-fri": "08:00-12:00", "daily": "14:00-18:00"}, "mon-fri", `mon is in "daily" too: write all its hours in one place`},
		{map[string]string{"sat": "closed", "sat,sun": "closed"}, "sat,sun", `sat is in "sat" too`},
	} {
		_, err := ParseHours(c.table, time.UTC)
		refused(t, err, BadPayload, c.want)
		var e *Error
		if errors.As(err, &e) && e.Key != c.key {
			t.Errorf("%v: the key is %q, want %q", c.table, e.Key, c.key)
		}
	}
}

// The oracle is a door keeper who looks at the table each minute, and at a clock of whose times the latest counts: when it
// goes back, nothing changes until it has come again to where it was.
func TestHoursAgainstDoorKeeper(t *testing.T) {
	const minute = int64(60_000)
	looked := 0
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(changes).Draw(t, "change")
		// What is open, by the minute of the week from Sunday on.
		var week [7 * 24 * 60]bool
		table := map[string]string{}
		for d, name := range dayNames {
			edges := rapid.SliceOfNDistinct(rapid.IntRange(0, 96), 0, 6, rapid.ID[int]).Draw(t, name)
			slices.Sort(edges)
			text := ""
			for i := 0; i+1 < len(edges); i += 2 {
				from, to := edges[i]*15, edges[i+1]*15
				text += fmt.Sprintf(",%02d:%02d-%02d:%02d", from/60, from%60, to/60, to%60)
				for m := from; m < to; m++ {
					week[d*24*60+m] = true
				}
			}
			switch night := rapid.IntRange(-30, 9).Draw(t, "night") * 15; {
			case night > 0 && len(edges) < 2:
				for m := range 24*60 - 23*60 + night {
					week[(d*24*60+23*60+m)%len(week)] = true
				}
				text += fmt.Sprintf(",23:00-%02d:%02d", night/60, night%60)
			case text == "":
				text = ",closed"
			}
			table[name] = text[1:]
		}
		z, err := Zone(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHours(table, z)
		if err != nil {
			t.Skip(err) // a night that runs into the next day's hours
		}
		looked++
		near, _ := time.Parse("2006-01-02", c.day)
		from := near.AddDate(0, 0, -7).UnixMilli() + rapid.Int64Range(0, 24*60).Draw(t, "from")*minute
		to := from + 14*24*60*minute
		var want []Slot
		latest := time.Time{}
		for at := from - 3*24*60*minute; at < to; at += minute {
			shown, _ := time.Parse("2006-01-02T15:04", time.UnixMilli(at).In(z).Format("2006-01-02T15:04"))
			if shown.After(latest) {
				latest = shown
			}
			if at < from || !week[int(latest.Weekday())*24*60+latest.Hour()*60+latest.Minute()] {
				continue
			}
			if n := len(want); n > 0 && want[n-1].End == at {
				want[n-1].End += minute
			} else {
				want = append(want, Slot{at, at + minute})
			}
		}
		if got := stretches(h, from, to); !slices.Equal(got, want) {
			t.Fatalf("%v in %s\ngot  %s\nwant %s", table, z, starts(got, z), starts(want, z))
		}
		for range 20 {
			start := rapid.Int64Range(from, to-1).Draw(t, "start")
			end := rapid.Int64Range(start+1, min(to, start+12*hour)).Draw(t, "end")
			within := slices.ContainsFunc(want, func(s Slot) bool { return s.Start <= start && end <= s.End })
			if h.Open(start, end) != within {
				t.Fatalf("%v in %s: open from %s to %s is %v", table, z, utc(start), utc(end), !within)
			}
		}
	})
	t.Logf("%d tables looked at", looked)
}
