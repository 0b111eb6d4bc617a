package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// demoServer starts a kassad with a house of 24 seats, and one without any, on disk, and returns the environment that leads
// to it.
func demoServer(t testing.TB, args ...string) (*proc.Process, []string) {
	t.Helper()
	const pools = `
pools:
  cinema: {kind: stock, seats: [{rows: A..C, seats: 1..8, aisles: 4}]}
  proxies: {ids: a}
`
	file := filepath.Join(t.TempDir(), "pools.yaml")
	if err := os.WriteFile(file, []byte(pools), 0o600); err != nil {
		t.Fatal(err)
	}
	p, addr := proc.Kassad(t, bin, append(args, "--config", file, "--data", filepath.Join(t.TempDir(), "data"))...)
	return p, []string{"KASSA_ADDR=" + addr}
}

// runDemo runs the program within the test, so that it sees what goroutines are left.
func runDemo(t testing.TB, env []string, args ...string) proc.Result {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), append([]string{"demo"}, args...), env, nil, &stdout, &stderr)
	goleak.VerifyNone(t, leaks)
	return proc.Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: code}
}

// TestDemo checks that a crowd buys the house out, and what is said of it; and that it can do so again.
func TestDemo(t *testing.T) {
	_, env := demoServer(t)
	got := runDemo(t, env, "--clients", "200", "--seed", "1", "--json")
	var r demoReport
	if err := json.Unmarshal([]byte(got.Stdout), &r); err != nil || got.Code != 0 {
		t.Fatalf("%v, code %d\n%s%s", err, got.Code, got.Stdout, got.Stderr)
	}
	visits, seats := 0, map[string]bool{}
	for _, n := range r.Outcomes {
		visits += n
	}
	for _, s := range r.Sales {
		for _, id := range s.Seats {
			seats[id] = true
		}
	}
	if r.Seats != 24 || r.Sold != 24 || len(seats) != 24 || r.Outcomes[hasBought] != len(r.Sales) || r.Events.Confirmed != len(r.Sales) {
		t.Errorf("24 seats are to be sold: %s", got.Stdout)
	}
	if r.Clients != 200 || visits != 200 || r.Failed != 0 || len(r.Faults) != 0 || r.Outcomes["wait_timeout"] == 0 || r.Outcomes["none_free"] == 0 {
		t.Errorf("200 clients are to be told: %s", got.Stdout)
	}
	if !strings.Contains(got.Stderr, " sold; clients: ") {
		t.Errorf("it did not say how it went: %s", got.Stderr)
	}

	listed := kassa(t, nil, env, "pool", "ls", "cinema").Stdout
	if n := strings.Count(listed, `"state":"sold"`); n != 24 {
		t.Errorf("%d seats are sold:\n%s", n, listed)
	}
	got = runDemo(t, env, "--clients", "2")
	expect(t, got, 1, "", "kassa: 24 of the 24 seats of pool cinema were bought by an earlier demo: kassa demo --reset refunds them")
	got = runDemo(t, env, "--reset", "--clients", "2", "--seed", "1")
	if got.Code != 0 || !strings.Contains(got.Stderr, "24 seats that earlier demos had bought are for sale again") ||
		!strings.Contains(got.Stdout, "2 clients, pool cinema, seed 1: ") || !strings.Contains(got.Stdout, "each of the ") {
		t.Errorf("%+v", got)
	}
}

// TestDemoInterrupted checks that nothing is held when the demo has ended by a signal.
func TestDemoInterrupted(t *testing.T) {
	_, env := demoServer(t)
	p := proc.Command{Args: []string{bin + "/kassa", "demo", "--clients", "100"}, Env: env}.Start(t)
	p.WaitLine(" sold; clients: ")
	p.Signal(os.Interrupt)
	line := p.WaitLine("100 clients, pool cinema, ")
	if code := p.Wait(); code != 130 || !strings.Contains(line, ", interrupted: ") || strings.Contains(p.Output(), "WRONG") {
		t.Errorf("code %d", code)
	}
	if listed := kassa(t, nil, env, "pool", "ls", "cinema").Stdout; strings.Contains(listed, `"state":"held"`) {
		t.Error(listed)
	}
}

