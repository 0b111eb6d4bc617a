package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Gearman's job server in C, and a worker for each type, with a connection of its own, that does one job after the other.
// While they come without a pause, it asks for more and more of them ahead, so that what came of several jobs, and the wish
// for as many, go out in one write.
//
// The server has two I/O threads. With one, twice as little goes through where much is in flight on a connection, and it
// takes a fourth more CPU there; with few requests at a time two take two thirds more CPU, since requests are handed from
// thread to thread.

const gearmanAheadMax = 64

// Kinds of packets, of the requests and the answers of a worker.
const (
	gearmanCanDo        = 1
	gearmanPreSleep     = 4
	gearmanNoop         = 6 // there may be a job
	gearmanGrabJob      = 9
	gearmanNoJob        = 10
	gearmanJobAssign    = 11
	gearmanWorkComplete = 13
)

func init() { serve = gearmand }

func gearmand(ctx context.Context, o options, listening func(string)) error {
	program, err := o.brokerProgram()
	if err != nil {
		return err
	}
	command := func(port string) []string {
		return []string{program, "--listen=127.0.0.1", "--port=" + port, "--threads=2", "--file-descriptors=20000", "--backlog=4096",
			"--log-file=stderr", "--pid-file", ""} // it would remove the file at its end
	}
	return runBroker(ctx, command, func(ctx context.Context, addr string, ready func()) error {
		return workByType(ctx, addr, ready, func(c net.Conn, t int) error {
			return gearmanWork(c, t, func() { o.types.serve(t) })
		})
	}, listening)
}

func gearmanWork(c net.Conn, t int, serve func()) error {
	w := gearmanWorker{conn: c, in: bufio.NewReaderSize(c, 64<<10)}
	return w.work(t, serve)
}

// gearmanWorker does the jobs of one function.
type gearmanWorker struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte

	data  []byte // of the packet read last
	reply []byte // data of the packet that says a job is done
}

func (w *gearmanWorker) work(t int, serve func()) error {
	grabs, ahead := 0, 1 // jobs that are asked for, and how many are to be; 0: no more until all have been answered
	row := 0             // jobs that came without a pause
	flushed := time.Now()
	w.add(gearmanCanDo, fmt.Appendf(nil, "t%d", t))
	for {
		for ; grabs < ahead; grabs++ {
			w.add(gearmanGrabJob, nil)
		}
		if now := time.Now(); w.in.Buffered() == 0 || now.Sub(flushed) > holdMax {
			flushed = now
			if err := w.flush(); err != nil {
				return err
			}
		}
		kind, err := w.read()
		switch {
		case err != nil:
		case kind == gearmanNoop: // of a job that was taken before
		case kind == gearmanJobAssign:
			grabs--
			if row++; row > 1 && ahead > 0 {
				ahead = min(ahead+1, gearmanAheadMax)
			}
			err = w.do(serve)
		case kind == gearmanNoJob:
			if grabs, row, ahead = grabs-1, 0, 0; grabs == 0 {
				err = w.sleep()
			}
		default:
			err = fmt.Errorf("the server sends a packet of kind %d: %q", kind, w.data)
		}
		if err != nil {
			return err
		}
		if grabs == 0 {
			ahead = max(ahead, 1)
		}
	}
}

// do does the job that was read.
func (w *gearmanWorker) do(serve func()) error {
	handle, rest, _ := bytes.Cut(w.data, []byte{0})
	_, frame, _ := bytes.Cut(rest, []byte{0}) // behind the function
	r, err := decode(frame)
	if err != nil {
		return err
	}
	serve()
	w.reply = appendReply(append(append(w.reply[:0], handle...), 0), r)
	w.add(gearmanWorkComplete, w.reply)
	return nil
}

// sleep waits until there may be a job.
func (w *gearmanWorker) sleep() error {
	w.add(gearmanPreSleep, nil)
	if err := w.flush(); err != nil {
		return err
	}
	kind, err := w.read()
	if err == nil && kind != gearmanNoop {
		err = fmt.Errorf("the server wakes with a packet of kind %d: %q", kind, w.data)
	}
	return err
}

// add appends a packet to what goes out next.
func (w *gearmanWorker) add(kind uint32, data []byte) {
	w.out = binary.BigEndian.AppendUint32(append(w.out, "\x00REQ"...), kind)
	w.out = binary.BigEndian.AppendUint32(w.out, uint32(len(data)))
	w.out = append(w.out, data...)
}

func (w *gearmanWorker) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.conn.Write(w.out)
	w.out = w.out[:0]
	return err
}

// read reads a packet.
func (w *gearmanWorker) read() (kind uint32, err error) {
	head, err := w.in.Peek(12)
	if err != nil {
		return 0, err
	}
	if string(head[:4]) != "\x00RES" {
		return 0, fmt.Errorf("no packet: %q", head)
	}
	kind, size := binary.BigEndian.Uint32(head[4:]), int(binary.BigEndian.Uint32(head[8:]))
	if _, err := w.in.Discard(len(head)); err != nil {
		return 0, err
	}
	if cap(w.data) < size {
		w.data = make([]byte, size)
	}
	w.data = w.data[:size]
	_, err = io.ReadFull(w.in, w.data)
	return kind, err
}
