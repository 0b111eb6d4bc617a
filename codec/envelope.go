package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/decoder"
)

// The envelope is the JSON object around a payload. Its fields are decoded as raw values and looked at here, not by
// sonic: so null, absent and of the wrong type can be told apart, and the error names the field.
type raw = sonic.NoCopyRawMessage

type requestFields struct {
	Type       raw `json:"type"`
	QueryIndex raw `json:"queryIndex"`
	Payload    raw `json:"payload"`
	DeadlineMs raw `json:"deadlineMs"`
	Key        raw `json:"key"`
	OneWay     raw `json:"oneWay"`
	MinRev     raw `json:"minRev"`
}

type replyFields struct {
	Type       raw `json:"type"`
	QueryIndex raw `json:"queryIndex"`
	ResultJob  raw `json:"resultJob"`
	Rev        raw `json:"rev"`
	Event      raw `json:"event"`
	failureFields
}

type failureFields struct {
	Err          raw `json:"err"`
	Code         raw `json:"code"`
	RetryAfterMs raw `json:"retryAfterMs"`
	Detail       raw `json:"detail"`
}

// jsonScratch is the memory that decoding JSON works in: zero at the start of a call, of no use after it.
type jsonScratch struct {
	decoder decoder.Decoder
	request requestFields
	reply   replyFields
	failure failureFields
	value   raw
	used    bool // since it was zero
}

// Pretouch compiles the JSON decoders, which otherwise the first frames wait for (milliseconds each). Call it at start.
func Pretouch() error {
	return decoder.PretouchMany([]reflect.Type{
		reflect.TypeFor[requestFields](),
		reflect.TypeFor[replyFields](),
		reflect.TypeFor[failureFields](),
		reflect.TypeFor[raw](),
	})
}

const (
	// strict makes sonic refuse control characters and bad escapes in strings, in raw values too, and match names
	// exactly. It does not make it refuse bad UTF-8: that is replaced.
	strict = decoder.OptionValidateString | decoder.OptionCaseSensitive

	// strictNames makes it refuse names that the struct does not have, besides.
	strictNames = strict | decoder.OptionDisableUnknown
)

// clipBytesMax bounds what an error message quotes of a frame.
const clipBytesMax = 100

func (f *Frame) jsonScratch() *jsonScratch {
	if f.scratch == nil {
		f.scratch = new(jsonScratch)
	}
	f.scratch.used = true
	return f.scratch
}

// decode sets v, which is part of s, to the JSON value that text is. On an error v holds what could be read.
func (s *jsonScratch) decode(text []byte, v any, options decoder.Options) error {
	plain := isPlain(text)
	if plain { // there is nothing in its strings to be validated
		options &^= decoder.OptionValidateString
	}
	s.decoder.Reset(view(text))
	s.decoder.SetOptions(options)
	err := s.decoder.Decode(v)
	if err == nil {
		err = s.decoder.CheckTrailings()
	}
	if !plain && !utf8.Valid(text) {
		return errors.New("not valid UTF-8")
	}
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[decoder.SyntaxError](err); ok {
		// The error as such would keep text alive.
		at := min(max(syntax.Pos, 0), len(text))
		near := text[max(0, at-clipBytesMax/2):min(len(text), at+clipBytesMax/2)]
		return fmt.Errorf("%s at offset %d, near %s", syntax.Message(), at, clip(near, clipBytesMax))
	}
	return err
}

// find sees to what says which request a bad line was. It looks for what decode has not come to: sonic's decoder for other
// architectures than amd64 looks for the end of an object first. And it forgets what was cut, as the 0 of 07.
func (fields *requestFields) find(line []byte) {
	for name, field := range map[string]*raw{"type": &fields.Type, "queryIndex": &fields.QueryIndex} {
		node, err := sonic.GetFromString(view(line), name)
		if err != nil {
			continue
		}
		text, err := node.Raw() // a view, too
		if err != nil {
			continue
		}
		if *field == nil {
			*field = raw(text)
		}
		if end := endIn(line, text); end == len(line) || strings.IndexByte(",}"+spaces, line[end]) < 0 {
			*field = nil
		}
	}
}

// decodeLine is decode for a whole frame, which must be an object.
func (s *jsonScratch) decodeLine(line []byte, v any) error {
	err := s.decode(line, v, strict)
	if !isObject(line) {
		return badFrame("line is not a JSON object: " + clip(line, clipBytesMax))
	}
	if err != nil {
		return badFrame("line is not a JSON object: " + err.Error())
	}
	return nil
}

