package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

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
	pause := shortPause
	for before := false; ; {
		since := time.Now()
		begun, err := o.watchOnce(ctx, t, &ask)
		before = before || begun
		if begun && time.Since(since) > 2*longPause {
			pause = shortPause
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errWatchAgain):
			continue
		case !before || !passing(err):
			return err
		case pause == shortPause:
			text, _, _ := strings.Cut(describe(err), "\n")
			fmt.Fprintf(t.stderr, "kassa: %s; it is tried again\n", text)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longPause)
	}
}

// How long it takes until a watch that has broken off is tried again: longer each time.
const (
	shortPause = 100 * time.Millisecond
	longPause  = 2 * time.Second
)

// passing reports whether a watch that ended, or could not begin again, with err may be possible later.
func passing(err error) bool {
	if _, ok := errors.AsType[*connectError](err); ok {
		return true
	}
	e, ok := errors.AsType[*codec.Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case codec.Unavailable, codec.Recovering, codec.Draining, codec.QueueFull, codec.Overloaded, codec.RateLimited, codec.TooManyConnections,
		codec.Paused, codec.DeadlineExceeded:
		return true
	}
	return false
}

// watchOnce prints events for as long as none is lost, and says in ask where to go on. begun: the watch has begun.
func (o *options) watchOnce(ctx context.Context, t terminal, ask *wire.Watch) (begun bool, err error) {
	over := make(chan error, 1)
	p := &eventPrinter{t: t, over: over}
	c, err := o.dialWith(ctx, client.Config{OnPush: p.push, OnReconnect: func() { p.end(errWatchAgain) }})
	if err != nil {
		return false, err
	}
	var watching wire.Watching
	if err = o.get(ctx, c, "watch", ask, &watching); err == nil {
		begun = true
		if ask.FromRev > 0 && ask.FromRev == o.watchOf.fromRev { // else the server has looked, or this was said before
			o.notePools(ctx, t, c, ask.Pools)
		}
		select {
		case err = <-over:
		case <-ctx.Done():
		}
	}
	c.Close() // no push comes any more
	if begun {
		ask.FromRev = max(p.last, watching.Rev) + 1
	}
	return begun, err
}

// notePools says which pools there are not: of these earlier events may be printed, if the names are right.
func (o *options) notePools(ctx context.Context, t terminal, c *client.Client, pools []string) {
	for _, name := range pools {
		if err := o.get(ctx, c, "pool.stats", wire.PoolRef{Pool: name}, nil); errors.Is(err, codec.NotFound) {
			fmt.Fprintf(t.stderr, "kassa: there is no pool %.140q now; if there was one, its events from rev %d on are printed\n", name, o.watchOf.fromRev)
		}
	}
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
	if err == nil && event.Type == "watch.ended" && event.Cause == codec.Unavailable.String() { // it goes on
		p.end(codec.NewError(codec.Unavailable, "the server can not read the events now"))
		return
	}
	switch {
	case err != nil:
	case p.t.interactive():
		line.WriteString(eventText(&event))
	default:
		err = json.Compact(&line, push.Event)
	}
	if err == nil {
		line.WriteByte('\n')
		_, err = line.WriteTo(p.t.stdout)
	}
	switch {
	case err != nil:
		p.end(err)
	case event.Type == "watch.ended" && event.Cause != "" && event.Cause != codec.RevGone.String():
		p.end(fmt.Errorf("the server has ended the watch: %.64s", event.Cause))
	case event.Type == "watch.ended":
		p.end(codec.NewError(codec.RevGone, fmt.Sprintf("the events behind rev %d are kept no longer", event.Rev)))
	default:
		p.last = event.Rev
	}
}

// eventText says what happened, for people: times are by this machine's clock.
func eventText(e *wire.Event) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s  %d  %s", clockText(e.At), e.Rev, e.Type)
	if e.Pool != "" && (len(e.Items) == 0 || e.Items[0].Pool != e.Pool) {
		text.WriteString("  " + printable(e.Pool))
	}
	if len(e.Items) > 0 {
		text.WriteString("  " + itemsText(e.Items))
	}
	if len(e.Was) > 0 {
		text.WriteString(", before " + itemsText(e.Was))
	}
	for _, number := range []struct {
		name string
		n    uint64
	}{{"lease", e.Lease}, {"hold", e.Hold}, {"sale", e.Sale}, {"booking", e.Booking}, {"token", e.Token}, {"wait", e.Wait}, {"session", e.Session}} {
		if number.n != 0 {
			fmt.Fprintf(&text, "  %s %d", number.name, number.n)
		}
	}
	for _, word := range []struct{ name, text string }{
		{"client", e.Client}, {"owner", e.Owner}, {"state", e.State}, {"outcome", e.Outcome}, {"cause", e.Cause},
	} {
		if word.text != "" {
			fmt.Fprintf(&text, "  %s %s", word.name, printable(word.text))
		}
	}
	if e.Withheld != nil {
		fmt.Fprintf(&text, "  withheld %d", *e.Withheld)
	}
	if e.ExpiresAt != 0 {
		text.WriteString("  until " + clockText(e.ExpiresAt))
	}
	return text.String()
}

func clockText(ms int64) string { return time.UnixMilli(ms).Format("2006-01-02 15:04:05.000") }

// explainWait prints what a wait is waiting for.
func (o *options) explainWait(ctx context.Context, t terminal, args []string) error {
	wait, err := number("WAIT", args[0])
	if err != nil {
		return err
	}
	return askAndShow(ctx, o, t, "explain", wire.Explain{Wait: wait}, func(w io.Writer, x *wire.Explained) error {
		fmt.Fprintf(w, "wait %d of %s, since %s, until %s at the latest\n", x.Wait, printable(x.Client), clockText(x.Since), clockText(x.Until))
		if x.Position == 0 {
			fmt.Fprintln(w, "it is passed over: its client is away")
		} else {
			fmt.Fprintf(w, "number %d in line, priority %d\n", x.Position, x.Priority)
		}
		for _, b := range x.Blocked {
			fmt.Fprintf(w, "pool %s: %d wanted, %d match, %d of them free", printable(b.Pool), b.Want, b.Match, b.Free)
			if b.Lease != 0 {
				fmt.Fprintf(w, "; lease %d is in the way until %s, unless it ends before or is renewed", b.Lease, clockText(b.FreeAt))
			} else if b.Hold != 0 {
				fmt.Fprintf(w, "; hold %d is in the way until %s, unless it ends before or is extended", b.Hold, clockText(b.FreeAt))
			}
			if b.Draining {
				fmt.Fprint(w, "; what it wants is leaving")
			}
			fmt.Fprintln(w)
		}
		return nil
	})
}
