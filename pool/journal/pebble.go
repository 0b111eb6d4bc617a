package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble is a Journal on disk. Two goroutines serve it: one commits what was appended, which writes it to the log, the
// other waits for the fsync, of which one makes all durable that was committed by then.
type Pebble struct {
	cfg      Config
	guard    *guard
	lock     *pebble.Lock
	db       *pebble.DB
	readOnly bool

	mu        sync.Mutex // of what follows, up to the blank line
	recovered bool
	closed    bool
	batch     uint64 // the number of the last batch
	last      uint64 // the seq of the last chunk
	mark      Mark   // the last one
	epoch     uint64
	points    []point // the checkpoints whose chunks are kept, by seq; the last is that of mark
	bytes     uint64  // of all chunks

	committing chan *ticket
	syncing    chan *ticket
	idle       chan struct{} // closed when both goroutines have ended

	acked   atomic.Uint64 // the number of the last batch known to be durable
	durable atomic.Uint64 // the seq of the last chunk known to be durable
	gone    atomic.Uint64 // the seq up to which chunks are kept no longer

	use sync.RWMutex // held for reading while db is in use by Read and Backup

	full        atomic.Bool
	fullChecked atomic.Int64 // when, in ns
	serving     atomic.Bool  // Recover has returned
}

var (
	_ Journal = (*Pebble)(nil)
	_ Journal = (*Memory)(nil)
)

// Open opens the store in cfg.Dir, or makes it.
func Open(cfg Config) (*Pebble, error) { return open(cfg, false) }

// ErrNoStore is what OpenReadOnly and Verify return of a directory that holds no store, nor a part of one.
var ErrNoStore = errors.New("journal: there is no store")

// OpenReadOnly opens a store that is there and changes nothing in it, for Recover, Read and Close: Recover returns the
// epoch as it is.
func OpenReadOnly(cfg Config) (*Pebble, error) { return open(cfg, true) }

// storeFile matches the names of Pebble's files.
var storeFile = regexp.MustCompile(`^(\d{6,}\.(sst|log)|\d{6,}-\d{3,}\.log|(MANIFEST|OPTIONS)-\d{6,}|marker\..*)$`)

func open(cfg Config, readOnly bool) (*Pebble, error) {
	cfg = cfg.withDefaults()
	if cfg.Dir == "" {
		return nil, errors.New("journal: Config.Dir is needed")
	}
	p := &Pebble{cfg: cfg, readOnly: readOnly}
	p.guard = newGuard(cfg.FS, cfg.Dir, cfg.memTable/4, p.ended)
	if readOnly {
		names, err := cfg.FS.List(cfg.Dir)
		switch {
		case err != nil:
			return nil, fmt.Errorf("journal: %w", err)
		case !slices.ContainsFunc(names, storeFile.MatchString): // the lock would leave a file there
			return nil, fmt.Errorf("%w in %s", ErrNoStore, cfg.Dir)
		}
	} else if err := makeDir(cfg.FS, cfg.Dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	lock, err := pebble.LockDirectory(cfg.Dir, cfg.FS)
	if err != nil {
		if _, ok := errors.AsType[*fs.PathError](err); ok { // it could not be opened
			return nil, fmt.Errorf("journal: %w", err)
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, cfg.Dir, err)
	}
	p.lock = lock
	if err := errors.Join(p.guard.run(p.open), p.guard.err()); err != nil {
		if !p.guard.isStuck() && p.db != nil { // else open may be at it still
			err = errors.Join(err, p.guard.run(p.db.Close))
		}
		if !p.guard.isStuck() { // else Pebble still has its hands on the store
			lock.Close()
		}
		return nil, err
	}
	return p, nil
}

func (p *Pebble) open() error {
	last, err := audit(p.cfg.FS, p.cfg.Dir, p.lock)
	if err != nil {
		return err
	}
	o := options(p.guard, p.cfg.memTable, logger{p.cfg.Log, p.guard})
	o.EventListener = p.listener()
	o.ReadOnly, o.Lock = p.readOnly, p.lock
	db, err := pebble.Open(p.cfg.Dir, o)
	if err != nil {
		return diagnosed(err)
	}
	p.batch, err = lastBatch(db)
	if err == nil && p.batch != last {
		err = fmt.Errorf("%w: batch %d was in the logs, %d is the last there is now. %s", ErrDamaged, last, p.batch, advice)
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	p.db = db
	p.guard.opened.Store(true)
	p.acked.Store(last) // Pebble has written it to tables
	return nil
}

// ended is called once, with what has ended all writing.
func (p *Pebble) ended(err error) {
	if !p.serving.Load() { // then Open or Recover returns it
		return
	}
	p.cfg.Log.Error("journal: nothing more is written", "error", err)
	if p.cfg.OnFatal != nil {
		p.cfg.OnFatal(err)
	}
}

func (p *Pebble) Recover(r Recovery) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, ErrClosed
	}
	if p.recovered {
		return 0, errors.New("journal: Recover was called already")
	}
	p.recovered = true
	if err := p.recover(r); err != nil {
		return 0, err
	}
	if p.readOnly {
		return p.epoch, nil
	}
	p.committing = make(chan *ticket, queueSize)
	p.syncing = make(chan *ticket, queueSize)
	p.idle = make(chan struct{})
	go p.commit()
	go p.sync()
	p.epoch++
	t, err := p.epochTicket(p.db)
	if err != nil {
		return 0, err
	}
	if err := p.submit(t).Wait(); err != nil {
		return 0, err
	}
	p.serving.Store(true)
	return p.epoch, nil
}

