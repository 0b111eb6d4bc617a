package serve

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
)

// benchConn is a connection without a socket, on which nothing is heard.
type benchConn struct{}

func (benchConn) Loop() int                                   { return 0 }
func (benchConn) Execute(func()) error                        { return nil }
func (benchConn) Codec() codec.Codec                          { return codec.JSON{} }
func (benchConn) Write([]byte)                                {}
func (benchConn) Resume()                                     {}
func (benchConn) WhenSent(_ context.Context, _ int, f func()) { f() }
func (benchConn) FrameBytesMax() int                          { return codec.FrameBytesMaxDefault }
func (benchConn) RemoteAddr() net.Addr                        { return nil }

// jobsOf returns n jobs that carry the same request, as a jobber gets them. They are valid until the test is over.
func jobsOf(tb testing.TB, n int, f codec.Frame) []*dispatch.Job {
	tb.Helper()
	reg, got := dispatch.NewRegistry(), make(chan []*dispatch.Job, n)
	dispatch.HandleAsync(reg, func(jobs []*dispatch.Job) { got <- append([]*dispatch.Job(nil), jobs...) }, string(f.Type))
	d, err := dispatch.New(dispatch.Config{Registry: reg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	peer := d.Open(benchConn{})
	for i := range n {
		f.Index, f.HasIndex = uint64(i), true
		peer.Request(&f)
	}
	peer.Flush()
	var jobs []*dispatch.Job
	for len(jobs) < n {
		jobs = append(jobs, <-got...)
	}
	return jobs
}

// BenchmarkOp: an op is a request that the jobber makes a command of, or what else pools is to do, in batches of 16.
func BenchmarkOp(b *testing.B) {
	s, err := New(Config{Journal: journal.NewMemory(), Pools: []Pool{items("p", 1), rooms(1)}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const batch = 16
	decode := s.newJobber()
	for _, request := range []struct{ name, typ, payload, key string }{
		{"lease.acquire", "lease.acquire", `{"want":[{"pool":"p"}],"ttlMs":60000}`, ""},
		{"lease.acquire selecting", "lease.acquire", `{"want":[{"pool":"p","count":2,"select":{"country":["de","fr"],"kind":"a"}}],"owner":"ann","ttlMs":60000,"waitMs":500}`, ""},
		{"lease.acquire keyed", "lease.acquire", `{"want":[{"pool":"p"}],"ttlMs":60000}`, "6ba7b810-9dad-11d1"},
		{"lease.renew", "lease.renew", `{"lease":4711,"token":4712}`, ""},
		{"lease.release", "lease.release", `{"lease":4711,"token":4712}`, ""},
		{"hold.create", "hold.create", `{"pool":"p","best":{"n":4},"ttlMs":60000}`, ""},
		{"hold.confirm", "hold.confirm", `{"hold":4711,"token":4712}`, ""},
		{"slot.book", "slot.book", `{"pool":"rooms","ids":["1"],"start":"2026-07-01T09:00","end":"2026-07-01T09:30"}`, ""},
		{"pool.stats", "pool.stats", `{"pool":"p"}`, ""},
	} {
		b.Run(request.name, func(b *testing.B) {
			f := codec.Frame{Type: []byte(request.typ), Payload: []byte(request.payload)}
			if request.key != "" {
				f.Key = []byte(request.key)
			}
			jobs := jobsOf(b, batch, f)
			decode(jobs)
			done := <-s.incoming
			for i := range done.ops {
				if o := &done.ops[i]; o.err != nil || o.cmd == nil && o.ask == nil {
					b.Fatalf("%s: %v", request.payload, o.err)
				}
			}
			s.recycle(done)
			b.SetBytes(int64(len(request.payload)))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += batch {
				decode(jobs)
				s.recycle(<-s.incoming)
			}
		})
	}
}

// BenchmarkResult: an op is the result of an operation, as it goes into the answer.
func BenchmarkResult(b *testing.B) {
	given := pool.Given{Pool: "p", ID: "item-0000001", Labels: `{"country":"de"}`, Attrs: `{"host":"10.0.4.11"}`, Units: 1}
	reply := pool.Reply{Rev: 4712, Grant: 4711, Token: 4712, ExpiresAt: 1_790_000_000_000, Items: []pool.Given{given}, Count: 1}
	for _, result := range []struct {
		name string
		op   op
		want string
	}{
		{"lease.acquire", op{kind: opAcquire}, `{"lease":4711,"token":4712,`},
		{"lease.renew", op{kind: opRenew}, `{"expiresAt":1790000000000}`},
		{"lease.release", op{kind: opRelease}, `{"released":1}`},
		{"hold.create", op{kind: opHold}, `{"hold":4711,"token":4712,`},
		{"hold.confirm", op{kind: opConfirm}, `{"sale":4711,"token":4712,`},
		{"slot.book", op{kind: opBook}, `{"booking":4711,"token":4712,`},
	} {
		b.Run(result.name, func(b *testing.B) {
			result.op.reply = reply
			buf, err := appendResult(nil, &result.op)
			if err != nil || !strings.HasPrefix(string(buf), result.want) {
				b.Fatalf("%s, %v", buf, err)
			}
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = appendResult(buf[:0], &result.op); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEvent: an op is an event of a chunk, as watchers are told of it.
func BenchmarkEvent(b *testing.B) {
	m := pool.New(pool.Config{})
	var r pool.Reply
	m.Decide(1, &pool.Configure{Pools: []pool.Spec{{Name: "p"}}}, &r)
	m.Decide(1, &pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "item-0000001", Labels: map[string]string{"country": "de"}}}}, &r)
	m.TakeChunk()
	m.Decide(1, &pool.Acquire{Want: []pool.Want{{Pool: "p", Count: 1}}}, &r)
	if r.Err != nil {
		b.Fatal(r.Err)
	}
	chunk := m.TakeChunk()
	var buf []byte
	tell := func() {
		err := pool.Events(chunk, func(e *pool.Event) bool {
			var err error
			if buf, err = AppendEvent(buf[:0], e); err != nil {
				b.Fatal(err)
			}
			return true
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	tell()
	if !strings.Contains(string(buf), `"lease.granted"`) {
		b.Fatalf("told of %s", buf)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		tell()
	}
}
