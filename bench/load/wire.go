package load

import "fmt"

// Wire is what the generator knows of a protocol. All of a frame follows from the connection and the index, so nothing
// needs to be remembered of a request but that it is under way. A Wire is shared by all threads and changes nothing.
type Wire interface {
	// AppendRequest appends the request of that index on connection conn to dst.
	AppendRequest(dst []byte, conn uint32, index uint64) []byte

	// CheckReply looks at the first reply in buf, which came on connection conn. It returns the bytes it takes, 0 when
	// it is not whole yet, and the index it answers. An error says that it is not what that request must get; index is
	// 0 when it could not be read.
	CheckReply(buf []byte, conn uint32) (n int, index uint64, err error)
}

// Indexes of the requests on each connection: always eight digits, so that all frames of a run are equally long.
const (
	IndexMin = 10_000_000
	IndexMax = 99_999_999
)

// TypeCount types, t0 to t3, take turns on each connection: the request of index i has type i % TypeCount.
const TypeCount = 4

// WireConfig chooses a Wire.
type WireConfig struct {
	// Protocol is what the server speaks: "", kassa's own frames, or one of http, grpc, nats, gearman and redis.
	Protocol string `json:"protocol,omitempty"`

	// Codec is json (JSON lines, the default), crab or binary.
	Codec string `json:"codec,omitempty"`

	// PayloadBytes is the length of each payload; 0 makes the whole frame 60 bytes (crab: 63, its separator is longer).
	PayloadBytes int `json:"payloadBytes,omitempty"`

	// Echo says that the server sends the request's bytes back instead of a reply.
	Echo bool `json:"echo,omitempty"`

	// Pairs, if set, makes each request a pair of acquire and release; what is above is of no meaning then.
	Pairs *PairsConfig `json:"pairs,omitempty"`
}

// protocols are those of servers that do not speak kassa's. In their requests and replies the frames of kassa's JSON
// codec, without separator, are what is asked and answered, so that all servers are given the same bytes to decode; in gRPC's
// it is what these frames say.
var protocols = map[string]func(WireConfig) (Wire, error){
	"http":    newHTTPWire,
	"grpc":    newGRPCWire,
	"nats":    newNATSWire,
	"gearman": newGearmanWire,
	"redis":   newRedisWire,
}

// NewWire returns the Wire that c describes.
func NewWire(c WireConfig) (Wire, error) {
	if c.Pairs != nil {
		return newPairsWire(c.Pairs)
	}
	if c.Protocol != "" {
		newWire, ok := protocols[c.Protocol]
		if !ok {
			return nil, fmt.Errorf("load: no protocol %q", c.Protocol)
		}
		return newWire(c)
	}
	w := &templateWire{}
	for t := range TypeCount {
		var err error
		switch c.Codec {
		case "", "json":
			w.request[t], w.reply[t], err = textTemplates(t, c.PayloadBytes, "\n")
		case "crab":
			w.request[t], w.reply[t], err = textTemplates(t, c.PayloadBytes, "\U0001F980")
		case "binary":
			w.request[t], w.reply[t], err = binaryTemplates(t, c.PayloadBytes)
		default:
			err = fmt.Errorf("no codec %q: json, crab or binary", c.Codec)
		}
		if err != nil {
			return nil, fmt.Errorf("load: %w", err)
		}
	}
	if c.Echo {
		w.reply = w.request
	}
	return w, nil
}

// checkNumber returns the number of seven digits in the payload of request index on connection conn. It differs from
// connection to connection and from index to index, so that a reply with another's payload is noticed.
func checkNumber(conn uint32, index uint64) uint64 {
	const golden, other = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
	h := (index*golden + uint64(conn)*other) >> 40
	return 1_000_000 + h%9_000_000
}
