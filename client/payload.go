package client

import (
	"encoding/json"
	"errors"
	"unsafe"

	"github.com/bytedance/sonic/decoder"
	"github.com/bytedance/sonic/encoder"
)

// encodeOptions make sonic write what encoding/json does, but for HTML: sorted keys of maps, so that a request asked
// again with the same key has the same body; what marshalers give checked and on one line; strings in UTF-8.
const encodeOptions = encoder.SortMapKeys | encoder.CompactMarshaler | encoder.ValidateString

// encode sets the call's payload to v; see Request.Payload.
func (c *call) encode(v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case []byte:
		c.payload, c.opaque = v, true
		return nil
	}
	c.scratch = c.scratch[:0]
	if err := encoder.EncodeInto(&c.scratch, v, encodeOptions); err != nil {
		return err
	}
	c.payload = c.scratch
	return nil
}

// encodeJSON returns v as a request has it.
func encodeJSON(v any) (body []byte, err error) {
	err = encoder.EncodeInto(&body, v, encodeOptions)
	return body, err
}

// decode sets what v points to, if it is not nil, to the reply.
func (c *call) decode(v any) error { return decode(&c.decoder, c.reply, c.replyOpaque, v) }

// decode sets what v points to, if it is not nil, to payload, which v may keep parts of; see Client.Request. It works
// with d.
func decode(d *decoder.Decoder, payload []byte, opaque bool, v any) error {
	if v == nil {
		return nil
	}
	if opaque {
		p, ok := v.(*[]byte)
		if !ok {
			return errors.New("it is bytes, not JSON, and needs a *[]byte")
		}
		*p = payload
		return nil
	}
	if payload == nil {
		payload = []byte("null")
	}
	if p, ok := v.(*json.RawMessage); ok {
		*p = payload
		return nil
	}
	d.Reset(unsafe.String(unsafe.SliceData(payload), len(payload)))
	d.SetOptions(decoder.OptionValidateString)
	if err := d.Decode(v); err != nil {
		return err
	}
	return d.CheckTrailings()
}
