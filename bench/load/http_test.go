package load_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench/load"
)

func httpWire(t testing.TB, payloadBytes int) load.Wire {
	t.Helper()
	w, err := load.NewWire(load.WireConfig{Protocol: "http", PayloadBytes: payloadBytes})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// frames are the JSON frames of a request of the wire and of its reply, from the wire that has nothing around them.
func frames(t testing.TB, conn uint32, index uint64) (request, reply string) {
	t.Helper()
	w, err := load.NewWire(load.WireConfig{})
	if err != nil {
		t.Fatal(err)
	}
	request = strings.TrimSuffix(string(w.AppendRequest(nil, conn, index)), "\n")
	return request, strings.Replace(request, "payload", "resultJob", 1)
}

func TestHTTPRequest(t *testing.T) {
	want, _ := frames(t, 7, load.IndexMin+2)
	got := string(httpWire(t, 0).AppendRequest([]byte("before "), 7, load.IndexMin+2))
	if want = fmt.Sprintf("before POST / HTTP/1.1\r\nHost: kassa\r\nContent-Length: %d\r\n\r\n%s", len(want), want); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	for _, c := range []load.WireConfig{{Protocol: "http", Echo: true}, {Protocol: "http", Codec: "binary"}, {Protocol: "http", PayloadBytes: 1}} {
		if _, err := load.NewWire(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// What is no response, or not the right one, is refused as soon as that shows, and the error says what is wrong.
func TestHTTPReply(t *testing.T) {
	const conn, index = 7, load.IndexMin + 2
	_, body := frames(t, conn, index)
	_, others := frames(t, conn+1, index)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	ok := "HTTP/1.1 200 OK\r\n"
	for what, test := range map[string]struct {
		response string
		index    uint64
		want     string // part of the error; empty: it is right
	}{
		"plain":                    {ok + length + "\r\n" + body, index, ""},
		"more headers":             {ok + "A: b\r\n" + length + "Content-Length-Of: 3\r\nC:\r\n\r\n" + body, index, ""},
		"small letters, no spaces": {"HTTP/1.1 200\r\n" + fmt.Sprintf("content-length:%d\r\n\r\n", len(body)) + body, index, ""},
		"a length twice":           {ok + length + length + "\r\n" + body, index, ""},

		"another status":        {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy", 0, "503"},
		"another version":       {"HTTP/1.0 200 OK\r\n" + length + "\r\n" + body, 0, "HTTP/1.0"},
		"no HTTP":               {body, 0, "resultJob"},
		"no length":             {ok + "A: b\r\n\r\n" + body, 0, "without Content-Length"},
		"no headers":            {ok + "\r\n" + body, 0, "without Content-Length"},
		"an empty length":       {ok + "Content-Length:\r\n\r\n" + body, 0, "Content-Length"},
		"a negative length":     {ok + "Content-Length: -1\r\n\r\n" + body, 0, "Content-Length: -1"},
		"a huge length":         {ok + "Content-Length: 18446744073709551677\r\n\r\n" + body, 0, "18446744073709551677"},
		"two lengths":           {ok + length + "Content-Length: 3\r\n\r\n" + body, 0, "Content-Length: 3"},
		"chunks":                {ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0, "chunked"},
		"a longer body":         {ok + "Content-Length: 99\r\n\r\n" + body, 0, "99 bytes"},
		"an error as body":      {ok + "Content-Length: 4\r\n\r\nfull" + ok, 0, `"full"`},
		"a header without end":  {ok + "A: " + strings.Repeat("b", 5000), 0, "more than 4096 bytes"},
		"a header that is long": {ok + "A: " + strings.Repeat("b", 5000) + "\r\n" + length + "\r\n" + body, 0, "more than 4096 bytes"},
		"no index":              {ok + length + "\r\n" + strings.Repeat("x", len(body)), 0, "index"},
		"another's body":        {ok + length + "\r\n" + others, index, "want"},
		"another type":          {ok + length + "\r\n" + strings.Replace(body, "t2", "t3", 1), index, "want"},
	} {
		t.Run(what, func(t *testing.T) {
			w := httpWire(t, 0)
			n, i, err := w.CheckReply([]byte(test.response+ok), conn)
			if test.want != "" {
				if n != 0 || i != test.index || err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%d %d %v; want %d and an error with %q", n, i, err, test.index, test.want)
				}
				return
			}
			if n != len(test.response) || i != index || err != nil {
				t.Errorf("%d %d %v; want %d %d", n, i, err, len(test.response), index)
			}
			for cut := range test.response {
				if n, i, err := w.CheckReply([]byte(test.response[:cut]), conn); n != 0 || i != 0 || err != nil {
					t.Errorf("cut at %d: %d %d %v", cut, n, i, err)
				}
			}
			at := strings.Index(test.response, body)
			for i := at; i < len(test.response); i++ {
				changed := []byte(test.response)
				changed[i] ^= 4
				if n, _, err := w.CheckReply(changed, conn); n != 0 || err == nil {
					t.Errorf("byte %d of the body changed: %d %v", i-at, n, err)
				}
			}
		})
	}
}

func TestHTTPAllocatesNothing(t *testing.T) {
	const conn, index = 7, load.IndexMin + 2
	_, body := frames(t, conn, index)
	response := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nServer: x\r\n\r\n%s", len(body), body)
	w := httpWire(t, 0)
	out := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		out = w.AppendRequest(out[:0], conn, index)
		if n, _, err := w.CheckReply(response, conn); n != len(response) || err != nil {
			t.Errorf("%d %v", n, err)
		}
	}); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// A response is the same however it is cut: no beginning of one that is taken is refused, and what is refused stays so.
func FuzzHTTPReply(f *testing.F) {
	const conn, index = 7, load.IndexMin + 2
	_, body := frames(f, conn, index)
	for _, response := range []string{
		fmt.Sprintf("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
		fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-LENGTH:%d\r\nServer:\r\n\r\n%sHTTP", len(body), body),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 700) + "\r\n",
	} {
		f.Add([]byte(response))
	}
	w := httpWire(f, 0)
	f.Fuzz(func(t *testing.T, in []byte) {
		n, i, err := w.CheckReply(in, conn)
		switch {
		case n < 0 || n > len(in) || n > 0 && err != nil:
			t.Fatalf("%q: %d %v", in, n, err)
		case n > 0 && !bytes.HasSuffix(in[:n], []byte(body)) && i == index:
			t.Fatalf("%q: not the reply, and taken", in)
		}
		refused := false
		for cut := range len(in) + 1 {
			m, j, err := w.CheckReply(in[:cut], conn)
			switch {
			case n > 0 && cut < n && (m != 0 || err != nil), n > 0 && cut >= n && (m != n || j != i || err != nil):
				t.Fatalf("%q: %d %d, cut at %d: %d %d %v", in, n, i, cut, m, j, err)
			case refused && err == nil:
				t.Fatalf("%q: taken when cut at %d, refused before", in, cut)
			}
			refused = err != nil
		}
	})
}

// echoHTTP answers as peers do.
func echoHTTP(w http.ResponseWriter, r *http.Request) {
	request, _ := io.ReadAll(r.Body)
	reply := bytes.Replace(request, []byte(`"payload"`), []byte(`"resultJob"`), 1)
	w.Header().Set("Content-Length", fmt.Sprint(len(reply)))
	_, _ = w.Write(reply)
}

func startHTTP(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// A server of another make takes the requests, alone and in rows, and its responses are taken.
func TestHTTPOverSocket(t *testing.T) {
	for _, payloadBytes := range []int{0, 478, 16 << 10, 300 << 10} {
		cfg := load.Config{Addr: startHTTP(t, echoHTTP), Conns: 2, Wire: load.WireConfig{Protocol: "http", PayloadBytes: payloadBytes}}
		g := connected(t, cfg)
		for _, inFlight := range []int{1, 16} {
			if r := run(t, g, load.Phase{InFlight: inFlight, Requests: 200}); r.Err() != nil || r.Requests != 200 {
				t.Errorf("%d bytes, %d in flight: %+v", payloadBytes, inFlight, r)
			}
		}
	}
}

// One wrong response among right ones is a fault that says what is wrong.
func TestHTTPFaults(t *testing.T) {
	for want, wrong := range map[string]http.HandlerFunc{
		"503 Service Unavailable": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) },
		"chunked": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
		},
		"want": func(w http.ResponseWriter, r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(`{"type":"t0","queryIndex":10000008,"payload":{"n":1000000}}`))
			echoHTTP(w, r)
		},
	} {
		t.Run(want, func(t *testing.T) {
			n := 0 // of requests, on the only connection
			addr := startHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				if n++; n == 9 {
					wrong(w, r)
				} else {
					echoHTTP(w, r)
				}
			})
			g := connected(t, load.Config{Addr: addr, Conns: 1, Wire: load.WireConfig{Protocol: "http"}})
			r := run(t, g, load.Phase{InFlight: 4, Requests: 100})
			if r.Err() == nil || !strings.Contains(r.Err().Error(), want) || !strings.Contains(r.Err().Error(), "index 10000008") {
				t.Errorf("%+v; want a fault of index 10000008 with %q", r, want)
			}
		})
	}
}

// The response that never ends is missing.
func TestHTTPHalfResponse(t *testing.T) {
	addr := startServer(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
		_, _ = io.Copy(io.Discard, c)
	})
	g := newGenerator(t, load.Config{Addr: addr, Conns: 1, Wire: load.WireConfig{Protocol: "http"}, TimeoutMs: 50})
	if r, err := g.Connect(1); err != nil || r.Err() == nil || !strings.Contains(r.Err().Error(), "no reply") {
		t.Errorf("%+v, %v", r, err)
	}
}
