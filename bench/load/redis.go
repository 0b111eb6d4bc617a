package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// redisWire speaks RESP 3: requests are pushed on the lists q:t0 to q:t3, and replies are published on a channel that each
// connection has for itself. A request says in front of its frame which one that is: "r0000007 {…}".
//
// A list for the replies would have to be waited for by a blocking command, of which a connection can have only one, and
// behind which its requests would wait. What is published comes by itself. With CLIENT REPLY OFF nothing else does: the
// answer to a push would be one more write for Redis, and nobody needs it. A push that failed is a reply that is missing.
type redisWire struct {
	frames  templateWire // with the line end that follows them
	open    brokerHead   // what a connection begins with
	opened  brokerHead   // and gets
	element brokerHead   // before a request
	message brokerHead   // before a reply
	conns   []redisConn
}

type redisConn struct {
	asked bool     // open has been sent
	heard bool     // opened has come
	next  []uint64 // requests that go out with the next write
}

const (
	redisChannel = "r" + brokerConnGap
	redisOpen    = "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n" +
		"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n" +
		"*2\r\n$9\r\nSUBSCRIBE\r\n$8\r\n" + redisChannel + "\r\n"
	redisOpened       = ">3\r\n$9\r\nsubscribe\r\n$8\r\n" + redisChannel + "\r\n:1\r\n"
	redisLineBytesMax = 16 << 10
)

func newRedisWire(c WireConfig) (Wire, error) {
	frames, err := newBrokerFrames(c, "\r\n")
	if err != nil {
		return nil, err
	}
	length := func(t template, more string) int { return len(more) + len(t.frame) - len("\r\n") }
	return &redisWire{
		frames:  frames,
		open:    newBrokerHead(redisOpen),
		opened:  newBrokerHead(redisOpened),
		element: newBrokerHead(fmt.Sprintf("$%d\r\n%s ", length(frames.request[0], redisChannel+" "), redisChannel)),
		message: newBrokerHead(fmt.Sprintf(">3\r\n$7\r\nmessage\r\n$8\r\n%s\r\n$%d\r\n", redisChannel, length(frames.reply[0], ""))),
	}, nil
}

func (w *redisWire) prepare(conns int) { w.conns = make([]redisConn, conns) }

// AppendRequest leaves the request to appendMore: all of a type that go out in one write are one command.
func (w *redisWire) AppendRequest(dst []byte, conn uint32, index uint64) []byte {
	c := &w.conns[conn]
	if !c.asked {
		c.asked = true
		dst = w.open.append(dst, conn)
	}
	c.next = append(c.next, index)
	return dst
}

// CheckReply is hear of other Wires.
func (*redisWire) CheckReply([]byte, uint32) (int, uint64, error) {
	return 0, 0, errors.New("load: what Redis sends is not all replies")
}

func (w *redisWire) appendMore(dst []byte, conn uint32) []byte {
	c := &w.conns[conn]
	for t := range uint64(TypeCount) {
		words := 2 // the command and the list
		for _, index := range c.next {
			if index%TypeCount == t {
				words++
			}
		}
		if words == 2 {
			continue
		}
		dst = strconv.AppendInt(append(dst, '*'), int64(words), 10)
		dst = append(dst, "\r\n$5\r\nLPUSH\r\n$4\r\nq:t"...)
		dst = append(dst, '0'+byte(t), '\r', '\n')
		for _, index := range c.next {
			if index%TypeCount == t {
				dst = w.frames.AppendRequest(w.element.append(dst, conn), conn, index)
			}
		}
	}
	c.next = c.next[:0]
	return dst
}

func (w *redisWire) hear(buf []byte, conn uint32, done []uint64) (int, []uint64, uint64, error) {
	c := &w.conns[conn]
	next := &w.message
	if !c.heard {
		next = &w.opened
	}
	head := len(next.text)
	switch {
	case !next.begins(buf, conn):
		text, n := line(buf, "\r\n")
		if n == 0 && len(buf) <= redisLineBytesMax {
			return 0, done, 0, nil
		}
		if !bytes.HasPrefix(text, []byte("-")) { // an error says all in its line
			text = buf
		}
		return 0, done, 0, fmt.Errorf("got %s", quoted(text))
	case len(buf) < head:
		return 0, done, 0, nil
	case !c.heard:
		c.heard = true
		return head, done, 0, nil
	}
	n, index, err := w.frames.CheckReply(buf[head:], conn)
	if n == 0 {
		return 0, done, index, err
	}
	return head + n, append(done, index), index, nil
}
