package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
)

// crabCase is what a Node client sends over one connection, as packets, and what it gets.
type crabCase struct {
	name   string
	writes []string
	want   string
}

// node has a plain Node socket speak to the server, once for each case, all at the same time.
func node(t *testing.T, addr net.Addr, cases []crabCase) {
	t.Helper()
	asked := make([]nodeCase, len(cases))
	for i, c := range cases {
		asked[i] = nodeCase{Bytes: len(c.want)}
		for _, w := range c.writes {
			asked[i].Writes = append(asked[i].Writes, []byte(w))
		}
	}
	for i, got := range runNode(t, addr, asked) {
		if c := cases[i]; got.Closed || string(got.Received) != c.want {
			t.Errorf("%s: closed %t\nsent %q\n got %q\nwant %q", c.name, got.Closed, c.writes, clip(got.Received), clip([]byte(c.want)))
		}
	}
}

// nodeCase and nodeResult are what testdata/crab.js reads and writes.
type nodeCase struct {
	Writes [][]byte `json:"writes"`
	Bytes  int      `json:"bytes"` // how many to wait for
}

type nodeResult struct {
	Received []byte
	Closed   bool // by the server
}

func runNode(t *testing.T, addr net.Addr, cases []nodeCase) []nodeResult {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("node is needed, to be the client that clients of net-socket-connector are; `make test` installs it: %v", err)
	}
	in := map[string]any{"cases": cases}
	switch a := addr.(type) {
	case *net.TCPAddr:
		in["connect"] = map[string]any{"host": a.IP.String(), "port": a.Port}
	case *net.UnixAddr:
		in["connect"] = map[string]any{"path": a.Name}
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "testdata/crab.js")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var results []nodeResult
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(cases) {
		t.Fatalf("node: %v, %d results of %d, in %q", err, len(results), len(cases), clip(out))
	}
	return results
}

const cntRequest = `{"type":"cntResponse","queryIndex":0,"payload":0}🦀`

func cntReply(n int) string {
	return fmt.Sprintf(`{"type":"cntResponse","queryIndex":0,"resultJob":{"cnt":%d}}🦀`, n)
}

// The first exchange of every net-socket-connector client.
func TestNodeFirstExchange(t *testing.T) {
	for _, addr := range []string{"tcp://127.0.0.1:0", unixAddr(t)} {
		s := start(t, setup{engine: engine.Config{Addrs: []string{addr}}})
		node(t, s.addr(), []crabCase{{name: addr, writes: []string{cntRequest}, want: cntReply(0)}})
	}
}

// It does not matter how the stream is cut into packets.
func TestNodePackets(t *testing.T) {
	s := start(t, setup{})
	const echo = `{"type":"echo","queryIndex":1,"payload":{"text":"жук 🦀 {}"}}🦀`
	const echoed = `{"type":"echo","queryIndex":1,"resultJob":{"text":"жук \ud83e\udd80 {}"}}🦀`
	var cases []crabCase
	add := func(name string, writes []string, want string) {
		cases = append(cases, crabCase{name: name, writes: writes, want: want})
	}
	for i := 1; i < len(echo); i++ { // within each character, the closing crab's bytes too
		add(fmt.Sprintf("cut at %d", i), []string{echo[:i], echo[i:]}, echoed)
		add(fmt.Sprintf("the second cut at %d", i), []string{echo + echo[:i], echo[i:]}, echoed+echoed)
	}
	var bytewise []string
	for i := range len(echo) {
		bytewise = append(bytewise, echo[i:i+1])
	}
	add("byte by byte", append(bytewise, bytewise...), echoed+echoed)
	add("several in a packet", []string{strings.Repeat(echo, 50)}, strings.Repeat(echoed, 50))
	add("white space and empty frames between", []string{" \r\n" + echo + "\n\t" + echo + "🦀 🦀\n" + echo}, strings.Repeat(echoed, 3))
	node(t, s.addr(), cases)
}

