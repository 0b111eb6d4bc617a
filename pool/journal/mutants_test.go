package journal

import (
	"testing"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// TestMutants changes a line of the journal at a time: the test that is named must find each of these errors.
func TestMutants(t *testing.T) {
	proof.Mutants(t, []struct{ What, File, From, To, Check string }{
		{"what is appended is not synced", "ticket.go", "return p.db.ApplyNoSyncWait(t.batch, pebble.Sync)",
			"return p.db.Apply(t.batch, pebble.NoSync)", "^TestPowerLoss$"},
		{"a ticket does not wait for the fsync", "ticket.go", "	case p.committing <- t:\n",
			"	case p.committing <- t:\n		return done{}\n", "^TestPowerLoss$"},
		{"the records of a checkpoint come before it", "pebble.go", "		op := b.SetDeferred(1+len(r.Key), sealSize+len(r.Value))\n",
			"		key, value := append([]byte{keyRecord}, r.Key...), append(make([]byte, sealSize), r.Value...)\n" +
				"		seal(key, value)\n		if err = p.db.Set(key, value, pebble.NoSync); err == nil {\n			continue\n		}\n" +
				"		op := b.SetDeferred(1+len(r.Key), sealSize+len(r.Value))\n", "^TestPowerLoss$"},
		{"a checkpoint leaves the mark as it was", "pebble.go", "markValue{t.stamp, m, gone}", "markValue{t.stamp, p.mark, gone}", "^TestReopen$"},
		{"recovery leaves out the last chunk", "pebble.go", "seqKey(keyChunk, mark.Seq+1), []byte{keyChunk + 1}, func",
			"seqKey(keyChunk, mark.Seq+1), func() []byte { last, _, _ := lastChunk(p.db); return seqKey(keyChunk, last) }(), func", "^TestReopen$"},
		{"recovery leaves out a record", "pebble.go", "scan(p.db, []byte{keyRecord}, []byte{keyRecord + 1},",
			"scan(p.db, []byte{keyRecord, 'k', 'e', 'y', '2'}, []byte{keyRecord + 1},", "^TestReopen$"},
		{"chunks go that no checkpoint covers", "pebble.go", "gone = max(gone, old.seq)", "gone = max(gone, pt.seq)", "^TestRetention$"},
		{"a lost log is skipped", "audit.go", "				case s.batch == last+1:\n					last++\n",
			"				case s.batch > last:\n					last = s.batch\n", "^TestCut$"},
		{"damage in a log is taken for its end", "audit.go", "ours && s.acked > last {", "ours && s.acked > last+1<<40 {", "^TestFlip$"},
		{"an error is told to nobody", "guard.go", "	g.freeze(err)\n	return err\n}\n\n// pause",
			"	return nil\n}\n\n// pause", "^TestFaults$"},
		{"a short write counts as a whole one", "guard.go", "err == nil && n < len(b)", "err == nil && n < 0", "^TestFaults$"},
		{"after an error writing goes on", "guard.go", "		g.cause = err\n		close(g.fatal)\n",
			"		g.cause = err\n		if g.opened.Load() {\n			return\n		}\n		close(g.fatal)\n", "^TestFaults$"},
	})
}
