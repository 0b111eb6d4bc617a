package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
)

// await takes one value that somebody is about to send.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(giveUp):
		t.Fatalf("never happened: %s", what)
		panic("unreachable")
	}
}

// keeper is an asynchronous handler that hands its jobs to the test.
type keeper chan *dispatch.Job

func newKeeper() keeper { return make(keeper, 10_000) }

func (k keeper) handle(jobs []*dispatch.Job) {
	for _, j := range jobs {
		k <- j
	}
	clear(jobs) // the slice is the dispatcher's again
}

// take returns the next n jobs, in the order they came.
func (k keeper) take(t *testing.T, n int) []*dispatch.Job {
	t.Helper()
	jobs := make([]*dispatch.Job, n)
	for i := range jobs {
		jobs[i] = await(t, "a job", k)
	}
	return jobs
}

func TestAsync(t *testing.T) {
	reg := dispatch.NewRegistry()
	kept := newKeeper()
	dispatch.HandleAsync(reg, kept.handle, "take", "give")
	s := serve(t, dispatch.Config{Registry: reg, Credit: 4})
	c, other := s.dial(), s.dial()
	for i := range 5 {
		c.send(`{"type":"take","queryIndex":%d,"payload":"%d"}`, i, i)
	}
	jobs := kept.take(t, 4)
	other.send(`{"type":"give","queryIndex":9}`)
	jobs = append(jobs, kept.take(t, 1)...)
	// The fifth has no credit: those before it are in work, though their handler has returned.
	if st := s.Stats().Types; st["take"].Running != 4 || st["give"].Running != 1 || st["take"].Done != 0 {
		t.Errorf("stats: %+v", st)
	}
	if jobs[4].Type() != "give" {
		t.Fatalf("a %s without credit", jobs[4].Type())
	}

	var answers dispatch.Answers
	answers.ReplyRev(jobs[3], []byte(`"three"`), 7)
	answers.Reply(jobs[3], []byte(`"twice"`))
	answers.Reply(jobs[4], nil) // another connection's between
	answers.Fail(jobs[0], codec.Conflict)
	if st := s.Stats().Types; st["take"].Running != 4 {
		t.Errorf("counted before Flush: %+v", st)
	}
	answers.Flush()
	answers.Flush() // nothing
	c.want(3, `"three"`)
	c.want(0, "!conflict")
	other.want(9, "null")
	if st := s.Stats().Types; st["take"].Done != 2 || st["take"].Failed != 1 || st["give"].Done != 1 || st["give"].Running != 0 {
		t.Errorf("stats: %+v", st)
	}

	// Two goroutines, each with Answers of its own; and one job is parked.
	jobs = append(jobs[1:3], kept.take(t, 1)...)
	var at sync.WaitGroup
	at.Go(func() {
		var answers dispatch.Answers
		answers.Reply(jobs[0], jobs[0].Payload())
		answers.Flush()
	})
	at.Go(func() {
		var answers dispatch.Answers
		p, err := answers.Park(jobs[1], nil)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := answers.Park(jobs[1], nil); err == nil {
			t.Error("parked twice")
		}
		answers.Reply(jobs[2], jobs[2].Payload())
		answers.Flush()
		if !p.Reply(p.Job().Payload()) {
			t.Error("answered in vain")
		}
	})
	at.Wait()
	var got []string
	for range 3 {
		got = append(got, string(c.receive().ResultJob))
	}
	if slices.Sort(got); !slices.Equal(got, []string{`"1"`, `"2"`, `"4"`}) {
		t.Errorf("answers: %s", got)
	}
	if st := s.Stats().Types["take"]; st.Running != 0 || st.Done != 5 {
		t.Errorf("stats: %+v", st)
	}
}

