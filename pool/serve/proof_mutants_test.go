package serve

import (
	"testing"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// TestMutants changes a line of the server, or of what it stands on, at a time: the test that is named must find each of
// these errors.
func TestMutants(t *testing.T) {
	const power = "^TestPowerLoss$"
	proof.Mutants(t, []struct{ What, File, From, To, Check string }{
		{"answers do not wait for the journal", "ack.go", "			if err := b.ticket.Wait(); err != nil {\n",
			"			if err := error(nil); err != nil {\n", power},
		{"what is appended is not synced", "../journal/ticket.go", "return p.db.ApplyNoSyncWait(t.batch, pebble.Sync)",
			"return p.db.Apply(t.batch, pebble.NoSync)", power},
		{"a checkpoint has a rev of its own", "pools.go", "journal.Mark{Seq: mark.Rev, Clock: mark.Clock,", "journal.Mark{Seq: m.Rev(), Clock: mark.Clock,", power},
		{"a checkpoint loses a record", "pools.go", "		for _, r := range records {\n			ck.records",
			"		for _, r := range records[min(1, len(records)):] {\n			ck.records", power},
		{"recovery leaves out a chunk", "recover.go", "			return m.Replay(seq, chunk)\n",
			"			if chunks == 7 {\n				return nil\n			}\n			return m.Replay(seq, chunk)\n", power},
		{"replay drops an event", "../event.go", "			err = ev.apply(m)\n",
			"			if ev.kind() != evReleased {\n				err = ev.apply(m)\n			}\n", "^TestFull$"},
		{"a confirmation does not wait for the journal", "ack.go", "			if err := b.ticket.Wait(); err != nil {\n",
			"			var err error\n			if len(b.ops) == 0 || b.ops[0].kind != opConfirm {\n				err = b.ticket.Wait()\n			}\n			if err != nil {\n", power},
		{"a booking does not wait for the journal", "ack.go", "			if err := b.ticket.Wait(); err != nil {\n",
			"			var err error\n			if len(b.ops) == 0 || b.ops[0].kind != opBook {\n				err = b.ticket.Wait()\n			}\n			if err != nil {\n", power},
		{"a wait for seats is answered as a lease", "ack.go", "&parked{kind: o.kind,", "&parked{kind: opAcquire,", "^TestWaitingForSeats$"},
		{"a hold is lost as a lease", "ack.go", "	if kind == pool.Stock {\n		return \"hold.\"", "	if false {\n		return \"hold.\"", "^TestLostHold$"},
		{"a hold's events are a lease's", "encode.go", "		w.Hold = e.Grant\n", "		w.Lease = e.Grant\n", "^TestASeatFromHoldToRefund$"},
		{"units are not told", "encode.go", "		if it.Units > 1 {\n			dst =", "		if it.Units > 1000 {\n			dst =", "^TestGeneralAdmission$"},
		{"a hold is confirmed as a whole", "hold.go", "c := &pool.Confirm{Keyed: keyed(o)}\n	p, err := d.holdRef(o, &c.Pool, &c.Item)\n",
			"c := &pool.Confirm{Keyed: keyed(o)}\n	p, err := d.holdRef(o, &c.Pool, &c.Item)\n	p.Seats = nil\n", "^TestGeneralAdmission$"},
		{"no seats are all seats", "hold.go", "	if seats == nil {\n", "	if len(seats) == 0 {\n", "^TestBadHoldsAndSlots$"},
		{"a key of a confirmation is no key", "hold.go", "&pool.Confirm{Keyed: keyed(o)}", "&pool.Confirm{}", "^TestASeatFromHoldToRefund$"},
		{"a key of a refund is no key", "hold.go", "Withhold: p.To == \"withheld\", Keyed: keyed(o)}", "Withhold: p.To == \"withheld\"}", power},
		{"what is refunded is always for sale", "hold.go", "Withhold: p.To == \"withheld\"", "Withhold: false", "^TestASeatFromHoldToRefund$"},
		{"seats are held on a full disk", "hold.go", "Keyed: keyed(o),\n	}, true\n", "Keyed: keyed(o),\n	}, false\n", "^TestFullSells$"},
		{"rooms are booked on a full disk", "slot.go", "pool.OnConflict(p.OnConflict), Keyed: keyed(o)}, true\n",
			"pool.OnConflict(p.OnConflict), Keyed: keyed(o)}, false\n", "^TestFullSells$"},
		{"hours are not kept", "slot.go", "s.Start < s.End && !place.hours.Open(s.Start, s.End)", "s.Start > s.End", "^TestBookings$"},
		{"what is closed is found", "slot.go", "	if d.places[q.Pool].hours == nil || q.From >= q.To {", "	if d.places[q.Pool].hours != nil || q.From >= q.To {", "^TestBookings$"},
		{"a series is moved by hours, not by the clocks", "slot.go", "when.Shift(slots, zone, from, to)",
			"when.Shift(slots, time.UTC, from, to)", "^TestMoveAcross"},
		{"a move takes all times", "slot.go", "	if c.At, err = which(ask.At, ask.Following, zone); err != nil {",
			"	if _, err = which(ask.At, ask.Following, zone); err != nil {", "^TestSeries$"},
		{"a request's zone is not read", "slot.go", "	if name != \"\" {\n		return when.Zone(name)\n	}\n", "", "^TestBadHoldsAndSlots$"},
		{"replay drops a confirmation", "../event.go", "			err = ev.apply(m)\n",
			"			if ev.kind() != evConfirmed {\n				err = ev.apply(m)\n			}\n", "^TestGeneralAdmission$"},
		{"replay drops a move", "../event.go", "			err = ev.apply(m)\n",
			"			if ev.kind() != evMoved {\n				err = ev.apply(m)\n			}\n", "^TestBookings$"},
		{"a store of before can not be read", "../lease.go", "kindOf(d.byte())\n}\n\nfunc (ev *renewed) apply",
			"kindOf(d.p[0])\n}\n\nfunc (ev *renewed) apply", "^TestGolden$"},
		{"keys are of a connection", "pools.go", "k.Client = st.client", "k.Client = fmt.Sprintf(\"%p\", st)", power},
	})
}
