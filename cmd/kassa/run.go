package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// runFlags are the flags of lease run, besides those of lease acquire.
type runFlags struct {
	onFailure string
	killAfter time.Duration
}

const killAfterDefault = 10 * time.Second

// leaseRun holds a lease while a command runs.
func (o *options) leaseRun(ctx context.Context, t terminal, args []string) error {
	a, err := o.acquire(args[0])
	switch {
	case o.dash != len(o.args)-len(args)+1:
		return usagef("lease run needs -- right in front of the command: kassa lease run POOL -- COMMAND [ARG...]")
	case err != nil:
		return err
	case o.runOf.onFailure != "" && !isOutcome(o.runOf.onFailure):
		return usagef("--on-failure is %q: want clean, dirty or broken", o.runOf.onFailure)
	case o.runOf.killAfter < 0:
		return usagef("--kill-after is %v, below zero", o.runOf.killAfter)
	}
	if _, err := exec.LookPath(args[1]); err != nil {
		return cannotRun(err)
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.stdin, t.stdout, t.stderr

	signals := make(chan os.Signal, 16)
	for _, sig := range signalsPassed {
		if !signal.Ignored(sig) { // as nohup has it
			signal.Notify(signals, sig)
		}
	}
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(ctx) // the life of the lease
	defer cancel()
	r := &runner{o: o, stderr: t.stderr, signals: signals}
	defer func() {
		if r.client != nil {
			r.client.Close()
		}
	}()
	if err := r.unlessSignalled(cancel, func() error { return r.take(ctx, a, cancel) }); err != nil {
		return err
	}
	return r.run(cmd)
}

// runner is a lease run at work. It is for one goroutine.
type runner struct {
	o       *options
	stderr  io.Writer
	signals <-chan os.Signal
	client  *client.Client
	lease   *client.Lease
}

// unlessSignalled calls f, which cancel ends. A signal does.
func (r *runner) unlessSignalled(cancel func(), f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case sig := <-r.signals:
		cancel()
		r.abandon(<-done)
		return &exitError{exitBy(sig), fmt.Errorf("%v: the command was not started", sig)}
	}
}

// take connects and takes the lease. cancel ends ctx.
func (r *runner) take(ctx context.Context, a wire.Acquire, cancel func()) (err error) {
	if r.client, err = r.o.dial(ctx); err != nil {
		return err
	}
	late := time.AfterFunc(r.o.timeout+time.Duration(a.WaitMs)*time.Millisecond, cancel)
	if r.o.timeout == 0 {
		late.Stop()
	}
	r.lease, err = r.client.Acquire(ctx, a)
	if r.o.timeout > 0 && !late.Stop() {
		r.abandon(err)
		err = codec.NewError(codec.DeadlineExceeded, fmt.Sprintf("no answer within %s", r.o.timeout))
	}
	return err
}

// abandon leaves nothing behind of an acquisition that was given up, and has ended with err. If that is not nil, the client
// sees to it when it is closed.
func (r *runner) abandon(err error) {
	if err == nil { // just then
		_ = r.giveBack("") // it has told why not
	}
}

// run runs the command, and gives the lease back. Its error says how kassa is to exit.
func (r *runner) run(cmd *exec.Cmd) error {
	items, err := json.Marshal(r.lease.Items())
	if err != nil {
		return err
	}
	ids := make([]string, len(r.lease.Items()))
	for i, it := range r.lease.Items() {
		ids[i] = it.ID
	}
	cmd.Env = append(slices.Clip(r.o.environment), // of two for the same variable the later one counts
		"KASSA_ADDR="+r.o.addr,
		"KASSA_LEASE="+strconv.FormatUint(r.lease.ID(), 10),
		"KASSA_TOKEN="+strconv.FormatUint(r.lease.Token(), 10),
		"KASSA_ITEM="+ids[0],
		"KASSA_ITEMS="+strings.Join(ids, " "),
		"KASSA_ITEMS_JSON="+string(items))
	if r.o.codecGiven {
		cmd.Env = append(cmd.Env, "KASSA_CODEC="+r.o.codec.Name())
	}
	child, err := startChild(cmd)
	if err != nil {
		_ = r.giveBack("") // it has told why not
		return cannotRun(err)
	}
	defer child.close()
	if r.await(child) {
		return &exitError{code: exitLeaseLost}
	}
	if err := r.lease.Err(); err != nil { // just then
		r.note("%s; that was before the command had ended", describe(err))
		return &exitError{code: exitLeaseLost}
	}
	outcome, code := "", child.exitCode()
	if code != 0 {
		outcome = r.o.runOf.onFailure
	}
	err = r.giveBack(outcome)
	if errors.Is(err, client.ErrStaleToken) || errors.Is(err, client.ErrNotFound) { // it may have been over for long
		code = exitLeaseLost
	}
	return &exitError{code: code}
}

// await waits until the command has ended, and passes signals on to it. It has the command ended when the lease is lost, and
// returns whether it was.
func (r *runner) await(child *child) (lost bool) {
	lostNow := r.lease.Lost()
	var kill <-chan time.Time // nil: not yet, or not any more
	for {
		select {
		case <-child.ended:
			if kill != nil {
				child.awaitGroup(kill)
			}
			return lost
		case sig := <-r.signals:
			child.pass(sig)
		case <-lostNow:
			lost, lostNow = true, nil
			r.note("%v; the command is sent TERM, and KILL after %s", r.lease.Err(), r.o.runOf.killAfter)
			child.terminate()
			kill = time.After(r.o.runOf.killAfter)
		case <-kill:
			kill = nil
			child.kill()
		}
	}
}

// giveBack releases the lease. It tells of an error, and returns it. A signal ends it soon.
func (r *runner) giveBack(outcome string) error {
	ctx, cancel := r.o.withTimeout(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.lease.Release(ctx, outcome) }()
	var err error
	select {
	case err = <-done:
	case <-r.signals: // it may be that which has ended the command, too: an answer that is near is awaited
		defer time.AfterFunc(time.Second, cancel).Stop()
		err = <-done
	}
	if err != nil {
		r.note("the lease could not be given back: %s", describe(err))
	}
	return err
}

// note tells the user something on standard error, which is the command's too.
func (r *runner) note(format string, args ...any) {
	fmt.Fprintf(r.stderr, "kassa: "+format+"\n", args...)
}

// cannotRun says that a command could not be started.
func cannotRun(err error) error {
	code := exitNotExecutable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		code = exitNotFound
	}
	return &exitError{code, err}
}
