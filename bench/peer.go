package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kassa-go/kassa/bench/load"
)

// Peer is a server that can be measured. A new one is an implementation of this, and a line in Peers, its name in the rows of suite, and a line in about.
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
		&kassaPeer{goPeer: goPeer{name: Subject, module: root, build: []string{"./bench/cmd/kassa-echo"}, codecs: []string{"json", "crab", "binary"},
			works: true, loops: true}},
		&goPeer{name: "gnet-echo", module: peers, build: peerFiles("gnet_echo.go"), dependency: "github.com/panjf2000/gnet/v2", echo: true,
			codecs: []string{"json", "crab", "binary"}, loops: true},
		&goPeer{name: "gonet", module: peers, build: peerFiles("gonet.go", "lines.go", "frame.go"), codecs: []string{"json"}, works: true},
		&goPeer{name: "gonet-workers", module: peers, build: peerFiles("gonet_workers.go", "lines.go", "frame.go"), codecs: []string{"json"}, works: true},
		&nodePeer{script: filepath.Join(peers, "node", "queue.js")},
		&goPeer{name: "nethttp", module: peers, build: peerFiles("nethttp.go", "frame.go"), protocol: "http", codecs: []string{"json"}, works: true},
		&goPeer{name: "fasthttp", module: peers, build: peerFiles("fasthttp.go", "frame.go"), dependency: "github.com/valyala/fasthttp",
			protocol: "http", codecs: []string{"json"}, works: true},
		&brokerPeer{goPeer: goPeer{name: "nats", module: peers, build: peerFiles("nats.go", "broker.go", "frame.go"), protocol: "nats", codecs: []string{"json"}, works: true},
			broker: "nats-server", source: "github.com/nats-io/nats-server/v2"},
		&brokerPeer{goPeer: goPeer{name: "gearmand", module: peers, build: peerFiles("gearmand.go", "broker.go", "frame.go"), protocol: "gearman", codecs: []string{"json"}, works: true},
			broker: "gearmand", debian: "gearman-job-server"},
		&brokerPeer{goPeer: goPeer{name: "redis-lists", module: peers, build: peerFiles("redis_lists.go", "broker.go", "frame.go"), protocol: "redis", codecs: []string{"json"}, works: true},
			broker: "redis-server", debian: "redis-server"},
		&goPeer{name: "grpc", module: peers, build: peerFiles("grpc.go"), dependency: "google.golang.org/grpc", protocol: "grpc",
			codecs: []string{"json"}, works: true},
		&postgresPeer{name: "postgres"},
		&postgresPeer{name: "postgres-batch", batch: true},
		&redisPeer{},
		&etcdPeer{module: filepath.Join(peers, "etcd")},
	}
}

// peerFiles are the files of the package bench/peers that make one of its servers. Together they would have each other's
// libraries in memory.
func peerFiles(own ...string) []string { return append([]string{"main.go", "work.go"}, own...) }

// goPeer is a server that is a Go program, prints "listening HOST:PORT" first, and ends on SIGTERM.
type goPeer struct {
	name       string
	module     string   // directory of its module
	build      []string // its main package there, or the files of it that are built
	dependency string   // module whose version counts as the peer's; "": Go's
	protocol   string   // that the generator speaks to it, as load.WireConfig says
	codecs     []string // that it speaks; of other protocols than kassa's: json alone
	echo       bool     // whether it sends requests back instead of replies
	works      bool     // whether it takes --work
	loops      bool     // whether it takes --loops

	binary string // made by Build
}

func (p *goPeer) Name() string { return p.name }

func (p *goPeer) Build(ctx context.Context, dir string) (version string, err error) {
	p.binary = filepath.Join(dir, p.name)
	build := exec.CommandContext(ctx, "go", append([]string{"build", "-o", p.binary}, p.build...)...)
	build.Dir = p.module
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench: build %s: %w\n%s", p.name, err, out)
	}
	return binaryVersion(p.binary, p.dependency)
}

func (p *goPeer) Start(ctx context.Context, c Cell) (*Server, error) {
	return StartServer(ctx, p.binary, p.args(c)...)
}

// args are the flags for a cell.
func (p *goPeer) args(c Cell) (args []string) {
	if c.Work != "" {
		args = append(args, "--work="+c.Work)
	}
	if c.Loops > 0 {
		args = append(args, fmt.Sprint("--loops=", c.Loops))
	}
	return args
}

func (p *goPeer) Wire(c Cell) (load.WireConfig, bool) {
	w := load.WireConfig{Protocol: p.protocol, Codec: c.Codec, PayloadBytes: c.PayloadBytes, Echo: p.echo}
	can := c.Items == 0 && slices.Contains(p.codecs, c.Codec) && (c.Work == "" || p.works) && (c.Loops == 0 || p.loops)
	return w, can
}

// Version returns which version of a peer is there to be measured. The error says why there is none, and where it is to be had.
func Version(ctx context.Context, p Peer) (string, error) {
	switch p := p.(type) { // of others, what is in them says nothing of the whole
	case *kassaPeer:
		return p.version(ctx)
	case *goPeer:
		return p.version(ctx)
	case *postgresPeer:
		return p.version(ctx)
	}
	dir, err := os.MkdirTemp("", "kassa-bench-")
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	return p.Build(ctx, dir)
}

// version asks for that which the peer's module is built with, and does not build it.
func (p *goPeer) version(ctx context.Context) (string, error) {
	args := []string{"env", "GOVERSION"}
	if p.dependency != "" {
		args = []string{"list", "-m", "-f", "{{.Version}}", p.dependency}
	}
	list := exec.CommandContext(ctx, "go", args...)
	list.Dir = p.module
	out, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("bench: %s: go %s: %w", p.name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
