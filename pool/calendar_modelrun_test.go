package pool_test

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"pgregory.net/rapid"

	"github.com/kassa-go/kassa/pool"
)

// do has the machine decide what the oracle foretells.
func (m *calendarModel) do(c pool.Command) {
	o := m.o
	m.steps++
	o.rt.Logf("at %d: %T %+v", o.now, c, c)
	hash, rev := m.m.Hash(), m.m.Rev()
	o.events, o.answers = nil, nil
	want := o.expect(c)
	k := keyOf(c)
	if k.Key != "" && want.keeps {
		o.log("key.settled")
	}
	var r pool.Reply
	m.m.Decide(o.now, c, &r)
	m.follow(c)
	code := pool.Code("")
	if r.Err != nil {
		code = r.Err.Code
		o.must(r.Err.Message != "", "%T %+v: refused without a word: %+v", c, c, r)
	}
	o.must(code == want.code, "%T %+v: %+v %v, want %q", c, c, r, r.Err, want.code)
	if code != "" || want.repeats != nil {
		o.must(m.m.Hash() == hash && m.m.Rev() == rev, "%T %+v: %+v, and the state has changed", c, c, r)
	}
	if want.repeats != nil {
		first := want.repeats.reply
		o.must(r.Repeated, "%T %+v: %+v does not repeat %+v", c, c, r, first)
		r.Repeated = false
		o.must(fmt.Sprintf("%+v", r) == fmt.Sprintf("%+v", first), "%T %+v: repeated: %+v, first %+v", c, c, r, first)
		return
	}
	got := cReply{
		code: code, grant: r.Grant, token: r.Token, expires: r.ExpiresAt, count: r.Count, other: r.Other, waiting: r.Waiting,
		items: o.partsOf(r.Items), conflicts: o.partsOf(r.Conflicts), keeps: want.keeps,
	}
	if len(want.items) == 0 {
		want.items = nil
	}
	o.must(reflect.DeepEqual(got, want) && !r.Repeated, "%T %+v: %+v, want %+v", c, c, got, want)
	o.must(r.Rev > rev || r.Rev == m.m.Rev(), "%T %+v: %+v after %d", c, c, r, rev)
	if k.Key != "" && want.keeps {
		o.keys[oKeyName{k.Client, k.Key}] = &cKey{k.Hash, r}
	}
}

func (o *calendars) partsOf(given []pool.Given) []cPart {
	var parts []cPart
	for _, g := range given {
		parts = append(parts, cPart{g.Pool, g.ID, g.Units, g.Span})
		if r := o.pools[g.Pool].room(g.ID); g.Units > 0 && r != nil {
			o.must(g.Labels == labelled(r.zone), "%+v is labelled %q", g, r.zone)
		}
	}
	return parts
}

// follow takes what the machine did to the journal, and compares it with what it should have done.
func (m *calendarModel) follow(c any) {
	o := m.o
	var events, answers []string
	if data := m.m.TakeChunk(); data != nil {
		m.chunks = append(m.chunks, chunk{m.m.Rev(), data})
		err := pool.Events(data, func(e *pool.Event) bool {
			o.must(e.At == o.now, "%+v at %d", e, o.now)
			events = append(events, fmt.Sprintf("%d ", e.Rev)+told(e))
			return true
		})
		o.must(err == nil, "%v", err)
	}
	n := min(len(events), len(o.events)) // Tick does a part of what it should at a time
	if _, tick := c.(tick); !tick {
		n = len(o.events)
	}
	o.must(slices.Equal(events, o.events[:n]), "%T %+v: it was %q, want %q", c, c, events, o.events)
	o.events = o.events[n:]
	all, notices := m.m.TakeAnswers()
	o.must(len(notices) == 0, "%+v", notices)
	for _, a := range all {
		if a.Reply.Err != nil {
			answers = append(answers, fmt.Sprintf("%d: %s", a.Wait, a.Reply.Err.Code))
			continue
		}
		answers = append(answers, fmt.Sprintf("%d: %v", a.Wait, o.partsOf(a.Reply.Items)))
	}
	n = min(len(answers), len(o.answers))
	o.must(slices.Equal(answers, o.answers[:n]), "%T %+v: answered was %q, want %q", c, c, answers, o.answers)
	o.answers = o.answers[n:]
}

