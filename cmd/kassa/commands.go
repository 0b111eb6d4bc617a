package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
)

// execute does what o.args say.
func (o *options) execute(ctx context.Context, t terminal) error {
	if len(o.args) == 0 {
		return usagef("a command is needed: %s or %s (kassa --help tells more)", strings.Join(commands[:len(commands)-1], ", "), commands[len(commands)-1])
	}
	command, args := o.args[0], o.args[1:]
	if verbsOf(command) != nil {
		if len(args) == 0 {
			return usagef("%s needs to be told what to do: kassa %s %s (kassa --help tells more)", command, command, strings.Join(verbsOf(command), "|"))
		}
		command, args = command+" "+args[0], args[1:]
	}
	v, ok := verbs[command]
	switch {
	case !ok:
		return noCommand(command)
	case len(args) < v.argsMin || v.argsMax >= 0 && len(args) > v.argsMax:
		return usagef("%s: kassa %s", v.wrongArgs(command, len(args)), strings.TrimSpace(command+" "+v.args))
	case v.typed && len(args[0]) > codec.TypeBytesMax:
		return usagef("the type has %d bytes, %d at most are allowed", len(args[0]), codec.TypeBytesMax)
	case slices.Contains(args[:v.argsMin], ""):
		return usagef("%s is empty: kassa %s %s", v.argName(slices.Index(args, "")), command, v.args)
	case len(o.key) > codec.KeyBytesMax:
		return usagef("the key has %d bytes, %d at most are allowed", len(o.key), codec.KeyBytesMax)
	}
	for _, flag := range o.given {
		if !slices.Contains(strings.Fields(v.flags), flag) {
			return usagef("%s is not for %s, only for %s", flagName(flag), command, strings.Join(verbsWith(flag), ", "))
		}
	}
	return v.run(o, ctx, t, args)
}

// noCommand says that there is no such command, of one word or of two.
func noCommand(command string) error {
	if noun, _, ok := strings.Cut(command, " "); ok {
		return usagef("there is no command %q, only %s %s", command, noun, strings.Join(verbsOf(noun), ", "))
	}
	last := len(commands) - 1
	return usagef("there is no command %q, only %s and %s", command, strings.Join(commands[:last], ", "), commands[last])
}

// commands are the first words of all verbs, in the order in which --help lists them.
var commands = []string{"request", "send", "ping", "lease", "pool", "hold", "sale", "book", "slot", "watch", "explain", "demo", "backup", "journal", "bench"}

// verb is what the program can do.
type verb struct {
	args             string // as --help shows them
	argsMin, argsMax int    // below 0: any number
	typed            bool   // the first of them is the type of a request
	flags            string // those that are for it, besides those that are for all
	run              func(*options, context.Context, terminal, []string) error
}

// verbs are all of them, by name.
var verbs = map[string]verb{
	"request": {"TYPE [PAYLOAD|-]", 1, 2, true, "key", (*options).request},
	"send":    {"TYPE [PAYLOAD|-]", 1, 2, true, "key", (*options).send},
	"ping":    {"", 0, 0, false, "count", (*options).ping},

	"lease acquire": {"POOL", 1, 1, false, "key count select ids ttl wait owner priority strategy", (*options).leaseAcquire},
	"lease run": {
		"POOL -- COMMAND [ARG...]", 2, -1, false, "count select ids ttl wait owner priority strategy on-failure kill-after", (*options).leaseRun,
	},
	"lease renew":   {"LEASE TOKEN", 2, 2, false, "key ttl", (*options).leaseRenew},
	"lease release": {"LEASE TOKEN", 2, 2, false, "key outcome", (*options).leaseRelease},

	"pool ls":    {"[POOL]", 0, 1, false, "", (*options).poolList},
	"pool stats": {"POOL", 1, 1, false, "", (*options).poolStats},
	"pool fill":  {"POOL ID...|-", 2, -1, false, "key", (*options).poolFill},
	"pool drain": {"POOL ID...|--all", 1, -1, false, "key all", (*options).poolDrain},

	"hold create":  {"POOL [SEAT...|SEAT=QTY]", 1, -1, false, "key count best split select ttl wait owner priority", (*options).holdCreate},
	"hold extend":  {"HOLD TOKEN", 2, 2, false, "key ttl", (*options).holdExtend},
	"hold confirm": {"HOLD TOKEN [SEAT|SEAT=QTY...]", 2, -1, false, "key", (*options).holdConfirm},
	"hold void":    {"HOLD TOKEN [SEAT|SEAT=QTY...]", 2, -1, false, "key", (*options).holdVoid},
	"hold map":     {"POOL", 1, 1, false, "", (*options).holdMap},
	"sale refund":  {"SALE TOKEN [SEAT|SEAT=QTY...]", 2, -1, false, "key withhold", (*options).saleRefund},

	"book": {
		"POOL [ITEM...]", 1, -1, false, "key count select owner start end for zone rrule on-conflict", (*options).book,
	},
	"slot find":   {"POOL [ITEM...]", 1, -1, false, "count select from to for zone", (*options).slotFind},
	"slot ls":     {"POOL [ITEM...]", 1, -1, false, "select day from to zone", (*options).slotList},
	"slot day":    {"POOL", 1, 1, false, "day zone", (*options).slotDay},
	"slot move":   {"BOOKING TOKEN", 2, 2, false, "key at following start end item zone", (*options).slotMove},
	"slot cancel": {"BOOKING TOKEN", 2, 2, false, "key at following zone", (*options).slotCancel},

	"watch":   {"[POOL...]", 0, -1, false, "from-rev types", (*options).watch},
	"explain": {"WAIT", 1, 1, false, "", (*options).explainWait},
	"demo":    {"", 0, 0, false, "pool clients duration seed patience reset all json", (*options).demo},

	"backup":         {"[NAME]", 0, 1, false, "", (*options).backup},
	"journal verify": {"DIR", 1, 1, false, "", (*options).journalVerify},
	"journal dump":   {"DIR", 1, 1, false, "from-rev pool types", (*options).journalDump},

	"bench": {"[ARG...]", 0, -1, false, "", (*options).bench},
}

