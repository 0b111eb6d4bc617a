package pool_test

import (
	"bytes"
	"testing"

	"github.com/kassa-go/kassa/pool"
)

// history returns the chunks and the records of a machine that has done a bit of everything.
func history(t testing.TB) (chunks []chunk, records []pool.Record, mark pool.Mark) {
	w := newWorld(t, pool.Config{}, pool.Spec{Name: "p", QuotaMax: 4}, pool.Spec{Name: "q", Strategy: pool.LRU},
		pool.Spec{Name: "s", Kind: pool.Stock, FocusRow: 200, QuotaMax: 20}, pool.Spec{Name: "c", Kind: pool.Calendar, SetupMs: 1000})
	w.must(&pool.Fill{Pool: "p", Items: []pool.ItemSpec{{ID: "a", Labels: map[string]string{"x": "1"}}, {ID: "b", Attrs: []byte("1")}}})
	w.fill("q", 3)
	s := w.must(&pool.OpenSession{Client: "ann", Secret: "s", GraceMs: 1000}).Session
	a := w.must(&pool.Acquire{Session: s, Want: []pool.Want{{Pool: "p", Count: 2}, {Pool: "q", IDs: []string{"i0002"}}}, OnDisconnect: pool.ReleaseDirtyOnEnd, Keyed: pool.Keyed{Key: "k"}})
	w.must(&pool.Acquire{Session: s, Want: []pool.Want{{Pool: "p", Count: 1, Select: pool.Selector{{Name: "x", Values: []string{"1", "2"}}}}}, WaitMs: 5000, Keyed: pool.Keyed{Key: "l"}})
	w.must(&pool.Acquire{Session: s, Want: []pool.Want{{Pool: "p", Count: 2}, {Pool: "q", Count: 1}}, WaitMs: 500})
	w.must(&pool.Renew{Grant: a.Grant, Token: a.Token})
	w.must(&pool.Release{Pool: "p", Item: "b", Outcome: pool.Broken})
	w.must(&pool.SetItem{Pool: "q", ID: "i0001", State: "dirty"})
	seats, hour := w.sales(), int64(3600_000)
	w.must(&pool.Disconnect{Session: s})
	records, mark = w.records()
	w.must(&pool.Resume{Session: s, Secret: "s"})
	w.must(&pool.Refund{Grant: seats.Grant, Token: seats.Token, Items: []pool.ItemRef{{ID: "a1"}}, Withhold: true})
	w.must(&pool.Move{Grant: seats.Grant, Token: seats.Token, Spans: []pool.Span{{Start: 5 * hour, End: 6 * hour}}})
	w.must(&pool.Cancel{Grant: seats.Grant, Token: seats.Token})
	w.must(&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "a2", Row: 2, Col: 2}, {ID: "x", Quantity: 6}}})
	w.must(&pool.Drain{Pool: "s", All: true})
	w.must(&pool.Drain{Pool: "q", IDs: []string{"i0003", "i0002"}})
	w.must(new(pool.Restarted))
	w.tick(2000)
	w.must(new(pool.Configure))
	w.must(&pool.DrainUnseen{Pool: "p"})
	w.tick(1_000_000)
	return w.chunks, records, mark
}

// sales has seats held and sold, rooms booked, and both waited for. It returns a grant of some of each.
func (w *world) sales() pool.Reply {
	hour := int64(3600_000)
	w.must(&pool.Fill{Pool: "s", Items: []pool.ItemSpec{{ID: "x", Quantity: 5}, {ID: "a1", Row: 1, Col: 1}, {ID: "a2", Row: 1, Col: 2}, {ID: "a4", Row: 1, Col: 4}, {ID: "y"}}})
	w.must(&pool.Fill{Pool: "c", Items: []pool.ItemSpec{{ID: "room", Quantity: 2}}})
	want := []pool.Want{
		{Pool: "q", Count: 1}, {Pool: "s", Count: 2, Best: pool.Together}, {Pool: "s", IDs: []string{"x"}, Count: 2},
		{Pool: "c", Count: 1, Spans: []pool.Span{{Start: 2 * hour, End: 3 * hour}}},
	}
	both := w.must(&pool.Acquire{Want: want, Keyed: pool.Keyed{Client: "bob", Key: "s"}})
	hold := w.must(&pool.Acquire{Kind: pool.Stock, Want: []pool.Want{{Pool: "s", IDs: []string{"x"}, Count: 3}}})
	w.must(&pool.Renew{Kind: pool.Stock, Grant: hold.Grant, Token: hold.Token})
	w.must(&pool.Acquire{Kind: pool.Stock, WaitMs: 60_000, Want: []pool.Want{{Pool: "s", Count: 2, Best: pool.Split}}})
	w.must(&pool.Acquire{WaitMs: 60_000, Want: want[1:]})
	w.must(&pool.Confirm{Grant: both.Grant, Token: both.Token, Keyed: pool.Keyed{Client: "bob", Key: "t"}})
	w.must(&pool.Release{Kind: pool.Stock, Grant: hold.Grant, Token: hold.Token, Items: []pool.ItemRef{{ID: "x", Units: 1}}})
	withheld := int64(1)
	w.must(&pool.SetItem{Pool: "s", ID: "x", Withheld: &withheld})
	w.must(&pool.SetItem{Pool: "s", ID: "y", State: "withheld"})
	w.must(&pool.Book{Want: want[3], Keyed: pool.Keyed{Client: "bob", Key: "u"}})
	return both
}

