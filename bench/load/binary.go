package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The binary codec's header, as far as the generator needs it.
const (
	binaryHeaderBytes = 20
	binaryMagic       = 0xB5
	binaryRequest     = 0x10 // version and kind
	binaryReply       = 0x11

	binaryFlagsAt      = 2
	binaryNameLenAt    = 3
	binaryPayloadLenAt = 4
	binaryIndexAt      = 8
)

// binaryTemplates returns request and reply of type t<typ> in the binary codec. The payload is not flagged as JSON: who
// takes binary frames does so to spare the server the looking at it. The reply's flags are the server's choice.
func binaryTemplates(typ, payloadBytes int) (request, reply template, err error) {
	name := fmt.Sprintf("t%d", typ)
	if payloadBytes == 0 {
		payloadBytes = 60 - binaryHeaderBytes - len(name)
	}
	payload, err := payloadOf(payloadBytes)
	if err != nil {
		return template{}, template{}, err
	}
	frame := func(kind byte) template {
		f := make([]byte, binaryHeaderBytes)
		f[0], f[1], f[binaryNameLenAt] = binaryMagic, kind, byte(len(name))
		binary.BigEndian.PutUint32(f[binaryPayloadLenAt:], uint32(len(payload)))
		f = append(append(f, name...), payload...)
		return template{
			frame:   f,
			indexAt: binaryIndexAt,
			checkAt: binaryHeaderBytes + bytes.Index(f[binaryHeaderBytes:], []byte(checkGap)),
			looseAt: binaryFlagsAt,
		}
	}
	return frame(binaryRequest), frame(binaryReply), nil
}
