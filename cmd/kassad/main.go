// Kassad is the server: it serves the types that are built in, the pools of its configuration, and with --demo a few types
// to try it with.
//
// Reading order: settings.go (flags, environment, .env), listen.go (where), serve.go (start, signals, end), pools.go, demo.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/pflag"
)

func main() {
	os.Exit(run(context.Background(), os.Args, os.Environ(), os.Stdout, os.Stderr))
}

// Exit codes, besides 128 and the number of a signal that came while another was being obeyed.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the program. It ends when ctx does, as by SIGTERM.
func run(ctx context.Context, args, environment []string, stdout, stderr io.Writer) int {
	s, err := readSettings(args[1:], environment)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, help())
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "kassad: %v (kassad --help lists the flags)\n", err)
		return exitUsage
	case s.example:
		fmt.Fprint(stdout, example)
		return exitOK
	case s.version:
		fmt.Fprintln(stdout, "kassad", version())
		return exitOK
	}
	level := new(slog.LevelVar)
	level.Set(s.logLevel)
	srv := &server{settings: s, program: args[0], stdout: stdout, level: level, log: newLog(stderr, s.logJSON, level)}
	code, err := srv.serve(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "kassad: %v\n", err)
	}
	return code
}

func newLog(w io.Writer, json bool, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// version is that of the module the program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version + " " + info.GoVersion
	}
	return "(devel)"
}
