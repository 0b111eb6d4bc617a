package serve

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unsafe"

	"github.com/bytedance/sonic/decoder"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/when"
	"github.com/kassa-go/kassa/pool/wire"
)

// op is a request on its way through the goroutines: the jobber sets the first group of fields, pools the second, the
// acker answers.
type op struct {
	job  *dispatch.Job
	kind opKind
	verb *Verb        // whose name the request had; nil: the operation's own
	err  *codec.Error // why it is refused; nil: it is not
	cmd  pool.Command // of operations on the machine
	ask  any          // of the others: their payload
	grow bool         // it takes room on the disk, so it is refused when that is full

	seat  *seat // the client's; nil: it needed none
	reply pool.Reply
	view  any    // the result of what only looks
	hello string // what the session can be resumed with; the seat's may be another by the time of the answer
	now   int64  // when a hello was dealt with, ms by the clock that ends leases
}

type opKind uint8

const (
	opAcquire opKind = iota
	opRenew
	opRelease
	opHello
	opList
	opStats
	opFill
	opDrain
	opSetItem
	opWatch
	opExplain
	opHold
	opExtend
	opConfirm
	opVoid
	opRefund
	opBook
	opMove
	opCancelSlot
	opFindSlots
	opListSlots
	opEnd
)

// operations are what is served, by kind.
var operations = [opEnd]struct {
	name   string
	decode func(*opDecoder, *op) error
}{
	opAcquire: {"lease.acquire", (*opDecoder).acquire},
	opRenew:   {"lease.renew", (*opDecoder).renew},
	opRelease: {"lease.release", (*opDecoder).release},
	opHello:   {"hello", (*opDecoder).hello},
	opList:    {"pool.list", (*opDecoder).list},
	opStats:   {"pool.stats", (*opDecoder).stats},
	opFill:    {"pool.fill", (*opDecoder).fill},
	opDrain:   {"pool.drain", (*opDecoder).drain},
	opSetItem: {"item.set", (*opDecoder).setItem},
	opWatch:   {"watch", (*opDecoder).watch},
	opExplain: {"explain", (*opDecoder).explain},

	opHold:    {"hold.create", (*opDecoder).hold},
	opExtend:  {"hold.extend", (*opDecoder).extend},
	opConfirm: {"hold.confirm", (*opDecoder).confirm},
	opVoid:    {"hold.void", (*opDecoder).void},
	opRefund:  {"sale.refund", (*opDecoder).refund},

	opBook:       {"slot.book", (*opDecoder).book},
	opMove:       {"slot.move", (*opDecoder).move},
	opCancelSlot: {"slot.cancel", (*opDecoder).cancelSlot},
	opFindSlots:  {"slot.find", (*opDecoder).findSlots},
	opListSlots:  {"slot.list", (*opDecoder).listSlots},
}

func operationNames() []string {
	names := make([]string, opEnd)
	for i := range operations {
		names[i] = operations[i].name
	}
	return names
}

// opDecoder turns payloads into commands. It belongs to the jobber.
type opDecoder struct {
	kinds  map[string]opKind
	verbs  map[string]*Verb
	places places

	strict, lenient *decoder.Decoder // which refuse members that they do not know, or ignore them
}

// newJobber returns the handler of all operations: it decodes, and hands on.
func (s *Server) newJobber() dispatch.BatchHandler {
	d := &opDecoder{
		kinds: make(map[string]opKind), verbs: make(map[string]*Verb), places: s.places,
		strict: decoder.NewDecoder(""), lenient: decoder.NewDecoder(""),
	}
	d.lenient.SetOptions(decoder.OptionCopyString | decoder.OptionValidateString)
	d.strict.SetOptions(decoder.OptionCopyString | decoder.OptionValidateString | decoder.OptionDisableUnknown)
	for kind := range operations {
		d.kinds[operations[kind].name] = opKind(kind)
	}
	for i := range s.cfg.Verbs {
		v := &s.cfg.Verbs[i]
		d.verbs[v.Name] = v
		d.kinds[v.Name] = d.kinds[v.Op]
	}
	return func(jobs []*dispatch.Job) {
		b := s.newBatch()
		for _, j := range jobs {
			b.ops = append(b.ops, op{job: j})
			d.decode(&b.ops[len(b.ops)-1])
		}
		select {
		case s.incoming <- b:
		case <-s.failed: // nobody is answered any more
		}
	}
}

