package pool

import (
	"cmp"
	"container/list"
	"fmt"
	"maps"
	"slices"
)

// Check recomputes all that is made of the records, and says where it is not so.
func (m *Machine) Check() (err error) {
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = f
		}
	}()
	m.checkMachine()
	for _, p := range m.pools {
		m.checkPool(p)
	}
	m.checkRecords()
	return nil
}

type failure struct{ error }

func want(ok bool, format string, args ...any) {
	if !ok {
		panic(failure{fmt.Errorf(format, args...)})
	}
}

func checkHeap[T any](what string, h *dueHeap[T], expected map[*T]int64) {
	want(len(h.entries) == len(expected), "%s: %d are due, want %d", what, len(h.entries), len(expected))
	for i, e := range h.entries {
		at, ok := expected[e.x]
		want(ok && at == e.at, "%s: entry %d is due at %d, want %d (%v)", what, i, e.at, at, ok)
		want(*h.place(e.x) == int32(i+1), "%s: entry %d thinks it is %d", what, i, *h.place(e.x)-1)
		want(i == 0 || !e.before(&h.entries[(i-1)/4]), "%s: entry %d is before its parent", what, i)
	}
}

func elements[T comparable](l *list.List) map[T]int {
	all := make(map[T]int)
	for e := l.Front(); e != nil; e = e.Next() {
		v, _ := e.Value.(T)
		all[v]++
	}
	return all
}

func (m *Machine) checkMachine() {
	want(slices.IsSortedFunc(m.pools, func(a, b *pool) int { return cmp.Compare(a.name, b.name) }), "pools are not sorted")
	want(len(m.pools) == len(m.byName), "%d pools, %d names", len(m.pools), len(m.byName))
	owners := make(map[owner]ownership)
	grants := make(map[*session]map[*grant]int)
	waits := make(map[*session]map[*wait]int)
	for _, s := range m.sessions {
		grants[s], waits[s] = map[*grant]int{}, map[*wait]int{}
	}
	for id, g := range m.grants {
		want(g.id == id && g.token <= m.rev && len(g.parts) > 0, "grant %d: %+v", id, g)
		temporary := false
		for i, p := range g.parts {
			it := p.item
			want(it.pool.items[it.id] == it && p.units > 0, "grant %d has %d of item %s", id, p.units, it.id)
			want(g.has(&p) == p.units, "grant %d has %d of item %s, which knows of %d", id, p.units, it.id, g.has(&p))
			want((p.span != nil) == (it.pool.spec.Kind == Calendar), "grant %d has item %s with span %v", id, it.id, p.span)
			temporary = temporary || g.temporary(&p)
			for _, x := range g.parts[:i] {
				want(x.item != it || p.span != nil && x.span.Start != p.span.Start, "grant %d has item %s twice", id, it.id)
			}
		}
		want(temporary == (g.expiresAt != 0), "grant %d ends at %d", id, g.expiresAt)
		s := m.sessions[g.session]
		want((g.inSession != nil) == (s != nil && g.onDisconnect != Keep && temporary), "grant %d: in session %v", id, g.inSession)
		if g.inSession != nil {
			grants[s][g]++
		}
		if temporary {
			o := owners[ownerOf(g.session, g.owner)]
			o.grants++
			owners[ownerOf(g.session, g.owner)] = o
		}
	}
	waitsDue := make(map[*wait]int64)
	aside := 0
	for id, w := range m.waits {
		want(w.id == id && w.holder == m.sessions[w.session], "wait %d: %+v", id, w)
		waitsDue[w] = w.until
		want((w.inSession != nil) == (w.holder != nil), "wait %d: in session %v", id, w.inSession)
		if w.holder != nil {
			waits[w.holder][w]++
		}
		if len(w.wants) > 1 || len(w.wants[0].IDs) > 1 || w.wants[0].Spans != nil {
			aside++
			want(w.line == nil && w.queuedAside == !w.holder.away(), "wait %d aside", id)
		} else {
			item := len(w.wants[0].IDs) == 1
			switch {
			case w.holder.away():
				want(w.line == nil, "wait %d is away, but in line", id)
			case w.line == nil:
				want(item, "wait %d is in no line", id)
			default:
				want(w.line.pool == m.byName[w.wants[0].Pool], "wait %d is in the line of another pool", id)
				want((w.line.item != nil) == item && (item || w.line.key == lineKey(w.wants[0].Select.text(), w.wants[0].Best)), "wait %d is in another's line", id)
				want(!item || w.line.item.id == w.wants[0].IDs[0], "wait %d is in the line of another item", id)
			}
			want(!w.queuedAside, "wait %d is aside", id)
		}
		if w.keyed.key != "" {
			k := m.keys[w.keyed]
			want(k != nil && k.wait == id, "wait %d: key %+v", id, k)
		}
		o := owners[ownerOf(w.session, w.owner)]
		o.waits++
		owners[ownerOf(w.session, w.owner)] = o
	}
	want(aside == m.complex, "%d waits aside, counted %d", aside, m.complex)
	checkHeap("waits", &m.waitsDue, waitsDue)
	sessionsDue := make(map[*session]int64)
	for id, s := range m.sessions {
		want(s.id == id, "session %d: %+v", id, s)
		if s.until != 0 {
			sessionsDue[s] = s.until
		}
		want(maps.Equal(elements[*wait](&s.waits), waits[s]), "waits of session %d", id)
		want(maps.Equal(elements[*grant](&s.grants), grants[s]), "leases of session %d", id)
	}
	checkHeap("sessions", &m.sessionsDue, sessionsDue)
	keysDue := make(map[*keyed]int64)
	for name, k := range m.keys {
		want(k.keyName == name, "key %v is %v", name, k.keyName)
		if k.until != 0 {
			keysDue[k] = k.until
		} else {
			want(m.waits[k.wait] != nil && m.waits[k.wait].keyed == name, "key %v waits for %d", name, k.wait)
		}
	}
	checkHeap("keys", &m.keysDue, keysDue)
	delete(owners, owner{}) // nobody
	if m.owners != nil {
		want(maps.Equal(owners, m.owners), "owners are %v, counted %v", owners, m.owners)
	}
	for i, l := range m.relook {
		want(l.again && !slices.Contains(m.relook[:i], l), "a line is to be looked at twice")
	}
	for i, p := range m.relookAside {
		want(p.again && !slices.Contains(m.relookAside[:i], p), "pool %s is to be looked at twice", p.name)
	}
}

