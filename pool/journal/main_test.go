package journal

import (
	"log/slog"
	"os"
	"testing"

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
