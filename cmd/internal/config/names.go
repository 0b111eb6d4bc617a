package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
)

// names are those of rows, or the numbers of seats, in the order in which they stand in the hall.
type names struct {
	what  string // row or seat
	list  []string
	index map[string]int // in list, by key
}

// key is what a name is found by: a seat with or without zeros in front.
func (s *names) key(name string) string {
	if s.what == "seat" {
		return strings.TrimLeft(name[:len(name)-1], "0") + name[len(name)-1:]
	}
	return name
}

// find returns the index of a name that is not empty.
func (s *names) find(name string) (int, bool) {
	i, ok := s.index[s.key(name)]
	return i, ok
}

// span says from what to what the names go.
func (s *names) span() string { return s.list[0] + " to " + s.list[len(s.list)-1] }

// names reads a name, a range, or a list of these. They are rows or seats, as what says; name names the setting.
func (r *reader) names(n ast.Node, name, what string) (*names, error) {
	s := &names{what: what, index: make(map[string]int)}
	err := r.eachName(n, name, what, func(value string, at ast.Node) error {
		if _, twice := s.find(value); twice {
			return r.errorf(at, "%s has %s %s twice: take one of them out", name, what, value)
		}
		if len(s.list) == pool.PlaceMax {
			return r.errorf(at, "%s has more than %d %ss", name, pool.PlaceMax, what)
		}
		s.index[s.key(value)] = len(s.list)
		s.list = append(s.list, value)
		return nil
	})
	if err == nil && len(s.list) == 0 {
		err = r.errorf(n, "%s is empty: name a %s, or a range such as %s", name, what, rangeOf[what])
	}
	return s, err
}

// rangeOf has an example for each.
var rangeOf = map[string]string{"row": "A..L or 1..12", "seat": "1..20"}

// eachName calls f with each row or seat, and with the node that it comes from.
func (r *reader) eachName(n ast.Node, name, what string, f func(value string, at ast.Node) error) error {
	for _, element := range oneOrMore(n) {
		value, err := r.textOf(element, name)
		if err != nil {
			return err
		}
		values, err := expand(value, what)
		if err != nil {
			return r.errorf(element, "%s has %s: %v", name, shortened(value), err)
		}
		for _, value := range values {
			if err := f(value, element); err != nil {
				return err
			}
		}
	}
	return nil
}

// expand returns the names in a range, in order; it may count down. What is no range is a name.
func expand(text, what string) ([]string, error) {
	from, to, isRange := strings.Cut(text, "..")
	if !isRange {
		from, to = text, text
	}
	isNumber := digits(from) && digits(to)
	var a, b int
	var name func(int) string
	switch {
	case isNumber && len(strings.TrimLeft(from, "0")) <= 9 && len(strings.TrimLeft(to, "0")) <= 9:
		width := len(from)
		if len(from) != len(to) {
			width = 0
			if from[0] == '0' && len(from) > 1 || to[0] == '0' && len(to) > 1 {
				return nil, fmt.Errorf("%s and %s have zeros in front, but not the same number of digits", from, to)
			}
		}
		a, b = atoi(from), atoi(to)
		name = func(n int) string { return fmt.Sprintf("%0*d", width, n) }
	case isNumber:
		return nil, errors.New("the number has too many digits")
	case what == "seat":
		return nil, errors.New("seats have numbers: want one, or a range such as " + rangeOf[what])
	case !isRange:
		return []string{text}, nil
	default:
		first := letterBefore(from)
		if a, b = ordinal(from, first), ordinal(to, first); a == 0 || b == 0 {
			return nil, errors.New("a range has letters or numbers at both ends, as in " + rangeOf[what])
		}
		name = func(n int) string { return letters(n, first) }
	}
	step := 1
	if a > b {
		step = -1
	}
	n := (b-a)*step + 1
	if n > pool.PlaceMax {
		return nil, fmt.Errorf("it has more than %d %ss", pool.PlaceMax, what)
	}
	values := make([]string, n)
	for i := range values {
		values[i] = name(a + i*step)
	}
	return values, nil
}

// digits says whether a text is of digits only.
func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// atoi returns the number that up to nine digits, and zeros in front, make.
func atoi(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err) // the caller has looked
	}
	return n
}

// letterBefore returns what is before the first letter of the alphabet that a name is written in: small letters, or capitals.
func letterBefore(name string) byte {
	if name != "" && name[0] >= 'a' {
		return 'a' - 1
	}
	return 'A' - 1
}

// ordinal returns the place of A, …, Z, AA, …, ZZZZ in their order, from 1; 0 for anything else.
func ordinal(name string, before byte) (n int) {
	if len(name) > 4 {
		return 0
	}
	for _, letter := range []byte(name) {
		if letter <= before || letter > before+26 {
			return 0
		}
		n = 26*n + int(letter-before)
	}
	return n
}

// letters is the reverse of ordinal.
func letters(n int, before byte) string {
	var name []byte
	for ; n > 0; n = (n - 1) / 26 {
		name = append([]byte{before + byte(1+(n-1)%26)}, name...)
	}
	return string(name)
}
