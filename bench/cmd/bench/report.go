package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

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
		return report.Write(out, results, drawCommand(flags.Args(), ""))
	}
	files, err := report.WriteDir(*dir, results, drawCommand(flags.Args(), *dir))
	for _, file := range files {
		fmt.Fprintln(out, file)
	}
	return err
}

// drawCommand returns the command that draws files into a directory, "": none, again from the root of kassa's source.
func drawCommand(files []string, dir string) string {
	words := []string{"bin/kassa bench report"}
	for _, file := range files {
		words = append(words, fromRoot(file))
	}
	if dir != "" {
		words = append(words, "--out", fromRoot(dir))
	}
	return strings.Join(words, " ")
}

// fromRoot returns the name that a file has from the root of kassa's source. What is outside of it keeps an absolute name.
func fromRoot(name string) string {
	root, err := sourceRoot()
	if err != nil {
		return name
	}
	whole, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	from, err := filepath.Rel(root, whole)
	if err != nil || filepath.IsAbs(name) && !filepath.IsLocal(from) {
		return name
	}
	return from
}
