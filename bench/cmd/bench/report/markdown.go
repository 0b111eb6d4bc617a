package report

import (
	"fmt"
	"io"
	"strings"
)

// writeMarkdown draws the document, with links to its charts.
func writeMarkdown(out io.Writer, d *document, charts []Chart) error {
	var b strings.Builder
	b.WriteString("# Results\n\n")
	for _, machine := range d.Machines {
		fmt.Fprintf(&b, "- %s\n", machine)
	}
	fmt.Fprintf(&b, "- Servers: %s\n- %s\n- A run: %s\n- To measure the same: `%s`\n", strings.Join(d.Servers, ", "), d.Measured,
		d.Run, d.Command)
	for _, skipped := range d.Skipped {
		fmt.Fprintf(&b, "- Not measured: %s\n", skipped)
	}
	if d.Drawn != "" {
		fmt.Fprintf(&b, "- To draw this: `%s`\n", d.Drawn)
	}
	markdownTable(&b, &d.Errors)
	markdownTable(&b, &d.Targets)
	if len(charts) > 0 {
		b.WriteString("\n## Charts\n")
	}
	for _, c := range charts {
		fmt.Fprintf(&b, "\n![%s](%s.svg)\n\n%s\n", c.Title, c.Name, c.Reading)
	}
	markdownTable(&b, &d.Cells)
	for _, note := range d.Notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	if len(d.Troubles) > 0 {
		b.WriteString("\n## Failed runs\n\n")
	}
	for _, t := range d.Troubles {
		fmt.Fprintf(&b, "- %s\n", t.Run)
		for _, fault := range t.Faults {
			fmt.Fprintf(&b, "  - %s\n", fault)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func markdownTable(b *strings.Builder, t *table) {
	if len(t.Rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", t.Title, t.Note)
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(t.Header, " | "), strings.Repeat("---|", len(t.Header)))
	for _, row := range t.Rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
}
