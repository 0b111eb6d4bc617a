package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/kassa-go/kassa/bench/load"
)

// postgresPeer is PostgreSQL with a table of items: an acquire is an UPDATE of a row that FOR UPDATE SKIP LOCKED found.
type postgresPeer struct {
	name  string
	batch bool // what a connection has to write goes into one transaction

	cluster string // made by Build, used by one run after the other
}

// postgresBin is where Debian has the programs.
const postgresBin = "/usr/lib/postgresql/15/bin"

// postgresConnsMax bounds the connections, each of which is a process. 64 of them with 16 in flight do as many transactions a
// second as 1,000 with one.
const postgresConnsMax = 1000

// postgresSettings are those that differ from the defaults.
var postgresSettings = []string{
	"unix_socket_directories=", "listen_addresses=127.0.0.1",
	"shared_buffers=256MB", "max_connections=" + strconv.Itoa(postgresConnsMax+10),
	"synchronous_commit=on", "fsync=on",
	"wal_level=minimal", "max_wal_senders=0", "wal_buffers=16MB", "min_wal_size=1GB", "max_wal_size=4GB", "checkpoint_timeout=15min",
	"jit=off",
}

func (p *postgresPeer) Name() string { return p.name }

func (p *postgresPeer) Build(ctx context.Context, dir string) (version string, err error) {
	version, err = p.version(ctx)
	if err != nil {
		return "", err
	}
	p.cluster = filepath.Join(dir, "cluster")
	if err := os.Mkdir(p.cluster, 0o700); err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	if os.Getuid() == 0 {
		if err := p.giveCluster(); err != nil {
			return "", err
		}
	}
	if err := p.run(ctx, "initdb", "--pgdata=.", "--auth=trust", "--username=postgres", "--locale=C", "--encoding=UTF8", "--no-sync"); err != nil {
		return "", err
	}
	return version, p.preallocate(ctx)
}

func (*postgresPeer) version(ctx context.Context) (string, error) {
	if _, err := os.Stat(filepath.Join(postgresBin, "initdb")); err != nil {
		return "", fmt.Errorf("bench: PostgreSQL 15 is %w: Debian has it in postgresql-15", errNotInstalled)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(postgresBin, "postgres"), "--version").Output() // postgres (PostgreSQL) 15.18 (Debian …)
	words := strings.Fields(string(out))
	if err != nil || len(words) < 3 {
		return "", fmt.Errorf("bench: postgres --version says %q, %w", out, err)
	}
	return words[2], nil
}

// giveCluster gives the cluster's directory to the user postgres: the server refuses to run as root.
func (p *postgresPeer) giveCluster() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return os.Chown(p.cluster, uid, gid)
}

// command returns the command line of one of PostgreSQL's programs, as the user postgres where this one is root.
func (p *postgresPeer) command(program string, args ...string) []string {
	command := append([]string{filepath.Join(postgresBin, program)}, args...)
	if os.Getuid() != 0 {
		return command
	}
	return append([]string{"setpriv", "--pdeathsig=KILL", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"}, command...)
}

func (p *postgresPeer) run(ctx context.Context, program string, args ...string) error {
	line := p.command(program, args...)
	command := exec.CommandContext(ctx, line[0], line[1:]...)
	command.Dir = p.cluster
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("bench: %s: %w: %s", program, err, out)
	}
	return nil
}

// preallocate has the server fill log files, which it uses again once a checkpoint is made: writing into such a file costs
// less than making it longer.
func (p *postgresPeer) preallocate(ctx context.Context) (err error) {
	s, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	const files = 24 // of 16 MiB
	statements := []string{
		"DO $$ BEGIN FOR i IN 1.." + strconv.Itoa(files) + " LOOP PERFORM pg_logical_emit_message(false, '', ''), pg_switch_wal(); END LOOP; END $$",
		"CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT",
	}
	return p.query(ctx, s, statements...)
}

func (p *postgresPeer) start(ctx context.Context) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := []string{"-D", ".", "-p", strconv.Itoa(port)}
	for _, setting := range postgresSettings {
		args = append(args, "-c", setting)
	}
	s, err := launch{
		command: p.command("postgres", args...),
		dir:     p.cluster,
		signal:  syscall.SIGINT, // SIGTERM waits for the clients
		ready: func(line string) (string, bool) {
			return fmt.Sprint("127.0.0.1:", port), strings.Contains(line, "database system is ready to accept connections")
		},
	}.start(ctx)
	if err == nil {
		s.dir = p.cluster
	}
	return s, err
}

// query carries out statements, one after the other.
func (p *postgresPeer) query(ctx context.Context, s *Server, statements ...string) error {
	_, port, _ := strings.Cut(s.Addr, ":")
	args := []string{"--no-psqlrc", "--quiet", "--host=127.0.0.1", "--port=" + port, "--username=postgres", "--set=ON_ERROR_STOP=1"}
	for _, statement := range statements {
		args = append(args, "--command="+statement)
	}
	return p.run(ctx, "psql", args...)
}

func (p *postgresPeer) Start(ctx context.Context, c Cell) (*Server, error) {
	s, err := p.start(ctx)
	if err != nil {
		return nil, err
	}
	err = p.query(ctx, s,
		"DROP TABLE IF EXISTS item",
		load.PostgresTable,
		fmt.Sprintf("INSERT INTO item SELECT i, true, 0 FROM generate_series(1, %d) i", c.Items),
		"VACUUM ANALYZE item", "CHECKPOINT")
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Wire leaves out open loops: at the rates of these, requests pile up without end.
func (p *postgresPeer) Wire(c Cell) (load.WireConfig, bool) {
	w := load.WireConfig{Pairs: &load.PairsConfig{Server: "postgres", Items: c.Items, Batch: p.batch}}
	return w, c.isPlainPairs() && c.Shape == Closed && c.Conns <= postgresConnsMax
}
