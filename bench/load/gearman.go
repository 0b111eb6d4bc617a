package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// gearmanWire speaks Gearman's binary protocol: a request is a job of function t0 to t3 in the foreground, without a unique
// id, which would have equal jobs done once. A packet is a magic, a kind and a length, and so much data. The server answers
// first with the job's handle, and, when it is done, with the handle and what came of it.
type gearmanWire struct {
	frames templateWire
	submit [TypeCount][]byte // what goes before a request
	conns  []gearmanConn
}

type gearmanConn struct {
	created int // jobs that the server has taken on, and that are not done yet
}

const (
	gearmanRequest = "\x00REQ"
	gearmanAnswer  = "\x00RES"

	gearmanHeadBytes = 12
	gearmanDataMax   = 16 << 20
	gearmanHandleMax = 64 // as the server has them

	gearmanSubmitJob    = 7
	gearmanJobCreated   = 8
	gearmanWorkComplete = 13
	gearmanWorkFail     = 14
	gearmanError        = 19
)

func newGearmanWire(c WireConfig) (Wire, error) {
	frames, err := newBrokerFrames(c, "")
	if err != nil {
		return nil, err
	}
	w := &gearmanWire{frames: frames}
	for t := range w.submit {
		function := fmt.Sprintf("t%d\x00\x00", t) // the unique id is empty
		head := binary.BigEndian.AppendUint32([]byte(gearmanRequest), gearmanSubmitJob)
		head = binary.BigEndian.AppendUint32(head, uint32(len(function)+len(frames.request[t].frame)))
		w.submit[t] = append(head, function...)
	}
	return w, nil
}

func (w *gearmanWire) prepare(conns int) { w.conns = make([]gearmanConn, conns) }

func (w *gearmanWire) AppendRequest(dst []byte, conn uint32, index uint64) []byte {
	dst = append(dst, w.submit[index%TypeCount]...)
	return w.frames.AppendRequest(dst, conn, index)
}

// CheckReply is hear of other Wires.
func (*gearmanWire) CheckReply([]byte, uint32) (int, uint64, error) {
	return 0, 0, errors.New("load: what Gearman sends is not all replies")
}

func (*gearmanWire) appendMore(dst []byte, _ uint32) []byte { return dst }

func (w *gearmanWire) hear(buf []byte, conn uint32, done []uint64) (int, []uint64, uint64, error) {
	c := &w.conns[conn]
	if n := min(len(buf), len(gearmanAnswer)); string(buf[:n]) != gearmanAnswer[:n] {
		return 0, done, 0, fmt.Errorf("no packet: %s", quoted(buf))
	}
	if len(buf) < gearmanHeadBytes {
		return 0, done, 0, nil
	}
	kind, size := binary.BigEndian.Uint32(buf[4:]), binary.BigEndian.Uint32(buf[8:])
	if size > gearmanDataMax {
		return 0, done, 0, fmt.Errorf("a packet of kind %d with %d bytes", kind, size)
	}
	n := gearmanHeadBytes + int(size)
	if len(buf) < n {
		return 0, done, 0, nil
	}
	data := buf[gearmanHeadBytes:n]
	switch kind {
	case gearmanJobCreated:
		if len(data) == 0 || len(data) > gearmanHandleMax {
			return 0, done, 0, fmt.Errorf("a job with handle %s", quoted(data))
		}
		c.created++
		return n, done, 0, nil
	case gearmanWorkComplete:
		handle, frame, _ := bytes.Cut(data, []byte{0})
		if len(handle) == 0 || c.created == 0 {
			return 0, done, 0, fmt.Errorf("job %s is done, and was not created", quoted(handle))
		}
		if len(frame) != len(w.frames.reply[0].frame) {
			return 0, done, 0, fmt.Errorf("got %s", quoted(frame))
		}
		_, index, err := w.frames.CheckReply(frame, conn)
		if err != nil {
			return 0, done, index, err
		}
		c.created--
		return n, append(done, index), index, nil
	case gearmanError:
		return 0, done, 0, fmt.Errorf("the server has an error: %s", quoted(data))
	case gearmanWorkFail:
		return 0, done, 0, fmt.Errorf("job %s failed", quoted(data))
	}
	return 0, done, 0, fmt.Errorf("a packet of kind %d: %s", kind, quoted(data))
}