// Many jobs of several connections, answered in runs by several goroutines: every one gets its own answer, and those that
// one goroutine answers come in its order.
func TestAsyncUnderLoad(t *testing.T) {
	reg := dispatch.NewRegistry()
	work := make(chan []*dispatch.Job, 100)
	dispatch.HandleAsync(reg, func(jobs []*dispatch.Job) { work <- slices.Clone(jobs) }, "t")
	s := serve(t, dispatch.Config{Registry: reg, Credit: 64})
	var answering sync.WaitGroup
	for range 3 {
		answering.Go(func() {
			var answers dispatch.Answers
			for jobs := range work {
				for _, j := range jobs {
					answers.Reply(j, j.Payload())
				}
				answers.Flush()
			}
		})
	}
	const clients, n = 4, 3000
	var reading sync.WaitGroup
	for range clients {
		c := s.dial()
		go func() {
			for i := range n {
				c.send(`{"type":"t","queryIndex":%d,"payload":%d}`, i, i)
			}
		}()
		reading.Go(func() {
			seen := make(map[uint64]bool)
			for range n {
				r := c.receive()
				var payload uint64
				if err := json.Unmarshal(r.ResultJob, &payload); err != nil || payload != *r.QueryIndex || seen[payload] {
					t.Errorf("%+v: %v", r, err)
				}
				seen[payload] = true
			}
		})
	}
	reading.Wait()
	if st := s.Stats().Types["t"]; st.Running != 0 || st.Done != clients*n {
		t.Errorf("stats: %+v", st)
	}
	close(work)
	answering.Wait()
}

// A job whose client has gone stays its handler's until it is answered.
func TestAsyncClientGone(t *testing.T) {
	reg := dispatch.NewRegistry()
	kept := newKeeper()
	dispatch.HandleAsync(reg, kept.handle, "t")
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	c.send(`{"type":"t","queryIndex":1,"payload":"x"}`)
	c.send(`{"type":"t","queryIndex":2,"payload":"y"}`)
	jobs := kept.take(t, 2)
	c.Close()
	s.until("it is gone", func(st dispatch.Stats) bool { return st.Connections == 0 })
	var answers dispatch.Answers
	if _, err := answers.Park(jobs[0], nil); !errors.Is(err, codec.Cancelled) {
		t.Errorf("parked for nobody: %v", err)
	}
	if got := string(jobs[0].Payload()); got != `"x"` {
		t.Errorf("payload: %s", got)
	}
	answers.Fail(jobs[0], codec.Cancelled)
	answers.Reply(jobs[1], nil)
	answers.Flush()
	if st := s.Stats().Types["t"]; st.Running != 0 || st.Done != 2 {
		t.Errorf("stats: %+v", st)
	}
}

func TestAnswersAreForAsyncJobs(t *testing.T) {
	reg := dispatch.NewRegistry()
	panics := func(f func()) (what any) {
		defer func() { what = recover() }()
		f()
		return nil
	}
	saw := make(chan any, 10)
	kept := newKeeper()
	dispatch.HandleAsync(reg, func(jobs []*dispatch.Job) {
		for _, j := range jobs {
			saw <- panics(func() { j.Reply(nil) })
			saw <- panics(func() { _, _ = j.Park(nil) })
		}
		kept.handle(jobs)
	}, "async")
	var answers dispatch.Answers
	dispatch.HandleRaw(reg, "raw", func(j *dispatch.Job) error {
		saw <- panics(func() { answers.Reply(j, nil) })
		saw <- panics(func() { _, _ = answers.Park(j, nil) })
		j.Reply(nil)
		return nil
	})
	c := serve(t, dispatch.Config{Registry: reg}).dial()
	for i, typ := range []string{"async", "raw"} {
		c.send(`{"type":%q,"queryIndex":%d}`, typ, i)
		if typ == "async" {
			answers.Reply(kept.take(t, 1)[0], nil)
			answers.Flush()
		}
		c.want(uint64(i), "null")
		for range 2 {
			if text, _ := (<-saw).(string); !strings.Contains(text, "Answers") {
				t.Errorf("%s: panic: %q", typ, text)
			}
		}
	}
}

