package pool

import (
	"fmt"
	"slices"
)

// Configure says which pools there are. A pool that is not named is retired: it gives nothing out any more, its items
// leave, and then it goes.
type Configure struct {
	Pools []Spec
}

func (c *Configure) decide(m *Machine, r *Reply) {
	specs := make(map[string]Spec, len(c.Pools))
	for _, s := range c.Pools {
		s, err := s.withDefaults()
		if err != nil {
			r.Err = asError(err)
			return
		}
		if _, twice := specs[s.Name]; twice {
			r.fail(BadPayload, "pool %q is configured twice", s.Name)
			return
		}
		if p := m.byName[s.Name]; p != nil && p.spec.Kind != s.Kind {
			r.fail(Conflict, "pool %q is of kind %s, and can not become of kind %s: give it another name, or take it out of the configuration until it is empty", s.Name, p.spec.Kind, s.Kind)
			return
		}
		specs[s.Name] = s
	}
	for _, c := range c.Pools {
		s := specs[c.Name]
		if p := m.byName[s.Name]; p == nil || p.retired || p.spec != s {
			m.emit(&poolSet{s})
			if s.Kind == Calendar { // with less set-up and clean-up, what is waited for may be free
				m.lookAgainAside(m.byName[s.Name])
			}
		}
	}
	for _, p := range slices.Clone(m.pools) {
		if _, ok := specs[p.name]; !ok {
			m.retire(p)
		}
	}
}

func (m *Machine) retire(p *pool) {
	if !p.retired {
		m.emit(&poolRetired{p.name})
	}
	m.lookAgainAll(p)
	m.goneIfEmpty(p)
}

// goneIfEmpty ends a pool that is retired, has no items, and is waited for by nobody.
func (m *Machine) goneIfEmpty(p *pool) {
	if p.retired && m.byName[p.name] == p && len(p.items) == 0 && p.counts.waiting == 0 {
		m.emit(&poolGone{p.name})
	}
}

type poolSet struct{ spec Spec }

func (*poolSet) kind() byte           { return evPoolSet }
func (ev *poolSet) put(e *enc)        { e.string(ev.spec.Name); ev.spec.put(e); ev.spec.putMore(e) }
func (ev *poolSet) get(d *dec)        { ev.spec.Name = d.string(); ev.spec.get(d); ev.spec.getMore(d) }
func (ev *poolSet) describe(e *Event) { e.Type, e.Pool = "pool.set", ev.spec.Name }
func (ev *poolSet) apply(m *Machine) error {
	p := m.byName[ev.spec.Name]
	if p == nil {
		p = newPool(ev.spec.Name)
		p.spec = ev.spec
		m.addPool(p)
		m.touch(p)
		return nil
	}
	m.touch(p)
	kept := p.spec.KeepMs
	p.spec, p.retired = ev.spec, false
	if p.spec.KeepMs != kept {
		for _, g := range m.grants {
			if slices.ContainsFunc(g.parts, func(at part) bool { return at.item.pool == p }) {
				m.schedule(g)
			}
		}
	}
	p.held = nil
	if p.spec.QuotaMax > 0 {
		p.held = make(map[string]int64)
		for _, g := range m.grants {
			for _, at := range g.parts {
				if at.item.pool == p {
					p.held[g.client] += at.units
				}
			}
		}
	}
	return nil
}

type poolRetired struct{ name string }

func (*poolRetired) kind() byte           { return evPoolRetired }
func (ev *poolRetired) put(e *enc)        { e.string(ev.name) }
func (ev *poolRetired) get(d *dec)        { ev.name = d.string() }
func (ev *poolRetired) describe(e *Event) { e.Type, e.Pool = "pool.retired", ev.name }

func (ev *poolRetired) apply(m *Machine) error {
	p, err := m.loadedPool(ev.name)
	if err == nil {
		m.touch(p)
		p.retired = true
	}
	return err
}

type poolGone struct{ name string }

func (*poolGone) kind() byte           { return evPoolGone }
func (ev *poolGone) put(e *enc)        { e.string(ev.name) }
func (ev *poolGone) get(d *dec)        { ev.name = d.string() }
func (ev *poolGone) describe(e *Event) { e.Type, e.Pool = "pool.gone", ev.name }

func (ev *poolGone) apply(m *Machine) error {
	p, err := m.loadedPool(ev.name)
	switch {
	case err != nil:
		return err
	case len(p.items) > 0 || p.counts.waiting > 0:
		return fmt.Errorf("pool %q still has items or waits", p.name)
	}
	m.drop(p)
	delete(m.byName, p.name)
	m.pools = slices.DeleteFunc(m.pools, func(x *pool) bool { return x == p })
	return nil
}
