// Package codec says what a frame is on the wire.
//
// The nouns: a [Frame] is one message, decoded; a [Codec] splits a byte stream into frames, decodes and appends them;
// a [Scan] is what splitting remembers of an unfinished frame; an [Error] is a failure with a [Code] from a closed set.
//
// Four codecs stand here: [JSON] (one object a line), [Crab] (objects separated by U+1F980, as net-socket-connector 1.x
// speaks), [Binary] (a fixed header of 20 bytes), and [Auto], which tells the three apart by a connection's first bytes.
// PROTOCOL.md in this directory is their specification. A program with frames of its own implements Codec.
//
// Caveats: what Split and the decoders hand out aliases the buffer they were given, and lives as long as it does.
// Codecs are stateless and safe for concurrent use; a Frame carries the scratch space of the decoder and belongs, with
// its copies, to one goroutine at a time. The first frames wait for the JSON decoder to be compiled, unless [Pretouch]
// was called. What Append is given as JSON is not looked at: an invalid payload makes an invalid frame.
package codec