func (d *opDecoder) decode(o *op) {
	name := o.job.Type()
	o.kind, o.verb = d.kinds[name], d.verbs[name]
	if o.job.Opaque() {
		o.err = codec.NewError(codec.BadPayload, "the payload of "+name+" is JSON, and is to be flagged so")
		return
	}
	if err := operations[o.kind].decode(d, o); err != nil {
		o.err = wireError(err)
	}
}

// into decodes the payload, or what a verb makes of it. Its strings are copied. An absent one leaves v as it is.
func (d *opDecoder) into(o *op, v any) error {
	p := o.job.Payload()
	if o.verb != nil {
		var err error
		if p, err = o.verb.Payload(p); err != nil {
			return err
		}
	}
	if p == nil {
		return nil
	}
	from := d.strict // with a misspelt member something else would be done than is meant
	if o.kind == opHello {
		from = d.lenient // to a server of before, clients say what they are able to
	}
	from.Reset(unsafe.String(unsafe.SliceData(p), len(p)))
	err := from.Decode(v)
	from.Reset("")
	if err != nil && o.verb != nil {
		if blamed := o.verb.blame(o.job.Payload()); blamed != nil {
			return blamed
		}
	}
	if err != nil {
		return codec.NewError(codec.BadPayload, "payload of "+o.job.Type()+": "+decodeText(p, err))
	}
	return nil
}

// decodeText is what is wrong with a payload, on one line.
func decodeText(payload []byte, err error) string {
	if mismatch, ok := errors.AsType[*decoder.MismatchTypeError](err); ok && mismatch.Pos <= len(payload) {
		return mismatchText(payload, mismatch.Pos, mismatch.Type)
	}
	if syntax, ok := errors.AsType[decoder.SyntaxError](err); ok {
		if json.Valid(payload) { // on arm64 sonic says so of what no float64 holds
			return fmt.Sprintf("the number that ends at byte %d is too large", syntax.Pos)
		}
		return fmt.Sprintf("it is not JSON at byte %d", syntax.Pos)
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// mismatchText says which value is none of the type wanted: by its name, where it has one.
func mismatchText(payload []byte, pos int, wanted reflect.Type) string {
	if pos > 0 && payload[pos-1] == '"' { // on arm64 sonic means what is behind the quote
		pos--
	}
	var value json.RawMessage
	if json.NewDecoder(bytes.NewReader(payload[pos:])).Decode(&value) != nil {
		value = payload[pos:]
	}
	what := fmt.Sprintf("at byte %d there", pos)
	if before, ok := bytes.CutSuffix(bytes.TrimSpace(payload[:pos]), []byte(":")); ok {
		before = bytes.TrimSpace(before)
		if open := bytes.LastIndexByte(before[:max(0, len(before)-1)], '"'); open >= 0 {
			what = string(before[open+1 : len(before)-1])
		}
	}
	return fmt.Sprintf("%.64s is %.64s: want %s", what, value, jsonName(wanted))
}

// jsonName is what JSON calls the values of a type.
func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return jsonName(t.Elem())
	}
	return "a whole number, in digits and below 2^53"
}

// keyed returns the request's key, whose client the goroutine pools fills in.
func keyed(o *op) pool.Keyed {
	key := o.job.Key()
	if key == nil {
		return pool.Keyed{}
	}
	h := sha256.New()
	h.Write([]byte(o.job.Type()))
	h.Write([]byte{0})
	h.Write(o.job.Payload())
	var sum [sha256.Size]byte
	return pool.Keyed{Key: string(key), Hash: binary.BigEndian.Uint64(h.Sum(sum[:0]))}
}

