package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/kassa-go/kassa/bench"
	"github.com/kassa-go/kassa/bench/load"
)

// Chart is a picture of some results, with a white background of its own.
type Chart struct {
	Name    string // of the file, without .svg
	Title   string
	Reading string // a sentence or two on how to read it
	SVG     []byte
}

// Charts draws all that results have figures for, in the order of a report.
func Charts(results []bench.Result) []Chart {
	var all []Chart
	for _, draw := range []func([]bench.Result) (Chart, bool){
		throughputChart, cpuChart, openLatencyChart, closedLatencyChart, memoryChart, capacityChart, codecChart, loopsChart,
		jobbersChart, pairsChart,
	} {
		if c, ok := draw(results); ok {
			all = append(all, c)
		}
	}
	return all
}

// picture collects what a chart's dots are made of.
type picture struct {
	disturbed, bound bool // among the runs of what is drawn
}

// Marks of figures that are to be read with care.
const (
	disturbedMark = "†"
	boundMark     = "‡"
)

// marks returns the marks of some runs, for behind a figure of a metric.
func (p *picture) marks(some []bench.Result, m Metric) string {
	var marks string
	if slices.ContainsFunc(some, func(r bench.Result) bool { return r.OK() && r.Disturbed }) {
		marks, p.disturbed = disturbedMark, true
	}
	if m.ofGenerator() && slices.ContainsFunc(some, func(r bench.Result) bool { return r.OK() && r.GeneratorBound }) {
		marks, p.bound = marks+boundMark, true
	}
	return marks
}

// notes explains the marks that were used.
func (p *picture) notes() []string {
	var notes []string
	if p.disturbed {
		notes = append(notes, disturbedMark+" others used the machine in at least one of the runs")
	}
	if p.bound {
		notes = append(notes, boundMark+" the generator was the bottleneck in at least one of the runs: the server might do more")
	}
	return notes
}

// axisOf is a column that is wanted: which runs a row has in it, which figures of them are its dots, and which is written
// beside them.
type axisOf struct {
	title, subtitle string
	label           string
	format          func(float64) string
	runs            func(row) []bench.Result
	dots            []glyphOf // one has whiskers, more are on one line
	inWords         Metric
}

type glyphOf struct {
	metric Metric
	shape  draw.GlyphDrawer
}

// block makes a block of what there are figures of. Rows keep their order, unless they are to be sorted, the best first.
func (p *picture) block(title string, rows []row, wanted []axisOf, sorted bool) (block, bool) {
	b := block{title: title}
	rows = slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
		return !slices.ContainsFunc(wanted, func(a axisOf) bool { return a.middle(r) > 0 })
	})
	wanted = slices.DeleteFunc(slices.Clone(wanted), func(a axisOf) bool {
		return !slices.ContainsFunc(rows, func(r row) bool { return a.middle(r) > 0 })
	})
	if sorted {
		rank := make(map[row]float64)
		for _, r := range rows {
			rank[r] = standing(r, rows, wanted)
		}
		slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(rank[a], rank[b]) })
	}
	b.rows = rows
	for _, a := range wanted {
		c := column{title: a.title, subtitle: a.subtitle, label: a.label, format: a.format}
		for _, r := range rows {
			c.entries = append(c.entries, p.entry(a, a.runs(r)))
		}
		b.columns = append(b.columns, c)
	}
	return b, len(b.columns) > 0
}

// middle is the median of a row's figure in words, 0 of none.
func (a *axisOf) middle(r row) float64 { return median(figures(a.runs(r), metrics[a.inWords].of)) }

// standing is how a row stands to the others, less is better: by the mean logarithm of its ratio to their geometric mean.
func standing(r row, rows []row, wanted []axisOf) float64 {
	sum, n := 0.0, 0.0
	for _, a := range wanted {
		own := a.middle(r)
		if own <= 0 {
			continue
		}
		var all []float64
		for _, other := range rows {
			all = append(all, a.middle(other))
		}
		better := math.Log(own / NewEstimate(all).Mean)
		if a.inWords == Throughput {
			better = -better
		}
		sum, n = sum+better, n+1
	}
	return sum / n
}

