package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kassa-go/kassa/bench"
)

// command returns the shortest command that measures the cells, on the servers, as results were. Where servers have some of
// the cells each, the command measures all of the cells on all that can.
func command(results []bench.Result) string {
	var cells, servers []string
	all := allSeries(results)
	for _, s := range all {
		note(&cells, s.cell)
		note(&servers, s.server)
	}
	of, usual, quick := planOf(results), bench.SuitePlan(), bench.QuickPlan()
	for _, peers := range [][]string{nil, servers} {
		if isSuite(all, bench.QuickCellNames(), peers) && times(of, quick) == "" {
			return "bin/kassa bench --quick" + flag("peers", peers)
		}
		for _, names := range [][]string{nil, inGroups(cells), cells} {
			if isSuite(all, names, peers) {
				return "bin/kassa bench" + flag("cells", names) + flag("peers", peers) + times(of, usual)
			}
		}
	}
	return "bin/kassa bench" + flag("cells", cells) + flag("peers", servers) + times(of, usual)
}

// flag is one that has a list; "": the list is empty.
func flag(name string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return " --" + name + " " + strings.Join(list, ",")
}

// times are the flags in which a plan differs from the one that is carried out without them.
func times(of, usual bench.Plan) (flags string) {
	if of.Rounds != usual.Rounds {
		flags += fmt.Sprint(" --rounds ", of.Rounds)
	}
	if of.Measure != 0 && of.Measure != usual.Measure {
		flags += fmt.Sprint(" --measure ", of.Measure)
	}
	if of.WarmUp != 0 && of.WarmUp != usual.WarmUp {
		flags += fmt.Sprint(" --warmup ", of.WarmUp)
	}
	if of.Idle != 0 && of.Idle != usual.Idle {
		flags += fmt.Sprint(" --idle ", of.Idle)
	}
	if of.Threads == 0 { // older results
		return flags
	}
	if of.RepeatsMax != usual.RepeatsMax {
		flags += fmt.Sprint(" --repeats ", of.RepeatsMax)
	}
	if of.Threads != usual.Threads {
		flags += fmt.Sprint(" --threads ", of.Threads)
	}
	return flags
}

// isSuite says whether these names of cells and peers have the suite run all of some series, and no others.
func isSuite(all []series, cellNames, peerNames []string) bool {
	parts, err := bench.Suite(bench.Peers(""), cellNames, peerNames)
	runs := 0
	for _, part := range parts {
		for _, peer := range part.Peers {
			if _, can := peer.Wire(part.Cell); !can {
				continue
			}
			if !slices.Contains(all, series{part.Cell.Name, peer.Name()}) {
				return false
			}
			runs++
		}
	}
	return err == nil && runs == len(all)
}

// inGroups names the groups of which all cells are there, then the cells that are in none of these.
func inGroups(cells []string) (names []string) {
	rest := slices.Clone(cells)
	for _, g := range bench.Groups() {
		own := g.Cells()
		if !slices.ContainsFunc(own, func(cell string) bool { return !slices.Contains(cells, cell) }) {
			names = append(names, g.Name)
			rest = slices.DeleteFunc(rest, func(cell string) bool { return slices.Contains(own, cell) })
		}
	}
	return append(names, rest...)
}

// planOf returns how results were measured: where they differ, the median of times, and the most of rounds, threads and repeats. A time that none has is 0; where no threads are
// told, warm-up and repeats are not either: older results do not have them.
func planOf(results []bench.Result) bench.Plan {
	p := bench.Plan{Rounds: 1}
	var loads, warmUps, silences []float64
	for i := range results {
		r := &results[i]
		p.Rounds, p.Threads, p.RepeatsMax = max(p.Rounds, r.Round), max(p.Threads, r.GeneratorThreads), max(p.RepeatsMax, r.RepeatsMax)
		if r.WarmUpSeconds > 0 {
			warmUps = append(warmUps, r.WarmUpSeconds)
		}
		c, err := bench.ParseCell(r.Cell)
		switch {
		case err != nil || !r.OK():
		case r.LoadSeconds > 0:
			loads = append(loads, r.LoadSeconds)
		case c.Shape == bench.Closed || c.Shape == bench.Open: // older results have but the time until all was answered
			loads = append(loads, seconds(r.Seconds).Round(100*time.Millisecond).Seconds())
		case c.Shape == bench.Idle:
			silences = append(silences, r.Seconds)
		}
	}
	p.Measure, p.WarmUp, p.Idle = seconds(median(loads)), seconds(median(warmUps)), seconds(median(silences))
	return p
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}
