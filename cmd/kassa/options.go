package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kassa-go/kassa/cmd/internal/environ"
	"github.com/kassa-go/kassa/codec"
)

// options is what kassa was told.
type options struct {
	args []string // the command and its arguments
	dash int      // how many of them stood before --; -1: there was none

	environment []string

	addr       string
	addrOrigin string // where addr was found, for error texts
	codec      codec.Codec
	codecGiven bool          // not by the environment, which goes on to lease run's command
	timeout    time.Duration // for connecting, and for each request; 0: none
	// timeoutGiven: it is not the default.
	timeoutGiven bool
	key          string
	count        int // 0: not given

	lease   leaseFlags
	holdOf  holdFlags
	times   slotFlags
	runOf   runFlags
	all     bool
	watchOf watchFlags
	demoOf  demoFlags
	pool    string
	given   []string // names of the flags given that are for some commands only

	envFile string
	version bool
}

const timeoutDefault = 30 * time.Second

// flags returns the flags that set o: those that variables stand for too, and all.
func (o *options) flags() (settable, all *pflag.FlagSet) {
	*o = options{codec: codec.JSON{}}
	f := pflag.NewFlagSet("kassa", pflag.ContinueOnError)
	f.SortFlags = false
	f.StringVar(&o.addr, "addr", "", "`ADDRESS` of the server: tcp://HOST:PORT or unix:///PATH (default tcp://127.0.0.1:"+strconv.Itoa(environ.PortDefault)+")")
	f.Func("codec", "`NAME` of what to speak with the server: json, crab or binary; auto, which servers can be set to, is json here (default json)", func(name string) error {
		switch c := codec.ByName(name).(type) {
		case nil:
			return errors.New("want json, crab or binary")
		case codec.Detector:
			o.codec = codec.JSON{}
		default:
			o.codec = c
		}
		return nil
	})
	f.DurationVar(&o.timeout, "timeout", timeoutDefault, "`TIME` to wait for the connection, and for each answer; after it the server begins no request; 0: for ever")

	all = pflag.NewFlagSet("kassa", pflag.ContinueOnError)
	all.SortFlags = false
	all.Usage = func() {} // run prints it
	all.AddFlagSet(f)
	all.StringVar(&o.key, "key", "", "idempotency `KEY` of one request that changes something: asking again with the same one and the same arguments gives the first outcome again")
	all.IntVarP(&o.count, "count", "n", 0, "`COUNT` of pings, of items to acquire, of seats or units to hold, or of a capacity to book (default 1)")
	all.StringSliceVar(&o.lease.sel, "select", nil, "`LABEL=VALUE,...` that the items or seats have; of values for the same label any will do")
	all.StringSliceVar(&o.lease.ids, "ids", nil, "`ID,...` of the items to acquire")
	all.DurationVar(&o.lease.ttl, "ttl", 0, "`TIME` until the lease or hold ends (default: the pool's, or as granted)")
	all.DurationVar(&o.lease.wait, "wait", 0, "`TIME` to wait until there are items or seats, on top of --timeout (default: not at all)")
	all.StringVar(&o.lease.owner, "owner", "", "`NAME` that the lease, hold or booking is shown with")
	all.IntVar(&o.lease.priority, "priority", 0, "`NUMBER`, higher ones are served first")
	all.StringVar(&o.lease.strategy, "strategy", "", "`NAME` of how items are chosen: first, lru or random (default: the pool's)")
	all.StringVar(&o.lease.outcome, "outcome", "", "`OUTCOME` of the work with the items: clean, dirty or broken (default clean)")
	all.StringVar(&o.runOf.onFailure, "on-failure", "", "`OUTCOME` when the command fails, ended by a signal or otherwise: clean, dirty or broken (default clean)")
	all.DurationVar(&o.runOf.killAfter, "kill-after", killAfterDefault, "`TIME` that the command has to end when the lease is lost")
	all.BoolVar(&o.all, "all", false, "drain all items of the pool; or list all sales of the demo")
	all.IntVar(&o.holdOf.best, "best", 0, "`COUNT` of seats to hold side by side, the best there are")
	all.BoolVar(&o.holdOf.split, "split", false, "where so many are nowhere side by side, take the best in as few groups as can be")
	all.BoolVar(&o.holdOf.withhold, "withhold", false, "withhold from sale what is refunded")
	all.StringVar(&o.times.start, "start", "", "`WHEN` what is booked begins; of slot move: when it is to begin")
	all.StringVar(&o.times.end, "end", "", "`WHEN` it ends; with no day, on that of --start")
	all.DurationVar(&o.times.length, "for", 0, "`TIME` that it is booked for, in the place of --end; or that it is to be free for, at least")
	all.StringVar(&o.times.from, "from", "", "`WHEN` what is printed begins (default now)")
	all.StringVar(&o.times.to, "to", "", "`WHEN` it ends; with no day, on that of --from (default: the end of that day)")
	all.StringVar(&o.times.day, "day", "", "`DAY` to print, such as 2026-11-21, today or tomorrow (default today)")
	all.StringVar(&o.times.at, "at", "", "`WHEN` the one of several times begins that is meant (default: all of them)")
	all.BoolVar(&o.times.following, "following", false, "with --at: and all that follow it")
	all.StringVar(&o.times.item, "item", "", "`ITEM` to move the booking to")
	all.StringVar(&o.times.zone, "zone", "", "`NAME` of the time zone of WHEN and of what is printed, such as Europe/Berlin (default: the pool's)")
	all.StringVar(&o.times.rrule, "rrule", "", "`RULE` by which it is booked again and again, as RFC 5545 has them: FREQ=WEEKLY;COUNT=10")
	all.StringVar(&o.times.onConflict, "on-conflict", "", "`NAME` of what to do when some of the times are not free: fail; skip these; or report them, and book nothing (default fail)")
	all.Uint64Var(&o.watchOf.fromRev, "from-rev", 0, "`REV` of the first event to print (default: the next for watch, the first that is kept for journal dump)")
	all.StringSliceVar(&o.watchOf.types, "types", nil, "`TYPE,...` of the events to print, such as lease.granted (default all)")
	all.StringVar(&o.pool, "pool", "", "`POOL` of the events to print (default all), or of the demo (default "+demoPool+")")
	all.IntVar(&o.demoOf.clients, "clients", demoClients, "`COUNT` of the demo's clients, each with a connection")
	all.DurationVar(&o.demoOf.duration, "duration", demoDuration, "`TIME` after which nobody asks for seats again in the demo")
	all.Uint64Var(&o.demoOf.seed, "seed", 0, "`NUMBER` that what the demo's clients do follows from (default: any; it is printed)")
	all.DurationVar(&o.demoOf.patience, "patience", demoPatience, "`TIME` that the demo waits for a server that is gone to come back")
	all.BoolVar(&o.demoOf.reset, "reset", false, "refund what earlier demos have bought, and then begin")
	all.BoolVar(&o.demoOf.json, "json", false, "print what the demo has come to in JSON")
	all.StringVar(&o.envFile, "env-file", "", "read variables from `FILE` (default "+environ.FileDefault+", if it is there)")
	all.BoolVar(&o.version, "version", false, "print the version")
	all.BoolP("help", "h", false, "print this")
	return f, all
}

