package pool_test

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool"
)

// do has the machine decide, and the till follow.
func (s *seller) do(c pool.Command) pool.Reply {
	o := s.o
	s.steps++
	s.begin(c)
	key := sellerKey(c)
	if a, ok := c.(*pool.Acquire); ok && o.sessions[a.Session] != nil {
		key.Client = o.sessions[a.Session].client
	}
	name := oKeyName{key.Client, key.Key}
	known := o.keys[name]
	hash, rev := s.m.Hash(), s.m.Rev()
	var r pool.Reply
	s.m.Decide(o.now, c, &r)
	s.follow()
	o.must(r.Repeated == (known != nil), "%T %+v: %+v, before %+v", c, c, r, known)
	switch {
	case known != nil:
		first := known.reply
		r.Repeated = false
		if len(r.Items) == 0 {
			r.Items = first.Items
		}
		if len(r.Conflicts) == 0 {
			r.Conflicts = first.Conflicts
		}
		o.must(reflect.DeepEqual(r, first) && s.m.Hash() == hash, "%T %+v is repeated: %+v, first %+v", c, c, r, first)
		r.Repeated = true
	case r.Err != nil && s.m.Rev() == rev:
		o.must(s.m.Hash() == hash && r.Err.Message != "", "%T %+v: %+v has changed the state", c, c, r)
	case key.Key != "":
		o.keys[name] = &oKey{reply: r}
		s.past = append(s.past, c)
	case r.Err != nil:
		o.rt.Fatalf("%T %+v was refused with %v, and did something", c, c, r.Err)
	}
	return r
}

func sellerKey(c pool.Command) pool.Keyed {
	switch c := c.(type) {
	case *pool.Confirm:
		return c.Keyed
	case *pool.Refund:
		return c.Keyed
	}
	return keyedOf(c)
}

func (s *seller) begin(c pool.Command) {
	o := s.o
	due := s.m.NextDue()
	o.cmd, o.pending, o.ended = c, o.pending || due != 0 && due <= o.now, map[uint64]string{}
}

// follow takes what the machine did to the journal and to the till.
func (s *seller) follow() {
	o := s.o
	if data := s.m.TakeChunk(); data != nil {
		err := pool.Events(data, func(ev *pool.Event) bool { o.follow(ev); return true })
		o.must(err == nil, "%v", err)
		s.chunks = append(s.chunks, chunk{s.m.Rev(), data})
	}
	o.must(o.rev == s.m.Rev(), "rev %d after event %d", s.m.Rev(), o.rev)
	answers, _ := s.m.TakeAnswers()
	o.must(len(answers) == len(o.ended), "answers %+v to waits %v", answers, o.ended)
	for _, a := range answers {
		got := "granted"
		if a.Reply.Err != nil {
			got = string(a.Reply.Err.Code)
		} else if g := o.grants[a.Reply.Grant]; g != nil {
			o.gives(a.Reply, g)
		}
		o.must(got == o.ended[a.Wait], "answer %+v, want %s", a, o.ended[a.Wait])
	}
}

// gives checks that a reply gives what a grant has.
func (o *till) gives(r pool.Reply, g *tGrant) {
	var items []pool.ItemRef
	for _, it := range r.Items {
		items = append(items, pool.ItemRef{Pool: it.Pool, ID: it.ID, Units: it.Units})
	}
	ok := o.grants[r.Grant] == g && r.Token == g.token && r.ExpiresAt == g.expires && slices.Equal(items, g.parts)
	o.must(ok, "%+v gives %+v", r, g)
}

// decided checks that a command was refused with one of some codes; with none of them, that it was done.
func (s *seller) decided(c pool.Command, r pool.Reply, codes ...pool.Code) bool {
	if len(codes) == 0 {
		s.o.must(r.Err == nil, "%T %+v: %v", c, c, r.Err)
		return true
	}
	s.o.must(r.Err != nil && slices.Contains(codes, r.Err.Code), "%T %+v: %+v (%v), want %v", c, c, r, r.Err, codes)
	return false
}

func (s *seller) acquire(c *pool.Acquire) {
	want := s.o.expectNow(s, c)
	r := s.do(c)
	got := "granted"
	switch {
	case r.Err != nil:
		got = string(r.Err.Code)
	case r.Waiting != 0:
		got = "waits"
	default:
		s.o.gives(r, s.o.grants[r.Grant])
	}
	s.o.must(want == nil || slices.Contains(want, got), "%+v: %s (%+v, %v), want %v", c, got, r, r.Err, want)
}

// expectNow is expect, with what the machine has not looked at yet.
func (o *till) expectNow(s *seller, c *pool.Acquire) []string {
	s.begin(c)
	return o.expect(c)
}

