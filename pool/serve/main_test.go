package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // a dependency of gnet starts two at init
}

// giveUp bounds every wait in these tests. It is far above what any of them takes, so it only ends a hang.
const giveUp = 20 * time.Second

// served is a Server behind a dispatcher behind an engine on a port of its own.
type served struct {
	*Server
	d    *dispatch.Dispatcher
	e    *engine.Engine
	addr string
}

func begin(cfg Config, parkedMax int) (*served, error) {
	for i := range cfg.Verbs {
		if err := cfg.Verbs[i].Compile(); err != nil {
			return nil, err
		}
	}
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	reg := dispatch.NewRegistry()
	s.Register(reg)
	d, err := dispatch.New(dispatch.Config{Registry: reg, ParkedMax: parkedMax})
	if err != nil {
		return nil, err
	}
	s.Start()
	e, err := engine.Start(engine.Config{
		Addrs: []string{"tcp://127.0.0.1:0"},
		Open:  func(c *engine.Conn) engine.Peer { return d.Open(c) },
	})
	if err != nil {
		return nil, err
	}
	return &served{s, d, e, e.Addrs()[0].String()}, nil
}

// end ends it in the order in which a server does.
func (s *served) end(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := errors.Join(s.e.Shutdown(ctx), s.d.Close(ctx), s.Close()); err != nil {
		return err
	}
	return s.replays()
}

// start begins to serve until the test is over.
func start(t *testing.T, cfg Config) *served {
	t.Helper()
	s := startOnly(t, cfg, 0)
	t.Cleanup(func() {
		if err := s.end(giveUp); err != nil {
			t.Error(err)
		}
	})
	return s
}

func startOnly(t *testing.T, cfg Config, parkedMax int) *served {
	t.Helper()
	if cfg.Journal == nil {
		cfg.Journal = journal.NewMemory()
	}
	s, err := begin(cfg, parkedMax)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// items makes a configured pool with items 1 to n.
func items(name string, n int) Pool {
	return Pool{Spec: pool.Spec{Name: name}, Items: func(yield func(pool.ItemSpec) bool) {
		for i := 1; i <= n && yield(pool.ItemSpec{ID: fmt.Sprint(i)}); i++ {
		}
	}}
}

// conn is a client that speaks JSON lines.
type conn struct {
	net.Conn
	t      testing.TB
	r      *bufio.Reader
	n      uint64  // the last queryIndex
	pushes []frame // that came while a reply was awaited
}

// frame is any frame that the server sends.
type frame struct {
	Type       string          `json:"type"`
	QueryIndex *uint64         `json:"queryIndex"`
	ResultJob  json.RawMessage `json:"resultJob"`
	Err        string          `json:"err"`
	Code       string          `json:"code"`
	Rev        uint64          `json:"rev"`
	Event      json.RawMessage `json:"event"`
}

func dial(t testing.TB, addr string) *conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(giveUp))
	return &conn{Conn: c, t: t, r: bufio.NewReader(c)}
}

// send sends a request, with more fields of its envelope, and returns its index.
func (c *conn) send(typ, payload string, fields ...string) uint64 {
	c.t.Helper()
	c.n++
	more := ""
	for _, f := range fields {
		more += "," + f
	}
	if _, err := fmt.Fprintf(c, `{"type":%q,"queryIndex":%d,"payload":%s%s}`+"\n", typ, c.n, payload, more); err != nil {
		c.t.Fatal(err)
	}
	return c.n
}

func (c *conn) read() (frame, error) {
	var f frame
	line, err := c.r.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &f)
	}
	return f, err
}

