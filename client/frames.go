package client

import (
	"errors"
	"io"

	"github.com/kassa-go/kassa/codec"
)

var (
	errHungUp    = errors.New("the server closed the connection")
	errAmidFrame = errors.New("the server closed the connection amid an answer")
)

// frames reads the server's frames from a connection. It belongs to the goroutine of its conn.
type frames struct {
	src      io.Reader
	codec    codec.Codec
	bytesMax int

	buf  []byte // buf[r:w] is read, but not split yet
	r, w int
	scan codec.Scan // of the frame that begins at r
	seen bool       // there has been a whole frame

	f codec.Frame
}

// readBytesMin is what a read is given room for: a few hundred short answers.
const readBytesMin = 16 << 10

// next returns the next frame, which is valid until it is called again. An error ends the stream.
func (fs *frames) next() (*codec.Frame, error) {
	for {
		frame, n, err := fs.codec.Split(&fs.scan, fs.buf[fs.r:fs.w], fs.bytesMax)
		if err != nil {
			return nil, fs.refusal(err)
		}
		if n > 0 {
			fs.r += n
			fs.scan = codec.Scan{}
			if frame == nil {
				continue
			}
			if err := fs.codec.DecodeReply(frame, &fs.f); err != nil {
				return nil, fs.refusal(err)
			}
			fs.seen = true
			return &fs.f, nil
		}
		if err := fs.fill(); err != nil {
			return nil, fs.refusal(err)
		}
	}
}

// fill reads more into buf.
func (fs *frames) fill() error {
	if fs.r == fs.w {
		fs.r, fs.w = 0, 0
	}
	if len(fs.buf)-fs.w < readBytesMin/2 && fs.r > 0 {
		fs.w = copy(fs.buf, fs.buf[fs.r:fs.w])
		fs.r = 0
	}
	if len(fs.buf)-fs.w < readBytesMin/2 {
		// Doubled, or a large frame would be copied again at each read. Split bounds it.
		buf := make([]byte, max(readBytesMin, 2*len(fs.buf)))
		fs.w = copy(buf, fs.buf[:fs.w])
		fs.buf = buf
	}
	n, err := fs.src.Read(fs.buf[fs.w:])
	fs.w += n
	switch {
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	case errors.Is(err, io.EOF) && fs.w > fs.r:
		return errAmidFrame
	case errors.Is(err, io.EOF):
		return errHungUp
	}
	return err
}

// refusal returns err, or what the server says in its place: one that turns a connection away does so before it knows
// the client's codec, in a JSON line.
func (fs *frames) refusal(err error) error {
	if fs.seen {
		return err
	}
	var (
		scan codec.Scan
		line []byte
		f    codec.Frame
	)
	for line == nil {
		var splitErr error
		if line, _, splitErr = (codec.JSON{}).Split(&scan, fs.buf[fs.r:fs.w], fs.bytesMax); splitErr != nil {
			return err
		}
		if line == nil && fs.fill() != nil {
			line = fs.buf[fs.r:fs.w]
		}
	}
	if (codec.JSON{}).DecodeReply(line, &f) != nil || f.Kind != codec.Failure || f.HasIndex {
		return err
	}
	return failureOf(&f)
}
