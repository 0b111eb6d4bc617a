package dispatch_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Imports go one way: what may import what of kassa, tests aside.
func TestImportsGoOneWay(t *testing.T) {
	const module = "github.com/kassa-go/kassa/"
	allowed := map[string]string{
		"codec":         "",
		"dispatch/ring": "",
		"dispatch":      "codec dispatch/ring",
		"engine":        "codec",
		"client":        "codec",
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		may, restricted := allowed[pkg]
		if !restricted {
			continue
		}
		seen++
		for _, imported := range fields[1:] {
			own, isOwn := strings.CutPrefix(imported, module)
			if isOwn && !strings.Contains(" "+may+" ", " "+own+" ") {
				t.Errorf("%s imports %s", pkg, own)
			}
		}
	}
	if seen < 5 {
		t.Fatalf("only %d packages seen:\n%s", seen, out)
	}
}
