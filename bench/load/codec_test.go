package load_test

import (
	"testing"

	"github.com/kassa-go/kassa/bench/load"
	"github.com/kassa-go/kassa/codec"
)

// The generator's frames are requests to kassa's codecs, and what these make of the reply is what the generator expects.
func TestFramesAgreeWithCodec(t *testing.T) {
	for _, name := range []string{"json", "crab", "binary"} {
		for _, payloadBytes := range []int{0, 478, 16 << 10} {
			w, err := load.NewWire(load.WireConfig{Codec: name, PayloadBytes: payloadBytes})
			if err != nil {
				t.Fatal(err)
			}
			c := codec.ByName(name)
			for index := uint64(load.IndexMin); index < load.IndexMin+2*load.TypeCount; index++ {
				const conn = 5
				buf := w.AppendRequest(nil, conn, index)
				frame, n, err := c.Split(new(codec.Scan), buf, codec.FrameBytesMaxDefault)
				if err != nil || n != len(buf) {
					t.Fatalf("%s: %d of %d bytes are a frame, %v: %q", name, n, len(buf), err, buf)
				}
				var f codec.Frame
				if err := c.DecodeRequest(frame, &f); err != nil {
					t.Fatalf("%s: %v: %q", name, err, frame)
				}
				if want := "t" + string('0'+rune(index%load.TypeCount)); string(f.Type) != want || f.Index != index || !f.HasIndex {
					t.Errorf("%s: type %q, index %d %v, want %s, %d", name, f.Type, f.Index, f.HasIndex, want, index)
				}
				if payloadBytes > 0 && len(f.Payload) != payloadBytes {
					t.Errorf("%s: payload of %d bytes, want %d", name, len(f.Payload), payloadBytes)
				}
				f.Kind = codec.Reply
				reply, err := c.Append(nil, &f)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if n, i, err := w.CheckReply(reply, conn); n != len(reply) || i != index || err != nil {
					t.Errorf("%s: reply %q: %d %d %v", name, reply, n, i, err)
				}
			}
		}
	}
}
