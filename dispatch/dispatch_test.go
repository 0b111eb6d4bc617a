package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
	c.send(`{"type":"forever","queryIndex":5,"deadlineMs":1}`)
	if r := c.want(5, "!handler_failed"); r.Err != "no" {
		t.Errorf("%+v", r)
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

func TestParked(t *testing.T) {
	reg := dispatch.NewRegistry()
	parked := make(chan *dispatch.Parked, 100)
	dispatch.HandleRaw(reg, "wait", func(j *dispatch.Job) error {
		p, err := j.Park(nil)
		if err == nil {
			parked <- p
		}
		return err
	})
	s := serve(t, dispatch.Config{Registry: reg, ParkedMax: 3, Credit: 1})
	c := s.dial()
	// Parked requests need no credit, and the jobber goes on.
	for i := range 4 {
		c.send(`{"type":"wait","queryIndex":%d,"payload":"%d"}`, i, i)
	}
	c.want(3, "!quota_exceeded")
	p := []*dispatch.Parked{<-parked, <-parked, <-parked}
	if got := string(p[1].Job().Payload()); got != `"1"` {
		t.Errorf("payload of a parked job: %s", got)
	}
	if !p[1].Reply([]byte(`"one"`)) || p[1].Reply([]byte(`"again"`)) || p[1].Fail(codec.Internal) {
		t.Error("exactly the first answer counts")
	}
	c.want(1, `"one"`)
	<-p[1].Context().Done()

	done := p[0].Context().Done()
	c.send(`{"type":"cancel","queryIndex":9,"payload":{"queryIndex":0}}`)
	got := map[uint64]reply{}
	for range 2 { // the parked job's answer takes its own way
		r := c.receive()
		got[*r.QueryIndex] = r
	}
	if got[0].Code != "cancelled" || string(got[9].ResultJob) != `{"cancelled":true}` {
		t.Errorf("cancel: %+v", got)
	}
	<-done
	if cause := context.Cause(p[0].Context()); !errors.Is(cause, codec.Cancelled) {
		t.Errorf("cause: %v", cause)
	}
	if p[0].Reply(nil) {
		t.Error("answered after it was cancelled")
	}

	c.send(`{"type":"wait","queryIndex":10,"deadlineMs":1}`)
	c.want(10, "!deadline_exceeded")

	done = p[2].Context().Done()
	c.Close()
	<-done
	if p[2].Reply(nil) {
		t.Error("answered after its client had gone")
	}
}

func TestManyParked(t *testing.T) {
	reg := dispatch.NewRegistry()
	parked := make(chan *dispatch.Parked, 1000)
	dispatch.HandleRaw(reg, "wait", func(j *dispatch.Job) error {
		p, err := j.Park(nil)
		if err == nil {
			parked <- p
		}
		return err
	})
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	const n = 500
	for i := range n {
		c.send(`{"type":"wait","queryIndex":%d}`, i)
	}
	for i := range n {
		(<-parked).ReplyRev([]byte(strconv.Itoa(i)), uint64(i))
	}
	for i := range n {
		c.want(uint64(i), strconv.Itoa(i))
	}
}

func TestContextEndsWithTheClientAndTheDeadline(t *testing.T) {
	reg := dispatch.NewRegistry()
	ended := make(chan error, 1)
	entered := make(chan struct{}, 1)
	dispatch.Handle(reg, "watch", func(ctx context.Context, _ any) (any, error) {
		entered <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	kept := make(chan context.Context, 1)
	dispatch.Handle(reg, "keep", func(ctx context.Context, _ any) (any, error) {
		kept <- ctx
		return nil, nil
	})
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	c.send(`{"type":"watch","queryIndex":0,"deadlineMs":20}`)
	c.want(0, "!deadline_exceeded")
	<-entered
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cause: %v", err)
	}
	c.ask("keep", "1")
	<-(<-kept).Done() // it is over when its request is
	c.send(`{"type":"watch","queryIndex":1}`)
	<-entered
	c.Close()
	if err := <-ended; !errors.Is(err, codec.Cancelled) {
		t.Errorf("cause: %v", err)
	}
}

func TestDeadlineBehindASlowHandler(t *testing.T) {
	reg := dispatch.NewRegistry()
	g := newGate()
	dispatch.Handle(reg, "slow", g.handle)
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	c.send(`{"type":"slow","queryIndex":0,"payload":"a"}`)
	g.await(t)
	c.send(`{"type":"slow","queryIndex":1,"payload":"b","deadlineMs":1}`)
	c.want(1, "!deadline_exceeded") // while the handler is still at work
	g.open(1)
	c.want(0, `"a"`)
}

func TestDrop(t *testing.T) {
	reg := dispatch.NewRegistry()
	g := newGate()
	shared := reg.Jobber(dispatch.JobberConfig{Name: "shared"})
	dispatch.Handle(shared, "a", g.handle)
	dispatch.Handle(shared, "b", g.handle)
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	for i, typ := range []string{"a", "a", "b", "a"} {
		c.send(`{"type":%q,"queryIndex":%d,"payload":"x"}`, typ, i)
	}
	g.await(t)
	s.until("three are queued", func(st dispatch.Stats) bool { return st.Types["a"].Queued+st.Types["b"].Queued == 3 })
	if n, err := s.Drop("a"); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	c.want(1, "!cancelled")
	c.want(3, "!cancelled")
	g.open(2)
	c.want(0, `"x"`)
	c.want(2, `"x"`)
	if _, err := s.Drop("none"); err == nil {
		t.Error("a type that does not exist was dropped")
	}
}

func TestPushNeedsHello(t *testing.T) {
	reg := dispatch.NewRegistry()
	pushed := make(chan bool, 1)
	dispatch.HandleRaw(reg, "poke", func(j *dispatch.Job) error {
		pushed <- j.Peer().Push("poked", []byte(`{"n":1}`))
		if j.Peer().Push("huge", make([]byte, 2<<20)) {
			t.Error("pushed what is no frame")
		}
		j.Reply(nil)
		return nil
	})
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	c.ask("poke", "1")
	if <-pushed {
		t.Error("pushed to a client that said no hello")
	}
	r := c.ask("hello", `{"client":"test"}`)
	var hello dispatch.Hello
	if err := json.Unmarshal(r.ResultJob, &hello); err != nil || hello.Limits.Credit != 4096 || hello.Limits.FrameBytes != 1<<20 || hello.Types["poke"] == 0 {
		t.Errorf("hello: %s %v", r.ResultJob, err)
	}
	c.send(`{"type":"poke","queryIndex":2}`)
	seen := []reply{c.receive(), c.receive()}
	if seen[0].Event == nil {
		seen[0], seen[1] = seen[1], seen[0]
	}
	if seen[0].Type != "poked" || string(seen[0].Event) != `{"n":1}` || seen[0].QueryIndex != nil || seen[1].QueryIndex == nil {
		t.Errorf("push: %+v", seen)
	}
	if !<-pushed {
		t.Error("not pushed")
	}
}

func TestLogs(t *testing.T) {
	var log syncBuffer
	var level slog.LevelVar
	reg := dispatch.NewRegistry()
	j := reg.Jobber(dispatch.JobberConfig{Name: "j", LogAttrs: func(j *dispatch.Job) []slog.Attr {
		return []slog.Attr{slog.String("payload", string(j.Payload()))}
	}})
	dispatch.Handle(j, "echo", func(_ context.Context, v any) (any, error) { return v, nil })
	s := serve(t, dispatch.Config{Registry: reg, QueueLog: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: &level}))})
	c := s.dial()
	c.ask("echo", `"quiet"`)
	level.Set(slog.LevelDebug)
	c.ask("echo", `"loud"`)
	level.Set(slog.LevelInfo)
	c.ask("echo", `"still"`)
	log.await(t, "msg=queues")
	got := log.String()
	for _, station := range []string{"received", "queued", "started", "finished"} {
		if n := strings.Count(got, "msg="+station+" "); n != 1 {
			t.Errorf("%d lines say %s:\n%s", n, station, got)
		}
	}
	if !strings.Contains(got, `payload="\"loud\""`) || strings.Contains(got, "quiet") || strings.Contains(got, "still") {
		t.Errorf("log:\n%s", got)
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *syncBuffer) await(t *testing.T, what string) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	over := time.After(giveUp)
	for !strings.Contains(b.String(), what) {
		select {
		case <-poll.C:
		case <-over:
			t.Fatalf("%q is not logged", what)
		}
	}
}

