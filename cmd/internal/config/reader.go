package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/kassa-go/kassa/pool"
)

// reader reads the nodes of a YAML file.
type reader struct {
	name string // of the file
}

// document parses a file that holds one document, and returns its root.
func (r *reader) document(text []byte) (ast.Node, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		if at, ok := errors.AsType[yaml.Error](err); ok && at.GetToken() != nil {
			return nil, fmt.Errorf("%s: %s", r.place(at.GetToken()), at.GetMessage())
		}
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	var root ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentGroupType:
		case root != nil:
			return nil, r.errorf(doc.Body, "this is a second document: take out the --- before it")
		default:
			root = doc.Body
		}
	}
	if root == nil {
		return nil, fmt.Errorf("%s is empty: write pools: and below it, indented, a name with its settings", r.name)
	}
	return root, nil
}

func (r *reader) place(t *token.Token) string {
	return fmt.Sprintf("%s:%d:%d", r.name, t.Position.Line, t.Position.Column)
}

// errorf returns an error that says where n begins.
func (r *reader) errorf(n ast.Node, format string, args ...any) error {
	return fmt.Errorf("%s: %s", r.place(first(n)), fmt.Sprintf(format, args...))
}

// first returns the token that n begins with: of a mapping, its first key.
func first(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return first(n.Values[0])
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}

// entry is a key of a mapping, and what it is set to.
type entry struct {
	key   string
	at    ast.Node // where the key stands
	value ast.Node
}

// entries returns what a mapping holds. A null is an empty one. What names it in errors.
func (r *reader) entries(n ast.Node, what string) ([]entry, error) {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return nil, r.wrong(n, what, "names and values, as in name: value")
	}
	entries := make([]entry, len(pairs))
	for i, pair := range pairs {
		key, ok := text(pair.Key)
		if !ok {
			return nil, r.wrong(pair.Key, "a name in "+what, "plain text")
		}
		entries[i] = entry{key, pair.Key, pair.Value}
	}
	return entries, nil
}

// elements returns what a list holds. A null is an empty one.
func (r *reader) elements(n ast.Node, what string) ([]ast.Node, error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return nil, nil
	case *ast.SequenceNode:
		return n.Values, nil
	}
	return nil, r.wrong(n, what, "a list")
}

// setting is a key that a mapping may have. Read is given what it is set to, and its full name.
type setting struct {
	key  string
	read func(n ast.Node, name string) error
}

// settings reads a mapping that has some of the keys and no other. Name is its own full name.
func (r *reader) settings(n ast.Node, name string, allowed []setting) error {
	what := name
	if what == "" {
		what = "the file"
	}
	entries, err := r.entries(n, what)
	if err != nil {
		return err
	}
	keys := make([]string, len(allowed))
	for i := range allowed {
		keys[i] = allowed[i].key
	}
	for _, e := range entries {
		i := slices.Index(keys, e.key)
		if i < 0 {
			return r.errorf(e.at, "%s can have no %q: %s", what, e.key, meant(e.key, keys))
		}
		full := e.key
		if name != "" {
			full = name + "." + e.key
		}
		if err := allowed[i].read(e.value, full); err != nil {
			return err
		}
	}
	return nil
}

// only returns read where a pool is of one of some kinds, and else what says that it is not.
func (r *reader) only(kind pool.Kind, read func(ast.Node, string) error, kinds ...pool.Kind) func(ast.Node, string) error {
	if slices.Contains(kinds, kind) {
		return read
	}
	return func(n ast.Node, name string) error {
		return r.errorf(n, "%s is for pools of kind %s, and this one is of kind %s: take it out, or set kind", name, either(kinds), kind)
	}
}

func either(kinds []pool.Kind) string {
	words := make([]string, len(kinds))
	for i, kind := range kinds {
		words[i] = string(kind)
	}
	return enumerate(words, " or ")
}

// wrong says that n is not what is wanted.
func (r *reader) wrong(n ast.Node, what, want string) error {
	switch n.Type() {
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType, ast.TagType:
		return r.errorf(n, "%s uses %s, which is not read here: write it out", what, n.GetToken().Value)
	case ast.NullType:
		return r.errorf(n, "%s has no value: want %s", what, want)
	case ast.MappingType, ast.MappingValueType:
		return r.errorf(n, "%s has names and values: want %s", what, want)
	case ast.SequenceType:
		return r.errorf(n, "%s is a list: want %s", what, want)
	}
	value, _ := text(n)
	return r.errorf(n, "%s is %s: want %s", what, shortened(value), want)
}

