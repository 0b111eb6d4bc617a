package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"syscall"

	"github.com/kassa-go/kassa/client"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/serve"
	"github.com/kassa-go/kassa/pool/wire"
)

// backup has the server make a backup. That takes as long as reading the store: only a --timeout that was given ends it.
func (o *options) backup(ctx context.Context, t terminal, args []string) error {
	var ask wire.Backup
	if len(args) > 0 {
		if ask.Name = args[0]; ask.Name == "" {
			return usagef("NAME is empty: kassa backup [NAME]")
		}
	}
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if !o.timeoutGiven {
		o.timeout = 0
	}
	return o.askOnce(ctx, t, c, client.Request{Type: "journal.backup", Payload: ask})
}

// verified is what journal verify prints.
type verified struct {
	Dir       string `json:"dir"`
	Rev       uint64 `json:"rev"`       // of the last event
	FirstRev  uint64 `json:"firstRev"`  // of the first one that is kept
	Records   int    `json:"records"`   // of the checkpoint
	RecordRev uint64 `json:"recordRev"` // of the last event in them
	Chunks    int    `json:"chunks"`
	Bytes     int64  `json:"bytes"`
	Epoch     uint64 `json:"epoch"`
}

// journalVerify reads the whole store of a kassad that does not run, or a backup, and prints what is there.
func (o *options) journalVerify(_ context.Context, t terminal, args []string) error {
	dir := args[0]
	quiet()
	s, err := journal.Verify(dir)
	if err != nil {
		return storeError(dir, err)
	}
	return t.printValue(verified{
		Dir: dir, Rev: s.Last, FirstRev: s.Gone + 1, Records: s.Records, RecordRev: s.Mark.Seq, Chunks: s.Chunks, Bytes: s.Bytes, Epoch: s.Epoch,
	})
}

// quiet has the journal's log say nothing: what matters comes as an error.
func quiet() { slog.SetDefault(slog.New(slog.DiscardHandler)) }

// journalDump prints the events in the store of a kassad that does not run, or in a backup, as watch does.
func (o *options) journalDump(ctx context.Context, t terminal, args []string) error {
	dir := args[0]
	if err := serve.CheckEventTypes(o.watchOf.types); err != nil {
		return usagef("--types: %v", err)
	}
	quiet()
	j, err := journal.OpenReadOnly(journal.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return storeError(dir, err)
	}
	defer j.Close() // nothing was written
	var last uint64
	_, err = j.Recover(journal.Recovery{
		Mark:  func(m journal.Mark) error { last = m.Seq; return nil },
		Chunk: func(seq uint64, _ []byte) error { last = seq; return nil },
	})
	from := o.watchOf.fromRev
	switch first := j.Gone() + 1; {
	case err != nil:
		return storeError(dir, err)
	case from == 0:
		from = first
	case from < first:
		return fmt.Errorf("the events of %s up to rev %d are kept no longer: --from-rev %d is the first", dir, first-1, first)
	case from > last+1:
		return fmt.Errorf("the last event of %s is rev %d: it is not the same store, or a part of it was lost", dir, last)
	}
	out := bufio.NewWriter(t.stdout)
	var line []byte
	var failed error // of out
	err = j.Read(ctx, from-1, func(_ uint64, chunk []byte) error {
		err := pool.Events(chunk, func(e *pool.Event) bool {
			if e.Rev < from || !o.wants(e) {
				return true
			}
			if line, failed = serve.AppendEvent(line[:0], e); failed == nil {
				_, failed = out.Write(append(line, '\n'))
			}
			return failed == nil
		})
		return errors.Join(err, failed)
	})
	if failed == nil {
		failed = out.Flush()
	}
	if failed != nil {
		return failed
	}
	return storeError(dir, err)
}

// wants tells whether an event is to be printed, as a watch tells it.
func (o *options) wants(e *pool.Event) bool {
	if types := o.watchOf.types; types != nil && !slices.Contains(types, e.Type) {
		return false
	}
	name := o.pool
	return name == "" || e.Pool == name || slices.ContainsFunc(e.Items, func(ref pool.ItemRef) bool { return ref.Pool == name })
}

// storeError says what it means that a store can't be read.
func storeError(dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, journal.ErrNoStore):
		return usagef("%s holds no store: want the directory that kassad was given as --data, or a backup in that given as --backups", dir)
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, journal.ErrDamaged), errors.Is(err, syscall.ENOTDIR):
		return usagef("DIR: %s", strings.TrimPrefix(err.Error(), "journal: "))
	case errors.Is(err, journal.ErrLocked):
		return fmt.Errorf("%s is in use, by a kassad for example: kassa watch --from-rev prints its events while it runs, and kassa backup "+
			"makes a copy of it that can be verified and dumped", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (a store can be read only by who may lock it, and so write to it)", err)
	}
	// What Pebble finds damaged it tells over several lines: one a file, and one for itself.
	text := strings.ReplaceAll(err.Error(), "\n<corruption detail carrier>", "")
	return fmt.Errorf("%s: %s", dir, strings.ReplaceAll(text, "\n", "; "))
}
