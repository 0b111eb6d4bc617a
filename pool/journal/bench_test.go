package journal

import (
	"fmt"
	"testing"
)

// BenchmarkChunk: an op makes the value of a chunk, or checks and reads one.
func BenchmarkChunk(b *testing.B) {
	key := seqKey(keyChunk, 4711)
	for _, size := range []int{100, 10_000} {
		chunk := someBytes(size)
		value := make([]byte, chunkSize+size)
		put := func() { chunkValue{stamp{17, 16}, 4710, chunk}.put(key, value) }
		read := func() {
			if c, err := readChunk(key, value); err != nil || len(c.bytes) != size {
				b.Fatal(len(c.bytes), err)
			}
		}
		put()
		read()
		for _, op := range []struct {
			name string
			do   func()
		}{{"put", put}, {"read", read}} {
			b.Run(fmt.Sprintf("%s/bytes=%d", op.name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					op.do()
				}
			})
		}
	}
}

// someBytes returns n bytes of no meaning, which compress badly.
func someBytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * i >> 3)
	}
	return p
}

// BenchmarkAppend measures appends until they are durable, on the disk that has the directory for temporary files.
func BenchmarkAppend(b *testing.B) {
	for _, plain := range []bool{false, true} {
		for _, size := range []int{100, 10_000} {
			for _, flying := range []int{1, 4} {
				if plain && flying > 1 {
					continue
				}
				b.Run(fmt.Sprintf("plain=%v/bytes=%d/flying=%d", plain, size, flying), func(b *testing.B) {
					p, err := Open(Config{Dir: b.TempDir(), plain: plain})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := p.Recover(Recovery{}); err != nil {
						b.Fatal(err)
					}
					chunk := someBytes(size)
					var window []Ticket
					seq := uint64(0)
					b.SetBytes(int64(size))
					b.ReportAllocs()
					for b.Loop() {
						seq++
						window = append(window, p.Append(seq, chunk))
						if len(window) == flying {
							if err := window[0].Wait(); err != nil {
								b.Fatal(err)
							}
							window = append(window[:0], window[1:]...)
						}
					}
					b.StopTimer()
					if err := p.Close(); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
	}
}
