package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kassa-go/kassa/bench"
)

// results is a file of results that more are added to.
type results struct {
	file  *os.File
	lines *json.Encoder
	added int
}

// otherResultsError says that a file has results that are not to be mixed with those that are made now.
type otherResultsError struct{ file, has, now string }

func (e *otherResultsError) Error() string {
	return fmt.Sprintf("%s has results of %s, and what is measured now is %s: name another file with --out, or mix them with --append", e.file, e.has, e.now)
}

// openResults opens a file to add to, and makes it and its directory when they are not there.
func openResults(name, commit string, measure time.Duration, mix bool) (*results, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	before, err := bench.ReadResults(file)
	if err != nil {
		err = fmt.Errorf("%s: %w: take that line out, or name another file with --out", name, err)
	}
	for i := range before {
		was := &before[i]
		load := time.Duration(was.LoadSeconds * float64(time.Second)).Round(time.Millisecond)
		switch {
		case err != nil || mix:
		case was.Commit != commit:
			err = &otherResultsError{name, "commit " + was.Commit, commit}
		case load != 0 && load != measure:
			err = &otherResultsError{name, fmt.Sprintf("%v of load", load), measure.String()}
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &results{file: file, lines: json.NewEncoder(file)}, nil
}

// add adds a result. It is in the file when add returns.
func (r *results) add(one *bench.Result) error {
	r.added++
	return r.lines.Encode(one)
}

func (r *results) close() error { return r.file.Close() }
