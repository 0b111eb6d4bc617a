package main

import (
	"context"
	"errors"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

// begin starts a server until the test is over, and returns its address.
func begin(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	addrs, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- serve(ctx, works[""], 0, func(addr string) { addrs <- addr }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case addr := <-addrs:
		return addr
	case err := <-ended:
		ended <- err
		t.Fatal("the server ended at once")
		return ""
	}
}

// kassa's replies are, byte for byte, those that the generator expects, in all codecs and sizes.
func TestReplies(t *testing.T) {
	addr := begin(t)
	for _, codec := range []string{"json", "crab", "binary"} {
		for _, payloadBytes := range []int{0, 478, 16 << 10} {
			replies(t, load.Config{Addr: addr, Conns: 8, Wire: load.WireConfig{Codec: codec, PayloadBytes: payloadBytes}})
		}
	}
}

func replies(t *testing.T, cfg load.Config) {
	t.Helper()
	g, err := load.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	r, err := g.Connect(cfg.Conns)
	if err := errors.Join(err, r.Err()); err != nil {
		t.Fatalf("%+v: %v", cfg.Wire, err)
	}
	r, err = g.Run(load.Phase{InFlight: 16, Requests: 1000})
	if err := errors.Join(err, r.Err()); err != nil {
		t.Errorf("%+v: %v", cfg.Wire, err)
	}
}
