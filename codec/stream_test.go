package codec_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
)

// A stream does with a Codec what a connection does: it collects the frames of what arrives.
type stream struct {
	codec    codec.Codec
	bytesMax int

	scan   codec.Scan
	unread []byte
	frames []string
	err    error
}

func (s *stream) receive(segment string) {
	s.unread = append(s.unread, segment...)
	for s.err == nil && len(s.unread) > 0 {
		if d, ok := s.codec.(codec.Detector); ok {
			var c codec.Codec
			if c, s.err = d.Detect(&s.scan, s.unread, s.bytesMax); c == nil {
				return
			}
			s.codec, s.scan = c, codec.Scan{}
		}
		frame, n, err := s.codec.Split(&s.scan, s.unread, s.bytesMax)
		if s.err = err; n == 0 {
			return
		}
		if frame != nil {
			s.frames = append(s.frames, string(frame))
		}
		s.unread, s.scan = s.unread[n:], codec.Scan{}
	}
}

// receiveAll splits text in one go.
func receiveAll(c codec.Codec, text string) *stream {
	s := &stream{codec: c, bytesMax: codec.FrameBytesMaxDefault}
	s.receive(text)
	return s
}

// receiveBytes splits text that arrives byte by byte.
func receiveBytes(c codec.Codec, text string) *stream {
	s := &stream{codec: c, bytesMax: codec.FrameBytesMaxDefault}
	for i := range len(text) {
		s.receive(text[i : i+1])
	}
	return s
}

type splitTest struct {
	name   string
	in     string
	frames []string
	rest   string // what stays unread
}

func testSplit(t *testing.T, c codec.Codec, tests []splitTest) {
	t.Helper()
	for _, test := range tests {
		for how, s := range map[string]*stream{"at once": receiveAll(c, test.in), "by bytes": receiveBytes(c, test.in)} {
			if s.err != nil || !slices.Equal(s.frames, test.frames) || string(s.unread) != test.rest {
				t.Errorf("%s, %s: frames %q, rest %q, error %v; want %q, %q", test.name, how, s.frames, s.unread, s.err,
					test.frames, test.rest)
			}
		}
	}
}

// testBytesMax checks that frames of up to 40 bytes pass and longer ones are refused before they have ended.
func testBytesMax(t *testing.T, c codec.Codec, frame func(size int) string, lineEnd string) {
	t.Helper()
	fits := &stream{codec: c, bytesMax: 40}
	for _, b := range []byte(frame(40) + lineEnd) {
		fits.receive(string([]byte{b}))
	}
	if fits.err != nil || !slices.Equal(fits.frames, []string{frame(40)}) {
		t.Errorf("a frame of the largest size: frames %q, error %v", fits.frames, fits.err)
	}
	for _, end := range []string{"", lineEnd} {
		s := &stream{codec: c, bytesMax: 40}
		s.receive(frame(41) + end)
		if s.frames != nil || !errors.Is(s.err, codec.FrameTooLarge) {
			t.Errorf("a frame over the limit, end %q: frames %q, error %v", end, s.frames, s.err)
		}
	}
}

// testLinear checks that of a frame that trickles in, no part is looked at again and again.
func testLinear(t *testing.T, name string, in string, look func(s *codec.Scan, buf []byte) error) {
	t.Helper()
	var s codec.Scan
	for end := 1; end <= len(in); end++ {
		if err := look(&s, []byte(in[:end])); err != nil {
			t.Fatalf("%s: after %d bytes: %v", name, end, err)
		}
		if again := end - s.Offset; again > 100 {
			t.Fatalf("%s: after %d bytes, the last %d will be looked at again", name, end, again)
		}
	}
}

// wantError checks that err is an *Error of code c whose message holds text.
func wantError(t *testing.T, what string, err error, c codec.Code, text string) {
	t.Helper()
	e, ok := errors.AsType[*codec.Error](err)
	if !ok || e.Code != c || !strings.Contains(e.Message, text) {
		t.Errorf("%s: error %v, want %v with %q", what, err, c, text)
	}
}

func appended(t *testing.T, c codec.Codec, f codec.Frame) string {
	t.Helper()
	b, err := c.Append([]byte("before"), &f)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	after, ok := strings.CutPrefix(string(b), "before")
	if !ok {
		t.Fatalf("Append has changed what stood in dst: %q", b)
	}
	return after
}
