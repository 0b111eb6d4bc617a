package serve

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

const transcript = "testdata/verbs.txt"

// ownVerbs has pools, and names of the operator's own, as clients of net-socket-connector use them.
func ownVerbs() Config {
	of := func(spec pool.Spec, items ...pool.ItemSpec) Pool {
		return Pool{Spec: spec, Items: func(yield func(pool.ItemSpec) bool) {
			for i := 0; i < len(items) && yield(items[i]); i++ {
			}
		}}
	}
	country := func(c string) map[string]string { return map[string]string{"country": c} }
	now := int64(0)
	return Config{
		Pools: []Pool{
			of(pool.Spec{Name: "proxies", OnDisconnect: pool.Keep},
				pool.ItemSpec{ID: "proxy-1", Labels: country("de"), Attrs: json.RawMessage(`{"host":"192.0.2.1","type":"socks"}`)},
				pool.ItemSpec{ID: "proxy-2", Labels: country("nl")}),
			of(pool.Spec{Name: "phones", QuarantineAfter: 1}, pool.ItemSpec{ID: "phone-1"}, pool.ItemSpec{ID: "phone-2"}),
			of(pool.Spec{Name: "licences"}, pool.ItemSpec{ID: "licence"}),
		},
		Verbs: []Verb{
			{
				Name: "getProxy", Op: "lease.acquire", Pool: "proxies", WaitMs: &now, Select: map[string][]string{"country": {"payload.country"}},
				Result: json.RawMessage(`{"ip":"items[0].id","host":"items[0].attrs.host","ok":true}`),
			},
			{Name: "returnProxy", Op: "lease.release", Pool: "proxies", Item: "payload"},
			{Name: "proxies", Op: "pool.list", Pool: "proxies", Limit: 1},
		},
	}
}

// speaker is a client that speaks any codec.
type speaker struct {
	net.Conn
	t     *testing.T
	codec codec.Codec
	buf   []byte
	index uint64
}

func speak(t *testing.T, addr string, c codec.Codec) *speaker {
	nc := dial(t, addr)
	return &speaker{Conn: nc.Conn, t: t, codec: c}
}

// ask sends a request as a transcript has it.
func (s *speaker) ask(text string) {
	s.t.Helper()
	typ, rest, _ := strings.Cut(text, " ")
	f := codec.Frame{Type: []byte(typ), Index: s.index, HasIndex: true}
	d := json.NewDecoder(strings.NewReader(rest))
	var payload json.RawMessage
	if err := d.Decode(&payload); err == nil {
		f.Payload = payload
	} else if err != io.EOF {
		s.t.Fatalf("%s: %v", text, err)
	}
	for field := range strings.FieldsSeq(rest[d.InputOffset():]) {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "key":
			f.Key = []byte(value)
		case "deadlineMs":
			fmt.Sscan(value, &f.DeadlineMs)
		case "minRev":
			fmt.Sscan(value, &f.MinRev)
		case "oneWay":
			f.OneWay = true
			f.HasIndex = false
		default:
			s.t.Fatalf("%s: there is no field %s", text, name)
		}
	}
	s.index++
	p, err := s.codec.Append(nil, &f)
	if err == nil {
		_, err = s.Write(p)
	}
	if err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
}

// read returns the next frame.
func (s *speaker) read() *codec.Frame {
	s.t.Helper()
	var scan codec.Scan
	for {
		frame, n, err := s.codec.Split(&scan, s.buf, 1<<20)
		switch {
		case err != nil:
			s.t.Fatal(err)
		case n > 0:
			scan = codec.Scan{}
			s.buf = s.buf[n:]
			if frame != nil {
				f := new(codec.Frame)
				if err := s.codec.DecodeReply(frame, f); err != nil {
					s.t.Fatalf("%q: %v", frame, err)
				}
				return f
			}
		default:
			more := make([]byte, 4096)
			n, err := s.Read(more)
			if err != nil {
				s.t.Fatalf("%q: %v", s.buf, err)
			}
			s.buf = append(slices.Clip(s.buf), more[:n]...)
		}
	}
}

var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`("(expiresAt|at|since|until|freeAt)":|ends at |gives up at )\d{13}`), "${1}T"},
	{regexp.MustCompile(`"server":"[^"]*"`), `"server":"S"`},
	{regexp.MustCompile(`"serverTime":"[^"]*"`), `"serverTime":"T"`},
	{regexp.MustCompile(`"resume":"(\d+)\.[0-9a-f]+"`), `"resume":"$1.R"`},
	{regexp.MustCompile(`"types":\{[^}]*\}`), `"types":{}`},
}

// told is a frame as a transcript has it.
func told(f *codec.Frame) string {
	payload := f.Payload
	if payload == nil {
		payload = []byte("null")
	}
	text := ""
	switch f.Kind {
	case codec.Push:
		text = fmt.Sprintf("! %s %s", f.Type, payload)
	case codec.Failure:
		return fmt.Sprintf("< %s %s: %s", f.Type, f.Err.Code, f.Err.Message)
	default:
		text = fmt.Sprintf("< %s rev %d %s", f.Type, f.Rev, payload)
	}
	text = strings.ReplaceAll(text, `\ud83e\udd80`, "🦀") // how crab writes it
	for _, m := range masks {
		text = m.what.ReplaceAllString(text, m.with)
	}
	return text
}

