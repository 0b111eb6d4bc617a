package codec

// Codec turns a byte stream into frames and frames into bytes. It is the one interface to implement for frames of one's
// own. A Codec keeps no state: what it must remember between calls stands in the Scan and the Frame of its caller, so
// one value serves every connection, and all methods may be called from any goroutine.
type Codec interface {
	// Name is what flags and logs call this codec.
	Name() string

	// Split finds the first frame in buf, the unread bytes of a stream.
	//   - n == 0: no whole frame yet. Split is called again with the same bytes and more behind them; s says how far it
	//     got, so that a frame that trickles in costs time linear in its size.
	//   - n > 0, frame nil: the first n bytes are separators, skip them.
	//   - n > 0: frame lies within buf[:n]; the next one starts at buf[n].
	//   - err: the stream can not be followed any further (an *Error: the frame is over bytesMax, the header is
	//     nonsense); the connection is to be closed.
	//
	// When n > 0, the caller sets *s to its zero value. A frame of over bytesMax bytes is an error as soon as that can
	// be known.
	Split(s *Scan, buf []byte, bytesMax int) (frame []byte, n int, err error)

	// DecodeRequest sets f to the request in frame. Its slices alias frame. On an *Error of code BadFrame, f holds the
	// type and index as far as they could be read, and the stream goes on at the next frame.
	DecodeRequest(frame []byte, f *Frame) error

	// DecodeReply sets f to the reply, failure or push in frame, as DecodeRequest does for a request: it is what clients
	// use.
	DecodeReply(frame []byte, f *Frame) error

	// Append appends f, of any kind, to dst, separator included. An error leaves dst as it was.
	Append(dst []byte, f *Frame) ([]byte, error)
}

// Detector is a Codec that stands in until a connection's first bytes have told which one its client speaks.
type Detector interface {
	Codec

	// Detect returns the codec to use from the start of buf on, with a zero Scan; nil when more bytes are needed (s
	// remembers how far it got); or an error when no codec begins like this; then the connection is to be closed.
	Detect(s *Scan, buf []byte, bytesMax int) (Codec, error)
}

// Scan is what splitting remembers between two looks at the same unfinished frame. The zero value stands at the start of
// a frame.
type Scan struct {
	Offset int    // bytes of the buffer that need not be looked at again
	State  uint64 // the codec's own: depth, inside a string, …
}

// Kind says which of four things a frame is.
type Kind uint8

const (
	Request Kind = iota // client to server
	Reply               // a request's result
	Failure             // a request's error, or one that belongs to none
	Push                // server to client, unasked
)

// Frame is one message. Its byte slices alias the buffer it was decoded from.
type Frame struct {
	Kind Kind

	// Type names what is asked for, 1 to TypeBytesMax bytes; empty in a binary frame that uses TypeID.
	Type   []byte
	TypeID uint16

	// Index is the request's number, chosen by the client and echoed; HasIndex false means that there is none.
	// RawIndex is its text where that is a number but not a whole one from 0 to 2^64-1 (Crab allows any).
	Index    uint64
	RawIndex []byte
	HasIndex bool

	// Payload is the request's payload, the reply's result, the push's event: JSON, unless Opaque says that it is bytes
	// of the application's own (which JSON codecs carry as a base64 string). nil stands for null.
	Payload []byte
	Opaque  bool

	// Of requests.
	DeadlineMs uint32 // 0: none
	OneWay     bool
	Key        []byte // idempotency key, up to KeyBytesMax bytes
	MinRev     uint64

	Rev uint64 // of replies to durable operations; 0: none
	Err Error  // of failures

	scratch *jsonScratch // the JSON decoder's, made on first use; shared by copies of the Frame
}

// Reset sets f to the zero Frame, which aliases nothing, but keeps the memory of the decoder's scratch space.
func (f *Frame) Reset() {
	if f.scratch != nil && f.scratch.used {
		*f.scratch = jsonScratch{}
	}
	*f = Frame{scratch: f.scratch}
}

// Limits of the parts of a frame, in bytes.
const (
	TypeBytesMax = 128
	KeyBytesMax  = 128

	// FrameBytesMaxDefault is the default limit of a frame.
	FrameBytesMaxDefault = 1 << 20
)

// ByName returns the codec that is called name: auto, json, crab or binary; nil when there is none.
func ByName(name string) Codec {
	for _, c := range []Codec{Auto{}, JSON{}, Crab{}, Binary{}} {
		if c.Name() == name {
			return c
		}
	}
	return nil
}
