package pool

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
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

// Fill adds items to a pool. Those that it has already get the new labels and attrs, and stay if they were to leave.
type Fill struct {
	Pool       string
	Items      []ItemSpec // FillMax at most
	Configured bool       // they are from the configuration: they leave when they are no longer there
	Keyed
}

func (c *Fill) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	p := m.poolOf(c.Pool, r)
	switch {
	case p == nil:
		return
	case len(c.Items) == 0:
		r.fail(BadPayload, "there are no items to fill pool %s with", p.name)
		return
	case len(c.Items) > FillMax:
		r.fail(BadPayload, "%d items are too many for one request: %d at most", len(c.Items), FillMax)
		return
	}
	seen := make(map[string]bool, len(c.Items))
	taken := make(map[[2]int64]bool)
	classes := make(map[string]bool)
	texts := make([]string, len(c.Items))
	for i := range c.Items {
		s := &c.Items[i]
		if err := s.Check(); err != nil {
			r.Err = asError(err)
			return
		}
		if r.Err = p.mayBecome(p.items[s.ID], s, m.now); r.Err != nil {
			return
		}
		if seen[s.ID] {
			r.fail(BadPayload, "item %q is named twice", s.ID)
			return
		}
		seen[s.ID] = true
		if at := [2]int64{s.Row, s.Col}; s.Row != 0 {
			if taken[at] {
				r.fail(BadPayload, "item %q is in row %d, column %d, and so is another", s.ID, s.Row, s.Col)
				return
			}
			taken[at] = true
		}
		texts[i] = labelsText(s.Labels)
		if p.byLabels[texts[i]] == nil {
			classes[texts[i]] = true
		}
	}
	if !p.roomFor(len(classes), r) {
		return
	}
	for i := range c.Items {
		s := &c.Items[i]
		// The configuration is right as a whole: who is in the way there moves, or leaves, later.
		if other := p.hall.At(int32(s.Row), int32(s.Col)); other != nil && !c.Configured && !seen[other.id] {
			r.fail(Conflict, "item %q is to be in row %d, column %d of pool %s, where item %q is", s.ID, s.Row, s.Col, p.name, other.id)
			return
		}
	}
	if rooms := len(p.items) + len(c.Items); p.spec.Kind == Calendar && rooms > RoomsMax && len(p.items) < rooms {
		n := len(p.items)
		for i := range c.Items {
			if p.items[c.Items[i].ID] == nil {
				n++
			}
		}
		if n > RoomsMax {
			r.fail(BadPayload, "pool %s would have %d items, a calendar has %d at most: make several pools", p.name, n, RoomsMax)
			return
		}
	}
	var changed []part
	for i := range c.Items {
		s := &c.Items[i]
		it := p.items[s.ID]
		attrs := string(s.Attrs)
		switch {
		case it == nil:
			r.Count++
		case it.class.text != texts[i] || it.attrs != attrs || it.draining || it.shape() != s.shape():
			r.Other++
		case c.Configured && !it.configured:
		default:
			it.seen = true
			continue
		}
		configured := c.Configured
		var old *class
		var reshaped bool
		if it != nil {
			configured = configured || it.configured
			old, reshaped = it.class, it.shape() != s.shape()
		}
		evicted := p.hall.At(int32(s.Row), int32(s.Col))
		m.emit(&itemSet{pool: p.name, id: s.ID, labels: texts[i], attrs: attrs, configured: configured, shape: s.shape()})
		it = p.items[s.ID]
		if old != nil && old != it.class {
			m.lookAgainForClass(old)
		}
		if reshaped { // there may be fewer units, or seats may be apart
			m.lookAgainFor(it)
		}
		if evicted != nil && evicted != it {
			m.lookAgainForClass(evicted.class)
		}
		it.seen = true
		changed = append(changed, part{item: it})
	}
	// All are as they should be before somebody gets any of them: one that is to have fewer units could be given out first.
	switch {
	case len(changed) == 0:
	case p.spec.Kind == Calendar:
		m.lookAgainAside(p)
	default:
		m.serveParts(changed)
	}
	m.remember(&c.Keyed, r)
}

// mayBecome says why an item, nil while it is not there, can not be as s says.
func (p *pool) mayBecome(it *item, s *ItemSpec, now int64) *Error {
	if err := s.checkFor(p.spec.Kind); err != nil || it == nil {
		return err
	}
	quantity := int64(s.shape().quantity)
	switch {
	case quantity == int64(it.quantity):
	case it.times != nil:
		if used := it.times.Peak(now, timeMax); used > quantity {
			return &Error{Conflict, fmt.Sprintf("item %q of pool %s can not have a capacity of %d: %d are booked at once; cancel or move some first", it.id, p.name, quantity, used)}
		}
	case it.counter != nil && quantity > 1:
		if used := it.counter.held + it.counter.sold + it.counter.withheld; used > quantity {
			return &Error{Conflict, fmt.Sprintf("item %q of pool %s can not have a quantity of %d: %d are held, sold or withheld", it.id, p.name, quantity, used)}
		}
	case !it.idle() || it.state != ready || it.counter != nil && it.counter.withheld > 0:
		return &Error{Conflict, fmt.Sprintf("item %q of pool %s can not have a quantity of %d: it is held, sold or withheld", it.id, p.name, quantity)}
	}
	return nil
}

