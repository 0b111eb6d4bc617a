package codec_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
)

// unhex returns the bytes that text, hex digits in groups, stands for.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// binaryFrames are the layout, by example.
var binaryFrames = []struct{ name, bytes, want string }{
	{"request", "b5 10 01 04 00000007 0000000000000007 0000 00 00 6563686f 7b226e223a317d",
		`request type echo index 7 payload {"n":1}`},
	{"request of a type by ID", "b5 10 00 00 00000002 0000000000000007 0102 00 00 ff00",
		"request typeID 258 index 7 payload \xff\x00 opaque"},
	{"request with all there is", "b5 10 2f 01 00000002 ffffffffffffffff 0000 00 00 61 000001f4 02 6b31 0000000000000009 5b5d",
		"request type a index 18446744073709551615 payload [] deadline 500 key k1 one-way minRev 9"},
	{"one-way request without an index", "b5 10 13 01 00000000 0000000000000000 0000 00 00 61", "request type a one-way"},
	{"reply", "b5 11 21 00 00000001 0000000000000007 0102 00 00 0000000000000009 31", "reply typeID 258 index 7 payload 1 rev 9"},
	{"failure", "b5 12 01 01 0000000e 0000000000000007 0000 08 00 61 7b22657272223a2266756c6c227d",
		"failure type a index 7 error queue_full: full"},
	{"push", "b5 13 11 01 00000001 0000000000000000 0000 00 00 61 31", "push type a payload 1"},
}

func decodeAny(frame []byte, f *codec.Frame) error {
	if err := (codec.Binary{}).DecodeRequest(frame, f); err == nil {
		return nil
	}
	return codec.Binary{}.DecodeReply(frame, f)
}