// change is of what is used of a calendar's item.
type change struct{ at, by int64 }

func (m *Machine) checkPool(p *pool) {
	want(m.byName[p.name] == p && p.spec.Name == p.name, "pool %s is not under its name", p.name)
	want(!p.retired || len(p.items) > 0 || p.counts.waiting > 0, "pool %s should be gone", p.name)
	placed, removed := 0, 0
	for i, at := range p.order {
		want(at.ordinal <= p.ordinal && (i == 0 || p.order[i-1].ordinal < at.ordinal), "pool %s: the order at %d", p.name, i)
		if at.item == nil {
			removed++
			continue
		}
		placed++
		want(at.item.ordinal == at.ordinal && p.items[at.item.id] == at.item, "pool %s: %s is at another's place", p.name, at.item.id)
	}
	want(placed == len(p.items) && removed == p.removed, "pool %s: %d items placed of %d, %d removed, counted %d", p.name, placed, len(p.items), removed, p.removed)

	var c counts
	seated := 0
	held := make(map[string]int64)
	byClass := make(map[*class][]*item)
	for id, it := range p.items {
		want(it.id == id && it.pool == p && !it.picked, "pool %s: item %s: %+v", p.name, id, it)
		want(it.free == (it.available() > 0), "pool %s: item %s free: %v", p.name, id, it.free)
		want(!it.draining || !it.idle(), "pool %s: item %s stays", p.name, id)
		want((it.counter != nil) == (p.spec.Kind == Stock && it.quantity > 1), "pool %s: item %s has a counter: %v", p.name, id, it.counter)
		want((it.times != nil) == (p.spec.Kind == Calendar), "pool %s: item %s has a calendar: %v", p.name, id, it.times)
		if it.row != 0 {
			seated++
			want(p.hall.At(it.row, it.col) == it, "pool %s: item %s is not in its place", p.name, id)
		}
		byClass[it.class] = append(byClass[it.class], it)
		has := make(map[*grant]int64)
		for _, g := range m.grants {
			for _, x := range g.parts {
				if x.item == it {
					has[g] += x.units
					held[g.client] += x.units
				}
			}
		}
		switch {
		case it.times != nil:
			n := 0
			var changes []change
			for e := range it.times.Overlapping(-timeMax, timeMax) {
				s := e.Value
				want(has[s.grant] >= e.Units && e.Start == s.begin() && e.End == s.end(), "item %s is booked by a grant that does not know", id)
				changes = append(changes, change{e.Start, e.Units}, change{e.End, -e.Units})
				n++
			}
			want(n == it.times.Len(), "item %s: %d bookings, counted %d", id, n, it.times.Len())
			// Ends come before beginnings at the same time.
			slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
			use := int64(0)
			for i, c := range changes {
				use += c.by
				done := i+1 == len(changes) || changes[i+1].at > c.at
				want(c.at < m.now || !done || use <= int64(it.quantity), "item %s is booked %d times at %d, its capacity is %d", id, use, c.at, it.quantity)
			}
			if it.draining {
				c.draining++
			}
		case it.counter != nil:
			var x counter
			x.withheld = it.counter.withheld
			for g, units := range has {
				*x.of(g) += units
			}
			want(x == *it.counter && x.held+x.sold+x.withheld <= int64(it.quantity), "item %s of %d: %+v, counted %+v", id, it.quantity, x, *it.counter)
			c.held, c.sold, c.withheld = c.held+int(x.held), c.sold+int(x.sold), c.withheld+int(x.withheld)
			if it.draining {
				c.draining += int(x.held + x.sold)
			} else {
				c.free += int(it.quantity) - int(x.held+x.sold+x.withheld)
			}
		case it.grant != nil:
			want(m.grants[it.grant.id] == it.grant && has[it.grant] == 1 && len(has) == 1, "item %s is in a grant that does not know", id)
			if it.grant.firm && p.spec.Kind != Lease {
				c.sold++
			} else {
				c.held++
			}
			if it.draining {
				c.draining++
			}
		default:
			want(len(has) == 0, "item %s does not know of its grant", id)
			switch it.state {
			case dirty:
				c.dirty++
			case quarantined:
				c.quarantined++
			case withheld:
				c.withheld++
			default:
				c.free++
			}
		}
	}
	want(seated == p.hall.Len(), "pool %s: %d seats have places, the hall knows %d", p.name, seated, p.hall.Len())
	due := make(map[*grant]int64)
	for _, g := range m.grants {
		if slices.ContainsFunc(g.parts, func(x part) bool { return x.item.pool == p }) {
			c.grants++
		}
		if g.parts[0].item.pool != p {
			continue
		}
		if due[g] = g.expiresAt; g.expiresAt == 0 {
			if due[g] = g.pastAt(); due[g] == 0 {
				delete(due, g)
			}
		} else if late := g.expiresAt <= m.now && p.due.entries[g.due-1].at == g.expiresAt; !g.told && g.noticeMs > 0 && !late {
			due[g] -= g.noticeMs
		}
	}
	checkHeap("grants of "+p.name, &p.due, due)
	queued := make(map[string]int)
	inLines := make(map[*line]map[*wait]int)
	var aside []*wait
	for _, w := range m.waits {
		of := func(x Want) bool { return x.Pool == p.name }
		if !slices.ContainsFunc(w.wants, of) {
			continue
		}
		c.waiting++
		if w.queuedAside {
			aside = append(aside, w)
		}
		if w.line != nil {
			if inLines[w.line] == nil {
				inLines[w.line] = map[*wait]int{}
			}
			inLines[w.line][w]++
		}
		if w.wants[0].Pool == p.name {
			queued[w.client]++
		}
	}
	want(c == p.counts, "pool %s: counts are %+v, counted %+v", p.name, c, p.counts)
	want(maps.Equal(queued, p.queued), "pool %s: queued are %v, counted %v", p.name, queued, p.queued)
	want((p.held != nil) == (p.spec.QuotaMax > 0), "pool %s: held", p.name)
	want(p.held == nil || maps.Equal(held, p.held), "pool %s: held are %v, counted %v", p.name, held, p.held)
	slices.SortFunc(aside, func(a, b *wait) int {
		if a.sooner(b) {
			return -1
		}
		return 1
	})
	want(slices.Equal(aside, p.complex), "pool %s: waits aside", p.name)

	want(len(p.classes) == len(p.byLabels), "pool %s: %d classes, %d label sets", p.name, len(p.classes), len(p.byLabels))
	for _, c := range p.classes {
		want(p.byLabels[c.text] == c && c.pool == p, "pool %s: class %s", p.name, c.text)
		want(c.live > 0 || len(c.lines) > 0, "pool %s: class %s is not needed", p.name, c.text)
		c.check(byClass[c])
		for i, l := range c.lines {
			want(!slices.Contains(c.lines[:i], l) && p.lines[l.key] == l && l.selector.matches(c.labels), "pool %s: class %s: line %q", p.name, c.text, l.key)
		}
		delete(byClass, c)
	}
	want(len(byClass) == 0, "pool %s has items of unknown classes", p.name)
	checkLine := func(l *line) {
		all := make(map[*wait]int)
		var last *wait
		var walk func(*wait) int
		walk = func(w *wait) int {
			if w == nil {
				return 0
			}
			n := walk(w.Left)
			want(last == nil || last.before(w) && !w.before(last), "line %q: wait %d is out of order", l.key, w.id)
			last = w
			all[w]++
			n += 1 + walk(w.Right)
			want(w.size == n, "line %q: wait %d has %d below, counted %d", l.key, w.id, n, w.size)
			for _, x := range []*wait{w.Left, w.Right} {
				want(x == nil || x.Weight(0) <= w.Weight(0), "line %q: wait %d outweighs its parent", l.key, w.id)
			}
			return n
		}
		walk(l.Root)
		want(len(all) > 0 && maps.Equal(all, inLines[l]), "line %q has other waits than say so", l.key)
		delete(inLines, l)
	}
	for key, l := range p.lines {
		want(l.key == key && l.pool == p && l.item == nil, "pool %s: line %q", p.name, key)
		n := 0
		for _, c := range p.classes {
			if l.selector.matches(c.labels) {
				n++
				want(slices.Contains(l.classes, c) && slices.Contains(c.lines, l), "pool %s: line %q does not know class %s", p.name, key, c.text)
			}
		}
		want(n == len(l.classes), "pool %s: line %q has %d classes, want %d", p.name, key, len(l.classes), n)
		checkLine(l)
	}
	for it, l := range p.itemLines {
		want(l.item == it && l.pool == p, "pool %s: the line of item %s", p.name, it.id)
		checkLine(l)
	}
	want(len(inLines) == 0, "pool %s: waits are in unknown lines", p.name)
}

