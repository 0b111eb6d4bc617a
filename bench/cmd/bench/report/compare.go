package report

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/perf/benchmath"

	"github.com/kassa-go/kassa/bench"
)

// Verdict is what is made of a change.
type Verdict string

// Verdicts.
const (
	Noise  Verdict = "noise" // two measurements of the same would differ as much
	Better Verdict = "better"
	Worse  Verdict = "worse"
	TooFew Verdict = "too few rounds" // fewer than two on a side: nothing is known of how much rounds differ
)

// leastChange is the smallest change that is called one: latencies are known to 0.1 %, and rounds may be equal by chance.
const leastChange = 0.01

// Change is how a figure came out in two files of results.
type Change struct {
	Cell, Server string
	Metric       Metric
	Old, New     Estimate
	Ratio        float64 // of New's mean to Old's
	P            float64 // how probable such a difference is between two measurements of the same
	Verdict      Verdict
	Marks        string // of disturbed runs and of those in which the generator was the bottleneck
}

// NewChange compares the figures of the rounds of two measurements, by Welch's t-test on logarithms.
func NewChange(m Metric, before, after []float64) Change {
	c := Change{Metric: m, Old: NewEstimate(before), New: NewEstimate(after), P: 1, Verdict: Noise}
	c.Ratio = c.New.Mean / c.Old.Mean
	if c.Old.Rounds < 2 || c.New.Rounds < 2 {
		c.Verdict = TooFew
		return c
	}
	t := &benchmath.DefaultThresholds
	compared := benchmath.AssumeNormal.Compare(benchmath.NewSample(logarithms(before), t),
		benchmath.NewSample(logarithms(after), t))
	c.P = compared.P
	if len(compared.Warnings) > 0 && c.Ratio != 1 {
		c.P = 0 // all rounds of a side were equal, and those of the other too: there is nothing that t could be measured in
	}
	if c.P < 1-confidence && math.Abs(math.Log(c.Ratio)) >= math.Log1p(leastChange) {
		c.Verdict = Worse
		if (c.Ratio > 1) == metrics[m].moreIsBetter {
			c.Verdict = Better
		}
	}
	return c
}

// Comparison is of two measurements.
type Comparison struct {
	RelativeTo string // the server by whose figures of the same rounds all others are divided; "": none
	Changes    []Change
	LeftOut    []string // why cells or servers are not in it
	Remarks    []string // what differs between the two beside the figures
}

// Why Compare can not compare.
var (
	// ErrNothingInCommon is of two measurements that have no cell with the same server in both.
	ErrNothingInCommon = errors.New("the two have no cell in common that the same server was measured in")

	// ErrNotInBoth is of a server to be relative to that is not in both measurements.
	ErrNotInBoth = errors.New("the server that the figures are to be relative to is not in both")
)

// Compare compares two measurements in some metrics. With a server to be relative to, figures are ratios to that server's
// figure of the same round, so that what the machine did to both cancels out.
func Compare(before, after []bench.Result, of []Metric, relativeTo string) (*Comparison, error) {
	before, after = measuredOnly(before), measuredOnly(after)
	c := &Comparison{RelativeTo: relativeTo, Remarks: remarks(before, after)}
	olds, news := allSeries(before), allSeries(after)
	common := slices.DeleteFunc(slices.Clone(news), func(s series) bool { return !slices.Contains(olds, s) })
	if len(common) == 0 {
		return nil, fmt.Errorf("%w: the old one has %s; the new one has %s", ErrNothingInCommon, contents(before),
			contents(after))
	}
	if n, m := len(olds)-len(common), len(news)-len(common); n+m > 0 {
		c.LeftOut = append(c.LeftOut, fmt.Sprintf("%d cells of a server are only in the old results, %d only in the new ones", n,
			m))
	}
	if relativeTo != "" && !slices.ContainsFunc(common, func(s series) bool { return s.server == relativeTo }) {
		return nil, fmt.Errorf("%w: it is %q; the old one has %s; the new one has %s", ErrNotInBoth, relativeTo, contents(before),
			contents(after))
	}
	var without []string
	for _, m := range of {
		for _, s := range common {
			if !m.tells(s.cell) || s.server == relativeTo {
				continue
			}
			change := NewChange(m, values(before, s, m, relativeTo), values(after, s, m, relativeTo))
			change.Cell, change.Server = s.cell, s.server
			if change.Old.Rounds == 0 || change.New.Rounds == 0 {
				if name := s.cell + " " + s.server; !slices.Contains(without, name) {
					without = append(without, name)
				}
				continue
			}
			var p picture
			change.Marks = p.marks(slices.Concat(runs(before, s.cell, s.server), runs(after, s.cell, s.server)), m)
			c.Changes = append(c.Changes, change)
		}
	}
	if len(without) > 0 {
		why := "without a figure on one side (failed runs, or none of the metric)"
		if relativeTo != "" {
			why = "without a figure, or without one of " + relativeTo + " in the same round"
		}
		if more := len(without) - 8; more > 0 {
			without = append(without[:8], fmt.Sprintf("and %d more", more))
		}
		c.LeftOut = append(c.LeftOut, why+": "+strings.Join(without, ", "))
	}
	return c, nil
}

