package config

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bytedance/sonic"
	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
)

// addFile adds the items of a file.
func (r *reader) addFile(to *items, n ast.Node, name string) (err error) {
	path, err := r.textOf(n, name)
	if err != nil {
		return err
	}
	var read func(*items, io.Reader, string) error
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		read = readCSV
	case ".jsonl":
		read = readLines
	default:
		return r.wrong(n, name, "the name of a file that ends with .csv or .jsonl")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.name), path)
	}
	f, err := os.Open(path)
	if err != nil {
		return r.errorf(n, "%s: %v", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return read(to, withoutMark(f), path)
}

// withoutMark skips the byte order mark that some editors put in front of UTF-8.
func withoutMark(from io.Reader) io.Reader {
	r := bufio.NewReaderSize(from, 64<<10)
	if begin, err := r.Peek(3); err == nil && string(begin) == "\uFEFF" {
		_, _ = r.Discard(len(begin))
	}
	return r
}

// labelPrefix is what the names of columns with labels begin with.
const labelPrefix = "label."

// readCSV adds the items of a CSV file with a header: a column id, columns label.NAME, those of numbers that are for the
// pool's kind, and any others, which become attrs.
// White space around a cell does not count. An empty cell is a label or an attr that the item does not have.
func readCSV(to *items, from io.Reader, file string) error {
	r := csv.NewReader(from)
	r.ReuseRecord = true
	r.TrimLeadingSpace = true // also before a quote
	r.FieldsPerRecord = -1    // checked here, for the sake of the error
	header, err := r.Read()
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s is empty: it begins with a line that names the columns, such as id,label.country,host", file)
	case err != nil:
		return csvError(file, err)
	}
	columns := make([]string, len(header))
	for i, name := range header {
		columns[i] = strings.Clone(strings.TrimSpace(name))
	}
	idColumn, err := checkColumns(columns)
	if err != nil {
		line, _ := r.FieldPos(0)
		return fmt.Errorf("%s:%d: %w", file, line, err)
	}
	keys := make([][]byte, len(columns)) // of the attrs, as JSON
	numberOf := make([]func(*pool.ItemSpec) *int64, len(columns))
	for i, name := range columns {
		if i != idColumn && !strings.HasPrefix(name, labelPrefix) {
			keys[i] = append(appendString(nil, name), ':')
		}
		for _, number := range numbers {
			if number.name == name && number.kind == to.kind {
				numberOf[i] = number.of
			}
		}
	}
	labels := make(map[string]string)
	var buffer []byte // for attrs
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return csvError(file, err)
		}
		line, _ := r.FieldPos(0)
		if len(record) != len(columns) {
			return fmt.Errorf("%s:%d: there are %d columns, the first line names %d: put text with commas in double quotes", file, line, len(record), len(columns))
		}
		clear(labels)
		item := pool.ItemSpec{ID: strings.Clone(strings.TrimSpace(record[idColumn])), Labels: labels}
		attrs := buffer[:0]
		for i, cell := range record {
			cell = strings.TrimSpace(cell)
			switch {
			case !utf8.ValidString(cell):
				return fmt.Errorf("%s:%d: column %s is not UTF-8", file, line, columns[i])
			case i == idColumn || cell == "":
			case numberOf[i] != nil:
				if !wholeOf(cell, numberOf[i](&item)) {
					return fmt.Errorf("%s:%d: column %s is %s: want a whole number, 1 or more", file, line, columns[i], shortened(cell))
				}
			case keys[i] == nil:
				labels[columns[i][len(labelPrefix):]] = cell
			default:
				attrs = append(append(attrs, ','), keys[i]...)
				attrs = appendString(attrs, cell)
			}
		}
		if len(attrs) > 0 {
			attrs[0] = '{'
			attrs = append(attrs, '}')
			item.Attrs = bytes.Clone(attrs)
			buffer = attrs
		}
		if err := to.add(item, place{file: file, line: int32(line)}); err != nil {
			return err
		}
	}
}

// wholeOf reads a whole number from 1. It reports whether that is one.
func wholeOf(text string, to *int64) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	*to = n
	return err == nil && n >= 1 && text[0] != '+'
}

// checkColumns checks the names of columns, and returns which is the ID.
func checkColumns(columns []string) (int, error) {
	for i, name := range columns {
		switch {
		case name == "":
			return 0, fmt.Errorf("column %d has no name", i+1)
		case slices.Contains(columns[:i], name):
			return 0, fmt.Errorf("column %s is there twice", name)
		case name == labelPrefix || strings.HasPrefix(name, "labels.") || name == "label" || name == "labels":
			return 0, fmt.Errorf("column %s: the columns of labels are named %sNAME", name, labelPrefix)
		}
	}
	id := slices.Index(columns, "id")
	switch {
	case id >= 0:
		return id, nil
	case len(columns) == 1 && strings.ContainsAny(columns[0], ";\t"):
		return 0, errors.New("columns are separated by commas")
	}
	return 0, fmt.Errorf("no column is named id: the first line names the columns, such as id,label.country,host, and here they are %s", shortened(strings.Join(columns, ",")))
}

// csvError says where a CSV file is wrong.
func csvError(file string, err error) error {
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("%s:%d:%d: %w", file, wrong.Line, wrong.Column, wrong.Err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// lineBytesMax is how long a line of a file of items may be.
const lineBytesMax = 1 << 20

// readLines adds the items of a file with JSON on each line: a string, or {"id", "labels", "attrs", …}.
func readLines(to *items, from io.Reader, file string) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 64<<10), lineBytesMax)
	p := place{file: file}
	parser := lineParser{kind: to.kind, labels: make(map[string]string)}
	for lines.Scan() {
		p.line++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		item, err := parser.parse(line)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if err := to.add(item, p); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%s:%d: the line has more than %d bytes", file, p.line+1, lineBytesMax)
	} else if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// lineParser parses the lines of a file.