// What clients of net-socket-connector rely on, rule by rule.
func TestNodeRules(t *testing.T) {
	const badFrame = `"resultJob":{"msg":"ошибка в сообщении к серверу","err":`
	types := func(reg *dispatch.Registry) {
		raw := func(name, result string) {
			dispatch.HandleRaw(reg, name, func(j *dispatch.Job) error { j.Reply([]byte(result)); return nil })
		}
		raw("onlyType", `{"type":"onlyType"}`)
		raw("typeAmongOthers", `{"a":1,"type":"x","b":{"type":"stays"},"c":null}`)
		raw("null", `null`)
		raw("crab", `{"🦀":"a🦀b"}`)
		raw("тип 🦀", `{"ok":true}`)
		dispatch.HandleRaw(reg, "nothing", func(j *dispatch.Job) error { j.Reply(nil); return nil })
		dispatch.Handle(reg, "deadline", func(ctx context.Context, _ any) (map[string]bool, error) {
			_, has := ctx.Deadline()
			return map[string]bool{"has": has}, nil
		})
	}
	one := func(name, request, reply string) crabCase {
		return crabCase{name: name, writes: []string{request + "🦀"}, want: reply + "🦀"}
	}
	bad := func(name, request, index, echo string) crabCase {
		text := strings.ReplaceAll(strings.ReplaceAll(echo, `\`, `\\`), `"`, `\"`)
		return one("bad frame: "+name, request, `{"type":"errMsgFromClient","queryIndex":`+index+`,`+badFrame+`"`+text+`"}}`)
	}
	long := strings.Repeat("long ", 60)
	cases := []crabCase{
		one("a result that is only type", `{"type":"onlyType","queryIndex":1}`, `{"type":"onlyType","queryIndex":1,"resultJob":{}}`),
		one("type in a result, null in a result", `{"type":"typeAmongOthers","queryIndex":1}`,
			`{"type":"typeAmongOthers","queryIndex":1,"resultJob":{"a":1,"b":{"type":"stays"},"c":null}}`),
		one("null as a result", `{"type":"null","queryIndex":1}`, `{"type":"null","queryIndex":1,"resultJob":{}}`),
		one("nothing as a result", `{"type":"nothing","queryIndex":1}`, `{"type":"nothing","queryIndex":1,"resultJob":{}}`),
		one("a number as a result", `{"type":"echo","queryIndex":1,"payload":7}`, `{"type":"echo","queryIndex":1,"resultJob":{"result":7}}`),
		one("a list as a result", `{"type":"echo","queryIndex":1,"payload":[1,null]}`, `{"type":"echo","queryIndex":1,"resultJob":{"result":[1,null]}}`),

		one("payload 0", `{"type":"echo","queryIndex":0,"payload":0}`, `{"type":"echo","queryIndex":0,"resultJob":{"result":0}}`),
		one("no payload", `{"type":"echo","queryIndex":0}`, `{"type":"echo","queryIndex":0,"resultJob":{}}`),
		one("any string as a type", `{"type":"тип 🦀","queryIndex":1}`, `{"type":"тип \ud83e\udd80","queryIndex":1,"resultJob":{"ok":true}}`),
		{name: "the same queryIndex several times",
			writes: []string{`{"type":"echo","queryIndex":0,"payload":{"n":1}}🦀{"type":"echo","queryIndex":0,"payload":{"n":2}}🦀`},
			want:   `{"type":"echo","queryIndex":0,"resultJob":{"n":1}}🦀{"type":"echo","queryIndex":0,"resultJob":{"n":2}}🦀`},

		bad("no type", `{"queryIndex":7,"payload":1}`, "7", `{"queryIndex":7,"payload":1}`),
		bad("no queryIndex", `{"type":"echo"}`, "0", `{"type":"echo"}`),
		bad("white space", "{ \"queryIndex\" : 7 ,\n\t\"payload\" : [ 1 , \"a b\" ] }", "7", `{"queryIndex":7,"payload":[1,"a b"]}`),
		bad("type a number", `{"type":5,"queryIndex":7}`, "7", `{"type":5,"queryIndex":7}`),
		bad("type null", `{"type":null,"queryIndex":7}`, "7", `{"type":null,"queryIndex":7}`),
		bad("queryIndex a string", `{"type":"echo","queryIndex":"7"}`, "0", `{"type":"echo","queryIndex":"7"}`),
		bad("queryIndex null", `{"type":"echo","queryIndex":null}`, "0", `{"type":"echo","queryIndex":null}`),
		bad("an unknown key", `{"type":"echo","queryIndex":7,"extra":true}`, "7", `{"type":"echo","queryIndex":7,"extra":true}`),
		bad("an unknown key first", `{"extra":{"queryIndex":3},"queryIndex":1.50,"type":"echo"}`, "1.50", `{"extra":{"queryIndex":3},"queryIndex":1.50,"type":"echo"}`),
		one("unknown type", `{"type":"getProxy","queryIndex":3,"payload":0}`,
			`{"type":"getProxy","queryIndex":3,"resultJob":{"err":"Не найден обработчик для запроса getProxy","code":"unknown_type"}}`),
		one("unknown type, empty", `{"type":"","queryIndex":3}`,
			`{"type":"","queryIndex":3,"resultJob":{"err":"Не найден обработчик для запроса ","code":"unknown_type"}}`),
		one("unknown type, long", `{"type":"`+long+`","queryIndex":3}`,
			`{"type":"`+long+`","queryIndex":3,"resultJob":{"err":"Не найден обработчик для запроса `+long+`","code":"unknown_type"}}`),
		one("a failure has the form of a reply", `{"type":"fails","queryIndex":4,"payload":""}`,
			`{"type":"fails","queryIndex":4,"resultJob":{"err":"it went wrong","code":"handler_failed"}}`),
		one("a failure with particulars", `{"type":"fails","queryIndex":4,"payload":"conflict"}`,
			`{"type":"fails","queryIndex":4,"resultJob":{"err":"as asked for","code":"conflict","retryAfterMs":7,"detail":{"n":1}}}`),

		one("no default deadline", `{"type":"deadline","queryIndex":1}`, `{"type":"deadline","queryIndex":1,"resultJob":{"has":false}}`),
		one("a deadline of the client's", `{"type":"deadline","queryIndex":1,"deadlineMs":60000}`, `{"type":"deadline","queryIndex":1,"resultJob":{"has":true}}`),

		one("crabs in a result", `{"type":"crab","queryIndex":1}`, `{"type":"crab","queryIndex":1,"resultJob":{"\ud83e\udd80":"a\ud83e\udd80b"}}`),
		one("a raw crab in a string", `{"type":"echo","queryIndex":1,"payload":{"a":"🦀","🦀":["🦀\"🦀"]}}`,
			`{"type":"echo","queryIndex":1,"resultJob":{"a":"\ud83e\udd80","\ud83e\udd80":["\ud83e\udd80\"\ud83e\udd80"]}}`),
		one("an escaped crab in a string", `{"type":"echo","queryIndex":1,"payload":{"a":"\ud83e\udd80"}}`,
			`{"type":"echo","queryIndex":1,"resultJob":{"a":"\ud83e\udd80"}}`),
		{name: "a forgotten quote loses its own frame only",
			writes: []string{`{"type":"echo,"queryIndex":2}🦀{"type":"echo2","queryIndex":3}🦀`},
			want: `{"type":"errMsgFromClient","queryIndex":0,` + badFrame + `"{\"type\":\"echo,\"queryIndex\":2}"}}🦀` +
				`{"type":"echo2","queryIndex":3,"resultJob":{}}🦀`},
	}
	for _, index := range []string{"0", "-1", "1.5", "1.50", "-0", "1e3", "1E-2", "9007199254740993", "18446744073709551616", "123456789012345678901234567890.5"} {
		cases = append(cases, one("queryIndex "+index, `{"type":"echo","queryIndex":`+index+`}`, `{"type":"echo","queryIndex":`+index+`,"resultJob":{}}`))
	}
	s := start(t, setup{types: types})
	node(t, s.addr(), cases)

	// What begins no object shows no codec; here it is announced.
	s = start(t, setup{types: types, engine: engine.Config{Codec: codec.Crab{}}})
	node(t, s.addr(), append(cases,
		bad("null", `null`, "0", `null`),
		bad("a list", `[{}]`, "0", `[{}]`),
		crabCase{name: "no JSON, and the connection goes on", writes: []string{`hello "you"🦀` + cntRequest},
			want: `{"type":"errMsgFromClient","queryIndex":0,` + badFrame + `"hello \"you\""}}🦀` + cntReply(0)},
	))
}

// One counter a server, from 0, whoever asks.
func TestNodePing(t *testing.T) {
	s := start(t, setup{})
	for n := range 3 {
		node(t, s.addr(), []crabCase{{name: "ping", writes: []string{`{"type":"ping","queryIndex":0,"payload":0}🦀`},
			want: fmt.Sprintf(`{"type":"ping","queryIndex":0,"resultJob":{"pong":%d}}🦀`, n)}})
	}
}

// A Node client pipelines 1,999 requests at two types that take their time: all are accepted, and the connection lives.
func TestNodePipelines(t *testing.T) {
	const requests = 1999
	cnt, ip := newGate(), newGate()
	s := start(t, setup{gates: map[string]*gate{"slowCnt": cnt, "slowIp": ip}})
	var text strings.Builder
	want := 0
	for i := range requests {
		typ := [...]string{"slowCnt", "slowIp"}[i%2]
		fmt.Fprintf(&text, `{"type":"%s","queryIndex":%d,"payload":{"secret":%d}}🦀`, typ, i, i)
		want += len(fmt.Sprintf(`{"type":"%s","queryIndex":%d,"resultJob":{"secret":%d}}🦀`, typ, i, i))
	}
	checked := make(chan string, 1)
	go func() {
		defer func() { cnt.open(); ip.open() }()
		checked <- func() string {
			over := time.Now().Add(patience)
			for {
				a, b := s.typ("slowCnt"), s.typ("slowIp")
				if a.Queued+a.Running+b.Queued+b.Running == requests {
					if a.Shed+b.Shed+a.Done+b.Done != 0 || a.Running != 1 || b.Running != 1 {
						return fmt.Sprintf("not all wait: %+v, %+v", a, b)
					}
					break
				}
				if time.Now().After(over) {
					return fmt.Sprintf("not all were accepted: %+v, %+v", a, b)
				}
				<-time.After(time.Millisecond)
			}
			// srvQueuePrint says the same, and nothing of what others have sent.
			c, err := tryDial(s.addr(), nil)
			if err != nil {
				return err.Error()
			}
			defer c.Close()
			fmt.Fprint(c, `{"type":"srvQueuePrint","queryIndex":0}`+"\n")
			r, err := c.read()
			if err != nil {
				return err.Error()
			}
			if !strings.Contains(r.Payload, `"slowCnt":{"length":999,"count":0}`) ||
				!strings.Contains(r.Payload, `"slowIp":{"length":998,"count":0}`) || strings.Contains(r.Payload, "secret") {
				return "srvQueuePrint: " + r.Payload
			}
			return ""
		}()
	}()
	got := runNode(t, s.addr(), []nodeCase{{Writes: [][]byte{[]byte(text.String())}, Bytes: want}})[0]
	if wrong := receive(t, "the look at the queues", checked); wrong != "" {
		t.Fatal(wrong)
	}
	if got.Closed {
		t.Fatal("the connection was closed")
	}
	replies := strings.SplitAfter(string(got.Received), "🦀")
	if len(replies) != requests+1 || replies[requests] != "" {
		t.Fatalf("%d replies", len(replies)-1)
	}
	next := map[string]int{"slowCnt": 0, "slowIp": 1}
	for _, r := range replies[:requests] {
		typ := "slowCnt"
		if strings.Contains(r, "slowIp") {
			typ = "slowIp"
		}
		if want := fmt.Sprintf(`{"type":"%s","queryIndex":%d,"resultJob":{"secret":%d}}🦀`, typ, next[typ], next[typ]); r != want {
			t.Fatalf("got %s want %s", r, want)
		}
		next[typ] += 2
	}
}

// A jobber that fails answers at once, unless it is to be tried again: then with the attempts that net-socket-connector
// gave it, each at the end of the queue.
func TestNodeFailingJobber(t *testing.T) {
	var attempts []string
	var mu sync.Mutex
	s := start(t, setup{types: func(reg *dispatch.Registry) {
		fail := func(j *dispatch.Job) error {
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, fmt.Sprintf("%s%d", j.Payload(), j.Attempt()))
			if string(j.Payload()) == "2" {
				j.Reply([]byte(`{"ok":true}`))
				return nil
			}
			return errors.New("no proxy is left")
		}
		dispatch.HandleRaw(reg, "once", fail)
		dispatch.HandleRaw(reg.Jobber(dispatch.JobberConfig{Name: "six", Retry: dispatch.Retry{Attempts: 6, Delay: time.Millisecond}}), "six", fail)
	}})
	const failure = `"resultJob":{"err":"no proxy is left","code":"handler_failed"}}🦀`
	node(t, s.addr(), []crabCase{{name: "once", writes: []string{`{"type":"once","queryIndex":0,"payload":1}🦀`}, want: `{"type":"once","queryIndex":0,` + failure}})
	node(t, s.addr(), []crabCase{{name: "six times",
		writes: []string{`{"type":"six","queryIndex":0,"payload":1}🦀{"type":"six","queryIndex":1,"payload":2}🦀`},
		want:   `{"type":"six","queryIndex":1,"resultJob":{"ok":true}}🦀{"type":"six","queryIndex":0,` + failure}})
	mu.Lock()
	defer mu.Unlock()
	if got, want := fmt.Sprint(attempts), "[11 11 21 12 13 14 15 16]"; got != want {
		t.Errorf("payloads and attempts: %s, want %s", got, want)
	}
}

// Who has not said hello, as clients of net-socket-connector do not, gets no pushes.
func TestNodeGetsNoPushes(t *testing.T) {
	s := start(t, setup{types: func(reg *dispatch.Registry) {
		dispatch.HandleRaw(reg, "pushMe", func(j *dispatch.Job) error {
			pushed := j.Peer().Push("lease.expiring", []byte(`{"a":"🦀"}`))
			j.Reply(fmt.Appendf(nil, `{"pushed":%t}`, pushed))
			return nil
		})
	}})
	const ask = `{"type":"pushMe","queryIndex":1}🦀`
	node(t, s.addr(), []crabCase{{name: "push", writes: []string{ask}, want: `{"type":"pushMe","queryIndex":1,"resultJob":{"pushed":false}}🦀`}})

	c := dial(t, s.addr(), codec.Crab{})
	c.ask("hello", "")
	c.sendText([]byte(ask))
	want := `{"type":"lease.expiring","event":{"a":"\ud83e\udd80"}}🦀{"type":"pushMe","queryIndex":1,"resultJob":{"pushed":true}}🦀`
	if got := c.readText(want); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
