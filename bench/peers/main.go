// Command peers runs one of the servers that kassa is measured beside. They have a module of their own, so that what
// they need stays out of kassa's.
//
//	peers gnet-echo        a gnet server that sends back what it gets: the bound
//	peers gonet-workers    net, encoding/json, one queue, one worker a type
//
// The first line it prints is "listening HOST:PORT". It ends on SIGTERM.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// A peer serves on a free port of 127.0.0.1, calls listening once it accepts there, and returns when ctx is done.
type peer func(ctx context.Context, listening func(addr string)) error

var peers = map[string]peer{
	"gnet-echo":     gnetEcho,
	"gonet-workers": gonetWorkers,
}

func main() {
	if len(os.Args) != 2 || peers[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peers gnet-echo|gonet-workers")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err := peers[os.Args[1]](ctx, func(addr string) { fmt.Println("listening", addr) })
	if err != nil {
		fmt.Fprintf(os.Stderr, "peers: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
