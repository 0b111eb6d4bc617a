package serve

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/bytedance/sonic/encoder"

	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// appendResult appends the result of an operation that was done, as one line of JSON.
func appendResult(dst []byte, o *op) ([]byte, error) {
	r := &o.reply
	if o.verb != nil {
		return o.verb.AppendResult(dst, result(o))
	}
	switch o.kind {
	case opAcquire:
		return appendGrant(dst, pool.Lease, r), nil
	case opHold:
		return appendGrant(dst, pool.Stock, r), nil
	case opRenew, opExtend:
		return append(strconv.AppendInt(append(dst, `{"expiresAt":`...), r.ExpiresAt, 10), '}'), nil
	case opRelease:
		return append(strconv.AppendInt(append(dst, `{"released":`...), int64(r.Count), 10), '}'), nil
	}
	return appendJSON(dst, result(o))
}

// result is the same as a value of package wire.
func result(o *op) any {
	r := &o.reply
	switch o.kind {
	case opAcquire:
		return wireLease(r)
	case opRenew, opExtend:
		return &wire.Renewed{ExpiresAt: r.ExpiresAt}
	case opHold:
		return &wire.Hold{Hold: r.Grant, Token: r.Token, ExpiresAt: r.ExpiresAt, Seats: wireItems(r.Items)}
	case opConfirm:
		return &wire.Sale{Sale: r.Grant, Token: r.Token, ExpiresAt: r.ExpiresAt, Seats: wireItems(r.Items)}
	case opVoid:
		return &wire.Voided{Voided: r.Count}
	case opRefund:
		return &wire.Refunded{Refunded: r.Count}
	case opBook, opMove:
		return &wire.Booking{Booking: r.Grant, Token: r.Token, Items: wireItems(r.Items), Conflicts: wireItems(r.Conflicts)}
	case opCancelSlot:
		return &wire.Cancelled{Cancelled: r.Count}
	case opRelease:
		return &wire.Released{Released: r.Count}
	case opFill:
		return &wire.Filled{Added: r.Count, Changed: r.Other}
	case opDrain:
		return &wire.Drained{Removed: r.Count, Draining: r.Other, Cursor: r.Cursor}
	case opSetItem:
		return &wire.ItemChanged{Changed: r.Count}
	case opHello:
		hello := o.job.Hello()
		hello.ServerTime = time.UnixMilli(o.now).UTC() // it may differ from the wall clock, and expiresAt is by this one
		return &helloResult{Hello: hello, Session: r.Session, Resume: o.hello}
	}
	return o.view
}

// helloResult is what hello answers where there are sessions.
type helloResult struct {
	dispatch.Hello
	Session uint64 `json:"session"`
	Resume  string `json:"resume"`
}

func wireLease(r *pool.Reply) *wire.Lease {
	return &wire.Lease{Lease: r.Grant, Token: r.Token, ExpiresAt: r.ExpiresAt, Items: wireItems(r.Items)}
}

func wireItems(given []pool.Given) []wire.Item {
	items := make([]wire.Item, len(given))
	for i, it := range given {
		items[i] = wire.Item{Pool: it.Pool, ID: it.ID, Labels: wireLabels(it.Labels), Attrs: json.RawMessage(it.Attrs), Start: it.Span.Start, End: it.Span.End}
		if it.Units > 1 {
			items[i].Qty = it.Units
		}
	}
	return items
}

