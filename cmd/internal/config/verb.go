package config

import (
	"errors"
	"math"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool/serve"
)

// verbs reads the operator's own names for operations of the pools.
func (r *reader) verbs(n ast.Node, pools []Pool) ([]serve.Verb, error) {
	entries, err := r.entries(n, "verbs")
	if err != nil {
		return nil, err
	}
	verbs := make([]serve.Verb, len(entries))
	for i, e := range entries {
		if verbs[i], err = r.verb(e, pools); err != nil {
			return nil, err
		}
	}
	return verbs, nil
}

func (r *reader) verb(e entry, pools []Pool) (serve.Verb, error) {
	v := serve.Verb{Name: e.key}
	name := "verbs." + e.key
	at := make(map[string]ast.Node) // the values, by key
	var waitMs int64
	settings := []setting{
		{"verb", r.text(&v.Op)},
		{"pool", r.text(&v.Pool)},
		{"count", whole(r, &v.Count, 1)},
		{"select", func(n ast.Node, name string) error {
			entries, err := r.entries(n, name)
			v.Select = make(map[string][]string, len(entries))
			for _, e := range entries {
				if err == nil {
					v.Select[e.key], err = r.textsOf(e.value, name+"."+e.key)
				}
			}
			return err
		}},
		{"ids", r.texts(&v.IDs)},
		{"owner", r.text(&v.Owner)},
		{"strategy", r.text(&v.Strategy)},
		{"priority", whole(r, &v.Priority, math.MinInt)},
		{"onDisconnect", r.text(&v.OnDisconnect)},
		{"waitMs", func(n ast.Node, name string) error {
			v.WaitMs = &waitMs
			return whole(r, &waitMs, 0)(n, name)
		}},
		{"ttl", r.milliseconds(&v.TTLMs, time.Millisecond)},
		{"item", r.text(&v.Item)},
		{"outcome", r.text(&v.Outcome)},
		{"limit", whole(r, &v.Limit, 1)},
		{"result", func(n ast.Node, name string) (err error) {
			v.Result, err = r.json(n, name)
			return err
		}},
	}
	for i := range settings {
		key, read := settings[i].key, settings[i].read
		settings[i].read = func(n ast.Node, name string) error {
			at[key] = n
			return read(n, name)
		}
	}
	if err := r.settings(e.value, name, settings); err != nil {
		return v, err
	}
	if v.Op == "" {
		return v, r.errorf(e.at, "%s has no verb: say what it does, as in verb: lease.acquire", name)
	}
	if v.Pool != "" {
		if err := r.fit(&v, at, name, pools); err != nil {
			return v, err
		}
	}
	if err := v.Compile(); err != nil {
		where := e.at
		if wrong, ok := errors.AsType[*serve.VerbError](err); ok && at[wrong.Key] != nil {
			where = at[wrong.Key]
		}
		return v, r.errorf(where, "%s: %v", name, err)
	}
	return v, nil
}

// fit checks a verb against the limits of its pool, and keeps its default wait within them.
func (r *reader) fit(v *serve.Verb, at map[string]ast.Node, name string, pools []Pool) error {
	names := make([]string, len(pools))
	for i := range pools {
		s := &pools[i].Spec
		names[i] = s.Name
		if s.Name != v.Pool {
			continue
		}
		ttlMax := s.TTLMaxMs
		if ttlMax == 0 {
			ttlMax = max(s.TTLMs, (24 * time.Hour).Milliseconds())
		}
		if v.TTLMs > ttlMax {
			return r.errorf(at["ttl"], "%s.ttl is over the ttlMax of pool %s, %v: raise that, or take less", name, v.Pool, time.Duration(ttlMax)*time.Millisecond)
		}
		switch {
		case s.WaitMaxMs == 0 || v.Op != "lease.acquire":
		case v.WaitMs == nil:
			wait := min(serve.VerbWaitMaxMs, s.WaitMaxMs)
			v.WaitMs = &wait
		case *v.WaitMs > s.WaitMaxMs:
			return r.errorf(at["waitMs"], "%s.waitMs is over the waitMax of pool %s, %v: raise that, or take less", name, v.Pool, time.Duration(s.WaitMaxMs)*time.Millisecond)
		}
		return nil
	}
	return r.errorf(at["pool"], "%s.pool: there is no pool %q: %s", name, v.Pool, meant(v.Pool, names))
}
