package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// What the keys begin with. A chunk's and a point's go on with the seq, 8 bytes big endian.
const (
	keyChunk  = 'c'
	keyMeta   = 'm'
	keyPoint  = 'p'
	keyRecord = 'r'
)

var (
	keyMark  = []byte{keyMeta, 'm'}
	keyEpoch = []byte{keyMeta, 'e'}
)

// A value is the format byte, a checksum over the key, the format byte and what follows, and then, big endian:
//
//	chunk   its stamp, the seq of the chunk before it, the chunk
//	mark    its stamp, Seq, Clock, Schema, Hash, the seq up to which chunks are gone
//	epoch   its stamp, the epoch
//	record  the record
//	point   Clock, the bytes of all chunks up to there
//
// A file of each format that was released is to be kept in testdata, and to be readable.
const format = 1

const (
	sealSize  = 1 + 4
	stampSize = 8 + 8
	chunkSize = sealSize + stampSize + 8 // of the header of a chunk
	markSize  = sealSize + stampSize + 8 + 8 + 4 + 8 + 8
	epochSize = sealSize + stampSize + 8
	pointSize = sealSize + 8 + 8
)

// A stamp numbers a batch. What is in the tables are the batches up to a number, and those in the logs follow without a
// gap: so a lost table, log or piece of a log shows. Acked is the last batch that was known to be durable when this one
// was made: when it can be read and one up to acked can not, that is damage, and not the torn end of a log.
type stamp struct{ batch, acked uint64 }

func (s stamp) put(b []byte) {
	binary.BigEndian.PutUint64(b, s.batch)
	binary.BigEndian.PutUint64(b[8:], s.acked)
}

func readStamp(b []byte) stamp {
	return stamp{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, key)
	sum = crc32.Update(sum, castagnoli, value[:1])
	return crc32.Update(sum, castagnoli, value[sealSize:])
}

// seal fills in the first sealSize bytes of the value of key.
func seal(key, value []byte) {
	value[0] = format
	binary.BigEndian.PutUint32(value[1:], checksum(key, value))
}

// unseal checks a value that has least bytes or more, and returns what follows its seal.
func unseal(key, value []byte, least int) ([]byte, error) {
	if len(value) < max(least, sealSize) {
		return nil, fmt.Errorf("%w: what is under key %.40x is cut off", ErrDamaged, key)
	}
	if checksum(key, value) != binary.BigEndian.Uint32(value[1:]) {
		return nil, fmt.Errorf("%w: what is under key %.40x does not fit its checksum", ErrDamaged, key)
	}
	if value[0] != format {
		return nil, fmt.Errorf("journal: format %d, under key %.40x, is of another release", value[0], key)
	}
	return value[sealSize:], nil
}

func seqKey(kind byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, seq)
}

func seqOf(key []byte) (uint64, error) {
	if len(key) != 1+8 {
		return 0, fmt.Errorf("%w: there is no such key as %.40x", ErrDamaged, key)
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

type chunkValue struct {
	stamp
	prev  uint64
	bytes []byte
}

// put fills b, of chunkSize and the length of the chunk.
func (c chunkValue) put(key, b []byte) {
	c.stamp.put(b[sealSize:])
	binary.BigEndian.PutUint64(b[sealSize+stampSize:], c.prev)
	copy(b[chunkSize:], c.bytes)
	seal(key, b)
}

func readChunk(key, value []byte) (c chunkValue, err error) {
	b, err := unseal(key, value, chunkSize)
	if err != nil {
		return c, err
	}
	return chunkValue{readStamp(b), binary.BigEndian.Uint64(b[stampSize:]), b[stampSize+8:]}, nil
}

type markValue struct {
	stamp
	Mark
	gone uint64
}

func (m markValue) value() []byte {
	b := make([]byte, sealSize+stampSize, markSize)
	m.stamp.put(b[sealSize:])
	b = binary.BigEndian.AppendUint64(b, m.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Clock))
	b = binary.BigEndian.AppendUint32(b, m.Schema)
	b = binary.BigEndian.AppendUint64(b, m.Hash)
	b = binary.BigEndian.AppendUint64(b, m.gone)
	seal(keyMark, b)
	return b
}

func readMark(value []byte) (m markValue, err error) {
	b, err := unseal(keyMark, value, markSize)
	if err != nil {
		return m, err
	}
	m.stamp = readStamp(b)
	b = b[stampSize:]
	m.Seq = binary.BigEndian.Uint64(b)
	m.Clock = int64(binary.BigEndian.Uint64(b[8:]))
	m.Schema = binary.BigEndian.Uint32(b[16:])
	m.Hash = binary.BigEndian.Uint64(b[20:])
	m.gone = binary.BigEndian.Uint64(b[28:])
	return m, nil
}

type epochValue struct {
	stamp
	epoch uint64
}

func (e epochValue) value() []byte {
	b := make([]byte, sealSize+stampSize, epochSize)
	e.stamp.put(b[sealSize:])
	b = binary.BigEndian.AppendUint64(b, e.epoch)
	seal(keyEpoch, b)
	return b
}

func readEpoch(value []byte) (e epochValue, err error) {
	b, err := unseal(keyEpoch, value, epochSize)
	if err != nil {
		return e, err
	}
	return epochValue{readStamp(b), binary.BigEndian.Uint64(b[stampSize:])}, nil
}

// A point is a checkpoint there was, by which chunks are let go.
type point struct {
	seq   uint64
	clock int64
	bytes uint64 // of all chunks up to there
}

func (p point) value(key []byte) []byte {
	b := make([]byte, sealSize, pointSize)
	b = binary.BigEndian.AppendUint64(b, uint64(p.clock))
	b = binary.BigEndian.AppendUint64(b, p.bytes)
	seal(key, b)
	return b
}

func readPoint(key, value []byte) (p point, err error) {
	b, err := unseal(key, value, pointSize)
	if err != nil {
		return p, err
	}
	seq, err := seqOf(key)
	return point{seq, int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])}, err
}

// stampOf finds the stamp in a batch as it is in a log: in the value of its first key. The batch may be cut off behind
// it. It returns false for a batch of Pebble's own.
func stampOf(batch []byte) (stamp, bool) {
	const header = 12 // Pebble's sequence number and the count of keys
	if len(batch) <= header || batch[header] != 1 /* a Set */ {
		return stamp{}, false
	}
	b := batch[header+1:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size == 0 || size > uint64(len(b)-n) {
		return stamp{}, false
	}
	kind := b[n]
	b = b[n+int(size):]
	size, n = binary.Uvarint(b)
	if n <= 0 || size < sealSize+stampSize || len(b)-n < sealSize+stampSize || kind != keyChunk && kind != keyMeta {
		return stamp{}, false
	}
	return readStamp(b[n+sealSize:]), true
}

var errMisused = errors.New("misused")

func misused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMisused, fmt.Sprintf(format, args...))
}