func (w *world) records() (records []pool.Record, mark pool.Mark) {
	m := pool.New(w.cfg)
	for _, c := range w.chunks {
		if err := m.Replay(c.seq, c.data); err != nil {
			w.t.Fatal(err)
		}
	}
	m.Freeze()
	records, mark, _ = m.Slice(1 << 30)
	return records, mark
}

// FuzzReplay feeds a machine with a chunk that is damaged, after a sound history: it says so, or what it is then is sound.
func FuzzReplay(f *testing.F) {
	chunks, _, _ := history(f)
	for i, c := range chunks {
		f.Add(uint8(i), c.data)
	}
	f.Fuzz(func(t *testing.T, after uint8, data []byte) {
		pool.ChunkFirst(data)
		events := uint64(0)
		eventsErr := pool.Events(data, func(*pool.Event) bool { events++; return true })
		m := pool.New(pool.Config{RefuseHoldAndWait: after >= 128})
		for i, c := range chunks {
			if i == int(after&127) {
				break
			}
			if err := m.Replay(c.seq, c.data); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Replay(m.Rev()+events, data); err != nil {
			return
		}
		if eventsErr != nil {
			t.Fatalf("replayed, but not read: %v", eventsErr)
		}
		if err := m.Check(); err != nil {
			t.Skip(err) // what was never decided can be odd, as a wait for nothing
		}
		for range 1000 {
			if !m.Tick(m.NextDue(), 100) && m.NextDue() == 0 {
				break
			}
			m.TakeChunk()
		}
	})
}

// FuzzLoad changes one record of a checkpoint: loading it fails, or gives a machine that works.
func FuzzLoad(f *testing.F) {
	_, records, mark := history(f)
	for i, r := range records {
		f.Add(uint8(i), r.Key, r.Value, true)
	}
	f.Add(uint8(10), []byte("b"), []byte{0}, true)                                              // a wait whose key is not there
	f.Add(uint8(1), []byte("bq"), []byte("\x0500000\x03000\x0500000\x04000000000000000"), true) // of an unknown kind
	f.Fuzz(func(t *testing.T, at uint8, key, value []byte, replace bool) {
		m := pool.New(pool.Config{})
		for i, r := range records {
			if i == int(at) {
				if err := m.Load(key, value); err != nil {
					return
				}
				if replace {
					continue
				}
			}
			if err := m.Load(r.Key, r.Value); err != nil {
				return
			}
		}
		mark := mark
		mark.Hash = m.Hash() // as if it were so
		if m.Loaded(mark) != nil {
			return
		}
		for range 1000 {
			if !m.Tick(m.NextDue(), 100) && m.NextDue() == 0 {
				break
			}
			m.TakeChunk()
		}
	})
}

// FuzzArbitrary has the machine read what nobody wrote.
func FuzzArbitrary(f *testing.F) {
	f.Add([]byte("b"), []byte{1, 2, 3})
	f.Add([]byte("f\x01"), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(_ *testing.T, key, value []byte) {
		pool.New(pool.Config{}).Load(key, value)
		pool.Events(value, func(*pool.Event) bool { return true })
		pool.New(pool.Config{}).Replay(uint64(len(key)), value)
		pool.ChunkFirst(value)
	})
}

func TestRecordsKeepTheirBytes(t *testing.T) {
	_, records, mark := history(t)
	m := pool.New(pool.Config{})
	for _, r := range records {
		if err := m.Load(r.Key, r.Value); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Loaded(mark); err != nil {
		t.Fatal(err)
	}
	again := m.Encoded()
	if len(again) != len(records) {
		t.Fatalf("%d records, stored were %d", len(again), len(records))
	}
	for _, r := range records {
		if !bytes.Equal(again[string(r.Key)], r.Value) {
			t.Errorf("%q is %q, stored was %q", r.Key, again[string(r.Key)], r.Value)
		}
	}
}

// TestADamagedCheckpointIsRefused changes each byte of each record.
func TestADamagedCheckpointIsRefused(t *testing.T) {
	_, records, mark := history(t)
	load := func(damaged, at int) error {
		m := pool.New(pool.Config{})
		for i, r := range records {
			value := bytes.Clone(r.Value)
			if i == damaged {
				value[at] ^= 0x11
			}
			if err := m.Load(r.Key, value); err != nil {
				return err
			}
		}
		return m.Loaded(mark)
	}
	if err := load(-1, 0); err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		for at := range r.Value {
			if load(i, at) == nil {
				t.Errorf("record %q was loaded with byte %d changed", r.Key, at)
			}
		}
	}
}

// TestADamagedChunkIsRefused cuts a history off in the middle of a chunk, and leaves chunks out.
func TestADamagedChunkIsRefused(t *testing.T) {
	chunks, _, _ := history(t)
	replay := func(chunks []chunk) error {
		m := pool.New(pool.Config{})
		for _, c := range chunks {
			if err := m.Replay(c.seq, c.data); err != nil {
				return err
			}
		}
		return nil
	}
	if err := replay(chunks); err != nil {
		t.Fatal(err)
	}
	for i, c := range chunks {
		before := chunks[:i:i]
		for n := range c.data {
			if replay(append(before, chunk{c.seq, c.data[:n]})) == nil {
				t.Errorf("chunk %d was replayed from its first %d bytes of %d", i, n, len(c.data))
			}
		}
		if i+1 < len(chunks) && replay(append(before, chunks[i+1])) == nil {
			t.Errorf("chunk %d was replayed without the one before", i+1)
		}
		if replay(append(before, c, c)) == nil {
			t.Errorf("chunk %d was replayed twice", i)
		}
		if replay(append(before, chunk{c.seq + 1, c.data})) == nil {
			t.Errorf("chunk %d was replayed under another number", i)
		}
	}
}
