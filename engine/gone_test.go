package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// leaving is a way for a client to take back what it has asked for.
type leaving struct {
	name  string
	leave func(*client, []codec.Frame)
}

var leavings = []leaving{
	{"closes", func(c *client, _ []codec.Frame) { c.Close() }},
	{"resets", func(c *client, _ []codec.Frame) {
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		c.Close()
	}},
	{"half-closes", func(c *client, _ []codec.Frame) { _ = c.Conn.(*net.TCPConn).CloseWrite() }},
	{"cancels", func(c *client, asked []codec.Frame) {
		var cancels []codec.Frame
		for _, f := range asked {
			cancels = append(cancels, request("cancel", f.Index+1_000_000, fmt.Sprintf(`{"queryIndex":%d}`, f.Index)))
		}
		c.send(cancels...)
		// Each is answered twice: by the request's failure, and by the reply to cancel.
		waiting := make(map[uint64]bool)
		for _, f := range append(asked, cancels...) {
			waiting[f.Index] = true
		}
		for range waiting {
			r := c.next()
			cancelled := r.Code == codec.Cancelled && r.Type != "cancel" || r.Type == "cancel" && r.Payload == `{"cancelled":true}`
			if !cancelled || !waiting[r.Index] {
				c.t.Fatalf("cancelling: %+v", r)
			}
			waiting[r.Index] = false
		}
	}},
}

func crowdSize() int {
	if raceEnabled {
		return 100
	}
	return 1000
}

// numbered returns n requests. A %d in the payload is the number.
func numbered(typ string, n int, payload string) []codec.Frame {
	frames := make([]codec.Frame, n)
	for i := range frames {
		frames[i] = request(typ, uint64(i), strings.ReplaceAll(payload, "%d", strconv.Itoa(i)))
	}
	return frames
}

