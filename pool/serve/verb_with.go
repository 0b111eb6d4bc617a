package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/when"
	"github.com/kassa-go/kassa/pool/wire"
)

// verbMembers are the fields that Verb.With has.
type verbMembers map[string]json.RawMessage

func (v *Verb) members() (verbMembers, error) {
	if v.With == nil {
		return nil, nil
	}
	var with verbMembers
	text := bytes.TrimSpace(v.With)
	switch {
	case !json.Valid(text):
		return nil, verbErrorf("with", "with is not JSON")
	case text[0] != '{' || json.Unmarshal(text, &with) != nil:
		return nil, verbErrorf("with", "with is %.64s: want an object, such as {seats: payload.seats}: the payload of %s", text, v.Op)
	}
	return with, nil
}

// field returns the type of a field of the operation's payload.
func (v *Verb) field(name string) (reflect.Type, bool) {
	op := verbOps[v.Op]
	t, ok := verbFields(op.payload)[name]
	return t, ok && !slices.Contains(op.foreign, name)
}

// verbFields returns the fields of a struct, by their names in JSON.
func verbFields(t reflect.Type) map[string]reflect.Type {
	fields := make(map[string]reflect.Type)
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			fields[name] = f.Type
		}
	}
	return fields
}

// numbered reports whether with names a lease, hold or sale by its number and token.
func (v *Verb) numbered(with verbMembers) bool {
	return with[verbOps[v.Op].number] != nil || with["token"] != nil
}

// compileWith makes one template of With and of the settings that are fields of the operation's payload.
func (v *Verb) compileWith(with verbMembers) error {
	if err := v.checkWith(with); err != nil {
		return err
	}
	v.payload = nil
	root := verbPart{kind: objectPart}
	if v.Op != "lease.acquire" { // whose settings Acquire knows
		root.set("pool", v.Pool != "" && v.Item == "", verbPart{kind: fixedPart, fixed: verbJSON(v.Pool)})
		root.set("owner", v.Owner != "", verbPart{kind: textPart, source: v.owner})
		root.set("ttlMs", v.TTLMs != 0, verbPart{kind: fixedPart, fixed: verbJSON(v.TTLMs)})
		root.set("limit", v.Limit != 0, verbPart{kind: fixedPart, fixed: verbJSON(v.Limit)})
		if v.Op == "hold.create" {
			wait := int64(VerbWaitMaxMs)
			if v.WaitMs != nil {
				wait = *v.WaitMs
			}
			root.set("waitMs", wait != 0, verbPart{kind: fixedPart, fixed: verbJSON(wait)})
		}
	}
	c := verbWithCompiler{v.Op}
	for _, name := range slices.Sorted(maps.Keys(with)) {
		t, _ := v.field(name)
		part, err := c.value(t, "with."+name, name, with[name])
		if err != nil {
			return err
		}
		if name == "ttlMs" && part.kind == fixedPart {
			return verbErrorf("with", "with.ttlMs is %s: a length that is always the same stands beside with, as in ttl: 10m", part.fixed)
		}
		root.set(name, true, part)
	}
	if len(root.parts) > 0 {
		v.payload = &root
	}
	return nil
}

