package proof

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutant is an error that is put into a package.
type mutant = struct{ What, File, From, To, Check string }

// Mutants runs the tests of the package in the working directory with one mutant at a time: From, which File must have
// once, so that no mutant is lost when the code changes, becomes To. Check, a regular expression as for go test -run, says
// which test must fail then. With nothing changed all of them must pass. Flags are for the tests, besides -short.
//
// Mutants within a function are built all at once, any other by itself.
func Mutants(t *testing.T, mutants []struct{ What, File, From, To, Check string }, flags ...string) {
	if os.Getenv("KASSA_MUTANT") != "" || Race {
		t.Skip("once is enough")
	}
	if testing.Short() {
		t.Skip("it runs the tests many times over")
	}
	var checks []string
	for _, m := range mutants {
		checks = append(checks, m.Check)
	}
	slices.Sort(checks)
	all := append([]mutant{{Check: strings.Join(slices.Compact(checks), "|")}}, mutants...) // 0: nothing is changed
	found := 0
	defer func() { t.Logf("proof: %d of %d mutants found", found, len(mutants)) }()

	start := time.Now()
	files, alone, errs := weave(all)
	for _, err := range errs {
		t.Error(err)
	}
	together, err := build(t, files)
	if err != nil {
		t.Fatalf("the mutants do not build: %v", err)
	}
	t.Logf("%d of them built in %.1f s", len(mutants)-len(alone)-len(errs), time.Since(start).Seconds())

	var mu sync.Mutex // of found
	gate := make(chan struct{}, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for n, m := range all {
		if errs[n] != nil {
			continue
		}
		gate <- struct{}{}
		group.Go(func() {
			defer func() { <-gate }()
			binary, by := together, ""
			if changed, ok := alone[n]; ok {
				start := time.Now()
				var err error
				if binary, err = build(t, map[string]string{m.File: changed}); err != nil {
					t.Errorf("%s: it does not build: %v", m.What, err)
					return
				}
				by = fmt.Sprintf(", built by itself in %.1f s", time.Since(start).Seconds())
			}
			start := time.Now()
			patience := "60s"
			if m.What == "" {
				patience = "10m" // it runs all of them, and to their ends
			}
			args := append([]string{"-test.run", m.Check, "-test.failfast", "-test.short", "-test.timeout", patience}, flags...)
			run := exec.CommandContext(t.Context(), binary, args...)
			run.Env = append(os.Environ(), fmt.Sprintf("KASSA_MUTANT=%d", n), "KASSA_SOAK=", "KASSA_SEED=")
			out, err := run.CombinedOutput()
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
			if f := failed.FindSubmatch(out); f != nil {
				by = string(f[1]) + by
			}
			t.Logf("%-45s tested in %4.1f s %s", m.What, time.Since(start).Seconds(), by)
		})
	}
	group.Wait()
}

// failed is what a test that fails, panics or hangs prints.
var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^(?:panic|fatal error): `)
