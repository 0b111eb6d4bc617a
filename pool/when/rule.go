package when

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

const (
	ruleBytesMax = 1024
	listMax      = 64   // values in a list of a rule
	intervalMax  = 1000 // keeps the library's sums from overflowing
	timesMax     = 24   // times of day that BYHOUR, BYMINUTE and BYSECOND make together
)

// rule is a RRULE that has been found sound. The library takes rules that make it panic (FREQ=MONTHLY;BYDAY=53MO, or with
// a huge INTERVAL), that never end (FREQ=HOURLY;INTERVAL=2;BYHOUR=1), that it gets wrong (BYDAY=MO,1TU; BYWEEKNO without
// BYDAY), or that RFC 5545 forbids (COUNT=-1). None of these gets past parseRule.
type rule struct {
	option rrule.ROption
	count  int   // 0: until is set
	until  int64 // the last moment that an occurrence may start at
}

var freqs = map[string]rrule.Frequency{"DAILY": rrule.DAILY, "WEEKLY": rrule.WEEKLY, "MONTHLY": rrule.MONTHLY, "YEARLY": rrule.YEARLY}

var weekdays = map[string]rrule.Weekday{
	"MO": rrule.MO, "TU": rrule.TU, "WE": rrule.WE, "TH": rrule.TH, "FR": rrule.FR, "SA": rrule.SA, "SU": rrule.SU,
}

func parseRule(text string, zone *time.Location) (*rule, error) {
	const example = "such as FREQ=WEEKLY;BYDAY=TU;COUNT=10"
	if len(text) > ruleBytesMax {
		return nil, bad("the rule has %d bytes, and may have %d", len(text), ruleBytesMax)
	}
	if strings.ContainsAny(strings.TrimSpace(text), "\r\n") {
		return nil, bad("the rule has several lines: want one, %s; the start is told apart from it", example)
	}
	r := &rule{until: momentEnd - 1}
	parts := make(map[string]string)
	for part := range strings.SplitSeq(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(text)), "RRULE:"), ";") {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case strings.HasPrefix(name, "DTSTART"), strings.HasPrefix(name, "DTEND"):
			return nil, bad("the rule has %.32s: leave it out, for the first occurrence is the start and end of the request", name)
		case !ok || value == "":
			return nil, bad("the rule has %.64q: want NAME=VALUE, %s", part, example)
		case parts[name] != "":
			return nil, bad("the rule says %.32s twice", name)
		}
		parts[name] = value
		if err := r.set(name, value, zone); err != nil {
			return nil, err
		}
	}
	return r, r.check(parts)
}

// set takes one part of a rule.
func (r *rule) set(name, value string, zone *time.Location) (err error) {
	o := &r.option
	switch name {
	case "FREQ":
		freq, ok := freqs[value]
		if !ok {
			return bad("FREQ is %.32q: want DAILY, WEEKLY, MONTHLY or YEARLY", value)
		}
		o.Freq = freq
	case "INTERVAL":
		o.Interval, err = number(name, value, 1, intervalMax, false)
	case "COUNT":
		r.count, err = number(name, value, 1, 1<<31-1, false)
	case "UNTIL":
		r.until, err = until(value, zone)
	case "WKST":
		wkst, ok := weekdays[value]
		if !ok {
			return bad("WKST is %.32q: want MO, TU, WE, TH, FR, SA or SU", value)
		}
		o.Wkst = wkst
	case "BYDAY":
		o.Byweekday, err = days(value)
	case "BYSETPOS":
		o.Bysetpos, err = numbers(name, value, 1, 366, true)
	case "BYMONTH":
		o.Bymonth, err = numbers(name, value, 1, 12, false)
	case "BYMONTHDAY":
		o.Bymonthday, err = numbers(name, value, 1, 31, true)
	case "BYYEARDAY":
		o.Byyearday, err = numbers(name, value, 1, 366, true)
	case "BYHOUR":
		o.Byhour, err = numbers(name, value, 0, 23, false)
	case "BYMINUTE":
		o.Byminute, err = numbers(name, value, 0, 59, false)
	case "BYSECOND":
		o.Bysecond, err = numbers(name, value, 0, 59, false)
	case "BYWEEKNO":
		return bad("BYWEEKNO is not supported: use BYMONTH, BYMONTHDAY or BYYEARDAY")
	default:
		return bad("the rule has %.32q, which is no part of a RRULE of RFC 5545", name)
	}
	return err
}

