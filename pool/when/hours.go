package when

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Hours says when in the week something is open, by the clock in a zone. A nil *Hours is always open.
//
// A local time that a clock change skips counts as the moment of the change, and of one that is there twice the first
// counts. All methods may be called concurrently.
type Hours struct {
	zone   *time.Location
	days   [7][]span // by time.Weekday; in order, and apart from each other
	open   bool      // some time in the week
	always bool      // all the week
}

// span is [from, to) since midnight of its day; to may be in the next day.
type span struct {
	from, to wall
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseHours reads a table of weekdays as a configuration has it:
//
//	"mon-fri": "08:00-20:00"
//	"sat,sun": "09:00-13:00,14:00-02:00"
//
// A key is a day, a range, a list of these, or "daily", and no day may be in two keys. A day in none is closed, as one with
// "closed" is. A span that ends at or before its start runs into the next day, and belongs to the day that it starts in;
// 24:00 is an end only. An empty table gives nil: always open. An error is BadPayload, and its Key is the key it is about.
func ParseHours(table map[string]string, zone *time.Location) (*Hours, error) {
	if len(table) == 0 {
		return nil, nil
	}
	h := &Hours{zone: zone}
	var keyOf [7]string
	for _, key := range slices.Sorted(maps.Keys(table)) {
		days, err := parseDays(key)
		if err != nil {
			return nil, about(key, err)
		}
		spans, err := parseSpans(table[key])
		if err != nil {
			return nil, about(key, err)
		}
		for _, d := range days {
			if keyOf[d] != "" {
				return nil, about(key, bad("%s is in %q too: write all its hours in one place", dayNames[d], keyOf[d]))
			}
			keyOf[d], h.days[d] = key, spans
			h.open = h.open || len(spans) > 0
		}
	}
	return h, h.checkWeek(keyOf)
}

// checkWeek refuses spans that overlap, and sees whether they leave no gap.
func (h *Hours) checkWeek(keyOf [7]string) error {
	var total wall
	for d, spans := range h.days {
		for i, s := range spans {
			total += s.to - s.from
			if i > 0 && s.from < spans[i-1].to {
				return about(keyOf[d], bad("%s overlaps %s", s, spans[i-1]))
			}
			next := (d + 1) % 7
			if tomorrow := h.days[next]; i == len(spans)-1 && len(tomorrow) > 0 && tomorrow[0].from+day < s.to {
				return about(keyOf[d], bad("%s on %s runs into %s on %s", s, dayNames[d], tomorrow[0], dayNames[next]))
			}
		}
	}
	h.always = total == 7*day
	return nil
}

func (s span) String() string {
	return s.from.time().Format("15:04") + "-" + s.to.time().Format("15:04")
}

func about(key string, err error) error {
	e := err.(*Error) //nolint:errorlint // bad made it
	return &Error{Code: e.Code, Message: "hours of " + key + ": " + e.Message, Key: key}
}

func parseDays(key string) ([]time.Weekday, error) {
	var days []time.Weekday
	for text := range strings.SplitSeq(strings.ToLower(key), ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(text), "-")
		if first == "daily" && !isRange {
			first, last, isRange = "mon", "sun", true
		}
		if !isRange {
			last = first
		}
		a, b := slices.Index(dayNames, first), slices.Index(dayNames, last)
		if a < 0 || b < 0 {
			return nil, bad("%.32q is no day: want mon, tue, wed, thu, fri, sat or sun, a range such as mon-fri, a list such as sat,sun, or daily", text)
		}
		for d := a; ; d = (d + 1) % 7 {
			if slices.Contains(days, time.Weekday(d)) {
				return nil, bad("%s is there twice", dayNames[d])
			}
			days = append(days, time.Weekday(d))
			if d == b {
				break
			}
		}
	}
	return days, nil
}

func parseSpans(text string) ([]span, error) {
	if strings.TrimSpace(text) == "closed" {
		return nil, nil
	}
	var spans []span
	for part := range strings.SplitSeq(text, ",") {
		first, last, _ := strings.Cut(strings.TrimSpace(part), "-")
		from, okFrom := parseClock(first)
		to, okTo := parseClock(last)
		if !okFrom || !okTo || from == day {
			return nil, bad("%.32q can not be read: want hours such as 08:00-20:00 or 22:00-02:00, several with commas between them, or closed", part)
		}
		if to == from {
			return nil, bad("%s ends where it starts: write 00:00-24:00 for all day", part)
		}
		if to < from {
			to += day
		}
		spans = append(spans, span{from, to})
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.from - b.from) })
	return spans, nil
}

func parseClock(text string) (wall, bool) {
	if text == "24:00" {
		return day, true
	}
	t, err := time.Parse("15:04", text)
	return wall(t.Hour()*60+t.Minute()) * wall(time.Minute/time.Millisecond), err == nil && t.Format("15:04") == text
}

// Open says whether all of [start, end), in UTC ms, is within the hours. Hours that touch are one, over midnight too. An
// empty stretch is not open.
func (h *Hours) Open(start, end int64) bool {
	s, e, ok := h.Next(start, end)
	return ok && s == start && e == end
}

// Next returns the first open stretch within [from, to), as long as it goes there, in UTC ms; not ok means that all of it
// is closed. Called again with from at the end of what it returned it gives the next one. It looks at days one by one, but
// never at more than some weeks of them, however long [from, to) is: the table says the same every week. Hours that are
// not always open are closed outside the years 1970 to 2200.
func (h *Hours) Next(from, to int64) (start, end int64, ok bool) {
	if from < to && (h == nil || h.always) {
		return from, to, true
	}
	from, to = max(from, 0), min(to, momentEnd)
	if from >= to || !h.open {
		return 0, 0, false
	}
	// A span of the day before may still be open. One day more is for zones that repeat a part of a day at midnight.
	midnight := wallOf(from, h.zone)
	midnight -= (midnight%day+day)%day + 2*day
	for ; ; midnight += day {
		for _, s := range h.days[midnight.time().Weekday()] {
			a, b := (midnight + s.from).turn(h.zone), (midnight + s.to).turn(h.zone)
			a, b = max(a, from), min(b, to)
			switch {
			case ok && a > end, a >= to:
				return start, end, ok
			case a >= b: // over before from, or skipped by the clocks
			case ok:
				end = b
			default:
				start, end, ok = a, b, true
			}
		}
	}
}
