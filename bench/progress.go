package bench

import "time"

// Progress says how far a plan has come when a run begins.
type Progress struct {
	Cell, Server string
	Round        int
	Run          time.Duration // that the run is expected to take
	Done         time.Duration // that the runs before it were expected to take
	Left         time.Duration // until the end, this run included, judged by how long those before it really took
}

// What runs take beside their load, measured on two cores.
const (
	costOfBuild  = 2 * time.Second        // of each server
	costOfRun    = 500 * time.Millisecond // start and end of server and generator
	costOfStore  = time.Second            // of pools: a store made or a table filled, and the disk's rest
	costOfConn   = 120 * time.Microsecond // its connect, at the pace of connectsPerSecond, and its end
	costOfItem   = 8 * time.Microsecond   // of pools
	costOfWaiter = 60 * time.Microsecond
)

// cost is how long a run of a cell is expected to take, the same for all servers.
func (p *Plan) cost(c Cell) time.Duration {
	d := costOfRun + time.Duration(c.Conns)*costOfConn
	switch c.Shape {
	case Closed, Open, Restart:
		d += p.WarmUp + p.Measure
	case Idle:
		d += p.Idle
	}
	if c.Shape == Restart {
		d += time.Duration(c.Items) * costOfItem // once more
	}
	if c.Items > 0 {
		d += costOfStore + time.Duration(c.Items)*costOfItem + time.Duration(c.Waiters)*costOfWaiter
	}
	return d
}

// Estimate returns how long the plan is expected to take, where no run has to be repeated.
func (p Plan) Estimate() time.Duration {
	p.fill()
	return p.costOfBuilds() + p.costOfRuns(func(Peer) bool { return true })
}

// costOfRuns is how long the runs of some servers are expected to take.
func (p *Plan) costOfRuns(of func(Peer) bool) (sum time.Duration) {
	for _, part := range p.Parts {
		for _, peer := range part.Peers {
			if _, ok := peer.Wire(part.Cell); ok && of(peer) {
				sum += time.Duration(p.Rounds) * p.cost(part.Cell)
			}
		}
	}
	return sum
}

func (p *Plan) costOfBuilds() time.Duration { return time.Duration(len(p.peers())) * costOfBuild }

// pacer tells the progress of a plan's runs.
type pacer struct {
	tell   func(Progress)
	began  time.Time     // when the first run did
	total  time.Duration // expected of the whole plan
	before time.Duration // expected of what was before the first run
	done   time.Duration // expected of the runs until now
}

// settled is for how long runs have to have gone on until they say more of those to come than the estimate does.
const settled = 10 * time.Second

// next is called before each run, with what it is expected to take.
func (b *pacer) next(cell Cell, server string, round int, run time.Duration) {
	left := b.total - b.before - b.done
	ratio := (time.Since(b.began) + settled).Seconds() / (b.done + settled).Seconds()
	b.tell(Progress{
		Cell: cell.Name, Server: server, Round: round,
		Run: run, Done: b.done + b.before, Left: time.Duration(float64(left) * ratio),
	})
	b.done += run
}