func TestRegistrationErrors(t *testing.T) {
	nothing := func(*dispatch.Job) error { return nil }
	for name, f := range map[string]func(*dispatch.Registry){
		"is registered twice": func(r *dispatch.Registry) {
			dispatch.HandleRaw(r, "a", nothing)
			dispatch.HandleRaw(r, "a", nothing)
		},
		"is built in":    func(r *dispatch.Registry) { dispatch.HandleRaw(r, "ping", nothing) },
		"1 to 128 bytes": func(r *dispatch.Registry) { dispatch.HandleRaw(r, "", nothing) },
		"not both": func(r *dispatch.Registry) {
			j := r.Jobber(dispatch.JobberConfig{Name: "j"})
			dispatch.HandleBatch(j, func([]*dispatch.Job) {}, "a")
			dispatch.HandleRaw(j, "b", nothing)
		},
		"has its handlers already": func(r *dispatch.Registry) {
			j := r.Jobber(dispatch.JobberConfig{Name: "j"})
			dispatch.HandleBatch(j, func([]*dispatch.Job) {}, "a")
			dispatch.HandleBatch(j, func([]*dispatch.Job) {}, "b")
		},
		"does itself": func(r *dispatch.Registry) {
			j := r.Jobber(dispatch.JobberConfig{Name: "j", Retry: dispatch.Retry{Attempts: 2}})
			dispatch.HandleBatch(j, func([]*dispatch.Job) {}, "a")
		},
		"negative setting": func(r *dispatch.Registry) { r.Jobber(dispatch.JobberConfig{Concurrency: -1}) },
		"chan int is no type that JSON has": func(r *dispatch.Registry) {
			dispatch.Handle(r, "c", func(context.Context, chan int) (int, error) { return 0, nil })
		},
		"before New": func(r *dispatch.Registry) {
			d, err := dispatch.New(dispatch.Config{Registry: r})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close(context.Background())
			if _, err := dispatch.New(dispatch.Config{Registry: r}); err == nil {
				t.Error("one registry for two dispatchers")
			}
			dispatch.HandleRaw(r, "late", nothing)
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "dispatch: ") || !strings.Contains(p, name) {
					t.Errorf("panic: %s", p)
				}
			}()
			f(dispatch.NewRegistry())
		})
	}
	for _, cfg := range []dispatch.Config{{}, {Registry: dispatch.NewRegistry(), Credit: -1}, {Registry: dispatch.NewRegistry(), QueueLog: -1}} {
		if _, err := dispatch.New(cfg); err == nil || !strings.HasPrefix(err.Error(), "dispatch: Config.") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// Where the ring has no room the answer is queue_full, to each request, also of a connection without credit.
func TestRingFull(t *testing.T) {
	reg := dispatch.NewRegistry()
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	j := reg.Jobber(dispatch.JobberConfig{Name: "j", SerialKey: func(*dispatch.Job) string { // holds up the dispatcher
		entered <- struct{}{}
		<-leave
		return ""
	}})
	dispatch.HandleRaw(j, "t", func(j *dispatch.Job) error { j.Reply(nil); return nil })
	s := serve(t, dispatch.Config{Registry: reg, RingSize: 1, Credit: 2})
	a, b := s.dial(), s.dial()
	a.send(`{"type":"t","queryIndex":0}`)
	<-entered
	a.send(`{"type":"t","queryIndex":1}`)
	s.until("the ring is full", func(st dispatch.Stats) bool { return st.Ring.Len == st.Ring.Cap })
	b.send(strings.Repeat(`{"type":"t","queryIndex":7}`+"\n", 5))
	for range 5 {
		b.want(7, "!queue_full")
	}
	close(leave)
	a.want(0, "null")
	a.want(1, "null")
	if st := s.Stats(); st.Ring.Shed != 5 {
		t.Errorf("stats: %+v", st.Ring)
	}
}

// An answer does not wait for the next request, and what waits behind a slow request can still be taken back, however
// quick the requests before were.
func TestNothingWaitsForTheNextRequest(t *testing.T) {
	reg := dispatch.NewRegistry()
	g := newGate()
	dispatch.Handle(reg, "mixed", func(ctx context.Context, name string) (string, error) {
		if name == "quick" {
			return name, nil
		}
		return g.handle(ctx, name)
	})
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	const quick = 1000
	c.send(strings.Repeat(`{"type":"mixed","queryIndex":1,"payload":"quick"}`+"\n", quick) +
		`{"type":"mixed","queryIndex":2,"payload":"slow"}` + "\n" + `{"type":"mixed","queryIndex":3,"payload":"behind"}`)
	for range quick {
		c.want(1, `"quick"`)
	}
	g.await(t)
	if st := s.Stats().Types["mixed"]; st.Running != 1 || st.Queued != 1 || st.Done != quick {
		t.Errorf("stats: %+v", st)
	}
	c.send(`{"type":"cancel","queryIndex":4,"payload":{"queryIndex":3}}`)
	c.want(3, "!cancelled")
	c.want(4, `{"cancelled":true}`)
	g.open(1)
	c.want(2, `"slow"`)
}
