package codec

import (
	"encoding/binary"
	"math"
	"strconv"
)

// Binary is the codec binary: a header of 20 bytes, big-endian, and behind it what the header announces.
type Binary struct{}

// The header:
//
//	 0     magic
//	 1     version (high half), kind (low half)
//	 2     flags
//	 3     length of the name
//	 4- 7  length of the payload
//	 8-15  queryIndex
//	16-17  typeID
//	18     status: the number of the code, 0 in all but failures
//	19     reserved, 0
//
// Behind it, each when announced: name, deadline (4 bytes), key (its length in 1 byte, then the key), rev (8), payload.
const (
	headerBytes = 20
	magic       = 0xB5 // begins no UTF-8 text
	version     = 1
)

const (
	flagJSON     = 1 << iota // the payload is JSON
	flagOneWay               // no reply is wanted
	flagDeadline             // a deadline is there
	flagKey                  // a key is there
	flagNoIndex              // queryIndex does not count
	flagRev                  // a rev is there: minRev in a request, rev in a reply
)

// flagsOf are the flags that may be set, by kind.
var flagsOf = [...]byte{
	Request: flagJSON | flagOneWay | flagDeadline | flagKey | flagNoIndex | flagRev,
	Reply:   flagJSON | flagNoIndex | flagRev,
	Failure: flagJSON | flagNoIndex,
	Push:    flagJSON | flagNoIndex,
}

// Name returns "binary".
func (Binary) Name() string { return "binary" }

// Split finds the first frame. Its limit counts all of it, header included.
func (Binary) Split(_ *Scan, buf []byte, bytesMax int) (frame []byte, n int, err error) {
	if len(buf) > 0 && buf[0] != magic {
		return nil, 0, badFrame("a frame begins with the byte 0xB5, not 0x" + strconv.FormatUint(uint64(buf[0]), 16))
	}
	if len(buf) > 1 && buf[1]>>4 != version {
		return nil, 0, NewError(UnsupportedVersion, "version "+strconv.Itoa(int(buf[1]>>4))+" is not spoken here, only 1")
	}
	if len(buf) < headerBytes {
		return nil, 0, nil
	}
	size, known := frameBytes(buf)
	switch {
	case size > uint64(bytesMax):
		return nil, 0, tooLarge(bytesMax)
	case !known || size > uint64(len(buf)):
		return nil, 0, nil
	}
	return buf[:size], int(size), nil
}

// frameBytes returns how long the frame is whose header buf begins with; known is false when it is at least that long.
func frameBytes(buf []byte) (size uint64, known bool) {
	flags := buf[2]
	size = headerBytes + uint64(buf[3])
	if flags&flagDeadline != 0 {
		size += 4
	}
	keyAt := size
	if flags&flagKey != 0 {
		size++
	}
	if flags&flagRev != 0 {
		size += 8
	}
	size += uint64(binary.BigEndian.Uint32(buf[4:]))
	if flags&flagKey == 0 {
		return size, true
	}
	if keyAt >= uint64(len(buf)) {
		return size, false
	}
	return size + uint64(buf[keyAt]), true
}

// DecodeRequest implements Codec.
func (b Binary) DecodeRequest(frame []byte, f *Frame) error {
	if err := b.decode(frame, f); err != nil {
		return err
	}
	switch {
	case f.Kind != Request:
		return badFrame("a frame of kind " + strconv.Itoa(int(f.Kind)) + " is not a request")
	case !f.HasIndex && !f.OneWay:
		return badFrame("queryIndex is missing: only a one-way request goes without")
	}
	return nil
}

// DecodeReply implements Codec.
func (b Binary) DecodeReply(frame []byte, f *Frame) error {
	if err := b.decode(frame, f); err != nil {
		return err
	}
	switch f.Kind {
	case Request:
		return badFrame("a request is not a reply")
	case Failure:
		return decodeFailure(f)
	}
	return nil
}

// decodeFailure moves what the payload says into f.Err.
func decodeFailure(f *Frame) error {
	payload := f.Payload
	f.Payload = nil
	if f.Err.Code == OK || f.Err.Code >= codeEnd {
		f.Err.Code = Internal
	}
	if len(payload) == 0 {
		return nil
	}
	if f.Opaque || !isObject(payload) {
		return badFrame("the payload of a failure must be a JSON object")
	}
	s := f.jsonScratch()
	_ = s.decode(payload, &s.failure, strict) // decode has found it valid
	var r fieldReader
	r.failure(&f.Err, &s.failure)
	return r.err
}

