package dispatch

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
	"unsafe"

	"github.com/bytedance/sonic/decoder"

	"github.com/kassa-go/kassa/codec"
)

// JobberConfig says how a jobber works. The zero value of a field means its default.
type JobberConfig struct {
	Name string // for logs; that of its type where it is made for one

	// Concurrency is how many requests may run at the same time: 1 by default. More is for handlers that wait for
	// others, such as network calls; their replies no longer keep the order of the requests.
	Concurrency int

	// SerialKey keeps requests with the same key from running at the same time where Concurrency is over 1. It is called
	// by the dispatcher, so it must be quick. An empty key excludes nothing.
	SerialKey func(*Job) string

	// QueueMax bounds the requests that wait, of all its types together: 65,536 by default. Above it the answer is
	// queue_full.
	QueueMax int

	// Retry has a request whose handler failed run again.
	Retry Retry

	// LogAttrs returns what the log shall say of a request beside its type, number and client.
	LogAttrs func(*Job) []slog.Attr
}

// Retry says how often a request is tried, and how long after a failure the next attempt comes, at the end of the queue.
// A payload that can not be decoded is not tried again. The zero value means once.
type Retry struct {
	Attempts int
	Delay    time.Duration
}

const queueMaxDefault = 65_536

// Jobber serves the requests of its types. It is made by Registry.Jobber, or by Handle on a Registry.
type Jobber struct {
	registry *Registry
	cfg      JobberConfig
	types    []*Type
	batch    BatchHandler // nil: its types have handlers for one job
	internal bool
	queue    queue

	incoming []*Job // the dispatcher's: what it has for the queue in this turn
}

func newJobber(r *Registry, cfg JobberConfig) *Jobber {
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 1
	}
	if cfg.QueueMax == 0 {
		cfg.QueueMax = queueMaxDefault
	}
	if cfg.Concurrency < 0 || cfg.QueueMax < 0 || cfg.Retry.Attempts < 0 || cfg.Retry.Delay < 0 {
		panic(fmt.Sprintf("dispatch: jobber %s: negative setting: %+v", cfg.Name, cfg))
	}
	j := &Jobber{registry: r, cfg: cfg}
	j.queue.jobsMax = cfg.QueueMax
	j.queue.held = make(map[string]*jobList)
	j.queue.work.L = &j.queue.mu
	return j
}

// Counts is what has become of the requests of a type.
type Counts struct {
	Done   uint64 // handlers that have answered or parked
	Failed uint64 // of these, with an error
	Shed   uint64 // never begun: queue full, deadline over, cancelled, client gone
}

// worker is one goroutine of a jobber; it owns its outbox and scratch space, and takes jobs from the jobber's queue.
type worker struct {
	d       *Dispatcher
	jobber  *Jobber
	out     Outbox
	jobs    []*Job
	decoder *decoder.Decoder
	encoded []byte // the typed handler's result
	tracing bool

	// What has become of the last tallies jobs, all of type tallied.
	tallied *Type
	tallies int
	counts  Counts
}

// A worker takes jobs in chunks that last about as long as waking it costs, and hands their answers over together. A
// handler that takes longer than chunkLong gets its jobs one by one, so that no answer waits for the next job's, and no
// job that is cancelled counts as begun.
const (
	chunkMax   = 64
	chunkShort = 50 * time.Microsecond
	chunkLong  = 200 * time.Microsecond

	batchMax = 4096 // jobs that a batch handler gets at once
)

func (w *worker) run() {
	q := &w.jobber.queue
	n := 1
	if w.jobber.batch != nil {
		n = batchMax
	}
	for {
		w.jobs = q.take(w.jobs[:0], n)
		if len(w.jobs) == 0 {
			return
		}
		w.tracing = w.d.debugging()
		began := w.d.now()
		if w.jobber.batch != nil {
			w.runBatch()
		} else {
			for _, j := range w.jobs {
				w.runOne(j)
			}
		}
		w.report() // first: who has its answer finds it counted
		w.out.Flush()
		clear(w.jobs)
		if w.jobber.batch == nil && w.jobber.cfg.Concurrency == 1 {
			switch took := time.Duration(w.d.now() - began); {
			case took < chunkShort:
				n = min(2*n, chunkMax)
			case took > chunkLong:
				n = 1
			}
		}
	}
}