func (p *picture) entry(a axisOf, some []bench.Result) entry {
	var e entry
	for _, g := range a.dots {
		values := figures(some, metrics[g.metric].of)
		d := dot{glyph: g.shape, at: median(values)}
		if d.at <= 0 {
			continue
		}
		if len(a.dots) == 1 {
			d.lo, d.hi = slices.Min(values), slices.Max(values)
		}
		e.dots = append(e.dots, d)
	}
	if v := median(figures(some, metrics[a.inWords].of)); v > 0 {
		e.words = a.format(v) + p.marks(some, a.inWords)
	}
	return e
}

// serverRows are the rows of all servers.
func serverRows(results []bench.Result) []row {
	var rows []row
	for i := range results {
		if r := (row{results[i].Server, results[i].Server}); !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
	}
	return rows
}

// inCell are the runs of a row's server in a cell.
func inCell(results []bench.Result, cell string) func(row) []bench.Result {
	return func(r row) []bench.Result { return runs(results, cell, r.server) }
}

// oneDot are the dots of a column of one figure.
func oneDot(m Metric) []glyphOf { return []glyphOf{{m, draw.CircleGlyph{}}} }

// Dots of latencies, and their key.
var latencies = []glyphOf{{P50, draw.CircleGlyph{}}, {P99, draw.BoxGlyph{}}, {P999, draw.PyramidGlyph{}},
	{Max, cross{}}}

// cross is draw.CrossGlyph in a line as wide as those of charts.
type cross struct{}

// DrawGlyph is of draw.GlyphDrawer.
func (cross) DrawGlyph(c *draw.Canvas, s draw.GlyphStyle, at vg.Point) {
	r, line := s.Radius*0.8, draw.LineStyle{Color: s.Color, Width: 1.4}
	c.StrokeLine2(line, at.X-r, at.Y-r, at.X+r, at.Y+r)
	c.StrokeLine2(line, at.X-r, at.Y+r, at.X+r, at.Y-r)
}

func latencyKeys() []glyphKey {
	var keys []glyphKey
	for _, g := range latencies {
		keys = append(keys, glyphKey{glyphStyle("", g.shape), g.metric.String()})
	}
	return keys
}

// loadOf says in words what a cell's load is.
func loadOf(cell string) string {
	c, err := bench.ParseCell(cell)
	if err != nil {
		return ""
	}
	conns := thousands(float64(c.Conns)) + " conns"
	if c.Conns == 1 {
		conns = "1 conn"
	}
	switch c.Shape {
	case bench.Open:
		return fmt.Sprintf("%s, %s a second", conns, thousands(float64(c.RatePerSecond)))
	case bench.Closed:
		return fmt.Sprintf("%s × %d", conns, c.InFlight)
	}
	return conns
}

const inFlight = "connections × requests in flight on each"

func throughputChart(results []bench.Result) (Chart, bool) {
	return cellsChart(results, Throughput, "thousands a second", grid{
		name: "throughput", title: "Throughput: requests a second",
		subtitle: "Closed loop, " + inFlight + ". Further right is better.",
		reading: "Each dot is the median of the rounds, the line through it goes from the lowest to the highest; the " +
			"figure is in thousands of requests " +
			"a second. All columns have the same logarithmic axis, so equal distances are equal ratios.",
	})
}

func cpuChart(results []bench.Result) (Chart, bool) {
	return cellsChart(results, CPUPerMillion, "CPU s a million", grid{
		name: "cpu", title: "CPU seconds of the server for a million requests",
		subtitle: "Closed loop, " + inFlight + ". Further left is better.",
		reading: "What the server's process used, user and system, divided by the requests it answered: the cost of a " +
			"request, which depends less on the " +
			"machine's other load than throughput does. Median of the rounds, lowest to highest.",
	})
}

