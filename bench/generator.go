package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"github.com/kassa-go/kassa/bench/load"
)

// generator is a load.Generator in a process of its own, led by load.Serve's lines.
type generator struct {
	pid      int
	command  *exec.Cmd
	stdin    io.WriteCloser
	commands *json.Encoder
	answers  *json.Decoder
	stderr   *tail
}

func startGenerator(ctx context.Context, command []string, cfg load.Config) (*generator, error) {
	g := &generator{command: exec.CommandContext(ctx, command[0], command[1:]...), stderr: &tail{}}
	g.command.Stderr = g.stderr
	g.command.SysProcAttr = apart()
	stdin, err := g.command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: generator: %w", err)
	}
	stdout, err := g.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: generator: %w", err)
	}
	if err := g.command.Start(); err != nil {
		return nil, fmt.Errorf("bench: generator: %w", err)
	}
	g.pid = g.command.Process.Pid
	g.stdin, g.commands, g.answers = stdin, json.NewEncoder(stdin), json.NewDecoder(stdout)
	if err := g.commands.Encode(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: generator: %w", err), g.stop())
	}
	return g, nil
}

// do has the generator go through a phase. Its errors are those of the generator, not of the server.
func (g *generator) do(c load.Command) (load.Report, error) {
	var a load.Answer
	err := g.commands.Encode(c)
	if err == nil {
		err = g.answers.Decode(&a)
	}
	if err == nil && a.Failure != "" {
		err = errors.New(a.Failure)
	}
	if err != nil {
		return load.Report{}, fmt.Errorf("bench: generator: %w: %s", err, g.stderr)
	}
	return a.Report, nil
}

// stop closes the generator's connections and ends it.
func (g *generator) stop() error {
	g.stdin.Close()
	if err := g.command.Wait(); err != nil {
		return fmt.Errorf("bench: generator: %w: %s", err, g.stderr)
	}
	return nil
}
