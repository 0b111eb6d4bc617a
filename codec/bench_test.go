package codec_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
)

var wires = []codec.Codec{codec.JSON{}, codec.Crab{}, codec.Binary{}}

// payloads are those that the server's bench sends: the shortest makes a frame of 60 bytes in the codec json.
var payloads = []struct {
	name, text string
}{
	{"payload=13", `{"n":1234567}`},
	{"payload=478", `{"n":1234567,"pad":"` + strings.Repeat("x", 456) + `"}`},
	{"payload=16384", `{"n":1234567,"pad":"` + strings.Repeat("x", 16_362) + `"}`},
}

// hotPath is an operation on a frame of so many bytes; 0: it does not look at all of them.
type hotPath struct {
	name  string
	bytes int
	op    func() error
}

// hotPaths returns every operation that a frame costs a server or a client, for each codec. Each is known to work.
func hotPaths(tb testing.TB) (paths []hotPath) {
	tb.Helper()
	if err := codec.Pretouch(); err != nil {
		tb.Fatal(err)
	}
	add := func(name string, bytes int, op func() error) {
		if err := op(); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		paths = append(paths, hotPath{name, bytes, op})
	}
	for _, c := range wires {
		for _, p := range payloads {
			request := codec.Frame{Type: []byte("t0"), Index: 12_345_678, HasIndex: true, Payload: []byte(p.text)}
			reply := request
			reply.Kind = codec.Reply
			full := request
			full.DeadlineMs, full.Key, full.MinRev = 500, []byte("4711"), 99
			for _, m := range []struct {
				name  string
				frame codec.Frame
			}{{"request", request}, {"reply", reply}, {"full request", full}} {
				if m.name == "full request" && p.name != payloads[0].name {
					continue
				}
				stream := streamOf(tb, c, &m.frame)
				name := c.Name() + "/" + p.name
				add(name+"/append "+m.name, len(stream), appending(c, &m.frame, stream))
				add(name+"/decode "+m.name, len(stream), decoding(c, &m.frame, stream))
			}
			stream := streamOf(tb, c, &request)
			add("auto/"+p.name+"/detect "+c.Name(), 0, detecting(c, stream))
		}
	}
	return paths
}

func streamOf(tb testing.TB, c codec.Codec, f *codec.Frame) []byte {
	tb.Helper()
	stream, err := c.Append(nil, f)
	if err != nil {
		tb.Fatal(err)
	}
	return stream
}

func appending(c codec.Codec, f *codec.Frame, stream []byte) func() error {
	buf := make([]byte, 0, len(stream))
	return func() error {
		got, err := c.Append(buf, f)
		if err == nil && len(got) != len(stream) {
			err = fmt.Errorf("%d bytes, want %d", len(got), len(stream))
		}
		return err
	}
}

// decoding finds the frame in the stream and decodes it, as a connection does.
func decoding(c codec.Codec, want *codec.Frame, stream []byte) func() error {
	var (
		s codec.Scan
		f codec.Frame
	)
	decode := c.DecodeRequest
	if want.Kind == codec.Reply {
		decode = c.DecodeReply
	}
	return func() error {
		s = codec.Scan{}
		frame, n, err := c.Split(&s, stream, codec.FrameBytesMaxDefault)
		if err != nil {
			return err
		}
		if err := decode(frame, &f); err != nil {
			return err
		}
		if n != len(stream) || f.Kind != want.Kind || f.Index != want.Index || f.MinRev != want.MinRev ||
			len(f.Payload) != len(want.Payload) || !bytes.Equal(f.Type, want.Type) {
			return fmt.Errorf("%d bytes of %d made %+v", n, len(stream), f)
		}
		return nil
	}
}

// detecting finds out what a client speaks from its first frame, and the half of the next one.
func detecting(want codec.Codec, stream []byte) func() error {
	stream = append(slices.Clip(stream), stream[:len(stream)/2]...)
	var s codec.Scan
	return func() error {
		s = codec.Scan{}
		got, err := codec.Auto{}.Detect(&s, stream, codec.FrameBytesMaxDefault)
		if err == nil && got != want {
			err = fmt.Errorf("took it for %v", got)
		}
		return err
	}
}

// BenchmarkFrame: an op appends a frame, or finds and decodes it, or tells by it what a client speaks.
func BenchmarkFrame(b *testing.B) {
	for _, p := range hotPaths(b) {
		b.Run(p.name, func(b *testing.B) {
			b.SetBytes(int64(p.bytes))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.op(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, p := range hotPaths(t) {
		most := 0.
		decodedBySonic := strings.HasSuffix(p.name, "/decode reply") || strings.HasPrefix(p.name, "binary/") && strings.Contains(p.name, "/decode ")
		if decodedBySonic && (runtime.GOARCH != "amd64" || os.Getenv("SONIC_USE_OPTDEC") == "1") {
			most = 4 // its decoder for other architectures makes some of what it works in anew
		}
		n := testing.AllocsPerRun(100, func() {
			if err := p.op(); err != nil {
				t.Fatal(err)
			}
		})
		if n > most {
			t.Errorf("%s: %v allocations, want %v at most", p.name, n, most)
		}
	}
}
