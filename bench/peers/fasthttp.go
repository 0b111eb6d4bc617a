package main

import (
	"context"
	"net"

	"github.com/valyala/fasthttp"
)

func init() { serve = fastHTTP }

// fastHTTP is fasthttp without what a client of this kind has no use for: default headers, names in canonical form, a look
// for forms. It answers all that one read has brought in one write.
func fastHTTP(ctx context.Context, o options, listening func(string)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &fasthttp.Server{
		Handler:                       func(c *fasthttp.RequestCtx) { serveFastHTTP(c, o.types) },
		ReadBufferSize:                bufferBytes,
		WriteBufferSize:               bufferBytes,
		NoDefaultServerHeader:         true,
		NoDefaultDate:                 true,
		NoDefaultContentType:          true,
		DisableHeaderNamesNormalizing: true,
		DisablePreParseMultipartForm:  true,
	}
	context.AfterFunc(ctx, func() { ln.Close() })
	listening(ln.Addr().String())
	if err := s.Serve(ln); ctx.Err() == nil {
		return err
	}
	return nil
}

func serveFastHTTP(c *fasthttp.RequestCtx, ts *types) {
	r, err := decode(c.PostBody())
	if err != nil {
		c.Error(err.Error(), fasthttp.StatusBadRequest)
		return
	}
	ts.serve(r.typ)
	var reply [bufferBytes / 4]byte
	c.Response.AppendBody(appendReply(reply[:0], r))
}
