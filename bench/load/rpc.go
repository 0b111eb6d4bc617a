package load

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// rpcConn is a connection with gRPC's unary calls of one method, each on a stream of its own.
type rpcConn struct {
	http2Conn
	calls    []call // under way; stream s has slot s/2 % len(calls), a power of two
	underWay int
	stream   uint32 // of the last call; 0: there was none
	waiting  order  // requests that the server does not take yet

	// What is known of the server's header fields: how to decode them, and one block each that needs no decoding, for all in
	// it is right.
	fields        *hpack.Decoder
	head, trailer string
}

// call is one that is under way.
type call struct {
	stream uint32 // 0: there is none
	got    uint32 // bytes of the reply's message, with its prefix
	headed bool   // the reply has begun
	index  uint64 // of the request
}

// rpcMethod is the header fields of a method's calls. The first ones on a connection have them in full, and have the server
// remember them; the others refer to that, as those of gRPC's own clients do.
type rpcMethod struct {
	first, next []byte
}

const rpcPrefixBytes = 5 // of each message: whether it is compressed, and its length

func newRPCMethod(path string) rpcMethod {
	// Places in the table that every connection has, and the bits of a field that is a reference, or is to be remembered.
	const (
		authority, post, anyPath, http, contentType = 1, 3, 4, 6, 31
		indexed, remembered                         = 0x80, 0x40
	)
	first := []byte{indexed | post, indexed | http}
	text := func(s string) { first = append(append(first, byte(len(s))), s...) }
	first = append(first, remembered|anyPath)
	text(path)
	first = append(first, remembered|authority)
	text("localhost")
	first = append(first, remembered|contentType)
	text("application/grpc")
	first = append(first, remembered)
	text("te")
	text("trailers")
	// What was remembered last has place 62.
	return rpcMethod{first: first, next: []byte{indexed | post, indexed | http, indexed | 65, indexed | 64, indexed | 63, indexed | 62}}
}

// fits says whether the server takes one more call, with a message of so many bytes.
func (c *rpcConn) fits(messageBytes int) bool {
	return uint32(c.underWay) < c.streamsMax && int64(messageBytes) <= c.window
}

// call appends a call of m with a message, which has its prefix. It returns where in dst the message begins: of a message
// that needs several frames, the first http2FrameMax bytes.
func (c *rpcConn) call(dst []byte, m *rpcMethod, index uint64, message []byte) (_ []byte, at int) {
	fields := m.next
	if c.stream == 0 {
		fields = m.first
		c.stream = 1
	} else {
		c.stream += 2
	}
	c.add(call{stream: c.stream, index: index})
	c.window -= int64(len(message))
	dst = append(appendHTTP2Frame(dst, len(fields), http2Headers, http2EndHeaders, c.stream), fields...)
	at = len(dst) + http2FrameHead
	for len(message) > http2FrameMax {
		dst = append(appendHTTP2Frame(dst, http2FrameMax, http2Data, 0, c.stream), message[:http2FrameMax]...)
		message = message[http2FrameMax:]
	}
	return append(appendHTTP2Frame(dst, len(message), http2Data, http2EndStream, c.stream), message...), at
}

// appendAnswers appends the frames that the server's ask for.
func (c *rpcConn) appendAnswers(dst []byte) []byte {
	dst = append(dst, c.answers...)
	c.answers = c.answers[:0]
	return dst
}

// rpcReply is what a frame says of a reply.
type rpcReply struct {
	index uint64 // of the request; 0: the frame is of none
	at    int    // bytes of the message that have come before
	part  []byte // the next ones, nil where the frame has none; valid as long as the bytes it was read from
	over  bool   // the call is over, and went well
}

// read is that of http2Conn, for what concerns calls.
func (c *rpcConn) read(buf []byte, messageMax int) (n int, r rpcReply, err error) {
	n, f, err := c.http2Conn.read(buf, messageMax)
	if n == 0 || f.stream == 0 {
		return n, r, err
	}
	p := c.find(f.stream)
	if p == nil {
		// A stream that is over may be reset, for form's sake.
		const noError = "\x00\x00\x00\x00"
		if err == nil && (f.typ != http2ResetStream || f.stream > c.stream || string(f.body) != noError) {
			err = fmt.Errorf("a frame of type %d on stream %d, on which no request waits for a reply", f.typ, f.stream)
		}
		return n, r, err
	}
	r.index, r.at = p.index, int(p.got)
	if err != nil {
		return n, r, err
	}
	end := f.flags&http2EndStream != 0
	switch f.typ {
	case http2ResetStream:
		return n, r, fmt.Errorf("the server resets the stream, code %d", binary.BigEndian.Uint32(f.body))
	case http2Data:
		if !p.headed || end {
			return n, r, fmt.Errorf("a message without header fields or status: %s", quoted(f.body))
		}
		r.part = f.body
		p.got += uint32(len(f.body))
	case http2Headers:
		if p.headed && !end {
			return n, r, fmt.Errorf("header fields twice")
		}
		if err := c.checkFields(f.body, !p.headed, end); err != nil {
			return n, r, err
		}
		p.headed = true
		if end {
			r.over = true
			*p = call{}
			c.underWay--
		}
	}
	return n, r, nil
}

// checkFields says what is wrong with a block of header fields, that a reply begins or ends with, or does both.
func (c *rpcConn) checkFields(block []byte, begins, ends bool) error {
	known := &c.head
	if ends {
		known = &c.trailer
	}
	if len(block) > 0 && string(block) == *known {
		return nil
	}
	if c.fields == nil {
		c.fields = hpack.NewDecoder(http2TableBytes, nil)
	}
	fields, err := c.fields.DecodeFull(block)
	if err != nil {
		return fmt.Errorf("header fields: %w: %s", err, quoted(block))
	}
	var status, contentType, grpcStatus, grpcMessage string
	for _, f := range fields {
		switch f.Name {
		case ":status":
			status = f.Value
		case "content-type":
			contentType = f.Value
		case "grpc-status":
			grpcStatus = f.Value
		case "grpc-message":
			grpcMessage = f.Value
		}
	}
	switch {
	case begins && status != "200":
		return fmt.Errorf("HTTP status %q", status)
	case begins && contentType != "application/grpc" && !strings.HasPrefix(contentType, "application/grpc+"):
		return fmt.Errorf("content-type %q, want application/grpc", contentType)
	case ends && grpcStatus != "0":
		return fmt.Errorf("grpc-status %q: %s", grpcStatus, grpcMessage)
	}
	switch {
	case !allIndexed(block):
		c.head, c.trailer = "", "" // the table may have changed
	case !begins || !ends:
		*known = string(block)
	}
	return nil
}

// add notes a call that begins.
func (c *rpcConn) add(p call) {
	c.underWay++
	for len(c.calls) == 0 || c.slot(p.stream).stream != 0 {
		c.grow()
	}
	*c.slot(p.stream) = p
}

// grow doubles the room. Calls that find the same slot again have it grow once more.
func (c *rpcConn) grow() {
	old := c.calls
	c.calls = make([]call, max(1, 2*len(old)))
	for _, p := range old {
		if p.stream != 0 {
			*c.slot(p.stream) = p
		}
	}
}

func (c *rpcConn) slot(stream uint32) *call { return &c.calls[stream/2&uint32(len(c.calls)-1)] }

// find returns the call on that stream; nil: it is not under way.
func (c *rpcConn) find(stream uint32) *call {
	if len(c.calls) == 0 {
		return nil
	}
	if p := c.slot(stream); p.stream == stream {
		return p
	}
	return nil
}
