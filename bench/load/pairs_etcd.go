package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

// etcdDialect speaks etcd's gRPC. An item that is held is a key, one that is free is none, as etcd's own locks are; the token
// is the revision that made the key. An acquire is for one item, so the client picks it: at random, of those that the
// generator knows to be free, as if each client watched all keys at no cost.
type etcdDialect struct {
	method rpcMethod
	busy   []atomic.Bool // items that a pair holds or asks for
}

// etcdTalk is what is known of a connection to etcd.
type etcdTalk struct {
	rpc     rpcConn
	message []byte // the request to go out next
}

// etcdMessageMax is more than any message has, in bytes.
const etcdMessageMax = 128

// The fields of TxnRequest, TxnResponse and what is in them, each as its number and kind (0: a varint, 2: it has a length).
const (
	etcdCompare         = 1<<3 | 2 // of TxnRequest
	etcdCompareTarget   = 2 << 3
	etcdCompareKey      = 3<<3 | 2
	etcdCompareCreated  = 5 << 3
	etcdCompareModified = 6 << 3
	etcdSuccess         = 2<<3 | 2 // of TxnRequest
	etcdPut             = 2<<3 | 2 // of RequestOp and ResponseOp
	etcdDelete          = 3<<3 | 2 // of both
	etcdKey             = 1<<3 | 2 // of PutRequest and DeleteRangeRequest
	etcdValue           = 2<<3 | 2 // of PutRequest

	etcdHeader    = 1<<3 | 2 // of TxnResponse
	etcdRevision  = 3 << 3   // of ResponseHeader
	etcdSucceeded = 2 << 3   // of TxnResponse
	etcdResponses = 3<<3 | 2 // of TxnResponse
	etcdDeleted   = 2 << 3   // of DeleteRangeResponse

	etcdCreatedTarget, etcdModifiedTarget = 1, 2
)

const (
	etcdKeyBytes = len(itemPrefix) + itemDigits
	etcdHolder   = "held"
)

func newEtcdDialect(items int) *etcdDialect {
	return &etcdDialect{method: newRPCMethod("/etcdserverpb.KV/Txn"), busy: make([]atomic.Bool, items+1)}
}

func (d *etcdDialect) open(dst []byte, t *talk) []byte { return t.etcd.rpc.open(dst) }

// pick returns an item to ask for. Where all are busy it is one that may well not be free.
func (d *etcdDialect) pick() (item uint32, claimed bool) {
	items := uint64(len(d.busy) - 1)
	from := rand.Uint64N(items)
	for i := range items {
		item := 1 + (from+i)%items
		if d.busy[item].CompareAndSwap(false, true) {
			return uint32(item), true
		}
	}
	return uint32(1 + from), false
}

func (d *etcdDialect) acquire(dst []byte, t *talk, p *pair) []byte {
	p.item, p.claimed = d.pick()
	t.etcd.rpc.waiting.add(p.index)
	return dst
}

func (d *etcdDialect) release(dst []byte, t *talk, p *pair) []byte {
	t.etcd.rpc.waiting.add(p.index)
	return dst
}

// flush appends what the server takes.
func (d *etcdDialect) flush(dst []byte, t *talk) []byte {
	c := &t.etcd.rpc
	dst = c.appendAnswers(dst)
	for c.waiting.at(0) != 0 && c.fits(etcdMessageMax) {
		p := t.find(c.waiting.at(0))
		c.waiting.shift()
		t.etcd.message = appendEtcdTxn(t.etcd.message[:0], p)
		dst, _ = c.call(dst, &d.method, p.index, t.etcd.message)
	}
	return dst
}

// appendEtcdTxn appends the TxnRequest that p is to make next: if there is no key, put it; if it is still the one that was
// put, delete it.
func appendEtcdTxn(dst []byte, p *pair) []byte {
	// The key as field of a message, with its length.
	key := func(field byte) {
		dst = append(append(dst, field, byte(etcdKeyBytes)), itemPrefix+"0000000"...)
		putDigits(dst[len(dst)-itemDigits:], uint64(p.item))
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0) // the prefix
	dst = append(dst, etcdCompare, 0)
	at := len(dst)
	if p.held {
		dst = append(dst, etcdCompareTarget, etcdModifiedTarget)
		key(etcdCompareKey)
		dst = binary.AppendUvarint(append(dst, etcdCompareModified), p.token)
	} else {
		dst = append(dst, etcdCompareTarget, etcdCreatedTarget)
		key(etcdCompareKey)
		dst = append(dst, etcdCompareCreated, 0)
	}
	dst[at-1] = byte(len(dst) - at)
	if p.held {
		dst = append(dst, etcdSuccess, byte(2+2+etcdKeyBytes), etcdDelete, byte(2+etcdKeyBytes))
		key(etcdKey)
	} else {
		const put = 2 + etcdKeyBytes + 2 + len(etcdHolder)
		dst = append(dst, etcdSuccess, byte(2+put), etcdPut, byte(put))
		key(etcdKey)
		dst = append(append(dst, etcdValue, byte(len(etcdHolder))), etcdHolder...)
	}
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-rpcPrefixBytes))
	return dst
}

