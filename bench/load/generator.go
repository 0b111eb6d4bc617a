package load

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config says whom to load, and how.
type Config struct {
	Addr string     `json:"addr"` // HOST:PORT, HOST an IPv4 address
	Wire WireConfig `json:"wire"`

	Conns   int `json:"conns"`             // connections at most
	Threads int `json:"threads,omitempty"` // 0: 1

	// ConnectsOutstandingMax bounds the connections that wait for their first reply; 0: 128. ConnectsPerSecond bounds
	// the pace; 0: as fast as it goes.
	ConnectsOutstandingMax int `json:"connectsOutstandingMax,omitempty"`
	ConnectsPerSecond      int `json:"connectsPerSecond,omitempty"`

	// PortsPerAddress is how many connections come from 127.0.0.1 before the next ones come from 127.0.0.2, and so on, where
	// the server is on this machine; 0: as many as the kernel has ports for.
	PortsPerAddress int `json:"portsPerAddress,omitempty"`

	// TimeoutMs is how long nothing may be heard from the server on any connection before the replies still missing
	// are given up; 0: 10,000.
	TimeoutMs int `json:"timeoutMs,omitempty"`
}

// Generator holds connections and puts load on them. Its methods belong to one goroutine at a time.
type Generator struct {
	cfg   Config
	loops []*loop // connection i belongs to loop i % len(loops)
}

// New returns a Generator without any connection yet.
func New(cfg Config) (*Generator, error) {
	cfg.Threads = defaulted(cfg.Threads, 1)
	cfg.ConnectsOutstandingMax = defaulted(cfg.ConnectsOutstandingMax, 128)
	cfg.TimeoutMs = defaulted(cfg.TimeoutMs, 10_000)
	addr, err := netip.ParseAddrPort(cfg.Addr)
	switch {
	case err != nil:
		return nil, fmt.Errorf("load: address: %w", err)
	case !addr.Addr().Is4():
		return nil, fmt.Errorf("load: address %s is not IPv4", addr)
	case cfg.Conns < 1 || cfg.Threads < 1 || cfg.Threads > cfg.Conns:
		return nil, fmt.Errorf("load: %d connections on %d threads", cfg.Conns, cfg.Threads)
	case cfg.ConnectsOutstandingMax < 1 || cfg.ConnectsPerSecond < 0 || cfg.TimeoutMs < 1 || cfg.PortsPerAddress < 0:
		return nil, errors.New("load: a negative number in Config")
	}
	if err := makeRoom(cfg.Conns); err != nil {
		return nil, err
	}
	w, err := NewWire(cfg.Wire)
	if err != nil {
		return nil, err
	}
	if t, ok := w.(talker); ok {
		t.prepare(cfg.Conns)
	}
	local, err := newPorts(cfg.Threads, addr, cfg.PortsPerAddress)
	if err != nil {
		return nil, err
	}
	g := &Generator{cfg: cfg}
	for _, p := range local {
		l, err := newLoop(addr, w, time.Duration(cfg.TimeoutMs)*time.Millisecond, p)
		if err != nil {
			g.Close()
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	for i := range cfg.Conns {
		l := g.loops[i%len(g.loops)]
		l.conns = append(l.conns, conn{id: uint32(i), at: int32(len(l.conns))})
	}
	return g, nil
}

func defaulted(n, zero int) int {
	if n == 0 {
		return zero
	}
	return n
}

// Connect opens connections until there are n, and makes one request on each new one. Connections that the server
// refuses, closes or does not answer are errors in the Report. The error is the generator's own.
func (g *Generator) Connect(n int) (Report, error) {
	if n < 1 || n > g.cfg.Conns {
		return Report{}, fmt.Errorf("load: connect %d of %d", n, g.cfg.Conns)
	}
	threads := len(g.loops)
	return g.drive(func(l *loop, i int) pace {
		p := &connects{
			target:         (n - i + threads - 1) / threads,
			outstandingMax: max(1, g.cfg.ConnectsOutstandingMax/threads),
			nextAt:         l.now(),
		}
		for p.next < len(l.conns) && l.conns[p.next].state != unopened {
			p.next++
		}
		if rate := g.cfg.ConnectsPerSecond; rate > 0 {
			p.interval = int64(time.Second) * int64(threads) / int64(rate)
		}
		return p
	})
}

// Run puts the load of p on the connections that are open, and returns when all replies have come or are given up.
func (g *Generator) Run(p Phase) (Report, error) {
	if err := p.validate(); err != nil {
		return Report{}, err
	}
	live := 0
	for _, l := range g.loops {
		live += l.live
	}
	if live == 0 {
		return Report{}, errors.New("load: no connection is open")
	}
	threads := int64(len(g.loops))
	return g.drive(func(l *loop, i int) pace {
		total, start, end := int64(math.MaxInt64), l.now(), int64(math.MaxInt64)
		if p.Requests > 0 {
			total = (p.Requests + threads - 1 - int64(i)) / threads
		} else {
			end = start + int64(p.duration())
		}
		if p.RatePerSecond == 0 {
			return &closedLoop{inFlight: defaulted(p.InFlight, 1), left: total, end: end}
		}
		interval := float64(time.Second) / p.RatePerSecond
		return &openLoop{
			start:    start + int64(interval*float64(i)),
			end:      end,
			interval: interval * float64(threads),
			total:    total,
		}
	})
}

// drive leads each loop, on a thread of its own, through the pace that newPace makes for it.
func (g *Generator) drive(newPace func(l *loop, i int) pace) (Report, error) {
	cpu, start := clock(unix.CLOCK_PROCESS_CPUTIME_ID), time.Now()
	errs := make([]error, len(g.loops))
	var loops sync.WaitGroup
	for i, l := range g.loops {
		loops.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			// Timers are 50 µs late by default, which would count as latency in an open loop.
			if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
				errs[i] = fmt.Errorf("load: timer slack: %w", err)
				return
			}
			l.begin()
			cpu, begun := clock(unix.CLOCK_THREAD_CPUTIME_ID), time.Now()
			errs[i] = l.drive(newPace(l, i))
			l.cores = (clock(unix.CLOCK_THREAD_CPUTIME_ID) - cpu).Seconds() / time.Since(begun).Seconds()
		})
	}
	loops.Wait()
	if err := errors.Join(errs...); err != nil {
		return Report{}, err
	}
	r := g.report(start)
	r.CPUSeconds = (clock(unix.CLOCK_PROCESS_CPUTIME_ID) - cpu).Seconds()
	return r, nil
}

