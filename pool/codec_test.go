package pool

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// Encoded returns all records as they are.
func (m *Machine) Encoded() map[string][]byte {
	all := make(map[string][]byte)
	m.records(func(r record) {
		var key, value enc
		r.key(&key)
		r.value(&value)
		all[string(key)] = value
	})
	return all
}

// records calls fn with each record.
func (m *Machine) records(fn func(record)) {
	for _, p := range m.pools {
		fn(p)
		for _, it := range p.items {
			fn(it)
		}
	}
	for _, x := range m.grants {
		fn(x)
	}
	for _, x := range m.waits {
		fn(x)
	}
	for _, x := range m.sessions {
		fn(x)
	}
	for _, x := range m.keys {
		fn(x)
	}
}

// FuzzEvent decodes events: what was decoded is encoded to what decodes to the same.
func FuzzEvent(f *testing.F) {
	for kind := byte(1); newEvent(kind) != nil; kind++ {
		var e enc
		newEvent(kind).put(&e)
		f.Add(kind, []byte(e))
	}
	f.Add(evWaiting, []byte("\x01\x01p\x02\x01\x01n\x01\x01v\x01\x01i\x05first\x02\x01\x01c\x01o\x01\x0a\x01\x02\x01k\x05"))
	f.Add(evReleased, []byte("\x01\x05clean\x00\x01\x01p\x01i"))
	refs := []ItemRef{{"s", "a1", 1, Span{}}, {"s", "x", 3, Span{}}, {"c", "room", 2, Span{5000, 6000, 100, 200}}}
	room := []ItemRef{{"c", "hall", 1, Span{7000, 8000, 100, 200}}}
	for _, ev := range []event{
		&granted{wait: 3, as: Stock, refs: refs[:2]}, &granted{as: Lease, refs: refs}, &granted{as: Calendar, firm: true, refs: refs[2:]},
		&confirmed{grant: 3, as: Stock, refs: refs}, &released{grant: 3, as: Stock, firm: true, outcome: Withheld, refs: refs[:2]},
		&moved{grant: 3, refs: refs[2:], became: room}, &renewed{grant: 3, as: Stock}, &expiring{grant: 3, as: Calendar},
		&itemSet{pool: "s", id: "a1", shape: shape{1, 2, 3}}, &itemStateSet{pool: "s", id: "x", withheld: 3, of: Stock, counter: true}, &itemStateSet{pool: "s", id: "x", withheld: 3},
		&waiting{request: request{wants: []Want{{Pool: "s", Count: 2, Best: Split}, {Pool: "c", Count: 1, Spans: []Span{refs[2].Span}}}, kind: Stock}, until: 9},
	} {
		refsToItems(ev)
		var e enc
		ev.put(&e)
		again := newEvent(ev.kind())
		again.get(&dec{p: e})
		refsToItems(again)
		var second enc
		if again.put(&second); !bytes.Equal(e, second) {
			f.Errorf("%T: %q, then %q", ev, e, second)
		}
		f.Add(ev.kind(), []byte(e))
	}
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		ev := newEvent(kind)
		if ev == nil {
			return
		}
		if ev.kind() != kind {
			t.Fatalf("%T is of kind %d, made for %d", ev, ev.kind(), kind)
		}
		d := dec{p: body}
		ev.get(&d)
		if d.bad {
			return
		}
		ev.describe(new(Event))
		refsToItems(ev)
		var first enc
		ev.put(&first)
		again := newEvent(kind)
		d = dec{p: first}
		again.get(&d)
		if d.bad || len(d.p) > 0 {
			t.Fatalf("%T: %q was written, and reads badly, or leaves %q", ev, first, d.p)
		}
		refsToItems(again)
		var second enc
		again.put(&second)
		if !bytes.Equal(first, second) {
			t.Fatalf("%T: %q, then %q", ev, first, second)
		}
	})
}

// refsToItems does what applying an event in replay does: put writes items.
func refsToItems(ev event) {
	parts := func(refs []ItemRef) []part {
		var parts []part
		for _, ref := range refs {
			p := part{item: &item{pool: &pool{name: ref.Pool}, id: ref.ID}, units: ref.Units}
			if ref.Span != (Span{}) {
				p.span = newSpan(ref.Span)
			}
			parts = append(parts, p)
		}
		return parts
	}
	switch ev := ev.(type) {
	case *granted:
		ev.parts = parts(ev.refs)
	case *released:
		ev.parts = parts(ev.refs)
	case *confirmed:
		ev.parts = parts(ev.refs)
	case *moved:
		ev.from, ev.to = parts(ev.refs), parts(ev.became)
		for i := range ev.from {
			ev.from[i].span = newSpan(ev.refs[i].Span)
			ev.to[i].span = newSpan(ev.became[i].Span)
		}
	}
}

func TestValuesDecodeToWhatWasEncoded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b, u, i, bo, s := rapid.Byte().Draw(rt, "b"), rapid.Uint64().Draw(rt, "u"), rapid.Int64().Draw(rt, "i"), rapid.Bool().Draw(rt, "bool"), rapid.String().Draw(rt, "s")
		var e enc
		e.byte(b)
		e.uint(u)
		e.int(i)
		e.bool(bo)
		e.string(s)
		d := dec{p: e}
		if d.byte() != b || d.uint() != u || d.int() != i || d.bool() != bo || d.string() != s || d.bad || len(d.p) > 0 {
			rt.Fatalf("%q", e)
		}
		if d.byte() != 0 || d.uint() != 0 || d.int() != 0 || d.bool() || d.string() != "" || d.len() != 0 || d.bad {
			rt.Fatal("past the end there are no zeros")
		}
	})
}

// TestHashNeverChanges holds hashes that are stored: another function would make all checkpoints look damaged.
func TestHashNeverChanges(t *testing.T) {
	for in, want := range map[string]string{"": "34d2fe82daccaea6", "kassa": "35221b6ad7bff91d", "0123456789abcdef": "724745495c424e89"} {
		if got := fmt.Sprintf("%016x", hashOf([]byte(in))); got != want {
			t.Errorf("hashOf(%q) is %s, was %s", in, got, want)
		}
	}
}

// TestHashTellsBytesApart changes each bit of a record.
func TestHashTellsBytesApart(t *testing.T) {
	p := []byte("0123456789abcdefghijklmnopqrstuvwxyz")
	seen := map[uint64]bool{hashOf(p): true}
	for i := range 8 * len(p) {
		p[i/8] ^= 1 << (i % 8)
		h := hashOf(p)
		if seen[h] {
			t.Fatalf("bit %d makes no difference", i)
		}
		seen[h] = true
		p[i/8] ^= 1 << (i % 8)
	}
}

func TestRepliesAreKeptWhole(t *testing.T) {
	r := Reply{Err: &Error{NoneFree, "x"}, Rev: 1, Grant: 2, Token: 3, ExpiresAt: 4, Items: []Given{{Pool: "p", ID: "i", Labels: "{}", Attrs: "1", Units: 1}}, Count: 5, Other: 6, Cursor: "7"}
	more := r
	more.Items = []Given{{Pool: "p", ID: "i", Units: 3}, {Pool: "q", ID: "j", Units: 1, Span: Span{1, 2, 3, 4}}}
	more.Conflicts = []Given{{Pool: "q", ID: "k", Span: Span{5, 6, 0, 0}}}
	for _, r := range []Reply{r, more} {
		var e enc
		r.put(&e)
		var again Reply
		again.get(&dec{p: e})
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v, was %+v", again, r)
		}
	}
}
