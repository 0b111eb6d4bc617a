package proof

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutant is an error that is put into a package.
type mutant struct{ What, File, From, To, Check string }

// Mutants builds the tests of the package in the working directory with one mutant at a time: From, which File must have
// once, so that no mutant is lost when the code changes, becomes To. Check, a regular expression as for go test -run, says
// which test must fail then. With nothing changed all of them must pass. Flags are for the tests, besides -short.
func Mutants(t *testing.T, mutants []struct{ What, File, From, To, Check string }, flags ...string) {
	if os.Getenv("KASSA_MUTANT") != "" || Race {
		t.Skip("once is enough")
	}
	if testing.Short() {
		t.Skip("it builds the tests many times over")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var checks []string
	for _, m := range mutants {
		checks = append(checks, m.Check)
	}
	slices.Sort(checks)
	all := []mutant{{Check: strings.Join(slices.Compact(checks), "|")}} // nothing is changed
	for _, m := range mutants {
		all = append(all, m)
	}
	found := 0
	defer func() { t.Logf("proof: %d of %d mutants found", found, len(mutants)) }()
	var mu sync.Mutex // of found
	gate := make(chan struct{}, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for _, m := range all {
		group.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			start := time.Now()
			binary, ok := m.build(t, here)
			if !ok {
				return
			}
			built := time.Now()
			patience := "60s"
			if m.What == "" {
				patience = "10m" // it runs all of them, and to their ends
			}
			args := append([]string{"-test.run", m.Check, "-test.failfast", "-test.short", "-test.timeout", patience}, flags...)
			run := exec.CommandContext(t.Context(), binary, args...)
			run.Env = append(os.Environ(), "KASSA_MUTANT=1", "KASSA_SOAK=", "KASSA_SEED=")
			out, err := run.CombinedOutput()
			os.Remove(binary)
			switch {
			case m.What == "" && err != nil:
				t.Errorf("what is not changed fails: %v\n%s", err, out)
			case m.What != "" && err == nil:
				t.Errorf("%s: %s has not noticed", m.What, m.Check)
			case m.What != "" && !failed.Match(out):
				t.Errorf("%s: no test fails, but: %v\n%s", m.What, err, out)
			case m.What != "":
				mu.Lock()
				found++
				mu.Unlock()
			}
			by := ""
			if f := failed.FindSubmatch(out); f != nil {
				by = string(f[1])
			}
			t.Logf("%-45s built in %4.1f s, tested in %4.1f s %s", m.What, built.Sub(start).Seconds(), time.Since(built).Seconds(), by)
		})
	}
	group.Wait()
}

// failed is what a test that fails, panics or hangs prints.
var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^(?:panic|fatal error): `)

// build makes a test binary with the mutant in it.
func (m *mutant) build(t *testing.T, here string) (binary string, ok bool) {
	name := filepath.Join(t.TempDir(), "mutant")
	// Without inlining, what only imports the package need not be compiled anew.
	args := []string{"test", "-c", "-vet=off", "-gcflags=-l", "-ldflags=-s -w", "-o", name + ".test"}
	if m.What != "" {
		source, err := os.ReadFile(m.File)
		if err != nil {
			t.Error(err)
			return "", false
		}
		if n := strings.Count(string(source), m.From); n != 1 {
			t.Errorf("%s: %s has %q %d times, want once", m.What, m.File, m.From, n)
			return "", false
		}
		changed := strings.Replace(string(source), m.From, m.To, 1)
		overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, m.File): name + ".go"}})
		if err != nil {
			t.Error(err)
			return "", false
		}
		if os.WriteFile(name+".go", []byte(changed), 0o600) != nil || os.WriteFile(name+".json", overlay, 0o600) != nil {
			t.Errorf("%s: can not be written", m.What)
			return "", false
		}
		args = append(args, "-overlay", name+".json")
	}
	if out, err := exec.CommandContext(t.Context(), "go", append(args, ".")...).CombinedOutput(); err != nil {
		t.Errorf("%s: it does not build: %v\n%s", m.What, err, out)
		return "", false
	}
	return name + ".test", true
}
