package client

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/kassa-go/kassa/codec"
)

// brokenSocket takes some bytes of the first write and then fails.
type brokenSocket struct {
	net.Conn
	takes int
}

func (s brokenSocket) Write(p []byte) (int, error) {
	return min(s.takes, len(p)), errors.New("broken")
}

// Of the requests of a failed write, those whose first byte has not been taken go back to the queue, in order; the others
// may have arrived. The sizes of the frames tell where the border is.
func TestFailedWrite(t *testing.T) {
	types := []string{"a", "one-way b", "c", "one-way d", "e"}
	for takes := range 200 {
		c := &Client{cfg: Config{Codec: codec.JSON{}, InFlightMax: 10, WaitingMax: 10, FrameBytesMax: 1000}}
		cn := newConn(c)
		other := newConn(c)
		c.conns = []*conn{cn, other}
		var calls []*call
		var starts []int
		at := 0
		for i, typ := range types {
			call, err := newCall(context.Background(), &Request{Type: typ, OneWay: i%2 == 1})
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, call)
			starts = append(starts, at)
			b, _ := codec.JSON{}.Append(nil, &codec.Frame{Type: []byte(typ), Index: 1, HasIndex: true, OneWay: i%2 == 1})
			at += len(b)
			if err := c.enqueue(call); err != nil {
				t.Fatal(err)
			}
		}
		client, server := net.Pipe()
		s := brokenSocket{client, takes}
		cn.sock = s
		other.sock, other.idle = server, true
		done := make(chan error, 1)
		cn.write(s, done)
		if err := <-done; err == nil {
			t.Fatal("no error")
		}
		client.Close()
		server.Close()

		queued := c.queue.first
		for i, call := range calls {
			switch sent := starts[i] < takes; {
			case !sent:
				if queued != call || call.state != callQueued {
					t.Fatalf("%d bytes taken: %s (at %d) is not queued in its place", takes, types[i], starts[i])
				}
				queued = queued.next
			case call.oneWay:
				<-call.done
				if !errors.Is(call.err, ErrUnknownOutcome) {
					t.Fatalf("%d bytes taken: %s: %v", takes, types[i], call.err)
				}
			case call.state != callPending || cn.pending[call.index] != call:
				t.Fatalf("%d bytes taken: %s (at %d) is not pending", takes, types[i], starts[i])
			}
		}
		if other.idle != (c.queue.first == nil) {
			t.Fatalf("%d bytes taken: %d calls are left, the other writer is idle: %v", takes, c.queue.len, other.idle)
		}
		if queued != nil {
			t.Fatalf("%d bytes taken: %s is queued too", takes, queued.typ)
		}
	}
}
