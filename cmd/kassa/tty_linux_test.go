package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/cmd/internal/proc"
	"github.com/kassa-go/kassa/pool/wire"
)

// onTerminal runs the program on a terminal that is so many columns wide, and returns what that shows.
func onTerminal(t testing.TB, columns uint16, env []string, args ...string) string {
	t.Helper()
	terminal, end := openTerminal(t, columns, 50)
	ctx, cancel := context.WithTimeout(t.Context(), proc.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin+"/kassa", args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0", "TZ=UTC"}, env...)
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = end, end
	err := cmd.Start()
	end.Close()
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	_, _ = io.Copy(&shown, terminal) // it ends with EIO, when the program has ended
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, &shown)
	}
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}

func TestWatchOnTerminal(t *testing.T) {
	env := kindsServer(t)
	hold := result[wire.Hold](t, kassa(t, nil, env, "hold", "create", "cinema", "A2", "floor", "--owner", "anna"))
	seen, screen := openTerminal(t, 80, 25)
	cmd := exec.Command(bin+"/kassa", "watch", "cinema", "--from-rev", "1", "--types", "hold.created")
	cmd.Env, cmd.Stdout, cmd.Stderr = append([]string{"PATH=" + os.Getenv("PATH")}, env...), screen, screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(proc.Timeout, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	screen.Close()
	line, err := bufio.NewReader(seen).ReadString('\n')
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if ended := cmd.Wait(); err != nil || ended != nil {
		t.Fatalf("%v, %v", err, ended)
	}
	want := regexp.MustCompile(fmt.Sprintf(`^2[-\d]+ [:.\d]+  \d+  hold.created  cinema A2 floor  hold %d  token %d  client \S+  owner anna  until 2[-\d]+ [:.\d]+\r\n$`,
		hold.Hold, hold.Token))
	if !want.MatchString(line) {
		t.Errorf("%q does not match %s", line, want)
	}
}
