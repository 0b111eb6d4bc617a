package codec_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
)

func TestJSONSplit(t *testing.T) {
	testSplit(t, codec.JSON{}, []splitTest{
		{name: "two lines", in: "{\"a\":1}\n{\"b\":2}\n", frames: []string{`{"a":1}`, `{"b":2}`}},
		{name: "carriage returns", in: "{}\r\n{}\r\n", frames: []string{`{}`, `{}`}},
		{name: "blank lines", in: "\n\r\n \t\n{}\n\n\n{}\n \n", frames: []string{`{}`, `{}`}},
		{name: "unfinished", in: "{}\n{\"a\":", frames: []string{`{}`}, rest: `{"a":`},
		{name: "no JSON", in: "hello\n\x00\xff\n", frames: []string{"hello", "\x00\xff"}},
		{name: "a carriage return within", in: "{\r}\n", frames: []string{"{\r}"}},
	})
	testBytesMax(t, codec.JSON{}, func(size int) string { return strings.Repeat("x", size) }, "\r\n")
}

func TestJSONSplitIsLinear(t *testing.T) {
	testLinear(t, "a long line", "{"+strings.Repeat("x", 10_000), func(s *codec.Scan, buf []byte) error {
		_, _, err := codec.JSON{}.Split(s, buf, codec.FrameBytesMaxDefault)
		return err
	})
}

