package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Result is what came of one run of a cell on a server: one line of a results file.
type Result struct {
	Server  string `json:"server"`
	Version string `json:"version"`
	Cell    string `json:"cell"`
	Round   int    `json:"round"` // from 1

	Conns    int     `json:"conns"`
	Requests int64   `json:"requests"` // answered rightly while it was measured; of storm: one a connection; of pools: pairs
	Seconds  float64 `json:"seconds"`  // that they took; of idle: of silence; of restart: to the first answer

	// LoadSeconds is of closed and open loops: for how long requests were sent. What was under way then was still answered.
	LoadSeconds float64 `json:"loadSeconds,omitempty"`

	// How it was measured: for how long there was load before what is measured, by how many threads of the generator (0: the
	// result is older than this field), and how often the run was made again because others used the machine, and at most
	// would have been.
	WarmUpSeconds    float64 `json:"warmUpSeconds,omitempty"`
	GeneratorThreads int     `json:"generatorThreads,omitempty"`
	Repeats          int     `json:"repeats,omitempty"`
	RepeatsMax       int     `json:"repeatsMax,omitempty"`

	// Of the server, in Seconds; of it what a broker took, where the rest is its worker's.
	CPUSeconds           float64 `json:"cpuSeconds"`
	BrokerCPUSeconds     float64 `json:"brokerCpuSeconds,omitempty"`
	CPUSecondsPerMillion float64 `json:"cpuSecondsPerMillion"`

	// Latencies, as load.Report says.
	P50Us     float64 `json:"p50Us"`
	P99Us     float64 `json:"p99Us"`
	P999Us    float64 `json:"p999Us"`
	MaxUs     float64 `json:"maxUs"`
	LateP99Us float64 `json:"lateP99Us,omitempty"`

	// The server's resident memory: after its first request, and at the end with all connections open; and what each
	// connection added to it.
	RSSStartBytes   int64   `json:"rssStartBytes"`
	RSSBytes        int64   `json:"rssBytes"`
	RSSBytesPerConn float64 `json:"rssBytesPerConn"`

	// Again is how many acquires of pairs found nothing free and were made anew; StoreBytes is of restarts: what was on disk.
	Again      int64 `json:"again,omitempty"`
	StoreBytes int64 `json:"storeBytes,omitempty"`

	GeneratorCPUSeconds float64 `json:"generatorCpuSeconds"`

	// GeneratorBound says that a thread of the generator was busy for more than 0.9 of the time, so that it could hardly have
	// asked for more: throughput and latency are then at least as much the generator's as the server's, and the server may
	// be better than they say. CPU time a request is the server's all the same. Where it is false and server and generator
	// have used all cores together, throughput is the machine's: it shows what both cost, not what the server alone can do.
	GeneratorBound bool `json:"generatorBound,omitempty"`

	OthersCores float64 `json:"othersCores"`         // CPU that neither server nor suite used, on average
	Disturbed   bool    `json:"disturbed,omitempty"` // others used much, and also when it was repeated

	Errors  int64    `json:"errors"`
	Faults  []string `json:"faults,omitempty"`  // the first few errors
	Failure string   `json:"failure,omitempty"` // why the run has no figures

	// Skipped says why there was no run: the server is not installed. There is one such line for each of its cells.
	Skipped string `json:"skipped,omitempty"`

	Machine    Machine   `json:"machine"`
	Go         string    `json:"go"` // that built suite and servers
	GOMAXPROCS int       `json:"gomaxprocs"`
	Commit     string    `json:"commit"` // of kassa
	Date       time.Time `json:"date"`

	// Where the result was read: the file's name, which is for the reader to set, and the line, from 1.
	File string `json:"-"`
	Line int    `json:"-"`
}

// OK says that the run has figures, and that no request or connection went wrong.
func (r *Result) OK() bool { return r.Skipped == "" && r.Failure == "" && r.Errors == 0 }

// Failed says that something went wrong: it is neither OK nor skipped.
func (r *Result) Failed() bool { return r.Skipped == "" && !r.OK() }

// ReadResults reads the lines of a results file. Where the last line is cut, as that of a run that was interrupted is, it
// returns all before it, and an error that is io.ErrUnexpectedEOF.
func ReadResults(in io.Reader) ([]Result, error) {
	var all []Result
	lines := bufio.NewReader(in)
	for number := 1; ; number++ {
		line, end := lines.ReadBytes('\n')
		if end != nil && !errors.Is(end, io.EOF) {
			return all, fmt.Errorf("bench: line %d: %w", number, end)
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			r := Result{Line: number}
			switch err := json.Unmarshal(line, &r); {
			case err != nil && end != nil:
				return all, fmt.Errorf("bench: line %d is cut: %w", number, io.ErrUnexpectedEOF)
			case err != nil:
				return all, fmt.Errorf("bench: line %d: %w", number, err)
			case r.Server == "" || r.Cell == "":
				return all, fmt.Errorf("bench: line %d is no result: it names no server or no cell", number)
			}
			all = append(all, r)
		}
		if end != nil {
			return all, nil
		}
	}
}

// line is the result in a line for people.
func (r *Result) line() string {
	run := fmt.Sprintf("%-18s %-14s round %d", r.Cell, r.Server, r.Round)
	if r.Failure != "" {
		return run + "  FAILED: " + r.Failure
	}
	if r.Requests > 0 {
		run += fmt.Sprintf("  %8.0f/s %6.2f CPU s/M  p50 %6.0f p99 %6.0f µs", float64(r.Requests)/r.Seconds, r.CPUSecondsPerMillion, r.P50Us, r.P99Us)
	}
	if r.StoreBytes > 0 {
		run += fmt.Sprintf("  %6.2f s to the first answer, %.0f MB on disk", r.Seconds, float64(r.StoreBytes)/1e6)
	}
	if r.Again > 0 {
		run += fmt.Sprintf("  %d found nothing free", r.Again)
	}
	run += fmt.Sprintf("  RSS %5.1f MB, %.0f B a connection  cores: server %.2f, generator %.2f, others %.2f", float64(r.RSSBytes)/1e6,
		r.RSSBytesPerConn, r.CPUSeconds/r.Seconds, r.GeneratorCPUSeconds/r.Seconds, r.OthersCores)
	if r.GeneratorBound {
		run += "  GENERATOR BOUND"
	}
	if r.Disturbed {
		run += "  DISTURBED"
	}
	if r.Errors > 0 {
		run += fmt.Sprintf("  %d ERRORS: %s", r.Errors, r.Faults[0])
	}
	return run
}
