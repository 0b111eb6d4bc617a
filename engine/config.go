package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kassa-go/kassa/codec"
)

// Config says where an engine listens and what it bears. The zero value of a field means its default.
type Config struct {
	// Addrs are where to listen: "tcp://127.0.0.1:41969", "tcp://[::1]:41969", "unix:///run/kassa.sock". Required. Port 0
	// takes a free one; Engine.Addrs tells which. Unix sockets are removed when the engine ends.
	Addrs []string

	// Open makes the receiver of a new connection's requests. Required. It is called by the connection's event loop.
	Open func(*Conn) Peer

	Codec codec.Codec // how clients speak; codec.Auto{}

	Loops int // event loops for TCP; GOMAXPROCS. Unix sockets have one of their own.

	// ConnsMax is how many connections are held; more are refused with too_many_connections. By default as many as the
	// process's limit of open files leaves room for; asking for more than that is an error.
	ConnsMax int

	// FilesKept is how many descriptors connections leave to the rest of the program, besides those it has open at start.
	FilesKept int

	FrameBytesMax    int // of a frame, in both directions; 1 MiB
	InboundBytesMax  int // of requests read but not taken, while a connection has no credit; 4 MiB
	OutboundBytesMax int // of answers that a client does not read; 16 MiB

	FrameTimeout time.Duration // from a frame's first byte to its last; 30 s
	IdleTimeout  time.Duration // without a byte from the client and without a request under way; 0: none

	Log *slog.Logger // slog.Default()
}

const (
	inboundBytesMaxDefault  = 4 << 20
	outboundBytesMaxDefault = 16 << 20
	frameTimeoutDefault     = 30 * time.Second

	separatorBytesMax = 1 << 10 // more than any codec needs behind a frame to know that it ends there
)

// withDefaults returns the configuration with its defaults filled in, or says what is wrong with it.
func (cfg Config) withDefaults() (Config, error) {
	if len(cfg.Addrs) == 0 {
		return cfg, errors.New(`engine: Config.Addrs is needed: where to listen, such as "tcp://127.0.0.1:41969"`)
	}
	if cfg.Open == nil {
		return cfg, errors.New("engine: Config.Open is needed: what receives a connection's requests")
	}
	if cfg.Codec == nil {
		cfg.Codec = codec.Auto{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	for _, s := range []struct {
		name  string
		value *int
		zero  int
	}{
		{"Loops", &cfg.Loops, runtime.GOMAXPROCS(0)},
		{"ConnsMax", &cfg.ConnsMax, 0},
		{"FrameBytesMax", &cfg.FrameBytesMax, codec.FrameBytesMaxDefault},
		{"InboundBytesMax", &cfg.InboundBytesMax, inboundBytesMaxDefault},
		{"OutboundBytesMax", &cfg.OutboundBytesMax, outboundBytesMaxDefault},
	} {
		if *s.value < 0 {
			return cfg, fmt.Errorf("engine: Config.%s must not be negative: %d", s.name, *s.value)
		}
		if *s.value == 0 {
			*s.value = s.zero
		}
	}
	// A connection must be able to hold one whole frame that has not been taken yet, and what a codec has to see behind it.
	cfg.InboundBytesMax = max(cfg.InboundBytesMax, cfg.FrameBytesMax+separatorBytesMax)
	if cfg.FrameTimeout < 0 || cfg.IdleTimeout < 0 {
		return cfg, fmt.Errorf("engine: a time-out must not be negative: FrameTimeout %s, IdleTimeout %s", cfg.FrameTimeout, cfg.IdleTimeout)
	}
	if cfg.FrameTimeout == 0 {
		cfg.FrameTimeout = frameTimeoutDefault
	}
	return cfg, nil
}

// parseAddresses sorts addresses into those of TCP, as host:port, and the paths of Unix sockets.
func parseAddresses(addrs []string) (tcp, paths []string, err error) {
	for _, s := range addrs {
		u, err := url.Parse(s)
		if err != nil {
			return nil, nil, fmt.Errorf("engine: address %q: %w", s, err)
		}
		path, isUnix := strings.CutPrefix(s, "unix://")
		_, _, hostPortErr := net.SplitHostPort(u.Host)
		switch {
		case isUnix && path != "":
			paths = append(paths, path)
		case u.Scheme == "tcp" && hostPortErr == nil && u.Path == "":
			tcp = append(tcp, u.Host)
		default:
			return nil, nil, fmt.Errorf("engine: address %q: want tcp://HOST:PORT or unix:///PATH", s)
		}
	}
	return tcp, paths, nil
}

// descriptorsSpare is how many descriptors stay free under the process's limit: without one, accept fails, and gnet ends
// the whole server. A refused connection uses one until its client has seen why.
const descriptorsSpare = 64

// connsMax returns how many connections the limit of open files has room for, beside what is open already and what the
// event loops will open: for each a poller, an event descriptor and a listener for every address. kept more stay free.
func connsMax(asked, loops, addrs, kept int) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("engine: limit of open files: %w", err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, fmt.Errorf("engine: counting open files: %w", err)
	}
	room := int(min(limit.Cur, 1<<30)) - len(open) - (loops+1)*(2+addrs) - descriptorsSpare - kept
	switch {
	case room < 1:
		return 0, fmt.Errorf("engine: the limit of %d open files leaves no room for connections: raise it (ulimit -n)", limit.Cur)
	case asked > room:
		return 0, fmt.Errorf("engine: %d connections were asked for, but the limit of %d open files has room for %d: raise it (ulimit -n), or ask for fewer", asked, limit.Cur, room)
	case asked > 0:
		return asked, nil
	}
	return room, nil
}
