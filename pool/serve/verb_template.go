package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/bytedance/sonic/encoder"
)

// verbTemplate makes a result: JSON with gaps, and what goes into each.
type verbTemplate struct {
	gaps []verbGap
	tail []byte
}

type verbGap struct {
	before []byte // the JSON between the gap before and this one
	get    []verbGetter
	rest   []verbStep // within attrs, which are any JSON
}

// verbGetter is a step in a Go value: an element of a slice, a field of a struct, or an entry of a map.
type verbGetter struct {
	index int
	key   reflect.Value // of a map
}

func compileVerbTemplate(text json.RawMessage, op string) (*verbTemplate, error) {
	trimmed := bytes.TrimSpace(text)
	if !json.Valid(trimmed) {
		return nil, errors.New("result is not JSON")
	}
	if trimmed[0] != '{' {
		return nil, fmt.Errorf("result is %.64s: want an object, such as {id: \"items[0].id\"}, since old clients get nothing else", trimmed)
	}
	c := verbTemplateCompiler{decoder: json.NewDecoder(bytes.NewReader(trimmed)), op: op}
	c.decoder.UseNumber()
	if err := c.value("result"); err != nil {
		return nil, err
	}
	return &verbTemplate{c.gaps, c.literal}, nil
}

type verbTemplateCompiler struct {
	decoder *json.Decoder
	op      string
	gaps    []verbGap
	literal []byte // behind the last gap
}

// value compiles the next value.
func (c *verbTemplateCompiler) value(where string) error {
	token, err := c.decoder.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return c.object(where)
		}
		return c.array(where)
	case string:
		return c.text(where, token)
	default: // a number, true, false, null
		c.literal, err = appendVerbJSON(c.literal, token)
		return err
	}
}

func (c *verbTemplateCompiler) object(where string) (err error) {
	c.literal = append(c.literal, '{')
	for first := true; c.decoder.More(); first = false {
		token, err := c.decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if where == "result" && name == "type" {
			return errors.New("result has a member type, which old clients do not get: choose another name")
		}
		if !first {
			c.literal = append(c.literal, ',')
		}
		if c.literal, err = appendVerbJSON(c.literal, name); err != nil {
			return err
		}
		c.literal = append(c.literal, ':')
		if err := c.value(where + "." + name); err != nil {
			return err
		}
	}
	c.literal = append(c.literal, '}')
	_, err = c.decoder.Token()
	return err
}

func (c *verbTemplateCompiler) array(where string) error {
	c.literal = append(c.literal, '[')
	for i := 0; c.decoder.More(); i++ {
		if i > 0 {
			c.literal = append(c.literal, ',')
		}
		if err := c.value(fmt.Sprintf("%s[%d]", where, i)); err != nil {
			return err
		}
	}
	c.literal = append(c.literal, ']')
	_, err := c.decoder.Token()
	return err
}

// text compiles a string: a path, or a text behind =.
func (c *verbTemplateCompiler) text(where, text string) (err error) {
	if literal, ok := strings.CutPrefix(text, "="); ok {
		c.literal, err = appendVerbJSON(c.literal, literal)
		return err
	}
	path, err := parseVerbPath(text)
	gap := verbGap{before: c.literal}
	if err == nil {
		gap.get, gap.rest, err = bindVerbPath(path, c.op)
	}
	if err != nil {
		return fmt.Errorf("%s is %q: %w (a text of its own is written %q)", where, text, err, "="+text)
	}
	c.gaps = append(c.gaps, gap)
	c.literal = nil
	return nil
}

// bindVerbPath finds the way of a path in the result of an operation. The rest of it lies in JSON.
func bindVerbPath(path []verbStep, op string) (get []verbGetter, rest []verbStep, err error) {
	t := verbOps[op].result
	what := "the result of " + op
	for i, step := range path {
		switch {
		case t == reflect.TypeFor[json.RawMessage]():
			return get, path[i:], nil
		case t.Kind() == reflect.Struct && step.name != "":
			names := make([]string, t.NumField())
			for f := range names {
				names[f], _, _ = strings.Cut(t.Field(f).Tag.Get("json"), ",")
			}
			f := slices.Index(names, step.name)
			if f < 0 {
				return nil, nil, fmt.Errorf("%s has no %s, but %s", what, step.name, verbList(names, " and "))
			}
			get = append(get, verbGetter{index: f})
			t, what = t.Field(f).Type, step.name
		case t.Kind() == reflect.Map && step.name != "":
			get = append(get, verbGetter{key: reflect.ValueOf(step.name)})
			t, what = t.Elem(), step.name
		case t.Kind() == reflect.Slice && step.name == "":
			get = append(get, verbGetter{index: step.index})
			t, what = t.Elem(), fmt.Sprintf("%s[%d]", what, step.index)
		case t.Kind() == reflect.Slice:
			return nil, nil, fmt.Errorf("%s is an array: want %s[0] before .%s", what, what, step.name)
		case step.name == "":
			return nil, nil, fmt.Errorf("%s is no array", what)
		default:
			return nil, nil, fmt.Errorf("%s is no object", what)
		}
	}
	return get, nil, nil
}

func (t *verbTemplate) append(dst []byte, result reflect.Value) ([]byte, error) {
	var err error
	for i := range t.gaps {
		dst = append(dst, t.gaps[i].before...)
		if dst, err = t.gaps[i].append(dst, result); err != nil {
			return dst, err
		}
	}
	return append(dst, t.tail...), nil
}

func (g *verbGap) append(dst []byte, v reflect.Value) ([]byte, error) {
	const null = "null"
	for _, get := range g.get {
		switch v.Kind() {
		case reflect.Struct:
			v = v.Field(get.index)
		case reflect.Map:
			if v = v.MapIndex(get.key); !v.IsValid() {
				return append(dst, null...), nil
			}
		default: // a slice
			if get.index >= v.Len() {
				return append(dst, null...), nil
			}
			v = v.Index(get.index)
		}
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case reflect.Uint64:
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case reflect.String:
		return appendVerbJSON(dst, v.String())
	case reflect.Slice, reflect.Map:
		if v.IsNil() {
			return append(dst, null...), nil
		}
	}
	if len(g.rest) == 0 {
		return appendVerbJSON(dst, v.Interface())
	}
	raw, err := verbFind(v.Bytes(), g.rest)
	if err != nil || len(raw) == 0 {
		return append(dst, null...), nil //nolint:nilerr // attrs that are no JSON have nothing at the end of any path
	}
	return appendVerbJSON(dst, raw)
}

// appendVerbJSON appends v as one line of JSON.
func appendVerbJSON(dst []byte, v any) ([]byte, error) {
	err := encoder.EncodeInto(&dst, v, encoder.CompactMarshaler|encoder.ValidateString|encoder.SortMapKeys)
	return dst, err
}
