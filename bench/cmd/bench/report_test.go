package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestReportAndCompare(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const line = `{"server":"kassa","cell":"64x16","round":1,"requests":5000000,"seconds":5,"cpuSecondsPerMillion":1}` + "\n"
	one, cut := write("one.jsonl", line), write("cut.jsonl", line+line+line[:30])
	empty, other := write("empty.jsonl", ""), write("other.jsonl", strings.Replace(line, "64x16", "1x1", 1))
	out := filepath.Join(dir, "drawn")
	for _, test := range []struct {
		args     []string
		out, err string // parts of what is written there; "": nothing is
		code     int
	}{
		{args: []string{"report", one}, out: "| 64x16 | kassa | 1000 |"},
		{args: []string{"report", one, cut}, out: "one.jsonl: 1; cut.jsonl: 1, 2 |", err: "cut.jsonl: bench: line 3 is cut"},
		{args: []string{"report", one, "--out", out, cut}, out: filepath.Join(out, "throughput.svg"), err: "line 3 is cut"},
		{args: []string{"report"}, err: "no file of results is named", code: exitUsage},
		{args: []string{"report", one, empty}, err: "empty.jsonl: no results in it", code: exitFailed},
		{args: []string{"report", one, "--form"}, err: "unknown flag: --form", code: exitUsage},
		{args: []string{"report", one, filepath.Join(dir, "none.jsonl")}, err: "none.jsonl: no such file", code: exitFailed},
		{args: []string{"report", "--help"}, out: "kassa bench report FILE"},

		{args: []string{"compare", one, cut}, out: "too few rounds", err: "line 3 is cut"},
		{args: []string{"compare", one, "--metric", "cpu", one}, out: "CPU a million requests, s (less is better)"},
		{args: []string{"compare", one, "--metric=speed", one}, err: `no metric "speed": cpu, throughput`, code: exitUsage},
		{args: []string{"compare", one, one, "--relative-to", "redis"},
			err: `is not in both: it is "redis"; the old one has 64x16`, code: exitUsage},
		{args: []string{"compare", one, other}, err: "no cell in common that the same server was measured in: the old one has 64x16 of kassa; the new one has 1x1",
			code: exitFailed},
		{args: []string{"compare", "--help"}, out: "kassa bench compare OLD"},
		{args: []string{"compare", one}, err: "1 files are named, want two", code: exitUsage},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			got := runSuite(t, test.args...)
			if got.code != test.code || !strings.Contains(got.stdout, test.out) || (got.stdout == "") != (test.out == "") ||
				!strings.Contains(got.stderr, test.err) || (got.stderr == "") != (test.err == "") {
				t.Errorf("%+v, want %q and %q", got, test.out, test.err)
			}
			if help := "(kassa bench " + test.args[0] + " --help tells"; strings.Contains(got.stderr, help) != (test.code == exitUsage) {
				t.Errorf("%q names or does not name %q", got.stderr, help)
			}
		})
	}
	for _, file := range []string{"report.md", "report.html", "cpu.svg"} {
		if _, err := os.Stat(filepath.Join(out, file)); err != nil {
			t.Error(err)
		}
	}
}

// The command that a report names draws it again from the root of the source, wherever it was drawn.
func TestDrawAgain(t *testing.T) {
	root, err := sourceRoot()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	fromHere, err := filepath.Rel(here, dir)
	if err != nil {
		t.Fatal(err)
	}
	const line = `{"server":"kassa","cell":"64x16","round":1,"requests":5000000,"seconds":5,"cpuSecondsPerMillion":1}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "some.jsonl"), []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{dir, fromHere} {
		out := filepath.Join(from, "drawn")
		if got := runSuite(t, "report", filepath.Join(from, "some.jsonl"), "--out", out); got.code != exitOK {
			t.Fatalf("%+v", got)
		}
		drawn, err := os.ReadFile(filepath.Join(out, "report.md"))
		if err != nil {
			t.Fatal(err)
		}
		_, again, _ := strings.Cut(string(drawn), "\n- To draw this: `bin/kassa bench ")
		again, _, found := strings.Cut(again, "`\n")
		if !found {
			t.Fatalf("no command in\n%s", drawn)
		}
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, strings.Fields(again)...)
		cmd.Dir = root
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", again, err, said)
		}
		if redrawn, err := os.ReadFile(filepath.Join(out, "report.md")); err != nil || string(redrawn) != string(drawn) {
			t.Errorf("%s: %v\n%s\nwant\n%s", again, err, redrawn, drawn)
		}
	}
	if got, want := drawCommand([]string{"x.jsonl", filepath.Join(root, "y.jsonl"), "/z.jsonl"}, "../drawn"),
		"bin/kassa bench report bench/cmd/bench/x.jsonl y.jsonl /z.jsonl --out bench/cmd/drawn"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
