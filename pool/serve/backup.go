package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kassa-go/kassa/codec"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

const (
	// backupPartial begins the names of directories that hold a backup in the making. No backup's name begins like this.
	backupPartial = ".partial-"

	backupNameMax  = 100                    // bytes
	backupNameTime = "20060102T150405.000Z" // what a backup is named that was given no name, in UTC
)

// openBackups makes the directory of the backups, and tells of what a crash has left in it. That is not removed: another
// server may be at work on it.
func (s *Server) openBackups() error {
	dir := s.cfg.Backups
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("serve: the directory of the backups: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("serve: the directory of the backups: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), backupPartial) {
			s.log.Warn("this is of a backup that did not come to its end: remove it, unless another kassad is making it now",
				slog.String("dir", filepath.Join(dir, e.Name())))
		}
	}
	return nil
}

// backup is the handler of journal.backup. Its jobber is its own, so that the pools go on meanwhile; one backup is made
// after the other.
func (s *Server) backup(_ context.Context, ask wire.Backup) (wire.BackedUp, error) {
	began := time.Now()
	done := wire.BackedUp{Name: ask.Name}
	if done.Name == "" {
		done.Name = began.UTC().Format(backupNameTime)
	}
	switch {
	case s.cfg.Backups == "":
		return done, codec.NewError(codec.PermissionDenied, "no backups are made here: start kassad with --backups DIR, where they are to go")
	case !isBackupName(done.Name):
		return done, codec.NewError(codec.BadPayload, fmt.Sprintf("name is %.100q: want up to %d of a-z A-Z 0-9 . _ -, beginning with a letter or a digit",
			done.Name, backupNameMax))
	}
	to := filepath.Join(s.cfg.Backups, done.Name)
	_, err := os.Lstat(to)
	if err == nil {
		return done, codec.NewError(codec.Conflict, "there is a backup "+done.Name+" already")
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = s.backupTo(to, &done)
	}
	if err != nil {
		return done, s.backupFailed(done.Name, err)
	}
	s.log.Info("backup made", slog.String("name", done.Name), slog.Uint64("rev", done.Rev), slog.Int64("bytes", done.Bytes),
		slog.Duration("took", time.Since(began)))
	return done, nil
}

func (s *Server) backupFailed(name string, err error) error {
	s.log.Error("a backup has failed", slog.String("name", name), slog.Any("err", err))
	if errors.Is(err, syscall.ENOSPC) {
		return codec.NewError(codec.StoreFull, "the disk has no room for backup "+name)
	}
	return codec.NewError(codec.HandlerFailed, fmt.Sprintf("backup %s was not made: %v", name, err))
}

// backupTo makes a backup under another name, reads it all back, and then gives it its own.
func (s *Server) backupTo(to string, done *wire.BackedUp) error {
	dir := filepath.Dir(to)
	partial, err := os.MkdirTemp(dir, backupPartial)
	if err != nil {
		return err
	}
	defer func() {
		if err := os.RemoveAll(partial); err != nil {
			s.log.Warn("this is left of a backup: remove it", slog.String("dir", partial), slog.Any("err", err))
		}
	}()
	s.feed.mu.Lock()
	durable := s.feed.last
	s.feed.mu.Unlock()
	from := filepath.Join(partial, done.Name)
	if err := s.Backup(from); err != nil {
		return err
	}
	if err := seal(from, s.log.With(slog.String("backup", done.Name))); err != nil {
		return err
	}
	summary, err := journal.Verify(from)
	if err != nil {
		return err
	}
	if done.Rev = summary.Last; done.Rev < durable {
		return fmt.Errorf("it ends with rev %d, though rev %d was durable when it was begun", done.Rev, durable)
	}
	if done.Bytes, err = dirBytes(from); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return errors.Join(err, os.RemoveAll(to)) // it might be gone after a power failure
	}
	return nil
}

// seal leaves a backup as a store that was closed, in which it shows when something of its end gets lost. Until then its last
// events are in a log that was being written.
func seal(dir string, log *slog.Logger) error {
	j, err := journal.Open(journal.Config{Dir: dir, Log: log})
	if err != nil {
		return err
	}
	_, err = j.Recover(journal.Recovery{})
	return errors.Join(err, j.Close())
}

func isBackupName(name string) bool {
	if name == "" || len(name) > backupNameMax {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// dirBytes returns the size of the files in dir.
func dirBytes(dir string) (n int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		if info.Mode().IsRegular() {
			n += info.Size()
		}
	}
	return n, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
