package bench

import (
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

	// Of the server, in those seconds.
	CPUSeconds           float64 `json:"cpuSeconds"`
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
	OthersCores         float64 `json:"othersCores"`         // CPU that neither server nor suite used, on average
	Disturbed           bool    `json:"disturbed,omitempty"` // others used much, and also when it was repeated

	Errors  int64    `json:"errors"`
	Faults  []string `json:"faults,omitempty"`  // the first few errors
	Failure string   `json:"failure,omitempty"` // why the run has no figures

	Machine    Machine   `json:"machine"`
	Go         string    `json:"go"` // that built suite and servers
	GOMAXPROCS int       `json:"gomaxprocs"`
	Commit     string    `json:"commit"` // of kassa
	Date       time.Time `json:"date"`
}

// OK says that the run has figures, and that no request or connection went wrong.
func (r *Result) OK() bool { return r.Failure == "" && r.Errors == 0 }

// ReadResults reads the lines of a results file.
func ReadResults(in io.Reader) ([]Result, error) {
	var all []Result
	lines := json.NewDecoder(in)
	for {
		var r Result
		switch err := lines.Decode(&r); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("bench: result %d: %w", len(all)+1, err)
		}
		all = append(all, r)
	}
}

// line is the result in a line for people.
func (r *Result) line() string {
	run := fmt.Sprintf("%-16s %-14s round %d", r.Cell, r.Server, r.Round)
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
	if r.Disturbed {
		run += "  DISTURBED"
	}
	if r.Errors > 0 {
		run += fmt.Sprintf("  %d ERRORS: %s", r.Errors, r.Faults[0])
	}
	return run
}