// TestDemoKilled checks that a demo can begin anew when the one before was killed, and left holds and sales behind.
func TestDemoKilled(t *testing.T) {
	_, env := demoServer(t)
	p := proc.Command{Args: []string{bin + "/kassa", "demo", "--clients", "100"}, Env: env}.Start(t)
	p.WaitLine(" sold; clients: ")
	p.Signal(os.Kill)
	p.Wait()
	got := runDemo(t, env, "--reset", "--clients", "3", "--seed", "1")
	if got.Code != 0 || !strings.Contains(got.Stderr, " seats that earlier demos had bought are for sale again") {
		t.Errorf("%+v", got)
	}
}

// TestDemoServerGoes checks that a demo whose server is killed waits for it, and ends when it does not come back, and says so.
func TestDemoServerGoes(t *testing.T) {
	server, env := demoServer(t)
	p := proc.Command{Args: []string{bin + "/kassa", "demo", "--clients", "50", "--patience", "1s"}, Env: env}.Start(t)
	p.WaitLine(" sold; clients: ")
	server.Signal(os.Kill)
	server.Wait()
	p.WaitLine("kassa: the server was gone, and not back within 1s (--patience): ", "connection refused")
	p.WaitLine("Is kassad running?")
	if code := p.Wait(); code != 3 || strings.Contains(p.Output(), "WRONG") {
		t.Errorf("code %d", code)
	}
}

// TestDemoInterruptedWithoutServer checks that a demo that is interrupted while its server is gone has no patience.
func TestDemoInterruptedWithoutServer(t *testing.T) {
	server, env := demoServer(t)
	p := proc.Command{Args: []string{bin + "/kassa", "demo", "--clients", "50", "--patience", "1h"}, Env: env}.Start(t)
	p.WaitLine(" sold; clients: ")
	server.Signal(os.Kill)
	server.Wait()
	p.WaitLine(" sold; clients: ")
	p.Signal(os.Interrupt)
	if code := p.Wait(); code != 130 || strings.Contains(p.Output(), "kassa: ") {
		t.Errorf("code %d", code)
	}
}

// TestDemoTooManyConnections checks that a server that is there, and refuses, is not waited for.
func TestDemoTooManyConnections(t *testing.T) {
	_, env := demoServer(t, "--conns-max", "20")
	p := proc.Command{Args: []string{bin + "/kassa", "demo", "--clients", "40", "--patience", "1h"}, Env: env}.Start(t)
	p.WaitLine("kassa: client ", " of 40: too_many_connections: ")
	if code := p.Wait(); code != 1 || strings.Contains(p.Output(), "WRONG") {
		t.Errorf("code %d", code)
	}
}

