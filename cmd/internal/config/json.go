package config

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// json returns a value as JSON. What names it in errors.
func (r *reader) json(n ast.Node, what string) (json.RawMessage, error) {
	return r.appendJSON(nil, n, what)
}

func (r *reader) appendJSON(dst []byte, n ast.Node, what string) (_ []byte, err error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return append(dst, "null"...), nil
	case *ast.BoolNode:
		return strconv.AppendBool(dst, n.Value), nil
	case *ast.IntegerNode:
		switch value := n.Value.(type) {
		case int64:
			return strconv.AppendInt(dst, value, 10), nil
		case uint64:
			return strconv.AppendUint(dst, value, 10), nil
		}
	case *ast.FloatNode:
		if written := n.Token.Value; json.Valid([]byte(written)) {
			return append(dst, written...), nil
		}
		if !math.IsInf(n.Value, 0) && !math.IsNaN(n.Value) {
			return strconv.AppendFloat(dst, n.Value, 'g', -1, 64), nil
		}
	case *ast.StringNode, *ast.LiteralNode:
		value, _ := text(n)
		return appendString(dst, value), nil
	case *ast.SequenceNode:
		dst = append(dst, '[')
		for i, element := range n.Values {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = r.appendJSON(dst, element, what); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case *ast.MappingNode, *ast.MappingValueNode:
		entries, err := r.entries(n, what)
		if err != nil {
			return nil, err
		}
		dst = append(dst, '{')
		for i, e := range entries {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, e.key), ':')
			if dst, err = r.appendJSON(dst, e.value, what+"."+e.key); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	return nil, r.wrong(n, what, "what JSON has: a text, a finite number, true, false, null, a list, or names and values")
}

func appendString(dst []byte, value string) []byte {
	if !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r >= 0x7f }) {
		return append(append(append(dst, '"'), value...), '"')
	}
	w := bytes.NewBuffer(dst)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic(err) // a string is always JSON
	}
	return bytes.TrimSuffix(w.Bytes(), []byte("\n"))
}