// roomFor reports whether a pool may have n more sets of labels.
func (p *pool) roomFor(n int, r *Reply) bool {
	if len(p.classes)+n > ClassesMax {
		r.fail(BadPayload, "the items of pool %s would have more than %d different sets of labels: what tells every item from any other belongs in its attrs", p.name, ClassesMax)
		return false
	}
	return true
}

// poolOf returns a pool that is in use.
func (m *Machine) poolOf(name string, r *Reply) *pool {
	if p := m.byName[name]; p != nil && !p.retired {
		return p
	}
	r.fail(NotFound, "there is no pool %.140q; pool.list lists those there are", name)
	return nil
}

func (m *Machine) itemOf(poolName, id string, r *Reply) *item {
	p := m.poolOf(poolName, r)
	if p == nil {
		return nil
	}
	if it := p.items[id]; it != nil {
		return it
	}
	r.fail(NotFound, "pool %s has no item %.280q", p.name, id)
	return nil
}

// itemSet adds an item, or changes what it is selected by and described with. One that is to leave stays.
type itemSet struct {
	pool, id, labels, attrs string
	configured              bool
	shape
}

func (*itemSet) kind() byte { return evItemSet }

func (ev *itemSet) put(e *enc) {
	e.string(ev.pool)
	e.string(ev.id)
	e.string(ev.labels)
	e.string(ev.attrs)
	e.bool(ev.configured)
	ev.shape.put(e)
}

func (ev *itemSet) get(d *dec) {
	ev.pool, ev.id, ev.labels, ev.attrs, ev.configured = d.string(), d.string(), d.string(), d.string(), d.bool()
	ev.shape.get(d)
}

func (ev *itemSet) apply(m *Machine) error {
	p, err := m.loadedPool(ev.pool)
	if err != nil {
		return err
	}
	c, err := p.classOf(ev.labels)
	if err != nil {
		return err
	}
	it := p.items[ev.id]
	if other := p.hall.At(ev.row, ev.col); other != nil && other != it {
		m.touch(other)
		other.class.unseat(other)
		other.row, other.col = 0, 0
	}
	switch {
	case it == nil:
		it = &item{pool: p, id: ev.id}
		p.items[it.id] = it
		it.setShape(ev.shape)
		m.touch(it)
	case it.class == c:
		m.touch(it)
		p.setDraining(it, false, m.rev)
		if it.shape() != ev.shape {
			m.reshape(it, ev.shape)
		}
		it.attrs, it.configured, it.version = ev.attrs, ev.configured, m.rev
		return nil
	default: // it becomes the last of the pool: the items of a class are in the pool's order
		m.touch(it)
		p.exit(it)
		p.unplace(it)
		it.draining = false
		it.setShape(ev.shape)
		defer p.forget(it.class)
	}
	m.place(it)
	it.class, it.attrs, it.configured, it.version, it.freedRev = c, ev.attrs, ev.configured, m.rev, m.rev
	p.enter(it, m.rev)
	return nil
}

// reshape has an item that keeps its class have another quantity, or another place.
func (m *Machine) reshape(it *item, s shape) {
	p, c := it.pool, it.class
	if it.free {
		c.remove(it)
	}
	p.count(it, -1)
	c.units -= it.weight()
	c.unseat(it)
	it.setShape(s)
	c.seatAt(it)
	c.units += it.weight()
	p.count(it, +1)
	p.relist(it, m.rev)
}

// place puts an item at the end of its pool's order.
func (m *Machine) place(it *item) {
	p := it.pool
	m.touch(p)
	p.ordinal++
	it.ordinal = p.ordinal
	p.order = append(p.order, place{it.ordinal, it})
}

func (ev *itemSet) describe(e *Event) {
	e.Type, e.Pool, e.Labels, e.Attrs = "item.set", ev.pool, ev.labels, ev.attrs
	e.Items = []ItemRef{{Pool: ev.pool, ID: ev.id}}
}

// removeItem takes an item that no grant has any of out of its pool.
func (m *Machine) removeItem(it *item) {
	p := it.pool
	m.drop(it)
	p.exit(it)
	p.unplace(it)
	delete(p.items, it.id)
	p.forget(it.class)
}

