package serve

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// What would be waited for without end is refused: a pool, or a type of events, that there is not. The watch before goes on.
func TestWatchOfNothing(t *testing.T) {
	dir := t.TempDir()
	s := startOnly(t, Config{Journal: open(t, dir), Pools: []Pool{items("p", 1), items("gone", 1), items("leaving", 1)}}, 0)
	c := dial(t, s.addr)
	c.hello("")
	c.call("watch", `{"pools":["p"],"types":["lease.granted"]}`).none(t)
	all := "; there are lease.granted, lease.renewed, "
	for _, test := range []struct{ payload, code, says string }{
		{`{"types":["lease.grantd"]}`, "bad_payload", `no event is of type "lease.grantd"` + all},
		{`{"types":["lease.granted",""],"fromRev":1}`, "bad_payload", `no event is of type ""` + all},
		{`{"types":["watch.ended"]}`, "bad_payload", `no event is of type "watch.ended"` + all},
		{`{"types":[]}`, "bad_payload", "types is empty, so that no event would be pushed: leave it out to be told of all"},
		{`{"pools":[]}`, "bad_payload", "pools is empty, so that no event would be pushed: leave it out to be told of all"},
		{`{"pools":["p"],"types":["session.gone"]}`, "bad_payload", "no event of these types names a pool, so that none would be pushed: leave pools out, or types; that is so of lease.renewed, "},
		{`{"pools":["p"],"types":["wait.ended","lease.expiring"],"fromRev":1}`, "bad_payload", "no event of these types names a pool"},
		{`{"pools":["P"]}`, "not_found", `there is no pool "P"; pool.list lists those there are`},
		{`{"pools":["p",""]}`, "not_found", `there is no pool ""; pool.list lists those there are`},
	} {
		if f := c.call("watch", test.payload); f.Code != test.code || !strings.HasPrefix(f.Err, test.says) {
			t.Errorf("%s: %s: %s; want %s: %s", test.payload, f.Code, f.Err, test.code, test.says)
		}
	}
	c.release(c.acquire("p", ""))
	if e := into[wire.Event](t, c.push()); e.Type != "lease.granted" {
		t.Errorf("got %+v", e)
	}
	c.call("watch", `{"pools":["p"],"types":["lease.renewed","lease.released"]}`).none(t)
	for _, payload := range []string{
		`{"pools":["nope"],"off":true}`, `{"pools":[],"types":[],"off":true}`, `{"types":["nope"],"off":true}`,
		`{"pools":["p"],"types":["wait.ended"],"off":true}`, `{"fromRev":1000000,"off":true}`, `{"off":true}`,
	} {
		c.call("watch", payload).none(t)
	}
	held := c.acquire("leaving", "")
	c.Close()
	if err := s.end(giveUp); err != nil {
		t.Fatal(err)
	}

	// A pool that is not configured any more can be watched while it has something, and from an earlier rev when it is gone.
	s = start(t, Config{Journal: open(t, dir), Pools: []Pool{items("p", 1)}})
	c = dial(t, s.addr)
	c.hello("")
	c.fails("not_found", "watch", `{"pools":["gone"]}`)
	c.call("watch", `{"pools":["gone"],"types":["pool.gone"],"fromRev":1}`).none(t)
	if e := into[wire.Event](t, c.push()); e.Pool != "gone" {
		t.Errorf("got %+v", e)
	}
	c.call("watch", `{"pools":["leaving"],"types":["pool.gone"]}`).none(t)
	c.release(held)
	if e := into[wire.Event](t, c.push()); e.Pool != "leaving" {
		t.Errorf("got %+v", e)
	}
	c.fails("not_found", "watch", `{"pools":["leaving"]}`)
}

// The types of events that can be watched are those of the page, and each that the machine has is among them. Those that are said
// to name no pool name none, and the others do: the golden stores have all of them.
func TestEventTypes(t *testing.T) {
	page, err := os.ReadFile("../../codec/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "\n- **Events**")
	text, _, ok := strings.Cut(text, " The push `watch.ended`")
	if !ok {
		t.Fatal("the page does not list the events")
	}
	groups := `(?:lease|hold|sale|slot|booking|wait|session|item|pool|key|server)\.[a-z]+`
	documented := slices.DeleteFunc(regexp.MustCompile("`"+groups+"`").FindAllString(text, -1), func(name string) bool {
		return name == "`lease.acquire`"
	})
	for i := range documented {
		documented[i] = strings.Trim(documented[i], "`")
	}
	slices.Sort(documented)
	if listed := slices.Sorted(slices.Values(eventTypes)); !slices.Equal(listed, slices.Compact(documented)) {
		t.Errorf("there are\n%q, the page has\n%q", listed, documented)
	}
	unseen := slices.DeleteFunc(slices.Clone(eventTypes), func(typ string) bool { return slices.Contains(poolless, typ) })
	for _, golden := range goldens {
		j := open(t, copyGolden(t, golden))
		_, err := j.Recover(journal.Recovery{
			Record: func(_, _ []byte) error { return nil }, Mark: func(journal.Mark) error { return nil },
			Chunk: func(uint64, []byte) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		err = j.Read(t.Context(), 0, func(_ uint64, chunk []byte) error {
			return pool.Events(chunk, func(e *pool.Event) bool {
				if names := e.Pool != "" || len(e.Items) > 0; names && slices.Contains(poolless, e.Type) {
					t.Errorf("%+v: it names a pool", e)
				} else if names {
					unseen = slices.DeleteFunc(unseen, func(typ string) bool { return typ == e.Type })
				}
				return true
			})
		})
		if err = errors.Join(err, j.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(unseen, []string{"pool.gone"}) { // TestWatchOfNothing sees that
		t.Errorf("no event of these types names a pool: %q", unseen)
	}
	sources, _ := filepath.Glob("../*.go")
	ended := 0
	for _, name := range sources {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		// A type that is put together ends like those of leases and holds.
		for _, ends := range regexp.MustCompile(`e\.Type\b[^"\n]*\+ *"(\.[a-z]+)"`).FindAllStringSubmatch(string(source), -1) {
			ended++
			for _, grant := range []string{"lease", "hold"} {
				if !slices.Contains(eventTypes, grant+ends[1]) {
					t.Errorf("%s: %s", name, grant+ends[1])
				}
			}
		}
		for _, typ := range regexp.MustCompile(`e\.Type\b[^"\n]*"(`+groups+`)"`).FindAllStringSubmatch(string(source), -1) {
			// A booking is firm at once, so it is never only held.
			if !slices.Contains(eventTypes, typ[1]) && typ[1] != "slot.held" && typ[1] != "slot.expired" {
				t.Errorf("%s: %s", name, typ[1])
			}
		}
	}
	if ended == 0 {
		t.Error("no type is put together any more")
	}
}
