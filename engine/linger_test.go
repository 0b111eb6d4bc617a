package engine_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/engine"
)

// A client that is told why its connection ends can read that even if it is still sending, and then the end: no reset
// overtakes it.
func TestLastWordsReachAClientThatSends(t *testing.T) {
	const push = 4 << 20
	for _, network := range []string{"tcp", "unix"} {
		addr := "tcp://127.0.0.1:0"
		if network == "unix" {
			addr = unixAddr(t)
		}
		s := start(t, setup{engine: engine.Config{Addrs: []string{addr}}})
		for _, test := range []struct {
			name, in string
			codec    codec.Codec
			code     codec.Code
		}{
			{"line", `{"type":"echo","queryIndex":2,"payload":"` + strings.Repeat("x", push) + "\"}\n", codec.JSON{}, codec.FrameTooLarge},
			{"crab", `{"type":"echo","queryIndex":2,"payload":"` + strings.Repeat("x", push) + "\"}🦀", codec.Crab{}, codec.FrameTooLarge},
			{"binary", header(4, push, 2, nil) + "echo" + strings.Repeat("x", push), codec.Binary{}, codec.FrameTooLarge},
			{"bad frames", strings.Repeat("nonsense\n", push/9), codec.JSON{}, codec.BadFrame},
			{"version", header(4, 0, 2, func(h []byte) { h[1] = 0x20 }) + strings.Repeat("x", push), codec.Binary{}, codec.UnsupportedVersion},
		} {
			for _, readsFirst := range []bool{true, false} {
				name := network + "/" + test.name + "/reads at the end"
				if readsFirst {
					name = network + "/" + test.name + "/reads meanwhile"
				}
				t.Run(name, func(t *testing.T) {
					c := dial(t, s.addr(), test.codec)
					c.silent()
					sent := make(chan error, 1)
					send := func() {
						_, err := io.Copy(struct{ io.Writer }{c}, bytes.NewReader([]byte(test.in)))
						sent <- err
					}
					if readsFirst {
						go send()
					} else {
						send()
					}
					for {
						r, err := c.read()
						if err != nil {
							t.Fatalf("no last words: %v", err)
						}
						if r.Kind == codec.Failure && r.Code == test.code && !r.HasIndex && !strings.HasPrefix(r.Message, "line is not") {
							break
						}
					}
					c.ends()
					if err := receive(t, "all sent", sent); err != nil {
						t.Errorf("sending: %v", err)
					}
				})
			}
		}
		// The same to one that the server does not know how to speak to.
		c := dial(t, s.addr(), nil)
		go c.Write([]byte("GET / HTTP/1.1\r\n" + strings.Repeat("x", push)))
		c.fails(codec.BadFrame)
		if _, err := c.read(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection ended with %v", err)
		}
	}
}

// A client that was told why it is closed has some time to read that, but not for ever: neither by staying, nor by going on
// to send, nor by not reading.
func TestLingeringEnds(t *testing.T) {
	s := start(t, setup{engine: engine.Config{Addrs: []string{"tcp://127.0.0.1:0", unixAddr(t)}}})
	for _, addr := range s.Addrs() {
		for _, sends := range []bool{false, true} {
			c := dial(t, addr, nil)
			c.sendText([]byte("nonsense"))
			c.fails(codec.BadFrame)
			c.ends()
			if sends {
				go func() {
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for range tick.C {
						if _, err := c.Write([]byte("nonsense")); err != nil {
							return
						}
					}
				}()
			}
		}
		c := dial(t, addr, nil) // answers, a bad end, and none of it is read
		for i := range 14 {
			c.send(request("fat", uint64(i), "1000000"))
		}
		c.sendText([]byte(strings.Repeat("x", 2<<20)))
	}
	s.idle(0)
}
