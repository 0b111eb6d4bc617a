// Package report draws what results of the bench say: tables in Markdown, a page in HTML, charts in SVG, and what changed
// from one file of results to another.
package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kassa-go/kassa/bench"
)

// Read reads files of results, one after the other. A file that is cut in its last line is read up to there, and named in
// the warnings; one without results is an error.
func Read(names ...string) (all []bench.Result, warnings []string, err error) {
	for _, name := range names {
		results, err := readFile(name)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			warnings = append(warnings, fmt.Sprintf("%s: %v; the run was interrupted there, and all before it is used", name,
				err))
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(results) == 0 {
			return nil, nil, fmt.Errorf("%s: no results in it", name)
		}
		all = append(all, results...)
	}
	return all, warnings, nil
}

func readFile(name string) ([]bench.Result, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller names the file
	}
	defer file.Close()
	results, err := bench.ReadResults(file)
	for i := range results {
		results[i].File = filepath.Base(name)
	}
	return results, err
}

// sources names the lines that some results stand in: "2026-11-21.jsonl: 1, 4, 7", or of results without a file "1, 4, 7".
func sources(some []bench.Result) string {
	var files []string
	lines := make(map[string][]int)
	for _, r := range some {
		if r.Line == 0 {
			continue
		}
		if !slices.Contains(files, r.File) {
			files = append(files, r.File)
		}
		if !slices.Contains(lines[r.File], r.Line) {
			lines[r.File] = append(lines[r.File], r.Line)
		}
	}
	var all []string
	for _, file := range files {
		slices.Sort(lines[file])
		var numbers []string
		for _, line := range lines[file] {
			numbers = append(numbers, strconv.Itoa(line))
		}
		in := strings.Join(numbers, ", ")
		if file != "" {
			in = file + ": " + in
		}
		all = append(all, in)
	}
	if len(all) == 0 {
		return "–"
	}
	return strings.Join(all, "; ")
}
