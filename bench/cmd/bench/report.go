package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/kassa-go/kassa/bench/cmd/bench/report"
)

// drawReport draws the results in files: their tables to out, or all into a directory.
func drawReport(args []string, out, warnings io.Writer) error {
	flags := pflag.NewFlagSet("report", pflag.ContinueOnError)
	flags.Usage = func() {}
	dir := flags.String("out", "", "`DIR` that gets report.md, report.html and the charts, which are SVG (default: the tables go to standard output)")
	const usage = "kassa bench report FILE... [--out DIR]"
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		_, err := fmt.Fprintf(out, "Usage: %s\n\nDraws the results in files.\n\nFlags:\n%s", usage, flags.FlagUsages())
		return err
	case err != nil:
		return &usageError{"report", err}
	case flags.NArg() == 0:
		return &usageError{"report", errors.New("no file of results is named: " + usage)}
	}
	results, warned, err := report.Read(flags.Args()...)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	for _, w := range warned {
		fmt.Fprintln(warnings, "warning:", w)
	}
	if *dir == "" {
		return report.Write(out, results)
	}
	files, err := report.WriteDir(*dir, results)
	for _, file := range files {
		fmt.Fprintln(out, file)
	}
	return err
}
