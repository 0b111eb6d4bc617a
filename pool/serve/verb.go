package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// Verb is a name of the operator's own for an operation of the pools: for clients that know nothing of leases, holds and
// bookings. What its operation needs is fixed, or comes from the payload of the request: some of it has settings here, With
// is for all else.
//
// A text that begins with payload, such as payload.country or payload.ips[0], is the path of a value in the payload.
// One that begins with = is the rest of it, whatever that looks like.
//
// Compile checks a Verb and makes it ready. From then on any number of goroutines may use it.
type Verb struct {
	Name string // the type of the requests
	Op   string // any of lease., hold., sale. and slot.; pool.stats or pool.list
	Pool string // empty: pool.list lists the pools; a lease, hold, sale or booking is named by its number and token

	// Of lease.acquire.
	Count        int                 // 0: 1, or as many as there are IDs
	Select       map[string][]string // of each label the values that will do; a path that leads nowhere asks for nothing
	IDs          []string            // the items wanted; as with Select
	Strategy     string              // default: the pool's
	Priority     int
	OnDisconnect string // default: the pool's

	// Of lease.acquire, hold.create and slot.book: whom it is for. Default: the session.
	Owner string

	// Of lease.acquire and hold.create. nil: VerbWaitMaxMs, which is also the most.
	WaitMs *int64

	// Of lease.acquire, lease.renew, hold.create and hold.extend: how long it lasts. 0: the pool's, or as it was granted.
	TTLMs int64

	// Of lease.renew and lease.release, hold.extend, hold.confirm and hold.void, and sale.refund, in the place of number and
	// token: the item, or seat, whose lease, hold or sale it is. A path, or = and an ID. What it is in is renewed, extended
	// or confirmed as a whole; it is released, voided or refunded alone.
	Item string
	// Of lease.release: clean (the default), dirty, broken, or a path.
	Outcome string

	// Of pool.list: items at most. 0: the operation's default.
	Limit int

	// With is a template of the operation's own payload, an object, for the fields that have no setting above: strings in it
	// that are paths give way to what is there, as it is, numbers as numbers; where texts are wanted numbers become texts,
	// and one text is a list of one. A field whose path leads nowhere, or to null, is left out, and so is an object of which
	// nothing is left. nil: there is nothing more.
	With json.RawMessage

	// Result is a template of the result, an object: strings in it are paths in the operation's own result, such as
	// items[0].id, and give way to what is there, null where nothing is. One that begins with = stays, without the =.
	// nil: the operation's result as it is.
	Result json.RawMessage

	labels  []string // of selection, sorted
	choices [][]verbSource
	ids     []verbSource
	owner   verbSource
	item    verbSource
	outcome verbSource
	payload *verbPart // what With and the settings make; nil: nothing
	result  *verbTemplate
}

// VerbWaitMaxMs is how long a Verb waits: clients of net-socket-connector give up after 20 s, can not take a request back,
// and an item that they were given later would be lost to them.
const VerbWaitMaxMs = 15_000

// VerbError says what is wrong with a Verb.
type VerbError struct {
	Key     string // the setting, as configurations call it; empty: the name
	Message string
}

func (e *VerbError) Error() string { return e.Message }

func verbErrorf(key, format string, args ...any) error {
	return &VerbError{key, fmt.Sprintf(format, args...)}
}

// verbOp is an operation that a Verb can stand for.
type verbOp struct {
	payload, result reflect.Type
	number          string     // the field of payload that with token names what Verb.Item names, too
	foreign         []string   // fields of payload that are another operation's
	needs           [][]string // of each of these fields of payload, one
}

func verbOpOf[Payload, Result any](number string, foreign []string, needs ...[]string) verbOp {
	return verbOp{reflect.TypeFor[Payload](), reflect.TypeFor[Result](), number, foreign, needs}
}

