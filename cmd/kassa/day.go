package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// What a stretch of a day can be, in the order of the legend. Of a booking the first and the last sign are brackets, or
// parentheses, and its owner's name is in it.
var (
	signFree   = sign{'.', "32", "free"}
	signBooked = sign{'=', "31", "booked"}
	signHeld   = sign{'?', "33", "held"}
	signKept   = sign{'~', "90", "kept free, to set up and clean up"}
	signTaken  = sign{'-', "90", "not free"}
	signMany   = sign{'*', "31", "several"}
	signClosed = sign{' ', "", "closed"}
)

// slotDay draws the day of a calendar on a terminal, else prints what is booked in JSON as slot ls does.
func (o *options) slotDay(ctx context.Context, t terminal, args []string) error {
	if !t.interactive() {
		return o.slotList(ctx, t, args)
	}
	return o.withTimes(ctx, args, true, func(k *clock, ask wire.SlotFind) error {
		d := day{zone: k.zone, from: ask.From.Ms, to: ask.To.Ms}
		rooms := make(map[string]*room)
		for page, err := range o.pages(ctx, k.c, wire.PoolList{Pool: ask.Pool, Limit: itemsMax}) {
			if err != nil {
				return err
			}
			for _, it := range page.Items {
				r := &room{id: it.ID, capacity: max(it.Quantity, 1)}
				rooms[it.ID] = r
				d.rooms = append(d.rooms, r)
			}
		}
		find := ask
		find.LengthMs = 1
		for it, err := range o.free(ctx, k.c, find) {
			switch {
			case err != nil && !errors.Is(err, codec.NoMatch): // that is so when all rooms are leaving
				return err
			case rooms[it.ID] != nil:
				rooms[it.ID].free = append(rooms[it.ID].free, stretch{it.Start, it.End})
			}
		}
		// What is booked on the day before and after may need to be set up and cleaned up on this one.
		const margin = int64(24 * time.Hour / time.Millisecond)
		list := ask
		list.From, list.To, list.Open = wire.At(d.from-margin), wire.At(d.to+margin), true
		for page, err := range o.bookedPages(ctx, k.c, list) {
			if err != nil {
				return err
			}
			d.open = page.Open
			for _, s := range page.Booked {
				if rooms[s.ID] != nil {
					rooms[s.ID].booked = append(rooms[s.ID].booked, s)
				}
			}
		}
		drawing := canvas{coloured: o.coloured(t)}
		d.draw(&drawing, ask.Pool, t.width())
		return drawing.writeTo(t.stdout)
	})
}

// stretch is a time, half open, in ms since 1970.
type stretch struct{ start, end int64 }

// within returns how much of a stretch is in another.
func (s stretch) within(of stretch) int64 { return max(min(s.end, of.end)-max(s.start, of.start), 0) }

// day is what is drawn.
type day struct {
	zone     *time.Location
	from, to int64
	rooms    []*room
	cell     int64 // ms, of a column
	open     []wire.Opening
}

type room struct {
	id       string
	capacity int64
	free     []stretch // in order
	booked   []wire.Slot
}

// cellMinutes are how much time a column may be.
var cellMinutes = []int64{5, 10, 15, 20, 30, 60}

func (d *day) draw(c *canvas, pool string, width int) {
	label := 0
	for _, r := range d.rooms {
		label = max(label, min(utf8.RuneCountInString(printable(r.id)), rowNameMax))
	}
	for _, minutes := range cellMinutes {
		d.cell = minutes * int64(time.Minute/time.Millisecond)
		if int64(label+2)+d.cells() <= int64(width) {
			break
		}
	}
	begin := time.UnixMilli(d.from).In(d.zone)
	c.printf("%s, %s, %s", printable(pool), begin.Format("Monday 2006-01-02"), d.zone)
	if length := time.Duration(d.to-d.from) * time.Millisecond; length != 24*time.Hour {
		c.printf(": the clocks change, the day has %s", shortDuration(length))
	}
	c.end()
	c.put("", strings.Repeat(" ", label+2))
	d.drawHours(c)
	used := make(map[sign]bool)
	for _, r := range d.rooms {
		for i, cells := range d.lanes(r) {
			name := ""
			if i == 0 {
				name = printable(r.id)
			}
			c.printf("%s  ", fit(name, label))
			for _, at := range cells {
				used[at.sign] = true
				c.put(at.sign.colour, string(at.char))
			}
			c.end()
		}
	}
	c.end()
	signs := []sign{signFree, signBooked, signHeld}
	for _, s := range []sign{signKept, signTaken, signMany, signClosed} {
		if used[s] {
			signs = append(signs, s)
		}
	}
	signs[len(signs)-1].means += fmt.Sprintf("; a column is %s", shortDuration(time.Duration(d.cell)*time.Millisecond))
	c.legend(width, signs, nil)
}

func (d *day) cells() int64 { return (d.to - d.from + d.cell - 1) / d.cell }

func (d *day) cellAt(i int64) stretch {
	return stretch{d.from + i*d.cell, min(d.from+(i+1)*d.cell, d.to)}
}

