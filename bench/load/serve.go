package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Command is one line to a generator that runs as a process. Exactly one field is set.
type Command struct {
	Connect int    `json:"connect,omitempty"` // for Generator.Connect
	Run     *Phase `json:"run,omitempty"`     // for Generator.Run
}

// Answer is the line that a Command gets back.
type Answer struct {
	Report
	Failure string `json:"failure,omitempty"` // the generator's own error; the Report is of no meaning then
}

// Serve reads a Config and then Commands from in, and writes an Answer for each to out, until in ends. Then it closes
// all connections.
func Serve(in io.Reader, out io.Writer) error {
	lines, answers := json.NewDecoder(in), json.NewEncoder(out)
	lines.DisallowUnknownFields()
	var cfg Config
	if err := lines.Decode(&cfg); err != nil {
		return fmt.Errorf("load: config: %w", err)
	}
	g, err := New(cfg)
	if err != nil {
		return err
	}
	defer g.Close()
	for {
		var c Command
		switch err := lines.Decode(&c); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("load: command: %w", err)
		}
		if err := answers.Encode(g.do(c)); err != nil {
			return fmt.Errorf("load: answer: %w", err)
		}
	}
}

func (g *Generator) do(c Command) Answer {
	var r Report
	var err error
	if c.Run != nil {
		r, err = g.Run(*c.Run)
	} else {
		r, err = g.Connect(c.Connect)
	}
	if err != nil {
		return Answer{Failure: err.Error()}
	}
	return Answer{Report: r}
}
