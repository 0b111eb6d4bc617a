package client

import (
	"math/rand/v2"
	"time"
)

// backoff says how long to wait before the next attempt to connect: exponential, with full jitter, so that the clients
// of a server that comes back do not all come at once (M. Brooker, "Exponential Backoff And Jitter", AWS 2015).
type backoff struct {
	min, max time.Duration
	row      int // attempts since the last reset
}

// next returns a pause between 0 and the ceiling, which doubles from call to call.
func (b *backoff) next() time.Duration {
	pause := rand.N(b.ceiling())
	b.row++
	return pause
}

func (b *backoff) ceiling() time.Duration {
	if b.row > 62 || b.min > b.max>>b.row {
		return b.max
	}
	return b.min << b.row
}

func (b *backoff) reset() { b.row = 0 }
