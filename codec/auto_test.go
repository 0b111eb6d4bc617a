package codec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
)

func TestAutoDetect(t *testing.T) {
	const object = `{"type":"a","queryIndex":1}`
	for _, test := range []struct {
		name, in string
		want     string // "" when more is needed
	}{
		{"binary", "\xb5", "binary"},
		{"nothing but white space", " \r\n\t", ""},
		{"a line", object + "\n", "json"},
		{"a line behind blank lines", "\n \r\n" + object + "\n", "json"},
		{"a carriage return", object + "\r", "json"},
		{"an object that may go on", object, ""},
		{"trailing blanks", object + " \t ", ""},
		{"a line with trailing blanks", object + " \t\n", "json"},
		{"trailing bytes", object + "x", "json"},
		{"two objects", object + "{", "json"},
		{"a crab", object + "🦀", "crab"},
		{"a crab behind white space", "\n" + object + " \t🦀", "crab"},
		{"half a crab", object + "\xf0\x9f", ""},
		{"another character of that beginning", object + "\xf0\x9f\x98", "json"},
		{"pretty, crab", "{\n  \"a\": {\n\"b\": [\n{\n}, {\n} ]\n}\n}🦀", "crab"},
		{"pretty, line", "{\n  \"a\": {\n\"b\": [\n{\n} ]\n}\n}\n", "json"},
		{"brackets in strings", `{"a":"}}]]{{[["}🦀`, "crab"},
		{"quotes in strings", `{"a":"\"}\\","b}":"\\\\"}🦀`, "crab"},
		{"crabs in strings", `{"a🦀":"🦀","b":"🦀{"}` + "\n", "json"},

		{"a line cut short", "{\"type\":\"a\n", "json"},
		{"a line cut short, then another", "{\"type\":\"a\",\"payload\":1\n{", "json"},
		{"a line cut short behind a name, then another", "{\"type\"\n{", "json"},
		{"two opening braces", "{\n{", "json"},
		{"a line cut short behind a colon", "{\"type\":\n{\"a\":1}\n", ""},
		{"a crab within", `{"type":"a"🦀`, "crab"},
		{"a quote too few before a crab", `{"type":"a🦀{"t`, "crab"},
		{"a quote too few before what may be a crab", `{"type":"a🦀{`, ""},
	} {
		var s codec.Scan
		for size := range len(test.in) + 1 {
			c, err := codec.Auto{}.Detect(&s, []byte(test.in[:size]), 1000)
			name := ""
			if c != nil {
				name = c.Name()
			}
			if last := size == len(test.in); err != nil || name != "" && !last || last && name != test.want {
				t.Errorf("%s: after %d bytes of %q: codec %q, error %v; want %q", test.name, size, test.in, name, err, test.want)
			}
		}
	}
}

func TestAutoRefuses(t *testing.T) {
	for _, in := range []string{"GET / HTTP/1.1\r\n", "[1]\n", "hello", "\x16\x03\x01", " \xb5", "🦀{}", "\uFEFF{}", "\x00"} {
		s := receiveAll(codec.Auto{}, in)
		wantError(t, in, s.err, codec.BadFrame, "(json)")
	}
	wantError(t, "G", receiveAll(codec.Auto{}, "G").err, codec.BadFrame, "not with 'G'")

	for _, in := range []string{
		`{"a":"` + strings.Repeat("x", 200), strings.Repeat("\n", 200), "{" + strings.Repeat("[", 200), `{}` + strings.Repeat(" ", 200),
		`{"a":"` + strings.Repeat(`\`, 201),
	} {
		s := &stream{codec: codec.Auto{}, bytesMax: 100}
		s.receive(in)
		if !errors.Is(s.err, codec.FrameTooLarge) {
			t.Errorf("%.20s…: %v", in, s.err)
		}
	}
}

func TestAutoTakesTheLargestFrame(t *testing.T) {
	frame := func(size int) string { return `{"a":"` + strings.Repeat("x", size-8) + `"}` }
	for _, end := range []string{"\n", "🦀"} {
		fits := &stream{codec: codec.Auto{}, bytesMax: 100}
		fits.receive(frame(100) + end)
		if fits.err != nil || len(fits.frames) != 1 {
			t.Errorf("end %q: frames %q, error %v", end, fits.frames, fits.err)
		}
		over := &stream{codec: codec.Auto{}, bytesMax: 100}
		over.receive(frame(101) + end)
		wantError(t, "one more byte", over.err, codec.FrameTooLarge, "100 bytes")
	}
}

func TestAutoIsLinear(t *testing.T) {
	for name, in := range map[string]string{
		"white space":          strings.Repeat(" \n", 5_000),
		"text":                 `{"a":"` + strings.Repeat("x", 10_000),
		"escapes":              `{"a":"` + strings.Repeat(`\`, 10_000),
		"a crab before blanks": `{"a":"🦀` + strings.Repeat(" ", 10_000),
		"depth":                `{"a":` + strings.Repeat("[", 10_000),
		"trailing blanks":      `{"a":1}` + strings.Repeat(" ", 10_000),
	} {
		testLinear(t, name, in, func(s *codec.Scan, buf []byte) error {
			c, err := codec.Auto{}.Detect(s, buf, codec.FrameBytesMaxDefault)
			if c != nil {
				t.Errorf("%s: %v", name, c)
			}
			return err
		})
	}
}

func TestAutoFrames(t *testing.T) {
	const a, b = `{"type":"a","queryIndex":1}`, `{"type":"b","queryIndex":2}`
	binary := string(unhex(t, binaryFrames[0].bytes))
	testSplit(t, codec.Auto{}, []splitTest{
		{name: "lines", in: "\n" + a + "\n" + b + "🦀\n", frames: []string{a, b + "🦀"}},
		{name: "crabs", in: " " + a + "🦀" + b + "\n🦀", frames: []string{a, b}},
		{name: "a line end before the crab", in: a + "\n🦀" + b + "\n", frames: []string{a, "🦀" + b}},
		{name: "binary", in: binary + binary, frames: []string{binary, binary}},
		{name: "a broken line first", in: "{\"type\":\"a\n" + b + "\n", frames: []string{`{"type":"a`, b}},
		{name: "a broken object first", in: `{"type":"a}🦀` + b + "🦀", frames: []string{`{"type":"a}`, b}},
	})
}

func TestAutoSpeaksJSON(t *testing.T) {
	f := codec.Frame{Kind: codec.Failure, Err: codec.Error{Code: codec.TooManyConnections, Message: "full"}}
	if got, want := appended(t, codec.Auto{}, f), appended(t, codec.JSON{}, f); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