func (s *seller) confirm(c *pool.Confirm) {
	o := s.o
	g, id, code := o.named(pool.Stock, c.Grant, c.Token, c.Pool, c.Item)
	if code == "" && g.firm {
		code = pool.AlreadyResolved
	}
	if code != "" {
		s.decided(c, s.do(c), code)
		return
	}
	kept, codes := o.chosen(g, c.Items, o.stock)
	var left []pool.ItemRef // of all that it has
	for _, p := range g.parts {
		if i := slices.IndexFunc(kept, func(k pool.ItemRef) bool { return k.Pool == p.Pool && k.ID == p.ID }); i >= 0 {
			p.Units = kept[i].Units
		} else if o.stock(p) {
			continue
		}
		left = append(left, p)
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		o.must(r.Grant == id && g.firm && slices.Equal(g.parts, left), "%+v has sold %+v, want %+v", c, g, left)
		o.gives(r, g)
	}
}

func (s *seller) release(c *pool.Release) {
	o := s.o
	g, id, code := o.named(cmp.Or(c.Kind, pool.Lease), c.Grant, c.Token, c.Pool, c.Item)
	if code != "" {
		s.decided(c, s.do(c), code)
		return
	}
	items := c.Items
	if c.Pool != "" {
		items = []pool.ItemRef{{Pool: c.Pool, ID: c.Item}}
	}
	parts, codes := o.chosen(g, items, o.temporary(g))
	s.gaveBack(c, id, parts, codes)
}

// gaveBack does a command that has parts of a grant come back.
func (s *seller) gaveBack(c pool.Command, id uint64, parts []pool.ItemRef, codes []pool.Code) {
	o := s.o
	had := map[pool.ItemRef]int64{}
	n := int64(0)
	for _, p := range parts {
		ref := pool.ItemRef{Pool: p.Pool, ID: p.ID}
		had[ref] = o.item(ref).has[id] - p.Units
		n += p.Units
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		o.must(r.Grant == id && r.Count == int(n), "%+v: %+v, want %+v", c, r, parts)
		for ref, units := range had {
			if it := o.pools[ref.Pool].items[ref.ID]; it != nil {
				o.must(it.has[id] == units, "%+v leaves %d of %v, want %d", c, it.has[id], ref, units)
			}
		}
	}
}

func (s *seller) refund(c *pool.Refund) {
	o := s.o
	id, token, items := c.Grant, c.Token, c.Items
	var codes []pool.Code
	if c.Pool != "" {
		id, items = 0, []pool.ItemRef{{Pool: c.Pool, ID: c.Item}}
		p := o.pools[c.Pool]
		if p == nil || p.items[c.Item] == nil {
			s.decided(c, s.do(c), pool.NotFound)
			return
		}
		for holder := range p.items[c.Item].has {
			if g := o.grants[holder]; p.items[c.Item].quantity == 1 && p.spec.Kind == pool.Stock && g.firm {
				id, token = holder, g.token
			}
		}
		if id == 0 {
			s.decided(c, s.do(c), pool.Conflict)
			return
		}
	}
	g := o.grants[id]
	switch {
	case g == nil && id > o.rev:
		codes = append(codes, pool.NotFound)
	case g == nil:
		codes = append(codes, pool.AlreadyResolved)
	case g.token != token:
		codes = append(codes, pool.StaleToken)
	case !g.firm:
		codes = append(codes, pool.Conflict)
	}
	if len(codes) > 0 {
		s.decided(c, s.do(c), codes...)
		return
	}
	parts, codes := o.chosen(g, items, o.stock)
	s.gaveBack(c, id, parts, codes)
}

func (s *seller) renew(c *pool.Renew) {
	o := s.o
	g, id, code := o.named(cmp.Or(c.Kind, pool.Lease), c.Grant, c.Token, c.Pool, c.Item)
	var codes []pool.Code
	switch {
	case code != "":
		codes = append(codes, code)
	case c.TTLMs != nil && (*c.TTLMs <= 0 || *c.TTLMs > 6000):
		codes = append(codes, pool.BadPayload)
	}
	before := int64(0)
	if g != nil && c.Kind == pool.Stock {
		before = g.expires
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		ttl := g.ttl
		if c.TTLMs != nil {
			ttl = *c.TTLMs
		}
		want := max(before, min(o.now+ttl, g.endsAt))
		o.must(r.Grant == id && r.ExpiresAt == want && g.expires == want, "%+v: %+v of %+v", c, r, g)
	}
}

