// Package wire has the payloads and results of the pools' operations, as they stand in requests, replies and pushes. The
// server and the Go client share it. codec/PROTOCOL.md says what each operation does.
//
// Times are milliseconds since 1970 (UTC), lengths of time are milliseconds. Numbers that identify (leases, tokens, revs,
// waits, sessions) stay below 2^53, so that every JSON client can hold them.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Labels are what items are selected by.
type Labels map[string]string

// Select says which items match: those that have, for each of its labels, one of the values given. In JSON the values of
// a label are a string, or an array of strings.
type Select map[string]OneOf

// OneOf is one value, or several of which any will do.
type OneOf []string

// MarshalJSON gives one value as a string.
func (o OneOf) MarshalJSON() ([]byte, error) {
	if len(o) == 1 {
		return json.Marshal(o[0])
	}
	return json.Marshal([]string(o))
}

// UnmarshalJSON takes a string or an array of strings.
func (o *OneOf) UnmarshalJSON(p []byte) error {
	var one string
	if json.Unmarshal(p, &one) == nil && string(p) != "null" {
		*o = OneOf{one}
		return nil
	}
	var several []string
	if err := json.Unmarshal(p, &several); err != nil {
		return fmt.Errorf("a label in select wants a string or an array of strings, not %.64s", p)
	}
	*o = several
	return nil
}

// Want is a part of what a request asks for: count items of one pool, or the items named; of a calendar, from start to end.
type Want struct {
	Pool   string   `json:"pool"`
	Count  *int     `json:"count,omitempty"` // 1, or as many as there are ids
	Select Select   `json:"select,omitempty"`
	IDs    []string `json:"ids,omitempty"`
	Best   string   `json:"best,omitempty"` // of seats with places: together, or split where that can not be
	Start  *Moment  `json:"start,omitempty"`
	End    *Moment  `json:"end,omitempty"`
	Zone   string   `json:"zone,omitempty"` // of start and end; default: the pool's
}

// Acquire is the payload of lease.acquire. The request's idempotency key stands in its envelope.
type Acquire struct {
	Want         []Want `json:"want"`
	Owner        string `json:"owner,omitempty"` // default: the session
	TTLMs        *int64 `json:"ttlMs,omitempty"`
	WaitMs       int64  `json:"waitMs,omitempty"` // 0: try
	Strategy     string `json:"strategy,omitempty"`
	Priority     int    `json:"priority,omitempty"` // higher ones are served first
	OnDisconnect string `json:"onDisconnect,omitempty"`
}

// Item is an item that was given out.
type Item struct {
	Pool   string          `json:"pool"`
	ID     string          `json:"id"`
	Labels Labels          `json:"labels,omitempty"`
	Attrs  json.RawMessage `json:"attrs,omitempty"`
	Qty    int64           `json:"qty,omitempty"`   // units of it, where there are more than one
	Start  int64           `json:"start,omitempty"` // of a calendar: from when …
	End    int64           `json:"end,omitempty"`   // … to before when
}

// Lease is the result of lease.acquire, and the event of the push lease.granted.
type Lease struct {
	Lease     uint64 `json:"lease"`
	Token     uint64 `json:"token"`
	ExpiresAt int64  `json:"expiresAt"`
	Items     []Item `json:"items"`
}

// Renew is the payload of lease.renew.
type Renew struct {
	Lease uint64 `json:"lease"`
	Token uint64 `json:"token"`
	TTLMs *int64 `json:"ttlMs,omitempty"` // default: as granted
}

// Renewed is its result.
type Renewed struct {
	ExpiresAt int64 `json:"expiresAt"`
}

// Release is the payload of lease.release.
type Release struct {
	Lease   uint64 `json:"lease"`
	Token   uint64 `json:"token"`
	Outcome string `json:"outcome,omitempty"` // clean (default), dirty, broken
}

// Released is its result.
type Released struct {
	Released int `json:"released"` // items
}

// Expiring is the event of the pushes lease.expiring and lease.lost, hold.expiring and hold.lost.
type Expiring struct {
	Lease     uint64 `json:"lease,omitempty"`
	Hold      uint64 `json:"hold,omitempty"` // in the place of lease
	Token     uint64 `json:"token"`
	ExpiresAt int64  `json:"expiresAt"`
	Cause     string `json:"cause,omitempty"` // of lease.lost: expired, disconnected, taken
}

// HelloRequest is the payload of hello.
type HelloRequest struct {
	Client  string `json:"client,omitempty"`  // its name, for logs
	Version any    `json:"version,omitempty"` // of the protocol that it speaks, or its own: any JSON value
	Resume  string `json:"resume,omitempty"`  // that of the session to take over
	Attempt uint64 `json:"attempt,omitempty"` // rises from connection to connection of a client: tells which of two is later
}

