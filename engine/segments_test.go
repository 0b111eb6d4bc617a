package engine_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/engine"
)

// countingCodec counts the bytes that are looked at.
type countingCodec struct {
	codec.Codec
	looked *atomic.Int64
}

func (c countingCodec) Split(s *codec.Scan, buf []byte, bytesMax int) ([]byte, int, error) {
	if c.Codec != (codec.Binary{}) { // that looks at the header only
		c.looked.Add(int64(len(buf) - s.Offset))
	}
	return c.Codec.Split(s, buf, bytesMax)
}

// countingDetector does so while it is detecting, too.
type countingDetector struct {
	codec.Auto
	looked *atomic.Int64
}

func (c countingDetector) Detect(s *codec.Scan, buf []byte, bytesMax int) (codec.Codec, error) {
	c.looked.Add(int64(len(buf) - s.Offset))
	found, err := c.Auto.Detect(s, buf, bytesMax)
	if found != nil {
		found = countingCodec{found, c.looked}
	}
	return found, err
}

// A frame of 1 MiB that comes in segments of one byte costs work in proportion to its length.
func TestTinySegments(t *testing.T) {
	for _, c := range spoken {
		for _, detected := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", c.Name(), detected), func(t *testing.T) {
				sizes := []int{16 << 10, 64 << 10}
				if c == (codec.JSON{}) && detected && !raceEnabled && !testing.Short() {
					sizes = []int{256 << 10, 1<<20 - 100}
				}
				looked := new(atomic.Int64)
				var served codec.Codec = countingCodec{c, looked}
				if detected {
					served = countingDetector{codec.Auto{}, looked}
				}
				s := start(t, setup{engine: engine.Config{Addrs: []string{unixAddr(t)}, Codec: served}})
				for _, size := range sizes {
					looked.Store(0)
					cl := dial(t, s.addr(), c)
					frame := frameOf(t, c, request("size", 1, `"`+strings.Repeat("x", size)+`"`))
					for i := range frame {
						if _, err := cl.Write(frame[i : i+1]); err != nil {
							t.Fatal(err)
						}
					}
					cl.next().is(t, codec.Reply, fmt.Sprintf(`{"bytes":%d}`, size))
					cl.Close()
					// Twice, when the codec is detected first, and a few bytes again at each of up to len(frame) looks.
					if n := looked.Load(); n > int64(12*len(frame)) {
						t.Errorf("%d bytes were looked at for a frame of %d", n, len(frame))
					}
				}
			})
		}
	}
}

// Random bytes in the place of each byte of a good stream: whatever comes of it, good clients are served.
func TestFlippedBytes(t *testing.T) {
	rnd := random(t)
	s := start(t, setup{engine: engine.Config{FrameTimeout: 50 * time.Millisecond}})
	rounds := 200
	if raceEnabled {
		rounds = 30
	}
	for range rounds {
		cdc := spoken[rnd.IntN(len(spoken))]
		var text []byte
		for i := range 5 {
			text = append(text, frameOf(t, cdc, request("echo", uint64(i), padded(20+rnd.IntN(100))))...)
		}
		for range 1 + rnd.IntN(3) {
			text[rnd.IntN(len(text))] = byte(rnd.Uint32())
		}
		c := dial(t, s.addr(), cdc)
		if _, err := c.Write(text); err != nil && !isReset(err) {
			t.Fatal(err)
		}
		c.Close()
	}
	s.serves()
	s.idle(0)
}
