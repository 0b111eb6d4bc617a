package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const widthDefault = 80 // of a terminal that does not tell

// width returns how many columns the terminal has.
func (t terminal) width() int {
	if file, ok := t.stdout.(*os.File); ok {
		if columns := columnsOf(file); columns > 0 {
			return columns
		}
	}
	return widthDefault
}

// coloured reports whether colours are wanted: on a terminal, unless NO_COLOR is set to anything.
func (o *options) coloured(t terminal) bool {
	for _, variable := range o.environment {
		if name, value, _ := strings.Cut(variable, "="); name == "NO_COLOR" && value != "" || name == "TERM" && value == "dumb" {
			return false
		}
	}
	return t.interactive()
}

// sign is how something of one kind is drawn.
type sign struct {
	char   rune
	colour string // the parameter of an ANSI sequence; empty: the terminal's own
	means  string
}

// canvas is what is drawn, line by line.
type canvas struct {
	text     strings.Builder
	coloured bool
	colour   string // of what comes next
	blanks   int    // not written yet: none end a line
}

// put draws text in a colour.
func (c *canvas) put(colour, text string) {
	word := strings.Trim(text, " ")
	if word == "" {
		c.blanks += len(text)
		return
	}
	before := strings.Index(text, word)
	changes := c.coloured && colour != c.colour
	if changes && c.colour != "" {
		c.text.WriteString("\x1b[0m")
	}
	c.text.WriteString(strings.Repeat(" ", c.blanks+before))
	if changes && colour != "" {
		c.text.WriteString("\x1b[" + colour + "m")
	}
	c.text.WriteString(word)
	c.colour, c.blanks = colour, len(text)-before-len(word)
}

func (c *canvas) printf(format string, args ...any) { c.put("", fmt.Sprintf(format, args...)) }

// sign draws a sign so many times.
func (c *canvas) sign(s sign, n int) { c.put(s.colour, strings.Repeat(string(s.char), n)) }

// end ends a line.
func (c *canvas) end() {
	if c.coloured && c.colour != "" {
		c.text.WriteString("\x1b[0m")
	}
	c.colour, c.blanks = "", 0
	c.text.WriteByte('\n')
}

func (c *canvas) writeTo(w io.Writer) error {
	_, err := io.WriteString(w, c.text.String())
	return err
}

// flow draws words, a line full of them after the other.
func (c *canvas) flow(width int, words iterWords) {
	at := 0
	for word, colour := range words {
		n := utf8.RuneCountInString(word)
		switch {
		case at == 0:
			at = n
		case at+2+n > width:
			c.end()
			at = n
		default:
			c.put("", "  ")
			at += 2 + n
		}
		c.put(colour, word)
	}
	if at > 0 {
		c.end()
	}
}

// iterWords are words, and the colour of each.
type iterWords func(yield func(word, colour string) bool)

// legend draws what the signs mean, with how often they are there, if that is given.
func (c *canvas) legend(width int, signs []sign, counts []int64) {
	c.flow(width, func(yield func(word, colour string) bool) {
		for i, s := range signs {
			word := string(s.char) + " " + s.means
			switch {
			case counts != nil:
				word = fmt.Sprintf("%c %d %s", s.char, counts[i], s.means)
			case s.char == ' ':
				word = "blank: " + s.means
			}
			if !yield(word, s.colour) {
				return
			}
		}
	})
}

// printable returns text that a terminal shows as it is: what clients have named things must not move its cursor.
func printable(text string) string {
	if !slices.ContainsFunc([]rune(text), unprintable) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return '?'
		}
		return r
	}, text)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// fit returns text in exactly so many columns.
func fit(text string, columns int) string {
	n := utf8.RuneCountInString(text)
	if n > columns {
		return string([]rune(text)[:columns])
	}
	return text + strings.Repeat(" ", columns-n)
}
