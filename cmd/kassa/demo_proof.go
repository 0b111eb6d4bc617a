package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/wire"
)

// demoReport is what a demo has come to, as --json prints it. Lengths of time are in ms.
type demoReport struct {
	Pool        string         `json:"pool"`
	Clients     int            `json:"clients"`
	Seed        uint64         `json:"seed"`
	Seats       int            `json:"seats"`
	Sold        int            `json:"sold"`
	TookMs      int64          `json:"tookMs"` // by the server's clock, from the first hold to the last sale
	Interrupted bool           `json:"interrupted,omitempty"`
	Outcomes    map[string]int `json:"outcomes"` // clients, by how their visit ended
	Failed      int            `json:"failed"`   // clients that met something else
	Replies     int            `json:"replies"`
	Again       int            `json:"again,omitempty"` // requests that were made again, as their connection was lost
	AtOnceMs    times          `json:"atOnceMs"`        // all answers that nobody waited for seats for
	CreatesMs   times          `json:"createsMs"`
	WaitsMs     times          `json:"waitsMs"` // for seats to come back, of those who got some
	Events      eventCounts    `json:"events"`
	FromRev     uint64         `json:"fromRev"` // of the log that was read …
	ToRev       uint64         `json:"toRev"`   // … to this one
	Sales       []saleRow      `json:"sales"`
	Receipts    int            `json:"receipts"`
	FromLogOnly int            `json:"fromLogOnly,omitempty"` // sales of which the client lost the answer, and then the session
	Faults      []string       `json:"faults"`                // none: each seat was sold once, at most

	house *house
}

// saleRow says who got what.
type saleRow struct {
	AfterMs int64 `json:"afterMs"` // when, from the first hold on
	receipt
	Waited bool `json:"waited"` // for the seats to come back
}

// times are some lengths of time.
type times struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func timesOf(h *hdrhistogram.Histogram) times {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return times{h.TotalCount(), ms(h.ValueAtPercentile(50)), ms(h.ValueAtPercentile(99)), ms(h.Max())}
}

func (t times) String() string {
	return fmt.Sprintf("%s   p50 %.1f ms   p99 %.1f ms   max %.1f ms", thousands(int(t.Count)), t.P50, t.P99, t.Max)
}

