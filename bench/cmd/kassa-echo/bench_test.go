package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

// BenchmarkInProcess: an op is a request and its reply over loopback, of so many connections that each have so many in
// flight. The generator, which checks every reply, runs in the server's process: so what is allocated is both's, and the
// time is for comparisons with itself only.
func BenchmarkInProcess(b *testing.B) {
	addr := begin(b)
	for _, c := range []struct {
		conns, inFlight int
		wire            load.WireConfig
	}{
		{1, 1, load.WireConfig{Codec: "json"}},
		{64, 16, load.WireConfig{Codec: "json"}},
		{64, 16, load.WireConfig{Codec: "json", PayloadBytes: 478}},
		{64, 16, load.WireConfig{Codec: "json", PayloadBytes: 16 << 10}},
		{64, 16, load.WireConfig{Codec: "crab"}},
		{64, 16, load.WireConfig{Codec: "binary"}},
	} {
		name := fmt.Sprintf("%dx%d/%s/payload=%d", c.conns, c.inFlight, c.wire.Codec, max(c.wire.PayloadBytes, payloadBytesMin))
		b.Run(name, func(b *testing.B) { benchLoad(b, addr, c.conns, c.inFlight, c.wire) })
	}
}

const payloadBytesMin = 13 // of the shortest payload

func benchLoad(b *testing.B, addr string, conns, inFlight int, wire load.WireConfig) {
	g, err := load.New(load.Config{Addr: addr, Conns: conns, Wire: wire})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	r, err := g.Connect(conns)
	if err := errors.Join(err, r.Err()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	r, err = g.Run(load.Phase{InFlight: inFlight, Requests: int64(b.N)})
	b.StopTimer()
	if err := errors.Join(err, r.Err()); err != nil {
		b.Fatal(err)
	}
	if r.Requests != int64(b.N) {
		b.Fatalf("%d replies to %d requests", r.Requests, b.N)
	}
}
