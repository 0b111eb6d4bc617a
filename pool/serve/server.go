package serve

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/kassa-go/kassa/dispatch"
	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/when"
)

// Config says what a Server serves. The zero value of a field means its default.
type Config struct {
	Journal journal.Journal // required; the Server recovers from it, and closes it
	Machine pool.Config

	// Pools are those there are, with the items that are configured: pools and items that are in the journal and not here
	// leave as soon as nobody holds them. Items filled in by pool.fill stay. nil: as the journal says.
	Pools []Pool
	Verbs []Verb // compiled

	GraceMs int64 // how long a lost session can be resumed: 10,000; below 0: not at all

	// Backups is the directory that journal.backup makes backups in, made when it is not there. Empty: it is refused.
	Backups string

	CheckpointEvery   time.Duration // 5 s
	CheckpointRecords int           // as many changed records bring a checkpoint forward: 20,000

	Log *slog.Logger // slog.Default()

	wall            func() time.Time // the wall clock
	checkpointSlice int              // records handed out between two batches: 2048
}

// Pool is a configured pool.
type Pool struct {
	Spec  pool.Spec
	Items iter.Seq[pool.ItemSpec] // nil: none

	// Of a calendar.
	Zone  *time.Location // of local times, where a request does not say; nil: UTC
	Hours *when.Hours    // only then anything can be booked; nil: always
}

// Server serves the pools.
type Server struct {
	cfg    Config
	log    *slog.Logger
	clock  clock
	epoch  uint64
	places places

	incoming chan *batch // from the jobber
	acking   chan *batch // to the acker, in order
	free     chan *batch // empty ones
	stop     chan struct{}
	failed   chan struct{}
	failOnce sync.Once
	err      error // why; read it after failed
	done     sync.WaitGroup

	news news // what connections do

	pools poolsLoop // of the goroutine pools
	ack   acker     // of the acker
	feed  feed
}

const (
	batchJobsMax = 4096 // commands decided together
	batchesMax   = 4    // decided and not durable yet
)

// New recovers the pools from the journal and applies the configuration to them. Register and then Start come next.
func New(cfg Config) (*Server, error) {
	if cfg.Journal == nil {
		return nil, errors.New("serve: Config.Journal is needed")
	}
	if cfg.GraceMs == 0 {
		cfg.GraceMs = 10_000
	}
	cfg.GraceMs = max(cfg.GraceMs, 0)
	if cfg.CheckpointEvery == 0 {
		cfg.CheckpointEvery = 5 * time.Second
	}
	if cfg.CheckpointRecords == 0 {
		cfg.CheckpointRecords = 20_000 // nothing is decided while the journal takes them: for 15 ms
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.wall == nil {
		cfg.wall = time.Now
	}
	if cfg.checkpointSlice == 0 {
		cfg.checkpointSlice = 2048
	}
	s := &Server{
		cfg:      cfg,
		log:      cfg.Log,
		incoming: make(chan *batch, 1),
		acking:   make(chan *batch, batchesMax-1),
		free:     make(chan *batch, batchesMax+3),
		stop:     make(chan struct{}),
		failed:   make(chan struct{}),
	}
	s.places = make(places, len(cfg.Pools))
	for _, p := range cfg.Pools {
		if s.places[p.Spec.Name] = (place{p.Zone, p.Hours}); p.Zone == nil {
			s.places[p.Spec.Name] = place{time.UTC, p.Hours}
		}
	}
	s.news.wake = make(chan struct{}, 1)
	s.feed.init()
	s.ack.init(s)
	s.pools.init(s)
	if err := s.openBackups(); err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, err
	}
	if err := s.configure(); err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	return s, nil
}

// Register has reg serve the operations, and the verbs. It is called once, before dispatch.New.
func (s *Server) Register(reg *dispatch.Registry) {
	names := operationNames()
	for i := range s.cfg.Verbs {
		names = append(names, s.cfg.Verbs[i].Name)
	}
	dispatch.HandleAsync(reg.Jobber(dispatch.JobberConfig{Name: "pools"}), s.newJobber(), names...)
	dispatch.Handle(reg, "journal.backup", s.backup)
}

// Start begins to serve.
func (s *Server) Start() {
	s.done.Go(s.pools.run)
	s.done.Go(s.ack.run)
}

// Pools returns the pools that are configured, in the order of the configuration.
func (s *Server) Pools() []Pool { return s.cfg.Pools }

// Failed is closed when the journal can not write any more. Err says why.
func (s *Server) Failed() <-chan struct{} { return s.failed }

// Err returns why the Server has failed; nil: it has not.
func (s *Server) Err() error {
	select {
	case <-s.failed:
		return s.err
	default:
		return nil
	}
}

func (s *Server) fail(err error) {
	s.failOnce.Do(func() {
		s.err = err
		close(s.failed)
	})
}

// Close ends the Server after its dispatcher: what was decided is made durable, a last checkpoint is written so that the
// next start is quick, and the journal is closed.
func (s *Server) Close() error {
	close(s.stop)
	s.done.Wait()
	s.feed.close()
	s.ack.watchers.Wait()
	return errors.Join(s.Err(), s.cfg.Journal.Close())
}

// Backup makes a consistent copy of the journal in the new directory dir, while the Server runs.
func (s *Server) Backup(dir string) error { return s.cfg.Journal.Backup(dir) }

// clock is a clock that only rises: it begins with the wall clock, or with the last time in the journal if that is later,
// and from then on counts elapsed time, whatever the wall clock does.
type clock struct {
	base  int64 // ms
	start time.Time
}

func (c *clock) now() int64 { return c.base + time.Since(c.start).Milliseconds() }
