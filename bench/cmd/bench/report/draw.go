package report

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"math"
	"slices"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/kassa-go/kassa/bench"
)

// Charts are drawn in pixels: a length of 1 is one, and README files show 800 of them.
const (
	chartWidth = vg.Length(800)
	margin     = vg.Length(14)
	rowHeight  = vg.Length(18)
)

var (
	black  = color.RGBA{R: 0x1f, G: 0x29, B: 0x33, A: 0xff}
	grey   = color.RGBA{R: 0x4b, G: 0x55, B: 0x63, A: 0xff}
	pale   = color.RGBA{R: 0xe5, G: 0xe7, B: 0xeb, A: 0xff}
	band   = color.RGBA{R: 0xfd, G: 0xee, B: 0xe2, A: 0xff} // behind the rows of the subject
	orange = color.RGBA{R: 0xc2, G: 0x41, B: 0x0c, A: 0xff} // the subject
)

// plain and bold are styles of text, whose place is at its left end, in the middle of its height.
func plain(size vg.Length) text.Style { return textStyle(size, xfont.WeightNormal, grey) }
func bold(size vg.Length) text.Style  { return textStyle(size, xfont.WeightBold, black) }

func textStyle(size vg.Length, weight xfont.Weight, c color.Color) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Weight: weight, Size: size}
	return text.Style{Color: c, Font: f, XAlign: text.XLeft, YAlign: text.YCenter, Handler: plot.DefaultTextHandler}
}

// nameStyle is that of a server's name, or of a figure beside it.
func nameStyle(server string, size vg.Length) text.Style {
	if server == bench.Subject {
		s := bold(size)
		s.Color = orange
		return s
	}
	s := plain(size)
	s.Color = black
	return s
}

// canvas is one chart while it is drawn, from top to bottom.
type canvas struct {
	draw.Canvas
	svg *measuredSVG
	top vg.Length // what is below it is free
}

// measuredSVG notes how wide each text is, as its font was measured, so that it can be made to be: whoever looks at it may have
// another font.
type measuredSVG struct {
	*vgsvg.Canvas
	widths []vg.Length
}

// FillString is of vg.Canvas.
func (m *measuredSVG) FillString(f font.Face, at vg.Point, s string) {
	if s != "" {
		m.widths = append(m.widths, f.Width(s))
		m.Canvas.FillString(f, at, s)
	}
}

// newCanvas begins a chart with its title and a line below it.
func newCanvas(height vg.Length, title, subtitle string) *canvas {
	svg := &measuredSVG{Canvas: vgsvg.New(chartWidth, height)}
	c := &canvas{Canvas: draw.New(svg), svg: svg}
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	c.top = c.Max.Y - margin - 6
	c.FillText(bold(15), vg.Point{X: margin, Y: c.top}, title)
	c.top -= 19
	c.FillText(plain(12), vg.Point{X: margin, Y: c.top}, subtitle)
	c.top -= 14
	return c
}

// titleHeight is how much newCanvas takes.
const titleHeight = margin + 6 + 19 + 14

// finish returns the SVG: of fixed ratio, but of any size, with a name for those who can not see it.
func (c *canvas) finish(title, reading string) []byte {
	var b bytes.Buffer
	_, _ = c.svg.WriteTo(&b) // a buffer takes all
	s := b.String()
	head, body := strings.Index(s, "<svg"), strings.Index(s, ">\n<g")
	w, h := c.svg.Size()
	head2 := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">`+
		"\n<title>%s</title>\n<desc>%s</desc>", w, h, w, h, html.EscapeString(title), html.EscapeString(reading))
	if head < 0 || body < 0 {
		panic("report: an SVG without its beginning")
	}
	// Arial and its like look as the font that was measured.
	s = strings.ReplaceAll(s[body+1:], "font-family:Liberation Sans;",
		"font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")
	const tag = "<text "
	whole := strings.Builder{}
	whole.WriteString(head2)
	for i, part := range strings.Split(s, tag) {
		if i > 0 {
			fmt.Fprintf(&whole, tag+`textLength="%.2f" lengthAdjust="spacingAndGlyphs" `, c.svg.widths[i-1])
		}
		whole.WriteString(part)
	}
	return []byte(whole.String())
}

// key draws a legend line: a glyph, and what it means.
func (c *canvas) key(keys []glyphKey) {
	x := margin + 4
	c.top -= 4
	for _, k := range keys {
		c.DrawGlyph(k.style, vg.Point{X: x, Y: c.top})
		c.FillText(plain(12), vg.Point{X: x + 9, Y: c.top}, k.text)
		x += 9 + plain(12).Width(k.text) + 16
	}
	c.top += 4 - keyHeight
}

const keyHeight = vg.Length(20)

type glyphKey struct {
	style draw.GlyphStyle
	text  string
}

// footnotes draws lines that explain marks.
func (c *canvas) footnotes(notes []string) {
	for _, note := range notes {
		c.top -= 8
		c.FillText(plain(11), vg.Point{X: margin, Y: c.top}, note)
		c.top -= 8
	}
}

