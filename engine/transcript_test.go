package engine_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

const protocolFile = "../codec/PROTOCOL.md"

// fenced returns the blocks of a kind in a Markdown file, with the numbers of their first lines.
func fenced(t *testing.T, file, kind string) map[int][]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocks := make(map[int][]string)
	began := 0
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case began == 0 && line == "```"+kind:
			began = i + 2
			blocks[began] = nil
		case began != 0 && line == "```":
			began = 0
		case began != 0:
			blocks[began] = append(blocks[began], line)
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no block of kind %s", file, kind)
	}
	return blocks
}

// The transcripts in PROTOCOL.md are what happens, byte by byte.
func TestTranscripts(t *testing.T) {
	for at, block := range fenced(t, protocolFile, "transcript") {
		c := dial(t, start(t, setup{}).addr(), nil)
		for i, line := range block {
			end := "\n"
			if strings.HasSuffix(line, "🦀") {
				end = ""
			}
			switch direction, text, _ := strings.Cut(line, " "); direction {
			case "->":
				c.sendText([]byte(text + end))
			case "<-":
				if got := c.readText(text + end); got != text+end {
					t.Errorf("%s:%d: the answer is\n%s and not\n%s", protocolFile, at+i, got, text)
				}
			default:
				t.Errorf("%s:%d: neither -> nor <-: %s", protocolFile, at+i, line)
			}
		}
		c.Close()
	}
}

// So are the binary frames. Of several answers in a row, the first is what comes.
func TestBinaryTranscripts(t *testing.T) {
	for at, block := range fenced(t, protocolFile, "binary") {
		c := dial(t, start(t, setup{}).addr(), nil)
		asked, answers := false, 0
		for i, line := range block {
			direction, text, _ := strings.Cut(line, " ")
			frame, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
			if err != nil {
				t.Fatalf("%s:%d: %v", protocolFile, at+i, err)
			}
			switch {
			case direction == "->":
				c.sendText(frame)
				asked = true
			case asked:
				asked = false
				answers++
				if got := c.readText(string(frame)); got != string(frame) {
					t.Errorf("%s:%d: the answer is %x and not %x", protocolFile, at+i, got, frame)
				}
			}
		}
		c.Close()
	}
}
