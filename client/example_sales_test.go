package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// openHouse starts a server that sells the seats A1 to A5 of a cinema, and has two rooms to book.
func openHouse() (addr string, stop func()) {
	var seats []pool.ItemSpec
	for column := range 5 {
		seats = append(seats, pool.ItemSpec{ID: fmt.Sprint("A", column+1), Row: 1, Col: int64(column + 1)})
	}
	return servePools(
		serve.Pool{Spec: pool.Spec{Name: "cinema", Kind: pool.Stock, FocusRow: 100, FocusCol: 350}, Items: slices.Values(seats)},
		serve.Pool{
			Spec:  pool.Spec{Name: "rooms", Kind: pool.Calendar},
			Items: slices.Values([]pool.ItemSpec{{ID: "room-1"}, {ID: "room-2"}}),
		},
	)
}

// pay stands for a customer who pays.
func pay(seats []wire.Item) error {
	fmt.Println("paid:", len(seats), "seats")
	return nil
}

func ExampleClient_Hold() {
	addr, stop := openHouse()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Addr: addr})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	hold, err := c.Hold(ctx, wire.HoldCreate{Pool: "cinema", Best: &wire.BestSeats{N: 2}})
	if err != nil {
		log.Fatal(err) // client.ErrNoneFree: nowhere two side by side
	}
	for _, seat := range hold.Items() {
		fmt.Println("held:", seat.ID)
	}
	if err := pay(hold.Items()); err != nil {
		log.Fatal(hold.Void(ctx))
	}
	sale, err := hold.Confirm(ctx)
	if err != nil {
		log.Fatal(err) // client.ErrExpired: the customer took too long
	}
	refunded, err := sale.Refund(ctx, "available", wire.SeatRef{ID: "A4"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("refunded:", refunded, "sold:", sale.Seats()[0].ID)
	// Output:
	// held: A3
	// held: A4
	// paid: 2 seats
	// refunded: 1 sold: A3
}

func ExampleClient_Reserve() {
	addr, stop := openHouse()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Addr: addr})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	// Two seats, and a room for dinner before, or neither.
	day := time.Now().AddDate(0, 0, 7).Format("2006-01-02")
	hold, err := c.Reserve(ctx, wire.Acquire{Want: []wire.Want{
		{Pool: "cinema", IDs: []string{"A1", "A2"}},
		{Pool: "rooms", Start: &wire.Moment{Text: day + "T18:00"}, End: &wire.Moment{Text: day + "T20:00"}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	sale, err := hold.Confirm(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, item := range sale.Seats() {
		fmt.Println(item.Pool, item.ID)
	}

	// The seats are a sale, the room is a booking.
	cancelled, err := c.BookingOf(sale.ID(), sale.Token()).Cancel(ctx, wire.SlotCancel{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("cancelled:", cancelled)
	// Output:
	// cinema A1
	// cinema A2
	// rooms room-1
	// cancelled: 1
}

func ExampleClient_Book() {
	addr, stop := openHouse()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Addr: addr})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	day := time.Now().AddDate(0, 0, 7).Format("2006-01-02")
	at := func(clock string) *wire.Moment { return &wire.Moment{Text: day + "T" + clock} }
	booking, err := c.Book(ctx, wire.SlotBook{Pool: "rooms", IDs: []string{"room-1"}, Start: at("10:00"), End: at("11:30")})
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Book(ctx, wire.SlotBook{Pool: "rooms", IDs: []string{"room-1"}, Start: at("11:00"), End: at("12:00")})
	fmt.Println("taken:", errors.Is(err, client.ErrConflict))

	if err := booking.Move(ctx, wire.SlotMove{Start: at("14:00")}); err != nil {
		log.Fatal(err)
	}
	const clock = "15:04"
	search := wire.SlotFind{Pool: "rooms", IDs: []string{"room-1"}, From: at("10:00"), To: at("18:00"), LengthMs: 3_600_000}
	for slot, err := range c.Slots(ctx, search) {
		if err != nil {
			log.Fatal(err)
		}
		from, to := time.UnixMilli(slot.Start).UTC(), time.UnixMilli(slot.End).UTC()
		fmt.Println(slot.ID, "is free", from.Format(clock), "to", to.Format(clock))
	}
	// Output:
	// taken: true
	// room-1 is free 10:00 to 14:00
	// room-1 is free 15:30 to 18:00
}
