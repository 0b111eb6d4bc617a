package main

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"unsafe"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/decoder"
)

const (
	bufferBytes  = 4096 // of each connection, at first
	lineBytesMax = 1 << 20
)

// request is a frame of kassa's JSON codec, {"type":"t0","queryIndex":10000000,"payload":{…}}, which all peers written in
// Go are asked by, whatever brings it to them.
type request struct {
	typ     int // of t<typ>
	index   uint64
	payload []byte // JSON; part of what was decoded
}

// requestFields are what sonic makes of a request. All of them are part of the line.
type requestFields struct {
	Type       string                 `json:"type"`
	QueryIndex uint64                 `json:"queryIndex"`
	Payload    sonic.NoCopyRawMessage `json:"payload"`
}

// scratch is what decoding works in; it is kept, since a decoder and its fields are on the heap.
type scratch struct {
	decoder decoder.Decoder
	fields  requestFields
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// decode reads a request; a separator behind it may be there or not. The payload aliases line. Of the libraries the better was
// taken: sonic needs a tenth of the time of encoding/json. kassa reads plain envelopes without it. It may be called from any
// goroutine.
func decode(line []byte) (request, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.fields = requestFields{}
	s.decoder.Reset(unsafe.String(unsafe.SliceData(line), len(line)))
	err := s.decoder.Decode(&s.fields)
	if err == nil {
		err = s.decoder.CheckTrailings()
	}
	if err != nil {
		// The error as such would keep line alive.
		return request{}, errors.New("request: " + err.Error())
	}
	typ, ok := typeOf(s.fields.Type)
	if !ok {
		return request{}, fmt.Errorf("request: no type %q", s.fields.Type)
	}
	return request{typ, s.fields.QueryIndex, s.fields.Payload}, nil
}

// appendReply appends r's reply, which has r's payload as result, without a separator.
func appendReply(dst []byte, r request) []byte {
	dst = append(dst, `{"type":"t`...)
	dst = append(dst, '0'+byte(r.typ))
	dst = append(dst, `","queryIndex":`...)
	dst = strconv.AppendUint(dst, r.index, 10)
	dst = append(dst, `,"resultJob":`...)
	if len(r.payload) == 0 {
		dst = append(dst, "null"...)
	}
	dst = append(dst, r.payload...)
	return append(dst, '}')
}