func TestBinaryDecode(t *testing.T) {
	for _, test := range binaryFrames {
		f := used()
		if err := decodeAny(unhex(t, test.bytes), f); err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if got := text(f); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestBinaryAppend(t *testing.T) {
	for _, test := range binaryFrames {
		want := unhex(t, test.bytes)
		var f codec.Frame
		if err := decodeAny(want, &f); err != nil {
			t.Fatal(err)
		}
		if got := appended(t, codec.Binary{}, f); got != string(want) {
			t.Errorf("%s:\n got %x\nwant %x", test.name, got, want)
		}
	}
	for what, f := range map[string]codec.Frame{
		"type": {Type: make([]byte, 129)}, "key": {Key: make([]byte, 129)},
	} {
		dst, err := codec.Binary{}.Append([]byte("before"), &f)
		wantError(t, what, err, codec.BadFrame, "not 129")
		if string(dst) != "before" {
			t.Errorf("an error left dst as %q", dst)
		}
	}
}

func TestBinarySplit(t *testing.T) {
	var frames []string
	for _, test := range binaryFrames {
		frames = append(frames, string(unhex(t, test.bytes)))
	}
	all := strings.Join(frames, "")
	testSplit(t, codec.Binary{}, []splitTest{
		{name: "all kinds", in: all, frames: frames},
		{name: "unfinished", in: all + all[:23], frames: frames, rest: all[:23]},
		{name: "unfinished header", in: all[:19], rest: all[:19]},
	})
	testBytesMax(t, codec.Binary{}, func(size int) string {
		frame := unhex(t, "b5 10 01 01 00000000 0000000000000007 0000 00 00 61")
		frame[7] = byte(size - len(frame))
		return string(slices.Grow(frame, size)[:size])
	}, "")
}

// A header that can not be true ends the connection, at its first byte that shows it.
func TestBinaryRefusesStream(t *testing.T) {
	for _, test := range []struct {
		bytes   string
		code    codec.Code
		message string
	}{
		{"7b", codec.BadFrame, "begins with the byte 0xB5, not 0x7b"},
		{"b5 00", codec.UnsupportedVersion, "version 0"},
		{"b5 20", codec.UnsupportedVersion, "version 2"},
		{"b5 10 01 01 ffffffff 0000000000000007 0000 00 00", codec.FrameTooLarge, "1048576 bytes"},
		{"b5 10 09 01 000fffeb 0000000000000007 0000 00 00", codec.FrameTooLarge, "1048576 bytes"},
		{"b5 10 09 01 000fffea 0000000000000007 0000 00 00 61 01", codec.FrameTooLarge, "1048576 bytes"},
	} {
		in := string(unhex(t, test.bytes))
		for last := range len(in) {
			s := receiveAll(codec.Binary{}, in[:last])
			if s.err != nil || s.frames != nil {
				t.Errorf("%s: after %d bytes: frames %q, error %v", test.bytes, last, s.frames, s.err)
			}
		}
		wantError(t, test.bytes, receiveAll(codec.Binary{}, in).err, test.code, test.message)
	}
}

// What is wrong within a frame costs that frame only: its index is known, and so is where the next one begins.
func TestBinaryRefusesFrame(t *testing.T) {
	long := strings.Repeat("61", 129)
	for _, test := range []struct{ name, bytes, message string }{
		{"unknown kind", "b5 14 01 01 00000000 0000000000000007 0000 00 00 61", "kind 4 is unknown"},
		{"unknown flag", "b5 10 41 01 00000000 0000000000000007 0000 00 00 61", "flags 0x41 do not go with kind 0"},
		{"flag of requests in a reply", "b5 11 03 01 00000000 0000000000000007 0000 00 00 61", "flags 0x3 do not go with kind 1"},
		{"name too long", "b5 10 01 81 00000000 0000000000000007 0000 00 00" + long, "up to 128 bytes, not 129"},
		{"key too long", "b5 10 09 00 00000000 0000000000000007 0000 00 00 81" + long, "up to 128 bytes, not 129"},
		{"reserved byte", "b5 10 01 01 00000000 0000000000000007 0000 00 01 61", "reserved"},
		{"status of a request", "b5 10 01 01 00000000 0000000000000007 0000 01 00 61", "only failures have a status"},
		{"payload is not JSON", "b5 10 01 01 00000001 0000000000000007 0000 00 00 61 7b", "payload is flagged as JSON, but is not: "},
		{"payload is two values", "b5 10 01 01 00000003 0000000000000007 0000 00 00 61 312c32", "payload is flagged as JSON"},
		{"payload is bad UTF-8", "b5 10 01 01 00000003 0000000000000007 0000 00 00 61 22ff22", "not valid UTF-8"},
		{"failure without JSON", "b5 12 00 01 00000001 0000000000000007 0000 01 00 61 ff", "must be a JSON object"},
		{"failure not flagged as JSON", "b5 12 00 01 00000002 0000000000000007 0000 01 00 61 7b7d", "must be a JSON object"},
		{"failure without an object", "b5 12 01 01 00000001 0000000000000007 0000 01 00 61 31", "must be a JSON object"},
		{"failure with err a number", "b5 12 01 01 00000009 0000000000000007 0000 01 00 61 7b22657272223a317d", "err must be a string"},
	} {
		frame := unhex(t, test.bytes)
		s := receiveAll(codec.Binary{}, string(frame))
		if s.err != nil || len(s.frames) != 1 || len(s.unread) != 0 {
			t.Errorf("%s: frames %q, error %v", test.name, s.frames, s.err)
		}
		f := used()
		wantError(t, test.name, decodeAny(frame, f), codec.BadFrame, test.message)
		if !f.HasIndex || f.Index != 7 {
			t.Errorf("%s: index %d, %v", test.name, f.Index, f.HasIndex)
		}
	}
	request, reply := unhex(t, binaryFrames[0].bytes), unhex(t, binaryFrames[4].bytes)
	wantError(t, "a reply as a request", codec.Binary{}.DecodeRequest(reply, used()), codec.BadFrame, "not a request")
	wantError(t, "a request as a reply", codec.Binary{}.DecodeReply(request, used()), codec.BadFrame, "not a reply")
	for size := range request {
		wantError(t, "a part of a request", codec.Binary{}.DecodeRequest(request[:size], used()), codec.BadFrame, "")
	}
	wantError(t, "more than a request", codec.Binary{}.DecodeRequest(append(request, 0), used()), codec.BadFrame, "do not add up")
	noIndex := unhex(t, "b5 10 11 01 00000000 0000000000000000 0000 00 00 61")
	wantError(t, "no index", codec.Binary{}.DecodeRequest(noIndex, used()), codec.BadFrame, "queryIndex is missing")
}

// Answers are made by changing the Frame of the request.
func TestBinaryAppendLeavesOutWhatTheKindHasNot(t *testing.T) {
	for _, kind := range []codec.Kind{codec.Reply, codec.Failure, codec.Push} {
		in := used()
		in.Kind = kind
		var out codec.Frame
		if err := (codec.Binary{}).DecodeReply([]byte(appended(t, codec.Binary{}, *in)), &out); err != nil {
			t.Errorf("kind %d: %v", kind, err)
		} else if out.OneWay || out.Key != nil || out.DeadlineMs != 0 || out.MinRev != 0 {
			t.Errorf("kind %d: %s", kind, text(&out))
		}
	}
}

func TestBinaryFailureOfUnknownCode(t *testing.T) {
	for _, status := range []string{"00", "ff"} {
		var f codec.Frame
		frame := unhex(t, "b5 12 11 00 00000000 0000000000000000 0000 "+status+" 00")
		if err := (codec.Binary{}).DecodeReply(frame, &f); err != nil || f.Err.Code != codec.Internal || f.HasIndex {
			t.Errorf("status %s: %v, %s", status, err, text(&f))
		}
	}
}
