package engine_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// badInput is something wrong that a client sends, and what it is told.
type badInput struct {
	name   string
	in     string
	index  int64 // in the answer; -1: none
	code   codec.Code
	closes bool // the connection ends with that
}

// abuse sends each input over a connection of its own, while a neighbour has a request in work and others answered.
func abuse(t *testing.T, s *server, c codec.Codec, inputs []badInput) {
	t.Helper()
	neighbour := dial(t, s.addr(), c)
	for _, in := range inputs {
		t.Run(in.name, func(t *testing.T) {
			s.t = t
			before := s.Stats().BadFrames
			cl := dial(t, s.addr(), c)
			cl.silent() // the codec is known
			neighbour.t = t
			neighbour.send(request("echo", 7, `{"n":7}`))
			// The server may close the connection before all is sent, so sending may fail.
			go cl.Write([]byte(in.in))
			r := cl.fails(in.code)
			index := int64(-1)
			if r.HasIndex {
				index = int64(r.Index)
			}
			if index != in.index {
				t.Errorf("the answer has index %d, not %d: %+v", index, in.index, r)
			}
			if in.closes {
				cl.ends()
			} else {
				cl.silent()
			}
			cl.Close()
			neighbour.next().is(t, codec.Reply, `{"n":7}`)
			neighbour.silent()
			if in.code == codec.BadFrame && s.Stats().BadFrames == before {
				t.Error("not counted")
			}
		})
	}
	s.t = t
	neighbour.Close()
	s.idle(0)
}

// wrongValues are values of a field that make a bad frame, by the field.
var wrongValues = map[string][]string{
	"type":       {`1`, `null`, `[]`, `{}`, `true`, `""`, `"` + strings.Repeat("x", 129) + `"`},
	"queryIndex": {`"1"`, `null`, `1.0`, `1e3`, `-1`, `-0`, `18446744073709551616`, `[]`, `{}`, `true`, `01`, `+1`, `0x1`},
	"deadlineMs": {`"5"`, `-1`, `4294967296`, `1.5`, `1e2`, `[]`, `{}`, `true`, `""`},
	"key":        {`1`, `[]`, `{}`, `true`, `"` + strings.Repeat("x", 129) + `"`},
	"oneWay":     {`1`, `0`, `"true"`, `""`, `[]`, `{}`},
	"minRev":     {`"1"`, `-1`, `18446744073709551616`, `1.5`, `[]`, `{}`, `true`},
}

func TestBadLines(t *testing.T) {
	var inputs []badInput
	line := func(name, in string, index int64) {
		inputs = append(inputs, badInput{name: name, in: in + "\n", index: index, code: codec.BadFrame})
	}
	for field, values := range wrongValues {
		for _, v := range values {
			in, index := `{"type":"echo","queryIndex":5,"`+field+`":`+v+`}`, int64(5) // of a field that is there twice, the last counts
			if field == "queryIndex" {
				index = -1
				if !json.Valid([]byte(v)) {
					index = -2
				}
			}
			line(field+"="+clip([]byte(v))[:min(len(v), 20)], in, index)
		}
	}
	line("no type", `{"queryIndex":5}`, 5)
	line("no queryIndex", `{"type":"echo"}`, -1)
	for _, text := range []string{
		"null", "[1]", "7", `"text"`, "true", "{", "}", "{]", `{"type"}`, `{"type":}`, `{"type":"echo",}`, `{,}`, "{'type':'echo'}", "GET / HTTP/1.1",
		"\xef\xbb\xbf{}", "\x00", "\xff\xfe", "{\x00}",
	} {
		line(fmt.Sprintf("line %q", text), text, -1)
	}
	for _, rest := range []string{"x", "{}", ",", "]", "\x00", `{"type":"echo","queryIndex":6}`, "🦀"} {
		line(fmt.Sprintf("trailing %q", rest), `{"type":"echo","queryIndex":5}`+rest, 5)
	}
	for _, v := range []string{"01", "1.", ".5", "-", "+1", "NaN", "Infinity", "0x10", "1e", "1e+", "tru", "nul", "[1,]", `{"a"}`, `{"a":1,}`, "[", "{"} {
		line("payload "+v, `{"type":"echo","queryIndex":5,"payload":`+v+`}`, -2)
	}
	for name, text := range map[string]string{
		"0xff": "\xff", "overlong": "\xc0\x80", "surrogate": "\xed\xa0\x80", "cut": "\xe2\x82", "too large": "\xf5\x80\x80\x80",
		"control": "\x01", "tab": "\t", "escape": `\q`, "short escape": `\u12`, "nul": "\x00",
	} {
		line(name+" in payload", `{"type":"echo","queryIndex":5,"payload":"`+text+`"}`, -2)
		line(name+" in type", `{"type":"`+text+`","queryIndex":5}`, -2)
		line(name+" in key", `{"type":"echo","queryIndex":5,"key":"`+text+`"}`, -2)
		line(name+" in an unknown field", `{"type":"echo","queryIndex":5,"x":["`+text+`"]}`, -2)
		line(name+" in a name", `{"type":"echo","queryIndex":5,"`+text+`":1}`, -2)
	}
	s := start(t, setup{engine: engine.Config{FrameBytesMax: 4 << 20, InboundBytesMax: 8 << 20}})
	// What could be read of a frame that is no JSON depends on where it breaks.
	for i := range inputs {
		if inputs[i].index == -2 {
			inputs[i].index = readableIndex(t, inputs[i].in)
		}
	}
	levels := 1_000_000
	if raceEnabled {
		levels = 10_000
	}
	for _, payload := range []string{
		strings.Repeat("[", levels), strings.Repeat("[", levels) + strings.Repeat("]", levels),
		strings.Repeat(`{"a":`, levels/2), strings.Repeat(`{"a":`, levels/2) + "1" + strings.Repeat("}", levels/2),
	} {
		in := `{"type":"echo","queryIndex":5,"payload":` + payload + `}` + "\n"
		inputs = append(inputs, badInput{name: "a million levels", in: in, index: readableIndex(t, in), code: codec.BadFrame})
	}
	abuse(t, s, codec.JSON{}, inputs)
}