var verbOps = map[string]verbOp{
	"lease.acquire": verbOpOf[wire.Acquire, wire.Lease]("", nil),
	"lease.renew":   verbOpOf[wire.Renew, wire.Renewed]("lease", nil),
	"lease.release": verbOpOf[wire.Release, wire.Released]("lease", nil),
	"pool.list":     verbOpOf[wire.PoolList, wire.PoolPage]("", nil),
	"pool.stats":    verbOpOf[wire.PoolRef, wire.PoolStats]("", nil),
	"hold.create":   verbOpOf[wire.HoldCreate, wire.Hold]("", nil, []string{"seats", "qty", "best"}),
	"hold.extend":   verbOpOf[wire.HoldRef, wire.Renewed]("hold", []string{"seats"}),
	"hold.confirm":  verbOpOf[wire.HoldRef, wire.Sale]("hold", []string{"ttlMs"}),
	"hold.void":     verbOpOf[wire.HoldRef, wire.Voided]("hold", []string{"ttlMs"}),
	"sale.refund":   verbOpOf[wire.Refund, wire.Refunded]("sale", nil),
	"slot.book":     verbOpOf[wire.SlotBook, wire.Booking]("", nil, []string{"start"}, []string{"end"}),
	"slot.move":     verbOpOf[wire.SlotMove, wire.Booking]("", nil, []string{"booking"}, []string{"token"}, []string{"start", "end", "item"}),
	"slot.cancel":   verbOpOf[wire.SlotCancel, wire.Cancelled]("", nil, []string{"booking"}, []string{"token"}),
	"slot.find":     verbOpOf[wire.SlotFind, wire.SlotsFree]("", []string{"open"}, []string{"lengthMs"}, []string{"from"}, []string{"to"}),
	"slot.list":     verbOpOf[wire.SlotFind, wire.SlotsBooked]("", []string{"lengthMs"}, []string{"from"}, []string{"to"}),
}

// verbNamesTaken are types, and beginnings of types, that the server has itself.
var verbNamesTaken = []string{
	"hello", "ping", "types", "stats", "srvQueuePrint", "cancel", "watch", "explain", "errMsgFromClient",
	"lease.", "pool.", "item.", "hold.", "sale.", "slot.", "journal.",
}

// Compile checks v and makes it ready for use. Its error is a *VerbError.
func (v *Verb) Compile() error {
	if err := v.checkName(); err != nil {
		return err
	}
	if _, ok := verbOps[v.Op]; !ok {
		return verbErrorf("verb", "verb is %q: want %s", v.Op, verbList(slices.Sorted(maps.Keys(verbOps)), " or "))
	}
	with, err := v.members()
	if err != nil {
		return err
	}
	if err := v.checkSettings(with); err != nil {
		return err
	}
	if err := v.compileSources(); err != nil {
		return err
	}
	if err := v.compileWith(with); err != nil {
		return err
	}
	v.result = nil
	if v.Result == nil {
		return nil
	}
	v.result, err = compileVerbTemplate(v.Result, v.Op)
	if err != nil {
		return &VerbError{"result", err.Error()}
	}
	return nil
}