// A panic of an asynchronous handler ends the program: this one starts itself for it.
func TestAsyncPanicEndsTheProgram(t *testing.T) {
	const env = "KASSA_TEST_PANIC"
	if os.Getenv(env) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAsyncPanicEndsTheProgram$", "-test.count=1")
		cmd.Env = append(os.Environ(), env+"=1")
		out, err := cmd.CombinedOutput()
		if _, failed := errors.AsType[*exec.ExitError](err); !failed || !bytes.Contains(out, []byte("panic: as asked")) || bytes.Contains(out, []byte("lived on")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	reg := dispatch.NewRegistry()
	dispatch.HandleAsync(reg, func([]*dispatch.Job) { panic("as asked") }, "t")
	dispatch.HandleRaw(reg, "raw", func(j *dispatch.Job) error { j.Reply(nil); return nil })
	c := serve(t, dispatch.Config{Registry: reg}).dial()
	c.send(`{"type":"t","queryIndex":1}`)
	c.SetReadDeadline(time.Now().Add(giveUp))
	_, err := c.r.ReadString('\n')
	t.Fatalf("lived on: %v", err)
}

// A drain waits for the jobs that an asynchronous handler has, and ends those that are parked.
func TestDrainAsync(t *testing.T) {
	reg := dispatch.NewRegistry()
	kept := newKeeper()
	dispatch.HandleAsync(reg, kept.handle, "t")
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	c.send(`{"type":"t","queryIndex":1}`)
	c.send(`{"type":"t","queryIndex":2}`)
	jobs := kept.take(t, 2)
	var answers dispatch.Answers
	over := make(chan error, 10)
	p, err := answers.Park(jobs[0], func(cause error) { over <- cause })
	if err != nil {
		t.Fatal(err)
	}
	answers.Flush()
	down := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), giveUp)
		defer cancel()
		down <- s.engine.Shutdown(ctx)
	}()
	if cause := await(t, "the drain", over); !errors.Is(cause, dispatch.ErrDraining) || !errors.Is(cause, codec.Draining) {
		t.Errorf("cause: %v", cause)
	}
	if p.Reply(nil) {
		t.Error("answered after the drain")
	}
	c.want(1, "!draining")
	c.send(`{"type":"t","queryIndex":3}`)
	c.want(3, "!draining")
	if _, err := answers.Park(jobs[1], nil); !errors.Is(err, dispatch.ErrDraining) {
		t.Errorf("parked in a drain: %v", err)
	}
	select {
	case err := <-down:
		t.Fatalf("shut down with a job in work: %v", err)
	default:
	}
	answers.Reply(jobs[1], []byte(`"late"`))
	answers.Flush()
	c.want(2, `"late"`)
	if err := await(t, "the end", down); err != nil {
		t.Error(err)
	}
}

