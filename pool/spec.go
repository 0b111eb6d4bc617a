package pool

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Kind says what a pool's items are for. It never changes.
type Kind string

// Lease is the kind whose items are given out and come back.
const Lease Kind = "lease"

// Strategy says which of the free items that match is given out.
type Strategy string

// The strategies.
const (
	First  Strategy = "first"  // the first in the pool's order
	LRU    Strategy = "lru"    // the one that has been free for longest
	Random Strategy = "random" // any, with the same probability
)

// Outcome says how an item comes back.
type Outcome string

// The outcomes.
const (
	Clean  Outcome = "clean"  // ready for the next
	Dirty  Outcome = "dirty"  // to be cleaned before it is given out again
	Broken Outcome = "broken" // as clean, but counted: so many in a row, and it is quarantined
)

// OnDisconnect says what becomes of a lease when its session ends.
type OnDisconnect string

// What can become of it.
const (
	Keep              OnDisconnect = "keep"    // it runs to its end
	ReleaseOnEnd      OnDisconnect = "release" // its items come back clean
	ReleaseDirtyOnEnd OnDisconnect = "dirty"   // its items come back dirty
)

// Spec is what an operator says of a pool. A zero field means its default.
type Spec struct {
	Name string // 1 to 128 bytes
	Kind Kind   // Lease

	Strategy     Strategy     // First
	OnExpiry     Outcome      // how items come back whose lease ran out: Clean (default) or Dirty
	OnDisconnect OnDisconnect // Keep

	TTLMs         int64 // of a lease whose request does not say: 60,000
	TTLMaxMs      int64 // the longest that a request may say: 86,400,000 (a day), TTLMs if that is more
	LifetimeMaxMs int64 // a lease ends so long after it was granted, however often it is renewed; 0: never
	ExpiringMs    int64 // the holder is told so long before the end: 10,000, at most half of the lease's TTL
	WaitMaxMs     int64 // the longest that a request may wait: 300,000
	WaitersMax    int64 // requests that may wait: 100,000
	QuotaMax      int64 // items that one client may hold; 0: all

	QuarantineAfter int64  // broken releases in a row: 3
	Seed            uint64 // of Random
}

// Limits that no configuration changes.
const (
	NameBytesMax   = 128      // of a pool
	ItemBytesMax   = 256      // of an item's ID
	LabelsMax      = 32       // of an item
	LabelBytesMax  = 256      // of a label's name, or value
	AttrsBytesMax  = 64 << 10 // of an item
	OwnerBytesMax  = 256
	ClassesMax     = 1024 // different sets of labels in a pool; what tells every item from any other belongs in its attrs
	WantsMax       = 16   // pools, or selections from them, in one request
	ItemsPerLease  = 1024
	FillMax        = 10_000 // items in one Fill or Drain
	linesMax       = 1024   // different selectors that are waited for in a pool
	complexMax     = 1024   // waits for several pools, or for several items by ID
	sessionWaits   = 4096   // waits of one session
	durationMaxMs  = int64(366 * 24 * 3600 * 1000)
	priorityMax    = 1000
	waitersDefault = 100_000
)

