package main

import (
	"context"
	"errors"
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
	momentFormats = "want 10:00 (today), 2026-11-21 (its first moment), 2026-11-21T10:00, 2026-11-21T10:00:00+01:00, " +
		"milliseconds since 1970, or now"
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
	if _, err := time.Parse(dayLayout, text); err == nil {
		from, _, err := dayOf(flag, text, zone)
		return from, err
	}
	if isTimeOfDay(text) {
		text = base.In(zone).Format(dayLayout) + "T" + text
	}
	ms, err := when.At(dated(text), zone)
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
	_, err := time.Parse(dayLayout, text)
	if k.zone == nil && (err == nil || isTimeOfDay(text)) {
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

func isTimeOfDay(text string) bool {
	return strings.IndexByte(text, ':') == 2 && !strings.ContainsAny(text, "T +-Z")
}

func momentError(flag, text string, err error) error {
	if bad, ok := errors.AsType[*when.Error](err); ok && bad.Code == codec.InvalidInterval.String() {
		return codec.NewError(codec.InvalidInterval, flag+": "+bad.Message)
	}
	return usagef("%s is %.64q: %s", flag, text, momentFormats)
}

// dayOf returns when a day begins and ends, by the clocks of a zone.
func dayOf(flag, text string, zone *time.Location) (from, to time.Time, err error) {
	day, err := time.Parse(dayLayout, text)
	if err != nil {
		return from, to, usagef("%s is %.64q: want a day, such as 2026-11-21", flag, text)
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
