package codec_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/kassa-go/kassa/codec"
)

func protocol(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestProtocolListsTheCodes(t *testing.T) {
	var want []string
	for _, c := range codec.Codes() {
		want = append(want, fmt.Sprintf("| %d | `%s` |", c, c))
	}
	got := regexp.MustCompile("(?m)^\\| \\d+ \\| `[a-z_]+` \\|").FindAllString(protocol(t), -1)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the table has\n%s\nthe package\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The page's examples are frames, in the codec that the client's first bytes decide.
func TestProtocolExamples(t *testing.T) {
	blocks := regexp.MustCompile("(?ms)^```(transcript|binary)\n(.*?)^```").FindAllStringSubmatch(protocol(t), -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks found", len(blocks))
	}
	for _, block := range blocks {
		sent := map[string]string{}
		lines := map[string]int{}
		for line := range strings.Lines(block[2]) {
			from, frame := line[:3], strings.TrimSuffix(line[3:], "\n")
			switch {
			case block[1] == "binary":
				frame = string(unhex(t, frame))
			case !strings.HasSuffix(frame, "🦀"):
				frame += "\n"
			}
			sent[from] += frame
			lines[from]++
		}
		client := receiveAll(codec.Auto{}, sent["-> "])
		if client.err == nil && len(client.frames) != lines["-> "] {
			t.Errorf("what the client sends is %d frames:\n%s", len(client.frames), block[2])
		}
		server := receiveAll(client.codec, sent["<- "])
		if server.err != nil || len(server.frames) != lines["<- "] || len(server.unread) != 0 {
			t.Errorf("what the server sends is %d frames, error %v:\n%s", len(server.frames), server.err, block[2])
		}
		for _, frame := range server.frames {
			if err := server.codec.DecodeReply([]byte(frame), new(codec.Frame)); err != nil {
				t.Errorf("%s: %v", frame, err)
			}
		}
	}
}