// SetItem changes an item. What is nil or empty stays.
type SetItem struct {
	Pool, ID string
	State    string // of a lease: free, dirty, quarantined; of a seat: available, withheld
	Withheld *int64 // of stock with a quantity: units not for sale
	Labels   map[string]string
	Attrs    []byte
	Version  uint64 // the item must have this one still; 0: any
	Keyed
}

func (c *SetItem) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	it := m.itemOf(c.Pool, c.ID, r)
	if it == nil {
		return
	}
	spec := ItemSpec{ID: c.ID, Labels: c.Labels, Attrs: c.Attrs}
	states := settable(it.pool.spec.Kind)
	if err := spec.Check(); err != nil {
		r.Err = asError(err)
		return
	}
	if c.Version != 0 && c.Version != it.version {
		r.fail(VersionConflict, "item %q of pool %s has version %d, not %d: look at it again", it.id, it.pool.name, it.version, c.Version)
		return
	}
	ok := slices.Contains(states, c.State)
	switch {
	case c.State != "" && states == nil:
		r.fail(BadPayload, "item %q of pool %s has no state, only times", it.id, it.pool.name)
	case c.State != "" && !ok:
		last := len(states) - 1
		r.fail(BadPayload, "state is %q: want %s or %s", c.State, strings.Join(states[:last], ", "), states[last])
	case c.State != "" && it.counter != nil:
		r.fail(BadPayload, "item %q of pool %s has a quantity: say how many are withheld", it.id, it.pool.name)
	case c.Withheld != nil && it.counter == nil:
		r.fail(BadPayload, "withheld is for items with a quantity: item %q of pool %s has none", it.id, it.pool.name)
	case c.Withheld != nil && (*c.Withheld < 0 || *c.Withheld > it.counter.withheld+it.left(nil)):
		r.fail(Conflict, "withheld is %d: item %q of pool %s has %d that are neither held nor sold", *c.Withheld, it.id, it.pool.name, it.counter.withheld+it.left(nil))
	}
	if r.Err != nil {
		return
	}
	before := m.Rev()
	labels, attrs := it.class.text, it.attrs
	if c.Labels != nil {
		labels = labelsText(c.Labels)
		if it.pool.byLabels[labels] == nil && !it.pool.roomFor(1, r) {
			return
		}
	}
	if c.Attrs != nil {
		attrs = string(c.Attrs)
	}
	if labels != it.class.text || attrs != it.attrs {
		old := it.class
		draining := it.draining
		m.emit(&itemSet{pool: it.pool.name, id: it.id, labels: labels, attrs: attrs, configured: it.configured, shape: it.shape()})
		if draining {
			m.emit(&itemDrained{it.pool.name, it.id})
		}
		if old != it.class {
			m.lookAgainForClass(old)
		}
	}
	state := it.state
	if c.State != "" {
		state = stateOf(c.State)
	}
	if c.State != "" && state != it.state || c.Withheld != nil && *c.Withheld != it.counter.withheld {
		ev := &itemStateSet{pool: it.pool.name, id: it.id, state: state}
		if c.Withheld != nil {
			ev.withheld = *c.Withheld
		}
		m.emit(ev)
	}
	if m.Rev() != before {
		r.Count = 1
	}
	m.serveItem(it)
	m.remember(&c.Keyed, r)
}

type itemStateSet struct {
	pool, id string
	state    itemState
	withheld int64 // of a counter
}

func (*itemStateSet) kind() byte { return evItemState }

func (ev *itemStateSet) put(e *enc) {
	e.string(ev.pool)
	e.string(ev.id)
	e.byte(byte(ev.state))
	if ev.withheld != 0 {
		e.int(ev.withheld)
	}
}

func (ev *itemStateSet) get(d *dec) {
	ev.pool, ev.id, ev.state, ev.withheld = d.string(), d.string(), itemState(d.byte()), d.int()
	d.bad = d.bad || ev.state > withheld
}

func (ev *itemStateSet) apply(m *Machine) error {
	it, err := m.itemBy(ev.pool, ev.id)
	if err != nil {
		return err
	}
	p := it.pool
	m.touch(it)
	if it.free {
		it.class.remove(it)
	}
	p.count(it, -1)
	it.version = m.rev
	if it.counter != nil {
		it.counter.withheld = ev.withheld
	} else if it.state = ev.state; it.state == ready {
		it.broken = 0
	}
	p.count(it, +1)
	p.relist(it, m.rev)
	return nil
}

func (ev *itemStateSet) describe(e *Event) {
	e.Type, e.Pool, e.State = "item.state", ev.pool, ev.state.String()
	e.Items = []ItemRef{{Pool: ev.pool, ID: ev.id}}
}

