package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bytedance/sonic/decoder"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch/ring"
)

// Config says how a dispatcher works. The zero value of a field means its default.
type Config struct {
	Registry *Registry // who serves what; required

	RingSize  int // requests between the event loops and the dispatcher, rounded up to a power of two; 65,536
	Credit    int // requests that one connection may have queued or in work; 4,096
	ParkedMax int // requests that one connection may have parked; 1,024

	Log      *slog.Logger  // slog.Default(); at debug level it gets each station of each request
	QueueLog time.Duration // how often the lengths of the queues are logged; 0: never
}

// Dispatcher takes requests from the event loops of one engine to the jobbers.
type Dispatcher struct {
	cfg        Config
	registry   *Registry
	log        *slog.Logger
	epoch      time.Time
	cancelType *Type

	ring     *ring.Ring[*Job]
	wake     signal
	closing  atomic.Bool
	peers    atomic.Int64
	ringFull atomic.Uint64
	pings    uint64 // of the built-in jobber

	mu    sync.Mutex
	loops []*loop // by number

	done    sync.WaitGroup // the dispatcher goroutine, the workers, the queue log
	stopLog chan struct{}
}

const (
	ringSizeDefault  = 1 << 16
	creditDefault    = 4096
	parkedMaxDefault = 1024
)

// New starts the dispatcher and the jobbers of cfg.Registry, which can not be changed any more. Close ends them.
func New(cfg Config) (*Dispatcher, error) {
	if cfg.Registry == nil {
		return nil, errors.New("dispatch: Config.Registry is needed")
	}
	for _, setting := range []struct {
		name  string
		value *int
		zero  int
	}{
		{"RingSize", &cfg.RingSize, ringSizeDefault},
		{"Credit", &cfg.Credit, creditDefault},
		{"ParkedMax", &cfg.ParkedMax, parkedMaxDefault},
	} {
		if *setting.value < 0 {
			return nil, fmt.Errorf("dispatch: Config.%s must not be negative: %d", setting.name, *setting.value)
		}
		if *setting.value == 0 {
			*setting.value = setting.zero
		}
	}
	if cfg.QueueLog < 0 {
		return nil, fmt.Errorf("dispatch: Config.QueueLog must not be negative: %s", cfg.QueueLog)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	d := &Dispatcher{
		cfg:      cfg,
		registry: cfg.Registry,
		log:      cfg.Log,
		epoch:    time.Now(),
		ring:     ring.New[*Job](1 << bits.Len(uint(cfg.RingSize-1))),
		wake:     signal{c: make(chan struct{}, 1)},
		stopLog:  make(chan struct{}),
	}
	if d.registry.sealed {
		return nil, errors.New("dispatch: Config.Registry serves another dispatcher already")
	}
	d.registerBuiltins()
	d.registry.seal()
	for _, j := range d.registry.jobbers {
		d.start(j)
	}
	d.done.Go(d.dispatch)
	if cfg.QueueLog > 0 {
		d.done.Go(d.logQueues)
	}
	return d, nil
}

func (r *Registry) seal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = true
}

// start starts a jobber's workers.
func (d *Dispatcher) start(j *Jobber) {
	q := &j.queue
	// Locked, so that a timer that is due at once sees both.
	q.mu.Lock()
	q.deadlines = time.AfterFunc(time.Hour, func() {
		d.settle(q.expired(d.now()), deadlineOver)
	})
	q.deadlines.Stop()
	q.retries = time.AfterFunc(time.Hour, func() { q.promote(d.now()) })
	q.retries.Stop()
	q.mu.Unlock()
	for range j.cfg.Concurrency {
		w := &worker{d: d, jobber: j}
		d.done.Go(w.run)
	}
}

// dispatch is the dispatcher goroutine: it owns the consumer's side of the ring, sorts jobs by jobber, and sleeps when
// there are none.
func (d *Dispatcher) dispatch() {
	batch := make([]*Job, 1024)
	var touched []*Jobber
	var out encoder
	for {
		n := d.ring.Drain(batch)
		if n == 0 {
			if d.closing.Load() {
				return
			}
			d.wake.wait(func() bool { return !d.ring.Empty() || d.closing.Load() })
			continue
		}
		for _, j := range batch[:n] {
			jobber := j.typ.jobber
			if len(jobber.incoming) == 0 {
				touched = append(touched, jobber)
			}
			jobber.incoming = append(jobber.incoming, j)
		}
		tracing := d.debugging()
		for _, jobber := range touched {
			d.enqueue(jobber, &out, tracing)
		}
		clear(batch[:n])
		touched = touched[:0]
	}
}

// enqueue appends what came in for a jobber to its queue, in one go.
func (d *Dispatcher) enqueue(jobber *Jobber, out *encoder, tracing bool) {
	if jobber.cfg.SerialKey != nil {
		for _, j := range jobber.incoming {
			j.serialKey = d.serialKey(jobber, j)
		}
	}
	q, now, added := &jobber.queue, d.now(), 0
	q.mu.Lock()
	for _, j := range jobber.incoming {
		why := q.addLocked(j, now)
		if tracing { // with the queue locked: a worker has not got it yet
			d.trace(j, why.station("queued"))
		}
		if why == accepted {
			added++
			continue
		}
		j.typ.shed.Add(1)
		out.refuse(j, why)
	}
	for range min(added, jobber.cfg.Concurrency) {
		q.work.Signal()
	}
	q.mu.Unlock()
	clear(jobber.incoming)
	jobber.incoming = jobber.incoming[:0]
}

