package codec

import (
	"bytes"
	"encoding/json"
)

// Crab is the codec crab: JSON objects with U+1F980 behind each, as net-socket-connector 1.x speaks.
type Crab struct{}

// What the Node clients know.
const (
	crabEscape      = `\ud83e\udd80` // a crab inside a string, where its raw bytes would end the frame for them
	badFrameType    = "errMsgFromClient"
	badFrameMessage = "ошибка в сообщении к серверу"
	unknownTypeText = "Не найден обработчик для запроса "
)

// crabErrorBytesMax bounds the copy of a bad frame that its error carries.
const crabErrorBytesMax = 1 << 10

// Name returns "crab".
func (Crab) Name() string { return "crab" }

// Split finds the first object. s.State is 1 inside a string.
func (Crab) Split(s *Scan, buf []byte, bytesMax int) (frame []byte, n int, err error) {
	if s.Offset == 0 {
		n := skipSpace(buf, 0)
		for bytes.HasPrefix(buf[n:], []byte(crab)) {
			n = skipSpace(buf, n+len(crab))
		}
		if n > 0 {
			return nil, n, nil
		}
	}
	if s.Offset == 0 {
		// A frame without escapes, which has come whole, is found faster.
		end := bytes.IndexByte(buf, crab[0])
		if end >= 0 && end <= bytesMax && bytes.HasPrefix(buf[end:], []byte(crab)) && isPlain(buf[:end]) && bytes.Count(buf[:end], []byte(`"`))%2 == 0 {
			return bytes.TrimRight(buf[:end], spaces), end + len(crab), nil
		}
	}
	i, inString := s.Offset, s.State == 1
scan:
	for i < len(buf) {
		switch c := buf[i]; {
		case c == '"':
			inString = !inString
			i++
		case c == crab[0]:
			switch separator(buf[i:], inString) {
			case yes:
				if i > bytesMax {
					break scan
				}
				return bytes.TrimRight(buf[:i], spaces), i + len(crab), nil
			case unknown:
				break scan
			}
			i++
		case inString:
			end := skipText(buf, i)
			if end == i && c == '\\' {
				break scan
			}
			i = max(end, i+1)
		default:
			i++
		}
	}
	if i > bytesMax {
		return nil, 0, tooLarge(bytesMax)
	}
	s.Offset, s.State = i, 0
	if inString {
		s.State = 1
	}
	return nil, 0, nil
}

// DecodeRequest implements Codec. The type may be any string, the index any number. The message of a BadFrame is the
// frame, which is what the Node clients are shown of it.
func (Crab) DecodeRequest(frame []byte, f *Frame) error {
	f.Reset()
	if f.quick(frame) {
		return nil
	}
	return decodeCrabRequest(frame, f)
}

func decodeCrabRequest(frame []byte, f *Frame) error {
	f.Reset()
	s := f.jsonScratch()
	fields := &s.request
	bad := s.decode(frame, fields, strictNames) != nil
	if bad {
		// Once more, past the names nobody knows: the index may stand behind them.
		_ = s.decode(frame, fields, strict)
		fields.find(frame)
	}
	var r fieldReader
	var isString bool
	f.Type, isString = unquote(fields.Type)
	r.options(f, fields)
	if fields.QueryIndex != nil || !f.OneWay {
		r.anyIndex(f, fields.QueryIndex)
	}
	if bad || !isString || r.err != nil {
		return badFrame(compact(frame))
	}
	return nil
}

// compact returns frame without white space, or as it is when it is not JSON.
func compact(frame []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, frame) != nil {
		return clip(frame, crabErrorBytesMax)
	}
	return clip(b.Bytes(), crabErrorBytesMax)
}