// play has the requests of the transcript made in a codec, and returns it with the answers that come.
func play(t *testing.T, c codec.Codec, script []string) []string {
	t.Helper()
	s := start(t, ownVerbs())
	clients := map[string]*speaker{"a": speak(t, s.addr, c), "b": speak(t, s.addr, c)}
	looker := dial(t, s.addr)
	var out []string
	for _, line := range script {
		who, text, _ := strings.Cut(line, " ")
		if pool, ok := strings.CutPrefix(text, "waits for "); ok && who == "b" {
			out = append(out, line)
			looker.waiting(pool, 1)
			continue
		}
		if line == "" || line[0] == '#' {
			out = append(out, line)
			continue
		}
		client := clients[who[:1]]
		switch who[1:] {
		case ">":
			out = append(out, line)
			client.ask(text)
		case "<", "!":
			out = append(out, who[:1]+told(client.read()))
		default:
			t.Fatalf("%s: no such line", line)
		}
	}
	return out
}

// Every operation of the pools, their failures and pushes are the same in each codec, but for what PROTOCOL.md says of crab.
func TestVerbsInEachCodec(t *testing.T) {
	text, err := os.ReadFile(transcript)
	if err != nil {
		t.Fatal(err)
	}
	script := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if os.Getenv("SERVE_TRANSCRIPT") != "" {
		script = play(t, codec.JSON{}, script)
		if err := os.WriteFile(transcript, []byte(strings.Join(script, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rev := regexp.MustCompile(`^([ab]< \S+ rev) \d+`)
	for _, c := range []codec.Codec{codec.JSON{}, codec.Crab{}, codec.Binary{}} {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel() // a lease that runs out takes a second
			for i, got := range play(t, c, script) {
				want := script[i]
				if c.Name() == "crab" {
					want = rev.ReplaceAllString(want, "$1 0")
					want = strings.ReplaceAll(want, `no handler for type "nope"; a request of type "types" lists them`, "Не найден обработчик для запроса nope")
				}
				if got != want {
					t.Errorf("line %d:\n got %s\nwant %s", i+1, got, want)
				}
			}
		})
	}
}

// A client of net-socket-connector, a plain socket of Node, gets and returns proxies by names that the operator made up.
func TestOldNodeClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("node is needed, to be the client that clients of net-socket-connector are; `make test` installs it: %v", err)
	}
	s := start(t, ownVerbs())
	host, port, _ := net.SplitHostPort(s.addr)
	const cut = "🦀"
	reply := func(typ, result string) string {
		return fmt.Sprintf(`{"type":"%s","queryIndex":0,"resultJob":%s}`+cut, typ, result)
	}
	const first = `{"ip":"proxy-1","host":"192.0.2.1","ok":true}`
	const second = `{"ip":"proxy-2","host":null,"ok":true}`
	exchange := []struct{ request, reply string }{
		// Whatever the payload is, what it does not have asks for nothing.
		{`{"type":"getProxy","queryIndex":0,"payload":0}` + cut, reply("getProxy", first)},
		{`{"type":"getProxy","queryIndex":0}` + cut, reply("getProxy", second)},
		{`{"type":"getProxy","queryIndex":0,"payload":null}` + cut, reply("getProxy", `{"err":"of 2 matching items of pool proxies 0 are free, 1 are wanted; with waitMs the request would wait","code":"none_free"}`)},
		{`{"type":"returnProxy","queryIndex":0,"payload":"proxy-1"}` + cut, reply("returnProxy", `{"released":1}`)},
		{`{"type":"returnProxy","queryIndex":0,"payload":"proxy-1"}` + cut, reply("returnProxy", `{"err":"nobody holds item \"proxy-1\" of pool proxies: it is free","code":"conflict"}`)},
		{`{"type":"returnProxy","queryIndex":0,"payload":{"ip":"proxy-2"}}` + cut, reply("returnProxy", `{"err":"payload is \"{\\\"ip\\\":\\\"proxy-2\\\"}\": want a string","code":"bad_payload"}`)},
		{`{"type":"returnProxy","queryIndex":0}` + cut, reply("returnProxy", `{"err":"payload is absent or empty: it names the item","code":"bad_payload"}`)},
		{`{"type":"returnProxy","queryIndex":0,"payload":"proxy-2"}` + cut, reply("returnProxy", `{"released":1}`)},
		{`{"type":"getProxy","queryIndex":0,"payload":{"country":"nl"}}` + cut, reply("getProxy", second)},
		{`{"type":"getProxy","queryIndex":0,"payload":""}` + cut, reply("getProxy", first)},
		{`{"type":"returnProxy","queryIndex":0,"payload":"proxy-1"}` + cut + `{"type":"getProxy","queryIndex":0,"payload":[]}` + cut, reply("returnProxy", `{"released":1}`) + reply("getProxy", first)},
	}
	var writes [][]byte // a packet each; all over one connection, and answered in order, as one jobber serves them
	want := ""
	for _, e := range exchange {
		writes = append(writes, []byte(e.request))
		want += e.reply
	}
	in, _ := json.Marshal(map[string]any{
		"connect": map[string]string{"host": host, "port": port},
		"cases":   []map[string]any{{"writes": writes, "bytes": len(want)}},
	})
	cmd := exec.CommandContext(t.Context(), node, "../../engine/testdata/crab.js")
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(in)), os.Stderr
	out, err := cmd.Output()
	var got []struct {
		Received []byte
		Closed   bool
	}
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err != nil || len(got) != 1 || got[0].Closed {
		t.Fatalf("node: %s, %v", out, err)
	}
	replies := strings.SplitAfter(string(got[0].Received), cut)
	for i, want := range strings.SplitAfter(want, cut) {
		if i >= len(replies) || replies[i] != want {
			t.Fatalf("got %q, and not %q as number %d", replies, want, i)
		}
	}
	c := dial(t, s.addr)
	if st := into[wire.PoolStats](t, c.call("pool.stats", `{"pool":"proxies"}`)); st.Leased != 2 || st.Granted != 5 || st.Leases != 2 {
		t.Errorf("got %+v", st)
	}
}
