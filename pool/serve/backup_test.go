package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// TestBackup makes backups under load. Each is as the store was after the last of its events, and is served.
func TestBackup(t *testing.T) {
	dir, backups := t.TempDir(), filepath.Join(t.TempDir(), "made", "by", "the server")
	j, err := journal.Open(journal.Config{Dir: dir, RetainBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	s := startOnly(t, Config{Journal: j, Backups: backups, Pools: []Pool{items("p", 50)}, CheckpointRecords: 300}, 0)
	var stop atomic.Bool
	var load sync.WaitGroup
	for range 4 {
		c := dial(t, s.addr)
		load.Go(func() {
			for !stop.Load() {
				f, ok := c.exchange("lease.acquire", want("p", ""))
				var l wire.Lease
				if !ok || f.Err != "" || json.Unmarshal(f.ResultJob, &l) != nil {
					t.Errorf("acquire: %+v", f)
					return
				}
				if f, ok = c.exchange("lease.release", held(l)); !ok || f.Err != "" {
					t.Errorf("release: %+v", f)
					return
				}
			}
		})
	}
	c := dial(t, s.addr)
	var made []wire.BackedUp
	for _, name := range []string{"1", "", "", "2026-11-21_a.B"} {
		kept := c.acquire("p", `,"ttlMs":3600000`)
		acked := c.call("pool.stats", `{"pool":"p"}`).Rev
		b := into[wire.BackedUp](t, c.call("journal.backup", fmt.Sprintf(`{"name":%q}`, name)))
		if b.Rev < acked || b.Rev < kept.Token || b.Bytes == 0 || name != "" && b.Name != name || b.Name == "" {
			t.Errorf("%q: %+v; rev %d was acknowledged before", name, b, acked)
		}
		made = append(made, b)
	}
	stop.Store(true)
	load.Wait()
	c.fails("conflict", "journal.backup", `{"name":"1"}`)
	if err := s.end(giveUp); err != nil {
		t.Fatal(err)
	}
	if names := entries(t, backups); len(names) != len(made) {
		t.Errorf("there are %q", names)
	}
	all := chunks(t, dir)
	for i, b := range made {
		restored := filepath.Join(t.TempDir(), "restored")
		if err := os.CopyFS(restored, os.DirFS(filepath.Join(backups, b.Name))); err != nil {
			t.Fatal(err)
		}
		checkBackup(t, restored, b.Rev, all)
		s := startOnly(t, Config{Journal: open(t, restored), Pools: []Pool{items("p", 50)}}, 0)
		c := dial(t, s.addr)
		if st := c.stats("p"); st.Items != 50 || st.Leased < i+1 || st.Leased > i+1+4 {
			t.Errorf("%+v has %+v", b, st)
		}
		c.release(c.acquire("p", ""))
		c.Close()
		if err := s.end(giveUp); err != nil {
			t.Error(err)
		}
	}
}

type chunk struct {
	seq   uint64
	bytes []byte
}

// chunks returns all chunks of a store.
func chunks(t *testing.T, dir string) (all []chunk) {
	t.Helper()
	j, err := journal.OpenReadOnly(journal.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err = j.Recover(journal.Recovery{}); err == nil {
		err = j.Read(t.Context(), 0, func(seq uint64, p []byte) error {
			all = append(all, chunk{seq, bytes.Clone(p)})
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkBackup checks that the store in dir is that of all as it was at rev: the state in its records, with the chunks behind
// them, is what the chunks alone lead to.
func checkBackup(t *testing.T, dir string, rev uint64, all []chunk) {
	t.Helper()
	if summary, err := journal.Verify(dir); err != nil || summary.Last != rev {
		t.Errorf("want rev %d, got %+v, %v", rev, summary, err)
	}
	for i, c := range chunks(t, dir) {
		if i == len(all) || c.seq != all[i].seq || !bytes.Equal(c.bytes, all[i].bytes) {
			t.Fatalf("chunk %d is not that of the store", c.seq)
		}
	}
	replayed, recovered := pool.New(pool.Config{}), pool.New(pool.Config{})
	for _, c := range all {
		if c.seq <= rev {
			if err := replayed.Replay(c.seq, c.bytes); err != nil {
				t.Fatal(err)
			}
		}
	}
	j, err := journal.OpenReadOnly(journal.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	_, err = j.Recover(journal.Recovery{
		Record: recovered.Load,
		Mark: func(m journal.Mark) error {
			return recovered.Loaded(pool.Mark{Rev: m.Seq, Clock: m.Clock, Hash: m.Hash})
		},
		Chunk: recovered.Replay,
	})
	if err != nil || recovered.Rev() != rev || recovered.Hash() != replayed.Hash() {
		t.Errorf("rev %d with hash %x, want %d with %x: %v", recovered.Rev(), recovered.Hash(), rev, replayed.Hash(), err)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// backedUp is a journal with a Backup of the test's.
type backedUp struct {
	journal.Journal
	backup func(j journal.Journal, dir string) error
}

func (b *backedUp) Backup(dir string) error { return b.backup(b.Journal, dir) }

// TestBackupHoldsUpNothing checks that requests are served while a backup is being made.
func TestBackupHoldsUpNothing(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	j := &backedUp{open(t, t.TempDir()), func(j journal.Journal, dir string) error {
		close(begun)
		<-goOn
		return j.Backup(dir)
	}}
	backups := t.TempDir()
	s := start(t, Config{Journal: j, Backups: backups, Pools: []Pool{items("p", 2)}})
	asking, c := dial(t, s.addr), dial(t, s.addr)
	index := asking.send("journal.backup", `{"name":"slow"}`)
	within(t, "the backup", begun, giveUp)
	for range 10 {
		c.release(c.acquire("p", ""))
	}
	if names := entries(t, backups); len(names) != 1 || !strings.HasPrefix(names[0], backupPartial) {
		t.Errorf("while it is made there are %q", names)
	}
	rev := c.call("pool.stats", `{"pool":"p"}`).Rev
	close(goOn)
	if b := into[wire.BackedUp](t, asking.reply(index)); b.Rev < rev {
		t.Errorf("%+v, want rev %d at least", b, rev)
	}
}

// TestBackupFails checks that nothing is left of a backup that has failed.
func TestBackupFails(t *testing.T) {
	for _, test := range []struct {
		name, code string
		backup     func(j journal.Journal, dir string) error
	}{
		{"half", "handler_failed", func(_ journal.Journal, dir string) error {
			return errors.Join(os.CopyFS(dir, os.DirFS(".")), errDisk)
		}},
		{"full", "store_full", func(journal.Journal, string) error { return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC} }},
		{"damaged", "handler_failed", func(j journal.Journal, dir string) error {
			if err := j.Backup(dir); err != nil {
				return err
			}
			manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
			return errors.Join(err, os.Truncate(manifests[0], 20))
		}},
		{"cut short", "handler_failed", func(j journal.Journal, dir string) error {
			if err := j.Backup(dir); err != nil {
				return err
			}
			logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
			return errors.Join(err, os.Truncate(logs[0], 0))
		}},
		{"not there", "handler_failed", func(journal.Journal, string) error { return nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			backups := t.TempDir()
			var again atomic.Bool
			j := &backedUp{open(t, t.TempDir()), func(j journal.Journal, dir string) error {
				if again.Swap(true) {
					return j.Backup(dir)
				}
				return test.backup(j, dir)
			}}
			s := start(t, Config{Journal: j, Backups: backups, Pools: []Pool{items("p", 1)}})
			c := dial(t, s.addr)
			c.fails(test.code, "journal.backup", `{"name":"a"}`)
			if names := entries(t, backups); len(names) > 0 {
				t.Errorf("%q are left", names)
			}
			if b := into[wire.BackedUp](t, c.call("journal.backup", `{"name":"a"}`)); b.Rev == 0 {
				t.Errorf("%+v", b)
			}
		})
	}
}

func TestBackupRefused(t *testing.T) {
	s := start(t, Config{Journal: open(t, t.TempDir())})
	f := dial(t, s.addr).fails("permission_denied", "journal.backup", `{"name":"a"}`)
	if !strings.Contains(f.Err, "--backups DIR") {
		t.Error(f.Err)
	}
	backups := t.TempDir()
	s = start(t, Config{Backups: backups})
	c := dial(t, s.addr)
	for _, name := range []string{".", "..", "../a", "/a", "a/b", ".a", "-a", "_a", "a b", "a\\u0000", "ä", "a\\n", strings.Repeat("a", backupNameMax+1)} {
		c.fails("bad_payload", "journal.backup", `{"name":"`+name+`"}`)
	}
	c.fails("bad_payload", "journal.backup", `{"name":7}`)
	for _, made := range []string{"file", "dir"} {
		if err := errors.Join(os.WriteFile(filepath.Join(backups, "file"), nil, 0o600), os.MkdirAll(filepath.Join(backups, "dir"), 0o700)); err != nil {
			t.Fatal(err)
		}
		c.fails("conflict", "journal.backup", fmt.Sprintf(`{"name":%q}`, made))
	}
	c.fails("handler_failed", "journal.backup", `{"name":"a"}`) // a journal in memory has none
	if names := entries(t, backups); len(names) != 2 {
		t.Errorf("there are %q", names)
	}
	if _, err := New(Config{Journal: journal.NewMemory(), Backups: filepath.Join(backups, "file")}); err == nil {
		t.Error("a file is taken for the directory of the backups")
	}
}

// TestBackupIsCutShort checks that the server ends in time though a backup is being made, which then is not there.
func TestBackupIsCutShort(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	backups := t.TempDir()
	j := &backedUp{open(t, t.TempDir()), func(j journal.Journal, dir string) error {
		close(begun)
		<-goOn
		return j.Backup(dir)
	}}
	s := startOnly(t, Config{Journal: j, Backups: backups, Pools: []Pool{items("p", 1)}}, 0)
	c := dial(t, s.addr)
	c.send("journal.backup", `{"name":"a"}`)
	within(t, "the backup", begun, giveUp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(s.e.Shutdown(ctx), s.d.Close(ctx)); err == nil {
		t.Error("the dispatcher says nothing of a handler at work")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	close(goOn)
	for deadline := time.Now().Add(giveUp); len(entries(t, backups)) > 0; { // it finds the journal closed
		if time.Now().After(deadline) {
			t.Fatalf("%q are left", entries(t, backups))
		}
	}
}