func (d *opDecoder) acquire(o *op) error {
	var a wire.Acquire
	var err error
	if o.verb != nil {
		a, err = o.verb.Acquire(o.job.Payload())
	}
	if err == nil {
		err = d.into(o, &a)
	}
	if err != nil {
		return err
	}
	c := &pool.Acquire{
		Want: make([]pool.Want, len(a.Want)), Owner: a.Owner, TTLMs: a.TTLMs, WaitMs: a.WaitMs,
		Strategy: pool.Strategy(a.Strategy), Priority: int64(a.Priority), OnDisconnect: pool.OnDisconnect(a.OnDisconnect), Keyed: keyed(o),
	}
	for i := range a.Want {
		w := &a.Want[i]
		to := &c.Want[i]
		to.Pool, to.IDs = w.Pool, w.IDs
		switch {
		case w.Count != nil && *w.Count <= 0:
			return codec.NewError(codec.BadPayload, fmt.Sprintf("count is %d: want 1 or more", *w.Count))
		case w.Count != nil:
			to.Count = int64(*w.Count)
		case len(w.IDs) == 0:
			to.Count = 1
		}
		to.Select, to.Best = selector(w.Select), pool.Best(w.Best)
		if w.Start != nil || w.End != nil {
			to.Spans, err = d.places.spans(w.Pool, w.Start, w.End, w.Zone, "")
			if err != nil {
				return err
			}
		}
	}
	o.cmd, o.grow = c, true
	return nil
}

func selector(s wire.Select) (terms pool.Selector) {
	for name, values := range s {
		terms = append(terms, pool.Term{Name: name, Values: values})
	}
	return terms
}

func (d *opDecoder) renew(o *op) error {
	var p wire.Renew
	if err := d.into(o, &p); err != nil {
		return err
	}
	c := &pool.Renew{Grant: p.Lease, Token: p.Token, TTLMs: p.TTLMs, Keyed: keyed(o)}
	o.cmd = c
	if o.byItem() {
		return o.itemInto(&c.Pool, &c.Item)
	}
	return needLease(o, p.Lease, p.Token)
}

func (d *opDecoder) release(o *op) error {
	var p wire.Release
	if err := d.into(o, &p); err != nil {
		return err
	}
	c := &pool.Release{Grant: p.Lease, Token: p.Token, Outcome: pool.Outcome(p.Outcome), Keyed: keyed(o)}
	o.cmd = c
	if o.byItem() {
		if err := o.itemInto(&c.Pool, &c.Item); err != nil {
			return err
		}
	} else if err := needLease(o, p.Lease, p.Token); err != nil {
		return err
	}
	if o.verb == nil || p.Outcome != "" {
		return nil
	}
	var err error
	c.Outcome, err = o.verb.OutcomeOf(o.job.Payload())
	return err
}

// byItem reports whether it is an item that says which lease, hold or sale is meant: only a verb has it so.
func (o *op) byItem() bool { return o.verb != nil && o.verb.Item != "" }

// itemInto says which item.
func (o *op) itemInto(poolName, id *string) (err error) {
	*poolName = o.verb.Pool
	*id, err = o.verb.ItemOf(o.job.Payload())
	return err
}

// needLease and need refuse what names nothing.
func needLease(o *op, lease, token uint64) error {
	if lease == 0 || token == 0 {
		return codec.NewError(codec.BadPayload, "payload of "+o.job.Type()+": lease and token are needed, as lease.acquire gave them")
	}
	return nil
}

func need(o *op, field, value string) error {
	if value == "" {
		return codec.NewError(codec.BadPayload, "payload of "+o.job.Type()+": "+field+" is needed, and is absent or empty")
	}
	return nil
}

// hello opens a session, or takes one over: only pools knows which.
func (d *opDecoder) hello(o *op) error {
	var p wire.HelloRequest
	if err := d.into(o, &p); err != nil {
		return err
	}
	if p.Resume == "" {
		var secret [16]byte
		rand.Read(secret[:]) // it never fails
		o.ask = &helloAsk{secret: hex.EncodeToString(secret[:]), attempt: p.Attempt}
		return nil
	}
	id, secret, ok := strings.Cut(p.Resume, ".")
	session, err := strconv.ParseUint(id, 10, 64)
	if !ok || err != nil || session == 0 {
		return codec.NewError(codec.SessionExpired, "resume is not what a hello gave: say hello without it")
	}
	o.ask = &helloAsk{session: session, secret: secret, attempt: p.Attempt}
	return nil
}

