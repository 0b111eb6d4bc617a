package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// poolServer serves two pools, proxies and workers, in memory, and returns the environment that leads to them.
func poolServer(t testing.TB) []string {
	t.Helper()
	return poolServerOn(t, journal.NewMemory())
}

func poolServerOn(t testing.TB, j journal.Journal) []string {
	t.Helper()
	return poolServerWith(t, j, serve.Config{}, pool.Spec{Name: "proxies"}, pool.Spec{Name: "workers"})
}

func poolServerWith(t testing.TB, j journal.Journal, cfg serve.Config, pools ...pool.Spec) []string {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	cfg.Journal, cfg.Log = j, quiet
	for _, spec := range pools {
		cfg.Pools = append(cfg.Pools, serve.Pool{Spec: spec})
	}
	s, err := serve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	reg := dispatch.NewRegistry()
	s.Register(reg)
	d, err := dispatch.New(dispatch.Config{Registry: reg, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	e, err := engine.Start(engine.Config{
		Addrs: []string{"tcp://127.0.0.1:0"}, Codec: codec.JSON{}, Log: quiet,
		Open: func(c *engine.Conn) engine.Peer { return d.Open(c) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), proc.Timeout)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := d.Close(ctx); err != nil {
			t.Errorf("close of the dispatcher: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close of the pools: %v", err)
		}
	})
	return []string{"KASSA_ADDR=tcp://" + e.Addrs()[0].String()}
}

// result decodes what a command printed that did what it should.
func result[T any](t testing.TB, got proc.Result) T {
	t.Helper()
	var v T
	if got.Code != 0 || got.Stderr != "" || strings.Count(got.Stdout, "\n") != 1 {
		t.Fatalf("%+v", got)
	}
	if err := json.Unmarshal([]byte(got.Stdout), &v); err != nil {
		t.Fatalf("%s: %v", got.Stdout, err)
	}
	return v
}

func TestLease(t *testing.T) {
	env := poolServer(t)
	do := func(line string) proc.Result { return kassa(t, nil, env, strings.Fields(line)...) }
	items := `{"id":"a","labels":{"os":"ios","to":"de"}} {"id":"b","labels":{"os":"ios","to":"at"}} {"id":"c","labels":{"os":"mac","to":"at"}}`
	expect(t, kassa(t, strings.NewReader(items), env, "pool", "fill", "proxies", "-"), 0, `{"added":3,"changed":0}`+"\n", "")

	lease := result[wire.Lease](t, do("lease acquire proxies --count 2 --select os=ios,to=de,to=at --ttl 50s --owner me --priority 3 --strategy lru --key k"))
	if len(lease.Items) != 2 || lease.Items[0].ID != "a" || lease.Items[1].ID != "b" {
		t.Errorf("%+v", lease)
	}
	if left := time.Until(time.UnixMilli(lease.ExpiresAt)); left < 20*time.Second || left > 51*time.Second {
		t.Errorf("%v are left", left)
	}
	expect(t, do("lease acquire proxies --ids a"), 1, "", "kassa: none_free: ")
	expect(t, do("lease acquire proxies --select os=bsd"), 1, "", "kassa: ")
	expect(t, do("lease acquire proxies --ids a --wait 50ms --timeout 10s"), 1, "", "kassa: wait_timeout: ")

	renewed := result[wire.Renewed](t, do(fmt.Sprintf("lease renew %d %d --ttl 1h", lease.Lease, lease.Token)))
	if left := time.Until(time.UnixMilli(renewed.ExpiresAt)); left < 50*time.Minute || left > 61*time.Minute {
		t.Errorf("%v are left", left)
	}
	expect(t, do(fmt.Sprintf("lease release %d %d --outcome dirty", lease.Lease, lease.Token)), 0, `{"released":2}`+"\n", "")
	expect(t, do(fmt.Sprintf("lease release %d %d", lease.Lease, lease.Token)), 1, "", "kassa: ")
	stats := result[wire.PoolStats](t, do("pool stats proxies"))
	if stats.Items != 3 || stats.Dirty != 2 || stats.Free != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestWaitIsLongerThanTimeout checks that --wait comes on top of --timeout, and that explain says what is waited for.
func TestWaitIsLongerThanTimeout(t *testing.T) {
	events := journal.NewMemory()
	env := poolServerOn(t, events)
	expect(t, kassa(t, nil, env, "pool", "fill", "proxies", "a"), 0, `{"added":1,"changed":0}`+"\n", "")
	held := result[wire.Lease](t, kassa(t, nil, env, "lease", "acquire", "proxies"))
	began := time.Now()
	waiter := proc.Command{Args: []string{bin + "/kassa", "lease", "acquire", "proxies", "--wait", "25s", "--timeout", "2s"}, Env: env}.Start(t)
	event := awaitEvent(t, events, "wait.began")
	explained := result[wire.Explained](t, kassa(t, nil, env, "explain", fmt.Sprint(event.Wait)))
	if explained.Wait != event.Wait || explained.Text == "" || len(explained.Blocked) != 1 || explained.Blocked[0].Lease != held.Lease {
		t.Errorf("%+v", explained)
	}
	time.Sleep(time.Until(began.Add(2200 * time.Millisecond))) // --timeout is over
	expect(t, kassa(t, nil, env, "lease", "release", fmt.Sprint(held.Lease), fmt.Sprint(held.Token)), 0, `{"released":1}`+"\n", "")
	waiter.WaitLine(`"lease":`)
	if code := waiter.Wait(); code != 0 {
		t.Errorf("code %d, %s", code, waiter.Output())
	}
	expect(t, kassa(t, nil, env, "explain", fmt.Sprint(event.Wait)), 1, "", "kassa: ")
}

// awaitEvent returns the first event of a type in a journal.
func awaitEvent(t testing.TB, j journal.Journal, typ string) *wire.Event {
	t.Helper()
	for deadline := time.Now().Add(proc.Timeout); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var found *wire.Event
		err := j.Read(t.Context(), 0, func(_ uint64, chunk []byte) error {
			return pool.Events(chunk, func(e *pool.Event) bool {
				if e.Type == typ {
					found = serve.WireEvent(e)
				}
				return found == nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if found != nil {
			return found
		}
	}
	t.Fatalf("there was no %s", typ)
	return nil
}

func TestPool(t *testing.T) {
	env := poolServer(t)
	do := func(line string) proc.Result { return kassa(t, nil, env, strings.Fields(line)...) }
	const n = 12_345
	var ids strings.Builder
	for i := range n {
		fmt.Fprintf(&ids, "\"i%05d\"\n", i)
	}
	expect(t, kassa(t, strings.NewReader(ids.String()), env, "pool", "fill", "proxies", "-"), 0, `{"added":12345,"changed":0}`+"\n", "")
	expect(t, do("pool fill workers x y"), 0, `{"added":2,"changed":0}`+"\n", "")

	got := do("pool ls proxies")
	lines := strings.Split(strings.TrimSpace(got.Stdout), "\n")
	if got.Code != 0 || len(lines) != n {
		t.Fatalf("code %d, %d lines, %s", got.Code, len(lines), got.Stderr)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprintf(`{"id":"i%05d","state":"free",`, i)) {
			t.Fatal(i, line)
		}
	}
	got = do("pool ls")
	if got.Code != 0 || strings.Count(got.Stdout, "\n") != 2 || !strings.Contains(got.Stdout, `{"pool":"workers","kind":"lease","items":2,`) {
		t.Errorf("%+v", got)
	}
	expect(t, do("pool ls nope"), 1, "", "kassa: ")

	result[any](t, do("lease acquire workers --ids y"))
	expect(t, do("pool drain workers x y"), 0, `{"removed":1,"draining":1}`+"\n", "")
	expect(t, do("pool drain proxies --all"), 0, `{"removed":12345,"draining":0}`+"\n", "")
	expect(t, do("pool ls proxies"), 0, "", "")

	// What comes before a mistake is filled in by whole requests.
	wrong := ids.String()[:2500*9] + "7"
	expect(t, kassa(t, strings.NewReader(wrong), env, "pool", "fill", "proxies", "-"), 2, "", "2000 items were filled in, and then: item 2501: it is 7: want")
	var large strings.Builder // more than one frame can hold
	for i := range 40 {
		fmt.Fprintf(&large, `{"id":"l%d","attrs":"%060000d"}`, i, i)
	}
	expect(t, kassa(t, strings.NewReader(large.String()), env, "pool", "fill", "workers", "-"), 0, `{"added":40,"changed":0}`+"\n", "")
	expect(t, kassa(t, strings.NewReader(""), env, "pool", "fill", "workers", "-"), 2, "", "standard input holds no JSON")
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	pools := []wire.PoolStats{
		{Pool: "a", Kind: "lease", Items: 12, Free: 3}, {Pool: "proxies", Kind: "lease", Retired: true},
		{Pool: "hall", Kind: "stock", Items: 12, Free: 3, Leased: 4, Sold: 5}, {Pool: "rooms", Kind: "calendar", Items: 2, Granted: 7},
	}
	if err := writeTable(&out, &wire.PoolPage{Pools: pools}); err != nil {
		t.Fatal(err)
	}
	want := "POOL               KIND      ITEMS  FREE  LEASED  SOLD  WITHHELD  DIRTY  QUARANTINED  DRAINING  WAITING  GRANTED\n" +
		"a                  lease     12     3     0       -     -         0      0            0         0        0\n" +
		"proxies (retired)  lease     0      0     0       -     -         0      0            0         0        0\n" +
		"hall               stock     12     3     4       5     0         -      -            0         0        0\n" +
		"rooms              calendar  2      -     -       -     -         -      -            0         0        7\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	out.Reset()
	items := []wire.ItemState{{ID: "a", State: "free", Labels: wire.Labels{"os": "ios", "c": "de"}}, {ID: "bb", State: "leased", Draining: true, Lease: 7, ExpiresAt: 1, Client: "me"}}
	if err := writeTable(&out, &wire.PoolPage{Items: items}); err != nil {
		t.Fatal(err)
	}
	until := time.UnixMilli(1).Format(time.DateTime)
	want = "ID  STATE              LEASE  UNTIL                OWNER  LABELS\n" +
		"a   free               -      -                    -      c=de,os=ios\n" +
		"bb  leased (draining)  7      " + until + "  me     -\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

func TestWatch(t *testing.T) {
	env := poolServer(t)
	result[any](t, kassa(t, nil, env, "pool", "fill", "proxies", "a"))
	p := proc.Command{Args: []string{bin + "/kassa", "watch", "proxies", "--from-rev", "1", "--types", "lease.granted,lease.released"}, Env: env}.Start(t)
	for range 3 {
		lease := result[wire.Lease](t, kassa(t, nil, env, "lease", "acquire", "proxies"))
		result[any](t, kassa(t, nil, env, "pool", "fill", "workers", "w"))
		expect(t, kassa(t, nil, env, "lease", "release", fmt.Sprint(lease.Lease), fmt.Sprint(lease.Token)), 0, `{"released":1}`+"\n", "")
		p.WaitLine(`"type":"lease.granted"`, fmt.Sprintf(`"lease":%d`, lease.Lease))
		p.WaitLine(`"type":"lease.released"`, fmt.Sprintf(`"lease":%d`, lease.Lease))
	}
	p.Signal(os.Interrupt)
	if code := p.Wait(); code != 0 || strings.Count(p.Output(), "\n") != 5 {
		t.Errorf("code %d, %s", code, p.Output())
	}
	expect(t, kassa(t, nil, env, "watch", "--from-rev", "1000"), 1, "", "kassa: state_behind: ")
	expect(t, kassa(t, nil, env, "watch", "proxeis"), 1, "", `kassa: not_found: there is no pool "proxeis"; kassa pool ls lists those there are`)
	expect(t, kassa(t, nil, env, "watch", "--types", "lease.grantd"), 1, "", `kassa: bad_payload: no event is of type "lease.grantd"; there are lease.granted, `)
	expect(t, kassa(t, nil, env, "watch", "proxies", "--types", "session.gone"), 1, "", "kassa: bad_payload: no event of these types names a pool")
	p = proc.Command{Args: []string{bin + "/kassa", "watch", "proxies", "proxeis", "--from-rev", "1"}, Env: env}.Start(t)
	p.WaitLine(`kassa: there is no pool "proxeis" now; if there was one, its events from rev 1 on are printed`)
	p.Signal(os.Interrupt)
	if code := p.Wait(); code != 0 || strings.Count(p.Output(), "there is no pool") != 1 {
		t.Errorf("code %d, %s", code, p.Output())
	}
}

// TestWatchGoesOn has a server break off a watch in all the ways there are: it goes on behind what was printed.
func TestWatchGoesOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const event = `{"type":"watch","event":{"rev":%d,"at":1,"type":"%s","cause":"%s"}}` + "\n"
	asks := make(chan string, 100)
	var begun int // watches
	serve := func(c net.Conn) {
		defer c.Close()
		for in := json.NewDecoder(c); ; {
			var r struct {
				Type       string
				QueryIndex int
				Payload    json.RawMessage
			}
			if in.Decode(&r) != nil {
				return
			}
			if r.Type != "watch" {
				fmt.Fprintf(c, `{"type":%q,"queryIndex":%d,"resultJob":{}}`+"\n", r.Type, r.QueryIndex)
				continue
			}
			asks <- string(r.Payload)
			begun++
			if begun == 3 {
				fmt.Fprintf(c, `{"type":"watch","queryIndex":%d,"err":"not now","code":"unavailable"}`+"\n", r.QueryIndex)
				continue
			}
			fmt.Fprintf(c, `{"type":"watch","queryIndex":%d,"resultJob":{"rev":%d}}`+"\n", r.QueryIndex, 6)
			switch begun {
			case 1:
				fmt.Fprintf(c, event, 7, "lease.granted", "")
				return // the client connects again, and is closed for another
			case 2:
				fmt.Fprintf(c, event, 8, "lease.granted", "")
				fmt.Fprintf(c, event, 8, "watch.ended", "unavailable")
			case 4:
				fmt.Fprintf(c, event, 9, "watch.ended", "rev_gone")
			}
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if n == 3 || n == 4 { // what is dialled after the connection was made again
				c.Close()
				continue
			}
			serve(c)
		}
	}()
	got := kassa(t, nil, []string{"KASSA_ADDR=tcp://" + l.Addr().String()}, "watch", "--from-rev", "7")
	l.Close()
	<-done
	close(asks)
	var asked []string
	for a := range asks {
		asked = append(asked, a)
	}
	if want := []string{`{"fromRev":7}`, `{"fromRev":8}`, `{"fromRev":9}`, `{"fromRev":9}`}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
	want := `{"rev":7,"at":1,"type":"lease.granted","cause":""}` + "\n" + `{"rev":8,"at":1,"type":"lease.granted","cause":""}` + "\n" +
		`{"rev":9,"at":1,"type":"watch.ended","cause":"rev_gone"}` + "\n"
	expect(t, got, 1, want, "kassa: rev_gone: the events behind rev 9 are kept no longer")
	expect(t, got, 1, want, "; it is tried again\n")
}

// TestLeaseAcquireKeeps checks that a lease outlives the connection of lease acquire where the pool would not have it so.
func TestLeaseAcquireKeeps(t *testing.T) {
	env := poolServerWith(t, journal.NewMemory(), serve.Config{GraceMs: -1}, pool.Spec{Name: "proxies", OnDisconnect: pool.ReleaseOnEnd})
	result[any](t, kassa(t, nil, env, "pool", "fill", "proxies", "a"))
	for range 3 {
		lease := result[wire.Lease](t, kassa(t, nil, env, "lease", "acquire", "proxies"))
		result[wire.Renewed](t, kassa(t, nil, env, "lease", "renew", fmt.Sprint(lease.Lease), fmt.Sprint(lease.Token)))
		expect(t, kassa(t, nil, env, "lease", "release", fmt.Sprint(lease.Lease), fmt.Sprint(lease.Token)), 0, `{"released":1}`+"\n", "")
	}
}

// TestKeys checks that commands on pools take keys, for one request.
func TestKeys(t *testing.T) {
	env := poolServer(t)
	for range 2 {
		expect(t, kassa(t, nil, env, "pool", "fill", "proxies", "a", "b", "--key", "f"), 0, `{"added":2,"changed":0}`+"\n", "")
	}
	expect(t, kassa(t, nil, env, "pool", "fill", "proxies", "c", "--key", "f"), 1, "", "kassa: key_conflict: ")
	for range 2 {
		expect(t, kassa(t, nil, env, "pool", "drain", "proxies", "a", "--key", "d"), 0, `{"removed":1,"draining":0}`+"\n", "")
	}
	var many strings.Builder
	for i := range itemsMax + 1 {
		fmt.Fprintf(&many, "\"i%d\" ", i)
	}
	expect(t, kassa(t, strings.NewReader(many.String()), env, "pool", "fill", "proxies", "-", "--key", "m"), 2, "", "1000 items were filled in, and then: --key is for one request")
}

func TestPoolUsage(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"lease", "kassa lease acquire|release|renew|run"},
		{"lease fly", `there is no command "lease fly", only lease acquire, release, renew, run`},
		{"pool", "kassa pool drain|fill|ls|stats"},
		{"lease acquire", "lease acquire needs POOL: kassa lease acquire POOL"},
		{"lease acquire p q", "lease acquire takes no more than POOL"},
		{"lease acquire p --select os", `--select has "os": want LABEL=VALUE`},
		{"lease acquire p --ttl 0s", "--ttl is 0s: want"},
		{"lease acquire p --wait=-1s", "--wait is -1s, below zero"},
		{"lease acquire p --wait 1us", "--wait is 1µs: want whole milliseconds"},
		{"lease acquire p --strategy best", `--strategy is "best": want first, lru or random`},
		{"lease acquire p --outcome clean", "--outcome is not for lease acquire, only for lease release"},
		{"lease renew 1", "lease renew needs TOKEN"},
		{"lease renew 1 x", `TOKEN is "x": want the number`},
		{"lease release 0 1", `LEASE is "0": want the number`},
		{"lease release 1 1 --outcome nice", `--outcome is "nice": want clean, dirty or broken`},
		{"pool ls p --key k", "--key is not for pool ls"},
		{"pool ls p q", "pool ls takes no more than [POOL]"},
		{"pool stats", "pool stats needs POOL"},
		{"pool fill p", "pool fill needs ID"},
		{"pool fill p a -", "- stands for items on standard input"},
		{"pool drain p", "or --all"},
		{"pool drain p a --all", "--all is in the place of IDs"},
		{"ping --all", "--all is not for ping, only for "},
		{"hold", "kassa hold confirm|create|extend|map|void"},
		{"hold create", "hold create needs POOL"},
		{"hold create p", "SEATs, -n COUNT for any seats, or --best COUNT"},
		{"hold create p a --best 2", "--best chooses the seats"},
		{"hold create p -n 2 --best 2", "--best chooses the seats"},
		{"hold create p --best 0", "--best is 0, below one"},
		{"hold create p a --split", "--split is for --best"},
		{"hold create p a --ttl 0s", "--ttl is 0s: want"},
		{"hold create p a --strategy lru", "--strategy is not for hold create, only for lease acquire, lease run"},
		{"hold extend 1", "hold extend needs TOKEN"},
		{"hold confirm x 1", `HOLD is "x": want the number`},
		{"hold void 1 1 floor=0", `"floor=0" is no SEAT=QTY`},
		{"hold void 1 1 =2", "a SEAT is empty"},
		{"sale", "kassa sale refund"},
		{"sale refund x 1", `SALE is "x": want the number`},
		{"sale refund 1 1 --ttl 5s", "--ttl is not for sale refund"},
		{"book", "book needs POOL"},
		{"book p", "book needs --start"},
		{"book p --start 10:00", "book needs either --end WHEN or --for TIME"},
		{"book p --start 10:00 --end 11:00 --for 1h", "book needs either --end WHEN or --for TIME"},
		{"book p --start 10:00 --for 0s", "--for is 0s: want"},
		{"book p --start 10:00 --for 1h --on-conflict ask", `--on-conflict is "ask": want fail, skip or report`},
		{"book p --start 10:00 --for 1h --zone Berlin", `--zone is "Berlin": want the name`},
		{"slot", "kassa slot cancel|day|find|ls|move"},
		{"slot find p", "slot find needs --for"},
		{"slot find p --for 1h --day 2035-01-01", "--day is not for slot find, only for slot day, slot ls"},
		{"slot ls p --day 2035-01-01 --to 10:00", "--day is in the place of --from and --to"},
		{"slot move 1 1", "slot move needs --start WHEN, --end WHEN or --item ITEM"},
		{"slot move 1 1 --start 10:00", `--start is "10:00": kassa does not know in which zone`},
		{"slot move 1 1 --start soon", `--start is "soon": want`},
		{"slot move 1 1 --following --item x", "--following is for --at"},
		{"slot cancel 1 x", `TOKEN is "x"`},
		{"slot cancel 1 1 --at 2035-01-01", `--at is "2035-01-01": kassa does not know in which zone`},
		{"watch --from-rev x", "from-rev"},
		{"request a --types b", "--types is not for request, only for journal dump, watch"},
		{"explain", "explain needs WAIT"},
		{"explain x", `WAIT is "x"`},
		{"backup a b", "backup takes no more than [NAME]"},
		{"backup --pool p", "--pool is not for backup, only for "},
		{"journal", "kassa journal dump|verify"},
		{"journal fly", `there is no command "journal fly", only journal dump, verify`},
		{"journal verify", "journal verify needs DIR: kassa journal verify DIR"},
		{"journal verify a --from-rev 1", "--from-rev is not for journal verify, only for journal dump, watch"},
		{"journal verify nowhere", "open nowhere: no such file"},
		{"journal dump .", ". holds no store: want the directory that kassad was given as --data"},
	} {
		t.Run(test.args, func(t *testing.T) {
			expect(t, kassa(t, nil, nil, strings.Fields(test.args)...), 2, "", test.want)
		})
	}
}
