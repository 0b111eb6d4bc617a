package codec

import (
	"reflect"
	"strings"
	"testing"
)

// quickLines are some that quick takes, and some near them that it must not.
var quickLines = []struct {
	line  string
	quick bool
}{
	{`{"type":"t0","queryIndex":10000000,"payload":{"n":1234567}}`, true},
	{`{"type":"t0","queryIndex":0}`, true},
	{`{"queryIndex":18446744073,"payload":null,"type":"t"}`, true},
	{`{"type":"t","payload":[1, 2.5e3, "a", {"b": [true,false,null]}],"deadlineMs":4294967295,"queryIndex":7,"key":"","minRev":9}`, true},
	{`{"type":"t","oneWay":true}`, true},
	{`{"oneWay":true,"type":"t","queryIndex":5}`, true},
	{`{"type":"t","queryIndex":9999999999999999999,"payload":1e99}`, true},
	{`{"type":"t","queryIndex":1,"key":"` + strings.Repeat("k", KeyBytesMax) + `"}`, true},
	{`{"type":"t","queryIndex":1,"key":"` + strings.Repeat("k", KeyBytesMax+1) + `"}`, false},
	{`{"type":"` + strings.Repeat("t", TypeBytesMax) + `","queryIndex":1}`, true},
	{`{"type":"` + strings.Repeat("t", TypeBytesMax+1) + `","queryIndex":1}`, false},
	{`{"type":"t","queryIndex":1,"payload":` + strings.Repeat("[", 4000) + strings.Repeat("]", 4000) + `}`, true},
	{`{"type":"t","queryIndex":1,"payload":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, false},
	{`{"type":"t","queryIndex":1,"queryIndex":2,"payload":1,"payload":null,"type":"u"}`, true},
	{``, false}, {`{`, false}, {`{}`, false}, {`[]`, false}, {`{"`, false}, {`{"type`, false}, {`{"type"`, false}, {`{"type":`, false},
	{`{"type":"t"}`, false},
	{`{"type":"","queryIndex":1}`, false},
	{`{"type":"t","queryIndex":01}`, false},
	{`{"type":"t","queryIndex":1.0}`, false},
	{`{"type":"t","queryIndex":-1}`, false},
	{`{"type":"t","queryIndex":18446744073709551615}`, false},
	{`{"type":"t","queryIndex":null}`, false},
	{`{"type":"t","queryIndex":1,"deadlineMs":4294967296}`, false},
	{`{"type":"t","queryIndex":1,"oneWay":false}`, false},
	{`{"type":"t","queryIndex":1,"oneWay":tru}`, false},
	{`{"type":"t","queryIndex":1,"other":1}`, false},
	{`{"Type":"t","queryIndex":1}`, false},
	{`{"type":"t","queryIndex":1,"payload":}`, false},
	{`{"type":"t","queryIndex":1,"payload":{"a":1}`, false},
	{`{"type":"t","queryIndex":1,"payload":01}`, false},
	{`{"type":"t","queryIndex":1,"payload":{"a":"\ud800"}}`, false},
	{`{"type":"t","queryIndex":1,"payload": 1}`, false},
	{`{"type":"t", "queryIndex":1}`, false},
	{`{"type":"t","queryIndex":1} `, false},
	{`{"type":"t","queryIndex":1}}`, false},
	{`{"type":"t","queryIndex":1,}`, false},
	{`{"type":"t","queryIndex":1,"key":"é"}`, false},
	{"{\"type\":\"t\",\"queryIndex\":1,\"key\":\"\t\"}", false},
}

func TestQuick(t *testing.T) {
	for _, test := range quickLines {
		if got := new(Frame).quick([]byte(test.line)); got != test.quick {
			t.Errorf("%s: taken %t", test.line, got)
		}
		quickIsRight(t, test.line)
	}
}

func FuzzQuick(f *testing.F) {
	for _, test := range quickLines {
		f.Add(test.line)
	}
	f.Fuzz(func(t *testing.T, line string) { quickIsRight(t, line) })
}

// quickIsRight checks that what quick makes of a line is what sonic makes of it, in both JSON codecs.
func quickIsRight(t *testing.T, line string) {
	t.Helper()
	var quick Frame
	if !quick.quick([]byte(line)) {
		return
	}
	for name, decode := range map[string]func([]byte, *Frame) error{"json": decodeJSONRequest, "crab": decodeCrabRequest} {
		var slow Frame
		if err := decode([]byte(line), &slow); err != nil {
			t.Fatalf("%s refuses %s: %v", name, line, err)
		}
		slow.scratch = nil
		if !reflect.DeepEqual(quick, slow) {
			t.Errorf("%s makes %+v of %s, quick %+v", name, slow, line, quick)
		}
	}
}
