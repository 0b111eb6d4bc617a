package pool_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/internal/proof"
)

// calendarModel is a machine beside the oracle, with its journal and its checkpoints.
type calendarModel struct {
	rt     *rapid.T
	o      *calendars
	m      *pool.Machine
	specs  map[string]pool.Spec
	chunks []chunk
	store  map[string]string
	mark   pool.Mark

	steps  int
	frozen bool
	batch  []pool.Record // of the checkpoint under way
	past   []pool.Command
	rng    *rand.Rand
}

// TestCalendarModel runs random commands on calendars and foretells all that they do.
func TestCalendarModel(t *testing.T) {
	proof.Run(t, "steps of the model of calendars", 60_000, func(t *testing.T, _ *rand.Rand) int {
		steps := 0
		rapid.Check(quiet{t}, func(rt *rapid.T) {
			m := newCalendarModel(rt)
			rt.Repeat(map[string]func(*rapid.T){"step": func(*rapid.T) { m.step() }, "": m.invariants})
			m.replayed(pool.Mark{})
			m.replayed(m.mark)
			steps += m.steps
		})
		return steps
	})
}

// dice are bits of which each is as often 0 as 1: rapid prefers small numbers, with which a calendar is empty most of the time.
var dice = rapid.Custom(func(t *rapid.T) uint64 {
	n := uint64(0)
	for range 24 {
		if n <<= 1; rapid.Bool().Draw(t, "bit") {
			n++
		}
	}
	return n
})

// throw has what is drawn next be another.
func (m *calendarModel) throw() { m.rng = rand.New(rand.NewPCG(dice.Draw(m.rt, "dice"), 0)) }

func (m *calendarModel) below(n int) int { return m.rng.IntN(n) }

func (m *calendarModel) between(from, to int) int64 { return int64(from + m.below(to-from+1)) }

func among[T any](m *calendarModel, from ...T) T { return from[m.below(len(from))] }

func newCalendarModel(rt *rapid.T) *calendarModel {
	m := &calendarModel{
		rt: rt, m: pool.New(pool.Config{}), specs: map[string]pool.Spec{}, store: map[string]string{},
		o: &calendars{rt: rt, now: 10_000, pools: map[string]*cPool{}, grants: map[uint64]*cGrant{}, keys: map[oKeyName]*cKey{}},
	}
	m.throw()
	names := []string{"a", "b"}
	for _, name := range names[:1+m.below(2)] {
		m.specs[name] = m.drawSpec(name)
	}
	m.configure()
	for _, name := range slices.Sorted(maps.Keys(m.specs)) {
		m.do(&pool.Fill{Pool: name, Items: m.drawRooms(3)})
	}
	return m
}

func (m *calendarModel) drawSpec(name string) pool.Spec {
	return pool.Spec{
		Name: name, Kind: pool.Calendar,
		TTLMs:     among[int64](m, 10, 25),
		QuotaMax:  among[int64](m, 0, 0, 0, 8),
		SetupMs:   among[int64](m, 0, 0, 1, 2),
		CleanupMs: among[int64](m, 0, 0, 1, 2),
		SlotMaxMs: 12,
		HorizonMs: 40,
		KeepMs:    among[int64](m, 1, 5, 15),
	}
}

func (m *calendarModel) configure() {
	c := &pool.Configure{}
	for _, name := range slices.Sorted(maps.Keys(m.specs)) {
		c.Pools = append(c.Pools, m.specs[name])
	}
	m.do(c)
}

func (m *calendarModel) drawRoom() string {
	return among(m, "r1", "r1", "r2", "r2", "r2", "r3")
}

func (m *calendarModel) drawPool() string {
	if m.below(60) == 0 {
		return "none"
	}
	return among(m, slices.Sorted(maps.Keys(m.specs))...)
}

func (m *calendarModel) drawZone() map[string]string {
	if zone := among(m, "", "x", "y"); zone != "" {
		return map[string]string{"zone": zone}
	}
	return nil
}

