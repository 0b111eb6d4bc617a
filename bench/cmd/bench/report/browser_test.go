package report_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/kassa-go/kassa/bench/cmd/bench/report"
)

// measureTexts is put into the page: it writes what it finds wrong with where a browser has put the texts of the charts.
const measureTexts = `<script>
const wrong = [];
let texts = 0;
for (const svg of document.querySelectorAll("svg")) {
  const name = svg.querySelector("title").textContent, whole = svg.getBoundingClientRect();
  const all = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
  texts += all.length;
  all.forEach(([text, box], i) => {
    if (box.left < whole.left - 1 || box.right > whole.right + 1 || box.top < whole.top - 1 || box.bottom > whole.bottom + 1)
      wrong.push(name + ": " + text + " is outside of the chart");
    for (const [other, at] of all.slice(i + 1)) {
      const wide = Math.min(box.right, at.right) - Math.max(box.left, at.left), high = Math.min(box.bottom, at.bottom) - Math.max(box.top, at.top);
      if (wide > 1 && high > 3) wrong.push(name + ": " + text + " lies over " + other);
    }
  });
}
for (const cell of document.querySelectorAll("#targets td"))
  if (cell.getBoundingClientRect().right > innerWidth) wrong.push("target: " + cell.textContent + " is to the right of the window");
if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page is wider than its window");
const found = document.createElement("pre");
found.id = "found";
found.textContent = JSON.stringify({Texts: texts, Wrong: wrong});
document.body.append(found);
</script>`

// In a browser, with whatever fonts it has, no text of a chart lies over another or outside of it, and the page fits a
// narrow window, with all that is said of a target in it.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is needed; make test installs it:", err)
	}
	var b strings.Builder
	if err := report.WritePage(&b, invented(7), ""); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(b.String()+measureTexts), 0o644); err != nil {
		t.Fatal(err)
	}
	// The browser's processes may write after it has ended, so that its removal may fail.
	profile, err := os.MkdirTemp("", "kassa-bench-browser-") //nolint:usetesting // which would fail the test then
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(profile)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// Its sandbox is not to be had for root, nor in many containers, and the page is the test's own.
	browser := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-extensions",
		"--user-data-dir="+profile, "--window-size=500,900", "--dump-dom", "file://"+file)
	var complaints strings.Builder
	browser.Stderr = &complaints
	page, err := browser.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, complaints.String())
	}
	root, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Texts int
		Wrong []string
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "id" && a.Val == "found" {
				if err := json.Unmarshal([]byte(n.FirstChild.Data), &found); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if found.Texts < 500 {
		t.Errorf("the browser saw %d texts", found.Texts)
	}
	for _, wrong := range found.Wrong {
		t.Error(wrong)
	}
}
