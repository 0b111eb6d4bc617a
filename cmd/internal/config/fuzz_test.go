package config

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"strings"
	"testing"
)

// A range has as many IDs as it says, in order, and none twice; its ends are what was written.
func FuzzSpan(f *testing.F) {
	for _, s := range []string{"proxy-01..proxy-50", "1..9", "a", "a..b", "9..10", "10.0.0.1:80..10.0.0.9:80", "..", "a1..a1", "01..1", "0..00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSpan(text)
		if err != nil || s.len() > 100_000 {
			return
		}
		seen := make(map[string]bool)
		var first, last string
		for id := range s.all() {
			if len(seen) == 0 {
				first = id
			}
			last = id
			seen[id] = true
		}
		if len(seen) != s.len() {
			t.Fatalf("%q: %d IDs, of %d", text, len(seen), s.len())
		}
		if from, to, ok := strings.Cut(text, ".."); ok && (first != from || last != to) || !ok && first != text {
			t.Fatalf("%q goes from %q to %q", text, first, last)
		}
	})
}

// Whatever is in a CSV file, its items are fit for a pool, or there is an error with a line.
func FuzzCSV(f *testing.F) {
	f.Add([]byte("id,label.a,b\nx,1,2\n\"y\n\",,\n"))
	f.Add([]byte("\xef\xbb\xbfb , id\r\n \"\"\"\" , x \r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		check(t, readCSV, "f.csv", text)
	})
}

// The same of JSON lines. What the quick way takes, the careful one takes too, and finds the same.
func FuzzLines(f *testing.F) {
	f.Add([]byte("\"a\"\n{\"id\":\"b\",\"labels\":{\"c\":\"d\",\"n\":1.50},\"attrs\":{ \"e\":[null] }}\n"))
	f.Add([]byte(`{"id":"b","id":null,"labels":{"c":"\u0041"},"labels":{"d":""},"attrs":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		check(t, readLines, "f.jsonl", text)
		line := bytes.TrimSpace(text)
		if len(line) == 0 {
			return
		}
		quick, err := (&lineParser{labels: map[string]string{"z": "z"}}).parse(line)
		if err != nil {
			return
		}
		careful, err := parseItem(line)
		if err != nil || quick.ID != careful.ID || !maps.Equal(quick.Labels, careful.Labels) || !bytes.Equal(quick.Attrs, careful.Attrs) {
			t.Fatalf("%q: quick %+v, careful %+v, %v", line, quick, careful, err)
		}
	})
}

// check reads a file of items.
func check(t *testing.T, read func(*items, io.Reader, string) error, file string, text []byte) {
	t.Helper()
	var s items
	if err := read(&s, bytes.NewReader(text), file); err != nil {
		if !strings.HasPrefix(err.Error(), file+":") && !strings.HasPrefix(err.Error(), file+" is empty") {
			t.Fatalf("%q: no place in %v", text, err)
		}
		return
	}
	seen := make(map[string]bool)
	for _, item := range s.list {
		if seen[item.ID] {
			t.Fatalf("%q: %s is there twice", text, item.ID)
		}
		seen[item.ID] = true
		if err := item.Check(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if item.Attrs != nil && (!json.Valid(item.Attrs) || bytes.ContainsAny(item.Attrs, "\n")) {
			t.Fatalf("%q: attrs %q", text, item.Attrs)
		}
	}
}

// No YAML makes Parse panic, and an error names the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte("pools:\n  p:\n    ids: [a-1..a-3]\n    items:\n      - {id: b, labels: {c: d}, attrs: {e: [1, 2.5, ~]}}\nverbs:\n  v: {verb: pool.stats, pool: p, result: {f: free}}\n"))
	f.Add([]byte("pools: {? p : &a , <<: *a}\n---\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("file")) || len(text) > 1000 {
			return
		}
		if _, err := Parse("k.yaml", text); err != nil && !strings.HasPrefix(err.Error(), "k.yaml") {
			t.Fatalf("%q: no place in %v", text, err)
		}
	})
}