// check checks a class that should have these items.
func (c *class) check(items []*item) {
	want(c.live == len(items), "class %s: %d items, counted %d", c.text, len(items), c.live)
	units, available, free := int64(0), int64(0), 0
	for _, it := range items {
		want(c.items[it.slot] == it, "class %s: item %s is not in its slot", c.text, it.id)
		if !it.draining {
			units += int64(it.quantity)
		}
		want(int64(it.listed) == it.available(), "class %s: item %s has %d, listed %d", c.text, it.id, it.available(), it.listed)
		available += it.available()
		if it.free {
			free++
			want(c.dense[it.densePos] == it, "class %s: item %s is not in dense", c.text, it.id)
		}
	}
	want(units == c.units && available == c.available && free == len(c.dense), "class %s: %d units, counted %d; %d available, counted %d; free %d, dense %d", c.text, units, c.units, available, c.available, free, len(c.dense))
	var last *item
	for slot, it := range c.items {
		bit := len(c.bits) > 0 && slot>>6 < len(c.bits[0]) && c.bits[0][slot>>6]>>(slot&63)&1 == 1
		want(bit == (it != nil && it.free), "class %s: slot %d is marked free: %v", c.text, slot, bit)
		if it == nil {
			continue
		}
		want(last == nil || last.ordinal < it.ordinal, "class %s: %s and %s are not in the pool's order", c.text, last, it)
		last = it
	}
	for level, words := range c.bits {
		if level+1 == len(c.bits) {
			want(len(words) == 1, "class %s: level %d has %d words and none above", c.text, level, len(words))
			break
		}
		for i, w := range words {
			up := i>>6 < len(c.bits[level+1]) && c.bits[level+1][i>>6]>>(i&63)&1 == 1
			want(up == (w != 0), "class %s: word %d of level %d is %x, marked %v above", c.text, i, level, w, up)
		}
	}
	n := 0
	last = nil
	for it := c.oldest; it != nil; it = it.next {
		want(it.free && it.class == c && it.prev == last, "class %s: the list at %s", c.text, it.id)
		want(last == nil || last.freedRev < it.freedRev || last.freedRev == it.freedRev && last.ordinal < it.ordinal, "class %s: %s became free before %s", c.text, it.id, last)
		last = it
		n++
	}
	want(n == free && c.newest == last, "class %s: %d of %d free items in the list", c.text, n, free)
}