// isPlain tells whether text is printable ASCII without escapes, as most frames are.
func isPlain(text []byte) bool {
	for ; len(text) >= 32; text = text[32:] {
		if (odd(text)|odd(text[8:])|odd(text[16:])|odd(text[24:]))&highs != 0 {
			return false
		}
	}
	for ; len(text) >= 8; text = text[8:] {
		if odd(text)&highs != 0 {
			return false
		}
	}
	for _, c := range text {
		if c < ' ' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// odd has a high bit set when one of the first eight bytes of text is not plain, and none when all are. A byte without that bit
// gets it by a subtraction when it is below what is subtracted, or when one before it was and borrows.
func odd(text []byte) uint64 {
	x := binary.LittleEndian.Uint64(text)
	return x | (x - ' '*ones) | ((x ^ '\\'*ones) - ones)
}

func isObject(text []byte) bool {
	i := skipSpace(text, 0)
	return i < len(text) && text[i] == '{'
}

func badFrame(message string) error { return NewError(BadFrame, message) }

// A fieldReader turns raw values into those of a Frame, and keeps the first error. Optional fields may be null.
type fieldReader struct{ err error }

func (r *fieldReader) fail(name, what string, v raw) {
	switch {
	case r.err != nil:
	case v == nil:
		r.err = badFrame(name + " is missing")
	default:
		r.err = badFrame(name + " must be " + what + ", not " + clip(v, clipBytesMax))
	}
}

func (r *fieldReader) uint(name string, v raw, largest uint64) uint64 {
	if isNull(v) {
		return 0
	}
	n, ok := parseUint(v)
	if !ok || n > largest {
		r.fail(name, wholeNumber(largest), v)
		return 0
	}
	return n
}

func (r *fieldReader) bool(name string, v raw) bool {
	switch {
	case isNull(v), string(v) == "false":
	case string(v) == "true":
		return true
	default:
		r.fail(name, "true or false", v)
	}
	return false
}

func (r *fieldReader) key(v raw) []byte {
	if isNull(v) {
		return nil
	}
	key, ok := unquote(v)
	if !ok || len(key) > KeyBytesMax {
		r.fail("key", "a string of up to "+strconv.Itoa(KeyBytesMax)+" bytes", v)
		return nil
	}
	return key
}

// typeName is for names of which a server can have a handler.
func (r *fieldReader) typeName(v raw) []byte {
	name, ok := unquote(v)
	if !ok || len(name) == 0 || len(name) > TypeBytesMax {
		r.fail("type", "a string of 1 to "+strconv.Itoa(TypeBytesMax)+" bytes", v)
		return nil
	}
	return name
}

// index sets f's index to v, a whole number.
func (r *fieldReader) index(f *Frame, v raw) {
	if f.Index, f.HasIndex = parseUint(v); !f.HasIndex {
		r.fail("queryIndex", wholeNumber(math.MaxUint64), v)
	}
}

// anyIndex sets f's index to v, any number.
func (r *fieldReader) anyIndex(f *Frame, v raw) {
	if len(v) == 0 || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		r.fail("queryIndex", "a number", v)
		return
	}
	f.HasIndex = true
	var whole bool
	if f.Index, whole = parseUint(v); !whole {
		f.RawIndex = v
	}
}

// options sets f to the fields of a request that may be absent.
func (r *fieldReader) options(f *Frame, fields *requestFields) {
	f.OneWay = r.bool("oneWay", fields.OneWay)
	f.DeadlineMs = uint32(r.uint("deadlineMs", fields.DeadlineMs, math.MaxUint32))
	f.Key = r.key(fields.Key)
	f.MinRev = r.uint("minRev", fields.MinRev, math.MaxUint64)
	f.Payload = value(fields.Payload)
}

// failure sets e to the fields of a failure; the code is up to the caller.
func (r *fieldReader) failure(e *Error, fields *failureFields) {
	if !isNull(fields.Err) {
		message, ok := unquote(fields.Err)
		if !ok {
			r.fail("err", "a string", fields.Err)
		}
		e.Message = string(message)
	}
	e.RetryAfterMs = uint32(r.uint("retryAfterMs", fields.RetryAfterMs, math.MaxUint32))
	e.Detail = value(fields.Detail)
}

// codeOf returns the code that v names; ok is false when it names none that this program knows.
func codeOf(v raw) (c Code, ok bool) {
	name, isString := unquote(v)
	if !isString {
		return Internal, false
	}
	c, ok = codesByName[string(name)]
	if !ok {
		c = Internal
	}
	return c, ok
}

func wholeNumber(largest uint64) string {
	return "a whole number from 0 to " + strconv.FormatUint(largest, 10)
}

// isNull tells whether the field is absent or null.
func isNull(v raw) bool { return len(v) == 0 || string(v) == "null" }

// value returns v with nil for null.
func value(v raw) []byte {
	if isNull(v) {
		return nil
	}
	return v
}

// parseUint returns the number that v, a valid JSON value, stands for, when it is written as digits only.
func parseUint(v raw) (n uint64, ok bool) {
	if len(v) < 20 { // too short to overflow: all but a few
		for _, c := range v {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = 10*n + uint64(c-'0')
		}
		return n, len(v) > 0
	}
	n, err := strconv.ParseUint(view(v), 10, 64)
	if err != nil {
		return 0, false
	}
	return n, true
}

// unquote returns the text of v, a valid JSON value, when it is a string. It aliases v unless v holds escapes.
func unquote(v raw) (text []byte, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return nil, false
	}
	text = v[1 : len(v)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return text, true
	}
	var s string
	err := json.Unmarshal(v, &s)
	return []byte(s), err == nil
}

