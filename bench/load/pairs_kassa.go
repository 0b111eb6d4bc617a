package load

import (
	"fmt"
	"strconv"
)

// kassaDialect speaks JSON lines. Both requests of a pair have its index. An acquire that finds nothing free waits.
type kassaDialect struct{}

// PoolName is what kassa calls the pool.
const PoolName = "p"

func (kassaDialect) open(dst []byte, _ *talk) []byte { return dst }

func (kassaDialect) acquire(dst []byte, _ *talk, p *pair) []byte {
	dst = strconv.AppendUint(append(dst, `{"type":"lease.acquire","queryIndex":`...), p.index, 10)
	return append(dst, `,"payload":{"want":[{"pool":"`+PoolName+`"}],"waitMs":60000}}`+"\n"...)
}

func (kassaDialect) release(dst []byte, _ *talk, p *pair) []byte {
	dst = strconv.AppendUint(append(dst, `{"type":"lease.release","queryIndex":`...), p.index, 10)
	dst = strconv.AppendUint(append(dst, `,"payload":{"lease":`...), p.lease, 10)
	dst = strconv.AppendUint(append(dst, `,"token":`...), p.token, 10)
	return append(dst, "}}\n"...)
}

func (kassaDialect) flush(dst []byte, _ *talk) []byte { return dst }

func (kassaDialect) hear(w *pairsWire, buf []byte, t *talk) (n int, index uint64, err error) {
	reply, n := line(buf, "\n")
	if n == 0 {
		return 0, 0, nil
	}
	in := text{rest: reply}
	in.want(`{"type":"lease.`)
	acquired := len(in.rest) > 0 && in.rest[0] == 'a'
	if acquired {
		in.want(`acquire","queryIndex":`)
	} else {
		in.want(`release","queryIndex":`)
	}
	index = in.number()
	p := t.find(index)
	if in.bad || p == nil || p.held == acquired {
		return n, index, fmt.Errorf("a reply that no request waits for: %s", quoted(reply))
	}
	var lease, token, item, rev uint64
	if acquired {
		in.want(`,"resultJob":{"lease":`)
		lease = in.number()
		in.want(`,"token":`)
		token = in.number()
		in.want(`,"expiresAt":`)
		in.number()
		in.want(`,"items":[{"pool":"` + PoolName + `","id":"` + itemPrefix)
		item = in.number()
		in.want(`"}]},"rev":`)
	} else {
		in.want(`,"resultJob":{"released":1},"rev":`)
	}
	rev = in.number()
	in.want("}")
	switch {
	case in.bad || len(in.rest) > 0:
		return n, index, fmt.Errorf("got %s", quoted(reply))
	case rev <= p.token || rev < token:
		return n, index, fmt.Errorf("the server's rev did not rise: %s", quoted(reply))
	case acquired:
		return n, index, w.granted(t, p, item, lease, token)
	}
	return n, index, w.released(t, p, rev)
}