// checkWith checks which fields with has.
func (v *Verb) checkWith(with verbMembers) error {
	op := verbOps[v.Op]
	for _, name := range slices.Sorted(maps.Keys(with)) {
		switch _, ok := v.field(name); {
		case ok && (name == "pool" || name == "waitMs"):
			return verbErrorf("with", "with has %s: that stands beside with", name)
		case !ok:
			fields := slices.DeleteFunc(slices.Sorted(maps.Keys(verbFields(op.payload))), func(name string) bool {
				_, ok := v.field(name)
				return !ok || name == "pool" || name == "waitMs"
			})
			if len(fields) == 0 {
				return verbErrorf("with", "with has %s, and %s wants no more than the pool: take with out", name, v.Op)
			}
			return verbErrorf("with", "with has %s, which %s has not: there are %s", name, v.Op, verbList(fields, " and "))
		case v.Item != "" && (name == op.number || name == "token" || name == "seats" && v.Op != "hold.confirm"):
			return verbErrorf("with", "with has %s, and item says which one is meant: take one of them out", name)
		}
	}
	for _, twice := range []struct {
		name, key string
		set       bool
	}{
		{"owner", "owner", v.Owner != ""},
		{"ttlMs", "ttl", v.TTLMs != 0},
		{"strategy", "strategy", v.Strategy != ""},
		{"priority", "priority", v.Priority != 0},
		{"onDisconnect", "onDisconnect", v.OnDisconnect != ""},
		{"outcome", "outcome", v.Outcome != ""},
		{"limit", "limit", v.Limit != 0},
	} {
		if twice.set && with[twice.name] != nil {
			return verbErrorf("with", "with has %s, and %s is set beside it: take one of them out", twice.name, twice.key)
		}
	}
	needs := op.needs
	if op.number != "" && v.Item == "" {
		needs = [][]string{{op.number}, {"token"}}
	}
	for _, names := range needs {
		switch {
		case slices.ContainsFunc(names, func(name string) bool { return with[name] != nil }):
		case len(names) == 1:
			return verbErrorf("with", "with has no %s, which %s needs: say where it is, as in with: {%s: payload.%s}", names[0], v.Op, names[0], names[0])
		default:
			return verbErrorf("with", "with has none of %s, and %s needs one: say where it is, as in with: {%s: payload.%s}",
				verbList(names, " and "), v.Op, names[0], names[0])
		}
	}
	return nil
}

// verbPart is a part of the payload that a Verb makes.
type verbPart struct {
	kind    verbPartKind
	name    []byte // of a member of an object, as JSON
	fixed   []byte
	source  verbSource   // of valuePart and textPart
	sources []verbSource // of textsPart
	parts   []verbPart   // of objectPart and arrayPart
	want    reflect.Type // of valuePart
}

type verbPartKind uint8

const (
	fixedPart verbPartKind = iota
	valuePart              // as it is in the payload
	textPart               // numbers and bools become texts
	textsPart              // likewise; one text is a list of one
	objectPart
	arrayPart
)

// set adds a member to an object.
func (p *verbPart) set(name string, is bool, part verbPart) {
	if is {
		part.name = verbJSON(name)
		p.parts = append(p.parts, part)
	}
}

// verbJSON returns a text or a number as JSON.
func verbJSON[T string | int | int64](value T) []byte {
	text, err := appendVerbJSON(nil, value)
	if err != nil {
		panic("serve: a text or a number is not JSON: " + err.Error())
	}
	return text
}

// append appends what a part is with a payload, and reports whether there is anything. An error is a *pool.Error.
func (p *verbPart) append(dst, payload []byte) ([]byte, bool, error) {
	switch p.kind {
	case fixedPart:
		return append(dst, p.fixed...), true, nil
	case valuePart:
		raw, err := verbFind(payload, p.source.path[1:])
		return append(dst, raw...), !isVerbNull(raw), err
	case textPart:
		text, ok, err := p.source.one(payload)
		if ok && err == nil {
			dst, err = appendVerbJSON(dst, text)
		}
		return dst, ok, err
	case textsPart:
		texts, err := verbTexts(p.sources, payload)
		if len(texts) > 0 && err == nil {
			dst, err = appendVerbJSON(dst, texts)
		}
		return dst, len(texts) > 0, err
	}
	brackets := "{}"
	if p.kind == arrayPart {
		brackets = "[]"
	}
	n := 0
	for i := range p.parts {
		part := &p.parts[i]
		before := len(dst)
		if n > 0 {
			dst = append(dst, ',')
		} else {
			dst = append(dst, brackets[0])
		}
		if part.name != nil {
			dst = append(append(dst, part.name...), ':')
		}
		var ok bool
		var err error
		if dst, ok, err = part.append(dst, payload); err != nil {
			return dst, false, err
		}
		if ok {
			n++
		} else {
			dst = dst[:before]
		}
	}
	if n == 0 {
		dst = append(dst, brackets[0])
	}
	return append(dst, brackets[1]), n > 0 || p.kind == arrayPart, nil
}

