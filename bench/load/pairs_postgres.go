package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
)

// postgresDialect speaks PostgreSQL's protocol 3: two prepared statements, parameters and results in binary. A change is
// on the disk when the server is ready for the next transaction, not when a statement is complete.
type postgresDialect struct {
	items uint64
	batch bool // one transaction a write
}

// The statements of a pair, on PostgresTable. An acquire looks for a free item from a random one on: where all look from the
// first one on, they do not get past each other's locks. No column that changes is indexed, and pages have room, so that
// updates are heap-only.
const (
	PostgresTable = `CREATE TABLE item (id int PRIMARY KEY, free boolean NOT NULL, token bigint NOT NULL, expires timestamptz) WITH (fillfactor = 20)`

	postgresAcquire = `UPDATE item SET free = false, token = token + 1, expires = now() + interval '60 s'
WHERE id = (SELECT id FROM item WHERE free AND id >= $1 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, token`
	postgresRelease = `UPDATE item SET free = true, expires = NULL WHERE id = $1 AND token = $2 AND NOT free`
)

// postgresTalk is what is known of a connection to PostgreSQL.
type postgresTalk struct {
	preparing int  // transactions before the first pair's that are not over
	complete  int  // statements of the transaction under way that are complete
	unsynced  bool // statements were written that no Sync is behind
}

func (postgresDialect) open(dst []byte, t *talk) []byte {
	const typeInt4, typeInt8 = 23, 20
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 3, 0, 0) // length, then version 3.0
	dst = append(dst, "user\x00postgres\x00database\x00postgres\x00\x00"...)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	prepare := func(name, statement string, types ...uint32) {
		body := append([]byte(name+"\x00"+statement+"\x00"), 0, byte(len(types)))
		for _, typ := range types {
			body = binary.BigEndian.AppendUint32(body, typ)
		}
		dst = append(postgresMessage(dst, 'P', len(body)), body...)
	}
	prepare("a", postgresAcquire, typeInt4)
	prepare("r", postgresRelease, typeInt4, typeInt8)
	t.pg.preparing = 2 // the start itself ends as a transaction does
	return append(dst, postgresSync...)
}

// postgresMessage begins a message with a body of so many bytes.
func postgresMessage(dst []byte, typ byte, bodyBytes int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, typ), uint32(4+bodyBytes))
}

const (
	postgresSync    = "S\x00\x00\x00\x04"
	postgresExecute = "E\x00\x00\x00\x09\x00\x00\x00\x00\x00" // of the unnamed portal, without a limit
)

func (d postgresDialect) acquire(dst []byte, t *talk, p *pair) []byte {
	// Statement a for the unnamed portal, its one parameter in binary; all results in binary.
	const bind, results = "\x00a\x00" + "\x00\x01\x00\x01" + "\x00\x01" + "\x00\x00\x00\x04", "\x00\x01\x00\x01"
	dst = append(postgresMessage(dst, 'B', len(bind)+4+len(results)), bind...)
	from := uint32(1)
	if p.tries%2 == 0 { // else there was none from there on
		from += uint32(rand.Uint64N(d.items))
	}
	dst = append(binary.BigEndian.AppendUint32(dst, from), results...)
	return d.execute(dst, t, p)
}

func (d postgresDialect) release(dst []byte, t *talk, p *pair) []byte {
	// Statement r for the unnamed portal, all of its two parameters in binary, no results.
	const bind, parameters = "\x00r\x00" + "\x00\x01\x00\x01" + "\x00\x02", 4 + 4 + 4 + 8
	dst = append(postgresMessage(dst, 'B', len(bind)+parameters+2), bind...)
	dst = binary.BigEndian.AppendUint32(dst, 4)
	dst = binary.BigEndian.AppendUint32(dst, p.item)
	dst = binary.BigEndian.AppendUint32(dst, 8)
	dst = binary.BigEndian.AppendUint64(dst, p.token)
	return d.execute(append(dst, 0, 0), t, p)
}

func (d postgresDialect) execute(dst []byte, t *talk, p *pair) []byte {
	t.order.add(p.index)
	dst = append(dst, postgresExecute...)
	if d.batch {
		t.pg.unsynced = true
		return dst
	}
	return append(dst, postgresSync...)
}

func (postgresDialect) flush(dst []byte, t *talk) []byte {
	if t.pg.unsynced {
		t.pg.unsynced = false
		dst = append(dst, postgresSync...)
	}
	return dst
}

func (d postgresDialect) hear(w *pairsWire, buf []byte, t *talk) (n int, index uint64, err error) {
	const headBytes = 5
	if len(buf) < headBytes {
		return 0, 0, nil
	}
	typ, size := buf[0], binary.BigEndian.Uint32(buf[1:])
	n = 1 + int(size)
	if size < 4 || n > readBytesMax {
		return headBytes, 0, fmt.Errorf("not a message of PostgreSQL: %s", quoted(buf))
	}
	if len(buf) < n {
		return 0, 0, nil
	}
	body := buf[headBytes:n]
	index = t.order.at(t.pg.complete)
	switch typ {
	case '1', '2', 'N', 'S', 'K': // parsed, bound, a notice, a setting, a key for cancelling
	case 'R':
		if len(body) != 4 || binary.BigEndian.Uint32(body) != 0 {
			err = errors.New("the server asks for a password")
		}
	case 'D':
		err = t.row(body, index)
	case 'C':
		err = t.completed(body, index)
	case 'Z':
		if string(body) != "I" {
			return n, index, errors.New("a transaction has failed")
		}
		err = d.committed(w, t)
	default:
		err = fmt.Errorf("message %q: %s", typ, quoted(bytes.ReplaceAll(body, []byte{0}, []byte(" "))))
	}
	return n, index, err
}

// row notes the row that an acquire has returned.
func (t *talk) row(body []byte, index uint64) error {
	const bytesWant = 2 + 4 + 4 + 4 + 8 // the number of columns, then the length and value of each
	p := t.find(index)
	if p == nil || p.held || p.item != 0 || len(body) != bytesWant {
		return fmt.Errorf("a row that was not asked for: %q", body)
	}
	p.item, p.token = binary.BigEndian.Uint32(body[6:]), binary.BigEndian.Uint64(body[14:])
	return nil
}

// completed checks that a statement has done what it is for.
func (t *talk) completed(tag []byte, index uint64) error {
	p := t.find(index)
	want := "UPDATE 1\x00"
	if p != nil && !p.held && p.item == 0 {
		want = "UPDATE 0\x00" // nothing was free
	}
	if p == nil || string(tag) != want {
		return fmt.Errorf("a statement is complete with %q", tag)
	}
	t.pg.complete++
	return nil
}

// committed answers all statements of a transaction.
func (d postgresDialect) committed(w *pairsWire, t *talk) error {
	if t.pg.preparing > 0 {
		t.pg.preparing--
		return nil
	}
	if t.pg.complete == 0 {
		return errors.New("the server is ready, but not for what was asked")
	}
	for ; t.pg.complete > 0; t.pg.complete-- {
		p := t.find(t.order.at(0))
		t.order.shift()
		var err error
		switch {
		case p.held:
			err = w.released(t, p, 0)
		case p.item == 0:
			w.nothingFree(t, p)
		default:
			err = w.granted(t, p, uint64(p.item), p.token, p.token)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
