package client

import (
	"sync"

	"github.com/bytedance/sonic/decoder"
)

// Push is what the server says unasked. Its bytes are the handler's to keep.
type Push struct {
	Type   string
	Event  []byte // JSON, or bytes of the application's own if Opaque; nil: null
	Opaque bool
	Missed uint64 // pushes lost right before this one, because too many waited (Config.PushesMax)
}

// Decode sets what event points to, as Client.Request does with a result.
func (p Push) Decode(event any) error {
	return decode(new(decoder.Decoder), p.Event, p.Opaque, event)
}

// pushQueue holds pushes between the conns that read them and the goroutine that calls the handlers.
type pushQueue struct {
	pushesMax int

	mu     sync.Mutex
	wake   *sync.Cond // on mu: there is something in waiting, or closed
	closed bool
	missed uint64 // dropped since the last one that was queued

	// waiting is oldest first. An entry of reconnect stands for OnReconnect. The bound is pushesMax pushes, and one
	// reconnect between any two of them.
	waiting []pushEntry
	pushes  int // of the entries
}

type pushEntry struct {
	Push
	reconnect bool
}

func newPushQueue(pushesMax int) *pushQueue {
	q := &pushQueue{pushesMax: pushesMax}
	q.wake = sync.NewCond(&q.mu)
	return q
}

// add queues p; it reports false when there is no room, so p is lost.
func (q *pushQueue) add(p Push) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pushes == q.pushesMax {
		q.missed++
		return false
	}
	p.Missed, q.missed = q.missed, 0
	q.waiting = append(q.waiting, pushEntry{Push: p})
	q.pushes++
	q.wake.Signal()
	return true
}

func (q *pushQueue) addReconnect() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.waiting); n > 0 && q.waiting[n-1].reconnect {
		return
	}
	q.waiting = append(q.waiting, pushEntry{reconnect: true})
	q.wake.Signal()
}

// take waits for entries and returns all there are, in a slice that the caller gives back at its next call. It returns
// none when the queue is closed.
func (q *pushQueue) take(used []pushEntry) []pushEntry {
	clear(used)
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.closed {
		q.wake.Wait()
	}
	if q.closed {
		return nil
	}
	taken := q.waiting
	q.waiting, q.pushes = used[:0], 0
	return taken
}

func (q *pushQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake.Signal()
}

// handlePushes is the goroutine "pushes": it owns nothing, is woken by pushQueue.add, and ends when that is closed.
func (c *Client) handlePushes() {
	defer c.running.Done()
	var entries []pushEntry
	for {
		if entries = c.pushes.take(entries); entries == nil {
			return
		}
		for _, e := range entries {
			if c.ctx.Err() != nil {
				return
			}
			if e.reconnect {
				c.cfg.OnReconnect()
			} else {
				c.cfg.OnPush(e.Push)
			}
		}
	}
}
