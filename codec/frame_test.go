package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
)

// used returns a Frame that has been decoded into before, so that a test sees what is left over.
func used() *codec.Frame {
	f := new(codec.Frame)
	line := `{"type":"left","queryIndex":99,"payload":"over","deadlineMs":1,"key":"k","oneWay":true,"minRev":2}`
	if err := (codec.JSON{}).DecodeRequest([]byte(line), f); err != nil {
		panic(err)
	}
	f.TypeID, f.Opaque, f.Rev, f.RawIndex = 1, true, 1, []byte("1.5")
	f.Err = codec.Error{Code: codec.Internal, Message: "left over", RetryAfterMs: 1, Detail: []byte("1")}
	return f
}

// text writes f so that tests can compare it: what is zero is left out.
func text(f *codec.Frame) string {
	var b strings.Builder
	b.WriteString([...]string{"request", "reply", "failure", "push"}[f.Kind])
	say := func(there bool, format string, value any) {
		if there {
			fmt.Fprintf(&b, " "+format, value)
		}
	}
	say(len(f.Type) > 0, "type %s", f.Type)
	say(f.TypeID != 0, "typeID %d", f.TypeID)
	say(f.HasIndex, "index %d", f.Index)
	say(f.RawIndex != nil, "as sent %s", f.RawIndex)
	say(len(f.Payload) > 0, "payload %s", f.Payload)
	say(f.Opaque, "opaque%s", "")
	say(f.DeadlineMs != 0, "deadline %d", f.DeadlineMs)
	say(len(f.Key) > 0, "key %s", f.Key)
	say(f.OneWay, "one-way%s", "")
	say(f.MinRev != 0, "minRev %d", f.MinRev)
	say(f.Rev != 0, "rev %d", f.Rev)
	say(f.Kind == codec.Failure, "error %s", &f.Err)
	say(f.Err.RetryAfterMs != 0, "after %d", f.Err.RetryAfterMs)
	say(f.Err.Detail != nil, "detail %s", f.Err.Detail)
	return b.String()
}

// normal returns f with its JSON written in one way, so that frames compare equal when they mean the same.
func normal(f codec.Frame) codec.Frame {
	if !f.Opaque {
		f.Payload = normalJSON(f.Payload)
	}
	f.Err.Detail = normalJSON(f.Err.Detail)
	return f
}

func normalJSON(v []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil || b.String() == "null" {
		return nil
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("🦀"), []byte(`\ud83e\udd80`))
}

func TestByName(t *testing.T) {
	for _, name := range []string{"auto", "json", "crab", "binary"} {
		if c := codec.ByName(name); c == nil || c.Name() != name {
			t.Errorf("ByName(%q) = %v", name, c)
		}
	}
	if c := codec.ByName("xml"); c != nil {
		t.Errorf("ByName of no codec = %v", c)
	}
}

func TestAppendRefusesUnknownKind(t *testing.T) {
	for _, c := range wires {
		dst, err := c.Append([]byte("before"), &codec.Frame{Kind: 4, Type: []byte("a")})
		wantError(t, c.Name(), err, codec.Internal, "kind 4")
		if string(dst) != "before" {
			t.Errorf("%s: an error left dst as %q", c.Name(), dst)
		}
	}
}

func TestErrors(t *testing.T) {
	if c := codec.CodeByName("queue_full"); c != codec.QueueFull {
		t.Errorf("CodeByName of queue_full: %v", c)
	}
	for _, name := range []string{"", "ok", "from_the_future"} {
		if c := codec.CodeByName(name); c != codec.Internal {
			t.Errorf("CodeByName(%q) = %v", name, c)
		}
	}
	seen := map[string]bool{}
	for i, c := range codec.Codes() {
		if int(c) != i+1 || c.String() == "" || seen[c.String()] || codec.CodeByName(c.String()) != c {
			t.Errorf("code %d: %q", c, c)
		}
		seen[c.String()] = true
	}
}