// TestDemoServerComesBack kills a server in the middle of a demo and starts it again, twice, and then has it end and come back.
// The demo goes on, and proves what it does otherwise: what is asked for again was asked for by a key, and is not done twice.
func TestDemoServerComesBack(t *testing.T) {
	config, data := filepath.Join(t.TempDir(), "pools.yaml"), filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(config, []byte("pools: {cinema: {kind: stock, seats: [{rows: A..L, seats: 1..20}]}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := "tcp://127.0.0.1:0"
	start := func() *proc.Process {
		var server *proc.Process
		server, listen = proc.Kassad(t, bin, "--listen", listen, "--config", config, "--data", data)
		return server
	}
	server := start()
	p := proc.Command{Args: []string{bin + "/kassa", "demo", "--clients", "150", "--seed", "1", "--json"}, Env: []string{"KASSA_ADDR=" + listen}}.Start(t)
	for _, end := range []os.Signal{os.Kill, os.Kill, os.Interrupt} {
		p.WaitLine(" sold; clients: ")
		server.Signal(end)
		server.Wait()
		server = start()
	}
	var r demoReport
	line := p.WaitLine(`{"pool":"cinema"`)
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatal(err)
	}
	visits := 0
	for _, n := range r.Outcomes {
		visits += n
	}
	if code := p.Wait(); code != 0 || r.Failed != 0 || len(r.Faults) != 0 || visits != 150 || r.Again == 0 || r.Outcomes[hasBought] != len(r.Sales) || r.Sold == 0 ||
		r.Receipts+r.FromLogOnly != len(r.Sales) || r.Outcomes[hasExpired] == 0 {
		t.Errorf("code %d: %s", code, line)
	}
}

func TestDemoRefused(t *testing.T) {
	_, env := demoServer(t)
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"demo --clients 0", 2, "--clients is 0, below one"},
		{"demo --duration 0s", 2, "--duration is 0s"},
		{"demo --patience=-1s", 2, "--patience is -1s, below zero"},
		{"demo now", 2, "demo takes no arguments"},
		{"demo --pool nope", 1, "not_found: "},
		{"demo --pool proxies", 1, "pool proxies has no seats that have a place"},
	} {
		expect(t, kassa(t, nil, env, strings.Fields(test.args)...), test.code, "", "kassa: "+test.want)
	}
	few := proc.Command{Args: []string{"/bin/sh", "-c", `ulimit -n 200; exec "$0" demo --clients 180`, bin + "/kassa"}, Env: env}.Run(t)
	expect(t, few, 2, "", "kassa: 180 clients need 244 open files, and the limit is 200: raise it (ulimit -n 244), or ask for 136 clients at most")
	expect(t, kassa(t, nil, []string{"KASSA_ADDR=tcp://127.0.0.1:1"}, "demo"), 3, "", "kassa: ")

	ask := `{"pool":"cinema","seats":["A1"],"owner":"somebody","ttlMs":60000}`
	if got := kassa(t, nil, env, "request", "hold.create", ask); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	for _, args := range []string{"demo", "demo --reset"} {
		expect(t, kassa(t, nil, env, strings.Fields(args)...), 1, "", "kassa: 1 of the 24 seats of pool cinema are sold, held or withheld, and not by a demo")
	}
}

// TestDemoRefunded checks that a sale that somebody takes back meanwhile is found, and ends the demo with 1.
func TestDemoRefunded(t *testing.T) {
	_, env := demoServer(t)
	p := proc.Command{Args: []string{bin + "/kassa", "demo", "--clients", "100"}, Env: env}.Start(t)
	p.WaitLine(" sold; clients: ")
	var sale wire.ItemState // the first
	for deadline := time.Now().Add(proc.Timeout); sale.Sale == 0 && time.Now().Before(deadline); {
		for line := range strings.Lines(kassa(t, nil, env, "pool", "ls", "cinema").Stdout) {
			var it wire.ItemState
			if json.Unmarshal([]byte(line), &it) == nil && it.State == "sold" && (sale.Sale == 0 || it.Sale < sale.Lease) {
				sale = it
			}
		}
	}
	// The first who come do not wait: the number of their sale is its token, too.
	ask := fmt.Sprintf(`{"sale":%d,"token":%d,"seats":[%q]}`, sale.Sale, sale.Sale, sale.ID)
	expect(t, kassa(t, nil, env, "request", "sale.refund", ask), 0, `{"refunded":1}`+"\n", "")
	p.WaitLine("WRONG: seat " + sale.ID + ": it was sold to " + sale.Owner + ", and refunded by event ")
	p.WaitLine("kassa: the demo found ", " faults, the first: seat "+sale.ID)
	if code := p.Wait(); code != 1 {
		t.Errorf("code %d", code)
	}
}

