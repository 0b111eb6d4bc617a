package codec

import (
	"strings"
	"testing"
)

// isPlain agrees with looking at each byte, wherever in a word it stands.
func TestIsPlain(t *testing.T) {
	for c := range 256 {
		want := c >= ' ' && c < 0x80 && c != '\\'
		for n := 1; n <= 20; n++ {
			for at := range n {
				for _, around := range []string{"a", " ", "~", "]", "["} { // the neighbours of what is looked for
					text := []byte(strings.Repeat(around, n))
					text[at] = byte(c)
					if got := isPlain(text); got != want {
						t.Fatalf("isPlain(%q): %v", text, got)
					}
				}
			}
		}
	}
}
