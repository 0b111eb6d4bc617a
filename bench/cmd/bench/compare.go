package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kassa-go/kassa/bench/cmd/bench/report"
)

// compare says what changed from one file of results to another.
func compare(args []string, out, warnings io.Writer) error {
	var defaults []string
	for _, m := range report.ComparedMetrics() {
		defaults = append(defaults, m.Flag())
	}
	flags := pflag.NewFlagSet("compare", pflag.ContinueOnError)
	flags.Usage = func() {}
	names := flags.StringSlice("metric", defaults, "`METRIC,...` of "+strings.Join(report.MetricNames(), ", "))
	relativeTo := flags.String("relative-to", "", "`PEER` whose figures of the same rounds the others are divided by: what the machine did to both cancels out")
	const usage = "kassa bench compare OLD.jsonl NEW.jsonl [--metric METRIC,...] [--relative-to PEER]"
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		_, err := fmt.Fprintf(out, "Usage: %s\n\nSays what changed from the old results to the new ones, and what of that is noise.\n\nFlags:\n%s", usage, flags.FlagUsages())
		return err
	case err != nil:
		return &usageError{"compare", err}
	case flags.NArg() != 2:
		return &usageError{"compare", fmt.Errorf("%d files are named, want two: %s", flags.NArg(), usage)}
	}
	var metrics []report.Metric
	for _, name := range *names {
		m, err := report.ParseMetric(name)
		if err != nil {
			return &usageError{"compare", err}
		}
		metrics = append(metrics, m)
	}
	before, warnedBefore, err := report.Read(flags.Arg(0))
	if err != nil {
		return fmt.Errorf("bench: compare: %w", err)
	}
	after, warnedAfter, err := report.Read(flags.Arg(1))
	if err != nil {
		return fmt.Errorf("bench: compare: %w", err)
	}
	for _, w := range append(warnedBefore, warnedAfter...) {
		fmt.Fprintln(warnings, "warning:", w)
	}
	compared, err := report.Compare(before, after, metrics, *relativeTo)
	if errors.Is(err, report.ErrNotInBoth) {
		return &usageError{"compare", err}
	}
	if err != nil {
		return fmt.Errorf("bench: %s and %s: %w", flags.Arg(0), flags.Arg(1), err)
	}
	return compared.Write(out)
}
