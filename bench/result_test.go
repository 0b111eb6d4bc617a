package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench"
)

func TestReadResults(t *testing.T) {
	const first, third = `{"server":"kassa","cell":"1x1","round":1}`, `{"server":"redis","cell":"pairs64x1","round":2}`
	for _, test := range []struct {
		name, file string
		lines      []int
		cut        bool
		err        string
	}{
		{name: "two lines and an empty one", file: first + "\n\n" + third + "\n", lines: []int{1, 3}},
		{name: "no newline at the end", file: first + "\n" + third, lines: []int{1, 2}},
		{name: "empty"},
		{name: "cut", file: first + "\n" + third[:20], lines: []int{1}, cut: true, err: "line 2 is cut"},
		{name: "damaged before its end", file: third[:20] + "\n" + first + "\n", err: "line 1: "},
		{name: "not of a result", file: first + "\n{}\n", lines: []int{1}, err: "line 2 is no result"},
	} {
		t.Run(test.name, func(t *testing.T) {
			results, err := bench.ReadResults(strings.NewReader(test.file))
			var lines []int
			for _, r := range results {
				lines = append(lines, r.Line)
			}
			if len(lines) != len(test.lines) {
				t.Fatalf("lines %v, want %v", lines, test.lines)
			}
			for i := range lines {
				if lines[i] != test.lines[i] {
					t.Fatalf("lines %v, want %v", lines, test.lines)
				}
			}
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if cut := errors.Is(err, io.ErrUnexpectedEOF); cut != test.cut {
				t.Errorf("cut: %v of %v, want %v", cut, err, test.cut)
			}
		})
	}
}

// What is read is what was written, and no file panics.
func FuzzReadResults(f *testing.F) {
	f.Add([]byte(`{"server":"kassa","cell":"1x1","round":1,"faults":["x"],"date":"2026-11-21T11:26:24.646915691Z"}` + "\n"))
	f.Add([]byte("{\"server\":\"kassa\",\"cell\":\"1x1\"}\n\n{\"ser"))
	f.Fuzz(func(t *testing.T, file []byte) {
		results, _ := bench.ReadResults(bytes.NewReader(file))
		var again bytes.Buffer
		lines := json.NewEncoder(&again)
		for _, r := range results {
			if err := lines.Encode(r); err != nil {
				t.Skip("not a date that JSON has")
			}
		}
		if reread, err := bench.ReadResults(&again); err != nil || len(reread) != len(results) {
			t.Errorf("%d results of %d, %v", len(reread), len(results), err)
		}
	})
}
