package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kassa-go/kassa/bench/load"
)

// kassaPeer is kassa: a server with four types that keep nothing, and for pools kassad with its store on disk.
type kassaPeer struct {
	goPeer
	dir    string // of Build
	kassad string // made by Build

	filled map[int]string // stores in which so many items are already, by their number
}

// filledItems is from which size on a pool is filled before the server that is measured starts: after the first start of
// all, with so many new items, the server has its store to write.
const filledItems = 100_000

func (p *kassaPeer) Build(ctx context.Context, dir string) (version string, err error) {
	p.dir, p.kassad = dir, filepath.Join(dir, "kassad")
	build := exec.CommandContext(ctx, "go", "build", "-o", p.kassad, "./cmd/kassad")
	build.Dir = p.module
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench: build kassad: %w\n%s", err, out)
	}
	return p.goPeer.Build(ctx, dir)
}

func (p *kassaPeer) Wire(c Cell) (load.WireConfig, bool) {
	if c.Items == 0 {
		return p.goPeer.Wire(c)
	}
	return load.WireConfig{Pairs: &load.PairsConfig{Server: "kassa", Items: c.Items}}, true
}

func (p *kassaPeer) Start(ctx context.Context, c Cell) (*Server, error) {
	if c.Items == 0 {
		return p.goPeer.Start(ctx, c)
	}
	dir, err := os.MkdirTemp(p.dir, "store-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if c.Items >= filledItems {
		if err = p.fill(ctx, c.Items); err == nil {
			err = os.CopyFS(dir, os.DirFS(p.filled[c.Items]))
		}
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		return p.startOn(ctx, dir)
	}
	if err := p.configure(dir, c.Items); err != nil {
		return nil, err
	}
	return p.startOn(ctx, dir)
}

// fill makes a store with so many items, unless there is one.
func (p *kassaPeer) fill(ctx context.Context, items int) error {
	if p.filled[items] != "" {
		return nil
	}
	dir := filepath.Join(p.dir, fmt.Sprint("filled-", items))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := p.configure(dir, items); err != nil {
		return err
	}
	s, err := p.startOn(ctx, dir)
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return err
	}
	if p.filled == nil {
		p.filled = make(map[int]string)
	}
	p.filled[items] = dir
	return nil
}

// configure writes what kassad is told of the pool.
func (p *kassaPeer) configure(dir string, items int) error {
	pools := fmt.Sprintf("pools:\n  %s: {ids: %s..%s, waitersMax: 1000000}\n", load.PoolName, load.ItemID(1), load.ItemID(items))
	if err := os.WriteFile(filepath.Join(dir, "kassa.yaml"), []byte(pools), 0o600); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// startOn starts a kassad with the store that is in dir.
func (p *kassaPeer) startOn(ctx context.Context, dir string) (*Server, error) {
	clean := func() error { return os.RemoveAll(dir) }
	s, err := launch{
		command: []string{p.kassad, "--listen", "tcp://127.0.0.1:0", "--config", "kassa.yaml", "--data", "data", "--env-file", os.DevNull},
		dir:     dir,
		signal:  syscall.SIGTERM,
		ready: func(line string) (addr string, ok bool) { // kassa --addr tcp://HOST:PORT ping
			_, addr, _ = strings.Cut(line, " --addr tcp://")
			return strings.CutSuffix(addr, " ping")
		},
	}.start(ctx)
	if err != nil {
		_ = clean()
		return nil, err
	}
	s.dir, s.clean = filepath.Join(dir, "data"), clean
	s.again = func(ctx context.Context) (*Server, error) { return p.startOn(ctx, dir) }
	return s, nil
}
