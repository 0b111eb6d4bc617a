// Counter is the example of net-socket-connector in Go: two types that take two seconds each. Called in parallel they do
// not wait for each other; calls of one type do.
package main

import (
	"context"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

type count struct {
	Cnt int `json:"cnt"`
}

type ip struct {
	IP string `json:"ip"`
}

func main() {
	reg := dispatch.NewRegistry()
	n := 0 // needs no lock: requests of one type run one at a time
	dispatch.Handle(reg, "cntResponse", func(ctx context.Context, _ any) (count, error) {
		time.Sleep(2 * time.Second)
		n++
		return count{n - 1}, nil
	})
	dispatch.Handle(reg, "getIp", func(ctx context.Context, _ any) (ip, error) {
		time.Sleep(2 * time.Second)
		return ip{"127.0.0.1"}, nil
	})

	d, err := dispatch.New(dispatch.Config{Registry: reg})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = engine.Run(ctx, engine.Config{
		Addrs: []string{"tcp://127.0.0.1:41969"},
		Open:  func(c *engine.Conn) engine.Peer { return d.Open(c) },
	}, 10*time.Second)
	if err != nil {
		log.Fatal(err)
	}
}
