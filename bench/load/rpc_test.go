package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// rpcBlock returns header fields, name and value in turn, as e encodes them into out.
func rpcBlock(e *hpack.Encoder, out *bytes.Buffer, fields ...string) []byte {
	out.Reset()
	for pair := range slices.Chunk(fields, 2) {
		_ = e.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]})
	}
	return bytes.Clone(out.Bytes())
}

// rpcReplies returns what a good server sends on each stream, of the messages that w awaits there.
func rpcReplies(w *grpcWire, conn uint32, indexes ...uint64) []byte {
	var out bytes.Buffer
	e := hpack.NewEncoder(&out)
	replies := appendHTTP2Frame(nil, 0, http2Settings, 0, 0)
	for i, index := range indexes {
		stream := uint32(2*i + 1)
		head := rpcBlock(e, &out, ":status", "200", "content-type", "application/grpc")
		replies = append(appendHTTP2Frame(replies, len(head), http2Headers, http2EndHeaders, stream), head...)
		m := &w.message[index%TypeCount]
		replies = append(appendHTTP2Frame(replies, len(m.bytes), http2Data, 0, stream), m.bytes...)
		m.fill(replies[len(replies)-len(m.bytes):], conn, index)
		trailer := rpcBlock(e, &out, "grpc-status", "0", "grpc-message", "")
		replies = append(appendHTTP2Frame(replies, len(trailer), http2Headers, http2EndHeaders|http2EndStream, stream), trailer...)
	}
	return replies
}

func newTestGRPC(t testing.TB) *grpcWire {
	w, err := newGRPCWire(WireConfig{})
	if err != nil {
		t.Fatal(err)
	}
	g := w.(*grpcWire)
	g.prepare(1)
	return g
}

// hearAll gives w the stream, as much of it at a time as sizes says in turn, the way the loop does. It returns the replies
// that have come and what went wrong.
func hearAll(w *grpcWire, stream []byte, sizes ...int) (done []uint64, fault string) {
	had := 0 // bytes before stream that were not whole
	for i := 0; had < len(stream); i++ {
		buf := stream[:min(len(stream), had+sizes[i%len(sizes)])]
		had = len(buf)
		for len(buf) > 0 {
			n, more, index, err := w.hear(buf, 0, done)
			if err != nil {
				return done, fmt.Sprintf("%d: %v", index, err)
			}
			if n == 0 {
				break
			}
			done = more
			buf, stream, had = buf[n:], stream[n:], had-n
		}
	}
	return done, ""
}

// What comes in pieces says the same as what comes at once, and nothing that a server sends does harm.
func FuzzGRPC(f *testing.F) {
	indexes := []uint64{IndexMin, IndexMin + 1, IndexMin + 2}
	good := rpcReplies(newTestGRPC(f), 0, indexes...)
	f.Add(good, 1)
	f.Add(good, 10)
	f.Add(append(bytes.Clone(good), "HTTP/1.1 400 Bad Request\r\n\r\n"...), 7)
	f.Add([]byte("\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), 3)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		if size < 1 {
			size = 1
		}
		var answers [2]string
		for i, size := range []int{size, len(stream) + 1} {
			w := newTestGRPC(t)
			for _, index := range indexes {
				w.AppendRequest(nil, 0, index)
			}
			done, fault := hearAll(w, stream, size)
			answers[i] = fmt.Sprint(done, fault, w.conns[0].answers, w.conns[0].window, w.conns[0].underWay)
			if fault == "" && len(done)+w.conns[0].underWay != len(indexes) {
				t.Errorf("%d replies, and %d calls under way, of %d", len(done), w.conns[0].underWay, len(indexes))
			}
		}
		// A frame that is too long is quoted as far as it has come.
		if answers[0] != answers[1] && !strings.Contains(answers[0], "not a frame of HTTP/2") {
			t.Errorf("%d bytes at a time:\n%s\nat once:\n%s", size, answers[0], answers[1])
		}
	})
}