// cellsChart has a column for each of the usual cells.
func cellsChart(results []bench.Result, m Metric, label string, g grid) (Chart, bool) {
	var wanted []axisOf
	for _, cell := range []string{"64x1", "64x16", "1000x1", "10000x1"} {
		wanted = append(wanted, axisOf{title: cell, subtitle: loadOf(cell), label: label, format: short,
			runs: inCell(results, cell), dots: oneDot(m), inWords: m})
	}
	var p picture
	b, ok := p.block("", serverRows(results), wanted, true)
	g.blocks = []block{b}
	return finish(&g, &p, ok)
}

// finish draws a grid that has something to draw.
func finish(g *grid, p *picture, ok bool) (Chart, bool) {
	if !ok {
		return Chart{}, false
	}
	return g.chart(p.notes()), true
}

func openLatencyChart(results []bench.Result) (Chart, bool) {
	return latencyChart(results, []string{"open64", "open1000", "open10000"}, grid{
		name: "latency-open", title: "Latency at a fixed rate",
		subtitle: "Open loop: each request is timed from when it was due, so that a stall counts. Further left is better; " +
			"the figure is p99.",
		reading: "Each line is a server: from the median request (p50) over one in a hundred (p99) and one in a thousand " +
			"(p99.9) to the longest of all; " +
			"medians of the rounds, on a logarithmic axis. A short line far to the left is best.",
	})
}

func closedLatencyChart(results []bench.Result) (Chart, bool) {
	return latencyChart(results, []string{"1x1", "64x1"}, grid{
		name: "latency-closed", title: "Latency of one request after the other",
		subtitle: "Closed loop: each connection sends when it has been answered. Further left is better; the figure is p99.",
		reading: "Each line is a server: from the median request (p50) to the longest of all, medians of the rounds. " +
			"Each connection waits for its answer before " +
			"it sends again: with one connection this is the cost of the way there and back, with 64 that of the queue too.",
	})
}

func latencyChart(results []bench.Result, cells []string, g grid) (Chart, bool) {
	var wanted []axisOf
	for _, cell := range cells {
		wanted = append(wanted, axisOf{title: cell, subtitle: loadOf(cell), label: "latency (µs, ms)", format: duration,
			runs: inCell(results, cell), dots: latencies, inWords: P99})
	}
	var p picture
	b, ok := p.block("", serverRows(results), wanted, true)
	g.keys, g.blocks = latencyKeys(), []block{b}
	return finish(&g, &p, ok)
}

func memoryChart(results []bench.Result) (Chart, bool) {
	wanted := []axisOf{
		{title: "A silent connection", subtitle: "cell idle: " + loadOf("idle"), label: "bytes of RSS a connection",
			format: short,
			runs:   inCell(results, "idle"), dots: oneDot(MemoryPerConn), inWords: MemoryPerConn},
		{title: "The whole server at work", subtitle: "cell 10000x1: " + loadOf("10000x1"), label: "RSS, MB", format: short,
			runs: inCell(results, "10000x1"), dots: oneDot(Memory), inWords: Memory},
	}
	g := grid{
		name: "memory", title: "Memory",
		subtitle: "Resident memory of the server's processes. Further left is better.",
		reading: "Left: what each silent connection added to the server's resident memory, after it had had one reply. " +
			"Right: the resident memory of the whole " +
			"server with 10,000 connections that each have a request under way. Median of the rounds, lowest to highest.",
	}
	var p picture
	b, ok := p.block("", serverRows(results), wanted, true)
	g.blocks = []block{b}
	return finish(&g, &p, ok)
}

