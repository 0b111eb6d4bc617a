package when

import (
	"time"

	"github.com/teambition/rrule-go"
)

// The library looks for occurrences up to the year 9999, and can not be stopped while it finds none. The calendar repeats
// itself every 400 years to the day of the week, so rules are expanded so many years later, where little is left to search.
const eraYears = 19 * 400

// Expand returns the slots of a recurrence, in order: first, and as many more as rule says, a RRULE of RFC 5545 in one
// line. All start at the local time in zone that rule says, which is that of first if it says none, and have the length of
// first. Those that start at a moment in except are left out, though COUNT counts them.
//
// FREQ is DAILY, WEEKLY, MONTHLY or YEARLY, and all other parts of RFC 5545 may be there but BYWEEKNO, and BYSETPOS with
// days and weeks. UNTIL may be a moment in UTC, a local time, or a date, which counts to its end.
//
// Refused as BadPayload: a rule that can not be read, one without COUNT and UNTIL, one that first does not match, one that
// goes beyond the year 2200, one with more than most occurrences (those in except included), and a moment in except that
// is no occurrence. Refused as InvalidInterval: occurrences that overlap.
func Expand(rule string, first Slot, zone *time.Location, except []int64, most int) ([]Slot, error) {
	if err := first.check(); err != nil {
		return nil, err
	}
	r, err := parseRule(rule, zone)
	if err != nil {
		return nil, err
	}
	if r.count > most {
		return nil, bad("COUNT is %d, and %d occurrences are allowed", r.count, most)
	}
	if first.Start > r.until {
		return nil, bad("UNTIL, %s, is before the start, %s", utc(r.until), utc(first.Start))
	}
	if len(except) > most {
		return nil, bad("%d occurrences are left out, and %d are allowed in all", len(except), most)
	}
	all, err := r.slots(first, zone, most)
	if err != nil {
		return nil, err
	}
	all, err = without(all, except)
	if err != nil {
		return nil, err
	}
	return all, apart(all, zone)
}

func (r *rule) slots(first Slot, zone *time.Location, most int) ([]Slot, error) {
	start := wallOf(first.Start, zone)
	part := start.time().Sub(start.time().Truncate(time.Second)) // the library counts in seconds
	o := r.option
	o.Dtstart = start.time().Add(-part).AddDate(eraYears, 0, 0)
	lib, err := rrule.NewRRule(o)
	if err != nil {
		return nil, bad("the rule can not be used: %v", err)
	}
	var all []Slot
	for next := lib.Iterator(); r.count == 0 || len(all) < r.count; {
		t, ok := next()
		t = t.Add(part).AddDate(-eraYears, 0, 0)
		if !ok {
			break
		}
		w := wall(t.UnixMilli())
		at := w.moment(zone)
		if len(all) == 0 {
			if w != start {
				return nil, bad("the rule does not match the start, %s: it would begin at %s", clock(start), clock(w))
			}
			at = first.Start // which may be the second of two
		}
		if at > r.until {
			break
		}
		if len(all) == most {
			return nil, bad("the rule has more occurrences than the %d that are allowed: say an earlier UNTIL, or COUNT", most)
		}
		all = append(all, Slot{at, at + first.End - first.Start})
	}
	switch {
	case len(all) == 0:
		return nil, bad("the rule does not match the start, %s: it matches no day up to the year %d", clock(start), yearMax)
	case len(all) < r.count:
		return nil, bad("COUNT is %d, and there are only %d occurrences up to the year %d", r.count, len(all), yearMax)
	}
	return all, all[len(all)-1].check()
}

func clock(w wall) string { return w.time().Format("Mon 2006-01-02T15:04:05.999") }

// without takes out the slots that start at the moments in except.
func without(all []Slot, except []int64) ([]Slot, error) {
	out := make(map[int64]bool, len(except))
	for _, ms := range except {
		out[ms] = false
	}
	kept := all[:0]
	for _, s := range all {
		if _, ok := out[s.Start]; ok {
			out[s.Start] = true
		} else {
			kept = append(kept, s)
		}
	}
	for _, ms := range except {
		if !out[ms] {
			return nil, bad("%s is to be left out, and no occurrence starts then", utc(ms))
		}
	}
	if len(kept) == 0 {
		return nil, bad("all occurrences are left out")
	}
	return kept, nil
}

// apart refuses slots of which one starts before the one before it ends.
func apart(all []Slot, zone *time.Location) error {
	for i := range all[1:] {
		if a, b := all[i], all[i+1]; b.Start < a.End {
			return invalid("the occurrences at %s and %s overlap: make them shorter, or further apart",
				clock(wallOf(a.Start, zone)), clock(wallOf(b.Start, zone)))
		}
	}
	return nil
}

// Shift moves slots as one of them was moved, from one slot to another: each by the same difference of local time in zone,
// days and time of day, and with the length of to. It is for "this one and all that follow": slots are in order. One that
// a clock change has moved stays where it is by the clock: its rule is not known any more. Refused as InvalidInterval: a
// slot to that ends before it starts, and slots that overlap; as BadPayload: what goes beyond the years 1970 to 2200.
func Shift(slots []Slot, zone *time.Location, from, to Slot) ([]Slot, error) {
	if err := to.check(); err != nil {
		return nil, err
	}
	by := wallOf(to.Start, zone) - wallOf(from.Start, zone)
	moved := make([]Slot, len(slots))
	for i, s := range slots {
		at := to.Start // which may be the second of two
		if s.Start != from.Start {
			at = (wallOf(s.Start, zone) + by).moment(zone)
		}
		moved[i] = Slot{at, at + to.End - to.Start}
		if err := moved[i].check(); err != nil {
			return nil, err
		}
	}
	if len(moved) == 0 {
		return nil, nil
	}
	return moved, apart(moved, zone)
}
