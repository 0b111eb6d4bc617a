package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	c.expect(`{"type":"getProxy","queryIndex":1,"resultJob":{"ip":"proxy-01"},"rev":5}`)
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

// What was done to items since stays over a restart, until what the configuration says of them changes.
func TestConfigurationThatIsTheSame(t *testing.T) {
	dir := t.TempDir()
	yaml := filepath.Join(dir, "kassa.yaml")
	start := func(items string) (*peer, func()) {
		text := "pools:\n  p: {items: [" + items + "]}\n  q: {items: [x]}\n"
		if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, addr := kassad(t, "--config", yaml, "--data", filepath.Join(dir, "data"))
		return dial(t, addr), func() { p.Signal(syscall.SIGKILL); p.Wait() }
	}
	has := func(c *peer, items ...string) {
		t.Helper()
		c.send(`{"type":"pool.list","queryIndex":1,"payload":{"pool":"p"}}`)
		line := c.line()
		for _, id := range []string{"a", "b", "c", "d"} {
			if got := strings.Contains(line, `"id":"`+id+`"`); got != slices.Contains(items, id) {
				t.Fatalf("want %q: %s", items, line)
			}
		}
		if !strings.Contains(line, `{"id":"b","state":"free","labels":{"tier":"gold"}`) {
			t.Fatalf("b has lost its label: %s", line)
		}
	}
	c, kill := start("a, b, {id: c}")
	for i, ask := range []string{
		`"pool.drain","payload":{"pool":"p","ids":["a"]}`, `"pool.fill","payload":{"pool":"p","items":["d"]}`,
		`"item.set","payload":{"pool":"p","id":"b","labels":{"tier":"gold"}}`,
	} {
		c.send(fmt.Sprintf(`{"queryIndex":%d,"type":%s}`, i, ask))
		if line := c.line(); strings.Contains(line, `"code"`) {
			t.Fatal(line)
		}
	}
	has(c, "b", "c", "d")
	kill()
	c, kill = start("a, b, c")
	has(c, "b", "c", "d")
	kill()
	c, kill = start("{id: b, labels: {tier: gold}}, a")
	defer kill()
	has(c, "a", "b", "d") // a is back, c is gone, and d was never the file's
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
