package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteReport draws the tables of some results, in Markdown: the targets first, then all cells.
func WriteReport(out io.Writer, results []Result) error {
	var b strings.Builder
	heading(&b, results)
	targetTable(&b, results)
	cellTable(&b, results)
	if slices.ContainsFunc(results, isOfPool) {
		b.WriteString(poolNotes)
	}
	troubles(&b, results)
	_, err := io.WriteString(out, b.String())
	return err
}

// heading says what was measured on what.
func heading(b *strings.Builder, results []Result) {
	var lines []string
	for _, r := range results {
		line := fmt.Sprintf("kassa %s, %s, GOMAXPROCS %d, %s x %d, %.0f GB, Linux %s, %s", r.Commit, r.Go, r.GOMAXPROCS,
			r.Machine.CPU, r.Machine.Cores, float64(r.Machine.MemoryBytes)/1e9, r.Machine.Kernel, r.Date.Format("2006-01-02"))
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	b.WriteString("# Results\n\n")
	for _, line := range lines {
		fmt.Fprintf(b, "- %s\n", line)
	}
}

// runs are the runs of one server in one cell, in the order in which they were made, failed ones too.
func runs(results []Result, cell, server string) []Result {
	var some []Result
	for _, r := range results {
		if r.Cell == cell && r.Server == server {
			some = append(some, r)
		}
	}
	return some
}

func isOfPool(r Result) bool {
	c, err := ParseCell(r.Cell)
	return err == nil && c.Items > 0
}

// poolNotes says how to read the cells of pools.
const poolNotes = `
A request of a cell of pools is a pair: one item of a pool of 1,000 is acquired, then released, and each of the two is
answered after the disk has it. kassa is kassad with its store; its leases end by themselves and its acquires wait in line,
which nobody sees to at the others: there, an acquire that finds nothing free is made anew. postgres: SKIP LOCKED, a
transaction a statement; postgres-batch: what a connection writes at once is one transaction, so that in flights of 16 share
one commit, and fail together. redis: a Lua script an operation, pipelined, appendfsync always. A restart is timed from the
start of the process to its first answer, after SIGTERM or after SIGKILL under load.
`

// targetTable sets each target beside what was measured.
func targetTable(b *strings.Builder, results []Result) {
	b.WriteString("\n## Targets\n\nMedian of the rounds (lowest to highest); a ratio is that of two runs made in turn.\n\n")
	b.WriteString("| cell | figure | kassa | beside | ratio | target | goal | |\n|---|---|---|---|---|---|---|---|\n")
	for _, t := range Targets() {
		goal := ""
		if t.Goal > 0 {
			goal = t.bound(t.Goal)
		}
		m := measure(results, t)
		fmt.Fprintf(b, "| %s | %s, %s | %s | %s | %s | %s | %s | %s |\n", t.Cell, t.Metric, metrics[t.Metric].unit,
			m.own, m.beside, m.ratio, t.bound(t.Bound), goal, m.verdict)
	}
}

// measured is what the results say of a target, in words.
type measured struct{ own, beside, ratio, verdict string }

func measure(results []Result, t Target) measured {
	of := metrics[t.Metric].of
	kassa := runs(results, t.Cell, Subject)
	own, besides := figures(kassa, of), []float64(nil)
	m := measured{own: spread(own), verdict: "not measured"}
	bounded := own
	var others []Result
	if t.Beside != "" || t.BesideCell != "" {
		others = runs(results, cmp.Or(t.BesideCell, t.Cell), cmp.Or(t.Beside, Subject))
		besides = figures(others, of)
		bounded = nil
		for i := range min(len(kassa), len(others)) {
			if k, o := &kassa[i], &others[i]; k.OK() && o.OK() && of(o) != 0 {
				bounded = append(bounded, of(k)/of(o))
			}
		}
		m.ratio, m.beside = spread(bounded), cmp.Or(t.Beside, t.BesideCell)+" "+spread(besides)
	}
	switch failed := len(kassa) - len(own); {
	case failed > 0:
		m.verdict = fmt.Sprintf("**miss**: %d of %d runs failed", failed, len(kassa))
	case len(bounded) == 0:
	case t.Goal > 0 && t.keeps(t.Goal, median(bounded)):
		m.verdict = "hit, goal too"
	case t.keeps(t.Bound, median(bounded)):
		m.verdict = "hit"
	default:
		m.verdict = "**miss**"
	}
	if n := disturbed(kassa) + disturbed(others); n > 0 && len(bounded) > 0 {
		m.verdict += fmt.Sprintf(" (%d of %d runs disturbed)", n, len(kassa)+len(others))
	}
	return m
}

// disturbed counts the runs in which others used much CPU.
func disturbed(some []Result) int {
	n := 0
	for i := range some {
		if some[i].Disturbed {
			n++
		}
	}
	return n
}

// figures returns one figure of each run that is OK.
func figures(some []Result, of func(*Result) float64) []float64 {
	var all []float64
	for i := range some {
		if some[i].OK() {
			all = append(all, of(&some[i]))
		}
	}
	return all
}

// cellTable lists the medians of all that was measured.
func cellTable(b *strings.Builder, results []Result) {
	b.WriteString("\n## Cells\n\nMedians. The generator's CPU and that of others are in cores; a run is disturbed when others used much.\n\n")
	b.WriteString("| cell | server | krps | CPU s a million | p50 µs | p99 µs | p99.9 µs | RSS MB | B a connection | MB on disk | s | generator | others | runs |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	type key struct{ cell, server string }
	var seen []key
	for _, r := range results {
		k := key{r.Cell, r.Server}
		if slices.Contains(seen, k) {
			continue
		}
		seen = append(seen, k)
		some := runs(results, r.Cell, r.Server)
		mid := func(of func(*Result) float64) string {
			if v := median(figures(some, of)); v != 0 {
				return number(v)
			}
			return "–"
		}
		fmt.Fprintf(b, "| %s | %s %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.Cell, r.Server, r.Version,
			mid(metrics[Throughput].of), mid(metrics[CPUPerMillion].of), mid(metrics[P50].of), mid(metrics[P99].of),
			mid(func(r *Result) float64 { return r.P999Us }), mid(metrics[Memory].of), mid(perConn), mid(func(r *Result) float64 { return float64(r.StoreBytes) / 1e6 }),
			mid(metrics[Duration].of),
			mid(func(r *Result) float64 { return r.GeneratorCPUSeconds / r.Seconds }), mid(func(r *Result) float64 { return r.OthersCores }),
			tally(some))
	}
}

// perConn is the memory of a connection; that of few is lost in what else a server keeps.
func perConn(r *Result) float64 {
	if r.Conns < 1000 {
		return 0
	}
	return r.RSSBytesPerConn
}

// tally counts runs: how many, and how many were disturbed or failed.
func tally(some []Result) string {
	failed := 0
	for i := range some {
		if !some[i].OK() {
			failed++
		}
	}
	s := fmt.Sprint(len(some))
	if n := disturbed(some); n > 0 {
		s += fmt.Sprintf(", %d disturbed", n)
	}
	if failed > 0 {
		s += fmt.Sprintf(", %d failed", failed)
	}
	return s
}

// troubles lists the runs that failed.
func troubles(b *strings.Builder, results []Result) {
	first := true
	for i := range results {
		r := &results[i]
		if r.OK() {
			continue
		}
		if first {
			b.WriteString("\n## Failed runs\n\n")
			first = false
		}
		fmt.Fprintf(b, "- %s, %s, round %d: %d errors. %s\n", r.Cell, r.Server, r.Round, r.Errors, strings.TrimSpace(r.Failure))
		for _, fault := range r.Faults {
			fmt.Fprintf(b, "  - %s\n", fault)
		}
	}
}

// median returns the middle of values, the mean of the two middle ones of an even number, 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// spread writes a median, and behind it the lowest and the highest value.
func spread(values []float64) string {
	switch len(values) {
	case 0:
		return "–"
	case 1:
		return number(values[0])
	}
	return fmt.Sprintf("%s (%s to %s)", number(median(values)), number(slices.Min(values)), number(slices.Max(values)))
}

// number writes three digits or, of large numbers, all before the point.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
