package load

import (
	"bytes"
	"errors"
	"fmt"
)

// httpHeadBytesMax bounds the status line and header of a response.
const httpHeadBytesMax = 4096

// httpWire speaks HTTP/1.1: requests are POSTs, on a connection that is kept and, where more than one is in flight, without
// waiting for the responses. Which request a response answers is read from its body; that responses come in the order of
// their requests, as HTTP demands, is not checked.
type httpWire struct {
	request, reply [TypeCount]template // requests with their headers; replies are bodies alone
}

func newHTTPWire(c WireConfig) (Wire, error) {
	if c.Echo || c.Codec != "" && c.Codec != "json" {
		return nil, errors.New("load: over http there are JSON frames and no echo")
	}
	w := &httpWire{}
	for t := range TypeCount {
		request, reply, err := textTemplates(t, c.PayloadBytes, "")
		if err != nil {
			return nil, fmt.Errorf("load: %w", err)
		}
		head := fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: kassa\r\nContent-Length: %d\r\n\r\n", len(request.frame))
		request.frame = append(head, request.frame...)
		request.indexAt += len(head)
		request.checkAt += len(head)
		w.request[t], w.reply[t] = request, reply
	}
	return w, nil
}

func (w *httpWire) AppendRequest(dst []byte, conn uint32, index uint64) []byte {
	return w.request[index%TypeCount].append(dst, conn, index)
}

func (w *httpWire) CheckReply(buf []byte, conn uint32) (n int, index uint64, err error) {
	const ok = "HTTP/1.1 200"
	if seen := min(len(buf), len(ok)); string(buf[:seen]) != ok[:seen] {
		return 0, 0, fmt.Errorf("got %s, want %s", quoted(buf), ok)
	}
	head, n := line(buf[:min(len(buf), httpHeadBytesMax)], "\r\n\r\n")
	if n == 0 {
		if len(buf) >= httpHeadBytesMax {
			return 0, 0, fmt.Errorf("a header of more than %d bytes: %s", httpHeadBytesMax, quoted(buf))
		}
		return 0, 0, nil
	}
	length, err := httpBodyLength(head)
	if err != nil {
		return 0, 0, err
	}
	body := buf[n:]
	alike := &w.reply[0] // those of all types are equally long
	if want := len(alike.frame); length != want {
		return 0, 0, fmt.Errorf("a body of %d bytes, want %d: %s", length, want, quoted(body[:min(length, len(body))]))
	}
	if len(body) < length {
		return 0, 0, nil
	}
	body = body[:length]
	index, found := alike.index(body)
	if !found {
		return 0, 0, fmt.Errorf("a body without an index of ours: %s", quoted(body))
	}
	t := &w.reply[index%TypeCount]
	if !t.matches(body, conn, index) {
		return 0, index, fmt.Errorf("got %s, want %s", quoted(body), quoted(t.append(nil, conn, index)))
	}
	return n + length, index, nil
}

// httpBodyLength returns the length of the body behind head, a status line and headers.
func httpBodyLength(head []byte) (int, error) {
	length := -1
	_, n := line(head, "\r\n") // the status
	for n > 0 {
		head = head[n:]
		var field []byte
		if field, n = line(head, "\r\n"); n == 0 {
			field = head // the last one
		}
		name, value, _ := bytes.Cut(field, []byte(":"))
		switch {
		case httpNameIs(name, "content-length"):
			value = bytes.TrimSpace(value)
			number, ok := digits(value)
			if !ok || len(value) == 0 || len(value) > indexDigits || length >= 0 && length != int(number) {
				return 0, fmt.Errorf("no length of a body: %s", quoted(field))
			}
			length = int(number)
		case httpNameIs(name, "transfer-encoding"):
			return 0, fmt.Errorf("a body must come with its length, not with %s", quoted(field))
		}
	}
	if length < 0 {
		return 0, errors.New("a response without Content-Length")
	}
	return length, nil
}

// httpNameIs says whether a header's name is the one given in small letters.
func httpNameIs(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}
