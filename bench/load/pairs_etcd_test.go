package load_test

import (
	"encoding/binary"
	"regexp"
	"sync"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

// keeper is a store that speaks as etcd does, and is honest but for what spoil does to the n-th answer of a connection.
type keeper struct {
	mu    sync.Mutex
	rev   uint64
	keys  map[string]uint64 // the revisions that made them
	spoil func(s *rpcServer, n int, stream uint32, answer []byte) bool
}

// Requests as etcd's own client makes them, without their prefix.
var (
	etcdAcquire = regexp.MustCompile(`^\x0a\x12\x10\x01\x1a\x0c(item-\d{7})\x28\x00\x12\x16\x12\x14\x0a\x0c(item-\d{7})\x12\x04held$`)
	etcdRelease = regexp.MustCompile(`(?s)^\x0a.\x10\x02\x1a\x0c(item-\d{7})\x30(.+)\x12\x10\x1a\x0e\x0a\x0c(item-\d{7})$`)
)

// etcdAnswer is a TxnResponse of revision rev, with its prefix.
func etcdAnswer(rev uint64, succeeded, deleted bool) []byte {
	header := append(append([]byte{1 << 3, 77, 2 << 3, 78, 3 << 3}, binary.AppendUvarint(nil, rev)...), 4<<3, 2)
	m := append([]byte{0, 0, 0, 0, 0, 1<<3 | 2, byte(len(header))}, header...)
	own := binary.AppendUvarint([]byte{3 << 3}, rev)
	switch {
	case succeeded && deleted:
		deletion := append(append([]byte{1<<3 | 2, byte(len(own))}, own...), 2<<3, 1)
		m = append(m, 2<<3, 1, 3<<3|2, byte(2+len(deletion)), 3<<3|2, byte(len(deletion)))
		m = append(m, deletion...)
	case succeeded:
		m = append(m, 2<<3, 1, 3<<3|2, byte(4+len(own)), 2<<3|2, byte(2+len(own)), 1<<3|2, byte(len(own)))
		m = append(m, own...)
	}
	binary.BigEndian.PutUint32(m[1:], uint32(len(m)-5))
	return m
}

func (k *keeper) answer(s *rpcServer, n int, stream uint32, message []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var answer []byte
	if a := etcdAcquire.FindSubmatch(message[5:]); a != nil && string(a[1]) == string(a[2]) {
		_, held := k.keys[string(a[1])]
		if !held {
			k.rev++
			k.keys[string(a[1])] = k.rev
		}
		answer = etcdAnswer(k.rev, !held, false)
	} else if r := etcdRelease.FindSubmatch(message[5:]); r != nil && string(r[1]) == string(r[3]) {
		token, _ := binary.Uvarint(r[2])
		held := k.keys[string(r[1])] == token
		if held {
			k.rev++
			delete(k.keys, string(r[1]))
		}
		answer = etcdAnswer(k.rev, held, true)
	} else {
		s.t.Errorf("request %q", message)
		return
	}
	if k.spoil == nil || !k.spoil(s, n, stream, answer) {
		s.reply(stream, answer)
	}
}

func startKeeper(t *testing.T, k *keeper) string {
	k.rev, k.keys = 100, map[string]uint64{}
	return startRPC(t, rpcServer{path: "/etcdserverpb.KV/Txn", streamsMax: 3, answer: k.answer})
}

func TestPairsEtcd(t *testing.T) {
	for _, items := range []int{3, 100} {
		k := &keeper{}
		wire := load.WireConfig{Pairs: &load.PairsConfig{Server: "etcd", Items: items}}
		g := connected(t, load.Config{Addr: startKeeper(t, k), Wire: wire, Conns: 4, Threads: 2, TimeoutMs: 3000})
		r := run(t, g, load.Phase{InFlight: 4, Requests: 800})
		if r.Err() != nil || r.Requests != 800 || (r.Again > 0) != (items < 16) {
			t.Errorf("%d items: %+v", items, r)
		}
		k.mu.Lock()
		if len(k.keys) != 0 || k.rev != 100+2*804 {
			t.Errorf("%d items: %d are held in the end, at revision %d", items, len(k.keys), k.rev)
		}
		k.mu.Unlock()
	}
}

// What must not happen is a fault in words, even where the store says that all is well.
func TestPairsEtcdFaults(t *testing.T) {
	const at = 6 // the fourth acquire
	for name, test := range map[string]struct {
		at     int
		answer [][]byte // parts
		want   string
	}{
		"no message":          {at, nil, "without a message"},
		"pieces":              {at, [][]byte{etcdAnswer(900, true, false)[:9], etcdAnswer(900, true, false)[9:]}, "not what a transaction gets"},
		"two messages":        {at, [][]byte{etcdAnswer(900, true, false), etcdAnswer(901, true, false)}, "not what a transaction gets"},
		"a deletion for once": {at, [][]byte{etcdAnswer(900, true, true)}, "not what a transaction gets"},
		"a put for once":      {at + 1, [][]byte{etcdAnswer(900, true, false)}, "not what a transaction gets"},
		"no revision":         {at, [][]byte{etcdAnswer(0, true, false)}, "not what a transaction gets"},
		"cut":                 {at, [][]byte{{0, 0, 0, 0, 2, 0x0a, 9}}, "not what a transaction gets"},
		"old revision":        {at, [][]byte{etcdAnswer(5, true, false)}, "is given out with token 5"},
		"lost":                {at + 1, [][]byte{etcdAnswer(900, false, false)}, "and is not any more"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &keeper{spoil: func(s *rpcServer, n int, stream uint32, _ []byte) bool {
				if n == test.at {
					s.reply(stream, test.answer...)
				}
				return n == test.at
			}}
			wire := load.WireConfig{Pairs: &load.PairsConfig{Server: "etcd", Items: 1}}
			g := connected(t, load.Config{Addr: startKeeper(t, k), Wire: wire, Conns: 1, TimeoutMs: 1000})
			r := run(t, g, load.Phase{Requests: 10})
			if r.Err() == nil || !hasFault(r, 0, load.IndexMin+3, test.want) {
				t.Errorf("%+v; want a fault with %q", r, test.want)
			}
		})
	}
}
