package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// told is what a client was told of one of its requests.
type told struct {
	what      toldWhat
	lease     uint64
	token     uint64
	rev       uint64 // of the reply
	seen      uint64 // the highest rev that any client knew of when the request was first sent
	sent      int64  // when that was, in ns since the crowd began
	at        int64  // when the client was told, ms
	expiresAt int64
	items     []string // of a grant, as refs makes them
}

type toldWhat string

const (
	toldGranted  toldWhat = "granted"
	toldReleased toldWhat = "released"
	toldRenewed  toldWhat = "renewed"
	toldOver     toldWhat = "over" // by stale_token, with a token that was good
)

// ledger replays the events of a store by itself, and compares them with what clients were told. It knows nothing of the
// machine that made them.
type ledger struct {
	rev    uint64 // of the last event
	at     int64  // when that was, ms
	holder map[string]uint64
	token  map[string]uint64 // of each item's last grant
	dirty  map[string]bool
	open   map[uint64]*grant  // by lease
	ends   map[uint64]end     // by lease: by a release that nobody was told of yet
	grants map[uint64]*grant  // by token: those that nobody was told of yet
	ran    map[uint64]int64   // by lease: when it ran out
	over   map[uint64]bool    // leases of which a client was told that they are over, before an event said so
	renews map[uint64]renewal // by rev
	sales  *sales             // the events of seats and rooms, and of what is had with them
	wrong  []string
}

type grant struct {
	lease, token uint64
	items        []string
	grantedFor   int64 // until when, as it was granted
	expiresAt    int64
}

type end struct {
	rev, token uint64
}

type renewal struct {
	lease     uint64
	expiresAt int64
}

func newLedger() *ledger {
	l := &ledger{
		holder: map[string]uint64{}, token: map[string]uint64{}, dirty: map[string]bool{}, open: map[uint64]*grant{},
		ends: map[uint64]end{}, grants: map[uint64]*grant{}, ran: map[uint64]int64{},
		over: map[uint64]bool{}, renews: map[uint64]renewal{},
	}
	l.sales = newSales(l)
	return l
}

