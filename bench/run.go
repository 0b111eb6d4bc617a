package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kassa-go/kassa/bench/load"
)

// How the generator connects: a storm as fast as 512 at a time let it, all else at a pace that any server keeps up with.
const (
	stormOutstandingMax = 512
	outstandingMax      = 128
	connectsPerSecond   = 10_000
)

// generatorCoresMax is up to where a thread of the generator counts as one that waits for the server.
const generatorCoresMax = 0.9

// run puts one cell's load on a fresh server, and fills in what came of it. The error says why there are no figures.
func (p *Plan) run(ctx context.Context, peer Peer, cell Cell, wire load.WireConfig, r *Result) (err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout+p.WarmUp+p.Measure+p.Idle)
	defer cancel()
	server, err := peer.Start(ctx, cell)
	if err != nil {
		return err
	}
	defer func() {
		if server != nil {
			err = errors.Join(err, server.Stop())
		}
	}()

	cfg := load.Config{
		Addr: server.Addr, Wire: wire, Conns: cell.Conns, Threads: min(p.Threads, cell.Conns), TimeoutMs: int(p.Timeout.Milliseconds()),
	}
	r.GeneratorThreads = cfg.Threads
	if cell.Shape == Storm {
		cfg.ConnectsOutstandingMax = stormOutstandingMax
	} else {
		cfg.ConnectsOutstandingMax, cfg.ConnectsPerSecond = outstandingMax, connectsPerSecond
	}
	g, err := startGenerator(ctx, p.Generator, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()

	m := &measurement{result: r, server: server, generator: g, cell: cell}
	if err := m.warm(); err != nil {
		return err
	}
	switch cell.Shape {
	case Closed, Open:
		err = m.load(ctx, p.WarmUp, p.Measure)
	case Restart:
		server, err = m.restart(ctx, p.WarmUp, p.Measure)
	case Idle:
		err = m.silence(ctx, p.Idle)
	case Storm:
		err = m.storm()
	}
	return err
}

// measurement is a run of one cell under way.
type measurement struct {
	result    *Result
	server    *Server
	generator *generator
	cell      Cell
}

// warm has the server answer its first request, and notes the memory it has then.
func (m *measurement) warm() (err error) {
	if err := m.prepare(load.Command{Connect: 1}); err != nil {
		return err
	}
	m.result.RSSStartBytes, err = serverMemory(m.server.PID)
	return err
}

// phase is so much of the cell's load.
func (m *measurement) phase(d time.Duration) load.Command {
	return load.Command{Run: &load.Phase{
		InFlight:      m.cell.InFlight,
		RatePerSecond: float64(m.cell.RatePerSecond),
		Seconds:       d.Seconds(),
	}}
}

// load measures a closed or an open loop.
func (m *measurement) load(ctx context.Context, warmUp, measure time.Duration) (err error) {
	if err := m.connectAll(); err != nil {
		return err
	}
	if m.cell.Items > 0 && m.result.Server == Subject {
		b, failed := startBeside(ctx, m.server.Addr, m.cell)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, b.stop()) }()
	}
	if err := m.prepare(m.phase(warmUp)); err != nil {
		return err
	}
	m.result.WarmUpSeconds, m.result.LoadSeconds = warmUp.Seconds(), measure.Seconds()
	return m.measure(m.phase(measure))
}

// silence measures connections that ask nothing.
func (m *measurement) silence(ctx context.Context, idle time.Duration) error {
	if err := m.connectAll(); err != nil {
		return err
	}
	err := m.observe(func() error {
		select {
		case <-time.After(idle):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	m.result.Seconds = idle.Seconds()
	return err
}

// storm measures the connects themselves.
func (m *measurement) storm() error {
	return m.measure(load.Command{Connect: m.cell.Conns})
}

func (m *measurement) connectAll() error {
	if m.cell.Conns == 1 {
		return nil // warm has connected it
	}
	return m.prepare(load.Command{Connect: m.cell.Conns})
}

// prepare leads the generator through a phase that is not measured but must go well.
func (m *measurement) prepare(c load.Command) error {
	report, err := m.generator.do(c)
	if err != nil {
		return err
	}
	m.fault(report)
	if err := report.Err(); err != nil {
		return fmt.Errorf("bench: before measuring: %w", err)
	}
	return nil
}

// measure leads the generator through a phase, and fills in what it says of it.
func (m *measurement) measure(c load.Command) error {
	var report load.Report
	err := m.observe(func() (err error) {
		report, err = m.generator.do(c)
		return err
	})
	if err != nil {
		return err
	}
	m.fault(report)
	r := m.result
	r.Requests, r.Seconds = report.Requests, report.Seconds
	r.P50Us, r.P99Us, r.P999Us, r.MaxUs, r.LateP99Us = report.P50Us, report.P99Us, report.P999Us, report.MaxUs, report.LateP99Us
	r.Again = report.Again
	r.GeneratorBound = report.BusiestCores > generatorCoresMax
	if report.Requests > 0 {
		r.CPUSecondsPerMillion = r.CPUSeconds / float64(report.Requests) * 1e6
	}
	return nil
}

// observe fills in the CPU time and memory that are used while do runs.
func (m *measurement) observe(do func() error) error {
	from, err := readClocks(m.server.PID, m.generator.pid)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	to, err := readClocks(m.server.PID, m.generator.pid)
	if err != nil {
		return err
	}
	r := m.result
	r.CPUSeconds = (to.server - from.server).Seconds()
	if m.server.broker {
		r.BrokerCPUSeconds = (to.childrens - from.childrens).Seconds()
	}
	r.GeneratorCPUSeconds = (to.generator - from.generator).Seconds()
	r.OthersCores = othersCores(from, to)
	if r.RSSBytes, err = serverMemory(m.server.PID); err != nil {
		return err
	}
	r.RSSBytesPerConn = float64(r.RSSBytes-r.RSSStartBytes) / float64(m.cell.Conns)
	return nil
}

// fault adds a phase's errors to the result.
func (m *measurement) fault(report load.Report) {
	m.result.Errors += report.Errors
	for _, f := range report.Faults {
		m.result.Faults = append(m.result.Faults, f.String())
	}
}
