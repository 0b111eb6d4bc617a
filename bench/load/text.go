package load

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	indexGap = "00000000"
	checkGap = "0000000"
)

// textTemplates returns request and reply of type t<typ> as JSON objects with separator behind them.
func textTemplates(typ, payloadBytes int, separator string) (request, reply template, err error) {
	payload, err := payloadOf(payloadBytes)
	if err != nil {
		return template{}, template{}, err
	}
	text := func(result string) template {
		frame := fmt.Appendf(nil, `{"type":"t%d","queryIndex":%s,"%s":%s}%s`, typ, indexGap, result, payload, separator)
		at := bytes.Index(frame, []byte(indexGap))
		return template{
			frame:     frame,
			separator: []byte(separator),
			indexAt:   at,
			checkAt:   at + indexDigits + bytes.Index(frame[at+indexDigits:], []byte(checkGap)),
			looseAt:   -1,
		}
	}
	return text("payload"), text("resultJob"), nil
}

// payloadOf returns a payload of n bytes, the shortest one when n is 0.
func payloadOf(n int) (string, error) {
	const bare, padding = `{"n":` + checkGap + `}`, `,"pad":""`
	switch {
	case n == 0 || n == len(bare):
		return bare, nil
	case n >= len(bare)+len(padding):
		pad := strings.Repeat("x", n-len(bare)-len(padding))
		return `{"n":` + checkGap + `,"pad":"` + pad + `"}`, nil
	}
	return "", fmt.Errorf("payload of %d bytes: %d, or at least %d", n, len(bare), len(bare)+len(padding))
}
