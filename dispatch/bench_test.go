package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
)

// benchConn is a connection without a socket, whose event loop is the benchmark's goroutine.
type benchConn struct {
	tasks chan func()
	wrote []byte // since whoever looks at it has emptied it
}

func (c *benchConn) Loop() int                                   { return 0 }
func (c *benchConn) Execute(f func()) error                      { c.tasks <- f; return nil }
func (c *benchConn) Codec() codec.Codec                          { return codec.JSON{} }
func (c *benchConn) Write(p []byte)                              { c.wrote = append(c.wrote, p...) }
func (c *benchConn) Resume()                                     {}
func (c *benchConn) WhenSent(_ context.Context, _ int, f func()) { f() }
func (c *benchConn) FrameBytesMax() int                          { return codec.FrameBytesMaxDefault }
func (c *benchConn) RemoteAddr() net.Addr                        { return nil }

// forms are the ways to serve a type, all as echoes.
var forms = []struct {
	name  string
	serve func(*dispatch.Registry)
}{
	{"raw", func(r *dispatch.Registry) {
		dispatch.HandleRaw(r, "t", func(j *dispatch.Job) error { j.Reply(j.Payload()); return nil })
	}},
	{"typed", func(r *dispatch.Registry) {
		type n struct {
			N int `json:"n"`
		}
		dispatch.Handle(r, "t", func(_ context.Context, v n) (n, error) { return v, nil })
	}},
	{"json", func(r *dispatch.Registry) {
		dispatch.Handle(r, "t", func(_ context.Context, v json.RawMessage) (json.RawMessage, error) { return v, nil })
	}},
	{"batch", func(r *dispatch.Registry) {
		dispatch.HandleBatch(r, func(jobs []*dispatch.Job) {
			for _, j := range jobs {
				j.Reply(j.Payload())
			}
		}, "t")
	}},
}

// journey takes requests from an event loop to the handler and their answers back: everything but sockets and the decoding
// of frames.
type journey struct {
	conn  *benchConn
	peer  *dispatch.Peer
	frame codec.Frame
}

// newJourney starts a dispatcher until tb is over, and sees that it serves.
func newJourney(tb testing.TB, serve func(*dispatch.Registry)) *journey {
	tb.Helper()
	reg := dispatch.NewRegistry()
	serve(reg)
	d, err := dispatch.New(dispatch.Config{Registry: reg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	c := &benchConn{tasks: make(chan func(), 16)}
	w := &journey{conn: c, peer: d.Open(c), frame: codec.Frame{Type: []byte("t"), HasIndex: true, Payload: []byte(`{"n":1}`)}}
	tb.Cleanup(func() {
		w.peer.Closed()
		if err := d.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	w.travel(1, 1)
	const want = `{"type":"t","queryIndex":0,"resultJob":{"n":1}}` + "\n"
	if string(c.wrote) != want {
		tb.Fatalf("answered %s, want %s", c.wrote, want)
	}
	return w
}

// travel makes n requests, and keeps so many of them in flight.
func (w *journey) travel(n, inFlight int) {
	for sent, done := 0, 0; done < n; done = sent - w.peer.Pending() {
		for sent < n && w.peer.Pending() < inFlight {
			w.frame.Index = uint64(sent)
			w.peer.Request(&w.frame)
			sent++
		}
		w.conn.wrote = w.conn.wrote[:0]
		w.peer.Flush()
		if w.peer.Pending() > 0 { // else the answers came within Flush
			(<-w.conn.tasks)()
		}
	}
}

// BenchmarkJourney: an op is a request; so many are in flight as the name says.
func BenchmarkJourney(b *testing.B) {
	for _, form := range forms {
		for _, inFlight := range []int{1, 16, 256} {
			b.Run(form.name+"/"+strconv.Itoa(inFlight), func(b *testing.B) {
				w := newJourney(b, form.serve)
				b.ReportAllocs()
				b.ResetTimer()
				w.travel(b.N, inFlight)
			})
		}
	}
}

// What a request allocates on its journey at most: nothing in a raw handler; its values, their JSON and a context in others;
// in a batch handler what a batch does, which may be of one request.
func TestJourneyAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	most := map[string]float64{"raw": 0, "typed": 4, "json": 6, "batch": 2}
	if runtime.GOARCH == "arm64" || os.Getenv("SONIC_USE_OPTDEC") == "1" { // sonic has another decoder there
		most["typed"], most["json"] = 5, 8
	}
	for _, form := range forms {
		for _, inFlight := range []int{1, 16, 256} {
			const each = 1000
			w := newJourney(t, form.serve)
			w.travel(each, inFlight) // its jobs and buffers are made
			n := testing.AllocsPerRun(20, func() { w.travel(each, inFlight) }) / each
			if n > most[form.name]+0.01 { // sleeping goroutines allocate now and then
				t.Errorf("%s, %d in flight: %v allocations a request, want %v at most", form.name, inFlight, n, most[form.name])
			}
		}
	}
}

// BenchmarkParked tells how much memory is held for a parked job, with a deadline and without: of 100,000 requests of
// ordinary size, on a server that has seen larger ones, too.
func BenchmarkParked(b *testing.B) {
	if testing.Short() {
		b.Skip("it takes seconds")
	}
	const parked = 100_000
	for name, deadlineMs := range map[string]uint32{"plain": 0, "deadline": 3_600_000} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				reg := dispatch.NewRegistry()
				dispatch.HandleRaw(reg, "wait", func(j *dispatch.Job) error {
					_, err := j.Park(nil)
					return err
				})
				dispatch.HandleRaw(reg, "large", func(j *dispatch.Job) error { j.Reply(j.Payload()); return nil })
				d, err := dispatch.New(dispatch.Config{Registry: reg, ParkedMax: parked, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				c := &benchConn{tasks: make(chan func(), 16)}
				peer := d.Open(c)
				send := func(n int, f codec.Frame) {
					done := func() uint64 { return d.Stats().Types[string(f.Type)].Done }
					wanted := done() + uint64(n)
					for i := range n {
						f.Index, f.HasIndex = uint64(i), true
						peer.Request(&f)
					}
					peer.Flush()
					for done() < wanted || len(c.tasks) > 0 {
						select {
						case task := <-c.tasks:
							task()
						default:
							runtime.Gosched()
						}
					}
				}
				held := func() float64 {
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					return float64(m.HeapAlloc)
				}
				send(1000, codec.Frame{Type: []byte("large"), Payload: bytes.Repeat([]byte("1"), 4000)})
				before := held()
				for range parked / 1000 {
					send(1000, codec.Frame{
						Type: []byte("wait"), Payload: []byte(`{"pool":"phones","count":1,"where":{"city":"a"}}`),
						Key: []byte("6ba7b810-9dad-11d1"), DeadlineMs: deadlineMs,
					})
				}
				b.ReportMetric((held()-before)/parked, "B/parked")
				peer.Closed()
				if err := d.Close(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
