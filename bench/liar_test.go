package bench_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// lieAt is the request, counted on each connection, that is treated wrongly. Those before are of connecting.
const lieAt = 8

// Which request of all holds up a server that stalls, and for how long.
const (
	stallAt = 500
	stall   = 400 * time.Millisecond
)

// A liar makes the behaviour of one connection: what is sent when the n-th request, from 0, has come.
var liars = map[string]func() func(n int, r request) string{
	"honest": func() func(int, request) string {
		return func(_ int, r request) string { return r.reply() }
	},
	"drops":   wrong(func(request) string { return "" }),
	"doubles": wrong(func(r request) string { return r.reply() + r.reply() }),
	"another": wrong(func(r request) string { r.Payload = json.RawMessage(`{"n":1234567}`); return r.reply() }),
	"swaps": func() func(int, request) string {
		var held request
		return func(n int, r request) string {
			switch n {
			case lieAt:
				held = r
				return ""
			case lieAt + 4: // of the same type
				held.QueryIndex, r.QueryIndex = r.QueryIndex, held.QueryIndex
				return held.reply() + r.reply()
			}
			return r.reply()
		}
	},
	"stalls": func() func(int, request) string {
		return func(_ int, r request) string {
			standStill()
			return r.reply()
		}
	},
}

// wrong is a server that is honest but for one request.
func wrong(lie func(request) string) func() func(int, request) string {
	return func() func(int, request) string {
		return func(n int, r request) string {
			if n == lieAt {
				return lie(r)
			}
			return r.reply()
		}
	}
}

var stalling struct {
	sync.Mutex
	requests int
}

// standStill returns at once, but for one request, which holds up all that come meanwhile.
func standStill() {
	stalling.Lock()
	defer stalling.Unlock()
	if stalling.requests++; stalling.requests == stallAt {
		time.Sleep(stall)
	}
}

// request is what a liar reads of a line.
type request struct {
	Type       string          `json:"type"`
	QueryIndex uint64          `json:"queryIndex"`
	Payload    json.RawMessage `json:"payload"`
}

func (r request) reply() string {
	return fmt.Sprintf(`{"type":"%s","queryIndex":%d,"resultJob":%s}`+"\n", r.Type, r.QueryIndex, r.Payload)
}

// serveLies is a server that speaks JSON lines, until SIGTERM.
func serveLies(liar func() func(int, request) string) error {
	return serve(func(c net.Conn) {
		answer := liar()
		lines := bufio.NewReader(c)
		for n := 0; ; n++ {
			line, err := lines.ReadBytes('\n')
			var r request
			if err != nil || json.Unmarshal(line, &r) != nil {
				return
			}
			if _, err := io.WriteString(c, answer(n, r)); err != nil {
				return
			}
		}
	})
}

// serve accepts connections until SIGTERM.
func serve(one func(net.Conn)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go one(c)
		}
	}()
	fmt.Println("listening", ln.Addr())
	<-terminated
	return ln.Close()
}

// busy uses a core for a while, or until it is killed.
func busy() {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
	}
}
