package dispatch

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/kassa-go/kassa/codec"
)

// Registry knows the request types of a server and who serves them. It is filled before New is called with it and only
// read from then on; registering a type twice, or after that, panics.
type Registry struct {
	mu      sync.Mutex
	sealed  bool
	byName  map[string]*Type
	byID    []*Type // a type's ID is its index; 0 is none
	jobbers []*Jobber
}

// Type is a request type: its name, the number that stands for it in binary frames, and who serves it.
type Type struct {
	name   string
	wire   []byte // the name again, as frames carry it
	id     uint16
	jobber *Jobber
	run    func(*worker, *Job) error // nil where the jobber has a batch handler

	queued  int          // guarded by jobber.queue.mu
	running atomic.Int32 // taken by a worker, and not answered, parked or refused yet

	// What has become of its requests.
	done   atomic.Uint64 // answered or parked by a handler
	failed atomic.Uint64 // of these, with an error
	shed   atomic.Uint64 // never begun: queue full, deadline over, cancelled, client gone
}

// Registrar is where a type is registered: a Registry, which makes a jobber of its own for it, or a Jobber, which then
// serves it besides its other types.
type Registrar interface {
	jobberFor(name string) *Jobber
}

// NewRegistry returns a registry without types.
func NewRegistry() *Registry {
	return &Registry{byName: make(map[string]*Type), byID: make([]*Type, 1)}
}

// Jobber makes a jobber for several types, or for one with other settings than the defaults: give it to Handle,
// HandleRaw, HandleBatch or HandleAsync in the Registry's place.
func (r *Registry) Jobber(cfg JobberConfig) *Jobber {
	j := newJobber(r, cfg)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		panic("dispatch: the registry is in use: make jobber " + cfg.Name + " before New")
	}
	r.jobbers = append(r.jobbers, j)
	return j
}

func (r *Registry) jobberFor(name string) *Jobber { return r.Jobber(JobberConfig{Name: name}) }
func (j *Jobber) jobberFor(string) *Jobber        { return j }

// register adds a type to a jobber. Whatever is wrong with it is a programmer's error, so it panics.
func (j *Jobber) register(name string, run func(*worker, *Job) error) {
	r := j.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.sealed:
		panic("dispatch: the registry is in use: register " + name + " before New")
	case name == "" || len(name) > codec.TypeBytesMax:
		panic(fmt.Sprintf("dispatch: the name of a type has 1 to %d bytes, not %d", codec.TypeBytesMax, len(name)))
	case builtin[name] && !j.internal:
		panic("dispatch: type " + name + " is built in")
	case r.byName[name] != nil:
		panic("dispatch: type " + name + " is registered twice")
	case len(r.byID) > math.MaxUint16:
		panic("dispatch: more than 65,535 types")
	case len(j.types) > 0 && (j.types[0].run == nil) != (run == nil):
		panic("dispatch: " + name + ": a jobber has one batch handler or handlers for single jobs, not both")
	}
	t := &Type{name: name, wire: []byte(name), id: uint16(len(r.byID)), jobber: j, run: run}
	r.byName[name] = t
	r.byID = append(r.byID, t)
	j.types = append(j.types, t)
}

// lookup returns the type a frame asks for, nil when there is none. It does not keep or intern the name.
func (r *Registry) lookup(f *codec.Frame) *Type {
	if len(f.Type) > 0 {
		return r.byName[string(f.Type)]
	}
	if int(f.TypeID) < len(r.byID) {
		return r.byID[f.TypeID]
	}
	return nil
}