// readableIndex returns the index that the codec can read of a bad line, -1 when it can not.
func readableIndex(t *testing.T, line string) int64 {
	t.Helper()
	var f codec.Frame
	if err := (codec.JSON{}).DecodeRequest([]byte(strings.TrimSuffix(line, "\n")), &f); err == nil {
		t.Errorf("%q is not bad", clip([]byte(line)))
	}
	if !f.HasIndex {
		return -1
	}
	return int64(f.Index)
}

// header returns the header of a binary request.
func header(nameLen byte, payloadLen uint32, index uint64, change func(h []byte)) string {
	h := make([]byte, 20)
	h[0], h[1], h[2], h[3] = 0xB5, 0x10, 0x01, nameLen
	binary.BigEndian.PutUint32(h[4:], payloadLen)
	binary.BigEndian.PutUint64(h[8:], index)
	if change != nil {
		change(h)
	}
	return string(h)
}

// Binary headers that lie, and all else that a binary frame can have wrong.
func TestBadBinary(t *testing.T) {
	var inputs []badInput
	add := func(name, in string, index int64, code codec.Code, closes bool) {
		inputs = append(inputs, badInput{name, in, index, code, closes})
	}
	set := func(at int, v byte) func([]byte) { return func(h []byte) { h[at] = v } }
	add("payload of 4 GiB", header(4, 0xFFFFFFFF, 5, nil)+"echo", -1, codec.FrameTooLarge, true)
	add("payload over 1 MiB by one", header(4, 1<<20-24+1, 5, nil)+"echo", -1, codec.FrameTooLarge, true)
	add("wrong magic", strings.Repeat("x", 20), -1, codec.BadFrame, true)
	add("JSON after binary", `{"type":"echo","queryIndex":1}`+"\n", -1, codec.BadFrame, true)
	for _, version := range []byte{0, 2, 15} {
		add(fmt.Sprint("version ", version), header(4, 0, 5, set(1, version<<4))+"echo", -1, codec.UnsupportedVersion, true)
	}
	for kind := byte(1); kind < 16; kind++ {
		add(fmt.Sprint("kind ", kind), header(4, 0, 5, set(1, 0x10|kind))+"echo", 5, codec.BadFrame, false)
	}
	add("flag 0x40", header(4, 0, 5, set(2, 0x41))+"echo", 5, codec.BadFrame, false)
	add("flag 0x80", header(4, 0, 5, set(2, 0x81))+"echo", 5, codec.BadFrame, false)
	add("reserved byte", header(4, 0, 5, set(19, 1))+"echo", 5, codec.BadFrame, false)
	add("status in a request", header(4, 0, 5, set(18, 3))+"echo", 5, codec.BadFrame, false)
	add("name of 129 bytes", header(129, 0, 5, nil)+strings.Repeat("x", 129), 5, codec.BadFrame, false)
	add("name of 255 bytes", header(255, 0, 5, nil)+strings.Repeat("x", 255), 5, codec.BadFrame, false)
	add("key of 255 bytes", header(4, 0, 5, set(2, 0x09))+"echo\xff"+strings.Repeat("k", 255), 5, codec.BadFrame, false)
	add("no name and no ID", header(0, 0, 5, nil), 5, codec.UnknownType, false)
	add("unknown ID", header(0, 0, 5, set(17, 250)), 5, codec.UnknownType, false)
	add("no index and not one-way", header(4, 0, 0, set(2, 0x11))+"echo", -1, codec.BadFrame, false)
	add("payload that is no JSON", header(4, 5, 5, nil)+"echo"+"hello", 5, codec.BadFrame, false)
	add("payload with bad UTF-8", header(4, 3, 5, nil)+"echo"+"\"\xff\"", 5, codec.BadFrame, false)
	s := start(t, setup{})
	abuse(t, s, codec.Binary{}, inputs)

	// A header that announces less than there is: the rest begins no frame.
	c := dial(t, s.addr(), codec.Binary{})
	c.sendText([]byte(header(4, 2, 5, nil) + "echo" + `{}{}`))
	c.fails(codec.BadFrame) // at once, while the request before it is under way
	c.readAll()
	c.Close()
	s.idle(0)
}

