package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// The connection is cut behind bytes of each request, and of its answer. Whatever arrived: it is done once, and each call
// returns what was done.
func TestHoldCut(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	sell := func() { // with units, which are not the same when something is done twice
		h := hold(t, c, floor(5))
		void(t, h, wire.SeatRef{ID: "floor", Qty: 1})
		if err := h.Extend(testContext(t), time.Hour); err != nil {
			t.Fatal(err)
		}
		sale := confirm(t, h, wire.SeatRef{ID: "floor", Qty: 3})
		if got := names(sale.Seats()); got != "floor*3" || sale.ID() != h.ID() {
			t.Fatalf("hold %d, sale %d: %s", h.ID(), sale.ID(), got)
		}
		if n := refund(t, sale, wire.SeatRef{ID: "floor", Qty: 2}); n != 2 {
			t.Fatal(n)
		}
		if st := statsOf(t, admin, "hall"); st.Sold != 1 || st.Leased != 0 || st.Leases != 1 {
			t.Fatalf("%+v", st)
		}
		refund(t, sale)
	}
	bookings := func() {
		b := book(t, c, room(8, 9))
		if err := b.Move(testContext(t), wire.SlotMove{Start: wire.At(inMonday(9))}); err != nil || names(b.Items()) != "room-1@9-10" {
			t.Fatal(err, names(b.Items()))
		}
		if st := statsOf(t, admin, "rooms"); st.Leases != 1 {
			t.Fatalf("%+v", st)
		}
		day := wire.SlotFind{Pool: "rooms", From: wire.At(inMonday(0)), To: wire.At(inMonday(24))}
		for slot, err := range c.Booked(testContext(t), day) {
			if err != nil || slot.Booking != b.ID() {
				t.Fatalf("%v, %+v", err, slot)
			}
		}
		if n, err := b.Cancel(testContext(t), wire.SlotCancel{}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	granted := map[string]uint64{"hall": statsOf(t, admin, "hall").Granted, "rooms": statsOf(t, admin, "rooms").Granted}
	for _, what := range []struct {
		pool string
		make func()
		per  uint64 // units given out
		typs []string
	}{
		{"hall", sell, 5, []string{"hold.create", "hold.void", "hold.extend", "hold.confirm", "sale.refund"}},
		{"rooms", bookings, 1, []string{"slot.book", "slot.move", "slot.list", "slot.cancel"}},
	} {
		for _, typ := range what.typs {
			for _, at := range []int{0, 40, 1 << 20} {
				for _, up := range []bool{true, false} {
					cutAt, cut := cutAt(typ, 1, at)
					hook := func(line string) int {
						n := cutAt(line)
						if n > len(line) { // all of it passes, and the connection is lost behind it
							go p.cut(false)
						}
						return n
					}
					if up {
						p.set(hook, nil)
					} else {
						p.set(nil, hook)
					}
					what.make()
					within(t, "the cut", cut)
					p.set(nil, nil)
					st := statsOf(t, admin, what.pool)
					if granted[what.pool] += what.per; st.Leases != 0 || st.Granted != granted[what.pool] {
						t.Fatalf("%s up %v byte %d: %+v, want %d granted", typ, up, at, st, granted[what.pool])
					}
				}
			}
		}
	}
}

// Who waits for seats keeps the place over a lost connection, and gets what came free meanwhile.
func TestHoldCutWhileWaiting(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	held := hold(t, admin, seatsOf(0, "A1"))
	got := make(chan *client.Hold, 1)
	go func() {
		h, err := c.Hold(context.Background(), seatsOf(60_000, "A1"))
		if err != nil {
			t.Error(err)
		}
		got <- h
	}()
	awaitStatsOf(t, admin, "hall", func(st wire.PoolStats) bool { return st.Waiting == 1 })
	for range 2 {
		asked, again := cutAt("hold.create", 1, 1<<20)
		p.set(asked, nil)
		p.cut(false)
		within(t, "it asks again", again)
	}
	p.cut(true)
	void(t, held)
	p.cut(false)
	confirm(t, within(t, "the hold", got))
	if st := statsOf(t, admin, "hall"); st.Granted != 2 || st.Sold != 1 || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
}

// loseAnswer has the answers to typ be lost, and the server out of reach from the first of them on. It returns what is closed
// then.
func loseAnswer(p *proxy, typ string) <-chan struct{} {
	lost := make(chan struct{})
	lose := sync.OnceFunc(func() {
		p.cut(true)
		close(lost)
	})
	p.set(nil, func(line string) int {
		if !strings.Contains(line, `"type":"`+typ+`"`) {
			return len(line)
		}
		go lose()
		return 0
	})
	return lost
}

// back ends what loseAnswer has begun.
func back(p *proxy) {
	p.set(nil, nil)
	p.cut(false)
}

// A caller that leaves while the answer is lost is told so. Asking again later, it gets what was done.
func TestHoldUnknown(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{GraceMs: 60_000}))
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	// leave calls do with a context that ends when the answer to typ is lost.
	leave := func(typ string, do func(ctx context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		lost := loseAnswer(p, typ)
		done := make(chan error, 1)
		go func() { done <- do(ctx) }()
		within(t, "the answer is lost", lost)
		cancel()
		err := within(t, typ+" returns", done)
		wants(t, err, client.ErrUnknownOutcome, context.Canceled)
		if errors.Is(err, client.ErrNotSent) {
			t.Error(err)
		}
		back(p)
	}
	h := hold(t, c, floor(5))
	one := wire.SeatRef{ID: "floor", Qty: 1}
	leave("hold.void", func(ctx context.Context) error { return h.Void(ctx, one) })
	void(t, h, one)
	if st := statsOf(t, admin, "hall"); st.Leased != 4 || names(h.Items()) != "floor*4" {
		t.Errorf("%s, %+v", names(h.Items()), st)
	}
	leave("hold.confirm", func(ctx context.Context) error { _, err := h.Confirm(ctx); return err })
	sale := confirm(t, h)
	if got := names(sale.Seats()); got != "floor*4" || sale.ID() != h.ID() || !isDone(h) {
		t.Error(got)
	}
	leave("sale.refund", func(ctx context.Context) error { _, err := sale.Refund(ctx, "", one); return err })
	refund(t, sale, one) // the same
	if st := statsOf(t, admin, "hall"); st.Sold != 3 {
		t.Errorf("%+v", st)
	}
	refund(t, sale, one) // another
	if st := statsOf(t, admin, "hall"); st.Sold != 2 || names(sale.Seats()) != "floor*2" {
		t.Errorf("%s, %+v", names(sale.Seats()), st)
	}
	b := book(t, c, room(8, 9))
	leave("slot.move", func(ctx context.Context) error { return b.Move(ctx, wire.SlotMove{Start: wire.At(inMonday(9))}) })
	if err := b.Move(testContext(t), wire.SlotMove{Start: wire.At(inMonday(9))}); err != nil || names(b.Items()) != "room-1@9-10" {
		t.Error(err, names(b.Items()))
	}

	// What never left is told, too.
	p.cut(true)
	await(t, func() bool { return c.Stats().ConnsUp == 0 })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := sale.Refund(ctx, "")
	wants(t, err, client.ErrNotSent, context.DeadlineExceeded)
	p.cut(false)
	refund(t, sale)
}

// With the session gone the key says nothing: what it would do harm to do twice is not tried again.
func TestHoldSessionGone(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{GraceMs: -1}))
	p := newProxy(t, s.addr)
	c, admin := p.late(s), s.client(s.addr, client.Config{})
	one := wire.SeatRef{ID: "floor", Qty: 1}
	// lose calls do, and has the first answer to typ be lost.
	lose := func(typ string, do func() error, codes ...error) {
		t.Helper()
		hook, cut := cutAt(typ, 1, 0)
		p.set(nil, hook)
		err := do()
		within(t, "the cut", cut)
		p.set(nil, nil)
		wants(t, err, append(codes, client.ErrUnknownOutcome)...)
		if errors.Is(err, client.ErrNotSent) {
			t.Error(err)
		}
	}
	h := hold(t, c, floor(5))
	lose("hold.void", func() error { return h.Void(testContext(t), one) })
	if st := statsOf(t, admin, "hall"); st.Leased != 4 {
		t.Errorf("%+v", st)
	}
	void(t, h, one) // now that the caller wants it
	lose("hold.confirm", func() error { _, err := h.Confirm(testContext(t)); return err }, client.ErrAlreadyResolved)
	sale := c.SaleOf(h.ID(), h.Token())
	lose("sale.refund", func() error { _, err := sale.Refund(testContext(t), "", one); return err })
	if st := statsOf(t, admin, "hall"); st.Sold != 2 {
		t.Errorf("%+v", st)
	}
	// A caller leaves before the answer comes, and asks again when the session is gone.
	sold := statsOf(t, admin, "hall").Sold
	answered, pass := make(chan struct{}), make(chan struct{})
	p.set(nil, func(line string) int {
		if strings.Contains(line, `"type":"sale.refund"`) {
			close(answered)
			<-pass
			return 0
		}
		return len(line)
	})
	reconnects := c.Stats().Reconnects
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() { _, err := sale.Refund(ctx, "", one); left <- err }()
	within(t, "the answer", answered)
	cancel()
	wants(t, within(t, "it returns", left), client.ErrUnknownOutcome, context.Canceled)
	p.set(nil, nil)
	close(pass)
	await(t, func() bool { return c.Stats().Reconnects > reconnects })
	_, err := sale.Refund(testContext(t), "", one)
	wants(t, err, client.ErrUnknownOutcome)
	if st := statsOf(t, admin, "hall"); st.Sold != sold-1 {
		t.Errorf("%+v, there were %d", st, sold)
	}
	lose("slot.book", func() error { _, err := c.Book(testContext(t), room(8, 9)); return err })
	if st := statsOf(t, admin, "rooms"); st.Leases != 1 {
		t.Errorf("%+v", st)
	}
	b := book(t, c, room(8, 9))
	lose("slot.move", func() error { return b.Move(testContext(t), wire.SlotMove{Start: wire.At(inMonday(9))}) })
	lose("slot.cancel", func() error { _, err := b.Cancel(testContext(t), wire.SlotCancel{}); return err }, client.ErrAlreadyResolved)
	if st := statsOf(t, admin, "rooms"); st.Leases != 1 {
		t.Errorf("%+v", st)
	}
}

