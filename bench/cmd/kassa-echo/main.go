// Command kassa-echo is the kassa that the bench measures: four types, t0 to t3, each with a jobber of its own that
// returns its payload, at once or after the work that is asked for. The first line it prints is "listening HOST:PORT". It
// ends on SIGTERM.
//
//	kassa-echo [--work=sleep|cpu] [--loops=N]
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
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
	work := flag.String("work", "", "what each request makes it do: sleep (1 ms) or cpu (the SHA-256 of 16 KiB); default: nothing")
	loops := flag.Int("loops", 0, "event loops; 0: one a core")
	flag.Parse()
	newWork, ok := works[*work]
	if !ok || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := serve(ctx, newWork, *loops, func(addr string) { fmt.Println("listening", addr) }); err != nil {
		fmt.Fprintln(os.Stderr, "kassa-echo:", err)
		os.Exit(1)
	}
}

// stopTimeout bounds what the server takes to end.
const stopTimeout = 5 * time.Second

// works make the work of one type.
var works = map[string]func() func(){
	"":      func() func() { return func() {} },
	"sleep": func() func() { return func() { time.Sleep(time.Millisecond) } },
	"cpu": func() func() {
		block := make([]byte, 16<<10)
		return func() {
			sum := sha256.Sum256(block)
			copy(block, sum[:])
		}
	},
}

// serve calls listening when the server accepts connections, and returns when ctx is done.
func serve(ctx context.Context, newWork func() func(), loops int, listening func(addr string)) error {
	reg := dispatch.NewRegistry()
	for _, name := range []string{"t0", "t1", "t2", "t3"} {
		work := newWork()
		dispatch.HandleRaw(reg, name, func(j *dispatch.Job) error {
			work()
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
		Loops: loops,
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
