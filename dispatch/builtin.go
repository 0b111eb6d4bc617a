package dispatch

import (
	"context"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// builtin are the types that every dispatcher serves, besides hello, which a handler of the user's may take over.
var builtin = map[string]bool{"ping": true, "types": true, "stats": true, "srvQueuePrint": true, "cancel": true}

// registerBuiltins adds them, on a jobber of their own, so that they are served while others are busy. cancel is served
// by the event loops, which know what their connections have under way.
func (d *Dispatcher) registerBuiltins() {
	j := d.registry.Jobber(JobberConfig{Name: "built-in"})
	j.internal = true
	Handle(j, "ping", func(context.Context, any) (pong, error) {
		d.pings++
		return pong{d.pings - 1}, nil
	})
	Handle(j, "types", func(context.Context, any) (map[string]uint16, error) { return d.typeIDs(), nil })
	Handle(j, "stats", func(context.Context, any) (Stats, error) { return d.Stats(), nil })
	Handle(j, "srvQueuePrint", func(context.Context, any) (map[string]queueLength, error) {
		lengths := make(map[string]queueLength)
		for name, t := range d.Stats().Types {
			lengths[name] = queueLength{Length: t.Queued, Count: t.Done}
		}
		return lengths, nil
	})
	if d.registry.byName["hello"] == nil {
		HandleRaw(j, "hello", hello)
	}
	HandleRaw(j, "cancel", nil)
	d.cancelType = d.registry.byName["cancel"]
}

type pong struct {
	Pong uint64 `json:"pong"`
}

type queueLength struct {
	Length int    `json:"length"` // requests that wait
	Count  uint64 `json:"count"`  // requests served so far
}

// Hello is what a client learns when it says hello.
type Hello struct {
	Server     string            `json:"server"`
	Protocol   int               `json:"protocol"`
	ServerTime time.Time         `json:"serverTime"`
	Limits     Limits            `json:"limits"`
	Types      map[string]uint16 `json:"types"` // the IDs for binary frames
}

// Limits are the bounds a client is held to.
type Limits struct {
	FrameBytes int `json:"frameBytes"`
	Credit     int `json:"credit"` // requests queued or in work
	Parked     int `json:"parked"` // requests that wait for a later answer
}

// protocolVersion is the version of PROTOCOL.md.
const protocolVersion = 1

func hello(j *Job) error {
	result, err := appendJSON(nil, j.Hello())
	if err != nil {
		return err
	}
	j.Reply(result)
	return nil
}

// Hello marks the job's connection as one that takes pushes from now on, and returns what the built-in hello answers: a
// handler of one's own for that type embeds it in its result. It may be called, by any goroutine, until the job is answered.
// What a goroutine pushes after its answer was sent home (Answers.Flush, or the handler's return) comes behind that answer.
func (j *Job) Hello() Hello {
	j.peer.greet(j.codec)
	d := j.peer.loop.d
	return Hello{
		Server:     "kassa " + version(),
		Protocol:   protocolVersion,
		ServerTime: time.Now().UTC(),
		Limits:     Limits{FrameBytes: j.peer.conn.FrameBytesMax(), Credit: d.cfg.Credit, Parked: d.cfg.ParkedMax},
		Types:      d.typeIDs(),
	}
}

// version is the kassa module's in this binary.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == "github.com/kassa-go/kassa" && m.Version != "" {
				return m.Version
			}
		}
	}
	return "(devel)"
}

func (d *Dispatcher) typeIDs() map[string]uint16 {
	ids := make(map[string]uint16, len(d.registry.byName))
	for name, t := range d.registry.byName {
		ids[name] = t.id
	}
	return ids
}

// Stats is a snapshot of what a dispatcher does.
type Stats struct {
	UptimeMs    int64                `json:"uptimeMs"`
	Connections int64                `json:"connections"`
	Ring        RingStats            `json:"ring"`
	Types       map[string]TypeStats `json:"types"`
}

// RingStats tells how full the ring is, and how many requests it had no room for.
type RingStats struct {
	Len  int    `json:"len"`
	Cap  int    `json:"cap"`
	Shed uint64 `json:"shed"`
}

// TypeStats tells of one request type: how many requests wait, how many are in work, and what has become of the others.
type TypeStats struct {
	ID      uint16 `json:"id"`
	Queued  int    `json:"queued"`
	Running int    `json:"running"`
	Done    uint64 `json:"done"`   // answered or parked by a handler
	Failed  uint64 `json:"failed"` // of these, with an error
	Shed    uint64 `json:"shed"`   // never begun: queue full, deadline over, cancelled, client gone
}

// Stats returns a snapshot. Any goroutine may call it. A request that is answered is counted before its client knows.
func (d *Dispatcher) Stats() Stats {
	s := Stats{
		UptimeMs:    time.Since(d.epoch).Milliseconds(),
		Connections: d.peers.Load(),
		Ring:        RingStats{Len: d.ring.Len(), Cap: d.ring.Cap(), Shed: d.ringFull.Load()},
		Types:       make(map[string]TypeStats, len(d.registry.byID)),
	}
	for _, j := range d.registry.jobbers {
		j.queue.mu.Lock()
		for _, t := range j.types {
			s.Types[t.name] = TypeStats{ID: t.id, Queued: t.queued, Running: int(t.running.Load()), Done: t.done.Load(), Failed: t.failed.Load(), Shed: t.shed.Load()}
		}
		j.queue.mu.Unlock()
	}
	return s
}

// running names the types that are in work.
func (d *Dispatcher) running() string {
	var names []string
	for name, t := range d.Stats().Types {
		if t.Running > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// logQueues logs the queues' lengths from time to time, until Close.
func (d *Dispatcher) logQueues() {
	tick := time.NewTicker(d.cfg.QueueLog)
	defer tick.Stop()
	for {
		select {
		case <-d.stopLog:
			return
		case <-tick.C:
		}
		s := d.Stats()
		attrs := []any{slog.Int64("connections", s.Connections), slog.Int("ring", s.Ring.Len)}
		for _, name := range slices.Sorted(maps.Keys(s.Types)) {
			if t := s.Types[name]; t.Queued > 0 || t.Running > 0 {
				attrs = append(attrs, slog.Group(name, slog.Int("queued", t.Queued), slog.Int("running", t.Running)))
			}
		}
		d.log.Info("queues", attrs...)
	}
}
