package load

// caughtUpAtOnce is how many overdue requests an open loop makes before it looks for replies again.
const caughtUpAtOnce = 64

// openLoop makes requests at a fixed rate, on the connections in turn, however many wait for their replies.
type openLoop struct {
	start    int64   // when the first request is due
	end      int64   // when no more are due
	interval float64 // ns between two
	made     int64
	total    int64 // how many are made at most
	next     int   // place of the connection whose turn it is
}

func (p *openLoop) tick(l *loop, now int64) (wake int64, more bool) {
	for range caughtUpAtOnce {
		due := p.start + int64(float64(p.made)*p.interval)
		if p.made == p.total || due >= p.end || l.live == 0 {
			return now + l.timeout, false
		}
		if due > now {
			return due, true
		}
		p.made++
		record(l.late, now-due)
		l.issue(p.turn(l), 1, due)
	}
	return now, true
}

func (p *openLoop) answered(*loop, *conn, int, int64) {}

// turn returns the connection whose turn it is. At least one must be live.
func (p *openLoop) turn(l *loop) *conn {
	for {
		c := &l.conns[p.next]
		p.next = (p.next + 1) % len(l.conns)
		if c.state == open {
			return c
		}
	}
}
