package codec

import (
	"bytes"
	"math"

	"github.com/bytedance/sonic/decoder"
)

// quick reads a request that is written as clients write it: printable ASCII without escapes, no space in the envelope,
// each name one that is known, with a value of its kind. To make a struct of such a line first, as sonic does, costs twice as
// much: here only the payload, which can be any JSON, is left to sonic to check. ok is false for all other lines, bad ones too:
// they are sonic's, and f is to be reset. What quick takes it reads as they would be.
func (f *Frame) quick(line []byte) (ok bool) {
	if !isPlain(line) || len(line) < 2 || line[0] != '{' {
		return false
	}
	for rest := line[1:]; ; {
		name, rest2, ok := quickText(rest)
		if !ok || len(rest2) == 0 || rest2[0] != ':' {
			return false
		}
		rest = rest2[1:]
		switch string(name) {
		case "type":
			f.Type, rest, ok = quickText(rest)
			ok = ok && len(f.Type) > 0 && len(f.Type) <= TypeBytesMax
		case "queryIndex":
			f.Index, rest, ok = quickUint(rest, math.MaxUint64)
			f.HasIndex = true
		case "payload":
			var start, end int
			start, end = decoder.Skip(rest)
			if ok = start == 0 && end <= len(rest); ok {
				f.Payload, rest = value(rest[:end:end]), rest[end:]
			}
		case "deadlineMs":
			var ms uint64
			ms, rest, ok = quickUint(rest, math.MaxUint32)
			f.DeadlineMs = uint32(ms)
		case "key":
			f.Key, rest, ok = quickText(rest)
			ok = ok && len(f.Key) <= KeyBytesMax
		case "oneWay":
			f.OneWay = bytes.HasPrefix(rest, []byte("true"))
			ok = f.OneWay
			rest = rest[min(len("true"), len(rest)):]
		case "minRev":
			f.MinRev, rest, ok = quickUint(rest, math.MaxUint64)
		default:
			return false
		}
		switch {
		case !ok || len(rest) == 0:
			return false
		case rest[0] == ',':
			rest = rest[1:]
		case rest[0] == '}':
			return len(rest) == 1 && f.Type != nil && (f.HasIndex || f.OneWay)
		default:
			return false
		}
	}
}

// quickText takes a string off the front of text, which is plain.
func quickText(text []byte) (s, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return nil, text, false
	}
	end := bytes.IndexByte(text[1:], '"')
	if end < 0 {
		return nil, text, false
	}
	return text[1 : 1+end : 1+end], text[2+end:], true
}

// quickUint takes a number of digits off the front of text.
func quickUint(text []byte, largest uint64) (n uint64, rest []byte, ok bool) {
	const digitsMax = 19 // of which none overflows
	i := 0
	for i < len(text) && i <= digitsMax && text[i]-'0' <= 9 {
		n = 10*n + uint64(text[i]-'0')
		i++
	}
	leadingZero := i > 1 && text[0] == '0'
	return n, text[i:], i > 0 && i <= digitsMax && !leadingZero && n <= largest
}
