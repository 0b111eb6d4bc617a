package report

import (
	"image/color"
	"maps"
	"slices"

	"gonum.org/v1/plot/text"
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

func (l *line) last() point { return l.points[len(l.points)-1] }

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
	steady := func(c *bench.Cell) bool {
		return c.Shape == bench.Open && c.RatePerSecond == 10_000 && c.Items == 0 && c.Codec == "json" && c.PayloadBytes == 0 &&
			c.Work == "" && c.Loops == 0
	}
	figures := []multiples{
		{title: "Memory", label: "RSS, MB", format: short, lines: growth(results, &p, Memory, steady)},
		{title: "Latency", label: "p99 latency (µs, ms, s)", format: duration, lines: growth(results, &p, P99, steady)},
	}
	figures = slices.DeleteFunc(figures, func(m multiples) bool { return len(m.lines) == 0 })
	if len(figures) == 0 {
		return Chart{}, false
	}
	c := Chart{
		Name: "capacity", Title: "Capacity: what more connections cost",
		Reading: "A panel for each server: resident memory, and p99, over the number of connections, which share 10,000 requests " +
			"a second. All panels of a figure have the same axes, both logarithmic; points are medians, with the lowest and highest " +
			"of the rounds. Behind them are kassa's line, dashed, and in grey those of all others. Lower and flatter is better.",
	}
	notes := p.notes()
	height := titleHeight + keyHeight + vg.Length(len(notes))*16 + margin
	for i := range figures {
		height += figures[i].height()
	}
	drawn := newCanvas(height, c.Title,
		"10,000 requests a second over all connections. Lower is better; the figure is that of the most connections.")
	drawn.key([]glyphKey{
		{draw.GlyphStyle{Color: grey, Radius: 3, Shape: draw.CircleGlyph{}}, "the panel's server, lowest to highest of the rounds"},
		{draw.GlyphStyle{Shape: dash{subjectLine}}, bench.Subject},
		{draw.GlyphStyle{Shape: dash{otherLine}}, "all others"},
	})
	for i := range figures {
		drawn.multiples(&figures[i])
	}
	drawn.footnotes(notes)
	c.SVG = drawn.finish(c.Title, c.Reading)
	return c, true
}

// Lines that stand behind a panel's own.
var (
	subjectLine = draw.LineStyle{Color: orange, Width: 1.2, Dashes: []vg.Length{5, 3}}
	otherLine   = draw.LineStyle{Color: color.RGBA{R: 0xc9, G: 0xce, B: 0xd6, A: 0xff}, Width: 0.9}
)

// dash is the glyph of a line.
type dash struct{ draw.LineStyle }

// DrawGlyph is of draw.GlyphDrawer.
func (d dash) DrawGlyph(c *draw.Canvas, _ draw.GlyphStyle, at vg.Point) {
	c.StrokeLine2(d.LineStyle, at.X-6, at.Y, at.X+6, at.Y)
}

// multiples are panels of the same axes, one for each line, which has the others behind it: so many lines in one panel could
// not be told apart.
type multiples struct {
	title, label string
	format       func(float64) string
	lines        []line
}

// Sizes of panels.
const (
	panelsInRow      = 4
	panelHeight      = vg.Length(100)
	panelTitleHeight = vg.Length(28)
	panelGap         = vg.Length(18)
)

func (m *multiples) height() vg.Length {
	rows := (len(m.lines) + panelsInRow - 1) / panelsInRow
	return blockTitleHeight + vg.Length(rows)*(panelTitleHeight+panelHeight) + axisHeight + blockGap
}

