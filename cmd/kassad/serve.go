package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/engine"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/serve"
)

// server is a kassad at work. Its methods are for one goroutine.
type server struct {
	settings
	program string // as it was called
	stdout  io.Writer
	log     *slog.Logger
	level   *slog.LevelVar // log's

	pools      *serve.Server // nil: there are none
	dispatcher *dispatch.Dispatcher
	engine     *engine.Engine
}

// serve starts the server, and serves until a signal or the end of ctx says to end. It returns the exit code, and what
// went wrong unless that was logged.
func (s *server) serve(ctx context.Context) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	defer context.AfterFunc(ctx, func() { signals <- syscall.SIGTERM })()

	if err := s.start(); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w (does another kassad run? --listen takes another address)", err)
		}
		return exitFailed, err
	}
	fmt.Fprint(s.stdout, s.whatNext())

	failed := make(chan error, 1)
	go func() { failed <- s.engine.Wait() }()
	var poolsFailed <-chan struct{} // nil: there are none
	if s.pools != nil {
		poolsFailed = s.pools.Failed()
	}
	var ended chan error // nil: nobody asked for the end
	for {
		select {
		case err := <-failed:
			if ended == nil {
				s.log.Error("the server has failed", slog.Any("err", err))
				return exitFailed, nil
			}
			failed = nil // ended says more
		case <-poolsFailed:
			s.log.Error("the store of the pools has failed: ended at once; what was not answered may be done or not, which the next start finds out",
				slog.Any("err", s.pools.Err()))
			return exitFailed, nil
		case err := <-ended:
			if err != nil {
				s.log.Error("ended, not as it should", slog.Any("err", err))
				return exitFailed, nil
			}
			s.log.Info("ended")
			return exitOK, nil
		case sig := <-signals:
			switch {
			case sig == syscall.SIGUSR1:
				s.toggleDebug()
			case sig == syscall.SIGUSR2:
				s.logStats()
			case ended == nil:
				s.log.Info("ending: new requests are refused, those taken are answered; the same signal again ends at once",
					slog.String("signal", sig.String()), slog.Duration("drainTimeout", s.drainTimeout))
				ended = make(chan error, 1)
				go func() { ended <- s.end() }()
			default:
				s.log.Warn("ended at once, by a second signal", slog.String("signal", sig.String()))
				return 128 + int(sig.(syscall.Signal)), nil
			}
		}
	}
}

// start starts the dispatcher and the engine.
func (s *server) start() error {
	if s.hint != "" {
		s.log.Info(s.hint)
	}
	if s.defaultListen && !hasIPv6() {
		s.log.Info("this machine has no IPv6: only 127.0.0.1 is listened on")
		s.listen = s.listen[:1]
	}
	for _, address := range outside(s.listen) {
		s.log.Warn("there is no TLS and no authentication yet: whoever can reach this address can use the server", slog.String("addr", address))
	}

	reg := s.registry()
	before := openFiles()
	if err := s.openPools(reg); err != nil {
		return err
	}
	kept, loops := 0, s.loops
	if s.pools != nil {
		kept = max(0, journal.FilesMax-(openFiles()-before))
		if loops == 0 {
			loops = (runtime.GOMAXPROCS(0) + 1) / 2 // the pools and their journal take the other cores
		}
	}
	var err error
	s.dispatcher, err = dispatch.New(dispatch.Config{Registry: reg, Credit: s.credit, Log: s.log, QueueLog: s.queueLog})
	if err != nil {
		return errors.Join(err, s.closePools())
	}
	s.engine, err = engine.Start(engine.Config{
		Addrs:         s.listen,
		Open:          func(c *engine.Conn) engine.Peer { return s.dispatcher.Open(c) },
		Codec:         s.codec,
		Loops:         loops,
		ConnsMax:      s.connsMax,
		FilesKept:     kept,
		FrameBytesMax: s.frameBytesMax,
		FrameTimeout:  s.frameTimeout,
		IdleTimeout:   s.idleTimeout,
		Log:           s.log,
	})
	if err != nil {
		return errors.Join(err, s.dispatcher.Close(context.Background()), s.closePools())
	}
	return nil
}

// openFiles returns how many descriptors this process has open; 0 where that can not be told, which engine.Start refuses.
func openFiles() int {
	names, _ := os.ReadDir("/proc/self/fd")
	return len(names)
}