func (l *ledger) fail(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

func ref(pool, id string) string { return pool + "/" + id }

func refs(items []pool.ItemRef) []string {
	names := make([]string, len(items))
	for i, it := range items {
		names[i] = ref(it.Pool, it.ID)
	}
	slices.Sort(names)
	return names
}

// event takes the next event.
func (l *ledger) event(e *pool.Event) {
	if e.Rev != l.rev+1 {
		l.fail("event %d comes after event %d", e.Rev, l.rev)
	}
	if e.At < l.at {
		l.fail("event %d: the clock was at %d already, now %d", e.Rev, l.at, e.At)
	}
	l.rev, l.at = e.Rev, e.At
	if l.sales.event(e) {
		return
	}
	switch e.Type {
	case "lease.granted":
		l.granted(e)
	case "lease.renewed":
		g := l.open[e.Grant]
		if g == nil || e.At >= g.expiresAt {
			l.fail("event %d renews lease %d, which is over", e.Rev, e.Grant)
			return
		}
		g.expiresAt = e.ExpiresAt
		l.renews[e.Rev] = renewal{e.Grant, e.ExpiresAt}
	case "lease.released", "lease.expired":
		l.ended(e)
	case "item.state":
		l.dirty[refs(e.Items)[0]] = e.State != "free"
	}
}

func (l *ledger) granted(e *pool.Event) {
	g := &grant{e.Grant, e.Token, refs(e.Items), e.ExpiresAt, e.ExpiresAt}
	if g.token != e.Rev || l.open[g.lease] != nil || g.expiresAt <= e.At || len(g.items) == 0 {
		l.fail("event %d: lease %d with token %d until %d, at %d", e.Rev, g.lease, g.token, g.expiresAt, e.At)
	}
	for _, it := range g.items {
		if other := l.holder[it]; other != 0 {
			l.fail("event %d gives %s to lease %d, while lease %d has it", e.Rev, it, g.lease, other)
		}
		if l.dirty[it] {
			l.fail("event %d gives out %s, which is dirty", e.Rev, it)
		}
		if l.token[it] >= g.token {
			l.fail("event %d gives out %s with token %d, after %d", e.Rev, it, g.token, l.token[it])
		}
		l.holder[it], l.token[it] = g.lease, g.token
	}
	l.open[g.lease], l.grants[g.token] = g, g
}

func (l *ledger) ended(e *pool.Event) {
	g := l.open[e.Grant]
	if g == nil || !slices.Equal(g.items, refs(e.Items)) {
		l.fail("event %d: %s of lease %d, which does not hold %v", e.Rev, e.Type, e.Grant, refs(e.Items))
		return
	}
	expired := e.Type == "lease.expired"
	if expired != (e.At >= g.expiresAt) || !expired && e.Cause != "" {
		l.fail("event %d: %s of lease %d at %d, cause %q, while it lasts until %d", e.Rev, e.Type, e.Grant, e.At, e.Cause, g.expiresAt)
	}
	for _, it := range g.items {
		delete(l.holder, it)
		l.dirty[it] = e.Outcome == string(pool.Dirty)
	}
	delete(l.open, e.Grant)
	if expired {
		l.ran[e.Grant] = g.expiresAt
	} else {
		l.ends[e.Grant] = end{e.Rev, g.token}
	}
}

// tell compares what a client was told with the events so far.
func (l *ledger) tell(t *told) {
	if t.rev > l.rev {
		l.fail("a client was told of rev %d, the last event is %d: %+v", t.rev, l.rev, *t)
	}
	switch t.what {
	case toldGranted:
		g := l.grants[t.token]
		delete(l.grants, t.token)
		switch {
		case g == nil:
			l.fail("this grant is in no event, or was told twice: %+v", *t)
		case g.lease != t.lease || g.grantedFor != t.expiresAt || !slices.Equal(g.items, t.items) || g.token > t.rev:
			l.fail("this grant is another in its event: %+v, %+v", *t, *g)
		default:
			l.inOrder(t, g.token)
		}
	case toldReleased:
		e, ok := l.ends[t.lease]
		delete(l.ends, t.lease)
		switch {
		case !ok:
			l.fail("this release is in no event, or was told twice: %+v", *t)
		case e.token != t.token || e.rev > t.rev:
			l.fail("this release is another in its event: %+v, %+v", *t, e)
		default:
			l.inOrder(t, e.rev)
		}
	case toldRenewed:
		r := l.renews[t.rev]
		delete(l.renews, t.rev)
		if r.lease != t.lease || r.expiresAt != t.expiresAt {
			l.fail("this renewal is in no event, or another: %+v, %+v", *t, r)
			return
		}
		l.inOrder(t, t.rev)
	case toldOver:
		if _, ok := l.ends[t.lease]; ok { // its own release, of whose outcome it had not been told
			delete(l.ends, t.lease)
			return
		}
		until, ok := l.ran[t.lease]
		if g := l.open[t.lease]; g != nil {
			until, ok = g.expiresAt, true
			l.over[t.lease] = true
		}
		if !ok || until > t.at+clockSlack {
			l.fail("this lease was said to be over: %+v; it lasts until %d", *t, until)
		}
	}
}

// inOrder checks that what somebody knew of before a request was sent comes before what the request did.
func (l *ledger) inOrder(t *told, rev uint64) {
	if rev <= t.seen {
		l.fail("event %d, of which somebody was told, came before event %d, whose request was sent later: %+v", t.seen, rev, *t)
	}
}

// err returns what is wrong so far.
func (l *ledger) err() error {
	if len(l.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d things are wrong, such as:\n%s", len(l.wrong), strings.Join(l.wrong[:min(len(l.wrong), 5)], "\n"))
}

// clockSlack is how far, in ms, the clocks of client and server may be apart, which are the same unless somebody sets it.
const clockSlack = 1000

// settle is called when all that has been told was compared. strays is how many requests were left alone without an
// answer: their grants were told to nobody. At the end, what was said to be over must be.
func (l *ledger) settle(strays int, end bool) {
	clear(l.renews) // those of an unknown outcome were renewed again
	for lease := range l.over {
		if l.open[lease] == nil {
			delete(l.over, lease)
		} else if end {
			l.fail("a client was told that lease %d is over, and no event says so", lease)
		}
	}
	if !end {
		return
	}
	l.sales.settle()
	if len(l.grants) > strays {
		l.fail("%d grants were told to nobody, %d requests were left alone", len(l.grants), strays)
	}
	if len(l.ends) > 0 {
		l.fail("%d releases were told to nobody: %v", len(l.ends), l.ends)
	}
}

// read reads the events that have come to a store since the last call, or since its beginning. Nobody has it open.
func (l *ledger) read(dir string) error {
	j, err := journal.OpenReadOnly(journal.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer j.Close()
	if _, err := j.Recover(journal.Recovery{}); err != nil {
		return err
	}
	return j.Read(context.Background(), l.rev, func(_ uint64, chunk []byte) error {
		return pool.Events(chunk, func(e *pool.Event) bool {
			l.event(e)
			return true
		})
	})
}

// compare compares who holds what with a list of a pool's items.
func (l *ledger) compare(name string, items []wire.ItemState) {
	for _, it := range items {
		at := ref(name, it.ID)
		if lease := l.holder[at]; it.Lease != lease || lease != 0 && it.ExpiresAt != l.open[lease].expiresAt {
			l.fail("pool.list has %+v, the events say that lease %d has it", it, lease)
		}
	}
}

// A turn is what one request did to a pool of up to deskItems items whose leases do not run out, or to as many seats, or to
// a room that is booked for one of so many times: these are its items.
type turn struct {
	what  turnWhat
	item  int
	token uint64
	free  int // items, of a look
	sold  int // likewise
}

type turnWhat string

const (
	turnTake   turnWhat = "take"
	turnNone   turnWhat = "none free"
	turnNot    turnWhat = "not free"
	turnBack   turnWhat = "give back"
	turnRenew  turnWhat = "renew"
	turnStale  turnWhat = "stale token"
	turnSell   turnWhat = "sell"
	turnSold   turnWhat = "sold already"
	turnRefund turnWhat = "refund"
	turnMove   turnWhat = "move"
	turnLook   turnWhat = "look"
)

const deskItems = 4

// desk is such a pool: the tokens with which its items are held, 0 for those that are free, which are sold, and the last token.
type desk struct {
	held [deskItems]uint64
	sold [deskItems]bool
	last uint64
}

func (d desk) after(t turn) (desk, bool) {
	at := slices.Index(d.held[:], t.token)
	switch t.what {
	case turnTake:
		if d.held[t.item] != 0 || t.token <= d.last {
			return d, false
		}
		d.held[t.item], d.last = t.token, t.token
	case turnNone:
		return d, !slices.Contains(d.held[:], 0)
	case turnNot:
		return d, d.held[t.item] != 0
	case turnBack, turnRefund:
		if at < 0 || d.sold[at] != (t.what == turnRefund) {
			return d, false
		}
		d.held[at], d.sold[at] = 0, false
	case turnRenew:
		return d, at >= 0
	case turnStale:
		return d, at < 0
	case turnSell:
		if at < 0 || d.sold[at] {
			return d, false
		}
		d.sold[at] = true
	case turnSold:
		return d, at >= 0 && d.sold[at]
	case turnMove:
		if at < 0 || d.held[t.item] != 0 {
			return d, false
		}
		d.held[at], d.held[t.item] = 0, t.token
	case turnLook:
		for i, token := range d.held {
			switch {
			case token == 0:
				t.free--
			case d.sold[i]:
				t.sold--
			}
		}
		return d, t.free == 0 && t.sold == 0
	}
	return d, true
}

// linearizable checks the history of one pool, in the pieces between moments at which nothing was under way: what was held
// then is known. That there was not enough time for one is no yes.
func linearizable(history []porcupine.Operation) error {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var held desk
	for len(history) > 0 {
		n, until := 0, history[0].Return
		for ; n < len(history) && history[n].Call <= until; n++ {
			until = max(until, history[n].Return)
		}
		model := porcupine.Model{
			Init: func() any { return held },
			Step: func(state, input, _ any) (bool, any) {
				next, ok := state.(desk).after(input.(turn))
				return ok, next
			},
		}
		if result := porcupine.CheckOperationsTimeout(model, history[:n], giveUp); result != porcupine.Ok {
			return fmt.Errorf("porcupine says of %d operations: %s", n, result)
		}
		held = held.afterAll(history[:n])
		history = history[n:]
	}
	return nil
}

// afterAll returns what is held when all of some operations, which are linearizable, have ended: those with one token came
// one after the other.
func (d desk) afterAll(history []porcupine.Operation) desk {
	at, sold := map[uint64]int{}, map[uint64]bool{}
	for i, token := range d.held {
		if token != 0 {
			at[token], sold[token] = i, d.sold[i]
		}
	}
	for _, op := range history {
		switch t := op.Input.(turn); t.what {
		case turnTake:
			at[t.token], d.last = t.item, max(d.last, t.token)
		case turnMove:
			at[t.token] = t.item
		case turnSell:
			sold[t.token] = true
		case turnBack, turnRefund:
			delete(at, t.token)
		}
	}
	d = desk{last: d.last}
	for token, i := range at {
		d.held[i], d.sold[i] = token, sold[token]
	}
	return d
}

const giveUp = 60 * time.Second

// TestLedger has the ledger check histories, of which each but the first is wrong.
func TestLedger(t *testing.T) {
	item := []pool.ItemRef{{Pool: "p", ID: "1"}}
	grantedAt := func(rev uint64, at int64) *pool.Event {
		return &pool.Event{Rev: rev, At: at, Type: "lease.granted", Grant: rev, Token: rev, Items: item, ExpiresAt: at + 10}
	}
	endedAt := func(rev uint64, at int64, typ string, lease uint64) *pool.Event {
		return &pool.Event{Rev: rev, At: at, Type: typ, Grant: lease, Items: item, Outcome: "clean"}
	}
	events := func() []*pool.Event {
		renewed := &pool.Event{Rev: 3, At: 6, Type: "lease.renewed", Grant: 1, ExpiresAt: 16}
		return []*pool.Event{
			grantedAt(1, 0), {Rev: 2, At: 5, Type: "key.settled"}, renewed, endedAt(4, 15, "lease.released", 1),
			grantedAt(5, 15), endedAt(6, 25, "lease.expired", 5), grantedAt(7, 30),
		}
	}
	acks := func() []*told {
		return []*told{
			{what: toldGranted, lease: 1, token: 1, rev: 2, expiresAt: 10, items: []string{"p/1"}},
			{what: toldRenewed, lease: 1, token: 1, rev: 3, seen: 2, expiresAt: 16},
			{what: toldReleased, lease: 1, token: 1, rev: 5, seen: 3},
			{what: toldGranted, lease: 5, token: 5, rev: 5, seen: 2, expiresAt: 25, items: []string{"p/1"}},
			{what: toldOver, lease: 5, token: 5, at: 25, seen: 5},
			{what: toldGranted, lease: 7, token: 7, rev: 7, seen: 5, expiresAt: 40, items: []string{"p/1"}},
		}
	}
	for _, c := range []struct {
		name    string
		corrupt func(events []*pool.Event, acks []*told) ([]*pool.Event, []*told)
		want    string // empty: nothing is wrong
	}{
		{"as it should be", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) { return e, a }, ""},
		{"the last grant is lost", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) { return e[:6], a }, "in no event"},
		{"an event is lost", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) { return slices.Delete(e, 1, 2), a }, "comes after"},
		{"a release is lost", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			e[3].Type = "key.settled"
			return e, a
		}, "this release is in no event"},
		{"a release is lost before it was told", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			e[3].Type = "key.settled"
			return e, slices.Delete(a, 2, 3)
		}, "while lease 1 has it"},
		{"a renewal is lost", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			e[2].Type = "key.settled"
			return e, a
		}, "this renewal is in no event"},
		{"an item is given twice", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			return append(e, grantedAt(8, 35)), a
		}, "gives p/1 to lease 8, while lease 7 has it"},
		{"a stale token is taken", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			return append(e, endedAt(8, 31, "lease.released", 5)), append(a, &told{what: toldReleased, lease: 5, token: 5, rev: 8})
		}, "which does not hold"},
		{"a release needs no token", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			a[2].token = 99
			return e, a
		}, "this release is another"},
		{"a lease runs out early", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			e[5].At = 24
			return e, a
		}, "while it lasts until 25"},
		{"a lease is released when it is over", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			e[2].ExpiresAt, a[1].expiresAt = 12, 12
			return e, a
		}, "while it lasts until 12"},
		{"a token falls", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			e[6].Token = 4
			return e, a
		}, "with token 4, after 5"},
		{"a grant is told twice", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) { return e, append(a, a[0]) }, "told twice"},
		{"a release is told twice", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) { return e, append(a, a[2]) }, "told twice"},
		{"a grant is told to nobody", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) { return e, a[:5] }, "1 grants were told to nobody"},
		{"a release is told to nobody", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			return e, slices.Delete(a, 2, 3)
		}, "1 releases were told to nobody"},
		{"another item is told", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			a[0].items = []string{"p/2"}
			return e, a
		}, "this grant is another"},
		{"the order is not that of the clock on the wall", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			a[3].seen = 5
			return e, a
		}, "was sent later"},
		{"what lasts is said to be over", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			return e, append(a, &told{what: toldOver, lease: 7, token: 7, at: 39 - clockSlack})
		}, "said to be over"},
		{"what is over never ends", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			return e, append(a, &told{what: toldOver, lease: 7, token: 7, at: 40})
		}, "told that lease 7 is over"},
		{"what is dirty is given out", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			e[3].Outcome = "dirty"
			return e, a
		}, "which is dirty"},
		{"the clock runs back", func(e []*pool.Event, a []*told) ([]*pool.Event, []*told) {
			e[1].At = -1
			return e, a
		}, "the clock"},
	} {
		l := newLedger()
		e, a := c.corrupt(events(), acks())
		for _, e := range e {
			l.event(e)
		}
		for _, t := range a {
			l.tell(t)
		}
		l.settle(0, true)
		all := strings.Join(l.wrong, "\n")
		if c.want == "" && all != "" || !strings.Contains(all, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, all, c.want)
		}
	}
	l := newLedger()
	for _, e := range events() {
		l.event(e)
	}
	l.compare("p", []wire.ItemState{{ID: "1", State: "leased", Lease: 7, ExpiresAt: 40}, {ID: "2", State: "free"}})
	if len(l.wrong) > 0 {
		t.Error(l.wrong)
	}
	l.compare("p", []wire.ItemState{{ID: "1", State: "free"}, {ID: "2", State: "leased", Lease: 3}, {ID: "1", Lease: 7, ExpiresAt: 41}})
	if len(l.wrong) != 3 {
		t.Errorf("%d things are wrong of 3: %q", len(l.wrong), l.wrong)
	}
}

