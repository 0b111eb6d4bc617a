package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/pool/journal"
	"github.com/kassa-go/kassa/pool/wire"
)

// TestBackup makes a backup of a store at work, looks into both, and has the backup served.
func TestBackup(t *testing.T) {
	backups := filepath.Join(t.TempDir(), "backups")
	server, _, env := keptServer(t, "--backups", backups)
	do := func(line string) proc.Result { return kassa(t, nil, env, strings.Fields(line)...) }
	dataDir := strings.TrimPrefix(env[2], "DATA=")
	watch := proc.Command{Args: []string{bin + "/kassa", "watch", "--from-rev", "1"}, Env: env}.Start(t)

	attrs := `{"id":"<a>&\u2028","labels":{"b":"1","a":"2"},"attrs":{"x": "<&>"}}`
	expect(t, kassa(t, strings.NewReader(attrs), env, "pool", "fill", "proxies", "-"), 0, `{"added":1,"changed":0}`+"\n", "")
	before := result[wire.Lease](t, do("lease acquire proxies --ids p2 --ttl 1h"))
	made := result[wire.BackedUp](t, do("backup first"))
	if made.Name != "first" || made.Rev < before.Token || made.Bytes == 0 {
		t.Errorf("%+v", made)
	}
	after := result[wire.Lease](t, do("lease acquire proxies --ids p3 --ttl 1h"))
	unnamed := result[wire.BackedUp](t, do("backup"))
	if _, err := os.Stat(filepath.Join(backups, unnamed.Name, "LOCK")); err != nil || unnamed.Rev < after.Token {
		t.Errorf("%+v, %v", unnamed, err)
	}
	expect(t, do("backup first"), 1, "", "kassa: conflict: there is a backup first already")
	expect(t, do("backup ../first"), 1, "", "kassa: bad_payload: name is")
	expect(t, kassa(t, nil, env, "backup", ""), 2, "", "NAME is empty")

	for _, command := range []string{"verify", "dump"} {
		expect(t, do("journal "+command+" "+dataDir), 1, "", "is in use, by a kassad for example: kassa watch --from-rev")
	}
	result[wire.Released](t, do(fmt.Sprintf("lease release %d %d", after.Lease, after.Token)))
	watch.WaitLine(`"type":"lease.released"`)
	server.Signal(syscall.SIGKILL)
	server.Wait()
	watched := watch.Output() + "\n"

	// The events are the same wherever they are looked at.
	all := do("journal dump " + dataDir)
	expect(t, all, 0, watched, "")
	part := do("journal dump " + filepath.Join(backups, "first"))
	if rest, ok := strings.CutPrefix(all.Stdout, part.Stdout); !ok || part.Code != 0 || strings.Count(part.Stdout, "\n") != int(made.Rev) {
		t.Errorf("%+v is not the beginning; %s", part, rest)
	}
	lines := strings.SplitAfter(watched, "\n")
	from := func(rev uint64) string { return strings.Join(lines[rev-1:], "") }
	expect(t, do(fmt.Sprintf("journal dump %s --from-rev %d", dataDir, made.Rev)), 0, from(made.Rev), "")
	expect(t, do(fmt.Sprintf("journal dump %s --from-rev %d", dataDir, len(lines))), 0, "", "")
	expect(t, do(fmt.Sprintf("journal dump %s --from-rev %d", dataDir, len(lines)+1)), 1, "", fmt.Sprintf("the last event of %s is rev %d", dataDir, len(lines)-1))
	expect(t, do("journal dump --pool nope "+dataDir), 0, "", "")
	expect(t, do("journal dump --types lease.grantd "+dataDir), 2, "", `kassa: --types: no event is of type "lease.grantd"; there are lease.granted, `)
	only := do("journal dump --pool proxies --types lease.granted,lease.released " + dataDir)
	if only.Code != 0 || strings.Count(only.Stdout, "\n") != 3 || strings.Contains(only.Stdout, "item.") {
		t.Errorf("%+v", only)
	}

	for dir, rev := range map[string]uint64{filepath.Join(backups, "first"): made.Rev, filepath.Join(backups, unnamed.Name): unnamed.Rev, dataDir: uint64(len(lines) - 1)} {
		if v := result[verified](t, do("journal verify "+dir)); v.Dir != dir || v.Rev != rev || v.FirstRev != 1 || v.Chunks == 0 {
			t.Errorf("%+v, want rev %d", v, rev)
		}
	}

	// A restored backup is a store like any other.
	restored := filepath.Join(t.TempDir(), "restored")
	if err := os.CopyFS(restored, os.DirFS(filepath.Join(backups, "first"))); err != nil {
		t.Fatal(err)
	}
	_, addr := proc.Kassad(t, bin, "--data", restored)
	env[0] = "KASSA_ADDR=" + addr
	if s := stats(t, env); s.Items != 4 || s.Leased != 1 {
		t.Errorf("%+v", s)
	}
	expect(t, do("lease acquire proxies --ids p2"), 1, "", "none_free: ")
	expect(t, do(fmt.Sprintf("lease release %d %d", before.Lease, before.Token)), 0, `{"released":1}`+"\n", "")
	expect(t, do("backup"), 1, "", "kassa: permission_denied: no backups are made here: start kassad with --backups DIR")
}

