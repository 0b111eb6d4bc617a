package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
)

// The server one writes first in Go, at its best honest setting: a goroutine a connection reads lines and decodes them,
// one queue leads to one worker a type, and a second goroutine a connection writes the replies, flushing when none is
// left to write.

const (
	typeCount    = 4
	queueMax     = 65536 // requests in the queue, and in each worker's
	repliesMax   = 16    // replies that wait for a connection's writer
	bufferBytes  = 4096  // of each connection, for reading and for writing
	lineBytesMax = 1 << 20
)

type request struct {
	Type       string          `json:"type"`
	QueryIndex uint64          `json:"queryIndex"`
	Payload    json.RawMessage `json:"payload"`
}

type reply struct {
	Type       string          `json:"type"`
	QueryIndex uint64          `json:"queryIndex"`
	ResultJob  json.RawMessage `json:"resultJob"`
}

// job is a request and the writer that its reply goes to.
type job struct {
	request
	replies chan<- reply
	gone    <-chan struct{} // closed when the connection is
}

func gonetWorkers(ctx context.Context, listening func(string)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	queue := make(chan job, queueMax)
	go route(queue)
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
		go serve(c, queue)
	}
}

// route hands each request to the worker of its type.
func route(queue <-chan job) {
	workers := make(map[string]chan<- job, typeCount)
	for t := range typeCount {
		jobs := make(chan job, queueMax)
		workers[fmt.Sprintf("t%d", t)] = jobs
		go work(jobs)
	}
	for j := range queue {
		if jobs, ok := workers[j.Type]; ok {
			jobs <- j
		}
	}
}

// work serves the requests of one type, one at a time.
func work(jobs <-chan job) {
	for j := range jobs {
		select {
		case j.replies <- reply{j.Type, j.QueryIndex, j.Payload}:
		case <-j.gone:
		}
	}
}

// serve reads a connection until it ends.
func serve(c net.Conn, queue chan<- job) {
	defer c.Close()
	replies, gone := make(chan reply, repliesMax), make(chan struct{})
	defer close(gone)
	go write(c, replies, gone)
	lines := bufio.NewScanner(c)
	lines.Buffer(make([]byte, 0, bufferBytes), lineBytesMax)
	for lines.Scan() {
		j := job{replies: replies, gone: gone}
		if err := json.Unmarshal(lines.Bytes(), &j.request); err != nil {
			fmt.Fprintln(os.Stderr, "request:", err)
			return
		}
		queue <- j
	}
}

// write sends a connection's replies until it is gone.
func write(c net.Conn, replies <-chan reply, gone <-chan struct{}) {
	buffered := bufio.NewWriterSize(c, bufferBytes)
	lines := json.NewEncoder(buffered)
	lines.SetEscapeHTML(false)
	for {
		select {
		case r := <-replies:
			err := lines.Encode(r)
			if err == nil && len(replies) == 0 {
				err = buffered.Flush()
			}
			if err != nil {
				c.Close()
				return
			}
		case <-gone:
			return
		}
	}
}
