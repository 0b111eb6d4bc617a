package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/bytedance/sonic/decoder"
	sonicenc "github.com/bytedance/sonic/encoder"
	"github.com/bytedance/sonic/option"

	"github.com/kassa-go/kassa/codec"
)

// Handle registers fn for requests of type name. Their payload is decoded from JSON into a Req (no payload: its zero
// value), and what fn returns is encoded as the result. An error that is or wraps a *codec.Error or a codec.Code is sent
// as that, any other as handler_failed with its text. A panic is logged and answered handler_failed. Requests of one
// jobber run one at a time (see JobberConfig.Concurrency), so what only fn touches needs no lock.
func Handle[Req, Rep any](r Registrar, name string, fn func(context.Context, Req) (Rep, error)) {
	pretouch(name, reflect.TypeFor[Req](), reflect.TypeFor[Rep]())
	r.jobberFor(name).register(name, func(w *worker, j *Job) error {
		var req Req
		if j.payload != nil {
			if err := w.decode(j.payload, &req); err != nil {
				return codec.NewError(codec.BadPayload, "payload of "+name+": "+err.Error())
			}
		}
		ctx := newRequestContext(j)
		defer ctx.end()
		rep, err := fn(ctx, req)
		if err != nil {
			return err
		}
		if w.encoded, err = appendJSON(w.encoded[:0], rep); err != nil {
			return codec.NewError(codec.HandlerFailed, "result of "+name+" can not be JSON: "+err.Error())
		}
		j.Reply(w.encoded)
		return nil
	})
}

// RawHandler serves one job: it answers it by Reply or ReplyOpaque, parks it, or returns an error to be sent instead.
type RawHandler func(*Job) error

// HandleRaw registers fn for requests of type name; it sees the payload as it came.
func HandleRaw(r Registrar, name string, fn RawHandler) {
	r.jobberFor(name).register(name, func(_ *worker, j *Job) error { return fn(j) })
}

// BatchHandler serves the jobs of one jobber that wait when it has time, oldest first. The slice is only lent to it.
// SerialKey and Retry of its jobber are not for it.
type BatchHandler func([]*Job)

// HandleBatch registers fn for requests of all the types named. Before fn returns it answers each job by Reply, ReplyOpaque
// or Fail, or parks it. A jobber has one batch handler: name all its types at once.
func HandleBatch(r Registrar, fn BatchHandler, names ...string) {
	handleBatch(r, fn, false, names)
}

// HandleAsync is HandleBatch for a handler that answers when it likes: the jobs stay its own after it has returned. Each is
// answered or parked later, once, by any one goroutine, through an Answers. Until that is flushed the job is in work: it
// counts against the credit of its connection, and a drain waits for it. One that is never answered is in work for ever.
//
// JobberConfig.QueueMax does not count what the handler has taken; one that has enough does not return. Dispatcher.Close
// waits for the handler, not for its jobs. A panic of the handler is not recovered, but ends the program: what it keeps from
// one call to the next can not be trusted any more.
func HandleAsync(r Registrar, fn BatchHandler, names ...string) {
	handleBatch(r, fn, true, names)
}

func handleBatch(r Registrar, fn BatchHandler, async bool, names []string) {
	if len(names) == 0 {
		panic("dispatch: a batch handler without a type")
	}
	j := r.jobberFor(names[0])
	switch {
	case len(j.types) > 0:
		panic("dispatch: jobber " + j.cfg.Name + " has its handlers already")
	case j.cfg.SerialKey != nil || j.cfg.Retry.Attempts > 0:
		panic("dispatch: jobber " + j.cfg.Name + " has a batch handler, which does itself what SerialKey and Retry do")
	}
	j.batch, j.async = fn, async
	for _, name := range names {
		j.register(name, nil)
	}
}

// pretouch has sonic compile the types: at first use that takes milliseconds, which no request shall wait for. It panics
// if they can not be JSON.
func pretouch(name string, types ...reflect.Type) {
	for _, t := range types {
		err := errors.Join(
			decoder.Pretouch(t, option.WithCompileRecursiveDepth(3)),
			sonicenc.Pretouch(t, option.WithCompileRecursiveDepth(3)))
		// Compiling lets a channel or a func pass; encoding a value does not.
		var unsupported *json.UnsupportedTypeError
		if _, encodeErr := appendJSON(nil, reflect.Zero(t).Interface()); errors.As(encodeErr, &unsupported) {
			err = encodeErr
		}
		if err != nil {
			panic(fmt.Sprintf("dispatch: %s is no type that JSON has, which type %s uses: %v", t, name, err))
		}
	}
}

// appendJSON appends v as one line of JSON.
func appendJSON(dst []byte, v any) ([]byte, error) {
	err := sonicenc.EncodeInto(&dst, v, sonicenc.CompactMarshaler|sonicenc.ValidateString|sonicenc.SortMapKeys)
	return dst, err
}