// A frame may be as long as the limit and no longer, in every codec, however it arrives.
func TestFrameLimit(t *testing.T) {
	const limit = 20_000
	for _, c := range spoken {
		for _, most := range []int{1 << 20, 1000, 333} {
			t.Run(fmt.Sprintf("%s/%d", c.Name(), most), func(t *testing.T) {
				rnd := random(t)
				// InboundBytesMax is made to fit: it must be no trap for the largest frames.
				s := start(t, setup{engine: engine.Config{Addrs: []string{unixAddr(t)}, FrameBytesMax: limit, InboundBytesMax: 1}})
				frame := func(size int) []byte {
					p := frameOf(t, c, request("size", 1, `""`))
					separator := map[string]int{"json": 1, "crab": 4, "binary": 0}[c.Name()]
					pad := size - (len(p) - separator)
					return frameOf(t, c, request("size", 1, `"`+strings.Repeat("x", pad)+`"`))
				}
				for _, size := range []int{limit - 1, limit} {
					cl := dial(t, s.addr(), c)
					for cut := -2; cut < 4; cut++ { // around the end of the frame: within its separator
						text := frame(size)
						cut := min(size+cut, len(text)-1)
						cl.sendPieces(rnd, text[:cut], most)
						cl.taken()
						cl.sendText(text[cut:])
						if r := cl.next(); r.Kind != codec.Reply || !strings.HasPrefix(r.Payload, `{"bytes":`) {
							t.Fatalf("%d bytes: %+v", size, r)
						}
					}
					cl.Close()
				}
				cl := dial(t, s.addr(), c)
				cl.silent()
				cl.send(request("echo", 4, ""))
				cl.next()
				cl.sendText(frame(limit + 1))
				cl.fails(codec.FrameTooLarge)
				cl.ends()
				cl.Close()
				s.idle(0)
			})
		}
	}
}

// A line that never ends is cut off at the limit, whatever the server takes the client for.
func TestEndlessFrame(t *testing.T) {
	s := start(t, setup{})
	neighbour := dial(t, s.addr(), nil)
	for name, beginning := range map[string]string{
		"line": `{"type":"echo","queryIndex":1}` + "\n" + `{"type":"`, "blanks": " ", "string": `{"type":"`, "levels": "[", "object": `{"a":`,
		"crab": `{"type":"echo","queryIndex":1}🦀{"type":"`,
	} {
		t.Run(name, func(t *testing.T) {
			if name == "levels" {
				beginning = `{"type":"echo","queryIndex":1}` + "\n["
			}
			c := dial(t, s.addr(), nil)
			c.sendText([]byte(beginning))
			sent := make(chan int, 1)
			go func() {
				chunk := bytes.Repeat([]byte(beginning[len(beginning)-1:]), 64<<10)
				n := 0
				for {
					m, err := c.Write(chunk)
					if n += m; err != nil || n > 64<<20 {
						sent <- n
						return
					}
				}
			}()
			text, err := io.ReadAll(c)
			if err != nil {
				t.Fatalf("not closed in order: %v", err)
			}
			if !strings.Contains(string(text), `"frame_too_large"`) {
				t.Fatalf("told %q", text)
			}
			c.Close()
			t.Logf("%d bytes were sent", receive(t, "the sender stops", sent))
			neighbour.t = t
			neighbour.silent()
		})
	}
}

