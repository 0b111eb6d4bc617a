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

	// LogAttrs returns what the log shall say of a request beside its type, number and client. Several goroutines call it
	// at once, also with a queue locked: it looks at the job and at nothing else of the dispatcher.
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
	async    bool         // batch answers when it likes
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

// worker is one goroutine of a jobber. It takes jobs from the jobber's queue, one at a time so that what waits behind a slow
// one can still be taken back, and sends each home when its handler has returned.
type worker struct {
	d       *Dispatcher
	jobber  *Jobber
	jobs    []*Job
	tracing bool
	Answers // of the handler that runs

	decoder *decoder.Decoder
	encoded []byte // the typed handler's result
}

// batchMax is how many jobs a batch handler gets at once.
const batchMax = 4096

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
		if w.jobber.batch != nil {
			w.runBatch()
		} else {
			w.runOne(w.jobs[0])
		}
		clear(w.jobs)
	}
}

// runOne has the handler of j serve it.
func (w *worker) runOne(j *Job) {
	q, cfg := &w.jobber.queue, &w.jobber.cfg
	t, key := j.typ, j.serialKey // j may be gone once it is parked
	if w.begin(j) {
		var attrs []any
		if w.tracing {
			attrs = w.d.attrs(j)
		}
		settled, err := w.call(t, j)
		if !settled {
			if int(j.attempt) < cfg.Retry.Attempts && worthRetrying(err) {
				w.d.log.Warn("request failed, will be tried again", w.d.attrs(j, slog.Int("attempt", int(j.attempt)), slog.Any("err", err))...)
				j.dueAt, j.failedWith = w.d.now()+int64(cfg.Retry.Delay), err
				if q.retry(j, w.d.now()) {
					return
				}
			}
			j.Fail(err)
		}
		if w.tracing {
			w.d.log.Debug("finished", append(attrs, slog.Bool("failed", w.settled[0].failed))...)
		}
		w.Flush()
	}
	if key != "" {
		q.finish(key)
	}
}

// call runs the handler, and reports whether it settled the job; if not, err says what to answer.
func (w *worker) call(t *Type, j *Job) (settled bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			settled, err = len(w.settled) > 0, w.panicked(t.name, p)
		}
	}()
	err = t.run(w, j)
	settled = len(w.settled) > 0
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
		if w.begin(j) {
			begun = append(begun, j)
		}
	}
	if len(begun) == 0 {
		return
	}
	if w.jobber.async {
		w.jobber.batch(begun)
		return
	}
	err := w.callBatch(begun)
	if len(w.settled) < len(begun) {
		if err == nil {
			err = codec.NewError(codec.HandlerFailed, "the handler of "+w.jobber.cfg.Name+" gave no answer")
		}
		settled := make(map[*Job]bool, len(begun))
		for _, s := range w.settled {
			settled[s.job] = true
		}
		for _, j := range begun {
			if !settled[j] {
				j.Fail(err)
			}
		}
	}
	w.Flush()
}

func (w *worker) callBatch(jobs []*Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = w.panicked(w.jobber.cfg.Name, p)
		}
	}()
	w.jobber.batch(jobs)
	return nil
}

// begin checks right before a job starts that somebody still waits for it.
func (w *worker) begin(j *Job) bool {
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
		j.typ.running.Add(-1)
		j.typ.shed.Add(1)
		w.encoder.refuse(j, refused)
		return false
	}
	j.attempt++
	j.answered = false
	if !w.jobber.async {
		j.answers = &w.Answers
	}
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
	if err == nil {
		err = w.decoder.CheckTrailings() // of bytes that only a typed handler takes for JSON
	}
	w.decoder.Reset("")
	return jsonError(err)
}
