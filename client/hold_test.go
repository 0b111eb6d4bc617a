package client_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// Seats are held, sold, and refunded. What each says afterwards is what was done.
func TestHold(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		t.Parallel()
		s := newPoolServer(t, "", sales(serve.Config{}))
		c, other := s.client(s.addr, client.Config{Codec: cd}), s.client(s.addr, client.Config{})
		begin := time.Now()
		h := hold(t, c, lasting(seatsOf(0, "A1", "A2"), time.Hour))
		if left := h.ExpiresAt().Sub(begin); left < 59*time.Minute || left > time.Hour+time.Minute || h.ID() == 0 || h.Token() == 0 {
			t.Errorf("hold %d, token %d, %v left", h.ID(), h.Token(), left)
		}
		if got := names(h.Items()); got != "A1 A2" || isDone(h) {
			t.Errorf("%s, done %v", got, isDone(h))
		}
		_, err := other.Hold(testContext(t), seatsOf(0, "A2"))
		wants(t, err, client.ErrNoneFree)
		sale := confirm(t, h, wire.SeatRef{ID: "A1"})
		if got := names(sale.Seats()); got != "A1" || sale.ID() != h.ID() || sale.Token() == 0 || !isDone(h) {
			t.Errorf("sale %d of hold %d: %s, done %v", sale.ID(), h.ID(), got, isDone(h))
		}
		if st := statsOf(t, other, "hall"); st.Sold != 1 || st.Leased != 0 || st.Free != 55 {
			t.Errorf("%+v", st)
		}
		_, err = h.Confirm(testContext(t))
		wants(t, err, client.ErrAlreadyResolved)
		wants(t, h.Void(testContext(t)), client.ErrAlreadyResolved)
		wants(t, h.Extend(testContext(t), 0), client.ErrAlreadyResolved)
		_, err = other.Hold(testContext(t), seatsOf(0, "A1"))
		wants(t, err, client.ErrNoneFree)
		_, err = other.SaleOf(sale.ID(), sale.Token()+1).Refund(testContext(t), "")
		wants(t, err, client.ErrStaleToken)
		_, err = sale.Refund(testContext(t), "lost")
		wants(t, err, client.ErrBadPayload)
		if n := refund(t, sale); n != 1 || names(sale.Seats()) != "" {
			t.Errorf("%d, %s", n, names(sale.Seats()))
		}
		_, err = sale.Refund(testContext(t), "")
		wants(t, err, client.ErrAlreadyResolved)

		h = hold(t, c, seatsOf(0, "A1"))
		void(t, h)
		if !isDone(h) || len(h.Items()) != 0 || !hallFree(statsOf(t, other, "hall")) {
			t.Errorf("%v, %+v", h.Items(), statsOf(t, other, "hall"))
		}
		_, err = h.Confirm(testContext(t))
		wants(t, err, client.ErrExpired)
		for _, bad := range []wire.HoldCreate{seatsOf(0), {Pool: "p", Seats: []string{"1"}}} {
			_, err = c.Hold(testContext(t), bad)
			wants(t, err, client.ErrBadPayload)
		}
		_, err = c.Hold(ended(), seatsOf(0, "A1"))
		wants(t, err, client.ErrNotSent, context.Canceled)
	})
}

// Of what has several units, some are voided, sold and refunded. What one client has made another can go on with.
func TestHoldUnits(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	c, other := s.client(s.addr, client.Config{}), s.client(s.addr, client.Config{})
	h := hold(t, c, floor(5))
	void(t, h, wire.SeatRef{ID: "floor", Qty: 1})
	if got := names(h.Items()); got != "floor*4" || isDone(h) {
		t.Error(got)
	}
	sale := confirm(t, other.HoldOf(h.ID(), h.Token()), wire.SeatRef{ID: "floor", Qty: 3})
	if got := names(sale.Seats()); got != "floor*3" {
		t.Error(got)
	}
	if n := refund(t, sale, wire.SeatRef{ID: "floor", Qty: 2}); n != 2 || names(sale.Seats()) != "floor*1" {
		t.Errorf("%d, %s", n, names(sale.Seats()))
	}
	if n, err := c.SaleOf(sale.ID(), sale.Token()).Refund(testContext(t), "withheld"); n != 1 || err != nil {
		t.Error(n, err)
	}
	if st := statsOf(t, c, "hall"); st.Free != 55 || st.Withheld != 1 || st.Leases != 0 {
		t.Errorf("%+v", st)
	}
	wants(t, h.Extend(testContext(t), 0), client.ErrExpired)
	if !isDone(h) {
		t.Error("it goes on")
	}

	best := wire.HoldCreate{Pool: "hall", Best: &wire.BestSeats{N: 3}}
	h = hold(t, c, best)
	ids := h.Items()
	if len(ids) != 3 {
		t.Fatal(names(ids))
	}
	for i, it := range ids { // one by one
		if isDone(h) {
			t.Error("done after", i)
		}
		void(t, h, wire.SeatRef{ID: it.ID, Pool: "hall"})
	}
	if !isDone(h) {
		t.Error("nothing is left of it")
	}
}

