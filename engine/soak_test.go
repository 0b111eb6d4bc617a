package engine_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// TestSoak has clients do everything that clients do, good and bad, in random order. Each good request on a connection that
// lives is answered rightly, and when all have gone nothing of them is left.
func TestSoak(t *testing.T) {
	actors, steps := 16, 150
	if raceEnabled {
		actors, steps = 8, 30
	} else if testing.Short() {
		steps = 40
	}
	seed := random(t).Uint64()
	var running, overlaps atomic.Int64
	parked := make(chan *dispatch.Parked, 1<<16)
	s := start(t, setup{
		engine:   engine.Config{Addrs: []string{"tcp://127.0.0.1:0", unixAddr(t)}, Loops: 2, FrameTimeout: time.Minute, OutboundBytesMax: 8 << 20},
		dispatch: dispatch.Config{Credit: 32, ParkedMax: 8, RingSize: 256},
		types: func(reg *dispatch.Registry) {
			dispatch.HandleRaw(reg, "serial", func(j *dispatch.Job) error {
				if running.Add(1) != 1 {
					overlaps.Add(1)
				}
				j.Reply(j.Payload())
				running.Add(-1)
				return nil
			})
			dispatch.HandleRaw(reg.Jobber(dispatch.JobberConfig{Name: "retry", QueueMax: 200, Retry: dispatch.Retry{Attempts: 3, Delay: 2 * time.Millisecond}}), "retry",
				func(j *dispatch.Job) error {
					if j.Attempt() < 3 {
						return errors.New("not yet")
					}
					j.Reply(j.Payload())
					return nil
				})
			dispatch.HandleRaw(reg.Jobber(dispatch.JobberConfig{Name: "keyed", Concurrency: 3, SerialKey: func(j *dispatch.Job) string { return string(j.Key()) }}), "keyed",
				func(j *dispatch.Job) error { j.Reply(j.Payload()); return nil })
			dispatch.HandleBatch(reg, func(jobs []*dispatch.Job) {
				for _, j := range jobs {
					j.Reply(j.Payload())
				}
			}, "batch", "batch2")
			dispatch.HandleRaw(reg, "park", func(j *dispatch.Job) error {
				p, err := j.Park(nil)
				if err == nil {
					parked <- p
				}
				return err
			})
		},
	})
	// Of what parks, two in three are answered.
	answering := make(chan struct{})
	var answerer sync.WaitGroup
	answerer.Go(func() {
		rnd := rand.New(rand.NewPCG(seed, 1<<32))
		for {
			select {
			case p := <-parked:
				if rnd.IntN(3) > 0 {
					p.Reply([]byte(`{"waited":true}`))
				}
			case <-answering:
				return
			}
		}
	})
	errs := make(chan error, actors)
	for i := range actors {
		a := &actor{rnd: rand.New(rand.NewPCG(seed, uint64(i))), addr: s.Addrs()[i%2]}
		go func() { errs <- a.act(steps) }()
	}
	for range actors {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	s.serves()
	close(answering)
	answerer.Wait()
	s.idle(0)
	if n := overlaps.Load(); n != 0 {
		t.Errorf("%d requests of a serial type overlapped", n)
	}
	for len(parked) > 0 {
		if p := <-parked; p.Reply(nil) {
			t.Error("a job is still parked, though its client has gone")
		}
	}
	t.Logf("%+v", s.Stats())
	s.stop() // which fails if a request is still counted as pending
}

// actor is a client in the soak test.
type actor struct {
	rnd  *rand.Rand
	addr net.Addr

	c        *client
	next     uint64
	waits    map[uint64]codec.Frame
	parked   map[uint64]bool // of waits: may never be answered
	unwanted map[uint64]bool // were to be cancelled
}

func (a *actor) act(steps int) error {
	for step := range steps {
		if err := a.step(); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	if a.c != nil {
		a.c.Close()
	}
	return nil
}

func (a *actor) step() error {
	if a.c == nil {
		c, err := tryDial(a.addr, spoken[a.rnd.IntN(len(spoken))])
		if err != nil {
			return err
		}
		a.c, a.next, a.waits, a.parked, a.unwanted = c, 0, make(map[uint64]codec.Frame), make(map[uint64]bool), make(map[uint64]bool)
	}
	a.c.SetDeadline(time.Now().Add(patience))
	switch n := a.rnd.IntN(20); {
	case n < 9:
		return a.ask(1+a.rnd.IntN(60), false)
	case n < 11:
		return a.ask(1+a.rnd.IntN(10), true)
	case n < 14:
		return a.readSome(a.rnd.IntN(1 + len(a.waits)))
	case n < 16:
		return a.readAll()
	case n == 16: // good and bad together, then it is seen whether the connection lives
		return a.misbehave()
	default:
		return a.leave(n)
	}
}

var soakTypes = []string{"echo", "echo2", "serial", "retry", "keyed", "batch", "batch2", "park", "nobody", "fails", "panics", "fat"}

// ask sends good requests, and takes some of them back.
func (a *actor) ask(n int, cancels bool) error {
	var text []byte
	for range n {
		f := request(soakTypes[a.rnd.IntN(len(soakTypes))], a.next, padded(20+a.rnd.IntN(300)))
		switch string(f.Type) {
		case "fat":
			f.Payload = []byte("30000")
		case "fails":
			f.Payload = []byte(`"conflict"`)
		case "park":
			a.parked[f.Index] = true
		case "keyed":
			f.Key = []byte{'a' + byte(a.rnd.IntN(3))}
		}
		if a.rnd.IntN(10) == 0 {
			f.DeadlineMs = uint32(1 + a.rnd.IntN(5))
		}
		if a.rnd.IntN(20) == 0 {
			f.OneWay = true
			f.HasIndex = a.rnd.IntN(2) == 0
			delete(a.parked, f.Index)
		} else {
			a.waits[f.Index] = f
		}
		a.next++
		text = a.append(text, f)
		if cancels && a.rnd.IntN(2) == 0 {
			which := a.rnd.Uint64N(a.next)
			cancel := request("cancel", a.next, fmt.Sprintf(`{"queryIndex":%d}`, which))
			a.unwanted[which] = true
			a.waits[cancel.Index] = cancel
			a.next++
			text = a.append(text, cancel)
		}
	}
	for len(text) > 0 {
		n := min(len(text), 1+a.rnd.IntN(4000))
		if _, err := a.c.Write(text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

func (a *actor) append(text []byte, f codec.Frame) []byte {
	text, err := a.c.codec.Append(text, &f)
	if err != nil {
		panic(err)
	}
	return text
}

// readSome reads up to n answers of those that are sure to come.
func (a *actor) readSome(n int) error {
	for ; n > 0 && len(a.waits) > len(a.parked); n-- {
		r, err := a.c.read()
		if err != nil {
			return fmt.Errorf("%d answers are missing: %w", len(a.waits)-len(a.parked), err)
		}
		if err := a.check(r); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads until nothing can come any more. What may wait for ever is taken back first.
func (a *actor) readAll() error {
	var text []byte
	for index := range a.parked {
		f := request("cancel", a.next, fmt.Sprintf(`{"queryIndex":%d}`, index))
		a.waits[f.Index] = f
		a.unwanted[index] = true
		a.next++
		text = a.append(text, f)
	}
	clear(a.parked) // so that its answer is sure: cancelled, if no other comes
	if _, err := a.c.Write(text); err != nil {
		return err
	}
	return a.readSome(len(a.waits))
}

// check looks whether r is a possible answer to one of the requests.
func (a *actor) check(r reply) error {
	f, waits := a.waits[r.Index]
	if !r.HasIndex || !waits || r.Type != string(f.Type) && r.Type != "" {
		return fmt.Errorf("nobody asked for %+v", r)
	}
	delete(a.waits, r.Index)
	delete(a.parked, r.Index)
	if r.Kind == codec.Reply {
		switch r.Type {
		case "cancel":
			if r.Payload != `{"cancelled":true}` && r.Payload != `{"cancelled":false}` {
				return fmt.Errorf("%+v", r)
			}
			return nil
		case "park":
			if r.Payload == `{"waited":true}` {
				return nil
			}
		case "fat":
			if len(r.Payload) == 30000+len(`{"fat":""}`) {
				return nil
			}
		case "fails", "panics", "nobody":
		default:
			if r.Payload == string(f.Payload) {
				return nil
			}
		}
		return fmt.Errorf("%s %d was answered %s", r.Type, r.Index, clip([]byte(r.Payload)))
	}
	possible := map[string]bool{"cancelled": a.unwanted[f.Index], "queue_full": true, "deadline_exceeded": f.DeadlineMs > 0}
	switch r.Type {
	case "fails":
		possible["conflict"] = true
	case "panics":
		possible["handler_failed"] = true
	case "retry": // what is in work when it is taken back is not tried again, nor what has no time left
		possible["handler_failed"] = a.unwanted[f.Index] || f.DeadlineMs > 0
	case "nobody":
		possible["unknown_type"] = true
	case "park":
		possible["quota_exceeded"] = true
	}
	if r.Kind != codec.Failure || !possible[r.Code.String()] {
		return fmt.Errorf("%s %d failed: %+v", f.Type, f.Index, r)
	}
	return nil
}

// misbehave sends something bad that may or may not end the connection; the good before it is answered if it does not.
func (a *actor) misbehave() error {
	if err := a.ask(1, false); err != nil { // so that the server knows the codec
		return err
	}
	if err := a.readAll(); err != nil {
		return err
	}
	bad := map[string][]string{
		"json":   {"[]\n", "nonsense\n", `{"type":7}` + "\n", "\xff\n", strings.Repeat("[]\n", 30), strings.Repeat("x", 2<<20)},
		"crab":   {"[]🦀", "nonsense🦀", `{"x":1}🦀`, strings.Repeat("[]🦀", 30), strings.Repeat("x", 2<<20)},
		"binary": {header(4, 0, 5, func(h []byte) { h[19] = 1 }) + "echo", "nonsense", header(4, 1<<31, 5, nil), header(4, 0, 5, func(h []byte) { h[1] = 0x20 })},
	}[a.c.codec.Name()]
	if _, err := io.WriteString(a.c, bad[a.rnd.IntN(len(bad))]); err != nil {
		return err
	}
	probe := request("echo", 1<<40, `{}`)
	if _, err := a.c.Write(a.append(nil, probe)); err != nil && !isReset(err) {
		return err
	}
	for {
		r, err := a.c.read()
		if errors.Is(err, io.EOF) || isReset(err) {
			a.drop()
			return nil
		}
		if err != nil {
			return err
		}
		if r.HasIndex && r.Index == probe.Index {
			return nil
		}
		if r.Kind != codec.Failure {
			return fmt.Errorf("%+v instead of a failure", r)
		}
	}
}

// leave goes without waiting for what was asked for.
func (a *actor) leave(how int) error {
	switch c := a.c.Conn.(type) {
	case *net.TCPConn:
		if how == 17 {
			_ = c.SetLinger(0)
		}
		if how == 18 {
			_ = c.CloseWrite()
		}
	case *net.UnixConn:
		if how == 18 {
			_ = c.CloseWrite()
		}
	}
	if how == 18 { // the server closes, whatever was under way
		if _, err := io.Copy(io.Discard, a.c); err != nil && !isReset(err) {
			return err
		}
	}
	a.drop()
	return nil
}

func (a *actor) drop() {
	a.c.Close()
	a.c = nil
}
