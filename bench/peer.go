package bench

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/kassa-go/kassa/bench/load"
)

// Peer is a server that can be measured. A new one is an implementation of this, and a line in Peers.
type Peer interface {
	// Name is what flags, results and targets call it.
	Name() string

	// Build makes what Start needs, in a directory of its own, and returns what version is measured.
	Build(ctx context.Context, dir string) (version string, err error)

	// Start starts the server for a cell, and returns when it can be connected to. It ends with ctx.
	Start(ctx context.Context, c Cell) (*Server, error)

	// Wire says how the generator speaks to it in a cell; false: it has no way to.
	Wire(Cell) (load.WireConfig, bool)
}

// Subject is the server that all others are measured beside.
const Subject = "kassa"

// Peers are the servers that the suite knows; root is the directory of kassa's source.
func Peers(root string) []Peer {
	peers := filepath.Join(root, "bench", "peers")
	return []Peer{
		&kassaPeer{goPeer: goPeer{name: Subject, module: root, pkg: "./bench/cmd/kassa-echo", codecs: []string{"json", "crab", "binary"}}},
		&goPeer{name: "gnet-echo", module: peers, pkg: ".", args: []string{"gnet-echo"}, dependency: "github.com/panjf2000/gnet/v2", echo: true,
			codecs: []string{"json", "crab", "binary"}},
		&goPeer{name: "gonet-workers", module: peers, pkg: ".", args: []string{"gonet-workers"}, codecs: []string{"json"}},
		&postgresPeer{name: "postgres"},
		&postgresPeer{name: "postgres-batch", batch: true},
		&redisPeer{},
	}
}

// goPeer is a server that is a Go program, prints "listening HOST:PORT" first, and ends on SIGTERM.
type goPeer struct {
	name       string
	module     string // directory of its module
	pkg        string // its main package there
	args       []string
	dependency string   // module whose version counts as the peer's; "": Go's
	codecs     []string // that it speaks
	echo       bool     // whether it sends requests back instead of replies

	binary string // made by Build
}

func (p *goPeer) Name() string { return p.name }

func (p *goPeer) Build(ctx context.Context, dir string) (version string, err error) {
	p.binary = filepath.Join(dir, p.name)
	build := exec.CommandContext(ctx, "go", "build", "-o", p.binary, p.pkg)
	build.Dir = p.module
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench: build %s: %w\n%s", p.name, err, out)
	}
	return binaryVersion(p.binary, p.dependency)
}

func (p *goPeer) Start(ctx context.Context, _ Cell) (*Server, error) {
	return StartServer(ctx, p.binary, p.args...)
}

func (p *goPeer) Wire(c Cell) (load.WireConfig, bool) {
	w := load.WireConfig{Codec: c.Codec, PayloadBytes: c.PayloadBytes, Echo: p.echo}
	return w, c.Items == 0 && slices.Contains(p.codecs, c.Codec)
}