// ExpiresAt is by this machine's clock, also when that and the server's have drifted apart since they were compared.
func TestHoldClocksDrift(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	c := s.client(s.addr, client.Config{})
	ends := func(what string, h *client.Hold, began time.Time) {
		t.Helper()
		if left := h.ExpiresAt().Sub(began); left < time.Hour-time.Second || h.ExpiresAt().After(time.Now().Add(time.Hour)) {
			t.Errorf("%s: it ends %v after it was asked for", what, left)
		}
	}
	began := time.Now()
	h := hold(t, c, lasting(seatsOf(0, "A1"), time.Hour))
	ends("at once", h, began)
	for i, by := range []time.Duration{time.Minute, -time.Minute} {
		c.Drift(2*time.Hour, by)
		began = time.Now()
		if i == 0 {
			h = hold(t, c, lasting(seatsOf(0, "A2"), time.Hour))
		} else if err := h.Extend(testContext(t), time.Hour); err != nil {
			t.Fatal(err)
		}
		ends(fmt.Sprint(by), h, began)
	}
}

// It is so, too, when there was no room to ask for the time once.
func TestHoldClocksDriftUnasked(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	c := s.client(s.addr, client.Config{InFlightMax: 1, WaitingMax: 1})
	h := hold(t, c, lasting(seatsOf(0, "A1"), time.Hour))
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Request(ctx, "hold.create", seatsOf(60_000, "A1"), nil) }) // waits at the server
	await(t, func() bool { return c.Stats().InFlight == 1 })
	wg.Go(func() { _ = h.Extend(ctx, time.Hour) })
	await(t, func() bool { return c.Stats().Waiting == 1 })
	c.Drift(2*time.Hour, time.Minute)
	once, cancelOnce := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancelOnce()
	if err := h.Extend(once, time.Hour); err == nil {
		t.Error("there was room")
	}
	cancel()
	wg.Wait()
	await(t, func() bool { return c.Stats().InFlight == 0 })
	if err := h.Extend(testContext(t), time.Hour); err != nil {
		t.Fatal(err)
	}
	if end := time.Now().Add(time.Hour); h.ExpiresAt().After(end) || h.ExpiresAt().Before(end.Add(-30*time.Second)) {
		t.Errorf("it ends %v from now", time.Until(h.ExpiresAt()))
	}
}

// A hold is over when its time is, unless it is extended. Who waits gets it then.
func TestHoldTime(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	c, other := s.client(s.addr, client.Config{}), s.client(s.addr, client.Config{})
	h, extended := hold(t, c, lasting(seatsOf(0, "A1"), 500*time.Millisecond)), hold(t, c, lasting(seatsOf(0, "A2"), 10*time.Second))
	if err := extended.Extend(testContext(t), time.Hour); err != nil {
		t.Fatal(err)
	}
	next := hold(t, other, seatsOf(20_000, "A1"))
	if left := time.Until(h.ExpiresAt()); left > 0 {
		t.Errorf("the next one has it, %v too early", left)
	}
	within(t, "its time is over", h.Done())
	_, err := h.Confirm(testContext(t))
	wants(t, err, client.ErrExpired)
	if left := time.Until(extended.ExpiresAt()); left < 50*time.Minute || isDone(extended) {
		t.Errorf("%v left", left)
	}
	if err := extended.Extend(testContext(t), 0); err != nil || time.Until(extended.ExpiresAt()) < 50*time.Minute {
		t.Errorf("%v, ends %v: not before it did", err, extended.ExpiresAt())
	}
	extended = hold(t, c, lasting(seatsOf(0, "A3"), 500*time.Millisecond))
	within(t, "its time is over", extended.Done())
	hold(t, other, seatsOf(20_000, "A3"))
	wants(t, extended.Extend(testContext(t), 0), client.ErrExpired)
	confirm(t, next)
	elsewhere := c.HoldOf(next.ID(), next.Token())
	if !elsewhere.ExpiresAt().IsZero() || len(elsewhere.Items()) != 0 || isDone(elsewhere) {
		t.Error("what was never heard of it is known")
	}
	_, err = other.Hold(testContext(t), seatsOf(1, "A1"))
	wants(t, err, client.ErrWaitTimeout)
}

