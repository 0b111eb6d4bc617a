package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// grpcWire makes unary calls of gRPC, to the service that stands in bench/peers/desk/desk.proto. Messages are protobuf, with
// what is in kassa's frames: type, index and payload.
type grpcWire struct {
	method  rpcMethod
	message [TypeCount]grpcMessage // of the request as of the reply
	conns   []rpcConn
}

func newGRPCWire(c WireConfig) (Wire, error) {
	w := &grpcWire{method: newRPCMethod("/kassa.bench.Desk/Ask")}
	payload, err := payloadOf(c.PayloadBytes)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	for t := range w.message {
		w.message[t] = newGRPCMessage(t, payload)
	}
	if n := len(w.message[0].bytes); n > http2Window {
		return nil, fmt.Errorf("load: a message of gRPC with %d bytes, of at most %d", n, http2Window)
	}
	return w, nil
}

// grpcMessage is a message with two gaps: its index and the number in its payload.
type grpcMessage struct {
	bytes     []byte
	indexAt   int // offset of the index, a varint: eight digits are always four bytes
	checkAt   int // offset of the payload's number, digits; behind the index
	headBytes int // up to the end of the second gap, at most grpcHeadMax
}

const grpcHeadMax = 64

func newGRPCMessage(typ int, payload string) grpcMessage {
	const typeField, indexField, payloadField = 1<<3 | 2, 2 << 3, 3<<3 | 2 // number and kind; 0 is a varint, 2 has a length
	b := make([]byte, rpcPrefixBytes)
	b = append(b, typeField, 2, 't', '0'+byte(typ), indexField)
	m := grpcMessage{indexAt: len(b)}
	b = binary.AppendUvarint(b, IndexMin)
	b = binary.AppendUvarint(append(b, payloadField), uint64(len(payload)))
	m.checkAt = len(b) + bytes.Index([]byte(payload), []byte(checkGap))
	m.headBytes = m.checkAt + checkDigits
	m.bytes = append(b, payload...)
	binary.BigEndian.PutUint32(m.bytes[1:], uint32(len(m.bytes)-rpcPrefixBytes))
	return m
}

// fill fills the gaps of b, which begins with the message.
func (m *grpcMessage) fill(b []byte, conn uint32, index uint64) {
	binary.PutUvarint(b[m.indexAt:], index)
	putDigits(b[m.checkAt:m.headBytes], checkNumber(conn, index))
}

// matches says whether part is what the message has from offset at on.
func (m *grpcMessage) matches(part []byte, at int, conn uint32, index uint64) bool {
	if len(part) > len(m.bytes)-at {
		return false
	}
	var head [grpcHeadMax]byte
	copy(head[:], m.bytes[:m.headBytes])
	m.fill(head[:], conn, index)
	inHead := min(max(0, m.headBytes-at), len(part))
	return bytes.Equal(part[:inHead], head[min(at, m.headBytes):][:inHead]) &&
		bytes.Equal(part[inHead:], m.bytes[at+inHead:][:len(part)-inHead])
}

func (w *grpcWire) prepare(conns int) { w.conns = make([]rpcConn, conns) }

func (w *grpcWire) AppendRequest(dst []byte, conn uint32, index uint64) []byte {
	c := &w.conns[conn]
	if !c.opened {
		dst = c.open(dst)
	}
	c.waiting.add(index)
	return w.appendWaiting(dst, c, conn)
}

// appendWaiting appends the calls that the server takes; the others wait until it takes more.
func (w *grpcWire) appendWaiting(dst []byte, c *rpcConn, conn uint32) []byte {
	for {
		index := c.waiting.at(0)
		m := &w.message[index%TypeCount]
		if index == 0 || !c.fits(len(m.bytes)) {
			return dst
		}
		c.waiting.shift()
		var at int
		dst, at = c.call(dst, &w.method, index, m.bytes)
		m.fill(dst[at:], conn, index)
	}
}

// CheckReply is hear of other Wires.
func (*grpcWire) CheckReply([]byte, uint32) (int, uint64, error) {
	return 0, 0, errors.New("load: a call of gRPC takes more than one frame")
}

func (w *grpcWire) hear(buf []byte, conn uint32, done []uint64) (int, []uint64, uint64, error) {
	n, r, err := w.conns[conn].read(buf, len(w.message[0].bytes))
	if n == 0 || r.index == 0 || err != nil {
		return n, done, r.index, err
	}
	m := &w.message[r.index%TypeCount]
	switch {
	case r.over && r.at != len(m.bytes):
		err = fmt.Errorf("a reply of %d bytes, want %d", r.at, len(m.bytes))
	case r.over:
		done = append(done, r.index)
	case !m.matches(r.part, r.at, conn, r.index):
		want := bytes.Clone(m.bytes)
		m.fill(want, conn, r.index)
		err = fmt.Errorf("got %s, want %s", quoted(r.part), quoted(want[min(r.at, len(want)):]))
	}
	return n, done, r.index, err
}

func (w *grpcWire) appendMore(dst []byte, conn uint32) []byte {
	c := &w.conns[conn]
	return w.appendWaiting(c.appendAnswers(dst), c, conn)
}
