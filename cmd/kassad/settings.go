package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kassa-go/kassa/cmd/internal/environ"
	"github.com/kassa-go/kassa/codec"
)

// settings is what kassad was told. A zero number or time-out means the default of the package it is for.
type settings struct {
	listen []string // addresses; made of the defaults when none was given
	// defaultListen: none was given.
	defaultListen bool
	hint          string // something to tell the operator about the settings; empty: nothing

	codec         codec.Codec
	connsMax      int
	loops         int
	frameBytesMax int
	credit        int
	frameTimeout  time.Duration
	idleTimeout   time.Duration
	drainTimeout  time.Duration

	config     string // the file with the pools; empty: none
	data       string // the directory of the store; empty: there are no pools
	backups    string // the directory that backups are made in; empty: none are made
	eventsKeep time.Duration
	eventsMax  int64 // bytes

	demo     bool
	queueLog time.Duration
	logLevel slog.Level
	logJSON  bool

	envFile string
	example bool
	version bool
}

const (
	drainTimeoutDefault = 10 * time.Second
	eventsKeepDefault   = 24 * time.Hour
	eventsMaxDefault    = 1 << 30
)

// flags returns the flags that set s: those that variables stand for too, and all.
func (s *settings) flags() (settable, all *pflag.FlagSet) {
	*s = settings{codec: codec.Auto{}, drainTimeout: drainTimeoutDefault, eventsKeep: eventsKeepDefault, eventsMax: eventsMaxDefault}
	f := pflag.NewFlagSet("kassad", pflag.ContinueOnError)
	f.SortFlags = false
	f.Func("listen", "`ADDRESS` to listen at: tcp://HOST:PORT or unix:///PATH. Several: separated by commas, or the flag again "+
		"(default tcp://127.0.0.1:41969,tcp://[::1]:41969)", func(value string) error {
		for address := range strings.SplitSeq(value, ",") {
			address = strings.TrimSpace(address)
			if err := checkAddress(address); err != nil {
				return err
			}
			s.listen = append(s.listen, address)
		}
		return nil
	})
	f.Func("codec", "`NAME` of what clients speak: json (lines), crab (as net-socket-connector 1.x), binary, or auto: each "+
		"client what it begins with (default auto)", func(name string) error {
		if s.codec = codec.ByName(name); s.codec == nil {
			return errors.New("want auto, json, crab or binary")
		}
		return nil
	})
	f.Func("conns-max", "hold `N` connections at most, refuse more (default: what the limit of open files has room for)", count(&s.connsMax))
	f.Func("loops", "`N` event loops (default: one a core; with pools one for two)", count(&s.loops))
	f.Func("frame-bytes-max", "a request or answer has `N` bytes at most (default "+strconv.Itoa(codec.FrameBytesMaxDefault)+")", count(&s.frameBytesMax))
	f.Func("frame-timeout", "close a connection that takes longer than `TIME` for a request, from the first byte to the last (default 30s)", period(&s.frameTimeout))
	f.Func("idle-timeout", "close a connection that was silent for `TIME` and waits for nothing (default 0: never)", period(&s.idleTimeout))
	f.Func("drain-timeout", "on SIGTERM, answer what is queued or in work for `TIME` at most (default "+drainTimeoutDefault.String()+")", period(&s.drainTimeout))
	f.Func("credit", "one connection may have `N` requests queued or in work (default 4096)", count(&s.credit))
	f.StringVar(&s.config, "config", "", "serve the pools in `FILE`; kassad --example prints one to begin with")
	f.StringVar(&s.data, "data", "", "keep the pools in directory `DIR`, which is made if need be; without --config the pools there are served, with no own names of verbs, holdAndWait: allow, and the defaults of grace and keyRetention")
	f.StringVar(&s.backups, "backups", "", "make backups of the pools in directory `DIR` when a client asks for one, as kassa backup does (default: refuse to)")
	f.Func("events-keep", "keep the pools' events for `TIME`, for watch and audit (default 24h)", period(&s.eventsKeep))
	f.Int64Var(&s.eventsMax, "events-bytes-max", eventsMaxDefault, "but no more than `BYTES` of them")
	f.BoolVar(&s.demo, "demo", false, "serve types to try things with: echo, cntResponse, getIp")
	f.Func("queue-log", "log the lengths of the queues every `TIME`, such as 4s (default 0: never)", period(&s.queueLog))
	f.Func("log-level", "log from `LEVEL` on: debug (each station of each request), info, warn, error (default info)", func(value string) error {
		return s.logLevel.UnmarshalText([]byte(value))
	})
	f.Func("log-format", "`FORMAT` of the log, which goes to standard error: text or json (default text)", func(value string) error {
		s.logJSON = value == "json"
		if value != "json" && value != "text" {
			return errors.New("want text or json")
		}
		return nil
	})

	all = pflag.NewFlagSet("kassad", pflag.ContinueOnError)
	all.SortFlags = false
	all.Usage = func() {} // run prints it
	all.AddFlagSet(f)
	all.StringVar(&s.envFile, "env-file", "", "read variables from `FILE` (default "+environ.FileDefault+", if it is there)")
	all.BoolVar(&s.example, "example", false, "print a configuration of pools to begin with")
	all.BoolVar(&s.version, "version", false, "print the version")
	all.BoolP("help", "h", false, "print this")
	return f, all
}

