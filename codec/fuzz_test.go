package codec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kassa-go/kassa/codec"
)

// fuzzStreams are where the fuzzers that take a stream begin.
var fuzzStreams = []string{
	"{\"type\":\"a\",\"queryIndex\":0}\n\r\n{\"type\":\"b\",\"queryIndex\":1,\"payload\":\"\\\"\"}\r\n",
	"{\"type\":\"a\",\"queryIndex\":0}🦀🦀\n{\"type\":\"🦀\",\"queryIndex\":1}🦀",
	"{\"type\":\"a}🦀{\"type\":\"b\",\"queryIndex\":1}🦀{\"type\":\"\\🦀 { \"x",
	"{\n \"type\": \"a\",\n \"payload\": [{\"b\": {}}, {\"c\": \"}\"}]\n} \t🦀null🦀",
	"{\"type\":\"a\n{\"type\":\"b\",\"queryIndex\":1}\n",
	"{\"type\":\"a\",\"queryIndex\":7,\"resultJob\":{\"err\":\"x\",\"code\":\"queue_full\",\"detail\":[1]}}🦀",
	"{\"type\":\"errMsgFromClient\",\"queryIndex\":-1.5e3,\"resultJob\":{\"msg\":\"x\",\"err\":\"y\"}}🦀",
	"{\"err\":\"x\",\"code\":\"bad_frame\",\"retryAfterMs\":1}\n{\"type\":\"a\",\"event\":{}}\n",
	"{\"type\":\"a\",\"queryIndex\":1,\"payload\":1,\"deadlineMs\":5,\"key\":\"k\",\"oneWay\":true,\"minRev\":2}\n",
	"GET / HTTP/1.1\r\n\r\n",
}

func addStreams(f *testing.F, add func(stream []byte)) {
	for _, s := range fuzzStreams {
		add([]byte(s))
	}
	var all []byte
	for _, test := range binaryFrames {
		frame := unhex(f, test.bytes)
		add(frame)
		all = append(all, frame...)
	}
	add(all)
}

// However a stream is cut, its frames are the same.
func FuzzChunking(f *testing.F) {
	addStreams(f, func(in []byte) { f.Add(in, []byte{3, 1, 7}, uint8(40)) })
	f.Fuzz(func(t *testing.T, in, cuts []byte, bytesMax uint8) {
		for _, c := range append(wires, codec.Auto{}) {
			whole := &stream{codec: c, bytesMax: int(bytesMax)}
			whole.receive(string(in))

			for _, sizes := range [][]byte{{1}, cuts} {
				cut := &stream{codec: c, bytesMax: int(bytesMax)}
				rest := in
				for i := 0; len(rest) > 0; i++ {
					n := len(rest)
					if i < len(sizes) || len(sizes) == 1 {
						n = min(n, int(sizes[i%len(sizes)])+1)
					}
					cut.receive(string(rest[:n]))
					rest = rest[n:]
				}
				if !slices.Equal(cut.frames, whole.frames) || !sameError(cut.err, whole.err) || cut.codec != whole.codec {
					t.Errorf("%s, limit %d, %q\nat once: %v %q %v\n in cuts of %d: %v %q %v", c.Name(), bytesMax, in,
						whole.codec, whole.frames, whole.err, sizes, cut.codec, cut.frames, cut.err)
				}
				if cut.err == nil && !bytes.Equal(cut.unread, whole.unread) {
					t.Errorf("%s, limit %d, %q\nat once %q stays unread, in cuts of %d %q", c.Name(), bytesMax, in,
						whole.unread, sizes, cut.unread)
				}
			}
		}
	})
}

func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Error() == b.Error()
}

// What is appended, split and decoded is what it was before.
func FuzzRoundTrip(f *testing.F) {
	for kind := range uint8(4) {
		f.Add(kind, "cntResponse", uint64(7), "k", `{"n": [1, "🦀\n"]}`, "queue is \"full\"", uint32(50), uint8(codec.QueueFull), uint8(0))
		f.Add(kind, "а\x00\U0001F980", uint64(1)<<63, "", "\xff\x00", "", uint32(0), uint8(codec.BadFrame), uint8(255))
		f.Add(kind, "a", uint64(0), "", "", "", uint32(0), uint8(codec.UnknownType), uint8(1))
	}
	f.Fuzz(func(t *testing.T, kind uint8, name string, n uint64, key, payload, message string, ms uint32, code, flags uint8) {
		if name == "" || len(name) > codec.TypeBytesMax || !utf8.ValidString(name) || name == "errMsgFromClient" ||
			len(key) > codec.KeyBytesMax || !utf8.ValidString(key) || !utf8.ValidString(message) {
			t.Skip()
		}
		in := codec.Frame{Kind: codec.Kind(kind % 4), Type: []byte(name), Payload: []byte(payload), Index: n}
		in.HasIndex = in.Kind != codec.Push
		in.Opaque = !utf8.ValidString(payload) || !json.Valid([]byte(payload)) || deepest(payload) > 1000
		switch in.Kind {
		case codec.Request:
			in.Key, in.DeadlineMs, in.MinRev = []byte(key), ms, n/2
			in.OneWay, in.HasIndex = flags&1 != 0, flags&3 != 3
		case codec.Reply:
			in.Rev = n / 3
		case codec.Failure:
			codes := codec.Codes()
			in.Err = codec.Error{Code: codes[int(code)%len(codes)], Message: message, RetryAfterMs: ms}
			if !in.Opaque {
				in.Err.Detail = in.Payload
			}
			in.Payload, in.Opaque = nil, false
		}
		for _, c := range wires {
			want := in
			if c.Name() != "binary" && in.Opaque { // base64 comes back as what it is then, a JSON string
				want.Payload, _ = json.Marshal(in.Payload)
				if len(in.Payload) == 0 {
					want.Payload = []byte(`""`)
				}
				want.Opaque = false
			}
			if c.Name() == "crab" {
				want = overCrab(want)
			}
			out, encoded := roundTrip(t, c, want)
			want, got := normal(want), normal(*out)
			if want.Kind == codec.Request && len(want.Payload) == 0 && want.Opaque {
				want.Payload = got.Payload // none
			}
			if text(&got) != text(&want) {
				t.Errorf("%s: %q\n got %s\nwant %s", c.Name(), encoded, text(&got), text(&want))
			}
		}
	})
}