// Who has parked a job is told once, and why, when somebody else ends it.
func TestParkOver(t *testing.T) {
	reg := dispatch.NewRegistry()
	type end struct {
		index string
		cause error
	}
	over := make(chan end, 100)
	parked := make(chan *dispatch.Parked, 100)
	dispatch.HandleRaw(reg, "wait", func(j *dispatch.Job) error {
		index := string(j.Payload())
		p, err := j.Park(func(cause error) { over <- end{index, cause} })
		if err == nil {
			parked <- p
		}
		return err
	})
	s := serve(t, dispatch.Config{Registry: reg, ParkedMax: 3})
	c := s.dial()
	for i := range 4 {
		c.send(`{"type":"wait","queryIndex":%d,"payload":%d}`, i, i)
	}
	c.want(3, "!quota_exceeded") // it was not parked: nobody is told

	answered := await(t, "parked", parked)
	if !answered.Reply([]byte("1")) { // nobody else ended it
		t.Fatal("answered in vain")
	}
	c.want(0, "1")
	if cause := context.Cause(answered.Context()); !errors.Is(cause, context.Canceled) { // first asked for when it is over
		t.Errorf("cause: %v", cause)
	}

	is := func(what, index string, why ...error) {
		t.Helper()
		got := await(t, what, over)
		if got.index != index {
			t.Errorf("%s: of %s, want %s", what, got.index, index)
		}
		for _, err := range []error{dispatch.ErrGone, dispatch.ErrCancelled, dispatch.ErrDraining, codec.Cancelled, codec.DeadlineExceeded} {
			if errors.Is(got.cause, err) != slices.Contains(why, err) {
				t.Errorf("%s: cause: %v", what, got.cause)
			}
		}
	}
	const cancel = `{"type":"cancel","oneWay":true,"payload":{"queryIndex":1}}`
	c.send(cancel + "\n" + cancel) // the second finds it over, but not home yet
	c.want(1, "!cancelled")
	is("cancel", "1", dispatch.ErrCancelled, codec.Cancelled)

	for ms := 5; len(over) == 0; ms *= 2 { // else its time was over before it had begun
		c.send(`{"type":"wait","queryIndex":5,"deadlineMs":%d,"payload":5}`, ms)
		c.want(5, "!deadline_exceeded")
	}
	is("deadline", "5", codec.DeadlineExceeded)

	// The job is over when the connection's end is told, and stays as it was.
	last := []*dispatch.Parked{await(t, "parked", parked), await(t, "parked", parked)}[1]
	order := make(chan int, 2)
	if !last.Job().Peer().OnClosed(func() { order <- len(over) }) {
		t.Error("closed already")
	}
	c.Close()
	if n := await(t, "closed", order); n != 1 {
		t.Errorf("%d ends told before OnClosed", n)
	}
	is("gone", "2", dispatch.ErrGone, codec.Cancelled)
	if got := string(last.Job().Payload()); got != "2" {
		t.Errorf("payload: %s", got)
	}
	if len(over) != 0 {
		t.Errorf("told of once more: %v", <-over)
	}
}

// Who has parked a job is told of its end before the client is: what that asks for then comes behind it.
func TestParkOverComesFirst(t *testing.T) {
	reg := dispatch.NewRegistry()
	over := make(chan struct{}, 1)
	ask := make(chan func(), 1)
	dispatch.HandleRaw(reg, "wait", func(j *dispatch.Job) error {
		_, err := j.Park(func(error) {
			over <- struct{}{}
			(<-ask)()
		})
		return err
	})
	s := serve(t, dispatch.Config{Registry: reg})
	c, other := s.dial(), s.dial()
	ask <- func() {
		c.send(`{"type":"srvQueuePrint","queryIndex":2}`)
		s.until("it is answered", func(st dispatch.Stats) bool { return st.Types["srvQueuePrint"].Done == 1 })
		other.ask("ping", "null") // and who has answered it is at something else
	}
	first := reply{}
	for ms := 5; len(over) == 0; ms *= 2 { // else its time was over before it was parked
		c.send(`{"type":"wait","queryIndex":1,"deadlineMs":%d}`, ms)
		first = c.receive()
	}
	if first.Type != "srvQueuePrint" {
		t.Fatalf("the client was told before: %+v", first)
	}
	c.want(1, "!deadline_exceeded")
}

func TestOnClosed(t *testing.T) {
	reg := dispatch.NewRegistry()
	peers := make(chan *dispatch.Peer, 1)
	dispatch.HandleRaw(reg, "t", func(j *dispatch.Job) error {
		peers <- j.Peer()
		j.Reply(nil)
		return nil
	})
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	c.ask("t", "null")
	peer := await(t, "the peer", peers)
	closed := make(chan int, 100)
	for i := range 10 {
		go func() {
			if !peer.OnClosed(func() { closed <- i }) {
				t.Error("closed already")
			}
			closed <- -1
		}()
	}
	for range 10 {
		if i := await(t, "registered", closed); i != -1 {
			t.Fatalf("%d ran with the connection open", i)
		}
	}
	c.Close()
	seen := make(map[int]bool)
	for range 10 {
		seen[await(t, "closed", closed)] = true
	}
	if len(seen) != 10 || seen[-1] {
		t.Errorf("ran: %v", seen)
	}
	if peer.OnClosed(func() { t.Error("it ran") }) {
		t.Error("the connection has closed, and that was not said")
	}
}

