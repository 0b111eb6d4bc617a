package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		childMain()
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // a dependency of gnet starts two at init
}

// patience bounds every wait in these tests. It is far above what any of them takes, so it only ends a hang.
const patience = 20 * time.Second

// eventually waits until cond holds. state, if any, says how things stand when it never does.
func eventually(t testing.TB, what string, cond func() bool, state ...func() any) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for !cond() {
		select {
		case <-poll.C:
		case <-over.C:
			text := "never happened: " + what
			for _, f := range state {
				text += fmt.Sprintf("; %+v", f())
			}
			t.Fatal(text)
		}
	}
}

// receive takes one value that somebody is about to send.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case v := <-c:
		return v
	case <-over.C:
		t.Fatal("never happened: " + what)
		panic("unreachable")
	}
}

// random returns a generator whose seed is in the test's log. KASSA_SEED repeats a run.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("KASSA_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("KASSA_SEED: %v", err)
		}
	}
	t.Logf("KASSA_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
