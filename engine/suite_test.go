package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// spoken are the codecs that clients speak.
var spoken = []codec.Codec{codec.JSON{}, codec.Crab{}, codec.Binary{}}

// suite is the server that TestEveryCodec runs against, in one of the combinations.
type suite struct {
	*server
	codec  codec.Codec // how the clients speak
	slow   *gate
	narrow *gate // of a type whose queue holds 2
	parked chan *dispatch.Parked
}

// TestEveryCodec has each codec do the same, announced or detected, over TCP and over a Unix socket.
func TestEveryCodec(t *testing.T) {
	for _, c := range spoken {
		for _, network := range []string{"tcp", "unix"} {
			for _, served := range []codec.Codec{c, codec.Auto{}} {
				t.Run(c.Name()+"/"+network+"/"+served.Name(), func(t *testing.T) {
					s := &suite{codec: c, slow: newGate(), narrow: newGate(), parked: make(chan *dispatch.Parked, 10)}
					cfg := engine.Config{Codec: served}
					if network == "unix" {
						cfg.Addrs = []string{unixAddr(t)}
					}
					s.server = start(t, setup{
						engine:   cfg,
						dispatch: dispatch.Config{ParkedMax: 2},
						gates:    map[string]*gate{"slow": s.slow},
						types: func(reg *dispatch.Registry) {
							dispatch.HandleRaw(reg.Jobber(dispatch.JobberConfig{Name: "narrow", QueueMax: 2}), "narrow", s.narrow.serve)
							dispatch.HandleRaw(reg, "park", func(j *dispatch.Job) error {
								p, err := j.Park(nil)
								if err == nil {
									s.parked <- p
								}
								return err
							})
						},
					})
					t.Cleanup(s.narrow.open) // before the server is stopped
					for _, test := range []struct {
						name string
						run  func(*testing.T)
					}{
						{"echo", s.echo}, {"pipelining", s.pipelining}, {"fat", s.fat}, {"chunks", s.chunks}, {"one-way", s.oneWay},
						{"deadline", s.deadline}, {"cancel", s.cancel}, {"parked", s.park}, {"built-in", s.builtin}, {"errors", s.errors},
					} {
						t.Run(test.name, func(t *testing.T) {
							s.t = t
							t.Cleanup(func() { s.idle(0) }) // after the clients have gone
							test.run(t)
						})
						s.t = t
					}
				})
			}
		}
	}
}

// in returns a client for a subtest.
func (s *suite) in(t *testing.T) *client {
	t.Helper()
	return dial(t, s.addr(), s.codec)
}

func (s *suite) echo(t *testing.T) {
	c := s.in(t)
	for _, payload := range []string{`{"n":1}`, `{}`, `{"a":null}`, `{"text":"ж 𝄞 \" \\ \u0000 ✓"}`, `{"nested":[[{"a":[1.5e300,-0,true]}]]}`} {
		c.ask("echo", payload).is(t, codec.Reply, payload)
	}
	// Absent and null are the same to a handler; Crab makes every result an object.
	null := ""
	if s.codec == (codec.Crab{}) {
		null = "{}"
	}
	c.ask("echo", "").is(t, codec.Reply, null)
	c.ask("echo", "null").is(t, codec.Reply, null)
	for _, index := range []uint64{0, 1, 1<<53 - 1, 1<<64 - 1} {
		c.send(request("echo", index, `{"n":2}`))
		if r := c.next(); r.Index != index || !r.HasIndex || r.Type != "echo" || r.Payload != `{"n":2}` {
			t.Fatalf("index %d: %+v", index, r)
		}
	}
	// The same index twice at a time is the client's business.
	c.send(request("echo", 5, `{"n":1}`), request("echo", 5, `{"n":2}`))
	for _, want := range []string{`{"n":1}`, `{"n":2}`} {
		if r := c.next(); r.Index != 5 || r.Payload != want {
			t.Fatalf("%+v, want %s", r, want)
		}
	}
	if s.codec == (codec.Binary{}) {
		f := request("echo", 9, "\x00\xff not JSON")
		f.Opaque = true
		c.send(f)
		if r := c.next(); !r.Opaque || r.Payload != "\x00\xff not JSON" {
			t.Fatalf("opaque: %+v", r)
		}
		ids := make(map[string]uint16)
		if err := json.Unmarshal([]byte(c.ask("types", "").Payload), &ids); err != nil || ids["echo"] == 0 {
			t.Fatalf("types: %v, %v", ids, err)
		}
		c.send(codec.Frame{TypeID: ids["echo"], Index: 10, HasIndex: true, Payload: []byte(`{"by":"ID"}`)})
		if r := c.next(); r.Index != 10 || r.Payload != `{"by":"ID"}` || r.Type != "" {
			t.Fatalf("by ID: %+v", r)
		}
	}
}

