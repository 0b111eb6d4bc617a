package client

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	b := backoff{min: 50 * time.Millisecond, max: 5 * time.Second}
	for _, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		if got := b.ceiling(); got != want*time.Millisecond {
			t.Errorf("ceiling %d is %v, not %v", b.row, got, want*time.Millisecond)
		}
		b.next()
	}
	longest := time.Duration(0)
	for range 1000 {
		pause := b.next()
		if pause < 0 || pause > b.max {
			t.Fatalf("pause %v", pause)
		}
		longest = max(longest, pause)
	}
	if longest < b.max/2 {
		t.Errorf("the longest of 1000 pauses is %v: no full jitter", longest)
	}
	b.reset()
	if got := b.ceiling(); got != b.min {
		t.Errorf("after reset: %v", got)
	}
	huge := backoff{min: 1, max: 1<<63 - 1}
	for range 200 {
		if pause := huge.next(); pause < 0 {
			t.Fatal("overflow")
		}
	}
}
