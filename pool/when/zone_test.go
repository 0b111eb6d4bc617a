package when

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// ms is the moment of text, which has an offset.
func ms(t testing.TB, text string) int64 {
	t.Helper()
	at, err := At(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func refused(t interface {
	Helper()
	Errorf(string, ...any)
}, err error, code, text string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Errorf("got %v, want it refused: %s", err, text)
	} else if e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("got %v\nwant %s: %s", e, code, text)
	}
}

// Around each of these the clocks change in a zone, or do not.
var changes = []struct{ zone, day string }{
	{"Europe/Berlin", "2026-03-29"}, {"Europe/Berlin", "2026-10-25"}, {"Europe/Berlin", "2027-03-28"}, {"Europe/Berlin", "2027-10-31"},
	{"America/New_York", "2026-03-08"}, {"America/New_York", "2026-11-01"}, {"America/New_York", "2151-03-14"},
	{"Australia/Lord_Howe", "2026-04-05"}, {"Australia/Lord_Howe", "2026-10-04"}, // half an hour
	{"Africa/Casablanca", "2026-02-15"}, {"Africa/Casablanca", "2026-03-22"}, // back in Ramadan
	{"Africa/Cairo", "2026-04-24"}, {"Africa/Cairo", "2026-10-29"}, // at midnight
	{"America/Sao_Paulo", "2018-11-04"}, {"America/Sao_Paulo", "2018-02-17"}, // at midnight
	{"America/St_Johns", "1988-04-03"}, {"America/St_Johns", "2010-11-07"}, // two hours; a minute after midnight
	{"Antarctica/Troll", "2026-03-29"}, {"Antarctica/Troll", "2026-10-25"}, // two hours
	{"Asia/Kathmandu", "1986-01-01"}, {"Asia/Kathmandu", "2026-03-29"}, // a quarter of an hour; and never more
	{"Pacific/Apia", "2011-12-30"},      // the day is not there
	{"Pacific/Kwajalein", "1993-08-21"}, // nor this
	{"UTC", "2026-03-29"},
	{"America/New_York", "2152-12-31"}, {"Europe/Berlin", "2040-12-31"}, // of which the time package gets the bounds wrong
}

func TestZone(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "UTC", "Asia/Kathmandu", "Etc/GMT+5", "America/Argentina/Buenos_Aires"} {
		if z, err := Zone(name); err != nil || z.String() != name {
			t.Errorf("%s: %v, %v", name, z, err)
		}
	}
	for _, name := range []string{
		"", "Local", "localtime", "Berlin", "Europe", "Europe/Bärlin", "CEST", "+01:00", "../etc/passwd", "/etc/localtime", "Factory",
		"right/Europe/Berlin", "posix/Europe/Berlin", "posixrules", "tzdata.zi", "Europe/Berlin\x00", strings.Repeat("x", 1<<20),
	} {
		_, err := Zone(name)
		refused(t, err, BadPayload, ": want an IANA name such as Europe/Berlin")
		if text := fmt.Sprint(err); len(text) > 400 {
			t.Errorf("an error of %d bytes", len(text))
		}
	}
	_, err := Zone("Mars/Olympus")
	refused(t, err, BadPayload, `there is no zone "Mars/Olympus": want an IANA name such as Europe/Berlin`)
}

// A clock that is watched for four days shows each minute at just those moments that read finds.
func TestReadAgainstWatchedClock(t *testing.T) {
	for _, c := range changes {
		z := zone(t, c.zone)
		noon := ms(t, c.day+"T12:00Z")
		shown := make(map[wall][]int64)
		const minute = 60_000
		for at := noon - 96*60*minute; at < noon+96*60*minute; at += minute {
			w := wallOf(at, z)
			if got := wall(time.UnixMilli(at).In(z).Hour()); got != (w%day+day)%day/(60*minute) {
				t.Fatalf("%s: the clock shows %d hours, and wallOf %d", z, got, w)
			}
			shown[w] = append(shown[w], at)
		}
		last := noon - 96*60*minute
		for w := wall(noon - 48*60*minute); w < wall(noon+48*60*minute); w += minute {
			got := w.read(z)
			if !slices.Equal(got.moments, shown[w]) {
				t.Errorf("%s: %s is at %v, was seen at %v", z, clock(w), got.moments, shown[w])
			}
			for turn := w.turn(z); last < turn; last += minute {
				if wallOf(last, z) >= w {
					t.Fatalf("%s: the clock turned to %s at %s, not %s", z, clock(w), utc(last), utc(turn))
				}
			}
			if turn := w.turn(z); turn < last || wallOf(turn, z) < w {
				t.Fatalf("%s: at %s the clock has not turned to %s, or did before", z, utc(turn), clock(w))
			}
			if len(shown[w]) == 0 && w.moment(z) != int64(w)-(int64(wallOf(last-minute, z))-(last-minute)) {
				t.Fatalf("%s: %s, which is not there, is not counted by the offset before", z, clock(w))
			}
		}
	}
}

