package load

import (
	"encoding/binary"
	"fmt"
)

// http2Conn is the client's end of an HTTP/2 connection (RFC 9113) without TLS, as far as calls of one message need it. It
// takes care of what concerns the whole connection; frames of streams are handed on.
type http2Conn struct {
	opened     bool
	window     int64  // bytes of DATA that the server still takes
	streamsMax uint32 // that may be open at once
	received   uint32 // bytes of DATA that the server has not been told it may send anew
	answers    []byte // frames that the server's ask for
}

// http2Frame is one of a stream; stream 0: there is none. The body is valid as long as the bytes it was read from.
type http2Frame struct {
	typ, flags byte
	stream     uint32
	body       []byte
}

const (
	http2Preface    = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	http2FrameHead  = 9     // bytes before a frame's body
	http2FrameMax   = 16384 // bytes of a body, unless settings say more; the generator's do not
	http2Window     = 65535 // bytes, of the connection and of each stream, unless settings or updates say else
	http2WindowMax  = 1<<31 - 1
	http2WindowBack = 1 << 30 // so many bytes of DATA are given back at once
	http2TableBytes = 4096    // of the table of header fields, unless settings say else
)

// Types of frames.
const (
	http2Data         = 0
	http2Headers      = 1
	http2ResetStream  = 3
	http2Settings     = 4
	http2PushPromise  = 5
	http2Ping         = 6
	http2GoAway       = 7
	http2WindowUpdate = 8
	http2Continuation = 9
)

// Flags of frames.
const (
	http2Ack        = 0x1 // of SETTINGS and PING
	http2EndStream  = 0x1 // of DATA and HEADERS
	http2EndHeaders = 0x4
	http2Padded     = 0x8
	http2Priority   = 0x20
)

// Settings.
const (
	http2SettingTableBytes = 1
	http2SettingPush       = 2
	http2SettingStreamsMax = 3
	http2SettingWindow     = 4
)

// appendHTTP2Frame begins a frame with a body of so many bytes.
func appendHTTP2Frame(dst []byte, bodyBytes int, typ, flags byte, stream uint32) []byte {
	dst = append(dst, byte(bodyBytes>>16), byte(bodyBytes>>8), byte(bodyBytes), typ, flags)
	return binary.BigEndian.AppendUint32(dst, stream)
}

// open appends what goes out before anything else: with it the server may send as much as it likes.
func (c *http2Conn) open(dst []byte) []byte {
	c.opened, c.window, c.streamsMax = true, http2Window, 1<<31-1
	dst = append(dst, http2Preface...)
	dst = appendHTTP2Frame(dst, 12, http2Settings, 0, 0)
	dst = binary.BigEndian.AppendUint32(append(dst, 0, http2SettingPush), 0)
	dst = binary.BigEndian.AppendUint32(append(dst, 0, http2SettingWindow), http2WindowMax)
	dst = appendHTTP2Frame(dst, 4, http2WindowUpdate, 0, 0)
	return binary.BigEndian.AppendUint32(dst, http2WindowMax-http2Window)
}

// read takes the first frame of buf, n bytes; 0: it is not whole. What it asks for is appended to answers. messageMax is
// the largest message in bytes, which a stream must take without an update of its window.
func (c *http2Conn) read(buf []byte, messageMax int) (n int, f http2Frame, err error) {
	if len(buf) < http2FrameHead {
		return 0, f, nil
	}
	size := int(buf[0])<<16 | int(buf[1])<<8 | int(buf[2])
	if size > http2FrameMax {
		return 0, f, fmt.Errorf("not a frame of HTTP/2: %s", quoted(buf))
	}
	n = http2FrameHead + size
	if len(buf) < n {
		return 0, f, nil
	}
	f = http2Frame{typ: buf[3], flags: buf[4], stream: binary.BigEndian.Uint32(buf[5:]) & (1<<31 - 1), body: buf[http2FrameHead:n]}
	switch f.typ {
	case http2Data:
		c.received += uint32(size)
		if c.received >= http2WindowBack {
			c.answers = binary.BigEndian.AppendUint32(appendHTTP2Frame(c.answers, 4, http2WindowUpdate, 0, 0), c.received)
			c.received = 0
		}
		return n, f, f.check(f.flags&http2Padded == 0 && f.stream != 0)
	case http2Headers:
		return n, f, f.check(f.flags&(http2EndHeaders|http2Padded|http2Priority) == http2EndHeaders && f.stream != 0)
	case http2ResetStream:
		return n, f, f.check(size == 4 && f.stream != 0)
	case http2Settings:
		err = c.settings(f, messageMax)
	case http2Ping:
		if err = f.check(size == 8 && f.stream == 0); err == nil && f.flags&http2Ack == 0 {
			c.answers = append(appendHTTP2Frame(c.answers, 8, http2Ping, http2Ack, 0), f.body...)
		}
	case http2GoAway:
		if err = f.check(size >= 8); err == nil {
			code, why := binary.BigEndian.Uint32(f.body[4:]), f.body[8:]
			err = fmt.Errorf("the server sends GOAWAY, code %d, %s", code, quoted(why))
		}
	case http2WindowUpdate:
		if err = f.check(size == 4); err == nil && f.stream == 0 {
			c.window += int64(binary.BigEndian.Uint32(f.body) & (1<<31 - 1))
		}
	case http2PushPromise, http2Continuation:
		err = f.check(false)
	}
	return n, http2Frame{}, err
}

// settings takes the server's.
func (c *http2Conn) settings(f http2Frame, messageMax int) error {
	if f.flags&http2Ack != 0 {
		return nil
	}
	if err := f.check(len(f.body)%6 == 0 && f.stream == 0); err != nil {
		return err
	}
	for s := f.body; len(s) > 0; s = s[6:] {
		value := binary.BigEndian.Uint32(s[2:])
		switch binary.BigEndian.Uint16(s) {
		case http2SettingTableBytes:
			if value < http2TableBytes {
				return fmt.Errorf("the server remembers header fields of %d bytes only, of %d", value, http2TableBytes)
			}
		case http2SettingStreamsMax:
			c.streamsMax = value
		case http2SettingWindow:
			if int64(value) < int64(messageMax) {
				return fmt.Errorf("the server takes %d bytes on a stream, of a message of %d", value, messageMax)
			}
		}
	}
	c.answers = appendHTTP2Frame(c.answers, 0, http2Settings, http2Ack, 0)
	return nil
}

// check says what is wrong with a frame that is not ok.
func (f *http2Frame) check(ok bool) error {
	if ok {
		return nil
	}
	return fmt.Errorf("a frame of HTTP/2 that must not come: type %d, flags %#x, stream %d, %s", f.typ, f.flags, f.stream, quoted(f.body))
}

// allIndexed says whether a block of header fields (RFC 7541) is made of references to tables alone. Such a block changes no
// table, and means the same as long as none is changed.
func allIndexed(block []byte) bool {
	const indexed, longer = 0x80, 0xff // the bit of a reference, and one that goes on in the next byte
	for _, b := range block {
		if b&indexed == 0 || b == longer {
			return false
		}
	}
	return true
}
