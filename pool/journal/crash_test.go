package journal

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// TestPowerLoss takes the power at a random file operation, opening and closing among them, again and again.
func TestPowerLoss(t *testing.T) {
	proof.Run(t, "power losses of a journal", 2000, func(t *testing.T, rng *rand.Rand) (losses int) {
		m := newModel(rng)
		retain := []int64{0, 20 << 10}[rng.IntN(2)]
		fs := vfs.NewCrashableMem()
		least, most, epoch := 0, 0, uint64(0) // how many of the ops have to be there, and can be
		for range 20 {
			var acked, submitted atomic.Int64
			acked.Store(int64(least))
			submitted.Store(int64(most))
			var crashed *vfs.MemFS
			var count, at atomic.Int64
			var atLeast, atMost int
			at.Store(1 + rng.Int64N(400))
			cfg := vfs.CrashCloneCfg{
				UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rand.New(rand.NewPCG(rng.Uint64(), 0)),
			}
			watched := errorfs.Wrap(fs, errorfs.InjectorFunc(func(errorfs.Op) error {
				if count.Add(1) == at.Load() {
					atLeast = int(acked.Load())
					crashed = fs.CrashClone(cfg)
					atMost = int(submitted.Load())
				}
				return nil
			}))
			p, err := Open(Config{Dir: "store", FS: watched, memTable: 64 << 10, RetainBytes: retain, plain: rng.IntN(4) == 0})
			if err != nil {
				t.Fatal(err)
			}
			c, err := recoverAll(p)
			if err != nil {
				t.Fatal(err)
			}
			if c.epoch <= epoch {
				t.Fatalf("epoch %d after %d", c.epoch, epoch)
			}
			k := m.find(c, least, most)
			if k < 0 {
				t.Fatalf("recovered %v, which is not what was after any of %d to %d ops: %v to %v",
					c, least, most, m.after(least), m.after(most))
			}
			m.cut(k)
			acked.Store(int64(k))
			submitted.Store(int64(k))
			if err := m.checkRead(t, p, k, k); err != nil {
				t.Fatal(err)
			}
			var flying []Ticket
			for range rng.IntN(100) {
				submitted.Add(1)
				flying = append(flying, do(p, m.next()))
				if len(flying) > rng.IntN(5) {
					if err := flying[0].Wait(); err != nil {
						t.Fatal(err)
					}
					acked.Add(1)
					flying = flying[1:]
				}
			}
			if rng.IntN(2) == 0 { // else it is as in flight as it gets
				for _, ticket := range flying {
					if err := ticket.Wait(); err != nil {
						t.Fatal(err)
					}
					acked.Add(1)
				}
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if count.Load() >= at.Load() {
				losses++
				fs, least, most = crashed, atLeast, atMost
				if least > most {
					t.Fatalf("%d, %d", least, most)
				}
			} else {
				least, most, epoch = len(m.ops), len(m.ops), c.epoch
			}
		}
		return losses
	})
}
