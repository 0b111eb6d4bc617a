package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// A NATS server, and workers that subscribe the types as subjects, in a queue group as one would to have more of them. The
// client library calls each subscription's handler for one message at a time.

const natsGroup = "workers"

func init() { serve = natsService }

func natsService(ctx context.Context, o options, listening func(string)) error {
	program, err := o.brokerProgram()
	if err != nil {
		return err
	}
	command := func(port string) []string { return []string{program, "--addr=127.0.0.1", "--port=" + port} }
	return runBroker(ctx, command, func(ctx context.Context, addr string, ready func()) error {
		return natsWork(ctx, o.types, addr, ready)
	}, listening)
}

func natsWork(ctx context.Context, ts *types, addr string, ready func()) error {
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default: // one is enough
		}
	}
	nc, err := nats.Connect("nats://"+addr, nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { fail(err) }),
		nats.ClosedHandler(func(nc *nats.Conn) { fail(errors.Join(errors.New("the connection is closed"), nc.LastError())) }))
	if err != nil {
		return err
	}
	defer nc.Close()
	for t := range typeCount {
		var reply []byte // the library copies it
		sub, err := nc.QueueSubscribe(fmt.Sprint("t", t), natsGroup, func(m *nats.Msg) {
			r, err := decode(m.Data)
			if err != nil {
				fail(err)
				return
			}
			ts.serve(r.typ)
			reply = appendReply(reply[:0], r)
			if err := nc.Publish(m.Reply, reply); err != nil {
				fail(err)
			}
		})
		if err != nil {
			return err
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil { // none: a request that is dropped is lost
			return err
		}
	}
	if err := nc.Flush(); err != nil { // the subscriptions are there
		return err
	}
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}
