package report

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/kassa-go/kassa/bench"
)

// grid is a chart of blocks, one above the other. In a block each server has a row, each cell a column, and the figures
// are dots.
type grid struct {
	name, title, subtitle, reading string
	keys                           []glyphKey
	blocks                         []block
}

// block is a table of dots.
type block struct {
	title   string // "": none
	rows    []row
	columns []column
}

type row struct{ name, server string }

// column is one axis, and what stands on it in each row. Columns of the same label have the same axis, of the same length.
type column struct {
	title, subtitle string
	label           string
	format          func(float64) string
	entries         []entry // by row
}

// entry is what a row has in a column: nothing, or dots on a line, and a figure in words.
type entry struct {
	dots  []dot
	words string
}

// dot is a figure; lo and hi are those of the rounds, and are not drawn where they are 0.
type dot struct {
	glyph      draw.GlyphDrawer
	at, lo, hi float64
}

func (e *entry) values() []float64 {
	var all []float64
	for _, d := range e.dots {
		for _, v := range []float64{d.at, d.lo, d.hi} {
			if v > 0 {
				all = append(all, v)
			}
		}
	}
	return all
}

// glyphStyle is that of a server's dots.
func glyphStyle(server string, shape draw.GlyphDrawer) draw.GlyphStyle {
	if server == bench.Subject {
		return draw.GlyphStyle{Color: orange, Radius: 4.4, Shape: shape}
	}
	return draw.GlyphStyle{Color: grey, Radius: 3.6, Shape: shape}
}

// Sizes of what stands around the rows of a block.
const (
	columnTitleHeight = vg.Length(34)
	blockTitleHeight  = vg.Length(22)
	axisHeight        = vg.Length(38)
	blockGap          = vg.Length(10)
	columnGap         = vg.Length(22)
)

// titleHeight is that of the titles of its columns.
func (b *block) titleHeight() vg.Length {
	if slices.ContainsFunc(b.columns, func(c column) bool { return c.subtitle != "" }) {
		return columnTitleHeight
	}
	return columnTitleHeight - 13
}

func (b *block) height() vg.Length {
	h := b.titleHeight() + vg.Length(len(b.rows))*rowHeight + axisHeight + blockGap
	if b.title != "" {
		h += blockTitleHeight
	}
	return h
}

// chart draws the grid. notes are lines at its foot.
func (g *grid) chart(notes []string) Chart {
	height := titleHeight + vg.Length(len(notes))*16 + margin
	if len(g.keys) > 0 {
		height += keyHeight
	}
	for i := range g.blocks {
		height += g.blocks[i].height()
	}
	c := newCanvas(height, g.title, g.subtitle)
	if len(g.keys) > 0 {
		c.key(g.keys)
	}
	for i := range g.blocks {
		c.block(&g.blocks[i])
	}
	c.footnotes(notes)
	return Chart{Name: g.name, Title: g.title, Reading: g.reading, SVG: c.finish(g.title, g.reading)}
}

// block draws a block, and leaves what is below it.
func (c *canvas) block(b *block) {
	if b.title != "" {
		c.FillText(bold(12), vg.Point{X: margin, Y: c.top - blockTitleHeight/2}, b.title)
		c.top -= blockTitleHeight
	}
	names := vg.Length(0)
	for _, r := range b.rows {
		names = max(names, nameStyle(r.server, 12).Width(r.name))
	}
	names += 10
	rows := vg.Length(len(b.rows)) * rowHeight
	rowsTop := c.top - b.titleHeight()
	for i, r := range b.rows {
		y := rowsTop - (vg.Length(i)+0.5)*rowHeight
		if r.server == bench.Subject {
			c.SetColor(band)
			c.Fill(vg.Rectangle{Min: vg.Point{X: margin - 4, Y: y - rowHeight/2},
				Max: vg.Point{X: chartWidth - margin + 4, Y: y + rowHeight/2}}.Path())
		}
		c.FillText(nameStyle(r.server, 12), vg.Point{X: margin, Y: y}, r.name)
	}
	width := (chartWidth-2*margin-names+columnGap)/vg.Length(len(b.columns)) - columnGap
	for i := range b.columns {
		left := margin + names + vg.Length(i)*(width+columnGap)
		c.column(b, i, vg.Rectangle{Min: vg.Point{X: left, Y: rowsTop - rows - axisHeight},
			Max: vg.Point{X: left + width, Y: rowsTop}})
	}
	c.top -= b.height()
	if b.title != "" {
		c.top += blockTitleHeight
	}
}

