package codec

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
	"unsafe"
)

const hexDigits = "0123456789abcdef"

// appendQuoted appends text as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendQuoted(dst []byte, text string) []byte {
	dst = append(dst, '"')
	done := 0 // text[:done] has been appended
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, text[done:i]...)
				dst = append(dst, "\uFFFD"...)
				done = i + size
			}
			i += size
			continue
		}
		i++
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[done:i-1]...)
		done = i
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
		}
	}
	dst = append(dst, text[done:]...)
	return append(dst, '"')
}

// appendBase64 appends data as a JSON string of its base64.
func appendBase64(dst, data []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, data)
	return append(dst, '"')
}

// clip returns text for use in a message: valid UTF-8, and of no more than about bytesMax bytes.
func clip(text []byte, bytesMax int) string {
	tail := ""
	if len(text) > bytesMax {
		for bytesMax > 0 && !utf8.RuneStart(text[bytesMax]) {
			bytesMax--
		}
		text, tail = text[:bytesMax], "…"
	}
	return strings.ToValidUTF8(string(text), "\uFFFD") + tail
}

// view returns b as a string without copying it: for callees that keep no string longer than b lives unchanged.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// endIn returns where in b its part ends that s is a view of; len(b), too, if it is none.
func endIn(b []byte, s string) int {
	at := uintptr(unsafe.Pointer(unsafe.StringData(s))) - uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if at >= uintptr(len(b)) {
		return len(b)
	}
	return int(at) + len(s)
}