// When somebody takes a seat of a hold away, it is over, and the other seats come back.
func TestHoldLost(t *testing.T) {
	verb := serve.Verb{Name: "giveBack", Op: "hold.void", Pool: "hall", Item: "payload"}
	if err := verb.Compile(); err != nil {
		t.Fatal(err)
	}
	s := newPoolServer(t, "", sales(serve.Config{Verbs: []serve.Verb{verb}}))
	pushes := make(chan client.Push, 10)
	c, other := s.client(s.addr, client.Config{OnPush: func(p client.Push) { pushes <- p }}), s.client(s.addr, client.Config{})
	make1 := func() *client.Hold { return hold(t, c, lasting(seatsOf(0, "A1", "A2"), time.Hour)) }
	makeSeveral := func() *client.Hold {
		want := wire.Acquire{Want: []wire.Want{{Pool: "hall", IDs: []string{"A1"}}, {Pool: "p"}}}
		h, err := c.Reserve(testContext(t), withTTL(want, time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	for push, made := range map[string]func() *client.Hold{"hold.lost": make1, "lease.lost": makeSeveral} {
		h := made()
		if err := other.Request(testContext(t), "giveBack", "A1", nil); err != nil {
			t.Fatal(err)
		}
		within(t, push, h.Done())
		if p := within(t, "the push", pushes); p.Type != push {
			t.Errorf("%s: %+v", push, p)
		}
		awaitStatsOf(t, other, "hall", hallFree)
		awaitStats(t, other, allFree)
	}
}

// Items of several kinds are held together and confirmed together. Then each is what its kind says.
func TestReserve(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	c := s.client(s.addr, client.Config{})
	evening := room(18, 21)
	want := wire.Acquire{Want: []wire.Want{
		{Pool: "hall", Best: "together", Count: new(2)},
		{Pool: "rooms", IDs: []string{"room-2"}, Start: evening.Start, End: evening.End},
		{Pool: "p"},
	}}
	h, err := c.Reserve(testContext(t), withTTL(want, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got := names(h.Items()); got != "A1 A2 room-2@18-21 1" {
		t.Error(got)
	}
	_, err = c.Book(testContext(t), room(20, 22, "room-2"))
	wants(t, err, client.ErrConflict)
	_, err = c.Reserve(testContext(t), want)
	wants(t, err, client.ErrNoneFree)
	sale := confirm(t, h)
	if got := names(sale.Seats()); got != names(h.Items()) || sale.ID() != h.ID() {
		t.Errorf("%s, held %s", got, names(h.Items()))
	}
	if n := refund(t, sale); n != 2 {
		t.Error(n)
	}
	if err := c.BookingOf(sale.ID(), sale.Token()).Move(testContext(t), wire.SlotMove{Start: wire.At(inMonday(8))}); err != nil {
		t.Error(err)
	}
	if n, err := c.BookingOf(sale.ID(), sale.Token()).Cancel(testContext(t), wire.SlotCancel{}); n != 1 || err != nil {
		t.Error(n, err)
	}
	if st := stats(t, c); st.Leased != 1 {
		t.Errorf("%+v", st)
	}
	if err := h.Extend(testContext(t), 0); err != nil { // the lease
		t.Error(err)
	}
	void(t, h)
	if st := stats(t, c); !allFree(st) || !hallFree(statsOf(t, c, "hall")) {
		t.Errorf("%+v", st)
	}
}

// Holds take no goroutine each.
func TestHoldMany(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	c := s.client(s.addr, client.Config{})
	hold(t, c, floor(1))
	before := runtime.NumGoroutine()
	for range 49 {
		hold(t, c, floor(1))
	}
	if now := runtime.NumGoroutine(); now > before+10 {
		t.Errorf("%d goroutines, %d before", now, before)
	}
}
