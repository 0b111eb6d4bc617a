package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kassa-go/kassa/bench"
)

// document is what is drawn from some results, but for the charts.
type document struct {
	Machines []string // what was measured, on what
	Servers  []string // with their versions
	Skipped  []string // servers that were not measured, and why
	Measured string   // how much, in words
	Run      string   // how a run was made, in words
	Command  string   // that measures the same
	Drawn    string   // the command that draws this again; "": there is none
	Errors   table    // of the suite itself
	Targets  table
	Cells    table
	Notes    []string // how to read the cells
	Troubles []trouble
}

// trouble is a run that failed.
type trouble struct {
	Run    string
	Faults []string
}

// table is a table of texts. A cell that begins with a miss, set in Markdown's bold, is set so in HTML too.
type table struct {
	Title, Note string
	Header      []string
	Rows        [][]string
}

func (t *table) add(row ...string) { t.Rows = append(t.Rows, row) }

// Write draws the tables of some results, in Markdown: the targets first, then all cells. drawn is the command that does it
// again; "": there is none.
func Write(out io.Writer, results []bench.Result, drawn string) error {
	return writeMarkdown(out, newDocument(results, drawn), nil)
}

func newDocument(results []bench.Result, drawn string) *document {
	all := results
	results = measuredOnly(results)
	file := onlyFile(results)
	d := &document{Errors: errorTable(results), Targets: targetTable(results, file), Cells: cellTable(results, file),
		Troubles: troubles(results), Command: command(all), Drawn: drawn}
	d.head(results)
	for i := range all {
		if all[i].Skipped != "" {
			note(&d.Skipped, all[i].Server+": "+all[i].Skipped)
		}
	}
	if slices.ContainsFunc(results, isOfPool) {
		d.Notes = append(d.Notes, poolNotes)
	}
	return d
}

// measuredOnly leaves out the lines of servers that were skipped.
func measuredOnly(results []bench.Result) []bench.Result {
	return slices.DeleteFunc(slices.Clone(results), func(r bench.Result) bool { return r.Skipped != "" })
}

// onlyFile returns the name of the file that all results are from, and takes it out of them: it need not be said of each.
// "": they are from several, or from none.
func onlyFile(results []bench.Result) string {
	var files []string
	for i := range results {
		note(&files, results[i].File)
	}
	if len(files) != 1 {
		return ""
	}
	for i := range results {
		results[i].File = ""
	}
	return files[0]
}

// sourceNote says what the last column of a table has.
func sourceNote(file string) string {
	return "The last column names the lines of " + cmp.Or(file, "the results") + "."
}

// head says what was measured on what, and how.
func (d *document) head(results []bench.Result) {
	repeated := 0
	var cells, servers []string
	for i := range results {
		r := &results[i]
		note(&d.Machines, fmt.Sprintf("kassa %s, %s, GOMAXPROCS %d, %s x %d, %.0f GB, Linux %s, %s", r.Commit, r.Go,
			r.GOMAXPROCS,
			r.Machine.CPU, r.Machine.Cores, float64(r.Machine.MemoryBytes)/1e9, r.Machine.Kernel, r.Date.Format("2006-01-02")))
		note(&d.Servers, strings.TrimSpace(r.Server+" "+r.Version))
		note(&cells, r.Cell)
		note(&servers, r.Server)
		if r.Repeats > 0 {
			repeated++
		}
	}
	of := planOf(results)
	d.Measured = fmt.Sprintf("%d runs: %d cells, %d servers in turn, up to %d rounds", len(results), len(cells), len(servers),
		of.Rounds)
	d.Run = runInWords(of, repeated)
}

// runInWords says how runs were made, of which so many were made again.
func runInWords(of bench.Plan, repeated int) string {
	var all []string
	if of.Measure > 0 {
		load := fmt.Sprintf("%v of load that is measured", of.Measure)
		if of.WarmUp > 0 {
			load = fmt.Sprintf("%v of warm-up, then %s", of.WarmUp, load)
		}
		all = append(all, load)
	}
	if of.Idle > 0 {
		all = append(all, fmt.Sprintf("idle connections: %v of silence", of.Idle))
	}
	if of.Threads == 0 {
		return strings.Join(append(all, "warm-up, generator threads and repeats are not in these results"), "; ")
	}
	threads := "1 generator thread"
	if of.Threads > 1 {
		threads = fmt.Sprintf("%d generator threads", of.Threads)
	}
	again := "not made again when others used the machine"
	if of.RepeatsMax > 0 {
		again = fmt.Sprintf("made again up to %d times when others used the machine, as %d were", of.RepeatsMax, repeated)
	}
	return strings.Join(append(all, threads, again), "; ")
}