// What a caller has given up asking for is given back, wherever it was.
func TestHoldGivenUp(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	evening := room(18, 21, "room-1")
	for typ, what := range map[string]struct {
		ask  func(ctx context.Context) error
		pool string
	}{
		"hold.create": {func(ctx context.Context) error { _, err := c.Hold(ctx, seatsOf(60_000, "A1")); return err }, "hall"},
		"lease.acquire": {func(ctx context.Context) error {
			want := []wire.Want{{Pool: "hall", IDs: []string{"A1"}}, {Pool: "rooms", Start: evening.Start, End: evening.End}}
			_, err := c.Reserve(ctx, wire.Acquire{Want: want, WaitMs: 60_000})
			return err
		}, "hall"},
		"slot.book": {func(ctx context.Context) error { _, err := c.Book(ctx, evening); return err }, "rooms"},
	} {
		nothing := func(st wire.PoolStats) bool { return st.Leases == 0 && st.Waiting == 0 }
		begin := func() (got <-chan error, leave func()) {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- what.ask(ctx) }()
			return done, cancel
		}
		if typ != "slot.book" { // while it waits
			held := hold(t, admin, seatsOf(0, "A1"))
			got, leave := begin()
			awaitStatsOf(t, admin, "hall", func(st wire.PoolStats) bool { return st.Waiting == 1 })
			leave()
			wants(t, within(t, "it returns", got), context.Canceled)
			awaitStatsOf(t, admin, "hall", func(st wire.PoolStats) bool { return st.Waiting == 0 })
			void(t, held)
		}
		granted := statsOf(t, admin, what.pool).Granted
		lost := loseAnswer(p, typ) // while the answer is lost
		got, leave := begin()
		within(t, "the answer is lost", lost)
		if st := statsOf(t, admin, what.pool); st.Leases != 1 {
			t.Errorf("%s: %+v", typ, st)
		}
		leave()
		wants(t, within(t, "it returns", got), context.Canceled)
		back(p)
		awaitStatsOf(t, admin, what.pool, nothing)
		awaitStatsOf(t, admin, "rooms", nothing)
		if now := statsOf(t, admin, what.pool).Granted; now != granted+1 {
			t.Errorf("%s: granted %d times", typ, now-granted)
		}
	}

	// Close waits for that.
	for range 10 {
		c := s.client(s.addr, client.Config{})
		held := hold(t, admin, seatsOf(0, "A1"))
		ctx, cancel := context.WithCancel(context.Background())
		got := make(chan error, 1)
		go func() { _, err := c.Hold(ctx, seatsOf(60_000, "A1")); got <- err }()
		awaitStatsOf(t, admin, "hall", func(st wire.PoolStats) bool { return st.Waiting == 1 })
		cancel()
		wants(t, within(t, "it returns", got), context.Canceled)
		c.Close()
		if st := statsOf(t, admin, "hall"); st.Waiting != 0 {
			t.Fatalf("%+v", st)
		}
		void(t, held)
	}
}

