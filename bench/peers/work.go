package main

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// types are the request types, t0 to t3, with what their requests make the server do. All peers keep kassa's promise that
// requests of one type are served one at a time.
type types [typeCount]struct {
	mu   sync.Mutex
	work func()
}

const typeCount = 4

// newTypes returns types with that work, as bench.Cell says: nothing, sleep or cpu.
func newTypes(work string) (*types, error) {
	ts := new(types)
	for i := range ts {
		switch work {
		case "":
			ts[i].work = func() {}
		case "sleep":
			ts[i].work = func() { time.Sleep(time.Millisecond) }
		case "cpu":
			ts[i].work = newCPUWork()
		default:
			return nil, fmt.Errorf("no work %q: sleep or cpu", work)
		}
	}
	return ts, nil
}

// serve does the work of one request of type t<i>.
func (ts *types) serve(i int) {
	t := &ts[i]
	t.mu.Lock()
	t.work()
	t.mu.Unlock()
}

// typeOf returns the number of a type's name.
func typeOf[text string | []byte](name text) (i int, ok bool) {
	if len(name) != 2 || name[0] != 't' || name[1] < '0' || name[1] >= '0'+typeCount {
		return 0, false
	}
	return int(name[1] - '0'), true
}

// newCPUWork returns work of some 10 µs of CPU: the SHA-256 of 16 KiB, of which the last sum is a part.
func newCPUWork() func() {
	block := make([]byte, 16<<10)
	return func() {
		sum := sha256.Sum256(block)
		copy(block, sum[:])
	}
}
