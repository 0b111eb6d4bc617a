package dispatch

import (
	"sync"
	"time"
)

// queue holds a jobber's jobs until a worker takes them. A queued job is in exactly one of its lists, so that cancelling
// it, or the departure of its client, takes it out in constant time and frees its slot at once.
type queue struct {
	jobsMax int

	mu     sync.Mutex
	work   sync.Cond // a job became ready, or the queue was closed
	closed bool
	queued int // jobs in all lists, at most jobsMax (a retry is let in above it: its slot is the one it had)

	ready   jobList             // a worker may take these, from the front
	held    map[string]*jobList // by serial key, present while a job holds it: the jobs that wait for it
	delayed jobList             // waiting for their next attempt; the delay is the same for all, so the first is due first

	timed      int         // queued jobs that have a deadline
	deadlines  *time.Timer // looks for those that are over; armed while timed > 0
	deadlineOn bool
	retries    *time.Timer // makes the delayed ready; armed while there are any
}

// deadlineTick is how late a deadline may be noticed behind a handler that takes long.
const deadlineTick = 50 * time.Millisecond

// addLocked appends j, or says why not.
func (q *queue) addLocked(j *Job, now int64) refusal {
	j.dispatched = true
	switch {
	case j.withdrawn:
		return refusedCancelled
	case j.peer.closed.Load() || q.closed:
		return refusedGone
	case j.deadline != 0 && j.deadline <= now:
		return refusedDeadline
	case q.queued >= q.jobsMax:
		return refusedFull
	}
	q.countLocked(j, +1)
	q.ready.push(j)
	return accepted
}

// refusal says why a job was not queued.
type refusal uint8

const (
	accepted refusal = iota
	refusedCancelled
	refusedGone
	refusedDeadline
	refusedFull
)

// take waits for jobs and appends up to n of them to dst: they are in work from now on. It returns none when the queue
// is closed.
func (q *queue) take(dst []*Job, n int) []*Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(dst) < n {
			j := q.ready.first
			if j == nil {
				break
			}
			q.ready.remove(j)
			if j.serialKey != "" && !j.keyHeld {
				if held, running := q.held[j.serialKey]; running {
					held.push(j)
					continue
				}
				q.held[j.serialKey] = new(jobList)
				j.keyHeld = true
			}
			q.countLocked(j, -1)
			j.typ.running.Add(1)
			dst = append(dst, j)
		}
		if len(dst) > 0 || q.closed {
			return dst
		}
		q.work.Wait()
	}
}

// finish ends the hold that a job, which has run, had on its serial key.
func (q *queue) finish(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.handOnLocked(key)
}

// handOnLocked gives a serial key to the next job that waits for it, which comes to the front.
func (q *queue) handOnLocked(key string) {
	held := q.held[key]
	next := held.first
	if next == nil {
		delete(q.held, key)
		return
	}
	held.remove(next)
	next.keyHeld = true
	q.ready.pushFront(next)
	q.work.Signal()
}

// retry queues a job that has run for another attempt at dueAt, unless nobody waits for it any more.
func (q *queue) retry(j *Job, now int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.peer.closed.Load() || j.withdrawn || q.closed {
		return false
	}
	if j.keyHeld { // others with its key may run meanwhile
		j.keyHeld = false
		q.handOnLocked(j.serialKey)
	}
	j.typ.running.Add(-1)
	q.countLocked(j, +1)
	q.delayed.push(j)
	if q.delayed.first == j {
		q.retries.Reset(time.Duration(j.dueAt - now))
	}
	return true
}

// promote makes ready what is due for its next attempt.
func (q *queue) promote(now int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for j := q.delayed.first; j != nil; j = q.delayed.first {
		if j.dueAt > now {
			q.retries.Reset(time.Duration(j.dueAt - now))
			return
		}
		q.delayed.remove(j)
		q.ready.push(j)
		q.work.Signal()
	}
}

// expired takes out and returns the jobs whose deadline is over.
func (q *queue) expired(now int64) []*Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	var over []*Job
	if q.timed > 0 {
		over = q.removeLocked(func(j *Job) bool { return j.deadline != 0 && j.deadline <= now })
	}
	if q.deadlineOn = q.timed > 0 && !q.closed; q.deadlineOn {
		q.deadlines.Reset(deadlineTick)
	}
	return over
}

// parkedOf returns the Parked of a job that is parked.
func (q *queue) parkedOf(j *Job) *Parked {
	q.mu.Lock()
	defer q.mu.Unlock()
	return j.parked
}

// drop takes out and returns all queued jobs of type t.
func (q *queue) drop(t *Type) []*Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.removeLocked(func(j *Job) bool { return j.typ == t })
}

// takeBack takes j, which its connection no longer wants, out if it is queued: then it is the caller's. Else it returns
// the Parked if j is parked. A job that the dispatcher has not seen yet (unseen) will not begin; one in work goes on, but is
// neither parked nor tried again: nobody would wait for that.
func (q *queue) takeBack(j *Job) (queued, unseen bool, parked *Parked) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j.withdrawn = true
	return q.unlinkLocked(j), !j.dispatched, j.parked
}

func (q *queue) unlinkLocked(j *Job) bool {
	if j.list == nil {
		return false
	}
	j.list.remove(j)
	q.countLocked(j, -1)
	if j.keyHeld {
		j.keyHeld = false
		q.handOnLocked(j.serialKey)
	}
	return true
}

func (q *queue) removeLocked(which func(*Job) bool) []*Job {
	var out []*Job
	from := func(l *jobList) {
		for j := l.first; j != nil; {
			next := j.next
			if which(j) {
				q.unlinkLocked(j)
				out = append(out, j)
			}
			j = next
		}
	}
	for _, l := range q.held { // first: what leaves ready may have handed its key on, and so brought one of these there
		from(l)
	}
	from(&q.ready)
	from(&q.delayed)
	return out
}

// close lets the workers end once they have finished what they took, and returns what was still queued.
func (q *queue) close() []*Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.deadlines.Stop()
	q.retries.Stop()
	q.work.Broadcast()
	return q.removeLocked(func(*Job) bool { return true })
}

func (q *queue) countLocked(j *Job, by int) {
	q.queued += by
	j.typ.queued += by
	if j.deadline != 0 {
		q.timed += by
		if by > 0 && !q.deadlineOn {
			q.deadlineOn = true
			q.deadlines.Reset(deadlineTick)
		}
	}
}

// jobList is a doubly linked list through the jobs themselves.
type jobList struct {
	first, last *Job
}

func (l *jobList) push(j *Job) {
	j.list, j.prev, j.next = l, l.last, nil
	if l.last == nil {
		l.first = j
	} else {
		l.last.next = j
	}
	l.last = j
}

func (l *jobList) pushFront(j *Job) {
	j.list, j.prev, j.next = l, nil, l.first
	if l.first == nil {
		l.last = j
	} else {
		l.first.prev = j
	}
	l.first = j
}

func (l *jobList) remove(j *Job) {
	if j.prev == nil {
		l.first = j.next
	} else {
		j.prev.next = j.next
	}
	if j.next == nil {
		l.last = j.prev
	} else {
		j.next.prev = j.prev
	}
	j.list, j.prev, j.next = nil, nil, nil
}