// pipelining sends requests of four types in one go: each type's replies keep the order of the requests.
func (s *suite) pipelining(t *testing.T) {
	c := s.in(t)
	requests := 2000
	if raceEnabled {
		requests = 100
	}
	rnd := random(t)
	frames := s.randomRequests(rnd, requests, func() int { return 20 + rnd.IntN(100) })
	c.send(frames...)
	s.answersInOrder(t, c, frames)
}

var echoTypes = []string{"echo", "echo2", "echo3", "echo4"}

// randomRequests returns requests of the echo types, in random order.
func (s *suite) randomRequests(rnd *rand.Rand, n int, size func() int) []codec.Frame {
	frames := make([]codec.Frame, n)
	for i := range frames {
		frames[i] = request(echoTypes[rnd.IntN(len(echoTypes))], uint64(i), padded(size()))
	}
	return frames
}

// answersInOrder reads the answers to requests of the echo types.
func (s *suite) answersInOrder(t *testing.T, c *client, requests []codec.Frame) {
	t.Helper()
	waiting := make(map[string][]codec.Frame)
	for _, f := range requests {
		waiting[string(f.Type)] = append(waiting[string(f.Type)], f)
	}
	for n := range requests {
		r := c.next()
		if r.Kind != codec.Reply || len(waiting[r.Type]) == 0 {
			t.Fatalf("reply %d of %d: %+v", n, len(requests), r)
		}
		want := waiting[r.Type][0]
		waiting[r.Type] = waiting[r.Type][1:]
		if r.Index != want.Index || r.Payload != string(want.Payload) {
			t.Fatalf("reply %d of %d: %s number %d with %d bytes, want number %d with %d",
				n, len(requests), r.Type, r.Index, len(r.Payload), want.Index, len(want.Payload))
		}
	}
}

func (s *suite) fat(t *testing.T) {
	c := s.in(t)
	sizes := []int{100 << 10, 1<<20 - 200, 64<<10 - 1, 64 << 10, 64<<10 + 1, 100}
	if raceEnabled {
		sizes = []int{100 << 10}
	}
	for _, size := range sizes {
		c.ask("echo", padded(size)).is(t, codec.Reply, padded(size))
	}
	frames := s.randomRequests(rand.New(rand.NewPCG(1, 1)), len(sizes), func() int { return 100 << 10 })
	c.send(frames...)
	s.answersInOrder(t, c, frames)
}

