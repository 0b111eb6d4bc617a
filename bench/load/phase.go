package load

import (
	"errors"
	"fmt"
	"time"
)

// Phase is one stretch of load over the connections that are open.
type Phase struct {
	// InFlight is how many requests a closed loop keeps under way on each connection; 0: 1.
	InFlight int `json:"inFlight,omitempty"`

	// RatePerSecond above 0 makes it an open loop: so many requests a second over all connections in turn, each timed
	// from when it was due. InFlight is of no meaning then.
	RatePerSecond float64 `json:"ratePerSecond,omitempty"`

	// Requests or Seconds, the one that is above 0, says when no more requests are sent. Those under way are waited for.
	Requests int64   `json:"requests,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
}

func (p Phase) validate() error {
	switch {
	case p.InFlight < 0 || p.RatePerSecond < 0 || p.Requests < 0 || p.Seconds < 0:
		return errors.New("load: a phase with a negative number")
	case (p.Requests > 0) == (p.Seconds > 0):
		return errors.New("load: a phase needs one of Requests and Seconds")
	case p.InFlight > windowMax:
		return fmt.Errorf("load: %d in flight on a connection, at most %d", p.InFlight, windowMax)
	}
	return nil
}

func (p Phase) duration() time.Duration { return time.Duration(p.Seconds * float64(time.Second)) }

// Report says what came of a phase.
type Report struct {
	Requests int64   `json:"requests"` // that were answered, each once and rightly
	Seconds  float64 `json:"seconds"`  // from the start to the last reply

	// Latencies in µs: from write to reply in a closed loop, from when it was due in an open loop, from the connect to
	// the first reply in Connect.
	P50Us  float64 `json:"p50Us"`
	P90Us  float64 `json:"p90Us"`
	P99Us  float64 `json:"p99Us"`
	P999Us float64 `json:"p999Us"`
	MaxUs  float64 `json:"maxUs"`

	// LateP99Us is of open loops: how much later than due the generator itself wrote a request, in µs. What it is late
	// counts as latency; where this comes near P99Us, the figures are the generator's.
	LateP99Us float64 `json:"lateP99Us,omitempty"`

	// Again is how many acquires of pairs found nothing free, and were made anew.
	Again int64 `json:"again,omitempty"`

	CPUSeconds float64 `json:"cpuSeconds"` // of the generator's whole process, user and system

	// BusiestCores is what the busiest of its threads used of a core, 0 to 1. Near 1, the generator could not have asked for
	// more, whatever the server can do.
	BusiestCores float64 `json:"busiestCores"`

	// Errors counts the connections that went wrong and the requests that never got their reply; Faults names the first
	// few, but not those that were only lost with their connection.
	Errors int64   `json:"errors"`
	Faults []Fault `json:"faults,omitempty"`
}

// Err returns nil for a phase in which all went well.
func (r *Report) Err() error {
	if r.Errors == 0 {
		return nil
	}
	return fmt.Errorf("%d errors, the first: %s", r.Errors, r.Faults[0])
}