// withDefaults returns s with its zero fields filled in, or what is wrong with it.
func (s Spec) withDefaults() (Spec, error) {
	bad := func(format string, args ...any) (Spec, error) {
		return s, &Error{BadPayload, fmt.Sprintf("pool %q: ", s.Name) + fmt.Sprintf(format, args...)}
	}
	if err := checkName("the name of a pool", s.Name, NameBytesMax); err != nil {
		return s, err
	}
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	if s.Kind == "" {
		s.Kind = Lease
	}
	if s.Strategy == "" {
		s.Strategy = First
	}
	if s.OnExpiry == "" {
		s.OnExpiry = Clean
	}
	if s.OnDisconnect == "" {
		s.OnDisconnect = Keep
	}
	def(&s.TTLMs, 60_000)
	def(&s.TTLMaxMs, max(s.TTLMs, 24*3600*1000))
	def(&s.ExpiringMs, 10_000)
	def(&s.WaitMaxMs, 300_000)
	def(&s.WaitersMax, waitersDefault)
	def(&s.QuarantineAfter, 3)
	switch {
	case s.Kind != Lease:
		return bad("there is no kind %q, only lease", s.Kind)
	case !s.Strategy.valid():
		return bad("strategy is %q: want first, lru or random", s.Strategy)
	case s.OnExpiry != Clean && s.OnExpiry != Dirty:
		return bad("onExpiry is %q: want clean or dirty", s.OnExpiry)
	case !s.OnDisconnect.valid():
		return bad("onDisconnect is %q: want keep, release or dirty", s.OnDisconnect)
	case s.TTLMs > s.TTLMaxMs:
		return bad("the TTL, %d ms, is over its maximum, %d ms", s.TTLMs, s.TTLMaxMs)
	}
	for _, v := range []struct {
		name string
		ms   int64
		max  int64
	}{
		{"ttl", s.TTLMs, durationMaxMs}, {"ttlMax", s.TTLMaxMs, durationMaxMs}, {"lifetimeMax", s.LifetimeMaxMs, durationMaxMs},
		{"expiring", s.ExpiringMs, durationMaxMs}, {"waitMax", s.WaitMaxMs, durationMaxMs},
		{"waitersMax", s.WaitersMax, 1_000_000}, {"quota", s.QuotaMax, 1 << 31}, {"quarantineAfter", s.QuarantineAfter, math.MaxUint16},
	} {
		if v.ms < 0 || v.ms > v.max {
			return bad("%s is %d: want 0 to %d", v.name, v.ms, v.max)
		}
	}
	return s, nil
}

func (s Strategy) valid() bool     { return s == First || s == LRU || s == Random }
func (o OnDisconnect) valid() bool { return o == Keep || o == ReleaseOnEnd || o == ReleaseDirtyOnEnd }

// checkName checks something that names a thing: not empty, not too long, UTF-8 without control characters.
func checkName(what, name string, bytesMax int) error {
	switch {
	case name == "":
		return &Error{BadPayload, what + " is empty"}
	case len(name) > bytesMax:
		return &Error{BadPayload, fmt.Sprintf("%s has %d bytes, %d at most are allowed", what, len(name), bytesMax)}
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return &Error{BadPayload, fmt.Sprintf("%s, %q, holds control characters or is not UTF-8", what, name)}
	}
	return nil
}

// ItemSpec is what an operator says of an item.
type ItemSpec struct {
	ID     string
	Labels map[string]string // to select it by
	Attrs  json.RawMessage   // what its holder is told: any JSON value; nil: nothing
}

// Check says what is wrong with s, as Fill would.
func (s *ItemSpec) Check() error {
	if err := checkName("the ID of an item", s.ID, ItemBytesMax); err != nil {
		return err
	}
	if len(s.Labels) > LabelsMax {
		return &Error{BadPayload, fmt.Sprintf("item %q has %d labels, %d at most are allowed", s.ID, len(s.Labels), LabelsMax)}
	}
	for name, value := range s.Labels {
		if err := checkName("the name of a label of item "+s.ID, name, LabelBytesMax); err != nil {
			return err
		}
		if value != "" {
			if err := checkName("label "+name+" of item "+s.ID, value, LabelBytesMax); err != nil {
				return err
			}
		}
	}
	if len(s.Attrs) > AttrsBytesMax {
		return &Error{BadPayload, fmt.Sprintf("the attrs of item %q have %d bytes, %d at most are allowed", s.ID, len(s.Attrs), AttrsBytesMax)}
	}
	if s.Attrs != nil && !json.Valid(s.Attrs) {
		return &Error{BadPayload, fmt.Sprintf("the attrs of item %q are not JSON", s.ID)}
	}
	return nil
}

// Check says what is wrong with s, as Configure would.
func (s Spec) Check() error {
	_, err := s.withDefaults()
	return err
}
