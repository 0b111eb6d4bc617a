package report

import (
	"cmp"
	"image/color"
	"maps"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/kassa-go/kassa/bench"
)

// line is how one server's figure grows.
type line struct {
	server string
	marks  string
	points []point
}

type point struct {
	x          float64
	at, lo, hi float64
}

// lineLook tells the lines of servers apart: by colour, by dashes, by glyphs, and by the name at their end.
type lineLook struct {
	draw.LineStyle
	glyph draw.GlyphStyle
}

var (
	lineColors = []color.RGBA{
		{R: 0x00, G: 0x5a, B: 0x9c, A: 0xff}, {R: 0x00, G: 0x7a, B: 0x5a, A: 0xff}, {R: 0x9d, G: 0x2f, B: 0x7a, A: 0xff},
		{R: 0x5b, G: 0x4b, B: 0x8a, A: 0xff},
		{R: 0x7a, G: 0x5c, B: 0x00, A: 0xff}, {R: 0x37, G: 0x47, B: 0x4f, A: 0xff}, {R: 0x1b, G: 0x7f, B: 0x9e, A: 0xff},
	}
	lineDashes = [][]vg.Length{nil, {6, 3}, {2, 2}, {8, 3, 2, 3}, {12, 4}}
	lineGlyphs = []draw.GlyphDrawer{
		draw.RingGlyph{}, draw.BoxGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}, draw.SquareGlyph{}, draw.PyramidGlyph{},
		draw.PlusGlyph{}, draw.CircleGlyph{},
	}
)

// look is that of the nth server beside the subject.
func look(server string, n int) lineLook {
	if server == bench.Subject {
		return lineLook{draw.LineStyle{Color: orange, Width: 3},
			draw.GlyphStyle{Color: orange, Radius: 4.4, Shape: draw.CircleGlyph{}}}
	}
	c := lineColors[n%len(lineColors)]
	return lineLook{draw.LineStyle{Color: c, Width: 1.4, Dashes: lineDashes[n%len(lineDashes)]},
		draw.GlyphStyle{Color: c, Radius: 3.4, Shape: lineGlyphs[n%len(lineGlyphs)]}}
}

// growth returns a line for each server: of its figure over the connections of some cells.
func growth(results []bench.Result, p *picture, m Metric, keep func(*bench.Cell) bool) []line {
	var all []line
	for _, server := range serverRows(results) {
		l := line{server: server.server}
		byConns := make(map[int][]bench.Result)
		for _, s := range allSeries(results) {
			if c, err := bench.ParseCell(s.cell); err == nil && s.server == l.server && keep(&c) {
				byConns[c.Conns] = append(byConns[c.Conns], runs(results, s.cell, s.server)...)
			}
		}
		var used []bench.Result
		for _, conns := range slices.Sorted(maps.Keys(byConns)) {
			values := figures(byConns[conns], metrics[m].of)
			if v := median(values); v > 0 {
				l.points = append(l.points, point{float64(conns), v, slices.Min(values), slices.Max(values)})
				used = append(used, byConns[conns]...)
			}
		}
		if len(l.points) > 1 {
			l.marks = p.marks(used, m)
			all = append(all, l)
		}
	}
	return all
}

func capacityChart(results []bench.Result) (Chart, bool) {
	var p picture
	plain := func(c *bench.Cell) bool {
		return c.Items == 0 && c.Codec == "json" && c.PayloadBytes == 0 && c.Work == "" && c.Loops == 0
	}
	steady := func(c *bench.Cell) bool { return c.Shape == bench.Open && c.RatePerSecond == 10_000 && plain(c) }
	panels := []panel{
		{title: "Memory", label: "RSS, MB", format: short, lines: growth(results, &p, Memory, steady)},
		{title: "Latency", label: "p99 latency (µs, ms)", format: duration, lines: growth(results, &p, P99, steady)},
	}
	panels = slices.DeleteFunc(panels, func(p panel) bool { return len(p.lines) == 0 })
	if len(panels) == 0 {
		return Chart{}, false
	}
	c := Chart{
		Name: "capacity", Title: "Capacity: what more connections cost",
		Reading: "A line for each server, over the number of its connections, which share 10,000 requests a second: resident " +
			"memory, and p99. Both axes are logarithmic; points are medians, with the lowest and highest of the rounds. Lower and " +
			"flatter is better.",
	}
	names := 0
	for _, p := range panels {
		names = max(names, len(p.lines))
	}
	plotHeight := max(300, vg.Length(names)*lineLabelHeight+70)
	notes := p.notes()
	drawn := newCanvas(titleHeight+24+plotHeight+vg.Length(len(notes))*16+margin, c.Title,
		"10,000 requests a second over all connections. Medians of the rounds, lowest to highest. Lower is better.")
	width := (chartWidth - 2*margin) / vg.Length(len(panels))
	for i := range panels {
		left := margin + vg.Length(i)*width
		drawn.FillText(bold(12), vg.Point{X: left, Y: drawn.top - 8}, panels[i].title)
		drawn.panel(&panels[i], vg.Rectangle{Min: vg.Point{X: left, Y: drawn.top - 24 - plotHeight},
			Max: vg.Point{X: left + width - 8, Y: drawn.top - 24}})
	}
	drawn.top -= 24 + plotHeight
	drawn.footnotes(notes)
	c.SVG = drawn.finish(c.Title, c.Reading)
	return c, true
}

