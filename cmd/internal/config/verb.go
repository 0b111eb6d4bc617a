package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
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
		{"with", func(n ast.Node, name string) (err error) {
			v.With, err = r.json(n, name)
			return err
		}},
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
	if err := r.fit(&v, at, name, pools); err != nil {
		return v, err
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

// kindsOf says which pools an operation can name as its one pool.
func kindsOf(op string) []pool.Kind {
	switch family, _, _ := strings.Cut(op, "."); {
	case family == "hold" || family == "sale":
		return []pool.Kind{pool.Stock}
	case family == "slot":
		return []pool.Kind{pool.Calendar}
	case family == "lease": // of a calendar it would have to say from when to when, as with can
		return []pool.Kind{pool.Lease, pool.Stock}
	}
	return []pool.Kind{pool.Lease, pool.Stock, pool.Calendar}
}

// fit checks a verb against the limits of its pools, and keeps its default wait within them.
func (r *reader) fit(v *serve.Verb, at map[string]ast.Node, name string, pools []Pool) error {
	if v.Pool != "" {
		s, err := r.poolOf(v.Pool, at["pool"], name+".pool", pools)
		if err != nil {
			return err
		}
		kind := cmp.Or(s.Kind, pool.Lease)
		if kinds := kindsOf(v.Op); !slices.Contains(kinds, kind) {
			return r.errorf(at["pool"], "%s.pool: pool %s is of kind %s, and %s is for those of kind %s: take one of these, or another verb",
				name, v.Pool, kind, v.Op, either(kinds))
		}
		return r.fitLimits(v, s, at, name)
	}
	var with struct {
		Want []struct{ Pool string }
	}
	if v.Op != "lease.acquire" || v.With == nil || json.Unmarshal(v.With, &with) != nil {
		return nil // Compile says what is wrong
	}
	for i, want := range with.Want {
		poolName, ok := strings.CutPrefix(want.Pool, "=")
		if !ok && strings.HasPrefix(poolName, "payload") { // as far as can be told
			continue
		}
		s, err := r.poolOf(poolName, at["with"], fmt.Sprintf("%s.with.want[%d].pool", name, i), pools)
		if err == nil {
			err = r.fitLimits(v, s, at, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// poolOf returns the pool that a verb names. What is the name of that setting.
func (r *reader) poolOf(poolName string, n ast.Node, what string, pools []Pool) (*pool.Spec, error) {
	names := make([]string, len(pools))
	for i := range pools {
		if names[i] = pools[i].Spec.Name; names[i] == poolName {
			return &pools[i].Spec, nil
		}
	}
	return nil, r.errorf(n, "%s: there is no pool %q: %s", what, poolName, meant(poolName, names))
}

func (r *reader) fitLimits(v *serve.Verb, s *pool.Spec, at map[string]ast.Node, name string) error {
	ttlMax := s.TTLMaxMs
	if ttlMax == 0 {
		ttlMax = (24 * time.Hour).Milliseconds()
		if s.Kind != "" && s.Kind != pool.Lease {
			ttlMax = time.Hour.Milliseconds()
		}
		ttlMax = max(s.TTLMs, ttlMax)
	}
	if v.TTLMs > ttlMax {
		return r.errorf(at["ttl"], "%s.ttl is over the ttlMax of pool %s, %v: raise that, or take less", name, s.Name, time.Duration(ttlMax)*time.Millisecond)
	}
	switch {
	case s.WaitMaxMs == 0 || v.Op != "lease.acquire" && v.Op != "hold.create":
	case at["waitMs"] == nil: // the default
		wait := min(serve.VerbWaitMaxMs, s.WaitMaxMs)
		if v.WaitMs != nil { // as another pool has it
			wait = min(*v.WaitMs, wait)
		}
		v.WaitMs = &wait
	case *v.WaitMs > s.WaitMaxMs:
		return r.errorf(at["waitMs"], "%s.waitMs is over the waitMax of pool %s, %v: raise that, or take less", name, s.Name, time.Duration(s.WaitMaxMs)*time.Millisecond)
	}
	return nil
}