// overCrab returns a frame like f that Crab carries without loss.
func overCrab(f codec.Frame) codec.Frame {
	switch f.Kind {
	case codec.Reply:
		f.Rev = 0
		f.Payload = slices.Concat([]byte(`{"x":`), normalOrNull(f.Payload), []byte("}"))
	case codec.Failure:
		switch f.Err.Code {
		case codec.BadFrame:
			f.Type, f.HasIndex = nil, f.Index != 0
			f.Err.RetryAfterMs, f.Err.Detail = 0, nil
		case codec.UnknownType:
			f.Err.Message = "Не найден обработчик для запроса " + string(f.Type)
		}
	}
	return f
}

func normalOrNull(v []byte) []byte {
	if v = normalJSON(v); v == nil {
		return []byte("null")
	}
	return v
}

// roundTrip appends f, cuts it from the stream and decodes it.
func roundTrip(t *testing.T, c codec.Codec, f codec.Frame) (*codec.Frame, string) {
	t.Helper()
	encoded := appended(t, c, f)
	s := receiveAll(c, encoded)
	if s.err != nil || len(s.frames) != 1 || len(s.unread) != 0 {
		t.Fatalf("%s: %q: frames %q, rest %q, error %v", c.Name(), encoded, s.frames, s.unread, s.err)
	}
	decode := c.DecodeReply
	if f.Kind == codec.Request {
		decode = c.DecodeRequest
	}
	out := used()
	if err := decode([]byte(s.frames[0]), out); err != nil {
		t.Fatalf("%s: %q: %v", c.Name(), encoded, err)
	}
	return out, encoded
}

// deepest returns an upper bound of how deep the JSON value nests.
func deepest(v string) int { return strings.Count(v, "[") + strings.Count(v, "{") }

// Whatever comes in, no method panics, errors are what Codec says, and what passes for JSON is JSON by encoding/json.
func FuzzArbitrary(f *testing.F) {
	addStreams(f, func(in []byte) { f.Add(in) })
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, c := range append(wires, codec.Auto{}) {
			s := &stream{codec: c, bytesMax: 1000}
			s.receive(string(in))
			wantCodecError(t, s.err)

			for _, decode := range []func([]byte, *codec.Frame) error{c.DecodeRequest, c.DecodeReply} {
				frame := bytes.Clone(in)
				out := used()
				err := decode(frame, out)
				wantCodecError(t, err)
				if !bytes.Equal(frame, in) {
					t.Errorf("%s: decoding %q made it %q", c.Name(), in, frame)
				}
				if err != nil {
					continue
				}
				if c.Name() != "binary" && !(json.Valid(in) && utf8.Valid(in)) {
					t.Errorf("%s: %q was taken for JSON", c.Name(), in)
				}
				if !out.Opaque && out.Payload != nil && !(json.Valid(out.Payload) && utf8.Valid(out.Payload)) {
					t.Errorf("%s: payload %q of %q was taken for JSON", c.Name(), out.Payload, in)
				}
				for _, to := range wires {
					if _, err := to.Append(nil, out); err != nil {
						wantCodecError(t, err)
					}
				}
			}
			for kind := range uint8(6) {
				_, err := c.Append(nil, &codec.Frame{Kind: codec.Kind(kind), Type: in, Payload: in, Key: in,
					Err: codec.Error{Code: codec.Code(kind), Message: string(in), Detail: in}})
				wantCodecError(t, err)
			}
		}
		// The other way round: a valid object is never called invalid.
		if json.Valid(in) && utf8.Valid(in) && deepest(string(in)) < 1000 && strings.HasPrefix(string(in), "{") {
			err := codec.JSON{}.DecodeRequest(in, new(codec.Frame))
			if err != nil && strings.Contains(err.Error(), "not a JSON object") {
				t.Errorf("%q: %v", in, err)
			}
		}
	})
}

func wantCodecError(t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[*codec.Error](err); err != nil && (!ok || e.Code == codec.OK || !utf8.ValidString(e.Message)) {
		t.Errorf("error %#v", err)
	}
}