// readOptions takes an option from the flags, else from the environment, else from the .env file, else its default. It
// returns pflag.ErrHelp when help is wanted.
func readOptions(args, environment []string) (options, error) {
	var o options
	settable, all := o.flags()
	err := all.Parse(args)
	o.args, o.dash, o.environment = all.Args(), all.ArgsLenAtDash(), environment
	if err != nil {
		return o, flagError(err)
	}
	all.Visit(func(f *pflag.Flag) {
		if f.Name != "env-file" && settable.Lookup(f.Name) == nil {
			o.given = append(o.given, f.Name)
		}
	})
	if wanted, err := all.GetBool("help"); err != nil || wanted || len(o.args) > 0 && o.args[0] == "help" {
		return o, errors.Join(err, pflag.ErrHelp)
	}
	if o.version {
		return o, nil
	}
	o.addrOrigin = "--addr"
	env, err := environ.Load(environment, o.envFile)
	if err == nil && o.addr == "" {
		o.addr, o.addrOrigin, err = serverAddress(env)
	}
	if err == nil {
		err = checkAddress(o.addr, o.addrOrigin)
	}
	if err == nil {
		err = env.Fill(settable)
		codecName := environ.Name("codec")
		o.codecGiven = all.Changed("codec") || !slices.Contains([]string{"", codecName}, env.Lookup(codecName).Origin)
		o.timeoutGiven = all.Changed("timeout") || env.Lookup(environ.Name("timeout")).Value != ""
	}
	switch {
	case err != nil:
		return o, usagef("%v", err)
	case o.timeout < 0:
		return o, usagef("--timeout is %v, below zero", o.timeout)
	case all.Changed("count") && o.count < 1:
		return o, usagef("-n is %d, below one", o.count)
	}
	return o, nil
}