// column draws a column of a block into a rectangle: its axis at the bottom, its figures in words at the right.
func (c *canvas) column(b *block, i int, in vg.Rectangle) {
	col := &b.columns[i]
	c.FillText(bold(12), vg.Point{X: in.Min.X, Y: in.Max.Y + b.titleHeight() - 9}, col.title)
	c.FillText(plain(11), vg.Point{X: in.Min.X, Y: in.Max.Y + 11}, col.subtitle)
	words := vg.Length(0)
	var values []float64
	for j := range b.columns {
		if b.columns[j].label != col.label {
			continue
		}
		for r, e := range b.columns[j].entries {
			values = append(values, e.values()...)
			if e.words != "" {
				words = max(words, nameStyle(b.rows[r].server, 11).Width(e.words)+8)
			}
		}
	}
	axis := newScale(col.label, values, col.format)
	p := plot.New()
	p.BackgroundColor = nil
	p.HideY()
	p.Y.Min, p.Y.Max, p.Y.Padding = 0, float64(len(b.rows)), 0
	plotted := draw.Crop(draw.Canvas{Canvas: c.Canvas.Canvas, Rectangle: in}, 0, -words, 0, 0)
	axis.set(&p.X, plotted.Max.X-plotted.Min.X)
	// The rows stand where the names do, and the axis below them.
	plotted.Min.Y = in.Min.Y + axisHeight - (p.DataCanvas(plotted).Min.Y - plotted.Min.Y)
	p.Add(&dots{b: b, col: col, axis: &axis})
	p.Draw(plotted)
	c.FillText(plain(11), vg.Point{X: in.Min.X, Y: in.Min.Y + 8}, axis.label)
	for r, e := range col.entries {
		if e.words != "" {
			style := nameStyle(b.rows[r].server, 11)
			style.XAlign = draw.XRight
			c.FillText(style, vg.Point{X: in.Max.X, Y: in.Max.Y - (vg.Length(r)+0.5)*rowHeight}, e.words)
		}
	}
}

// dots plots a column.
type dots struct {
	b    *block
	col  *column
	axis *scale
}

// Plot is of plot.Plotter.
func (d *dots) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	line := func(width vg.Length, of color.Color, x1, y1, x2, y2 vg.Length) {
		c.StrokeLine2(draw.LineStyle{Color: of, Width: width}, x1, y1, x2, y2)
	}
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if !t.IsMinor() {
			line(0.7, pale, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
		}
	}
	for r, e := range d.col.entries {
		middle := y(float64(len(d.b.rows)) - float64(r) - 0.5)
		line(0.7, pale, c.Min.X, middle, c.Max.X, middle)
		if len(e.dots) == 0 {
			continue
		}
		server := d.b.rows[r].server
		style := glyphStyle(server, nil)
		if ends := e.values(); len(e.dots) > 1 {
			line(1.4, style.Color, x(slices.Min(ends)), middle, x(slices.Max(ends)), middle)
		}
		for _, dot := range e.dots {
			if dot.lo > 0 && dot.hi > dot.lo {
				line(1.4, style.Color, x(dot.lo), middle, x(dot.hi), middle)
				line(1.4, style.Color, x(dot.lo), middle-4, x(dot.lo), middle+4)
				line(1.4, style.Color, x(dot.hi), middle-4, x(dot.hi), middle+4)
			}
			style.Shape = dot.glyph
			c.DrawGlyph(style, vg.Point{X: x(dot.at), Y: middle})
		}
	}
}