// appendRequest appends the object that a request is in JSON.
func appendRequest(dst []byte, f *Frame) []byte {
	dst = append(dst, '{')
	dst = appendIdentity(dst, f)
	if len(f.Payload) > 0 {
		dst = appendPayload(appendName(dst, "payload"), f)
	}
	if f.DeadlineMs != 0 {
		dst = strconv.AppendUint(appendName(dst, "deadlineMs"), uint64(f.DeadlineMs), 10)
	}
	if len(f.Key) > 0 {
		dst = appendQuoted(appendName(dst, "key"), view(f.Key))
	}
	if f.OneWay {
		dst = append(appendName(dst, "oneWay"), "true"...)
	}
	if f.MinRev != 0 {
		dst = strconv.AppendUint(appendName(dst, "minRev"), f.MinRev, 10)
	}
	return append(dst, '}')
}

// appendPush appends the object that a push is in JSON.
func appendPush(dst []byte, f *Frame) []byte {
	dst = append(dst, '{')
	dst = appendQuoted(appendName(dst, "type"), view(f.Type))
	dst = appendPayload(appendName(dst, "event"), f)
	return append(dst, '}')
}

// appendIdentity appends type and queryIndex, when f has them.
func appendIdentity(dst []byte, f *Frame) []byte {
	if len(f.Type) > 0 {
		dst = appendQuoted(appendName(dst, "type"), view(f.Type))
	}
	if f.HasIndex {
		dst = appendIndex(appendName(dst, "queryIndex"), f)
	}
	return dst
}

func appendIndex(dst []byte, f *Frame) []byte {
	if len(f.RawIndex) > 0 {
		return append(dst, f.RawIndex...)
	}
	return strconv.AppendUint(dst, f.Index, 10)
}

// appendPayload appends f's payload as a JSON value.
func appendPayload(dst []byte, f *Frame) []byte {
	switch {
	case f.Opaque:
		return appendBase64(dst, f.Payload)
	case len(f.Payload) == 0:
		return append(dst, "null"...)
	}
	return append(dst, f.Payload...)
}

// appendFailure appends the members that e is in JSON.
func appendFailure(dst []byte, e *Error, withCode bool) []byte {
	dst = appendQuoted(appendName(dst, "err"), e.Message)
	if withCode {
		dst = appendQuoted(appendName(dst, "code"), e.Code.String())
	}
	if e.RetryAfterMs != 0 {
		dst = strconv.AppendUint(appendName(dst, "retryAfterMs"), uint64(e.RetryAfterMs), 10)
	}
	if len(e.Detail) > 0 {
		dst = append(appendName(dst, "detail"), e.Detail...)
	}
	return dst
}

// appendName appends a member's name, behind a comma unless it is the object's first.
func appendName(dst []byte, name string) []byte {
	dst = append(appendComma(dst), '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func appendComma(dst []byte) []byte {
	if dst[len(dst)-1] == '{' {
		return dst
	}
	return append(dst, ',')
}

// unknownKind is what Append returns of a frame that no peer can have sent.
func unknownKind(k Kind) error {
	return NewError(Internal, "a frame can not be of kind "+strconv.Itoa(int(k)))
}
