package serve

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/wire"
)

// What can not be meant, beside what TestBadInput has: each is refused with a code and a text that says what is wrong, and
// nothing has changed: there is no event, nor any difference in what the server lists.
func TestBadInputChangesNothing(t *testing.T) {
	s := start(t, Config{Pools: []Pool{items("p", 3), items("q", 1), {Spec: pool.Spec{Name: "strict", TTLMaxMs: 100_000, WaitMaxMs: 5000}}}})
	c, greeted := dial(t, s.addr), dial(t, s.addr)
	resume := greeted.hello("")
	x, y := c.acquire("p", ""), c.acquire("p", "")
	c.acquire("q", "", `"key":"k"`)
	over := c.acquire("p", "")
	c.release(over)
	rev := c.call("pool.stats", `{"pool":"p"}`).Rev
	list := func() string {
		return fmt.Sprintf("%s %s %s", c.call("pool.list", `null`).ResultJob, c.call("pool.list", `{"pool":"p"}`).ResultJob, c.call("pool.list", `{"pool":"q"}`).ResultJob)
	}
	before := list()

	long := strings.Repeat("x", 300)
	p := func(more string) string { return `{"want":[{"pool":"p",` + more + `}]}` }
	number := "want a whole number, in digits and below 2^53"
	tooLarge := "count is 1e400: " + number
	if runtime.GOARCH == "arm64" || os.Getenv("SONIC_USE_OPTDEC") == "1" { // sonic has another decoder there
		tooLarge = "the number that ends at byte 33 is too large"
	}
	for _, test := range []struct{ typ, payload, field, code, says string }{
		// Numbers that are none, or too many.
		{"lease.acquire", p(`"count":-1`), "", "bad_payload", "count is -1: want 1 or more"},
		{"lease.acquire", p(`"count":2.5`), "", "bad_payload", "payload of lease.acquire: count is 2.5: " + number},
		{"lease.acquire", p(`"count":1e0`), "", "bad_payload", "count is 1e0: " + number},
		{"lease.acquire", p(`"count":1e400`), "", "bad_payload", tooLarge},
		{"lease.acquire", p(`"count":99999999999999999999`), "", "bad_payload", "count is 99999999999999999999: " + number},
		{"lease.acquire", p(`"count":true`), "", "bad_payload", "count is true: " + number},
		{"lease.acquire", p(`"count" : "1"`), "", "bad_payload", `count is "1": ` + number},
		{"lease.acquire", p(`"count":4`), "", "no_match", "4 items are wanted, pool p has 3: waiting would not help"},
		{"lease.acquire", `{"want":[{"pool":"p","count":4}],"waitMs":1000}`, "", "no_match", "waiting would not help"},
		{"lease.acquire", `{"want":[{"pool":"p","count":2},{"pool":"p","count":2}]}`, "", "no_match", "4 items are wanted in all, pool p has 3"},
		{"lease.acquire", p(`"count":2147483649`), "", "no_match", "waiting would not help"},
		{"lease.acquire", want("p", `,"ttlMs":-1`), "", "bad_payload", "ttlMs is -1: want 1 or more"},
		{"lease.acquire", want("p", `,"ttlMs":1.5`), "", "bad_payload", "ttlMs is 1.5: " + number},
		{"lease.acquire", want("p", `,"ttlMs":"60s"`), "", "bad_payload", `ttlMs is "60s": ` + number},
		{"lease.acquire", want("p", `,"ttlMs":86400001`), "", "bad_payload", "ttlMs is 86400001, pool p allows 86400000 at most; a lease can be renewed"},
		{"lease.acquire", want("p", `,"ttlMs":9223372036854775807`), "", "bad_payload", "pool p allows 86400000 at most"},
		{"lease.acquire", want("p", `,"ttlMs":9223372036854775808`), "", "bad_payload", "ttlMs is 9223372036854775808: " + number},
		{"lease.acquire", want("p", `,"waitMs":300001`), "", "bad_payload", "waitMs is 300001: pool p allows 0 to 300000"},
		{"lease.acquire", want("p", `,"waitMs":9223372036854775807`), "", "bad_payload", "pool p allows 0 to 300000"},
		{"lease.acquire", want("p", `,"waitMs":true`), "", "bad_payload", "waitMs is true: " + number},
		{"lease.acquire", want("p", `,"priority":9223372036854775807`), "", "bad_payload", "want -1000 to 1000"},
		{"lease.acquire", want("p", `,"priority":-1001`), "", "bad_payload", "priority is -1001: want -1000 to 1000"},
		{"lease.acquire", want("p", `,"priority":1e3`), "", "bad_payload", "priority is 1e3: " + number},
		// Values of another type.
		{"lease.acquire", `"p"`, "", "bad_payload", `at byte 0 there is "p": want an object`},
		{"lease.acquire", `{}`, "", "bad_payload", "want has 0 entries"},
		{"lease.acquire", `{"pool":"p"}`, "", "bad_payload", `unknown field "pool"`},
		{"lease.acquire", `{"want":[{"pool":"p","seats":["1"]}]}`, "", "bad_payload", `unknown field "seats"`},
		{"pool.fill", `{"pool":"p","items":[{"id":"2","unknown":1}]}`, "", "bad_payload", "an item is its ID, or an object with id, labels"},
		{"lease.acquire", `{"want":{"pool":"p"}}`, "", "bad_payload", `want is {"pool":"p"}: want an array`},
		{"lease.acquire", `{"want":["p"]}`, "", "bad_payload", `at byte 9 there is "p": want an object`},
		{"lease.acquire", `{"want":[null]}`, "", "bad_payload", "an entry of want names no pool"},
		{"lease.acquire", `{"want":[{"pool":null}]}`, "", "bad_payload", "an entry of want names no pool"},
		{"lease.acquire", `{"want":[{"pool":["p"]}]}`, "", "bad_payload", `pool is ["p"]: want a string`},
		{"lease.acquire", `{"want":[{"pool":"` + long + `"}]}`, "", "not_found", "there is no pool"},
		{"lease.acquire", `{"want":[{"pool":"p\u0000"}]}`, "", "not_found", `there is no pool "p\x00"`},
		{"lease.acquire", p(`"select":{"a":[]}`), "", "bad_payload", "select: label a has no value that would do"},
		{"lease.acquire", p(`"select":{"a":null}`), "", "bad_payload", "select: label a has no value that would do"},
		{"lease.acquire", p(`"select":{"a":["b",1]}`), "", "bad_payload", `a label in select wants a string or an array of strings, not ["b",1]`},
		{"lease.acquire", p(`"select":{"":"b"}`), "", "bad_payload", "the name of a label in select is empty"},
		{"lease.acquire", p(`"select":[]`), "", "bad_payload", "select is []: want an object"},
		{"lease.acquire", p(`"select":"a=b"`), "", "bad_payload", `select is "a=b": want an object`},
		{"lease.acquire", p(`"select":{"a":"` + long + `"}`), "", "bad_payload", "a value of label a has 300 bytes, 256 at most are allowed"},
		{"lease.acquire", p(`"select":{"a":"b"}`), "", "no_match", "items that match are wanted, pool p has 0: waiting would not help"},
		{"lease.acquire", p(`"ids":"1"`), "", "bad_payload", `ids is "1": want an array`},
		{"lease.acquire", p(`"ids":[1]`), "", "bad_payload", "there is 1: want a string"},
		{"lease.acquire", p(`"ids":["9"]`), "", "not_found", `pool p has no item "9"`},
		{"lease.acquire", p(`"ids":["1","1"]`), "", "bad_payload", `item "1" of pool p is named twice`},
		{"lease.acquire", p(`"ids":["1","2"],"count":1`), "", "bad_payload", "count is 1, but there are 2 ids: leave one of them out"},
		{"lease.acquire", want("p", `,"owner":7`), "", "bad_payload", "owner is 7: want a string"},
		{"lease.acquire", want("p", `,"owner":"`+long+`"`), "", "bad_payload", "owner has 300 bytes, 256 at most are allowed"},
		{"lease.acquire", want("p", `,"owner":"a\nb"`), "", "bad_payload", "holds control characters"},
		{"lease.acquire", `{"want":[{"pool":"strict"}]}`, "", "no_match", "pool strict has 0"},
		// Somebody else's, or nobody's.
		{"lease.renew", `null`, "", "bad_payload", "lease and token are needed, as lease.acquire gave them"},
		{"lease.renew", fmt.Sprintf(`{"lease":%d,"token":%d}`, x.Lease, y.Token), "", "stale_token", fmt.Sprintf("%d is not the token of lease %d", y.Token, x.Lease)},
		{"lease.renew", fmt.Sprintf(`{"lease":%d}`, x.Lease), "", "bad_payload", "lease and token are needed"},
		{"lease.renew", fmt.Sprintf(`{"lease":"%d","token":%d}`, x.Lease, x.Token), "", "bad_payload", number},
		{"lease.renew", fmt.Sprintf(`{"lease":%d,"token":%d,"ttlMs":0}`, x.Lease, x.Token), "", "bad_payload", "ttlMs is 0: want 1 or more"},
		{"lease.renew", fmt.Sprintf(`{"lease":%d,"token":%d,"ttlMs":86400001}`, x.Lease, x.Token), "", "bad_payload", "pool p allows 86400000 at most"},
		{"lease.renew", fmt.Sprintf(`{"lease":%d,"token":%d}`, over.Lease, over.Token), "", "stale_token", "is over: it was released"},
		{"lease.release", `{}`, "", "bad_payload", "lease and token are needed"},
		{"lease.release", fmt.Sprintf(`{"lease":%d,"token":%d}`, y.Lease, x.Token), "", "stale_token", "is not the token of lease"},
		{"lease.release", fmt.Sprintf(`{"lease":%d,"token":%d}`, over.Lease, over.Token), "", "stale_token", "its items may be somebody else's"},
		{"lease.release", fmt.Sprintf(`{"lease":%d,"token":%d,"outcome":"lost"}`, x.Lease, x.Token), "", "bad_payload", `outcome is "lost": want clean, dirty or broken`},
		{"lease.release", `{"lease":18446744073709551616,"token":1}`, "", "bad_payload", number},
		{"lease.acquire", want("p", ""), `"key":"k"`, "key_conflict", "each request takes a key of its own"},
		{"lease.release", held(x), `"key":"k"`, "key_conflict", "each request takes a key of its own"},
		{"pool.drain", `{"pool":"p","all":true}`, `"key":"k"`, "key_conflict", "each request takes a key of its own"},
		{"lease.release", held(x), `"key":7`, "bad_frame", "key must be a string of up to 128 bytes, not 7"},
		{"lease.release", held(x), `"key":"` + long + `"`, "bad_frame", "key must be a string of up to 128 bytes"},
		{"lease.release", held(x), `"minRev":99999`, "state_behind", "the client has seen 99999"},
		{"lease.release", held(x), `"minRev":"1"`, "bad_frame", "minRev must be a whole number"},
		{"lease.release", held(x), `"deadlineMs":-1`, "bad_frame", "deadlineMs must be a whole number"},
		// What operators do.
		{"pool.stats", `null`, "", "bad_payload", "pool is needed"},
		{"pool.stats", `{"pool":7}`, "", "bad_payload", "pool is 7: want a string"},
		{"pool.list", `{"limit":-1}`, "", "bad_payload", "limit is -1: want 1 to 1000"},
		{"pool.list", `{"limit":"10"}`, "", "bad_payload", `limit is "10": ` + number},
		{"pool.list", `{"pool":"p","cursor":"nonsense"}`, "", "bad_payload", `cursor is "nonsense", which is none that a reply gave`},
		{"pool.list", `{"pool":"p","cursor":"18446744073709551615"}`, "", "bad_payload", "which is none that a reply gave"},
		{"pool.list", `{"cursor":7}`, "", "bad_payload", "cursor is 7: want a string"},
		{"pool.fill", `null`, "", "bad_payload", "pool is needed"},
		{"pool.fill", `{"pool":"p"}`, "", "bad_payload", "there are no items to fill pool p with"},
		{"pool.fill", `{"pool":"p","items":"a"}`, "", "bad_payload", `items is "a": want an array`},
		{"pool.fill", `{"pool":"p","items":["a","b","a"]}`, "", "bad_payload", `item "a" is named twice`},
		{"pool.fill", `{"pool":"p","items":["a",null]}`, "", "bad_payload", "the ID of an item is empty"},
		{"pool.fill", `{"pool":"p","items":["a",[1]]}`, "", "bad_payload", "an item is its ID, or an object with id, labels (whose values are strings), attrs, quantity, row and column, not [1]"},
		{"pool.fill", `{"pool":"p","items":["a",{"id":7}]}`, "", "bad_payload", `not {"id":7}`},
		{"pool.fill", `{"pool":"p","items":["a",{"id":"b","labels":{"n":1}}]}`, "", "bad_payload", `labels (whose values are strings)`},
		{"pool.fill", `{"pool":"p","items":["a",{"id":"b","labels":[]}]}`, "", "bad_payload", `labels (whose values are strings)`},
		{"pool.fill", `{"pool":"p","items":["a",{"id":"b","labels":{"":"x"}}]}`, "", "bad_payload", "the name of a label of item b is empty"},
		{"pool.fill", `{"pool":"p","items":["a",{"id":"b","labels":{"` + long + `":"x"}}]}`, "", "bad_payload", "300 bytes, 256 at most are allowed"},
		{"pool.fill", `{"pool":"p","items":["` + long + `"]}`, "", "bad_payload", "the ID of an item has 300 bytes, 256 at most are allowed"},
		{"pool.fill", `{"pool":"p","items":[{"id":"b","attrs":"` + strings.Repeat("a", pool.AttrsBytesMax) + `"}]}`, "", "bad_payload", "65536 at most are allowed"},
		{"pool.drain", `null`, "", "bad_payload", "pool is needed"},
		{"pool.drain", `{"pool":"p"}`, "", "bad_payload", "either ids or all is needed"},
		{"pool.drain", `{"pool":"p","ids":["1"],"all":true}`, "", "bad_payload", "either ids or all is needed"},
		{"pool.drain", `{"pool":"p","ids":["3","nope"]}`, "", "not_found", `pool p has no item "nope"`},
		{"pool.drain", `{"pool":"p","all":"yes"}`, "", "bad_payload", `all is "yes": want true or false`},
		{"pool.drain", `{"pool":"p","all":true,"cursor":"nonsense"}`, "", "bad_payload", "which is none that a reply gave"},
		{"item.set", `null`, "", "bad_payload", "state, labels, attrs or withheld is needed, to say what is to change"},
		{"item.set", `{"pool":"p","id":"3","stat":"dirty"}`, "", "bad_payload", `unknown field "stat"`},
		{"item.set", `{"pool":"p","state":"dirty"}`, "", "bad_payload", "id is needed"},
		{"item.set", `{"pool":"p","id":3,"state":"dirty"}`, "", "bad_payload", "id is 3: want a string"},
		{"item.set", `{"pool":"p","id":"3","state":"leased"}`, "", "bad_payload", `state is "leased": want free, dirty or quarantined`},
		{"item.set", `{"pool":"p","id":"3","labels":{"a":1}}`, "", "bad_payload", "a is 1: want a string"},
		{"item.set", `{"pool":"p","id":"3","labels":"a"}`, "", "bad_payload", `labels is "a": want an object`},
		{"item.set", `{"pool":"p","id":"3","state":"dirty","version":-1}`, "", "bad_payload", "version is -1: " + number},
		{"item.set", `{"pool":"p","id":"3","state":"dirty","version":1}`, "", "version_conflict", "look at it again"},
		// Sessions, and who looks.
		{"hello", `{"resume":7}`, "", "bad_payload", "resume is 7: want a string"},
		{"hello", `7`, "", "bad_payload", "at byte 0 there is 7: want an object"},
		{"hello", `{"resume":"1.."}`, "", "session_expired", "say hello without resume"},
		{"hello", `{"resume":"0.guessed"}`, "", "session_expired", "say hello without it"}, // or it would have a secret of the client's choice
		{"hello", `{"resume":"-1.00"}`, "", "session_expired", "say hello without it"},
		{"hello", `{"resume":"18446744073709551616.00"}`, "", "session_expired", "say hello without it"},
		{"hello", fmt.Sprintf(`{"resume":%q}`, resume[:len(resume)-1]), "", "session_expired", "say hello without resume"},
		{"watch", `{"fromRev":"1"}`, "", "bad_payload", `fromRev is "1": ` + number},
		{"watch", `{"pools":"p"}`, "", "bad_payload", `pools is "p": want an array`},
		{"explain", `{"wait":1,"queryIndex":1}`, "", "bad_payload", "either wait or queryIndex is needed"},
		{"explain", `{"queryIndex":"7"}`, "", "bad_payload", `queryIndex is "7": ` + number},
	} {
		var fields []string
		if test.field != "" {
			fields = append(fields, test.field)
		}
		f := c.call(test.typ, test.payload, fields...)
		if f.Code != test.code || !strings.Contains(f.Err, test.says) {
			t.Errorf("%s %.200s %.40s: %s: %s; want %s: %s", test.typ, test.payload, test.field, f.Code, f.Err, test.code, test.says)
		}
		if now := c.call("pool.stats", `{"pool":"p"}`).Rev; now != rev {
			t.Fatalf("%s %.200s %.40s: the rev was %d and is %d", test.typ, test.payload, test.field, rev, now)
		}
	}
	greeted.fails("state_behind", "watch", fmt.Sprintf(`{"fromRev":%d}`, rev+2))
	if again := greeted.hello(""); again != resume {
		t.Errorf("hello gave %q, and then %q", resume, again)
	}
	if after := list(); after != before {
		t.Errorf("the server listed\n%s\nand lists\n%s", before, after)
	}
	// Null is absent; filling in what is there changes nothing.
	c.call("pool.fill", `{"pool":"p","items":["1",{"id":"2","labels":null,"attrs":null}]}`).none(t)
	if after := c.call("pool.list", `null`); after.Rev != rev {
		t.Errorf("the rev was %d and is %d", rev, after.Rev)
	}
	c.call("lease.release", fmt.Sprintf(`{"lease":%d,"token":%d,"outcome":null}`, x.Lease, x.Token)).none(t)
	c.release(into[wire.Lease](t, c.call("lease.acquire", `{"want":[{"pool":"p","count":null,"select":{},"ids":null}],"ttlMs":null,"waitMs":null}`)))
}
