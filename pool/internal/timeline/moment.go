package timeline

import "math"

// moment is a time at which the use changes, by sum, which is also high and low. One at which it would change by nothing is
// not kept. Or it stands for several, of which the first is at that time.
type moment struct {
	at int64
	// Where nothing is in use before the first of them: what is after the last, and the most and the least that is after any.
	sum, high, low int64
}

func (m moment) before(x moment) bool { return m.at < x.at }

func (m moment) onto(x moment) moment { return changed(m.at, m.sum+x.sum) }

func (m moment) none() bool { return m.sum == 0 }

func (moment) all(those []moment) moment {
	a := moment{those[0].at, 0, math.MinInt64, math.MaxInt64}
	for i := range those {
		m := &those[i]
		a.high, a.low = max(a.high, a.sum+m.high), min(a.low, a.sum+m.low)
		a.sum += m.sum
	}
	return a
}

// changed returns one moment.
func changed(at, units int64) moment { return moment{at, units, units, units} }

// next returns a time that is after all that element i of n stands for, and not after what comes then; for the last element
// this is end.
func next(n *node[moment], i int, end int64) int64 {
	switch {
	case n.children == nil:
		return n.elements[i].at + 1
	case i+1 < len(n.elements):
		return n.elements[i+1].at
	}
	return end
}

// use returns how many units are in use at a time.
func (t *Timeline[V]) use(at int64) (use int64) {
	for n := &t.moments; ; {
		i := n.find(moment{at: at})
		for j := range i {
			use += n.elements[j].sum
		}
		switch {
		case i < 0:
			return use
		case n.children == nil:
			return use + n.elements[i].sum
		}
		n = &n.children[i]
	}
}

// Peak returns the most units that are in use at any time of [start, end), where start < end. It takes O(log n).
func (t *Timeline[V]) Peak(start, end int64) int64 {
	p := peak{start: start, end: end}
	p.pass(&t.moments, math.MaxInt64)
	return p.most
}

// peak is a Peak being looked for.
type peak struct {
	start, end int64
	use        int64 // after what has been passed
	most       int64 // at start and after, as far as what has been passed tells
}

// pass passes what is in n that is before p.end. All of n is before end.
func (p *peak) pass(n *node[moment], end int64) {
	for i := range n.elements {
		m := &n.elements[i]
		if m.at >= p.end {
			return
		}
		switch then := next(n, i, end); {
		case then <= p.start+1:
			p.use += m.sum
			p.most = p.use
		case m.at > p.start && then <= p.end:
			p.most = max(p.most, p.use+m.high)
			p.use += m.sum
		default:
			p.pass(&n.children[i], then)
		}
	}
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
	u := turn{after: after, to: to, limit: limit, above: above}
	if u.pass(&t.moments, math.MaxInt64) {
		return to
	}
	return u.at
}

// turn is a turn being looked for.
type turn struct {
	after, to, limit int64
	above            bool
	use              int64 // after what has been passed
	at               int64 // it is found here
}

// pass passes what is in n, all of which is before end, up to the moment wanted; it returns false when it found that, or that
// there is none before u.to.
func (u *turn) pass(n *node[moment], end int64) bool {
	for i := range n.elements {
		m := &n.elements[i]
		if m.at >= u.to {
			u.at = u.to
			return false
		}
		then := next(n, i, end)
		switch {
		case then <= u.after+1 || !u.reaches(m):
			u.use += m.sum
		case n.children == nil:
			u.at = m.at
			return false
		case !u.pass(&n.children[i], then):
			return false
		}
	}
	return true
}

// reaches says whether the use is as wanted after any of the moments that m stands for.
func (u *turn) reaches(m *moment) bool {
	if u.above {
		return u.use+m.high > u.limit
	}
	return u.use+m.low <= u.limit
}
