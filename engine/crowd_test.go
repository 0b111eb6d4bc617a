package engine_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// crowd is a set of connections, served by few goroutines.
type crowd struct {
	conns []*client
	hands int
}

// connect opens n connections.
func connect(t testing.TB, addr net.Addr, n int) *crowd {
	t.Helper()
	c := &crowd{conns: make([]*client, n), hands: min(n, 64)}
	t.Cleanup(c.close)
	c.each(t, func(_ *rand.Rand, i int) (err error) {
		c.conns[i], err = tryDial(addr, nil)
		return err
	})
	return c
}

// each calls f for every connection, and stops the test at the first error.
func (c *crowd) each(t testing.TB, f func(rnd *rand.Rand, i int) error) {
	t.Helper()
	seed := rand.Uint64()
	errs := make(chan error, c.hands)
	for hand := range c.hands {
		go func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(hand)))
			for i := hand; i < len(c.conns); i += c.hands {
				if err := f(rnd, i); err != nil {
					errs <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
			}
			errs <- nil
		}()
	}
	var failed error
	for range c.hands {
		failed = errors.Join(failed, <-errs)
	}
	if failed != nil {
		t.Fatalf("seed %d: %v", seed, failed)
	}
}

// close resets the connections: closed in order, they would keep their ports busy for a minute.
func (c *crowd) close() {
	for _, cl := range c.conns {
		if cl != nil {
			if tcp, ok := cl.Conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			cl.Close()
		}
	}
}

// work has every connection send so many requests of four types in random order, all of them before any answer is read,
// and looks that each is answered once, rightly, and in the order of its type.
func (c *crowd) work(t testing.TB, requests int) {
	t.Helper()
	sent := make([][]string, len(c.conns)) // types, by index
	c.each(t, func(rnd *rand.Rand, i int) error {
		types := make([]string, requests)
		for n := range types {
			types[n] = echoTypes[n%len(echoTypes)]
		}
		rnd.Shuffle(len(types), func(a, b int) { types[a], types[b] = types[b], types[a] })
		sent[i] = types
		var text []byte
		for n, typ := range types {
			f := request(typ, uint64(n), fmt.Sprintf(`{"conn":%d,"n":%d}`, i, n))
			text, _ = c.conns[i].codec.Append(text, &f)
		}
		c.conns[i].SetDeadline(time.Now().Add(3 * patience))
		for _, piece := range [][]byte{text[:len(text)/3], text[len(text)/3:]} {
			if _, err := c.conns[i].Write(piece); err != nil {
				return err
			}
		}
		return nil
	})
	c.each(t, func(_ *rand.Rand, i int) error {
		cl := c.conns[i]
		next := make(map[string]int)
		for range requests {
			r, err := cl.read()
			if err != nil {
				return err
			}
			n := next[r.Type]
			for n < requests && sent[i][n] != r.Type {
				n++
			}
			next[r.Type] = n + 1
			if want := fmt.Sprintf(`{"conn":%d,"n":%d}`, i, n); r.Kind != codec.Reply || r.Index != uint64(n) || r.Payload != want {
				return fmt.Errorf("%+v instead of request %d", r, n)
			}
		}
		// Nothing came twice: what is asked now is answered next.
		f := request("echo", uint64(requests), `{}`)
		text, _ := cl.codec.Append(nil, &f)
		if _, err := cl.Write(text); err != nil {
			return err
		}
		r, err := cl.read()
		if err == nil && (r.Kind != codec.Reply || r.Index != uint64(requests)) {
			err = fmt.Errorf("%+v came twice", r)
		}
		cl.in = nil
		return err
	})
}

