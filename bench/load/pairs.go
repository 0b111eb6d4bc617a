package load

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
)

// PairsConfig makes each request a pair: acquire one item of a pool, then release it. It is over when the release is
// answered, and both answers say that the change is on the disk. Items have the names of ItemID.
type PairsConfig struct {
	// Server says what is spoken: kassa, redis, postgres or etcd. The items and what keeps them are made by who starts the server.
	Server string `json:"server"`

	// Items is the size of the pool, at least 1.
	Items int `json:"items"`

	// Batch, of postgres, puts all that goes out in one write on a connection into one transaction: one commit for what
	// may be many clients' changes, which all fail if one does. Otherwise each statement is a transaction of its own.
	Batch bool `json:"batch,omitempty"`
}

// ItemID returns the name of item i, counted from 1.
func ItemID(i int) string { return fmt.Sprintf("item-%07d", i) }

const (
	itemPrefix = "item-"
	itemDigits = 7
	itemsMax   = 9_999_999
)

// talker is a Wire in which a reply may ask for more to be sent before its request is over. What it knows of a connection
// belongs to the connection's thread.
type talker interface {
	Wire

	// prepare is called once, with the number of connections.
	prepare(conns int)

	// hear looks at the first reply in buf, which came on connection conn. It returns the bytes it takes, 0 when it is not
	// whole yet, and done with the indexes of the requests that it ends appended. An error says that it is not what must
	// come; index says of which request, 0 when that is not known.
	hear(buf []byte, conn uint32, done []uint64) (n int, over []uint64, index uint64, err error)

	// appendMore appends what is to be sent on conn besides new requests. It is called before each write.
	appendMore(dst []byte, conn uint32) []byte
}

// dialect is how a server is asked for pairs. Its methods return what talker's do.
type dialect interface {
	open(dst []byte, t *talk) []byte // what goes out before anything else
	acquire(dst []byte, t *talk, p *pair) []byte
	release(dst []byte, t *talk, p *pair) []byte
	flush(dst []byte, t *talk) []byte // what goes out behind all else of one write
	hear(w *pairsWire, buf []byte, t *talk) (n int, index uint64, err error)
}

// pair is one that is under way.
type pair struct {
	index uint64 // its request's; 0: there is none
	held  bool   // it has been acquired, and is to be released, or was asked to be
	tries int    // acquires that found nothing free
	item  uint32 // that it holds, from 1
	lease uint64
	token uint64

	claimed bool   // of etcd: the item was not busy before
	rev     uint64 // of etcd: what its last transaction came about as; 0: it did not
}

// talk is what is known of a connection.
type talk struct {
	opened bool
	pairs  []pair // under way; index i has slot i % len(pairs), a power of two
	order  order
	next   []byte   // releases
	giving []uint32 // items whose releases are in next
	again  []uint64 // pairs whose acquires are made anew
	done   []uint64 // pairs that are over
	pg     postgresTalk
	etcd   etcdTalk
}

// pairsWire is a talker that counts on at most one holder of each item, and on tokens that rise.
type pairsWire struct {
	dialect
	talks []talk
	items []itemSeen
	again atomic.Int64 // acquires that found nothing free, and were made anew
}

// itemSeen is what replies have said of an item. Its numbers only rise.
type itemSeen struct {
	token    atomic.Uint64 // the last one, twice; plus 1 until its release goes out
	released atomic.Uint64 // the rev of its last release, where servers say it
}

func newPairsWire(c *PairsConfig) (*pairsWire, error) {
	if c.Items < 1 || c.Items > itemsMax {
		return nil, fmt.Errorf("load: a pool of %d items", c.Items)
	}
	w := &pairsWire{items: make([]itemSeen, c.Items+1)}
	switch c.Server {
	case "kassa":
		w.dialect = kassaDialect{}
	case "redis":
		w.dialect = redisDialect{}
	case "postgres":
		w.dialect = postgresDialect{items: uint64(c.Items), batch: c.Batch}
	case "etcd":
		w.dialect = newEtcdDialect(c.Items)
	default:
		return nil, fmt.Errorf("load: no server %q for pairs: kassa, redis, postgres or etcd", c.Server)
	}
	return w, nil
}

func (w *pairsWire) prepare(conns int) { w.talks = make([]talk, conns) }

func (w *pairsWire) AppendRequest(dst []byte, conn uint32, index uint64) []byte {
	t := &w.talks[conn]
	if !t.opened {
		t.opened = true
		dst = w.open(dst, t)
	}
	dst = w.appendNext(dst, t) // what was asked first goes first
	return w.acquire(dst, t, t.add(index))
}

// CheckReply is hear of other Wires.
func (*pairsWire) CheckReply([]byte, uint32) (int, uint64, error) {
	return 0, 0, errors.New("load: a pair takes more than one reply")
}

func (w *pairsWire) hear(buf []byte, conn uint32, done []uint64) (int, []uint64, uint64, error) {
	t := &w.talks[conn]
	n, index, err := w.dialect.hear(w, buf, t)
	done = append(done, t.done...)
	t.done = t.done[:0]
	return n, done, index, err
}

func (w *pairsWire) appendMore(dst []byte, conn uint32) []byte {
	t := &w.talks[conn]
	return w.flush(w.appendNext(dst, t), t)
}

