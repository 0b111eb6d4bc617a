package codec_test

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/kassa-go/kassa/codec"
)

// Netstring is a codec of one's own: frames as in `17:7 echo over there,`, that is the length, a colon, the index, the
// type and the payload, and a comma. The payload is bytes. A failure has its code, behind a `!`, in the type's place.
type Netstring struct{}

func (Netstring) Name() string { return "netstring" }

// Split needs no Scan: a look at an unfinished frame is short, however long the frame.
func (Netstring) Split(_ *codec.Scan, buf []byte, bytesMax int) (frame []byte, n int, err error) {
	const digitsMax = 9
	length, _, found := bytes.Cut(buf[:min(len(buf), digitsMax+1)], []byte(":"))
	size, err := strconv.ParseUint(string(length), 10, 32)
	switch {
	case !found && len(length) <= digitsMax && (len(length) == 0 || err == nil):
		return nil, 0, nil
	case !found || err != nil:
		return nil, 0, codec.NewError(codec.BadFrame, "a frame begins with its length and a colon")
	case size > uint64(bytesMax):
		return nil, 0, codec.NewError(codec.FrameTooLarge, "frame is too large")
	}
	start := len(length) + 1
	end := start + int(size)
	switch {
	case len(buf) <= end:
		return nil, 0, nil
	case buf[end] != ',':
		return nil, 0, codec.NewError(codec.BadFrame, "a frame ends with a comma")
	}
	return buf[start:end], end + 1, nil
}

func (Netstring) DecodeRequest(frame []byte, f *codec.Frame) error {
	f.Reset()
	index, rest, _ := bytes.Cut(frame, []byte(" "))
	name, payload, _ := bytes.Cut(rest, []byte(" "))
	f.Type, f.Payload, f.Opaque = name, payload, true
	var err error
	if f.Index, err = strconv.ParseUint(string(index), 10, 64); err != nil || len(name) == 0 {
		return codec.NewError(codec.BadFrame, "a request is its index, type and payload, with a space between them")
	}
	f.HasIndex = true
	return nil
}

func (n Netstring) DecodeReply(frame []byte, f *codec.Frame) error {
	if err := n.DecodeRequest(frame, f); err != nil {
		return err
	}
	f.Kind = codec.Reply
	if code, failed := bytes.CutPrefix(f.Type, []byte("!")); failed {
		f.Kind = codec.Failure
		f.Err = codec.Error{Code: codec.CodeByName(string(code)), Message: string(f.Payload)}
		f.Type, f.Payload = nil, nil
	}
	return nil
}

func (Netstring) Append(dst []byte, f *codec.Frame) ([]byte, error) {
	var frame []byte
	switch f.Kind {
	case codec.Request, codec.Reply:
		frame = fmt.Appendf(nil, "%d %s %s", f.Index, f.Type, f.Payload)
	case codec.Failure:
		frame = fmt.Appendf(nil, "%d !%s %s", f.Index, f.Err.Code, f.Err.Message)
	default:
		return dst, codec.NewError(codec.Internal, "there are no pushes in netstrings")
	}
	return fmt.Appendf(dst, "%d:%s,", len(frame), frame), nil
}

// Whoever implements Codec brings frames of their own: an engine and a client take them in the Codec field of their
// Config.
func ExampleCodec() {
	var c codec.Codec = Netstring{}
	unread := []byte("17:7 echo over there,6:8 ping,4:oops,12:9 echo on")

	var scan codec.Scan
	var f codec.Frame
	for {
		frame, n, err := c.Split(&scan, unread, codec.FrameBytesMaxDefault)
		if n == 0 || err != nil {
			break // more has to arrive, or nothing good will
		}
		unread, scan = unread[n:], codec.Scan{}

		if err := c.DecodeRequest(frame, &f); err != nil {
			f.Kind, f.Err = codec.Failure, *err.(*codec.Error)
		} else {
			f.Kind = codec.Reply
		}
		out, err := c.Append(nil, &f)
		fmt.Printf("%s -> %s %v\n", frame, out, err)
	}
	fmt.Printf("not whole yet: %s\n", unread)

	// Output:
	// 7 echo over there -> 17:7 echo over there, <nil>
	// 8 ping -> 7:8 ping , <nil>
	// oops -> 80:0 !bad_frame a request is its index, type and payload, with a space between them, <nil>
	// not whole yet: 12:9 echo on
}

// A connection's first bytes decide which codec is used from then on.
func ExampleAuto() {
	for _, first := range []string{"{\"type\":\"ping\",\"queryIndex\":1}\n", "{\"type\":\"ping\",\"queryIndex\":1}🦀", "\xb5"} {
		var scan codec.Scan
		c, err := codec.Auto{}.Detect(&scan, []byte(first), codec.FrameBytesMaxDefault)
		fmt.Println(c.Name(), err)
	}
	_, err := codec.Auto{}.Detect(new(codec.Scan), []byte("GET / HTTP/1.1"), codec.FrameBytesMaxDefault)
	fmt.Println(err)

	// Output:
	// json <nil>
	// crab <nil>
	// binary <nil>
	// bad_frame: a connection begins with a JSON object, in lines (json) or with U+1F980 behind each (crab), or with the byte 0xB5 (binary), not with 'G'
}
