package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
)

// gate is a handler that the test holds up: it says that it runs, and returns when it is let.
type gate struct {
	entered chan string
	leave   chan struct{}
}

func newGate() *gate { return &gate{make(chan string, 1000), make(chan struct{}, 1000)} }

func (g *gate) handle(_ context.Context, name string) (string, error) {
	g.entered <- name
	<-g.leave
	return name, nil
}

func (g *gate) await(t *testing.T) string {
	t.Helper()
	select {
	case name := <-g.entered:
		return name
	case <-time.After(giveUp):
		t.Fatal("the handler was never called")
		return ""
	}
}

func (g *gate) open(n int) {
	for range n {
		g.leave <- struct{}{}
	}
}

func TestTypedHandler(t *testing.T) {
	type req struct {
		N    int    `json:"n"`
		Name string `json:"name"`
	}
	reg := dispatch.NewRegistry()
	kept := make(chan string, 100) // by the handler, past its return
	dispatch.Handle(reg, "double", func(_ context.Context, r req) (req, error) {
		kept <- r.Name
		return req{2 * r.N, r.Name}, nil
	})
	dispatch.Handle(reg, "fail", func(_ context.Context, how string) (any, error) {
		switch how {
		case "code":
			return nil, codec.NoneFree
		case "error":
			return nil, fmt.Errorf("wrapped: %w", &codec.Error{Code: codec.NotFound, Message: "no such thing"})
		case "panic":
			panic("as asked")
		case "chan":
			return make(chan int), nil
		}
		return nil, errors.New("it did not work")
	})
	c := serve(t, dispatch.Config{Registry: reg}).dial()

	for i, tc := range []struct{ typ, payload, result string }{
		{"double", `{"n":21,"name":"a"}`, `{"n":42,"name":"a"}`},
		{"double", `null`, `{"n":0,"name":""}`},
		{"double", `{"n":"x"}`, "!bad_payload"},
		{"double", `[]`, "!bad_payload"},
		{"double", `{"n":1,"name":"b"}`, `{"n":2,"name":"b"}`},
		{"fail", `"code"`, "!none_free"},
		{"fail", `"error"`, "!not_found"},
		{"fail", `"panic"`, "!handler_failed"},
		{"fail", `"chan"`, "!handler_failed"},
		{"fail", `"other"`, "!handler_failed"},
		{"double", `{"n":3}`, `{"n":6,"name":""}`}, // the jobber lives on
	} {
		c.send(`{"type":%q,"queryIndex":%d,"payload":%s}`, tc.typ, i, tc.payload)
		c.want(uint64(i), tc.result)
	}
	for _, want := range []string{"a", "", "b", ""} {
		if got := <-kept; got != want {
			t.Errorf("a string that a handler kept has changed: %q, was %q", got, want)
		}
	}
}

func TestRawAndBatchHandlers(t *testing.T) {
	reg := dispatch.NewRegistry()
	dispatch.HandleRaw(reg, "raw", func(j *dispatch.Job) error {
		switch string(j.Payload()) {
		case `"bytes"`:
			j.ReplyOpaque([]byte{0, 1, 2})
		case `"twice"`:
			j.Reply([]byte("1"))
			j.Reply([]byte("2"))
		case `"nothing"`:
		default:
			j.Reply(j.Payload())
		}
		return nil
	})
	// Two types on one jobber never run at the same time, and are answered together.
	pool := reg.Jobber(dispatch.JobberConfig{Name: "pool"})
	var inside atomic.Int32
	dispatch.HandleBatch(pool, func(jobs []*dispatch.Job) {
		if inside.Add(1) != 1 {
			t.Error("two batches at the same time")
		}
		defer inside.Add(-1)
		for _, j := range jobs {
			switch string(j.Payload()) {
			case `"skip"`:
			case `"panic"`:
				panic("as asked")
			case `"fail"`:
				j.Fail(codec.Conflict)
			default:
				j.Reply([]byte(`"` + j.Type() + `"`))
			}
		}
	}, "take", "give")
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	for i, tc := range []struct{ typ, payload, result string }{
		{"raw", `{"x": 1}`, `{"x": 1}`},
		{"raw", `"bytes"`, `"AAEC"`},
		{"raw", `"twice"`, "1"},
		{"raw", `"nothing"`, "!handler_failed"},
		{"take", `1`, `"take"`},
		{"give", `1`, `"give"`},
		{"give", `"fail"`, "!conflict"},
		{"take", `"skip"`, "!handler_failed"},
		{"take", `"panic"`, "!handler_failed"},
		{"take", `2`, `"take"`},
	} {
		c.send(`{"type":%q,"queryIndex":%d,"payload":%s}`, tc.typ, i, tc.payload)
		c.want(uint64(i), tc.result)
	}
	const n = 2000
	for i := range n {
		c.send(`{"type":"%s","queryIndex":%d}`, []string{"take", "give"}[i%2], i)
	}
	for i := range n {
		c.want(uint64(i), []string{`"take"`, `"give"`}[i%2])
	}
	st := s.Stats().Types
	if st["take"].Done+st["give"].Done != n+6 || st["take"].Running+st["give"].Running+st["take"].Queued+st["give"].Queued != 0 {
		t.Errorf("stats: %+v %+v", st["take"], st["give"])
	}
}