// Half a frame, and then nothing, or not enough: the server does not wait for ever.
func TestHalfAFrame(t *testing.T) {
	s := start(t, setup{engine: engine.Config{FrameTimeout: 100 * time.Millisecond}})
	idle := dial(t, s.addr(), nil)
	idle.silent()
	for name, half := range map[string]string{
		"nothing but a brace": "{", "a line": `{"type":"echo","queryIndex":1}`, "a line, begun": `{"type":"echo","queryIndex":1}` + "\n" + `{"type":`,
		"half a crab": "{\"type\":\"echo\",\"queryIndex\":1}\xf0\x9f", "crab, begun": `{"type":"echo","queryIndex":1}🦀{"type":"ec`,
		"a binary header": "\xb5", "a binary payload": header(4, 100, 1, nil) + "echo{", "blanks": "   ",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s.addr(), nil)
			c.sendText([]byte(half))
			text, err := io.ReadAll(c)
			if err != nil {
				t.Fatalf("not closed in order: %v", err)
			}
			told := strings.Contains(string(text), `"bad_frame"`) || strings.Contains(string(text), "errMsgFromClient")
			if half[0] == 0xB5 {
				told = len(text) > 20 && text[0] == 0xB5 && text[18] == byte(codec.BadFrame)
			}
			if name == "a binary header" { // one byte tells the codec, and so the answer is binary
				told = told && text[1] == 0x12
			}
			if !told {
				t.Fatalf("told %q", text)
			}
		})
	}
	// A trickle is no better.
	c := dial(t, s.addr(), nil)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := c.Write([]byte("{")); err != nil {
				return
			}
		}
	}()
	c.fails(codec.BadFrame)
	c.ends()
	c.Close()
	// Who has begun no frame is left alone all the time.
	idle.silent()
	if n := s.Stats().TimedOut; n != 9 {
		t.Errorf("%d connections timed out, want 9", n)
	}
}

// The idle time-out ends connections that say nothing and wait for nothing, for so long: who has waited for longer has all of
// it from the answer on.
func TestIdleTimeout(t *testing.T) {
	const idle = 500 * time.Millisecond
	g := newGate()
	parked := make(chan *dispatch.Parked, 1)
	s := start(t, setup{
		engine: engine.Config{IdleTimeout: idle},
		gates:  map[string]*gate{"slow": g},
		types: func(reg *dispatch.Registry) {
			dispatch.HandleRaw(reg, "park", func(j *dispatch.Job) error {
				p, err := j.Park(nil)
				parked <- p
				return err
			})
		},
	})
	works, waits := dial(t, s.addr(), nil), dial(t, s.addr(), nil)
	works.send(request("slow", 1, `{}`))
	waits.send(request("park", 1, `{}`))
	receive(t, "it begins", g.began)
	p := receive(t, "it parks", parked)
	silent := dial(t, s.addr(), nil)
	silent.fails(codec.SessionExpired)
	silent.ends()
	silent.Close()
	answered := time.Now()
	g.open()
	works.next().is(t, codec.Reply, `{}`)
	if !p.Reply([]byte(`{"n":1}`)) {
		t.Fatal("too late")
	}
	waits.next().is(t, codec.Reply, `{"n":1}`)
	for _, c := range []*client{works, waits} {
		c.fails(codec.SessionExpired)
		if took := time.Since(answered); took < idle/2 {
			t.Errorf("closed %v after its answer", took)
		}
		c.ends()
		c.Close()
	}
	s.idle(0)
	if n := s.Stats().TimedOut; n != 3 {
		t.Errorf("%d connections timed out, want 3", n)
	}
}