// TestDesk has porcupine check histories.
func TestDesk(t *testing.T) {
	op := func(call, ret int64, what turnWhat, item int, token uint64) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: ret, Input: turn{what: what, item: item, token: token, free: item}}
	}
	good := []porcupine.Operation{
		op(0, 10, turnTake, 0, 5), op(1, 9, turnTake, 1, 4), op(2, 8, turnTake, 2, 3), op(3, 11, turnTake, 3, 6),
		op(5, 12, turnNone, 0, 0), op(12, 13, turnRenew, 0, 5), op(13, 30, turnBack, 0, 5), op(14, 20, turnTake, 0, 7),
		op(31, 32, turnStale, 0, 5), op(33, 34, turnLook, 0, 0), op(35, 36, turnBack, 1, 4), op(37, 38, turnLook, 1, 0),
	}
	sold := []porcupine.Operation{op(39, 40, turnSell, 0, 6), op(41, 42, turnSold, 0, 6)} // and one, of token 3, moves to where 4 was
	sold = append(sold, op(43, 44, turnMove, 1, 3), op(45, 46, turnNot, 1, 0), op(47, 48, turnTake, 2, 8), op(49, 50, turnBack, 2, 8))
	then := func(more ...porcupine.Operation) []porcupine.Operation { return append(slices.Clone(sold), more...) }
	look := func(call, ret int64, free, sold int) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: ret, Input: turn{what: turnLook, free: free, sold: sold}}
	}
	for name, c := range map[string]struct {
		more []porcupine.Operation
		ok   bool
	}{
		"as it should be":                       {nil, true},
		"what is held is given out":             {[]porcupine.Operation{op(40, 41, turnTake, 0, 9)}, false},
		"the same, at the same time":            {[]porcupine.Operation{op(40, 50, turnTake, 1, 9), op(40, 50, turnTake, 1, 10)}, false},
		"it is given back between":              {[]porcupine.Operation{op(40, 50, turnTake, 1, 9), op(40, 50, turnTake, 1, 10), op(41, 50, turnBack, 1, 9)}, true},
		"a token falls":                         {[]porcupine.Operation{op(40, 41, turnTake, 1, 2)}, false},
		"none is free, and one is":              {[]porcupine.Operation{op(40, 41, turnNone, 0, 0)}, false},
		"a stale token is taken to release":     {[]porcupine.Operation{op(40, 41, turnBack, 0, 5)}, false},
		"a stale token is taken to renew":       {[]porcupine.Operation{op(40, 41, turnRenew, 0, 5)}, false},
		"a good token is refused":               {[]porcupine.Operation{op(40, 41, turnStale, 0, 7)}, false},
		"a release that was told has no effect": {[]porcupine.Operation{op(40, 41, turnBack, 0, 7), op(42, 43, turnRenew, 0, 7)}, false},
		"sold and moved":                        {then(look(51, 52, 1, 1), op(53, 54, turnRefund, 0, 6), look(55, 56, 2, 0)), true},
		"what is sold is sold again":            {then(op(51, 52, turnSell, 0, 6)), false},
		"what is sold is given out":             {then(op(51, 52, turnTake, 3, 9)), false},
		"what is sold is voided":                {then(op(51, 52, turnBack, 0, 6)), false},
		"what is held is refunded":              {then(op(51, 52, turnRefund, 0, 7)), false},
		"a refund that was told has no effect":  {then(op(51, 52, turnRefund, 0, 6), op(53, 54, turnSold, 0, 6)), false},
		"a move that was told has no effect":    {then(op(51, 52, turnTake, 1, 9)), false},
		"what is free is said not to be":        {then(op(51, 52, turnNot, 2, 0)), false},
		"a look misses what is sold":            {then(look(51, 52, 1, 0)), false},
		"a look is old":                         {[]porcupine.Operation{op(40, 41, turnLook, 0, 0)}, false},
	} {
		if err := linearizable(append(slices.Clone(good), c.more...)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