// report sums up the phase that began at start.
func (g *Generator) report(start time.Time) Report {
	var r Report
	latency, late := g.loops[0].latency, g.loops[0].late
	for i, l := range g.loops {
		if i > 0 {
			latency.Merge(l.latency)
			late.Merge(l.late)
		}
		r.Requests += l.answered
		if l.answered > 0 {
			last := l.born.Add(time.Duration(l.lastReply))
			r.Seconds = max(r.Seconds, last.Sub(start).Seconds())
		}
		r.BusiestCores = max(r.BusiestCores, l.cores)
		r.Errors += l.faults.count
		r.Faults = append(r.Faults, l.faults.kept[:min(len(l.faults.kept), faultsKept-len(r.Faults))]...)
	}
	if w, ok := g.loops[0].wire.(*pairsWire); ok {
		r.Again = w.again.Swap(0)
	}
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	r.P50Us = us(latency.ValueAtPercentile(50))
	r.P90Us = us(latency.ValueAtPercentile(90))
	r.P99Us = us(latency.ValueAtPercentile(99))
	r.P999Us = us(latency.ValueAtPercentile(99.9))
	r.MaxUs = us(latency.Max())
	r.LateP99Us = us(late.ValueAtPercentile(99))
	return r
}

// Close closes all connections.
func (g *Generator) Close() {
	for _, l := range g.loops {
		l.close()
	}
}

// clock returns what one of the CPU clocks of this process or thread shows, user and system.
func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic("load: a CPU clock: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
