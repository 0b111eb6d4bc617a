// Command kassa-echo is the kassa that the bench measures: four types, t0 to t3, each with a jobber of its own that
// returns its payload at once. The first line it prints is "listening HOST:PORT". It ends on SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, func(addr string) { fmt.Println("listening", addr) }); err != nil {
		fmt.Fprintln(os.Stderr, "kassa-echo:", err)
		os.Exit(1)
	}
}

// stopTimeout bounds what the server takes to end.
const stopTimeout = 5 * time.Second

// serve calls listening when the server accepts connections, and returns when ctx is done.
func serve(ctx context.Context, listening func(addr string)) error {
	reg := dispatch.NewRegistry()
	for _, name := range []string{"t0", "t1", "t2", "t3"} {
		dispatch.HandleRaw(reg, name, func(j *dispatch.Job) error {
			if j.Opaque() {
				j.ReplyOpaque(j.Payload())
			} else {
				j.Reply(j.Payload())
			}
			return nil
		})
	}
	d, err := dispatch.New(dispatch.Config{Registry: reg})
	if err != nil {
		return err
	}
	e, err := engine.Start(engine.Config{
		Addrs: []string{"tcp://127.0.0.1:0"},
		Open:  func(c *engine.Conn) engine.Peer { return d.Open(c) },
	})
	if err != nil {
		return err
	}
	listening(e.Addrs()[0].String())
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(e.Shutdown(last), d.Close(last))
}
