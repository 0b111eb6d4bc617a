package main

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"sync/atomic"
)

// The server one writes first in Go, at its best honest setting: a goroutine a connection reads lines and decodes them,
// one queue leads to one worker a type, and a second goroutine a connection writes the replies, flushing when none is
// left to write.

const (
	queueMax   = 65536 // requests in the queue, and in each worker's
	repliesMax = 16    // replies that wait for a connection's writer

	writeBytesMax = 256 << 10 // that are written at once, about: what is in flight on a connection, if that is not more
)

// client is a connection, for workers and its writer.
type client struct {
	conn     net.Conn
	replies  chan request  // served
	gone     chan struct{} // closed when the connection is
	underWay atomic.Int64  // requests whose replies the writer has not taken yet
}

// job is a request and whom its reply goes to.
type job struct {
	request
	*client
}

func init() { serve = gonetWorkers }

func gonetWorkers(ctx context.Context, o options, listening func(string)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	queue := make(chan job, queueMax)
	go route(o.types, queue)
	context.AfterFunc(ctx, func() { ln.Close() })
	listening(ln.Addr().String())
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go readRequests(c, queue)
	}
}

// route hands each request to the worker of its type.
func route(ts *types, queue <-chan job) {
	var workers [typeCount]chan<- job
	for t := range typeCount {
		jobs := make(chan job, queueMax)
		workers[t] = jobs
		go work(jobs, func() { ts.serve(t) })
	}
	for j := range queue {
		workers[j.typ] <- j
	}
}

// work serves the requests of one type, one at a time.
func work(jobs <-chan job, serve func()) {
	for j := range jobs {
		serve()
		select {
		case j.replies <- j.request:
		case <-j.gone:
		}
	}
}

// readRequests reads a connection until it ends.
func readRequests(conn net.Conn, queue chan<- job) {
	defer conn.Close()
	c := &client{conn: conn, replies: make(chan request, repliesMax), gone: make(chan struct{})}
	defer close(c.gone)
	go c.write()
	readLines(conn, func(line []byte) error {
		r, err := decode(line)
		if err == nil {
			r.payload = bytes.Clone(r.payload) // the next lines are read over it
			c.underWay.Add(1)
			queue <- job{r, c}
		}
		return err
	}, func() error { return nil })
}

// write sends the replies until the connection is gone.
func (c *client) write() {
	var out []byte
	for {
		select {
		case r := <-c.replies:
			out = append(appendReply(out, r), '\n')
			if c.underWay.Add(-1) > 0 && len(c.replies) == 0 {
				runtime.Gosched() // the workers may be about to have more, for the same write
			}
			if len(c.replies) > 0 && len(out) < writeBytesMax {
				continue
			}
			if _, err := c.conn.Write(out); err != nil {
				c.conn.Close()
				return
			}
			out = out[:0]
		case <-c.gone:
			return
		}
	}
}
