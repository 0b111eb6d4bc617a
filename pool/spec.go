package pool

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"iter"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kassa-go/kassa/pool/internal/seats"
)

// Kind says what a pool's items are for. It never changes.
type Kind string

// The kinds.
const (
	Lease    Kind = "lease"    // items are given out for a time, and come back
	Stock    Kind = "stock"    // seats and the like are held for a time, and sold
	Calendar Kind = "calendar" // rooms and the like are booked from one moment to another
)

var kinds = [...]Kind{Lease, Stock, Calendar}

func (k Kind) code() byte { return byte(max(0, slices.Index(kinds[:], k))) }

func kindOf(code byte) Kind {
	if int(code) < len(kinds) {
		return kinds[code]
	}
	return Lease
}

// put appends a kind, as the last of an event: nothing for Lease.
func (k Kind) put(e *enc) {
	if k != Lease {
		e.byte(k.code())
	}
}

// grantName is what clients call a grant that was asked for as a kind.
func (k Kind) grantName() string {
	switch k {
	case Stock:
		return "hold"
	case Calendar:
		return "booking"
	}
	return "lease"
}

// prolonged is what is done to such a grant that its end be later.
func (k Kind) prolonged() string {
	if k == Lease {
		return "renewed"
	}
	return "extended"
}

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
	Clean    Outcome = "clean"    // ready for the next
	Dirty    Outcome = "dirty"    // to be cleaned before it is given out again
	Broken   Outcome = "broken"   // as clean, but counted: so many in a row, and it is quarantined
	Withheld Outcome = "withheld" // of stock that is refunded: not for sale again, until an operator says so
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

	// Of Stock: what the best seats are nearest to, in hundredths of a row and of a column. 0: 100, the first.
	FocusRow, FocusCol int64

	// Of Calendar.
	SetupMs, CleanupMs int64 // kept free before each booking, and after it: 0
	SlotMaxMs          int64 // the longest booking: 31 days
	HorizonMs          int64 // how far ahead bookings may begin: 732 days
	KeepMs             int64 // how long a booking is kept once it is past: 86,400,000 (a day)

	// Items is that of HashItems once a pool has all items of its configuration, and no others of a former one: as long as
	// these are the same, what was done to them since stays.
	Items uint64
}

