package load_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/kassa-go/kassa/bench/load"
)

// rpcServer is one end of a connection, on the framing of another hand. It answers each call with its own message.
type rpcServer struct {
	t       *testing.T
	conn    net.Conn
	frames  *http2.Framer
	encoded bytes.Buffer
	fields  *hpack.Encoder
	calls   int

	path       string // of the method; empty: that of the protocol grpc
	streamsMax uint32 // that it takes; 0: any number
	window     int    // bytes of DATA that it has not taken yet, at most those of a new connection
	answer     func(s *rpcServer, n int, stream uint32, message []byte)
}

// startRPC starts a server that is as s on each connection, and answers the n-th call there, from 0, by answer.
func startRPC(t *testing.T, s rpcServer) string {
	return startServer(t, func(c net.Conn) {
		s := s
		s.t, s.conn, s.path = t, c, cmp.Or(s.path, "/kassa.bench.Desk/Ask")
		s.frames = http2.NewFramer(c, c)
		s.fields = hpack.NewEncoder(&s.encoded)
		s.serve()
	})
}

func (s *rpcServer) serve() {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(s.conn, preface); err != nil || string(preface) != http2.ClientPreface {
		s.t.Errorf("preface %q, %v", preface, err)
		return
	}
	settings := []http2.Setting{{ID: http2.SettingMaxFrameSize, Val: 16384}}
	if s.streamsMax > 0 {
		settings = append(settings, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: s.streamsMax})
	}
	_ = s.frames.WriteSettings(settings...)
	s.frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var open []uint32 // calls that are not answered yet
	messages := map[uint32][]byte{}
	acked := false
	for {
		f, err := s.frames.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if acked = acked || f.IsAck(); !f.IsAck() {
				_ = s.frames.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			got := map[string]string{}
			for _, field := range f.Fields {
				got[field.Name] = field.Value
			}
			if got[":method"] != "POST" || got[":path"] != s.path || got[":scheme"] != "http" || got["content-type"] != "application/grpc" || got["te"] != "trailers" {
				s.t.Errorf("header fields %v", f.Fields)
			}
			if open = append(open, f.StreamID); len(open) > 1 {
				continue
			}
			// All calls that were made at once come before the answer to it.
			_ = s.frames.WritePing(false, [8]byte{1, 2, 3})
		case *http2.DataFrame:
			messages[f.StreamID] = append(messages[f.StreamID], f.Data()...)
			s.window += len(f.Data())
		case *http2.PingFrame:
			if !f.IsAck() || f.Data != [8]byte{1, 2, 3} || !acked {
				s.t.Errorf("PING %+v, settings acknowledged: %v", f, acked)
			}
			if s.window > 65535 || s.streamsMax > 0 && len(open) > int(s.streamsMax) {
				s.t.Errorf("%d calls at once, of at most %d, and %d bytes, of at most 65535", len(open), s.streamsMax, s.window)
			}
			for _, stream := range open {
				s.answer(s, s.calls, stream, messages[stream])
				s.calls++
				delete(messages, stream)
			}
			open = open[:0]
			if s.window > 40_000 {
				_ = s.frames.WriteWindowUpdate(0, uint32(s.window))
				s.window = 0
			}
		}
	}
}

// headers writes header fields, name and value in turn.
func (s *rpcServer) headers(stream uint32, end bool, fields ...string) {
	s.encoded.Reset()
	for pair := range slices.Chunk(fields, 2) {
		_ = s.fields.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]})
	}
	_ = s.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: s.encoded.Bytes(), EndStream: end, EndHeaders: true})
}

func (s *rpcServer) head(stream uint32) {
	s.headers(stream, false, ":status", "200", "content-type", "application/grpc")
}

func (s *rpcServer) trailer(stream uint32) {
	s.headers(stream, true, "grpc-status", "0", "grpc-message", "")
}

// reply answers well, with a frame for each part.
func (s *rpcServer) reply(stream uint32, parts ...[]byte) {
	s.head(stream)
	for _, part := range parts {
		_ = s.frames.WriteData(stream, false, part)
	}
	s.trailer(stream)
}

func honestRPC(s *rpcServer, _ int, stream uint32, message []byte) { s.reply(stream, message) }

var grpc = load.WireConfig{Protocol: "grpc"}