// note adds a text to a list that does not have it.
func note(list *[]string, text string) {
	if text != "" && !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// runs are the runs of one server in one cell, in the order in which they were made, failed ones too.
func runs(results []bench.Result, cell, server string) []bench.Result {
	var some []bench.Result
	for _, r := range results {
		if r.Cell == cell && r.Server == server {
			some = append(some, r)
		}
	}
	return some
}

func isOfPool(r bench.Result) bool {
	c, err := bench.ParseCell(r.Cell)
	return err == nil && c.Items > 0
}

// poolNotes says how to read the cells of pools.
const poolNotes = `A request of a cell of pools is a pair: one item of a pool of 1,000 is acquired, then released, and each of the two is
answered after the disk has it. kassa is kassad with its store; its leases end by themselves and its acquires wait in line,
which nobody sees to at the others: there, an acquire that finds nothing free is made anew. postgres: SKIP LOCKED, a
transaction a statement; postgres-batch: what a connection writes at once is one transaction, so that in flights of 16 share
one commit, and fail together. redis: a Lua script an operation, pipelined, appendfsync always. etcd: a cluster of one, a
transaction an operation, which it answers when its log is synced; what comes meanwhile is synced together; which item is free
it does not say, so the client picks one. A restart is timed from the start of the process to its first answer, after SIGTERM
or after SIGKILL under load.`

// targetTable sets each target beside what was measured.
func targetTable(results []bench.Result, file string) table {
	table := table{
		Title:  "Targets",
		Note:   "Median of the rounds (lowest to highest); a ratio is that of two runs made in turn. " + sourceNote(file),
		Header: []string{"verdict", "cell", "figure", "kassa", "beside", "ratio", "target", "goal", "lines"},
	}
	for _, t := range Targets() {
		goal := ""
		if t.Goal > 0 {
			goal = t.bound(t.Goal)
		}
		m := measure(results, t)
		table.add(m.verdict, t.Cell, fmt.Sprintf("%s, %s", t.Metric, metrics[t.Metric].unit), m.own, m.beside, m.ratio,
			t.bound(t.Bound), goal, m.sources)
	}
	return table
}

// measured is what the results say of a target, in words.
type measured struct{ own, beside, ratio, verdict, sources string }

const miss = "**miss**"

func measure(results []bench.Result, t Target) measured {
	of := metrics[t.Metric].of
	kassa := runs(results, t.Cell, bench.Subject)
	own := figures(kassa, of)
	m := measured{own: spread(own), verdict: "not measured"}
	bounded := own
	var others []bench.Result
	if t.Beside != "" || t.BesideCell != "" {
		others = runs(results, cmp.Or(t.BesideCell, t.Cell), cmp.Or(t.Beside, bench.Subject))
		bounded = ratios(kassa, others, of)
		m.ratio, m.beside = spread(bounded), cmp.Or(t.Beside, t.BesideCell)+" "+spread(figures(others, of))
	}
	switch failed := len(kassa) - len(own); {
	case failed > 0:
		m.verdict = fmt.Sprintf(miss+": %d of %d runs failed", failed, len(kassa))
	case len(bounded) == 0:
	case t.Goal > 0 && t.keeps(t.Goal, median(bounded)):
		m.verdict = "hit, goal too"
	case t.keeps(t.Bound, median(bounded)):
		m.verdict = "hit"
	default:
		m.verdict = miss
	}
	all := slices.Concat(kassa, others)
	m.sources = sources(all)
	if marks := marked(all, fmt.Sprintf("of %d runs ", len(all)), t.Metric.ofGenerator()); marks != "" && len(bounded) > 0 {
		m.verdict += " (" + marks + ")"
	}
	return m
}

// ratios divides the figures of runs by those that another server, or cell, had in the same round.
func ratios(some, others []bench.Result, of func(*bench.Result) float64) []float64 {
	var all []float64
	for _, p := range sameRounds(some, others) {
		if p[0].OK() && p[1].OK() && of(p[1]) != 0 {
			all = append(all, of(p[0])/of(p[1]))
		}
	}
	return all
}

// sameRounds pairs runs with those of the same round. Of results that were made in several goes there may be more than one
// round of a number: these are paired in their order.
func sameRounds(some, others []bench.Result) (pairs [][2]*bench.Result) {
	byRound := make(map[int][]*bench.Result)
	for i := range others {
		byRound[others[i].Round] = append(byRound[others[i].Round], &others[i])
	}
	for i := range some {
		if left := byRound[some[i].Round]; len(left) > 0 {
			pairs = append(pairs, [2]*bench.Result{&some[i], left[0]})
			byRound[some[i].Round] = left[1:]
		}
	}
	return pairs
}

// marked says how many runs have figures that are to be read with care: "1 of 6 runs disturbed".
func marked(some []bench.Result, of string, ofGenerator bool) string {
	var disturbed, bound int
	for i := range some {
		if some[i].Disturbed {
			disturbed++
		}
		if ofGenerator && some[i].GeneratorBound {
			bound++
		}
	}
	var all []string
	if disturbed > 0 {
		all = append(all, fmt.Sprintf("%d %sdisturbed", disturbed, of))
	}
	if bound > 0 {
		all = append(all, fmt.Sprintf("%d %sbound by the generator", bound, of))
	}
	return strings.Join(all, ", ")
}

// figures returns one figure of each run that is OK.
func figures(some []bench.Result, of func(*bench.Result) float64) []float64 {
	var all []float64
	for i := range some {
		if some[i].OK() {
			all = append(all, of(&some[i]))
		}
	}
	return all
}

// cellTable lists the medians of all that was measured.
func cellTable(results []bench.Result, file string) table {
	table := table{
		Title: "Cells",
		Note: "Medians. The generator's CPU and that of others are in cores; a run is disturbed when others used much, " +
			"and bound by the generator when " +
			"that had no more to give: the server might do more. " + sourceNote(file),
		Header: []string{"cell", "server", "krps", "CPU s a million", "of it a broker", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "RSS MB",
			"B a connection", "MB on disk", "s",
			"generator", "others", "runs", "lines"},
	}
	perSecond := func(of func(*bench.Result) float64) func(*bench.Result) float64 {
		return func(r *bench.Result) float64 { return of(r) / r.Seconds }
	}
	columns := []func(*bench.Result) float64{
		metrics[Throughput].of, metrics[CPUPerMillion].of, brokerCPU, metrics[P50].of, metrics[P99].of, metrics[P999].of, metrics[Max].of,
		metrics[Memory].of, perConn,
		func(r *bench.Result) float64 { return float64(r.StoreBytes) / 1e6 }, metrics[Duration].of,
		perSecond(func(r *bench.Result) float64 { return r.GeneratorCPUSeconds }),
		func(r *bench.Result) float64 { return r.OthersCores },
	}
	for _, s := range allSeries(results) {
		some := runs(results, s.cell, s.server)
		row := []string{s.cell, s.server}
		for _, of := range columns {
			text := "–"
			if v := median(figures(some, of)); v != 0 {
				text = number(v)
			}
			row = append(row, text)
		}
		table.add(append(row, tally(some), sources(some))...)
	}
	return table
}

// errorTable says how far the figures themselves can be trusted.
func errorTable(results []bench.Result) table {
	table := table{
		Title: "The suite's own error",
		Note: "By how much the figure behind a cell's rounds may be above their mean, for one server, with 95 % confidence; it may be below by the " +
			"same factor, so that 100 % is half to double: " +
			"a difference between two servers or two builds that is smaller says nothing.",
		Header: []string{"figure", "half of all cells", "nine in ten", "the worst", "rounds"},
	}
	for m := range Metric(len(metrics)) {
		e := errorOf(results, m)
		if e.series == 0 {
			continue
		}
		rounds := fmt.Sprint(e.roundsLo)
		if e.roundsHi > e.roundsLo {
			rounds += fmt.Sprintf(" to %d", e.roundsHi)
		}
		table.add(m.String(), errorText(e.middle), errorText(e.ninth), errorText(e.worst)+" ("+e.worstOf.cell+", "+e.worstOf.server+")",
			rounds)
	}
	return table
}

// brokerCPU is what of the CPU time of a million requests a broker took.
func brokerCPU(r *bench.Result) float64 {
	if r.Requests == 0 {
		return 0
	}
	return r.BrokerCPUSeconds / float64(r.Requests) * 1e6
}

// perConn is the memory of a connection; that of few is lost in what else a server keeps.
func perConn(r *bench.Result) float64 {
	if r.Conns < 1000 {
		return 0
	}
	return r.RSSBytesPerConn
}

// tally counts runs: how many, and how many are to be read with care or failed.
func tally(some []bench.Result) string {
	failed := 0
	for i := range some {
		if !some[i].OK() {
			failed++
		}
	}
	s := fmt.Sprint(len(some))
	if marks := marked(some, "", true); marks != "" {
		s += ", " + marks
	}
	if failed > 0 {
		s += fmt.Sprintf(", %d failed", failed)
	}
	return s
}

// troubles lists the runs that failed.
func troubles(results []bench.Result) []trouble {
	var all []trouble
	for i := range results {
		if r := &results[i]; !r.OK() {
			run := fmt.Sprintf("%s, %s, round %d: %d errors. %s", r.Cell, r.Server, r.Round, r.Errors,
				strings.TrimSpace(r.Failure))
			if r.Line > 0 {
				run = strings.TrimSpace(run) + " (line " + sources(results[i:i+1]) + ")"
			}
			all = append(all, trouble{Run: run, Faults: r.Faults})
		}
	}
	return all
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