// Drain takes items out of a pool: those that are leased leave when they come back.
type Drain struct {
	Pool   string
	IDs    []string // FillMax at most
	All    bool     // in the place of IDs
	Cursor string   // with All: that of the reply before
	Keyed
}

func (c *Drain) decide(m *Machine, r *Reply) {
	if m.repeated(&c.Keyed, r) {
		return
	}
	p := m.poolOf(c.Pool, r)
	switch {
	case p == nil:
		return
	case c.All == (len(c.IDs) > 0):
		r.fail(BadPayload, "either ids or all is needed, to say what is to leave pool %s", p.name)
		return
	case len(c.IDs) > FillMax:
		r.fail(BadPayload, "%d items are too many for one request: %d at most", len(c.IDs), FillMax)
		return
	}
	if c.All {
		from, err := cursorAt(c.Cursor)
		if err != nil {
			r.Err = err
			return
		}
		r.Cursor = m.drainFrom(p, from, r, func(*item) bool { return true })
	} else {
		items := make([]*item, len(c.IDs))
		for i, id := range c.IDs {
			if items[i] = p.items[id]; items[i] == nil {
				r.fail(NotFound, "pool %s has no item %.280q", p.name, id)
				return
			}
		}
		for _, it := range items {
			m.drain(it, r)
		}
	}
	m.remember(&c.Keyed, r)
}

// drainFrom drains items from an ordinal on, and returns where to go on; empty: nowhere.
func (m *Machine) drainFrom(p *pool, from uint64, r *Reply, which func(*item) bool) string {
	i := p.place(from)
	batch := make([]*item, 0, 1024)
	end := min(len(p.order), i+FillMax)
	for _, at := range p.order[i:end] {
		if at.item != nil && which(at.item) {
			batch = append(batch, at.item)
		}
	}
	cursor := ""
	if end < len(p.order) {
		cursor = strconv.FormatUint(p.order[end].ordinal, 10)
	}
	for _, it := range batch { // which changes p.order
		m.drain(it, r)
	}
	return cursor
}

func (m *Machine) drain(it *item, r *Reply) {
	if it.draining || it.pool.items[it.id] != it { // named twice
		return
	}
	if !it.idle() {
		r.Other++
	} else {
		r.Count++
	}
	m.emit(&itemDrained{it.pool.name, it.id})
	m.lookAgainFor(it)
}

// cursorAt returns the ordinal that a page begins with.
func cursorAt(cursor string) (uint64, *Error) {
	if cursor == "" {
		return 0, nil
	}
	at, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil || at == math.MaxUint64 {
		return 0, &Error{BadPayload, fmt.Sprintf("cursor is %.64q, which is none that a reply gave", cursor)}
	}
	return at, nil
}

type itemDrained struct{ pool, id string }

func (*itemDrained) kind() byte    { return evItemDrained }
func (ev *itemDrained) put(e *enc) { e.string(ev.pool); e.string(ev.id) }
func (ev *itemDrained) get(d *dec) { ev.pool, ev.id = d.string(), d.string() }

func (ev *itemDrained) apply(m *Machine) error {
	it, err := m.itemBy(ev.pool, ev.id)
	if err != nil {
		return err
	}
	if it.idle() {
		m.removeItem(it)
		return nil
	}
	if it.draining {
		return fmt.Errorf("item %q of pool %q is leaving already", it.id, it.pool.name)
	}
	m.touch(it)
	it.version = m.rev
	it.pool.setDraining(it, true, m.rev)
	return nil
}

func (ev *itemDrained) describe(e *Event) {
	e.Type, e.Pool = "item.drained", ev.pool
	e.Items = []ItemRef{{Pool: ev.pool, ID: ev.id}}
}

// DrainUnseen drains, in pages, the configured items of a pool that no Fill has named since BeginFill.
type DrainUnseen struct {
	Pool   string
	Cursor string // that of the reply before
}

func (c *DrainUnseen) decide(m *Machine, r *Reply) {
	p := m.byName[c.Pool]
	if p == nil {
		return
	}
	from, err := cursorAt(c.Cursor)
	if err != nil {
		r.Err = err
		return
	}
	r.Cursor = m.drainFrom(p, from, r, func(it *item) bool { return p.retired || it.configured && !it.seen })
	if r.Cursor == "" {
		m.goneIfEmpty(p)
	}
}

// BeginFill begins the comparison of the items of all pools with the configuration, at start: Fill names those that are
// in it, then DrainUnseen drains the others.
func (m *Machine) BeginFill() {
	for _, p := range m.pools {
		for _, at := range p.order {
			if at.item != nil {
				at.item.seen = false
			}
		}
	}
}

// Pools returns the names of all pools, retired ones included.
func (m *Machine) Pools() []string {
	names := make([]string, len(m.pools))
	for i, p := range m.pools {
		names[i] = p.name
	}
	return names
}