// variants are the cells of closed loops that results have and keep accepts.
func variants(results []bench.Result, keep func(*bench.Cell) bool) []bench.Cell {
	var all []bench.Cell
	for _, s := range allSeries(results) {
		c, err := bench.ParseCell(s.cell)
		if err == nil && c.Shape == bench.Closed && c.Items == 0 && keep(&c) && !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

// codecs are in the order in which they are drawn.
var codecs = []string{"json", "crab", "binary"}

func codecChart(results []bench.Result) (Chart, bool) {
	cells := variants(results, func(c *bench.Cell) bool { return c.Conns == 64 && c.InFlight == 16 && c.Loops == 0 && c.Work == "" })
	var payloads []int
	var rows []row
	var g grid
	for _, c := range cells {
		if !slices.Contains(payloads, c.PayloadBytes) {
			payloads = append(payloads, c.PayloadBytes)
		}
	}
	if len(cells) < 2 {
		return Chart{}, false
	}
	slices.Sort(payloads)
	codecOf := make(map[row]string)
	for _, server := range []string{bench.Subject, echoServer} {
		for _, codec := range codecs {
			r := row{server + ", " + codec, server}
			rows, codecOf[r] = append(rows, r), codec
		}
	}
	axes := func(m Metric, label string) (wanted []axisOf) {
		for _, bytes := range payloads {
			title := "frames of 60 B"
			switch {
			case bytes >= 1024 && bytes%1024 == 0:
				title = fmt.Sprintf("payload of %d KiB", bytes/1024)
			case bytes > 0:
				title = fmt.Sprintf("payload of %d B", bytes)
			}
			wanted = append(wanted, axisOf{title: title, label: label, format: short, dots: oneDot(m), inWords: m,
				runs: func(r row) []bench.Result {
					for _, c := range cells {
						if c.Codec == codecOf[r] && c.PayloadBytes == bytes {
							return runs(results, c.Name, r.server)
						}
					}
					return nil
				}})
		}
		return wanted
	}
	var p picture
	g = grid{
		name: "codecs", title: "Codecs and payloads",
		subtitle: "Closed loop, 64 connections × 16 in flight. " + echoServer + " sends back what it gets: it decodes nothing, and is the bound.",
		reading: "kassa with each of its codecs beside a server that only sends back the same bytes. Above: requests a " +
			"second, further right is better. " +
			"Below: the server's CPU for a million requests, further left is better. Median of the rounds, lowest to highest.",
	}
	return finish(&g, &p, p.add(&g, "Throughput", rows, axes(Throughput, "thousands a second"), false) &&
		p.add(&g, "CPU", rows, axes(CPUPerMillion, "CPU s a million"), false))
}

// add makes a block of a grid, if there is something to draw.
func (p *picture) add(g *grid, title string, rows []row, wanted []axisOf, sorted bool) bool {
	b, ok := p.block(title, rows, wanted, sorted)
	if ok {
		g.blocks = append(g.blocks, b)
	}
	return ok
}

func loopsChart(results []bench.Result) (Chart, bool) {
	cells := variants(results, func(c *bench.Cell) bool { return c.Loops > 0 && c.Work == "" })
	slices.SortStableFunc(cells, func(a, b bench.Cell) int { return cmp.Compare(a.Loops, b.Loops) })
	var bases []string
	loops := make(map[row]int)
	var rows []row
	baseOf := func(c bench.Cell) string { return c.Name[:len(c.Name)-len(fmt.Sprint("/loops=", c.Loops))] }
	for _, c := range cells {
		if base := baseOf(c); !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
	}
	for _, server := range serverRows(results) {
		for _, c := range cells {
			r := row{fmt.Sprintf("%s, %d loops", server.server, c.Loops), server.server}
			if c.Loops == 1 {
				r.name = server.server + ", 1 loop"
			}
			if _, seen := loops[r]; !seen {
				rows, loops[r] = append(rows, r), c.Loops
			}
		}
	}
	g := grid{
		name: "loops", title: "Event loops",
		subtitle: "How a server does with 1, 2 and 4 event loops. The machine's number of cores bounds what more of them " +
			"can bring.",
		reading: "A row for each number of event loops. Throughput: further right is better; CPU and p99: further left " +
			"is better. Median of the rounds, " +
			"lowest to highest.",
	}
	var p picture
	for _, base := range bases {
		of := func(r row) []bench.Result { return runs(results, fmt.Sprintf("%s/loops=%d", base, loops[r]), r.server) }
		p.add(&g, base+": "+loadOf(base), rows, requestAxes(of), false)
	}
	return finish(&g, &p, len(g.blocks) > 0)
}

// requestAxes are what requests cost, in three columns.
func requestAxes(of func(row) []bench.Result) []axisOf {
	return []axisOf{
		{title: "Throughput", label: "thousands a second", format: short, runs: of, dots: oneDot(Throughput), inWords: Throughput},
		{title: "CPU", label: "CPU s a million", format: short, runs: of, dots: oneDot(CPUPerMillion), inWords: CPUPerMillion},
		{title: "p99", label: "latency (µs, ms)", format: duration, runs: of, dots: oneDot(P99), inWords: P99},
	}
}

// jobbersChart sets requests that take time beside those that are answered at once.
func jobbersChart(results []bench.Result) (Chart, bool) {
	cells := variants(results, func(c *bench.Cell) bool { return c.Work != "" })
	baseOf := func(c bench.Cell) string { return strings.Replace(c.Name, "/work="+c.Work, "", 1) }
	var bases []string
	for _, c := range cells {
		note(&bases, baseOf(c))
	}
	var rows []row
	for _, r := range serverRows(results) {
		if slices.ContainsFunc(cells, func(c bench.Cell) bool { return len(runs(results, c.Name, r.server)) > 0 }) {
			rows = append(rows, r)
		}
	}
	g := grid{
		name: "jobbers", title: "Jobbers: requests that take time",
		subtitle: fmt.Sprintf("Closed loop. Requests are of %d types; each type has a queue, and one of its requests is worked on at a time.",
			load.TypeCount),
		reading: "The same load three times: of requests that are answered at once, of those that wait for a millisecond, and of those " +
			"that take CPU time. Throughput: further right is better; CPU, that of the work included, and p99: further left is better. " +
			"Median of the rounds, lowest to highest.",
	}
	var p picture
	for _, base := range bases {
		p.add(&g, base+": "+loadOf(base)+", answered at once", rows, requestAxes(inCell(results, base)), false)
		for _, work := range []struct{ name, about string }{
			{bench.WorkSleep, fmt.Sprintf("each waits for 1 ms: %s a second at most", thousands(1000*load.TypeCount))},
			{bench.WorkCPU, "each takes the SHA-256 of 16 KiB"},
		} {
			for _, c := range cells {
				if c.Work == work.name && baseOf(c) == base {
					p.add(&g, c.Name+": "+work.about, rows, requestAxes(inCell(results, c.Name)), false)
				}
			}
		}
	}
	return finish(&g, &p, len(cells) > 0 && len(g.blocks) > 0)
}

func pairsChart(results []bench.Result) (Chart, bool) {
	g := grid{
		name: "pairs", title: "Durable pools: an item acquired and released, both on disk",
		subtitle: "Above: pairs a second, further right is better. Below: their latency, further left is better; the " +
			"figure is p99.",
		reading: "A pair is one item of a pool acquired and released; each of the two is answered after the disk has it. " +
			"Median of the rounds, lowest to highest; " +
			"latencies from the median pair to the longest. What the servers promise differs: see the notes below the cells.",
		keys: latencyKeys(),
	}
	rates := []axisOf{}
	for _, cell := range []string{"pairs64x1", "pairs64x16", "pairs1000x64"} {
		rates = append(rates, axisOf{title: cell, subtitle: loadOf(cell), label: "thousand pairs a second", format: short,
			runs: inCell(results, cell), dots: oneDot(Throughput), inWords: Throughput})
	}
	times := []axisOf{}
	for _, cell := range []string{"pairs64x1", "pairs64x16", "openpairs64"} {
		times = append(times, axisOf{title: cell, subtitle: loadOf(cell), label: "latency (µs, ms)", format: duration,
			runs: inCell(results, cell), dots: latencies, inWords: P99})
	}
	var p picture
	rows := serverRows(results)
	some := p.add(&g, "Pairs a second", rows, rates, true)
	more := p.add(&g, "Latency of a pair", rows, times, true)
	return finish(&g, &p, some || more)
}
