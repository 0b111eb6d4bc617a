package client_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// Rooms are booked, moved and cancelled. Items says where they are.
func TestBook(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		t.Parallel()
		s := newPoolServer(t, "", sales(serve.Config{}))
		c, other := s.client(s.addr, client.Config{Codec: cd}), s.client(s.addr, client.Config{})
		b := book(t, c, room(8, 10, "room-1", "room-2"))
		if got := names(b.Items()); got != "room-1@8-10 room-2@8-10" || b.ID() == 0 || b.Token() == 0 || len(b.Conflicts()) != 0 {
			t.Errorf("booking %d, token %d: %s, conflicts %s", b.ID(), b.Token(), got, names(b.Conflicts()))
		}
		_, err := other.Book(testContext(t), room(9, 11, "room-1"))
		wants(t, err, client.ErrConflict)
		next := book(t, other, room(9, 11))
		if got := names(next.Items()); got != "room-3@9-11" {
			t.Error(got)
		}
		wants(t, next.Move(testContext(t), wire.SlotMove{Item: "room-1"}), client.ErrConflict)
		if err := next.Move(testContext(t), wire.SlotMove{Start: wire.At(inMonday(10)), Item: "room-1"}); err != nil {
			t.Error(err)
		}
		if got := names(next.Items()); got != "room-1@10-12" {
			t.Error(got)
		}
		for n, at := range []*wire.Moment{{Text: "2099-01-05T08:00"}, {Text: "2099-01-05T08:00:00Z"}} {
			wants(t, b.Move(testContext(t), wire.SlotMove{At: at, Start: wire.At(inMonday(9))}), client.ErrBadPayload, client.ErrNotSent)
			_, err := b.Cancel(testContext(t), wire.SlotCancel{At: at})
			wants(t, err, client.ErrBadPayload, client.ErrNotSent)
			if len(b.Items()) != 2 {
				t.Error(n, b.Items())
			}
		}
		if n, err := other.BookingOf(b.ID(), b.Token()).Cancel(testContext(t), wire.SlotCancel{}); n != 2 || err != nil {
			t.Error(n, err)
		}
		wants(t, b.Move(testContext(t), wire.SlotMove{Item: "room-3"}), client.ErrAlreadyResolved)
		_, err = b.Cancel(testContext(t), wire.SlotCancel{})
		wants(t, err, client.ErrAlreadyResolved)
		_, err = c.BookingOf(next.ID(), next.Token()+1).Cancel(testContext(t), wire.SlotCancel{})
		wants(t, err, client.ErrStaleToken)
		_, err = c.Book(testContext(t), room(9, 8))
		wants(t, err, client.ErrInvalidInterval)
		bonn := room(8, 9)
		bonn.Zone = "Europe/Bonn"
		_, err = c.Book(testContext(t), bonn)
		wants(t, err, client.ErrBadPayload)
		_, err = c.Book(testContext(t), room(8, 9, "room-9"))
		wants(t, err, client.ErrNotFound)
		_, err = c.Book(ended(), room(8, 9))
		wants(t, err, client.ErrNotSent)
		if st := statsOf(t, c, "rooms"); st.Leases != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// What is booked again and again is moved and cancelled one at a time, or from one on.
func TestBookAgainAndAgain(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	c := s.client(s.addr, client.Config{})
	book(t, c, room(24+8, 24+9, "room-1"))
	daily := room(8, 9, "room-1")
	daily.RRule, daily.OnConflict = "FREQ=DAILY;COUNT=4", "report"
	report := book(t, c, daily)
	const some = "room-1@8-9 room-1@56-57 room-1@80-81, not room-1@32-33"
	if got := names(report.Items()) + ", not " + names(report.Conflicts()); got != some || report.ID() != 0 {
		t.Errorf("booking %d: %s", report.ID(), got)
	}
	_, err := report.Cancel(testContext(t), wire.SlotCancel{})
	wants(t, err, client.ErrBadPayload)
	daily.OnConflict = ""
	_, err = c.Book(testContext(t), daily)
	wants(t, err, client.ErrConflict)
	daily.OnConflict = "skip"
	b := book(t, c, daily)
	if got := names(b.Items()) + ", not " + names(b.Conflicts()); got != some {
		t.Error(got)
	}
	for _, step := range []struct {
		do    func() error
		items string
	}{
		{func() error { // one, behind the others
			return b.Move(testContext(t), wire.SlotMove{At: wire.At(inMonday(8)), Start: wire.At(inMonday(96))})
		}, "room-1@56-57 room-1@80-81 room-1@96-97"},
		{func() error { // two, by an hour
			return b.Move(testContext(t), wire.SlotMove{At: wire.At(inMonday(80)), Following: true, Start: wire.At(inMonday(81))})
		}, "room-1@56-57 room-1@81-82 room-1@97-98"},
		{func() error { // all, to another room
			return b.Move(testContext(t), wire.SlotMove{Item: "room-2"})
		}, "room-2@56-57 room-2@81-82 room-2@97-98"},
		{func() error {
			_, err := b.Cancel(testContext(t), wire.SlotCancel{At: wire.At(inMonday(81))})
			return err
		}, "room-2@56-57 room-2@97-98"},
		{func() error {
			n, err := b.Cancel(testContext(t), wire.SlotCancel{At: wire.At(inMonday(97)), Following: true})
			if n != 1 {
				t.Error(n)
			}
			return err
		}, "room-2@56-57"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := names(b.Items()); got != step.items {
			t.Fatalf("%s, want %s", got, step.items)
		}
		var booked []string // as the server has it
		week := wire.SlotFind{Pool: "rooms", From: wire.At(inMonday(0)), To: wire.At(inMonday(200)), Limit: 2}
		for slot, err := range c.Booked(testContext(t), week) {
			if err != nil {
				t.Fatal(err)
			}
			if slot.Booking == b.ID() {
				booked = append(booked, names([]wire.Item{{ID: slot.ID, Start: slot.Start, End: slot.End}}))
			}
		}
		if got := strings.Join(booked, " "); got != step.items {
			t.Fatalf("the server has %s, want %s", got, step.items)
		}
	}
	_, err = b.Cancel(testContext(t), wire.SlotCancel{At: wire.At(inMonday(97))})
	wants(t, err, client.ErrNotFound)
}

// What is free comes page by page, for as long as it is wanted.
func TestSlots(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	var asked atomic.Int64
	p := newProxy(t, s.addr)
	c := s.client(p.addr, client.Config{})
	book(t, c, room(10, 12, "room-1", "room-3"))
	book(t, c, room(14, 15, "room-1"))
	p.set(func(line string) int {
		if strings.Contains(line, `"type":"slot.find"`) {
			asked.Add(1)
		}
		return len(line)
	}, nil)
	find := wire.SlotFind{Pool: "rooms", LengthMs: 2 * 3_600_000, From: wire.At(inMonday(9)), To: wire.At(inMonday(18)), Limit: 1}
	want := "room-1@12-14 room-1@15-18 room-2@9-18 room-3@12-18"
	for limit := range 5 {
		find.Limit = limit
		var free []wire.Item
		for slot, err := range c.Slots(testContext(t), find) {
			if err != nil {
				t.Fatal(err)
			}
			free = append(free, slot)
		}
		if got := names(free); got != want {
			t.Errorf("limit %d: %s, want %s", limit, got, want)
		}
	}
	find.Limit = 1
	before := asked.Load()
	for range c.Slots(testContext(t), find) {
		break
	}
	if n := asked.Load() - before; n != 1 {
		t.Errorf("asked for %d pages", n)
	}
	find.Pool = "hall"
	errs := 0
	for slot, err := range c.Slots(testContext(t), find) {
		if errs++; err == nil {
			t.Errorf("%+v", slot)
		}
	}
	for _, err := range c.Slots(ended(), find) {
		wants(t, err, client.ErrNotSent)
		errs++
	}
	if errs != 2 {
		t.Errorf("%d errors", errs)
	}
}