// told is an event as calendars.log tells it.
func told(e *pool.Event) string {
	parts := make([]cPart, len(e.Items))
	for i, ref := range e.Items {
		parts[i] = cPart{ref.Pool, ref.ID, ref.Units, ref.Span}
	}
	switch e.Type {
	case "lease.granted", "slot.held", "slot.booked":
		return fmt.Sprintf("%s %d by %s until %d: %v", e.Type, e.Grant, e.Client, e.ExpiresAt, parts)
	case "slot.moved":
		was := ""
		for i, ref := range e.Was {
			was += fmt.Sprintf("%s/%s %d, ", ref.Pool, ref.ID, ref.Span.Start)
			parts[i].units = 0
		}
		return fmt.Sprintf("%s %d: %sto %v", e.Type, e.Grant, was, parts)
	case "item.set", "item.drained":
		return fmt.Sprintf("%s %s/%s %s", e.Type, e.Items[0].Pool, e.Items[0].ID, e.Labels)
	case "wait.began":
		return fmt.Sprintf("%s %d", e.Type, e.Wait)
	case "wait.ended":
		return fmt.Sprintf("%s %d %s", e.Type, e.Wait, e.Cause)
	case "pool.set":
		return fmt.Sprintf("%s %s", e.Type, e.Pool)
	case "lease.renewed", "hold.extended":
		return fmt.Sprintf("%s %d until %d", e.Type, e.Grant, e.ExpiresAt)
	case "hold.confirmed":
		return fmt.Sprintf("%s %d: %v", e.Type, e.Grant, parts)
	case "key.settled":
		return e.Type
	}
	return fmt.Sprintf("%s %d %s: %s", e.Type, e.Grant, e.Cause, anyOrder(parts))
}

func (m *calendarModel) tick(ms int64) {
	o := m.o
	o.now += ms
	o.rt.Logf("at %d: Tick", o.now)
	m.steps++
	o.events, o.answers = nil, nil
	o.tick()
	budget := 1 + m.below(4)
	for more := true; more; {
		more = m.m.Tick(o.now, budget)
		m.follow(tick{})
	}
	o.must(len(o.events) == 0 && len(o.answers) == 0, "Tick did not %q, answer %q", o.events, o.answers)
}

func (m *calendarModel) slice(n int) {
	if !m.frozen {
		return
	}
	records, mark, done := m.m.Slice(n)
	m.batch = append(m.batch, records...)
	if !done {
		return
	}
	for _, r := range m.batch {
		if r.Value == nil {
			delete(m.store, string(r.Key))
		} else {
			m.store[string(r.Key)] = string(r.Value)
		}
	}
	m.frozen, m.mark = false, mark
}

// replayed returns a machine made of the checkpoint, if from is its mark, and the chunks after it.
func (m *calendarModel) replayed(from pool.Mark) *pool.Machine {
	x := pool.New(pool.Config{})
	if from.Rev > 0 {
		for _, key := range slices.Sorted(maps.Keys(m.store)) {
			err := x.Load([]byte(key), []byte(m.store[key]))
			m.o.must(err == nil, "%v", err)
		}
		err := x.Loaded(from)
		m.o.must(err == nil, "%v", err)
	}
	for _, c := range m.chunks {
		if c.seq > from.Rev {
			err := x.Replay(c.seq, c.data)
			m.o.must(err == nil, "%v", err)
		}
	}
	m.o.must(x.Hash() == m.m.Hash() && x.Rev() == m.m.Rev(), "replayed from %d: hash %x at %d, want %x at %d",
		from.Rev, x.Hash(), x.Rev(), m.m.Hash(), m.m.Rev())
	err := x.Check()
	m.o.must(err == nil, "replayed from %d: %v", from.Rev, err)
	m.agrees(x)
	return x
}

func (m *calendarModel) restart() {
	m.m = m.replayed(m.mark)
	m.frozen = false
	m.do(&pool.Restarted{})
	m.tick(0)
}

func (m *calendarModel) invariants(*rapid.T) {
	o := m.o
	if m.steps%4 != 0 {
		return
	}
	err := m.m.Check()
	o.must(err == nil, "%v", err)
	m.agrees(m.m)
	for name, p := range o.pools {
		parts := o.parts(name)
		for _, r := range p.rooms {
			for at := o.now; at < o.now+70; at++ {
				if n := use(parts, r.id, at); n > r.capacity {
					o.rt.Fatalf("room %s/%s has %d at %d, and room for %d", name, r.id, n, at, r.capacity)
				}
			}
		}
	}
	if len(o.again) > 0 {
		return
	}
	due := int64(0)
	next := func(at int64) {
		if due == 0 || at < due {
			due = at
		}
	}
	for _, g := range o.grants {
		next(o.due(g))
	}
	for _, w := range o.waits {
		next(w.until)
	}
	at := m.m.NextDue()
	o.must(at == due || due == 0 && at > o.now+300_000, "due at %d, want %d", at, due) // the latter is a key
}