func TestAt(t *testing.T) {
	for _, c := range []struct{ text, zone, want string }{
		{"2026-11-21T10:00:00+01:00", "UTC", "2026-11-21T09:00:00Z"},
		{"2026-11-21T10:00+01:00", "UTC", "2026-11-21T09:00:00Z"},
		{"2026-11-21T10:00Z", "Europe/Berlin", "2026-11-21T10:00:00Z"},
		{"2026-11-21T10:00:00.25Z", "Europe/Berlin", "2026-11-21T10:00:00.25Z"},
		{"2026-11-21T10:00-05:45", "Europe/Berlin", "2026-11-21T15:45:00Z"},
		{"2026-11-21T10:00-00:00", "Europe/Berlin", "2026-11-21T10:00:00Z"},
		{"2026-11-21T10:00", "Europe/Berlin", "2026-11-21T09:00:00Z"},
		{"2026-07-21T10:00:30.125", "Europe/Berlin", "2026-07-21T08:00:30.125Z"},
		{"2026-11-21T10:00", "Asia/Kathmandu", "2026-11-21T04:15:00Z"},
		{"2026-03-29T01:59:59.999", "Europe/Berlin", "2026-03-29T00:59:59.999Z"},
		{"2026-03-29T03:00", "Europe/Berlin", "2026-03-29T01:00:00Z"},
		{"2026-10-25T03:00", "Europe/Berlin", "2026-10-25T02:00:00Z"},
		{"2026-10-25T02:30+02:00", "Europe/Berlin", "2026-10-25T00:30:00Z"},
		{"2026-10-25T02:30+01:00", "Europe/Berlin", "2026-10-25T01:30:00Z"},
		{"2011-12-29T23:59", "Pacific/Apia", "2011-12-30T09:59:00Z"},
		{"2011-12-31T00:00", "Pacific/Apia", "2011-12-30T10:00:00Z"},
		{"2028-02-29T00:00", "UTC", "2028-02-29T00:00:00Z"},
		{"1970-01-01T00:00Z", "UTC", "1970-01-01T00:00:00Z"},
		{"2200-12-31T23:59:59.999Z", "UTC", "2200-12-31T23:59:59.999Z"},
	} {
		if got, err := At(c.text, zone(t, c.zone)); err != nil || utc(got) != c.want && got != ms(t, c.want) {
			t.Errorf("%s in %s is %s, %v, want %s", c.text, c.zone, utc(got), err, c.want)
		}
	}
	for _, c := range []struct{ text, zone, want string }{
		{"2026-03-29T02:30", "Europe/Berlin", "2026-03-29T02:30 does not exist in Europe/Berlin: the clocks go from 02:00 to 03:00 that day; choose another time"},
		{"2026-03-29T02:00:00", "Europe/Berlin", "the clocks go from 02:00 to 03:00"},
		{"2027-03-28T02:59:59.999", "Europe/Berlin", "does not exist"},
		{"2026-10-25T02:30", "Europe/Berlin", "2026-10-25T02:30 is there twice in Europe/Berlin: write it with its offset, 2026-10-25T02:30+02:00 or 2026-10-25T02:30+01:00"},
		{"2027-10-31T02:00", "Europe/Berlin", "is there twice"},
		{"2026-03-08T02:30", "America/New_York", "the clocks go from 02:00 to 03:00 that day"},
		{"2026-11-01T01:30", "America/New_York", "2026-11-01T01:30-04:00 or 2026-11-01T01:30-05:00"},
		{"2151-03-14T02:30", "America/New_York", "the clocks go from 02:00 to 03:00 that day"},
		{"2026-10-04T02:15", "Australia/Lord_Howe", "the clocks go from 02:00 to 02:30 that day"},
		{"2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-05T01:45+11:00 or 2026-04-05T01:45+10:30"},
		{"2011-12-30T00:00", "Pacific/Apia", "the clocks go from 2011-12-30 00:00 to 2011-12-31 00:00; choose another time"},
		{"2011-12-30T23:59", "Pacific/Apia", "does not exist in Pacific/Apia"},
		{"2026-03-22T02:30", "Africa/Casablanca", "the clocks go from 02:00 to 03:00 that day"},
		{"2026-02-15T02:30", "Africa/Casablanca", "2026-02-15T02:30+01:00 or 2026-02-15T02:30+00:00"},
		{"2026-04-24T00:30", "Africa/Cairo", "the clocks go from 00:00 to 01:00 that day"},
	} {
		_, err := At(c.text, zone(t, c.zone))
		refused(t, err, InvalidInterval, c.want)
	}
	for text, want := range map[string]string{
		"":                               "is not a time: want 2026-11-21T10:00",
		"tomorrow":                       "is not a time",
		"1763719200000":                  "is not a time",
		"2026-11-21":                     "is not a time",
		"2026-11-21 10:00":               "is not a time",
		"2026-11-21T1:00":                "is not a time",
		"2026-11-21T24:00":               "is not a time",
		"2026-02-29T10:00":               "is not a time",
		"2026-11-21T10:00:60Z":           "is not a time",
		"2026-11-21T10:00:00,5Z":         "is not a time",
		"2026-11-21T10:00:00.0001Z":      "is not a time",
		"2026-11-21T10:00z":              "is not a time",
		"2026-11-21T10:00ZZ":             "no offset that can be read",
		"2026-11-21T10:00Z01:00":         "no offset that can be read",
		"2026-11-21T10:00+1":             "no offset that can be read",
		"2026-11-21T10:00+0100":          "no offset that can be read",
		"2026-11-21T10:00+25:00":         "no offset that can be read",
		"2026-11-21T10:00+01:00[Europe]": "no offset that can be read",
		"12026-11-21T10:00":              "is not a time",
		"0000-01-01T00:00":               "is in the year 0: want 1970 to 2200",
		"1969-12-31T23:59":               "is in the year 1969: want 1970 to 2200",
		"2201-01-01T00:00Z":              "is in the year 2201: want 1970 to 2200",
		"1970-01-01T00:00+14:00":         "1970-01-01T00:00+14:00 is 1969-12-31T10:00:00Z: want the years",
		"2200-12-31T23:00-05:00":         "want the years 1970 to 2200",
		strings.Repeat("9", 1<<20):       "is not a time",
	} {
		_, err := At(text, time.UTC)
		refused(t, err, BadPayload, want)
		if text := fmt.Sprint(err); len(text) > 400 {
			t.Errorf("an error of %d bytes", len(text))
		}
	}
	_, err := At("2026-11-21T10:00", nil)
	refused(t, err, BadPayload, "2026-11-21T10:00 has no offset, and no zone to count in: add Z for UTC")
}

// What At takes it takes again, as the moment and as the local time that it came to.
func FuzzAt(f *testing.F) {
	for _, c := range changes {
		f.Add(c.day+"T02:30", c.zone)
		f.Add(c.day+"T00:00:00.5+01:00", c.zone)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		z, err := Zone(name)
		if err != nil {
			z = time.UTC
		}
		at, err := At(text, z)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != BadPayload && e.Code != InvalidInterval || len(e.Message) > 500 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if again, err := At(time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z"), z); err != nil || again != at {
			t.Fatalf("%q is %d, and then %d, %v", text, at, again, err)
		}
		if w := wallOf(at, z); w >= 0 && int64(w) < momentEnd {
			local := w.time().Format("2006-01-02T15:04:05.000")
			if again, err := At(local, z); err == nil && again != at || err != nil && len(w.read(z).moments) != 2 {
				t.Fatalf("%q is %s in %s, and then %d, %v", text, local, z, again, err)
			}
		}
	})
}