// Blocks that were right once are decoded anew when they may mean something else.
func TestRPCFields(t *testing.T) {
	var out bytes.Buffer
	e := hpack.NewEncoder(&out)
	var c rpcConn
	good := []string{"grpc-status", "0"}
	for i := range 3 {
		if err := c.checkFields(rpcBlock(e, &out, good...), false, true); err != nil {
			t.Fatalf("trailer %d: %v", i, err)
		}
	}
	if c.trailer != "\xbe" {
		t.Errorf("the trailer %q is taken for known", c.trailer)
	}
	// The place of what was remembered last belongs to another status now.
	if err := c.checkFields(rpcBlock(e, &out, ":status", "200", "content-type", "application/grpc", "grpc-status", "5"), true, false); err != nil {
		t.Fatal(err)
	}
	if err := c.checkFields([]byte("\xbe"), false, true); err == nil || !strings.Contains(err.Error(), `"5"`) {
		t.Errorf("a status that is another now: %v", err)
	}

	// A block that has a field remembered each time.
	c = rpcConn{}
	again := "\x40\x0bgrpc-status\x010"
	for i := range 3 {
		if err := c.checkFields([]byte(again), false, true); err != nil {
			t.Fatalf("trailer %d: %v", i, err)
		}
	}
	if err := c.checkFields([]byte{0x80 | 64}, false, true); err != nil {
		t.Errorf("the third from the last: %v", err)
	}
}

// The window is given back before it is used up.
func TestRPCWindow(t *testing.T) {
	w := newTestGRPC(t)
	w.AppendRequest(nil, 0, IndexMin)
	c := &w.conns[0]
	c.received = http2WindowBack - 1
	if _, fault := hearAll(w, rpcReplies(w, 0, IndexMin), 1<<20); fault != "" {
		t.Fatal(fault)
	}
	more := w.appendMore(nil, 0)
	at := bytes.LastIndex(more, []byte{0, 0, 4, http2WindowUpdate, 0, 0, 0, 0, 0})
	if want := uint32(http2WindowBack - 1 + len(w.message[0].bytes)); at < 0 || binary.BigEndian.Uint32(more[at+http2FrameHead:]) != want || c.received != 0 {
		t.Errorf("% x; want %d bytes given back", more, want)
	}
}

// No reply costs an allocation once the server remembers its fields.
func TestRPCAllocations(t *testing.T) {
	w := newTestGRPC(t)
	indexes := make([]uint64, 300)
	for i := range indexes {
		indexes[i] = IndexMin + uint64(i)
	}
	stream := rpcReplies(w, 0, indexes...)
	buf, done, next := make([]byte, 0, 4096), make([]uint64, 0, 4), 0
	one := func() {
		buf = w.appendMore(w.AppendRequest(buf[:0], 0, indexes[next]), 0)
		for next++; len(done) == 0; {
			n, over, _, err := w.hear(stream, 0, done)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			stream, done = stream[n:], over
		}
		done = done[:0]
	}
	for range 50 {
		one()
	}
	if n := testing.AllocsPerRun(200, one); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// No reply of etcd's does harm, and none that is taken leaves out what must be there.
func FuzzEtcdTxn(f *testing.F) {
	good := "\x00\x00\x00\x00\x13\x0a\x07\x08\x01\x10\x02\x18\x90\x07\x10\x01\x1a\x06\x12\x04\x0a\x02\x18\x09"
	f.Add([]byte(good), false)
	f.Add([]byte(strings.Replace(good, "\x12\x04\x0a\x02\x18\x09", "\x1a\x04\x0a\x00\x10\x01", 1)), true)
	f.Add([]byte("\x00\x00\x00\x00\x132\a0000000\x10\x01\x1a\x06\x12\x040000"), false) // without a revision
	f.Fuzz(func(t *testing.T, message []byte, deleted bool) {
		rev, succeeded := readEtcdTxn(message, deleted)
		if rev == 0 && succeeded {
			t.Error("it succeeds at no revision")
		}
		if succeeded && len(message) < rpcPrefixBytes+6 {
			t.Errorf("%q is taken for a change", message)
		}
		if rev == 0 || len(message) > 200 {
			return
		}
		const unknown = "\x7a\x01x" // field 15
		longer := append(bytes.Clone(message), unknown...)
		binary.BigEndian.PutUint32(longer[1:], uint32(len(longer)-rpcPrefixBytes))
		if n, ok := readEtcdTxn(longer, deleted); n != rev || ok != succeeded {
			t.Errorf("%q: %d %v, and %d %v with a field more", message, rev, succeeded, n, ok)
		}
	})
}
