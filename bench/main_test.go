package bench_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
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
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// echo sends back what it gets, until SIGTERM.
func echo() error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	fmt.Println("listening", ln.Addr())
	<-terminated
	return ln.Close()
}
