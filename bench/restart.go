package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// restart measures how long a server that has pools takes from its start to its first answer. Before, it has had pairs for
// warmUp; then it is told to end, or killed in the middle of more of them. It returns the server that runs now, nil when
// none does.
func (m *measurement) restart(ctx context.Context, warmUp, measure time.Duration) (*Server, error) {
	if m.server.again == nil {
		return m.server, errors.New("bench: the server can not be started on the same data")
	}
	if err := m.connectAll(); err != nil {
		return m.server, err
	}
	if err := m.prepare(m.phase(warmUp)); err != nil {
		return m.server, err
	}
	m.result.WarmUpSeconds = warmUp.Seconds()
	heldMax := 0
	if m.cell.Killed {
		heldMax = m.cell.Conns * m.cell.InFlight
		interrupted := make(chan error, 1)
		go func() {
			_, err := m.generator.do(m.phase(measure)) // its faults are those of the kill
			interrupted <- err
		}()
		select {
		case <-time.After(measure / 2):
		case <-ctx.Done():
		}
		if err := errors.Join(m.server.kill(), <-interrupted); err != nil {
			return nil, err
		}
	} else if err := m.server.end(); err != nil {
		return nil, err
	}
	r := m.result
	var err error
	if r.StoreBytes, err = bytesIn(m.server.dir); err != nil {
		return nil, err
	}
	from, err := readClocks(m.generator.pid, m.generator.pid)
	if err != nil {
		return nil, err
	}
	from.server = 0 // there is none yet
	server, err := m.server.again(ctx)
	if err != nil {
		return nil, err
	}
	control, err := dialLines(server.Addr)
	if err != nil {
		return server, err
	}
	defer control.Close()
	stats, err := control.stats()
	if err != nil {
		return server, err
	}
	r.Seconds = time.Since(from.at).Seconds()
	if stats.Items != m.cell.Items || stats.Leased > heldMax {
		return server, fmt.Errorf("bench: after the restart there are %d items, of which %d are leased; want %d and at most %d", stats.Items, stats.Leased, m.cell.Items, heldMax)
	}
	to, err := readClocks(server.PID, m.generator.pid)
	if err != nil {
		return server, err
	}
	r.CPUSeconds, r.OthersCores = to.server.Seconds(), othersCores(from, to)
	r.RSSBytes, err = serverMemory(server.PID)
	return server, err
}

// bytesIn returns the size of all files below dir.
func bytesIn(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	return sum, nil
}
