package main

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/when"
	"github.com/kassa-go/kassa/pool/wire"
)

// clock tells what times mean that stand in arguments: by the clocks of the zone that --zone names, else of the pool's.
type clock struct {
	o    *options
	c    *client.Client
	pool string         // empty: it is not known
	zone *time.Location // nil: not known yet
	now  time.Time
}

func (o *options) clockOf(c *client.Client, pool string) (*clock, error) {
	k := &clock{o: o, c: c, pool: pool, now: time.Now()}
	if err := o.checkZone(); err != nil || o.times.zone == "" {
		return k, err
	}
	var err error
	k.zone, err = when.Zone(o.times.zone)
	return k, err
}

// checkZone says what is wrong with --zone.
func (o *options) checkZone() error {
	if o.times.zone == "" {
		return nil
	}
	if _, err := when.Zone(o.times.zone); err != nil {
		return usagef("--zone is %.64q: want the name of a time zone, such as Europe/Berlin", o.times.zone)
	}
	return nil
}

// in returns the zone. The pool's is in every answer about its times.
func (k *clock) in(ctx context.Context) (*time.Location, error) {
	if k.zone != nil {
		return k.zone, nil
	}
	var answer wire.SlotsBooked
	ask := wire.SlotFind{Pool: k.pool, From: wire.At(0), To: wire.At(1), Limit: 1}
	if err := k.o.do(ctx, k.c, client.Request{Type: "slot.list", Payload: ask}, &answer); err != nil {
		return nil, err
	}
	zone, err := when.Zone(answer.Zone)
	if err != nil {
		return nil, errors.New("the server's zone is unknown here: " + answer.Zone + " (--zone names another)")
	}
	k.zone = zone
	return zone, nil
}

const (
	dayLayout     = time.DateOnly
	msDigits      = 11 // from as many on a number is milliseconds since 1970, as they stand in JSON
	momentFormats = "want 10:00 (today), 2026-11-21, today or tomorrow (the day's first moment), 2026-11-21T10:00, " +
		"2026-11-21T10:00:00+01:00, milliseconds since 1970, or now"
	lengthFormats = "want a length of time, such as 500ms, 90s, 30m or 2h"
)

// at reads a time. One that names no day is on the day of base, in the zone.
func (k *clock) at(ctx context.Context, flag, text string, base time.Time) (time.Time, error) {
	switch ms, err := strconv.ParseInt(text, 10, 64); {
	case err == nil && len(text) >= msDigits:
		return time.UnixMilli(ms), nil
	case text == "now":
		return k.now, nil
	}
	if ms, err := when.At(dated(text), nil); err == nil { // it has an offset
		return time.UnixMilli(ms), nil
	}
	zone, err := k.in(ctx)
	if err != nil {
		return time.Time{}, err
	}
	full := k.named(text, zone)
	if isDay(full) {
		from, _, err := dayOf(flag, full, zone)
		return from, err
	}
	if isTimeOfDay(full) {
		full = base.In(zone).Format(dayLayout) + "T" + full
	}
	ms, err := when.At(dated(full), zone)
	if err != nil {
		return time.Time{}, momentError(flag, text, err)
	}
	return time.UnixMilli(ms), nil
}

// moment is at for requests about a booking, whose pool only the server knows: so does it know the zone.
func (k *clock) moment(ctx context.Context, flag, text string) (*wire.Moment, error) {
	if text == "" {
		return nil, nil
	}
	local := dated(text)
	if _, err := when.At(local, time.UTC); err == nil && k.zone == nil {
		return &wire.Moment{Text: local}, nil
	}
	if k.zone == nil && (isDay(text) || isTimeOfDay(text) || k.named(text, time.UTC) != text) {
		return nil, usagef("%s is %q: kassa does not know in which zone; want 2026-11-21T10:00, or name it with --zone", flag, text)
	}
	other := *k
	if k.zone == nil {
		other.zone = time.UTC // what is left does not depend on it
	}
	at, err := other.at(ctx, flag, text, k.now)
	if err != nil {
		return nil, err
	}
	return wire.At(at.UnixMilli()), nil
}

// dated writes 2026-11-21 10:00 as 2026-11-21T10:00.
func dated(text string) string {
	if day, rest, ok := strings.Cut(text, " "); ok && len(day) == len(dayLayout) {
		return day + "T" + rest
	}
	return text
}

// named writes today and tomorrow as days of a zone, also in front of a time of day.
func (k *clock) named(text string, zone *time.Location) string {
	for ahead, name := range []string{"today", "tomorrow"} {
		if rest, ok := strings.CutPrefix(text, name); ok && (rest == "" || rest[0] == ' ' || rest[0] == 'T') {
			y, m, d := k.now.In(zone).Date()
			return time.Date(y, m, d+ahead, 0, 0, 0, 0, time.UTC).Format(dayLayout) + rest
		}
	}
	return text
}

func isDay(text string) bool {
	_, err := time.Parse(dayLayout, text)
	return err == nil
}

func isTimeOfDay(text string) bool {
	return strings.IndexByte(text, ':') == 2 && !strings.ContainsAny(text, "T +-Z")
}

