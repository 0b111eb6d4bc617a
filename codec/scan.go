package codec

import (
	"bytes"
	"strconv"
	"strings"
)

// crab is U+1F980, which ends a frame of the codec Crab.
const crab = "\U0001F980"

// spaces are the bytes that JSON allows between its tokens.
const spaces = " \t\r\n"

// skipSpace returns the first position from i on that is not white space.
func skipSpace(buf []byte, i int) int {
	for i < len(buf) && (buf[i] == ' ' || buf[i] == '\t' || buf[i] == '\r' || buf[i] == '\n') {
		i++
	}
	return i
}

// skipText returns the first position from i on, inside a JSON string, that matters to one who looks for the string's
// end or for a separator: the closing quote, a line feed, what may be a crab, a backslash whose other half has not
// arrived, or len(buf).
func skipText(buf []byte, i int) int {
	for i < len(buf) {
		switch buf[i] {
		case '"', '\n', crab[0]:
			return i
		case '\\':
			if i+1 == len(buf) {
				return i
			}
			if next := buf[i+1]; next == '"' || next == '\\' {
				i++
			}
		}
		i++
	}
	return i
}

// A verdict on bytes of which some may not have arrived.
type verdict uint8

const (
	no verdict = iota
	yes
	unknown // more bytes are needed
)

// lookaheadBytesMax bounds how far behind a crab inside a string separator looks, and so what it costs to look again
// at each arrival. White space of that length between two frames is not to be expected.
const lookaheadBytesMax = 64

// separator tells whether buf begins with a crab that ends a frame. One inside a string (inString) does not, unless the
// string can not go on like this: a client that forgot a quote must not lose all the frames behind. The beginning of
// an object, `{"` and the first letter of a name, is proof: in a string, that quote would be the last one, and of what
// may follow a string, `,` `}` `]` and `:`, nothing begins a name.
func separator(buf []byte, inString bool) verdict {
	if len(buf) < len(crab) {
		if strings.HasPrefix(crab, string(buf)) {
			return unknown
		}
		return no
	}
	if string(buf[:len(crab)]) != crab {
		return no
	}
	if !inString {
		return yes
	}

	behind := buf[len(crab):min(len(buf), len(crab)+lookaheadBytesMax)]
	missing := unknown
	if len(behind) == lookaheadBytesMax {
		missing = no
	}
	for _, want := range []byte(`{"`) {
		behind = bytes.TrimLeft(behind, spaces)
		switch {
		case len(behind) == 0:
			return missing
		case behind[0] != want:
			return no
		}
		behind = behind[1:]
	}
	behind = bytes.TrimLeft(behind, spaces)
	switch {
	case len(behind) == 0:
		return missing
	case strings.IndexByte(",}]:", behind[0]) >= 0:
		return no
	}
	return yes
}

// tooLarge is what Split and Detect return of a frame over bytesMax bytes.
func tooLarge(bytesMax int) error {
	return NewError(FrameTooLarge, "frame is over the limit of "+strconv.Itoa(bytesMax)+" bytes")
}