// HashItems returns a hash of items, which is not 0 and never changes.
func HashItems(items iter.Seq[ItemSpec]) uint64 {
	h := fnv.New64a()
	var e enc
	for s := range items {
		e = e[:0]
		s.shape().put(&e)
		shape := len(e)
		e.uint(uint64(shape)) // it may be empty
		e.string(s.ID)
		e.string(labelsText(s.Labels))
		e.string(string(s.Attrs))
		h.Write(e[shape:])
		h.Write(e[:shape])
	}
	return max(1, h.Sum64())
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
	ValuesMax      = 256  // of a label, in a selector
	WantsMax       = 16   // pools, or selections from them, in one request
	ItemsPerLease  = 1024
	FillMax        = 10_000 // items in one Fill or Drain
	linesMax       = 1024   // different selectors that are waited for in a pool
	complexMax     = 1024   // waits for several pools, for several items by ID, or for times
	sessionWaits   = 4096   // waits of one session
	dayMs          = int64(24 * 3600 * 1000)
	durationMaxMs  = 366 * dayMs
	priorityMax    = 1000
	waitersDefault = 100_000

	PlaceMax     = seats.PlaceMax // rows of a hall, and columns
	quantityMax  = 1 << 30        // units of an item
	RoomsMax     = 4096           // items of a calendar
	bestMax      = 100            // best seats in one request
	bestLinesMax = 64             // different selections of best seats that are waited for in a pool
	SpansMax     = 512            // times that one request books
	TimesMax     = 1 << 18        // times that a request is for, by the items of which any will do
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
	if s.Kind == Lease {
		def(&s.TTLMs, 60_000)
		def(&s.TTLMaxMs, max(s.TTLMs, dayMs))
	} else { // what is held for a while may be sold, or booked, at its end
		def(&s.TTLMs, 600_000)
		def(&s.TTLMaxMs, max(s.TTLMs, 3_600_000))
		def(&s.LifetimeMaxMs, s.TTLMaxMs)
	}
	if s.Kind == Calendar {
		def(&s.SlotMaxMs, 31*dayMs)
		def(&s.HorizonMs, 732*dayMs)
		def(&s.KeepMs, dayMs)
	}
	def(&s.ExpiringMs, 10_000)
	def(&s.WaitMaxMs, 300_000)
	def(&s.WaitersMax, waitersDefault)
	def(&s.QuarantineAfter, 3)
	switch {
	case !slices.Contains(kinds[:], s.Kind):
		return bad("there is no kind %q: want lease, stock or calendar", s.Kind)
	case s.Kind != Lease && (s.OnExpiry != Clean || s.QuarantineAfter != 3):
		return bad("onExpiry and quarantineAfter are for pools of kind lease")
	case s.Kind != Lease && s.OnDisconnect == ReleaseDirtyOnEnd:
		return bad("onDisconnect is dirty, which is for pools of kind lease")
	case s.Kind == Calendar && s.Strategy != First:
		return bad("strategy is for pools of kind lease or stock: of a calendar the first that is free is taken")
	case s.Kind != Stock && (s.FocusRow != 0 || s.FocusCol != 0):
		return bad("focus is for pools of kind stock")
	case s.Kind != Calendar && (s.SetupMs != 0 || s.CleanupMs != 0 || s.SlotMaxMs != 0 || s.HorizonMs != 0 || s.KeepMs != 0):
		return bad("setup, cleanup, slotMax, horizon and keep are for pools of kind calendar")
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
		{"the row of focus", s.FocusRow, 100 * PlaceMax}, {"the column of focus", s.FocusCol, 100 * PlaceMax},
		{"setup", s.SetupMs, dayMs}, {"cleanup", s.CleanupMs, dayMs}, {"slotMax", s.SlotMaxMs, durationMaxMs},
		{"horizon", s.HorizonMs, 100 * durationMaxMs}, {"keep", s.KeepMs, 100 * durationMaxMs},
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
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }): // what JSON can not tell apart, too
		return &Error{BadPayload, fmt.Sprintf("%s, %q, holds control characters, U+FFFD or what is not UTF-8", what, name)}
	}
	return nil
}

// ItemSpec is what an operator says of an item.
type ItemSpec struct {
	ID     string
	Labels map[string]string // to select it by
	Attrs  json.RawMessage   // what its holder is told: any JSON value; nil: nothing

	Quantity int64 // of stock: units to sell; of a calendar: how many may be used at once. 0: 1
	Row, Col int64 // of stock: where a seat is. Seats at consecutive columns of a row are neighbours. 0: it has no place
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
	switch {
	case s.Quantity < 0 || s.Quantity > quantityMax:
		return &Error{BadPayload, fmt.Sprintf("the quantity of item %q is %d: want 1 to %d", s.ID, s.Quantity, quantityMax)}
	case s.Row < 0 || s.Row > PlaceMax || s.Col < 0 || s.Col > PlaceMax || (s.Row == 0) != (s.Col == 0):
		return &Error{BadPayload, fmt.Sprintf("item %q is in row %d, column %d: want both, 1 to %d", s.ID, s.Row, s.Col, PlaceMax)}
	case s.Row != 0 && s.Quantity > 1:
		return &Error{BadPayload, fmt.Sprintf("item %q has a place and a quantity of %d: a seat is sold once", s.ID, s.Quantity)}
	}
	return nil
}

// checkFor says what is wrong with s in a pool of a kind.
func (s *ItemSpec) checkFor(kind Kind) *Error {
	switch {
	case kind == Lease && s.Quantity > 1:
		return &Error{BadPayload, fmt.Sprintf("item %q has a quantity of %d: in a pool of kind lease each item is one", s.ID, s.Quantity)}
	case kind != Stock && s.Row != 0:
		return &Error{BadPayload, fmt.Sprintf("item %q has a row and a column, which are for pools of kind stock", s.ID)}
	}
	return nil
}

func (s *ItemSpec) shape() shape {
	return shape{max(1, int32(s.Quantity)), int32(s.Row), int32(s.Col)}
}

// Check says what is wrong with s, as Configure would.
func (s Spec) Check() error {
	_, err := s.withDefaults()
	return err
}
