package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/pool/wire"
)

// slotFlags are the flags of the commands on calendars. Times are as they were written: clock reads them.
type slotFlags struct {
	start, end, from, to, at, day string
	length                        time.Duration
	zone                          string
	rrule, onConflict             string
	following                     bool
	item                          string
}

// book books items of a calendar.
func (o *options) book(ctx context.Context, t terminal, args []string) error {
	f := &o.times
	switch {
	case slices.Contains(args, ""):
		return usagef("an ITEM is empty")
	case f.start == "":
		return usagef("book needs --start WHEN: from when")
	case (f.end == "") == !slices.Contains(o.given, "for"):
		return usagef("book needs either --end WHEN or --for TIME: until when")
	case f.end == "" && (f.length <= 0 || f.length%time.Millisecond != 0):
		return usagef("--for is %v: %s, in whole milliseconds", f.length, lengthFormats)
	case !slices.Contains([]string{"", "fail", "skip", "report"}, f.onConflict):
		return usagef("--on-conflict is %q: want fail, skip or report", f.onConflict)
	}
	return o.onCalendar(ctx, args[0], func(k *clock, want wire.Want) error {
		start, err := k.at(ctx, "--start", f.start, k.now)
		if err != nil {
			return err
		}
		end := start.Add(f.length)
		if f.end != "" {
			if end, err = k.at(ctx, "--end", f.end, start); err != nil {
				return err
			}
		}
		ask := wire.SlotBook{
			Pool: args[0], IDs: args[1:], Select: want.Select, Count: want.Count, Start: wire.At(start.UnixMilli()), End: wire.At(end.UnixMilli()),
			Zone: f.zone, RRule: f.rrule, OnConflict: f.onConflict, Owner: o.lease.owner,
		}
		return askShown(ctx, o, t, k.c, "slot.book", ask, k.showBooking(ctx))
	})
}

// onCalendar calls fn with a connection and the clock of a pool, and with what --select and -n want of it.
func (o *options) onCalendar(ctx context.Context, pool string, fn func(*clock, wire.Want) error) error {
	like, err := o.acquire(pool)
	if err == nil {
		err = o.checkZone()
	}
	if err != nil {
		return err
	}
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	k, err := o.clockOf(c, pool)
	if err != nil {
		return err
	}
	return k.local(fn(k, like.Want[0]))
}

// showBooking returns what prints a booking.
func (k *clock) showBooking(ctx context.Context) func(io.Writer, *wire.Booking) error {
	return func(w io.Writer, b *wire.Booking) error {
		if k.pool == "" && len(b.Items) > 0 {
			k.pool = b.Items[0].Pool
		}
		zone, err := k.in(ctx)
		if err != nil {
			return err
		}
		heading := fmt.Sprintf("booking %d with token %d (%s)", b.Booking, b.Token, zone)
		if b.Booking == 0 {
			heading = fmt.Sprintf("nothing was booked; free (%s)", zone)
		}
		fmt.Fprintln(w, heading)
		writeTimes(w, b.Items, zone)
		if len(b.Conflicts) > 0 {
			fmt.Fprintln(w, "not free")
			writeTimes(w, b.Conflicts, zone)
		}
		if b.Booking != 0 {
			which := fmt.Sprintf("%d %d%s", b.Booking, b.Token, k.moved(b, zone))
			_, err = fmt.Fprintf(w, "kassa slot move %s --start WHEN moves it, kassa slot cancel %[1]s cancels it\n", which)
		}
		return err
	}
}

// moved returns the flags that name the times of a booking that were moved, where not all were.
func (k *clock) moved(b *wire.Booking, zone *time.Location) string {
	f := &k.o.times
	if f.at == "" || len(b.Items) == 0 {
		return ""
	}
	at := time.UnixMilli(b.Items[0].Start).In(zone)
	layout := "2006-01-02T15:04"
	if f.zone != "" || ambiguous(at) || !at.Truncate(time.Minute).Equal(at) {
		layout = "2006-01-02T15:04:05.999Z07:00"
	}
	flags := " --at " + at.Format(layout)
	if f.following {
		flags += " --following"
	}
	return flags
}

func writeTimes(w io.Writer, items []wire.Item, zone *time.Location) {
	for _, it := range items {
		fmt.Fprintf(w, "  %s %s  %s\n", printable(it.Pool), itemText(it), spanText(it.Start, it.End, zone))
	}
}

