package client

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/kassa-go/kassa/codec"
)

// Config says where the server is and how to talk to it. A zero field means its default.
type Config struct {
	// Addr is tcp://host:port, unix:///path, or host:port. Required.
	Addr string

	// Codec is what is spoken. Default: codec.JSON{}. Not codec.Auto{}, which can only listen. With codec.Crab{} results are
	// always objects: what is none comes as {"result":…}, and null as {}.
	Codec codec.Codec

	// Conns is the number of connections, 1 to 1,024. Default: 1, which carries hundreds of thousands of requests a
	// second.
	Conns int

	// InFlightMax is how many requests may be under way at the server over one connection; more wait here. A cancelled one
	// counts until the server has answered it. Default: 4,000, just below the server's default credit of 4,096 a connection.
	InFlightMax int

	// WaitingMax is how many requests may wait here, for a place or for a connection to come back; one more is refused
	// (ErrBacklogFull). Each has a goroutine blocked in its call. Default: 65,536.
	WaitingMax int

	// FrameBytesMax is the largest frame sent or taken, in bytes. A larger request is refused here; a larger answer ends
	// the connection, so it must not be below the server's limit. Default: 1 MiB, like the server's.
	FrameBytesMax int

	// ConnectTimeMax bounds one attempt to connect, first answer included. Default: 5 s.
	ConnectTimeMax time.Duration

	// BackoffMin and BackoffMax bound the pause before a lost connection is made anew: the nth in a row is random between
	// 0 and BackoffMin·2ⁿ, at most BackoffMax. An answered request ends the row. Defaults: 50 ms and 5 s.
	BackoffMin, BackoffMax time.Duration

	// OnPush is called for each push, one at a time and in the order of arrival, by a goroutine of the client that does
	// nothing else: it may take its time and make requests, but not call Close. Where it is set, each connection says
	// hello, without which servers push nothing; from the first Acquire on the first connection does anyway.
	OnPush func(Push)

	// OnReconnect is called when a connection that was lost is back, by the goroutine that calls OnPush, and in order with
	// it: after the last push of the old connection, before the first of the new one. It is the place to watch again.
	OnReconnect func()

	// PushesMax is how many pushes wait for OnPush; when there are more, the newest are dropped (Push.Missed). Default:
	// 1,024.
	PushesMax int

	// Name is what the client calls itself in its hello. Default: "kassa-go".
	Name string

	// Log takes lost and regained connections. Default: none.
	Log *slog.Logger

	network, address string // what Addr says, to the net package
}

const connsMax = 1024

// withDefaults returns cfg with all fields set, or what is wrong with it.
func (cfg Config) withDefaults() (Config, error) {
	var err error
	if cfg.network, cfg.address, err = splitAddr(cfg.Addr); err != nil {
		return cfg, err
	}
	if cfg.Codec == nil {
		cfg.Codec = codec.JSON{}
	}
	if _, ok := cfg.Codec.(codec.Detector); ok {
		return cfg, fmt.Errorf("client: Config.Codec is %s, which finds out what a client speaks; choose one to speak (json, crab or binary)", cfg.Codec.Name())
	}
	for _, f := range []struct {
		name          string
		value         *int
		standard, max int
	}{
		{"Conns", &cfg.Conns, 1, connsMax},
		{"InFlightMax", &cfg.InFlightMax, 4000, 1 << 20},
		{"WaitingMax", &cfg.WaitingMax, 1 << 16, 1 << 30},
		{"FrameBytesMax", &cfg.FrameBytesMax, codec.FrameBytesMaxDefault, 1 << 30},
		{"PushesMax", &cfg.PushesMax, 1024, 1 << 24},
	} {
		if *f.value < 0 || *f.value > f.max {
			return cfg, fmt.Errorf("client: Config.%s is %d, not between 1 and %d", f.name, *f.value, f.max)
		}
		if *f.value == 0 {
			*f.value = f.standard
		}
	}
	for _, f := range []struct {
		name     string
		value    *time.Duration
		standard time.Duration
	}{
		{"ConnectTimeMax", &cfg.ConnectTimeMax, 5 * time.Second},
		{"BackoffMin", &cfg.BackoffMin, 50 * time.Millisecond},
		{"BackoffMax", &cfg.BackoffMax, max(5*time.Second, cfg.BackoffMin)},
	} {
		if *f.value < 0 {
			return cfg, fmt.Errorf("client: Config.%s is %v, below zero", f.name, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.standard
		}
	}
	if cfg.BackoffMax < cfg.BackoffMin {
		return cfg, fmt.Errorf("client: Config.BackoffMax is %v, below BackoffMin, %v", cfg.BackoffMax, cfg.BackoffMin)
	}
	if cfg.Name == "" {
		cfg.Name = "kassa-go"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}

// splitAddr returns the network and address that addr means to the net package.
func splitAddr(addr string) (network, address string, err error) {
	if addr == "" {
		return "", "", errors.New("client: Config.Addr is empty: give tcp://host:port, unix:///path or host:port")
	}
	network, address, found := strings.Cut(addr, "://")
	if !found {
		network, address = "tcp", addr
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return "", "", fmt.Errorf("client: Config.Addr %q names no host:port", addr)
		}
	case "unix":
		if address == "" {
			return "", "", fmt.Errorf("client: Config.Addr %q names no path", addr)
		}
	default:
		return "", "", fmt.Errorf("client: Config.Addr %q: unknown network %s (tcp, tcp4, tcp6, unix)", addr, network)
	}
	return network, address, nil
}
