package client

import "github.com/bytedance/sonic/decoder"

// Request asks the server for one thing.
type Request struct {
	// Type says for what, in 1 to 128 bytes.
	Type string

	// Payload is encoded as JSON, as encoding/json would (a json.RawMessage is checked and goes as it is, without its
	// white space); nil stands for null. A []byte is not JSON but bytes of the application's own: a binary frame carries
	// them as they are, the JSON codecs as a base64 string. It is not read any more when the call has returned.
	Payload any

	// Key makes asking again safe, for what supports it: the same key with the same payload gives the first outcome
	// again. Up to 128 bytes; empty: none.
	Key string

	// MinRev is the highest Response.Rev seen from the server's pools: one that has less answers ErrStateBehind.
	MinRev uint64

	// OneWay asks for no answer, not even a failure: the call returns when the request is in the socket's buffer.
	OneWay bool
}

// Response is the answer to a Request that did not fail; it is empty when that was one-way. Its bytes are the caller's.
type Response struct {
	Payload []byte // the result: JSON, or bytes of the application's own if Opaque; nil: null
	Opaque  bool
	Rev     uint64 // the revision that a durable operation made or saw; 0: none
}

// Decode sets what result points to, as Client.Request does.
func (r Response) Decode(result any) error {
	return decode(new(decoder.Decoder), r.Payload, r.Opaque, result)
}