// multiples draws panels in rows, that of the subject first, and leaves what is below them.
func (c *canvas) multiples(m *multiples) {
	var xs, ys []float64
	for _, l := range m.lines {
		for _, p := range l.points {
			xs, ys = append(xs, p.x), append(ys, p.at, p.lo, p.hi)
		}
	}
	label := plain(11)
	x, y := newScale("connections", xs, short), newScale(m.label, ys, m.format)
	yTicks := y.labelled(panelHeight, label, true)
	names := vg.Length(0)
	for _, t := range yTicks {
		names = max(names, label.Width(m.format(t)))
	}
	names += 6
	width := (chartWidth-2*margin-names+panelGap)/panelsInRow - panelGap
	xTicks := x.labelled(width, label, false)

	c.FillText(bold(12), vg.Point{X: margin, Y: c.top - blockTitleHeight/2}, m.title)
	c.FillText(label, vg.Point{X: margin + bold(12).Width(m.title) + 10, Y: c.top - blockTitleHeight/2}, y.label)
	ordered := slices.Clone(m.lines)
	slices.SortStableFunc(ordered, func(a, b line) int { return rank(a.server) - rank(b.server) })
	for i := range ordered {
		left := margin + names + vg.Length(i%panelsInRow)*(width+panelGap)
		top := c.top - blockTitleHeight - vg.Length(i/panelsInRow)*(panelTitleHeight+panelHeight)
		p := panel{m: m, own: &ordered[i], x: &x, y: &y, in: vg.Rectangle{
			Min: vg.Point{X: left, Y: top - panelTitleHeight - panelHeight}, Max: vg.Point{X: left + width, Y: top - panelTitleHeight}}}
		p.draw(c, xTicks, yTicks)
		if i%panelsInRow == 0 {
			label.XAlign = text.XRight
			for _, t := range yTicks {
				c.FillText(label, vg.Point{X: left - 6, Y: p.at(x.lo, t).Y}, m.format(t))
			}
		}
		if i+panelsInRow >= len(ordered) { // there is none below
			label.XAlign = text.XCenter
			for _, t := range xTicks {
				c.FillText(label, vg.Point{X: p.at(t, y.lo).X, Y: p.in.Min.Y - 10}, short(t))
			}
		}
	}
	c.top -= m.height()
	c.FillText(plain(11), vg.Point{X: margin + names, Y: c.top + blockGap + 8}, x.label)
}

// panel is one of multiples.
type panel struct {
	m    *multiples
	own  *line
	x, y *scale
	in   vg.Rectangle // of the plot; its title is above
}

// at is where a point lies.
func (p *panel) at(x, y float64) vg.Point {
	return vg.Point{X: p.in.Min.X + vg.Length(p.x.normal(x))*p.in.Size().X, Y: p.in.Min.Y + vg.Length(p.y.normal(y))*p.in.Size().Y}
}

// draw draws all of a panel but the labels of its axes.
func (p *panel) draw(c *canvas, xTicks, yTicks []float64) {
	name, figure := nameStyle(p.own.server, 12), nameStyle(p.own.server, 11)
	figure.XAlign = text.XRight
	c.FillText(name, vg.Point{X: p.in.Min.X, Y: p.in.Max.Y + 10}, p.own.server)
	c.FillText(figure, vg.Point{X: p.in.Max.X, Y: p.in.Max.Y + 10}, p.m.format(p.own.last().at)+p.own.marks)

	across := func(of draw.LineStyle, from, to vg.Point) { c.StrokeLine2(of, from.X, from.Y, to.X, to.Y) }
	gridLine := draw.LineStyle{Color: pale, Width: 0.7}
	for _, t := range xTicks {
		across(gridLine, p.at(t, p.y.lo), p.at(t, p.y.hi))
	}
	for _, t := range yTicks {
		across(gridLine, p.at(p.x.lo, t), p.at(p.x.hi, t))
	}
	axis := draw.LineStyle{Color: grey, Width: 0.7}
	across(axis, p.in.Min, vg.Point{X: p.in.Max.X, Y: p.in.Min.Y})
	across(axis, p.in.Min, vg.Point{X: p.in.Min.X, Y: p.in.Max.Y})

	var subject *line
	for i := range p.m.lines {
		switch l := &p.m.lines[i]; l.server {
		case p.own.server:
		case bench.Subject:
			subject = l
		default:
			c.StrokeLines(otherLine, p.path(l))
		}
	}
	if subject != nil { // above the others
		c.StrokeLines(subjectLine, p.path(subject))
	}
	glyph := glyphStyle(p.own.server, draw.CircleGlyph{})
	glyph.Radius = 3
	own := draw.LineStyle{Color: glyph.Color, Width: 1.8}
	spread := draw.LineStyle{Color: glyph.Color, Width: 1}
	c.StrokeLines(own, p.path(p.own))
	for _, v := range p.own.points {
		lo, hi := p.at(v.x, v.lo), p.at(v.x, v.hi)
		across(spread, lo, hi)
		for _, end := range []vg.Point{lo, hi} {
			c.StrokeLine2(spread, end.X-3, end.Y, end.X+3, end.Y)
		}
		c.DrawGlyph(glyph, p.at(v.x, v.at))
	}
}

func (p *panel) path(l *line) []vg.Point {
	var path []vg.Point
	for _, v := range l.points {
		path = append(path, p.at(v.x, v.at))
	}
	return path
}

// rank puts the subject first.
func rank(server string) int {
	if server == bench.Subject {
		return 0
	}
	return 1
}