func TestJSONDecodeRequest(t *testing.T) {
	for _, test := range []struct {
		name, line string
		want       codec.Frame
	}{
		{"all fields", `{"type":"a.b","queryIndex":18446744073709551615,"payload":[1, 2],"deadlineMs":4294967295,` +
			`"key":"k","oneWay":true,"minRev":18446744073709551615}`,
			codec.Frame{Type: []byte("a.b"), Index: 1<<64 - 1, HasIndex: true, Payload: []byte("[1, 2]"),
				DeadlineMs: 1<<32 - 1, Key: []byte("k"), OneWay: true, MinRev: 1<<64 - 1}},
		{"only what is required", ` { "queryIndex" : 0 , "type" : "a" } `,
			codec.Frame{Type: []byte("a"), HasIndex: true}},
		{"null for all that may be", `{"type":"a","queryIndex":1,"payload":null,"deadlineMs":null,"key":null,` +
			`"oneWay":null,"minRev":null}`,
			codec.Frame{Type: []byte("a"), Index: 1, HasIndex: true}},
		{"one-way without an index", `{"type":"a","oneWay":true}`, codec.Frame{Type: []byte("a"), OneWay: true}},
		{"unknown fields", `{"x":{"y":[1]},"type":"a","queryIndex":1,"TYPE":"b","QueryIndex":2}`,
			codec.Frame{Type: []byte("a"), Index: 1, HasIndex: true}},
		{"the last duplicate", `{"type":"a","type":"b","queryIndex":1,"queryIndex":2,"payload":1,"payload":null}`,
			codec.Frame{Type: []byte("b"), Index: 2, HasIndex: true}},
		{"escapes in strings", `{"ty\u0070e":"\u0430\n\"","queryIndex":1,"key":"\\"}`,
			codec.Frame{Type: []byte("а\n\""), Index: 1, HasIndex: true, Key: []byte(`\`)}},
		{"the longest type and key", `{"type":"` + strings.Repeat("t", 128) + `","queryIndex":1,"key":"` +
			strings.Repeat("k", 128) + `"}`,
			codec.Frame{Type: bytes.Repeat([]byte("t"), 128), Index: 1, HasIndex: true, Key: bytes.Repeat([]byte("k"), 128)}},
		{"an empty key is none", `{"type":"a","queryIndex":1,"key":"","deadlineMs":0}`,
			codec.Frame{Type: []byte("a"), Index: 1, HasIndex: true}},
		{"deep, but bearable", `{"type":"a","queryIndex":1,"payload":` + deep(1000) + `}`,
			codec.Frame{Type: []byte("a"), Index: 1, HasIndex: true, Payload: []byte(deep(1000))}},
	} {
		f := used()
		if err := (codec.JSON{}).DecodeRequest([]byte(test.line), f); err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if got := text(f); got != text(&test.want) {
			t.Errorf("%s: %s, want %s", test.name, got, text(&test.want))
		}
	}
}

const (
	wantWhole = "queryIndex must be a whole number from 0 to 18446744073709551615, not "
	notObject = "line is not a JSON object: "
)

func TestJSONRefusesRequest(t *testing.T) {
	for _, test := range []struct{ name, line, message string }{
		{"null", `null`, notObject + "null"},
		{"an array", `[]`, notObject + "[]"},
		{"a number", `1`, notObject + "1"},
		{"a word", `hello`, notObject + "hello"},
		{"nothing", ``, notObject},
		{"a long word", strings.Repeat("x", 1000), notObject + strings.Repeat("x", 100) + "…"},
		{"trailing bytes", `{"type":"a","queryIndex":1} x`, notObject + "invalid char at offset 28"},
		{"a second object", `{"type":"a","queryIndex":1}{}`, notObject},
		{"a NUL at the end", "{\"type\":\"a\",\"queryIndex\":1}\x00", notObject},
		{"unfinished", `{"type":"a","queryIndex":1`, notObject},
		{"a byte order mark", "\uFEFF{\"type\":\"a\",\"queryIndex\":1}", notObject},
		{"bad UTF-8", "{\"type\":\"a\",\"queryIndex\":1,\"payload\":\"\xff\"}", notObject + "not valid UTF-8"},
		{"a surrogate in UTF-8", "{\"type\":\"a\",\"queryIndex\":1,\"payload\":\"\xed\xa0\x80\"}", "not valid UTF-8"},
		{"a trailing comma", `{"type":"a","queryIndex":1,}`, notObject},
		{"a name without quotes", `{type:"a","queryIndex":1}`, notObject},

		{"no type", `{"queryIndex":1}`, "type is missing"},
		{"type null", `{"type":null,"queryIndex":1}`, "type must be a string of 1 to 128 bytes, not null"},
		{"type empty", `{"type":"","queryIndex":1}`, `type must be a string of 1 to 128 bytes, not ""`},
		{"type too long", `{"type":"` + strings.Repeat("x", 129) + `","queryIndex":1}`,
			`type must be a string of 1 to 128 bytes, not "` + strings.Repeat("x", 99) + "…"},
		{"type a number", `{"type":1,"queryIndex":1}`, "type must be a string of 1 to 128 bytes, not 1"},
		{"the last duplicate", `{"type":"a","type":null,"queryIndex":1}`, "type must be"},

		{"no index", `{"type":"a"}`, "queryIndex is missing"},
		{"not one-way", `{"type":"a","oneWay":false}`, "queryIndex is missing"},
		{"index null", `{"type":"a","queryIndex":null}`, wantWhole + "null"},
		{"index null, one-way", `{"type":"a","queryIndex":null,"oneWay":true}`, wantWhole + "null"},
		{"index 1.0", `{"type":"a","queryIndex":1.0}`, wantWhole + "1.0"},
		{"index 1e3", `{"type":"a","queryIndex":1e3}`, wantWhole + "1e3"},
		{"index -1", `{"type":"a","queryIndex":-1}`, wantWhole + "-1"},
		{"index -0", `{"type":"a","queryIndex":-0}`, wantWhole + "-0"},
		{"index 1.5", `{"type":"a","queryIndex":1.5}`, wantWhole + "1.5"},
		{"index 2^64", `{"type":"a","queryIndex":18446744073709551616}`, wantWhole + "18446744073709551616"},
		{"index a string", `{"type":"a","queryIndex":"1"}`, wantWhole + `"1"`},
		{"index 01", `{"type":"a","queryIndex":01}`, notObject},

		{"deadline negative", `{"type":"a","queryIndex":1,"deadlineMs":-1}`,
			"deadlineMs must be a whole number from 0 to 4294967295, not -1"},
		{"deadline 2^32", `{"type":"a","queryIndex":1,"deadlineMs":4294967296}`, "deadlineMs must be a whole number"},
		{"deadline a string", `{"type":"a","queryIndex":1,"deadlineMs":"1"}`, "deadlineMs must be a whole number"},
		{"key a number", `{"type":"a","queryIndex":1,"key":1}`, "key must be a string of up to 128 bytes, not 1"},
		{"key too long", `{"type":"a","queryIndex":1,"key":"` + strings.Repeat("k", 129) + `"}`, "key must be a string"},
		{"oneWay a number", `{"type":"a","queryIndex":1,"oneWay":1}`, "oneWay must be true or false, not 1"},
		{"minRev a fraction", `{"type":"a","queryIndex":1,"minRev":1.5}`,
			"minRev must be a whole number from 0 to 18446744073709551615, not 1.5"},
	} {
		wantError(t, test.name, codec.JSON{}.DecodeRequest([]byte(test.line), used()), codec.BadFrame, test.message)
	}
}

// What no string and no value may hold is refused wherever it stands: in a type, in the raw payload, in a field that is
// ignored, in a name.
func TestJSONRefusesBadValues(t *testing.T) {
	for _, bad := range []string{
		"\"a\nb\"", "\"\x00\"", "\"\x1f\"", "\"\t\"", `"\q"`, `"\u12"`, `"\u12x4"`, `"\U0041"`, `"\`, `"a`, `'a'`,
		`tru`, `nul`, `NaN`, `01`, `1.`, `.5`, `+1`, `1e`, `-`, `0x1`, `[1,]`, `[1 2]`, `[,1]`, `{"a":1,}`, `{a:1}`,
		`{"a"}`, `{"a" 1}`, `[`, `{`, `]`, "[\v1]", "[\u00a01]",
		deep(5_000), deep(1_000_000), strings.Repeat("[", 1_000_000), strings.Repeat(`{"a":`, 200_000),
	} {
		for _, around := range []string{
			`{"type":"a","queryIndex":1,"payload":@}`,
			`{"type":"a","queryIndex":1,"payload":{"b":[1,@]}}`,
			`{"type":"a","queryIndex":1,"ignored":@}`,
			`{"type":"a","queryIndex":1,"ignored":[{"b":@}]}`,
			`{"type":@,"queryIndex":1}`,
			`{"type":"a","queryIndex":1,@:1}`,
			`{"type":"a","queryIndex":1,"payload":{@:1}}`,
		} {
			line := strings.Replace(around, "@", bad, 1)
			err := codec.JSON{}.DecodeRequest([]byte(line), used())
			what := line[:min(len(line), 80)]
			wantError(t, what, err, codec.BadFrame, "")
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("%s: the error has %d bytes", what, len(err.Error()))
			}
		}
	}
}

func TestJSONRefusedRequestKeepsWhatCouldBeRead(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{`{"type":"a","queryIndex":7,"payload":`, "type a index 7"},
		{`{"type":"a","queryIndex":7} x`, "type a index 7"},
		{"{\"type\":\"a\",\"queryIndex\":7,\"payload\":\"\xff\"}", "type a index 7"},
		{`{"queryIndex":7}`, "index 7"},
		{`{"type":"a","queryIndex":-7}`, "type a"},
		{`{"type":"a","queryIndex":7,"key":0,"oneWay":true}`, "type a index 7 one-way"},
		{`{"payload":01,"type":"a","queryIndex":7}`, "type a index 7"},
		{`{"type":"a","queryIndex":07}`, "type a"},
		{`{"type":"a","queryIndex":7`, "type a"},
		{`hello`, ""},
	} {
		f := used()
		err := codec.JSON{}.DecodeRequest([]byte(test.line), f)
		wantError(t, test.line, err, codec.BadFrame, "")
		f.Payload = nil
		if got := text(f); got != strings.TrimSpace("request "+test.want) {
			t.Errorf("%s: %s, want %s", test.line, got, test.want)
		}
	}
}

func TestJSONAppend(t *testing.T) {
	echo := codec.Frame{Type: []byte("echo"), Index: 7, HasIndex: true}
	with := func(kind codec.Kind, change func(f *codec.Frame)) codec.Frame {
		f := echo
		f.Kind = kind
		change(&f)
		return f
	}
	for _, test := range []struct {
		name string
		f    codec.Frame
		want string
	}{
		{"reply", with(codec.Reply, func(f *codec.Frame) { f.Payload = []byte(`{"cnt":42}`) }),
			`{"type":"echo","queryIndex":7,"resultJob":{"cnt":42}}`},
		{"reply of nothing", with(codec.Reply, func(f *codec.Frame) {}),
			`{"type":"echo","queryIndex":7,"resultJob":null}`},
		{"reply with rev", with(codec.Reply, func(f *codec.Frame) { f.Rev = 9 }),
			`{"type":"echo","queryIndex":7,"resultJob":null,"rev":9}`},
		{"opaque reply", with(codec.Reply, func(f *codec.Frame) { f.Opaque, f.Payload = true, []byte{0xFF, 0, 1} }),
			`{"type":"echo","queryIndex":7,"resultJob":"/wAB"}`},
		{"empty opaque reply", with(codec.Reply, func(f *codec.Frame) { f.Opaque = true }),
			`{"type":"echo","queryIndex":7,"resultJob":""}`},
		{"line feeds in the payload", with(codec.Reply, func(f *codec.Frame) { f.Payload = []byte("{\n\t\"a\": [\r\n1]\n}") }),
			"{\"type\":\"echo\",\"queryIndex\":7,\"resultJob\":{ \t\"a\": [\r 1] }}"},
		{"failure", with(codec.Failure, func(f *codec.Frame) {
			f.Err = codec.Error{Code: codec.QueueFull, Message: "queue of echo is full", RetryAfterMs: 50, Detail: []byte("[1,\n2]")}
		}), `{"type":"echo","queryIndex":7,"err":"queue of echo is full","code":"queue_full","retryAfterMs":50,"detail":[1, 2]}`},
		{"failure of no request", codec.Frame{Kind: codec.Failure, Err: codec.Error{Code: codec.BadFrame, Message: "type is missing"}},
			`{"err":"type is missing","code":"bad_frame"}`},
		{"failure without a type", codec.Frame{Kind: codec.Failure, HasIndex: true, Err: codec.Error{Code: codec.Draining}},
			`{"queryIndex":0,"err":"","code":"draining"}`},
		{"push", codec.Frame{Kind: codec.Push, Type: []byte("lease.expiring"), Payload: []byte(`{"lease":1}`)},
			`{"type":"lease.expiring","event":{"lease":1}}`},
		{"request", with(codec.Request, func(f *codec.Frame) {
			f.Payload, f.DeadlineMs, f.Key, f.OneWay, f.MinRev = []byte(`{"n":1}`), 5, []byte("k"), true, 3
		}), `{"type":"echo","queryIndex":7,"payload":{"n":1},"deadlineMs":5,"key":"k","oneWay":true,"minRev":3}`},
		{"request of nothing", echo, `{"type":"echo","queryIndex":7}`},
		{"one-way request", codec.Frame{Type: []byte("echo"), OneWay: true}, `{"type":"echo","oneWay":true}`},
		{"quoting", codec.Frame{Type: []byte("\"\\/\n\r\t\x00\x1f\x7fж🦀\xff\xed\xa0\x80\u2028"), OneWay: true},
			`{"type":"\"\\/\n\r\t\u0000\u001f` + "\x7fж🦀\uFFFD\uFFFD\uFFFD\uFFFD\u2028" + `","oneWay":true}`},
	} {
		if got := appended(t, codec.JSON{}, test.f); got != test.want+"\n" {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestJSONDecodeReply(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{`{"type":"a","queryIndex":7,"resultJob":{"cnt":42},"rev":5}`, `reply type a index 7 payload {"cnt":42} rev 5`},
		{`{"type":"a","queryIndex":7,"resultJob":null}`, `reply type a index 7`},
		{`{"type":"a","queryIndex":7,"err":null,"code":null,"resultJob":1}`, `reply type a index 7 payload 1`},
		{`{"type":"a","queryIndex":7,"err":"full \"up\"","code":"queue_full","retryAfterMs":50,"detail":[1]}`,
			`failure type a index 7 error queue_full: full "up" after 50 detail [1]`},
		{`{"err":"no object","code":"bad_frame"}`, `failure error bad_frame: no object`},
		{`{"err":"new","code":"from_the_future"}`, `failure error internal: new`},
		{`{"err":"no code"}`, `failure error internal: no code`},
		{`{"err":"not a failure","code":"ok"}`, `failure error internal: not a failure`},
		{`{"code":"draining","queryIndex":0}`, `failure index 0 error draining`},
		{`{"type":"lease.lost","event":{"a":1}}`, `push type lease.lost payload {"a":1}`},
		{`{"type":"lease.lost","event":null}`, `push type lease.lost`},
	} {
		f := used()
		if err := (codec.JSON{}).DecodeReply([]byte(test.line), f); err != nil {
			t.Errorf("%s: %v", test.line, err)
		} else if got := text(f); got != test.want {
			t.Errorf("%s: %s, want %s", test.line, got, test.want)
		}
	}
	for _, test := range []struct{ line, message string }{
		{`[]`, notObject},
		{`{"type":"a","resultJob":1}`, "queryIndex is missing"},
		{`{"queryIndex":1,"resultJob":1}`, "type is missing"},
		{`{"event":1}`, "type is missing"},
		{`{"type":"a","queryIndex":1,"rev":"x"}`, "rev must be"},
		{`{"err":1,"code":"internal"}`, "err must be a string, not 1"},
		{`{"err":"","code":"internal","retryAfterMs":-1}`, "retryAfterMs must be"},
		{`{"err":"","code":"internal","queryIndex":-1}`, wantWhole},
	} {
		wantError(t, test.line, codec.JSON{}.DecodeReply([]byte(test.line), used()), codec.BadFrame, test.message)
	}
}

// deep returns n arrays in one another.
func deep(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
