package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// talkerConns is the number of connections in these tests; the one that is spoken on is the last.
const talkerConns = 8

func newTalker(t testing.TB, protocol string) talker {
	t.Helper()
	w, err := NewWire(WireConfig{Protocol: protocol})
	if err != nil {
		t.Fatal(err)
	}
	w.(talker).prepare(talkerConns)
	return w.(talker)
}

// heard is what a talker makes of all that it is sent.
type heard struct {
	bytes   int // that were taken
	indexes []uint64
	err     error
}

// hearSent gives a talker what was sent, so many bytes at a time more.
func hearSent(t testing.TB, protocol string, sent []byte, step int) (h heard) {
	t.Helper()
	w := newTalker(t, protocol)
	const conn = talkerConns - 1
	w.AppendRequest(nil, conn, IndexMin)
	for got := min(step, len(sent)); h.err == nil; got = min(got+step, len(sent)) {
		for h.err == nil && h.bytes < got {
			var n int
			n, h.indexes, _, h.err = w.hear(sent[h.bytes:got], conn, h.indexes)
			if n < 0 || n > got-h.bytes {
				t.Fatalf("%d bytes taken of %d", n, got-h.bytes)
			}
			if n == 0 {
				break
			}
			if h.err == nil {
				h.bytes += n
			}
		}
		if got == len(sent) {
			break
		}
	}
	w.appendMore(nil, conn)
	return h
}

// fuzzTalker looks whether a talker hears the same however what it is sent is cut, and ends.
func fuzzTalker(f *testing.F, protocol string, sent ...string) {
	for _, s := range sent {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 7)
	}
	f.Fuzz(func(t *testing.T, sent []byte, step int) {
		if len(sent) > 4<<10 {
			return
		}
		step = 1 + int(uint(step)%64)
		whole, cut := hearSent(t, protocol, sent, len(sent)+1), hearSent(t, protocol, sent, step)
		// An error may be seen before all is there, in other words.
		if whole.bytes != cut.bytes || len(whole.indexes) != len(cut.indexes) || (whole.err == nil) != (cut.err == nil) {
			t.Errorf("at once %+v, by %d bytes %+v", whole, step, cut)
		}
	})
}

// talkerReply is the frame that answers the request of that index on the connection of these tests.
func talkerReply(index uint64) string {
	frames, _ := newBrokerFrames(WireConfig{}, "")
	return string(frames.reply[index%TypeCount].append(nil, talkerConns-1, index))
}

// testTalker has a talker hear what answers its first three requests, with what comes before, and counts allocations.
func testTalker(t *testing.T, protocol, before string, answer func(index uint64) string) {
	t.Helper()
	var sent bytes.Buffer
	sent.WriteString(before)
	for i := range uint64(3) {
		sent.WriteString(answer(IndexMin + i))
	}
	for _, step := range []int{1, 2, 3, 100, 1 << 20} {
		h := hearSent(t, protocol, sent.Bytes(), step)
		if h.err != nil || h.bytes != sent.Len() || len(h.indexes) != 3 || h.indexes[2] != IndexMin+2 {
			t.Errorf("by %d bytes: %+v of %d", step, h, sent.Len())
		}
	}
	const conn = talkerConns - 1
	w := newTalker(t, protocol)
	var in, out []byte
	var done []uint64
	hear := func() {
		out = w.appendMore(w.AppendRequest(out[:0], conn, IndexMin), conn)
		for rest := in; len(rest) > 0; {
			n, over, _, err := w.hear(rest, conn, done[:0])
			if n == 0 || err != nil {
				t.Fatalf("%q: %d %v", rest, n, err)
			}
			done, rest = over, rest[n:]
		}
	}
	in = []byte(before + answer(IndexMin))
	hear()
	in = []byte(answer(IndexMin))
	if n := testing.AllocsPerRun(100, hear); n != 0 {
		t.Errorf("%v allocations for a request and its reply", n)
	}
}

func TestNATSHears(t *testing.T) {
	testTalker(t, "nats", "INFO {}\r\nPING\r\n", natsAnswer)
}

func natsAnswer(index uint64) string {
	reply := talkerReply(index)
	return fmt.Sprintf("MSG _INBOX.0000007 1 %d\r\n%s\r\n", len(reply), reply)
}

func FuzzNATS(f *testing.F) {
	fuzzTalker(f, "nats", "INFO {}\r\nPING\r\n"+natsAnswer(IndexMin)+natsAnswer(IndexMin+1), "-ERR 'x'\r\n",
		"HMSG _INBOX.0000007 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")
}

func TestRedisHears(t *testing.T) {
	testTalker(t, "redis", redisOpenedAnswer, redisAnswer)
}

const redisOpenedAnswer = ">3\r\n$9\r\nsubscribe\r\n$8\r\nr0000007\r\n:1\r\n"

func redisAnswer(index uint64) string {
	reply := talkerReply(index)
	return fmt.Sprintf(">3\r\n$7\r\nmessage\r\n$8\r\nr0000007\r\n$%d\r\n%s\r\n", len(reply), reply)
}

// What goes out in one write is a command for each type.
func TestRedisPushes(t *testing.T) {
	w := newTalker(t, "redis")
	var out []byte
	for i := range uint64(6) {
		out = w.AppendRequest(out, 7, IndexMin+i)
	}
	out = w.appendMore(out, 7)
	for what, want := range map[string]int{"SUBSCRIBE": 1, "r0000007 {": 6, "\r\n*4\r\n$5\r\nLPUSH\r\n$4\r\nq:t0": 1, "\r\n*3\r\n$5\r\nLPUSH\r\n$4\r\nq:t3": 1, "LPUSH": 4} {
		if n := bytes.Count(out, []byte(what)); n != want {
			t.Errorf("%d times %q, want %d:\n%q", n, what, want, out)
		}
	}
	if more := w.appendMore(nil, 7); len(more) > 0 {
		t.Errorf("once more: %q", more)
	}
}

func FuzzRedis(f *testing.F) {
	fuzzTalker(f, "redis", redisOpenedAnswer+redisAnswer(IndexMin)+redisAnswer(IndexMin+1), "-ERR x\r\n", "\r\n0")
}

func TestGearmanHears(t *testing.T) {
	testTalker(t, "gearman", "", gearmanJob)
}

// gearmanJob is what comes of a request: a job that is created, and done.
func gearmanJob(index uint64) string {
	const handle = "H:here:7"
	packet := func(kind uint32, data string) string {
		head := binary.BigEndian.AppendUint32([]byte(gearmanAnswer), kind)
		return string(binary.BigEndian.AppendUint32(head, uint32(len(data)))) + data
	}
	return packet(gearmanJobCreated, handle) + packet(gearmanWorkComplete, handle+"\x00"+talkerReply(index))
}

func FuzzGearman(f *testing.F) {
	fuzzTalker(f, "gearman", gearmanJob(IndexMin)+gearmanJob(IndexMin+1), "\x00RES\x00\x00\x00\x13\x00\x00\x00\x01x")
}