// appendGrant is what result encodes to for a lease, or a hold.
func appendGrant(dst []byte, kind pool.Kind, r *pool.Reply) []byte {
	grant, items := `{"lease":`, `,"items":[`
	if kind == pool.Stock {
		grant, items = `{"hold":`, `,"seats":[`
	}
	dst = strconv.AppendUint(append(dst, grant...), r.Grant, 10)
	dst = strconv.AppendUint(append(dst, `,"token":`...), r.Token, 10)
	dst = strconv.AppendInt(append(dst, `,"expiresAt":`...), r.ExpiresAt, 10)
	dst = append(dst, items...)
	for i := range r.Items {
		it := &r.Items[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(append(dst, `{"pool":`...), it.Pool)
		dst = appendString(append(dst, `,"id":`...), it.ID)
		if it.Labels != "" {
			dst = append(append(dst, `,"labels":`...), it.Labels...)
		}
		if it.Attrs != "" {
			dst = append(append(dst, `,"attrs":`...), it.Attrs...)
		}
		if it.Units > 1 {
			dst = strconv.AppendInt(append(dst, `,"qty":`...), it.Units, 10)
		}
		if it.Span.End != 0 {
			dst = strconv.AppendInt(append(dst, `,"start":`...), it.Span.Start, 10)
			dst = strconv.AppendInt(append(dst, `,"end":`...), it.Span.End, 10)
		}
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return append(dst, encoder.Quote(s)...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func wireLabels(text string) wire.Labels {
	if text == "" {
		return nil
	}
	var labels wire.Labels
	if json.Unmarshal([]byte(text), &labels) != nil {
		panic("serve: the machine's labels are not JSON: " + text)
	}
	return labels
}

func wireStats(s pool.Stats) *wire.PoolStats {
	return &wire.PoolStats{
		Pool: s.Pool, Kind: string(s.Kind), Retired: s.Retired, Items: s.Items, Free: s.Free, Leased: s.Held, Sold: s.Sold, Withheld: s.Withheld,
		Dirty: s.Dirty, Quarantined: s.Quarantined, Draining: s.Draining, Leases: s.Grants, Waiting: s.Waiting, Granted: s.Granted,
	}
}

func wireItemState(v *pool.ItemView) wire.ItemState {
	quantity := v.Quantity
	if quantity == 1 {
		quantity = 0
	}
	item := wire.ItemState{
		ID: v.ID, State: v.State, Draining: v.Draining, Labels: wireLabels(v.Labels), Attrs: json.RawMessage(v.Attrs),
		Row: v.Row, Column: v.Col, Quantity: quantity, Available: v.Available, Held: v.Held, Sold: v.Sold, Withheld: v.Withheld, Bookings: v.Bookings,
		Lease: v.Grant, ExpiresAt: v.ExpiresAt, Client: v.Client, Owner: v.Owner, Broken: v.Broken, Version: v.Version,
	}
	switch v.State {
	case "held":
		item.Lease, item.Hold = 0, v.Grant
	case "sold":
		item.Lease, item.Sale = 0, v.Grant
	}
	return item
}

func wireExplained(x *pool.Explanation) *wire.Explained {
	e := &wire.Explained{
		Wait: x.Wait, Client: x.Client, Since: x.Since, Until: x.Until, Position: x.Position, Priority: int(x.Priority), Text: x.Text,
	}
	for _, b := range x.Blocked {
		w := wire.Blocked{Pool: b.Pool, Want: b.Want, Match: b.Match, Free: b.Free, FreeAt: b.FreeAt, Draining: b.Leaving}
		if b.Kind == pool.Stock {
			w.Hold = b.Grant
		} else {
			w.Lease = b.Grant
		}
		e.Blocked = append(e.Blocked, w)
	}
	return e
}

// WireEvent returns an event as watchers are told of it.
func WireEvent(e *pool.Event) *wire.Event {
	w := &wire.Event{
		Rev: e.Rev, At: e.At, Type: e.Type, Pool: e.Pool, Token: e.Token, Wait: e.Wait, Session: e.Session,
		Client: e.Client, Owner: e.Owner, ExpiresAt: e.ExpiresAt, State: e.State, Withheld: e.Withheld, Outcome: e.Outcome, Cause: e.Cause,
		Items: wireRefs(e.Items), Was: wireRefs(e.Was),
	}
	switch what, _, _ := strings.Cut(e.Type, "."); what {
	case "hold":
		w.Hold = e.Grant
	case "sale":
		w.Sale = e.Grant
	case "slot":
		w.Booking = e.Grant
	default:
		w.Lease = e.Grant
	}
	if len(w.Items) == 1 {
		w.Items[0].Labels, w.Items[0].Attrs = wireLabels(e.Labels), json.RawMessage(e.Attrs)
	}
	return w
}

func wireRefs(refs []pool.ItemRef) (items []wire.Item) {
	for _, ref := range refs {
		it := wire.Item{Pool: ref.Pool, ID: ref.ID, Start: ref.Span.Start, End: ref.Span.End}
		if ref.Units > 1 {
			it.Qty = ref.Units
		}
		items = append(items, it)
	}
	return items
}

// AppendEvent appends an event as watchers are told of it, in JSON without line breaks.
func AppendEvent(dst []byte, e *pool.Event) ([]byte, error) { return appendJSON(dst, WireEvent(e)) }

// appendJSON appends v as one line of JSON.
func appendJSON(dst []byte, v any) ([]byte, error) {
	err := encoder.EncodeInto(&dst, v, encoder.CompactMarshaler|encoder.ValidateString|encoder.SortMapKeys)
	return dst, err
}

func compactJSON(p []byte) ([]byte, error) {
	var out bytes.Buffer
	err := json.Compact(&out, p)
	return out.Bytes(), err
}