// flagError says what is wrong with the flags.
func flagError(err error) error {
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		flag := bad.GetFlag()
		if want := map[string]string{
			"duration": lengthFormats, "int": "want a whole number", "uint64": "want a whole number, not below zero",
		}[flag.Value.Type()]; want != "" {
			return usagef("%s is %.64q: %s", flagName(flag.Name), bad.GetValue(), want)
		}
	}
	return usagef("%v (kassa --help lists the flags; an argument that begins with - goes behind --)", err)
}

// serverAddress returns where variables say the server is, and which of them.
func serverAddress(env *environ.Environ) (addr, origin string, err error) {
	if s := env.Lookup(environ.Name("addr")); s.Value != "" {
		return s.Value, s.Origin, nil
	}
	port, portSetting, err := env.Port()
	if err != nil {
		return "", "", err
	}
	hostSetting := env.Host()
	host := hostSetting.Value
	if host == "" {
		host = "127.0.0.1"
	}
	var origins []string
	for _, s := range []environ.Setting{hostSetting, portSetting} {
		if s.Origin != "" {
			origins = append(origins, s.Origin)
		}
	}
	return "tcp://" + net.JoinHostPort(host, strconv.Itoa(port)), strings.Join(origins, ", "), nil
}

// checkAddress says what is wrong with an address that came from origin.
func checkAddress(addr, origin string) error {
	network, rest, found := strings.Cut(addr, "://")
	if !found {
		network, rest = "tcp", addr
	}
	if network == "unix" && rest != "" {
		return nil
	}
	if _, port, err := net.SplitHostPort(rest); network == "tcp" && err == nil && port != "" {
		return nil
	}
	return fmt.Errorf("%s is %q: want tcp://HOST:PORT or unix:///PATH", origin, addr)
}

const helpWidth = 120 // of the list of flags, in columns