// helloAsk is a hello: with a session that it wants to resume, or 0.
type helloAsk struct {
	session uint64
	secret  string
	attempt uint64 // 0: it does not say
}

func (d *opDecoder) list(o *op) error {
	var p wire.PoolList
	if err := d.into(o, &p); err != nil {
		return err
	}
	switch {
	case p.Limit < 0 || p.Limit > pool.PageMax:
		return codec.NewError(codec.BadPayload, fmt.Sprintf("limit is %d: want 1 to %d", p.Limit, pool.PageMax))
	case p.Limit == 0:
		p.Limit = 100
	}
	o.ask = &p
	return nil
}

func (d *opDecoder) stats(o *op) error {
	var p wire.PoolRef
	if err := d.into(o, &p); err != nil {
		return err
	}
	o.ask = &p
	return need(o, "pool", p.Pool)
}

func (d *opDecoder) fill(o *op) error {
	var p wire.PoolFill
	if err := d.into(o, &p); err != nil {
		return err
	}
	c := &pool.Fill{Pool: p.Pool, Items: make([]pool.ItemSpec, len(p.Items)), Keyed: keyed(o)}
	for i, it := range p.Items {
		c.Items[i] = pool.ItemSpec{ID: it.ID, Labels: it.Labels, Attrs: attrs(it.Attrs), Quantity: it.Quantity, Row: it.Row, Col: it.Column}
	}
	o.cmd, o.grow = c, true
	return need(o, "pool", p.Pool)
}

// attrs returns a copy of a JSON value without the space in it, nil for null.
func attrs(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	compact, err := compactJSON(raw)
	if err != nil {
		return raw // the machine says what is wrong with it
	}
	return compact
}

func (d *opDecoder) drain(o *op) error {
	var p wire.PoolDrain
	if err := d.into(o, &p); err != nil {
		return err
	}
	o.cmd = &pool.Drain{Pool: p.Pool, IDs: p.IDs, All: p.All, Cursor: p.Cursor, Keyed: keyed(o)}
	return need(o, "pool", p.Pool)
}

func (d *opDecoder) setItem(o *op) error {
	var p wire.ItemSet
	if err := d.into(o, &p); err != nil {
		return err
	}
	c := &pool.SetItem{Pool: p.Pool, ID: p.ID, State: p.State, Withheld: p.Withheld, Version: p.Version, Keyed: keyed(o)}
	if p.Labels != nil {
		c.Labels = *p.Labels
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
	}
	if p.Attrs != nil {
		c.Attrs = attrs(*p.Attrs)
	}
	o.cmd, o.grow = c, true
	if p.State == "" && p.Labels == nil && p.Attrs == nil && p.Withheld == nil {
		return codec.NewError(codec.BadPayload, "payload of item.set: state, labels, attrs or withheld is needed, to say what is to change")
	}
	if err := need(o, "pool", p.Pool); err != nil {
		return err
	}
	return need(o, "id", p.ID)
}

func (d *opDecoder) explain(o *op) error {
	p := new(wire.Explain)
	o.ask = p
	if err := d.into(o, p); err != nil {
		return err
	}
	if (p.Wait == 0) == (p.QueryIndex == nil) {
		return codec.NewError(codec.BadPayload, "either wait or queryIndex is needed, to say which wait is to be explained")
	}
	return nil
}

// wireError returns err as it goes over the wire.
func wireError(err error) *codec.Error {
	if e, ok := errors.AsType[*pool.Error](err); ok {
		return codec.NewError(codec.CodeByName(string(e.Code)), e.Message)
	}
	if e, ok := errors.AsType[*when.Error](err); ok {
		return codec.NewError(codec.CodeByName(e.Code), e.Message)
	}
	if e, ok := errors.AsType[*codec.Error](err); ok {
		return e
	}
	return codec.NewError(codec.BadPayload, err.Error())
}
