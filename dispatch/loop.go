package dispatch

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// loop is what the dispatcher keeps for one event loop: the way its jobs come home. But for the inbox, all of it belongs
// to the loop's goroutine.
type loop struct {
	d             *Dispatcher
	replyBytesMax int
	execute       func(func()) error
	comeHome      func() // l.home, made once

	inbox atomic.Pointer[Job] // jobs on their way home, newest first, linked by homeNext
	woken atomic.Bool         // comeHome is going to run

	now     int64  // ns since the dispatcher started, taken at the first request of a turn
	ended   int64  // likewise, when the last turn with requests ended
	atHome  bool   // home is running
	pending []*Job // taken in this turn and not published yet
	free    []*Job
	frame   codec.Frame // reused, for answers that the loop gives itself
	scratch []byte
}

const (
	pendingMax = 256  // requests published at once
	freeMax    = 4096 // idle jobs kept: a connection's default credit
)

// newJob returns a cleared job.
func (l *loop) newJob() *Job {
	if n := len(l.free); n > 0 {
		j := l.free[n-1]
		l.free = l.free[:n-1]
		return j
	}
	return new(Job)
}

func (l *loop) recycle(j *Job) {
	j.clear()
	if len(l.free) < freeMax {
		l.free = append(l.free, j)
	}
}

// publish puts jobs into the loop's inbox, which is a stack: newest is linked down to oldest by homeNext. It wakes the loop
// unless that is done already: so what is published while the loop is at work costs no system call, and goes out in the
// same writes. Any goroutine may call it; the jobs are the loop's from then on.
func (l *loop) publish(newest, oldest *Job) {
	for {
		top := l.inbox.Load()
		oldest.homeNext = top
		if l.inbox.CompareAndSwap(top, newest) {
			break
		}
	}
	if !l.woken.Load() && l.woken.CompareAndSwap(false, true) {
		// An error means that the engine has stopped: nobody is there any more to be answered.
		_ = l.execute(l.comeHome)
	}
}

// Quiet is how long a loop must have had nothing to do for lingering to be worth it, and lingerJobs how few requests it
// may have: then their answers may come while it lets others run for a moment.
const (
	quiet      = int64(5 * time.Microsecond)
	lingerJobs = 4
)

// linger lets the dispatcher and the workers run for a moment, and takes home what they have answered by then. On a loop
// with nothing else to do that spares the way through the kernel that waking it costs; where requests come in one after
// the other they are better served together.
func (l *loop) linger(jobs int) {
	if jobs <= lingerJobs && !l.atHome && l.now-l.ended > quiet && l.woken.CompareAndSwap(false, true) {
		runtime.Gosched()
		l.home()
	}
	l.ended = l.d.now()
}

// home takes the jobs that have come in: it writes each connection's answers together and returns its credit.
func (l *loop) home() {
	l.atHome = true
	defer func() { l.atHome = false }()
	l.woken.Store(false) // before looking: what comes in afterwards wakes the loop again

	var oldest *Job
	for j := l.inbox.Swap(nil); j != nil; {
		next := j.homeNext
		j.homeNext, oldest = oldest, j
		j = next
	}

	// First gather, by connection: its answers come from several workers.
	var first, last *Peer
	for j := oldest; j != nil; {
		next := j.homeNext
		p := j.peer
		if p.homeLast == nil {
			p.homeFirst = j
			if last == nil {
				first = p
			} else {
				last.homeNext = p
			}
			last = p
		} else {
			p.homeLast.homeNext = j
		}
		p.homeLast, j.homeNext = j, nil
		j = next
	}

	// Then write. A write can close its connection, which runs Peer.Closed; that leaves jobs that are not queued alone.
	var starved []*Peer
	for p := first; p != nil; {
		next := p.homeNext
		j := p.homeFirst
		p.homeFirst, p.homeLast, p.homeNext = nil, nil, nil
		for j != nil {
			next := j.homeNext
			if len(j.wire) > 0 && !j.abandoned && !p.closed.Load() {
				p.conn.Write(j.wire)
			}
			j.dropWire() // also of a push, and of what was parked, which are not used again
			p.welcome(j)
			j = next
		}
		if p.creditIsBack() {
			starved = append(starved, p)
		}
		p = next
	}
	// At last, since it takes in new requests.
	for _, p := range starved {
		p.resume()
	}
}
