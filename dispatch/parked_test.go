package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
)

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
	for ms := 20; len(entered) == 0; ms *= 2 { // else its time was over before it had begun
		c.send(`{"type":"watch","queryIndex":0,"deadlineMs":%d}`, ms)
		c.want(0, "!deadline_exceeded")
	}
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