func (v *Verb) checkName() error {
	switch {
	case v.Name == "" || len(v.Name) > codec.TypeBytesMax:
		return verbErrorf("", "the name of a verb has 1 to %d bytes, not %d", codec.TypeBytesMax, len(v.Name))
	case !utf8.ValidString(v.Name) || strings.ContainsFunc(v.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return verbErrorf("", "the name of a verb, %q, holds control characters or is not UTF-8", v.Name)
	}
	for _, taken := range verbNamesTaken {
		if v.Name == taken || strings.HasSuffix(taken, ".") && strings.HasPrefix(v.Name, taken) {
			return verbErrorf("", "the server has %s itself: choose another name", v.Name)
		}
	}
	return nil
}

// checkSettings checks which settings there are beside with, and their values but for paths.
func (v *Verb) checkSettings(with verbMembers) error {
	acquire := []string{"lease.acquire"}
	for _, setting := range []struct {
		key  string
		set  bool
		only []string
	}{
		{"count", v.Count != 0, acquire},
		{"select", len(v.Select) > 0, acquire},
		{"ids", len(v.IDs) > 0, acquire},
		{"owner", v.Owner != "", []string{"lease.acquire", "hold.create", "slot.book"}},
		{"strategy", v.Strategy != "", acquire},
		{"priority", v.Priority != 0, acquire},
		{"onDisconnect", v.OnDisconnect != "", acquire},
		{"waitMs", v.WaitMs != nil, []string{"lease.acquire", "hold.create"}},
		{"ttl", v.TTLMs != 0, []string{"lease.acquire", "lease.renew", "hold.create", "hold.extend"}},
		{"item", v.Item != "", []string{"lease.renew", "lease.release", "hold.extend", "hold.confirm", "hold.void", "sale.refund"}},
		{"outcome", v.Outcome != "", []string{"lease.release"}},
		{"limit", v.Limit != 0, []string{"pool.list"}},
	} {
		if setting.set && !slices.Contains(setting.only, v.Op) {
			hint := ""
			if _, ok := v.field(setting.key); ok {
				hint = ": move it into with"
			}
			return verbErrorf(setting.key, "%s is for %s, not for %s%s", setting.key, verbList(setting.only, " and "), v.Op, hint)
		}
	}
	if err := v.checkPool(with); err != nil {
		return err
	}
	switch {
	case v.Count < 0 || v.Count > pool.ItemsPerLease:
		return verbErrorf("count", "count is %d: want 1 to %d", v.Count, pool.ItemsPerLease)
	case v.WaitMs != nil && (*v.WaitMs < 0 || *v.WaitMs > VerbWaitMaxMs):
		return verbErrorf("waitMs", "waitMs is %d: want 0 to %d, since clients that wait for a verb give up after 20 s", *v.WaitMs, VerbWaitMaxMs)
	case v.Priority < -verbPriorityMax || v.Priority > verbPriorityMax:
		return verbErrorf("priority", "priority is %d: want -%d to %d", v.Priority, verbPriorityMax, verbPriorityMax)
	case v.TTLMs < 0:
		return verbErrorf("ttl", "ttl is %d ms: want 1 or more", v.TTLMs)
	case v.Limit < 0 || v.Limit > verbLimitMax:
		return verbErrorf("limit", "limit is %d: want 1 to %d", v.Limit, verbLimitMax)
	case v.Item == "" && verbOps[v.Op].number != "" && !v.numbered(with):
		return verbErrorf("item", "item is not set: say where the payload names the item: payload, or payload.ip")
	}
	if err := verbOneOf("strategy", v.Strategy, pool.First, pool.LRU, pool.Random); err != nil {
		return err
	}
	return verbOneOf("onDisconnect", v.OnDisconnect, pool.Keep, pool.ReleaseOnEnd, pool.ReleaseDirtyOnEnd)
}

// checkPool checks that a pool is named where there is to be one.
func (v *Verb) checkPool(with verbMembers) error {
	_, needed := v.field("pool")
	switch {
	case v.Op == "lease.acquire":
		needed = with["want"] == nil
		if !needed && (v.Pool != "" || v.Count != 0 || len(v.Select) > 0 || len(v.IDs) > 0) {
			return verbErrorf("with", "with has want, which says what is wanted: take out pool, count, select and ids beside it")
		}
	case verbOps[v.Op].number != "":
		needed = v.Item != "" || !v.numbered(with)
	}
	switch {
	case v.Pool == "" && needed && v.Op != "pool.list":
		return verbErrorf("pool", "pool is not set: name the pool that it is about")
	case v.Pool != "" && !needed:
		return verbErrorf("pool", "pool is set, but what %s is about is named by number and token: take it out", v.Op)
	}
	return nil
}

// What the operations allow.
const (
	verbPriorityMax = 1000
	verbLimitMax    = 1000 // of pool.list
)

// verbOneOf checks a value of a setting that may have a few, or none.
func verbOneOf[T ~string](key, value string, allowed ...T) error {
	if value == "" {
		return nil
	}
	return verbWord(key, key, value, allowed...)
}

// verbWord checks a value that is to be one of a few. What names it.
func verbWord[T ~string](key, what, value string, allowed ...T) error {
	if slices.Contains(allowed, T(value)) {
		return nil
	}
	texts := make([]string, len(allowed))
	for i, a := range allowed {
		texts[i] = string(a)
	}
	return verbErrorf(key, "%s is %q: want %s", what, value, verbList(texts, " or "))
}

// verbList makes one text of several: a, b or c.
func verbList(texts []string, last string) string {
	n := len(texts) - 1
	if n < 1 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:n], ", ") + last + texts[n]
}