func (m *calendarModel) drawRooms(n int) []pool.ItemSpec {
	var items []pool.ItemSpec
	for range n {
		s := pool.ItemSpec{ID: m.drawRoom(), Labels: m.drawZone(), Quantity: among[int64](m, 1, 1, 2, 3)}
		if !slices.ContainsFunc(items, func(x pool.ItemSpec) bool { return x.ID == s.ID }) {
			items = append(items, s)
		}
	}
	return items
}

// drawSpans draws times that often touch: of few lengths, within a short time.
func (m *calendarModel) drawSpans(n int) []pool.Span {
	var spans []pool.Span
	at := m.o.now + m.between(-3, 20)
	for range n {
		s := pool.Span{Start: at, End: at + among[int64](m, 1, 2, 3, 4, 4, 8, 8, 12)}
		switch m.below(200) {
		case 0:
			s.End = s.Start
		case 1:
			s.End = s.Start - 1
		case 2:
			s.End = s.Start + 13
		case 3:
			s.Start, s.End = s.Start+40, s.End+40
		case 4:
			s.Start, s.End = s.Start-20, s.End-20
		case 5:
			s.Start = -s.Start
		}
		spans = append(spans, s)
		at = s.End + m.between(0, 6)
	}
	return spans
}

func (m *calendarModel) drawWant() pool.Want {
	w := pool.Want{Pool: m.drawPool(), Spans: m.drawSpans(among(m, 1, 1, 1, 2, 3))}
	if m.below(60) == 0 {
		w.Spans = nil
	}
	w.Count = among[int64](m, 1, 1, 1, 1, 1, 1, 2, 2, 3, 0)
	switch m.below(6) {
	case 0, 1:
		w.IDs = []string{m.drawRoom()}
	case 2:
		w.IDs = []string{m.drawRoom(), m.drawRoom()}
	case 3:
		w.Select = pool.Selector{{Name: "zone", Values: among(m, []string{"x"}, []string{"y", "x"})}}
	}
	return w
}

func (m *calendarModel) drawKeyed() pool.Keyed {
	k := pool.Keyed{Client: among(m, "ann", "bob")}
	if m.below(6) == 0 {
		k.Key = among(m, "k1", "k2", "k3", "k4", "k5", "k6")
		k.Hash = uint64(m.between(1, 1000))
	}
	return k
}

// drawGrant draws a grant that there is, or not, and its token, or not.
func (m *calendarModel) drawGrant() (uint64, uint64) {
	ids := slices.Sorted(maps.Keys(m.o.grants))
	if len(ids) == 0 || m.below(12) == 0 {
		ids = []uint64{999_999, 1, 1 + m.o.rev/2} // one that never was, or is over
	}
	id := among(m, ids...)
	g := m.o.grants[id]
	if g == nil || m.below(16) == 0 {
		return id, 77_777
	}
	return id, g.token
}

func (m *calendarModel) drawAt(grant uint64) pool.At {
	g := m.o.grants[grant]
	if g == nil || m.below(3) == 0 {
		return pool.At{}
	}
	start := g.parts[m.below(len(g.parts))].span.Start
	if m.below(9) == 0 {
		start++
	}
	return pool.At{Start: &start, Following: m.below(2) == 0}
}