func TestGRPC(t *testing.T) {
	for name, test := range map[string]struct {
		payloadBytes int
		streamsMax   uint32
		answer       func(s *rpcServer, n int, stream uint32, message []byte)
	}{
		"small":         {answer: honestRPC},
		"two at a time": {streamsMax: 2, answer: honestRPC},
		"several frames": {payloadBytes: 40_000, answer: func(s *rpcServer, _ int, stream uint32, m []byte) {
			s.reply(stream, m[:16384], m[16384:32768], m[32768:])
		}},
		"split anywhere": {answer: func(s *rpcServer, n int, stream uint32, m []byte) {
			at := n % len(m)
			s.reply(stream, m[:at/2], m[at/2:at], m[at:])
		}},
		"reset when over": {answer: func(s *rpcServer, _ int, stream uint32, m []byte) {
			s.reply(stream, m)
			_ = s.frames.WriteRSTStream(stream, http2.ErrCodeNo)
		}},
		"fields that change": {answer: func(s *rpcServer, n int, stream uint32, m []byte) {
			s.headers(stream, false, ":status", "200", "content-type", "application/grpc+proto", "n", fmt.Sprint(n/3))
			_ = s.frames.WriteData(stream, false, m)
			s.headers(stream, true, "m", fmt.Sprint(n/5), "grpc-status", "0")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wire := grpc
			wire.PayloadBytes = test.payloadBytes
			g := connected(t, load.Config{Addr: startRPC(t, rpcServer{streamsMax: test.streamsMax, answer: test.answer}), Conns: 2, Wire: wire, TimeoutMs: 3000})
			if r := run(t, g, load.Phase{InFlight: 16, Requests: 320}); r.Err() != nil || r.Requests != 320 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A reply that is not what its call must get is a fault in words, of that call.
func TestGRPCFaults(t *testing.T) {
	const at = 5 // the call that is treated wrongly
	for name, test := range map[string]struct {
		answer func(s *rpcServer, stream uint32, message []byte)
		want   string
	}{
		"reset": {func(s *rpcServer, stream uint32, _ []byte) {
			_ = s.frames.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}, "resets the stream, code 7"},
		"GOAWAY": {func(s *rpcServer, _ uint32, _ []byte) {
			_ = s.frames.WriteGoAway(1, http2.ErrCodeEnhanceYourCalm, []byte("calm"))
		}, `GOAWAY, code 11, "calm"`},
		"status": {func(s *rpcServer, stream uint32, _ []byte) {
			s.headers(stream, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "8", "grpc-message", "full")
		}, `grpc-status "8": full`},
		"late status": {func(s *rpcServer, stream uint32, m []byte) {
			s.head(stream)
			_ = s.frames.WriteData(stream, false, m)
			s.headers(stream, true, "grpc-status", "13")
		}, `grpc-status "13"`},
		"no status": {func(s *rpcServer, stream uint32, m []byte) { s.head(stream); _ = s.frames.WriteData(stream, true, m) }, "without header fields or status"},
		"empty status": {func(s *rpcServer, stream uint32, m []byte) {
			s.head(stream)
			_ = s.frames.WriteData(stream, false, m)
			s.headers(stream, true, "a", "b")
		}, `grpc-status ""`},
		"HTTP status": {func(s *rpcServer, stream uint32, _ []byte) { s.headers(stream, true, ":status", "404") }, `HTTP status "404"`},
		"content-type": {func(s *rpcServer, stream uint32, _ []byte) {
			s.headers(stream, false, ":status", "200", "content-type", "text/html")
		}, "text/html"},
		"no head":      {func(s *rpcServer, stream uint32, m []byte) { _ = s.frames.WriteData(stream, false, m) }, "without header fields"},
		"two heads":    {func(s *rpcServer, stream uint32, _ []byte) { s.head(stream); s.head(stream) }, "twice"},
		"no message":   {func(s *rpcServer, stream uint32, _ []byte) { s.reply(stream) }, "a reply of 0 bytes"},
		"short":        {func(s *rpcServer, stream uint32, m []byte) { s.reply(stream, m[:len(m)-1]) }, "a reply of"},
		"long":         {func(s *rpcServer, stream uint32, m []byte) { s.reply(stream, m, []byte{0}) }, `got "\x00"`},
		"other type":   {func(s *rpcServer, stream uint32, m []byte) { m[8] ^= 1; s.reply(stream, m) }, "want"},
		"other index":  {func(s *rpcServer, stream uint32, m []byte) { m[10] ^= 4; s.reply(stream, m) }, "want"},
		"other result": {func(s *rpcServer, stream uint32, m []byte) { m[len(m)-2] ^= 1; s.reply(stream, m) }, "want"},
		"doubled":      {func(s *rpcServer, stream uint32, m []byte) { s.reply(stream, m); s.reply(stream, m) }, "no request waits"},
		"another's":    {func(s *rpcServer, stream uint32, m []byte) { s.reply(stream+1000, m) }, "no request waits"},
		"even stream":  {func(s *rpcServer, stream uint32, m []byte) { s.reply(stream+1, m) }, "no request waits"},
		"HTTP/1":       {func(s *rpcServer, _ uint32, _ []byte) { _, _ = io.WriteString(s.conn, "HTTP/1.1 400 Bad Request\r\n") }, "not a frame of HTTP/2"},
		"push": {func(s *rpcServer, stream uint32, _ []byte) {
			_ = s.frames.WritePushPromise(http2.PushPromiseParam{StreamID: stream, PromiseID: 2, EndHeaders: true})
		}, "must not come: type 5"},
		"small window": {func(s *rpcServer, _ uint32, _ []byte) {
			_ = s.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		}, "takes 10 bytes on a stream"},
		"small table": {func(s *rpcServer, _ uint32, _ []byte) {
			_ = s.frames.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 10})
		}, "header fields of 10 bytes only"},
		"bad fields": {func(s *rpcServer, stream uint32, _ []byte) {
			_ = s.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0xfe}, EndHeaders: true})
		}, "header fields: "},
	} {
		t.Run(name, func(t *testing.T) {
			addr := startRPC(t, rpcServer{answer: func(s *rpcServer, n int, stream uint32, message []byte) {
				if n == at {
					test.answer(s, stream, message)
				} else {
					s.reply(stream, message)
				}
			}})
			g := connected(t, load.Config{Addr: addr, Conns: 1, Wire: grpc, TimeoutMs: 1000})
			r := run(t, g, load.Phase{Requests: 100})
			if r.Err() == nil || !hasFault(r, 0, 0, test.want) || r.Requests > at {
				t.Errorf("%+v; want a fault with %q", r, test.want)
			}
		})
	}
}

func TestGRPCFrames(t *testing.T) {
	for _, payloadBytes := range []int{0, 478, 16 << 10} {
		w, err := load.NewWire(load.WireConfig{Protocol: "grpc", PayloadBytes: payloadBytes})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.CheckReply(nil, 0); err == nil {
			t.Error("a wire of calls takes single replies")
		}
	}
	if _, err := load.NewWire(load.WireConfig{Protocol: "grpc", PayloadBytes: 1 << 16}); err == nil || !strings.Contains(err.Error(), "of at most 65535") {
		t.Errorf("a message that no stream takes: %v", err)
	}
}
