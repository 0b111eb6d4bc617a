package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

const (
	itemsMax     = 1000      // in one request, or one page of a list
	itemBytesMax = 512 << 10 // of the items in one request, so that it fits into a frame
)

// poolList prints the pools, or the items of one, page by page.
func (o *options) poolList(ctx context.Context, t terminal, args []string) error {
	ask := wire.PoolList{Limit: itemsMax}
	if len(args) > 0 {
		if ask.Pool = args[0]; ask.Pool == "" {
			return usagef("POOL is empty: kassa pool ls [POOL]")
		}
	}
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	write := writeLines
	if t.interactive() {
		write = writeTable
	}
	for page, err := range o.pages(ctx, c, ask) {
		if err == nil {
			err = write(t.stdout, page)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pages returns a list, page by page.
func (o *options) pages(ctx context.Context, c *client.Client, ask wire.PoolList) iter.Seq2[*wire.PoolPage, error] {
	return func(yield func(*wire.PoolPage, error) bool) {
		for {
			page := new(wire.PoolPage)
			err := o.get(ctx, c, "pool.list", ask, page)
			if ask.Cursor = page.Cursor; !yield(page, err) || err != nil || ask.Cursor == "" {
				return
			}
		}
	}
}

// writeLines writes a page in JSON, each entry on a line.
func writeLines(w io.Writer, page *wire.PoolPage) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for i := range page.Pools {
		if err := lines.Encode(&page.Pools[i]); err != nil {
			return err
		}
	}
	for i := range page.Items {
		if err := lines.Encode(&page.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// writeTable writes a page for people. Each has a heading of its own: columns are as wide as the page needs.
func writeTable(w io.Writer, page *wire.PoolPage) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(page.Pools) > 0 {
		fmt.Fprintln(table, "POOL\tKIND\tITEMS\tFREE\tLEASED\tSOLD\tWITHHELD\tDIRTY\tQUARANTINED\tDRAINING\tWAITING\tGRANTED")
	}
	for i := range page.Pools {
		p := &page.Pools[i]
		name := printable(p.Pool)
		if p.Retired {
			name += " (retired)"
		}
		// What a pool's kind does not have is not there, rather than none of it.
		has := func(n int, kinds ...string) string {
			if !slices.Contains(kinds, p.Kind) {
				return "-"
			}
			return strconv.Itoa(n)
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", name, p.Kind, p.Items,
			has(p.Free, "lease", "stock"), has(p.Leased, "lease", "stock"), has(p.Sold, "stock"), has(p.Withheld, "stock"),
			has(p.Dirty, "lease"), has(p.Quarantined, "lease"), p.Draining, p.Waiting, p.Granted)
	}
	if len(page.Items) > 0 {
		writeItems(table, page.Items)
	}
	return table.Flush()
}

// writeItems writes a table of items: each kind has columns of its own.
func writeItems(table io.Writer, items []wire.ItemState) {
	switch kindOf(items) {
	case "calendar":
		fmt.Fprintln(table, "ID\tSTATE\tCAPACITY\tBOOKINGS\tLABELS")
	case "stock":
		fmt.Fprintln(table, "ID\tSTATE\tROW\tCOLUMN\tQUANTITY\tHOLD\tUNTIL\tOWNER\tLABELS")
	default:
		fmt.Fprintln(table, "ID\tSTATE\tLEASE\tUNTIL\tOWNER\tLABELS")
	}
	kind := kindOf(items)
	for i := range items {
		it := &items[i]
		state, lease, until, owner := it.State, "-", "-", "-"
		if it.Quantity > 1 && kind == "stock" {
			state = fmt.Sprintf("%d available, %d held, %d sold, %d withheld", it.Available, it.Held, it.Sold, it.Withheld)
		}
		if it.Draining {
			state += " (draining)"
		}
		if n := it.Lease + it.Hold + it.Sale; n != 0 { // of these it has one
			lease = strconv.FormatUint(n, 10)
			if it.ExpiresAt != 0 { // of what is sold nothing ends
				until = time.UnixMilli(it.ExpiresAt).Format(time.DateTime)
			}
			owner = printable(cmp.Or(it.Owner, it.Client))
		}
		id, labels, quantity := printable(it.ID), labelText(it.Labels), max(it.Quantity, 1)
		switch kind {
		case "calendar":
			fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\n", id, state, quantity, it.Bookings, labels)
		case "stock":
			row, column := "-", "-"
			if it.Row != 0 {
				row, column = strconv.Itoa(it.Row), strconv.Itoa(it.Column)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", id, state, row, column, quantity, lease, until, owner, labels)
		default:
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", id, state, lease, until, owner, labels)
		}
	}
}

// kindOf returns the kind of the pool that items are in: their states tell.
func kindOf(items []wire.ItemState) string {
	switch items[0].State {
	case "open":
		return "calendar"
	case "available", "held", "sold", "withheld":
		return "stock"
	}
	return "lease"
}

func labelText(labels wire.Labels) string {
	if len(labels) == 0 {
		return "-"
	}
	terms := make([]string, 0, len(labels))
	for label, value := range labels {
		terms = append(terms, printable(label+"="+value))
	}
	slices.Sort(terms)
	return strings.Join(terms, ",")
}

func (o *options) poolStats(ctx context.Context, t terminal, args []string) error {
	return askAndShow(ctx, o, t, "pool.stats", wire.PoolRef{Pool: args[0]}, func(w io.Writer, s *wire.PoolStats) error {
		_, err := io.WriteString(w, statsText(s))
		return err
	})
}

// statsText says a pool's numbers for people.
func statsText(s *wire.PoolStats) string {
	type line struct {
		name  string
		value uint64
	}
	lines := []line{{"items", uint64(s.Items)}}
	add := func(name string, n int) { lines = append(lines, line{name, uint64(n)}) }
	switch s.Kind {
	case "stock":
		add("available", s.Free)
		add("held", s.Leased)
		add("sold", s.Sold)
		add("withheld", s.Withheld)
		add("draining", s.Draining)
		add("holds and sales", s.Leases)
	case "calendar":
		add("draining", s.Draining)
		add("bookings", s.Leases)
	default:
		add("free", s.Free)
		add("leased", s.Leased)
		add("dirty", s.Dirty)
		add("quarantined", s.Quarantined)
		add("draining", s.Draining)
		add("leases", s.Leases)
	}
	add("waiting", s.Waiting)
	lines = append(lines, line{"granted ever", s.Granted})
	var text strings.Builder
	fmt.Fprintf(&text, "%-16s %s\n%-16s %s\n", "pool", printable(s.Pool), "kind", s.Kind)
	if s.Retired {
		fmt.Fprintf(&text, "%-16s it is configured no longer\n", "retired")
	}
	for _, l := range lines {
		fmt.Fprintf(&text, "%-16s %d\n", l.name, l.value)
	}
	return text.String()
}

// poolFill fills in the items in as many requests as it takes, and prints the sum of the results.
func (o *options) poolFill(ctx context.Context, t terminal, args []string) error {
	ids := args[1:]
	if err := checkIDs(ids); err != nil {
		return err
	}
	var c *client.Client // made when there is something to send
	var sum wire.Filled
	var items []json.RawMessage
	n, bytes := 0, 0 // items filled in before, bytes in items
	flush := func() error {
		var err error
		if n > 0 && o.key != "" {
			return after(n, "filled in", usagef("--key is for one request, and there are more items than one takes"))
		}
		if c == nil {
			if c, err = o.dial(ctx); err != nil {
				return err
			}
		}
		var filled wire.Filled
		ask := struct {
			Pool  string            `json:"pool"`
			Items []json.RawMessage `json:"items"`
		}{args[0], items}
		if err := o.get(ctx, c, "pool.fill", ask, &filled); err != nil {
			return after(n, "filled in", err)
		}
		sum.Added += filled.Added
		sum.Changed += filled.Changed
		n += len(items)
		items, bytes = items[:0], 0
		return nil
	}
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for item, err := range t.items(ids) {
		if err == nil && len(items) > 0 && (len(items) == itemsMax || bytes+len(item) > itemBytesMax) {
			if err := flush(); err != nil {
				return err
			}
		}
		if err != nil {
			return after(n, "filled in", fmt.Errorf("item %d: %w", n+len(items)+1, err))
		}
		items, bytes = append(items, item), bytes+len(item)
	}
	if err := flush(); err != nil {
		return err
	}
	return t.printValue(sum)
}

// items returns the items to fill in, as they go into the request.
func (t terminal) items(ids []string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if ids[0] != "-" {
			for _, id := range ids {
				if !yield(json.Marshal(id)) {
					return
				}
			}
			return
		}
		for value, err := range t.payloads(ids) {
			var item wire.FillItem
			if err == nil && (json.Unmarshal(value, &item) != nil || item.ID == "") {
				err = usagef(`it is %.64s: want "ID", or {"id":"ID","labels":{...},"attrs":...}`, value)
			}
			if !yield(value, err) {
				return
			}
		}
	}
}

// poolDrain drains the items in as many requests as it takes, and prints the sum of the results.
func (o *options) poolDrain(ctx context.Context, t terminal, args []string) error {
	ids := args[1:]
	switch {
	case o.all && len(ids) > 0:
		return usagef("--all is in the place of IDs: kassa pool drain POOL ID...|--all")
	case !o.all && len(ids) == 0:
		return usagef("pool drain needs the IDs of the items, or --all: kassa pool drain POOL ID...|--all")
	case slices.Contains(ids, ""):
		return usagef("an ID is empty")
	}
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var sum wire.Drained
	for ask := (wire.PoolDrain{Pool: args[0], All: o.all}); ; {
		ask.IDs, ids = ids[:min(len(ids), itemsMax)], ids[min(len(ids), itemsMax):]
		var drained wire.Drained
		if err := o.get(ctx, c, "pool.drain", ask, &drained); err != nil {
			return after(sum.Removed+sum.Draining, "drained", err)
		}
		sum.Removed += drained.Removed
		sum.Draining += drained.Draining
		ask.Cursor = drained.Cursor
		if len(ids) == 0 && ask.Cursor == "" {
			return t.printValue(sum)
		}
		if o.key != "" {
			return after(sum.Removed+sum.Draining, "drained", usagef("--key is for one request, and there are more items than one takes"))
		}
	}
}

// checkIDs checks arguments that are IDs, or - alone.
func checkIDs(ids []string) error {
	switch {
	case slices.Contains(ids, ""):
		return usagef("an ID is empty")
	case len(ids) > 1 && slices.Contains(ids, "-"):
		return usagef("- stands for items on standard input, and alone")
	}
	return nil
}

// after says how many items were dealt with before err.
func after(n int, done string, err error) error {
	if n == 0 {
		return err
	}
	if failure, ok := errors.AsType[*codec.Error](err); ok {
		said := *failure
		said.Message += fmt.Sprintf(" (%d items were %s before)", n, done)
		return &said
	}
	return fmt.Errorf("%d items were %s, and then: %w", n, done, err)
}

// printValue prints v as a result.
func (t terminal) printValue(v any) error {
	p, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.print(client.Response{Payload: p})
}
