package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/kassa-go/kassa/bench/load"
)

// errNotInstalled is what Build returns of a server that is not there; the suite goes on without it.
var errNotInstalled = errors.New("not installed")

// redisPeer is Redis with two scripts, which syncs its log before each answer. What is written while it syncs is synced
// together.
type redisPeer struct {
	dir    string // of Build
	server string // the program
}

func (*redisPeer) Name() string { return "redis" }

func (p *redisPeer) Build(ctx context.Context, dir string) (version string, err error) {
	p.dir = dir
	if _, err := exec.LookPath("redis-cli"); err != nil {
		return "", fmt.Errorf("bench: redis-cli is %w: Debian has it in redis-tools", errNotInstalled)
	}
	p.server, version, err = findProgram(ctx, "redis-server", "redis-server")
	return version, err
}

func (*redisPeer) Wire(c Cell) (load.WireConfig, bool) {
	return load.WireConfig{Pairs: &load.PairsConfig{Server: "redis", Items: c.Items}}, c.isPlainPairs()
}

// isPlainPairs says whether also those servers can run the cell that know of no waiting, no listing and no restart. Where
// many more want an item than there are items, they would only be busy with saying so.
func (c *Cell) isPlainPairs() bool {
	return c.Items > 0 && c.Shape != Restart && c.Waiters == 0 && !c.Listing && c.Items < filledItems && c.Conns*c.InFlight <= 2*c.Items
}

func (p *redisPeer) Start(ctx context.Context, c Cell) (*Server, error) {
	dir, err := os.MkdirTemp(p.dir, "store-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	clean := func() error { return os.RemoveAll(dir) }
	port, err := freePort()
	if err != nil {
		return nil, errors.Join(err, clean())
	}
	s, err := launch{
		command: []string{p.server, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "yes", "--appendfsync", "always",
			"--maxclients", "15000", "--tcp-backlog", "4096"},
		dir:    dir,
		signal: syscall.SIGTERM,
		ready: func(line string) (string, bool) {
			return fmt.Sprint("127.0.0.1:", port), strings.Contains(line, "Ready to accept connections")
		},
	}.start(ctx)
	if err != nil {
		return nil, errors.Join(err, clean())
	}
	s.dir, s.clean = dir, clean
	fill := `for i = 1, ARGV[1] do redis.call('ZADD', 'free', 0, string.format('item-%07d', i)) end`
	for _, args := range [][]string{{"EVAL", fill, "0", strconv.Itoa(c.Items)}, {"SCRIPT", "LOAD", load.RedisAcquire}, {"SCRIPT", "LOAD", load.RedisRelease}} {
		command := exec.CommandContext(ctx, "redis-cli", append([]string{"-e", "-h", "127.0.0.1", "-p", strconv.Itoa(port)}, args...)...)
		if out, err := command.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("bench: redis: %w: %s", err, out), s.Stop())
		}
	}
	return s, nil
}

// freePort returns a port that nobody listens on now, for servers that do not tell which one they took.
func freePort() (int, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}