func TestTypesRunInParallelAndEachOneAtATime(t *testing.T) {
	reg := dispatch.NewRegistry()
	a, b := newGate(), newGate()
	dispatch.Handle(reg, "a", a.handle)
	dispatch.Handle(reg, "b", b.handle)
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	for i := range 3 {
		c.send(`{"type":"a","queryIndex":%d,"payload":"a%d"}`, i, i)
		c.send(`{"type":"b","queryIndex":%d,"payload":"b%d"}`, 10+i, i)
	}
	if a.await(t) != "a0" || b.await(t) != "b0" { // both run
		t.Fatal("wrong order")
	}
	s.until("four are queued", func(st dispatch.Stats) bool { return st.Types["a"].Queued+st.Types["b"].Queued == 4 })
	select {
	case name := <-a.entered:
		t.Fatalf("%s runs beside a0", name)
	default:
	}
	a.open(3) // a does not wait for b
	for i := range 3 {
		c.want(uint64(i), fmt.Sprintf(`"a%d"`, i))
	}
	b.open(3)
	for i := range 3 {
		c.want(uint64(10+i), fmt.Sprintf(`"b%d"`, i))
	}
}

func TestConcurrencyAndSerialKey(t *testing.T) {
	reg := dispatch.NewRegistry()
	g := newGate()
	j := reg.Jobber(dispatch.JobberConfig{
		Name: "calls", Concurrency: 3,
		SerialKey: func(j *dispatch.Job) string {
			if string(j.Payload()) == `"panic"` {
				panic("as asked")
			}
			return string(j.Payload()[:2]) // the first letter
		},
	})
	dispatch.Handle(j, "call", g.handle)
	s := serve(t, dispatch.Config{Registry: reg})
	c, gone := s.dial(), s.dial()
	for i, name := range []string{"x1", "x2", "x3", "y1", "x4"} {
		from := c
		if name == "x2" {
			from = gone
		}
		from.send(`{"type":"call","queryIndex":%d,"payload":%q}`, i, name)
		s.until("it has come", func(st dispatch.Stats) bool { return st.Types["call"].Queued+st.Types["call"].Running == i+1 })
	}
	running := map[string]bool{g.await(t): true, g.await(t): true}
	if !running["x1"] || !running["y1"] {
		t.Fatalf("running: %v", running)
	}
	// The next with the key leaves: the one behind it inherits its turn.
	gone.Close()
	s.until("x2 is gone", func(st dispatch.Stats) bool { return st.Types["call"].Queued == 2 })
	g.open(1) // x1 or y1
	first := c.receive()
	if string(first.ResultJob) == `"y1"` {
		g.open(1)
		c.receive()
	}
	if got := g.await(t); got != "x3" {
		t.Fatalf("%s after x1, want x3", got)
	}
	g.open(3)
	if got := g.await(t); got != "x4" {
		t.Fatalf("%s after x3, want x4", got)
	}
	c.send(`{"type":"call","queryIndex":9,"payload":"panic"}`) // a key function that panics excludes nothing
	if got := g.await(t); got != "panic" {
		t.Fatal(got)
	}
	g.open(5)
	s.until("all is done", func(st dispatch.Stats) bool { return st.Types["call"].Done == 5 })
}

// Requests with one key never overlap and keep their order, whatever is cancelled between them.
func TestSerialKeyUnderLoad(t *testing.T) {
	reg := dispatch.NewRegistry()
	var mu sync.Mutex
	running, last := map[string]bool{}, map[string]int{}
	j := reg.Jobber(dispatch.JobberConfig{Name: "calls", Concurrency: 4, SerialKey: func(j *dispatch.Job) string {
		key, _, _ := strings.Cut(string(j.Payload()), "-")
		return key
	}})
	dispatch.Handle(j, "call", func(_ context.Context, what string) (any, error) {
		key, number, _ := strings.Cut(what, "-")
		n, _ := strconv.Atoi(number)
		mu.Lock()
		if running[key] || last[key] > n {
			t.Errorf("%s while its key is in work (%v), after %d", what, running[key], last[key])
		}
		running[key], last[key] = true, n
		mu.Unlock()
		defer func() { mu.Lock(); running[key] = false; mu.Unlock() }()
		return nil, nil
	})
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	const n = 3000
	go func() {
		for i := range n {
			c.send(`{"type":"call","queryIndex":%d,"payload":"k%d-%d"}`, i, i%5, i)
			if i%7 == 0 {
				c.send(`{"type":"cancel","oneWay":true,"payload":{"queryIndex":%d}}`, i)
			}
		}
	}()
	for range n {
		c.receive()
	}
	s.until("nothing is left", func(st dispatch.Stats) bool { return st.Types["call"].Queued+st.Types["call"].Running == 0 })
}

