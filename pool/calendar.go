package pool

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/kassa-go/kassa/pool/internal/timeline"
)

// A calendar's items are booked from one moment to another: never more of one at a time than its quantity. What is held of
// a calendar, with things of other kinds, comes back as a lease does, until it is confirmed; what is booked stays until it
// is cancelled, or past.

// Span is a time, half open: from Start to before End, ms since 1970 (UTC). What was booked keeps the times for set-up and
// clean-up that its pool had then.
type Span struct {
	Start, End         int64
	SetupMs, CleanupMs int64 // in a command: the pool's, whatever they are
}

const timeMax = 1 << 52 // ms

func (s Span) put(e *enc) {
	e.int(s.Start)
	e.int(s.End - s.Start)
	e.uint(uint64(s.SetupMs))
	e.uint(uint64(s.CleanupMs))
}

func (s *Span) get(d *dec) {
	s.Start = d.int()
	s.End = s.Start + d.int()
	setup, cleanup := d.uint(), d.uint()
	s.SetupMs, s.CleanupMs = int64(setup), int64(cleanup)
	d.bad = d.bad || s.Start < -timeMax || s.Start > timeMax || s.End < s.Start || s.End > timeMax || setup > uint64(dayMs) || cleanup > uint64(dayMs)
}

func (s Span) begin() int64 { return s.Start - s.SetupMs }
func (s Span) end() int64   { return s.End + s.CleanupMs }

// String gives a span as people read it.
func (s Span) String() string {
	return timeText(s.Start) + " to " + timeText(s.End)
}

func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z") }

// span is a time that a grant has of an item.
type span struct {
	Span
	grant *grant
	entry timeline.Entry[*span] // with set-up and clean-up
}

func newSpan(s Span) *span { return &span{Span: s} }

// leftAt returns how many units of a calendar's item are left all through a time.
func (it *item) leftAt(s Span) int64 { return int64(it.quantity) - it.times.Peak(s.begin(), s.end()) }

// checkSpans says which of some times can not be booked in a pool, whatever is booked there. They get its set-up and clean-up.
func (m *Machine) checkSpans(p *pool, spans []Span) *Error {
	bad := func(format string, args ...any) *Error { return &Error{InvalidInterval, fmt.Sprintf(format, args...)} }
	if len(spans) > SpansMax {
		return &Error{BadPayload, fmt.Sprintf("%d times are too many for one booking: %d at most", len(spans), SpansMax)}
	}
	for i := range spans {
		s := &spans[i]
		s.SetupMs, s.CleanupMs = p.spec.SetupMs, p.spec.CleanupMs
		switch {
		case s.Start < 0 || s.Start > timeMax || s.End < 0 || s.End > timeMax:
			return bad("%d to %d are no times: want milliseconds since 1970", s.Start, s.End)
		case s.Start == s.End:
			return bad("it ends when it begins, %s: want an end after the start", *s)
		case s.Start > s.End:
			return bad("it ends before it begins, %s: want an end after the start", *s)
		case s.End-s.Start > p.spec.SlotMaxMs:
			return bad("%s is longer than pool %s allows: %v at most", *s, p.name, time.Duration(p.spec.SlotMaxMs)*time.Millisecond)
		case s.End <= m.now:
			return bad("%s is over already", *s)
		case s.Start > m.now+p.spec.HorizonMs:
			return bad("%s is too far ahead: pool %s is booked %v ahead at most", *s, p.name, time.Duration(p.spec.HorizonMs)*time.Millisecond)
		case i > 0 && spans[i-1].end() > s.begin():
			return bad("%s and %s overlap, set-up and clean-up included, or are not in order", spans[i-1], *s)
		}
	}
	return nil
}

// candidates calls fn for the items that a want is for, in the pool's order, until it returns false: those that leave only
// when told so.
func (r *resolved) candidates(leaving bool, fn func(*item) bool) {
	if r.ids != nil {
		for _, it := range r.ids {
			if !fn(it) {
				return
			}
		}
		return
	}
	for _, c := range r.classes {
		c.marked = true
	}
	defer func() {
		for _, c := range r.classes {
			c.marked = false
		}
	}()
	for _, at := range r.pool.order {
		if it := at.item; it != nil && (leaving || !it.draining) && it.class.marked && !fn(it) {
			return
		}
	}
}

