package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// net/http as it comes, with what it would add to each response left out: the date, and a type guessed from the body.

// bodies are what requests are read into and replies are made in.
type bodies struct{ request, reply []byte }

const (
	bodyBytes     = 1024    // of each of bodies, to begin with
	bodyBytesMax  = 1 << 20 // of a request
	bytesBuffered = 2048    // of a response, up to which net/http knows its length by itself
)

var bodyPool = sync.Pool{New: func() any { return &bodies{make([]byte, bodyBytes), make([]byte, 0, bodyBytes)} }}

func init() { serve = netHTTP }

func netHTTP(ctx context.Context, o options, listening func(string)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{
		DisableGeneralOptionsHandler: true,
		Handler:                      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveHTTP(w, r, o.types) }),
	}
	context.AfterFunc(ctx, func() { s.Close() })
	listening(ln.Addr().String())
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func serveHTTP(w http.ResponseWriter, r *http.Request, ts *types) {
	b := bodyPool.Get().(*bodies)
	defer bodyPool.Put(b)
	if r.ContentLength < 0 || r.ContentLength > bodyBytesMax {
		http.Error(w, "a request has a length", http.StatusLengthRequired)
		return
	}
	length := int(r.ContentLength)
	if length > len(b.request) {
		b.request = make([]byte, length)
	}
	if _, err := io.ReadFull(r.Body, b.request[:length]); err != nil {
		return // the client is gone
	}
	req, err := decode(b.request[:length])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ts.serve(req.typ)
	b.reply = appendReply(b.reply[:0], req)
	header := w.Header()
	header["Date"], header["Content-Type"] = nil, nil
	if len(b.reply) > bytesBuffered {
		header["Content-Length"] = []string{strconv.Itoa(len(b.reply))}
	}
	_, _ = w.Write(b.reply) // where it fails, the client is gone
}
