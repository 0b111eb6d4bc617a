package load

import "fmt"

// Fault is something that went wrong on one connection.
type Fault struct {
	Conn  uint32 `json:"conn"`            // the connection's number, from 0
	Index uint64 `json:"index,omitempty"` // of the request; 0: of none, or it could not be read
	What  string `json:"what"`
}

func (f Fault) String() string {
	if f.Index == 0 {
		return fmt.Sprintf("connection %d: %s", f.Conn, f.What)
	}
	return fmt.Sprintf("connection %d, index %d: %s", f.Conn, f.Index, f.What)
}

// faultsKept is how many faults of a phase are kept in words; all are counted.
const faultsKept = 10

// faults collects those of one phase.
type faults struct {
	count int64
	kept  []Fault
}

func (fs *faults) add(f Fault) {
	fs.count++
	if len(fs.kept) < faultsKept {
		fs.kept = append(fs.kept, f)
	}
}