// count returns what sets a number that has no sign.
func count(to *int) func(string) error {
	return func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return errors.New("want a whole number, 0 or more")
		}
		*to = n
		return nil
	}
}

// period returns what sets a length of time.
func period(to *time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return errors.New("want a length of time, such as 500ms, 10s or 1m30s")
		}
		*to = d
		return nil
	}
}

// readSettings takes a setting from the flags, else from the environment, else from the .env file, else its default. It
// returns pflag.ErrHelp when help is wanted.
func readSettings(args, environment []string) (settings, error) {
	var s settings
	settable, all := s.flags()
	if err := all.Parse(args); err != nil {
		return s, err
	}
	if wanted, err := all.GetBool("help"); wanted || err != nil {
		return s, errors.Join(err, pflag.ErrHelp)
	}
	if all.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", all.Arg(0))
	}
	if s.version || s.example {
		return s, nil
	}
	env, err := environ.Load(environment, s.envFile)
	if err != nil {
		return s, err
	}
	if err := env.Fill(settable); err != nil {
		return s, err
	}
	switch {
	case s.config != "" && s.data == "":
		return s, errors.New("--config needs --data DIR: the directory where the pools are kept")
	case s.backups != "" && s.data == "":
		return s, errors.New("--backups needs --data DIR: the directory where the pools are kept")
	case s.backups != "" && filepath.Clean(s.backups) == filepath.Clean(s.data):
		return s, errors.New("--backups and --data name the same directory: backups need one of their own")
	case s.eventsMax < 0:
		return s, fmt.Errorf("--events-bytes-max is %d: want 0 or more", s.eventsMax)
	}
	if len(s.listen) == 0 {
		port, _, err := env.Port()
		if err != nil {
			return s, err
		}
		s.defaultListen = true
		s.listen = []string{fmt.Sprintf("tcp://127.0.0.1:%d", port), fmt.Sprintf("tcp://[::1]:%d", port)}
		if host := env.Host(); host.Value != "" && !isLoopback(host.Value) {
			s.hint = fmt.Sprintf("%s (%s) tells clients where the server is, not the server where to listen: it listens on this machine's loopback only; "+
				"to change that, use --listen", host.Origin, host.Value)
		}
	}
	return s, nil
}

const helpWidth = 120 // of the list of flags, in columns

// help is what --help prints.
func help() string {
	_, all := new(settings).flags()
	return `Usage: kassad [flags]

Kassad takes requests over TCP and Unix sockets and serves those of each type one at a time. It has no TLS and asks nobody
who he is, so unless it is told otherwise it listens on the loopback addresses of its machine only.

Flags:
` + all.FlagUsagesWrapped(helpWidth) + `
Each flag but the last three can be set by a variable too, in the environment or in the .env file: KASSA_LISTEN for
--listen, KASSA_QUEUE_LOG for --queue-log. A flag goes before the environment, that before the file. KASSA_ENV_FILE names
the file. SOCKET_PORT, or else PORT, changes the port of the default addresses. SOCKET_HOST and HOST are for clients.

Signals:
  TERM, INT   end: refuse new requests, answer what was taken, within --drain-timeout; a second one ends at once
  USR1        switch debug logs, the stations of each request among them, on and off
  USR2        log what has been served and what is queued

Exit codes: 0 ended as told, 1 failed, 2 wrong flags or variables, 130 or 143 ended by a second INT or TERM.

Examples:
  kassad --demo
  kassad --listen tcp://127.0.0.1:5000,unix:///run/kassa.sock --codec binary
  kassad --queue-log 4s --log-format json
`
}
