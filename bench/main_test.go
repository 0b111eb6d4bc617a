package bench_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

// The test program is also the generator, and the servers that the tests measure.
func TestMain(m *testing.M) {
	if len(os.Args) != 2 {
		// With the race detector, each of them would take a second to end.
		os.Setenv("GORACE", "atexit_sleep_ms=0")
		os.Exit(m.Run())
	}
	var err error
	switch os.Args[1] {
	case "load":
		err = load.Serve(os.Stdin, os.Stdout)
	case "echo":
		err = echo()
	case "broken":
		fmt.Println("broken on purpose")
	case "busy":
		busy()
	default:
		if liar := liars[os.Args[1]]; liar != nil {
			err = serveLies(liar)
			break
		}
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// echo sends back what it gets, until SIGTERM.
func echo() error { return serve(func(c net.Conn) { _, _ = io.Copy(c, c) }) }