func (it *item) String() string { return fmt.Sprintf("%s(%d)", it.id, it.ordinal) }

// checkRecords computes the hash from all records, and looks for those that the next checkpoint would miss.
func (m *Machine) checkRecords() {
	sum := uint64(0)
	dirty := make(map[record]int)
	nils := 0
	for i, r := range m.ck.dirty {
		if r == nil {
			nils++
			continue
		}
		dirty[r]++
		want(r.rec().stored || r.rec().hash == uint64(i), "a changed record does not know its place")
		want(r.rec().stored || !r.rec().gone, "a record that came and went is kept")
	}
	want(nils == m.ck.nils, "%d nils, counted %d", nils, m.ck.nils)
	pending := make(map[record]bool)
	if m.ck.active {
		for _, r := range m.ck.frozen[m.ck.next:] {
			if r != nil && r.rec().gen != m.ck.gen {
				pending[r] = true
			}
		}
	}
	add := func(r record) {
		var e enc
		r.key(&e)
		r.value(&e)
		h := hashOf(e)
		sum += h
		x := r.rec()
		want(!x.gone, "a record of the state is gone: %q", e)
		want(dirty[r] == min(1, dirty[r]) && (dirty[r] == 1) == (x.gen == m.ck.gen), "record %q is %d times among the changed", e, dirty[r])
		want(dirty[r] == 1 || pending[r] || x.stored && x.hash == h, "record %q has changed unseen", e)
	}
	m.records(add)
	want(sum == m.Hash(), "the hash is %x, computed anew %x", m.Hash(), sum)
}
