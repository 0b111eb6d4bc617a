package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/cmd/bench/report"
)

// texts returns what is written in an SVG, which must be well-formed.
func texts(t *testing.T, c report.Chart) []string {
	t.Helper()
	var all []string
	inText := false
	for d := xml.NewDecoder(strings.NewReader(string(c.SVG))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
		case xml.EndElement:
			inText = false
		case xml.CharData:
			if inText {
				all = append(all, string(token))
			}
		}
	}
}

func chart(t *testing.T, charts []report.Chart, name string) report.Chart {
	t.Helper()
	i := slices.IndexFunc(charts, func(c report.Chart) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no chart %s", name)
	}
	return charts[i]
}

// Every chart names all servers that it is of, and its axes with their units.
func TestCharts(t *testing.T) {
	charts := report.Charts(invented(1))
	var names []string
	for _, want := range []struct {
		name    string
		servers []string
		labels  []string
	}{
		{"throughput", requestServers, []string{"thousands a second, log scale", "64x1", "64x16", "1000x1", "10000x1"}},
		{"cpu", requestServers, []string{"CPU s a million, log scale", "64x1", "64x16", "1000x1", "10000x1"}},
		{"latency-open", requestServers, []string{"latency (µs, ms), log scale", "open64", "open1000", "open10000", "p50", "p99",
			"p99.9", "longest"}},
		{"latency-closed", requestServers, []string{"latency (µs, ms), log scale", "1x1", "64x1"}},
		{"memory", requestServers, []string{"bytes of RSS a connection, log scale", "RSS, MB, log scale"}},
		{"capacity", requestServers, []string{"RSS, MB, log scale", "p99 latency (µs, ms, s), log scale", "connections, log scale", "all others"}},
		{"codecs", nil, []string{"thousands a second, log scale", "CPU s a million, log scale", "frames of 60 B",
			"payload of 478 B", "payload of 16 KiB",
			"kassa, json", "kassa, crab", "kassa, binary", "gnet-echo, json"}},
		{"loops", nil, []string{"kassa, 1 loop", "kassa, 2 loops", "kassa, 4 loops", "gnet-echo, 4 loops", "thousands a second",
			"CPU s a million"}},
		{"jobbers", jobberServers, []string{"64x1: 64 conns × 1, answered at once",
			"64x1/work=sleep: each waits for 1 ms: 4,000 a second at most", "64x1/work=cpu: each takes the SHA-256 of 16 KiB",
			"thousands a second", "CPU s a million", "latency (µs, ms), log scale"}},
		{"pairs", pairServers, []string{"thousand pairs a second, log scale", "latency (µs, ms), log scale", "pairs64x1",
			"openpairs64"}},
	} {
		names = append(names, want.name)
		written := texts(t, chart(t, charts, want.name))
		for _, text := range slices.Concat(want.servers, want.labels) {
			if !slices.ContainsFunc(written, func(s string) bool { return strings.TrimRight(s, "†‡") == text }) {
				t.Errorf("%s: no %q in %q", want.name, text, written)
			}
		}
	}
	for _, c := range charts {
		if !slices.Contains(names, c.Name) {
			t.Errorf("a chart %s, of which nothing is known", c.Name)
		}
		if len(c.Reading) < 40 {
			t.Errorf("%s says nothing on how to read it", c.Name)
		}
	}
	throughput := strings.Join(texts(t, chart(t, charts, "throughput")), "\n")
	if !strings.Contains(throughput, "‡\n") || !strings.Contains(throughput, "‡ the generator was the bottleneck") {
		t.Errorf("nothing says that the generator was the bottleneck:\n%s", throughput)
	}
	if cpu := strings.Join(texts(t, chart(t, charts, "cpu")), "\n"); strings.Contains(cpu, "‡") {
		t.Errorf("the generator is said to have bound the CPU of the server:\n%s", cpu)
	}
}

// What is missing is left out, and what failed is no figure.
func TestChartsOfLittle(t *testing.T) {
	all := invented(2)
	if charts := report.Charts(nil); len(charts) != 0 {
		t.Errorf("%d charts of nothing", len(charts))
	}
	one := slices.DeleteFunc(slices.Clone(all), func(r bench.Result) bool {
		return r.Cell != "64x16" || r.Round > 1 ||
			r.Server == "node"
	})
	charts := report.Charts(one)
	if len(charts) != 2 {
		t.Errorf("%d charts of the cell 64x16, want throughput and cpu", len(charts))
	}
	written := texts(t, chart(t, charts, "throughput"))
	if slices.Contains(written, "64x1") || slices.Contains(written, "node") {
		t.Errorf("what was not measured is in %q", written)
	}
	for i := range one {
		if one[i].Server == "grpc" {
			one[i].Errors = 1
		}
	}
	if written := texts(t, chart(t, report.Charts(one), "throughput")); slices.Contains(written, "grpc") ||
		!slices.Contains(written, "nats") {
		t.Errorf("of a failed run: %q", written)
	}
	for i := range all {
		all[i].Failure = "it did not start"
	}
	if charts := report.Charts(all); len(charts) != 0 {
		t.Errorf("%d charts of failed runs", len(charts))
	}
	// A single figure of a single server is drawn, however it lies on its axis.
	for _, requests := range []int64{1, 5, 49_999, 5_000_000, 1e12} {
		lone := []bench.Result{{Server: "kassa", Cell: "64x1", Requests: requests, Seconds: 5}}
		texts(t, chart(t, report.Charts(lone), "throughput"))
	}
}
