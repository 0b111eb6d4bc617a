package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kassa-go/kassa/cmd/internal/proc"
)

const poolsYAML = `pools:
  proxies: {ids: proxy-01..proxy-02}
verbs:
  getProxy: {verb: lease.acquire, pool: proxies, ttl: 1h, result: {ip: "items[0].id"}}
  returnProxy: {verb: lease.release, pool: proxies, item: payload}
`

// What was given out is given out still after the server was killed, and comes back by name.
func TestPoolsSurviveKill(t *testing.T) {
	dir := t.TempDir()
	yaml := filepath.Join(dir, "kassa.yaml")
	if err := os.WriteFile(yaml, []byte(poolsYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func() (*peer, func()) {
		p, addr := kassad(t, "--config", yaml, "--data", filepath.Join(dir, "data"))
		return dial(t, addr), func() { p.Signal(syscall.SIGKILL); p.Wait() }
	}
	c, kill := serve()
	c.send(`{"type":"getProxy","queryIndex":1}`)
	c.expect(`{"type":"getProxy","queryIndex":1,"resultJob":{"ip":"proxy-01"},"rev":4}`)
	kill()
	c, kill = serve()
	defer kill()
	c.send(`{"type":"lease.acquire","queryIndex":1,"payload":{"want":[{"pool":"proxies","ids":["proxy-01"]}]}}`)
	c.expect(`{"type":"lease.acquire","queryIndex":1,"err":"item \"proxy-01\" of pool proxies is leased; with waitMs the request would wait","code":"none_free"}`)
	c.send(`{"type":"returnProxy","queryIndex":2,"payload":"proxy-01"}`)
	if line := c.line(); !strings.HasPrefix(line, `{"type":"returnProxy","queryIndex":2,"resultJob":{"released":1},`) {
		t.Fatal(line)
	}
}

// A configuration that can not be meant is refused at start, with the place and what is wrong.
func TestBadPools(t *testing.T) {
	dir := t.TempDir()
	yaml := filepath.Join(dir, "kassa.yaml")
	if err := os.WriteFile(yaml, []byte("pools:\n  p: {items: [a, b, a]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		text string
	}{
		{[]string{"--config", yaml, "--data", filepath.Join(dir, "data")}, yaml + ":2:"},
		{[]string{"--config", yaml}, "--config needs --data DIR"},
		{[]string{"--config", filepath.Join(dir, "none.yaml"), "--data", dir}, "no such file"},
		{[]string{"--data", "/proc/none"}, "/proc/none"},
	} {
		got := proc.Command{Args: append([]string{bin + "/kassad", "--listen", "tcp://127.0.0.1:0"}, c.args...)}.Run(t)
		if got.Code == exitOK || !strings.Contains(got.Stderr, c.text) {
			t.Errorf("%v: exit code %d, %s", c.args, got.Code, got.Stderr)
		}
	}
}