// fitsCapacity says why what is wanted of a calendar can not be had, even where nothing is booked.
func (r *resolved) fitsCapacity() *Error {
	rooms, most := 0, 0
	r.candidates(false, func(it *item) bool {
		rooms++
		if r.ids != nil && most > 0 {
			most = min(most, int(it.quantity))
		} else {
			most = max(most, int(it.quantity))
		}
		return true
	})
	r.rooms = rooms
	switch {
	case r.count <= 0:
		return &Error{BadPayload, fmt.Sprintf("count is %d: want 1 or more", r.count)}
	case rooms == 0:
		return &Error{NoMatch, fmt.Sprintf("pool %s has no item that matches", r.pool.name)}
	case most < r.count:
		return &Error{NoMatch, fmt.Sprintf("%d at once are wanted, what matches in pool %s has room for %d", r.count, r.pool.name, most)}
	}
	return nil
}

// tooManyTimes says that a want is for more than there is time to look at. It is about new requests only: items are added.
func (r *resolved) tooManyTimes() *Error {
	if r.ids != nil || r.rooms*len(r.spans) <= TimesMax {
		return nil
	}
	return &Error{BadPayload, fmt.Sprintf("%d times in any of %d items are too many to look at, %d at most (the product): ask for fewer times at once, or for certain items", len(r.spans), r.rooms, TimesMax)}
}

// freeFor reports whether an item is free for all that is wanted of it.
func (r *resolved) freeFor(it *item) bool {
	for _, s := range r.spans {
		if it.leftAt(s) < int64(r.count) {
			return false
		}
	}
	return true
}

// pickTimes picks the times wanted: of all items that are named, or of the first that matches and is free.
func pickTimes(picks []part, w *resolved) ([]part, bool) {
	ok := w.ids != nil
	pick := func(it *item) {
		it.picked = true
		for _, s := range w.spans {
			picks = append(picks, part{it, int64(w.count), newSpan(s)})
		}
	}
	w.candidates(false, func(it *item) bool {
		free := !it.picked && w.freeFor(it)
		if free {
			pick(it)
		}
		if w.ids == nil && free {
			ok = true
			return false
		}
		ok = ok && free
		return w.ids == nil || free
	})
	return picks, ok
}

// freeRooms returns how many items match, and how many of these are free for all that is wanted.
func (r *resolved) freeRooms() (match, free int) {
	r.candidates(false, func(it *item) bool {
		match++
		if r.freeFor(it) {
			free++
		}
		return true
	})
	return match, free
}

// inTheWay says why the times wanted can not be had now; empty: they can.
func (r *resolved) inTheWay() (text string) {
	match, free := r.freeRooms()
	switch {
	case r.ids == nil && free > 0 || free == match:
		return ""
	case r.ids == nil && match > 1:
		return fmt.Sprintf("of %d matching items of pool %s none is free at all the times wanted", match, r.pool.name)
	}
	r.candidates(false, func(it *item) bool {
		for _, s := range r.spans {
			if text == "" && it.leftAt(s) < int64(r.count) {
				text = fmt.Sprintf("item %q of pool %s is not free %s%s", it.id, r.pool.name, s, it.bookedAt(s))
			}
		}
		return text == ""
	})
	return text
}

// bookedAt tells of the first booking in the way.
func (it *item) bookedAt(s Span) string {
	for e := range it.times.Overlapping(s.begin(), s.end()) {
		if e.Value.SetupMs+e.Value.CleanupMs+s.SetupMs+s.CleanupMs > 0 {
			return fmt.Sprintf(": it is booked %s, with %v before and %v after", e.Value.Span,
				time.Duration(e.Value.SetupMs)*time.Millisecond, time.Duration(e.Value.CleanupMs)*time.Millisecond)
		}
		return fmt.Sprintf(": it is booked %s", e.Value.Span)
	}
	return ""
}

// OnConflict says what becomes of a booking of several times that are not all free.
type OnConflict string

// What can become of it.
const (
	FailAll OnConflict = "fail"   // nothing is booked
	Skip    OnConflict = "skip"   // those that are free are booked
	Report  OnConflict = "report" // nothing is booked, whatever is free: it is only told
)

// Book books a calendar's items, firmly.
type Book struct {
	Session    uint64 // that asks; 0: none
	Want       Want
	Owner      string // whom it is for; empty: the session
	OnConflict OnConflict
	Keyed
}

