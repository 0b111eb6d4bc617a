package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/kassa-go/kassa/bench"
)

// screen shows lines of text, and on a terminal below them how far the plan has come. It is safe for concurrent use.
type screen struct {
	out  *os.File
	stop chan struct{} // closed to end the goroutine that moves the bar
	gone chan struct{} // closed when it has ended

	mu    sync.Mutex
	bar   *progressbar.ProgressBar // nil: out is no terminal, or closed
	run   bench.Progress           // the one under way
	since time.Time                // when it began
}

const (
	barWidth   = 20
	barAround  = 12 // columns that the bar takes besides
	barMoves   = 500 * time.Millisecond
	narrowness = 80 // columns of a terminal that does not say
)

func openScreen(out *os.File, expected time.Duration) *screen {
	s := &screen{out: out, stop: make(chan struct{}), gone: make(chan struct{})}
	if !term.IsTerminal(int(out.Fd())) || os.Getenv("TERM") == "dumb" {
		close(s.gone)
		return s
	}
	s.bar = progressbar.NewOptions64(max(1, expected.Milliseconds()),
		progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(barWidth), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetPredictTime(false), progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetDescription("building the servers"), progressbar.OptionSetRenderBlankState(true))
	s.since = time.Now()
	go s.move()
	return s
}

// Write shows whole lines.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar == nil {
		return s.out.Write(p)
	}
	_ = s.bar.Clear() // the bar is no more than a decoration
	n, err := s.out.Write(p)
	_ = s.bar.RenderBlank()
	return n, err
}

// progress is for bench.Plan.
func (s *screen) progress(p bench.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run, s.since = p, time.Now()
	s.show()
}

// move shows the time pass, until stop is closed.
func (s *screen) move() {
	defer close(s.gone)
	ticks := time.NewTicker(barMoves)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			s.mu.Lock()
			s.show()
			s.mu.Unlock()
		case <-s.stop:
			return
		}
	}
}

// show is called with mu held.
func (s *screen) show() {
	if s.bar == nil || s.run.Run == 0 {
		return
	}
	passed := min(time.Since(s.since), s.run.Run)
	text := fmt.Sprintf("%s left: %s, %s, round %d", minutes(s.run.Left-passed), s.run.Cell, s.run.Server, s.run.Round)
	columns, _, err := term.GetSize(int(s.out.Fd()))
	if err != nil || columns <= 0 {
		columns = narrowness
	}
	s.bar.Describe(text[:max(0, min(len(text), columns-barWidth-barAround))])
	_ = s.bar.Set64(min((s.run.Done + passed).Milliseconds(), s.bar.GetMax64()-1)) // as in Write
}

// close takes the bar away; Write goes on to work.
func (s *screen) close() {
	close(s.stop)
	<-s.gone
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Clear() // as in Write
		s.bar = nil
	}
}

// minutes writes a duration for people.
func minutes(d time.Duration) string {
	if d < 90*time.Second {
		return fmt.Sprintf("%.0f s", max(d, time.Second).Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}