// PoolList is the payload of pool.list: which pools there are, or with Pool which items that pool has.
type PoolList struct {
	Pool   string `json:"pool,omitempty"`
	Limit  int    `json:"limit,omitempty"`  // 100; 1,000 at most
	Cursor string `json:"cursor,omitempty"` // of the page before
}

// PoolPage is the result of pool.list.
type PoolPage struct {
	Pools  []PoolStats `json:"pools,omitempty"`
	Items  []ItemState `json:"items,omitempty"`
	Cursor string      `json:"cursor,omitempty"` // for the next page; empty: this is the last
}

// PoolRef is the payload of pool.stats.
type PoolRef struct {
	Pool string `json:"pool"`
}

// PoolStats is the result of pool.stats.
type PoolStats struct {
	Pool        string `json:"pool"`
	Kind        string `json:"kind"`
	Retired     bool   `json:"retired,omitempty"` // no longer configured: it gives nothing out, and goes when it is empty
	Items       int    `json:"items"`
	Free        int    `json:"free"`   // from here to draining: units, of which an item of stock may have several
	Leased      int    `json:"leased"` // of stock: held
	Sold        int    `json:"sold,omitempty"`
	Withheld    int    `json:"withheld,omitempty"`
	Dirty       int    `json:"dirty"`
	Quarantined int    `json:"quarantined"`
	Draining    int    `json:"draining"` // leased, and leaving when they come back
	Leases      int    `json:"leases"`   // that have any of its items: holds, sales and bookings, too
	Waiting     int    `json:"waiting"`  // requests
	Granted     uint64 `json:"granted"`  // units, ever
}

// ItemState is an item as pool.list shows it.
type ItemState struct {
	ID        string          `json:"id"`
	State     string          `json:"state"` // free, leased, dirty, quarantined; of stock available, held, sold, withheld; of a calendar open
	Draining  bool            `json:"draining,omitempty"`
	Labels    Labels          `json:"labels,omitempty"`
	Attrs     json.RawMessage `json:"attrs,omitempty"`
	Lease     uint64          `json:"lease,omitempty"`
	Hold      uint64          `json:"hold,omitempty"`      // in the place of lease
	Sale      uint64          `json:"sale,omitempty"`      // likewise
	ExpiresAt int64           `json:"expiresAt,omitempty"` // of the lease, or the hold
	Client    string          `json:"client,omitempty"`    // that holds it
	Owner     string          `json:"owner,omitempty"`     // that it named
	Broken    int             `json:"broken,omitempty"`    // releases as broken in a row
	Version   uint64          `json:"version"`             // changes with each change of state, labels or attrs

	Row       int   `json:"row,omitempty"` // where a seat is
	Column    int   `json:"column,omitempty"`
	Quantity  int64 `json:"quantity,omitempty"`  // units, where there are more than one; of a calendar: its capacity
	Available int64 `json:"available,omitempty"` // of these; likewise
	Held      int64 `json:"held,omitempty"`
	Sold      int64 `json:"sold,omitempty"`
	Withheld  int64 `json:"withheld,omitempty"`
	Bookings  int   `json:"bookings,omitempty"` // of a calendar
}

// PoolFill is the payload of pool.fill: items that are there already get the new labels and attrs, and stay if they were
// to leave.
type PoolFill struct {
	Pool  string     `json:"pool"`
	Items []FillItem `json:"items"`
}

// FillItem is an item of PoolFill. In JSON it may be just the ID.
type FillItem struct {
	ID       string          `json:"id"`
	Labels   Labels          `json:"labels,omitempty"`
	Attrs    json.RawMessage `json:"attrs,omitempty"`
	Quantity int64           `json:"quantity,omitempty"` // of stock: units to sell; of a calendar: its capacity
	Row      int64           `json:"row,omitempty"`      // of stock: where a seat is
	Column   int64           `json:"column,omitempty"`
}

