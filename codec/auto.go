package codec

import (
	"fmt"
	"strings"
)

// Auto is the codec auto, a Detector: a connection's first bytes say which of JSON, Crab and Binary its client speaks.
// Until then, and in its methods, it is JSON.
type Auto struct{ JSON }

// Name returns "auto".
func (Auto) Name() string { return "auto" }

// Where Detect stands. What it keeps in Scan.State besides: bits 8 to 15, the last byte that was neither white space
// nor part of a string; bits 32 to 63, how many objects and arrays are open.
const (
	beforeObject = iota
	inObject
	inText // a string within the object
	afterObject
)

// detectSlack is how many bytes behind a first object of the largest size may be needed for the decision.
const detectSlack = 2 * len(crab)

// Detect follows the first object by depth and strings up to its end. What stands behind it decides: after spaces and
// tabs, a crab means Crab, anything else JSON; a line end too, since a client that sends lines now waits for its answer.
// A beginning that only one of the two can have had decides at once, so that a broken one is answered.
func (Auto) Detect(s *Scan, buf []byte, bytesMax int) (Codec, error) {
	buf = buf[:min(len(buf), bytesMax+detectSlack)]
	i := s.Offset
	phase, last, depth := uint8(s.State), byte(s.State>>8), uint32(s.State>>32)
scan:
	for i < len(buf) {
		c := buf[i]
		if c == crab[0] && phase != beforeObject {
			switch separator(buf[i:], phase == inText) {
			case yes:
				return Crab{}, nil
			case unknown:
				break scan
			}
			i++
			continue
		}
		switch phase {
		case beforeObject:
			switch {
			case c == magic && i == 0:
				return Binary{}, nil
			case c == '{':
				phase, depth = inObject, 1
			case strings.IndexByte(spaces, c) < 0:
				return nil, badFrame(fmt.Sprintf("a connection begins with a JSON object, in lines (json) or with "+
					"U+1F980 behind each (crab), or with the byte 0xB5 (binary), not with %q", c))
			}
			last = c
			i++
		case inObject:
			switch c {
			case '"':
				phase = inText
			case '{':
				if strings.IndexByte("[,:", last) < 0 {
					return JSON{}, nil // the line before was cut short, and this is the next
				}
				depth++
			case '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					phase = afterObject
				}
			}
			if strings.IndexByte(spaces, c) < 0 {
				last = c
			}
			i++
		case inText:
			switch c {
			case '"':
				phase = inObject
				i++
			case '\n':
				return JSON{}, nil // no string holds one: it is a line end
			default:
				end := skipText(buf, i)
				if end == i {
					break scan
				}
				i = end
			}
		case afterObject:
			if c != ' ' && c != '\t' {
				return JSON{}, nil
			}
			i++
		}
	}
	if len(buf) == bytesMax+detectSlack {
		return nil, tooLarge(bytesMax)
	}
	s.Offset = i
	s.State = uint64(phase) | uint64(last)<<8 | uint64(depth)<<32
	return nil, nil
}
