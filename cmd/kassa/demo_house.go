package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kassa-go/kassa/pool/wire"
)

// seatState is what becomes of a seat.
type seatState int

const (
	available seatState = iota
	held
	sold
	seatStates
)

func (s seatState) String() string { return [...]string{"available", "held", "sold"}[s] }

// house is the seats of a pool, as the events of the server's log have it, in order and without a gap, from a moment on at
// which all were available. What the events say that must not be is a fault.
type house struct {
	pool   string
	seats  []*seat // as pool.list has them
	byID   map[string]*seat
	holds  map[uint64]*hold // of these seats, by number; also those that are over
	asked  map[visit]*hold
	count  [seatStates]int // of seats
	events eventCounts
	faults []string
}

// seat is one of its seats.
type seat struct {
	id          string
	row, column int
	state       seatState
	by          *hold  // that has it; nil while it is available
	token       uint64 // of the last hold that had it: they only rise
	sales       int
}

// visit is one client of the crowd, which gets one hold by one of its requests, and makes none after it. One that it makes
// again in the same session gets the same hold by its key.
type visit struct {
	owner   string
	session uint64
}

// hold is some seats that somebody has, or had.
type hold struct {
	number, token uint64
	visit
	seats        []*seat
	waited       bool  // it was not there for the asking
	at, soldAt   int64 // by the server's clock, in ms since 1970; soldAt 0: it was not sold
	voided, over bool
}

// eventCounts is how many events there were.
type eventCounts struct {
	Created   int `json:"created"`
	Confirmed int `json:"confirmed"`
	Voided    int `json:"voided"`
	Expired   int `json:"expired"`
}

// houseEvents are the events by which seats change hands.
var houseEvents = []string{"hold.created", "hold.confirmed", "hold.voided", "hold.expired", "sale.refunded"}

func newHouse(pool string, items []wire.ItemState) *house {
	h := &house{pool: pool, byID: make(map[string]*seat), holds: make(map[uint64]*hold), asked: make(map[visit]*hold)}
	for _, it := range items {
		s := &seat{id: it.ID, row: it.Row, column: it.Column}
		h.seats, h.byID[s.id] = append(h.seats, s), s
	}
	h.count[available] = len(h.seats)
	return h
}

func (h *house) soldOut() bool { return h.count[sold] == len(h.seats) }

func (h *house) fault(format string, args ...any) {
	h.faults = append(h.faults, fmt.Sprintf(format, args...))
}

// give gives a seat to a hold, or takes it back, to which state its hold then has.
func (h *house) give(s *seat, state seatState, by *hold) {
	h.count[s.state]--
	h.count[state]++
	s.state, s.by = state, by
}

// apply looks at the next event.
func (h *house) apply(e *wire.Event) {
	switch e.Type {
	case "hold.created":
		if e.Pool == h.pool {
			h.created(e)
		}
	case "hold.confirmed": // of these seats: it may be a hold of other ones
		if hold := h.holds[e.Hold]; hold != nil {
			h.confirmed(e, hold)
		}
	case "hold.voided", "hold.expired", "sale.refunded":
		if e.Pool == h.pool {
			h.returned(e)
		}
	}
}

func (h *house) created(e *wire.Event) {
	n := &hold{number: e.Hold, token: e.Token, visit: visit{e.Owner, e.Session}, waited: e.Wait != 0, at: e.At}
	if h.holds[n.number] != nil {
		h.fault("hold %d: it was created twice, the second time by event %d", n.number, e.Rev)
	}
	if first := h.asked[n.visit]; first != nil && strings.HasPrefix(n.owner, demoOwner) {
		h.fault("hold %d (%s): a request was carried out twice, that of hold %d and by event %d, in session %d", n.number, n.owner, first.number, e.Rev, n.session)
	}
	h.holds[n.number], h.asked[n.visit] = n, n
	h.events.Created++
	for _, it := range e.Items {
		s := h.byID[it.ID]
		if s == nil {
			continue // it has no place
		}
		if s.by != nil {
			h.fault("seat %s: hold %d (%s) was given it by event %d while it was %s by hold %d (%s)",
				s.id, n.number, n.owner, e.Rev, s.state, s.by.number, s.by.owner)
		}
		if n.token <= s.token {
			h.fault("seat %s: the token of hold %d is %d, and that of one before it was %d", s.id, n.number, n.token, s.token)
		}
		n.seats, s.token = append(n.seats, s), n.token
		h.give(s, held, n)
	}
}

func (h *house) confirmed(e *wire.Event, n *hold) {
	h.events.Confirmed++
	switch {
	case n.soldAt != 0:
		h.fault("hold %d (%s): it was sold twice, the second time by event %d", n.number, n.owner, e.Rev)
	case n.over:
		h.fault("hold %d (%s): it was sold by event %d, and was over", n.number, n.owner, e.Rev)
	}
	n.soldAt = e.At
	for _, s := range n.seats {
		if s.by != n && s.by != nil {
			h.fault("seat %s: it was sold to hold %d (%s) by event %d while it was %s by hold %d (%s)",
				s.id, n.number, n.owner, e.Rev, s.state, s.by.number, s.by.owner)
		}
		if s.sales++; s.sales > 1 {
			h.fault("seat %s: it was sold %d times, the last time to hold %d (%s) by event %d", s.id, s.sales, n.number, n.owner, e.Rev)
		}
		h.give(s, sold, n)
	}
}

// returned takes seats back that were held, or sold.
func (h *house) returned(e *wire.Event) {
	number, refund := e.Hold, e.Type == "sale.refunded"
	if refund {
		number = e.Sale
	}
	switch e.Type {
	case "hold.voided":
		h.events.Voided++
	case "hold.expired":
		h.events.Expired++
	}
	n := h.holds[number]
	for _, it := range e.Items {
		s := h.byID[it.ID]
		switch {
		case s == nil:
			continue
		case n == nil || s.by != n:
			h.fault("seat %s: event %d takes it from hold %d, which does not have it", s.id, e.Rev, number)
		case refund:
			h.fault("seat %s: it was sold to %s, and refunded by event %d", s.id, n.owner, e.Rev)
		case s.state == sold:
			h.fault("seat %s: it was sold to %s, and taken away by event %d (%s)", s.id, n.owner, e.Rev, e.Type)
		}
		if n != nil {
			n.seats = slices.DeleteFunc(n.seats, func(has *seat) bool { return has == s })
		}
		h.give(s, available, nil)
	}
	if n != nil {
		n.voided = n.voided || e.Type == "hold.voided"
		n.over = n.over || len(n.seats) == 0
	}
}
