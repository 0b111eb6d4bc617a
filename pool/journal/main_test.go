package journal

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// child is set in the environment of a process that a test has started from this binary: to what it is to do.
const child = "JOURNAL_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "append" {
		appendUntilKilled(os.Getenv("JOURNAL_DIR"))
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	if code == 0 && os.Getenv(child) == "" { // what has failed for good leaves goroutines, so that is for a child
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// more returns a func that is true n times, or, with KASSA_SOAK, for that long.
func more(t *testing.T, n int) func() bool {
	if testing.Short() {
		n = (n + 9) / 10
	}
	soak, _ := time.ParseDuration(os.Getenv("KASSA_SOAK"))
	start, did := time.Now(), 0
	return func() bool {
		if soak == 0 && did >= n || soak != 0 && time.Since(start) > soak || t.Failed() {
			t.Logf("%d rounds in %v", did, time.Since(start).Round(time.Millisecond))
			return false
		}
		did++
		return true
	}
}
