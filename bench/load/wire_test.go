package load_test

import (
	"fmt"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

func TestFrameLengths(t *testing.T) {
	for _, test := range []struct {
		wire  load.WireConfig
		bytes int
	}{
		{load.WireConfig{}, 60},
		{load.WireConfig{Codec: "binary"}, 60},
		{load.WireConfig{Codec: "crab"}, 63},
		{load.WireConfig{PayloadBytes: 478}, 60 - 13 + 478},
		{load.WireConfig{Codec: "binary", PayloadBytes: 16 << 10}, 22 + 16<<10},
	} {
		w, err := load.NewWire(test.wire)
		if err != nil {
			t.Fatal(err)
		}
		if frame := w.AppendRequest(nil, 7, load.IndexMax); len(frame) != test.bytes {
			t.Errorf("%+v: %d bytes, want %d: %q", test.wire, len(frame), test.bytes, frame)
		}
	}
}

// Each byte of a reply counts, wherever it is cut; only the flags of a binary one are free.
func TestCheckReply(t *testing.T) {
	for _, codec := range []string{"json", "crab", "binary"} {
		t.Run(codec, func(t *testing.T) {
			w, err := load.NewWire(load.WireConfig{Codec: codec, Echo: true})
			if err != nil {
				t.Fatal(err)
			}
			const conn, index = 9, load.IndexMin + 5
			frame := w.AppendRequest(nil, conn, index)
			if n, i, err := w.CheckReply(append(frame, frame...), conn); n != len(frame) || i != index || err != nil {
				t.Fatalf("right reply: %d %d %v", n, i, err)
			}
			if _, _, err := w.CheckReply(frame, conn+1); err == nil {
				t.Error("another connection's reply is taken")
			}
			for cut := range frame {
				if n, _, err := w.CheckReply(frame[:cut], conn); n != 0 || err != nil {
					t.Errorf("cut at %d: %d %v", cut, n, err)
				}
				changed := fmt.Appendf(nil, "%s", frame)
				changed[cut] ^= 4
				_, i, err := w.CheckReply(changed, conn)
				if free := codec == "binary" && cut == 2; (err == nil) != free {
					t.Errorf("byte %d changed: %d %v", cut, i, err)
				}
			}
		})
	}
}
