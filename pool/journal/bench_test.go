package journal

import (
	"fmt"
	"testing"
)

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
					chunk := make([]byte, size)
					for i := range chunk {
						chunk[i] = byte(i * i >> 3)
					}
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