// DecodeReply implements Codec. A resultJob with an err and a code that is known is a failure. One that concerns no
// request has the index 0, as net-socket-connector gives it: so a client that numbers from 1 can tell the two apart.
func (Crab) DecodeReply(frame []byte, f *Frame) error {
	f.Reset()
	s := f.jsonScratch()
	fields := &s.reply
	r := fieldReader{err: s.decodeLine(frame, fields)}
	f.Type = unquoteType(&r, fields.Type)
	if fields.Event != nil {
		f.Kind = Push
		f.Payload = value(fields.Event)
		return r.err
	}
	f.Kind = Reply
	r.anyIndex(f, fields.QueryIndex)
	f.Payload = value(fields.ResultJob)

	notFromRequest := string(f.Type) == badFrameType
	if !notFromRequest && !bytes.Contains(f.Payload, []byte(`"code"`)) {
		return r.err
	}
	failure := &s.failure
	_ = s.decode(f.Payload, failure, strict) // leaves it empty if the payload is no object
	code, known := codeOf(failure.Code)
	_, hasErr := unquote(failure.Err)
	switch {
	case notFromRequest:
		if !known {
			code = BadFrame
		}
		f.Type = nil
		f.HasIndex = f.Index != 0 || len(f.RawIndex) > 0
	case !known || !hasErr:
		return r.err
	}
	f.Kind, f.Payload = Failure, nil
	f.Err.Code = code
	r.failure(&f.Err, failure)
	return r.err
}

func unquoteType(r *fieldReader, v raw) []byte {
	name, ok := unquote(v)
	if !ok {
		r.fail("type", "a string", v)
	}
	return name
}

// Append appends f with a crab behind it. f's payload must be valid JSON, unless it is opaque. A reply's result is made
// an object without a member type, as net-socket-connector does; Rev is left out.
func (Crab) Append(dst []byte, f *Frame) ([]byte, error) {
	start := len(dst)
	switch f.Kind {
	case Request:
		dst = appendRequest(dst, f)
	case Reply:
		dst = appendIdentity(append(dst, '{'), f)
		dst = append(appendResult(appendName(dst, "resultJob"), f), '}')
	case Failure:
		dst = appendCrabFailure(dst, f)
	case Push:
		dst = appendPush(dst, f)
	default:
		return dst, unknownKind(f.Kind)
	}
	// In valid JSON a crab stands in a string.
	if bytes.Contains(dst[start:], []byte(crab)) {
		escaped := bytes.ReplaceAll(dst[start:], []byte(crab), []byte(crabEscape))
		dst = append(dst[:start], escaped...)
	}
	return append(dst, crab...), nil
}

func appendResult(dst []byte, f *Frame) []byte {
	switch {
	case isNull(f.Payload) && !f.Opaque:
		return append(dst, "{}"...)
	case f.Opaque || !isObject(f.Payload):
		dst = appendPayload(append(dst, `{"result":`...), f)
		return append(dst, '}')
	case bytes.Contains(f.Payload, []byte(`"type"`)):
		return appendWithoutType(dst, f.Payload)
	}
	return append(dst, f.Payload...)
}

// appendWithoutType appends object without its own members type. What is not JSON is appended as it is.
func appendWithoutType(dst, object []byte) []byte {
	start := len(dst)
	d := json.NewDecoder(bytes.NewReader(object))
	_, err := d.Token()
	dst = append(dst, '{')
	for err == nil && d.More() {
		var name json.Token
		var v json.RawMessage
		if name, err = d.Token(); err != nil {
			break
		}
		if err = d.Decode(&v); err == nil && name != "type" {
			dst = appendQuoted(appendComma(dst), name.(string))
			dst = append(append(dst, ':'), v...)
		}
	}
	if err != nil {
		return append(dst[:start], object...)
	}
	return append(dst, '}')
}

func appendCrabFailure(dst []byte, f *Frame) []byte {
	e := f.Err
	orphan := e.Code == BadFrame || !f.HasIndex || len(f.Type) == 0 && e.Code != UnknownType
	name := view(f.Type)
	if orphan {
		name = badFrameType
	}
	dst = appendQuoted(append(dst, `{"type":`...), name)
	dst = append(dst, `,"queryIndex":`...)
	if f.HasIndex {
		dst = appendIndex(dst, f)
	} else {
		dst = append(dst, '0')
	}
	dst = append(dst, `,"resultJob":{`...)
	if orphan {
		dst = appendQuoted(appendName(dst, "msg"), badFrameMessage)
	}
	switch e.Code {
	case BadFrame:
		dst = appendQuoted(appendName(dst, "err"), e.Message)
	case UnknownType:
		e.Message = unknownTypeText + string(f.Type)
		fallthrough
	default:
		dst = appendFailure(dst, &e, true)
	}
	return append(dst, "}}"...)
}
