package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/kassa-go/kassa/bench"
)

// suite does what the flags say and returns the exit code.
func suite(args []string) int {
	o, err := readOptions(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Print(help())
		return exitOK
	}
	if err != nil {
		return fail(exitUsage, fmt.Errorf("%w (--help lists the flags)", err))
	}
	ctx, stop := interruptible()
	defer stop()
	root, err := sourceRoot()
	if err != nil {
		return fail(exitFailed, err)
	}
	peers := bench.Peers(root)
	parts, err := bench.Suite(peers, o.cells, o.peers)
	if err != nil {
		return fail(exitUsage, fmt.Errorf("%w (--list tells of all)", err))
	}
	if o.list {
		return list(ctx, os.Stdout, parts, peers)
	}
	if runsIn(parts) == 0 {
		return fail(exitUsage, errors.New("none of these peers can do these cells (--list tells which can)"))
	}
	return o.measure(ctx, root, parts)
}

// endTimeout is how long after a second signal the program ends at the latest.
const endTimeout = 3 * time.Second

// interruptible returns a context that ends with the first SIGINT or SIGTERM. With the second, nobody waits for servers and
// generator to end: they are killed, so that the program removes what they leave, and ends.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the program
		<-signals
		fmt.Fprintln(os.Stderr, "\ninterrupted: the run under way is given up; once more ends at once")
		cancel()
		<-signals
		time.AfterFunc(endTimeout, func() { os.Exit(exitInterrupted) })
		for {
			bench.KillChildren()
			time.Sleep(10 * time.Millisecond) // one may just have been started
		}
	}()
	return ctx, cancel
}

// measure carries out a plan of these parts.
func (o *options) measure(ctx context.Context, root string, parts []bench.Part) int {
	t := &trouble{}
	parts = t.withoutDisk(parts)
	if len(parts) == 0 {
		return t.tell(os.Stderr)
	}
	if o.out == "" {
		name := time.Now().Format(time.DateOnly)
		if o.quick {
			name += "-quick"
		}
		o.out = filepath.Join(root, "bench", "results", name+".jsonl")
	}
	file, err := openResults(o.out, bench.SourceCommit(ctx, root), o.plan.Measure, o.appendTo)
	if other, ok := errors.AsType[*otherResultsError](err); ok {
		return fail(exitUsage, other)
	}
	if err != nil {
		return fail(exitFailed, err)
	}

	plan := o.plan
	plan.Root, plan.Parts, plan.Generator = root, parts, []string{"/proc/self/exe", "load"} // this program, though its file may be another by then
	expected := plan.Estimate()
	fmt.Fprintf(os.Stderr, "%d runs in %d cells, about %s; results go to %s\n", plan.Rounds*runsIn(parts), len(parts), minutes(expected), o.out)
	screen := openScreen(os.Stderr, expected)
	plan.Log, plan.Progress = screen, screen.progress
	err = plan.Run(ctx, func(r bench.Result) error {
		t.note(&r, slices.Contains(o.peers, r.Server))
		return file.add(&r)
	})
	screen.close()
	err = errors.Join(err, file.close())
	interrupted := ctx.Err() != nil
	if err != nil && !interrupted {
		t.add(err.Error())
	}
	if file.added > 0 {
		if err := drawReport([]string{o.out}, os.Stdout, os.Stderr); err != nil {
			t.add(err.Error())
		}
	}
	code := t.tell(os.Stderr)
	fmt.Fprintf(os.Stderr, "%d results were added to %s\n", file.added, o.out)
	if interrupted {
		return exitInterrupted
	}
	return code
}

// runsIn returns how many runs a round of these parts has.
func runsIn(parts []bench.Part) (runs int) {
	for _, part := range parts {
		for _, peer := range part.Peers {
			if _, ok := peer.Wire(part.Cell); ok {
				runs++
			}
		}
	}
	return runs
}

// trouble is what could not be done.
type trouble struct {
	all     []string
	skipped []string // no trouble by itself: nobody asked for these in so many words
}

func (t *trouble) add(what string) { t.all = append(t.all, strings.TrimSpace(what)) }

// withoutDisk leaves out the cells of pools where there is no disk to measure them on.
func (t *trouble) withoutDisk(parts []bench.Part) []bench.Part {
	isOfPools := func(p bench.Part) bool { return p.Cell.Items > 0 }
	if !slices.ContainsFunc(parts, isOfPools) {
		return parts
	}
	if err := bench.CheckDisk(os.TempDir()); err != nil {
		t.add("pools were not measured: " + err.Error())
		return slices.DeleteFunc(slices.Clone(parts), isOfPools)
	}
	return parts
}

// note notes what is wrong with a result.
func (t *trouble) note(r *bench.Result, named bool) {
	skipped := fmt.Sprintf("%s: %s", r.Server, r.Skipped)
	switch {
	case r.Failed():
		what := r.Failure
		if what == "" {
			what = fmt.Sprintf("%d errors: %s", r.Errors, r.Faults[0])
		}
		t.add(fmt.Sprintf("%s, %s, round %d: %s", r.Cell, r.Server, r.Round, what))
	case r.Skipped == "":
	case named && !slices.Contains(t.all, skipped):
		t.add(skipped)
	case !named && !slices.Contains(t.skipped, skipped):
		t.skipped = append(t.skipped, skipped)
	}
}

// tell writes all of it and returns the exit code that it makes.
func (t *trouble) tell(out io.Writer) int {
	for _, what := range t.skipped {
		fmt.Fprintln(out, "skipped:", what)
	}
	for _, what := range t.all {
		fmt.Fprintln(out, "failed:", what)
	}
	if len(t.all) > 0 {
		return exitFailed
	}
	return exitOK
}
