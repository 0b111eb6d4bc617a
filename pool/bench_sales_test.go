package pool_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

// theatre returns a machine with a hall of n seats, in rows of 100 with an aisle in their middle.
func theatre(b *testing.B, n int) *pool.Machine {
	m := pool.New(pool.Config{})
	var r pool.Reply
	m.Decide(1, &pool.Configure{Pools: []pool.Spec{{Name: "p", Kind: pool.Stock, FocusRow: int64(n / 2), FocusCol: 5100}}}, &r)
	seats := make([]pool.ItemSpec, 0, pool.FillMax)
	for i := range n {
		row, col := int64(i/100), int64(i%100)
		seats = append(seats, pool.ItemSpec{ID: fmt.Sprintf("%d-%d", row, col), Row: row + 1, Col: col + 1 + col/50})
		if len(seats) == cap(seats) || i == n-1 {
			if m.Decide(1, &pool.Fill{Pool: "p", Items: seats}, &r); r.Err != nil {
				b.Fatal(r.Err)
			}
			m.TakeChunk()
			seats = seats[:0]
		}
	}
	m.Freeze()
	m.Slice(1 << 30)
	return m
}

// BenchmarkHoldConfirm: an op is a hold of a seat, its confirm, and the refund of an older sale; half of the seats are sold.
func BenchmarkHoldConfirm(b *testing.B) {
	for _, best := range []pool.Best{"", pool.Together} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("best=%v/seats=%d", best != "", n), func(b *testing.B) {
				d := decider{b: b, m: theatre(b, n)}
				hold := &pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "p", Count: 1, Best: best}}}
				sales := make([]pool.Reply, 0, n/2)
				sell := func() pool.Reply {
					d.do(hold)
					d.do(&pool.Confirm{Grant: d.r.Grant, Token: d.r.Token})
					return d.r
				}
				for range n / 2 {
					sales = append(sales, sell())
				}
				rng := rand.New(rand.NewPCG(1, 1))
				b.ReportAllocs()
				for b.Loop() {
					i := rng.IntN(len(sales))
					d.do(&pool.Refund{Grant: sales[i].Grant, Token: sales[i].Token})
					sales[i] = sell()
				}
			})
		}
	}
}

// BenchmarkBestOf20000: an op is a hold of the ten best seats side by side in a hall of 20,000, half of which is sold, and its end.
func BenchmarkBestOf20000(b *testing.B) {
	d := decider{b: b, m: theatre(b, 20_000)}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		row, col := rng.IntN(200), rng.IntN(90)
		var ids []string
		for i := range 10 {
			ids = append(ids, fmt.Sprintf("%d-%d", row, col+i))
		}
		var r pool.Reply
		d.m.Decide(1000, &pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "p", IDs: ids}}}, &r)
	}
	hold := &pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "p", Count: 10, Best: pool.Together}}}
	b.ReportAllocs()
	for b.Loop() {
		d.do(hold)
		d.do(&pool.Release{Kind: pool.Stock, Grant: d.r.Grant, Token: d.r.Token})
	}
}

// BenchmarkBook: an op is the end of a booking, any of n, and a booking of ten minutes that are free, of the same room or
// another: half of the time is booked.
func BenchmarkBook(b *testing.B) {
	const slot = 600_000
	for _, rooms := range []int{1, 100} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("rooms=%d/bookings=%d", rooms, n), func(b *testing.B) {
				d := decider{b: b, m: pool.New(pool.Config{})}
				d.do(&pool.Configure{Pools: []pool.Spec{{Name: "p", Kind: pool.Calendar, HorizonMs: 1 << 41}}})
				items := make([]pool.ItemSpec, rooms)
				for i := range items {
					items[i].ID = fmt.Sprint(i)
				}
				d.do(&pool.Fill{Pool: "p", Items: items})
				rng := rand.New(rand.NewPCG(1, 1))
				free := rng.Perm(2 * n) // room and slot
				book := func(at int) pool.Reply {
					start := int64(1+at/rooms) * slot
					d.do(&pool.Book{Want: pool.Want{Pool: "p", IDs: []string{items[at%rooms].ID}, Spans: []pool.Span{{Start: start, End: start + slot}}}})
					return d.r
				}
				type booking struct {
					pool.Reply
					at int
				}
				booked := make([]booking, n)
				for i := range booked {
					booked[i] = booking{book(free[n+i]), free[n+i]}
				}
				free = free[:n]
				b.ReportAllocs()
				for b.Loop() {
					i, j := rng.IntN(n), rng.IntN(n)
					d.do(&pool.Cancel{Grant: booked[i].Grant, Token: booked[i].Token})
					free[j], booked[i].at = booked[i].at, free[j]
					booked[i].Reply = book(booked[i].at)
				}
			})
		}
	}
}