func TestRetry(t *testing.T) {
	reg := dispatch.NewRegistry()
	attempts := make(chan int, 100)
	j := reg.Jobber(dispatch.JobberConfig{Name: "flaky", Retry: dispatch.Retry{Attempts: 3, Delay: time.Millisecond}})
	dispatch.Handle(j, "flaky", func(ctx context.Context, succeedAt int) (int, error) {
		info, ok := dispatch.FromContext(ctx)
		if !ok || info.Type != "flaky" || info.Peer == nil {
			t.Errorf("info: %+v", info)
		}
		attempts <- info.Attempt
		if info.Attempt < succeedAt {
			return 0, errors.New("not yet")
		}
		return info.Attempt, nil
	})
	forever := reg.Jobber(dispatch.JobberConfig{Name: "forever", Retry: dispatch.Retry{Attempts: 2, Delay: time.Hour}})
	dispatch.Handle(forever, "forever", func(context.Context, any) (any, error) { return nil, errors.New("no") })
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	c.send(`{"type":"flaky","queryIndex":0,"payload":2}`)
	c.want(0, "2")
	c.send(`{"type":"flaky","queryIndex":1,"payload":9}`)
	c.want(1, "!handler_failed")
	c.send(`{"type":"flaky","queryIndex":2,"payload":"x"}`) // never gets better
	c.want(2, "!bad_payload")
	if len(attempts) != 2+3 {
		t.Errorf("%d attempts", len(attempts))
	}
	// What waits for its next attempt can be cancelled, and goes with its client.
	c.send(`{"type":"forever","queryIndex":3}`)
	s.until("it waits", func(st dispatch.Stats) bool { return st.Types["forever"].Queued == 1 })
	c.send(`{"type":"cancel","queryIndex":4,"payload":{"queryIndex":3}}`)
	if r := c.want(3, "!cancelled"); !strings.Contains(r.Err, "between two attempts") {
		t.Errorf("%+v", r) // it has begun, and the client can not take it for one that has not
	}
	c.want(4, `{"cancelled":true}`)
	failed := reply{Code: "deadline_exceeded"}
	for ms := 1; failed.Code == "deadline_exceeded"; ms *= 2 { // it was not begun
		c.send(`{"type":"forever","queryIndex":5,"deadlineMs":%d}`, ms)
		failed = c.receive()
	}
	if failed.Code != "handler_failed" || failed.Err != "no" {
		t.Errorf("%+v", failed)
	}
	other := s.dial()
	other.send(`{"type":"forever","queryIndex":3}`)
	s.until("it waits", func(st dispatch.Stats) bool { return st.Types["forever"].Queued == 1 })
	other.Close()
	s.until("it is gone", func(st dispatch.Stats) bool { return st.Types["forever"].Queued == 0 })
}

func TestBounds(t *testing.T) {
	reg := dispatch.NewRegistry()
	g := newGate()
	small := reg.Jobber(dispatch.JobberConfig{Name: "small", QueueMax: 3})
	dispatch.Handle(small, "small", g.handle)
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	c.send(`{"type":"small","queryIndex":0,"payload":"a"}`)
	g.await(t)
	for i := 1; i <= 5; i++ {
		c.send(`{"type":"small","queryIndex":%d,"payload":"b"}`, i)
	}
	c.want(4, "!queue_full")
	c.want(5, "!queue_full")
	g.open(4)
	for i := range 4 {
		c.want(uint64(i), map[bool]string{true: `"a"`, false: `"b"`}[i == 0])
	}
	if st := s.Stats().Types["small"]; st.Shed != 2 || st.Done != 4 {
		t.Errorf("stats: %+v", st)
	}
}

// A connection's credit stops the reading of its requests, not the connection; others go on.
func TestCredit(t *testing.T) {
	reg := dispatch.NewRegistry()
	g := newGate()
	dispatch.Handle(reg, "slow", g.handle)
	s := serve(t, dispatch.Config{Registry: reg, Credit: 4})
	c := s.dial()
	const n = 50
	for i := range n {
		c.send(`{"type":"slow","queryIndex":%d,"payload":"x"}`, i)
	}
	s.until("the credit is used up", func(st dispatch.Stats) bool {
		return st.Types["slow"].Queued+st.Types["slow"].Running == 4
	})
	if r := s.dial().ask("ping", "null"); r.Code != "" {
		t.Fatalf("another connection: %+v", r)
	}
	if st := s.Stats().Types["slow"]; st.Queued+st.Running > 4 {
		t.Fatalf("over the credit: %+v", st)
	}
	g.open(n)
	for i := range n {
		c.want(uint64(i), `"x"`)
	}
}
