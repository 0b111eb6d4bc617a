package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	indexDigits = 8
	checkDigits = 7
)

// template is a frame with two gaps: its index and the number in its payload.
type template struct {
	frame     []byte
	separator []byte // what ends a frame, if anything; nil: frames are binary
	indexAt   int    // offset of the index: digits, or where separator is nil 8 bytes big-endian (as many)
	checkAt   int    // offset of the payload's number, digits; behind the index
	looseAt   int    // offset of a byte, before the index, that may be anything; -1: none
}

// append appends the frame to dst, its gaps filled.
func (t *template) append(dst []byte, conn uint32, index uint64) []byte {
	start := len(dst)
	dst = append(dst, t.frame...)
	frame := dst[start:]
	if t.separator == nil {
		binary.BigEndian.PutUint64(frame[t.indexAt:], index)
	} else {
		putDigits(frame[t.indexAt:t.indexAt+indexDigits], index)
	}
	putDigits(frame[t.checkAt:t.checkAt+checkDigits], checkNumber(conn, index))
	return dst
}

// index reads the index of the frame that buf begins with.
func (t *template) index(buf []byte) (uint64, bool) {
	gap := buf[t.indexAt : t.indexAt+indexDigits]
	if t.separator != nil {
		return digits(gap)
	}
	index := binary.BigEndian.Uint64(gap)
	return index, index >= IndexMin && index <= IndexMax
}

// matches says whether buf, which is at least as long as the frame, begins with this frame as sent on conn, whatever its
// index.
func (t *template) matches(buf []byte, conn uint32, index uint64) bool {
	check, ok := digits(buf[t.checkAt : t.checkAt+checkDigits])
	return ok && check == checkNumber(conn, index) &&
		t.headMatches(buf[:t.indexAt]) &&
		bytes.Equal(buf[t.indexAt+indexDigits:t.checkAt], t.frame[t.indexAt+indexDigits:t.checkAt]) &&
		bytes.Equal(buf[t.checkAt+checkDigits:len(t.frame)], t.frame[t.checkAt+checkDigits:])
}

// headMatches compares what lies before the index, or as much of it as head has.
func (t *template) headMatches(head []byte) bool {
	head = head[:min(len(head), t.indexAt)]
	if t.looseAt < 0 || t.looseAt >= len(head) {
		return bytes.Equal(head, t.frame[:len(head)])
	}
	return bytes.Equal(head[:t.looseAt], t.frame[:t.looseAt]) &&
		bytes.Equal(head[t.looseAt+1:], t.frame[t.looseAt+1:len(head)])
}

// templateWire is a Wire whose frames all have the same length.
type templateWire struct {
	request, reply [TypeCount]template
}

func (w *templateWire) AppendRequest(dst []byte, conn uint32, index uint64) []byte {
	return w.request[index%TypeCount].append(dst, conn, index)
}

func (w *templateWire) CheckReply(buf []byte, conn uint32) (n int, index uint64, err error) {
	alike := &w.reply[0] // the frames of all types are laid out alike
	if len(buf) < len(alike.frame) {
		if w.mayBecomeReply(buf) {
			return 0, 0, nil
		}
		if len(buf) >= alike.indexAt+indexDigits {
			index, _ = alike.index(buf)
		}
		return 0, index, fmt.Errorf("not a reply: %s", alike.excerpt(buf))
	}
	index, ok := alike.index(buf)
	if !ok {
		return 0, 0, fmt.Errorf("reply without an index of ours: %s", alike.excerpt(buf))
	}
	t := &w.reply[index%TypeCount]
	if !t.matches(buf, conn, index) {
		return 0, index, fmt.Errorf("got %s, want %s", t.excerpt(buf), t.excerpt(t.append(nil, conn, index)))
	}
	return len(t.frame), index, nil
}

// mayBecomeReply says whether buf, shorter than a reply, may still be the beginning of one.
func (w *templateWire) mayBecomeReply(buf []byte) bool {
	if sep := w.reply[0].separator; sep != nil && bytes.Contains(buf, sep) {
		return false
	}
	for i := range w.reply {
		if w.reply[i].headMatches(buf) {
			return true
		}
	}
	return false
}

// excerpt quotes the start of buf up to the end of the frame, for people.
func (t *template) excerpt(buf []byte) string {
	const bytesMax = 160
	if len(t.separator) > 0 {
		if i := bytes.Index(buf, t.separator); i >= 0 {
			buf = buf[:i]
		}
	} else {
		buf = buf[:min(len(buf), len(t.frame))]
	}
	if len(buf) > bytesMax {
		return fmt.Sprintf("%q…", buf[:bytesMax])
	}
	return fmt.Sprintf("%q", buf)
}

// putDigits fills gap with the last digits of n.
func putDigits(gap []byte, n uint64) {
	for i := len(gap) - 1; i >= 0; i-- {
		gap[i] = '0' + byte(n%10)
		n /= 10
	}
}

// digits reads a number that fills gap.
func digits(gap []byte) (n uint64, ok bool) {
	for _, c := range gap {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	return n, true
}
