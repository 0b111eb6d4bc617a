package engine_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// A connection without credit is read on when there is some: each request is taken once, and none is forgotten, however
// little credit there is and however the requests arrive.
func TestCreditComesBack(t *testing.T) {
	requests := 3000
	if raceEnabled {
		requests = 300
	}
	for _, credit := range []int{1, 2, 3, 4, 5, 16, 300} {
		for _, most := range []int{100, 3000, 1 << 20} {
			t.Run(fmt.Sprintf("%d/%d", credit, most), func(t *testing.T) {
				rnd := random(t)
				s := start(t, setup{dispatch: dispatch.Config{Credit: credit}})
				c := dial(t, s.addr(), nil)
				var text []byte
				for i := range requests {
					text = append(text, frameOf(t, c.codec, request("echo", uint64(i), fmt.Sprintf(`{"n":%d}`, i)))...)
				}
				sent := make(chan error, 1)
				go func() {
					var err error
					for len(text) > 0 && err == nil {
						n := min(1+rnd.IntN(most), len(text))
						_, err = c.Write(text[:n])
						text = text[n:]
					}
					sent <- err
				}()
				for i := range requests {
					if r := c.next(); r.Index != uint64(i) || r.Payload != fmt.Sprintf(`{"n":%d}`, i) {
						t.Fatalf("reply %d: %+v", i, r)
					}
				}
				if err := receive(t, "all sent", sent); err != nil {
					t.Fatal(err)
				}
				c.silent()
				if n := s.handled.Load(); n != int64(requests)+1 {
					t.Errorf("%d requests were handled, not %d", n, requests+1)
				}
				if n := s.Stats().Overloaded; n != 0 {
					t.Errorf("%d connections were closed as overloaded", n)
				}
			})
		}
	}
}

// Where the ring is full, requests are answered by the event loop at once, and nothing comes home that brings credit back.
func TestCreditComesBackFromAFullRing(t *testing.T) {
	requests := 500
	if raceEnabled {
		requests = 100
	}
	for _, credit := range []int{2, 8} {
		t.Run(fmt.Sprint(credit), func(t *testing.T) {
			// The dispatcher stands still inside this function, and so the ring fills.
			stuck, free := make(chan struct{}, 1), make(chan struct{})
			s := start(t, setup{
				engine:   engine.Config{Loops: 1},
				dispatch: dispatch.Config{Credit: credit, RingSize: 1},
				types: func(reg *dispatch.Registry) {
					j := reg.Jobber(dispatch.JobberConfig{Name: "stuck", SerialKey: func(*dispatch.Job) string {
						select {
						case stuck <- struct{}{}:
						default:
						}
						<-free
						return ""
					}})
					dispatch.HandleRaw(j, "stuck", func(j *dispatch.Job) error { j.Reply(j.Payload()); return nil })
				},
			})
			release := sync.OnceFunc(func() { close(free) })
			t.Cleanup(release)
			other := dial(t, s.addr(), nil)
			other.send(request("stuck", 1, `{}`))
			receive(t, "the dispatcher stands still", stuck)
			other.send(request("echo", 2, `{}`)) // fills the ring
			eventually(t, "a full ring", func() bool { return s.d.Stats().Ring.Len == 1 })

			c := dial(t, s.addr(), nil)
			frames := make([]codec.Frame, requests)
			for i := range frames {
				frames[i] = request("echo", uint64(i), `{}`)
			}
			c.send(frames...)
			for i := range frames {
				if r := c.fails(codec.QueueFull); r.Index != uint64(i) || r.Retry == 0 {
					t.Fatalf("reply %d: %+v", i, r)
				}
			}
			release()
			other.next()
			other.next()
			c.silent()
			if shed := s.d.Stats().Ring.Shed; shed != uint64(requests) {
				t.Errorf("shed %d, want %d", shed, requests)
			}
		})
	}
}

// A connection that has used up its credit exactly gets a part of it back, and with that a part of a request.
func TestCreditComesBackWithinAFrame(t *testing.T) {
	g := newGate()
	s := start(t, setup{
		engine:   engine.Config{Addrs: []string{unixAddr(t)}},
		dispatch: dispatch.Config{Credit: 4},
		gates:    map[string]*gate{"slow": g},
	})
	c := dial(t, s.addr(), nil)
	c.send(numbered("slow", 4, `{"n":%d}`)...)
	receive(t, "it begins", g.began)
	s.until("slow", "all are taken", func(st dispatch.TypeStats) bool { return st.Queued == 3 })
	g.let(t)
	c.next().is(t, codec.Reply, `{"n":0}`)
	text := frameOf(t, c.codec, request("echo", 4, `{"n":4}`))
	c.sendText(text[:20])
	c.taken()
	c.sendText(text[20:])
	c.next().is(t, codec.Reply, `{"n":4}`)
	g.open()
	for n := 1; n < 4; n++ {
		c.next().is(t, codec.Reply, fmt.Sprintf(`{"n":%d}`, n))
	}
	c.silent()
}
