// Kassa asks a server for things from the command line, in JSON.
//
// Reading order: options.go (flags, where the server is), payload.go (what is sent), commands.go, then lease.go, pool.go and watch.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"

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
)

// run is the program.
func run(ctx context.Context, args, environment []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := readOptions(args, environment)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, help())
		return exitOK
	case err == nil && o.version:
		fmt.Fprintln(stdout, "kassa", version())
		return exitOK
	case err == nil:
		err = o.execute(ctx, terminal{stdin: stdin, stdout: stdout})
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "kassa:", describe(err))
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*connectError](err); ok {
		return exitNotConnected
	}
	return exitFailed
}

// usageError is what the user has to write differently.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// describe returns an error as the user is told it: the server's as "code: message".
func describe(err error) string {
	failure, ok := errors.AsType[*codec.Error](err)
	if !ok {
		return err.Error()
	}
	text := failure.Error()
	if failure.RetryAfterMs > 0 {
		text += " (try again after " + strconv.Itoa(int(failure.RetryAfterMs)) + " ms)"
	}
	if failure.Detail != nil {
		text += " " + string(failure.Detail)
	}
	return text
}

// version is that of the module the program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version + " " + info.GoVersion
	}
	return "(devel)"
}
