package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
)

// A server that answers in any order, fails at will and hangs up amid answers; clients that cancel at will. Whatever
// happens: no caller gets another's answer, the server gets no request twice, and none of which the client says that it
// was not sent.
func TestChaos(t *testing.T) {
	each(t, func(t *testing.T, cd codec.Codec) {
		seed := rand.Uint64()
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
		var mu sync.Mutex
		seen := make(map[string]int)
		s := newServer(t, cd, func(p *peer) {
			random := rand.New(rand.NewPCG(seed, uint64(p.nth)))
			var held []request
			for life := 1 + random.IntN(100); life > 0; life-- {
				r, ok := p.next()
				if !ok {
					return
				}
				if r.typ != "cancel" {
					mu.Lock()
					seen[r.payload]++
					mu.Unlock()
				}
				if !r.OneWay {
					held = append(held, r)
				}
				// Before it waits for more it has answered all.
				for len(held) > 0 && (len(p.buf) == 0 || random.IntN(3) > 0) {
					i := random.IntN(len(held))
					r := held[i]
					held = append(held[:i], held[i+1:]...)
					switch random.IntN(10) {
					case 0:
						p.fail(r, codec.NewError(codec.QueueFull, r.payload))
					case 1:
						p.reply(r, "{}") // a void answer must not be anyone's either
						p.reply(r, `{"echo":-1}`)
					default:
						p.reply(r, `{"echo":`+r.payload+`}`)
					}
				}
			}
			p.Write([]byte(`{"type":"ha`))
		})
		c := dial(t, s, client.Config{Conns: 3, InFlightMax: 8})

		const goroutines, each = 20, 50
		all := testContext(t)
		outcome := make(map[string]error)
		var counts struct{ answered, failed, notSent, unknown, cancelled int }
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(1000+g)))
				for n := range each {
					value := g*each + n
					ctx, cancel := context.WithCancel(all)
					var canceller sync.WaitGroup
					if random.IntN(5) == 0 {
						yields := random.IntN(20)
						canceller.Go(func() {
							for range yields {
								runtime.Gosched()
							}
							cancel()
						})
					}
					var got echoed[*int]
					var err error
					if random.IntN(5) == 0 {
						err = c.Send(ctx, "x", value)
					} else {
						err = c.Request(ctx, fmt.Sprint("type", random.IntN(3)), value, &got)
					}
					canceller.Wait()
					if got.Echo != nil && *got.Echo != value {
						t.Errorf("%d got the answer to %d", value, *got.Echo)
					}
					if e, ok := errors.AsType[*codec.Error](err); ok && e.Code == codec.QueueFull && e.Message != fmt.Sprint(value) {
						t.Errorf("%d got the failure of %s", value, e.Message)
					}
					mu.Lock()
					outcome[fmt.Sprint(value)] = err
					switch {
					case err == nil:
						counts.answered++
					case errors.Is(err, client.ErrQueueFull):
						counts.failed++
					case errors.Is(err, client.ErrNotSent):
						counts.notSent++
					case errors.Is(err, client.ErrUnknownOutcome):
						counts.unknown++
					case errors.Is(err, context.Canceled):
						counts.cancelled++
					default:
						t.Errorf("%d: %v", value, err)
					}
					mu.Unlock()
					cancel()
				}
			})
		}
		wg.Wait()
		c.Close()
		s.stop()
		for value, err := range outcome {
			switch n := seen[value]; {
			case n > 1:
				t.Errorf("the server got %s %d times", value, n)
			case n > 0 && errors.Is(err, client.ErrNotSent):
				t.Errorf("the server got %s, of which the client says: %v", value, err)
			}
		}
		t.Logf("%+v, %+v", counts, c.Stats())
	})
}
