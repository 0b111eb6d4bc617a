package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// sales makes pools of all kinds: hall has the seats A1 to A6, and floor, of which there are 50; rooms has room-1 to room-3;
// p has the items 1 and 2, to lease.
func sales(cfg serve.Config) serve.Config {
	hall := []pool.ItemSpec{{ID: "floor", Quantity: 50}}
	for i := range 6 {
		hall = append(hall, pool.ItemSpec{ID: fmt.Sprint("A", i+1), Row: 1, Col: int64(i + 1)})
	}
	rooms := items(0, pool.Spec{Name: "rooms", Kind: pool.Calendar})
	rooms.Items = slices.Values([]pool.ItemSpec{{ID: "room-1"}, {ID: "room-2"}, {ID: "room-3"}})
	cfg.Pools = []serve.Pool{
		{Spec: pool.Spec{Name: "hall", Kind: pool.Stock}, Items: slices.Values(hall)}, rooms, items(2, pool.Spec{Name: "p"}),
	}
	return cfg
}

// seatsOf wants seats of the hall.
func seatsOf(waitMs int64, ids ...string) wire.HoldCreate {
	return wire.HoldCreate{Pool: "hall", Seats: ids, WaitMs: waitMs}
}

// floor wants units of the floor.
func floor(n int) wire.HoldCreate {
	h := seatsOf(0, "floor")
	h.Qty = &n
	return h
}

func lasting(h wire.HoldCreate, ttl time.Duration) wire.HoldCreate {
	ms := ttl.Milliseconds()
	h.TTLMs = &ms
	return h
}

func hold(t testing.TB, c *client.Client, h wire.HoldCreate) *client.Hold {
	t.Helper()
	held, err := c.Hold(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func confirm(t testing.TB, h *client.Hold, seats ...wire.SeatRef) *client.Sale {
	t.Helper()
	s, err := h.Confirm(testContext(t), seats...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func void(t testing.TB, h *client.Hold, seats ...wire.SeatRef) {
	t.Helper()
	if err := h.Void(testContext(t), seats...); err != nil {
		t.Fatal(err)
	}
}

func refund(t testing.TB, s *client.Sale, seats ...wire.SeatRef) int {
	t.Helper()
	n, err := s.Refund(testContext(t), "", seats...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// inMonday is ms since 1970 of so many hours after 00:00 UTC on a Monday that is to come.
func inMonday(hours int) int64 {
	now := time.Now().UTC().Truncate(24 * time.Hour)
	return now.AddDate(0, 0, 7+int(time.Monday+7-now.Weekday())%7).Add(time.Duration(hours) * time.Hour).UnixMilli()
}

// room wants a room in the hours of inMonday.
func room(from, to int, ids ...string) wire.SlotBook {
	return wire.SlotBook{Pool: "rooms", IDs: ids, Start: wire.At(inMonday(from)), End: wire.At(inMonday(to))}
}

func book(t testing.TB, c *client.Client, b wire.SlotBook) *client.Booking {
	t.Helper()
	booking, err := c.Book(testContext(t), b)
	if err != nil {
		t.Fatal(err)
	}
	return booking
}

// names gives items as text: their IDs, units where there are several, and when, in hours of inMonday.
func names(items []wire.Item) string {
	var out []string
	for _, it := range items {
		name := it.ID
		if it.Qty != 0 {
			name += fmt.Sprint("*", it.Qty)
		}
		if it.End != 0 {
			name += fmt.Sprintf("@%d-%d", (it.Start-inMonday(0))/3_600_000, (it.End-inMonday(0))/3_600_000)
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func isDone(h *client.Hold) bool {
	select {
	case <-h.Done():
		return true
	default:
		return false
	}
}

// hallFree reports whether nothing of the hall is held, sold or waited for.
func hallFree(s wire.PoolStats) bool { return s.Free == 56 && s.Waiting == 0 && s.Leases == 0 }

// wants says of an error which codes it is to be, all of them.
func wants(t testing.TB, err error, codes ...error) {
	t.Helper()
	for _, code := range codes {
		if !errors.Is(err, code) {
			t.Errorf("%v, want %v", err, code)
		}
	}
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
