package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kassa-go/kassa/bench/load"
)

// etcdPeer is an etcd cluster of one. A change goes through its log, which is synced before the answer; what is written while
// it syncs is synced together.
type etcdPeer struct {
	module string // directory of the module that says which version
	binary string // made by Build
	dir    string // of Build
}

const etcdPackage = "go.etcd.io/etcd/server/v3"

// etcdSettings are those that differ from the defaults. Warnings of slow requests would be written while others are served.
var etcdSettings = []string{
	"--quota-backend-bytes=8589934592", "--auto-compaction-mode=revision", "--auto-compaction-retention=100000",
	"--snapshot-count=100000", "--warning-apply-duration=10s", "--warning-unary-request-duration=10s",
}

func (*etcdPeer) Name() string { return "etcd" }

// Build compiles etcd, which takes a minute or so the first time.
func (p *etcdPeer) Build(ctx context.Context, dir string) (version string, err error) {
	p.dir, p.binary = dir, filepath.Join(dir, "etcd")
	build := exec.CommandContext(ctx, "go", "build", "-o", p.binary, etcdPackage)
	build.Dir = p.module
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench: build etcd, with \"go build %s\" in %s: %w\n%s", etcdPackage, p.module, err, out)
	}
	return binaryVersion(p.binary, etcdPackage)
}

// Wire leaves out open loops, as that of postgresPeer.
func (*etcdPeer) Wire(c Cell) (load.WireConfig, bool) {
	return load.WireConfig{Pairs: &load.PairsConfig{Server: "etcd", Items: c.Items}}, c.isPlainPairs() && c.Shape == Closed
}

func (p *etcdPeer) Start(ctx context.Context, _ Cell) (*Server, error) {
	dir, err := os.MkdirTemp(p.dir, "store-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	clean := func() error { return os.RemoveAll(dir) }
	// The address of clients; of members, though there is but one; and of HTTP, so that gRPC's connections need not be told
	// from others.
	var addrs [3]string
	for i := range addrs {
		port, err := freePort()
		if err != nil {
			return nil, errors.Join(err, clean())
		}
		addrs[i] = fmt.Sprint("127.0.0.1:", port)
	}
	client, member, http := "http://"+addrs[0], "http://"+addrs[1], "http://"+addrs[2]
	s, err := launch{
		command: append([]string{p.binary, "--name=bench", "--data-dir=" + dir,
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client, "--listen-client-http-urls=" + http,
			"--listen-peer-urls=" + member, "--initial-advertise-peer-urls=" + member, "--initial-cluster=bench=" + member}, etcdSettings...),
		dir:      dir,
		signal:   syscall.SIGTERM,
		signaled: true,
		ready: func(line string) (string, bool) {
			return addrs[0], strings.Contains(line, "serving client traffic") && strings.Contains(line, addrs[0])
		},
	}.start(ctx)
	if err != nil {
		return nil, errors.Join(err, clean())
	}
	s.dir, s.clean = dir, clean
	return s, nil
}