// A closed client asks for nothing. What it holds, or has booked, stays what it is, and somebody else can go on with it.
func TestHoldClose(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	p := newProxy(t, s.addr)
	c, admin := s.client(p.addr, client.Config{}), s.client(s.addr, client.Config{})
	h, b := hold(t, c, seatsOf(0, "A1")), book(t, c, room(8, 9))
	lost := loseAnswer(p, "hold.confirm")
	confirmed := make(chan error, 1)
	go func() { _, err := h.Confirm(context.Background()); confirmed <- err }()
	within(t, "the answer is lost", lost)
	c.Close()
	wants(t, within(t, "it returns", confirmed), client.ErrUnknownOutcome)
	_, err := c.Hold(testContext(t), seatsOf(0, "A2"))
	wants(t, err, client.ErrClosed, client.ErrNotSent)
	_, err = c.Book(testContext(t), room(9, 10))
	wants(t, err, client.ErrClosed, client.ErrNotSent)
	wants(t, c.HoldOf(h.ID(), h.Token()).Void(testContext(t)), client.ErrClosed, client.ErrNotSent)
	for _, err := range c.Booked(testContext(t), wire.SlotFind{Pool: "rooms", From: wire.At(0), To: wire.At(1)}) {
		wants(t, err, client.ErrClosed)
	}
	refund(t, admin.SaleOf(h.ID(), h.Token()))
	if _, err := admin.BookingOf(b.ID(), b.Token()).Cancel(testContext(t), wire.SlotCancel{}); err != nil {
		t.Error(err)
	}
}

