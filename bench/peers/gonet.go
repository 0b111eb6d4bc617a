package main

import (
	"context"
	"net"
)

// The least a server on net can do: a goroutine a connection reads lines, decodes them, does their work itself, waiting for
// others of the type, and answers with one write all that one read has brought.

func init() { serve = gonet }

func gonet(ctx context.Context, o options, listening func(string)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
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
		go answer(c, o.types)
	}
}

// answer serves a connection until it ends.
func answer(c net.Conn, ts *types) {
	defer c.Close()
	var out []byte // grows to what one read asks for
	readLines(c, func(line []byte) error {
		r, err := decode(line)
		if err == nil {
			ts.serve(r.typ)
			out = append(appendReply(out, r), '\n')
		}
		return err
	}, func() error {
		if len(out) == 0 {
			return nil
		}
		_, err := c.Write(out)
		out = out[:0]
		return err
	})
}
