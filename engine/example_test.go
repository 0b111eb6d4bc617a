package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// A server with one jobber.
func Example() {
	reg := dispatch.NewRegistry()
	dispatch.Handle(reg, "greet", func(_ context.Context, name string) (string, error) {
		return "hello " + name, nil
	})
	d, _ := dispatch.New(dispatch.Config{Registry: reg})
	e, _ := engine.Start(engine.Config{
		Addrs: []string{"tcp://127.0.0.1:0"},
		Open:  func(c *engine.Conn) engine.Peer { return d.Open(c) },
	})

	fmt.Print(ask(e.Addrs()[0], `{"type":"greet","queryIndex":1,"payload":"ticket window"}`+"\n"))

	_ = e.Shutdown(context.Background())
	_ = d.Close(context.Background())
	// Output: {"type":"greet","queryIndex":1,"resultJob":"hello ticket window"}
}

// The example of net-socket-connector: two types that take a while each. Calls of one type wait for each other, calls of
// different types do not, so six calls take as long as three.
func Example_jobbers() {
	const takes = 50 * time.Millisecond // two seconds in the original
	reg := dispatch.NewRegistry()
	cnt := 0 // needs no lock: requests of one type run one at a time
	dispatch.Handle(reg, "cntResponse", func(context.Context, any) (map[string]int, error) {
		time.Sleep(takes)
		cnt++
		return map[string]int{"cnt": cnt - 1}, nil
	})
	dispatch.Handle(reg, "getIp", func(context.Context, any) (map[string]string, error) {
		time.Sleep(takes)
		return map[string]string{"ip": "127.0.0.1"}, nil
	})
	d, _ := dispatch.New(dispatch.Config{Registry: reg})
	e, _ := engine.Start(engine.Config{
		Addrs: []string{"tcp://127.0.0.1:0"},
		Open:  func(c *engine.Conn) engine.Peer { return d.Open(c) },
	})

	c, _ := net.Dial("tcp", e.Addrs()[0].String())
	for i := range 3 {
		fmt.Fprintf(c, `{"type":"cntResponse","queryIndex":%d,"payload":0}🦀{"type":"getIp","queryIndex":%d,"payload":0}🦀`, i, i)
	}
	replies := bufio.NewReader(c)
	last := map[byte]string{} // by the first letter of the type
	for range 6 {
		reply, _ := replies.ReadString('\x80') // the crab's last byte
		last[reply[len(`{"type":"`)]] = reply
	}
	fmt.Println(last['c'])
	fmt.Println(last['g'])

	c.Close()
	_ = e.Shutdown(context.Background())
	_ = d.Close(context.Background())
	// Output:
	// {"type":"cntResponse","queryIndex":2,"resultJob":{"cnt":2}}🦀
	// {"type":"getIp","queryIndex":2,"resultJob":{"ip":"127.0.0.1"}}🦀
}

// ask sends a line and returns the line that answers it.
func ask(addr net.Addr, line string) string {
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	fmt.Fprint(c, line)
	reply, _ := bufio.NewReader(c).ReadString('\n')
	return reply
}