// A server that is stopped and started again on the same store knows what is held, sold and booked.
func TestHoldRestart(t *testing.T) {
	s := newPoolServer(t, t.TempDir(), sales(serve.Config{}))
	c := s.client(s.addr, client.Config{})
	h := hold(t, c, seatsOf(0, "A1", "A2"))
	b := book(t, c, room(8, 9))
	s.stop()
	sold := make(chan *client.Sale, 1)
	go func() {
		sale, err := h.Confirm(context.Background())
		if err != nil {
			t.Error(err)
		}
		sold <- sale
	}()
	s.start()
	sale := within(t, "the sale", sold)
	s.stop()
	s.start()
	if n := refund(t, sale); n != 2 {
		t.Error(n)
	}
	if err := b.Move(testContext(t), wire.SlotMove{Item: "room-3"}); err != nil || names(b.Items()) != "room-3@8-9" {
		t.Error(err, names(b.Items()))
	}
}

// Connections are cut at random while many hold, confirm, void and refund. No seat is sold to two, and nothing is left over.
func TestHoldChaos(t *testing.T) {
	s := newPoolServer(t, "", sales(serve.Config{}))
	admin := s.client(s.addr, client.Config{})
	var mu sync.Mutex
	holder, sold := map[string]bool{}, 0
	s.amidCuts(3, 10, func(c *client.Client, random *rand.Rand) {
		ctx, cancel := context.WithCancel(context.Background())
		if random.IntN(4) == 0 {
			time.AfterFunc(time.Duration(random.IntN(5))*time.Millisecond, cancel)
		}
		left, right := fmt.Sprint("A", 1+random.IntN(2)), fmt.Sprint("A", 3+random.IntN(2))
		h, err := c.Hold(ctx, seatsOf(int64(random.IntN(2)*60_000), left, right))
		cancel()
		if err != nil {
			if !errors.Is(err, context.Canceled) && !errors.Is(err, client.ErrNoneFree) {
				t.Error(err)
			}
			return
		}
		items := h.Items()
		if random.IntN(3) == 0 {
			if err := h.Void(testContext(t)); err != nil {
				t.Error(err)
			}
			return
		}
		sale, err := h.Confirm(testContext(t))
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		for _, it := range items {
			if holder[it.ID] {
				t.Errorf("seat %s is sold twice", it.ID)
			}
			holder[it.ID] = true
		}
		sold += len(sale.Seats())
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		for _, it := range items {
			delete(holder, it.ID)
		}
		mu.Unlock()
		if n, err := sale.Refund(testContext(t), ""); n != len(items) || err != nil {
			t.Error(n, err)
		}
	})
	awaitStatsOf(t, admin, "hall", hallFree)
	t.Logf("%d seats sold, %+v", sold, statsOf(t, admin, "hall"))
}
