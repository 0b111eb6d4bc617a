package codec_test

import (
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
)

func TestCrabSplit(t *testing.T) {
	const first, second = `{"type":"a","queryIndex":0}`, `{"type":"b","queryIndex":1}`
	testSplit(t, codec.Crab{}, []splitTest{
		{name: "two objects", in: first + "🦀" + second + "🦀", frames: []string{first, second}},
		{name: "white space around", in: " \n" + first + "\r\n🦀\t" + second + " 🦀 \n", frames: []string{first, second}},
		{name: "empty frames", in: "🦀🦀 🦀" + first + "🦀\n🦀", frames: []string{first}},
		{name: "pretty", in: "{\n  \"type\": \"a\"\n}🦀", frames: []string{"{\n  \"type\": \"a\"\n}"}},
		{name: "unfinished", in: first + "🦀{\"type\"", frames: []string{first}, rest: `{"type"`},
		{name: "half a crab", in: first + "\xf0\x9f\xa6", rest: first + "\xf0\x9f\xa6"},
		{name: "another character of that beginning", in: `{"type":"😀",😀}🦀`, frames: []string{`{"type":"😀",😀}`}},
		{name: "no JSON", in: "hello🦀null🦀", frames: []string{"hello", "null"}},

		{name: "a crab in a string", in: `{"type":"🦀"}🦀{"a🦀b":"🦀🦀"}🦀`, frames: []string{`{"type":"🦀"}`, `{"a🦀b":"🦀🦀"}`}},
		{name: "a crab behind escapes", in: `{"a":"\\\"🦀\\"}🦀`, frames: []string{`{"a":"\\\"🦀\\"}`}},
		{name: "a crab and the beginning of an object in a string",
			in:     `{"a":"🦀{"}🦀{"a":"🦀 { ","b":["🦀{"],"🦀{":"🦀{"}🦀`,
			frames: []string{`{"a":"🦀{"}`, `{"a":"🦀 { ","b":["🦀{"],"🦀{":"🦀{"}`}},
		{name: "a crab and a brace at the end of a string", in: `{"a":"🦀{" ,"b":1}🦀`, frames: []string{`{"a":"🦀{" ,"b":1}`}},
		{name: "a crab and blanks in a string", in: `{"a":"🦀` + strings.Repeat(" ", 100) + `{"}🦀`,
			frames: []string{`{"a":"🦀` + strings.Repeat(" ", 100) + `{"}`}},

		{name: "a quote too few", in: `{"type":"a}🦀` + second + "🦀", frames: []string{`{"type":"a}`, second}},
		{name: "a quote too few, pretty", in: "{\"type\":\"a}\n🦀\n{\n  \"b\" : 1}🦀", frames: []string{`{"type":"a}`, "{\n  \"b\" : 1}"}},
		{name: "a quote too few, then nothing", in: `{"type":"a🦀`, rest: `{"type":"a🦀`},
		{name: "a backslash too many", in: `{"type":"a\"}🦀` + second + "🦀", frames: []string{`{"type":"a\"}`, second}},
		{name: "a backslash before the crab", in: `{"type":"a\🦀` + second + "🦀", frames: []string{`{"type":"a\`, second}},
	})
	testBytesMax(t, codec.Crab{}, func(size int) string { return strings.Repeat("x", size) }, "🦀")
	testBytesMax(t, codec.Crab{}, func(size int) string { return `"` + strings.Repeat("x", size-2) + `"` }, "🦀")
}

func TestCrabSplitIsLinear(t *testing.T) {
	for name, in := range map[string]string{
		"text":                    `{"a":"` + strings.Repeat("x", 10_000),
		"escapes":                 `{"a":"` + strings.Repeat(`\`, 10_000),
		"crabs in a string":       `{"a":"` + strings.Repeat("🦀", 2_500),
		"a crab before blanks":    `{"a":"🦀` + strings.Repeat(" ", 10_000),
		"crabs before an object":  `{"a":"` + strings.Repeat(`🦀 {`, 2_500),
		"blanks behind an object": `{"a":1}` + strings.Repeat("\n", 10_000),
		"no string":               strings.Repeat("{[\\\n", 2_500),
	} {
		testLinear(t, name, in, func(s *codec.Scan, buf []byte) error {
			_, _, err := codec.Crab{}.Split(s, buf, codec.FrameBytesMaxDefault)
			return err
		})
	}
}

func TestCrabDecodeRequest(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{`{"type":"a","queryIndex":7,"payload":{"n":1}}`, `request type a index 7 payload {"n":1}`},
		{`{"type":"a","queryIndex":0}`, `request type a index 0`},
		{`{"type":"a","queryIndex":0,"payload":0}`, `request type a index 0 payload 0`},
		{`{"type":"a","queryIndex":0,"payload":null}`, `request type a index 0`},
		{`{"type":"","queryIndex":1}`, `request index 1`},
		{`{"type":"` + strings.Repeat("x", 300) + `","queryIndex":1}`, "request type " + strings.Repeat("x", 300) + " index 1"},
		{`{"type":"a","queryIndex":-1}`, `request type a index 0 as sent -1`},
		{`{"type":"a","queryIndex":1.50}`, `request type a index 0 as sent 1.50`},
		{`{"type":"a","queryIndex":1e3}`, `request type a index 0 as sent 1e3`},
		{`{"type":"a","queryIndex":18446744073709551615}`, `request type a index 18446744073709551615`},
		{`{"type":"a","queryIndex":18446744073709551616}`, `request type a index 0 as sent 18446744073709551616`},
		{`{"minRev":3,"oneWay":true,"key":"k","deadlineMs":5,"payload":1,"queryIndex":7,"type":"a"}`,
			`request type a index 7 payload 1 deadline 5 key k one-way minRev 3`},
		{`{"type":"a","oneWay":true}`, `request type a one-way`},
		{`{"type":"🦀","queryIndex":1}`, `request type 🦀 index 1`},
	} {
		f := used()
		if err := (codec.Crab{}).DecodeRequest([]byte(test.line), f); err != nil {
			t.Errorf("%s: %v", test.line, err)
		} else if got := text(f); got != test.want {
			t.Errorf("%s: %s, want %s", test.line, got, test.want)
		}
	}
}

// A bad frame goes back to its sender, with the index as it was sent.
func TestCrabBadFrame(t *testing.T) {
	for _, test := range []struct{ name, frame, index, echo string }{
		{"no type", `{ "queryIndex" : 7 , "payload": [1, 2] }`, "7", `{"queryIndex":7,"payload":[1,2]}`},
		{"no index", `{"type":"a"}`, "0", `{"type":"a"}`},
		{"unknown name behind", `{"queryIndex":7,"type":"a","x":"🦀"}`, "7", `{"queryIndex":7,"type":"a","x":"🦀"}`},
		{"unknown name before", `{"x":{"y":1},"queryIndex":1.50,"type":"a"}`, "1.50", `{"x":{"y":1},"queryIndex":1.50,"type":"a"}`},
		{"known name in capitals", `{"type":"a","queryIndex":7,"Payload":1}`, "7", `{"type":"a","queryIndex":7,"Payload":1}`},
		{"type a number", `{"type":1,"queryIndex":7}`, "7", `{"type":1,"queryIndex":7}`},
		{"type null", `{"type":null,"queryIndex":7}`, "7", `{"type":null,"queryIndex":7}`},
		{"index a string", `{"type":"a","queryIndex":"7"}`, "0", `{"type":"a","queryIndex":"7"}`},
		{"index null", `{"type":"a","queryIndex":null}`, "0", `{"type":"a","queryIndex":null}`},
		{"deadline a string", `{"type":"a","queryIndex":7,"deadlineMs":"1"}`, "7", `{"type":"a","queryIndex":7,"deadlineMs":"1"}`},
		{"null", `null`, "0", `null`},
		{"an array", `[ 1 ]`, "0", `[1]`},
		{"no JSON", `hello "you"`, "0", `hello "you"`},
		{"trailing bytes", `{"type":"a","queryIndex":7} x`, "7", `{"type":"a","queryIndex":7} x`},
		{"two objects", `{"type":"a","queryIndex":7}{"type":"a","queryIndex":8}`, "7",
			`{"type":"a","queryIndex":7}{"type":"a","queryIndex":8}`},
		{"bad UTF-8", "{\"type\":\"\xff\",\"queryIndex\":7}", "7", "{\"type\":\"\uFFFD\",\"queryIndex\":7}"},
		{"a control character", "{\"type\":\"a\x01\",\"queryIndex\":7}", "7", "{\"type\":\"a\x01\",\"queryIndex\":7}"},
		{"long", `{"type":"` + strings.Repeat("ж", 600), "0", `{"type":"` + strings.Repeat("ж", 507) + "…"},
		{"deep", deep(1_000_000), "0", strings.Repeat("[", 1024) + "…"},
	} {
		f := used()
		err := codec.Crab{}.DecodeRequest([]byte(test.frame), f)
		wantError(t, test.name, err, codec.BadFrame, test.echo)
		if err == nil {
			continue
		}
		f.Kind, f.Err = codec.Failure, codec.Error{Code: codec.BadFrame, Message: err.(*codec.Error).Message}
		quoted := strings.NewReplacer(`"`, `\"`, "🦀", `\ud83e\udd80`, "\x01", `\u0001`).Replace(test.echo)
		want := `{"type":"errMsgFromClient","queryIndex":` + test.index +
			`,"resultJob":{"msg":"ошибка в сообщении к серверу","err":"` + quoted + `"}}🦀`
		if got := appended(t, codec.Crab{}, *f); got != want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, want)
		}
	}
}

func TestCrabAppend(t *testing.T) {
	reply := func(payload string) codec.Frame {
		return codec.Frame{Kind: codec.Reply, Type: []byte("a"), Index: 7, HasIndex: true, Payload: []byte(payload), Rev: 9}
	}
	failure := func(f codec.Frame, c codec.Code) codec.Frame {
		f.Kind, f.Err = codec.Failure, codec.Error{Code: c, Message: "so it is", RetryAfterMs: 50, Detail: []byte(`{"n":1}`)}
		return f
	}
	const orphan = `{"type":"errMsgFromClient","queryIndex":`
	for _, test := range []struct {
		name string
		f    codec.Frame
		want string
	}{
		{"object", reply(`{"cnt": 42}`), `{"type":"a","queryIndex":7,"resultJob":{"cnt": 42}}`},
		{"nothing", reply(``), `{"type":"a","queryIndex":7,"resultJob":{}}`},
		{"null", reply(`null`), `{"type":"a","queryIndex":7,"resultJob":{}}`},
		{"null in a field", reply(`{"a":null}`), `{"type":"a","queryIndex":7,"resultJob":{"a":null}}`},
		{"a number", reply(`42`), `{"type":"a","queryIndex":7,"resultJob":{"result":42}}`},
		{"a string", reply(`"{"`), `{"type":"a","queryIndex":7,"resultJob":{"result":"{"}}`},
		{"a list", reply(`[{"type":1}]`), `{"type":"a","queryIndex":7,"resultJob":{"result":[{"type":1}]}}`},
		{"opaque", codec.Frame{Kind: codec.Reply, Type: []byte("a"), HasIndex: true, Payload: []byte("null"), Opaque: true},
			`{"type":"a","queryIndex":0,"resultJob":{"result":"bnVsbA=="}}`},
		{"only type", reply(`{"type":"b"}`), `{"type":"a","queryIndex":7,"resultJob":{}}`},
		{"type among others", reply(`{"z":1.0,"type":{"x":[1]},"\"":{"type":2},"type":3,"a":1e400}`),
			`{"type":"a","queryIndex":7,"resultJob":{"z":1.0,"\"":{"type":2},"a":1e400}}`},
		{"type as a value", reply(`{"a": "type"}`), `{"type":"a","queryIndex":7,"resultJob":{"a":"type"}}`},
		{"type in what is not JSON", reply(`{"type":`), `{"type":"a","queryIndex":7,"resultJob":{"type":}`},
		{"crabs in strings", codec.Frame{Kind: codec.Reply, Type: []byte("🦀"), Index: 7, HasIndex: true, Payload: []byte(`{"🦀":"x🦀🦀"}`)},
			`{"type":"\ud83e\udd80","queryIndex":7,"resultJob":{"\ud83e\udd80":"x\ud83e\udd80\ud83e\udd80"}}`},
		{"index as sent", codec.Frame{Kind: codec.Reply, Type: []byte("a"), RawIndex: []byte("-1.50"), HasIndex: true},
			`{"type":"a","queryIndex":-1.50,"resultJob":{}}`},

		{"failure", failure(reply(""), codec.HandlerFailed),
			`{"type":"a","queryIndex":7,"resultJob":{"err":"so it is","code":"handler_failed","retryAfterMs":50,"detail":{"n":1}}}`},
		{"bad frame", failure(reply(""), codec.BadFrame),
			orphan + `7,"resultJob":{"msg":"ошибка в сообщении к серверу","err":"so it is"}}`},
		{"unknown type", codec.Frame{Kind: codec.Failure, Type: []byte("a"), Index: 7, HasIndex: true, Err: codec.Error{Code: codec.UnknownType, Message: "x"}},
			`{"type":"a","queryIndex":7,"resultJob":{"err":"Не найден обработчик для запроса a","code":"unknown_type"}}`},
		{"unknown type, empty", codec.Frame{Kind: codec.Failure, Index: 7, HasIndex: true, Err: codec.Error{Code: codec.UnknownType}},
			`{"type":"","queryIndex":7,"resultJob":{"err":"Не найден обработчик для запроса ","code":"unknown_type"}}`},
		{"failure of no request", codec.Frame{Kind: codec.Failure, Err: codec.Error{Code: codec.Draining, Message: "bye"}},
			orphan + `0,"resultJob":{"msg":"ошибка в сообщении к серверу","err":"bye","code":"draining"}}`},
		{"failure without an index", codec.Frame{Kind: codec.Failure, Type: []byte("a"), Err: codec.Error{Code: codec.Internal}},
			orphan + `0,"resultJob":{"msg":"ошибка в сообщении к серверу","err":"","code":"internal"}}`},
		{"failure without a type", codec.Frame{Kind: codec.Failure, Index: 7, HasIndex: true, Err: codec.Error{Code: codec.Overloaded}},
			orphan + `7,"resultJob":{"msg":"ошибка в сообщении к серверу","err":"","code":"overloaded"}}`},

		{"push", codec.Frame{Kind: codec.Push, Type: []byte("a"), Payload: []byte(`{"x":"🦀"}`)}, `{"type":"a","event":{"x":"\ud83e\udd80"}}`},
		{"request", codec.Frame{Type: []byte("a"), HasIndex: true, Payload: []byte(`"🦀"`)},
			`{"type":"a","queryIndex":0,"payload":"\ud83e\udd80"}`},
	} {
		if got := appended(t, codec.Crab{}, test.f); got != test.want+"🦀" {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestCrabDecodeReply(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{`{"type":"a","queryIndex":7,"resultJob":{"cnt":42}}`, `reply type a index 7 payload {"cnt":42}`},
		{`{"type":"a","queryIndex":-1,"resultJob":{}}`, `reply type a index 0 as sent -1 payload {}`},
		{`{"type":"a","queryIndex":7,"resultJob":null}`, `reply type a index 7`},
		{`{"type":"a","queryIndex":7,"resultJob":[{"err":"x","code":"internal"}]}`,
			`reply type a index 7 payload [{"err":"x","code":"internal"}]`},
		{`{"type":"a","queryIndex":7,"resultJob":{"err":"x","code":"my own"}}`,
			`reply type a index 7 payload {"err":"x","code":"my own"}`},
		{`{"type":"a","queryIndex":7,"resultJob":{"err":1,"code":"internal"}}`,
			`reply type a index 7 payload {"err":1,"code":"internal"}`},
		{`{"type":"a","queryIndex":7,"resultJob":{"err":"full","code":"queue_full","retryAfterMs":50,"detail":[1]}}`,
			`failure type a index 7 error queue_full: full after 50 detail [1]`},
		{`{"type":"errMsgFromClient","queryIndex":7,"resultJob":{"msg":"ошибка","err":"{}"}}`, `failure index 7 error bad_frame: {}`},
		{`{"type":"errMsgFromClient","queryIndex":0,"resultJob":{"err":"bye","code":"draining"}}`, `failure error draining: bye`},
		{`{"type":"errMsgFromClient","queryIndex":1.5,"resultJob":{}}`, `failure index 0 as sent 1.5 error bad_frame`},
		{`{"type":"lease.lost","event":{"a":1}}`, `push type lease.lost payload {"a":1}`},
	} {
		f := used()
		if err := (codec.Crab{}).DecodeReply([]byte(test.line), f); err != nil {
			t.Errorf("%s: %v", test.line, err)
		} else if got := text(f); got != test.want {
			t.Errorf("%s: %s, want %s", test.line, got, test.want)
		}
	}
	for _, test := range []struct{ line, message string }{
		{`null`, notObject},
		{`{"queryIndex":7,"resultJob":{}}`, "type is missing"},
		{`{"type":"a","resultJob":{}}`, "queryIndex is missing"},
		{`{"type":"a","queryIndex":"7","resultJob":{}}`, "queryIndex must be a number"},
		{`{"type":"a","queryIndex":7,"resultJob":{"err":"","code":"internal","retryAfterMs":"1"}}`, "retryAfterMs must be"},
	} {
		wantError(t, test.line, codec.Crab{}.DecodeReply([]byte(test.line), used()), codec.BadFrame, test.message)
	}
}
