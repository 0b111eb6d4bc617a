package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/kassa-go/kassa/bench/load"
	"github.com/kassa-go/kassa/pool/wire"
)

// beside is what goes on at a kassad besides the load that is measured: requests that wait, and a listing.
type beside struct {
	addr    string
	waiters []net.Conn
	waiting int
	control *lines // holds the item that the waiters wait for
	listing *lines
	listed  chan error // the end of the listing
	pages   int64      // that were listed; read after the end
}

const (
	waitersPerConn = 500 // kassa allows 1,024
	waitersTimeout = time.Minute

	// More connections' requests at once would not all find room in kassa's queue of 65,536 of a type.
	waitersConnsAtOnce = 40

	waitMs = 300_000 // the longest there is; the run is over before
)

// startBeside starts what the cell asks for; stop ends it.
func startBeside(ctx context.Context, addr string, c Cell) (*beside, error) {
	b := &beside{addr: addr}
	if err := b.start(ctx, c); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *beside) start(ctx context.Context, c Cell) (err error) {
	if b.control, err = dialLines(b.addr); err != nil {
		return err
	}
	if c.Waiters > 0 {
		if err := b.park(ctx, c.Waiters); err != nil {
			return err
		}
	}
	if c.Listing {
		if b.listing, err = dialLines(b.addr); err != nil {
			return err
		}
		b.listed = make(chan error, 1)
		go func() { b.listed <- b.list(c.Items) }() // ends with its connection
	}
	return nil
}

// park takes an item, has so many requests wait for it, and returns when the server says that they do.
func (b *beside) park(ctx context.Context, waiters int) error {
	item := load.ItemID(1)
	var lease wire.Lease
	hour := time.Hour.Milliseconds()
	hold := wire.Acquire{Want: []wire.Want{{Pool: load.PoolName, IDs: []string{item}}}, TTLMs: &hour}
	if err := b.control.ask("lease.acquire", hold, &lease); err != nil {
		return err
	}
	for b.waiting < waiters {
		conn, err := net.Dial("tcp4", b.addr)
		if err != nil {
			return fmt.Errorf("bench: waiters: %w", err)
		}
		b.waiters = append(b.waiters, conn)
		var requests []byte
		for i := 0; i < waitersPerConn && b.waiting < waiters; i++ {
			requests = fmt.Appendf(requests, `{"type":"lease.acquire","queryIndex":%d,"payload":{"want":[{"pool":"%s","ids":["%s"]}],"waitMs":%d}}`+"\n",
				i, load.PoolName, item, waitMs)
			b.waiting++
		}
		if _, err := conn.Write(requests); err != nil {
			return fmt.Errorf("bench: waiters: %w", err)
		}
		if len(b.waiters)%waitersConnsAtOnce == 0 || b.waiting == waiters {
			if err := b.await(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// await returns when the server says that all wait who were sent to.
func (b *beside) await(ctx context.Context) error {
	deadline := time.After(waitersTimeout)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		stats, err := b.control.stats()
		if err != nil {
			return err
		}
		if stats.Waiting == b.waiting {
			return nil
		}
		select {
		case <-again.C:
		case <-deadline:
			return fmt.Errorf("bench: %d of %d requests wait after %v", stats.Waiting, b.waiting, waitersTimeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// list lists the pool page after page, from the start when it is through, until its connection is closed.
func (b *beside) list(items int) error {
	const limit = 1000
	for {
		listed, cursor := 0, ""
		for first := true; first || cursor != ""; first = false {
			var page struct {
				Items  []json.RawMessage `json:"items"`
				Cursor string            `json:"cursor"`
			}
			err := b.listing.ask("pool.list", wire.PoolList{Pool: load.PoolName, Limit: limit, Cursor: cursor}, &page)
			switch {
			case errors.Is(err, net.ErrClosed):
				return nil
			case err != nil:
				return err
			}
			listed, cursor = listed+len(page.Items), page.Cursor
			b.pages++
		}
		if listed != items {
			return fmt.Errorf("bench: the pages of a listing have %d items, the pool has %d", listed, items)
		}
	}
}

// stop ends what was started, and checks that the pool is as the load has left it: nothing is leased, but for what was
// waited for, and all who waited still do.
func (b *beside) stop() error {
	defer b.close()
	if b.listing != nil {
		b.listing.Close()
		err := <-b.listed
		b.listing = nil
		if err != nil {
			return err
		}
		if b.pages == 0 {
			return errors.New("bench: no page was listed meanwhile")
		}
	}
	stats, err := b.control.stats()
	if err != nil {
		return err
	}
	held := 0
	if b.waiting > 0 {
		held = 1
	}
	if stats.Leased != held || stats.Waiting != b.waiting {
		return fmt.Errorf("bench: at the end %d items are leased and %d requests wait, want %d and %d", stats.Leased, stats.Waiting, held, b.waiting)
	}
	return nil
}

func (b *beside) close() {
	for _, conn := range b.waiters {
		conn.Close()
	}
	if b.listing != nil {
		b.listing.Close()
	}
	if b.control != nil {
		b.control.Close()
	}
}

// lines is a connection that speaks JSON lines, one request after the other.
type lines struct {
	net.Conn
	in    *bufio.Reader
	index uint64
}

// linesTimeout bounds all that is done with such a connection.
const linesTimeout = runTimeout

func dialLines(addr string) (*lines, error) {
	conn, err := net.Dial("tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	conn.SetDeadline(time.Now().Add(linesTimeout))
	return &lines{Conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// ask makes a request and decodes its result.
func (l *lines) ask(typ string, payload, result any) error {
	l.index++
	request, err := json.Marshal(map[string]any{"type": typ, "queryIndex": l.index, "payload": payload})
	if err == nil {
		_, err = l.Write(append(request, '\n'))
	}
	var line []byte
	if err == nil {
		line, err = l.in.ReadBytes('\n')
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	var reply struct {
		QueryIndex uint64          `json:"queryIndex"`
		ResultJob  json.RawMessage `json:"resultJob"`
		Err        string          `json:"err"`
	}
	if err == nil {
		err = json.Unmarshal(line, &reply)
	}
	if err == nil && (reply.Err != "" || reply.QueryIndex != l.index) {
		err = fmt.Errorf("the answer is %s", line)
	}
	if err == nil {
		err = json.Unmarshal(reply.ResultJob, result)
	}
	if err != nil {
		return fmt.Errorf("bench: %s: %w", typ, err)
	}
	return nil
}

func (l *lines) stats() (stats wire.PoolStats, err error) {
	err = l.ask("pool.stats", wire.PoolRef{Pool: load.PoolName}, &stats)
	return stats, err
}
