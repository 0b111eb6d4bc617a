package codec_test

import (
	"testing"

	"github.com/kassa-go/kassa/codec"
)

// Frames of the size that most have: what the hot path is measured with.
var (
	smallRequest = codec.Frame{
		Kind: codec.Request, Type: []byte("cntResponse"), Index: 1234, HasIndex: true, Payload: []byte(`{"n":1}`),
	}
	fullRequest = codec.Frame{
		Kind: codec.Request, Type: []byte("cntResponse"), Index: 1234, HasIndex: true, Payload: []byte(`{"n":1}`),
		DeadlineMs: 500, Key: []byte("4711"), MinRev: 99,
	}
	smallReply = codec.Frame{
		Kind: codec.Reply, Type: []byte("cntResponse"), Index: 1234, HasIndex: true, Payload: []byte(`{"cnt":42}`),
	}
)

var wires = []codec.Codec{codec.JSON{}, codec.Crab{}, codec.Binary{}}

// eachHotPath runs fn on every operation that a frame costs a server or a client, for each codec.
func eachHotPath(tb testing.TB, fn func(name string, op func())) {
	if err := codec.Pretouch(); err != nil {
		tb.Fatal(err)
	}
	for _, c := range wires {
		var f codec.Frame
		var s codec.Scan
		must := func(err error) {
			if err != nil {
				tb.Fatal(err)
			}
		}
		buf := make([]byte, 0, 1024)
		for _, m := range []struct {
			name  string
			frame codec.Frame
		}{{"request", smallRequest}, {"request with all fields", fullRequest}, {"reply", smallReply}} {
			stream, err := c.Append(nil, &m.frame)
			must(err)
			frame, _, err := c.Split(&s, stream, len(stream))
			must(err)
			fn(c.Name()+"/append "+m.name, func() {
				_, err := c.Append(buf, &m.frame)
				must(err)
			})
			fn(c.Name()+"/split "+m.name, func() {
				s = codec.Scan{}
				_, _, err := c.Split(&s, stream, len(stream))
				must(err)
			})
			decode := c.DecodeRequest
			if m.frame.Kind == codec.Reply {
				decode = c.DecodeReply
			}
			fn(c.Name()+"/decode "+m.name, func() { must(decode(frame, &f)) })
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	eachHotPath(b, func(name string, op func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				op()
			}
		})
	})
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	eachHotPath(t, func(name string, op func()) {
		if n := testing.AllocsPerRun(200, op); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	})
}
