package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/kassa-go/kassa/pool/wire"
)

// What a terminal is told.
const (
	screenBegin = "\x1b[?1049h\x1b[?7l\x1b[?25l" // another screen, lines that do not go on below, no cursor
	screenEnd   = "\x1b[?25h\x1b[?7h\x1b[?1049l"
	screenHome  = "\x1b[H"
	lineRest    = "\x1b[K" // is cleared
	screenRest  = "\x1b[J"
)

const (
	viewEvery   = 100 * time.Millisecond
	reportEvery = time.Second // where there is no terminal

	linesDefault = 24 // of a terminal that does not tell
)

// view shows how it goes until ctx ends: on a terminal a picture, else a line a second.
func (d *demo) view(ctx context.Context, t terminal) {
	every, draw := reportEvery, func(s *sight) { fmt.Fprintln(t.stderr, s.line()) }
	if t.interactive() {
		screen := t.stdout.(*os.File)
		every, draw = viewEvery, func(s *sight) {
			_, _ = screen.Write(s.picture(&canvas{coloured: d.o.coloured(t)}, t.width(), linesOf(screen)))
		}
		fmt.Fprint(screen, screenBegin)
		defer fmt.Fprint(screen, screenEnd)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	before := *d.look(&sight{})
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		now := d.look(&before)
		draw(now)
		before = *now
	}
}

// sight is what there is to be seen at a moment.
type sight struct {
	pool               string
	seed               uint64
	clients            int
	at                 time.Time
	took               time.Duration // since the clients were let in; 0: they come still
	seats              []seat
	count              [seatStates]int
	connected, waiting int
	thinking, ended    int
	outcomes           map[string]int
	failed, replies    int
	atOnce             times
	rate               float64 // replies a second
}

// look takes it in. The rate is smoothed.
func (d *demo) look(before *sight) *sight {
	s := &sight{pool: d.pool, seed: d.seed, clients: len(d.crowd.visitors), at: time.Now()}
	d.mu.Lock()
	for _, seat := range d.house.seats {
		s.seats = append(s.seats, *seat)
	}
	s.count = d.house.count
	d.mu.Unlock()
	t := &d.crowd.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.began.IsZero() {
		s.took = s.at.Sub(t.began)
	}
	s.connected, s.waiting, s.thinking, s.ended, s.failed, s.replies = t.connected, t.asking, t.thinking, t.ended, t.failed, t.replies
	s.outcomes = maps.Clone(t.outcomes)
	s.atOnce = timesOf(t.atOnce)
	if !before.at.IsZero() {
		rate := float64(s.replies-before.replies) / s.at.Sub(before.at).Seconds()
		weight := min(1, s.at.Sub(before.at).Seconds()) // of the last second
		s.rate = before.rate + weight*(rate-before.rate)
	}
	return s
}

// refusedText counts those who were turned away, by code.
func (s *sight) refusedText() string {
	codes := make(map[string]int)
	for _, code := range refusals {
		if n := s.outcomes[code.String()]; n > 0 {
			codes[code.String()] = n
		}
	}
	if text := outcomeText(codes, s.failed); text != "" {
		return text
	}
	return "none"
}

func (s *sight) line() string {
	if s.took == 0 {
		return fmt.Sprintf("%s of %s clients are connected", thousands(s.connected), thousands(s.clients))
	}
	return fmt.Sprintf("%.0f s: %d available, %d held, %d sold; clients: %s wait, %s have seats, %s are done; refused: %s; "+
		"%s replies/s, p50 %.1f ms, p99 %.1f ms",
		s.took.Seconds(), s.count[available], s.count[held], s.count[sold], thousands(s.waiting), thousands(s.thinking), thousands(s.ended),
		s.refusedText(), thousands(int(s.rate)), s.atOnce.P50, s.atOnce.P99)
}

// picture draws it over the picture before.
func (s *sight) picture(c *canvas, columns, lines int) []byte {
	items := make([]wire.ItemState, len(s.seats))
	for i, seat := range s.seats {
		items[i] = wire.ItemState{ID: seat.id, State: seat.state.String(), Row: seat.row, Column: seat.column}
	}
	drawSeats(c, s.pool, items, columns)
	c.end()
	c.printf("clients   %s of %s connected, %s waiting, %s holding, %s done", thousands(s.connected), thousands(s.clients), thousands(s.waiting),
		thousands(s.thinking), thousands(s.ended))
	c.end()
	c.printf("bought    %s; changed their minds: %s", thousands(s.outcomes[hasBought]), thousands(s.outcomes[hasVoided]+s.outcomes[hasExpired]))
	c.end()
	c.printf("refused   %s", s.refusedText())
	c.end()
	c.printf("replies   %s, %s/s   p50 %.1f ms   p99 %.1f ms", thousands(s.replies), thousands(int(s.rate)), s.atOnce.P50, s.atOnce.P99)
	c.end()
	c.printf("time      %.1f s   seed %d", s.took.Seconds(), s.seed)
	c.end()
	var out bytes.Buffer
	out.WriteString(screenHome)
	for i, line := range strings.Split(strings.TrimSuffix(c.text.String(), "\n"), "\n") {
		if i == lines {
			break
		}
		if i > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(line + lineRest)
	}
	out.WriteString(screenRest)
	return out.Bytes()
}
