package load

import (
	"bytes"
	"fmt"
)

// brokerHead is what goes before a frame where a broker carries it: text with a gap for the connection's number, by which
// replies find their way.
type brokerHead struct {
	text []byte
	at   int // offset of the number
}

// brokerConnGap is where the number of a connection stands in a head.
const brokerConnGap = "0000000"

// newBrokerHead returns a head whose first brokerConnGap is the gap.
func newBrokerHead(text string) brokerHead {
	return brokerHead{[]byte(text), bytes.Index([]byte(text), []byte(brokerConnGap))}
}

// append appends the head of a connection's frame to dst.
func (h *brokerHead) append(dst []byte, conn uint32) []byte {
	dst = append(dst, h.text...)
	start := len(dst) - len(h.text) + h.at
	putDigits(dst[start:start+len(brokerConnGap)], uint64(conn))
	return dst
}

// begins says whether buf begins with the head of that connection, or is its beginning.
func (h *brokerHead) begins(buf []byte, conn uint32) bool {
	var own [64]byte
	text := h.append(own[:0], conn)
	n := min(len(buf), len(text))
	return bytes.Equal(buf[:n], text[:n])
}

// newBrokerFrames returns the frames that are carried, with what ends them.
func newBrokerFrames(c WireConfig, end string) (w templateWire, err error) {
	if c.Codec != "" && c.Codec != "json" {
		return w, fmt.Errorf("load: %s carries frames of codec json, not %q", c.Protocol, c.Codec)
	}
	for t := range TypeCount {
		if w.request[t], w.reply[t], err = textTemplates(t, c.PayloadBytes, end); err != nil {
			return w, fmt.Errorf("load: %w", err)
		}
	}
	return w, nil
}