func (w *pairsWire) appendNext(dst []byte, t *talk) []byte {
	for _, item := range t.giving {
		// From now on the server may give it to another.
		seen := &w.items[item].token
		seen.Store(seen.Load() &^ 1)
	}
	dst = append(dst, t.next...)
	// Acquires go last: in PostgreSQL they lock rows that others hold by then, which is no harm in a transaction that waits
	// for none of them any more.
	for _, index := range t.again {
		dst = w.acquire(dst, t, t.find(index))
	}
	t.next, t.giving, t.again = t.next[:0], t.giving[:0], t.again[:0]
	return dst
}

// granted is called when p has got an item, and makes ready to release it.
func (w *pairsWire) granted(t *talk, p *pair, item uint64, lease, token uint64) error {
	if item == 0 || item >= uint64(len(w.items)) {
		return fmt.Errorf("item %d is given out, of a pool of %d", item, len(w.items)-1)
	}
	seen := &w.items[item]
	old := seen.token.Swap(token<<1 | 1)
	switch {
	case old&1 != 0:
		return fmt.Errorf("item %d is given out with token %d while the lease with token %d is not over", item, token, old>>1)
	case token <= old>>1:
		return fmt.Errorf("item %d is given out with token %d after %d", item, token, old>>1)
	case token < seen.released.Load(): // the same: one step gave it from one to the other
		return fmt.Errorf("item %d is given out with token %d, and was given back as late as rev %d", item, token, seen.released.Load())
	}
	p.held, p.item, p.lease, p.token = true, uint32(item), lease, token
	t.giving = append(t.giving, p.item)
	t.next = w.release(t.next, t, p)
	return nil
}

// nothingFree is called when p has got nothing, and makes ready to ask again.
func (w *pairsWire) nothingFree(t *talk, p *pair) {
	w.again.Add(1)
	p.tries++
	t.again = append(t.again, p.index)
}

// released is called when p has given its item back, as event rev; 0: the server does not say.
func (w *pairsWire) released(t *talk, p *pair, rev uint64) error {
	seen := &w.items[p.item]
	if last := seen.token.Load() >> 1; last > p.token && last < rev {
		return fmt.Errorf("item %d was given out with token %d, while the lease with token %d was given back as late as rev %d", p.item, last, p.token, rev)
	}
	if rev != 0 {
		seen.released.Store(max(rev, seen.released.Load()))
	}
	t.done = append(t.done, p.index)
	*p = pair{}
	return nil
}

// add notes a pair that begins.
func (t *talk) add(index uint64) *pair {
	for {
		if len(t.pairs) > 0 {
			if p := &t.pairs[index&uint64(len(t.pairs)-1)]; p.index == 0 {
				p.index = index
				return p
			}
		}
		t.grow()
	}
}

// grow doubles the room. All pairs under way are within windowMax of each other, so they find different slots.
func (t *talk) grow() {
	pairs := make([]pair, max(1, 2*len(t.pairs)))
	for _, p := range t.pairs {
		if p.index != 0 {
			pairs[p.index&uint64(len(pairs)-1)] = p
		}
	}
	t.pairs = pairs
}

// find returns the pair of that index; nil: it is not under way.
func (t *talk) find(index uint64) *pair {
	if index == 0 || len(t.pairs) == 0 {
		return nil
	}
	if p := &t.pairs[index&uint64(len(t.pairs)-1)]; p.index == index {
		return p
	}
	return nil
}

// order is a queue of the pairs whose replies come next, for servers whose replies do not say what they answer.
type order struct {
	indexes []uint64
	head    int // place of the first
}

func (o *order) add(index uint64) { o.indexes = append(o.indexes, index) }

// at returns the index of the i-th from the first; 0: there are no more than i.
func (o *order) at(i int) uint64 {
	if o.head+i >= len(o.indexes) {
		return 0
	}
	return o.indexes[o.head+i]
}

// shift takes the first off.
func (o *order) shift() {
	if o.head++; 2*o.head >= len(o.indexes) {
		o.indexes = o.indexes[:copy(o.indexes, o.indexes[o.head:])]
		o.head = 0
	}
}

// text reads a reply from its start. Once something is not as wanted, all that follows fails.
type text struct {
	rest []byte
	bad  bool
}

// want takes what must come next.
func (t *text) want(s string) {
	if t.bad || len(t.rest) < len(s) || string(t.rest[:len(s)]) != s {
		t.bad = true
		return
	}
	t.rest = t.rest[len(s):]
}

// number takes digits, at most as many as surely fit.
func (t *text) number() (n uint64) {
	i := 0
	for i < len(t.rest) && i < 18 && t.rest[i]-'0' <= 9 {
		n = n*10 + uint64(t.rest[i]-'0')
		i++
	}
	t.bad = t.bad || i == 0
	t.rest = t.rest[i:]
	return n
}

// line returns the first line of buf without its separator, and its length with it; 0: it is not whole.
func line(buf []byte, separator string) (text []byte, n int) {
	i := bytes.Index(buf, []byte(separator))
	if i < 0 {
		return nil, 0
	}
	return buf[:i], i + len(separator)
}

// quoted is the beginning of a reply, for people.
func quoted(reply []byte) string {
	const bytesMax = 200
	if len(reply) > bytesMax {
		return fmt.Sprintf("%q…", reply[:bytesMax])
	}
	return fmt.Sprintf("%q", reply)
}