// A layer with sessions takes hello over: it answers later, on a goroutine of its own, and what that pushes then comes
// behind the answer.
func TestHelloOfOnesOwn(t *testing.T) {
	reg := dispatch.NewRegistry()
	kept := newKeeper()
	dispatch.HandleAsync(reg, kept.handle, "hello", "poke")
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	type greeting struct {
		dispatch.Hello
		Session string `json:"session"`
	}
	var answers dispatch.Answers
	for i := range 300 {
		c.send(`{"type":"hello","queryIndex":%d}`, i)
		j := kept.take(t, 1)[0]
		peer := j.Peer()
		if i == 0 && peer.Push("early", []byte("1")) {
			t.Error("pushed before hello")
		}
		result, err := json.Marshal(greeting{j.Hello(), "s1"})
		if err != nil {
			t.Fatal(err)
		}
		answers.Reply(j, result)
		answers.Flush()
		if !peer.Push("first", []byte("1")) {
			t.Fatal("not pushed")
		}
		r := c.receive()
		var got greeting
		if err := json.Unmarshal(r.ResultJob, &got); err != nil || got.Session != "s1" || got.Types["hello"] == 0 || got.Limits.Credit != 4096 || got.Protocol != 1 {
			t.Fatalf("hello: %+v: %v", r, err)
		}
		if r := c.receive(); r.Type != "first" {
			t.Fatalf("behind hello: %+v", r)
		}
	}
}

// Who pushes much waits for a client that does not read, instead of having the server keep it all.
func TestWaitSent(t *testing.T) {
	reg := dispatch.NewRegistry()
	kept := newKeeper()
	dispatch.HandleAsync(reg, kept.handle, "watch")
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	c.ask("hello", "null")
	c.send(`{"type":"watch","queryIndex":1}`)
	watch := kept.take(t, 1)[0]
	peer := watch.Peer()
	var answers dispatch.Answers
	answers.Reply(watch, nil)
	answers.Flush()
	c.want(1, "null")

	const unsent = 256 << 10
	event := []byte(`"` + strings.Repeat("x", 64<<10) + `"`)
	blocks := func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
		defer cancel()
		err := peer.WaitSent(ctx, unsent)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		return err != nil
	}
	// The client does not read, so at some time there is no more room.
	fill := func() (pushed int) {
		for ; pushed == 0 || !blocks(); pushed++ {
			if pushed == 10_000 || !peer.Push("event", event) {
				t.Fatalf("after %d pushes: it never blocks, or is closed", pushed)
			}
		}
		return pushed
	}
	pushed := fill()
	// Then it reads. What is pushed is far more than the server keeps for a client that does not.
	const more = 500
	pushing := make(chan error, 1)
	go func() {
		for range more {
			if err := peer.WaitSent(context.Background(), unsent); err != nil {
				pushing <- err
				return
			}
			peer.Push("event", event)
		}
		pushing <- peer.WaitSent(context.Background(), 1) // all
	}()
	for i := range pushed + more {
		// Not decoded: under -race that takes longer than all the rest.
		if line, err := c.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, `{"type":"event"`) || len(line) < len(event) {
			t.Fatalf("event %d: %.100s, %v", i, line, err)
		}
	}
	if err := await(t, "all is sent", pushing); err != nil {
		t.Error(err)
	}

	// It stops reading, and leaves: of several who wait, when there is no more room, each is told.
	const waiters = 5
	gone := make(chan error, waiters)
	for range waiters {
		go func() {
			err := peer.WaitSent(context.Background(), unsent)
			for ; err == nil; err = peer.WaitSent(context.Background(), unsent) {
				peer.Push("event", event)
			}
			gone <- err
		}()
	}
	for !blocks() {
	}
	c.Close()
	for range waiters {
		if err := await(t, "the end of a wait", gone); !errors.Is(err, dispatch.ErrGone) {
			t.Errorf("after the client had gone: %v", err)
		}
	}
	if err := peer.WaitSent(context.Background(), unsent); !errors.Is(err, dispatch.ErrGone) {
		t.Errorf("after the client had gone: %v", err)
	}
}
