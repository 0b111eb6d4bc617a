package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kassa-go/kassa/pool"
)

// verbSource is where a text comes from: a path in the payload, or text itself.
type verbSource struct {
	source string // as it is written
	path   []verbStep
	text   string
}

func parseVerbSource(key, source string) (verbSource, error) {
	s := verbSource{source: source, text: strings.TrimPrefix(source, "=")}
	rest, ok := strings.CutPrefix(source, "payload")
	if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' {
		return s, nil
	}
	path, err := parseVerbPath(source)
	if err != nil {
		return s, verbErrorf(key, "%s has %q, which is no path: %v", key, source, err)
	}
	s.path = path
	return s, nil
}

func parseVerbSources(key string, sources []string) ([]verbSource, error) {
	var parsed []verbSource
	for _, source := range sources {
		s, err := parseVerbSource(key, source)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, s)
	}
	return parsed, nil
}

// one returns the text, false if it is not there.
func (s *verbSource) one(payload []byte) (string, bool, error) {
	if s.path == nil {
		return s.text, true, nil
	}
	raw, err := verbFind(payload, s.path[1:])
	if err != nil {
		return "", false, err
	}
	text, ok := verbText(raw)
	if !ok && !isVerbNull(raw) {
		err = &pool.Error{Code: pool.BadPayload, Message: fmt.Sprintf("%s is %.64q: want a string", s.source, raw)}
	}
	return text, ok, err
}

// verbTexts returns the texts that several sources have together: a path may lead to an array.
func verbTexts(sources []verbSource, payload []byte) ([]string, error) {
	var texts []string
	for i := range sources {
		s := &sources[i]
		if s.path == nil {
			texts = append(texts, s.text)
			continue
		}
		raw, err := verbFind(payload, s.path[1:])
		if err != nil {
			return nil, err
		}
		var several []json.RawMessage
		switch {
		case isVerbNull(raw):
		case raw[0] == '[':
			if err := json.Unmarshal(raw, &several); err != nil {
				return nil, verbNotJSON(err)
			}
		default:
			several = append(several, raw)
		}
		for _, one := range several {
			text, ok := verbText(one)
			if !ok {
				return nil, &pool.Error{Code: pool.BadPayload, Message: fmt.Sprintf("%s is %.64q: want a string, or an array of strings", s.source, raw)}
			}
			texts = append(texts, text)
		}
	}
	return texts, nil
}

// verbText returns a string's text, or a number or bool as it is written.
func verbText(raw json.RawMessage) (string, bool) {
	if isVerbNull(raw) || raw[0] == '{' || raw[0] == '[' {
		return "", false
	}
	if raw[0] != '"' {
		return string(raw), true
	}
	var text string
	return text, json.Unmarshal(raw, &text) == nil
}

func isVerbNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func verbNotJSON(err error) error {
	return &pool.Error{Code: pool.BadPayload, Message: "the payload is not JSON: " + err.Error()}
}

// verbFind returns what is at the end of a path in JSON, nil if it leads nowhere.
func verbFind(p json.RawMessage, path []verbStep) (json.RawMessage, error) {
	p = bytes.TrimSpace(p)
	for _, step := range path {
		switch {
		case len(p) == 0:
			return nil, nil
		case p[0] == '{' && step.name != "":
			var members map[string]json.RawMessage
			if err := json.Unmarshal(p, &members); err != nil {
				return nil, verbNotJSON(err)
			}
			p = members[step.name]
		case p[0] == '[' && step.name == "":
			var elements []json.RawMessage
			if err := json.Unmarshal(p, &elements); err != nil {
				return nil, verbNotJSON(err)
			}
			if step.index >= len(elements) {
				return nil, nil
			}
			p = elements[step.index]
		default:
			return nil, nil
		}
	}
	if len(path) == 0 && len(p) > 0 && !json.Valid(p) {
		return nil, &pool.Error{Code: pool.BadPayload, Message: "the payload is not JSON"}
	}
	return p, nil
}

// verbStep is a step of a path: a member of an object, or with no name an element of an array.
type verbStep struct {
	name  string
	index int
}

// verbIndexMax is the highest index that a path may have.
const verbIndexMax = 1<<20 - 1

// parseVerbPath parses a path: a name, and behind it any number of .name, ["name"] and [index].
func parseVerbPath(text string) ([]verbStep, error) {
	var path []verbStep
	for rest := "." + text; rest != ""; {
		if rest[0] == '.' {
			rest = rest[1:]
			end := strings.IndexAny(rest, ".[]")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, errors.New("a name is missing")
			}
			path = append(path, verbStep{name: rest[:end]})
			rest = rest[end:]
			continue
		}
		if rest[0] != '[' {
			return nil, fmt.Errorf("there is a %q too much", rest[0])
		}
		step, tail, err := cutVerbBracket(rest[1:])
		if err != nil {
			return nil, err
		}
		path = append(path, step)
		rest = tail
		if rest != "" && rest[0] != '.' && rest[0] != '[' {
			return nil, errors.New("behind ] comes . or [")
		}
	}
	return path, nil
}

// cutVerbBracket parses what follows a [, and returns what follows its ].
func cutVerbBracket(text string) (verbStep, string, error) {
	if strings.HasPrefix(text, `"`) {
		quoted, err := strconv.QuotedPrefix(text)
		var name string
		if err == nil {
			err = json.Unmarshal([]byte(quoted), &name)
		}
		tail, closed := strings.CutPrefix(text[len(quoted):], "]")
		if err != nil || name == "" || !closed {
			return verbStep{}, "", errors.New(`in [] stands a number, or a name such as ["a.b"]`)
		}
		return verbStep{name: name}, tail, nil
	}
	digits, tail, closed := strings.Cut(text, "]")
	if !closed {
		return verbStep{}, "", errors.New("a ] is missing")
	}
	index, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || index > verbIndexMax {
		return verbStep{}, "", fmt.Errorf(`in [] stands a number up to %d, or a name such as ["a.b"]`, verbIndexMax)
	}
	return verbStep{index: int(index)}, tail, nil
}