func (d *etcdDialect) hear(w *pairsWire, buf []byte, t *talk) (n int, index uint64, err error) {
	n, r, err := t.etcd.rpc.read(buf, etcdMessageMax)
	if n == 0 || r.index == 0 || r.part == nil && !r.over || err != nil {
		return n, r.index, err
	}
	p := t.find(r.index)
	if r.over {
		if r.at == 0 {
			return n, r.index, fmt.Errorf("a reply without a message")
		}
		return n, r.index, d.answered(w, t, p)
	}
	// Such short messages come whole.
	rev, ok := readEtcdTxn(r.part, p.held)
	if r.at > 0 || rev == 0 {
		return n, r.index, fmt.Errorf("not what a transaction gets: %s", quoted(r.part))
	}
	p.rev = 0
	if ok {
		p.rev = rev
	}
	return n, r.index, nil
}

// answered is called when p's transaction has come about, as p.rev, or has found that its condition does not hold.
func (d *etcdDialect) answered(w *pairsWire, t *talk, p *pair) error {
	busy := &d.busy[p.item]
	switch {
	case p.held && p.rev == 0:
		return fmt.Errorf("item %d was held with token %d, and is not any more", p.item, p.token)
	case p.held:
		busy.Store(false)
		return w.released(t, p, p.rev)
	case p.rev == 0:
		if p.claimed {
			busy.Store(false)
		}
		w.nothingFree(t, p)
		return nil
	}
	busy.Store(true)
	return w.granted(t, p, uint64(p.item), p.rev, p.rev)
}

// readEtcdTxn reads a TxnResponse with its prefix: the store's revision, 0 where it is not one, and whether the condition held.
// If so, it must say that one key was put, or deleted.
func readEtcdTxn(message []byte, deleted bool) (rev uint64, succeeded bool) {
	if len(message) < rpcPrefixBytes || message[0] != 0 || int(binary.BigEndian.Uint32(message[1:])) != len(message)-rpcPrefixBytes {
		return 0, false
	}
	in := protobuf{rest: message[rpcPrefixBytes:]}
	puts, deletes := 0, uint64(0)
	for in.next() {
		switch in.field {
		case etcdHeader:
			header := protobuf{rest: in.bytes}
			for header.next() {
				if header.field == etcdRevision {
					rev = header.number
				}
			}
			in.bad = in.bad || header.bad
		case etcdSucceeded:
			succeeded = in.number == 1
		case etcdResponses:
			response := protobuf{rest: in.bytes}
			for response.next() {
				switch response.field {
				case etcdPut:
					puts++
				case etcdDelete:
					deletion := protobuf{rest: response.bytes}
					for deletion.next() {
						if deletion.field == etcdDeleted {
							deletes += deletion.number
						}
					}
					in.bad = in.bad || deletion.bad
				}
			}
			in.bad = in.bad || response.bad
		}
	}
	wantPuts, wantDeletes := 0, uint64(0)
	switch {
	case succeeded && deleted:
		wantDeletes = 1
	case succeeded:
		wantPuts = 1
	}
	if in.bad || puts != wantPuts || deletes != wantDeletes {
		return 0, false
	}
	return rev, succeeded && rev > 0
}

// protobuf reads a message field by field.
type protobuf struct {
	rest   []byte
	field  uint64 // number and kind
	number uint64 // of a varint
	bytes  []byte // of what has a length
	bad    bool   // rest is not made of such fields
}

// next reads a field; false: there is none, or it is bad.
func (p *protobuf) next() bool {
	if len(p.rest) == 0 || p.bad {
		return false
	}
	p.field = p.varint()
	p.number, p.bytes = p.varint(), nil
	switch p.field & 7 {
	case 0:
	case 2:
		if p.bad = p.bad || p.number > uint64(len(p.rest)); !p.bad {
			p.bytes, p.rest = p.rest[:p.number], p.rest[p.number:]
		}
	default:
		p.bad = true
	}
	return !p.bad
}

func (p *protobuf) varint() uint64 {
	n, size := binary.Uvarint(p.rest)
	if size <= 0 {
		p.bad = true
		return 0
	}
	p.rest = p.rest[size:]
	return n
}
