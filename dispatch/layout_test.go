package dispatch_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Imports go one way: what may import what of kassa, tests aside. "std" stands for: nothing but that and the standard
// library.
func TestImportsGoOneWay(t *testing.T) {
	const module = "github.com/kassa-go/kassa/"
	allowed := map[string]string{
		"codec":         "",
		"dispatch/ring": "",
		"dispatch":      "codec dispatch/ring",
		"engine":        "codec",
		"client":        "codec pool/wire",
		"pool":          "std pool/internal/seats pool/internal/timeline pool/internal/treap",
		"pool/wire":     "std",
		"pool/when":     "",
		"pool/journal":  "",
		"pool/serve":    "codec dispatch pool pool/journal pool/when pool/wire",

		"pool/internal/seats":    "std",
		"pool/internal/timeline": "std pool/internal/treap",
		"pool/internal/treap":    "std",
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		list, restricted := allowed[pkg]
		if !restricted {
			continue
		}
		seen[pkg] = true
		may := strings.Fields(list)
		for _, imported := range fields[1:] {
			name, own := strings.CutPrefix(imported, module)
			domain, _, _ := strings.Cut(imported, "/")
			foreign := !own && strings.Contains(domain, ".")
			if (own || foreign && slices.Contains(may, "std")) && !slices.Contains(may, name) {
				t.Errorf("%s imports %s", pkg, name)
			}
		}
	}
	for pkg := range allowed {
		files, err := filepath.Glob(filepath.Join("..", pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) > 0 && !seen[pkg] {
			t.Errorf("%s was not seen:\n%s", pkg, out)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d packages were seen:\n%s", len(seen), out)
	}
}
