package codec

import (
	"bytes"
	"math"
	"strconv"
)

// JSON is the codec json: one JSON object a line.
type JSON struct{}

// Name returns "json".
func (JSON) Name() string { return "json" }

// Split finds the first line that is not blank.
func (JSON) Split(s *Scan, buf []byte, bytesMax int) (frame []byte, n int, err error) {
	if s.Offset == 0 {
		if n := skipSpace(buf, 0); n > 0 {
			return nil, n, nil
		}
	}
	end := bytes.IndexByte(buf[s.Offset:], '\n')
	if end < 0 {
		// A carriage return at the end may yet turn out to be half a line end.
		if len(trimReturn(buf)) > bytesMax {
			return nil, 0, tooLarge(bytesMax)
		}
		s.Offset = len(buf)
		return nil, 0, nil
	}
	end += s.Offset
	line := trimReturn(buf[:end])
	if len(line) > bytesMax {
		return nil, 0, tooLarge(bytesMax)
	}
	return line, end + 1, nil
}

// trimReturn returns line without a carriage return at its end.
func trimReturn(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

// DecodeRequest implements Codec.
func (JSON) DecodeRequest(frame []byte, f *Frame) error {
	f.Reset()
	if f.quick(frame) {
		return nil
	}
	return decodeJSONRequest(frame, f)
}

func decodeJSONRequest(frame []byte, f *Frame) error {
	f.Reset()
	s := f.jsonScratch()
	fields := &s.request
	r := fieldReader{err: s.decodeLine(frame, fields)}
	if r.err != nil {
		fields.find(frame)
	}
	f.Type = r.typeName(fields.Type)
	r.options(f, fields)
	if fields.QueryIndex != nil || !f.OneWay {
		r.index(f, fields.QueryIndex)
	}
	return r.err
}

// DecodeReply implements Codec.
func (JSON) DecodeReply(frame []byte, f *Frame) error {
	f.Reset()
	s := f.jsonScratch()
	fields := &s.reply
	r := fieldReader{err: s.decodeLine(frame, fields)}
	switch {
	case !isNull(fields.Err), !isNull(fields.Code):
		f.Kind = Failure
		f.Err.Code, _ = codeOf(fields.Code)
		r.failure(&f.Err, &fields.failureFields)
	case fields.Event != nil:
		f.Kind = Push
		f.Payload = value(fields.Event)
	default:
		f.Kind = Reply
		f.Payload = value(fields.ResultJob)
		f.Rev = r.uint("rev", fields.Rev, math.MaxUint64)
	}
	if fields.Type != nil || f.Kind != Failure {
		f.Type = r.typeName(fields.Type)
	}
	if fields.QueryIndex != nil || f.Kind == Reply {
		r.index(f, fields.QueryIndex)
	}
	return r.err
}

// Append appends f as a line. f's payload must be valid JSON, unless it is opaque.
func (JSON) Append(dst []byte, f *Frame) ([]byte, error) {
	start := len(dst)
	switch f.Kind {
	case Request:
		dst = appendRequest(dst, f)
	case Reply:
		dst = appendIdentity(append(dst, '{'), f)
		dst = appendPayload(appendName(dst, "resultJob"), f)
		if f.Rev != 0 {
			dst = strconv.AppendUint(appendName(dst, "rev"), f.Rev, 10)
		}
		dst = append(dst, '}')
	case Failure:
		dst = appendIdentity(append(dst, '{'), f)
		dst = append(appendFailure(dst, &f.Err, true), '}')
	case Push:
		dst = appendPush(dst, f)
	default:
		return dst, unknownKind(f.Kind)
	}
	// In valid JSON a line feed is white space between tokens, so that a payload may hold it, but a line may not.
	for line := dst[start:]; ; {
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			return append(dst, '\n'), nil
		}
		line[i] = ' '
		line = line[i+1:]
	}
}
