package dispatch_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
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

func (c *benchConn) Loop() int              { return 0 }
func (c *benchConn) Execute(f func()) error { c.tasks <- f; return nil }
func (c *benchConn) Codec() codec.Codec     { return codec.JSON{} }
func (c *benchConn) Write(p []byte)         { c.bytes += len(p) }
func (c *benchConn) Resume()                {}
func (c *benchConn) FrameBytesMax() int     { return codec.FrameBytesMaxDefault }
func (c *benchConn) RemoteAddr() net.Addr   { return nil }

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
