package pool

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What follows looks at calendars. It sees what was decided, durable or not.

// TimesQuery asks what of a calendar is free, or booked.
type TimesQuery struct {
	Pool     string
	Select   Selector
	IDs      []string // in the place of Select
	From, To int64    // ms
	Limit    int
	Cursor   string // of the page before

	// Of what is to be free: so many units, for so long at least, all of it within one of the times in Open. These are in
	// order and apart; nil: From to To.
	Units, LengthMs int64
	Open            []Span
}

// Booked is a time that somebody has of an item.
type Booked struct {
	ID            string
	Span          Span
	Units         int64
	Grant         uint64
	Client, Owner string
	ExpiresAt     int64 // it is held, and not confirmed yet; 0: it is booked
}

// timesSteps is how many stretches of time, and items, one query looks at.
const timesSteps = 20_000

// each calls fn for the items that a query is about, in the pool's order, from the one that its cursor says, with the time
// before which a former page has told of it. Fn returns that for the next page, and false to end this one.
func (m *Machine) each(q *TimesQuery, fn func(it *item, from int64) (next int64, goOn bool)) (cursor string, err error) {
	p := m.byName[q.Pool]
	switch {
	case p == nil:
		return "", &Error{NotFound, fmt.Sprintf("there is no pool %.140q; pool.list lists those there are", q.Pool)}
	case p.spec.Kind != Calendar:
		return "", &Error{BadPayload, fmt.Sprintf("pool %s is of kind %s: only a calendar has times", p.name, p.spec.Kind)}
	case q.From >= q.To || q.From < -timeMax || q.To > timeMax:
		return "", &Error{InvalidInterval, fmt.Sprintf("from %d to %d is no time: want an end after the start", q.From, q.To)}
	case len(q.IDs) > 0 && len(q.Select) > 0:
		return "", &Error{BadPayload, "select and ids can not both be given"}
	}
	if err := q.Select.check(); err != nil {
		return "", err
	}
	for _, id := range q.IDs {
		if p.items[id] == nil {
			return "", &Error{NotFound, fmt.Sprintf("pool %s has no item %.280q", p.name, id)}
		}
	}
	ordinal, from := uint64(0), int64(-timeMax)
	if q.Cursor != "" {
		at, when, _ := strings.Cut(q.Cursor, ".")
		var bad *Error
		if ordinal, bad = cursorAt(at); bad == nil {
			from, err = strconv.ParseInt(when, 10, 64)
		}
		if bad != nil || err != nil {
			return "", &Error{BadPayload, fmt.Sprintf("cursor is %.64q, which is none that a reply gave", q.Cursor)}
		}
	}
	for _, at := range p.order[p.place(ordinal):] {
		it := at.item
		if it == nil || len(q.IDs) > 0 && !slices.Contains(q.IDs, it.id) || !q.Select.matches(it.class.labels) {
			continue
		}
		if at.ordinal != ordinal {
			from = -timeMax
		}
		if next, goOn := fn(it, from); !goOn {
			return fmt.Sprintf("%d.%d", at.ordinal, next), nil
		}
	}
	return "", nil
}

// Free returns times that are free, by item and time, each as long as can be, and the cursor of the next page; empty: there
// is none.
func (m *Machine) Free(q TimesQuery) (free []Given, cursor string, err error) {
	p := m.byName[q.Pool]
	if p != nil && p.spec.Kind == Calendar && (q.LengthMs <= 0 || q.LengthMs > p.spec.SlotMaxMs) {
		return nil, "", &Error{InvalidInterval, fmt.Sprintf("lengthMs is %d: pool %s allows 1 to %d", q.LengthMs, p.name, p.spec.SlotMaxMs)}
	}
	if q.Units <= 0 {
		return nil, "", &Error{BadPayload, fmt.Sprintf("count is %d: want 1 or more", q.Units)}
	}
	if q.Open == nil {
		q.Open = []Span{{Start: q.From, End: q.To}}
	}
	steps := timesSteps
	cursor, err = m.each(&q, func(it *item, from int64) (int64, bool) {
		if steps--; it.draining || q.Units > int64(it.quantity) {
			return 0, true
		}
		setup, cleanup := p.spec.SetupMs, p.spec.CleanupMs
		for _, open := range q.Open {
			// Set-up and clean-up may be outside of the opening hours.
			at, end := max(open.Start, from)-setup, open.End+cleanup
			for end-at >= setup+q.LengthMs+cleanup {
				begin, until, ok := it.times.Free(at, end, setup+q.LengthMs+cleanup, q.Units, int64(it.quantity), &steps)
				if !ok && begin >= end {
					break
				}
				if ok && len(free) == q.Limit || !ok {
					return begin + setup, false
				}
				free = append(free, Given{Pool: p.name, ID: it.id, Labels: it.class.text, Attrs: it.attrs, Units: 1,
					Span: Span{Start: begin + setup, End: until - cleanup}})
				at = until
			}
		}
		return timeMax, steps > 0
	})
	return free, cursor, err
}

// Booked returns the times that are booked, or held, by item and time, set-up included, also those that have begun before,
// and the cursor of the next page; empty: there is none.
func (m *Machine) Booked(q TimesQuery) (booked []Booked, cursor string, err error) {
	steps := timesSteps
	cursor, err = m.each(&q, func(it *item, from int64) (int64, bool) {
		first, last := len(booked), int64(0)
		for e := range it.times.Overlapping(max(from, q.From), q.To) {
			s := e.Value
			if e.Start < from || s.End <= q.From || s.Start >= q.To { // of the page before; only its set-up or clean-up is within
				continue
			}
			// What begins at the same time is never parted: where a page begins is a time.
			if n := len(booked); n >= q.Limit && (n == first || e.Start > last) {
				return e.Start, false
			}
			last = e.Start
			steps--
			g := s.grant
			booked = append(booked, Booked{ID: it.id, Span: s.Span, Units: e.Units, Grant: g.id, Client: g.client, Owner: g.owner})
			if !g.firm {
				booked[len(booked)-1].ExpiresAt = g.expiresAt
			}
		}
		steps--
		return timeMax, steps > 0
	})
	return booked, cursor, err
}

// Times returns the pool of a booking, and its times, in order, each once; empty: there is no such booking.
func (m *Machine) Times(grant uint64) (poolName string, times []Span) {
	g := m.grants[grant]
	if g == nil {
		return "", nil
	}
	for _, p := range g.parts {
		if p.span != nil {
			poolName = p.item.pool.name
			times = append(times, p.span.Span)
		}
	}
	slices.SortFunc(times, func(a, b Span) int { return compare(uint64(a.Start), uint64(b.Start)) })
	return poolName, slices.CompactFunc(times, func(a, b Span) bool { return a.Start == b.Start })
}
