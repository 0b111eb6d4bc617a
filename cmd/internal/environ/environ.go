// Package environ finds settings outside a program's flags: in the environment, and in a .env file, which the environment
// goes before.
package environ

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/joho/godotenv"
	"github.com/spf13/pflag"
)

// Environ is an environment and what a .env file adds to it.
type Environ struct {
	vars     map[string]string
	file     string
	fileVars map[string]string
}

// FileDefault is the .env file that is read, if it is there, when none is named.
const FileDefault = ".env"

// Load makes an Environ of an environment, as os.Environ returns one, and a .env file. With no file named, that is what
// KASSA_ENV_FILE names, else FileDefault, which alone may be absent.
func Load(environment []string, file string) (*Environ, error) {
	e := &Environ{vars: make(map[string]string, len(environment))}
	for _, entry := range environment {
		if name, value, ok := strings.Cut(entry, "="); ok {
			e.vars[name] = value
		}
	}
	if file == "" {
		file = e.vars[Name("env-file")]
	}
	mayBeAbsent := file == ""
	if mayBeAbsent {
		file = FileDefault
	}
	var err error
	e.file = file
	e.fileVars, err = godotenv.Read(file)
	if err == nil || mayBeAbsent && errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, err
	}
	// The library's error quotes the file, which may hold secrets.
	return nil, fmt.Errorf("%s is no .env file: it has lines that are not NAME=VALUE, or quotes that do not end (--env-file names another)", file)
}

// Setting is what a variable is set to. The zero Setting stands for one that is not set, or to nothing.
type Setting struct {
	Value  string
	Origin string // where it stands: "KASSA_LISTEN", "PORT in .env"
}

// Lookup returns the first of the variables that is set.
func (e *Environ) Lookup(names ...string) Setting {
	for _, name := range names {
		if value := e.vars[name]; value != "" {
			return Setting{value, name}
		}
		if value := e.fileVars[name]; value != "" {
			return Setting{value, name + " in " + e.file}
		}
	}
	return Setting{}
}

// PortDefault is where kassad listens, and kassa looks for it, unless they are told otherwise.
const PortDefault = 41969

// Port returns the server's port, as net-socket-connector and its clients are told it: SOCKET_PORT, or PORT as in its
// version 1.1. Origin is empty when it is the default.
func (e *Environ) Port() (int, Setting, error) {
	s := e.Lookup("SOCKET_PORT", "PORT")
	if s == (Setting{}) {
		return PortDefault, s, nil
	}
	port, err := strconv.ParseUint(s.Value, 10, 16)
	if err != nil || port == 0 {
		return 0, s, fmt.Errorf("%s is %q: a port is a number from 1 to 65535", s.Origin, s.Value)
	}
	return int(port), s, nil
}

// Host returns the server's host, as clients of net-socket-connector are told it: SOCKET_HOST, or HOST as in version 1.1.
func (e *Environ) Host() Setting { return e.Lookup("SOCKET_HOST", "HOST") }

// Name returns the name of the variable that stands for a flag.
func Name(flag string) string { return "KASSA_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) }

// Fill sets the flags that were not given from the variables that stand for them.
func (e *Environ) Fill(flags *pflag.FlagSet) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		s := e.Lookup(Name(f.Name))
		if failed != nil || f.Changed || s == (Setting{}) {
			return
		}
		if err := f.Value.Set(s.Value); err != nil {
			failed = fmt.Errorf("%s is %q: %w", s.Origin, s.Value, err)
		}
	})
	return failed
}
