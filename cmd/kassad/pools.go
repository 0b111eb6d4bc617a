package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/kassa-go/kassa/cmd/internal/config"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/serve"
)

//go:embed example.yaml
var example string

// openPools recovers the pools, has them be as configured, and has reg serve them.
func (s *server) openPools(reg *dispatch.Registry) error {
	if s.data == "" {
		return nil
	}
	// What is read now stays: to look for garbage in it, again and again as it grows, takes a quarter of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	cfg := serve.Config{Backups: s.backups, Log: s.log}
	if s.config != "" {
		c, err := config.Load(s.config)
		if err != nil {
			return err
		}
		cfg.Machine = pool.Config{RefuseHoldAndWait: c.HoldAndWait == config.Refuse, KeyRetentionMs: c.KeyRetention.Milliseconds()}
		if cfg.GraceMs = c.Grace.Milliseconds(); cfg.GraceMs == 0 {
			cfg.GraceMs = -1
		}
		for _, p := range c.Pools {
			cfg.Pools = append(cfg.Pools, serve.Pool{Spec: p.Spec, Items: slices.Values(p.Items), Zone: p.Zone, Hours: p.Hours})
		}
		cfg.Verbs = c.Verbs
	}
	j, err := journal.Open(journal.Config{Dir: s.data, RetainAge: s.eventsKeep, RetainBytes: s.eventsMax, Log: s.log})
	if err != nil {
		return err
	}
	cfg.Journal = j
	if s.pools, err = serve.New(cfg); err != nil {
		j.Close()
		return fmt.Errorf("%w (the pools are in %s)", err, s.data)
	}
	s.pools.Register(reg)
	s.pools.Start()
	return nil
}

func (s *server) closePools() error {
	if s.pools == nil {
		return nil
	}
	return s.pools.Close()
}

// tries are commands to try the pools with, one for each kind that there is.
func (s *server) tries() (commands []string) {
	seen := map[pool.Kind]bool{}
	for _, p := range s.pools.Pools() {
		name, kind := p.Spec.Name, cmp.Or(p.Spec.Kind, pool.Lease)
		if seen[kind] {
			continue
		}
		seen[kind] = true
		switch kind {
		case pool.Stock:
			commands = append(commands, "hold create "+name+" -n 2", "hold map "+name)
		case pool.Calendar:
			commands = append(commands, "slot day "+name)
		default:
			commands = append(commands, "lease acquire "+name)
		}
	}
	return commands
}
