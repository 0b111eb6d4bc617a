package client_test

import (
	"context"
	"net"
	"testing"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
)

type ticket struct {
	N int `json:"n"`
}

// benchServer answers each request with its payload and allocates nothing while it does, so that what a benchmark counts
// is the client's.
func benchServer(b *testing.B, cd codec.Codec) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go benchServe(nc, cd)
		}
	}()
	return "tcp://" + ln.Addr().String()
}

func benchServe(nc net.Conn, cd codec.Codec) {
	defer nc.Close()
	var (
		f    codec.Frame
		scan codec.Scan
		in   = make([]byte, 1<<20)
		out  []byte
		w    int
	)
	for {
		n, err := nc.Read(in[w:])
		if err != nil {
			return
		}
		w += n
		r := 0
		out = out[:0]
		for {
			scan = codec.Scan{}
			frame, n, _ := cd.Split(&scan, in[r:w], len(in))
			if n == 0 {
				break
			}
			r += n
			if frame == nil {
				continue
			}
			if cd.DecodeRequest(frame, &f) != nil {
				return
			}
			f.Kind = codec.Reply
			if string(f.Type) == "ping" {
				f.Payload = []byte("{}")
			}
			out, _ = cd.Append(out, &f)
		}
		w = copy(in, in[r:w])
		nc.Write(out)
	}
}

// BenchmarkRequest asks from one goroutine, from 64 and from 1,024, over one connection.
func BenchmarkRequest(b *testing.B) {
	for _, cd := range codecs {
		addr := benchServer(b, cd)
		for _, bench := range []struct {
			name        string
			parallelism int
		}{{"1", 0}, {"64", 32}, {"1024", 512}} { // per processor, of which two is usual
			b.Run(cd.Name()+"/"+bench.name, func(b *testing.B) {
				ctx := context.Background()
				c, err := client.Dial(ctx, client.Config{Addr: addr, Codec: cd})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				b.ReportAllocs()
				if bench.parallelism == 0 {
					for n := range b.N {
						var rep ticket
						if err := c.Request(ctx, "echo", ticket{n}, &rep); err != nil || rep.N != n {
							b.Fatal(rep, err)
						}
					}
					return
				}
				b.SetParallelism(bench.parallelism)
				b.RunParallel(func(pb *testing.PB) {
					for n := 0; pb.Next(); n++ {
						var rep ticket
						if err := c.Request(ctx, "echo", ticket{n}, &rep); err != nil || rep.N != n {
							b.Error(rep, err)
						}
					}
				})
			})
		}
	}
}
