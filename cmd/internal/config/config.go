// Package config reads the pools of a kassad, and the operator's own names for their operations, from a YAML file.
//
// Every error says where something is wrong, file:line:column, and what to do about it.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/when"
)

// Config is what the file says.
type Config struct {
	HoldAndWait  HoldAndWait
	Grace        time.Duration // so long a lost session may come back
	KeyRetention time.Duration // so long the outcome of a request with a key is remembered
	Pools        []Pool        // as they follow each other in the file
	Verbs        []serve.Verb  // compiled, in that order too
}

// HoldAndWait says whether an owner who holds items may wait for more.
type HoldAndWait string

// What it can be.
const (
	Allow  HoldAndWait = "allow"
	Refuse HoldAndWait = "refuse"
)

// The defaults.
const (
	GraceDefault        = 10 * time.Second
	KeyRetentionDefault = 10 * time.Minute
)

// Pool is a pool and its items.
type Pool struct {
	Spec pool.Spec

	// Of a calendar.
	Zone  *time.Location // of local times; UTC unless the file says another
	Hours *when.Hours    // nil: always open

	// Items are in the pool's order, and no two of them have the same ID. Those with the same labels share one map: do not
	// write to it.
	Items []pool.ItemSpec
}

// fileBytesMax is how much YAML is read: a node of it takes half a KiB of memory.
const fileBytesMax = 4 << 20

// Load reads the file at path, and the files of items that it names.
func Load(path string) (_ *Config, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// Parse reads YAML that stands in a file of this name. Files of items that it names are looked for beside that.
func Parse(name string, text []byte) (*Config, error) {
	if len(text) > fileBytesMax {
		return nil, fmt.Errorf("%s has more than %d bytes: move the items to a .csv or .jsonl file, and name it as the file of the pool", name, fileBytesMax)
	}
	if line, ok := notUTF8(text); ok {
		return nil, fmt.Errorf("%s:%d: this is not UTF-8", name, line)
	}
	r := &reader{name: name}
	root, err := r.document(text)
	if err != nil {
		return nil, err
	}
	c := &Config{HoldAndWait: Allow, Grace: GraceDefault, KeyRetention: KeyRetentionDefault}
	var pools, verbs ast.Node
	err = r.settings(root, "", []setting{
		{"holdAndWait", oneOf(r, &c.HoldAndWait, Allow, Refuse)},
		{"grace", r.duration(&c.Grace, 0)},
		{"keyRetention", r.duration(&c.KeyRetention, time.Second)},
		{"pools", keep(&pools)},
		{"verbs", keep(&verbs)},
	})
	if err != nil {
		return nil, err
	}
	if pools == nil {
		return nil, fmt.Errorf("%s has no pools: write pools: and below it, indented, a name with its settings", name)
	}
	if c.Pools, err = r.pools(pools); err != nil {
		return nil, err
	}
	if verbs != nil {
		c.Verbs, err = r.verbs(verbs, c.Pools)
	}
	return c, err
}

// notUTF8 returns the first line that is not UTF-8, false if all are.
func notUTF8(text []byte) (int, bool) {
	n := 0
	for line := range bytes.Lines(text) {
		if n++; !utf8.Valid(line) {
			return n, true
		}
	}
	return 0, false
}