// blame returns which value of a payload is not what is wanted, nil if all are.
func (p *verbPart) blame(payload []byte) error {
	if p.kind == valuePart {
		raw, err := verbFind(payload, p.source.path[1:])
		if err != nil || isVerbNull(raw) {
			return err
		}
		if _, wrong := verbDecode(p.want, raw); wrong != "" {
			return &pool.Error{Code: pool.BadPayload, Message: fmt.Sprintf("%s is %.64q: %s", p.source.source, raw, wrong)}
		}
	}
	for i := range p.parts {
		if err := p.parts[i].blame(payload); err != nil {
			return err
		}
	}
	return nil
}

// verbDecode returns a value as one of a type, or why it can not be one.
func verbDecode(t reflect.Type, raw json.RawMessage) (value reflect.Value, wrong string) {
	to := reflect.New(t)
	err := json.Unmarshal(raw, to.Interface())
	switch _, own := reflect.TypeAssert[json.Unmarshaler](to); {
	case err == nil:
		return to.Elem(), ""
	case own:
		return to.Elem(), err.Error()
	}
	return to.Elem(), "want " + jsonName(t)
}

// Payload returns the payload of the operation that With and the settings make of that of a request, but for what Acquire,
// ItemOf and OutcomeOf return; nil if there is nothing. An error is a *pool.Error.
func (v *Verb) Payload(payload []byte) ([]byte, error) {
	if v.payload == nil {
		return nil, nil
	}
	made, ok, err := v.payload.append(nil, payload)
	if !ok || err != nil {
		return nil, err
	}
	return made, nil
}

// blame returns which value of a payload it is that made the operation's payload one that can not be decoded. An error is a
// *pool.Error.
func (v *Verb) blame(payload []byte) error {
	if v.payload == nil {
		return nil
	}
	return v.payload.blame(payload)
}

type verbWithCompiler struct {
	op string
}

// value compiles a value that is to become a t. Name is the last of where.
func (c verbWithCompiler) value(t reflect.Type, where, name string, raw json.RawMessage) (verbPart, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	raw = bytes.TrimSpace(raw)
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return c.texts(where, raw)
	case raw[0] == '"':
		return c.text(t, where, name, raw)
	case raw[0] == '[' && t.Kind() == reflect.Slice:
		return c.array(t, where, name, raw)
	case raw[0] == '{' && t.Kind() == reflect.Map || raw[0] == '{' && t.Kind() == reflect.Struct && len(verbFields(t)) > 0:
		return c.object(t, where, raw)
	case raw[0] != '{' && raw[0] != '[' && t.Kind() == reflect.String && string(raw) != "null":
		return c.text(t, where, name, verbJSON(string(raw)))
	}
	return c.literal(t, where, name, raw)
}

func (c verbWithCompiler) array(t reflect.Type, where, name string, raw json.RawMessage) (verbPart, error) {
	p := verbPart{kind: arrayPart}
	elements, err := withElements(where, raw)
	for i := 0; i < len(elements) && err == nil; i++ {
		var part verbPart
		part, err = c.value(t.Elem(), fmt.Sprintf("%s[%d]", where, i), name, elements[i])
		p.parts = append(p.parts, part)
	}
	return p, err
}

func withElements(where string, raw json.RawMessage) ([]json.RawMessage, error) {
	var elements []json.RawMessage
	switch err := json.Unmarshal(raw, &elements); {
	case err != nil:
		return nil, verbErrorf("with", "%s: %v", where, err)
	case len(elements) == 0:
		return nil, withEmpty(where)
	}
	return elements, nil
}

func (c verbWithCompiler) object(t reflect.Type, where string, raw json.RawMessage) (verbPart, error) {
	p := verbPart{kind: objectPart}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return p, verbErrorf("with", "%s: %v", where, err)
	}
	var fields map[string]reflect.Type
	if t.Kind() == reflect.Struct {
		fields = verbFields(t)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		member, ok := fields[name]
		switch {
		case fields == nil && name == "":
			return p, verbErrorf("with", "%s has a label without a name", where)
		case fields == nil:
			member = t.Elem()
		case !ok:
			return p, verbErrorf("with", "%s has %s: there are only %s", where, name, verbList(slices.Sorted(maps.Keys(fields)), " and "))
		}
		part, err := c.value(member, where+"."+name, name, members[name])
		if err != nil {
			return p, err
		}
		p.set(name, true, part)
	}
	return p, nil
}