// agrees compares what can be seen of a machine.
func (m *calendarModel) agrees(x *pool.Machine) {
	o := m.o
	o.must(x.Rev() == o.rev, "rev %d, want %d", x.Rev(), o.rev)
	for name, p := range o.pools {
		want := pool.Stats{Pool: name, Kind: pool.Calendar, Items: len(p.rooms), Waiting: len(o.inTurn(name)), Granted: uint64(p.granted)}
		for _, g := range o.grants {
			if slices.ContainsFunc(g.parts, func(x cPart) bool { return x.pool == name }) {
				want.Grants++
			}
		}
		var rooms, list []string
		var booked, times []string
		for _, r := range p.rooms {
			all := o.booked(name, r.id)
			if r.draining {
				want.Draining++
			}
			rooms = append(rooms, fmt.Sprint(r.id, r.capacity, r.draining, len(all), labelled(r.zone)))
			booked = append(booked, all...)
		}
		got, err := x.Stats(name)
		o.must(err == nil && got == want, "%+v, want %+v, %v", got, want, err)
		page, _, err := x.ListItems(nil, name, 100, "")
		for _, v := range page {
			list = append(list, fmt.Sprint(v.ID, v.Quantity, v.Draining, v.Bookings, v.Labels))
		}
		o.must(err == nil && slices.Equal(list, rooms), "rooms are %v, want %v, %v", list, rooms, err)
		seen, _, err := x.Booked(pool.TimesQuery{Pool: name, To: 1 << 50, Limit: 1000})
		for _, b := range seen {
			times = append(times, fmt.Sprint(b.Grant, b.Client, b.ExpiresAt, cPart{name, b.ID, b.Units, b.Span}))
		}
		o.must(err == nil && slices.Equal(times, booked), "booked are %q, want %q, %v", times, booked, err)
	}
}

// booked tells what is booked of a room.
func (o *calendars) booked(name, room string) []string {
	type entry struct {
		g *cGrant
		p cPart
	}
	var all []entry
	for _, g := range o.grants {
		for _, p := range g.parts {
			if p.pool == name && p.room == room {
				all = append(all, entry{g, p})
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.p.begin(), b.p.begin()), cmp.Compare(a.g.id, b.g.id))
	})
	var out []string
	for _, e := range all {
		out = append(out, fmt.Sprint(e.g.id, e.g.client, e.g.expires, e.p))
	}
	return out
}

// look asks for what is free, in pages, and what is booked.
func (m *calendarModel) look() {
	o := m.o
	name := among(m, slices.Sorted(maps.Keys(m.specs))...)
	p := o.pools[name]
	q := pool.TimesQuery{
		Pool: name, Units: among[int64](m, 1, 1, 2, 3), LengthMs: among[int64](m, 1, 3, 8, 12), Limit: among(m, 1, 2, 100),
	}
	q.From = o.now + m.between(-10, 20)
	q.To = q.From + m.between(1, 40)
	var want, got []string
	parts := o.parts(name)
	now := m.m.Now()
	from, to := max(q.From, now), min(q.To, now+p.spec.HorizonMs+q.LengthMs)
	for _, r := range p.rooms {
		start := int64(-1)
		for at := from - p.spec.SetupMs; !r.draining && from < to && at <= to+p.spec.CleanupMs; at++ {
			free := at < to+p.spec.CleanupMs && use(parts, r.id, at)+q.Units <= r.capacity
			switch {
			case free && start < 0:
				start = at
			case !free && start >= 0:
				if from, to := start+p.spec.SetupMs, at-p.spec.CleanupMs; to-from >= q.LengthMs {
					want = append(want, fmt.Sprint(r.id, from, to))
				}
				start = -1
			}
		}
	}
	if !slices.ContainsFunc(p.rooms, func(r *cRoom) bool { return !r.draining && q.Units <= r.capacity }) {
		_, _, err := m.m.Free(q)
		e, ok := err.(*pool.Error)
		o.must(ok && e.Code == pool.NoMatch, "%+v: %v, and no room would do", q, err)
		return
	}
	for range 100 {
		page, cursor, err := m.m.Free(q)
		o.must(err == nil && len(page) <= q.Limit, "%v, %d", err, len(page))
		for _, g := range page {
			got = append(got, fmt.Sprint(g.ID, g.Span.Start, g.Span.End))
		}
		if q.Cursor = cursor; cursor == "" {
			break
		}
	}
	o.must(slices.Equal(got, want), "%+v: free are %v, want %v", q, got, want)

	want, got = nil, nil
	for _, r := range p.rooms {
		for _, g := range o.grants {
			for _, x := range g.parts {
				if x.pool == name && x.room == r.id && x.span.Start < q.To && x.span.End > q.From {
					want = append(want, fmt.Sprint(g.id, x))
				}
			}
		}
	}
	q.Cursor = ""
	for range 100 {
		page, cursor, err := m.m.Booked(q)
		o.must(err == nil, "%v", err)
		for _, b := range page {
			got = append(got, fmt.Sprint(b.Grant, cPart{name, b.ID, b.Units, b.Span}))
		}
		if q.Cursor = cursor; cursor == "" {
			break
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	o.must(slices.Equal(got, want), "%+v: booked are %q, want %q", q, got, want)
}
