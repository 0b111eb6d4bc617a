package bench

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
)

// brokerPeer is a service behind a broker: a Go program that has the broker as its child and carries out what the broker
// hands on to it. Clients speak to the broker alone. What the suite counts is both.
type brokerPeer struct {
	goPeer
	broker string // its program
	source string // Go package, of a module that the peer's module requires, that it is built of; empty: it is looked for
	debian string // package that has it, where it is looked for

	program string // the broker's path, of Build
}

func (p *brokerPeer) Build(ctx context.Context, dir string) (version string, err error) {
	if p.source != "" {
		version, err = p.buildBroker(ctx, dir)
	} else {
		version, err = p.findBroker(ctx)
	}
	if err != nil {
		return "", err
	}
	_, err = p.goPeer.Build(ctx, dir)
	return version, err
}

func (p *brokerPeer) buildBroker(ctx context.Context, dir string) (version string, err error) {
	p.program = filepath.Join(dir, p.broker)
	build := exec.CommandContext(ctx, "go", "build", "-o", p.program, p.source)
	build.Dir = p.module
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench: build %s: %w\n%s", p.broker, err, out)
	}
	info, err := buildinfo.ReadFile(p.program)
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	return info.Main.Version, nil
}

func (p *brokerPeer) findBroker(ctx context.Context) (version string, err error) {
	p.program, version, err = findProgram(ctx, p.broker, p.debian)
	return version, err
}

// programVersion finds it in what --version says: "Redis server v=7.0.15 sha=…", "gearmand 1.1.20+ds - https://…".
var programVersion = regexp.MustCompile(`[ =](\d+\.\d+\S*)`)

// findProgram returns the path and the version of a program that a package of Debian has.
func findProgram(ctx context.Context, name, debian string) (path, version string, err error) {
	if path, err = exec.LookPath(name); err != nil {
		// Debian has some servers where only root's PATH leads.
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	if err != nil {
		return "", "", fmt.Errorf("bench: %s is %w: Debian has it in %s", name, errNotInstalled, debian)
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	found := programVersion.FindSubmatch(out)
	if err != nil {
		return "", "", fmt.Errorf("bench: %s --version: %w", name, err)
	}
	if found == nil {
		return "", "", fmt.Errorf("bench: %s --version says %q, which is no version", name, out)
	}
	return path, string(found[1]), nil
}

func (p *brokerPeer) Start(ctx context.Context, c Cell) (*Server, error) {
	s, err := StartServer(ctx, p.binary, append(p.args(c), p.program)...)
	if err == nil {
		s.broker = true
	}
	return s, err
}
