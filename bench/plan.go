package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kassa-go/kassa/bench/load"
)

// Part is a cell on some servers. A server that can not do the cell is left out.
type Part struct {
	Cell  Cell
	Peers []Peer
}

// Plan says what is measured. Servers run in turn, A B C A B C …, so that what changes on the machine meanwhile meets
// all of them alike.
type Plan struct {
	Root  string // directory of kassa's source
	Parts []Part

	// Generator is the command of a process that does load.Serve on its stdin and stdout, and Threads how many threads
	// it puts the load on; 0: 1.
	Generator []string
	Threads   int

	Rounds  int           // runs of each server in each cell; 0: 3
	WarmUp  time.Duration // load before the measured load; 0: 1 s
	Measure time.Duration // the measured load; 0: 5 s
	Idle    time.Duration // silence before memory is read; 0: 30 s

	// RepeatsMax is how often a run is repeated in which others used more cores than OthersCoresMax (0: 0.1); 0: never.
	RepeatsMax     int
	OthersCoresMax float64

	Timeout time.Duration // without any reply, after which those that are missing are given up; 0: 10 s

	Log      io.Writer      // a line a run, for people; nil: none
	Progress func(Progress) // called before each run; nil: nobody wants to know
}

// CheckDisk refuses a directory that is in memory: what is durable is not to be measured there.
func CheckDisk(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("bench: statfs %s: %w", dir, err)
	}
	if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
		return fmt.Errorf("bench: %s is in memory, where a sync costs nothing: set TMPDIR to a directory on a disk", dir)
	}
	return nil
}

// runTimeout bounds what a run takes beside its load and its silence: every wait in it is shorter.
const runTimeout = 3 * time.Minute

// Run measures what the plan says, and hands each result to sink as it comes. A server that fails is a result too; the
// error says that the suite could not go on.
func (p Plan) Run(ctx context.Context, sink func(Result) error) error {
	p.fill()
	switch {
	case p.Rounds < 1 || p.WarmUp < 0 || p.Measure < 0 || p.Idle < 0 || p.Timeout < 0 || p.RepeatsMax < 0 || p.OthersCoresMax < 0:
		return errors.New("bench: a negative number in Plan")
	case len(p.Parts) == 0 || len(p.Generator) == 0:
		return errors.New("bench: a plan without parts or generator")
	}
	template, err := p.template(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kassa-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	// A server may run as a user of its own.
	if err := os.Chmod(dir, 0o711); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	built, err := p.build(ctx, dir)
	if err != nil {
		return err
	}
	pace := pacer{tell: p.Progress, began: time.Now(), before: p.costOfBuilds()}
	pace.total = pace.before + p.costOfRuns(func(peer Peer) bool { return built[peer].err == nil })
	for _, part := range p.Parts {
		cell := part.Cell
		for round := range p.Rounds {
			for _, peer := range part.Peers {
				wire, ok := peer.Wire(cell)
				if !ok {
					if round == 0 {
						fmt.Fprintf(p.Log, "%s %s: left out, the server can not do it\n", cell.Name, peer.Name())
					}
					continue
				}
				r := template
				of := built[peer]
				r.Server, r.Version, r.Date = peer.Name(), of.version, time.Now().UTC()
				r.Cell, r.Conns, r.Round = cell.Name, cell.Conns, round+1
				if of.err != nil {
					if round > 0 {
						continue
					}
					if r.Failure = of.err.Error(); errors.Is(of.err, errNotInstalled) {
						r.Failure, r.Skipped = "", r.Failure
					}
				} else {
					pace.next(cell, peer.Name(), round+1, p.cost(cell))
					if cell.Items > 0 {
						syncDisk(dir)
					}
					p.runQuietly(ctx, peer, cell, wire, &r)
				}
				if err := ctx.Err(); err != nil {
					return fmt.Errorf("bench: %w", err)
				}
				if err := sink(r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// fill puts the defaults where nothing is said.
func (p *Plan) fill() {
	p.Threads = cmp.Or(p.Threads, 1)
	p.Rounds = cmp.Or(p.Rounds, 3)
	p.WarmUp = cmp.Or(p.WarmUp, time.Second)
	p.Measure = cmp.Or(p.Measure, 5*time.Second)
	p.Idle = cmp.Or(p.Idle, 30*time.Second)
	p.OthersCoresMax = cmp.Or(p.OthersCoresMax, 0.1)
	if p.Log == nil {
		p.Log = io.Discard
	}
	if p.Progress == nil {
		p.Progress = func(Progress) {}
	}
}

// built is what came of building a server.
type built struct {
	version string
	err     error
}

// build builds all servers below dir. One that can not be built is left out of the runs, and the others go on without it.
func (p *Plan) build(ctx context.Context, dir string) (map[Peer]built, error) {
	all := make(map[Peer]built)
	for i, peer := range p.peers() {
		// Two peers may be made of the same program: each has a directory.
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(own, 0o711); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		version, err := peer.Build(ctx, own)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		if err != nil {
			fmt.Fprintf(p.Log, "%s: left out: %v\n", peer.Name(), err)
		}
		all[peer] = built{version, err}
	}
	return all, nil
}

// peers are the servers that are run.
func (p *Plan) peers() []Peer {
	var all []Peer
	for _, part := range p.Parts {
		for _, peer := range part.Peers {
			if _, ok := peer.Wire(part.Cell); ok && !slices.Contains(all, peer) {
				all = append(all, peer)
			}
		}
	}
	return all
}

// syncDisk writes out what a server before has left to be written.
func syncDisk(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = unix.Syncfs(int(d.Fd())) // where it fails, the next run is a little slower
		d.Close()
	}
}

// template returns a result with what all results of this plan have in common.
func (p *Plan) template(ctx context.Context) (Result, error) {
	machine, err := thisMachine()
	if err != nil {
		return Result{}, err
	}
	return Result{
		Machine:    machine,
		Go:         runtime.Version(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
		Commit:     SourceCommit(ctx, p.Root),
		RepeatsMax: p.RepeatsMax,
	}, nil
}

// runQuietly runs a cell on a peer, and once more as long as others use the machine, up to RepeatsMax times.
func (p *Plan) runQuietly(ctx context.Context, peer Peer, cell Cell, wire load.WireConfig, r *Result) {
	blank := *r
	for repeat := 0; ; repeat++ {
		*r = blank
		r.Repeats = repeat
		if err := p.run(ctx, peer, cell, wire, r); err != nil {
			r.Failure = err.Error()
		}
		r.Disturbed = r.OthersCores > p.OthersCoresMax
		if ctx.Err() == nil { // else it was given up
			fmt.Fprintln(p.Log, r.line())
		}
		if !r.Disturbed || repeat == p.RepeatsMax || ctx.Err() != nil {
			return
		}
	}
}
