package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Moment is a time in a request. In JSON it is milliseconds since 1970 (UTC), or a text: RFC 3339 with an offset, or without
// one, as the clocks of a zone show it.
type Moment struct {
	Ms   int64
	Text string // in the place of Ms
}

// At returns the moment that is ms after 1970 (UTC).
func At(ms int64) *Moment { return &Moment{Ms: ms} }

// MarshalJSON gives a number, or the text.
func (m Moment) MarshalJSON() ([]byte, error) {
	if m.Text != "" {
		return json.Marshal(m.Text)
	}
	return strconv.AppendInt(nil, m.Ms, 10), nil
}

// UnmarshalJSON takes a number, or a text.
func (m *Moment) UnmarshalJSON(p []byte) error {
	*m = Moment{}
	if len(p) > 0 && p[0] == '"' && string(p) != `""` {
		return json.Unmarshal(p, &m.Text)
	}
	if json.Unmarshal(p, &m.Ms) != nil {
		return fmt.Errorf("a time is milliseconds since 1970, or a text such as 2026-11-21T10:00 or 2026-11-21T10:00:00+01:00, not %.64s", p)
	}
	return nil
}

// SlotBook is the payload of slot.book.
type SlotBook struct {
	Pool       string   `json:"pool"`
	IDs        []string `json:"ids,omitempty"`    // all of them; default: one that matches, and is free
	Select     Select   `json:"select,omitempty"` // in the place of ids
	Count      *int     `json:"count,omitempty"`  // of the capacity: 1
	Start      *Moment  `json:"start"`
	End        *Moment  `json:"end"`
	Zone       string   `json:"zone,omitempty"`       // of start, end and rrule; default: the pool's
	RRule      string   `json:"rrule,omitempty"`      // again and again, as RFC 5545 says: FREQ=WEEKLY;COUNT=10
	OnConflict string   `json:"onConflict,omitempty"` // with rrule: fail (default), skip, report
	Owner      string   `json:"owner,omitempty"`      // default: the session
}

// Booking is the result of slot.book and slot.move.
type Booking struct {
	Booking   uint64 `json:"booking,omitempty"` // absent with onConflict report: nothing was booked
	Token     uint64 `json:"token,omitempty"`
	Items     []Item `json:"items"`               // that were booked, or moved; with report: that are free
	Conflicts []Item `json:"conflicts,omitempty"` // that are not free
}

// SlotMove is the payload of slot.move: to another time, another item, or both.
type SlotMove struct {
	Booking   uint64  `json:"booking"`
	Token     uint64  `json:"token"`
	At        *Moment `json:"at,omitempty"`        // which of several times: that which begins then
	Following bool    `json:"following,omitempty"` // and all later ones, each by as much
	Start     *Moment `json:"start,omitempty"`     // default: as it is
	End       *Moment `json:"end,omitempty"`       // default: as long as it was
	Zone      string  `json:"zone,omitempty"`      // of these; default: the pool's
	Item      string  `json:"item,omitempty"`      // default: as it is
}

// SlotCancel is the payload of slot.cancel.
type SlotCancel struct {
	Booking   uint64  `json:"booking"`
	Token     uint64  `json:"token"`
	At        *Moment `json:"at,omitempty"` // which of several times; default: all
	Following bool    `json:"following,omitempty"`
	Zone      string  `json:"zone,omitempty"` // of at; default: the pool's
}

// Cancelled is its result.
type Cancelled struct {
	Cancelled int `json:"cancelled"` // times, of each item
}

// SlotFind is the payload of slot.find and of slot.list: what is free, or booked, between from and to.
type SlotFind struct {
	Pool     string   `json:"pool"`
	IDs      []string `json:"ids,omitempty"` // default: all that match
	Select   Select   `json:"select,omitempty"`
	Count    *int     `json:"count,omitempty"`    // of the capacity, to be free: 1
	LengthMs int64    `json:"lengthMs,omitempty"` // of slot.find: free for so long at least
	From     *Moment  `json:"from"`
	To       *Moment  `json:"to"`
	Zone     string   `json:"zone,omitempty"`   // of from and to; default: the pool's
	Open     bool     `json:"open,omitempty"`   // of slot.list: to be told when the pool is open, too
	Limit    int      `json:"limit,omitempty"`  // 100; 1,000 at most
	Cursor   string   `json:"cursor,omitempty"` // of the page before
}

// SlotsFree is the result of slot.find: by item, and by time. Each of Free is as long as can be: whatever lies in it can be
// booked, set-up and clean-up do not show.
type SlotsFree struct {
	Zone   string `json:"zone"` // the pool's
	Free   []Item `json:"free"`
	Cursor string `json:"cursor,omitempty"` // for the next page; empty: this is the last
}

// SlotsBooked is the result of slot.list: by item, and by time.
type SlotsBooked struct {
	Zone   string    `json:"zone"`
	Open   []Opening `json:"open,omitempty"` // if that was asked for, on each page: the opening hours between from and to
	Booked []Slot    `json:"booked"`
	Cursor string    `json:"cursor,omitempty"`
}

// Opening is a time within which a pool takes bookings: those that begin and end in it.
type Opening struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// Slot is a time that is booked.
type Slot struct {
	ID        string `json:"id"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Count     int64  `json:"count,omitempty"`     // of the capacity, where that is more than one
	SetupMs   int64  `json:"setupMs,omitempty"`   // kept free before it
	CleanupMs int64  `json:"cleanupMs,omitempty"` // and behind it
	Booking   uint64 `json:"booking"`
	Client    string `json:"client"`
	Owner     string `json:"owner,omitempty"`
	ExpiresAt int64  `json:"expiresAt,omitempty"` // it is only held, and not confirmed yet
}
