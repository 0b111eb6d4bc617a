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
	dir := t.TempDir()
	var last uint64
	for next := more(t, 4); next(); {
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
		kill := rand.IntN(500)
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
		if rand.IntN(2) == 0 { // the next one has to do without a Close
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := p.Append(seq+1, chunkOf(seq+1)).Wait(); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
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