// help is what --help prints.
func help() string {
	_, all := new(options).flags()
	return `Usage: kassa [flags] request TYPE [PAYLOAD|-]
       kassa [flags] send TYPE [PAYLOAD|-]
       kassa [flags] ping [-n COUNT]
       kassa [flags] lease acquire POOL [-n COUNT] [--select LABEL=VALUE,...] [--ids ID,...] [--ttl TIME] [--wait TIME]
                     [--owner NAME] [--priority NUMBER] [--strategy NAME]
       kassa [flags] lease run POOL [flags of lease acquire] [--on-failure OUTCOME] [--kill-after TIME]
                     -- COMMAND [ARG...]
       kassa [flags] lease renew LEASE TOKEN [--ttl TIME]
       kassa [flags] lease release LEASE TOKEN [--outcome OUTCOME]
       kassa [flags] pool ls [POOL]
       kassa [flags] pool stats POOL
       kassa [flags] pool fill POOL ID...|-
       kassa [flags] pool drain POOL ID...|--all
       kassa [flags] hold create POOL [SEAT...|SEAT=QTY] [-n COUNT | --best COUNT [--split]] [--select LABEL=VALUE,...]
                     [--ttl TIME] [--wait TIME] [--owner NAME] [--priority NUMBER]
       kassa [flags] hold extend HOLD TOKEN [--ttl TIME]
       kassa [flags] hold confirm|void HOLD TOKEN [SEAT|SEAT=QTY...]
       kassa [flags] hold map POOL
       kassa [flags] sale refund SALE TOKEN [SEAT|SEAT=QTY...] [--withhold]
       kassa [flags] book POOL [ITEM...] --start WHEN --end WHEN|--for TIME [--zone NAME] [--rrule RULE]
                     [--on-conflict fail|skip|report] [-n COUNT] [--select LABEL=VALUE,...] [--owner NAME]
       kassa [flags] slot find POOL [ITEM...] --for TIME [--from WHEN] [--to WHEN] [--zone NAME] [-n COUNT]
                     [--select LABEL=VALUE,...]
       kassa [flags] slot ls POOL [ITEM...] [--day DAY | --from WHEN --to WHEN] [--zone NAME] [--select LABEL=VALUE,...]
       kassa [flags] slot day POOL [--day DAY] [--zone NAME]
       kassa [flags] slot move BOOKING TOKEN [--at WHEN [--following]] [--start WHEN] [--end WHEN] [--item ITEM] [--zone NAME]
       kassa [flags] slot cancel BOOKING TOKEN [--at WHEN [--following]] [--zone NAME]
       kassa [flags] watch [POOL...] [--from-rev REV] [--types TYPE,...]
       kassa [flags] explain WAIT
       kassa [flags] demo [--clients COUNT] [--pool POOL] [--duration TIME] [--seed NUMBER] [--patience TIME] [--reset]
                     [--all] [--json]
       kassa [flags] backup [NAME]
       kassa journal verify DIR
       kassa journal dump DIR [--from-rev REV] [--pool POOL] [--types TYPE,...]
       kassa bench [flags of bench]

request  asks for TYPE and prints the result, JSON on one line (over several on a terminal)
send     asks for TYPE one way: the server answers nothing, not even that it failed, and drops it if it has not begun it
         when kassa leaves, which is once the server has read it
ping     prints the server's answer and how long it took, in milliseconds, {"pong":0,"ms":0.21}

lease acquire  prints the lease, with the LEASE and TOKEN that lease renew and lease release take; the lease goes on when
               kassa has left
lease run      runs COMMAND while it holds a lease that it renews; see below
pool ls        prints the pools, or the items of one: a table on a terminal, else JSON, one on a line
pool stats     prints the numbers of a pool
pool fill      puts items in a pool; with - they are read from standard input, in JSON: "ID", or
               {"id":"ID","labels":{...},"attrs":...}, for seats with "row", "column" and "quantity" if need be, for what
               is booked with "quantity", which is its capacity
pool drain     takes items out of a pool; those that are leased leave when they come back

hold create    holds seats until they are confirmed or the hold ends: those named; any COUNT; or the best COUNT side by
               side. Of a seat that has a quantity, so many are held: kassa hold create cinema floor=3
hold extend    has the hold end later
hold confirm   sells what is held, or the seats named, of a quantity so many: floor=2. The others come back
hold void      gives it back, or the seats named
hold map       draws the seats on a terminal, else prints them in JSON as pool ls does
sale refund    takes back what was sold, or the seats named
book           books ITEMs of a calendar, all of them, or one that is free
slot find      prints when ITEMs are free, or all: each time as long as can be
slot ls        prints what is booked of them, or held
slot day       draws the day on a terminal, a line a room, else prints what is booked in JSON as slot ls does
slot move      moves a booking to another time, to another item, or both: all of it, or with --at one of its times
slot cancel    cancels it, or with --at one of its times

watch          prints events as they happen, a line each, until it is interrupted; it connects again when it must
explain        says what a wait is waiting for; WAIT is from an event

demo  has many clients storm the seats of a pool, shows it, and proves at the end, from the server's log, that each seat
      was sold once; it ends with 1 if not, or if a client met what it should not. When the server goes, the demo waits for
      it, and goes on: try kill -9

backup          has the server make a backup, in the directory that kassad was given as --backups, and read it back; kassad
                --data takes a copy of it. NAME is the time unless it is given. However long it takes, it is awaited,
                unless --timeout is given
journal verify  reads all that is in the store in DIR, and prints what is there: a backup, or what kassad was given as
                --data, once it has ended
journal dump    prints the events that are there, in JSON, as watch does

bench  measures kassa beside other servers, in kassa's source, on Linux: kassa bench --help tells more

lease run takes the lease, runs COMMAND, and gives the lease back when COMMAND has ended. COMMAND has kassa's standard
input and output, and besides kassa's variables
  KASSA_ITEM        the ID of the item, of several the first one's
  KASSA_ITEMS       all IDs, with spaces between them
  KASSA_ITEMS_JSON  [{"pool":"POOL","id":"ID","labels":{...},"attrs":...},...]
  KASSA_LEASE       the lease's number
  KASSA_TOKEN       its token, for what can refuse those who come late
  KASSA_ADDR        the server's address, so that kassa goes to the same one; KASSA_CODEC too, when --codec says it
INT, TERM, HUP, QUIT, USR1 and USR2 are passed on to it. When the lease is lost it is sent TERM, and after --kill-after
KILL. On Linux, when kassa has no terminal, signals go to all of COMMAND's process group, else to COMMAND alone; and when
kassa is killed, COMMAND is sent TERM. The exit code is COMMAND's, or 128 and the number of the signal that ended it, or
kassa while it was waiting; 124 when the lease was lost, 125 when there was none and COMMAND was not started, 126 when
COMMAND could not be run, 127 when there is no such command.

On a terminal the results of the commands from pool ls to explain are written for people, with times by this machine's
clock, or those of calendars by the clocks of their zone. Else all results are JSON, one on a line, with times in
milliseconds since 1970.

WHEN is 2026-11-21T10:00, by the clocks of the pool's zone or that of --zone; 10:00, which is today there; 2026-11-21, today
or tomorrow, which is the first moment of the day; 2026-11-21T10:00+01:00; milliseconds since 1970, as they stand in JSON; or
now. For slot move and cancel it is written with its date, unless there is --zone.

TIME is a length of time, such as 500ms, 90s, 30m, 1h30m or 2h.

An ID that itself ends with = and a number is for kassa request. There are colours on a terminal, unless NO_COLOR is set.

PAYLOAD is JSON. With - it is read from standard input, or when there is none and standard input is a pipe or a file. That
may hold several values: each is a request of its own, sent when the one before it was answered; a failure ends that.

Flags:
` + all.FlagUsagesWrapped(helpWidth) + `
The server's address is --addr, else KASSA_ADDR, else made of SOCKET_HOST and SOCKET_PORT, or of HOST and PORT, each taken
from the environment, else from the .env file. KASSA_CODEC and KASSA_TIMEOUT stand for flags too.

Exit codes, but for lease run: 0 done, 1 the server's error, no answer in time or a store that can not be read, 2 wrong
arguments, or a payload that is not JSON, 3 no connection to the server.

Examples:
  kassa ping -n 3
  kassa request echo '{"a":1}'
  kassa request stats | jq .types
  seq 1 5 | kassa request echo -
  kassa lease acquire proxies --select country=de,country=at --ttl 5m --wait 10s
  kassa lease run proxies --wait 1m -- sh -c 'curl --proxy "$KASSA_ITEM" https://example.org'
  seq -f '"p%g"' 1 5000 | kassa pool fill proxies -
  kassa hold create cinema --best 3 --owner anna --ttl 5m
  kassa hold confirm 304 304
  kassa book rooms room-2 --start 10:00 --for 90m --owner anna
  kassa book rooms --select beamer=true --start 2026-11-23T09:00 --end 10:00 --rrule 'FREQ=WEEKLY;COUNT=10' --on-conflict skip
  kassa slot day rooms --day 2026-11-23
  kassa watch proxies --types lease.granted,lease.released
  kassa demo --clients 500 --reset
  kassa bench --quick
  kassa backup && kassa journal verify /var/backups/kassa/20261121T151254.123Z
  kassa --addr unix:///run/kassa.sock --codec binary --timeout 5s request cntResponse
`
}
