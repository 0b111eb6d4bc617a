package when

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	// Zones are there on any machine, also in an image without zone data, for 410 kB more in the binary. The machine's own
	// data come first. It is here, not in a main package, so that no binary that reads zones can lack them.
	_ "time/tzdata"
)

// The codes of an Error.
const (
	InvalidInterval = "invalid_interval" // the text can be read, but there is no such time, or slots overlap
	BadPayload      = "bad_payload"      // a text that can not be meant
)

// Error is a refusal: a code, and a text that says what to do.
type Error struct {
	Code    string
	Message string
	Key     string // of ParseHours: the key in the table that it is about
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func bad(format string, args ...any) error {
	return &Error{Code: BadPayload, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &Error{Code: InvalidInterval, Message: fmt.Sprintf(format, args...)}
}

// Slot is a stretch of time [Start, End), in milliseconds since 1970, UTC.
type Slot struct {
	Start, End int64
}

// The years that moments may be in, in UTC and by the local clock.
const (
	yearMin = 1970
	yearMax = 2200
)

var momentEnd = time.Date(yearMax+1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

func (s Slot) check() error {
	switch {
	case s.End <= s.Start:
		return invalid("the end, %s, is not after the start, %s", utc(s.End), utc(s.Start))
	case s.Start < 0 || s.End > momentEnd:
		return bad("%s to %s: want times in the years %d to %d", utc(s.Start), utc(s.End), yearMin, yearMax)
	}
	return nil
}

func utc(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00") }

// Names that machines have beside the IANA zones: the machine's own time, placeholders, and variants with leap seconds.
var notZones = []string{"", "Local", "localtime", "posixrules", "Factory"}

// Zone returns the zone of an IANA name. The empty name and "Local" are refused: what a server's own zone is says nothing
// about a room. It reads a file, and the caller should keep the result.
func Zone(name string) (*time.Location, error) {
	if len(name) <= 64 && !slices.Contains(notZones, name) && !strings.HasPrefix(name, "posix/") && !strings.HasPrefix(name, "right/") {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, bad("there is no zone %.64q: want an IANA name such as Europe/Berlin", name)
}

// wall is a time on the clock on the wall: milliseconds since 1970, as if that clock showed UTC. It is a moment only with
// a zone, and then it may be none, or two.
type wall int64

const day = wall(24 * time.Hour / time.Millisecond)

func wallOf(ms int64, zone *time.Location) wall {
	return wall(ms + offsetAt(ms, zone))
}

func (w wall) time() time.Time { return time.UnixMilli(int64(w)).UTC() }

// reading is what a wall time comes to in a zone.
type reading struct {
	moments       []int64 // at which the clock shows it, in order: none if it is skipped, two if it is repeated
	change        int64   // if it is skipped: when the clocks change
	before, after int64   // the offsets before and after that, ms
}

// read finds every moment at which the clock in zone shows w. time.Date does not say which of two it took, nor that there
// was none, and the ends that ZoneBounds gives are wrong on the last day of a leap year for years after 2037. So it tries
// the offsets that there are around w. No zone is further from UTC than reach, nor has it two changes within step.
func (w wall) read(zone *time.Location) reading {
	const reach, step = 15 * 3_600_000, 10 * 3_600_000
	var r reading
	for t := int64(w) - reach; t < int64(w)+reach; t += step {
		before, after := offsetAt(t, zone), offsetAt(t+step, zone)
		for _, offset := range []int64{before, after} {
			at := int64(w) - offset
			if offsetAt(at, zone) == offset && !slices.Contains(r.moments, at) {
				r.moments = append(r.moments, at)
			}
		}
		if before < after && len(r.moments) == 0 {
			n := sort.Search(step, func(n int) bool { return offsetAt(t+int64(n), zone) == after })
			r.change, r.before, r.after = t+int64(n), before, after
		}
	}
	slices.Sort(r.moments)
	return r
}

// offsetAt returns how far local time is ahead of UTC, in ms.
func offsetAt(ms int64, zone *time.Location) int64 {
	_, seconds := time.UnixMilli(ms).In(zone).Zone()
	return int64(seconds) * 1000
}

// moment returns the moment of w by the rule of RFC 5545: the first of two; by the offset before if it is skipped.
func (w wall) moment(zone *time.Location) int64 {
	r := w.read(zone)
	if len(r.moments) > 0 {
		return r.moments[0]
	}
	return int64(w) - r.before
}

// turn returns the first moment at which the clock shows w or more, having shown less before. Unlike moment it keeps the
// order of wall times: what is later by the clock is never an earlier moment.
func (w wall) turn(zone *time.Location) int64 {
	r := w.read(zone)
	if len(r.moments) > 0 {
		return r.moments[0]
	}
	return r.change
}