func (c *Book) decide(m *Machine, r *Reply) {
	if !m.identify(c.Session, &c.Keyed, r) {
		return
	}
	if m.repeated(&c.Keyed, r) {
		return
	}
	wants, err := m.resolveWants([]Want{c.Want})
	if err == nil && wants[0].spans == nil {
		err = &Error{BadPayload, fmt.Sprintf("pool %s is of kind %s: only a calendar is booked", c.Want.Pool, wants[0].pool.spec.Kind)}
	}
	if err == nil {
		err = wants[0].tooManyTimes()
	}
	if err == nil && c.Owner != "" {
		err = asError(checkName("owner", c.Owner, OwnerBytesMax))
	}
	if err != nil {
		r.Err = err
		return
	}
	w := &wants[0]
	items, skipped := w.choose()
	switch c.OnConflict {
	case "", FailAll:
		if len(skipped) > 0 {
			r.fail(Conflict, "%s; nothing was booked", cmp.Or(w.inTheWay(), "not all times are free"))
		}
	case Skip:
		if len(skipped) == len(w.spans) {
			r.fail(Conflict, "%s; nothing was booked", cmp.Or(w.inTheWay(), "no time is free"))
		}
	case Report:
	default:
		r.fail(BadPayload, "onConflict is %q: want fail, skip or report", c.OnConflict)
	}
	if r.Err != nil {
		return
	}
	picks := m.scratch.picks[:0]
	for _, it := range items {
		for i, s := range w.spans {
			if _, skip := slices.BinarySearch(skipped, i); !skip {
				picks = append(picks, part{it, int64(w.count), newSpan(s)})
			} else {
				r.Conflicts = append(r.Conflicts, Given{Pool: w.pool.name, ID: it.id, Span: s})
			}
		}
	}
	if m.scratch.picks = picks; c.OnConflict == Report {
		r.Items = given(picks)
		clear(picks)
		return
	}
	if p := w.pool; p.held != nil && p.held[c.Client]+int64(unitsOf(picks)) > p.spec.QuotaMax {
		clear(picks)
		r.Conflicts = nil
		r.fail(QuotaExceeded, "the client has %d bookings in pool %s and wants %d more, %d at most are allowed", p.held[c.Client], p.name, unitsOf(picks), p.spec.QuotaMax)
		return
	}
	ev := &m.scratch.granted
	*ev = granted{parts: picks, as: Calendar, firm: true, terms: terms{session: c.Session, client: c.Client, owner: c.Owner, onDisconnect: Keep}}
	m.emit(ev)
	r.Grant, r.Token, r.Rev = m.rev, m.rev, m.rev
	r.Items = given(picks)
	clear(picks)
	ev.parts = nil
	m.remember(&c.Keyed, r)
}

// choose returns the items to book, all that are named or the one where most of the times are free, and the indexes of the
// times at which they are not all free.
func (r *resolved) choose() (items []*item, skipped []int) {
	conflicts := func(it *item) (at []int) {
		for i, s := range r.spans {
			if it.leftAt(s) < int64(r.count) {
				at = append(at, i)
			}
		}
		return at
	}
	if r.ids != nil {
		for _, it := range r.ids {
			skipped = append(skipped, conflicts(it)...)
		}
		slices.Sort(skipped)
		return r.ids, slices.Compact(skipped)
	}
	r.candidates(false, func(it *item) bool {
		if int(it.quantity) < r.count {
			return true
		}
		if at := conflicts(it); items == nil || len(at) < len(skipped) {
			items, skipped = []*item{it}, at
		}
		return len(skipped) > 0
	})
	return items, skipped
}

// At says which times of a booking are meant.
type At struct {
	Start     *int64 // those that begin then; nil: all
	Following bool   // and later
}

// choose returns the parts of a booking that are meant.
func (a At) choose(to []part, g *grant, done string) ([]part, *Error) {
	return g.choose(to, nil, done, func(p *part) bool {
		return p.span != nil && (a.Start == nil || p.span.Start == *a.Start || a.Following && p.span.Start > *a.Start)
	})
}

// Cancel gives up what is booked.
type Cancel struct {
	Grant, Token uint64
	At           At
	Keyed
}

func (c *Cancel) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	g := m.firmly(Calendar, c.Grant, c.Token, r)
	if g == nil {
		return
	}
	parts, err := c.At.choose(m.scratch.chosen[:0], g, "cancelled")
	if m.scratch.chosen = parts; err != nil {
		if c.At.Start != nil {
			err.Code = NotFound
			err.Message = fmt.Sprintf("booking %d has nothing that begins at %s", g.id, timeText(*c.At.Start))
		}
		r.Err = err
		return
	}
	r.Grant, r.Token, r.Count = g.id, g.token, len(parts)
	m.release(g, parts, Clean, Returned)
	m.remember(&c.Keyed, r)
}

// Move has bookings be at another time, or of another item, or both, at once.
type Move struct {
	Grant, Token uint64
	At           At
	Item         string // of the same pool; empty: as it is
	// Spans are the new times, one for each different start of those meant, in their order; nil: as they are.
	Spans []Span
	Keyed
}