// slotMove moves a booking, or some of its times.
func (o *options) slotMove(ctx context.Context, t terminal, args []string) error {
	f := &o.times
	if f.start == "" && f.end == "" && f.item == "" {
		return usagef("slot move needs --start WHEN, --end WHEN or --item ITEM, to say what is to change")
	}
	k, err := o.bookingClock(args)
	if err != nil {
		return err
	}
	ask := wire.SlotMove{Booking: k.booking, Token: k.token, Following: f.following, Zone: f.zone, Item: f.item}
	if ask.At, err = k.moment(ctx, "--at", f.at); err != nil {
		return err
	}
	if ask.Start, err = k.moment(ctx, "--start", f.start); err != nil {
		return err
	}
	if ask.End, err = k.moment(ctx, "--end", f.end); err != nil {
		return err
	}
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if k.clock, err = o.clockOf(c, ""); err != nil {
		return err
	}
	return k.local(askShown(ctx, o, t, c, "slot.move", ask, k.showBooking(ctx)))
}

// slotCancel cancels a booking, or some of its times.
func (o *options) slotCancel(ctx context.Context, t terminal, args []string) error {
	f := &o.times
	k, err := o.bookingClock(args)
	if err != nil {
		return err
	}
	ask := wire.SlotCancel{Booking: k.booking, Token: k.token, Following: f.following, Zone: f.zone}
	if ask.At, err = k.moment(ctx, "--at", f.at); err != nil {
		return err
	}
	return k.local(askAndShow(ctx, o, t, "slot.cancel", ask, func(w io.Writer, cancelled *wire.Cancelled) error {
		_, err := fmt.Fprintf(w, "%d of booking %d were cancelled\n", cancelled.Cancelled, k.booking)
		return err
	}))
}

// bookingClock is the clock of a request about a booking.
type bookingClock struct {
	*clock
	booking, token uint64
}

func (o *options) bookingClock(args []string) (k bookingClock, err error) {
	if k.booking, err = number("BOOKING", args[0]); err == nil {
		k.token, err = number("TOKEN", args[1])
	}
	if err == nil && o.times.following && o.times.at == "" {
		err = usagef("--following is for --at: that one, and all that follow")
	}
	if err == nil {
		k.clock, err = o.clockOf(nil, "")
	}
	return k, err
}

// slotFind prints when something is free.
func (o *options) slotFind(ctx context.Context, t terminal, args []string) error {
	length := o.times.length
	switch {
	case !slices.Contains(o.given, "for"):
		return usagef("slot find needs --for TIME, how long it is to be free: %s", lengthFormats)
	case length <= 0 || length%time.Millisecond != 0:
		return usagef("--for is %v: %s, in whole milliseconds", length, lengthFormats)
	}
	return o.withTimes(ctx, args, false, func(k *clock, ask wire.SlotFind) error {
		ask.LengthMs = length.Milliseconds()
		return printSlots(t, o.free(ctx, k.c, ask), "ID\tFREE\tFOR", func(w io.Writer, it wire.Item) {
			fmt.Fprintf(w, "%s\t%s\t%s\n", printable(it.ID), spanText(it.Start, it.End, k.zone), lengthText(it.End-it.Start))
		})
	})
}

// slotList prints what is booked.
func (o *options) slotList(ctx context.Context, t terminal, args []string) error {
	return o.withTimes(ctx, args, true, func(k *clock, ask wire.SlotFind) error {
		return printSlots(t, o.booked(ctx, k.c, ask), "ID\tBOOKED\tFOR\tBOOKING\tOWNER\tSTATE", func(w io.Writer, s wire.Slot) {
			state, id := "booked", printable(s.ID)
			if s.ExpiresAt != 0 {
				state = "held until " + time.UnixMilli(s.ExpiresAt).In(k.zone).Format(time.DateTime)
			}
			if s.Count > 1 {
				id = fmt.Sprintf("%s=%d", id, s.Count)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", id, spanText(s.Start, s.End, k.zone), lengthText(s.End-s.Start), s.Booking,
				printable(cmp.Or(s.Owner, s.Client)), state)
		})
	})
}

// lengthText says how long something is, to the minute if it is longer than one.
func lengthText(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d > time.Minute {
		d = d.Truncate(time.Minute)
	}
	return shortDuration(d)
}

