package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
)

// execute does what o.args say.
func (o *options) execute(ctx context.Context, t terminal) error {
	if len(o.args) == 0 {
		return usagef("a command is needed: request, send or ping (kassa --help tells more)")
	}
	command, args := o.args[0], o.args[1:]
	switch {
	case command != "request" && command != "send" && command != "ping":
		return usagef("there is no command %q, only request, send and ping", command)
	case command == "ping" && len(args) > 0:
		return usagef("ping takes no arguments")
	case command != "ping" && len(args) == 0:
		return usagef("%s needs a type: kassa %s TYPE [PAYLOAD|-]", command, command)
	case command != "ping" && len(args) > 2:
		return usagef("%s takes a type and one payload, in quotes if it has spaces: kassa %s TYPE '{\"a\": 1}'", command, command)
	case command != "ping" && len(args[0]) > codec.TypeBytesMax:
		return usagef("the type has %d bytes, %d at most are allowed", len(args[0]), codec.TypeBytesMax)
	case command != "ping" && args[0] == "":
		return usagef("the type is empty")
	case len(o.key) > codec.KeyBytesMax:
		return usagef("the key has %d bytes, %d at most are allowed", len(o.key), codec.KeyBytesMax)
	case command != "ping" && o.pings > 0:
		return usagef("-n is for ping")
	case command == "ping" && o.key != "":
		return usagef("--key is not for ping")
	}
	if command == "ping" {
		return o.ping(ctx, t)
	}
	return o.ask(ctx, t, client.Request{Type: args[0], Key: o.key, OneWay: command == "send"}, args[1:])
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
func (o *options) ping(ctx context.Context, t terminal) error {
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for range max(1, o.pings) {
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
	ctx, cancel := o.withTimeout(ctx)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Addr: o.addr, Codec: o.codec, Name: "kassa"})
	if err == nil {
		return c, nil
	}
	if _, ok := errors.AsType[*codec.Error](err); ok {
		return nil, err // it was there, but refused
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
	_, answered := errors.AsType[*codec.Error](err)
	switch {
	case answered || !errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, client.ErrNotSent):
		return codec.NewError(codec.DeadlineExceeded, fmt.Sprintf("no connection within %s: the request was not sent", o.timeout))
	default:
		return codec.NewError(codec.DeadlineExceeded, fmt.Sprintf("no answer within %s: it is not known whether the request was or will be served", o.timeout))
	}
}
