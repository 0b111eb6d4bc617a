package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kassa-go/kassa/bench"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"join": func(all []string) string { return strings.Join(all, ", ") },
	"svg":  func(c Chart) template.HTML { return template.HTML(c.SVG) }, // whose texts are escaped
	"own":  func(row []string) bool { return len(row) > 1 && row[1] == bench.Subject },
	"miss": func(cell string) bool { return strings.HasPrefix(cell, miss) },
	"rest": func(cell string) string { return strings.TrimPrefix(cell, miss) },
	"cell": func(cell string) template.HTML {
		s := template.HTMLEscapeString(together.ReplaceAllStringFunc(cell, unbroken))
		return template.HTML(strings.NewReplacer("/", "/<wbr>", "@", "<wbr>@").Replace(s)) // names of cells get long
	},
}).Parse(pageText))

// together are the parts of cells that lines are not to be broken in: a range in brackets, a bound, a number and its unit.
var together = regexp.MustCompile(`\([\d.]+ to [\d.]+\)|[≤≥±] [\d.]+( (µs|B|s|%))?`)

func unbroken(s string) string { return strings.ReplaceAll(s, " ", "\u00a0") }

// WritePage draws a page in HTML, which needs nothing beside itself; drawn as of Write.
func WritePage(out io.Writer, results []bench.Result, drawn string) error {
	return writePage(out, newDocument(results, drawn), Charts(results))
}

func writePage(out io.Writer, d *document, charts []Chart) error {
	return page.Execute(out, struct {
		Document *document
		Charts   []Chart
	}{d, charts})
}

// WriteDir makes a directory, if it is not there, and draws into it: report.md, report.html, and the charts as they are
// called. It returns the names of the files. drawn is as of Write.
func WriteDir(dir string, results []bench.Result, drawn string) (names []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	d, charts := newDocument(results, drawn), Charts(results)
	var markdown, html strings.Builder
	if err := writeMarkdown(&markdown, d, charts); err != nil {
		return nil, err
	}
	if err := writePage(&html, d, charts); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	write := func(name, text string) {
		if err == nil {
			names = append(names, filepath.Join(dir, name))
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
		}
	}
	write("report.md", markdown.String())
	write("report.html", html.String())
	for _, c := range charts {
		write(c.Name+".svg", string(c.SVG))
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return names, nil
}
