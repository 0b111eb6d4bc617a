package bench_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kassa-go/kassa/bench"
)

// brokers are the peers of which a broker is a part.
var brokers = []string{"nats", "gearmand", "redis-lists"}

// All brokers do all kinds of cells, and do them right.
func TestBrokers(t *testing.T) {
	cells := []string{"8x4", "8x1/478", "4x1/work=sleep", "64x16/4096", "open8@500", "idle50", "storm50"}
	plan := briefPlan(t, peersNamed(t, brokers...), cells...)
	var log strings.Builder
	plan.Threads, plan.Log = 2, &log
	ran := 0
	err := plan.Run(t.Context(), func(r bench.Result) error {
		ran++
		idle := strings.HasPrefix(r.Cell, "idle")
		switch {
		case !r.OK():
			t.Errorf("%s %s: %s %v", r.Cell, r.Server, r.Failure, r.Faults)
		case !idle && (r.BrokerCPUSeconds <= 0 || r.BrokerCPUSeconds >= r.CPUSeconds):
			t.Errorf("%s %s: of %v s of CPU the broker took %v", r.Cell, r.Server, r.CPUSeconds, r.BrokerCPUSeconds)
		case r.Requests <= 0 && !idle || r.RSSBytes < 1<<20 || r.Version == "":
			t.Errorf("%s %s: implausible: %+v", r.Cell, r.Server, r)
		case strings.HasSuffix(r.Cell, "sleep") && float64(r.Requests) > 4*1100*r.Seconds:
			t.Errorf("%s %s: %d requests of 1 ms in %.2f s, of 4 types", r.Cell, r.Server, r.Requests, r.Seconds)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if ran != len(cells)*len(brokers) {
		t.Errorf("%d runs of %d:\n%s", ran, len(cells)*len(brokers), log.String())
	}
}

// However the service ends, its broker ends with it.
func TestBrokersEnd(t *testing.T) {
	for _, peer := range peersNamed(t, brokers...) {
		t.Run(peer.Name(), func(t *testing.T) {
			if _, err := peer.Build(t.Context(), t.TempDir()); err != nil {
				t.Fatal(err)
			}
			for _, killed := range []bool{false, true} {
				s, err := peer.Start(t.Context(), parsed(t, "1x1"))
				if err != nil {
					t.Fatal(err)
				}
				broker := onlyChild(t, s.PID)
				signal := syscall.SIGTERM
				if killed {
					signal = syscall.SIGKILL
				}
				if err := syscall.Kill(s.PID, signal); err != nil {
					t.Error(err)
				}
				awaitEnd(t, broker) // before Stop, which ends all that is left
				if err := s.Stop(); (err != nil) != killed {
					t.Errorf("killed %v: %v", killed, err)
				}
				if c, err := net.Dial("tcp4", s.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("killed %v: somebody listens at the broker's address: %v, %v", killed, c, err)
				}
			}
		})
	}
}

// onlyChild returns the one process that pid has started.
func onlyChild(t *testing.T, pid int) int {
	t.Helper()
	all, err := bench.Children(pid)
	if err != nil || len(all) != 1 {
		t.Fatalf("process %d has the children %v, %v", pid, all, err)
	}
	return all[0]
}

// awaitEnd waits until a process has ended.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	for over := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		switch {
		case err != nil || rest[:1] == "Z": // its parent need not have looked
			return
		case time.Now().After(over):
			t.Fatalf("process %d is there, in state %.1s", pid, rest)
		}
	}
}
