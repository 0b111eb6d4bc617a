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

// sale is what whoever bought something has to know of it. It is small: looking it up is not to be what is measured.
type sale struct{ grant, token uint64 }

// BenchmarkHoldConfirm: an op is a hold of a seat and its confirm, of which half to three quarters are sold. Whenever these
// are, some are refunded, any of them: outside the time of sell, one before each in that of refund,sell.
func BenchmarkHoldConfirm(b *testing.B) {
	for _, best := range []pool.Best{"", pool.Together} {
		for _, n := range sizes() {
			b.Run(fmt.Sprintf("best=%v/seats=%d", best != "", n), func(b *testing.B) {
				d := decider{b: b, m: theatre(b, n)}
				hold := &pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "p", Count: 1, Best: best}}}
				sales := make([]sale, 0, n*3/4)
				sell := func() sale {
					d.do(hold)
					d.do(&pool.Confirm{Grant: d.r.Grant, Token: d.r.Token})
					return sale{d.r.Grant, d.r.Token}
				}
				for range n / 2 {
					sales = append(sales, sell())
				}
				rng := rand.New(rand.NewPCG(1, 1))
				refund := func() {
					i, last := rng.IntN(len(sales)), len(sales)-1
					d.do(&pool.Refund{Grant: sales[i].grant, Token: sales[i].token})
					sales[i], sales = sales[last], sales[:last]
				}
				b.Run("sell", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if len(sales) == cap(sales) {
							b.StopTimer()
							for range n / 4 {
								refund()
							}
							b.StartTimer()
						}
						sales = append(sales, sell())
					}
				})
				b.Run("refund,sell", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						refund()
						sales = append(sales, sell())
					}
				})
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
		for _, n := range sizes() {
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
				book := func(at int) sale {
					start := int64(1+at/rooms) * slot
					d.do(&pool.Book{Want: pool.Want{Pool: "p", IDs: []string{items[at%rooms].ID}, Spans: []pool.Span{{Start: start, End: start + slot}}}})
					return sale{d.r.Grant, d.r.Token}
				}
				type booking struct {
					sale
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
					d.do(&pool.Cancel{Grant: booked[i].grant, Token: booked[i].token})
					free[j], booked[i].at = booked[i].at, free[j]
					booked[i].sale = book(booked[i].at)
				}
			})
		}
	}
}
