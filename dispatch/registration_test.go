package dispatch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/dispatch"
)

func TestRegistrationErrors(t *testing.T) {
	nothing := func(*dispatch.Job) error { return nil }
	for name, f := range map[string]func(*dispatch.Registry){
		"is registered twice": func(r *dispatch.Registry) {
			dispatch.HandleRaw(r, "a", nothing)
			dispatch.HandleRaw(r, "a", nothing)
		},
		"is built in":    func(r *dispatch.Registry) { dispatch.HandleRaw(r, "ping", nothing) },
		"1 to 128 bytes": func(r *dispatch.Registry) { dispatch.HandleRaw(r, "", nothing) },
		"not both": func(r *dispatch.Registry) {
			j := r.Jobber(dispatch.JobberConfig{Name: "j"})
			dispatch.HandleBatch(j, func([]*dispatch.Job) {}, "a")
			dispatch.HandleRaw(j, "b", nothing)
		},
		"has its handlers already": func(r *dispatch.Registry) {
			j := r.Jobber(dispatch.JobberConfig{Name: "j"})
			dispatch.HandleBatch(j, func([]*dispatch.Job) {}, "a")
			dispatch.HandleBatch(j, func([]*dispatch.Job) {}, "b")
		},
		"does itself": func(r *dispatch.Registry) {
			j := r.Jobber(dispatch.JobberConfig{Name: "j", Retry: dispatch.Retry{Attempts: 2}})
			dispatch.HandleBatch(j, func([]*dispatch.Job) {}, "a")
		},
		"negative setting": func(r *dispatch.Registry) { r.Jobber(dispatch.JobberConfig{Concurrency: -1}) },
		"chan int is no type that JSON has": func(r *dispatch.Registry) {
			dispatch.Handle(r, "c", func(context.Context, chan int) (int, error) { return 0, nil })
		},
		"before New": func(r *dispatch.Registry) {
			d, err := dispatch.New(dispatch.Config{Registry: r})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close(context.Background())
			if _, err := dispatch.New(dispatch.Config{Registry: r}); err == nil {
				t.Error("one registry for two dispatchers")
			}
			dispatch.HandleRaw(r, "late", nothing)
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "dispatch: ") || !strings.Contains(p, name) {
					t.Errorf("panic: %s", p)
				}
			}()
			f(dispatch.NewRegistry())
		})
	}
	for _, cfg := range []dispatch.Config{{}, {Registry: dispatch.NewRegistry(), Credit: -1}, {Registry: dispatch.NewRegistry(), QueueLog: -1}} {
		if _, err := dispatch.New(cfg); err == nil || !strings.HasPrefix(err.Error(), "dispatch: Config.") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// Where the ring has no room the answer is queue_full, to each request, also of a connection without credit.
func TestRingFull(t *testing.T) {
	reg := dispatch.NewRegistry()
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	j := reg.Jobber(dispatch.JobberConfig{Name: "j", SerialKey: func(*dispatch.Job) string { // holds up the dispatcher
		entered <- struct{}{}
		<-leave
		return ""
	}})
	dispatch.HandleRaw(j, "t", func(j *dispatch.Job) error { j.Reply(nil); return nil })
	s := serve(t, dispatch.Config{Registry: reg, RingSize: 1, Credit: 2})
	a, b := s.dial(), s.dial()
	a.send(`{"type":"t","queryIndex":0}`)
	<-entered
	a.send(`{"type":"t","queryIndex":1}`)
	s.until("the ring is full", func(st dispatch.Stats) bool { return st.Ring.Len == st.Ring.Cap })
	b.send(strings.Repeat(`{"type":"t","queryIndex":7}`+"\n", 5))
	for range 5 {
		b.want(7, "!queue_full")
	}
	close(leave)
	a.want(0, "null")
	a.want(1, "null")
	if st := s.Stats(); st.Ring.Shed != 5 {
		t.Errorf("stats: %+v", st.Ring)
	}
}

// An answer does not wait for the next request, and what waits behind a slow request can still be taken back, however
// quick the requests before were.
func TestNothingWaitsForTheNextRequest(t *testing.T) {
	reg := dispatch.NewRegistry()
	g := newGate()
	dispatch.Handle(reg, "mixed", func(ctx context.Context, name string) (string, error) {
		if name == "quick" {
			return name, nil
		}
		return g.handle(ctx, name)
	})
	s := serve(t, dispatch.Config{Registry: reg})
	c := s.dial()
	const quick = 1000
	c.send(strings.Repeat(`{"type":"mixed","queryIndex":1,"payload":"quick"}`+"\n", quick) +
		`{"type":"mixed","queryIndex":2,"payload":"slow"}` + "\n" + `{"type":"mixed","queryIndex":3,"payload":"behind"}`)
	for range quick {
		c.want(1, `"quick"`)
	}
	g.await(t)
	s.until("one waits behind it", func(st dispatch.Stats) bool { return st.Types["mixed"].Queued == 1 })
	if st := s.Stats().Types["mixed"]; st.Running != 1 || st.Done != quick {
		t.Errorf("stats: %+v", st)
	}
	c.send(`{"type":"cancel","queryIndex":4,"payload":{"queryIndex":3}}`)
	c.want(3, "!cancelled")
	c.want(4, `{"cancelled":true}`)
	g.open(1)
	c.want(2, `"slow"`)
}