// TestCrowd has 18,000 clients connected at the same time.
func TestCrowd(t *testing.T) {
	// Fewer under way than the ring and a type's queue take: however slow the server, none is refused.
	conns, requests := 18_000, 3
	if testing.Short() {
		conns = 2_000
	}
	if raceEnabled {
		conns = 500
	}
	began := time.Now()
	srv := spawn(t, childConfig{Addrs: []string{"tcp://127.0.0.1:0"}})

	warm := connect(t, srv.addr(), 256)
	warm.work(t, 20)
	warm.close()
	eventually(t, "an empty server", func() bool { return srv.ask().Engine.Conns == 0 }, func() any { return srv.childState })
	empty := srv.ask().RSS

	c := connect(t, srv.addr(), conns)
	eventually(t, "all connections taken in", func() bool { return srv.ask().Engine.Conns == conns }, func() any { return srv.childState })
	silent := srv.ask().RSS
	connected := time.Since(began)

	const waves = 4
	for range waves {
		c.work(t, requests)
	}
	state := srv.ask()
	if state.Engine.Conns != conns || state.Stats.Connections != int64(conns) {
		t.Errorf("%d connections are left: %+v", conns, state)
	}
	for name, typ := range state.Stats.Types {
		if typ.Queued != 0 || typ.Running != 0 || typ.Shed != 0 || typ.Failed != 0 {
			t.Errorf("%s: %+v", name, typ)
		}
	}
	t.Logf("%d connections, %d requests each: connected after %.1f s, done after %.1f s", conns, waves*requests, connected.Seconds(), time.Since(began).Seconds())
	t.Logf("user-space memory of an idle connection: %d bytes before its first request, %d after its last (server: %.1f MB without connections)",
		(silent-empty)/int64(conns), (state.RSS-empty)/int64(conns), float64(empty)/1e6)

	c.close()
	eventually(t, "an empty server again", func() bool { s := srv.ask(); return s.Engine.Conns == 0 && s.Stats.Connections == 0 },
		func() any { return srv.childState })
}

// TestDescriptorsRunOut has more clients than the server's process has descriptors for.
func TestDescriptorsRunOut(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr := "tcp://127.0.0.1:0"
			if network == "unix" {
				addr = unixAddr(t)
			}
			srv := spawn(t, childConfig{Addrs: []string{addr}, Files: 256})
			room := srv.Engine.ConnsMax
			if room < 100 || room > 256-64 {
				t.Fatalf("room for %d connections under a limit of 256 files", room)
			}
			full := connect(t, srv.addr(), room)
			full.work(t, 4)

			for range 10 { // one after the other: each is told
				wantRefused(t, srv.addr(), codec.TooManyConnections, false)
			}
			storm(t, srv.addr(), 600, false)
			storm(t, srv.addr(), 600, true)
			full.work(t, 4) // those that were in notice nothing

			state := srv.ask()
			if state.Engine.Refused < 1210 || state.Stats.Connections != int64(room) {
				t.Errorf("%+v", state.Engine)
			}
			// As many as leave can be replaced, in spite of a crowd that is refused.
			for _, c := range full.conns[:room/2] {
				c.Close()
			}
			eventually(t, "half of them gone", func() bool { return srv.ask().Engine.Conns == room-room/2 }, func() any { return srv.Engine })
			half := connect(t, srv.addr(), room/2)
			half.work(t, 4)
			wantRefused(t, srv.addr(), codec.TooManyConnections, false)
			full.close()
			half.close()
			eventually(t, "an empty server", func() bool { return srv.ask().Engine.Conns == 0 }, func() any { return srv.Engine })
			connect(t, srv.addr(), room).work(t, 4)
		})
	}
}

// wantRefused connects, and expects to be told why that can not be. A client that speaks at once may be cut off before it
// has read that: it sends to a socket that is closed.
func wantRefused(t testing.TB, addr net.Addr, code codec.Code, speaks bool) {
	t.Helper()
	if err := tryRefused(addr, code, speaks); err != nil {
		t.Fatal(err)
	}
}

func tryRefused(addr net.Addr, code codec.Code, speaks bool) error {
	c, err := tryDial(addr, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if speaks {
		if _, err := c.Write([]byte(`{"type":"echo","queryIndex":1}` + "\n")); err != nil && !isReset(err) {
			return err
		}
	}
	r, err := c.read()
	if speaks && isReset(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("refused without a word: %w", err)
	}
	if r.Kind != codec.Failure || r.Code != code || r.HasIndex {
		return fmt.Errorf("%+v, want %s", r, code)
	}
	if _, err = c.read(); err == nil || !errors.Is(err, io.EOF) && !(speaks && isReset(err)) {
		return fmt.Errorf("not closed in order: %w", err)
	}
	return nil
}

// storm has many clients connect at the same time to a server that has no room.
func storm(t testing.TB, addr net.Addr, clients int, speak bool) {
	t.Helper()
	errs := make([]error, clients)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 100)
	for i := range clients {
		wg.Go(func() {
			slots <- struct{}{}
			errs[i] = tryRefused(addr, codec.TooManyConnections, speak)
			<-slots
		})
	}
	wg.Wait()
	bad := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(bad) > 0 {
		t.Fatalf("%d of %d clients: %v", len(bad), clients, bad[0])
	}
}
