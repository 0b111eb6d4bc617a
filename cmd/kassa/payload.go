package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"unicode/utf8"
)

// terminal is where kassa reads and writes.
type terminal struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer // for what a command runs: kassa's own errors are returned
}

// payloads returns the payloads of the requests to make: that in args, or those on standard input. nil is none.
func (t terminal) payloads(args []string) iter.Seq2[json.RawMessage, error] {
	switch {
	case len(args) == 1 && args[0] != "-":
		return one(checkJSON([]byte(args[0]), "PAYLOAD"))
	case len(args) == 0 && !t.piped():
		return one(nil, nil)
	}
	return func(yield func(json.RawMessage, error) bool) {
		decoder := json.NewDecoder(t.stdin)
		for n := 0; ; n++ {
			var value json.RawMessage
			err := decoder.Decode(&value)
			switch {
			case err == nil:
				value, err = checkJSON(value, "standard input")
			case errors.Is(err, io.EOF) && n > 0:
				return
			case errors.Is(err, io.EOF) && len(args) == 0: // a pipe that nobody meant to send anything through
				yield(nil, nil)
				return
			default:
				err = notJSON("standard input", err)
			}
			if !yield(value, err) || err != nil {
				return
			}
		}
	}
}

func one(payload json.RawMessage, err error) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) { yield(payload, err) }
}

// piped reports that standard input is a pipe or a file, not a terminal or a device.
func (t terminal) piped() bool {
	mode, ok := modeOf(t.stdin)
	return ok && (mode.IsRegular() || mode&fs.ModeNamedPipe != 0)
}

// interactive reports that somebody reads standard output on a terminal.
func (t terminal) interactive() bool {
	mode, ok := modeOf(t.stdout)
	return ok && mode&fs.ModeCharDevice != 0
}

func modeOf(stream any) (fs.FileMode, bool) {
	file, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	info, err := file.Stat()
	if err != nil {
		return 0, false
	}
	return info.Mode(), true
}

// checkJSON returns text if it is one JSON value.
func checkJSON(text []byte, what string) (json.RawMessage, error) {
	if !utf8.Valid(text) {
		return nil, usagef("%s is not JSON: it is not UTF-8", what)
	}
	var value json.RawMessage
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, notJSON(what, err)
	}
	return value, nil
}

func notJSON(what string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err
	}
	if errors.Is(err, io.EOF) {
		return usagef("%s holds no JSON", what)
	}
	return usagef(`%s is not JSON: %v (a string needs its quotes: '"text"')`, what, err)
}