// shortDuration writes 1h30m0s as 1h30m.
func shortDuration(d time.Duration) string {
	text := d.String()
	if d != 0 && d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d != 0 && d%time.Hour == 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// printSlots prints what there is: on a terminal as a table, else in JSON, each on a line.
func printSlots[T any](t terminal, slots iter.Seq2[T, error], heading string, row func(io.Writer, T)) error {
	lines := json.NewEncoder(t.stdout)
	lines.SetEscapeHTML(false)
	table := tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', 0)
	n := 0
	for slot, err := range slots {
		switch {
		case err != nil:
			return err
		case !t.interactive():
			if err := lines.Encode(slot); err != nil {
				return err
			}
			continue
		case n == 0:
			fmt.Fprintln(table, heading)
		}
		row(table, slot)
		n++
	}
	if n == 0 && t.interactive() {
		fmt.Fprintln(t.stdout, "none")
	}
	return table.Flush()
}

// withTimes calls fn with the times that the flags name: --day, today by default if wholeDay, or --from to --to.
func (o *options) withTimes(ctx context.Context, args []string, wholeDay bool, fn func(*clock, wire.SlotFind) error) error {
	f := &o.times
	switch {
	case slices.Contains(args, ""):
		return usagef("an ITEM is empty")
	case f.day != "" && f.from+f.to != "":
		return usagef("--day is in the place of --from and --to")
	}
	return o.onCalendar(ctx, args[0], func(k *clock, want wire.Want) error {
		from, to, err := k.fromTo(ctx, wholeDay)
		if err != nil {
			return err
		}
		return fn(k, wire.SlotFind{
			Pool: args[0], IDs: args[1:], Select: want.Select, Count: want.Count, Limit: itemsMax,
			From: wire.At(from.UnixMilli()), To: wire.At(to.UnixMilli()),
		})
	})
}

// fromTo returns the times that the flags name.
func (k *clock) fromTo(ctx context.Context, wholeDay bool) (from, to time.Time, err error) {
	f := &k.o.times
	zone, err := k.in(ctx)
	if err != nil {
		return from, to, err
	}
	from = k.now.In(zone)
	if f.from+f.to == "" && wholeDay {
		day := cmp.Or(f.day, "today")
		if named := k.named(day, zone); isDay(named) {
			day = named
		}
		return dayOf("--day", day, zone)
	}
	if f.from != "" {
		if from, err = k.at(ctx, "--from", f.from, k.now); err != nil {
			return from, to, err
		}
	}
	if f.to == "" {
		return from, endOfDay(from.In(zone)), nil
	}
	to, err = k.at(ctx, "--to", f.to, from)
	if err == nil && !to.After(from) {
		err = usagef("--to is %q, which is not after the start, %s", f.to, from.In(zone).Format("Mon 2006-01-02 15:04 MST"))
	}
	return from, to, err
}

// free returns what slot.find does, of all pages.
func (o *options) free(ctx context.Context, c *client.Client, ask wire.SlotFind) iter.Seq2[wire.Item, error] {
	return paged(func(cursor string) ([]wire.Item, string, error) {
		var page wire.SlotsFree
		ask.Cursor = cursor
		err := o.get(ctx, c, "slot.find", ask, &page)
		return page.Free, page.Cursor, err
	})
}

// booked returns what slot.list does, of all pages.
func (o *options) booked(ctx context.Context, c *client.Client, ask wire.SlotFind) iter.Seq2[wire.Slot, error] {
	return func(yield func(wire.Slot, error) bool) {
		for page, err := range o.bookedPages(ctx, c, ask) {
			for _, s := range page.Booked {
				if !yield(s, nil) {
					return
				}
			}
			if err != nil {
				yield(wire.Slot{}, err)
			}
		}
	}
}

// bookedPages returns the pages.
func (o *options) bookedPages(ctx context.Context, c *client.Client, ask wire.SlotFind) iter.Seq2[wire.SlotsBooked, error] {
	return paged(func(cursor string) ([]wire.SlotsBooked, string, error) {
		var page wire.SlotsBooked
		ask.Cursor = cursor
		err := o.get(ctx, c, "slot.list", ask, &page)
		return []wire.SlotsBooked{page}, page.Cursor, err
	})
}

// paged returns all entries of a list that comes page by page.
func paged[T any](next func(cursor string) (page []T, after string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			page, after, err := next(cursor)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, entry := range page {
				if !yield(entry, nil) {
					return
				}
			}
			if cursor = after; cursor == "" {
				return
			}
		}
	}
}
