// Command bench measures kassa beside other servers. It is what "kassa bench" runs.
//
//	kassa-bench [--cells 64x16,1x1] [--peers kassa,gnet-echo] [--quick] [--out FILE]
//	kassa-bench --list
//	kassa-bench report FILE… [--out DIR]
//	kassa-bench compare OLD NEW [--metric cpu,p99] [--relative-to gnet-echo]
//
// The first form runs the cells on the servers in turn, adds a line of JSON for each run to a file of results, and draws what
// came of them; report draws the tables of results, and with --out charts and a page too; compare says what changed from one
// file to another, and what of that is noise. "kassa-bench load" is the generator, which the first form starts as a process.
//
// Reading order: options.go (what it is told), measure.go (the runs), results.go (their file), screen.go (what is seen
// meanwhile), list.go, report.go, compare.go.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kassa-go/kassa/bench/load"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1 // runs failed, or could not be made
	exitUsage       = 2
	exitInterrupted = 130
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var err error
	switch {
	case len(args) == 1 && args[0] == "load":
		err = load.Serve(os.Stdin, os.Stdout)
	case len(args) > 0 && args[0] == "report":
		err = drawReport(args[1:], os.Stdout, os.Stderr)
	case len(args) > 0 && args[0] == "compare":
		err = compare(args[1:], os.Stdout, os.Stderr)
	default:
		return suite(args)
	}
	if wrong, ok := errors.AsType[*usageError](err); ok {
		return fail(exitUsage, wrong)
	}
	if err != nil {
		return fail(exitFailed, err)
	}
	return exitOK
}

// usageError says what is wrong with the arguments of report or compare.
type usageError struct {
	command string
	wrong   error
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%s: %v (kassa bench %s --help tells what it takes)", e.command, e.wrong, e.command)
}

// fail tells of an error and returns the code.
func fail(code int, err error) int {
	fmt.Fprintln(os.Stderr, "kassa-bench:", strings.TrimPrefix(err.Error(), "bench: "))
	return code
}

// sourceRoot returns the directory of kassa's source that the working directory is in, from which servers are built.
func sourceRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		mod, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && slices.Contains(strings.Split(string(mod), "\n"), "module github.com/kassa-go/kassa") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("run it inside kassa's source, from which it builds what it measures: %s is not in it", dir)
		}
	}
}