type lineParser struct {
	kind   pool.Kind         // of the pool
	labels map[string]string // of the line before, to be used again
}

// strict makes sonic refuse names that parseItem does.
var strict = sonic.Config{DisallowUnknownFields: true, CaseSensitive: true, CopyString: true, ValidateString: true}.Froze()

// parse parses an item. Its labels are good until the next one.
func (p *lineParser) parse(line []byte) (pool.ItemSpec, error) {
	if !utf8.Valid(line) {
		return pool.ItemSpec{}, errors.New("this is not UTF-8")
	}
	clear(p.labels)
	quick := struct {
		ID     string            `json:"id"`
		Labels map[string]string `json:"labels"`
		Attrs  json.RawMessage   `json:"attrs"`

		Row      *int64 `json:"row"`
		Column   *int64 `json:"column"`
		Quantity *int64 `json:"quantity"`
		Capacity *int64 `json:"capacity"`
	}{Labels: p.labels}
	if !simple(line) || strict.Unmarshal(line, &quick) != nil || quick.ID == "" || !json.Valid(line) {
		return parseItem(line, p.kind) // what is not all strings, and what is wrong
	}
	for _, value := range quick.Labels {
		if value == "" { // or null
			return parseItem(line, p.kind)
		}
	}
	item := pool.ItemSpec{ID: quick.ID, Labels: quick.Labels}
	for i, value := range []*int64{quick.Row, quick.Column, quick.Quantity, quick.Capacity} {
		if value == nil {
			continue
		}
		if *value < 1 || numbers[i].kind != p.kind {
			return parseItem(line, p.kind)
		}
		*numbers[i].of(&item) = *value
	}
	if len(quick.Attrs) > 0 && string(quick.Attrs) != "null" {
		var compact bytes.Buffer
		compact.Grow(len(quick.Attrs))
		if err := json.Compact(&compact, quick.Attrs); err != nil {
			return item, err
		}
		item.Attrs = compact.Bytes()
	}
	return item, nil
}

// simple says whether a line is an object in which no key can be there twice: parseItem alone lets the last one count.
func simple(line []byte) bool {
	if line[0] != '{' || bytes.IndexByte(line, '\\') >= 0 {
		return false
	}
	for _, key := range []string{`"id"`, `"labels"`, `"attrs"`, `"row"`, `"column"`, `"quantity"`, `"capacity"`} {
		if bytes.Count(line, []byte(key)) > 1 {
			return false
		}
	}
	return true
}

// parseItem parses an item in JSON, of a pool of some kind.
func parseItem(line []byte, kind pool.Kind) (item pool.ItemSpec, err error) {
	if line[0] == '"' {
		err = json.Unmarshal(line, &item.ID)
		return item, notJSON(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil || members == nil {
		if _, ok := errors.AsType[*json.SyntaxError](err); ok {
			return item, notJSON(err)
		}
		return item, fmt.Errorf(`this is %s: want an ID, as in "proxy-01", or {"id":"proxy-01","labels":{…},"attrs":…}`, shortened(string(line)))
	}
	for name, value := range members {
		switch name {
		case "id":
			if item.ID, err = jsonText(value); err != nil {
				return item, fmt.Errorf("id %w", err)
			}
		case "labels":
			if item.Labels, err = jsonLabels(value); err != nil {
				return item, err
			}
		case "attrs":
			if string(value) == "null" {
				continue
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, value); err != nil {
				return item, err
			}
			item.Attrs = compact.Bytes()
		default:
			if err := setNumber(&item, kind, name, value); err != nil {
				return item, err
			}
		}
	}
	if item.ID == "" {
		err = errors.New("the item has no id: give it one")
	}
	return item, err
}

// setNumber sets one of the numbers of an item. A null is as good as none.
func setNumber(item *pool.ItemSpec, kind pool.Kind, name string, value json.RawMessage) error {
	keys := []string{"id", "labels", "attrs"}
	for _, number := range numbers {
		switch {
		case number.name == name && string(value) == "null":
			return nil
		case number.kind == kind && number.name == name:
			if !wholeOf(string(value), number.of(item)) {
				return fmt.Errorf("%s is %s: want a whole number, 1 or more", name, shortened(string(value)))
			}
			return nil
		case number.name == name:
			return fmt.Errorf("%s is for pools of kind %s, and this one is of kind %s: take it out, or put it into attrs", name, number.kind, kind)
		case number.kind == kind:
			keys = append(keys, number.name)
		}
	}
	return fmt.Errorf("an item can have no %q: %s", name, meant(name, keys))
}

func jsonLabels(p json.RawMessage) (map[string]string, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(p, &members); err != nil {
		return nil, fmt.Errorf(`labels is %s: want names and values, as in {"country":"de"}`, shortened(string(p)))
	}
	labels := make(map[string]string, len(members))
	for name, value := range members {
		text, err := jsonText(value)
		if err != nil {
			return nil, fmt.Errorf("label %s %w", name, err)
		}
		labels[name] = text
	}
	return labels, nil
}

// jsonText returns a string, or a number or bool as it is written.
func jsonText(p json.RawMessage) (text string, err error) {
	switch p[0] {
	case '"':
		err = json.Unmarshal(p, &text)
		return text, err
	case '{', '[', 'n':
		return "", fmt.Errorf("is %s: want a text, a number, true or false", shortened(string(p)))
	}
	return string(p), nil
}

// notJSON says that a line is none, or nil if it is.
func notJSON(err error) error {
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("this is not JSON, at byte %d of the line: %w", wrong.Offset, err)
	}
	return fmt.Errorf("this is not JSON: %w", err)
}
