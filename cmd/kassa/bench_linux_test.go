package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/cmd/internal/proc"
)

// kassa bench becomes the suite, from anywhere in kassa's source, and says what to do elsewhere.
func TestBench(t *testing.T) {
	// What it needs is compiled before: where nothing of it is yet, that takes longer than a program may here.
	if out, err := exec.Command("go", "build", "-C", "../../bench/cmd/bench", "-o", os.DevNull, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in := func(dir string, env []string, args ...string) proc.Result {
		return proc.Command{Args: append([]string{bin + "/kassa"}, args...), Dir: dir, Env: env}.Run(t)
	}
	var env []string
	for _, name := range []string{"HOME", "GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for _, dir := range []string{"../..", "../../bench/peers"} {
		if got := in(dir, env, "bench", "--help"); got.Code != 0 || got.Stderr != "" || !strings.HasPrefix(got.Stdout, "Usage: kassa bench [flags]\n") {
			t.Errorf("in %s: %+v", dir, got)
		}
	}
	// The exit code is the suite's own: kassa's for wrong arguments is the same, its text is not.
	expect(t, in("../..", env, "bench", "--peers", "nobody"), 2, "", `kassa-bench: no peer "nobody": there are kassa, gnet-echo, `)
	expect(t, in("", env, "bench", "--help"), 1, "", "go to where its go.mod is")
	expect(t, in("../..", append(env, "PATH=/nowhere"), "bench"), 1, "", "it needs Go, which is not installed")
	expect(t, in("../..", env, "--timeout=1s", "bench"), 2, "", "kassa's own flags are not for bench")
	if got := in("", nil, "help", "bench"); got.Code != 0 || !strings.Contains(got.Stdout, "kassa bench --help tells more") {
		t.Errorf("%+v", got)
	}
}
