package main

import (
	"context"
	"net"
	"time"

	"github.com/kassa-go/kassa/dispatch"
)

// registerDemo adds the two types of the example of net-socket-connector, which take two seconds each, and echo.
func registerDemo(reg *dispatch.Registry) {
	type count struct {
		Cnt int `json:"cnt"`
	}
	n := 0 // needs no lock: requests of one type run one at a time
	dispatch.Handle(reg, "cntResponse", func(context.Context, any) (count, error) {
		time.Sleep(demoTakes)
		n++
		return count{n - 1}, nil
	})

	type ip struct {
		IP string `json:"ip"`
	}
	dispatch.Handle(reg, "getIp", func(ctx context.Context, _ any) (ip, error) {
		time.Sleep(demoTakes)
		info, _ := dispatch.FromContext(ctx)
		if tcp, ok := info.Peer.RemoteAddr().(*net.TCPAddr); ok {
			return ip{tcp.IP.String()}, nil
		}
		return ip{"127.0.0.1"}, nil // over a Unix socket: this machine
	})

	dispatch.HandleRaw(reg, "echo", func(j *dispatch.Job) error {
		if j.Opaque() {
			j.ReplyOpaque(j.Payload())
		} else {
			j.Reply(j.Payload())
		}
		return nil
	})
}

// demoTakes is how long the work lasts that the demonstration types pretend to do.
const demoTakes = 2 * time.Second
