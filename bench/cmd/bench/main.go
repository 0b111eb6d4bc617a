// Command bench measures kassa beside other servers.
//
//	bench [-cells 64x16,1x1] [-servers kassa,gnet-echo] [-rounds 3] [-out FILE.jsonl]
//	bench -cells pools [-servers kassa,postgres,redis] [-out FILE.jsonl]
//	bench report FILE.jsonl
//
// The first form runs the cells on the servers in turn and appends a line of JSON for each run to the file; the second does
// so with the cells of durable pools, for which TMPDIR is to be on a disk; the third draws the tables. A fourth, "bench load",
// is the generator, which the first starts as a process.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == "load":
		err = load.Serve(os.Stdin, os.Stdout)
	case len(args) == 2 && args[0] == "report":
		err = report(args[1], os.Stdout)
	default:
		err = measure(ctx, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, args []string) error {
	root, err := sourceRoot(ctx)
	if err != nil {
		return err
	}
	peers := bench.Peers(root)
	var names []string
	for _, p := range peers {
		names = append(names, p.Name())
	}

	self, err := os.Executable()
	if err != nil {
		return err
	}
	plan := bench.Plan{Root: root, Generator: []string{self, "load"}, Log: os.Stderr}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	cells := flags.String("cells", strings.Join(bench.CellNames(), ","), "cells: CxW, openC, openC@RATE, idle, storm, each with /CODEC and /BYTES behind it; pairsCxW, openpairsC@RATE, restart, restart-killed, each with /items=N, /waiters=N and /listing behind it; pools: all of these that have targets")
	servers := flags.String("servers", strings.Join(names, ","), "servers, in the order of their turns")
	out := flags.String("out", "", "file that results are appended to (default: standard output)")
	quick := flags.Bool("quick", false, "as if by -rounds 1 -repeats 0 -warmup 200ms -measure 1s -idle 2s: shows that all works, measures nothing")
	flags.IntVar(&plan.Rounds, "rounds", 3, "runs of each server in each cell")
	flags.IntVar(&plan.Threads, "threads", 1, "threads of the generator")
	flags.IntVar(&plan.RepeatsMax, "repeats", 2, "repeats of a run in which others used the machine")
	flags.DurationVar(&plan.WarmUp, "warmup", time.Second, "load before what is measured")
	flags.DurationVar(&plan.Measure, "measure", 5*time.Second, "load that is measured")
	flags.DurationVar(&plan.Idle, "idle", 30*time.Second, "silence before memory is read")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("bench: unknown argument %q", flags.Arg(0))
	}
	if *quick {
		plan.Rounds, plan.RepeatsMax = 1, 0
		plan.WarmUp, plan.Measure, plan.Idle = 200*time.Millisecond, time.Second, 2*time.Second
		// What is asked for in so many words holds.
		if err := flags.Parse(args); err != nil {
			return err
		}
	}

	if *cells == "pools" {
		*cells = strings.Join(bench.PoolCellNames(), ",")
	}
	for name := range strings.SplitSeq(*cells, ",") {
		cell, err := bench.ParseCell(name)
		if err != nil {
			return err
		}
		plan.Cells = append(plan.Cells, cell)
	}
	if slices.ContainsFunc(plan.Cells, func(c bench.Cell) bool { return c.Items > 0 }) {
		if err := bench.CheckDisk(os.TempDir()); err != nil {
			return err
		}
	}
	for name := range strings.SplitSeq(*servers, ",") {
		i := slices.Index(names, name)
		if i < 0 {
			return fmt.Errorf("bench: no server %q: %s", name, strings.Join(names, ", "))
		}
		plan.Peers = append(plan.Peers, peers[i])
	}

	results := io.Writer(os.Stdout)
	if *out != "" {
		file, err := os.OpenFile(*out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer file.Close()
		results = file
	}
	failed := 0
	lines := json.NewEncoder(results)
	err = plan.Run(ctx, func(r bench.Result) error {
		if !r.OK() {
			failed++
		}
		return lines.Encode(r)
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("bench: %d runs failed", failed)
	}
	return err
}

func report(name string, out io.Writer) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	results, err := bench.ReadResults(file)
	if err != nil {
		return err
	}
	if len(results) == 0 {
		return errors.New("bench: no results in " + name)
	}
	return bench.WriteReport(out, results)
}

// sourceRoot returns the directory of kassa's source, from which servers are built.
func sourceRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/kassa-go/kassa").Output()
	if err != nil {
		return "", fmt.Errorf("bench: run it inside kassa's source: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
