package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// watchFlags are the flags of watch.
type watchFlags struct {
	fromRev uint64
	types   []string
}

// errWatchAgain says that the watch has to begin anew, behind the last event that was printed.
var errWatchAgain = errors.New("watch again")

// watch prints events until it is interrupted.
func (o *options) watch(ctx context.Context, t terminal, args []string) error {
	if slices.Contains(args, "") {
		return usagef("a POOL is empty: kassa watch [POOL...]")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ask := wire.Watch{Pools: args, Types: o.watchOf.types, FromRev: o.watchOf.fromRev}
	for {
		err := o.watchOnce(ctx, t, &ask)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errWatchAgain) {
			return err
		}
	}
}

// watchOnce prints events for as long as none is lost, and says in ask where to go on.
func (o *options) watchOnce(ctx context.Context, t terminal, ask *wire.Watch) error {
	over := make(chan error, 1)
	p := &eventPrinter{t: t, over: over}
	c, err := o.dialWith(ctx, client.Config{OnPush: p.push, OnReconnect: func() { p.end(errWatchAgain) }})
	if err != nil {
		return err
	}
	var watching wire.Watching
	if err = o.get(ctx, c, "watch", ask, &watching); err == nil {
		select {
		case err = <-over:
		case <-ctx.Done():
		}
	}
	c.Close() // no push comes any more
	ask.FromRev = max(p.last, watching.Rev) + 1
	return err
}

// eventPrinter prints pushes. It belongs to the client's goroutine for these, until the client is closed.
type eventPrinter struct {
	t     terminal
	over  chan<- error // takes why it has ended
	ended bool
	last  uint64 // the rev of the last event that was printed
}

func (p *eventPrinter) end(err error) {
	if !p.ended {
		p.ended = true
		p.over <- err
	}
}

func (p *eventPrinter) push(push client.Push) {
	if p.ended || push.Type != "watch" {
		return
	}
	if push.Missed > 0 { // printing was too slow
		p.end(errWatchAgain)
		return
	}
	var event wire.Event
	var line bytes.Buffer
	err := push.Decode(&event)
	if err == nil {
		err = json.Compact(&line, push.Event)
	}
	if err == nil {
		line.WriteByte('\n')
		_, err = line.WriteTo(p.t.stdout)
	}
	switch {
	case err != nil:
		p.end(err)
	case event.Type == "watch.ended":
		p.end(codec.NewError(codec.RevGone, fmt.Sprintf("the events behind rev %d are kept no longer", event.Rev)))
	default:
		p.last = event.Rev
	}
}

// explainWait prints what a wait is waiting for.
func (o *options) explainWait(ctx context.Context, t terminal, args []string) error {
	wait, err := number("WAIT", args[0])
	if err != nil {
		return err
	}
	return o.askFor(ctx, t, "explain", wire.Explain{Wait: wait})
}
