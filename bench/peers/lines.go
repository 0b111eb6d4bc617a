package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
)

// readLines calls line with each line of a connection, without its end, and after those of a read, read. It returns when the
// connection ends or one of them fails; what line finds wrong it tells. A line is good until the next read.
func readLines(c net.Conn, line func([]byte) error, read func() error) {
	in := make([]byte, bufferBytes)
	had := 0 // bytes of a line that is not whole yet
	for {
		n, err := c.Read(in[had:])
		if err != nil {
			return
		}
		lines := in[:had+n]
		for {
			end := bytes.IndexByte(lines, '\n')
			if end < 0 {
				break
			}
			if err := line(lines[:end]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			lines = lines[end+1:]
		}
		// A buffer that one read fills is too small for what is in flight.
		if full := had+n == len(in); full && len(in) < lineBytesMax {
			in = append(make([]byte, 0, 2*len(in)), lines...)[:2*len(in)]
		} else {
			copy(in, lines)
		}
		if had = len(lines); had == len(in) {
			fmt.Fprintln(os.Stderr, "request of more than", had, "bytes")
			return
		}
		if read() != nil {
			return // the client has gone
		}
	}
}
