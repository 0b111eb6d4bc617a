package config

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
)

// span is a range of IDs that differ in one number, such as proxy-01..proxy-50.
type span struct {
	before, after string
	from, to      uint64
	digits        int // with zeros in front
}

var digitRuns = regexp.MustCompile(`[0-9]+`)

// parseSpan parses a range, or a single ID.
func parseSpan(text string) (span, error) {
	from, to, ok := strings.Cut(text, "..")
	if !ok || from == to {
		return span{before: from, digits: -1}, nil
	}
	if from == "" || to == "" {
		return span{}, errors.New("want the first and the last ID, as in proxy-01..proxy-50")
	}
	a, b := digitRuns.FindAllStringIndex(from, -1), digitRuns.FindAllStringIndex(to, -1)
	same := len(a) == len(b) && digitRuns.ReplaceAllLiteralString(from, "0") == digitRuns.ReplaceAllLiteralString(to, "0")
	counter := -1
	for i := range a {
		if same && from[a[i][0]:a[i][1]] != to[b[i][0]:b[i][1]] {
			same = counter < 0
			counter = i
		}
	}
	if !same || counter < 0 {
		return span{}, errors.New("the first and the last ID must differ in one number and nothing else, as in proxy-01..proxy-50")
	}
	low, high := from[a[counter][0]:a[counter][1]], to[b[counter][0]:b[counter][1]]
	s := span{before: from[:a[counter][0]], after: from[a[counter][1]:]}
	var err error
	if s.from, err = strconv.ParseUint(low, 10, 63); err == nil {
		s.to, err = strconv.ParseUint(high, 10, 63)
	}
	switch {
	case err != nil:
		return span{}, errors.New("the number has too many digits")
	case len(low) == len(high):
		s.digits = len(low)
	case low[0] == '0' && len(low) > 1 || high[0] == '0':
		return span{}, fmt.Errorf("%s and %s have zeros in front, but not the same number of digits", low, high)
	}
	switch {
	case s.from > s.to:
		return span{}, fmt.Errorf("%s comes after %s: turn them around", low, high)
	case s.to-s.from >= itemsMax:
		return span{}, fmt.Errorf("it has more than %d IDs", itemsMax)
	}
	return s, nil
}

func (s span) len() int { return int(s.to-s.from) + 1 }

// all yields the IDs.
func (s span) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		if s.digits < 0 {
			yield(s.before)
			return
		}
		for n := s.from; n <= s.to; n++ {
			if !yield(fmt.Sprintf("%s%0*d%s", s.before, s.digits, n, s.after)) {
				return
			}
		}
	}
}

// addIDs adds the items of a range, or of a list of ranges and IDs.
func (r *reader) addIDs(to *items, n ast.Node, name string) error {
	for _, element := range oneOrMore(n) {
		value, err := r.textOf(element, name)
		if err != nil {
			return err
		}
		s, err := parseSpan(value)
		if err != nil {
			return r.errorf(element, "%s has %s: %v", name, shortened(value), err)
		}
		to.expect(s.len())
		for id := range s.all() {
			if err := to.add(pool.ItemSpec{ID: id}, r.placeOf(element)); err != nil {
				return err
			}
		}
	}
	return nil
}