// values are the figures of a series, or their ratios to those of another server.
func values(results []bench.Result, s series, m Metric, relativeTo string) []float64 {
	some := runs(results, s.cell, s.server)
	if relativeTo == "" {
		return figures(some, metrics[m].of)
	}
	return ratios(some, runs(results, s.cell, relativeTo), metrics[m].of)
}

// contents says in a few words what results hold.
func contents(results []bench.Result) string {
	var cells, servers []string
	for _, s := range allSeries(results) {
		if !slices.Contains(cells, s.cell) {
			cells = append(cells, s.cell)
		}
		if !slices.Contains(servers, s.server) {
			servers = append(servers, s.server)
		}
	}
	if more := len(cells) - 12; more > 0 {
		cells = append(cells[:12], fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%s of %s", strings.Join(cells, ", "), strings.Join(servers, ", "))
}

// remarks names what else changed.
func remarks(before, after []bench.Result) []string {
	var all []string
	for _, what := range []struct {
		name string
		of   func(*bench.Result) string
	}{
		{"kassa's commit", func(r *bench.Result) string { return r.Commit }},
		{"Go", func(r *bench.Result) string { return fmt.Sprintf("%s, GOMAXPROCS %d", r.Go, r.GOMAXPROCS) }},
		{"the machine", func(r *bench.Result) string {
			return fmt.Sprintf("%s x %d, %.0f GB, Linux %s", r.Machine.CPU, r.Machine.Cores, float64(r.Machine.MemoryBytes)/1e9,
				r.Machine.Kernel)
		}},
	} {
		if a, b := distinct(before, what.of), distinct(after, what.of); a != b {
			all = append(all, fmt.Sprintf("%s: %s, then %s", what.name, a, b))
		}
	}
	for _, server := range serverRows(after) {
		version := func(r *bench.Result) string {
			if r.Server != server.server {
				return ""
			}
			return r.Version
		}
		if a, b := distinct(before, version), distinct(after, version); a != b && a != "" {
			all = append(all, fmt.Sprintf("%s: %s, then %s", server.server, a, b))
		}
	}
	return all
}

// distinct lists what results have, each once.
func distinct(results []bench.Result, of func(*bench.Result) string) string {
	var all []string
	for i := range results {
		if s := of(&results[i]); s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return strings.Join(all, " and ")
}

// References are the servers that do not change with kassa: where their figures differ, the machine did.
var References = []string{echoServer, workersServer}

// Drift is how a server that did not change came out: the machine's own drift.
type Drift struct {
	Server string
	Metric Metric
	Cells  int
	Mean   float64 // ratio of new to old, geometric mean of the cells
	Lo, Hi float64 // the lowest and highest of them
}

// Drifts are those of the references.
func (c *Comparison) Drifts() []Drift {
	var all []Drift
	for _, server := range References {
		for m := range Metric(len(metrics)) {
			var ratios []float64
			for _, change := range c.Changes {
				if change.Server == server && change.Metric == m {
					ratios = append(ratios, change.Ratio)
				}
			}
			if len(ratios) > 0 {
				all = append(all, Drift{server, m, len(ratios), NewEstimate(ratios).Mean, slices.Min(ratios), slices.Max(ratios)})
			}
		}
	}
	return all
}

// Write writes the comparison for people, metric by metric.
func (c *Comparison) Write(out io.Writer) error {
	var b strings.Builder
	b.WriteString("Old and new are geometric means of the rounds; ± is by how much they may be wrong (95 % confidence). A change is called better or\n" +
		"worse when Welch's t-test on the logarithms of the rounds finds p < 0.05, and it is 1 % or more; else it is noise. n is the number of rounds.\n")
	if c.RelativeTo != "" {
		fmt.Fprintf(&b, "All figures are ratios to those of %s in the same round.\n", c.RelativeTo)
	}
	for _, r := range slices.Concat(c.Remarks, c.LeftOut) {
		fmt.Fprintf(&b, "- %s\n", r)
	}
	tested, fewest := 0, math.MaxInt
	var rows [][]string
	for i, change := range c.Changes {
		if i == 0 || c.Changes[i-1].Metric != change.Metric {
			align(&b, rows)
			fmt.Fprintf(&b, "\n%s\n", c.heading(change.Metric))
			rows = [][]string{{"cell", "server", "old", "±", "new", "±", "change", "p", "n", "verdict"}}
		}
		p := "–"
		if change.Verdict != TooFew {
			p = fmt.Sprintf("%.3f", change.P)
			tested, fewest = tested+1, min(fewest, change.Old.Rounds, change.New.Rounds)
		}
		rounds := fmt.Sprintf("%d+%d", change.Old.Rounds, change.New.Rounds)
		rows = append(rows, []string{change.Cell, change.Server, number(change.Old.Mean), percentOf(change.Old),
			number(change.New.Mean), percentOf(change.New),
			signed(change.Ratio), p, rounds, strings.TrimSpace(string(change.Verdict) + " " + change.Marks)})
	}
	align(&b, rows)
	c.summary(&b, tested, fewest)
	_, err := io.WriteString(out, b.String())
	return err
}

// align writes rows of ten columns, of which the first two and the last are of words, the others of numbers.
func align(b *strings.Builder, rows [][]string) {
	widths := make([]int, 10)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		fmt.Fprintf(b, "%-*s  %-*s", widths[0], row[0], widths[1], row[1])
		for i := 2; i < 9; i++ {
			fmt.Fprintf(b, "  %*s", widths[i], row[i])
		}
		fmt.Fprintf(b, "  %s\n", row[9])
	}
}

// heading is that of a metric's table.
func (c *Comparison) heading(m Metric) string {
	direction := "less is better"
	if metrics[m].moreIsBetter {
		direction = "more is better"
	}
	unit := metrics[m].unit
	if c.RelativeTo != "" {
		unit = "ratio to " + c.RelativeTo
	}
	return fmt.Sprintf("%s, %s (%s)", m, unit, direction)
}

// summary says what to think of it all.
func (c *Comparison) summary(b *strings.Builder, tested, fewest int) {
	for i, d := range c.Drifts() {
		if i == 0 {
			b.WriteString("\nThe machine's own drift: servers that do not change with kassa, over their cells\n")
		}
		fmt.Fprintf(b, "  %s, %s: %s (%s to %s in %d cells)\n", d.Server, d.Metric, signed(d.Mean), signed(d.Lo), signed(d.Hi),
			d.Cells)
	}
	b.WriteString("\n")
	count := make(map[Verdict]int)
	marked := false
	for _, change := range c.Changes {
		count[change.Verdict]++
		marked = marked || change.Marks != ""
	}
	fmt.Fprintf(b, "%d figures: %d better, %d worse, %d noise, %d of too few rounds.\n", len(c.Changes), count[Better],
		count[Worse], count[Noise], count[TooFew])
	if tested > 0 {
		fmt.Fprintf(b, "Of %d tests, about %.0f call noise a change, by chance: look twice at a single one.\n", tested,
			math.Ceil(float64(tested)*(1-confidence)))
	}
	if tested > 0 && fewest < 6 {
		fmt.Fprintf(b, "With %d rounds only large changes show; six or more are better.\n", fewest)
	}
	if marked {
		fmt.Fprintf(b, "%s others used the machine in at least one of the runs; %s the generator was the bottleneck.\n",
			disturbedMark, boundMark)
	}
}

// signed writes a ratio as a change in percent.
func signed(ratio float64) string { return fmt.Sprintf("%+.1f %%", (ratio-1)*100) }

// percentOf writes an estimate's error.
func percentOf(e Estimate) string {
	if e.Rounds < 2 {
		return "?"
	}
	return errorText(e.ErrorPercent())
}

// ParseMetric returns the metric of a name as flags have it.
func ParseMetric(name string) (Metric, error) {
	for m := range Metric(len(metrics)) {
		if metrics[m].flag == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("no metric %q: %s", name, strings.Join(MetricNames(), ", "))
}

// MetricNames are those that ParseMetric knows.
func MetricNames() []string {
	var all []string
	for _, m := range metrics {
		all = append(all, m.flag)
	}
	return all
}

// ComparedMetrics are those that are compared when none are named.
func ComparedMetrics() []Metric {
	return []Metric{Throughput, CPUPerMillion, P50, P99, Memory}
}
