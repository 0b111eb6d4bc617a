package pool

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// enc appends values to bytes: varints, and strings behind their lengths.
type enc []byte

func (e *enc) byte(v byte)   { *e = append(*e, v) }
func (e *enc) uint(v uint64) { *e = binary.AppendUvarint(*e, v) }
func (e *enc) int(v int64)   { *e = binary.AppendVarint(*e, v) }

func (e *enc) bool(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

func (e *enc) string(v string) {
	e.uint(uint64(len(v)))
	*e = append(*e, v...)
}

// errTruncated says that encoded bytes end too early, or hold a length that can not be.
var errTruncated = errors.New("truncated")

// dec takes what enc appended off the front. Past the end of a value that an older version wrote, it yields zeros: fields
// are only ever added at the end.
type dec struct {
	p   []byte
	bad bool // a value was cut off in its middle
}

func (d *dec) byte() byte {
	if len(d.p) == 0 {
		return 0
	}
	v := d.p[0]
	d.p = d.p[1:]
	return v
}

func (d *dec) bool() bool { return d.byte() != 0 }

func (d *dec) uint() uint64 {
	if len(d.p) == 0 {
		return 0
	}
	v, n := binary.Uvarint(d.p)
	return take(d, v, n)
}

func (d *dec) int() int64 {
	if len(d.p) == 0 {
		return 0
	}
	v, n := binary.Varint(d.p)
	return take(d, v, n)
}

func take[T any](d *dec, v T, n int) T {
	if n <= 0 {
		var zero T
		d.bad, d.p = true, nil
		return zero
	}
	d.p = d.p[n:]
	return v
}

func (d *dec) string() string { return string(d.bytes()) }

// bytes aliases what is decoded.
func (d *dec) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.p)) {
		d.bad, d.p = true, nil
		return nil
	}
	v := d.p[:n:n]
	d.p = d.p[n:]
	return v
}

// len yields a count of values of at least one byte each.
func (d *dec) len() int {
	n := d.uint()
	if n > uint64(len(d.p)) {
		d.bad, d.p = true, nil
		return 0
	}
	return int(n)
}

func (d *dec) err() error {
	if d.bad {
		return errTruncated
	}
	return nil
}

// hashOf is a hash of p, the same on every machine and in every version: it is stored. It multiplies and folds eight
// bytes at a time, as wyhash does; it need not withstand an attacker.
func hashOf(p []byte) uint64 {
	const k0, k1 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db
	h := uint64(len(p)) ^ k0
	for len(p) >= 8 {
		h = mix(h^binary.LittleEndian.Uint64(p), k1)
		p = p[8:]
	}
	var tail uint64
	for i, b := range p {
		tail |= uint64(b) << (8 * i)
	}
	return mix(mix(h^tail, k1), k0)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
