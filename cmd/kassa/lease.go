package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/pool/wire"
)

// leaseFlags are the flags of the commands on leases.
type leaseFlags struct {
	sel, ids        []string
	ttl, wait       time.Duration
	owner, strategy string
	priority        int
	outcome         string
}

func (o *options) leaseAcquire(ctx context.Context, t terminal, args []string) error {
	a, err := o.acquire(args[0])
	if err != nil {
		return err
	}
	a.OnDisconnect = "keep" // the connection ends as soon as it is printed, whatever the pool says
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if o.timeout > 0 {
		o.timeout += o.lease.wait // the server's answer may come as late
	}
	return o.askOnce(ctx, t, c, client.Request{Type: "lease.acquire", Key: o.key, Payload: a})
}

// acquire returns what the flags ask for.
func (o *options) acquire(pool string) (wire.Acquire, error) {
	f := &o.lease
	want := wire.Want{Pool: pool, IDs: f.ids}
	if o.count > 0 {
		want.Count = &o.count
	}
	for _, term := range f.sel {
		label, value, ok := strings.Cut(term, "=")
		if !ok || label == "" {
			return wire.Acquire{}, usagef("--select has %q: want LABEL=VALUE", term)
		}
		if want.Select == nil {
			want.Select = make(wire.Select)
		}
		want.Select[label] = append(want.Select[label], value)
	}
	ttl, err := o.ttlMs()
	switch {
	case err != nil:
	case f.wait < 0:
		err = usagef("--wait is %v, below zero", f.wait)
	case f.wait%time.Millisecond != 0:
		err = usagef("--wait is %v: want whole milliseconds", f.wait)
	case f.strategy != "" && !slices.Contains([]string{"first", "lru", "random"}, f.strategy):
		err = usagef("--strategy is %q: want first, lru or random", f.strategy)
	}
	return wire.Acquire{
		Want: []wire.Want{want}, Owner: f.owner, TTLMs: ttl, WaitMs: f.wait.Milliseconds(), Strategy: f.strategy, Priority: f.priority,
	}, err
}

func (o *options) leaseRenew(ctx context.Context, t terminal, args []string) error {
	lease, token, err := leaseAndToken(args)
	if err != nil {
		return err
	}
	ttl, err := o.ttlMs()
	if err != nil {
		return err
	}
	return o.askFor(ctx, t, "lease.renew", wire.Renew{Lease: lease, Token: token, TTLMs: ttl})
}

func (o *options) leaseRelease(ctx context.Context, t terminal, args []string) error {
	lease, token, err := leaseAndToken(args)
	if err != nil {
		return err
	}
	outcome := o.lease.outcome
	if outcome != "" && !isOutcome(outcome) {
		return usagef("--outcome is %q: want clean, dirty or broken", outcome)
	}
	return o.askFor(ctx, t, "lease.release", wire.Release{Lease: lease, Token: token, Outcome: outcome})
}

func isOutcome(name string) bool { return slices.Contains([]string{"clean", "dirty", "broken"}, name) }

func leaseAndToken(args []string) (lease, token uint64, err error) {
	if lease, err = number("LEASE", args[0]); err == nil {
		token, err = number("TOKEN", args[1])
	}
	return lease, token, err
}

// ttlMs returns what --ttl says, nil if it is not given.
func (o *options) ttlMs() (*int64, error) {
	ttl := o.lease.ttl
	switch {
	case !slices.Contains(o.given, "ttl"):
		return nil, nil
	case ttl <= 0 || ttl%time.Millisecond != 0:
		return nil, usagef("--ttl is %v: %s, in whole milliseconds", ttl, lengthFormats)
	}
	return new(ttl.Milliseconds()), nil
}
