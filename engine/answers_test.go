package engine_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
)

// Requests of types that nobody serves are refused one by one, in any number.
func TestUnknownTypes(t *testing.T) {
	requests := 100_000
	if raceEnabled {
		requests = 2_000
	}
	s := start(t, setup{})
	neighbour := dial(t, s.addr(), nil)
	c := dial(t, s.addr(), nil)
	go func() {
		var text []byte
		for i := range requests {
			text = fmt.Appendf(text, `{"type":"nobody-%d","queryIndex":%d}`+"\n", i, i)
			if len(text) > 64<<10 || i == requests-1 {
				if _, err := c.Write(text); err != nil {
					return
				}
				text = text[:0]
			}
		}
	}()
	for i := range requests {
		if r := c.fails(codec.UnknownType); r.Index != uint64(i) || r.Type != fmt.Sprintf("nobody-%d", i) {
			t.Fatalf("%d: %+v", i, r)
		}
		if i%10_000 == 0 {
			neighbour.silent()
		}
	}
	c.silent()
	if n := len(s.d.Stats().Types); n > 30 {
		t.Errorf("%d types are remembered", n)
	}
}

// Handlers that fail in every way, many times over, harm nobody, and their jobbers live on.
func TestFailingHandlers(t *testing.T) {
	var calls atomic.Int64
	s := start(t, setup{types: func(reg *dispatch.Registry) {
		dispatch.HandleRaw(reg, "bad", func(j *dispatch.Job) error {
			switch calls.Add(1) % 10 {
			case 0:
				panic("a string")
			case 1:
				panic(errors.New("an error"))
			case 2:
				var p *int
				*p = 1
			case 3:
				return errors.New("a plain error")
			case 4:
				return nil // nothing
			case 5:
				j.Reply([]byte(`{"answered":"before"}`))
				panic("after the answer")
			case 6:
				j.Reply([]byte(`{"answered":"before"}`))
				j.Reply([]byte(`{"answered":"twice"}`))
				return errors.New("after the answer")
			case 7:
				_, _ = j.Park(nil) // and nobody has it
				panic("after parking")
			case 8:
				j.Reply([]byte(`{"answered":"before"}`))
				if _, err := j.Park(nil); err == nil {
					t.Error("parked after the answer")
				}
			case 9:
				_, _ = j.Park(nil)
				if _, err := j.Park(nil); err == nil {
					t.Error("parked twice")
				}
				j.Reply([]byte(`{"answered":"after parking"}`))
			}
			return nil
		})
	}})
	neighbour := dial(t, s.addr(), nil)
	const rounds = 20
	c := dial(t, s.addr(), nil)
	c.send(numbered("bad", 10*rounds, `{"n":%d}`)...)
	replies, failures := 0, 0
	for range 8 * rounds {
		switch r := c.next(); {
		case r.Kind == codec.Reply && r.Payload == `{"answered":"before"}`:
			replies++
		case r.Kind == codec.Failure && r.Code == codec.HandlerFailed:
			failures++
		default:
			t.Fatalf("%+v", r)
		}
	}
	if replies != 3*rounds || failures != 5*rounds {
		t.Errorf("%d replies and %d failures", replies, failures)
	}
	c.silent()
	neighbour.silent()
	c.Close() // with that the parked end
	neighbour.Close()
	s.idle(0)
}