// serialKey asks the user's function; one that panics must not take the dispatcher with it.
func (d *Dispatcher) serialKey(jobber *Jobber, j *Job) (key string) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("SerialKey panicked", slog.String("jobber", jobber.cfg.Name), slog.Any("panic", p))
			key = "" // excludes nothing
		}
	}()
	return jobber.cfg.SerialKey(j)
}

// Drop cancels all that is queued of a type, and returns how many requests that were.
func (d *Dispatcher) Drop(typ string) (int, error) {
	t := d.registry.byName[typ]
	if t == nil {
		return 0, fmt.Errorf("dispatch: no type is called %q", typ)
	}
	jobs := t.jobber.queue.drop(t)
	d.settle(jobs, func(j *Job) *codec.Error { return takenBack(j, errDropped) })
	return len(jobs), nil
}

// settle answers jobs that were taken out of a queue.
func (d *Dispatcher) settle(jobs []*Job, why func(*Job) *codec.Error) {
	withEncoder(func(e *encoder) {
		for _, j := range jobs {
			j.typ.shed.Add(1)
			e.send(j, answer{err: why(j)})
		}
	})
}

// Close ends the dispatcher, after the engine whose connections it served: it waits until the handlers in work have
// returned, or ctx is over. What is still queued is dropped.
func (d *Dispatcher) Close(ctx context.Context) error {
	if !d.closing.CompareAndSwap(false, true) {
		return nil
	}
	d.wake.notify()
	close(d.stopLog)
	for _, j := range d.registry.jobbers {
		j.queue.close()
	}
	ended := make(chan struct{})
	go func() { // ends with the last handler; only one that never returns keeps it
		d.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		if d.running() == "" { // what is left ends by itself
			<-ended
			return nil
		}
		return fmt.Errorf("dispatch: handlers are still running: %s", d.running())
	}
}

// loopOf returns what is kept for the event loop of c.
func (d *Dispatcher) loopOf(c Conn) *loop {
	id := c.Loop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.loops) <= id {
		d.loops = append(d.loops, nil)
	}
	if d.loops[id] == nil {
		l := &loop{d: d, replyBytesMax: c.FrameBytesMax(), execute: c.Execute, pending: make([]*Job, 0, pendingMax)}
		l.comeHome = l.home
		d.loops[id] = l
	}
	return d.loops[id]
}

// now returns ns since the dispatcher started, by the monotonic clock.
func (d *Dispatcher) now() int64 { return int64(time.Since(d.epoch)) }

func (d *Dispatcher) debugging() bool { return d.log.Enabled(context.Background(), slog.LevelDebug) }

// trace logs a station of a request.
func (d *Dispatcher) trace(j *Job, station string) {
	d.log.Debug(station, d.attrs(j)...)
}

// attrs is what logs say of a request.
func (d *Dispatcher) attrs(j *Job, more ...any) []any {
	attrs := append([]any{slog.String("type", j.typ.name)}, more...)
	if j.hasIndex {
		attrs = append(attrs, slog.Uint64("queryIndex", j.index))
	}
	if addr := j.peer.RemoteAddr(); addr != nil {
		attrs = append(attrs, slog.String("client", addr.String()))
	}
	return append(attrs, d.userAttrs(j)...)
}

// userAttrs asks the user's function; one that panics must not take an event loop or the dispatcher with it.
func (d *Dispatcher) userAttrs(j *Job) (attrs []any) {
	f := j.typ.jobber.cfg.LogAttrs
	if f == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			attrs = []any{slog.Any("logAttrsPanic", p)}
		}
	}()
	for _, a := range f(j) {
		attrs = append(attrs, a)
	}
	return attrs
}

// unknownType says that nobody serves what f asks for.
func (d *Dispatcher) unknownType(f *codec.Frame) *codec.Error {
	name := strconv.Quote(string(f.Type))
	if len(f.Type) == 0 {
		name = "ID " + strconv.Itoa(int(f.TypeID))
	}
	return codec.NewError(codec.UnknownType, "no handler for type "+name+"; a request of type \"types\" lists them")
}

// jsonError returns what a JSON decoder found wrong as one line that does not keep the input.
func jsonError(err error) error {
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[decoder.SyntaxError](err); ok {
		return fmt.Errorf("not JSON at byte %d: %s", syntax.Pos, syntax.Message())
	}
	if mismatch, ok := errors.AsType[*decoder.MismatchTypeError](err); ok {
		return fmt.Errorf("at byte %d: %s expected", mismatch.Pos, mismatch.Type)
	}
	return err
}

// signal wakes one sleeping goroutine. Who publishes work pays for waking only when somebody sleeps.
type signal struct {
	asleep atomic.Bool
	c      chan struct{} // of capacity 1
}

// notify wakes the sleeper, if there is one. Any goroutine may call it, after it has published its work.
func (s *signal) notify() {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		s.c <- struct{}{}
	}
}

// wait sleeps until notify is called, unless there is work. Only one goroutine may call it.
func (s *signal) wait(work func() bool) {
	s.asleep.Store(true)
	// Looking again after the flag is up: who published before has been seen, who publishes later sees the flag.
	if work() && s.asleep.CompareAndSwap(true, false) {
		return
	}
	<-s.c
}