func (s *seller) fill(c *pool.Fill) {
	o := s.o
	p := o.pools[c.Pool]
	var codes []pool.Code
	if p == nil {
		codes = append(codes, pool.NotFound)
	} else if len(c.Items) == 0 {
		codes = append(codes, pool.BadPayload)
	}
	if p != nil {
		for _, x := range c.Items {
			it := p.items[x.ID]
			quantity := max(1, x.Quantity)
			if it != nil && quantity != it.quantity {
				if used := it.taken() + it.withheld; used > quantity || min(quantity, it.quantity) == 1 && used > 0 {
					codes = append(codes, pool.Conflict)
				}
			}
			for id, y := range p.items {
				named := slices.ContainsFunc(c.Items, func(z pool.ItemSpec) bool { return z.ID == id })
				if x.Row != 0 && y.row == x.Row && y.col == x.Col && !named && !c.Configured {
					codes = append(codes, pool.Conflict)
				}
			}
		}
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		for _, x := range c.Items {
			it := p.items[x.ID]
			ok := it != nil && !it.draining && it.quantity == max(1, x.Quantity) && it.row == x.Row && it.col == x.Col
			o.must(ok && maps.Equal(it.labels, x.Labels), "%+v is %+v", x, it)
		}
	}
}

func (s *seller) drain(c *pool.Drain) {
	o := s.o
	p := o.pools[c.Pool]
	var codes []pool.Code
	var goes, leaves int
	if p == nil || !c.All && p.items[c.IDs[0]] == nil {
		codes = append(codes, pool.NotFound)
	} else {
		for id, it := range p.items {
			switch {
			case !c.All && id != c.IDs[0] || it.draining:
			case it.taken() > 0:
				leaves++
			default:
				goes++
			}
		}
	}
	if r := s.do(c); s.decided(c, r, codes...) {
		o.must(r.Count == goes && r.Other == leaves, "%+v: %+v, want %d and %d", c, r, goes, leaves)
	}
}

func (s *seller) set(c *pool.SetItem) {
	o := s.o
	p := o.pools[c.Pool]
	var codes []pool.Code
	if p == nil || p.items[c.ID] == nil {
		codes = append(codes, pool.NotFound)
	} else {
		it := p.items[c.ID]
		if c.State == "free" || c.State != "" && it.quantity > 1 || c.Withheld != nil && it.quantity == 1 {
			codes = append(codes, pool.BadPayload)
		}
		if c.Withheld != nil && it.quantity > 1 && (*c.Withheld < 0 || *c.Withheld > it.quantity-it.taken()) {
			codes = append(codes, pool.Conflict)
		}
	}
	if r := s.do(c); s.decided(c, r, codes...) && c.Withheld != nil && p.items[c.ID] != nil {
		o.must(p.items[c.ID].withheld == *c.Withheld, "%+v: %+v", c, p.items[c.ID])
	}
}

// tick has time pass up to at, with everything done that is due.
func (s *seller) tick(at int64) {
	o := s.o
	o.now = max(o.now, at)
	budget := rapid.IntRange(1, 4).Draw(s.rt, "budget")
	for more := true; more; {
		s.begin(&tick{})
		more = s.m.Tick(at, budget)
		s.follow()
	}
	o.pending = false
	o.onTime()
	o.conserved()
}

func (s *seller) slice(n int) {
	if !s.frozen {
		return
	}
	records, mark, done := s.m.Slice(n)
	s.batch = append(s.batch, records...)
	if !done {
		return
	}
	for _, r := range s.batch {
		if r.Value == nil {
			delete(s.store, string(r.Key))
		} else {
			s.store[string(r.Key)] = string(r.Value)
		}
	}
	s.frozen, s.mark = false, mark
}

// replayed returns a machine made of the checkpoint, if from is its mark, and the chunks after it.
func (s *seller) replayed(from pool.Mark) *pool.Machine {
	o := s.o
	m := pool.New(o.cfg)
	if from.Rev > 0 {
		for _, key := range sortedKeys(s.store) {
			err := m.Load([]byte(key), []byte(s.store[key]))
			o.must(err == nil, "%v", err)
		}
		err := m.Loaded(from)
		o.must(err == nil, "%v", err)
	}
	for _, c := range s.chunks {
		if c.seq > from.Rev {
			err := m.Replay(c.seq, c.data)
			o.must(err == nil, "%v", err)
		}
	}
	o.must(m.Hash() == s.m.Hash() && m.Rev() == s.m.Rev(), "replayed from %d: hash %x at %d, want %x at %d",
		from.Rev, m.Hash(), m.Rev(), s.m.Hash(), s.m.Rev())
	err := m.Check()
	o.must(err == nil, "replayed from %d: %v", from.Rev, err)
	return m
}

func (s *seller) sameAfterReplay() {
	s.o.agrees(s.replayed(pool.Mark{}))
	s.o.agrees(s.replayed(s.mark))
}