// Sixteen bad frames in a row end a connection, fewer do not.
func TestBadFramesInARow(t *testing.T) {
	s := start(t, setup{})
	for _, c := range spoken {
		t.Run(c.Name(), func(t *testing.T) {
			bad := map[string]string{"json": "[]\n", "crab": "[]🦀", "binary": header(4, 0, 5, func(h []byte) { h[19] = 1 }) + "echo"}[c.Name()]
			cl := dial(t, s.addr(), c)
			cl.silent()
			for range 3 {
				cl.sendText([]byte(strings.Repeat(bad, 15)))
				for range 15 {
					cl.fails(codec.BadFrame)
				}
				cl.silent()
			}
			cl.sendText([]byte(strings.Repeat(bad, 100)))
			for range 16 {
				cl.fails(codec.BadFrame)
			}
			if r := cl.fails(codec.BadFrame); r.HasIndex || !strings.Contains(r.Message, "in a row") {
				t.Errorf("%+v", r)
			}
			cl.ends()
		})
	}
}

// Garbage in any quantity, at the beginning or in the middle, troubles nobody but its sender.
func TestGarbage(t *testing.T) {
	const likely = "{}[]\",:\n\\ue\xb5\x10\xf0\x9f\xa6\x80 "
	rnd := random(t)
	s := start(t, setup{})
	neighbour := dial(t, s.addr(), nil)
	rounds := 300
	if raceEnabled {
		rounds = 40
	}
	for i := range rounds {
		c := dial(t, s.addr(), spoken[rnd.IntN(len(spoken))])
		if i%2 == 0 {
			c.silent()
		}
		garbage := make([]byte, 1+rnd.IntN(2000))
		for i := range garbage {
			garbage[i] = byte(rnd.Uint32())
			if i%2 == 1 { // what looks like frames
				garbage[i] = likely[rnd.IntN(len(likely))]
			}
		}
		if _, err := c.Write(garbage); err != nil && !isReset(err) {
			t.Fatal(err)
		}
		neighbour.silent()
		c.Close()
	}
	neighbour.Close()
	s.idle(0)
}

// A client that never reads is closed, and counted, before its answers fill the memory.
func TestSlowReader(t *testing.T) {
	s := start(t, setup{engine: engine.Config{OutboundBytesMax: 1 << 20}})
	neighbour := dial(t, s.addr(), nil)
	requests, bytes := 60, "1000000"
	if raceEnabled {
		requests = 20
	}
	c := dial(t, s.addr(), nil)
	var frames []codec.Frame
	for i := range requests {
		frames = append(frames, request("fat", uint64(i), bytes))
	}
	c.send(frames...)
	eventually(t, "a slow reader closed", func() bool { return s.Stats().SlowReaders == 1 }, func() any { return s.Stats() })
	neighbour.silent()
	neighbour.Close()
	s.idle(0)
	c.readAll()
	if n := s.Stats().SlowReaders; n != 1 {
		t.Errorf("%d slow readers", n)
	}
}

// readAll reads until the connection ends, in whatever way.
func (c *client) readAll() []byte {
	c.t.Helper()
	text, err := io.ReadAll(c)
	if err != nil && !isReset(err) {
		c.t.Fatalf("not closed: %v", err)
	}
	return text
}

// Who sends on and on without waiting for answers is closed as overloaded; what it has in work is finished.
func TestOverloaded(t *testing.T) {
	for _, c := range spoken {
		t.Run(c.Name(), func(t *testing.T) {
			g := newGate()
			s := start(t, setup{
				engine:   engine.Config{FrameBytesMax: 4 << 10, InboundBytesMax: 64 << 10},
				dispatch: dispatch.Config{Credit: 4},
				gates:    map[string]*gate{"slow": g},
			})
			neighbour := dial(t, s.addr(), c)
			cl := dial(t, s.addr(), c)
			f := request("slow", 1, padded(1000))
			cl.send(f)
			s.until("slow", "one in work", func(st dispatch.TypeStats) bool { return st.Running == 1 })
			go func() {
				text, _ := c.Append(nil, &f)
				for {
					if _, err := cl.Write(text); err != nil {
						return
					}
				}
			}()
			cl.fails(codec.Overloaded)
			cl.ends()
			cl.Close()
			neighbour.silent()
			if n := s.Stats().Overloaded; n != 1 {
				t.Errorf("%d overloaded", n)
			}
			s.until("slow", "one in work, the others gone", func(st dispatch.TypeStats) bool { return st.Running == 1 && st.Queued == 0 && st.Shed == 3 })
			g.open()
			neighbour.Close()
			s.idle(0)
			if n := s.typ("slow").Done; n != 1 {
				t.Errorf("%d were done", n)
			}
		})
	}
}
