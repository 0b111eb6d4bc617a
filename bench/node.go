package bench

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kassa-go/kassa/bench/load"
)

// nodePeer is the server on Node that kassa replaces.
type nodePeer struct {
	script  string
	program string // found by Build
}

func (*nodePeer) Name() string { return "node" }

func (p *nodePeer) Build(ctx context.Context, _ string) (version string, err error) {
	if p.program, err = exec.LookPath("node"); err != nil {
		return "", fmt.Errorf("bench: node is %w: Debian has it in nodejs", errNotInstalled)
	}
	// Where the suite was started need not be where the server is.
	if p.script, err = filepath.Abs(p.script); err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	out, err := exec.CommandContext(ctx, p.program, "--version").Output() // v20.20.2
	version = strings.TrimSpace(string(out))
	if err != nil || version == "" {
		return "", fmt.Errorf("bench: node --version says %q, %w", out, err)
	}
	return version, nil
}

func (p *nodePeer) Start(ctx context.Context, c Cell) (*Server, error) {
	args := []string{p.script}
	if c.Work != "" {
		args = append(args, "--work="+c.Work)
	}
	return StartServer(ctx, p.program, args...)
}

func (*nodePeer) Wire(c Cell) (load.WireConfig, bool) {
	return load.WireConfig{PayloadBytes: c.PayloadBytes}, c.Items == 0 && c.Codec == "json" && c.Loops == 0
}
