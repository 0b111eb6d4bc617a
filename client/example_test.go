package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

type Order struct {
	Seats int `json:"seats"`
}

type Sold struct {
	Left int `json:"left"`
}

// sellTickets starts a server that has ten tickets to sell. It returns its address, and what ends it.
func sellTickets() (addr string, stop func()) {
	left := 10
	reg := dispatch.NewRegistry()
	dispatch.Handle(reg, "sell", func(_ context.Context, o Order) (Sold, error) {
		if o.Seats > left {
			return Sold{}, codec.NewError(codec.NoneFree, fmt.Sprintf("only %d left", left))
		}
		left -= o.Seats
		return Sold{left}, nil
	})
	dispatch.HandleRaw(reg, "announce", func(j *dispatch.Job) error {
		j.Peer().Push("announced", j.Payload())
		return nil
	})
	quiet := slog.New(slog.DiscardHandler)
	d, err := dispatch.New(dispatch.Config{Registry: reg, Log: quiet})
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.Start(engine.Config{
		Addrs: []string{"tcp://127.0.0.1:0"},
		Open:  func(c *engine.Conn) engine.Peer { return d.Open(c) },
		Log:   quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	return "tcp://" + e.Addrs()[0].String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(e.Shutdown(ctx), d.Close(ctx)); err != nil {
			log.Fatal(err)
		}
	}
}

func ExampleClient_Request() {
	addr, stop := sellTickets()
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Addr: addr})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	var sold Sold
	if err := c.Request(ctx, "sell", Order{Seats: 8}, &sold); err != nil {
		log.Fatal(err)
	}
	fmt.Println("left:", sold.Left)

	err = c.Request(ctx, "sell", Order{Seats: 8}, &sold)
	if errors.Is(err, client.ErrNoneFree) {
		fmt.Println(err)
	}
	// Output:
	// left: 2
	// none_free: only 2 left
}

func ExampleCall() {
	addr, stop := sellTickets()
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Addr: addr, Codec: codec.Binary{}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	sold, err := client.Call[Sold](ctx, c, "sell", Order{Seats: 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("left:", sold.Left)
	// Output: left: 9
}

// A request that is sent again after ErrUnknownOutcome has the same key: where the type supports keys, it is done once.
func ExampleClient_Do() {
	addr, stop := sellTickets()
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Addr: addr})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	req := client.Request{Type: "sell", Payload: Order{Seats: 1}, Key: "order-4711"}
	rep, err := c.Do(ctx, req)
	for errors.Is(err, client.ErrUnknownOutcome) {
		rep, err = c.Do(ctx, req)
	}
	if err != nil {
		log.Fatal(err)
	}
	var sold Sold
	if err := rep.Decode(&sold); err != nil {
		log.Fatal(err)
	}
	fmt.Println("left:", sold.Left)
	// Output: left: 9
}

// One-way requests have no answer. What they set off may come as a push.
func ExampleClient_Send() {
	addr, stop := sellTickets()
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pushes := make(chan client.Push)
	c, err := client.Dial(ctx, client.Config{Addr: addr, OnPush: func(p client.Push) { pushes <- p }})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	if err := c.Send(ctx, "announce", "doors open at eight"); err != nil {
		log.Fatal(err)
	}
	p := <-pushes
	fmt.Printf("%s: %s\n", p.Type, p.Event)
	// Output: announced: "doors open at eight"
}

// lendProxies starts a server with a pool of three proxies. It returns its address, and what ends it.
func lendProxies() (addr string, stop func()) {
	return servePools(serve.Pool{
		Spec:  pool.Spec{Name: "proxies"},
		Items: slices.Values([]pool.ItemSpec{{ID: "proxy-01"}, {ID: "proxy-02"}, {ID: "proxy-03"}}),
	})
}

// servePools starts a server with pools.
func servePools(configured ...serve.Pool) (addr string, stop func()) {
	quiet := slog.New(slog.DiscardHandler)
	pools, err := serve.New(serve.Config{Journal: journal.NewMemory(), Pools: configured, Log: quiet})
	if err != nil {
		log.Fatal(err)
	}
	reg := dispatch.NewRegistry()
	pools.Register(reg)
	d, err := dispatch.New(dispatch.Config{Registry: reg, Log: quiet})
	if err != nil {
		log.Fatal(err)
	}
	pools.Start()
	e, err := engine.Start(engine.Config{
		Addrs: []string{"tcp://127.0.0.1:0"},
		Open:  func(c *engine.Conn) engine.Peer { return d.Open(c) },
		Log:   quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	return "tcp://" + e.Addrs()[0].String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(e.Shutdown(ctx), d.Close(ctx), pools.Close()); err != nil {
			log.Fatal(err)
		}
	}
}

// fetch stands for work that is done through a proxy.
func fetch(ctx context.Context, proxy string, token uint64) error {
	fmt.Println("through", proxy)
	return ctx.Err()
}

func ExampleClient_Acquire() {
	addr, stop := lendProxies()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Addr: addr})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	lease, err := c.Acquire(ctx, wire.Acquire{Want: []wire.Want{{Pool: "proxies"}}, WaitMs: 30_000})
	if err != nil {
		log.Fatal(err) // client.ErrWaitTimeout: all are taken
	}
	err = fetch(lease.Context(), lease.Items()[0].ID, lease.Token()) // renewed meanwhile, cancelled if it is lost
	outcome := "clean"
	if err != nil {
		outcome = "broken"
	}
	if err := lease.Release(ctx, outcome); err != nil {
		log.Fatal(err) // client.ErrLeaseLost: somebody else may have it
	}
	fmt.Println(lease.Err())
	// Output:
	// through proxy-01
	// lease released
}