// panel is a plot of lines over connections.
type panel struct {
	title, label string
	format       func(float64) string
	lines        []line
	x, y         scale
	looks        map[string]lineLook
}

const lineLabelHeight = vg.Length(14)

// panel draws a plot into a rectangle, with the names of its lines at the right.
func (c *canvas) panel(of *panel, in vg.Rectangle) {
	var xs, ys []float64
	names := vg.Length(0)
	of.looks = make(map[string]lineLook)
	for i, l := range of.lines {
		of.looks[l.server] = look(l.server, i)
		names = max(names, wide(nameStyle(l.server, 11), l.server+l.marks))
		for _, p := range l.points {
			xs, ys = append(xs, p.x), append(ys, p.at, p.lo, p.hi)
		}
	}
	of.x, of.y = newScale("connections", xs, short), newScale(of.label, ys, of.format)
	p := plot.New()
	p.BackgroundColor = nil
	c.FillText(plain(11), vg.Point{X: in.Min.X, Y: in.Max.Y - 8}, of.y.label)
	plotted := draw.Crop(draw.Canvas{Canvas: c.Canvas.Canvas, Rectangle: in}, 0, -names-leaderWidth, 20, -24)
	of.x.set(&p.X, plotted.Max.X-plotted.Min.X-70, false)
	of.y.set(&p.Y, plotted.Max.Y-plotted.Min.Y-40, true)
	p.Add(of)
	p.Draw(plotted)
	label := plain(11)
	label.XAlign = draw.XRight
	c.FillText(label, vg.Point{X: plotted.Max.X, Y: in.Min.Y + 8}, of.x.label)
}

// leaderWidth is between a line's last point and its name.
const leaderWidth = vg.Length(30)

// Plot is of plot.Plotter.
func (of *panel) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, t := range p.X.Tick.Marker.Ticks(0, 0) {
		if !t.IsMinor() {
			c.StrokeLine2(draw.LineStyle{Color: pale, Width: 0.7}, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
		}
	}
	for _, t := range p.Y.Tick.Marker.Ticks(0, 0) {
		if !t.IsMinor() {
			c.StrokeLine2(draw.LineStyle{Color: pale, Width: 0.7}, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
		}
	}
	// The subject is drawn last, above the others.
	lines := slices.Clone(of.lines)
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(rank(a.server), rank(b.server)) })
	for _, l := range lines {
		look := of.looks[l.server]
		var at []vg.Point
		for _, p := range l.points {
			at = append(at, vg.Point{X: x(p.x), Y: y(p.at)})
			c.StrokeLine2(draw.LineStyle{Color: look.Color, Width: 1}, x(p.x), y(p.lo), x(p.x), y(p.hi))
		}
		c.StrokeLines(look.LineStyle, at)
		for _, a := range at {
			c.DrawGlyph(look.glyph, a)
		}
	}
	// Names stand at the height of their line's end, moved apart where they would touch.
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(last(b).at, last(a).at) })
	heights := make([]vg.Length, len(lines))
	for i, l := range lines {
		heights[i] = y(last(l).at)
	}
	spaceOut(heights, lineLabelHeight, c.Min.Y, c.Max.Y)
	for i, l := range lines {
		look := of.looks[l.server]
		end := vg.Point{X: x(last(l).x), Y: y(last(l).at)}
		c.StrokeLines(draw.LineStyle{Color: look.Color, Width: 0.7},
			[]vg.Point{{X: end.X + 5, Y: end.Y}, {X: c.Max.X + leaderWidth - 10, Y: heights[i]},
				{X: c.Max.X + leaderWidth - 4, Y: heights[i]}})
		style := nameStyle(l.server, 11)
		if l.server != bench.Subject {
			style.Color = look.Color
		}
		c.FillText(style, vg.Point{X: c.Max.X + leaderWidth, Y: heights[i]}, l.server+l.marks)
	}
}

func last(l line) point { return l.points[len(l.points)-1] }

// rank puts the subject last.
func rank(server string) int {
	if server == bench.Subject {
		return 1
	}
	return 0
}

// spaceOut moves heights, which fall, as little as makes them at least so far apart, and keeps them between two bounds if
// they fit there.
func spaceOut(heights []vg.Length, apart, low, high vg.Length) {
	// Those that touch form a group, which is centred on where its members want to be; groups that touch then are joined.
	type group struct {
		sum vg.Length // of where its members want its middle
		n   int
	}
	var groups []group
	middle := func(g group) vg.Length {
		half := vg.Length(g.n-1) / 2 * apart
		return max(min(g.sum/vg.Length(g.n), high-half), low+half)
	}
	for _, h := range heights {
		groups = append(groups, group{h, 1})
		for len(groups) > 1 {
			a, b := groups[len(groups)-2], groups[len(groups)-1]
			if middle(a)-middle(b) >= vg.Length(a.n+b.n)/2*apart {
				break
			}
			groups = append(groups[:len(groups)-2], group{a.sum + b.sum, a.n + b.n})
		}
	}
	i := 0
	for _, g := range groups {
		top := middle(g) + vg.Length(g.n-1)/2*apart
		for j := range g.n {
			heights[i] = top - vg.Length(j)*apart
			i++
		}
	}
}