// prove reads from the server what has happened, and checks it.
func (d *demo) prove() (*demoReport, error) {
	ctx := context.Background()
	var list *seatList
	err := d.o.patiently(ctx, func() error {
		c, err := d.o.dial(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		list, err = d.list(ctx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	var items []wire.ItemState // as they were: all available
	for _, s := range d.house.seats {
		items = append(items, wire.ItemState{ID: s.id, Row: s.row, Column: s.column})
	}
	h := newHouse(d.pool, items)
	if err := d.o.follow(ctx, d.rev+1, list.rev, houseEvents, h.apply); err != nil {
		return nil, fmt.Errorf("reading the log from rev %d to %d: %w", d.rev+1, list.rev, err)
	}
	receipts, refused := d.crowd.tally.receipts, d.crowd.tally.refused
	faults, fromLogOnly := verify(h, list.Items, receipts, refused)
	r := &demoReport{
		Pool: d.pool, Clients: len(d.crowd.visitors), Seed: d.seed, Seats: len(h.seats), Sold: h.count[sold], Events: h.events,
		FromRev: d.rev + 1, ToRev: list.rev, Sales: []saleRow{}, Receipts: len(receipts), FromLogOnly: fromLogOnly, Faults: faults, house: h,
	}
	var first, last int64
	for _, n := range h.holds {
		if first == 0 || n.at < first {
			first = n.at
		}
		last = max(last, n.soldAt)
	}
	for _, n := range h.holds {
		if n.soldAt != 0 {
			row := saleRow{n.soldAt - first, receipt{n.owner, n.number, n.token, nil}, n.waited}
			for _, s := range n.seats {
				row.Seats = append(row.Seats, s.id)
			}
			r.Sales = append(r.Sales, row)
		}
	}
	if last > 0 {
		r.TookMs = last - first
	}
	slices.SortFunc(r.Sales, func(a, b saleRow) int {
		return cmp.Or(cmp.Compare(a.AfterMs, b.AfterMs), cmp.Compare(a.Token, b.Token))
	})
	return r, nil
}

// verify returns what is wrong: with the log that h was made by, between that and pool.list, which says how it ended, and
// between both and the receipts of those who bought. Of fromLogOnly sales there can be no receipt: see afterwards.
func verify(h *house, list []wire.ItemState, receipts []receipt, refused []afterwards) (faults []string, fromLogOnly int) {
	faults = append([]string{}, h.faults...)
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	lost := make(map[*hold]bool) // what the client knows of its sale
	for _, r := range refused {
		n := h.holds[r.hold]
		switch {
		case n == nil:
			fault("hold %d (%s): it was refused as %v, and is not in the log", r.hold, r.owner, r.code)
		case r.code == codec.Expired && !n.voided: // it ran out
		case r.session == n.session:
			fault("hold %d (%s): a request was carried out, and refused as %v when it was made again in the same session, %d",
				n.number, n.owner, r.code, n.session)
		case r.code == codec.AlreadyResolved && n.soldAt == 0:
			fault("hold %d (%s): it was refused as %v, and not sold", n.number, n.owner, r.code)
		case r.code == codec.AlreadyResolved:
			lost[n] = true
		}
	}

	listed := make(map[string]bool)
	for _, it := range list {
		listed[it.ID] = true
		s := h.byID[it.ID]
		switch {
		case s == nil:
			fault("seat %s: it was not there at the start", it.ID)
		case it.State != s.state.String():
			fault("seat %s: it is %s by the log, and %s by pool.list", s.id, s.state, it.State)
		case s.by != nil && (it.Hold+it.Sale != s.by.number || it.Owner != s.by.owner):
			fault("seat %s: it is %s to %s (%d) by the log, and to %s (%d) by pool.list", s.id, s.state, s.by.owner, s.by.number, it.Owner, it.Hold+it.Sale)
		}
	}
	for _, s := range h.seats {
		switch {
		case !listed[s.id]:
			fault("seat %s: pool.list does not know it any more", s.id)
		case s.state == held:
			fault("seat %s: it is still held, by hold %d (%s)", s.id, s.by.number, s.by.owner)
		}
	}

	has := make(map[string]receipt) // by seat
	for _, r := range receipts {
		for _, id := range r.Seats {
			if other, ok := has[id]; ok {
				fault("seat %s: %s and %s both have a receipt for it, of the sales %d and %d", id, other.Owner, r.Owner, other.Sale, r.Sale)
			}
			has[id] = r
		}
	}
	for _, s := range h.seats {
		r, ok := has[s.id]
		delete(has, s.id)
		switch {
		case !ok && s.state == sold && lost[s.by]:
		case !ok && s.state == sold:
			fault("seat %s: it was sold to %s (sale %d), who has no receipt for it", s.id, s.by.owner, s.by.number)
		case ok && s.state != sold:
			fault("seat %s: %s has a receipt for it, of sale %d, and it is %s", s.id, r.Owner, r.Sale, s.state)
		case ok && (r.Owner != s.by.owner || r.Sale != s.by.number || r.Token != s.by.token):
			fault("seat %s: %s has a receipt for it, of sale %d with token %d, and it was sold to %s, by sale %d with token %d",
				s.id, r.Owner, r.Sale, r.Token, s.by.owner, s.by.number, s.by.token)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(has)) {
		fault("seat %s: %s has a receipt for it, and there is no such seat", id, has[id].Owner)
	}
	return faults, len(lost)
}

// crowdTold adds what the crowd has met, and what went wrong with the demo itself.
func (r *demoReport) crowdTold(c *crowd, failed error) {
	t := &c.tally
	r.Outcomes, r.Failed, r.Replies, r.Again = t.outcomes, t.failed, t.replies, t.again
	r.AtOnceMs, r.CreatesMs, r.WaitsMs = timesOf(t.atOnce), timesOf(t.creates), timesOf(t.waits)
	r.Faults = append(r.Faults, t.errors...)
	if more := t.failed - len(t.errors); more > 0 {
		r.Faults = append(r.Faults, fmt.Sprintf("%d more clients failed", more))
	}
	if failed != nil && !r.Interrupted {
		r.Faults = append(r.Faults, describe(failed))
	}
}

const rowsShown = 10 // of sales, and of faults

// write writes it for people: all sales, or the first of them.
func (r *demoReport) write(out io.Writer, all bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s clients, pool %s, seed %d", thousands(r.Clients), r.Pool, r.Seed)
	if r.Interrupted {
		fmt.Fprint(w, ", interrupted")
	}
	took := (time.Duration(r.TookMs) * time.Millisecond).Seconds()
	switch r.Sold {
	case r.Seats:
		fmt.Fprintf(w, ": sold out %.3f s after the first hold\n\n", took)
	case 0:
		fmt.Fprint(w, ": nothing was sold\n")
	default:
		fmt.Fprintf(w, ": %d of %d seats were sold, the last one %.3f s after the first hold\n\n", r.Sold, r.Seats, took)
	}
	if len(r.Sales) > 0 {
		fmt.Fprintln(w, "AFTER\tSALE\tTOKEN\tOWNER\tWAITED\tSEATS")
	}
	for i, s := range r.Sales {
		if i == rowsShown && !all {
			fmt.Fprintf(w, "… and %d more sales; --all lists them\n", len(r.Sales)-i)
			break
		}
		waited := "-"
		if s.Waited {
			waited = "yes"
		}
		fmt.Fprintf(w, "%.3f s\t%d\t%d\t%s\t%s\t%s\n", float64(s.AfterMs)/1000, s.Sale, s.Token,
			printable(s.Owner), waited, printable(strings.Join(s.Seats, " ")))
	}
	if r.Replies > 0 {
		fmt.Fprintf(w, "\nholds  %s created, %s sold, %s voided, %s ran out\n",
			thousands(r.Events.Created), thousands(r.Events.Confirmed), thousands(r.Events.Voided), thousands(r.Events.Expired))
		fmt.Fprintf(w, "clients  %s\n", outcomeText(r.Outcomes, r.Failed))
		if r.Again > 0 {
			fmt.Fprintf(w, "connections were lost: %s requests were made again when the server was back\n", thousands(r.Again))
		}
		fmt.Fprintf(w, "hold.create, at once  %v\n", r.CreatesMs)
		fmt.Fprintf(w, "seats that came back  %v\n", r.WaitsMs)
		fmt.Fprintf(w, "all answers at once  %v\n", r.AtOnceMs)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "The proof, from the server: its log from rev %d to %d, pool.list, and the clients' receipts\n", r.FromRev, r.ToRev)
	switch {
	case len(r.Faults) > 0:
	case r.Sold == 0:
		fmt.Fprintf(w, "  all of the %d seats are available\n", r.Seats)
	default:
		fmt.Fprintf(w, "  each of the %d seats that are sold was sold once, and none was ever held or sold twice at the same time\n", r.Sold)
		fmt.Fprintf(w, "  the log, pool.list and %d receipts agree on owner, sale and token of each: %s\n", r.Receipts, r.sum())
		if r.FromLogOnly > 0 {
			fmt.Fprintf(w, "  %d sales are known from the log only: their clients lost the answer, and then the session with the key\n", r.FromLogOnly)
		}
	}
	for i, f := range r.Faults {
		if i == rowsShown && !all {
			fmt.Fprintf(w, "  … and %d more; --all lists them\n", len(r.Faults)-i)
			break
		}
		fmt.Fprintf(w, "  WRONG: %s\n", printable(f))
	}
	return w.Flush()
}

// sum counts the seats.
func (r *demoReport) sum() string {
	text := fmt.Sprintf("%d sold", r.house.count[sold])
	if n := r.house.count[available]; n > 0 {
		text += fmt.Sprintf(" + %d available", n)
	}
	return text + fmt.Sprintf(" = %d seats", r.Seats)
}

// outcomeText says how many clients ended how, the most first.
func outcomeText(outcomes map[string]int, failed int) string {
	names := slices.SortedFunc(maps.Keys(outcomes), func(a, b string) int { return cmp.Or(outcomes[b]-outcomes[a], cmp.Compare(a, b)) })
	var parts []string
	for _, name := range names {
		parts = append(parts, thousands(outcomes[name])+" "+name)
	}
	if failed > 0 {
		parts = append(parts, thousands(failed)+" FAILED")
	}
	return strings.Join(parts, ", ")
}

// thousands writes n with commas.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