// chunks cuts what is sent in every way.
func (s *suite) chunks(t *testing.T) {
	rnd := random(t)
	c := s.in(t)
	rounds, largest := 20, 20_000
	if raceEnabled {
		rounds, largest = 2, 2_000
	}
	for _, most := range []int{1, 2, 7, 100, 5000, 100_000} {
		for range rounds {
			frames := s.randomRequests(rnd, 1+rnd.IntN(10), func() int {
				if most < 100 {
					return 20 + rnd.IntN(200)
				}
				return 20 + rnd.IntN(largest)
			})
			var p []byte
			for _, f := range frames {
				p = append(p, frameOf(t, s.codec, f)...)
			}
			c.sendPieces(rnd, p, most)
			s.answersInOrder(t, c, frames)
		}
	}
	// Once more from the first byte of a connection on: that is where the codec is detected.
	for range rounds {
		c := s.in(t)
		frames := s.randomRequests(rnd, 3, func() int { return 20 + rnd.IntN(50) })
		var p []byte
		for _, f := range frames {
			p = append(p, frameOf(t, s.codec, f)...)
		}
		c.sendPieces(rnd, p, 1+rnd.IntN(3))
		s.answersInOrder(t, c, frames)
		c.Close()
	}
}

func (s *suite) oneWay(t *testing.T) {
	c := s.in(t)
	before := s.handled.Load()
	for i, typ := range []string{"echo", "fails", "panics", "silent", "nobody", "echo"} {
		f := request(typ, uint64(i), `{"n":1}`)
		f.OneWay = true
		f.HasIndex = i%2 == 0 // with or without
		c.send(f)
	}
	c.silent()
	for i, typ := range []string{"fails", "panics", "silent"} { // not only the reply to echo stays away
		s.until(typ, "done", func(st dispatch.TypeStats) bool { return st.Done > 0 && st.Running == 0 })
		if i == 2 {
			c.silent()
		}
	}
	eventually(t, "both one-way requests handled", func() bool { return s.handled.Load() == before+4 })
}

func (s *suite) deadline(t *testing.T) {
	c, other := s.in(t), s.in(t)
	other.send(request("slow", 1, `{"first":1}`))
	receive(t, "slow begins", s.slow.began)
	late, intime := request("slow", 2, `{"n":2}`), request("slow", 3, `{"n":3}`)
	late.DeadlineMs, intime.DeadlineMs = 1, 3_600_000
	c.send(late, intime)
	// While the first still runs.
	if r := c.fails(codec.DeadlineExceeded); r.Index != 2 || r.Type != "slow" {
		t.Fatalf("%+v", r)
	}
	s.until("slow", "one waits", func(st dispatch.TypeStats) bool { return st.Queued == 1 && st.Running == 1 && st.Shed >= 1 })
	s.slow.let(t)
	s.slow.let(t)
	if r := c.next(); r.Kind != codec.Reply || r.Index != 3 {
		t.Fatalf("%+v", r)
	}
	other.next().is(t, codec.Reply, `{"first":1}`)
	if got := receive(t, "the other begins", s.slow.began); got != `{"n":3}` {
		t.Fatalf("%s was begun", got)
	}
}