func (p *Pebble) recover(r Recovery) error {
	mark, err := getMark(p.db)
	if err != nil {
		return err
	}
	epoch, err := getEpoch(p.db)
	if err != nil {
		return err
	}
	err = scan(p.db, []byte{keyRecord}, []byte{keyRecord + 1}, func(key, value []byte) error {
		b, err := unseal(key, value, sealSize)
		if err == nil && r.Record != nil {
			err = r.Record(key[1:], b)
		}
		return err
	})
	if err != nil {
		return err
	}
	if r.Mark != nil {
		if err := r.Mark(mark.Mark); err != nil {
			return err
		}
	}
	err = scan(p.db, []byte{keyPoint}, []byte{keyPoint + 1}, func(key, value []byte) error {
		pt, err := readPoint(key, value)
		p.points = append(p.points, pt)
		p.bytes = pt.bytes
		return err
	})
	if err != nil {
		return err
	}
	p.last = mark.Seq
	err = scan(p.db, seqKey(keyChunk, mark.Seq+1), []byte{keyChunk + 1}, func(key, value []byte) error {
		seq, err := seqOf(key)
		if err != nil {
			return err
		}
		c, err := readChunk(key, value)
		if err != nil {
			return err
		}
		if c.prev != p.last {
			return gap(seq, c.prev, p.last)
		}
		p.last = seq
		p.bytes += uint64(len(c.bytes))
		if r.Chunk != nil {
			return r.Chunk(seq, c.bytes)
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.mark, p.epoch = mark.Mark, epoch.epoch
	p.gone.Store(mark.gone)
	p.durable.Store(p.last)
	return nil
}

func gap(seq, prev, last uint64) error {
	return fmt.Errorf("%w: chunk %d comes after chunk %d, but the one before it here is %d. %s",
		ErrDamaged, seq, prev, last, advice)
}

func (p *Pebble) Append(seq uint64, chunk []byte) Ticket {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.writable(); err != nil {
		return done{unknown(err)}
	}
	if seq <= p.last {
		return p.refuse(misused("chunk %d comes after chunk %d", seq, p.last))
	}
	t := p.ticket(p.db)
	op := t.batch.SetDeferred(1+8, chunkSize+len(chunk))
	copy(op.Key, seqKey(keyChunk, seq))
	chunkValue{t.stamp, p.last, chunk}.put(op.Key, op.Value)
	if err := op.Finish(); err != nil {
		return p.refuse(err)
	}
	t.seq = seq
	p.last = seq
	p.bytes += uint64(len(chunk))
	return p.submit(t)
}

func (p *Pebble) Checkpoint(m Mark, records []Record) Ticket {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.writable(); err != nil {
		return done{unknown(err)}
	}
	if m.Seq > p.last || m.Seq < p.mark.Seq {
		return p.refuse(misused("there is no checkpoint at %d: the last chunk is %d, the last checkpoint %d",
			m.Seq, p.last, p.mark.Seq))
	}
	size := 0
	for _, r := range records {
		size += len(r.Key) + len(r.Value) + 64
	}
	if size > maxCheckpoint {
		return p.refuse(misused("a checkpoint of %d bytes is more than the %d it can have", size, maxCheckpoint))
	}
	pt := point{m.Seq, m.Clock, p.bytes}
	gone := p.retain(pt)
	t := p.ticket(p.db)
	if m.Seq != p.mark.Seq {
		t.needs = seqKey(keyChunk, m.Seq)
	}
	b := t.batch
	err := b.Set(keyMark, markValue{t.stamp, m, gone}.value(), nil) // first: it has the stamp
	for _, r := range records {
		if err != nil {
			break
		}
		if r.Value == nil {
			err = b.Delete(append([]byte{keyRecord}, r.Key...), nil)
			continue
		}
		op := b.SetDeferred(1+len(r.Key), sealSize+len(r.Value))
		op.Key[0] = keyRecord
		copy(op.Key[1:], r.Key)
		copy(op.Value[sealSize:], r.Value)
		seal(op.Key, op.Value)
		err = op.Finish()
	}
	key := seqKey(keyPoint, m.Seq)
	if err == nil {
		err = b.Set(key, pt.value(key), nil)
	}
	if was := p.gone.Load(); err == nil && gone > was {
		for _, kind := range []byte{keyChunk, keyPoint} {
			if err == nil {
				err = b.DeleteRange(seqKey(kind, was), seqKey(kind, gone+1), nil)
			}
		}
	}
	if err != nil {
		return p.refuse(err)
	}
	p.mark = m
	p.gone.Store(gone) // before they go: a Read that has begun still sees them
	return p.submit(t)
}

// retain adds a point, and returns the seq up to which chunks need not be kept.
func (p *Pebble) retain(pt point) (gone uint64) {
	if n := len(p.points); n > 0 && p.points[n-1].seq == pt.seq {
		p.points = p.points[:n-1]
	}
	p.points = append(p.points, pt)
	gone = p.gone.Load()
	age, size := p.cfg.RetainAge.Milliseconds(), uint64(p.cfg.RetainBytes)
	for len(p.points) > 0 {
		old := p.points[0]
		if age != 0 || size != 0 {
			if !(age != 0 && pt.clock-old.clock > age) && !(size != 0 && pt.bytes-old.bytes > size) {
				break
			}
		}
		gone = max(gone, old.seq)
		p.points = p.points[1:]
	}
	return gone
}

// writable returns what there is against writing. p.mu is held.
func (p *Pebble) writable() error {
	switch {
	case p.closed:
		return ErrClosed
	case !p.recovered || p.committing == nil:
		return errors.New("journal: Recover comes first, and writing needs Open")
	default:
		return p.guard.err()
	}
}

// refuse ends all writing: a machine that goes on after what was refused would be ahead of its journal.
func (p *Pebble) refuse(err error) Ticket {
	p.guard.fail(err)
	return done{unknown(err)}
}

func (p *Pebble) Read(ctx context.Context, after uint64, fn func(seq uint64, chunk []byte) error) error {
	p.use.RLock()
	defer p.use.RUnlock()
	if p.db == nil {
		return ErrClosed
	}
	upTo := p.durable.Load()
	if after >= upTo {
		return ctx.Err()
	}
	it, err := p.db.NewIter(&pebble.IterOptions{
		LowerBound: seqKey(keyChunk, after+1), UpperBound: seqKey(keyChunk, upTo+1),
	})
	if err != nil {
		return diagnosed(err)
	}
	defer it.Close()
	if gone := p.gone.Load(); after < gone { // looked at after it was made: what goes from now on it still has
		return fmt.Errorf("%w: up to %d", ErrGone, gone)
	}
	last, first := after, true
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		seq, err := seqOf(it.Key())
		if err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return diagnosed(err)
		}
		c, err := readChunk(it.Key(), value)
		if err != nil {
			return err
		}
		if first && c.prev > after || !first && c.prev != last {
			return gap(seq, c.prev, last)
		}
		if err := fn(seq, c.bytes); err != nil {
			return err
		}
		last, first = seq, false
	}
	if err := it.Error(); err != nil {
		return diagnosed(err)
	}
	if last != upTo {
		return fmt.Errorf("%w: chunks behind %d, up to %d, are lost. %s", ErrDamaged, last, upTo, advice)
	}
	return nil
}

func (p *Pebble) Backup(dir string) error {
	p.use.RLock()
	defer p.use.RUnlock()
	if p.db == nil {
		return ErrClosed
	}
	if p.readOnly {
		return errors.New("journal: is open for reading only")
	}
	if _, err := p.cfg.FS.Stat(dir); err == nil {
		return fmt.Errorf("journal: there is %s already: a backup is made in a new directory", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	err := p.guard.run(func() error { return p.db.Checkpoint(dir, pebble.WithFlushedWAL()) })
	if err != nil {
		return fmt.Errorf("journal: backup to %s: %w", dir, err)
	}
	return nil
}

// Gone returns the seq up to which chunks are kept no longer, once Recover has returned.
func (p *Pebble) Gone() uint64 { return p.gone.Load() }

func (p *Pebble) Full() bool {
	if p.guard.starved.Load() {
		return true
	}
	now, then := time.Now().UnixNano(), p.fullChecked.Load()
	if then != 0 && now-then < int64(time.Second) || !p.fullChecked.CompareAndSwap(then, now) {
		return p.full.Load()
	}
	usage, err := p.cfg.FS.GetDiskUsage(p.cfg.Dir)
	if err != nil && !errors.Is(err, vfs.ErrUnsupported) {
		p.cfg.Log.Warn("journal: can't tell how much room there is", "error", err)
	}
	full := err == nil && usage.AvailBytes < uint64(p.cfg.ReserveBytes)
	if p.full.Swap(full) != full && full {
		p.cfg.Log.Warn("journal: the disk is nearly full", "free", usage.AvailBytes, "reserve", p.cfg.ReserveBytes)
	}
	return full
}

// Close waits until all that was appended is durable, and for each Read and Backup under way. When writing has failed it
// returns why, and may leave the store locked for as long as the process lives.
func (p *Pebble) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	p.closed = true
	if p.committing != nil {
		close(p.committing)
	}
	p.mu.Unlock()
	if !p.guard.starved.Load() {
		select {
		case <-p.guard.noRoom: // that was before
		default:
		}
	}
	if p.idle != nil && !p.guard.finish(p.idle) {
		return p.guard.cause
	}
	p.use.Lock()
	defer p.use.Unlock()
	db := p.db
	p.db = nil
	if err := p.guard.runUntil(p.guard.finish, func() error { return p.close(db) }); err != nil {
		return fmt.Errorf("journal: close: %w", err)
	}
	return p.guard.err()
}

// close leaves all in tables, whose blocks have checksums, and an entry in the log behind that: what gets lost or damaged
// in a store that was closed shows.
func (p *Pebble) close(db *pebble.DB) (err error) {
	defer func() { err = errors.Join(err, db.Close(), p.lock.Close()) }()
	if p.idle != nil && p.guard.err() == nil && !p.guard.starved.Load() {
		flushed, err := db.AsyncFlush()
		if err != nil {
			return err
		}
		select {
		case <-flushed:
			t, err := p.epochTicket(db)
			if err != nil {
				return err
			}
			if err := db.Apply(t.batch, pebble.Sync); err != nil {
				return err
			}
		case <-p.guard.closing: // there is no room, and Pebble would try for as long as it takes: the log has it all
		case <-p.guard.fatal:
		}
	}
	p.guard.end()
	return nil
}
