package report_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/cmd/bench/report"
)

// elements counts elements of a page by name, and fails on what would need the network or a script.
func elements(t *testing.T, page string) map[string]int {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	ids := make(map[string]bool)
	var links []string
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			if a.Key == "id" {
				ids["#"+a.Val] = true
			}
			if a.Key == "href" {
				links = append(links, a.Val)
			}
			if (a.Key == "src" || a.Key == "href") && !strings.HasPrefix(a.Val, "#") || strings.Contains(a.Val, "url(") {
				t.Errorf("<%s %s=%q> is not in the page", n.Data, a.Key, a.Val)
			}
		}
	}
	for _, link := range links {
		if !ids[link] {
			t.Errorf("a link to %s, which is not there", link)
		}
	}
	if n := count["script"] + count["link"] + count["img"]; n > 0 {
		t.Errorf("%d scripts, links or images", n)
	}
	return count
}

func TestPage(t *testing.T) {
	results := append(invented(3), bench.Result{Server: "rabbitmq", Cell: "1x1", Skipped: "it is not installed",
		Machine: bench.Machine{CPU: "another one"}})
	broken := &results[0]
	broken.Errors, broken.Faults = 2, []string{`connection 4: <b>refused</b> & "gone"`}
	var b strings.Builder
	if err := report.WritePage(&b, results, ""); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	count := elements(t, page)
	if count["svg"] != 10 || count["figcaption"] != 10 || count["table"] != 3 {
		t.Errorf("%d charts, %d captions, %d tables", count["svg"], count["figcaption"], count["table"])
	}
	if rows := count["tr"]; rows < 28+14*11 {
		t.Errorf("%d rows", rows)
	}
	for _, want := range []string{
		"A processor x 2", "Linux 6.1", "go1.26", "kassa 0123456789ab", "2026-11-22", "gonet-workers v1.13", "--cells 1x1,64x1",
		",redis,etcd,rabbitmq --measure 5s --warmup 200ms --repeats 3 --threads 2<", "rabbitmq: it is not installed",
		`href="#errors"`, `href="#targets"`, `href="#charts"`, `href="#cells"`, `href="#failed"`,
		"200ms of warm-up, then 5s of load that is measured; idle connections: 5s of silence; 2 generator threads; made again up to 3 times when others used the machine, as 1 were",
		"connection 4: &lt;b&gt;refused", "names the lines of invented.jsonl.", "<strong>miss</strong>", "prefers-color-scheme: dark",
		"@media print",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	for _, server := range []string{"kassa is", "postgres:", "postgres-batch:", "redis:", "etcd:"} { // in the notes on pools
		if !strings.Contains(page, " "+server+" ") {
			t.Errorf("nothing is said of how durable %s is", strings.TrimRight(server, ": is"))
		}
	}
	if strings.Contains(page, "another one") || strings.Contains(page, "rabbitmq, round") {
		t.Error("a skipped server is among the measured or the failed")
	}
	if strings.Contains(page, "**") || strings.Contains(page, "ZgotmplZ") {
		t.Error("marks of Markdown or of the template's safety are in the page")
	}
}

// Files are read, up to where they are cut, and each figure names its lines.
func TestReadAndDraw(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, results []bench.Result, behind string) string {
		var b strings.Builder
		for _, r := range results {
			if err := json.NewEncoder(&b).Encode(r); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(b.String()+behind), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	first := []bench.Result{
		{Server: "kassa", Cell: "64x16", Round: 1, Requests: 5e6, Seconds: 5, CPUSecondsPerMillion: 1},
		{Server: "gnet-echo", Cell: "64x16", Round: 1, Requests: 9e6, Seconds: 5, CPUSecondsPerMillion: 0.5},
	}
	second := []bench.Result{{Server: "kassa", Cell: "64x16", Round: 2, Requests: 5e6, Seconds: 5, CPUSecondsPerMillion: 1}}
	a, cut := write("a.jsonl", first, ""), write("cut.jsonl", second, `{"server":"gnet-echo","cell":"64`)
	empty, damaged := write("empty.jsonl", nil, ""), write("damaged.jsonl", first, "{\"server\":\n{}\n")

	results, warnings, err := report.Read(a, cut)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 3 || len(warnings) != 1 || !strings.Contains(warnings[0], "cut.jsonl: bench: line 2 is cut") {
		t.Errorf("%d results, warnings %q", len(results), warnings)
	}
	var b strings.Builder
	if err := report.Write(&b, results, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| hit | 64x16 | CPU a million requests, s | 1.00 (1.00 to 1.00) | gnet-echo 0.500 | 2.00 | ≤ 2.2x | ≤ 1.6x | a.jsonl: 1, 2; cut.jsonl: 1 |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for file, want := range map[string]string{
		empty:                            "empty.jsonl: no results in it",
		damaged:                          "damaged.jsonl: bench: line 3: ",
		filepath.Join(dir, "none.jsonl"): "none.jsonl: no such file",
	} {
		if _, _, err := report.Read(a, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}

	out := filepath.Join(dir, "new", "report")
	files, err := report.WriteDir(out, results, "draw it again")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 4 { // report.md, report.html, throughput.svg, cpu.svg
		t.Errorf("files %q", files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", file, len(text), err)
		}
		if strings.HasSuffix(file, ".md") && !strings.Contains(string(text), "](throughput.svg)") {
			t.Errorf("report.md shows no chart:\n%s", text)
		}
		if !strings.HasSuffix(file, ".svg") && !strings.Contains(string(text), "draw it again") {
			t.Errorf("%s does not say how to draw it", file)
		}
	}
}

// Where all runs failed there is a page too, that says so.
func TestAllFailed(t *testing.T) {
	results := invented(4)
	for i := range results {
		results[i].Failure = "bench: it did not start"
	}
	var page, tables strings.Builder
	if err := errors.Join(report.WritePage(&page, results, ""), report.Write(&tables, results, "")); err != nil {
		t.Fatal(err)
	}
	elements(t, page.String())
	for _, text := range []string{page.String(), tables.String()} {
		if !strings.Contains(text, "3 of 3 runs failed") || !strings.Contains(text, "bench: it did not start") ||
			strings.Contains(text, "NaN") {
			t.Errorf("it does not say what failed:\n%.3000s", text)
		}
	}
}