// wrongArgs says what is wrong with n arguments.
func (v verb) wrongArgs(command string, n int) string {
	switch {
	case v.argsMax == 0:
		return command + " takes no arguments"
	case v.typed && n == 0:
		return command + " needs a type"
	case v.typed:
		return command + " takes a type and one payload, in quotes if it has spaces"
	case n < v.argsMin:
		return command + " needs " + v.argName(n)
	default:
		return command + " takes no more than " + v.args
	}
}

// argName returns the name of an argument.
func (v verb) argName(i int) string {
	if v.typed {
		return "the type"
	}
	return strings.Fields(strings.ReplaceAll(v.args, "-- ", ""))[i]
}

// verbsOf returns what can be done to a noun.
func verbsOf(noun string) []string {
	var names []string
	for name := range verbs {
		if rest, ok := strings.CutPrefix(name, noun+" "); ok {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return names
}

// verbsWith returns what a flag is for.
func verbsWith(flag string) []string {
	var names []string
	for name, v := range verbs {
		if slices.Contains(strings.Fields(v.flags), flag) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func flagName(flag string) string {
	if flag == "count" {
		return "-n"
	}
	return "--" + flag
}

func (o *options) request(ctx context.Context, t terminal, args []string) error {
	return o.ask(ctx, t, client.Request{Type: args[0], Key: o.key}, args[1:])
}

func (o *options) send(ctx context.Context, t terminal, args []string) error {
	return o.ask(ctx, t, client.Request{Type: args[0], Key: o.key, OneWay: true}, args[1:])
}

// askFor makes one request, and prints the result.
func (o *options) askFor(ctx context.Context, t terminal, typ string, payload any) error {
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return o.askOnce(ctx, t, c, client.Request{Type: typ, Payload: payload, Key: o.key})
}

// get makes one request, and decodes the result.
func (o *options) get(ctx context.Context, c *client.Client, typ string, payload, result any) error {
	return o.do(ctx, c, client.Request{Type: typ, Payload: payload, Key: o.key}, result)
}

func (o *options) do(ctx context.Context, c *client.Client, req client.Request, result any) error {
	ctx, cancel := o.withTimeout(ctx)
	defer cancel()
	rep, err := c.Do(ctx, req)
	if err != nil {
		return o.explain(err)
	}
	return rep.Decode(result)
}

// number returns an argument that is a number the server gave.
func number(name, arg string) (uint64, error) {
	n, err := strconv.ParseUint(arg, 10, 64)
	if err != nil || n == 0 {
		return 0, usagef("%s is %q: want the number that the server gave", name, arg)
	}
	return n, nil
}

// ask makes a request like req for each payload.
func (o *options) ask(ctx context.Context, t terminal, req client.Request, args []string) error {
	var c *client.Client // made when there is something to send
	n := 0
	for payload, err := range t.payloads(args) {
		if err == nil && c == nil {
			if c, err = o.dial(ctx); err == nil {
				defer c.Close()
			}
		}
		if err == nil && n > 0 && o.key != "" {
			err = usagef("--key is for one request, but standard input holds several payloads")
		}
		if err == nil {
			if payload != nil {
				req.Payload = payload
			}
			err = o.askOnce(ctx, t, c, req)
		}
		if err != nil {
			if n > 0 {
				return fmt.Errorf("payload %d: %w", n+1, err)
			}
			return err
		}
		n++
	}
	return nil
}

// askOnce makes one request, and prints the result.
func (o *options) askOnce(ctx context.Context, t terminal, c *client.Client, req client.Request) error {
	ctx, cancel := o.withTimeout(ctx)
	defer cancel()
	rep, err := c.Do(ctx, req)
	if err == nil && req.OneWay {
		// The server drops what it has not seen when the connection ends; what it has answered, it has seen.
		err = c.Request(ctx, "ping", nil, nil)
	}
	if err != nil {
		return o.explain(err)
	}
	if req.OneWay {
		return nil
	}
	return t.print(rep)
}

// print prints a result.
func (t terminal) print(rep client.Response) error {
	result := rep.Payload
	switch {
	case rep.Opaque: // as the JSON codecs carry bytes
		var err error
		if result, err = json.Marshal(result); err != nil {
			return err
		}
	case result == nil:
		result = []byte("null")
	}
	var out bytes.Buffer
	var err error
	if t.interactive() {
		err = json.Indent(&out, result, "", "  ")
	} else {
		err = json.Compact(&out, result)
	}
	if err != nil {
		return fmt.Errorf("the server's answer is not JSON: %w", err)
	}
	out.WriteByte('\n')
	_, err = io.Copy(t.stdout, &out)
	return err
}

// ping asks for pongs, and prints each with the time it took.
func (o *options) ping(ctx context.Context, t terminal, _ []string) error {
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for range max(1, o.count) {
		if err := o.pingOnce(ctx, t, c); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) pingOnce(ctx context.Context, t terminal, c *client.Client) error {
	ctx, cancel := o.withTimeout(ctx)
	defer cancel()
	began := time.Now()
	rep, err := c.Do(ctx, client.Request{Type: "ping"})
	took := time.Since(began)
	if err != nil {
		return o.explain(err)
	}
	var result struct {
		Pong uint64      `json:"pong"`
		Ms   json.Number `json:"ms"`
	}
	if err := rep.Decode(&result); err != nil {
		return err
	}
	result.Ms = json.Number(strconv.FormatFloat(float64(took)/float64(time.Millisecond), 'f', 3, 64))
	return json.NewEncoder(t.stdout).Encode(result)
}

// dial connects to the server.
func (o *options) dial(ctx context.Context) (*client.Client, error) {
	return o.dialWith(ctx, client.Config{})
}

// dialWith does so with a configuration that says more than where the server is.
func (o *options) dialWith(ctx context.Context, cfg client.Config) (*client.Client, error) {
	ctx, cancel := o.withTimeout(ctx)
	defer cancel()
	cfg.Addr, cfg.Codec, cfg.Name = o.addr, o.codec, "kassa"
	c, err := client.Dial(ctx, cfg)
	if err == nil {
		return c, nil
	}
	if refused, ok := errors.AsType[*codec.Error](err); ok { // it was there
		return nil, refused
	}
	return nil, &connectError{o, err}
}

// connectError says that there is no connection to the server.
type connectError struct {
	o   *options
	err error
}

func (e *connectError) Error() string {
	text := e.err.Error()
	if e.o.addrOrigin != "" {
		text += " (the address is from " + e.o.addrOrigin + ")"
	}
	if errors.Is(e.err, context.DeadlineExceeded) || errors.Is(e.err, os.ErrDeadlineExceeded) {
		return text + "\nDoes the server speak " + e.o.codec.Name() + " (--codec)?"
	}
	return text + "\nIs kassad running? In its sources, make run starts one."
}

func (e *connectError) Unwrap() error { return e.err }

func (o *options) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, o.timeout)
}

// explain says what it means that the time of a request is over. The server's own errors say that themselves.
func (o *options) explain(err error) error {
	failure, answered := errors.AsType[*codec.Error](err)
	switch {
	case answered:
		return failure
	case !errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, client.ErrNotSent):
		return codec.NewError(codec.DeadlineExceeded, fmt.Sprintf("no connection within %s: the request was not sent", o.timeout))
	default:
		return codec.NewError(codec.DeadlineExceeded, fmt.Sprintf("no answer within %s: it is not known whether the request was or will be served", o.timeout))
	}
}