// strictly decodes an object, all of whose members must be known.
func strictly(p []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// UnmarshalJSON takes an object, or a string that is the ID.
func (f *FillItem) UnmarshalJSON(p []byte) error {
	*f = FillItem{}
	if len(p) > 0 && p[0] == '"' {
		return json.Unmarshal(p, &f.ID)
	}
	type plain FillItem
	if strictly(p, (*plain)(f)) != nil {
		return fmt.Errorf("an item is its ID, or an object with id, labels (whose values are strings), attrs, quantity, row and column, not %.64s", p)
	}
	return nil
}

// Filled is the result of pool.fill.
type Filled struct {
	Added   int `json:"added"`
	Changed int `json:"changed"`
}

// PoolDrain is the payload of pool.drain. Items that are leased leave when they come back.
type PoolDrain struct {
	Pool string   `json:"pool"`
	IDs  []string `json:"ids,omitempty"`
	All  bool     `json:"all,omitempty"` // in the place of ids

	Cursor string `json:"cursor,omitempty"` // with all: of the result before
}

// Drained is the result of pool.drain.
type Drained struct {
	Removed  int    `json:"removed"`
	Draining int    `json:"draining"`         // leased: they will leave
	Cursor   string `json:"cursor,omitempty"` // with all: there are more items than one request drains; ask again with it
}

// ItemChanged is the result of item.set.
type ItemChanged struct {
	Changed int `json:"changed"`
}

// ItemSet is the payload of item.set. What is not given stays.
type ItemSet struct {
	Pool    string           `json:"pool"`
	ID      string           `json:"id"`
	State   string           `json:"state,omitempty"` // free, dirty, quarantined; of a seat: available, withheld
	Labels  *Labels          `json:"labels,omitempty"`
	Attrs   *json.RawMessage `json:"attrs,omitempty"`
	Version uint64           `json:"version,omitempty"` // only if the item has this one still

	Withheld *int64 `json:"withheld,omitempty"` // of stock with a quantity: units not for sale
}

// Watch is the payload of watch. Without pools and types it is about all. Watch{Off: true} ends it.
type Watch struct {
	Pools   []string `json:"pools,omitempty"`   // one that there is not is refused, but with fromRev
	Types   []string `json:"types,omitempty"`   // of events, such as lease.granted; likewise, also with fromRev
	FromRev uint64   `json:"fromRev,omitempty"` // the first rev that is wanted; 0: what comes from now on
	Off     bool     `json:"off,omitempty"`
}

// Watching is the result of watch: the events with a rev above Rev follow as pushes of type watch.
type Watching struct {
	Rev uint64 `json:"rev"`
}

// Event is what a push of type watch carries, and a line of the audit log.
type Event struct {
	Rev       uint64 `json:"rev"`
	At        int64  `json:"at"`
	Type      string `json:"type"`
	Pool      string `json:"pool,omitempty"`  // where it is about one
	Items     []Item `json:"items,omitempty"` // without labels and attrs, but for item.set
	Was       []Item `json:"was,omitempty"`   // of slot.moved: what items were before
	Lease     uint64 `json:"lease,omitempty"`
	Hold      uint64 `json:"hold,omitempty"` // in the place of lease
	Sale      uint64 `json:"sale,omitempty"`
	Booking   uint64 `json:"booking,omitempty"`
	Token     uint64 `json:"token,omitempty"`
	Wait      uint64 `json:"wait,omitempty"`
	Session   uint64 `json:"session,omitempty"`
	Client    string `json:"client,omitempty"`
	Owner     string `json:"owner,omitempty"`
	ExpiresAt int64  `json:"expiresAt,omitempty"`
	State     string `json:"state,omitempty"`    // an item's
	Withheld  *int64 `json:"withheld,omitempty"` // units of an item with a quantity
	Outcome   string `json:"outcome,omitempty"`
	Cause     string `json:"cause,omitempty"`
}

// Explain is the payload of explain: a wait, or the number of a request of this connection that waits.
type Explain struct {
	Wait       uint64  `json:"wait,omitempty"`
	QueryIndex *uint64 `json:"queryIndex,omitempty"`
}

// Explained is its result.
type Explained struct {
	Wait     uint64    `json:"wait"`
	Client   string    `json:"client"`
	Since    int64     `json:"since"`
	Until    int64     `json:"until"`    // when the wait is over at the latest
	Position int       `json:"position"` // 1: the first of those that want the same; 0: it is passed over, its client being away
	Priority int       `json:"priority,omitempty"`
	Blocked  []Blocked `json:"blocked"`
	Text     string    `json:"text"` // the same for people
}

// Blocked says what a wait still needs of a pool.
type Blocked struct {
	Pool     string `json:"pool"`
	Want     int    `json:"want"`
	Match    int    `json:"match"`              // items of the pool that match
	Free     int    `json:"free"`               // of these
	Lease    uint64 `json:"lease,omitempty"`    // whose end comes first, of those in the way; or Hold
	Hold     uint64 `json:"hold,omitempty"`     // as hold.create calls it
	FreeAt   int64  `json:"freeAt,omitempty"`   // when it ends at the latest, unless it is renewed
	Draining bool   `json:"draining,omitempty"` // what it wants is leaving
}

// Backup is the payload of journal.backup.
type Backup struct {
	Name string `json:"name,omitempty"` // default: the time, such as 20261121T151254.123Z
}

// BackedUp is its result.
type BackedUp struct {
	Name  string `json:"name"`
	Rev   uint64 `json:"rev"`   // of the last event in it
	Bytes int64  `json:"bytes"` // of its files
}