// compileSources parses what may be a path in the payload.
func (v *Verb) compileSources() (err error) {
	v.labels = slices.Sorted(maps.Keys(v.Select))
	v.choices = make([][]verbSource, len(v.labels))
	for i, label := range v.labels {
		if label == "" {
			return verbErrorf("select", "select has a label without a name")
		}
		if v.choices[i], err = parseVerbSources("select", v.Select[label]); err != nil {
			return err
		}
		if len(v.choices[i]) == 0 {
			return verbErrorf("select", "select has no value for label %s", label)
		}
	}
	if v.ids, err = parseVerbSources("ids", v.IDs); err != nil {
		return err
	}
	if v.owner, err = parseVerbSource("owner", v.Owner); err != nil {
		return err
	}
	if v.item, err = parseVerbSource("item", v.Item); err != nil {
		return err
	}
	if v.item.path == nil && v.Item != "" && (v.Item[0] != '=' || v.Item == "=") {
		return verbErrorf("item", "item is %q: want where the payload names the item, payload or payload.ip, or = and an ID", v.Item)
	}
	if v.outcome, err = parseVerbSource("outcome", v.Outcome); err != nil {
		return err
	}
	if v.outcome.path == nil {
		return verbOneOf("outcome", v.outcome.text, pool.Clean, pool.Dirty, pool.Broken)
	}
	return nil
}

// Acquire returns the payload of lease.acquire that a request with this payload stands for, but for what With has. An error
// is a *pool.Error.
func (v *Verb) Acquire(payload []byte) (wire.Acquire, error) {
	want := wire.Want{Pool: v.Pool}
	if v.Count != 0 {
		want.Count = &v.Count
	}
	for i, label := range v.labels {
		values, err := verbTexts(v.choices[i], payload)
		if err != nil {
			return wire.Acquire{}, err
		}
		if len(values) > 0 {
			if want.Select == nil {
				want.Select = make(wire.Select, len(v.labels))
			}
			want.Select[label] = values
		}
	}
	var err error
	if want.IDs, err = verbTexts(v.ids, payload); err != nil {
		return wire.Acquire{}, err
	}
	a := wire.Acquire{WaitMs: VerbWaitMaxMs, Strategy: v.Strategy, Priority: v.Priority, OnDisconnect: v.OnDisconnect}
	if v.Pool != "" { // else With says what is wanted
		a.Want = []wire.Want{want}
	}
	if a.Owner, _, err = v.owner.one(payload); err != nil {
		return wire.Acquire{}, err
	}
	if v.WaitMs != nil {
		a.WaitMs = *v.WaitMs
	}
	if v.TTLMs != 0 {
		a.TTLMs = &v.TTLMs
	}
	return a, nil
}

// ItemOf returns the ID of the item, or seat, that a request with this payload is about. An error is a *pool.Error.
func (v *Verb) ItemOf(payload []byte) (string, error) {
	id, ok, err := v.item.one(payload)
	if err == nil && (!ok || id == "") {
		err = &pool.Error{Code: pool.BadPayload, Message: v.Item + " is absent or empty: it names the item"}
	}
	return id, err
}

// OutcomeOf returns how that item comes back. An error is a *pool.Error.
func (v *Verb) OutcomeOf(payload []byte) (pool.Outcome, error) {
	text, ok, err := v.outcome.one(payload)
	if err != nil {
		return "", err
	}
	if !ok || text == "" {
		return pool.Clean, nil
	}
	switch outcome := pool.Outcome(text); outcome {
	case pool.Clean, pool.Dirty, pool.Broken:
		return outcome, nil
	}
	return "", &pool.Error{Code: pool.BadPayload, Message: fmt.Sprintf("%s is %.64q: want clean, dirty or broken", v.Outcome, text)}
}

// AppendResult appends, as one line of JSON, what becomes of the operation's result: a struct of package wire, or a pointer
// to one.
func (v *Verb) AppendResult(dst []byte, result any) ([]byte, error) {
	if v.result == nil {
		return appendVerbJSON(dst, result)
	}
	value := reflect.Indirect(reflect.ValueOf(result))
	if !value.IsValid() || value.Type() != verbOps[v.Op].result {
		return dst, fmt.Errorf("the result of %s is a %T, not a %s", v.Op, result, verbOps[v.Op].result)
	}
	return v.result.append(dst, value)
}