// drawHours draws the hours as the clocks show them: one that is skipped is not there, one that is repeated is there twice.
func (d *day) drawHours(c *canvas) {
	every := int64(1) // hours
	for _, n := range []int64{1, 2, 3, 4, 6} {
		if every = n; n*int64(time.Hour/time.Millisecond)/d.cell >= 3 {
			break
		}
	}
	var at int64 // the column behind what is drawn
	for i := range d.cells() {
		cell := d.cellAt(i)
		last := time.UnixMilli(cell.end - 1).In(d.zone)
		intoHour := time.Duration(last.Minute())*time.Minute + time.Duration(last.Second())*time.Second + time.Duration(last.Nanosecond())
		begins := last.Add(-intoHour).UnixMilli() >= cell.start // an hour does, in this column
		if !begins || int64(last.Hour())%every != 0 || i > 0 && i <= at {
			continue
		}
		c.put("", strings.Repeat(" ", int(i-at))+fmt.Sprintf("%02d", last.Hour()))
		at = i + 2
	}
	c.end()
}

// cell is a column of a room's line.
type cell struct {
	sign sign
	char rune
}

// lanes returns the lines of a room: one, or as many as it takes to show what is booked at the same time.
func (d *day) lanes(r *room) [][]cell {
	booked := slices.Clone(r.booked)
	slices.SortStableFunc(booked, func(a, b wire.Slot) int { return cmp.Compare(a.Start, b.Start) })
	lanes := make([][]wire.Slot, 1)
	for _, s := range booked {
		if s.Start-s.SetupMs >= d.to || s.End+s.CleanupMs <= d.from {
			continue
		}
		lane := slices.IndexFunc(lanes, func(lane []wire.Slot) bool {
			return len(lane) == 0 || lane[len(lane)-1].End+lane[len(lane)-1].CleanupMs <= s.Start-s.SetupMs
		})
		if lane < 0 {
			lanes = append(lanes, nil)
			lane = len(lanes) - 1
		}
		lanes[lane] = append(lanes[lane], s)
	}
	if int64(len(lanes)) < r.capacity && len(lanes[len(lanes)-1]) > 0 {
		lanes = append(lanes, nil) // for what is left
	}
	drawn := make([][]cell, len(lanes))
	for i, lane := range lanes {
		drawn[i] = d.lane(r, lane)
	}
	return drawn
}

// lane draws bookings one after the other.
func (d *day) lane(r *room, booked []wire.Slot) []cell {
	cells := make([]cell, d.cells())
	owner := make([]int, len(cells)) // the booking that has most of a cell, -1: none
	free := r.free
	for i := range cells {
		at := d.cellAt(int64(i))
		for len(free) > 0 && free[0].end <= at.start {
			free = free[1:]
		}
		s := signClosed
		switch {
		case len(free) > 0 && free[0].within(at) > 0:
			s = signFree
		case slices.ContainsFunc(d.open, func(o wire.Opening) bool { return stretch{o.Start, o.End}.within(at) > 0 }):
			s = signTaken
		}
		cells[i] = cell{s, s.char}
		owner[i] = -1
	}
	most := make([]int64, len(cells))
	mark := func(s stretch, fn func(i int, at stretch)) {
		for i := max(s.start-d.from, 0) / d.cell; i < int64(len(cells)) && d.cellAt(i).start < s.end; i++ {
			fn(int(i), d.cellAt(i))
		}
	}
	for n, s := range booked {
		for _, kept := range []stretch{{s.Start - s.SetupMs, s.Start}, {s.End, s.End + s.CleanupMs}} {
			mark(kept, func(i int, at stretch) {
				if cells[i].sign != signFree || 2*kept.within(at) >= at.end-at.start {
					cells[i] = cell{signKept, signKept.char}
				}
			})
		}
		whole := stretch{s.Start, s.End}
		mark(whole, func(i int, at stretch) {
			if part := whole.within(at); part > most[i] {
				most[i], owner[i] = part, n
			}
		})
	}
	for n, s := range booked {
		first, last := -1, -1
		for i, o := range owner {
			if o == n {
				if first < 0 {
					first = i
				}
				last = i
			}
		}
		if first >= 0 {
			d.drawBooking(cells[first:last+1], s)
		}
	}
	for n, s := range booked { // what had most of no cell shows in one at least
		if !slices.Contains(owner, n) {
			mark(stretch{s.Start, s.End}, func(i int, _ stretch) { cells[i] = cell{signMany, signMany.char} })
		}
	}
	return cells
}

// drawBooking draws one in the cells that it has.
func (d *day) drawBooking(cells []cell, s wire.Slot) {
	sign, begin, end := signBooked, '[', ']'
	if s.ExpiresAt != 0 {
		sign, begin, end = signHeld, '(', ')'
	}
	for i := range cells {
		cells[i] = cell{sign, sign.char}
	}
	n := len(cells)
	name := []rune(printable(cmp.Or(s.Owner, s.Client)))
	if s.Count > 1 {
		name = append(name, []rune("="+strconv.FormatInt(s.Count, 10))...)
	}
	if n < 2 {
		return
	}
	if s.Start >= d.from {
		cells[0].char = begin
	}
	if s.End <= d.to {
		cells[n-1].char = end
	}
	if len(name) > n-2 {
		return
	}
	for i, r := range name {
		cells[1+i].char = r
	}
}