// decode sets f to the frame, of any kind.
func (Binary) decode(frame []byte, f *Frame) error {
	f.Reset()
	if len(frame) < headerBytes || frame[0] != magic || frame[1]>>4 != version {
		return badFrame("not a frame of version 1")
	}
	f.Kind = Kind(frame[1] & 0xF)
	flags, nameBytes := frame[2], int(frame[3])
	f.HasIndex = flags&flagNoIndex == 0
	if f.HasIndex {
		f.Index = binary.BigEndian.Uint64(frame[8:])
	}
	f.TypeID = binary.BigEndian.Uint16(frame[16:])
	status, reserved := frame[18], frame[19]

	size, known := frameBytes(frame)
	switch {
	case !known || size != uint64(len(frame)):
		return badFrame("the lengths in the header do not add up to the frame's")
	case int(f.Kind) >= len(flagsOf):
		return badFrame("kind " + strconv.Itoa(int(f.Kind)) + " is unknown")
	case flags&^flagsOf[f.Kind] != 0:
		return badFrame("flags 0x" + strconv.FormatUint(uint64(flags), 16) + " do not go with kind " + strconv.Itoa(int(f.Kind)))
	case nameBytes > TypeBytesMax:
		return badFrame("a name has up to " + strconv.Itoa(TypeBytesMax) + " bytes, not " + strconv.Itoa(nameBytes))
	case reserved != 0:
		return badFrame("the reserved byte must be 0")
	case status != 0 && f.Kind != Failure:
		return badFrame("only failures have a status")
	}

	f.OneWay = flags&flagOneWay != 0
	f.Err.Code = Code(status)
	f.Type, frame = frame[headerBytes:headerBytes+nameBytes], frame[headerBytes+nameBytes:]
	if flags&flagDeadline != 0 {
		f.DeadlineMs, frame = binary.BigEndian.Uint32(frame), frame[4:]
	}
	if flags&flagKey != 0 {
		keyBytes := int(frame[0])
		if keyBytes > KeyBytesMax {
			return badFrame("a key has up to " + strconv.Itoa(KeyBytesMax) + " bytes, not " + strconv.Itoa(keyBytes))
		}
		f.Key, frame = frame[1:1+keyBytes], frame[1+keyBytes:]
	}
	if flags&flagRev != 0 {
		rev := binary.BigEndian.Uint64(frame)
		frame = frame[8:]
		if f.Kind == Request {
			f.MinRev = rev
		} else {
			f.Rev = rev
		}
	}
	f.Opaque = flags&flagJSON == 0
	if f.Opaque {
		f.Payload = frame
		return nil
	}
	if len(frame) == 0 {
		return nil
	}
	// Others may be sent this payload as a part of a line: it has to be what it claims to be.
	s := f.jsonScratch()
	if err := s.decode(frame, &s.value, strict); err != nil {
		return badFrame("payload is flagged as JSON, but is not: " + err.Error())
	}
	f.Payload = value(s.value)
	return nil
}

// Append implements Codec.
func (Binary) Append(dst []byte, f *Frame) ([]byte, error) {
	switch {
	case int(f.Kind) >= len(flagsOf):
		return dst, unknownKind(f.Kind)
	case len(f.Type) > TypeBytesMax:
		return dst, badFrame("a name has up to " + strconv.Itoa(TypeBytesMax) + " bytes, not " + strconv.Itoa(len(f.Type)))
	case len(f.Key) > KeyBytesMax:
		return dst, badFrame("a key has up to " + strconv.Itoa(KeyBytesMax) + " bytes, not " + strconv.Itoa(len(f.Key)))
	case uint64(len(f.Payload)) > math.MaxUint32:
		return dst, tooLarge(math.MaxUint32)
	}
	// A Frame may still have what belongs to another kind: a reply is made of its request.
	rev, status := f.Rev, byte(0)
	switch f.Kind {
	case Request:
		rev = f.MinRev
	case Failure:
		status = byte(f.Err.Code)
	}
	flags := flagsFor(f, rev)
	start := len(dst)
	dst = append(dst, magic, version<<4|byte(f.Kind), flags, byte(len(f.Type)), 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, f.Index)
	dst = binary.BigEndian.AppendUint16(dst, f.TypeID)
	dst = append(dst, status, 0)
	dst = append(dst, f.Type...)
	if flags&flagDeadline != 0 {
		dst = binary.BigEndian.AppendUint32(dst, f.DeadlineMs)
	}
	if flags&flagKey != 0 {
		dst = append(dst, byte(len(f.Key)))
		dst = append(dst, f.Key...)
	}
	if flags&flagRev != 0 {
		dst = binary.BigEndian.AppendUint64(dst, rev)
	}
	body := len(dst)
	if f.Kind == Failure {
		dst = append(appendFailure(append(dst, '{'), &f.Err, false), '}')
	} else {
		dst = append(dst, f.Payload...)
	}
	binary.BigEndian.PutUint32(dst[start+4:], uint32(len(dst)-body))
	return dst, nil
}

func flagsFor(f *Frame, rev uint64) byte {
	var flags byte
	if !f.Opaque || f.Kind == Failure {
		flags |= flagJSON
	}
	if f.OneWay {
		flags |= flagOneWay
	}
	if f.DeadlineMs != 0 {
		flags |= flagDeadline
	}
	if len(f.Key) > 0 {
		flags |= flagKey
	}
	if !f.HasIndex {
		flags |= flagNoIndex
	}
	if rev != 0 {
		flags |= flagRev
	}
	return flags & flagsOf[f.Kind]
}
