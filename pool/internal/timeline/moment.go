package timeline

import "github.com/kassa-go/kassa/pool/internal/treap"

// moment is a time at which the use changes. One at which it would change by nothing is not kept.
type moment struct {
	at     int64
	change int64
	// Of it and those below, where nothing is in use before the first of them: what is after the last, and the most and the
	// least that is after any.
	sum, high, low int64
	links[moment]
}

// Before is the order of moments in a timeline.
func (m *moment) Before(x *moment) bool { return m.at < x.at }

// Weight is for the treap.
func (m *moment) Weight(seed uint64) uint64 { return treap.Hash(seed, uint64(m.at), 0) }

// Update is for the treap.
func (m *moment) Update() {
	m.sum = m.change
	if l := m.Left; l != nil {
		m.sum += l.sum
	}
	m.high, m.low = m.sum, m.sum
	if l := m.Left; l != nil {
		m.high, m.low = max(m.high, l.high), min(m.low, l.low)
	}
	if r := m.Right; r != nil {
		m.high, m.low = max(m.high, m.sum+r.high), min(m.low, m.sum+r.low)
		m.sum += r.sum
	}
}

// through returns the sum of the changes of m and those to its left.
func (m *moment) through() int64 {
	if m.Right == nil {
		return m.sum
	}
	return m.sum - m.Right.sum
}

// rise returns how far the use comes to be above what it is before m and those below it.
func (m *moment) rise() int64 {
	if m == nil {
		return 0
	}
	return max(0, m.high)
}

// reaches says whether the use is above limit, or else (above is false) not above it, after m or one of those below it; use
// is what it is before them.
func (m *moment) reaches(limit int64, above bool, use int64) bool {
	switch {
	case m == nil:
		return false
	case above:
		return use+m.high > limit
	}
	return use+m.low <= limit
}

// change has so many more units be in use from at on.
func (t *Timeline[V]) change(at, units int64) {
	m := t.moments.Root
	for m != nil && m.at != at {
		if at < m.at {
			m = m.Left
		} else {
			m = m.Right
		}
	}
	if m == nil {
		t.moments.Insert(&moment{at: at, change: units})
	} else if m.change += units; m.change == 0 {
		t.moments.Remove(m)
	} else {
		t.moments.Changed(m)
	}
}

// use returns how many units are in use at a time.
func (t *Timeline[V]) use(at int64) int64 {
	use := int64(0)
	for m := t.moments.Root; m != nil; {
		if m.at <= at {
			use, m = use+m.through(), m.Right
		} else {
			m = m.Left
		}
	}
	return use
}

// Peak returns the most units that are in use at any time of [start, end), where start < end. It takes O(log n).
func (t *Timeline[V]) Peak(start, end int64) int64 {
	use := int64(0) // before m and all below it
	m := t.moments.Root
	for m != nil && (m.at <= start || m.at >= end) {
		if m.at <= start {
			use, m = use+m.through(), m.Right
		} else {
			m = m.Left
		}
	}
	if m == nil {
		return use
	}
	then := use + m.through()
	peak := then
	for l := m.Left; l != nil; { // all here are before end
		if after := use + l.through(); l.at <= start {
			use, l = after, l.Right
		} else {
			peak, l = max(peak, after+l.Right.rise()), l.Left
		}
	}
	for r := m.Right; r != nil; { // all here are after start
		if r.at >= end {
			r = r.Left
		} else {
			after := then + r.through()
			peak = max(peak, then+r.Left.rise(), after)
			then, r = after, r.Right
		}
	}
	return max(peak, use) // use has become what it is at start
}

// Free looks for the first stretch within [from, to) of at least length, which is positive, all through which so many units
// more fit under capacity, and returns the whole of it, as far as it is within [from, to).
//
// Each stretch that it looks at, also one that is too short, takes one off *steps, and O(log n). With ok false, nothing that
// is long enough starts before the start returned: that is to when there is none at all, and less when *steps has come to 0.
// Then the same with start as from goes on with the search.
func (t *Timeline[V]) Free(from, to, length, units, capacity int64, steps *int) (start, end int64, ok bool) {
	limit := capacity - units
	start = from
	for free := t.use(from) <= limit; *steps > 0; free = false {
		*steps--
		if !free {
			start = t.turn(start, to, limit, false)
		}
		if start+length > to {
			return to, to, false
		}
		if end = t.turn(start, to, limit, true); end-start >= length {
			return start, end, true
		}
		start = end
	}
	return start, start, false
}

// turn returns the first moment in (after, to) from which on the use is above limit, or else (above is false) not above it;
// to where there is none.
func (t *Timeline[V]) turn(after, to, limit int64, above bool) int64 {
	var at *moment // the moment wanted is this, or to its right: in that order the first found so far
	var atUse int64
	use := int64(0) // before m and all below it
	for m := t.moments.Root; m.reaches(limit, above, use); {
		then := use + m.through()
		if m.at <= after {
			use, m = then, m.Right
			continue
		}
		if then > limit == above || m.Right.reaches(limit, above, then) {
			at, atUse = m, then
		}
		m = m.Left
	}
	if at == nil {
		return to
	}
	for use = atUse; use > limit != above; {
		for at = at.Right; at.Left.reaches(limit, above, use); {
			at = at.Left
		}
		use += at.through()
	}
	return min(at.at, to)
}