// TestDemoProof checks that what must not be is found: in the log, in what pool.list says, and in the receipts.
func TestDemoProof(t *testing.T) {
	type story struct {
		events   []wire.Event
		list     []wire.ItemState
		receipts []receipt
		refused  []afterwards
	}
	seats := func(ids ...string) (items []wire.Item) {
		for _, id := range ids {
			items = append(items, wire.Item{Pool: "p", ID: id})
		}
		return items
	}
	event := func(e wire.Event) func(*story) { return func(s *story) { s.events = append(s.events, e) } }
	at := func(i int, e wire.Event) func(*story) {
		return func(s *story) { s.events = slices.Insert(s.events, i, e) }
	}
	for _, test := range []struct {
		name   string
		doctor func(*story)
		want   string // how the first fault begins; empty: there is none
	}{
		{"as it was", func(*story) {}, ""},
		{"another pool", event(wire.Event{Rev: 99, Type: "hold.created", Pool: "q", Items: []wire.Item{{Pool: "q", ID: "A1"}}, Hold: 99, Token: 99}), ""},
		{"sold twice", event(wire.Event{Rev: 99, Type: "hold.confirmed", Hold: 20}), "hold 20 (demo-2): it was sold twice"},
		{"sold after it ran out", event(wire.Event{Rev: 99, Type: "hold.confirmed", Hold: 10}), "hold 10 (demo-1): it was sold by event 99, and was over"},
		{
			"held twice", at(1, wire.Event{Rev: 11, Type: "hold.created", Pool: "p", Items: seats("A2"), Hold: 11, Token: 11, Owner: "x"}),
			"seat A2: hold 11 (x) was given it by event 11 while it was held by hold 10 (demo-1)",
		},
		{
			"held while it is sold", event(wire.Event{Rev: 99, Type: "hold.created", Pool: "p", Items: seats("A1"), Hold: 99, Token: 99, Owner: "x"}),
			"seat A1: hold 99 (x) was given it by event 99 while it was sold by hold 20 (demo-2)",
		},
		{
			"an old token", func(s *story) { s.events[2].Token = 5 },
			"seat A1: the token of hold 20 is 5, and that of one before it was 10",
		},
		{"created twice", func(s *story) { s.events[2].Hold = 10 }, "hold 10: it was created twice"},
		{"refunded", event(wire.Event{Rev: 99, Type: "sale.refunded", Pool: "p", Items: seats("A1"), Sale: 20}), "seat A1: it was sold to demo-2, and refunded"},
		{"ran out when it was sold", event(wire.Event{Rev: 99, Type: "hold.expired", Pool: "p", Items: seats("A1"), Hold: 20}), "seat A1: it was sold to demo-2, and taken away"},
		{"voided by another", event(wire.Event{Rev: 99, Type: "hold.voided", Pool: "p", Items: seats("A3"), Hold: 20}), "seat A3: event 99 takes it from hold 20"},
		{"still held", func(s *story) { s.events, s.receipts, s.list[0].State = s.events[:3], nil, "held" }, "seat A1: it is still held, by hold 20"},
		{"a sale that is not in the log", func(s *story) { s.events = s.events[:3] }, "seat A1: it is held by the log, and sold by pool.list"},
		{"a sale that is not in the list", func(s *story) { s.list[0].State = "available" }, "seat A1: it is sold by the log, and available by pool.list"},
		{"another owner in the list", func(s *story) { s.list[0].Owner = "x" }, "seat A1: it is sold to demo-2 (20) by the log, and to x (20)"},
		{"another sale in the list", func(s *story) { s.list[0].Sale = 21 }, "seat A1: it is sold to demo-2 (20) by the log, and to demo-2 (21)"},
		{"a seat too few", func(s *story) { s.list = s.list[:2] }, "seat A3: pool.list does not know it"},
		{"a seat too many", func(s *story) { s.list = append(s.list, wire.ItemState{ID: "A4", State: "available"}) }, "seat A4: it was not there"},
		{"no receipt", func(s *story) { s.receipts = nil }, "seat A1: it was sold to demo-2 (sale 20), who has no receipt"},
		{"two receipts", func(s *story) { s.receipts = append(s.receipts, receipt{"x", 21, 21, []string{"A1"}}) }, "seat A1: demo-2 and x both have a receipt"},
		{"another's receipt", func(s *story) { s.receipts[0].Owner = "x" }, "seat A1: x has a receipt for it, of sale 20 with token 20, and it was sold to demo-2"},
		{"a receipt with another token", func(s *story) { s.receipts[0].Token = 1 }, "seat A1: demo-2 has a receipt for it, of sale 20 with token 1"},
		{"a receipt for what is not sold", func(s *story) { s.receipts[0].Seats = []string{"A1", "A3"} }, "seat A3: demo-2 has a receipt for it, of sale 20, and it is available"},
		{
			"a request for seats carried out twice", at(1, wire.Event{Rev: 11, Type: "hold.created", Pool: "p", Items: seats("A3"), Hold: 11, Token: 11, Owner: "demo-1", Session: 1}),
			"hold 11 (demo-1): a request was carried out twice, that of hold 10 and by event 11, in session 1",
		},
		{"the same in another session", func(s *story) {
			s.events = slices.Insert(s.events, 1,
				wire.Event{Rev: 11, Type: "hold.created", Pool: "p", Items: seats("A3"), Hold: 11, Token: 11, Owner: "demo-1", Session: 9},
				wire.Event{Rev: 12, Type: "hold.expired", Pool: "p", Items: seats("A3"), Hold: 11})
		}, ""},
		{
			"a sale that the key does not tell of", func(s *story) { s.receipts, s.refused = nil, []afterwards{{"demo-2", 20, 2, codec.AlreadyResolved}} },
			"hold 20 (demo-2): a request was carried out, and refused as already_resolved when it was made again in the same session, 2",
		},
		{"a sale that the client knows nothing of", func(s *story) { s.receipts, s.refused = nil, []afterwards{{"demo-2", 20, 9, codec.AlreadyResolved}} }, ""},
		{
			"no sale that the client could know of", func(s *story) { s.refused = []afterwards{{"demo-1", 10, 9, codec.AlreadyResolved}} },
			"hold 10 (demo-1): it was refused as already_resolved, and not sold",
		},
		{
			"voided twice", func(s *story) {
				s.events[1].Type, s.refused = "hold.voided", []afterwards{{"demo-1", 10, 1, codec.Expired}}
			},
			"hold 10 (demo-1): a request was carried out, and refused as expired when it was made again in the same session, 1",
		},
		{"ran out before it could be voided", func(s *story) { s.refused = []afterwards{{"demo-1", 10, 1, codec.Expired}} }, ""},
		{"refused and unknown", func(s *story) { s.refused = []afterwards{{"x", 7, 9, codec.Expired}} }, "hold 7 (x): it was refused as expired, and is not in the log"},
		{"a receipt for nothing", func(s *story) { s.receipts[0].Seats = []string{"A1", "Z"} }, "seat Z: demo-2 has a receipt for it, and there is no such seat"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &story{
				events: []wire.Event{
					{Rev: 10, Type: "hold.created", Pool: "p", Items: seats("A1", "A2"), Hold: 10, Token: 10, Owner: "demo-1", Session: 1},
					{Rev: 12, Type: "hold.expired", Pool: "p", Items: seats("A1", "A2"), Hold: 10},
					{Rev: 20, Type: "hold.created", Pool: "p", Items: seats("A1"), Hold: 20, Token: 20, Owner: "demo-2", Session: 2},
					{Rev: 21, At: 1, Type: "hold.confirmed", Hold: 20},
				},
				list: []wire.ItemState{
					{ID: "A1", State: "sold", Sale: 20, Owner: "demo-2"}, {ID: "A2", State: "available"}, {ID: "A3", State: "available"},
				},
				receipts: []receipt{{"demo-2", 20, 20, []string{"A1"}}},
			}
			h := newHouse("p", slices.Clone(s.list))
			test.doctor(s)
			for i := range s.events {
				h.apply(&s.events[i])
			}
			faults, _ := verify(h, s.list, s.receipts, s.refused)
			switch {
			case test.want == "" && len(faults) > 0, test.want != "" && len(faults) == 0:
				t.Errorf("%q, want %q", faults, test.want)
			case test.want != "" && !strings.HasPrefix(faults[0], test.want):
				t.Errorf("%q, want %q first", faults, test.want)
			}
		})
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 18000: "18,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Error(fmt.Sprint(n), got, want)
		}
	}
}