// texts compiles a text or a list of texts, each a path or a text.
func (c verbWithCompiler) texts(where string, raw json.RawMessage) (verbPart, error) {
	p := verbPart{kind: textsPart}
	elements := []json.RawMessage{raw}
	if raw[0] == '[' {
		var err error
		if elements, err = withElements(where, raw); err != nil {
			return p, err
		}
	}
	for _, element := range elements {
		text, ok := verbText(element)
		if !ok {
			return p, verbErrorf("with", "%s is %.64s: want a text, or a list of texts", where, raw)
		}
		source, err := parseWithSource(where, text)
		switch {
		case err != nil:
			return p, err
		case source.path == nil && source.text == "":
			return p, withEmpty(where)
		}
		p.sources = append(p.sources, source)
	}
	return p, nil
}

func parseWithSource(where, text string) (verbSource, error) {
	source, err := parseVerbSource(where, text)
	if err != nil {
		err = &VerbError{"with", err.Error()}
	}
	return source, err
}

// text compiles a path, or a text.
func (c verbWithCompiler) text(t reflect.Type, where, name string, raw json.RawMessage) (verbPart, error) {
	text, _ := verbText(raw)
	source, err := parseWithSource(where, text)
	switch {
	case err != nil:
		return verbPart{}, err
	case source.path == nil:
		return c.literal(t, where, name, verbJSON(source.text))
	case t.Kind() == reflect.String:
		return verbPart{kind: textPart, source: source}, nil
	}
	return verbPart{kind: valuePart, source: source, want: t}, nil
}

// literal compiles a value without paths.
func (c verbWithCompiler) literal(t reflect.Type, where, name string, raw json.RawMessage) (verbPart, error) {
	p := verbPart{kind: fixedPart, fixed: raw}
	if string(raw) == "null" {
		return p, verbErrorf("with", "%s has no value: take it out, or say which", where)
	}
	value, wrong := verbDecode(t, raw)
	if wrong != "" {
		return p, verbErrorf("with", "%s is %.64s: %s, or a path such as payload.%s", where, raw, wrong, name)
	}
	switch value.Kind() {
	case reflect.String:
		return p, c.checkText(where, name, value.String())
	case reflect.Uint64:
		if value.Uint() == 0 {
			return p, verbErrorf("with", "%s is 0: want 1 or more", where)
		}
	case reflect.Int, reflect.Int64:
		least, most := int64(1), int64(1<<53-1)
		switch name {
		case "priority":
			least, most = -verbPriorityMax, verbPriorityMax
		case "limit":
			most = verbLimitMax
		}
		if n := value.Int(); n < least || n > most {
			return p, verbErrorf("with", "%s is %d: want %d to %d", where, n, least, most)
		}
	}
	if m, ok := reflect.TypeAssert[wire.Moment](value); ok && m.Text != "" {
		_, err := when.At(m.Text, time.UTC)
		return p, withTimeError(where, err)
	}
	return p, nil
}

// checkText checks a text that may be only one of a few.
func (c verbWithCompiler) checkText(where, name, text string) error {
	switch name {
	case "strategy":
		return verbWord("with", where, text, pool.First, pool.LRU, pool.Random)
	case "onDisconnect":
		if c.op == "hold.create" {
			return verbWord("with", where, text, pool.Keep, pool.ReleaseOnEnd)
		}
		return verbWord("with", where, text, pool.Keep, pool.ReleaseOnEnd, pool.ReleaseDirtyOnEnd)
	case "outcome":
		return verbWord("with", where, text, pool.Clean, pool.Dirty, pool.Broken)
	case "best":
		return verbWord("with", where, text, pool.Together, pool.Split)
	case "onConflict":
		return verbWord("with", where, text, pool.FailAll, pool.Skip, pool.Report)
	case "to":
		return verbWord("with", where, text, "available", "withheld")
	case "zone":
		_, err := when.Zone(text)
		return withTimeError(where, err)
	}
	if text == "" {
		return withEmpty(where)
	}
	return nil
}

func withEmpty(where string) error {
	return verbErrorf("with", "%s is empty: take it out, or say which", where)
}

// withTimeError is an error of package when as one of with.
func withTimeError(where string, err error) error {
	if e, ok := errors.AsType[*when.Error](err); ok {
		return verbErrorf("with", "%s: %s", where, e.Message)
	}
	return err
}