// runOne has the handler of j serve it.
func (w *worker) runOne(j *Job) {
	q, cfg := &w.jobber.queue, &w.jobber.cfg
	t, key := j.typ, j.serialKey // j may be gone once it is answered
	counts := Counts{Done: 1}
	if w.begin(j) {
		var attrs []any
		if w.tracing {
			attrs = w.d.attrs(j)
		}
		settled, err := w.call(t, j)
		switch {
		case settled:
		case j.attempt < cfg.Retry.Attempts && asError(err).Code != codec.BadPayload:
			w.d.log.Warn("request failed, will be tried again", w.d.attrs(j, slog.Int("attempt", j.attempt), slog.Any("err", err))...)
			j.dueAt = w.d.now() + int64(cfg.Retry.Delay)
			if q.retry(j, w.d.now()) {
				return
			}
			j.Fail(err)
		default:
			j.Fail(err)
		}
		failed := w.out.settled[0].failed
		if failed {
			counts.Failed = 1
		}
		if w.tracing {
			w.d.log.Debug("finished", append(attrs, slog.Bool("failed", failed))...)
		}
	} else {
		counts = Counts{Shed: 1}
	}
	w.out.forget()
	if key != "" {
		q.finish(key)
	}
	w.tally(t, counts)
}

// tally notes what has become of a job of type t, so that those of one type in a row are told to the queue together.
func (w *worker) tally(t *Type, c Counts) {
	if t != w.tallied {
		w.report()
		w.tallied = t
	}
	w.tallies++
	w.counts.Done += c.Done
	w.counts.Failed += c.Failed
	w.counts.Shed += c.Shed
}

// report tells the queue what is noted.
func (w *worker) report() {
	if w.tallies > 0 {
		w.jobber.queue.done(w.tallied, w.tallies, w.counts)
		w.tallies, w.counts = 0, Counts{}
	}
}

// call runs the handler, and reports whether it settled the job; if not, err says what to answer.
func (w *worker) call(t *Type, j *Job) (settled bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			settled, err = len(w.out.settled) > 0, w.panicked(t.name, p)
		}
		w.out.held = false
	}()
	w.out.held = true
	err = t.run(w, j)
	settled = len(w.out.settled) > 0
	if err == nil && !settled {
		err = codec.NewError(codec.HandlerFailed, "the handler of "+t.name+" gave no answer")
		w.d.log.Error(err.Error())
	}
	return settled, err
}

// runBatch has the batch handler serve all of w.jobs.
func (w *worker) runBatch() {
	begun := w.jobs[:0]
	for _, j := range w.jobs {
		t := j.typ // j is gone if it is not begun
		if w.begin(j) {
			begun = append(begun, j)
		} else {
			w.tally(t, Counts{Shed: 1})
		}
	}
	if len(begun) == 0 {
		return
	}
	err := w.callBatch(begun)
	if len(w.out.settled) < len(begun) {
		settled := make(map[*Job]bool, len(begun))
		for _, s := range w.out.settled {
			settled[s.job] = true
		}
		for _, j := range begun {
			if !settled[j] {
				j.Fail(err)
			}
		}
	}
	for _, s := range w.out.settled {
		counts := Counts{Done: 1}
		if s.failed {
			counts.Failed = 1
		}
		w.tally(s.typ, counts)
	}
	w.out.forget()
}

func (w *worker) callBatch(jobs []*Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = w.panicked(w.jobber.cfg.Name, p)
		}
		w.out.held = false
	}()
	w.out.held = true
	w.jobber.batch(jobs)
	return codec.NewError(codec.HandlerFailed, "the handler of "+w.jobber.cfg.Name+" gave no answer")
}

// begin checks right before a job starts that somebody still waits for it.
func (w *worker) begin(j *Job) bool {
	j.out = &w.out
	refused := accepted
	switch {
	case j.peer.closed.Load():
		refused = refusedGone
	case j.deadline != 0 && j.deadline <= w.d.now():
		refused = refusedDeadline
	}
	if w.tracing {
		w.d.trace(j, refused.station("started"))
	}
	if refused != accepted {
		w.out.refuse(j, refused)
		return false
	}
	j.attempt++
	j.answered = false
	return true
}

func (w *worker) panicked(name string, p any) error {
	w.d.log.Error("handler panicked", slog.String("type", name), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	return codec.NewError(codec.HandlerFailed, "the handler of "+name+" panicked; the server's log says where")
}

// decode decodes JSON into v, whose strings and raw values are copies: a handler may keep them.
func (w *worker) decode(p []byte, v any) error {
	s := unsafe.String(unsafe.SliceData(p), len(p)) // not kept: strings are copied, and errors are turned into texts
	if w.decoder == nil {
		w.decoder = decoder.NewDecoder(s)
		w.decoder.SetOptions(decoder.OptionCopyString | decoder.OptionValidateString)
	} else {
		w.decoder.Reset(s)
	}
	err := w.decoder.Decode(v)
	w.decoder.Reset("")
	return jsonError(err)
}
