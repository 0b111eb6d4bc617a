package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Redis, with a list of requests for each type, and a worker for each list. A request says in front of its frame on which
// channel its reply is to be published: "r0000007 {…}". Redis keeps nothing on disk.

const redisPopMax = 128 // requests that are taken from a list at once

func init() { serve = redisLists }

func redisLists(ctx context.Context, o options, listening func(string)) error {
	program, err := o.brokerProgram()
	if err != nil {
		return err
	}
	command := func(port string) []string {
		return []string{program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no",
			"--maxclients", "20000", "--tcp-backlog", "4096",
			// A client that has much in flight is not to be closed for what it is sent.
			"--client-output-buffer-limit", "pubsub", "0", "0", "0"}
	}
	return runBroker(ctx, command, func(ctx context.Context, addr string, ready func()) error {
		return workByType(ctx, addr, ready, func(c net.Conn, t int) error {
			return redisWork(c, addr, t, func() { o.types.serve(t) })
		})
	}, listening)
}

func redisWork(c net.Conn, addr string, t int, serve func()) error {
	publisher, err := net.Dial("tcp4", addr)
	if err != nil {
		return err
	}
	defer publisher.Close()
	if _, err := io.WriteString(publisher, "CLIENT REPLY OFF\r\n"); err != nil {
		return err
	}
	w := redisWorker{popper: c, in: bufio.NewReaderSize(c, 64<<10), publisher: publisher}
	return w.work(t, serve)
}

// redisWorker serves the requests of one list. What it publishes goes out on a connection of its own, which Redis does not
// answer: on the other one, the answers would wake the worker before there is a request.
type redisWorker struct {
	popper    net.Conn
	in        *bufio.Reader // of popper
	publisher net.Conn
	out       []byte // what is published next

	element, reply []byte // of the request being served
}

func (w *redisWorker) work(t int, serve func()) error {
	count := strconv.Itoa(redisPopMax)
	pop := fmt.Appendf(nil, "*7\r\n$6\r\nBLMPOP\r\n$1\r\n0\r\n$1\r\n1\r\n$4\r\nq:t%d\r\n$5\r\nRIGHT\r\n$5\r\nCOUNT\r\n$%d\r\n%s\r\n", t, len(count), count)
	list := fmt.Sprintf("q:t%d", t)
	for {
		if _, err := w.popper.Write(pop); err != nil {
			return err
		}
		if n, err := w.number('*'); err != nil || n != 2 {
			return fmt.Errorf("BLMPOP: %d parts: %v", n, err)
		}
		if err := w.bulk(); err != nil || string(w.element) != list {
			return fmt.Errorf("BLMPOP of %s: list %q: %v", list, w.element, err)
		}
		n, err := w.number('*')
		if err != nil {
			return err
		}
		if err := w.serveAll(n, serve); err != nil {
			return err
		}
	}
}

// serveAll reads n requests and serves them.
func (w *redisWorker) serveAll(n int, serve func()) error {
	flushed := time.Now()
	for range n {
		if err := w.bulk(); err != nil {
			return err
		}
		channel, frame, _ := bytes.Cut(w.element, []byte(" "))
		r, err := decode(frame)
		if err != nil {
			return err
		}
		serve()
		w.reply = appendReply(w.reply[:0], r)
		w.out = append(w.out, "*3\r\n$7\r\nPUBLISH\r\n"...)
		w.out = appendBulk(w.out, channel)
		w.out = appendBulk(w.out, w.reply)
		if now := time.Now(); now.Sub(flushed) > holdMax {
			flushed = now
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.flush()
}

func (w *redisWorker) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.publisher.Write(w.out)
	w.out = w.out[:0]
	return err
}

// number reads a line that is a number behind that byte.
func (w *redisWorker) number(kind byte) (int, error) {
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	line = bytes.TrimSuffix(line, []byte("\r\n"))
	if len(line) < 2 || line[0] != kind {
		return 0, fmt.Errorf("got %q", line)
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err == nil && n < 0 {
		err = fmt.Errorf("got %q", line)
	}
	return n, err
}

// bulk reads a string into element.
func (w *redisWorker) bulk() error {
	n, err := w.number('$')
	if err != nil {
		return err
	}
	if n += len("\r\n"); cap(w.element) < n {
		w.element = make([]byte, n)
	}
	w.element = w.element[:n]
	_, err = io.ReadFull(w.in, w.element)
	w.element = w.element[:n-len("\r\n")]
	return err
}

func appendBulk(dst, s []byte) []byte {
	dst = strconv.AppendInt(append(dst, '$'), int64(len(s)), 10)
	dst = append(append(dst, "\r\n"...), s...)
	return append(dst, "\r\n"...)
}
