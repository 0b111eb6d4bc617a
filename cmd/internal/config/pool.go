package config

import (
	"errors"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/when"
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
	name := "pools." + e.key
	s := pool.Spec{Name: e.key}
	if err := r.kind(&s.Kind, e.value, name); err != nil {
		return Pool{}, err
	}
	kind := s.Kind
	if kind == "" {
		kind = pool.Lease
	}
	items := &items{kind: kind}
	only := func(read func(ast.Node, string) error, kinds ...pool.Kind) func(ast.Node, string) error {
		return r.only(kind, read, kinds...)
	}
	// Where 0 is a number like any other, it must not be taken for the default.
	lifetimeLeast := time.Duration(0)
	disconnects := []pool.OnDisconnect{pool.Keep, pool.ReleaseOnEnd, pool.ReleaseDirtyOnEnd}
	if kind != pool.Lease {
		lifetimeLeast = time.Millisecond
		disconnects = disconnects[:2]
	}
	hall := &hall{}
	var focus, zone, hours ast.Node
	err := r.settings(e.value, name, []setting{
		{"kind", func(ast.Node, string) error { return nil }}, // it was read before all others
		{"strategy", only(oneOf(r, &s.Strategy, pool.First, pool.LRU, pool.Random), pool.Lease, pool.Stock)},
		{"ttl", r.milliseconds(&s.TTLMs, time.Millisecond)},
		{"ttlMax", r.milliseconds(&s.TTLMaxMs, time.Millisecond)},
		{"lifetimeMax", r.milliseconds(&s.LifetimeMaxMs, lifetimeLeast)},
		{"expiring", r.milliseconds(&s.ExpiringMs, time.Millisecond)},
		{"waitMax", r.milliseconds(&s.WaitMaxMs, time.Millisecond)},
		{"waitersMax", whole(r, &s.WaitersMax, 1)},
		{"quota", whole(r, &s.QuotaMax, 0)},
		{"onExpiry", only(oneOf(r, &s.OnExpiry, pool.Clean, pool.Dirty), pool.Lease)},
		{"onDisconnect", oneOf(r, &s.OnDisconnect, disconnects...)},
		{"quarantineAfter", only(whole(r, &s.QuarantineAfter, 1), pool.Lease)},
		{"seed", only(whole(r, &s.Seed, 0), pool.Lease, pool.Stock)},
		{"focus", only(keep(&focus), pool.Stock)},
		{"zone", only(keep(&zone), pool.Calendar)},
		{"hours", only(keep(&hours), pool.Calendar)},
		{"setup", only(r.milliseconds(&s.SetupMs, 0), pool.Calendar)},
		{"cleanup", only(r.milliseconds(&s.CleanupMs, 0), pool.Calendar)},
		{"slotMax", only(r.milliseconds(&s.SlotMaxMs, time.Millisecond), pool.Calendar)},
		{"horizon", only(r.milliseconds(&s.HorizonMs, time.Millisecond), pool.Calendar)},
		{"keep", only(r.milliseconds(&s.KeepMs, time.Millisecond), pool.Calendar)},
		{"seats", only(func(n ast.Node, name string) error { return r.addSeats(items, hall, n, name) }, pool.Stock)},
		{"ids", func(n ast.Node, name string) error { return r.addIDs(items, n, name) }},
		{"items", func(n ast.Node, name string) error { return r.addItems(items, n, name) }},
		{"file", func(n ast.Node, name string) error { return r.addFile(items, n, name) }},
	})
	if err != nil {
		return Pool{}, err
	}
	p := Pool{Spec: s}
	switch kind {
	case pool.Stock:
		err = r.focus(&p.Spec, hall, items, focus, name+".focus")
	case pool.Calendar:
		err = r.calendar(&p, zone, hours, name)
	}
	if err != nil {
		return Pool{}, err
	}
	if err := p.Spec.Check(); err != nil {
		return Pool{}, r.errorf(e.at, "%s", message(err))
	}
	p.Items = items.list
	return p, nil
}

// kind reads the kind of a pool, on which it depends what else may be set.
func (r *reader) kind(to *pool.Kind, n ast.Node, name string) error {
	entries, err := r.entries(n, name)
	for _, e := range entries {
		if e.key == "kind" {
			return oneOf(r, to, pool.Lease, pool.Stock, pool.Calendar)(e.value, name+".kind")
		}
	}
	return err
}

// calendar reads when a calendar is open, and by which clock.
func (r *reader) calendar(p *Pool, zone, hours ast.Node, name string) error {
	p.Zone = time.UTC
	if zone != nil {
		value, err := r.textOf(zone, name+".zone")
		if err != nil {
			return err
		}
		if p.Zone, err = when.Zone(value); err != nil {
			return r.errorf(zone, "%s.zone: %s", name, message(err))
		}
	}
	if hours == nil {
		return nil
	}
	entries, err := r.entries(hours, name+".hours")
	if err != nil {
		return err
	}
	table := make(map[string]string, len(entries))
	at := make(map[string]ast.Node, len(entries))
	for _, e := range entries {
		at[e.key] = e.at
		if table[e.key], err = r.textOf(e.value, name+".hours."+e.key); err != nil {
			return err
		}
	}
	if p.Hours, err = when.ParseHours(table, p.Zone); err == nil {
		return nil
	}
	where := hours
	if wrong, ok := errors.AsType[*when.Error](err); ok && at[wrong.Key] != nil {
		where = at[wrong.Key]
	}
	return r.errorf(where, "%s: %s", name, message(err))
}

// message is what the pools say of a setting, without the code that is for clients.
func message(err error) string {
	if refusal, ok := errors.AsType[*pool.Error](err); ok {
		return refusal.Message
	}
	if refusal, ok := errors.AsType[*when.Error](err); ok {
		return refusal.Message
	}
	return err.Error()
}
