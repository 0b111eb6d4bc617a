package pool

import (
	"cmp"
	"fmt"
	"slices"
)

// pool is a set of items, and who waits for them.
type pool struct {
	record  rec
	name    string
	spec    Spec
	retired bool   // no longer configured: it gives nothing out, and goes with its last item
	ordinal uint64 // the last that an item was given
	turn    uint64 // that of the wait served last; see wait.turn
	granted uint64 // items, ever

	// What follows is made of the records of items, leases and waits.
	items    map[string]*item
	order    []place // the items by ordinal
	removed  int     // places without an item
	classes  []*class
	byLabels map[string]*class
	matching map[string][]*class // by a selector's text, as far as they were asked for
	due      dueHeap[lease]      // the leases whose first item is of this pool

	lines     map[string]*line // by the selector's text; each has a wait, at least
	itemLines map[*item]*line
	complex   []*wait // waits for this pool that are in no line, in order
	again     bool    // it is in Machine.relookAside

	held   map[string]int64 // items by client; nil: the pool has no quota
	queued map[string]int   // waits whose turn is taken here, by client

	counts counts
}

type place struct {
	ordinal uint64
	item    *item // nil: it has left
}

// counts are of items, but for the last two.
type counts struct {
	free, leased, dirty, quarantined, draining int
	leases, waiting                            int
}

func newPool(name string) *pool {
	return &pool{
		name:      name,
		items:     make(map[string]*item),
		byLabels:  make(map[string]*class),
		matching:  make(map[string][]*class),
		due:       dueHeap[lease]{place: func(l *lease) *int32 { return &l.due }},
		lines:     make(map[string]*line),
		itemLines: make(map[*item]*line),
		queued:    make(map[string]int),
	}
}

func (p *pool) rec() *rec { return &p.record }

func (p *pool) key(e *enc) {
	e.byte(recPool)
	*e = append(*e, p.name...)
}

func (p *pool) value(e *enc) {
	p.spec.put(e)
	e.bool(p.retired)
	e.uint(p.ordinal)
	e.uint(p.turn)
	e.uint(p.granted)
}

func (s *Spec) put(e *enc) {
	e.string(string(s.Kind))
	e.string(string(s.Strategy))
	e.string(string(s.OnExpiry))
	e.string(string(s.OnDisconnect))
	for _, v := range s.numbers() {
		e.int(*v)
	}
	e.uint(s.Seed)
}

func (s *Spec) get(d *dec) {
	s.Kind = Kind(d.string())
	s.Strategy = Strategy(d.string())
	s.OnExpiry = Outcome(d.string())
	s.OnDisconnect = OnDisconnect(d.string())
	for _, v := range s.numbers() {
		*v = d.int()
	}
	s.Seed = d.uint()
}

func (s *Spec) numbers() [8]*int64 {
	return [8]*int64{&s.TTLMs, &s.TTLMaxMs, &s.LifetimeMaxMs, &s.ExpiringMs, &s.WaitMaxMs, &s.WaitersMax, &s.QuotaMax, &s.QuarantineAfter}
}

func (m *Machine) loadPool(key, value *dec) (record, error) {
	p := newPool(string(key.p))
	p.spec.Name = p.name
	p.spec.get(value)
	p.retired = value.bool()
	p.ordinal = value.uint()
	p.turn = value.uint()
	p.granted = value.uint()
	if m.byName[p.name] != nil {
		return nil, errTwice
	}
	m.addPool(p)
	return p, nil
}

func (m *Machine) addPool(p *pool) {
	if p.spec.QuotaMax > 0 {
		p.held = make(map[string]int64)
	}
	m.byName[p.name] = p
	at, _ := slices.BinarySearchFunc(m.pools, p.name, func(p *pool, name string) int { return cmp.Compare(p.name, name) })
	m.pools = slices.Insert(m.pools, at, p)
}

func (m *Machine) loadedPool(name string) (*pool, error) {
	if p := m.byName[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("pool %q is not there", name)
}

// classOf returns the class of the items with these labels, made if need be.
func (p *pool) classOf(labels string) (*class, error) {
	if c := p.byLabels[labels]; c != nil {
		return c, nil
	}
	parsed, err := parseLabels(labels)
	if err != nil {
		return nil, err
	}
	c := &class{pool: p, labels: parsed, text: labels}
	p.byLabels[labels] = c
	p.classes = append(p.classes, c)
	clear(p.matching)
	for _, l := range p.lines {
		if l.selector.matches(parsed) {
			l.classes = append(l.classes, c)
			c.lines = append(c.lines, l)
		}
	}
	return c, nil
}

// forget lets go of a class that has no items left, unless somebody waits for such.
func (p *pool) forget(c *class) {
	if c.live > 0 || len(c.lines) > 0 {
		return
	}
	delete(p.byLabels, c.text)
	p.classes = slices.DeleteFunc(p.classes, func(x *class) bool { return x == c })
	clear(p.matching)
}

const matchingMax = 1024 // selectors remembered

// match returns the classes that a selector matches.
func (p *pool) match(s Selector, text string) []*class {
	if text == "" {
		return p.classes
	}
	if classes, ok := p.matching[text]; ok {
		return classes
	}
	if len(p.matching) >= matchingMax {
		clear(p.matching)
	}
	var classes []*class
	for _, c := range p.classes {
		if s.matches(c.labels) {
			classes = append(classes, c)
		}
	}
	p.matching[text] = classes
	return classes
}

// capacity returns how many items of the classes there are that do not leave, and how many of these are free.
func capacity(classes []*class) (items, free int) {
	for _, c := range classes {
		items += c.live - c.leaving
		free += len(c.dense)
	}
	return items, free
}

// enough reports whether n items of the classes are free.
func enough(classes []*class, n int) bool {
	for _, c := range classes {
		if n -= len(c.dense); n <= 0 {
			return true
		}
	}
	return false
}

// enter puts an item into its place in the order, its class, and the counts.
func (p *pool) enter(it *item) {
	it.class.join(it)
	if it.draining {
		it.class.leaving++
	}
	p.count(it, +1)
	if it.ready() {
		it.class.add(it)
	}
}

// exit is the reverse, for an item that leaves or changes its class.
func (p *pool) exit(it *item) {
	if it.free {
		it.class.remove(it)
	}
	p.count(it, -1)
	if it.draining {
		it.class.leaving--
	}
	it.class.leave(it)
}

func (it *item) ready() bool { return it.lease == nil && it.state == ready && !it.draining }

// count counts an item in or out; before and after each change of what it is counted by.
func (p *pool) count(it *item, by int) {
	c := &p.counts
	switch {
	case it.lease != nil:
		c.leased += by
		if it.draining {
			c.draining += by
		}
	case it.state == dirty:
		c.dirty += by
	case it.state == quarantined:
		c.quarantined += by
	default:
		c.free += by
	}
}

// place returns the index in order of the first item with at least this ordinal.
func (p *pool) place(ordinal uint64) int {
	i, _ := slices.BinarySearchFunc(p.order, ordinal, func(at place, o uint64) int { return cmp.Compare(at.ordinal, o) })
	return i
}

// unplace takes an item out of the order.
func (p *pool) unplace(it *item) {
	p.order[p.place(it.ordinal)].item = nil
	p.removed++
	if p.removed > 1024 && p.removed > len(p.order)/2 {
		p.order = slices.DeleteFunc(p.order, func(at place) bool { return at.item == nil })
		p.removed = 0
	}
}
