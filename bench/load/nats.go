package load

import (
	"bytes"
	"errors"
	"fmt"
)

// natsWire speaks the text protocol of NATS: requests are published on the subjects t0 to t3 with an inbox for the reply.
// Each connection has one inbox for all of its requests, whose replies say themselves what they answer: an inbox for each
// request would be a new subject for the server every time, which costs it more.
type natsWire struct {
	frames  templateWire // with the line end that follows them
	open    brokerHead   // what a connection begins with
	publish [TypeCount]brokerHead
	message brokerHead // before a reply
	conns   []natsConn
}

type natsConn struct {
	opened bool
	pings  int // to be answered
}

// natsOpen is what a client says first. Asking for no_responders makes the server say so where nobody serves a type; that
// goes only with headers.
const (
	natsOpen = `CONNECT {"verbose":false,"pedantic":false,"lang":"go","version":"1","protocol":1,"headers":true,"no_responders":true}` +
		"\r\nSUB " + natsInbox + " 1\r\n"
	natsInbox        = "_INBOX." + brokerConnGap
	natsLineBytesMax = 16 << 10
)

func newNATSWire(c WireConfig) (Wire, error) {
	frames, err := newBrokerFrames(c, "\r\n")
	if err != nil {
		return nil, err
	}
	w := &natsWire{frames: frames, open: newBrokerHead(natsOpen)}
	for t := range w.publish {
		w.publish[t] = newBrokerHead(fmt.Sprintf("PUB t%d %s %d\r\n", t, natsInbox, len(w.frames.request[t].frame)-len("\r\n")))
	}
	w.message = newBrokerHead(fmt.Sprintf("MSG %s 1 %d\r\n", natsInbox, len(w.frames.reply[0].frame)-len("\r\n")))
	return w, nil
}

func (w *natsWire) prepare(conns int) { w.conns = make([]natsConn, conns) }

func (w *natsWire) AppendRequest(dst []byte, conn uint32, index uint64) []byte {
	if c := &w.conns[conn]; !c.opened {
		c.opened = true
		dst = w.open.append(dst, conn)
	}
	dst = w.publish[index%TypeCount].append(dst, conn)
	return w.frames.AppendRequest(dst, conn, index)
}

// CheckReply is hear of other Wires.
func (*natsWire) CheckReply([]byte, uint32) (int, uint64, error) {
	return 0, 0, errors.New("load: what NATS sends is not all replies")
}

func (w *natsWire) hear(buf []byte, conn uint32, done []uint64) (int, []uint64, uint64, error) {
	if head := len(w.message.text); len(buf) >= head && w.message.begins(buf, conn) {
		n, index, err := w.frames.CheckReply(buf[head:], conn)
		if n == 0 {
			return 0, done, index, err
		}
		return head + n, append(done, index), index, nil
	}
	text, n := line(buf, "\r\n")
	if n == 0 {
		if len(buf) > natsLineBytesMax {
			return 0, done, 0, fmt.Errorf("no line of NATS: %s", quoted(buf))
		}
		return 0, done, 0, nil
	}
	switch {
	case string(text) == "PING":
		w.conns[conn].pings++
	case bytes.HasPrefix(text, []byte("INFO ")):
	case bytes.HasPrefix(text, []byte("HMSG ")):
		// It has headers, as no reply has; the first line of them is a status.
		status, size := line(buf[n:], "\r\n")
		switch {
		case size == 0 && len(buf) <= natsLineBytesMax:
			return 0, done, 0, nil
		case string(status) == "NATS/1.0 503":
			return 0, done, 0, errors.New("no responders: nobody serves the type of a request")
		}
		return 0, done, 0, fmt.Errorf("got %s with headers %s", quoted(text), quoted(status))
	default:
		return 0, done, 0, fmt.Errorf("got %s", quoted(text))
	}
	return n, done, 0, nil
}

func (w *natsWire) appendMore(dst []byte, conn uint32) []byte {
	for c := &w.conns[conn]; c.pings > 0; c.pings-- {
		dst = append(dst, "PONG\r\n"...)
	}
	return dst
}
