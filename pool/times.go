package pool

import (
	"cmp"
	"fmt"
	"slices"
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

// page is where one begins: at an item, and with what of it begins at a time, as a grant.
type page struct {
	ordinal uint64
	at      int64
	id      uint64
}

// each calls fn for the items that a query is about, in the pool's order, from the one that its cursor says, with what a
// former page has told of it. Fn returns that for the next page, and false to end this one.
func (m *Machine) each(q *TimesQuery, steps *int, fn func(it *item, from page) (next page, goOn bool)) (cursor string, err error) {
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
	case len(q.IDs) > ItemsPerLease || len(q.Select) > LabelsMax:
		return "", &Error{BadPayload, fmt.Sprintf("%d ids, or a selection by %d labels, are too many: %d and %d at most", len(q.IDs), len(q.Select), ItemsPerLease, LabelsMax)}
	}
	if err := q.Select.check(); err != nil {
		return "", err
	}
	r := resolved{pool: p, text: q.Select.text()}
	named := make(map[*item]bool, len(q.IDs))
	for _, id := range q.IDs {
		if p.items[id] == nil {
			return "", &Error{NotFound, fmt.Sprintf("pool %s has no item %.280q", p.name, id)}
		}
		named[p.items[id]] = true
	}
	from := page{at: -timeMax}
	if q.Cursor != "" {
		if _, err := fmt.Sscanf(q.Cursor, "%d.%d.%d", &from.ordinal, &from.at, &from.id); err != nil || from.at < -timeMax || from.at > timeMax {
			return "", &Error{BadPayload, fmt.Sprintf("cursor is %.64q, which is none that a reply gave", q.Cursor)}
		}
	}
	r.classes = p.match(q.Select, r.text)
	first := from.ordinal
	r.candidates(true, func(it *item) bool {
		if it.ordinal < first || len(named) > 0 && !named[it] {
			return true
		}
		if it.ordinal != first {
			from = page{at: -timeMax}
		}
		*steps--
		next, goOn := fn(it, from)
		if !goOn {
			cursor = fmt.Sprintf("%d.%d.%d", it.ordinal, next.at, next.id)
		}
		return goOn
	})
	return cursor, nil
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
	steps, fits := timesSteps, q.Cursor != ""
	cursor, err = m.each(&q, &steps, func(it *item, from page) (page, bool) {
		if it.draining || q.Units > int64(it.quantity) {
			return page{}, true
		}
		fits = true
		setup, cleanup := p.spec.SetupMs, p.spec.CleanupMs
		for _, open := range q.Open {
			// From now on, and no later than something may begin. Set-up and clean-up may be outside of that and of the opening hours.
			at, end := max(open.Start, from.at, m.now)-setup, min(open.End, m.now+p.spec.HorizonMs+q.LengthMs)+cleanup
			for end-at >= setup+q.LengthMs+cleanup {
				begin, until, ok := it.times.Free(at, end, setup+q.LengthMs+cleanup, q.Units, int64(it.quantity), &steps)
				if !ok && begin >= end {
					break
				}
				if ok && len(free) == q.Limit || !ok {
					return page{at: begin + setup}, false
				}
				free = append(free, Given{Pool: p.name, ID: it.id, Labels: it.class.text, Attrs: it.attrs, Units: 1,
					Span: Span{Start: begin + setup, End: until - cleanup}})
				at = until
			}
		}
		return page{at: timeMax}, steps > 0
	})
	if err == nil && !fits && cursor == "" {
		err = &Error{NoMatch, fmt.Sprintf("pool %s has no item that matches and has room for %d at once", p.name, q.Units)}
	}
	return free, cursor, err
}

// Booked returns the times that are booked, or held, by item and time, set-up included, also those that have begun before,
// and the cursor of the next page; empty: there is none.
func (m *Machine) Booked(q TimesQuery) (booked []Booked, cursor string, err error) {
	steps := timesSteps
	cursor, err = m.each(&q, &steps, func(it *item, from page) (page, bool) {
		for e := range it.times.Overlapping(max(from.at, q.From), q.To) {
			s := e.Value
			if e.Start < from.at || e.Start == from.at && e.ID < from.id {
				continue // of a page before
			}
			if len(booked) >= q.Limit || steps <= 0 {
				return page{at: e.Start, id: e.ID}, false
			}
			if steps--; s.End <= q.From || s.Start >= q.To { // only its set-up or clean-up is within
				continue
			}
			g := s.grant
			booked = append(booked, Booked{ID: it.id, Span: s.Span, Units: e.Units, Grant: g.id, Client: g.client, Owner: g.owner})
			if !g.firm {
				booked[len(booked)-1].ExpiresAt = g.expiresAt
			}
		}
		return page{at: timeMax}, steps > 0
	})
	return booked, cursor, err
}

// Time is a time that a booking has in a pool.
type Time struct {
	Pool string
	Span Span
}

// Times returns the times of a booking, in order, each once in a pool; empty: there is no such booking.
func (m *Machine) Times(grant uint64) (times []Time) {
	g := m.grants[grant]
	if g == nil {
		return nil
	}
	for _, p := range g.parts {
		if p.span != nil {
			times = append(times, Time{p.item.pool.name, p.span.Span})
		}
	}
	slices.SortFunc(times, func(a, b Time) int {
		return cmp.Or(cmp.Compare(a.Span.Start, b.Span.Start), cmp.Compare(a.Pool, b.Pool))
	})
	return slices.CompactFunc(times, func(a, b Time) bool { return a.Span.Start == b.Span.Start && a.Pool == b.Pool })
}
