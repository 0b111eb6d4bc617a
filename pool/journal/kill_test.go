package journal

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// chunkOf makes the chunk that a child appends as seq.
func chunkOf(seq uint64) []byte {
	rng := rand.New(rand.NewPCG(seq, 1))
	return (&model{rng: rng}).bytes(rng.IntN(3000))
}

// appendUntilKilled is the child: it appends, makes checkpoints now and then, and prints each seq that is acknowledged.
func appendUntilKilled(dir string) {
	check := func(err error) {
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	p, err := Open(Config{Dir: dir, memTable: 128 << 10})
	check(err)
	c, err := recoverAll(p)
	check(err)
	seq := c.mark.Seq
	for _, o := range c.chunks {
		seq = o.seq
	}
	type flying struct {
		Ticket
		seq uint64
	}
	var window []flying
	for {
		seq++
		window = append(window, flying{p.Append(seq, chunkOf(seq)), seq})
		if seq%50 == 0 {
			t := p.Checkpoint(Mark{Seq: seq, Hash: seq}, []Record{{[]byte("seq"), fmt.Append(nil, seq)}})
			window = append(window, flying{t, seq})
		}
		for len(window) > 4 {
			check(window[0].Wait())
			fmt.Println(window[0].seq)
			window = window[1:]
		}
	}
}

// TestKill kills a process that appends, again and again.
func TestKill(t *testing.T) {
	proof.Run(t, "kills of a process with a journal", 8, func(t *testing.T, rng *rand.Rand) int {
		dir, last := t.TempDir(), uint64(0)
		for range 4 {
			last = killOnce(t, rng, dir, last)
		}
		os.RemoveAll(dir)
		return 4
	})
}

// killOnce has a process go on with a store and kills it. It returns the last seq that was acknowledged, in this life or
// those before.
func killOnce(t *testing.T, rng *rand.Rand, dir string, last uint64) uint64 {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"=append", "JOURNAL_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	kill := rng.IntN(500)
	for n := 0; lines.Scan(); n++ {
		seq, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			t.Fatal(lines.Text())
		}
		last = seq
		if n == kill {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	p, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err := recoverAll(p)
	if err != nil {
		t.Fatal(err)
	}
	seq := c.mark.Seq
	if c.mark.Hash != seq || seq > 0 && c.records["seq"] != fmt.Sprint(seq) {
		t.Fatalf("%v, %v", c, c.records)
	}
	for _, o := range c.chunks {
		seq++
		if o.seq != seq || !bytes.Equal(o.chunk, chunkOf(seq)) {
			t.Fatalf("chunk %d, and not %d, or not as it was", o.seq, seq)
		}
	}
	if seq < last {
		t.Fatalf("%d was acknowledged, %d is the last there is", last, seq)
	}
	if rng.IntN(2) == 0 {
		last = seq + 1
		if err := p.Append(last, chunkOf(last)).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return last
}

// TestLocked opens a store from two processes, and twice from one.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"=append", "JOURNAL_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	if _, err := Open(Config{Dir: dir}); !isLocked(t, err) {
		t.Errorf("Open of a store in use by another process: %v", err)
	}
	cmd.Process.Kill()
	for lines.Scan() {
	}
	cmd.Wait()
	p, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); !isLocked(t, err) {
		t.Errorf("Open of a store in use: %v", err)
	}
	if _, err := Verify(dir); !isLocked(t, err) {
		t.Errorf("Verify of a store in use: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}
