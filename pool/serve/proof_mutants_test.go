package serve

import (
	"testing"

	"github.com/kassa-go/kassa/pool/internal/proof"
)

// TestMutants changes a line of the server, or of what it stands on, at a time: the test that is named must find each of
// these errors.
func TestMutants(t *testing.T) {
	const power = "^TestPowerLoss$"
	proof.Mutants(t, []struct{ What, File, From, To, Check string }{
		{"answers do not wait for the journal", "ack.go", "			if err := b.ticket.Wait(); err != nil {\n",
			"			if err := error(nil); err != nil {\n", power},
		{"what is appended is not synced", "../journal/ticket.go", "return p.db.ApplyNoSyncWait(t.batch, pebble.Sync)",
			"return p.db.Apply(t.batch, pebble.NoSync)", power},
		{"a checkpoint has a rev of its own", "pools.go", "journal.Mark{Seq: mark.Rev, Clock: mark.Clock,", "journal.Mark{Seq: m.Rev(), Clock: mark.Clock,", power},
		{"a checkpoint loses a record", "pools.go", "		for _, r := range records {\n			ck.records",
			"		for _, r := range records[min(1, len(records)):] {\n			ck.records", power},
		{"recovery leaves out a chunk", "recover.go", "			return m.Replay(seq, chunk)\n",
			"			if chunks == 7 {\n				return nil\n			}\n			return m.Replay(seq, chunk)\n", power},
		{"replay drops an event", "../event.go", "			err = ev.apply(m)\n",
			"			if ev.kind() != evReleased {\n				err = ev.apply(m)\n			}\n", "^TestFull$"},
		{"keys are of a connection", "pools.go", "k.Client = st.client", "k.Client = fmt.Sprintf(\"%p\", st)", power},
	})
}
