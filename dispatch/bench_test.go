package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"testing"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
)

// benchConn is a connection without a socket, whose event loop is the benchmark's goroutine.
type benchConn struct {
	tasks chan func()
	bytes int
}

func (c *benchConn) Loop() int                                   { return 0 }
func (c *benchConn) Execute(f func()) error                      { c.tasks <- f; return nil }
func (c *benchConn) Codec() codec.Codec                          { return codec.JSON{} }
func (c *benchConn) Write(p []byte)                              { c.bytes += len(p) }
func (c *benchConn) Resume()                                     {}
func (c *benchConn) WhenSent(_ context.Context, _ int, f func()) { f() }
func (c *benchConn) FrameBytesMax() int                          { return codec.FrameBytesMaxDefault }
func (c *benchConn) RemoteAddr() net.Addr                        { return nil }

// BenchmarkJourney takes requests from an event loop to the handler and their answers back: everything but sockets and
// the decoding of frames. An operation is one request; so many are in flight as the name says.
func BenchmarkJourney(b *testing.B) {
	forms := map[string]func(*dispatch.Registry){
		"raw": func(r *dispatch.Registry) {
			dispatch.HandleRaw(r, "t", func(j *dispatch.Job) error { j.Reply(j.Payload()); return nil })
		},
		"typed": func(r *dispatch.Registry) {
			type n struct {
				N int `json:"n"`
			}
			dispatch.Handle(r, "t", func(_ context.Context, v n) (n, error) { return v, nil })
		},
		"json": func(r *dispatch.Registry) {
			dispatch.Handle(r, "t", func(_ context.Context, v json.RawMessage) (json.RawMessage, error) { return v, nil })
		},
		"batch": func(r *dispatch.Registry) {
			dispatch.HandleBatch(r, func(jobs []*dispatch.Job) {
				for _, j := range jobs {
					j.Reply(j.Payload())
				}
			}, "t")
		},
	}
	for _, form := range []string{"raw", "typed", "json", "batch"} {
		for _, inFlight := range []int{1, 64, 1024} {
			b.Run(form+"/"+strconv.Itoa(inFlight), func(b *testing.B) {
				reg := dispatch.NewRegistry()
				forms[form](reg)
				d, err := dispatch.New(dispatch.Config{Registry: reg, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close(context.Background())
				c := &benchConn{tasks: make(chan func(), 16)}
				peer := d.Open(c)
				f := codec.Frame{Type: []byte("t"), HasIndex: true, Payload: []byte(`{"n":1}`)}
				b.ReportAllocs()
				for sent, done := 0, 0; done < b.N; done = sent - peer.Pending() {
					for sent < b.N && peer.Pending() < inFlight {
						f.Index = uint64(sent)
						peer.Request(&f)
						sent++
					}
					peer.Flush()
					if peer.Pending() > 0 { // else the answers came within Flush
						(<-c.tasks)()
					}
				}
			})
		}
	}
}

// BenchmarkParked tells how much memory is held for a parked job, with a deadline and without: of 100,000 requests of
// ordinary size, on a server that has seen larger ones, too.
func BenchmarkParked(b *testing.B) {
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