// registry returns the types that are served beside the built-in ones.
func (s *server) registry() *dispatch.Registry {
	reg := dispatch.NewRegistry()
	if s.demo {
		registerDemo(reg)
	} else if s.data == "" {
		s.log.Info("only the built-in types are served: --config and --data add pools, --demo adds some to try things with")
	}
	return reg
}

// end shuts down the engine, then the dispatcher, then the pools.
func (s *server) end() error {
	over := fmt.Errorf("the drain time-out of %s is over", s.drainTimeout)
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.drainTimeout, over)
	defer cancel()
	return errors.Join(s.engine.Shutdown(ctx), s.dispatcher.Close(ctx), s.closePools())
}

// toggleDebug switches the debug log on or, back to what was set, off.
func (s *server) toggleDebug() {
	if s.level.Level() > slog.LevelDebug {
		s.level.Set(slog.LevelDebug)
		s.logAnyway("debug log on")
		return
	}
	// One that was on from the start is switched off to the default.
	s.level.Set(max(s.logLevel, slog.LevelInfo))
	s.logAnyway("debug log off")
}

// logStats logs what the server has done so far.
func (s *server) logStats() {
	e, d := s.engine.Stats(), s.dispatcher.Stats()
	s.logAnyway("stats",
		slog.Int64("uptimeMs", d.UptimeMs),
		slog.Int("conns", e.Conns), slog.Int("connsMax", e.ConnsMax),
		slog.Uint64("accepted", e.Accepted), slog.Uint64("refused", e.Refused),
		slog.Uint64("slowReaders", e.SlowReaders), slog.Uint64("overloaded", e.Overloaded),
		slog.Uint64("timedOut", e.TimedOut), slog.Uint64("badFrames", e.BadFrames),
		slog.Int("ring", d.Ring.Len), slog.Uint64("ringShed", d.Ring.Shed),
		slog.Attr{Key: "types", Value: typeStats(d)})
}

// logAnyway logs what somebody has asked for by a signal, whatever the level.
func (s *server) logAnyway(msg string, attrs ...slog.Attr) {
	s.log.LogAttrs(context.Background(), max(slog.LevelInfo, s.level.Level()), msg, attrs...)
}

// typeStats returns a group of what was done of each type that was asked for.
func typeStats(d dispatch.Stats) slog.Value {
	var types []slog.Attr
	for name, t := range d.Types {
		if t.Queued > 0 || t.Running > 0 || t.Done > 0 || t.Shed > 0 {
			types = append(types, slog.Group(name, slog.Int("queued", t.Queued), slog.Int("running", t.Running),
				slog.Uint64("done", t.Done), slog.Uint64("failed", t.Failed), slog.Uint64("shed", t.Shed)))
		}
	}
	slices.SortFunc(types, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	return slog.GroupValue(types...)
}

// whatNext is what the operator is told to type to see the server work.
func (s *server) whatNext() string {
	addr := s.engine.Addrs()[0]
	kassa := "kassa"
	if dir, ok := strings.CutSuffix(s.program, "kassad"); ok {
		kassa = dir + kassa // they lie side by side
	}
	if !s.defaultListen {
		kassa += " --addr " + clientAddress(addr)
	}
	typ := "ping"
	if s.demo {
		typ = "cntResponse"
	}
	var b strings.Builder
	b.WriteString("Serving. Try, in another terminal:\n")
	switch name := s.codec.Name(); name {
	case "auto", "json":
		fmt.Fprintf(&b, `  printf '{"type":"%s","queryIndex":1}\n' | nc -W 1 %s`+"\n", typ, netcatAddress(addr))
	default:
		kassa += " --codec " + name
	}
	fmt.Fprintf(&b, "  %s ping\n", kassa)
	if s.demo {
		fmt.Fprintf(&b, "  %s request echo '{\"a\":1}'\n", kassa)
	}
	if s.pools != nil {
		fmt.Fprintf(&b, "  %s pool ls\n", kassa)
		for _, command := range s.tries() {
			fmt.Fprintf(&b, "  %s %s\n", kassa, command)
		}
	}
	return b.String()
}

// clientAddress is what a client on this machine is told to reach addr.
func clientAddress(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.Network() + "://" + addr.String()
	}
	return "tcp://" + net.JoinHostPort(reachable(tcp.IP), fmt.Sprint(tcp.Port))
}

// netcatAddress is the same for nc.
func netcatAddress(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return "-U " + addr.String()
	}
	return fmt.Sprintf("%s %d", reachable(tcp.IP), tcp.Port)
}

func reachable(ip net.IP) string {
	if ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return ip.String()
}