func (s *suite) cancel(t *testing.T) {
	c := s.in(t)
	c.send(request("slow", 1, `{"n":1}`))
	receive(t, "slow begins", s.slow.began)
	c.send(request("slow", 2, `{"n":2}`), request("slow", 3, `{"n":3}`))
	s.until("slow", "two wait", func(st dispatch.TypeStats) bool { return st.Queued == 2 })

	cancel := func(index uint64, want string) {
		t.Helper()
		c.send(request("cancel", 100+index, fmt.Sprintf(`{"queryIndex":%d}`, index)))
		if want == `{"cancelled":true}` {
			if r := c.fails(codec.Cancelled); r.Index != index || r.Type != "slow" {
				t.Fatalf("cancel %d: %+v", index, r)
			}
		}
		r := c.next()
		r.is(t, codec.Reply, want)
		if r.Index != 100+index || r.Type != "cancel" {
			t.Fatalf("cancel %d: %+v", index, r)
		}
	}
	cancel(2, `{"cancelled":true}`)
	s.until("slow", "one waits", func(st dispatch.TypeStats) bool { return st.Queued == 1 })
	cancel(2, `{"cancelled":false}`)  // already done
	cancel(1, `{"cancelled":false}`)  // in work
	cancel(77, `{"cancelled":false}`) // never heard of
	// Not another client's.
	other := s.in(t)
	other.ask("cancel", `{"queryIndex":3}`).is(t, codec.Reply, `{"cancelled":false}`)
	for _, payload := range []string{"", "null", "3", `{}`, `{"queryIndex":"3"}`, `{"queryIndex":-1}`, `{"queryIndex":1.5}`, `{"queryIndex":null}`} {
		c.send(request("cancel", 50, payload))
		c.fails(codec.BadPayload)
	}
	s.slow.let(t)
	s.slow.let(t)
	for _, want := range []string{`{"n":1}`, `{"n":3}`} {
		c.next().is(t, codec.Reply, want)
	}
	receive(t, "3 begins", s.slow.began)

	// Request and cancel in one packet: it never runs.
	one := request("cancel", 9, `{"queryIndex":8}`)
	one.OneWay = true
	c.send(request("narrow", 7, `{"n":7}`), request("narrow", 8, `{"n":8}`), one)
	if got := receive(t, "narrow begins", s.narrow.began); got != `{"n":7}` {
		t.Fatalf("%s began", got)
	}
	if r := c.fails(codec.Cancelled); r.Index != 8 {
		t.Fatalf("%+v", r)
	}
	s.narrow.let(t)
	c.next().is(t, codec.Reply, `{"n":7}`)
}

func (s *suite) park(t *testing.T) {
	c := s.in(t)
	c.send(request("park", 1, `{"n":1}`), request("park", 2, `{"n":2}`), request("park", 3, `{"n":3}`))
	if r := c.fails(codec.QuotaExceeded); r.Index != 3 {
		t.Fatalf("%+v", r)
	}
	first, second := receive(t, "parked", s.parked), receive(t, "parked", s.parked)
	c.silent() // the jobber goes on, and nobody has answered
	if !second.Reply([]byte(`{"second":true}`)) {
		t.Fatal("too late")
	}
	if r := c.next(); r.Index != 2 || r.Payload != `{"second":true}` {
		t.Fatalf("%+v", r)
	}
	c.send(request("cancel", 9, `{"queryIndex":1}`))
	a, b := c.next(), c.next() // the cancelled answer comes over the parked job's way home
	if a.Index == 1 {
		a, b = b, a
	}
	a.is(t, codec.Reply, `{"cancelled":true}`)
	if b.Code != codec.Cancelled || b.Index != 1 {
		t.Fatalf("%+v", b)
	}
	if first.Reply([]byte(`{}`)) {
		t.Fatal("answered twice")
	}
	waits := request("park", 4, `{"n":4}`)
	waits.DeadlineMs = 1
	c.send(waits)
	c.fails(codec.DeadlineExceeded)
	for len(s.parked) > 0 {
		<-s.parked
	}
}

