// Kassa asks a server for things from the command line, in JSON.
//
// Reading order: options.go (flags, where the server is), help.go, payload.go (what is sent), commands.go, then lease.go, run.go with
// child_linux.go, pool.go, hold.go with seatmap.go, slot.go with moment.go and day.go, watch.go, demo.go with
// demo_crowd.go, demo_house.go, demo_proof.go and demo_view.go, journal.go, and bench.go. What is drawn on terminals is drawn with draw.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kassa-go/kassa/codec"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK           = 0
	exitFailed       = 1 // the server, or waiting for it
	exitUsage        = 2
	exitNotConnected = 3

	// Of lease run, which else ends with its command's.
	exitLeaseLost     = 124
	exitNotLeased     = 125 // in the place of those above: the command was not started
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignalled     = 128 // and the number of the signal
)

// run is the program.
func run(ctx context.Context, args, environment []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "bench" {
		fmt.Fprintln(stderr, "kassa:", runBench(ctx, args[1:], environment))
		return exitFailed
	}
	o, err := readOptions(args, environment)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		var text string
		if text, err = helpOn(o.args); err == nil {
			fmt.Fprint(stdout, text)
		}
	case err == nil && o.version:
		fmt.Fprintln(stdout, "kassa", version())
		return exitOK
	case err == nil:
		err = o.execute(ctx, terminal{stdin: stdin, stdout: stdout, stderr: stderr})
	}
	if err == nil {
		return exitOK
	}
	if exit, ok := errors.AsType[*exitError](err); ok {
		if exit.err != nil {
			fmt.Fprintln(stderr, "kassa:", exit.err)
		}
		return exit.code
	}
	fmt.Fprintln(stderr, "kassa:", describe(err))
	if len(o.args) > 1 && o.args[0]+" "+o.args[1] == "lease run" {
		return exitNotLeased
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*connectError](err); ok {
		return exitNotConnected
	}
	return exitFailed
}

// exitError is how lease run ends.
type exitError struct {
	code int
	err  error // what the user is told; nil: nothing
}

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d: %v", e.code, e.err) }

// usageError is what the user has to write differently.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// describe returns an error as the user is told it: the server's as "code: message", behind what it was about.
func describe(err error) string {
	failure, ok := errors.AsType[*codec.Error](err)
	if !ok {
		return err.Error()
	}
	text := operationCommands.Replace(err.Error())
	if failure.RetryAfterMs > 0 {
		text += " (try again after " + strconv.Itoa(int(failure.RetryAfterMs)) + " ms)"
	}
	if failure.Detail != nil {
		text += " " + string(failure.Detail)
	}
	return text
}

// operationCommands are the commands for operations that the server recommends.
var operationCommands = strings.NewReplacer("pool.list lists", "kassa pool ls lists", "slot.list with open: true tells", "kassa slot day tells")

// version is that of the module the program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version + " " + info.GoVersion
	}
	return "(devel)"
}
