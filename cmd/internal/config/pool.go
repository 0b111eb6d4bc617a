package config

import (
	"errors"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
)

// pools reads the pools.
func (r *reader) pools(n ast.Node) ([]Pool, error) {
	entries, err := r.entries(n, "pools")
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, r.errorf(n, "pools is empty: write below it, indented, a name with its settings")
	}
	pools := make([]Pool, len(entries))
	for i, e := range entries {
		if pools[i], err = r.pool(e); err != nil {
			return nil, err
		}
	}
	return pools, nil
}

func (r *reader) pool(e entry) (Pool, error) {
	s := pool.Spec{Name: e.key}
	items := &items{}
	// Where 0 is a number like any other, it must not be taken for the default.
	err := r.settings(e.value, "pools."+e.key, []setting{
		{"kind", oneOf(r, &s.Kind, pool.Lease)},
		{"strategy", oneOf(r, &s.Strategy, pool.First, pool.LRU, pool.Random)},
		{"ttl", r.milliseconds(&s.TTLMs, time.Millisecond)},
		{"ttlMax", r.milliseconds(&s.TTLMaxMs, time.Millisecond)},
		{"lifetimeMax", r.milliseconds(&s.LifetimeMaxMs, 0)},
		{"expiring", r.milliseconds(&s.ExpiringMs, time.Millisecond)},
		{"waitMax", r.milliseconds(&s.WaitMaxMs, time.Millisecond)},
		{"waitersMax", whole(r, &s.WaitersMax, 1)},
		{"quota", whole(r, &s.QuotaMax, 0)},
		{"onExpiry", oneOf(r, &s.OnExpiry, pool.Clean, pool.Dirty)},
		{"onDisconnect", oneOf(r, &s.OnDisconnect, pool.Keep, pool.ReleaseOnEnd, pool.ReleaseDirtyOnEnd)},
		{"quarantineAfter", whole(r, &s.QuarantineAfter, 1)},
		{"seed", whole(r, &s.Seed, 0)},
		{"ids", func(n ast.Node, name string) error { return r.addIDs(items, n, name) }},
		{"items", func(n ast.Node, name string) error { return r.addItems(items, n, name) }},
		{"file", func(n ast.Node, name string) error { return r.addFile(items, n, name) }},
	})
	if err != nil {
		return Pool{}, err
	}
	if err := s.Check(); err != nil {
		return Pool{}, r.errorf(e.at, "%s", message(err))
	}
	return Pool{s, items.list}, nil
}

// message is what the pools say of a setting, without the code that is for clients.
func message(err error) string {
	if refusal, ok := errors.AsType[*pool.Error](err); ok {
		return refusal.Message
	}
	return err.Error()
}