// TestDamaged checks what is said of stores that are not as they were written.
func TestDamaged(t *testing.T) {
	backups := t.TempDir()
	_, _, env := keptServer(t, "--backups", backups)
	result[wire.BackedUp](t, kassa(t, nil, env, "backup", "made"))
	damage := func(pattern string, harm func(path string) error) string {
		t.Helper()
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(backups, "made"))); err != nil {
			t.Fatal(err)
		}
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatal(paths, err)
		}
		for _, path := range paths {
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	for name, dir := range map[string]string{
		"table cut off":  damage("*.sst", func(path string) error { return os.Truncate(path, 500) }),
		"table is gone":  damage("*.sst", os.Remove),
		"list cut off":   damage("MANIFEST-*", func(path string) error { return os.Truncate(path, 20) }),
		"list is gone":   damage("MANIFEST-*", os.Remove),
		"marker is gone": damage("marker.manifest*", os.Remove),
		"flipped": damage("*.sst", func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/4] ^= 1
			return os.WriteFile(path, b, 0o600)
		}),
	} {
		for _, command := range []string{"verify", "dump"} {
			got := kassa(t, nil, nil, "journal", command, dir)
			if got.Code != 1 || !strings.HasPrefix(got.Stderr, "kassa: "+dir+": journal: damaged: ") || !strings.Contains(got.Stderr, "restore a backup") ||
				strings.Count(got.Stderr, "\n") != 1 {
				t.Errorf("%s: %s: %+v", name, command, got)
			}
		}
	}
}

// TestDamageIsToldInALine has two files damaged, of which Pebble tells in a line each.
func TestDamageIsToldInALine(t *testing.T) {
	err := storeError("DIR", fmt.Errorf("%w: one\ntwo\n<corruption detail carrier>. Restore a backup", journal.ErrDamaged))
	if want := "DIR: journal: damaged: one; two. Restore a backup"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

// TestDumpOfWhatIsKept checks what is said of events that a store does not have any more.
func TestDumpOfWhatIsKept(t *testing.T) {
	server, again, env := keptServer(t, "--events-bytes-max", "1")
	dir := strings.TrimPrefix(env[2], "DATA=")
	for range 3 { // a checkpoint is made at the end of each
		result[wire.Filled](t, kassa(t, nil, env, "pool", "fill", "proxies", "more"))
		server.Signal(syscall.SIGTERM)
		server.Wait()
		server = again()
	}
	server.Signal(syscall.SIGTERM)
	server.Wait()
	parent := filepath.Dir(dir)
	if err := os.WriteFile(filepath.Join(parent, "kassad.log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, kassa(t, nil, nil, "journal", "verify", parent), 2, "", parent+" holds no store: want the directory that kassad was given as --data")
	if _, err := os.Stat(filepath.Join(parent, "LOCK")); !os.IsNotExist(err) {
		t.Errorf("there is a lock: %v", err)
	}
	expect(t, kassa(t, nil, nil, "journal", "verify", filepath.Join(parent, "kassad.log")), 2, "", "kassad.log: not a directory")
	v := result[verified](t, kassa(t, nil, nil, "journal", "verify", dir))
	if v.FirstRev < 2 || v.FirstRev > v.Rev {
		t.Fatalf("%+v", v)
	}
	got := kassa(t, nil, nil, "journal", "dump", dir)
	if got.Code != 0 || !strings.HasPrefix(got.Stdout, fmt.Sprintf(`{"rev":%d,`, v.FirstRev)) {
		t.Errorf("%+v", got)
	}
	expect(t, kassa(t, nil, nil, "journal", "dump", dir, "--from-rev", fmt.Sprint(v.FirstRev)), 0, got.Stdout, "")
	expect(t, kassa(t, nil, nil, "journal", "dump", dir, "--from-rev", "1"), 1, "", fmt.Sprintf("are kept no longer: --from-rev %d is the first", v.FirstRev))
}