func (s *suite) builtin(t *testing.T) {
	c := s.in(t)
	object := func(typ, payload string, v any) {
		t.Helper()
		r := c.ask(typ, payload)
		if r.Kind != codec.Reply || r.Type != typ {
			t.Fatalf("%s: %+v", typ, r)
		}
		if err := json.Unmarshal([]byte(r.Payload), v); err != nil {
			t.Fatalf("%s: %v in %s", typ, err, r.Payload)
		}
	}
	for n := range 3 { // one counter a server, from 0
		c.ask("ping", "").is(t, codec.Reply, fmt.Sprintf(`{"pong":%d}`, n))
	}
	c.send(request("slow", 1, `{"secret":1}`), request("slow", 2, `{"secret":2}`))
	receive(t, "slow begins", s.slow.began)

	ids := make(map[string]uint16)
	object("types", `{}`, &ids)
	seen := make(map[uint16]string)
	for _, name := range slices.Concat(echoTypes, []string{"slow", "ping", "types", "stats", "srvQueuePrint", "cancel", "hello"}) {
		if ids[name] == 0 || seen[ids[name]] != "" {
			t.Errorf("types: %s has ID %d, as has %s", name, ids[name], seen[ids[name]])
		}
		seen[ids[name]] = name
	}

	var stats dispatch.Stats
	object("stats", "", &stats)
	if slow := stats.Types["slow"]; stats.Connections != 1 || slow.Queued != 1 || slow.Running != 1 || stats.Ring.Cap == 0 || slow.ID != ids["slow"] {
		t.Errorf("stats: %+v", stats)
	}

	queues := make(map[string]struct{ Length, Count *int })
	r := c.ask("srvQueuePrint", "")
	if err := json.Unmarshal([]byte(r.Payload), &queues); err != nil {
		t.Fatal(err)
	}
	if q := queues["slow"]; q.Length == nil || *q.Length != 1 || q.Count == nil || strings.Contains(r.Payload, "secret") {
		t.Errorf("srvQueuePrint: %s", r.Payload)
	}

	var hello dispatch.Hello
	object("hello", `{"client":"test","version":"1"}`, &hello)
	if hello.Limits.FrameBytes != codec.FrameBytesMaxDefault || hello.Limits.Credit != 4096 || hello.Limits.Parked != 2 ||
		hello.Types["slow"] != ids["slow"] || hello.ServerTime.IsZero() || hello.Protocol != 1 {
		t.Errorf("hello: %+v", hello)
	}
	s.slow.let(t)
	s.slow.let(t)
	c.next()
	c.next()
	receive(t, "the second begins", s.slow.began)
}

// errors gets each code that a server gives without being broken. The bad frames have tests of their own.
func (s *suite) errors(t *testing.T) {
	c := s.in(t)
	for _, test := range []struct {
		typ, payload string
		code         codec.Code
		message      string
	}{
		{"nobody", `{}`, codec.UnknownType, "nobody"},
		{"Echo", `{}`, codec.UnknownType, "Echo"}, // names match exactly
		{"size", `{"not":"a string"}`, codec.BadPayload, "size"},
		{"size", `7`, codec.BadPayload, "size"},
		{"fails", "", codec.HandlerFailed, "it went wrong"},
		{"fails", `"conflict"`, codec.Conflict, "as asked for"},
		{"fails", `"store_full"`, codec.StoreFull, "as asked for"},
		{"panics", "", codec.HandlerFailed, "panicked"},
		{"silent", "", codec.HandlerFailed, "no answer"},
		{"fat", "1048576", codec.ReplyTooLarge, "larger"},
	} {
		c.last++
		c.send(request(test.typ, c.last, test.payload))
		r := c.fails(test.code)
		message := r.Message
		if s.codec == (codec.Crab{}) && test.code == codec.UnknownType {
			message = strings.ReplaceAll(message, "Не найден обработчик для запроса "+test.typ, test.message)
		}
		if r.Index != c.last || r.Type != test.typ || !strings.Contains(message, test.message) {
			t.Errorf("%s %s: %+v", test.typ, test.payload, r)
		}
		if test.message == "as asked for" && (r.Retry != 7 || r.Detail != `{"n":1}`) {
			t.Errorf("particulars: %+v", r)
		}
	}
	c.send(request("narrow", 1, `{"n":1}`))
	receive(t, "narrow begins", s.narrow.began)
	c.send(request("narrow", 2, `{"n":2}`), request("narrow", 3, `{"n":3}`), request("narrow", 4, `{"n":4}`))
	if r := c.fails(codec.QueueFull); r.Index != 4 || r.Retry == 0 || r.Type != "narrow" {
		t.Errorf("%+v", r)
	}
	for n := range 3 {
		s.narrow.let(t)
		c.next().is(t, codec.Reply, fmt.Sprintf(`{"n":%d}`, n+1))
	}
	receive(t, "second", s.narrow.began)
	receive(t, "third", s.narrow.began)
}