// A client queues many requests of a slow type and takes them back: the one in work runs to its end, the others are gone
// at once, their slots free, and others are served meanwhile.
func TestQueuedRequestsGo(t *testing.T) {
	for _, l := range leavings {
		t.Run(l.name, func(t *testing.T) {
			n := crowdSize()
			slow := newGate()
			s := start(t, setup{types: func(reg *dispatch.Registry) {
				dispatch.HandleRaw(reg.Jobber(dispatch.JobberConfig{Name: "slow", QueueMax: n}), "slow", slow.serve)
			}})
			t.Cleanup(slow.open)
			c, other := dial(t, s.addr(), nil), dial(t, s.addr(), nil)
			asked := numbered("slow", n+1, `{"n":%d}`)
			c.send(asked[0])
			if got := receive(t, "the first begins", slow.began); got != `{"n":0}` {
				t.Fatalf("%s began", got)
			}
			c.send(asked[1:]...)
			s.until("slow", "all queued", func(st dispatch.TypeStats) bool { return st.Queued == n && st.Running == 1 })
			other.ask("slow", `{"n":-1}`).is(t, codec.Failure, "") // no slot is free
			other.silent()

			l.leave(c, asked[1:])
			s.until("slow", "all gone but the one in work", func(st dispatch.TypeStats) bool {
				return st.Queued == 0 && st.Running == 1 && st.Shed == uint64(n)+1
			})
			other.silent()
			other.send(numbered("slow", n, `{"other":%d}`)...) // all slots are free again
			s.until("slow", "the other's queued", func(st dispatch.TypeStats) bool { return st.Queued == n && st.Running == 1 })
			slow.let(t) // the one in work
			slow.open()
			for i := range n {
				if r := other.next(); r.Index != uint64(i) || r.Payload != fmt.Sprintf(`{"other":%d}`, i) {
					t.Fatalf("%d: %+v", i, r)
				}
			}
			if l.name == "cancels" {
				c.next().is(t, codec.Reply, `{"n":0}`)
				c.silent()
				c.Close()
			}
			for range n {
				if began := receive(t, "it begins", slow.began); !strings.HasPrefix(began, `{"other"`) {
					t.Fatalf("%s began, though it was taken back", began)
				}
			}
			other.Close()
			s.idle(0)
			if st := s.typ("slow"); st.Done != uint64(n)+1 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A client waits for many parked jobs and takes them back: whoever was to answer them hears of it, and others park.
func TestParkedRequestsGo(t *testing.T) {
	for _, l := range leavings {
		t.Run(l.name, func(t *testing.T) {
			n := crowdSize()
			parked := make(chan *dispatch.Parked, 2*n)
			s := start(t, setup{engine: engine.Config{Loops: 1}, dispatch: dispatch.Config{ParkedMax: n}, types: func(reg *dispatch.Registry) {
				dispatch.HandleRaw(reg, "park", func(j *dispatch.Job) error {
					p, err := j.Park(nil)
					if err == nil {
						parked <- p
					}
					return err
				})
			}})
			c, other := dial(t, s.addr(), nil), dial(t, s.addr(), nil)
			asked := numbered("park", n, `{"n":%d}`)
			c.send(asked...)
			waits := make([]*dispatch.Parked, n)
			for i := range waits {
				waits[i] = receive(t, "it parks", parked)
			}
			c.silent()
			l.leave(c, asked)
			if l.name != "cancels" {
				eventually(t, "the client gone", func() bool { return s.Stats().Conns == 1 })
				other.silent() // the event loop is done with it
			}
			for i, p := range waits {
				over := time.NewTimer(patience)
				select {
				case <-p.Context().Done():
				case <-over.C:
					t.Fatalf("wait %d has not ended", i)
				}
				over.Stop()
				if p.Reply([]byte(`{}`)) {
					t.Fatalf("wait %d was answered, though it was taken back", i)
				}
			}
			if l.name == "cancels" { // there is room for as many again
				c.send(asked...)
				for range waits {
					if !receive(t, "it parks again", parked).Reply([]byte(`{"again":true}`)) {
						t.Fatal("too late")
					}
				}
				for range waits {
					c.next().is(t, codec.Reply, `{"again":true}`)
				}
				c.Close()
			}
			other.send(request("park", 7, `{}`))
			if !receive(t, "the other parks", parked).Reply([]byte(`{"n":7}`)) {
				t.Fatal("too late")
			}
			other.next().is(t, codec.Reply, `{"n":7}`)
			other.Close()
			s.idle(0)
		})
	}
}

// A client takes back requests that have failed and wait for their next attempt.
func TestRetryingRequestsGo(t *testing.T) {
	for _, l := range leavings {
		t.Run(l.name, func(t *testing.T) {
			n := crowdSize()
			s := start(t, setup{types: func(reg *dispatch.Registry) {
				j := reg.Jobber(dispatch.JobberConfig{Name: "flaky", Retry: dispatch.Retry{Attempts: 2, Delay: time.Hour}})
				dispatch.HandleRaw(j, "flaky", func(j *dispatch.Job) error {
					if string(j.Payload()) == `{"ok":true}` {
						j.Reply(j.Payload())
						return nil
					}
					return errors.New("not yet")
				})
			}})
			c, other := dial(t, s.addr(), nil), dial(t, s.addr(), nil)
			asked := numbered("flaky", n, `{"n":%d}`)
			c.send(asked...)
			s.until("flaky", "all wait for the next attempt", func(st dispatch.TypeStats) bool { return st.Queued == n && st.Running == 0 })
			other.ask("flaky", `{"ok":true}`).is(t, codec.Reply, `{"ok":true}`)
			l.leave(c, asked)
			s.until("flaky", "all gone", func(st dispatch.TypeStats) bool { return st.Queued == 0 })
			if l.name == "cancels" {
				c.silent()
				c.Close()
			}
			other.Close()
			s.idle(0)
		})
	}
}

// What a client has asked for goes when it is told that its connection ends, though it stays.
func TestTurnedAwayRequestsGo(t *testing.T) {
	slow := newGate()
	parked := make(chan *dispatch.Parked, 1)
	s := start(t, setup{gates: map[string]*gate{"slow": slow}, types: func(reg *dispatch.Registry) {
		dispatch.HandleRaw(reg, "park", func(j *dispatch.Job) error {
			p, err := j.Park(nil)
			parked <- p
			return err
		})
	}})
	c := dial(t, s.addr(), nil)
	c.send(numbered("slow", 3, `{}`)...)
	c.send(request("park", 3, ""))
	receive(t, "one begins", slow.began)
	s.until("slow", "two are queued", func(st dispatch.TypeStats) bool { return st.Queued == 2 })
	p := receive(t, "one is parked", parked)
	c.sendText([]byte(strings.Repeat("nonsense\n", 16)))
	receive(t, "what is parked goes", p.Context().Done())
	if cause := context.Cause(p.Context()); !errors.Is(cause, dispatch.ErrGone) {
		t.Errorf("cause: %v", cause)
	}
	s.until("slow", "what is queued goes", func(st dispatch.TypeStats) bool { return st.Queued == 0 && st.Shed == 2 && st.Running == 1 })
	if n := s.Stats().Conns; n != 1 {
		t.Errorf("it went with the connection: there are %d", n)
	}
	for range 17 {
		c.fails(codec.BadFrame)
	}
	c.ends()
	c.Close()
	slow.open()
	s.idle(0)
}

// A client leaves while its request is in work; when that fails, there is nobody left to try it again for.
func TestNoRetryForTheGone(t *testing.T) {
	g := newGate()
	s := start(t, setup{types: func(reg *dispatch.Registry) {
		j := reg.Jobber(dispatch.JobberConfig{Name: "flaky", Retry: dispatch.Retry{Attempts: 2, Delay: time.Hour}})
		dispatch.HandleRaw(j, "flaky", func(j *dispatch.Job) error {
			g.began <- ""
			<-g.pass
			return errors.New("not yet")
		})
	}})
	t.Cleanup(g.open)
	c := dial(t, s.addr(), nil)
	c.send(request("flaky", 1, ""))
	receive(t, "it begins", g.began)
	c.Close()
	eventually(t, "the client gone", func() bool { return s.d.Stats().Connections == 0 })
	g.open()
	s.idle(0)
}

// A client takes back a request that is in work: it can not be stopped, but it is neither parked nor tried again, since
// nobody would wait for that.
func TestCancelledInWork(t *testing.T) {
	parks, fails := newGate(), newGate()
	s := start(t, setup{types: func(reg *dispatch.Registry) {
		dispatch.HandleRaw(reg, "parks", func(j *dispatch.Job) error {
			parks.began <- ""
			<-parks.pass
			_, err := j.Park(nil)
			return err
		})
		j := reg.Jobber(dispatch.JobberConfig{Name: "flaky", Retry: dispatch.Retry{Attempts: 2, Delay: time.Hour}})
		dispatch.HandleRaw(j, "flaky", func(*dispatch.Job) error {
			fails.began <- ""
			<-fails.pass
			return errors.New("not yet")
		})
	}})
	t.Cleanup(func() { parks.open(); fails.open() })
	c := dial(t, s.addr(), nil)
	for _, test := range []struct {
		typ  string
		gate *gate
		code codec.Code
	}{{"parks", parks, codec.Cancelled}, {"flaky", fails, codec.HandlerFailed}} {
		c.send(request(test.typ, 1000, ""))
		receive(t, "it begins", test.gate.began)
		c.ask("cancel", `{"queryIndex":1000}`).is(t, codec.Reply, `{"cancelled":false}`)
		test.gate.open()
		if r := c.fails(test.code); r.Index != 1000 {
			t.Errorf("%+v", r)
		}
	}
	c.Close()
	s.idle(0)
}

// Requests that wait for their serial key go too, and the key is handed on.
func TestSerialKeysGo(t *testing.T) {
	for _, l := range leavings {
		t.Run(l.name, func(t *testing.T) {
			n := crowdSize()
			gates := map[string]*gate{`"a"`: newGate(), `"b"`: newGate()}
			a, b := gates[`"a"`], gates[`"b"`]
			s := start(t, setup{types: func(reg *dispatch.Registry) {
				j := reg.Jobber(dispatch.JobberConfig{Name: "keyed", Concurrency: 4, SerialKey: func(j *dispatch.Job) string { return string(j.Payload()) }})
				dispatch.HandleRaw(j, "keyed", func(j *dispatch.Job) error { return gates[string(j.Payload())].serve(j) })
			}})
			t.Cleanup(func() { a.open(); b.open() })
			c, other := dial(t, s.addr(), nil), dial(t, s.addr(), nil)
			asked := numbered("keyed", n+1, `"a"`)
			c.send(asked...)
			receive(t, "one begins", a.began)
			s.until("keyed", "the others wait", func(st dispatch.TypeStats) bool { return st.Queued == n && st.Running == 1 })
			other.send(request("keyed", 1, `"a"`), request("keyed", 2, `"b"`))
			receive(t, "another key begins", b.began)
			l.leave(c, asked[1:])
			s.until("keyed", "only the other's waits", func(st dispatch.TypeStats) bool { return st.Queued == 1 && st.Running == 2 })
			b.let(t)
			other.next().is(t, codec.Reply, `"b"`)
			a.let(t) // the one in work
			receive(t, "the other's begins", a.began)
			a.let(t)
			other.next().is(t, codec.Reply, `"a"`)
			if l.name == "cancels" {
				c.next().is(t, codec.Reply, `"a"`)
				c.silent()
				c.Close()
			}
			if len(a.began) != 0 {
				t.Error("one began that was taken back")
			}
			other.Close()
			s.idle(0)
		})
	}
}