func (c *Move) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	g := m.firmly(Calendar, c.Grant, c.Token, r)
	if g == nil {
		return
	}
	parts, err := c.At.choose(m.scratch.chosen[:0], g, "moved")
	m.scratch.chosen = parts
	if err != nil && c.At.Start != nil {
		err = &Error{NotFound, fmt.Sprintf("booking %d has nothing that begins at %s", g.id, timeText(*c.At.Start))}
	}
	var to []part
	if err == nil {
		to, err = m.targets(c, g, parts)
	}
	if err == nil {
		err = swap(parts, to)
	}
	if err != nil {
		r.Err = err
		return
	}
	from := slices.Clone(parts)
	m.emit(&moved{grant: g.id, from: from, to: to})
	r.Grant, r.Token, r.Rev, r.ExpiresAt = g.id, g.token, m.rev, g.expiresAt
	r.Items = given(to)
	m.serveParts(from)
	for _, p := range from {
		m.goneIfEmpty(p.item.pool)
	}
	m.remember(&c.Keyed, r)
}

// targets returns what parts of a booking are to become.
func (m *Machine) targets(c *Move, g *grant, parts []part) ([]part, *Error) {
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.span.Start, b.span.Start) })
	p := parts[0].item.pool
	for i := range parts {
		if parts[i].item.pool != p || c.Item != "" && parts[i].item != parts[0].item {
			return nil, &Error{Conflict, fmt.Sprintf("booking %d is of several items: they can not all become item %.280q, and those of several pools are not moved together", g.id, c.Item)}
		}
	}
	var room *item
	if c.Item != "" {
		if room = p.items[c.Item]; room == nil {
			return nil, &Error{NotFound, fmt.Sprintf("pool %s has no item %.280q", p.name, c.Item)}
		}
	}
	for i := range parts {
		if it := cmp.Or(room, parts[i].item); it.draining {
			return nil, &Error{NoMatch, fmt.Sprintf("item %q of pool %s is leaving: nothing new is booked there", it.id, p.name)}
		}
	}
	if err := m.checkSpans(p, c.Spans); err != nil {
		return nil, err
	}
	to := make([]part, len(parts))
	same, n := true, -1
	for i, old := range parts {
		if i == 0 || old.span.Start != parts[i-1].span.Start {
			n++
		} else if c.Spans != nil && old.span.End != parts[i-1].span.End {
			return nil, &Error{Conflict, fmt.Sprintf("booking %d has times that begin together, %d, and end apart: move one item at a time, by booking it anew", g.id, old.span.Start)}
		}
		to[i] = part{item: old.item, units: old.units}
		if room != nil {
			to[i].item = room
		}
		s := old.span.Span
		if c.Spans != nil && n < len(c.Spans) {
			s = c.Spans[n]
		}
		to[i].span = newSpan(s)
		same = same && to[i].item == old.item && s.Start == old.span.Start && s.End == old.span.End
	}
	switch {
	case c.Spans != nil && n+1 != len(c.Spans):
		return nil, &Error{BadPayload, fmt.Sprintf("booking %d has %d times that are meant, and %d new ones are given", g.id, n+1, len(c.Spans))}
	case same:
		return nil, &Error{InvalidInterval, "that is where it is already: nothing is to be moved"}
	}
	moving := make(map[*span]bool, len(parts))
	for i := range parts {
		moving[parts[i].span] = true
	}
	stays := slices.DeleteFunc(slices.Clone(g.parts), func(p part) bool { return p.span == nil || moving[p.span] })
	for i := range to { // also against what of the booking stays
		for j := range stays {
			x := &stays[j]
			if x.item == to[i].item && x.span.begin() < to[i].span.end() && to[i].span.begin() < x.span.end() {
				return nil, &Error{Conflict, fmt.Sprintf("%s of the same booking is in the way of %s", x.span.Span, to[i].span.Span)}
			}
		}
	}
	return to, nil
}

// swap says what is in the way of parts that are to become others, all at once. Nothing is changed.
func swap(from, to []part) *Error {
	for i := range from {
		from[i].item.times.Remove(&from[i].span.entry)
	}
	var err *Error
	n := 0
	for ; n < len(to) && err == nil; n++ {
		p := &to[n]
		if p.units > p.item.leftAt(p.span.Span) {
			err = &Error{Conflict, fmt.Sprintf("item %q of pool %s is not free %s%s; nothing was moved", p.item.id, p.item.pool.name, p.span.Span, p.item.bookedAt(p.span.Span))}
			break
		}
		p.span.entry = timeline.Entry[*span]{Start: p.span.begin(), End: p.span.end(), Units: p.units, ID: from[n].span.entry.ID, Value: p.span}
		p.item.times.Add(&p.span.entry)
	}
	for i := range to[:n] {
		to[i].item.times.Remove(&to[i].span.entry)
	}
	for i := range from {
		from[i].item.times.Add(&from[i].span.entry)
	}
	return err
}

