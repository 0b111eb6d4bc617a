package main

import (
	"context"
	"net"
	"runtime"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kassa-go/kassa/bench/peers/desk"
)

// deskServer answers a request with its payload, once its type's turn has come.
type deskServer struct {
	desk.UnimplementedDeskServer
	types *types
}

func (s *deskServer) Ask(_ context.Context, r *desk.Request) (*desk.Reply, error) {
	i, ok := typeOf(r.Type)
	if !ok {
		return nil, status.Errorf(codes.InvalidArgument, "no type %q", r.Type)
	}
	s.types.serve(i)
	return &desk.Reply{Type: r.Type, QueryIndex: r.QueryIndex, Result: r.Payload}, nil
}

func init() { serve = grpcServer }

// grpcServer runs unary calls with generated code. Of its settings, those that help differ from the defaults: goroutines that
// keep their grown stacks from call to call, and windows of a fixed size, so that the server sends no PINGs to find out how
// large they should be. Connections share their buffers by default.
func grpcServer(ctx context.Context, o options, listening func(string)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	const windowBytes = 1 << 20
	s := grpc.NewServer(
		grpc.NumStreamWorkers(uint32(4*runtime.GOMAXPROCS(0))),
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
	)
	desk.RegisterDeskServer(s, &deskServer{types: o.types})
	context.AfterFunc(ctx, s.Stop)
	listening(ln.Addr().String())
	return s.Serve(ln)
}
