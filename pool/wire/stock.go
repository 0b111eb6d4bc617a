package wire

import (
	"encoding/json"
	"fmt"
)

// HoldCreate is the payload of hold.create: the seats named, or so many of those that match, or the best of these.
type HoldCreate struct {
	Pool         string     `json:"pool"`
	Seats        []string   `json:"seats,omitempty"`
	Qty          *int       `json:"qty,omitempty"` // with one of seats, which has a quantity: units of it
	Best         *BestSeats `json:"best,omitempty"`
	Select       Select     `json:"select,omitempty"`
	Owner        string     `json:"owner,omitempty"` // default: the session
	TTLMs        *int64     `json:"ttlMs,omitempty"`
	WaitMs       int64      `json:"waitMs,omitempty"` // 0: try
	Priority     int        `json:"priority,omitempty"`
	OnDisconnect string     `json:"onDisconnect,omitempty"` // keep, release
}

// BestSeats asks for n seats side by side, nearest to the pool's focus.
type BestSeats struct {
	N     int  `json:"n"`
	Split bool `json:"split,omitempty"` // where nowhere n are side by side: in as few groups as can be
}

// Hold is the result of hold.create, and the event of the push hold.granted.
type Hold struct {
	Hold      uint64 `json:"hold"`
	Token     uint64 `json:"token"`
	ExpiresAt int64  `json:"expiresAt"`
	Seats     []Item `json:"seats"`
}

// SeatRef names a seat of a hold or a sale, or units of what has several. In JSON it may be just the ID.
type SeatRef struct {
	ID   string `json:"id"`
	Pool string `json:"pool,omitempty"` // where seats of several pools have the same ID
	Qty  int64  `json:"qty,omitempty"`  // default: all of them
}

// UnmarshalJSON takes an object, or a string that is the ID.
func (s *SeatRef) UnmarshalJSON(p []byte) error {
	*s = SeatRef{}
	if len(p) > 0 && p[0] == '"' {
		return json.Unmarshal(p, &s.ID)
	}
	type plain SeatRef
	if strictly(p, (*plain)(s)) != nil {
		return fmt.Errorf("a seat is its ID, or an object with id, pool and qty, not %.64s", p)
	}
	return nil
}

// HoldRef is the payload of hold.extend, which knows ttlMs, and of hold.confirm and hold.void, which know seats.
type HoldRef struct {
	Hold  uint64    `json:"hold"`
	Token uint64    `json:"token"`
	TTLMs *int64    `json:"ttlMs,omitempty"` // default: as it was made
	Seats []SeatRef `json:"seats,omitempty"` // to confirm, the others come back; to void; default: all
}

// Sale is the result of hold.confirm. Its number is the hold's.
type Sale struct {
	Sale      uint64 `json:"sale"`
	Token     uint64 `json:"token"`
	Seats     []Item `json:"seats"`
	ExpiresAt int64  `json:"expiresAt,omitempty"` // of the leases among them, which end still
}

// Voided is the result of hold.void.
type Voided struct {
	Voided int `json:"voided"` // units
}

// Refund is the payload of sale.refund.
type Refund struct {
	Sale  uint64    `json:"sale"`
	Token uint64    `json:"token"`
	Seats []SeatRef `json:"seats,omitempty"` // default: all
	To    string    `json:"to,omitempty"`    // available (default), withheld
}

// Refunded is its result.
type Refunded struct {
	Refunded int `json:"refunded"` // units
}
