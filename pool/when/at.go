package when

import (
	"strings"
	"time"
)

// At reads a moment: RFC 3339 with an offset or Z, or a local time without, which counts in zone. Seconds may be left out,
// and may have up to three decimals. Without a zone (nil) the offset must be there. A local time that a clock change skips
// or repeats is refused as InvalidInterval; what can not be read is BadPayload.
func At(text string, zone *time.Location) (ms int64, err error) {
	const form = "want 2026-11-21T10:00, with seconds or without, and with Z, an offset such as +01:00, or neither"
	clock, offset := text, ""
	if len(text) > len("2006-01-02") {
		if i := strings.IndexAny(text[len("2006-01-02"):], "Z+-"); i >= 0 {
			clock, offset = text[:len("2006-01-02")+i], text[len("2006-01-02")+i:]
		}
	}
	t, ok := clockTime(clock)
	if !ok {
		return 0, bad("%.64q is not a time: %s", text, form)
	}
	if t.Year() < yearMin || t.Year() > yearMax {
		return 0, bad("%s is in the year %d: want %d to %d", text, t.Year(), yearMin, yearMax)
	}
	w := wall(t.UnixMilli())
	switch {
	case offset != "":
		ahead, ok := offsetTime(offset)
		if !ok {
			return 0, bad("%.64q has no offset that can be read: %s", text, form)
		}
		ms = int64(w) - ahead.Milliseconds()
	case zone == nil:
		return 0, bad("%s has no offset, and no zone to count in: add Z for UTC, or an offset such as +01:00", text)
	default:
		if ms, err = w.only(text, zone); err != nil {
			return 0, err
		}
	}
	if ms < 0 || ms >= momentEnd {
		return 0, bad("%s is %s: want the years %d to %d", text, utc(ms), yearMin, yearMax)
	}
	return ms, nil
}

// only returns the one moment at which the clock in zone shows w.
func (w wall) only(text string, zone *time.Location) (int64, error) {
	r := w.read(zone)
	switch len(r.moments) {
	case 1:
		return r.moments[0], nil
	case 0:
		from, to, form := wall(r.change+r.before), wall(r.change+r.after), "15:04"
		that := " that day"
		if from/day != to/day {
			form, that = "2006-01-02 15:04", ""
		}
		return 0, invalid("%s does not exist in %s: the clocks go from %s to %s%s; choose another time",
			text, zone, from.time().Format(form), to.time().Format(form), that)
	}
	first, second := time.UnixMilli(r.moments[0]).In(zone), time.UnixMilli(r.moments[1]).In(zone)
	return 0, invalid("%s is there twice in %s: write it with its offset, %s%s or %s%s",
		text, zone, text, first.Format("-07:00"), text, second.Format("-07:00"))
}

// clockTime reads a date and a time of day. That they print as they were written refuses what time.Parse is lenient about.
func clockTime(text string) (time.Time, bool) {
	const layout = "2006-01-02T15:04:05.000"
	switch n := len(text); n {
	case len("2006-01-02T15:04"), len("2006-01-02T15:04:05"), len(layout) - 2, len(layout) - 1, len(layout):
		t, err := time.Parse(layout[:n], text)
		return t, err == nil && t.Format(layout[:n]) == text
	}
	return time.Time{}, false
}

// offsetTime reads "Z", or how far local time is ahead of UTC.
func offsetTime(text string) (time.Duration, bool) {
	if text == "Z" {
		return 0, true
	}
	t, err := time.Parse("15:04", text[1:])
	if err != nil || t.Format("15:04") != text[1:] || text[0] == 'Z' {
		return 0, false
	}
	ahead := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	if text[0] == '-' {
		ahead = -ahead
	}
	return ahead, true
}