// moved says which parts of a booking have become others.
type moved struct {
	grant    uint64
	refs     []ItemRef // in replay: what they were, and what they are
	became   []ItemRef
	from, to []part // live
}

func (*moved) kind() byte { return evMoved }

func (ev *moved) put(e *enc) {
	e.uint(ev.grant)
	e.uint(uint64(len(ev.from)))
	for i := range ev.from {
		e.string(ev.from[i].item.pool.name)
		e.string(ev.from[i].item.id)
		e.int(ev.from[i].span.Start)
		e.string(ev.to[i].item.id)
		ev.to[i].span.put(e)
	}
}

func (ev *moved) get(d *dec) {
	ev.grant = d.uint()
	n := d.len()
	ev.refs, ev.became = make([]ItemRef, n), make([]ItemRef, n)
	for i := range n {
		ev.refs[i].Pool, ev.refs[i].ID, ev.refs[i].Span.Start = d.string(), d.string(), d.int()
		ev.became[i].Pool, ev.became[i].ID = ev.refs[i].Pool, d.string()
		ev.became[i].Span.get(d)
	}
}

func (ev *moved) apply(m *Machine) error {
	g := m.grants[ev.grant]
	if g == nil {
		return fmt.Errorf("there is no grant %d", ev.grant)
	}
	from, to := ev.from, ev.to
	if ev.refs != nil {
		from, to = make([]part, len(ev.refs)), make([]part, len(ev.refs))
		for i := range ev.refs {
			old, err := m.itemBy(ev.refs[i].Pool, ev.refs[i].ID)
			if err != nil {
				return err
			}
			room, err := m.itemBy(ev.became[i].Pool, ev.became[i].ID)
			if err != nil {
				return err
			}
			at := g.find(old, ev.refs[i].Span.Start)
			if at == nil || at.span == nil || room.times == nil || ev.became[i].Span.End <= ev.became[i].Span.Start {
				return fmt.Errorf("grant %d has not that time of item %q of pool %q", g.id, old.id, old.pool.name)
			}
			from[i], to[i] = *at, part{room, at.units, newSpan(ev.became[i].Span)}
		}
	}
	m.touch(g)
	m.unlink(g)
	for i := range from {
		m.touch(from[i].item)
		from[i].item.giveBack(g, &from[i])
	}
	parts := slices.Clone(g.parts)
	for i := range to {
		p := &to[i]
		if p.units > p.item.left(p.span) {
			return fmt.Errorf("item %q of pool %q is not free %s", p.item.id, p.item.pool.name, p.span.Span)
		}
		p.item.take(g, p)
		at := slices.IndexFunc(parts, func(x part) bool { return x.span == from[i].span })
		if at < 0 {
			return fmt.Errorf("grant %d: a time is moved twice", g.id)
		}
		parts[at] = *p
	}
	g.parts = parts
	m.link(g)
	for i := range from {
		if it := from[i].item; it.draining && it.idle() && it.pool.items[it.id] == it {
			m.removeItem(it)
		}
	}
	return nil
}

func (ev *moved) describe(e *Event) {
	e.Type, e.Kind, e.Grant, e.Items, e.Was, e.Pool = "slot.moved", Calendar, ev.grant, ev.became, ev.refs, poolOf(ev.became)
}

// pastAt returns when the first booking of g is to be let go of; 0: it has none.
func (g *grant) pastAt() int64 {
	at := int64(0)
	for i := range g.parts {
		if p := &g.parts[i]; p.span != nil {
			if past := max(1, p.pastAt()); at == 0 || past < at {
				at = past
			}
		}
	}
	return at
}

// pastAt returns when a booking is to be let go of: not before its clean-up is over.
func (p *part) pastAt() int64 { return p.span.End + max(p.item.pool.spec.KeepMs, p.span.CleanupMs) }

// letGo lets go of the bookings of g that are past.
func (m *Machine) letGo(g *grant) {
	parts := m.scratch.chosen[:0]
	for _, p := range g.parts {
		if p.span != nil && p.pastAt() <= m.now {
			parts = append(parts, p)
		}
	}
	m.scratch.chosen = parts
	m.release(g, parts, Clean, Past)
}