// check looks at how the parts go together.
func (r *rule) check(parts map[string]string) error {
	o := &r.option
	freq := parts["FREQ"]
	has := func(name string) bool { return parts[name] != "" }
	nth, plain := false, false
	for _, d := range o.Byweekday {
		nth, plain = nth || d.N() != 0, plain || d.N() == 0
		if n := max(d.N(), -d.N()); n > 5 && (freq == "MONTHLY" || has("BYMONTH")) {
			return bad("BYDAY has %d: no month has more than 5 of a weekday", d.N())
		}
	}
	switch {
	case !has("FREQ"):
		return bad("the rule does not say FREQ: want DAILY, WEEKLY, MONTHLY or YEARLY")
	case has("COUNT") && has("UNTIL"):
		return bad("the rule says COUNT and UNTIL: say one of them")
	case !has("COUNT") && !has("UNTIL"):
		return bad("the rule has no end: say COUNT or UNTIL")
	case nth && plain:
		return bad("BYDAY is %s: number all of the days, or none", parts["BYDAY"])
	case nth && freq != "MONTHLY" && freq != "YEARLY":
		return bad("BYDAY is %s: days have numbers only with FREQ=MONTHLY or YEARLY", parts["BYDAY"])
	case has("BYMONTHDAY") && freq == "WEEKLY":
		return bad("BYMONTHDAY does not go with FREQ=WEEKLY: use FREQ=MONTHLY, or FREQ=DAILY with BYDAY")
	case has("BYYEARDAY") && freq != "YEARLY":
		return bad("BYYEARDAY goes only with FREQ=YEARLY")
	case has("BYSETPOS") && freq != "MONTHLY" && freq != "YEARLY":
		return bad("BYSETPOS is supported only with FREQ=MONTHLY or YEARLY")
	case has("BYSETPOS") && !has("BYDAY") && !has("BYMONTHDAY") && !has("BYYEARDAY") && !has("BYMONTH") && !has("BYHOUR") &&
		!has("BYMINUTE") && !has("BYSECOND"):
		return bad("BYSETPOS chooses among what another part says: add BYDAY, for instance")
	case max(1, len(o.Byhour))*max(1, len(o.Byminute))*max(1, len(o.Bysecond)) > timesMax:
		return bad("BYHOUR, BYMINUTE and BYSECOND make more than %d times a day", timesMax)
	}
	return nil
}

// until reads when a rule ends: a moment in UTC, a local time, or a date, which counts to its end.
func until(value string, zone *time.Location) (int64, error) {
	for _, layout := range []string{"20060102T150405Z", "20060102T150405", "20060102"} {
		t, err := time.Parse(layout, value)
		if err != nil || t.Format(layout) != value {
			continue
		}
		if t.Year() < yearMin || t.Year() > yearMax {
			return 0, bad("UNTIL is %s: want the years %d to %d", value, yearMin, yearMax)
		}
		switch w := wall(t.UnixMilli()); len(layout) {
		case len("20060102T150405Z"):
			return int64(w), nil
		case len("20060102"):
			return (w + day).turn(zone) - 1, nil
		default:
			return w.moment(zone), nil
		}
	}
	return 0, bad("UNTIL is %.32q: want 20261224T090000Z in UTC, 20261224T100000 in local time, or 20261224 for all that day", value)
}

func number(name, value string, least, most int, negative bool) (int, error) {
	n, err := strconv.Atoi(value)
	size := n
	if negative {
		size = max(n, -n)
	}
	switch {
	case err == nil && size >= least && size <= most:
		return n, nil
	case negative:
		return 0, bad("%s is %.32q: want %d to %d, or -%d to -%d", name, value, least, most, least, most)
	}
	return 0, bad("%s is %.32q: want %d to %d", name, value, least, most)
}

// numbers reads a list. A value that is there twice counts once.
func numbers(name, value string, least, most int, negative bool) ([]int, error) {
	texts := strings.Split(value, ",")
	if len(texts) > listMax {
		return nil, bad("%s has %d values, and may have %d", name, len(texts), listMax)
	}
	var list []int
	for _, text := range texts {
		n, err := number(name, text, least, most, negative)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list, nil
}

// days reads BYDAY: weekdays, and which of them in the month or year.
func days(value string) ([]rrule.Weekday, error) {
	texts := strings.Split(value, ",")
	if len(texts) > listMax {
		return nil, bad("BYDAY has %d values, and may have %d", len(texts), listMax)
	}
	var list []rrule.Weekday
	for _, text := range texts {
		name := text[max(0, len(text)-2):]
		d, ok := weekdays[name]
		if nth := strings.TrimSuffix(text, name); ok && nth != "" {
			n, err := number("BYDAY", nth, 1, 53, true)
			if err != nil {
				return nil, err
			}
			d = d.Nth(n)
		}
		if !ok {
			return nil, bad("BYDAY has %.32q: want MO, TU, WE, TH, FR, SA or SU, with a number before it or without, such as 2TU or -1FR", text)
		}
		list = append(list, d)
	}
	return list, nil
}