func momentError(flag, text string, err error) error {
	if bad, ok := errors.AsType[*when.Error](err); ok && bad.Code == codec.InvalidInterval.String() {
		return codec.NewError(codec.InvalidInterval, flag+": "+bad.Message)
	}
	return usagef("%s is %.64q: %s", flag, text, cmp.Or(mistake(text), momentFormats))
}

var (
	digits    = regexp.MustCompile(`\d+`)
	startsDay = regexp.MustCompile(`^\d{4}-\d\d-\d\d`)
	hourAt    = regexp.MustCompile(`^(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d`)
)

// mistake says what is wrong with a time, or a day, that is written almost as it should be; else it returns "".
func mistake(text string) string {
	padded := digits.ReplaceAllStringFunc(text, func(n string) string {
		if len(n) == 1 {
			return "0" + n
		}
		return n
	})
	_, err := when.At(dated(padded), time.UTC)
	if isTimeOfDay(padded) {
		_, err = when.At("2000-01-01T"+padded, time.UTC)
	}
	day, clock := startsDay.FindString(padded), hourAt.FindString(padded)
	switch {
	case padded != text && (err == nil || isDay(padded)):
		return "want two digits each: " + padded
	case day != "" && !isDay(day):
		return "there is no such day"
	case clock != "" && (clock[len(clock)-5:] > "23:59" || clock[len(clock)-2:] > "59"):
		return "want 00:00 to 23:59; a day ends with the first moment of the next"
	}
	return ""
}

var utcSpan = regexp.MustCompile(`(\d{4}-\d\d-\d\dT[\d:.]+Z)(?: to (\d{4}-\d\d-\d\dT[\d:.]+Z))?`)

// local writes the times in an error of the server, which are in UTC, as the clocks of the zone show them, if it is known.
func (k *clock) local(err error) error {
	failure, ok := errors.AsType[*codec.Error](err)
	if !ok || k.zone == nil {
		return err
	}
	said := *failure
	said.Message = utcSpan.ReplaceAllStringFunc(said.Message, func(text string) string {
		span := utcSpan.FindStringSubmatch(text)
		from, err := time.Parse(time.RFC3339, span[1])
		if err != nil || !from.Truncate(time.Minute).Equal(from) {
			return text
		}
		if span[2] == "" {
			return from.In(k.zone).Format("Mon 2006-01-02 15:04 MST")
		}
		to, err := time.Parse(time.RFC3339, span[2])
		if err != nil || !to.Truncate(time.Minute).Equal(to) {
			return text
		}
		return spanText(from.UnixMilli(), to.UnixMilli(), k.zone)
	})
	if said.Message != failure.Message {
		said.Message += " (times in " + k.zone.String() + ")"
	}
	return &said
}

// dayOf returns when a day begins and ends, by the clocks of a zone.
func dayOf(flag, text string, zone *time.Location) (from, to time.Time, err error) {
	day, err := time.Parse(dayLayout, text)
	if err != nil {
		const form = "want a day, such as 2026-11-21, today or tomorrow"
		if strings.Contains(text, ":") {
			return from, to, usagef("%s is %.64q: %s", flag, text, form)
		}
		return from, to, usagef("%s is %.64q: %s", flag, text, cmp.Or(mistake(text), form))
	}
	y, m, d := day.Date()
	if from = dayStart(y, m, d, zone); from.Day() != d {
		return from, to, usagef("%s is %s, a day that was left out in %s", flag, text, zone)
	}
	return from, dayStart(y, m, d+1, zone), nil
}

// endOfDay returns when the day of t ends.
func endOfDay(t time.Time) time.Time {
	y, m, d := t.Date()
	return dayStart(y, m, d+1, t.Location())
}

// dayStart returns the first moment of a day. A clock change may leave out midnight, or have it twice, and time.Date does
// not say which it took.
func dayStart(y int, m time.Month, d int, zone *time.Location) time.Time {
	at := time.Date(y, m, d, 12, 0, 0, 0, zone)
	for day := at.Day(); at.Add(-time.Minute).Day() == day; {
		at = at.Add(-time.Minute)
	}
	return at
}

// spanText says from when to when, by the clocks of a zone.
func spanText(start, end int64, zone *time.Location) string {
	from, to := time.UnixMilli(start).In(zone), time.UnixMilli(end).In(zone)
	layout := "15:04"
	if from.Format(dayLayout) != to.Format(dayLayout) {
		layout = "Mon 2006-01-02 15:04"
	}
	text := from.Format("Mon 2006-01-02 15:04") + " to " + to.Format(layout)
	if _, before := from.Zone(); before != offset(to) || ambiguous(from) || ambiguous(to) {
		text += " (" + from.Format("MST")
		if before != offset(to) {
			text += " to " + to.Format("MST")
		}
		text += ")"
	}
	return text
}

func offset(t time.Time) int {
	_, seconds := t.Zone()
	return seconds
}

// ambiguous reports whether the clock shows t twice.
func ambiguous(t time.Time) bool {
	const most = 3 * time.Hour // that clocks are set back
	for _, other := range []time.Time{t.Add(-most), t.Add(most)} {
		shift := time.Duration(offset(other)-offset(t)) * time.Second
		if twin := t.Add(-shift); shift != 0 && offset(twin) == offset(other) {
			return true
		}
	}
	return false
}
