package load

// startedAtOnce is how many connections a closed loop sets going before it looks for replies again, so that the first
// ones do not wait for the last.
const startedAtOnce = 64

// closedLoop keeps so many requests under way on each connection: a reply makes room for the next request.
type closedLoop struct {
	inFlight int
	left     int64 // requests that may still be made
	end      int64 // when no more are made
	next     int   // place of the connection to be set going next
}

func (p *closedLoop) tick(l *loop, now int64) (wake int64, more bool) {
	for started := 0; p.next < len(l.conns) && started < startedAtOnce; p.next++ {
		if c := &l.conns[p.next]; c.state == open {
			p.issue(l, c, p.inFlight, now)
			started++
		}
	}
	switch {
	case p.left == 0 || now >= p.end:
		return now + l.timeout, false
	case p.next < len(l.conns):
		return now, true
	}
	// With all connections set going and nothing under way, none is left.
	return p.end, l.underWay > 0
}

func (p *closedLoop) answered(l *loop, c *conn, n int, now int64) {
	if c.state == open {
		p.issue(l, c, n, now)
	}
}

func (p *closedLoop) issue(l *loop, c *conn, n int, now int64) {
	n = int(min(int64(n), p.left))
	if n == 0 || now >= p.end {
		return
	}
	p.left -= int64(n)
	l.issue(c, n, now)
}
