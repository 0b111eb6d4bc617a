package load

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
)

// redisDialect speaks RESP 2. Free items are a sorted set, all of the same score; holders are a hash of their tokens.
type redisDialect struct{}

// The scripts that Redis must have loaded.
const (
	RedisAcquire = `local item = redis.call('ZPOPMIN', 'free')[1]
if not item then return false end
local token = redis.call('INCR', 'token')
redis.call('HSET', 'held', item, token)
return {item, token}`
	RedisRelease = `if redis.call('HGET', 'held', ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', 'held', ARGV[1])
redis.call('ZADD', 'free', 0, ARGV[1])
return 1`
)

var (
	redisAcquire = "*3\r\n$7\r\nEVALSHA\r\n$40\r\n" + digest(RedisAcquire) + "\r\n$1\r\n0\r\n"
	redisRelease = "*5\r\n$7\r\nEVALSHA\r\n$40\r\n" + digest(RedisRelease) + "\r\n$1\r\n0\r\n"
)

// redisItemHead is what precedes an item's digits.
const redisItemHead = "$12\r\n" + itemPrefix

func digest(script string) string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}

func (redisDialect) open(dst []byte, _ *talk) []byte { return dst }

func (redisDialect) acquire(dst []byte, t *talk, p *pair) []byte {
	t.order.add(p.index)
	return append(dst, redisAcquire...)
}

func (redisDialect) release(dst []byte, t *talk, p *pair) []byte {
	t.order.add(p.index)
	dst = append(append(dst, redisRelease...), redisItemHead+"0000000"...)
	putDigits(dst[len(dst)-itemDigits:], uint64(p.item))
	var number [20]byte
	token := strconv.AppendUint(number[:0], p.token, 10)
	dst = strconv.AppendInt(append(dst, "\r\n$"...), int64(len(token)), 10)
	dst = append(append(dst, "\r\n"...), token...)
	return append(dst, "\r\n"...)
}

func (redisDialect) flush(dst []byte, _ *talk) []byte { return dst }

func (redisDialect) hear(w *pairsWire, buf []byte, t *talk) (n int, index uint64, err error) {
	head, n := line(buf, "\r\n")
	if n == 0 {
		return 0, 0, nil
	}
	index = t.order.at(0)
	p := t.find(index)
	if p == nil {
		return n, 0, fmt.Errorf("a reply that no request waits for: %s", quoted(head))
	}
	switch {
	case p.held && string(head) == ":1":
		t.order.shift()
		return n, index, w.released(t, p, 0)
	case !p.held && string(head) == "$-1":
		t.order.shift()
		w.nothingFree(t, p)
		return n, index, nil
	case p.held || string(head) != "*2":
		return n, index, fmt.Errorf("got %s", quoted(head))
	}
	body := len(redisItemHead) + itemDigits + len("\r\n:")
	if len(buf) < n+body {
		return 0, 0, nil
	}
	_, last := line(buf[n+body:], "\r\n")
	if last == 0 {
		return 0, 0, nil
	}
	whole := buf[:n+body+last]
	in := text{rest: whole[n:]}
	in.want(redisItemHead)
	item := in.number()
	in.want("\r\n:")
	token := in.number()
	in.want("\r\n")
	if in.bad {
		return n, index, fmt.Errorf("got %s", quoted(whole))
	}
	t.order.shift()
	return len(whole), index, w.granted(t, p, item, token, token)
}