// shortened quotes a value for an error.
func shortened(value string) string {
	const runesMax = 64
	if runes := []rune(value); len(runes) > runesMax {
		value = string(runes[:runesMax]) + "…"
	}
	return strconv.Quote(value)
}

// text returns a string, or a number or bool as it is written.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// keep returns what keeps the node for later.
func keep(to *ast.Node) func(ast.Node, string) error {
	return func(n ast.Node, _ string) error {
		*to = n
		return nil
	}
}

// text returns what reads a text that is not empty.
func (r *reader) text(to *string) func(ast.Node, string) error {
	return func(n ast.Node, name string) (err error) {
		*to, err = r.textOf(n, name)
		return err
	}
}

func (r *reader) textOf(n ast.Node, what string) (string, error) {
	value, ok := text(n)
	if !ok || value == "" {
		return "", r.wrong(n, what, "a text")
	}
	return value, nil
}

// oneOrMore returns the elements of a list, or what stands in the place of one.
func oneOrMore(n ast.Node) []ast.Node {
	if sequence, ok := n.(*ast.SequenceNode); ok {
		return sequence.Values
	}
	return []ast.Node{n}
}

// texts returns what reads a text, or a list of texts.
func (r *reader) texts(to *[]string) func(ast.Node, string) error {
	return func(n ast.Node, name string) (err error) {
		*to, err = r.textsOf(n, name)
		return err
	}
}

func (r *reader) textsOf(n ast.Node, what string) ([]string, error) {
	list := []ast.Node{n}
	if sequence, ok := n.(*ast.SequenceNode); ok {
		list = sequence.Values
	}
	var texts []string
	for _, element := range list {
		value, err := r.textOf(element, what)
		if err != nil {
			return nil, err
		}
		texts = append(texts, value)
	}
	return texts, nil
}

// oneOf returns what reads one of a few words.
func oneOf[T ~string](r *reader, to *T, allowed ...T) func(ast.Node, string) error {
	return func(n ast.Node, name string) error {
		value, _ := text(n)
		if !slices.Contains(allowed, T(value)) {
			words := make([]string, len(allowed))
			for i, word := range allowed {
				words[i] = string(word)
			}
			return r.wrong(n, name, enumerate(words, " or "))
		}
		*to = T(value)
		return nil
	}
}

// duration returns what reads a length of time, in whole milliseconds.
func (r *reader) duration(to *time.Duration, least time.Duration) func(ast.Node, string) error {
	return func(n ast.Node, name string) error {
		value, _ := text(n)
		d, err := time.ParseDuration(value)
		switch {
		case err != nil || d < 0 || d%time.Millisecond != 0:
			return r.wrong(n, name, "a length of time in whole milliseconds, such as 500ms, 60s or 24h")
		case d < least:
			return r.wrong(n, name, least.String()+" or more")
		}
		*to = d
		return nil
	}
}

// milliseconds is duration, for settings that are numbers.
func (r *reader) milliseconds(to *int64, least time.Duration) func(ast.Node, string) error {
	return func(n ast.Node, name string) error {
		var d time.Duration
		err := r.duration(&d, least)(n, name)
		*to = d.Milliseconds()
		return err
	}
}

// whole returns what reads a whole number of at least so much.
func whole[T int | int64 | uint64](r *reader, to *T, least T) func(ast.Node, string) error {
	return func(n ast.Node, name string) error {
		var value T
		ok := false
		if integer, isInteger := n.(*ast.IntegerNode); isInteger {
			switch v := integer.Value.(type) {
			case int64:
				value = T(v)
				ok = int64(value) == v && (v >= 0) == (value >= 0)
			case uint64:
				value = T(v)
				ok = uint64(value) == v && value >= 0
			}
		}
		switch {
		case !ok && least < 0:
			return r.wrong(n, name, "a whole number")
		case !ok || value < least:
			return r.wrong(n, name, fmt.Sprintf("a whole number, %d or more", least))
		}
		*to = value
		return nil
	}
}

// enumerate makes one text of several: a, b or c.
func enumerate(texts []string, last string) string {
	n := len(texts) - 1
	if n < 1 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:n], ", ") + last + texts[n]
}