// scale is an axis of numbers.
type scale struct {
	label  string // with its unit
	log    bool
	lo, hi float64
	format func(float64) string
}

// newScale makes an axis that holds values: of logarithms when they differ by much, else from 0.
func newScale(label string, values []float64, format func(float64) string) scale {
	s := scale{label: label, format: format, lo: math.Inf(1)}
	for _, v := range values {
		s.lo, s.hi = min(s.lo, v), max(s.hi, v)
	}
	if s.log = s.hi > 8*s.lo; s.log {
		s.label += ", log scale"
		s.lo, s.hi = s.lo/1.35, s.hi*1.35
	} else {
		s.lo, s.hi = 0, s.hi*1.08
	}
	return s
}

// labelled returns marks whose labels do not touch each other on an axis of that length.
func (s *scale) labelled(length vg.Length, style text.Style, upright bool) []float64 {
	space := func(v float64) vg.Length {
		if upright {
			return style.Height("0") * 1.6
		}
		return style.Width(s.format(v)) + 12
	}
	fits := func(at []float64) bool {
		end := math.Inf(-1)
		for _, v := range at {
			middle, half := float64(length)*s.normal(v), float64(space(v))/2
			if middle-half < end {
				return false
			}
			end = middle + half
		}
		return len(at) > 0
	}
	choices := s.linear()
	if s.log {
		choices = [][]float64{decades(s.lo, s.hi, 1, 1.5, 2, 3, 4, 6, 8), decades(s.lo, s.hi, 1, 2, 5),
			decades(s.lo, s.hi, 1, 3), decades(s.lo, s.hi, 1)}
		for every := 2.0; every < 8; every++ {
			var some []float64
			for _, v := range decades(s.lo, s.hi, 1) {
				if math.Mod(math.Round(math.Log10(v)), every) == 0 {
					some = append(some, v)
				}
			}
			choices = append(choices, some)
		}
	}
	if i := slices.IndexFunc(choices, fits); i >= 0 {
		return choices[i]
	}
	return nil
}

// ticks returns the marks of an axis of that length. Those without a label are minor.
func (s *scale) ticks(length vg.Length, style text.Style) []plot.Tick {
	var ticks []plot.Tick
	for _, v := range s.labelled(length, style, false) {
		ticks = append(ticks, plot.Tick{Value: v, Label: s.format(v)})
	}
	if !s.log {
		return ticks
	}
	for _, v := range decades(s.lo, s.hi, 1, 2, 3, 4, 5, 6, 7, 8, 9) {
		if !slices.ContainsFunc(ticks, func(t plot.Tick) bool { return math.Abs(t.Value-v) < v/1e6 }) {
			ticks = append(ticks, plot.Tick{Value: v})
		}
	}
	return ticks
}

// linear returns sets of round numbers on the axis, the densest first.
func (s *scale) linear() (sets [][]float64) {
	unit := math.Pow(10, math.Floor(math.Log10(s.hi))-1)
	for _, step := range []float64{5, 10, 20, 50, 100} {
		var set []float64
		for i := 0.0; i*step*unit <= s.hi; i++ {
			set = append(set, i*step*unit)
		}
		if len(set) < 12 {
			sets = append(sets, set)
		}
	}
	return sets
}

// decades returns the multiples of powers of ten from lo to hi.
func decades(lo, hi float64, multiples ...float64) []float64 {
	var all []float64
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		for _, m := range multiples {
			if v := m * math.Pow(10, e); v >= lo && v <= hi {
				all = append(all, v)
			}
		}
	}
	return all
}

func (s *scale) normal(v float64) float64 { return s.normalizer().Normalize(s.lo, s.hi, v) }

func (s *scale) normalizer() plot.Normalizer {
	if s.log {
		return plot.LogScale{}
	}
	return plot.LinearScale{}
}

// set makes an axis of gonum's as the scale says, but for its label, for which gonum leaves room as if all axes were linear.
func (s *scale) set(axis *plot.Axis, length vg.Length) {
	axis.Min, axis.Max, axis.Scale = s.lo, s.hi, s.normalizer()
	axis.Tick.Label.Font, axis.Tick.Label.Color = plain(11).Font, grey
	axis.Tick.Length, axis.Tick.LineStyle.Color, axis.LineStyle.Color = 5, grey, grey
	axis.Padding = 0
	axis.Tick.Marker = plot.ConstantTicks(s.ticks(length, axis.Tick.Label))
}

// duration writes so many microseconds.
func duration(us float64) string {
	switch {
	case us >= 1e6:
		return fmt.Sprintf("%.3g s", us/1e6)
	case us >= 1e3:
		return fmt.Sprintf("%.3g ms", us/1e3)
	}
	return fmt.Sprintf("%.3g µs", us)
}

// short writes a number with as few digits as show it.
func short(v float64) string {
	if v >= 1000 {
		return thousands(v)
	}
	return fmt.Sprintf("%.3g", v)
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