// next awaits the next frame.
func (c *conn) next() frame {
	c.t.Helper()
	f, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// reply awaits the reply to a request, which comes before any other.
func (c *conn) reply(index uint64) frame {
	c.t.Helper()
	for {
		f, err := c.read()
		switch {
		case err != nil:
			c.t.Fatalf("no reply: %v", err)
		case f.QueryIndex == nil:
			c.pushes = append(c.pushes, f)
		case *f.QueryIndex != index:
			c.t.Fatalf("got %+v %s, want the reply to %d", f, f.ResultJob, index)
		default:
			return f
		}
	}
}

// push awaits the next push.
func (c *conn) push() frame {
	c.t.Helper()
	if len(c.pushes) > 0 {
		f := c.pushes[0]
		c.pushes = c.pushes[1:]
		return f
	}
	f, err := c.read()
	if err != nil || f.QueryIndex != nil {
		c.t.Fatalf("got %+v, %v, want a push", f, err)
	}
	return f
}

func (c *conn) call(typ, payload string, fields ...string) frame {
	c.t.Helper()
	return c.reply(c.send(typ, payload, fields...))
}

// exchange is call for a connection that may end.
func (c *conn) exchange(typ, payload string) (frame, bool) {
	if _, err := fmt.Fprintf(c, `{"type":%q,"queryIndex":1,"payload":%s}`+"\n", typ, payload); err != nil {
		return frame{}, false
	}
	f, err := c.read()
	return f, err == nil
}

// fails checks that a request fails.
func (c *conn) fails(code, typ, payload string, fields ...string) frame {
	c.t.Helper()
	f := c.call(typ, payload, fields...)
	f.wants(c.t, code)
	return f
}

func (f *frame) wants(t testing.TB, code string) {
	t.Helper()
	if f.Code != code || f.Err == "" {
		t.Fatalf("got %+v %s, want %s", *f, f.ResultJob, code)
	}
}

// into decodes the result of a request that was done.
func into[T any](t testing.TB, f frame) T {
	t.Helper()
	var v T
	if f.Err != "" {
		t.Fatalf("%s: %s", f.Code, f.Err)
	}
	data := f.ResultJob
	if f.QueryIndex == nil {
		data = f.Event
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%+v: %v", f, err)
	}
	return v
}

func (c *conn) acquire(pool, more string, fields ...string) wire.Lease {
	c.t.Helper()
	return into[wire.Lease](c.t, c.call("lease.acquire", want(pool, more), fields...))
}

func want(pool, more string) string { return fmt.Sprintf(`{"want":[{"pool":%q}]%s}`, pool, more) }

func held(l wire.Lease) string { return fmt.Sprintf(`{"lease":%d,"token":%d}`, l.Lease, l.Token) }

func (c *conn) release(l wire.Lease) frame {
	c.t.Helper()
	f := c.call("lease.release", held(l))
	if r := into[wire.Released](c.t, f); r.Released != len(l.Items) {
		c.t.Fatalf("released %d items of %+v", r.Released, l)
	}
	return f
}

func (c *conn) stats(pool string) wire.PoolStats {
	c.t.Helper()
	return into[wire.PoolStats](c.t, c.call("pool.stats", fmt.Sprintf(`{"pool":%q}`, pool)))
}

// waiting asks until so many requests wait for a pool.
func (c *conn) waiting(pool string, n int) {
	c.t.Helper()
	for c.stats(pool).Waiting != n {
	}
}

// hello says hello, and returns what resumes the session.
func (c *conn) hello(resume string) string {
	c.t.Helper()
	r := into[struct{ Resume string }](c.t, c.call("hello", fmt.Sprintf(`{"resume":%q}`, resume))).Resume
	if id, secret, ok := strings.Cut(r, "."); !ok || id == "" || secret == "" {
		c.t.Fatalf("hello gave %q", r)
	}
	return r
}

func within(t testing.TB, what string, c <-chan struct{}, d time.Duration) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(d):
		t.Fatalf("not within %v: %s", d, what)
	}
}

// slow is a journal that a test holds up: in Append, so that nothing is decided meanwhile; or what has been appended is not
// durable yet, so that nothing is answered.
type slow struct {
	journal.Journal
	appended chan struct{} // a value for each Append that has begun

	mu      sync.Mutex
	append  chan struct{} // closed: Append goes on; nil: it is not held up
	durable chan struct{} // likewise, what is appended from then on
}

func newSlow() *slow {
	return &slow{Journal: journal.NewMemory(), appended: make(chan struct{}, 1000)}
}

// hold holds it up until the function that it returns is called.
func (j *slow) hold(t testing.TB, at *chan struct{}) (goOn func()) {
	gate := make(chan struct{})
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.appended) > 0 {
		<-j.appended
	}
	*at = gate
	goOn = sync.OnceFunc(func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		*at = nil
		close(gate)
	})
	t.Cleanup(goOn)
	return goOn
}

func (j *slow) Append(seq uint64, chunk []byte) journal.Ticket {
	j.mu.Lock()
	held, durable := j.append, j.durable
	j.mu.Unlock()
	j.appended <- struct{}{}
	if held != nil {
		<-held
	}
	return slowTicket{j.Journal.Append(seq, chunk), durable}
}

type slowTicket struct {
	journal.Ticket
	durable chan struct{}
}

func (t slowTicket) Wait() error {
	if t.durable != nil {
		<-t.durable
	}
	return t.Ticket.Wait()
}

// later has so many ms pass from one decision to the next. The server has a pool q.
func (j *slow) later(s *served, c *conn, ms int64) {
	c.t.Helper()
	goOn := j.hold(c.t, &j.append)
	index := c.send("item.set", fmt.Sprintf(`{"pool":"q","id":"1","attrs":%d}`, c.n))
	within(c.t, "nothing is decided", j.appended, giveUp)
	s.clock.base += ms
	goOn()
	c.reply(index).none(c.t)
}
