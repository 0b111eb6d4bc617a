// Command peers is one of the servers that kassa is measured beside. They have a module of their own, so that what
// they need stays out of kassa's. Each is built by itself, of this file, those that it needs, and its own: the libraries of the
// others would be in its memory.
//
//	gnet_echo.go        a gnet server that sends back what it gets: the bound
//	gonet.go            net, each connection does its work itself
//	gonet_workers.go    net, one queue, one worker a type
//	nethttp.go          net/http, each request does its work itself
//	fasthttp.go         fasthttp, likewise
//	grpc.go             google.golang.org/grpc, unary calls in protobuf
//	nats.go             a NATS server, and workers that answer requests
//	redis_lists.go      Redis with a list of requests a type, and a worker of each list
//	gearmand.go         Gearman's job server, and a worker of each function
//
// The last three are behind a broker, a child of this process, whose program is named behind the flags.
//
// The first line it prints is "listening HOST:PORT". It ends on SIGTERM. There may be flags: --work=sleep
// or --work=cpu is what each request makes it do, --loops=N how many event loops gnet-echo has.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// serve serves on a free port of 127.0.0.1, calls listening once it accepts there, and returns when ctx is done. The file of
// the server sets it.
var serve func(ctx context.Context, o options, listening func(addr string)) error

type options struct {
	types *types
	loops int      // 0: one a core
	args  []string // behind the flags
}

func main() {
	var o options
	work := flag.String("work", "", "what each request makes it do: sleep or cpu")
	flag.IntVar(&o.loops, "loops", 0, "event loops of gnet-echo; 0: one a core")
	flag.Parse()
	o.args = flag.Args()
	var err error
	if o.types, err = newTypes(*work); err != nil {
		fail(2, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, o, func(addr string) { fmt.Println("listening", addr) }); err != nil {
		fail(1, err)
	}
}

func fail(code int, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
	os.Exit(code)
}