// step does something, each with a probability of its own.
func (m *calendarModel) step() {
	m.throw()
	keep := func(c pool.Command) {
		if keyOf(c).Key != "" {
			m.past = append(m.past, c)
		}
		m.do(c)
	}
	book := func() {
		keep(&pool.Book{
			Want: m.drawWant(), Keyed: m.drawKeyed(),
			OnConflict: among(m, "", pool.FailAll, pool.Skip, pool.Skip, pool.Report, pool.Report, "odd"),
		})
	}
	acquire := func() {
		c := &pool.Acquire{
			Kind:     among(m, "", pool.Lease, pool.Calendar, pool.Calendar, pool.Calendar, pool.Stock),
			Keyed:    pool.Keyed{Client: among(m, "ann", "bob")},
			Priority: among[int64](m, 0, 0, 1),
			WaitMs:   among[int64](m, 0, 5, 30, 60, 60),
		}
		if m.below(2) == 0 {
			ttl := among[int64](m, 3, 8)
			c.TTLMs = &ttl
		}
		for range among(m, 1, 1, 1, 2) {
			c.Want = append(c.Want, m.drawWant())
		}
		m.do(c)
	}
	moves := func() {
		c := &pool.Move{Keyed: m.drawKeyed()}
		c.Grant, c.Token = m.drawGrant()
		c.At = m.drawAt(c.Grant)
		if m.below(3) == 0 {
			c.Item = m.drawRoom()
		}
		if c.Item == "" || m.below(2) == 0 {
			n := 0
			if g := m.o.grants[c.Grant]; g != nil {
				starts := map[int64]bool{}
				for _, p := range g.parts {
					if meant(c.At, p) {
						starts[p.span.Start] = true
					}
				}
				n = len(starts)
			}
			if n == 0 || m.below(16) == 0 {
				n++
			}
			c.Spans = m.drawSpans(n)
		}
		keep(c)
	}
	actions := []struct {
		weight int
		do     func()
	}{
		{40, book}, {40, acquire}, {30, moves},
		{3, func() {
			if len(m.past) > 0 {
				m.do(m.past[m.below(len(m.past))])
			}
		}},
		{5, func() {
			c := &pool.Confirm{}
			c.Grant, c.Token = m.drawGrant()
			m.do(c)
		}},
		{2, func() {
			c := &pool.Renew{Kind: among(m, pool.Lease, pool.Calendar)}
			c.Grant, c.Token = m.drawGrant()
			m.do(c)
		}},
		{3, func() {
			c := &pool.Release{Kind: among(m, pool.Lease, pool.Calendar)}
			c.Grant, c.Token = m.drawGrant()
			if g := m.o.grants[c.Grant]; g != nil && m.below(2) == 0 {
				p := g.parts[m.below(len(g.parts))]
				c.Items = []pool.ItemRef{{Pool: among(m, p.pool, p.pool, "b"), ID: p.room, Units: m.between(0, 3), Span: p.span}}
			}
			m.do(c)
		}},
		{6, func() {
			c := &pool.Cancel{Keyed: m.drawKeyed()}
			c.Grant, c.Token = m.drawGrant()
			c.At = m.drawAt(c.Grant)
			keep(c)
		}},
		{5, func() {
			m.do(&pool.Fill{Pool: m.drawPool(), Items: m.drawRooms(m.below(3))})
		}},
		{2, func() {
			labels := m.drawZone()
			if labels == nil {
				labels = map[string]string{}
			}
			m.do(&pool.SetItem{Pool: m.drawPool(), ID: m.drawRoom(), Labels: labels})
		}},
		{2, func() {
			c := &pool.Drain{Pool: m.drawPool(), IDs: []string{m.drawRoom()}}
			if m.below(10) == 0 {
				c.IDs, c.All = nil, true
			}
			m.do(c)
		}},
		{2, func() {
			name := among(m, slices.Sorted(maps.Keys(m.specs))...)
			m.specs[name] = m.drawSpec(name)
			m.configure()
		}},
		{1, func() {
			c := &pool.CancelWait{Wait: 999_999}
			if len(m.o.waits) > 0 {
				c.Wait = m.o.waits[m.below(len(m.o.waits))].id
			}
			m.do(c)
		}},
		{12, func() { m.tick(m.between(0, 4)) }},
		{1, func() { m.tick(m.between(0, 60)) }},
		{2, func() { m.o.now += m.between(0, 6) }}, // what is due then is done later
		{1, func() { m.restart() }},
		{4, func() { m.look() }},
		{2, func() {
			if !m.frozen {
				m.m.Freeze()
				m.frozen, m.batch = true, nil
			}
		}},
		{4, func() { m.slice(1 + m.below(5)) }},
		{2, func() { m.slice(40) }},
	}
	all := 0
	for _, a := range actions {
		all += a.weight
	}
	n := m.below(all)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			a.do()
			return
		}
	}
}
