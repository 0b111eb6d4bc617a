package pool

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kassa-go/kassa/pool/internal/seats"
)

// pool is a set of items, and who waits for them.
type pool struct {
	record  rec
	name    string
	spec    Spec
	retired bool   // no longer configured: it gives nothing out, and goes with its last item
	ordinal uint64 // the last that an item was given
	turn    uint64 // that of the wait served last; see wait.turn
	granted uint64 // units, ever

	// What follows is made of the records of items, grants and waits.
	items    map[string]*item
	order    []place // the items by ordinal
	removed  int     // places without an item
	classes  []*class
	byLabels map[string]*class
	matching map[string][]*class // by a selector's text, as far as they were asked for
	due      dueHeap[grant]      // the grants whose first part is of this pool
	hall     seats.Hall[*item]   // where the seats are
	leaving  *seats.Group[*item] // of these, those that nobody selects any more; nil: there never were any

	lines     map[string]*line // by the selector's text; each has a wait, at least
	itemLines map[*item]*line
	bestLines int     // of lines, those for best seats
	complex   []*wait // waits for this pool that are in no line, in order
	again     bool    // it is in Machine.relookAside
	looked    *wait   // of complex, the last that Tick has looked at; nil: it begins with the first
	afresh    bool    // when Tick is through, it begins anew

	held   map[string]int64 // units that its grants have, by client; nil: the pool has no quota
	queued map[string]int   // waits whose turn is taken here, by client

	counts counts
}

type place struct {
	ordinal uint64
	item    *item // nil: it has left
}

// counts are of units of items, but for the last two. draining are held or sold, too.
type counts struct {
	free, held, sold, dirty, quarantined, withheld, draining int
	grants, waiting                                          int
}

func newPool(name string) *pool {
	return &pool{
		name:      name,
		items:     make(map[string]*item),
		byLabels:  make(map[string]*class),
		matching:  make(map[string][]*class),
		due:       dueHeap[grant]{place: func(g *grant) *int32 { return &g.due }},
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
	p.spec.putMore(e)
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
	d.bad = d.bad || !slices.Contains(kinds[:], s.Kind)
}

func (s *Spec) numbers() [8]*int64 {
	return [8]*int64{&s.TTLMs, &s.TTLMaxMs, &s.LifetimeMaxMs, &s.ExpiringMs, &s.WaitMaxMs, &s.WaitersMax, &s.QuotaMax, &s.QuarantineAfter}
}

// putMore appends what leases have no need of, as the last of what it is put to.
func (s *Spec) putMore(e *enc) {
	if s.Kind == Lease && s.Items == 0 {
		return
	}
	for _, v := range s.more() {
		e.int(*v)
	}
	if s.Items != 0 {
		e.uint(s.Items)
	}
}

func (s *Spec) getMore(d *dec) {
	for _, v := range s.more() {
		*v = d.int()
	}
	s.Items = d.uint()
}

func (s *Spec) more() [7]*int64 {
	return [7]*int64{&s.FocusRow, &s.FocusCol, &s.SetupMs, &s.CleanupMs, &s.SlotMaxMs, &s.HorizonMs, &s.KeepMs}
}

func (m *Machine) loadPool(key, value *dec) (record, error) {
	p := newPool(string(key.p))
	p.spec.Name = p.name
	p.spec.get(value)
	p.retired = value.bool()
	p.ordinal = value.uint()
	p.turn = value.uint()
	p.granted = value.uint()
	p.spec.getMore(value)
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

// capacity returns how many units the classes have that do not leave, and how many of these are free.
func capacity(classes []*class) (units, free int) {
	for _, c := range classes {
		units += int(c.units)
		free += int(c.available)
	}
	return units, free
}

// seated returns how many items of the classes have a place.
func seated(classes []*class) (n int) {
	for _, c := range classes {
		n += c.seated
	}
	return n
}

// enough reports whether n units of the classes are free.
func enough(classes []*class, n int) bool {
	for _, c := range classes {
		if n -= int(c.available); n <= 0 {
			return true
		}
	}
	return false
}

// enter puts an item into its place in the order, its class, and the counts.
func (p *pool) enter(it *item, rev uint64) {
	it.class.join(it)
	p.count(it, +1)
	p.relist(it, rev)
}

// exit is the reverse, for an item that leaves or changes its class.
func (p *pool) exit(it *item) {
	if it.free {
		it.class.remove(it)
	}
	p.count(it, -1)
	it.class.leave(it)
}

// relist has an item stand among the free ones of its class, or not, as it is now. It follows each change of that.
func (p *pool) relist(it *item, rev uint64) {
	n := it.available()
	switch {
	case n == 0 && it.free:
		it.class.remove(it)
	case n > 0 && !it.free:
		it.freedRev = rev
		it.class.add(it)
	case n > 0:
		it.class.available += n - int64(it.listed)
		it.listed = int32(n)
	}
}

// count counts an item in or out; before and after each change of what it is counted by.
func (p *pool) count(it *item, by int) {
	c := &p.counts
	if c2 := it.counter; c2 != nil {
		c.held += by * int(c2.held)
		c.sold += by * int(c2.sold)
		c.withheld += by * int(c2.withheld)
		c.free += by * int(it.available())
		if it.draining {
			c.draining += by * int(c2.held+c2.sold)
		}
		return
	}
	switch {
	case it.sold():
		c.sold += by
	case it.grant != nil:
		c.held += by
	case it.times != nil:
	case it.state == dirty:
		c.dirty += by
	case it.state == quarantined:
		c.quarantined += by
	case it.state == withheld:
		c.withheld += by
	default:
		c.free += by
	}
	if it.draining {
		c.draining += by
	}
}

// setDraining has an item leave when it comes back, or stay after all.
func (p *pool) setDraining(it *item, draining bool, rev uint64) {
	if it.draining == draining {
		return
	}
	p.count(it, -1)
	it.class.units -= it.weight()
	it.class.unseat(it)
	it.draining = draining
	it.class.seatAt(it)
	it.class.units += it.weight()
	p.count(it, +1)
	p.relist(it, rev)
}

// weight is what an item contributes to the units of its class.
func (it *item) weight() int64 {
	if it.draining {
		return 0
	}
	return int64(it.quantity)
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
