package load_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

// broken is what a broker and its worker say wrongly, of which the generator must take notice.
type broken struct {
	sends []string // the answers, each to what came in one read more
	want  string   // part of the fault; empty: one request is answered
}

// testBroken has a server send each of those, byte by byte and at once, to a connection with one request.
func testBroken(t *testing.T, protocol string, tests map[string]broken) {
	for what, test := range tests {
		for _, step := range []int{1, 1 << 20} {
			t.Run(fmt.Sprintf("%s, %d", what, step), func(t *testing.T) {
				t.Parallel()
				addr := startServer(t, func(c net.Conn) {
					for _, answer := range test.sends {
						_, _ = c.Read(make([]byte, 64<<10))
						for len(answer) > 0 {
							n := min(step, len(answer))
							_, _ = io.WriteString(c, answer[:n])
							answer = answer[n:]
						}
					}
					_, _ = io.Copy(io.Discard, c)
				})
				g := newGenerator(t, load.Config{Addr: addr, Wire: load.WireConfig{Protocol: protocol}, Conns: 1, TimeoutMs: 500})
				r, err := g.Connect(1)
				if err == nil && test.want != "" && r.Err() == nil { // what came too much is heard in the next phase
					r, err = g.Run(load.Phase{Requests: 1})
				}
				switch {
				case err != nil:
					t.Fatal(err)
				case test.want == "" && (r.Err() != nil || r.Requests != 1):
					t.Errorf("%+v", r)
				case test.want != "" && (r.Err() == nil || !strings.Contains(r.Err().Error(), test.want)):
					t.Errorf("%+v; want a fault with %q", r, test.want)
				}
			})
		}
	}
}

// firstReply is the frame that answers the first request on connection 0.
func firstReply(t *testing.T) string {
	t.Helper()
	w, err := load.NewWire(load.WireConfig{})
	if err != nil {
		t.Fatal(err)
	}
	frame := w.AppendRequest(nil, 0, load.IndexMin)
	return string(bytes.Replace(bytes.TrimSuffix(frame, []byte("\n")), []byte("payload"), []byte("resultJob"), 1))
}

// spoilt is a frame with one digit of its number changed, and so that of another request.
func spoilt(frame string) string {
	at := strings.LastIndexAny(frame, "0123456789")
	return frame[:at] + string('0'+(frame[at]-'0'+1)%10) + frame[at+1:]
}

func TestNATSReplies(t *testing.T) {
	const info = "INFO {\"server_id\":\"X\",\"headers\":true}\r\n"
	reply := firstReply(t)
	message := func(frame string) string {
		return fmt.Sprintf("MSG _INBOX.0000000 1 %d\r\n%s\r\n", len(frame), frame)
	}
	testBroken(t, "nats", map[string]broken{
		"a reply":            {[]string{info + message(reply)}, ""},
		"a ping before it":   {[]string{info + "PING\r\n", message(reply)}, ""}, // it is sent when the PONG has come
		"twice":              {[]string{info + message(reply) + message(reply)}, "doubled"},
		"another's":          {[]string{message(spoilt(reply))}, "want"},
		"another's inbox":    {[]string{strings.Replace(message(reply), "0000000", "0000001", 1)}, "_INBOX.0000001"},
		"another length":     {[]string{fmt.Sprintf("MSG _INBOX.0000000 1 %d\r\n%s \r\n", len(reply)+1, reply)}, "MSG"},
		"no line end":        {[]string{info + strings.TrimSuffix(message(reply), "\r\n") + "PING\r\n"}, "want"},
		"the request itself": {[]string{message(strings.Replace(reply, "resultJob", "payload", 1))}, "MSG"},
		"nobody serves it":   {[]string{"HMSG _INBOX.0000000 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"}, "no responders"},
		"headers":            {[]string{"HMSG _INBOX.0000000 1 22 23\r\nNATS/1.0\r\nA: b\r\n\r\nx\r\n"}, "headers"},
		"an error":           {[]string{info + "-ERR 'Unknown Protocol Operation'\r\n"}, "Unknown Protocol"},
		"what was not asked": {[]string{"+OK\r\n"}, "+OK"},
		"no line":            {[]string{strings.Repeat("x", 20<<10)}, "no line"},
		"nothing":            {[]string{info}, "no reply"},
	})
}

func TestRedisReplies(t *testing.T) {
	const opened = ">3\r\n$9\r\nsubscribe\r\n$8\r\nr0000000\r\n:1\r\n"
	reply := firstReply(t)
	message := func(frame string) string {
		return fmt.Sprintf(">3\r\n$7\r\nmessage\r\n$8\r\nr0000000\r\n$%d\r\n%s\r\n", len(frame), frame)
	}
	testBroken(t, "redis", map[string]broken{
		"a reply":            {[]string{opened + message(reply)}, ""},
		"twice":              {[]string{opened + message(reply) + message(reply)}, "doubled"},
		"another's":          {[]string{opened + message(spoilt(reply))}, "want"},
		"another's channel":  {[]string{opened + strings.Replace(message(reply), "0000000", "0000001", 1)}, "got"},
		"another length":     {[]string{opened + message(reply+" ")}, "got"},
		"no line end":        {[]string{opened + strings.TrimSuffix(message(reply), "\r\n") + opened}, "want"},
		"the request itself": {[]string{opened + message(strings.Replace(reply, "resultJob", "payload", 1))}, "got"},
		"before it is asked": {[]string{message(reply)}, "got"},
		"an error":           {[]string{"-ERR max number of clients reached\r\n"}, "max number of clients"},
		"what was not asked": {[]string{opened + "+OK\r\n"}, "+OK"},
		"nothing":            {[]string{opened}, "no reply"},
	})
}

func gearmanPacket(kind uint32, data string) string {
	head := binary.BigEndian.AppendUint32([]byte("\x00RES"), kind)
	return string(binary.BigEndian.AppendUint32(head, uint32(len(data)))) + data
}

func TestGearmanReplies(t *testing.T) {
	const handle = "H:here:1"
	reply, created := firstReply(t), gearmanPacket(8, handle)
	complete := func(frame string) string { return gearmanPacket(13, handle+"\x00"+frame) }
	testBroken(t, "gearman", map[string]broken{
		"a reply":            {[]string{created + complete(reply)}, ""},
		"in two parts":       {[]string{created + complete(reply)[:30], complete(reply)[30:]}, "no reply"}, // the rest goes unasked for
		"twice":              {[]string{created + created + complete(reply) + complete(reply)}, "doubled"},
		"another's":          {[]string{created + complete(spoilt(reply))}, "want"},
		"longer":             {[]string{created + complete(reply+" ")}, "got"},
		"no frame":           {[]string{created + gearmanPacket(13, handle)}, "got"},
		"the request itself": {[]string{created + complete(strings.Replace(reply, "resultJob", "payload", 1))}, "got"},
		"not created":        {[]string{complete(reply)}, "not created"},
		"no handle":          {[]string{gearmanPacket(8, "")}, "handle"},
		"a failure":          {[]string{created + gearmanPacket(14, handle)}, "failed"},
		"an error":           {[]string{gearmanPacket(19, "QUEUE_FULL\x00no room")}, "no room"},
		"what was not asked": {[]string{created + gearmanPacket(12, handle+"\x001\x002")}, "kind 12"},
		"no packet":          {[]string{"ERR x\r\n"}, "no packet"},
		"too long":           {[]string{"\x00RES\x00\x00\x00\x0d\xff\xff\xff\xff"}, "4294967295 bytes"},
		"nothing":            {[]string{created}, "no reply"},
	})
}
