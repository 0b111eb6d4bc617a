package main

import (
	"bytes"
	"testing"
)

func TestDecode(t *testing.T) {
	for line, want := range map[string]string{
		`{"type":"t3","queryIndex":10000000,"payload":{"n":1234567}}`:         `{"type":"t3","queryIndex":10000000,"resultJob":{"n":1234567}}`,
		"{\"type\":\"t0\",\"queryIndex\":7,\"payload\":[1, \"\\u00e9\"]}\r\n": `{"type":"t0","queryIndex":7,"resultJob":[1, "\u00e9"]}`,
		` {"payload":"x","queryIndex":18446744073709551615,"type":"t1"}`:      `{"type":"t1","queryIndex":18446744073709551615,"resultJob":"x"}`,
		`{"type":"t2"}`: `{"type":"t2","queryIndex":0,"resultJob":null}`,
	} {
		r, err := decode([]byte(line))
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		if got := appendReply(nil, r); string(got) != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
	for _, line := range []string{
		``, `{`, `[]`, `{"type":"t4","queryIndex":1}`, `{"type":"","queryIndex":1}`, `{"queryIndex":1}`, `{"type":"t0","queryIndex":-1}`,
		`{"type":"t0","queryIndex":1,"payload":}`, `{"type":"t0","queryIndex":1}{}`, `{"type":0,"queryIndex":1}`,
	} {
		if r, err := decode([]byte(line)); err == nil {
			t.Errorf("%q: taken as %+v", line, r)
		}
	}
}

// A request does not change when others are decoded after it.
func TestDecodeKeeps(t *testing.T) {
	one := []byte(`{"type":"t1","queryIndex":1,"payload":"one"}`)
	r, err := decode(one)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := decode([]byte(`{"type":"t2","queryIndex":2,"payload":"two"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(r.payload, []byte(`"one"`)) || r.typ != 1 || r.index != 1 {
		t.Errorf("%+v", r)
	}
}
