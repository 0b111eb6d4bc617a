package config

import (
	"bytes"
	"io"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool"
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

// The rows or seats of a range are all different, and its ends are what was written.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"A..L", "Y..AC", "ZZ..AAB", "c..a", "1..20", "20..1", "08..11", "9..10", "Loge", "A..7", "..", "a..B", "01..1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := expand(text, "row")
		if err != nil {
			return
		}
		from, to, ok := strings.Cut(text, "..")
		if !ok {
			to = from
		}
		if rows[0] != from || rows[len(rows)-1] != to {
			t.Fatalf("%q goes from %q to %q", text, rows[0], rows[len(rows)-1])
		}
		seen := make(map[string]bool)
		for _, row := range rows {
			if seen[row] {
				t.Fatalf("%q: %s is there twice", text, row)
			}
			seen[row] = true
		}
	})
}

var kinds = []pool.Kind{pool.Lease, pool.Stock, pool.Calendar}

// Whatever is in a CSV file, its items are fit for a pool, or there is an error with a line.
func FuzzCSV(f *testing.F) {
	f.Add([]byte("id,label.a,b\nx,1,2\n\"y\n\",,\n"))
	f.Add([]byte("\xef\xbb\xbfb , id\r\n \"\"\"\" , x \r\n"))
	f.Add([]byte("id,row,column,quantity,capacity\nx,1,2,,3\ny,,,7,8\nz,2,1,1,-1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, kind := range kinds {
			check(t, readCSV, kind, "f.csv", text)
		}
	})
}

// The same of JSON lines. What the quick way takes, the careful one takes too, and finds the same.
func FuzzLines(f *testing.F) {
	f.Add([]byte("\"a\"\n{\"id\":\"b\",\"labels\":{\"c\":\"d\",\"n\":1.50},\"attrs\":{ \"e\":[null] }}\n"))
	f.Add([]byte(`{"id":"b","id":null,"labels":{"c":"\u0041"},"labels":{"d":""},"attrs":null}`))
	f.Add([]byte("{\"id\":\"b\",\"row\":1,\"column\":2}\n{\"id\":\"c\",\"quantity\":3,\"row\":null}"))
	f.Add([]byte(`{"id":"b","labels":{"c":"d"},"capacity":4}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, kind := range kinds {
			check(t, readLines, kind, "f.jsonl", text)
			line := bytes.TrimSpace(text)
			if len(line) == 0 {
				return
			}
			quick, err := (&lineParser{kind: kind, labels: map[string]string{"z": "z"}}).parse(line)
			if err != nil {
				continue
			}
			careful, err := parseItem(line, kind)
			if err != nil || quick.ID != careful.ID || !maps.Equal(quick.Labels, careful.Labels) || !bytes.Equal(quick.Attrs, careful.Attrs) ||
				quick.Row != careful.Row || quick.Col != careful.Col || quick.Quantity != careful.Quantity {
				t.Fatalf("%q: quick %+v, careful %+v, %v", line, quick, careful, err)
			}
		}
	})
}

// check reads a file of items.
func check(t *testing.T, read func(*items, io.Reader, string) error, kind pool.Kind, file string, text []byte) {
	t.Helper()
	s := items{kind: kind}
	if err := read(&s, bytes.NewReader(text), file); err != nil {
		if !strings.HasPrefix(err.Error(), file+":") && !strings.HasPrefix(err.Error(), file+" is empty") {
			t.Fatalf("%q: no place in %v", text, err)
		}
		return
	}
	fit(t, s.list)
	for _, item := range s.list {
		if bytes.ContainsAny(item.Attrs, "\n") {
			t.Fatalf("%q: attrs %q", text, item.Attrs)
		}
	}
}

// fit fails unless items are fit for a pool.
func fit(t *testing.T, list []pool.ItemSpec) {
	t.Helper()
	seen := make(map[string]bool)
	taken := make(map[[2]int64]bool)
	for _, item := range list {
		if seen[item.ID] {
			t.Fatalf("%s is there twice", item.ID)
		}
		seen[item.ID] = true
		if at := [2]int64{item.Row, item.Col}; item.Row != 0 {
			if taken[at] {
				t.Fatalf("%s and another are in row %d, column %d", item.ID, item.Row, item.Col)
			}
			taken[at] = true
		}
		if err := item.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// manyOf is what ranges of millions have, which take seconds.
var manyOf = regexp.MustCompile(`[0-9]{3}|\.\.[A-Za-z]{2}|[A-Za-z]{2}\.\.`)

// No YAML makes Parse panic, and an error names the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte("pools:\n  p:\n    ids: [a-1..a-3]\n    items:\n      - {id: b, labels: {c: d}, attrs: {e: [1, 2.5, ~]}}\nverbs:\n  v: {verb: pool.stats, pool: p, result: {f: free}}\n"))
	f.Add([]byte("pools: {? p : &a , <<: *a}\n---\n"))
	f.Add([]byte("pools:\n  c:\n    kind: stock\n    seats: [{rows: A..C, seats: 1..9, aisles: 4, missing: A1..A2, zones: [{rows: B, seats: 3, labels: {z: v}}], id: '{row}-{seat}', " +
		"at: {row: 2, column: 3}}, {rows: [12, 11], seats: 9..7}]\n    focus: {row: B, column: 4.5}\n    items: [{id: f, quantity: 5}, {id: g, row: 1, column: 1}]\n"))
	f.Add([]byte("pools:\n  r: {kind: calendar, items: [{id: a, capacity: 2}], zone: Europe/Berlin, hours: {mon-fri: '08:00-20:00'}, setup: 5m, slotMax: 8h, horizon: 9h, keep: 1h}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("file")) || len(text) > 1000 || bytes.Contains(text, []byte("..")) && manyOf.Match(text) {
			return
		}
		c, err := Parse("k.yaml", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "k.yaml") {
				t.Fatalf("%q: no place in %v", text, err)
			}
			return
		}
		for _, p := range c.Pools {
			fit(t, p.Items)
		}
	})
}
