package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/kassa-go/kassa/bench"
)

// options is what the suite was told.
type options struct {
	cells, peers []string // none: all
	plan         bench.Plan
	quick        bool
	out          string // empty: named by the date
	appendTo     bool
	list         bool
}

func (o *options) flags() *pflag.FlagSet {
	usual := bench.SuitePlan()
	f := pflag.NewFlagSet("kassa-bench", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	f.StringSliceVar(&o.cells, "cells", nil, "`CELL,...` or groups of them to measure (default all)")
	f.StringSliceVar(&o.peers, "peers", nil, "`PEER,...` to measure (default all)")
	f.BoolVar(&o.quick, "quick", false, "some cells, once, and briefly: shows that all works, and measures little")
	f.IntVar(&o.plan.Rounds, "rounds", usual.Rounds, "`COUNT` of runs of each peer in each cell")
	f.DurationVar(&o.plan.Measure, "measure", usual.Measure, "`TIME` of load that is measured")
	f.DurationVar(&o.plan.WarmUp, "warmup", usual.WarmUp, "`TIME` of load before it")
	f.DurationVar(&o.plan.Idle, "idle", usual.Idle, "`TIME` of silence before the memory of idle connections is read")
	f.IntVar(&o.plan.RepeatsMax, "repeats", usual.RepeatsMax, "`COUNT` of times at most that a run is made again during which others used the machine")
	f.IntVar(&o.plan.Threads, "threads", usual.Threads, "`COUNT` of the generator's threads")
	f.StringVar(&o.out, "out", "", "`FILE` that results are added to (default bench/results/DATE.jsonl, with --quick DATE-quick.jsonl, in kassa's source)")
	f.BoolVar(&o.appendTo, "append", false, "add to the file also where it has results of another commit, or of another --measure")
	f.BoolVar(&o.list, "list", false, "print the cells and the peers, and which are installed")
	f.BoolP("help", "h", false, "print this")
	return f
}

// readOptions returns pflag.ErrHelp when help is wanted.
func readOptions(args []string) (options, error) {
	var o options
	f := o.flags()
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if wanted, err := f.GetBool("help"); err != nil || wanted {
		return o, errors.Join(err, pflag.ErrHelp)
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag: cells go behind --cells, peers behind --peers", f.Arg(0))
	}
	if o.quick {
		quick := bench.QuickPlan()
		for _, set := range []struct {
			name string
			do   func()
		}{
			{"cells", func() { o.cells = bench.QuickCellNames() }},
			{"rounds", func() { o.plan.Rounds = quick.Rounds }},
			{"repeats", func() { o.plan.RepeatsMax = quick.RepeatsMax }},
			{"warmup", func() { o.plan.WarmUp = quick.WarmUp }},
			{"measure", func() { o.plan.Measure = quick.Measure }},
			{"idle", func() { o.plan.Idle = quick.Idle }},
		} {
			if !f.Changed(set.name) {
				set.do()
			}
		}
	}
	p := &o.plan
	switch {
	case p.Rounds < 1 || p.Threads < 1:
		return o, errors.New("--rounds and --threads are at least 1")
	case p.Measure <= 0 || p.WarmUp <= 0 || p.Idle <= 0:
		return o, errors.New("--measure, --warmup and --idle are above 0, such as 500ms")
	case p.RepeatsMax < 0:
		return o, errors.New("--repeats is not below 0")
	case slices.Contains(o.cells, "") || slices.Contains(o.peers, "") || f.Changed("cells") && len(o.cells) == 0 || f.Changed("peers") && len(o.peers) == 0:
		return o, errors.New("an empty name in --cells or --peers")
	case f.Changed("out") && o.out == "":
		return o, errors.New("--out names a file")
	}
	return o, nil
}

const helpWidth = 120 // in columns

func help() string {
	return `Usage: kassa bench [flags]
       kassa bench report FILE... [--out DIR]
       kassa bench compare OLD NEW [--metric METRIC,...] [--relative-to PEER]

Measures kassa beside other servers: each is started in turn, on 127.0.0.1, a generator puts load on it, and checks every
reply. What holds on a shared machine is the server's CPU time for a million requests, its memory, and ratios between
servers; a run during which others used the machine is made again. Peers that are not installed are skipped, and named:
make bench-deps installs them.

A CELL is CxW (C connections, each with W requests in flight), openC or openC@RATE (so many requests a second over C
connections, whether or not the server keeps up), idleC (silent connections) or stormC (connects as fast as they go); then
perhaps /json, /crab or /binary, /BYTES of payload, /work=sleep or /work=cpu, and /loops=N. Of pools it is pairsCxW,
openpairsC@RATE, restart or restart-killed; then perhaps /items=N, /waiters=N and /listing. Or it is a group: requests,
codecs, loops, jobbers, capacity, pools, all. --list tells which cells these have, and which peers run them.

Results are added to a file, a line of JSON a run, as they come; what is in it is drawn at the end. It takes no results of
another commit of kassa than those it has, or of another --measure, unless --append says so. Ctrl-C, or SIGTERM, gives up
the run under way and draws what there is; a second one kills what still runs.

Flags:
` + new(options).flags().FlagUsagesWrapped(helpWidth) + `
Exit codes: 0 all was measured, but for peers that are not installed and were not named; 1 runs failed, or could not be
made, or a file of results could not be read or compared; 2 wrong arguments; 130 interrupted.

Examples:
  kassa bench --quick
  kassa bench --cells 64x16,1x1 --peers kassa,gnet-echo
  kassa bench --cells requests,open1000@20000 --rounds 5 --out before.jsonl
`
}
